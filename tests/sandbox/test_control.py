"""The control address: switches, the log, counts, and what staff do."""

from typing import Any

import pytest

from .rig import Clinic

DEFAULTS = {
    "allow_double_booking": True,
    "structured_reason_for_visit": True,
    "null_body": False,
    "relative_location_header": False,
    "unknown_schedule": "empty",
    "cancelled_frozen": True,
    "search_lag_seconds": 0.0,
}


def _links(appointment: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (each["reference"], each["display"])
        for each in appointment["supportingInformation"]
        if each["type"] == "Appointment"
    ]


def test_switches(clinic: Clinic) -> None:
    assert clinic.get("/_control/switches").json() == DEFAULTS
    changed = clinic.put("/_control/switches", {"null_body": True, "search_lag_seconds": 3})
    assert changed.json() == {**DEFAULTS, "null_body": True, "search_lag_seconds": 3.0}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"null_body": True, "nul_body": True}, "There is no switch named 'nul_body'."),
        ({"null_body": "yes"}, "null_body is true or false."),
        ({"unknown_schedule": "400"}, "unknown_schedule is 'empty' or '404'."),
        ({"search_lag_seconds": -1}, "search_lag_seconds is a number of seconds, 0 or more."),
    ],
)
def test_a_bad_switch_changes_nothing(clinic: Clinic, body: dict[str, Any], sentence: str) -> None:
    answer = clinic.put("/_control/switches", body)
    assert (answer.status_code, answer.json()) == (400, {"error": sentence})
    assert clinic.get("/_control/switches").json() == DEFAULTS


def test_a_reset_starts_over(clinic: Clinic) -> None:
    token = clinic.http.headers["Authorization"]
    before = clinic.get("/Appointment").json()
    clinic.book()
    clinic.switch(null_body=True)
    clinic.fault("500")
    assert clinic.http.post("/_control/reset").status_code == 200
    assert clinic.get("/Appointment").json() == before
    assert clinic.get("/_control/switches").json() == DEFAULTS
    assert clinic.get("/_control/faults").json() == {"faults": []}
    assert clinic.log() == []
    assert clinic.http.headers["Authorization"] == token


def test_the_log_has_every_accepted_write(clinic: Clinic) -> None:
    id_ = clinic.book(identifier=[{"system": "urn:portal", "value": "b-1"}])
    created = clinic.read("Appointment", id_)
    assert clinic.post("/Appointment", clinic.visit(status="waitlist")).status_code == 422
    clinic.clock.advance(seconds=1)
    clinic.put(f"/Appointment/{id_}", {**created, "status": "cancelled"})
    assert clinic.log() == [
        {
            "seq": 1,
            "at": "2026-11-18T18:00:00+00:00",
            "method": "POST",
            "type": "Appointment",
            "id": id_,
            "client": "portal-demo",
            "identifier": ["urn:portal|b-1"],
            "resource": created,
        },
        {
            "seq": 2,
            "at": "2026-11-18T18:00:01+00:00",
            "method": "PUT",
            "type": "Appointment",
            "id": id_,
            "client": "portal-demo",
            "identifier": ["urn:portal|b-1"],
            "resource": {**created, "status": "cancelled"},
        },
    ]
    assert [each["seq"] for each in clinic.get("/_control/log", after=1).json()["entries"]] == [2]


def test_calls_are_counted_since_the_reset(clinic: Clinic) -> None:
    clinic.http.post("/_control/reset")
    clinic.get("/Location")
    clinic.get("/Location/none")
    clinic.post("/Appointment", {})
    clinic.get("/healthz")
    assert clinic.get("/_control/calls").json() == {
        "calls": [
            {"method": "GET", "type": "Location", "count": 2},
            {"method": "POST", "type": "Appointment", "count": 1},
        ],
        "total": 3,
        "most_at_once": 1,
    }


def test_staff_cancel(clinic: Clinic) -> None:
    id_ = clinic.book(status="arrived")
    assert clinic.http.post(f"/_control/staff/cancel/{id_}").json() == {"id": id_}
    assert clinic.read("Appointment", id_)["status"] == "cancelled"
    assert clinic.log()[-1]["client"] == "staff"


def test_staff_reschedule_by_a_linked_pair(clinic: Clinic) -> None:
    old = clinic.book(identifier=[{"system": "urn:portal", "value": "b-1"}])
    wanted = {"start": "2026-11-30T10:00:00-08:00", "end": "2026-11-30T10:40:00-08:00"}
    answer = clinic.post(f"/_control/staff/reschedule/{old}", wanted)
    new = answer.json()["id"]
    before, after = clinic.read("Appointment", old), clinic.read("Appointment", new)
    assert (answer.status_code, before["status"], after["status"]) == (201, "cancelled", "booked")
    assert _links(before) == [(f"Appointment/{new}", "Rescheduled Replacement Appointment")]
    assert _links(after) == [(f"Appointment/{old}", "Previously Rescheduled Appointment")]
    assert (after["start"], after["reasonCode"], after["participant"]) == (
        "2026-11-30T18:00:00+00:00",
        before["reasonCode"],
        before["participant"],
    )
    assert "identifier" not in after
    assert after["extension"] != before["extension"]


def test_staff_take_a_time(clinic: Clinic) -> None:
    day = {"start": "2026-11-24", "end": "2026-11-24"}
    free = clinic.slots("Okonkwo", "Oakland", **day)
    start, end = free[0]
    answer = clinic.post(
        "/_control/staff/book", {"practitioner": clinic.staff("Okonkwo"), "start": start, "end": end}
    )
    assert answer.status_code == 201
    assert (start, end) not in clinic.slots("Okonkwo", "Oakland", **day)
    assert len(clinic.read("Appointment", answer.json()["id"])["participant"]) == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("staff/cancel/none", {}, 404),
        ("staff/reschedule/none", {"start": "2026-11-30T10:00Z", "end": "2026-11-30T11:00Z"}, 404),
        ("staff/reschedule/none", {"start": "2026-11-30T10:00", "end": "2026-11-30T11:00"}, 400),
        ("staff/reschedule/none", {}, 400),
        ("staff/book", {"practitioner": "x", "start": "2026-11-30T10:00Z", "end": "2026-11-30T11:00Z"}, 400),
        ("nothing", {}, 404),
    ],
)
def test_staff_mistakes(clinic: Clinic, path: str, body: dict[str, str], status: int) -> None:
    answer = clinic.post(f"/_control/{path}", body)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
