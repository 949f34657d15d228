"""Holds, visits, cancels and moves on Slots: what is sent, who wins, and what every failure leaves behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fhir.resources.R4B.appointment import Appointment

from booking.scheduling.errors import EhrFailure, EhrRejected, EhrUnavailable, OutcomeUnknown, TimeTaken
from booking.scheduling.gateway import Capabilities

from .documents import BOOKING_ID
from .little_ehr import BASE, LittleEhr, gateway, outcome, statement
from .r4_documents import (
    MARK,
    OTHER_BOOKING,
    OTHER_MARK,
    VISIT,
    appointment,
    at,
    hold,
    move,
    request,
    schedule,
    slot,
)
from .stand_in import StoppedClock

Answer = httpx.Response | Exception


def clinic(*slots: Any, says: Any = None) -> LittleEhr:
    return LittleEhr(schedule(), *(slots or (slot("a", 0), slot("b", 30), slot("c", 60))), says=says)


def statuses(ehr: LittleEhr) -> dict[str, tuple[str, list[str]]]:
    return {
        one["id"]: (one["status"], [mark["value"] for mark in one.get("identifier", [])])
        for one in ehr.all("Slot")
    }


FREE: tuple[str, list[str]] = ("free", [])
OURS = [str(BOOKING_ID)]


def trip(
    line: str, answer: Answer | Callable[[], Answer], *, carried_out: bool = False, times: int = 1
) -> Any:
    """Give this answer to the first requests of that line; ``carried_out`` does the work as well."""
    left = [times]

    def stand_between(
        asked: httpx.Request, go_on: Callable[[httpx.Request], httpx.Response]
    ) -> httpx.Response:
        said = f"{asked.method} {asked.url.path.removeprefix('/fhir/')}"
        if said != line or not left[0]:
            return go_on(asked)
        left[0] -= 1
        if carried_out:
            go_on(asked)
        given = answer() if callable(answer) else answer
        if isinstance(given, Exception):
            raise given
        return given

    return stand_between


def cut() -> Exception:
    return httpx.ReadError("cut")


def test_what_an_r4_server_that_does_everything_is_trusted_with():
    with gateway(clinic()) as opened:
        assert opened.capabilities == Capabilities(
            holds=True,
            appointment_identifier_search=True,
            patient_identifier_search=True,
            prevents_double_booking=True,
            conditional_update=True,
            subscriptions=False,
        )
        assert opened.can_move()


@pytest.mark.parametrize(
    ("says", "less"),
    [
        (statement(versioning="no-version"), {"holds", "prevents_double_booking", "conditional_update", "moves"}),
        (statement(versioning="versioned"), set()),
        (statement(without=("Slot.update",)), {"holds", "prevents_double_booking", "moves"}),
        (statement(without=("Appointment.update",)), {"moves"}),
        (statement(without=("Appointment?identifier",)), {"appointment_identifier_search"}),
        (statement(without=("Patient?identifier",)), {"patient_identifier_search"}),
        (
            {"resourceType": "CapabilityStatement"},
            {"holds", "prevents_double_booking", "conditional_update", "moves"}
            | {"appointment_identifier_search", "patient_identifier_search"},
        ),
    ],
)  # fmt: skip
def test_what_a_server_does_not_say_is_not_counted_on(says, less):
    whole = Capabilities(True, True, True, True, True)
    with gateway(clinic(says=says)) as opened:
        assert opened.capabilities == replace(whole, **dict.fromkeys(less - {"moves"}, False))
        assert opened.can_move() == ("moves" not in less)


def test_a_server_that_says_nothing_is_asked_again_soon_and_what_it_said_once_still_counts():
    ehr, clock = clinic(), StoppedClock()
    ehr.metadata_answers = [httpx.Response(503)] * 3
    with gateway(ehr, clock) as opened:
        assert opened.capabilities == Capabilities()
        assert ehr.metadata_reads == 3
        assert opened.capabilities == Capabilities()
        with pytest.raises(EhrUnavailable, match="not known yet"):
            opened.create_appointment(request())
        assert ehr.lines == []
        clock.seconds += 16
        assert opened.capabilities.holds
        ehr.metadata_answers = [httpx.Response(503)] * 3
        clock.seconds += 301
        assert opened.capabilities.holds


def test_asking_what_a_server_can_do_takes_a_second_and_a_half_at_most():
    ehr, clock = clinic(), StoppedClock()
    ehr.metadata_answers = [httpx.Response(503)] * 3
    with gateway(ehr, clock) as opened:
        assert not opened.capabilities.holds
    assert sum(clock.slept) < 1.5


def test_a_hold_turns_the_slot_with_our_mark_if_it_is_as_it_was_read():
    ehr = clinic()
    version = ehr.records["Slot/b"]["meta"]["versionId"]
    with gateway(ehr) as opened:
        opened.hold_time(hold(30))
    search, put = ehr.sent
    assert search.url.params.multi_items() == [
        ("schedule", "Schedule/ana"),
        ("start", "ge2026-11-30T17:30:00Z"),
        ("start", "lt2026-12-01T18:00:00Z"),
        ("_count", "100"),
    ]
    assert (put.method, put.url) == ("PUT", httpx.URL(f"{BASE}/Slot/b"))
    assert put.headers["if-match"] == f'W/"{version}"'
    assert put.headers["content-type"] == "application/fhir+json"
    sent = json.loads(put.content)
    assert sent == slot("b", 30, status="busy-tentative", identifier=[MARK]) | {"meta": sent["meta"]}
    assert statuses(ehr) == {"a": FREE, "b": ("busy-tentative", OURS), "c": FREE}


def test_a_hold_asked_for_twice_is_the_same():
    ehr = clinic()
    with gateway(ehr) as opened:
        opened.hold_time(hold())
        opened.hold_time(hold())
    assert ehr.lines == ["GET Slot", "PUT Slot/a", "GET Slot"]


def test_an_identifier_of_the_clinics_own_stays_and_a_former_mark_of_ours_goes():
    theirs = {"system": "http://clinic.example", "value": "7"}
    ehr = clinic(slot("a", 0, identifier=[theirs, OTHER_MARK]))
    with gateway(ehr) as opened:
        opened.hold_time(hold())
        assert ehr.records["Slot/a"]["identifier"] == [theirs, MARK]
        opened.release_time(hold())
    assert ehr.plain("Slot/a") == slot("a", 0, identifier=[theirs])


def test_a_run_of_slots_is_taken_whole():
    ehr = clinic(slot("a", 0, 15), slot("b", 15, 15), slot("c", 30, 15), slot("x", 0, 20))
    with gateway(ehr) as opened:
        opened.hold_time(hold(minutes=45))
    assert statuses(ehr) == dict.fromkeys("abc", ("busy-tentative", OURS)) | {"x": FREE}


@pytest.mark.parametrize(
    "slots",
    [
        [slot("a", 0, status="busy")],
        [slot("a", 0, status="busy-unavailable")],
        [slot("a", 0, status="busy-tentative", identifier=[OTHER_MARK])],
        [slot("a", 0, status="entered-in-error")],
        [slot("a", 0), slot("x", 10, 5, status="busy")],
        [slot("a", 0), slot("x", -600, 700, status="busy-unavailable")],
        [slot("a", 0, 20)],
        [slot("a", 0, 15), slot("b", 20, 15)],
        [slot("a", 0, serviceType=[{"coding": [{"system": VISIT.system, "code": "OFFICE"}]}])],
    ],
)
def test_a_time_that_is_not_wholly_free_is_taken(slots):
    ehr = clinic(*slots)
    before = statuses(ehr)
    with gateway(ehr) as opened:
        for verb in (opened.hold_time, lambda _: opened.create_appointment(request())):
            with pytest.raises(TimeTaken):
                verb(hold())
    assert (statuses(ehr), ehr.all("Appointment")) == (before, [])


def test_who_is_second_at_the_last_slot_of_a_run_gives_back_the_first():
    ehr = clinic(slot("a", 0, 15), slot("b", 15, 15))

    def meanwhile() -> Answer:
        ehr.put(slot("b", 15, 15, status="busy"))
        return outcome(412, "conflict")

    ehr.trip = trip("PUT Slot/b", meanwhile)
    with gateway(ehr) as opened, pytest.raises(TimeTaken):
        opened.hold_time(hold())
    assert statuses(ehr) == {"a": FREE, "b": ("busy", [])}


@pytest.mark.parametrize("status", [409, 412])
def test_a_slot_that_changed_and_is_still_free_is_taken_after_another_look(status):
    ehr = clinic()

    def meanwhile() -> Answer:
        ehr.put(slot("a", 0, comment="moved to room 4"))
        return outcome(status, "conflict")

    ehr.trip = trip("PUT Slot/a", meanwhile)
    with gateway(ehr) as opened:
        opened.hold_time(hold())
    assert ehr.plain("Slot/a") == slot(
        "a", 0, status="busy-tentative", identifier=[MARK], comment="moved to room 4"
    )


def test_a_hold_without_an_answer_is_unknown_and_ours_when_asked_for_again():
    ehr = clinic()
    ehr.trip = trip("PUT Slot/a", cut(), carried_out=True)
    with gateway(ehr) as opened:
        with pytest.raises(OutcomeUnknown):
            opened.hold_time(hold())
        opened.hold_time(hold())
    assert ehr.lines.count("PUT Slot/a") == 1


def test_a_server_too_busy_for_the_second_slot_leaves_none_taken():
    ehr = clinic(slot("a", 0, 15), slot("b", 15, 15))
    ehr.trip = trip("PUT Slot/b", outcome(429, "throttled"))
    with gateway(ehr) as opened, pytest.raises(EhrUnavailable):
        opened.hold_time(hold())
    assert statuses(ehr) == {"a": FREE, "b": FREE}


def test_a_failure_to_give_back_does_not_hide_why(caplog):
    ehr = clinic(slot("a", 0, 15), slot("b", 15, 15))
    first, second = (
        trip("PUT Slot/b", outcome(429, "throttled")),
        trip("GET Slot/a", outcome(403, "forbidden")),
    )
    ehr.trip = lambda asked, go_on: first(asked, lambda same: second(same, go_on))
    with gateway(ehr) as opened, pytest.raises(EhrUnavailable):
        opened.hold_time(hold())
    assert "Slot not given back" in caplog.text


def test_a_slot_without_a_version_in_it_is_read_for_its_tag():
    ehr = clinic(slot("a", 0))

    def bare(asked: httpx.Request, go_on: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
        answer = go_on(asked)
        body = json.loads(answer.content)
        for one in [body, *(entry["resource"] for entry in body.get("entry", []))]:
            one.pop("meta", None)
        return httpx.Response(answer.status_code, json=body, headers=answer.headers)

    ehr.trip = bare
    with gateway(ehr) as opened:
        opened.hold_time(hold())
    assert ehr.lines == ["GET Slot", "GET Slot/a", "PUT Slot/a"]
    assert ehr.sent[-1].headers["if-match"]


@pytest.mark.parametrize(
    ("slots", "visits", "left"),
    [
        ([slot("a", 0, status="busy-tentative", identifier=[MARK])], [], FREE),
        ([slot("a", 0, status="busy", identifier=[MARK])], [], FREE),
        ([slot("a", 0, status="busy", identifier=[MARK])], [appointment("a")], ("busy", OURS)),
        ([slot("a", 0, status="busy", identifier=[MARK])], [appointment("a", status="cancelled")], FREE),
        ([slot("a", 0, status="busy", identifier=[MARK])], [appointment("b", start=30)], FREE),
        ([slot("a", 0, status="busy", identifier=[OTHER_MARK])], [], ("busy", [OTHER_MARK["value"]])),
        ([slot("a", 0, status="busy")], [], ("busy", [])),
        ([slot("a", 0)], [], FREE),
    ],
)
@pytest.mark.parametrize("says", [statement(), statement(without=("Appointment?identifier",))])
def test_only_a_hold_of_the_bookings_own_is_given_back(slots, visits, left, says):
    ehr = clinic(*slots, says=says)
    for visit in visits:
        ehr.put(visit)
    with gateway(ehr) as opened:
        opened.release_time(hold())
        opened.release_time(hold())
    assert statuses(ehr) == {"a": left}


VISIT_DOCUMENT = {
    "resourceType": "Appointment",
    "status": "booked",
    "identifier": [MARK],
    "serviceType": [{"coding": [{"system": VISIT.system, "code": "VIDEO", "display": "Video visit"}]}],
    "appointmentType": {"coding": [{"system": VISIT.system, "code": "VIDEO", "display": "Video visit"}]},
    "reasonCode": [
        {
            "coding": [{"system": "http://clinic.example/reasons", "code": "COUGH", "display": "Cough"}],
            "text": "Cough",
        }
    ],
    "start": at(0),
    "end": at(30),
    "participant": [
        {"actor": {"reference": "Practitioner/ana"}, "status": "accepted"},
        {"actor": {"reference": "Patient/sam"}, "status": "accepted"},
        {"actor": {"reference": "Location/north"}, "status": "accepted"},
    ],
    "contained": [
        {
            "resourceType": "Endpoint",
            "id": "appointment-meeting-endpoint-0",
            "status": "active",
            "connectionType": {"display": "Video visit in a web browser"},
            "payloadType": [
                {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/endpoint-payload-type",
                            "code": "none",
                        }
                    ],
                    "text": "Video call",
                }
            ],
            "address": "https://video.example/abc",
        }
    ],
    "supportingInformation": [{"reference": "#appointment-meeting-endpoint-0", "type": "Endpoint"}],
    "slot": [{"reference": "Slot/a"}],
}


def test_a_visit_is_made_after_its_slot_is_turned_busy():
    ehr = clinic()
    with gateway(ehr) as opened:
        ref = opened.create_appointment(request())
    assert ehr.lines == ["GET Slot", "PUT Slot/a", "POST Appointment"]
    assert ehr.bodies("POST Appointment") == [VISIT_DOCUMENT]
    Appointment.model_validate(VISIT_DOCUMENT)
    assert statuses(ehr)["a"] == ("busy", OURS)
    assert f"Appointment/{ehr.all('Appointment')[0]['id']}" == ref


def test_a_visit_in_person_carries_no_endpoint():
    ehr = clinic()
    with gateway(ehr) as opened:
        opened.create_appointment(request(video_url="", reason_text=""))
    (sent,) = ehr.bodies("POST Appointment")
    assert {"contained", "supportingInformation"} & sent.keys() == set()
    assert sent["reasonCode"] == [{"coding": VISIT_DOCUMENT["reasonCode"][0]["coding"]}]


def test_our_own_hold_becomes_the_visit():
    ehr = clinic()
    with gateway(ehr) as opened:
        opened.hold_time(hold())
        opened.create_appointment(request())
    assert ehr.lines[2:] == ["GET Slot", "PUT Slot/a", "POST Appointment"]
    assert statuses(ehr)["a"] == ("busy", OURS)


@pytest.mark.parametrize(
    "wrong", [{"location_ref": ""}, {"schedule_ref": ""}, {"minutes": 0}, {"patient_ref": "Practitioner/x"}]
)
def test_what_cannot_be_a_visit_takes_no_slot(wrong):
    ehr = clinic()
    with gateway(ehr) as opened, pytest.raises(EhrRejected, match="not sent"):
        opened.create_appointment(request(**wrong))
    assert ehr.lines == []


@pytest.mark.parametrize(
    ("answer", "kind", "held", "after"),
    [
        (outcome(422, "invalid"), EhrRejected, False, FREE),
        (outcome(422, "invalid"), EhrRejected, True, FREE),
        (outcome(429, "throttled"), EhrUnavailable, False, FREE),
        (outcome(429, "throttled"), EhrUnavailable, True, ("busy", OURS)),
        (outcome(500, "exception"), OutcomeUnknown, False, ("busy", OURS)),
        (cut(), OutcomeUnknown, True, ("busy", OURS)),
        (httpx.Response(201), OutcomeUnknown, False, ("busy", OURS)),
    ],
)
def test_what_a_failed_create_leaves(answer, kind, held, after):
    ehr = clinic()
    ehr.trip = trip("POST Appointment", answer)
    with gateway(ehr) as opened:
        if held:
            opened.hold_time(hold())
        with pytest.raises(EhrFailure) as caught:
            opened.create_appointment(request())
    assert (type(caught.value), statuses(ehr)["a"]) == (kind, after)
    assert ehr.lines.count("POST Appointment") == 1


def test_a_create_that_was_carried_out_without_an_answer_is_found_and_not_made_twice():
    ehr = clinic()
    ehr.trip = trip("POST Appointment", cut(), carried_out=True)
    with gateway(ehr) as opened:
        with pytest.raises(OutcomeUnknown):
            opened.create_appointment(request())
        ref = opened.create_appointment(request())
        assert [record.ref for record in opened.find_appointments(BOOKING_ID)] == [ref]
    assert len(ehr.all("Appointment")) == 1


def test_a_create_that_was_not_carried_out_goes_on_from_its_own_slots():
    ehr = clinic()
    ehr.trip = trip("POST Appointment", cut())
    with gateway(ehr) as opened:
        with pytest.raises(OutcomeUnknown):
            opened.create_appointment(request())
        opened.create_appointment(request())
    assert (len(ehr.all("Appointment")), ehr.lines.count("PUT Slot/a")) == (1, 1)


def test_a_server_that_turns_slots_itself_is_learned_from_its_first_refusal():
    ehr = clinic()

    def strict(asked: httpx.Request, go_on: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
        if asked.method == "POST":
            refs = [each["reference"] for each in json.loads(asked.content)["slot"]]
            if any(ehr.records[ref]["status"] != "free" for ref in refs):
                return outcome(409, "conflict")
            for ref in refs:
                ehr.put({**ehr.plain(ref), "status": "busy"})
        return go_on(asked)

    ehr.trip = strict
    with gateway(ehr) as opened:
        opened.create_appointment(request())
        assert (opened.capabilities.holds, opened.capabilities.prevents_double_booking) == (False, True)
        opened.create_appointment(request(30, booking_id=OTHER_BOOKING))
        with pytest.raises(TimeTaken):
            opened.create_appointment(request(30, booking_id=OTHER_BOOKING))
    assert len(ehr.all("Appointment")) == 2
    assert statuses(ehr) == {"a": ("busy", []), "b": ("busy", []), "c": FREE}


def test_a_conflict_of_a_server_that_takes_our_claims_is_not_asked_twice():
    ehr = clinic()
    with gateway(ehr) as opened:
        opened.create_appointment(request())
        ehr.trip = trip("POST Appointment", outcome(409, "conflict"), times=5)
        with pytest.raises(EhrRejected):
            opened.create_appointment(request(30, booking_id=OTHER_BOOKING))
    assert (ehr.lines.count("POST Appointment"), statuses(ehr)["b"]) == (2, FREE)


def test_without_versions_slots_are_looked_at_before_and_marked_after():
    ehr = clinic(says=statement(versioning="no-version"))
    with gateway(ehr) as opened:
        with pytest.raises(EhrRejected):
            opened.hold_time(hold())
        with pytest.raises(EhrRejected):
            opened.move_appointment(move("Appointment/visit", 30))
        opened.create_appointment(request())
        with pytest.raises(TimeTaken):
            opened.create_appointment(request(booking_id=OTHER_BOOKING))
    assert ehr.lines[:4] == ["GET Slot", "POST Appointment", "GET Slot", "PUT Slot/a"]
    assert "if-match" not in ehr.sent[3].headers
    assert statuses(ehr)["a"] == ("busy", OURS)


def test_a_visit_is_found_without_a_search_by_identifier():
    says = statement(without=("Appointment?identifier",))
    ehr = LittleEhr(appointment("a"), appointment("b", id="x", identifier=[OTHER_MARK]), says=says)
    with gateway(ehr) as opened:
        found = opened.find_appointments(BOOKING_ID, request())
        with pytest.raises(EhrRejected):
            opened.find_appointments(BOOKING_ID)
    assert [record.ref for record in found] == ["Appointment/visit"]


def booked(*more: Any) -> LittleEhr:
    return LittleEhr(
        schedule(),
        slot("a", 0, status="busy", identifier=[MARK]),
        slot("b", 30),
        slot("c", 60),
        appointment("a"),
        *more,
    )


def test_a_cancelled_visit_gives_back_its_slot():
    ehr = booked()
    version = ehr.records["Appointment/visit"]["meta"]["versionId"]
    with gateway(ehr) as opened:
        opened.cancel_appointment("Appointment/visit")
        assert ehr.plain("Slot/a") == slot("a", 0)
        ehr.put(slot("a", 0, status="busy", identifier=[OTHER_MARK]))
        opened.cancel_appointment("Appointment/visit")
    put = next(one for one in ehr.sent if one.method == "PUT")
    assert put.headers["if-match"] == f'W/"{version}"'
    assert ehr.plain("Appointment/visit") == appointment("a", status="cancelled")
    assert statuses(ehr)["a"] == ("busy", [OTHER_MARK["value"]])
    assert ehr.lines.count("PUT Appointment/visit") == 1


def test_a_slot_without_our_mark_is_given_back_by_the_cancel_that_cancelled():
    ehr = booked(slot("a", 0, status="busy"))
    with gateway(ehr) as opened:
        opened.cancel_appointment("Appointment/visit")
        assert statuses(ehr)["a"] == FREE
        ehr.put(slot("a", 0, status="busy"))
        opened.cancel_appointment("Appointment/visit")
    assert statuses(ehr)["a"] == ("busy", [])


def test_a_cancel_that_broke_off_is_completed_by_the_next():
    ehr = booked()
    ehr.trip = trip("PUT Slot/a", outcome(429, "throttled"))
    with gateway(ehr) as opened:
        with pytest.raises(OutcomeUnknown):
            opened.cancel_appointment("Appointment/visit")
        opened.cancel_appointment("Appointment/visit")
    assert (statuses(ehr)["a"], ehr.records["Appointment/visit"]["status"]) == (FREE, "cancelled")


@pytest.mark.parametrize("status", ["arrived", "fulfilled", "noshow"])
def test_a_visit_that_took_place_is_neither_cancelled_nor_moved(status):
    ehr = booked(appointment("a", status=status))
    with gateway(ehr) as opened:
        with pytest.raises(EhrRejected):
            opened.cancel_appointment("Appointment/visit")
        with pytest.raises(EhrRejected):
            opened.move_appointment(move("Appointment/visit", 30))
    assert [line for line in ehr.lines if not line.startswith("GET")] == []


def test_a_visit_moves_to_its_new_slot_before_it_gives_back_the_old():
    ehr = booked()
    with gateway(ehr) as opened:
        opened.move_appointment(move("Appointment/visit", 60))
        opened.move_appointment(move("Appointment/visit", 60))
    assert [line for line in ehr.lines if line.startswith("PUT")] == [
        "PUT Slot/c",
        "PUT Appointment/visit",
        "PUT Slot/a",
    ]
    assert ehr.plain("Appointment/visit") == appointment("c", start=60)
    assert statuses(ehr) == {"a": FREE, "b": FREE, "c": ("busy", OURS)}


def test_a_visit_moves_by_half_its_length():
    ehr = LittleEhr(
        schedule(),
        *(slot(key, start, 15, status="busy", identifier=[MARK]) for key, start in (("a", 0), ("b", 15))),
        slot("c", 30, 15),
        appointment("a", "b"),
    )
    with gateway(ehr) as opened:
        opened.move_appointment(move("Appointment/visit", 15))
    assert ehr.plain("Appointment/visit") == appointment("b", "c", start=15)
    assert statuses(ehr) == {"a": FREE, "b": ("busy", OURS), "c": ("busy", OURS)}


def test_a_visit_moves_to_another_place_and_gains_our_mark():
    ehr = booked(appointment("a", identifier=[]), slot("a", 0, status="busy"))
    with gateway(ehr) as opened:
        opened.move_appointment(move("Appointment/visit", 30, location_ref="Location/south"))
    found = ehr.plain("Appointment/visit")
    assert [each["actor"]["reference"] for each in found["participant"]] == [
        "Practitioner/ana",
        "Patient/sam",
        "Location/south",
    ]
    assert (found["identifier"], statuses(ehr)["a"]) == ([MARK], FREE)


def test_a_move_to_a_taken_time_changes_nothing():
    ehr = booked(slot("c", 60, status="busy"))
    before = ehr.records.copy()
    with gateway(ehr) as opened, pytest.raises(TimeTaken):
        opened.move_appointment(move("Appointment/visit", 60))
    assert ehr.records == before


@pytest.mark.parametrize(
    ("line", "answer", "carried_out", "kind", "stands_at"),
    [
        ("PUT Slot/c", cut(), False, OutcomeUnknown, 0),
        ("PUT Slot/c", cut(), True, OutcomeUnknown, 0),
        ("PUT Appointment/visit", outcome(422, "invalid"), False, EhrRejected, 0),
        ("PUT Appointment/visit", outcome(429, "throttled"), False, EhrUnavailable, 0),
        ("PUT Appointment/visit", cut(), False, OutcomeUnknown, 0),
        ("PUT Appointment/visit", cut(), True, OutcomeUnknown, 60),
        ("PUT Slot/a", outcome(429, "throttled"), False, OutcomeUnknown, 60),
        ("PUT Slot/a", cut(), False, OutcomeUnknown, 60),
        ("GET Slot/a", outcome(503, "transient"), False, OutcomeUnknown, 60),
    ],
)
def test_a_move_that_fails_stands_at_one_of_the_two_times_and_can_be_asked_for_again(
    line, answer, carried_out, kind, stands_at
):
    ehr = booked()
    ehr.trip = trip(line, answer, carried_out=carried_out, times=3 if line.startswith("GET") else 1)
    with gateway(ehr) as opened:
        with pytest.raises(EhrFailure) as caught:
            opened.move_appointment(move("Appointment/visit", 60))
        assert type(caught.value) is kind
        assert (ehr.records["Appointment/visit"]["status"], ehr.records["Appointment/visit"]["start"]) == (
            "booked",
            at(stands_at),
        )
        held = "a" if stands_at == 0 else "c"
        assert statuses(ehr)[held] == ("busy", OURS)
        if kind in (EhrRejected, EhrUnavailable):
            assert statuses(ehr)["c"] == FREE
        opened.move_appointment(move("Appointment/visit", 60))
    assert ehr.plain("Appointment/visit") == appointment("c", start=60)
    assert statuses(ehr) == {"a": FREE, "b": FREE, "c": ("busy", OURS)}


def says_conditional(**more: Any) -> Any:
    found = statement(**more)
    for node in found["rest"][0]["resource"]:
        node["conditionalCreate"] = True
    return found


@pytest.mark.parametrize(
    ("says", "condition"),
    [
        (statement(), None),
        (says_conditional(without=("Appointment?identifier",)), None),
        (says_conditional(), f"identifier=urn:self-scheduling-portal:booking|{BOOKING_ID}"),
    ],
)
def test_where_the_server_takes_a_condition_there_must_be_no_such_visit_yet(says, condition):
    ehr = clinic(says=says)
    with gateway(ehr) as opened:
        opened.create_appointment(request())
    (post,) = (one for one in ehr.sent if one.method == "POST")
    assert post.headers.get("if-none-exist") == condition


def test_a_conditional_create_that_finds_several_is_for_a_look_up_to_settle():
    ehr = clinic(says=says_conditional())
    ehr.trip = trip("POST Appointment", outcome(412, "multiple-matches"))
    with gateway(ehr) as opened, pytest.raises(OutcomeUnknown):
        opened.create_appointment(request())
    assert statuses(ehr)["a"] == ("busy", OURS)


class TakesSlotsItself(LittleEhr):
    """Refuses an Appointment whose Slots are not free, and turns and frees them itself."""

    def answer(self, asked: httpx.Request) -> httpx.Response:
        path = asked.url.path.removeprefix("/fhir/")
        if asked.method not in ("POST", "PUT") or not path.startswith("Appointment"):
            return super().answer(asked)
        had = [each["reference"] for each in self.records.get(path, {}).get("slot", [])]
        body = json.loads(asked.content)
        has = [] if body["status"] == "cancelled" else [each["reference"] for each in body["slot"]]
        if any(self.records[ref]["status"] != "free" for ref in has if ref not in had):
            return outcome(409, "conflict")
        answer = super().answer(asked)
        if answer.is_success:
            for ref in {*had, *has}:
                self.put({**self.plain(ref), "status": "busy" if ref in has else "free"})
        return answer


def test_a_visit_moves_on_a_server_that_takes_the_slots_itself():
    ehr = TakesSlotsItself(schedule(), slot("a", 0), slot("b", 30), slot("c", 60, status="busy"))
    with gateway(ehr) as opened:
        ref = opened.create_appointment(request())
        assert opened.can_move()
        for _ in range(2):
            opened.move_appointment(move(ref, 30))
            assert statuses(ehr) == {"a": FREE, "b": ("busy", []), "c": ("busy", [])}
        with pytest.raises(TimeTaken):
            opened.move_appointment(move(ref, 60))
        opened.cancel_appointment(ref)
    assert statuses(ehr) == {"a": FREE, "b": FREE, "c": ("busy", [])}


def test_a_move_learns_that_a_server_takes_the_slots_itself():
    ehr = TakesSlotsItself(
        schedule(), slot("a", 0, status="busy"), slot("b", 30), slot("c", 60), appointment("a")
    )
    with gateway(ehr) as opened:
        opened.move_appointment(move("Appointment/visit", 30))
        assert not opened.capabilities.holds
        opened.move_appointment(move("Appointment/visit", 60))
    assert statuses(ehr) == {"a": FREE, "b": FREE, "c": ("busy", [])}


def test_a_move_that_others_changes_kept_from_is_not_taken_for_that():
    ehr = booked()

    def contended(asked: httpx.Request, go_on: Callable[[httpx.Request], httpx.Response]) -> httpx.Response:
        if asked.method == "PUT" and asked.url.path.endswith("Appointment/visit"):
            ehr.put({**ehr.plain("Appointment/visit"), "comment": f"note {len(ehr.sent)}"})
            return outcome(409, "conflict")
        return go_on(asked)

    ehr.trip = contended
    with gateway(ehr) as opened:
        with pytest.raises(EhrRejected):
            opened.move_appointment(move("Appointment/visit", 60))
        assert opened.capabilities.holds
    assert statuses(ehr) == {"a": ("busy", OURS), "b": FREE, "c": FREE}
    assert ehr.records["Appointment/visit"]["start"] == at(0)
