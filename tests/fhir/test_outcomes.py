"""Each status and each kind of failure, for reads and for creates: what may be done next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import httpx
import pytest

from booking.fhir.outcomes import TooLarge
from booking.scheduling.errors import (
    Changed,
    EhrFailure,
    EhrRejected,
    EhrUnavailable,
    NotFound,
    OutcomeUnknown,
    TimeTaken,
)

from . import documents
from .documents import ANA_NORTH, APPOINTMENT_ID, outcome
from .stand_in import StandIn, StoppedClock, gateway

HTML = "<html><body>Sorry</body></html>"
NO_LONGER = "This appointment time is no longer available."


def answer(status: int, body: object = None, **headers: str) -> httpx.Response:
    if isinstance(body, str | bytes):
        return httpx.Response(status, content=body, headers={"Content-Type": "text/html"} | headers)
    return httpx.Response(status, json=outcome("x-code", "words") if body is None else body, headers=headers)


def read_failure(*answers: httpx.Response | Exception, **config: object) -> tuple[EhrFailure, StandIn]:
    ehr = StandIn({"GET Slot": list(answers)})
    with gateway(ehr, **config) as opened, pytest.raises(EhrFailure) as caught:
        opened.free_slots(ANA_NORTH, first_on=date(2026, 12, 1), last_on=date(2026, 12, 1), minutes=30)
    return caught.value, ehr


def create_failure(made: httpx.Response | Exception) -> tuple[EhrFailure, StandIn]:
    ehr = StandIn({"POST Appointment": made})
    with gateway(ehr) as opened, pytest.raises(EhrFailure) as caught:
        opened.create_appointment(documents.request())
    return caught.value, ehr


@pytest.mark.parametrize(
    ("given", "kind", "tries"),
    [
        (answer(301, "", Location="/elsewhere"), EhrRejected, 1),
        (answer(302, HTML, Location="https://login.example/"), EhrRejected, 1),
        (answer(400), EhrRejected, 1),
        (answer(401), EhrUnavailable, 2),
        (answer(403), EhrRejected, 1),
        (answer(403, HTML), EhrUnavailable, 1),
        (answer(404), NotFound, 1),
        (answer(404, HTML), EhrRejected, 1),
        (answer(405), EhrRejected, 1),
        (answer(408), EhrUnavailable, 3),
        (answer(410), NotFound, 1),
        (answer(422), EhrRejected, 1),
        (answer(429), EhrUnavailable, 3),
        (answer(500), EhrUnavailable, 3),
        (answer(502, HTML), EhrUnavailable, 3),
        (answer(503, HTML), EhrUnavailable, 3),
        (answer(504, HTML), EhrUnavailable, 3),
        (answer(200, HTML), EhrUnavailable, 3),
        (answer(200, ""), EhrUnavailable, 3),
        (answer(200, '{"resourceType":"Bundle","entry":['), EhrUnavailable, 3),
        (answer(200, '{"resourceType":"Bundle","total":NaN}'), EhrUnavailable, 3),
        (answer(200, '{"a":' * 100_000 + "1" + "}" * 100_000), EhrUnavailable, 3),
        (answer(200, '{"total":' + "9" * 5_000 + "}"), EhrUnavailable, 3),
        (answer(200, b"\xff\xfe\x00{"), EhrUnavailable, 3),
        (answer(200, "[]"), EhrUnavailable, 3),
        (answer(200, {"resourceType": "Slot"}), EhrRejected, 1),
        (answer(200, {"resourceType": "Bundle", "entry": {}}), EhrRejected, 1),
        (answer(200, {"resourceType": "Bundle", "entry": [None, 7]}), EhrRejected, 1),
        (answer(200, outcome("exception", "sorry")), EhrRejected, 1),
        (httpx.ConnectError("x"), EhrUnavailable, 3),
        (httpx.ConnectTimeout("x"), EhrUnavailable, 3),
        (httpx.PoolTimeout("x"), EhrUnavailable, 3),
        (httpx.ReadTimeout("x"), EhrUnavailable, 3),
        (httpx.ReadError("x"), EhrUnavailable, 3),
        (httpx.WriteError("x"), EhrUnavailable, 3),
        (httpx.RemoteProtocolError("x"), EhrUnavailable, 3),
    ],
)
def test_a_read(given, kind, tries):
    failure, ehr = read_failure(given)
    assert (type(failure), len(ehr.requests)) == (kind, tries)


@pytest.mark.parametrize(
    ("given", "kind", "sendings"),
    [
        (answer(301, "", Location="/elsewhere"), EhrRejected, 1),
        (answer(303, "", Location="/elsewhere"), OutcomeUnknown, 1),
        (answer(307, "", Location="/elsewhere"), EhrRejected, 1),
        (answer(400), EhrRejected, 1),
        (answer(401), EhrUnavailable, 2),
        (answer(403), EhrRejected, 1),
        (answer(403, HTML), EhrUnavailable, 1),
        (answer(404), NotFound, 1),
        (answer(404, HTML), EhrRejected, 1),
        (answer(405), EhrRejected, 1),
        (answer(408), OutcomeUnknown, 1),
        (answer(409), EhrRejected, 1),
        (answer(412), Changed, 1),
        (answer(422), EhrRejected, 1),
        (answer(422, HTML), EhrRejected, 1),
        (answer(422, outcome("business-rule", NO_LONGER)), TimeTaken, 1),
        (
            answer(422, outcome("business-rule", "  this appointment TIME is\n no longer available ")),
            TimeTaken,
            1,
        ),
        (answer(422, outcome("business-rule", "This appointment time is odd")), EhrRejected, 1),
        (answer(500, outcome("exception", NO_LONGER)), OutcomeUnknown, 1),
        (answer(429), EhrUnavailable, 1),
        (answer(500), OutcomeUnknown, 1),
        (answer(502, HTML), OutcomeUnknown, 1),
        (answer(503, HTML), OutcomeUnknown, 1),
        (answer(504, HTML), OutcomeUnknown, 1),
        (httpx.ConnectError("x"), EhrUnavailable, 1),
        (httpx.ConnectTimeout("x"), EhrUnavailable, 1),
        (httpx.PoolTimeout("x"), EhrUnavailable, 1),
        (httpx.ReadTimeout("x"), OutcomeUnknown, 1),
        (httpx.WriteTimeout("x"), OutcomeUnknown, 1),
        (httpx.ReadError("x"), OutcomeUnknown, 1),
        (httpx.WriteError("x"), OutcomeUnknown, 1),
        (httpx.RemoteProtocolError("x"), OutcomeUnknown, 1),
        (httpx.LocalProtocolError("x"), OutcomeUnknown, 1),
        (httpx.Response(201), OutcomeUnknown, 1),
        (httpx.Response(201, content=b"null"), OutcomeUnknown, 1),
        (httpx.Response(202), OutcomeUnknown, 1),
        (httpx.Response(204), OutcomeUnknown, 1),
        (httpx.Response(201, content=HTML), OutcomeUnknown, 1),
        (httpx.Response(201, headers={"Location": "/Appointment/"}), OutcomeUnknown, 1),
        (httpx.Response(201, headers={"Location": "/Patient/77"}), OutcomeUnknown, 1),
        (httpx.Response(201, headers={"Location": "/Appointment/a%20b"}), OutcomeUnknown, 1),
        (httpx.Response(201, json={"resourceType": "Appointment", "id": ""}), OutcomeUnknown, 1),
        (httpx.Response(201, json={"resourceType": "Appointment", "id": 7}), OutcomeUnknown, 1),
        (httpx.Response(201, json={"resourceType": "Patient", "id": "7"}), OutcomeUnknown, 1),
        (httpx.Response(201, json=["Appointment/7"]), OutcomeUnknown, 1),
    ],
)
def test_a_create_is_sent_once_and_says_what_is_known(given, kind, sendings):
    failure, ehr = create_failure(given)
    assert (type(failure), len(ehr.requests)) == (kind, sendings)


@pytest.mark.parametrize("body", [b"", b"null"])
@pytest.mark.parametrize(
    "place",
    [
        f"http://fumage-example.canvasmedical.com/Appointment/{APPOINTMENT_ID}/_history/1",
        f"https://fumage-example.canvasmedical.com/Appointment/{APPOINTMENT_ID}",
        f"/Appointment/{APPOINTMENT_ID}",
        f"/Appointment/{APPOINTMENT_ID}/",
        f"Appointment/{APPOINTMENT_ID}/_history/1",
    ],
)
def test_a_create_takes_the_id_from_either_form_of_location(place, body):
    ehr = StandIn({"POST Appointment": httpx.Response(201, content=body, headers={"Location": place})})
    with gateway(ehr) as opened:
        assert opened.create_appointment(documents.request()) == f"Appointment/{APPOINTMENT_ID}"


@pytest.mark.parametrize("status", [200, 201])
def test_a_create_takes_the_id_from_the_body_where_the_location_has_none(status):
    made = {"resourceType": "Appointment", "id": APPOINTMENT_ID}
    ehr = StandIn({"POST Appointment": httpx.Response(status, json=made, headers={"Location": "/"})})
    with gateway(ehr) as opened:
        assert opened.create_appointment(documents.request()) == f"Appointment/{APPOINTMENT_ID}"


def test_a_failure_carries_status_issue_code_and_correlation_id_but_not_the_ehrs_words():
    words = "Unknown Patient resource 'ee1c7803325b47b492008f3e7c9d7a3d'"
    failure, _ = create_failure(
        httpx.Response(404, json=outcome("not-found", words), headers={"fumage-correlation-id": "abc-123"})
    )
    assert (failure.status, failure.issue_code, failure.correlation_id) == (404, "not-found", "abc-123")
    assert str(failure) == "POST Appointment: the EHR has no such record (status 404, not-found)"


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        (
            "Appointment Type does not exist with code: 1 and system: INTERNAL",
            "the EHR does not know the appointment type",
        ),
        ("Note type: Lab is not scheduleable", "the EHR does not let this appointment type be scheduled"),
        (
            "structured reason for visit with code FUP30 does not exist",
            "the EHR does not know the reason for visit's code, or knows it twice",
        ),
    ],
)
def test_a_rejection_the_clinic_can_mend_says_what_to_mend(words, meaning):
    failure, _ = create_failure(answer(422, outcome("business-rule", words)))
    assert str(failure) == f"POST Appointment: {meaning} (status 422, business-rule)"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("999999999", 86_400.0), ("-1", None), ("nan", None), ("1e3", None), ("soon", None),
     ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("Thu, 01 Jan 2099 00:00:00 GMT", 86_400.0)],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_a_date(header, seconds):
    failure, _ = create_failure(answer(429, None, **{"Retry-After": header}))
    assert failure.retry_after_seconds == seconds


def slots_after(*answers: httpx.Response | Exception) -> tuple[StandIn, StoppedClock, object]:
    ehr, clock = StandIn({"GET Slot": list(answers)}), StoppedClock()
    with gateway(ehr, clock) as opened:
        found = opened.free_slots(
            ANA_NORTH, first_on=date(2026, 12, 1), last_on=date(2026, 12, 1), minutes=30
        )
    return ehr, clock, found


def test_a_read_is_tried_again_after_growing_pauses():
    ehr, clock, found = slots_after(
        answer(503, HTML), httpx.ReadTimeout("x"), answer(200, documents.bundle())
    )
    assert (found, len(ehr.requests), clock.slept) == ([], 3, [0.2, 0.4])


def test_a_read_waits_as_long_as_it_is_asked_to():
    _, clock, found = slots_after(answer(429, None, **{"Retry-After": "4"}), answer(200, documents.bundle()))
    assert (found, clock.slept) == ([], [4.0])


def test_a_read_does_not_wait_beyond_its_time():
    failure, ehr = read_failure(answer(429, None, **{"Retry-After": "10"}))
    assert (type(failure), failure.retry_after_seconds, len(ehr.requests)) == (EhrUnavailable, 10.0, 1)


def test_tries_and_pages_share_one_budget():
    clock = StoppedClock()

    def slow(request: httpx.Request) -> httpx.Response:
        clock.seconds += 4
        return answer(503, HTML)

    ehr = StandIn({"GET Slot": slow})
    with gateway(ehr, clock) as opened, pytest.raises(EhrUnavailable):
        opened.free_slots(ANA_NORTH, first_on=date(2026, 12, 1), last_on=date(2026, 12, 1), minutes=30)
    assert len(ehr.requests) == 3
    assert [request.extensions["timeout"]["read"] for request in ehr.requests] == pytest.approx(
        [8.0, 5.8, 1.4]
    )


def test_a_body_is_not_read_on_after_the_verbs_time_whatever_the_transport():
    clock = StoppedClock()

    def chunks() -> Iterator[bytes]:
        for _ in range(1_000):
            clock.seconds += 1
            yield b" "

    ehr = StandIn({"GET Slot": lambda _: httpx.Response(200, content=chunks())})
    with gateway(ehr, clock) as opened, pytest.raises(EhrUnavailable):
        opened.free_slots(ANA_NORTH, first_on=date(2026, 12, 1), last_on=date(2026, 12, 1), minutes=30)
    assert clock.seconds == 1_010


def test_a_body_over_the_limit_is_rejected():
    failure, ehr = read_failure(answer(200, " " * 2_000), max_body_bytes=1_999)
    assert (type(failure), len(ehr.requests)) == (TooLarge, 1)
    assert isinstance(failure, EhrRejected)


def test_a_create_with_little_time_left_is_not_begun():
    clock = StoppedClock()
    ehr = StandIn({"POST Appointment": httpx.Response(201, headers={"Location": "/Appointment/1"})})
    slow_token = httpx.Response(200, json={"access_token": "t", "token_type": "Bearer", "expires_in": 60})

    def passing_time(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/auth/token/":
            clock.seconds += 6
            return slow_token
        return ehr(request)

    with gateway(passing_time, clock) as opened, pytest.raises(EhrUnavailable):
        opened.create_appointment(documents.request())
    assert ehr.requests == []
