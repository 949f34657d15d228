"""Schedules that Medplum keeps itself: what is sent, what its unstable answers mean, and what each server version lacks."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from booking.scheduling.errors import (
    EhrFailure,
    EhrRejected,
    EhrUnavailable,
    NotFound,
    OutcomeUnknown,
    TimeTaken,
)
from booking.scheduling.terms import Coding, Slot

from .documents import BOOKING_ID, bundle
from .medplum_documents import (
    SERVICES,
    lasts,
    pending,
    proposal,
    real_slot,
    schedule,
    service,
    service_type,
    virtual_slot,
)
from .r4_documents import MARK, NINE, OTHER_MARK, VISIT, at, hold, move, request
from .stand_in import StandIn, StoppedClock, gateway

Json = dict[str, Any]

NONE = bundle()
DAY = {"first_on": date(2026, 12, 1), "last_on": date(2026, 12, 1)}


def outcome(status: int, text: str, code: str = "invalid", coding: str = "") -> httpx.Response:
    details: Json = {"text": text} | ({"coding": [{"code": coding}]} if coding else {})
    issue = {"severity": "error", "code": code, "details": details}
    return httpx.Response(status, json={"resourceType": "OperationOutcome", "issue": [issue]})


def made(*resources: Json, status: int = 201) -> httpx.Response:
    entries = [{"resource": each} for each in resources]
    return httpx.Response(
        status, json={"resourceType": "Bundle", "type": "transaction-response", "entry": entries}
    )


def read(resource: Json) -> httpx.Response:
    return httpx.Response(200, json=resource, headers={"ETag": 'W/"v1"'})


NOT_FOUND = outcome(404, "Not found", "not-found")
TAKEN_TEXTS = [
    outcome(409, "Requested time slot is no longer available", "conflict"),
    outcome(400, "Requested time slot is not available"),
    outcome(400, "No availability found at this time"),
    outcome(400, "anything at all"),
]
SERIALIZED = outcome(409, "could not serialize access", "conflict", "40001")
DEADLOCK = outcome(400, "deadlock detected")


def ehr(**answers: Any) -> StandIn:
    """A Medplum with a free time at nine. Keys are like ``GET_find``; $ stands for itself in other keys of ``more``."""
    usual: dict[str, Any] = {
        "GET ana": read(schedule()),
        "GET HealthcareService": SERVICES,
        "GET Appointment": NONE,
        "GET $find": bundle(proposal()),
        "POST $hold": made(pending(), real_slot(), real_slot("buffer", 30, "busy-unavailable")),
        "GET visit": read(pending()),
        "PUT visit": lambda asked: httpx.Response(200, content=asked.content),
        "POST $confirm": made(pending("booked"), status=200),
        "POST $cancel": read(pending("cancelled")),
        "POST $reschedule": outcome(400, "Expected at least 1 value(s) for required input parameter 'start'"),
        "GET own": read(real_slot()),
        "GET buffer": read(real_slot("buffer", 30, "busy-unavailable")),
        "GET Slot": NONE,
    }
    return StandIn(usual | {key.replace("_", " ", 1): value for key, value in answers.items()})


def lines(stand_in: StandIn) -> list[str]:
    return [f"{method} {path.removeprefix('/')}" for method, path, _ in stand_in.sent]


def sent_to(stand_in: StandIn, line: str) -> list[Any]:
    return [
        json.loads(one.content)
        for one, said in zip(stand_in.requests, lines(stand_in), strict=True)
        if said == line
    ]


def opened(stand_in: StandIn, clock: StoppedClock | None = None) -> Any:
    return gateway(stand_in, clock, dialect="medplum")


def with_(key: str, value: Any) -> StandIn:
    found = ehr()
    found.answers[key] = value
    return found


def test_free_times_are_asked_for_by_service_and_schedule():
    found = ehr()
    with opened(found) as medplum:
        assert medplum.free_slots("Schedule/ana", **DAY, minutes=30, appointment_type=VISIT) == [
            Slot("Schedule/ana", NINE, NINE + timedelta(minutes=30))
        ]
    assert lines(found) == ["GET Schedule/ana", "GET HealthcareService", "GET Appointment/$find"]
    assert dict(found.requests[1].url.params) == {"_id": "half,hour", "_count": "1000"}
    assert found.requests[2].url.params.multi_items() == [
        ("start", "2026-11-30T10:00:00Z"),
        ("end", "2026-12-02T12:00:00Z"),
        ("service-type-reference", "HealthcareService/half"),
        ("schedule", "Schedule/ana"),
        ("_count", "1000"),
    ]


def test_an_answer_wrapped_in_parameters_is_understood():
    wrapped = {
        "resourceType": "Parameters",
        "parameter": [{"name": "return", "resource": bundle(proposal())}],
    }
    with opened(with_("GET $find", wrapped)) as medplum:
        assert len(medplum.free_slots("Schedule/ana", **DAY, minutes=30)) == 1


def test_only_whole_times_of_this_schedule_that_are_to_come_are_kept():
    elsewhere = proposal(60) | {"contained": [virtual_slot(60) | {"schedule": {"reference": "Schedule/ben"}}]}
    split = proposal(90) | {"contained": [virtual_slot(90, 15)]}
    bare = proposal(120) | {"contained": None, "start": "soon"}
    answer = bundle(proposal(), proposal(30, 60), elsewhere, split, bare, proposal(-5_000_000))
    with opened(with_("GET $find", answer)) as medplum:
        found = medplum.free_slots("Schedule/ana", **DAY, minutes=30)
    assert [each.starts_at for each in found] == [NINE]


def test_past_times_are_not_asked_for():
    clock = StoppedClock()
    clock.seconds = NINE.timestamp() - 1_796_000_000.0 + 1
    found = with_("GET $find", bundle(proposal(), proposal(30)))
    with opened(found, clock) as medplum:
        times = medplum.free_slots("Schedule/ana", **DAY, minutes=30)
    assert [each.starts_at for each in times] == [NINE + timedelta(minutes=30)]
    assert found.requests[-1].url.params["start"] == "2026-12-01T17:00:01Z"


def test_a_full_answer_is_followed_by_a_question_from_its_last_time_on():
    first = bundle(*(proposal(minute) for minute in range(1000)))
    found = with_("GET $find", [first, bundle(proposal(999), proposal(1000))])
    with opened(found) as medplum:
        times = medplum.free_slots("Schedule/ana", **DAY, minutes=30)
    assert len(times) == 1001
    assert [one.url.params["start"] for one in found.requests[2:]] == [
        "2026-11-30T10:00:00Z",
        "2026-12-02T09:39:00Z",
    ]


def test_full_answers_that_do_not_go_on_come_to_an_end():
    same = bundle(*(proposal() for _ in range(1000)))
    found = with_("GET $find", same)
    with opened(found) as medplum:
        assert len(medplum.free_slots("Schedule/ana", **DAY, minutes=30)) == 1
    assert lines(found).count("GET Appointment/$find") == 2


@pytest.mark.parametrize(
    ("services", "calendar", "kind", "minutes", "asked"),
    [
        ([service("half", 30), service("hour", 60)], schedule(), VISIT, 60, ["hour"]),
        ([service("half", 30), service("hour", 60)], schedule(), VISIT, 45, []),
        ([service("half", 30), service("hour", 60)], schedule(), Coding(VISIT.system, "OFFICE"), 30, []),
        ([service("half", 30), service("hour", 60)], schedule(), None, 30, ["half"]),
        ([service("half", 30), service("hour", 60)], schedule(), Coding("", "half"), 30, ["half"]),
        ([service("half", 30, identifier=[{"system": "s", "value": "v"}])], schedule(), Coding("s", "v"), 30, ["half"]),
        ([service("half", 30, active=False)], schedule(), VISIT, 30, []),
        ([service("half", 30), service("unasked", 30)], schedule("half"), VISIT, 30, ["half"]),
        ([service("half", "soon"), service("hour", 60)], schedule(), VISIT, 60, ["hour"]),
        ([service("half", "soon"), service("hour", 60)], schedule(), VISIT, 30, ["half"]),
        (
            [service("half", 45)],
            schedule(
                "half",
                serviceType=[],
                extension=[
                    lasts(30)
                    | {
                        "extension": [
                            *lasts(30)["extension"],
                            {"url": "service", "valueReference": {"reference": "HealthcareService/half"}},
                        ]
                    }
                ],
            ),
            VISIT,
            30,
            ["half"],
        ),
    ],
)  # fmt: skip
def test_a_visit_type_is_a_service_of_that_name_and_length(services, calendar, kind, minutes, asked):
    found = ehr()
    found.answers |= {"GET HealthcareService": bundle(*services), "GET ana": read(calendar)}
    with opened(found) as medplum:
        medplum.free_slots("Schedule/ana", **DAY, minutes=minutes, appointment_type=kind)
    finds = [one for one in found.requests if one.url.path.endswith("$find")]
    assert [one.url.params["service-type-reference"] for one in finds] == [
        f"HealthcareService/{key}" for key in asked
    ]


def test_a_hold_passes_the_proposal_back_with_our_identifier_and_nothing_else():
    found = ehr()
    with opened(found) as medplum:
        medplum.hold_time(hold())
    assert lines(found) == [
        "GET Schedule/ana",
        "GET Appointment",
        "GET HealthcareService",
        "GET Appointment/$find",
        "POST Appointment/$hold",
    ]
    assert found.requests[3].url.params["start"] == "2026-12-01T15:00:00Z"
    assert sent_to(found, "POST Appointment/$hold") == [
        {
            "resourceType": "Parameters",
            "parameter": [{"name": "appointment", "resource": {**proposal(), "identifier": [MARK]}}],
        }
    ]
    assert found.requests[4].headers["content-type"] == "application/fhir+json"


@pytest.mark.parametrize("status", ["pending", "booked"])
def test_a_hold_asked_for_twice_is_the_same(status):
    found = with_("GET Appointment", bundle(pending(status)))
    with opened(found) as medplum:
        medplum.hold_time(hold())
    assert lines(found) == ["GET Schedule/ana", "GET Appointment"]


def test_a_hold_of_another_time_or_one_that_is_over_is_not_this_one():
    found = with_("GET Appointment", bundle(pending(start=60), pending("cancelled")))
    with opened(found) as medplum:
        medplum.hold_time(hold())
    assert lines(found)[-1] == "POST Appointment/$hold"


def test_a_time_that_is_not_found_is_taken_and_nothing_is_sent():
    found = with_("GET $find", bundle(proposal(15)))
    with opened(found) as medplum, pytest.raises(TimeTaken):
        medplum.hold_time(hold())
    assert "POST Appointment/$hold" not in lines(found)


@pytest.mark.parametrize("refusal", TAKEN_TEXTS)
def test_a_refusal_is_a_taken_time_when_the_time_is_gone(refusal):
    found = ehr()
    found.answers |= {"POST $hold": refusal, "GET $find": [bundle(proposal()), NONE]}
    with opened(found) as medplum, pytest.raises(TimeTaken):
        medplum.hold_time(hold())


@pytest.mark.parametrize("refusal", TAKEN_TEXTS)
def test_a_refusal_is_a_mistake_of_ours_when_the_time_is_still_free(refusal):
    with opened(with_("POST $hold", refusal)) as medplum, pytest.raises(EhrRejected) as caught:
        medplum.hold_time(hold())
    assert type(caught.value) is EhrRejected


@pytest.mark.parametrize("refusal", TAKEN_TEXTS)
def test_a_refusal_behind_which_our_own_hold_is_found_is_none(refusal):
    found = ehr()
    found.answers |= {"POST $hold": refusal, "GET Appointment": [NONE, bundle(pending())]}
    with opened(found) as medplum:
        medplum.hold_time(hold())


@pytest.mark.parametrize("again", [SERIALIZED, DEADLOCK, outcome(409, "x", "conflict", "40P01")])
def test_what_was_rolled_back_for_other_work_is_sent_again_after_growing_pauses(again):
    clock = StoppedClock()
    found = with_("POST $hold", [again, again, again, made(pending())])
    with opened(found, clock) as medplum:
        medplum.hold_time(hold())
    assert lines(found).count("POST Appointment/$hold") == 4
    assert clock.slept == [0.2, 0.4, 0.8]


def test_what_is_always_rolled_back_is_given_up_within_its_time():
    clock = StoppedClock()
    found = with_("POST $hold", SERIALIZED)
    with opened(found, clock) as medplum, pytest.raises(EhrUnavailable):
        medplum.hold_time(hold())
    assert lines(found).count("POST Appointment/$hold") == 7
    assert sum(clock.slept) < 10


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ('"requests";r=59;t=60, "fhirInteractions";r=0;t=17', 17),
        ('"requests";r=0;t=60, "fhirInteractions";r=0;t=17', 60),
        # A write costs a hundred.
        ('"requests";r=59;t=60, "fhirInteractions";r=38;t=17', 60),
        ("", None),
    ],
)
def test_a_quota_that_is_used_up_says_how_long_to_wait(header, seconds):
    throttled = httpx.Response(
        429,
        json={"resourceType": "OperationOutcome", "issue": [{"code": "throttled"}]},
        headers={"RateLimit": header},
    )
    with opened(with_("POST $hold", throttled)) as medplum, pytest.raises(EhrUnavailable) as caught:
        medplum.hold_time(hold())
    assert caught.value.retry_after_seconds == seconds


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(500), httpx.Response(502), httpx.ReadError("cut"), httpx.Response(201), made(), httpx.Response(200, json={})],
)  # fmt: skip
def test_an_answer_that_says_nothing_leaves_the_hold_unknown(answer):
    with opened(with_("POST $hold", answer)) as medplum, pytest.raises(OutcomeUnknown):
        medplum.hold_time(hold())


COMPLETED = {
    **pending(),
    "appointmentType": {"coding": [{"system": VISIT.system, "code": "VIDEO", "display": "Video visit"}]},
    "reasonCode": [
        {
            "coding": [{"system": "http://clinic.example/reasons", "code": "COUGH", "display": "Cough"}],
            "text": "Cough",
        }
    ],
    "supportingInformation": [{"reference": "#appointment-meeting-endpoint-0", "type": "Endpoint"}],
    "participant": [
        {"actor": {"reference": "Practitioner/ana"}, "required": "required", "status": "needs-action"},
        {"actor": {"reference": "Patient/sam"}, "status": "accepted"},
        {"actor": {"reference": "Location/north"}, "status": "accepted"},
    ],
}


def test_a_visit_is_a_hold_that_says_who_comes_and_is_confirmed():
    found = ehr()
    with opened(found) as medplum:
        assert medplum.create_appointment(request()) == "Appointment/visit"
    assert lines(found)[4:] == [
        "POST Appointment/$hold",
        "GET Appointment/visit",
        "PUT Appointment/visit",
        "POST Appointment/visit/$confirm",
    ]
    (sent,) = sent_to(found, "PUT Appointment/visit")
    assert [each["address"] for each in sent.pop("contained")] == ["https://video.example/abc"]
    assert sent == COMPLETED
    assert found.requests[6].headers["if-match"] == 'W/"v1"'
    assert sent_to(found, "POST Appointment/visit/$confirm") == [{"resourceType": "Parameters"}]


def test_our_own_hold_becomes_the_visit_without_another():
    found = with_("GET Appointment", bundle(pending()))
    with opened(found) as medplum:
        assert medplum.create_appointment(request()) == "Appointment/visit"
    assert lines(found)[1:] == [
        "GET Appointment",
        "GET Appointment/visit",
        "PUT Appointment/visit",
        "POST Appointment/visit/$confirm",
    ]


@pytest.mark.parametrize("status", ["booked", "arrived", "fulfilled"])
def test_a_visit_that_is_there_already_is_not_made_again(status):
    found = with_("GET Appointment", bundle(pending(status)))
    with opened(found) as medplum:
        assert medplum.create_appointment(request()) == "Appointment/visit"
    assert [line for line in lines(found) if not line.startswith("GET")] == []


@pytest.mark.parametrize("wrong", [{"location_ref": ""}, {"schedule_ref": ""}, {"video_url": "javascript:1"}])
def test_what_cannot_be_a_visit_holds_nothing(wrong):
    found = ehr()
    with opened(found) as medplum, pytest.raises(EhrRejected, match="not sent"):
        medplum.create_appointment(request(**wrong))
    assert [line for line in lines(found) if not line.startswith("GET")] == []


def test_where_there_is_no_confirm_the_hold_is_booked_by_hand_and_that_is_remembered():
    found = ehr()
    state = {"visit": pending(), "own": real_slot(serviceType=[service_type("half")])}
    puts: list[str] = []

    def put(asked: httpx.Request) -> httpx.Response:
        key = asked.url.path.rpartition("/")[2]
        state[key] = json.loads(asked.content)
        puts.append(key)
        return httpx.Response(200, content=asked.content)

    found.answers |= {
        "POST $confirm": NOT_FOUND,
        "GET visit": lambda _: read(state["visit"]),
        "GET own": lambda _: read(state["own"]),
        "PUT visit": put,
        "PUT own": put,
    }
    with opened(found) as medplum:
        medplum.create_appointment(request())
        assert (state["visit"]["status"], state["own"]["status"]) == ("booked", "busy")
        assert "serviceType" not in state["own"]
        assert puts == ["visit", "visit", "own"]
        state |= {"visit": pending(), "own": real_slot()}
        medplum.create_appointment(request())
    assert state["visit"]["status"] == "booked"
    assert lines(found).count("POST Appointment/visit/$confirm") == 1


def test_a_visit_booked_by_hand_whose_slot_is_turned_away_is_no_failure_that_did_nothing():
    found = ehr()
    found.answers |= {
        "POST $confirm": NOT_FOUND,
        "GET visit": read(pending()),
        "GET own": read(real_slot()),
        "PUT visit": lambda asked: httpx.Response(200, content=asked.content),
        "PUT own": outcome(429, "Too many", "throttled"),
    }
    with opened(found) as medplum, pytest.raises(OutcomeUnknown):
        medplum.create_appointment(request())
    assert lines(found)[-1] == "PUT Slot/own"


@pytest.mark.parametrize(
    ("answer", "status", "kind"),
    [
        (outcome(409, "Appointment cannot be confirmed in 'booked' status"), "booked", None),
        (outcome(400, "Appointment cannot be confirmed in 'booked' status"), "booked", None),
        (outcome(400, "Appointment cannot be confirmed in 'cancelled' status"), "cancelled", EhrUnavailable),
        (NOT_FOUND, "cancelled", EhrUnavailable),
        (outcome(400, "Loading slots failed"), "pending", EhrRejected),
        (outcome(403, "Forbidden", "forbidden"), "pending", EhrRejected),
        (httpx.Response(500), "pending", OutcomeUnknown),
        (httpx.ReadError("cut"), "pending", OutcomeUnknown),
        (outcome(429, "Too many", "throttled"), "pending", EhrUnavailable),
        (SERIALIZED, "pending", EhrUnavailable),
        (SERIALIZED, "booked", None),
        ([DEADLOCK, made(pending("booked"), status=200)], "pending", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("was_held", [True, False])
def test_what_an_unclear_confirm_comes_to(answer, status, kind, was_held):
    found = ehr()
    # As it is when it is completed, and from then on.
    found.answers |= {"POST $confirm": answer, "GET visit": [read(pending()), read(pending(status))]}
    if was_held:
        found.answers["GET Appointment"] = bundle(pending())
    with opened(found) as medplum:
        if kind is None:
            assert medplum.create_appointment(request()) == "Appointment/visit"
        else:
            with pytest.raises(EhrFailure) as caught:
                medplum.create_appointment(request())
            assert type(caught.value) is kind
    gives_up = kind is EhrRejected or (kind is EhrUnavailable and not was_held)
    assert ("POST Appointment/visit/$cancel" in lines(found)) == (gives_up and status == "pending")


def test_a_hold_that_nobody_finds_any_more_is_unknown():
    with opened(with_("GET visit", NOT_FOUND)) as medplum, pytest.raises(OutcomeUnknown):
        medplum.create_appointment(request())


def without_hold(**answers: Any) -> StandIn:
    found = ehr()
    booked = pending("booked", identifier=[], participant=proposal()["participant"])
    found.answers |= {"POST $hold": NOT_FOUND, "POST $book": made(booked), "GET visit": read(booked)}
    found.answers |= {key.replace("_", " ", 1): value for key, value in answers.items()}
    return found


def test_where_there_is_no_hold_the_visit_is_booked_in_one_step():
    found = without_hold()
    with opened(found) as medplum:
        with pytest.raises(NotFound):
            medplum.hold_time(hold())
        assert medplum.create_appointment(request()) == "Appointment/visit"
    (sent,) = sent_to(found, "POST Appointment/$book")
    ((asked,),) = ([each["resource"] for each in sent["parameter"]],)
    assert asked["identifier"] == [MARK]
    assert asked["contained"][:2] == proposal()["contained"]
    assert asked["contained"][2]["address"] == "https://video.example/abc"
    assert asked["participant"] == COMPLETED["participant"]
    assert lines(found).count("POST Appointment/$hold") == 1


def test_book_by_slots_is_told_by_what_it_asks_for_and_marked_right_after():
    asks = outcome(400, "Expected at least 1 value(s) for required input parameter 'slot'")
    booked = pending("booked", identifier=[], participant=proposal()["participant"])
    found = without_hold()
    found.answers["POST $book"] = [asks, made(booked)]
    with opened(found) as medplum:
        assert medplum.create_appointment(request()) == "Appointment/visit"
        medplum.create_appointment(request())
    first, second, *rest = sent_to(found, "POST Appointment/$book")
    assert [each["name"] for each in first["parameter"]] == ["appointment"]
    assert second == {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "slot", "resource": virtual_slot(0)},
            {"name": "patient-reference", "valueReference": {"reference": "Patient/sam"}},
        ],
    }
    assert rest == [second]
    put = sent_to(found, "PUT Appointment/visit")[0]
    assert (put["identifier"], put["reasonCode"]) == ([MARK], COMPLETED["reasonCode"])


def test_a_visit_booked_by_slots_whose_answer_was_lost_is_found_by_who_and_when():
    asks = outcome(400, "Expected at least 1 value(s) for required input parameter 'slot'")
    booked = pending("booked", identifier=[])
    found = without_hold()
    # By identifier there is nothing, by patient and clinician there is.
    found.answers |= {
        "POST $book": [asks, httpx.ReadError("cut")],
        "GET Appointment": lambda asked: NONE if "identifier" in asked.url.params else bundle(booked),
    }
    with opened(found) as medplum:
        assert medplum.find_appointments(BOOKING_ID, request()) == []
        with pytest.raises(OutcomeUnknown):
            medplum.create_appointment(request())
        assert [each.ref for each in medplum.find_appointments(BOOKING_ID, request())] == [
            "Appointment/visit"
        ]
        assert medplum.create_appointment(request()) == "Appointment/visit"
    assert len(sent_to(found, "POST Appointment/$book")) == 2


def test_a_mere_hold_is_no_visit():
    other = pending(identifier=[OTHER_MARK])
    found = with_("GET Appointment", bundle(pending(), pending("booked", id="b"), other))
    with opened(found) as medplum:
        assert [each.ref for each in medplum.find_appointments(BOOKING_ID)] == ["Appointment/b"]
        span = {"starts_from": NINE, "starts_before": NINE + timedelta(hours=1)}
        seen = medplum.search_appointments(practitioner_ref="Practitioner/ana", **span)
    assert [each.ref for each in seen] == ["Appointment/b"]


def test_a_hold_is_released_by_cancelling_what_is_pending_only():
    found = with_("GET Appointment", bundle(pending(), pending("booked", id="b")))
    with opened(found) as medplum:
        medplum.release_time(hold())
    assert [line for line in lines(found) if line.startswith("POST")] == ["POST Appointment/visit/$cancel"]


BOOKED = pending("booked")


def test_a_visit_is_cancelled_by_the_operation():
    found = with_("GET visit", read(BOOKED))
    with opened(found) as medplum:
        medplum.cancel_appointment("Appointment/visit")
    assert [line for line in lines(found) if not line.startswith("GET")] == ["POST Appointment/visit/$cancel"]
    assert found.requests[-1].url.path.endswith("$cancel")


def test_a_visit_that_is_cancelled_already_is_left_alone():
    found = ehr()
    found.answers |= {"GET visit": read(pending("cancelled")), "GET own": httpx.Response(410, json={})}
    found.answers["GET buffer"] = httpx.Response(410, json={})
    with opened(found) as medplum:
        medplum.cancel_appointment("Appointment/visit")
    assert [line for line in lines(found) if not line.startswith("GET")] == []


@pytest.mark.parametrize(
    ("answer", "after", "kind"),
    [
        (outcome(400, "Loading slots failed"), "cancelled", None),
        (outcome(400, "Appointment cannot be canceled in 'arrived' status"), "arrived", EhrRejected),
        ([DEADLOCK, read(pending("cancelled"))], "booked", None),
        (DEADLOCK, "cancelled", None),
        (SERIALIZED, "booked", EhrUnavailable),
        (httpx.Response(503), "booked", OutcomeUnknown),
        (outcome(403, "Forbidden", "forbidden"), "booked", EhrRejected),
    ],
)
def test_what_an_unclear_cancel_comes_to(answer, after, kind):
    found = ehr()
    found.answers |= {"POST $cancel": answer, "GET visit": [read(BOOKED), read(pending(after))]}
    with opened(found) as medplum:
        if kind is None:
            medplum.cancel_appointment("Appointment/visit")
        else:
            with pytest.raises(EhrFailure) as caught:
                medplum.cancel_appointment("Appointment/visit")
            assert type(caught.value) is kind
    assert "PUT Appointment/visit" not in lines(found)


def test_a_visit_one_of_whose_slots_is_gone_is_cancelled_by_hand():
    found = ehr()
    found.answers |= {
        "GET visit": read(BOOKED),
        "GET buffer": httpx.Response(410, json={"resourceType": "OperationOutcome"}),
        "POST $cancel": outcome(400, "Loading slots failed"),
        "DELETE own": httpx.Response(200, json={}),
    }
    with opened(found) as medplum:
        medplum.cancel_appointment("Appointment/visit")
    assert [line for line in lines(found) if not line.startswith("GET")] == [
        "POST Appointment/visit/$cancel",
        "PUT Appointment/visit",
        "DELETE Slot/own",
    ]
    assert found.requests[-1].content == b""
    assert sent_to(found, "PUT Appointment/visit")[0]["status"] == "cancelled"


WRITTEN = {"meta": {"lastUpdated": "2026-11-20T10:00:00.100Z"}}
BUFFER = real_slot("left", 30, "busy-unavailable", **WRITTEN)


@pytest.mark.parametrize(
    ("slot", "users", "is_deleted"),
    [
        (BUFFER, NONE, True),
        (BUFFER, bundle(pending("booked", id="other")), False),
        (BUFFER | {"meta": {"lastUpdated": "2026-11-20T11:00:00Z"}}, NONE, False),
        (BUFFER | {"meta": {}}, NONE, False),
        (BUFFER | {"end": at(45)}, NONE, False),
        (BUFFER | {"start": at(35)}, NONE, False),
    ],
)
def test_the_buffer_that_an_old_book_left_is_cleared_away_and_nothing_else_is(slot, users, is_deleted):
    found = ehr()
    found.answers |= {
        "GET HealthcareService": bundle(service("half", 30, extension=[lasts(30, bufferAfter=10)])),
        "GET visit": read(BOOKED | {"slot": [{"reference": "Slot/own"}]}),
        "GET own": read(real_slot(status="busy", **WRITTEN)),
        "GET Slot": bundle(slot),
        "GET Appointment": users,
        "DELETE left": httpx.Response(200, json={}),
    }
    with opened(found) as medplum:
        medplum.cancel_appointment("Appointment/visit")
    assert ("DELETE Slot/left" in lines(found)) == is_deleted


def moving(**answers: Any) -> StandIn:
    """A visit at nine that $reschedule moves to ten."""
    found = ehr()
    state = {"start": 0}

    def reschedule(asked: httpx.Request) -> httpx.Response:
        if "parameter" not in json.loads(asked.content):
            return outcome(400, "Expected at least 1 value(s) for required input parameter 'start'")
        state["start"] = 60
        return made(visit(), status=200)

    def visit() -> Json:
        whole = pending("booked", state["start"])
        return whole | {"participant": [*whole["participant"], *COMPLETED["participant"][1:]]}

    found.answers |= {
        "POST $reschedule": reschedule,
        "GET visit": lambda _: read(visit()),
        "GET own": lambda _: read(real_slot(start=state["start"], status="busy")),
    }
    found.answers |= {key.replace("_", " ", 1): value for key, value in answers.items()}
    return found


def test_a_visit_moves_by_the_operation_and_only_once():
    found = moving()
    with opened(found) as medplum:
        medplum.move_appointment(move("Appointment/visit", 60))
        medplum.move_appointment(move("Appointment/visit", 60))
    asked = sent_to(found, "POST Appointment/visit/$reschedule")
    assert asked == [
        {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "start", "valueDateTime": at(60)},
                {"name": "service-type-reference", "valueReference": {"reference": "HealthcareService/half"}},
                {"name": "schedule", "valueReference": {"reference": "Schedule/ana"}},
            ],
        }
    ]
    assert "PUT Appointment/visit" not in lines(found)


def test_a_move_takes_the_place_along():
    found = moving()
    with opened(found) as medplum:
        medplum.move_appointment(move("Appointment/visit", 60, location_ref="Location/south"))
    (sent,) = sent_to(found, "PUT Appointment/visit")
    assert [each["actor"]["reference"] for each in sent["participant"]] == [
        "Practitioner/ana",
        "Patient/sam",
        "Location/south",
    ]


@pytest.mark.parametrize(
    ("answer", "find", "kind"),
    [
        (outcome(400, "Requested time slot is not available"), NONE, TimeTaken),
        (outcome(400, "Start time is not aligned to the scheduling grid"), bundle(proposal(60)), EhrRejected),
        (httpx.ReadError("cut"), NONE, OutcomeUnknown),
        (httpx.Response(500), NONE, OutcomeUnknown),
        (outcome(429, "Too many"), NONE, EhrUnavailable),
        (SERIALIZED, NONE, EhrUnavailable),
    ],
)
def test_a_move_that_fails_leaves_the_visit_where_it_was(answer, find, kind):
    found = moving()
    probe = outcome(400, "Expected at least 1 value(s) for required input parameter 'start'")
    found.answers |= {"POST $reschedule": [probe, answer], "GET $find": find}
    with opened(found) as medplum, pytest.raises(EhrFailure) as caught:
        medplum.move_appointment(move("Appointment/visit", 60))
    assert type(caught.value) is kind
    assert "PUT Appointment/visit" not in lines(found)
    for one in found.requests:
        if one.url.path.endswith("$find"):
            assert one.url.params["ignore-appointment"] == "Appointment/visit"


def test_without_reschedule_a_visit_on_such_a_schedule_cannot_move_and_the_clinic_is_told():
    found = ehr()
    found.answers |= {
        "POST $reschedule": NOT_FOUND,
        "GET Schedule": bundle(schedule()),
        "GET visit": read(BOOKED),
        "GET metadata": {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"},
    }
    with opened(found) as medplum:
        assert not medplum.can_move()
        with pytest.raises(EhrRejected, match="cannot move"):
            medplum.move_appointment(move("Appointment/visit", 60))
        (sentence,) = medplum.examine().findings
    assert "Update Medplum" in sentence
    assert "PUT Appointment/visit" not in lines(found)
    assert lines(found).count("POST Appointment/00000000-0000-4000-8000-000000000000/$reschedule") == 1


@pytest.mark.parametrize(
    ("answer", "schedules", "moves"),
    [
        (outcome(400, "Expected"), bundle(schedule()), True),
        (NOT_FOUND, bundle(schedule()), False),
        (NOT_FOUND, bundle({**schedule(), "serviceType": []}), True),
        (httpx.Response(503), bundle(schedule()), False),
    ],
)
def test_whether_visits_can_move_is_asked_once(answer, schedules, moves):
    found = ehr()
    found.answers |= {"POST $reschedule": answer, "GET Schedule": schedules}
    with opened(found) as medplum:
        assert [medplum.can_move() for _ in range(3)] == [moves] * 3
        assert medplum.capabilities.holds
    assert len(found.requests) <= 2


def test_a_probe_that_fails_is_repeated_soon():
    found, clock = ehr(), StoppedClock()
    found.answers["POST $reschedule"] = [httpx.Response(503), outcome(400, "Expected")]
    with opened(found, clock) as medplum:
        assert not medplum.can_move()
        clock.seconds += 16
        assert medplum.can_move()


def test_a_visit_of_another_length_is_not_moved():
    with opened(moving()) as medplum, pytest.raises(EhrRejected, match="length"):
        medplum.move_appointment(move("Appointment/visit", 60, 45))


def test_now_is_what_the_documents_think():
    assert datetime(2026, 11, 29, tzinfo=UTC).timestamp() < 1_796_000_000.0 < NINE.timestamp()
