"""Faults on demand, over real connections."""

import time

import httpx
import pytest

from . import rig
from .rig import Clinic, issue

DROPPED = (httpx.ReadError, httpx.RemoteProtocolError)


def _bookings(clinic: Clinic, value: str) -> int:
    return len(clinic.search("Appointment", identifier=f"urn:portal|{value}"))


def _post(clinic: Clinic, value: str) -> httpx.Response:
    return clinic.post("/Appointment", clinic.visit(identifier=[{"system": "urn:portal", "value": value}]))


def test_a_reset_before_the_commit_leaves_nothing(clinic: Clinic) -> None:
    clinic.fault("reset-before-commit")
    with pytest.raises(DROPPED):
        _post(clinic, "1")
    assert _bookings(clinic, "1") == 0
    assert _post(clinic, "1").status_code == 201


def test_a_commit_may_go_unanswered(clinic: Clinic) -> None:
    clinic.fault("commit-then-no-answer")
    with pytest.raises(DROPPED):
        _post(clinic, "1")
    assert _bookings(clinic, "1") == 1


def test_a_commit_may_be_answered_by_an_error(clinic: Clinic) -> None:
    clinic.fault("commit-then-500")
    assert issue(_post(clinic, "1")) == (500, "exception", "Internal server error")
    assert _bookings(clinic, "1") == 1


def test_a_late_commit_outlives_its_client(clinic: Clinic) -> None:
    clinic.fault("commit-late", delay_seconds=3)
    body = clinic.visit(identifier=[{"system": "urn:portal", "value": "1"}])
    with pytest.raises(httpx.ReadTimeout):
        clinic.http.post("/Appointment", json=body, timeout=0.2)
    assert _bookings(clinic, "1") == 0
    deadline = time.monotonic() + 10
    while not _bookings(clinic, "1") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _bookings(clinic, "1") == 1


def test_slow_only_waits(clinic: Clinic) -> None:
    clinic.fault("slow", delay_seconds=0.3)
    body = clinic.visit()
    began = time.monotonic()
    assert clinic.post("/Appointment", body).status_code == 201
    assert 0.3 <= time.monotonic() - began < 2


def test_a_401_ends_the_token(clinic: Clinic) -> None:
    clinic.fault("401", method="GET", type="Location")
    refused = (401, "unknown", "Authentication failed")
    assert issue(clinic.get("/Location")) == refused
    assert issue(clinic.get("/Patient")) == refused
    clinic.authorize()
    assert clinic.get("/Location").status_code == 200


def test_the_time_may_go_just_before(clinic: Clinic) -> None:
    clinic.fault("422")
    assert issue(_post(clinic, "1")) == (
        422,
        "business-rule",
        "This appointment time is no longer available.",
    )
    assert _bookings(clinic, "1") == 0


@pytest.mark.parametrize(("kind", "status"), [("403-html", 403), ("429", 429), ("502", 502)])
def test_an_edge_answers_in_html(clinic: Clinic, kind: str, status: int) -> None:
    clinic.fault(kind)
    answer = _post(clinic, "1")
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert _bookings(clinic, "1") == 0


def test_too_many_requests_says_when_to_return(clinic: Clinic) -> None:
    clinic.fault("429", method="GET", type="Slot", delay_seconds=7)
    assert clinic.get("/Slot", schedule="any").headers["Retry-After"] == "7"


def test_a_500_does_nothing(clinic: Clinic) -> None:
    clinic.fault("500")
    assert issue(_post(clinic, "1")) == (500, "exception", "Internal server error")
    assert _bookings(clinic, "1") == 0


def test_the_token_endpoint_can_fail_too(clinic: Clinic) -> None:
    clinic.fault("500", type="auth")
    assert clinic.http.post("/auth/token/", data=rig.CREDENTIALS).status_code == 500
    assert clinic.http.post("/auth/token/", data=rig.CREDENTIALS).status_code == 200


def test_faults_wear_out_by_method_and_type(clinic: Clinic) -> None:
    clinic.fault("500", method="GET", type="Location", times=2)
    assert clinic.get("/Patient").status_code == 200
    assert [clinic.get("/Location").status_code for _ in range(4)] == [500, 500, 200, 200]


def test_a_fault_without_a_limit_stays_until_removed(clinic: Clinic) -> None:
    clinic.fault("500", method=None, type=None, times=None)
    assert [clinic.get(f"/{kind}").status_code for kind in ("Location", "Patient", "Slot")] == [500] * 3
    assert clinic.http.delete("/_control/faults").json() == {"faults": []}
    assert clinic.get("/Location").status_code == 200


def test_chance(clinic: Clinic) -> None:
    clinic.fault("500", method="GET", type="Location", times=None, probability=0)
    assert clinic.get("/Location").status_code == 200
    clinic.fault("502", method="GET", type="Location", times=None, probability=1)
    assert clinic.get("/Location").status_code == 502


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"kind": "explode"}, "kind is one of: slow, 401, "),
        ({"kind": "500", "times": 0}, "times is a whole number above 0, or null for every time."),
        ({"kind": "500", "delay_seconds": -1}, "delay_seconds is a number, 0 or more."),
        ({"kind": "500", "probability": 2}, "probability is a number from 0 to 1."),
        ({"kind": "500", "when": "now"}, "A fault has no 'when'."),
        ([], "The body is a JSON object."),
    ],
)
def test_a_bad_fault_is_explained(clinic: Clinic, body: object, sentence: str) -> None:
    answer = clinic.post("/_control/faults", body)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(sentence)
