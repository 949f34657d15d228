"""The control address in these manners: faults, counts, the log, a reset, and what staff do."""

import httpx
import pytest

from . import r4_rig
from .r4_rig import Json, Server, issue


def test_a_reset_restores_what_was_touched_and_forgets_what_was_made(server: Server) -> None:
    slot = server.free_slots("Okonkwo", start="ge2026-11-24")[0]
    visits = server.search("Appointment")
    made = server.create("Appointment", **server.visit(slot))
    assert server.put(f"Slot/{slot['id']}", {**slot, "status": "busy"}).status_code == 200
    server.fault("500")
    assert server.control("POST", "reset").json() == {"status": "ok"}
    assert server.read("Slot", slot["id"]) == slot
    assert server.search("Appointment") == visits
    assert server.get(f"Appointment/{made['id']}").status_code == 404
    assert server.free_slots("Okonkwo", start="ge2026-11-24")[0] == slot
    assert (server.log(), server.control("GET", "faults").json()) == ([], {"faults": []})


def test_a_reset_on_another_day_moves_the_clinic_to_it(server: Server) -> None:
    before = server.search("Schedule", active="true")
    server.clock.advance(days=3)
    server.control("POST", "reset")
    server.authorize()
    starts = [each["start"] for each in server.search("Slot", _sort="start", _count=1)]
    assert starts[0].startswith("2026-11-21")
    assert [each["id"] for each in server.search("Schedule", active="true")] == [
        each["id"] for each in before
    ]


def test_calls_are_counted_by_method_and_type(server: Server) -> None:
    server.control("POST", "reset")
    server.get("Location")
    server.get("Location/none")
    server.post("Appointment/$book", {})
    server.authorize()
    assert server.control("GET", "calls").json() == {
        "calls": [
            {"method": "GET", "type": "Location", "count": 2},
            {"method": "POST", "type": "Appointment", "count": 1},
            {"method": "POST", "type": "auth", "count": 1},
        ],
        "total": 4,
        "most_at_once": 1,
    }


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [("500", 500, "exception"), ("422", 422, "business-rule"), ("429", 429, "throttled")],
)
def test_a_fault_with_an_outcome(server: Server, kind: str, status: int, code: str) -> None:
    server.fault(kind, method="GET", type="Location")
    assert issue(server.get("Location"))[:2] == (status, code)
    assert server.get("Location").status_code == 200


def test_too_many_requests_say_when_to_come_back(plain: Server, medplum: Server) -> None:
    for server in (plain, medplum):
        server.fault("429", method="GET", type="Location", delay_seconds=7)
    assert plain.get("Location").headers["Retry-After"] == "7"
    answer = medplum.get("Location")
    assert "retry-after" not in answer.headers
    assert answer.headers["RateLimit"] == '"requests";r=59000;t=7, "fhirInteractions";r=0;t=7'


def test_a_commit_without_an_answer(server: Server) -> None:
    slot = server.free_slots("Okonkwo", start="ge2026-11-24")[0]
    named = [{"system": "urn:portal", "value": "b-1"}]
    server.fault("commit-then-no-answer")
    with pytest.raises(httpx.TransportError):
        server.post("Appointment", server.visit(slot, identifier=named))
    assert len(server.search("Appointment", identifier="urn:portal|b-1")) == 1


def test_an_operation_counts_as_an_appointment(medplum: Server) -> None:
    medplum.fault("reset-before-commit")
    with pytest.raises(httpx.TransportError):
        medplum.post("Appointment/$book", {})
    assert medplum.log() == []


def test_a_fault_at_the_token_endpoint(server: Server) -> None:
    server.fault("502", type="auth")
    form = r4_rig.CREDENTIALS
    assert server.http.post(f"{server.url}{server.token_path}", data=form).status_code == 502
    assert server.http.post(f"{server.url}{server.token_path}", data=form).status_code == 200


def test_a_token_taken_away(server: Server) -> None:
    server.fault("401", method="GET", type="Location")
    assert issue(server.get("Location")) == (401, "login", "Unauthorized")
    assert server.get("Location").status_code == 401
    server.authorize()
    assert server.get("Location").status_code == 200


def _book(server: Server, family: str, start: str, end: str) -> str:
    person = server.one("Practitioner", family=family)["id"]
    answer = server.control("POST", "staff/book", {"practitioner": person, "start": start, "end": end})
    assert answer.status_code == 201
    return str(answer.json()["id"])


def _slots(server: Server, appointment: str) -> list[Json]:
    references = server.read("Appointment", appointment)["slot"]
    return [server.read("Slot", each["reference"].removeprefix("Slot/")) for each in references]


def test_staff_take_move_and_give_back_a_classic_time(server: Server) -> None:
    first, second = server.free_slots("Okonkwo", start="ge2026-11-24")[0:6:5]
    id_ = _book(server, "Okonkwo", first["start"], first["end"])
    assert [(slot["id"], slot["status"]) for slot in _slots(server, id_)] == [(first["id"], "busy")]
    span = {"start": second["start"], "end": second["end"]}
    assert server.control("POST", f"staff/reschedule/{id_}", span).json() == {"id": id_}
    assert server.read("Appointment", id_)["start"] == second["start"]
    assert server.read("Slot", first["id"])["status"] == "free"
    assert server.read("Slot", second["id"])["status"] == "busy"
    assert server.control("POST", f"staff/cancel/{id_}").json() == {"id": id_}
    assert server.read("Slot", second["id"])["status"] == "free"
    assert {entry["client"] for entry in server.log()} == {"staff"}


def test_staff_take_move_and_give_back_an_operations_time(medplum: Server) -> None:
    start, end = "2026-11-24T18:00:00.000Z", "2026-11-24T18:30:00.000Z"
    id_ = _book(medplum, "Goldberg", start, end)
    (slot,) = _slots(medplum, id_)
    assert (slot["status"], slot["start"], slot["end"]) == ("busy", start, end)
    later = {"start": "2026-11-24T19:00:00.000Z", "end": "2026-11-24T19:30:00.000Z"}
    medplum.control("POST", f"staff/reschedule/{id_}", later)
    (moved,) = _slots(medplum, id_)
    assert (moved["start"], medplum.get(f"Slot/{slot['id']}").status_code) == (later["start"], 410)
    medplum.control("POST", f"staff/cancel/{id_}")
    assert medplum.get(f"Slot/{moved['id']}").status_code == 410


def test_staff_and_a_client_on_the_same_time(plain: Server) -> None:
    """Staff may double-book; giving back one of the two visits leaves the Slot with the other."""
    slot = plain.free_slots("Okonkwo", start="ge2026-11-24")[0]
    plain.create("Appointment", **plain.visit(slot))
    id_ = _book(plain, "Okonkwo", slot["start"], slot["end"])
    plain.control("POST", f"staff/cancel/{id_}")
    assert plain.read("Slot", slot["id"])["status"] == "busy"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("staff/cancel/none", {}, 404),
        ("staff/reschedule/none", {"start": "2026-11-30T10:00Z", "end": "2026-11-30T11:00Z"}, 404),
        ("staff/book", {"practitioner": "x", "start": "2026-11-30T10:00Z", "end": "2026-11-30T11:00Z"}, 400),
    ],
)
def test_staff_mistakes(server: Server, path: str, body: dict[str, str], status: int) -> None:
    answer = server.control("POST", path, body)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
