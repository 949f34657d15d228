"""A sandbox served over real HTTP from a thread of the test process, with a clock that tests set."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from booking.sandbox.app import create_app
from booking.sandbox.edge import Edge
from booking.sandbox.server import Server, address, listen

# A Wednesday, ten in the morning in Oakland and noon in Austin.
NOON = datetime(2026, 11, 18, 18, 0, tzinfo=UTC)
TODAY = date(2026, 11, 18)

CREDENTIALS = {
    "grant_type": "client_credentials",
    "client_id": "portal-demo",
    "client_secret": "portal-demo-secret",
}
OFFICE, TELEHEALTH = "308335008", "448337001"
SNOMED = "http://snomed.info/sct"


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **span: float) -> None:
        self.now += timedelta(**span)


@contextmanager
def serving(app: Edge) -> Iterator[str]:
    """Serves `app` on a free port until the block ends; gives its address."""
    listener = listen("127.0.0.1", 0)
    server = Server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield address(listener)
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()
        assert not thread.is_alive()


class Clinic:
    """A client of one running sandbox, with a token of its own, and shorthand for what tests ask often."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self.clock = clock
        self.http = httpx.Client(base_url=url, timeout=20, trust_env=False)
        self.authorize()

    def authorize(self) -> None:
        answer = self.http.post("/auth/token/", data=CREDENTIALS)
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.http.get(path, params=params)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.http.post(path, content=json.dumps(body), headers=_json_headers(headers))

    def put(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.http.put(path, content=json.dumps(body), headers=_json_headers(headers))

    def search(self, kind: str, **params: Any) -> list[dict[str, Any]]:
        answer = self.get(f"/{kind}", **params)
        assert answer.status_code == 200, answer.text
        return [entry["resource"] for entry in answer.json().get("entry", [])]

    def switch(self, **wanted: Any) -> None:
        assert self.put("/_control/switches", wanted).status_code == 200

    def fault(self, kind: str, **rest: Any) -> None:
        body = {"method": "POST", "type": "Appointment", "kind": kind, "times": 1, **rest}
        assert self.post("/_control/faults", body).status_code == 200

    def log(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/_control/log").json()["entries"]
        return found

    def staff(self, name: str) -> str:
        """The id of the one practitioner whose name holds `name`."""
        (found,) = self.search("Practitioner", name=name)
        return str(found["id"])

    def patient(self, family: str) -> str:
        return str(self.search("Patient", family=family)[0]["id"])

    def place(self, city: str) -> str:
        (found,) = [each["id"] for each in self.search("Location") if each["alias"] == [city]]
        return str(found)

    def slots(self, name: str, city: str, **params: Any) -> list[tuple[str, str]]:
        key = {"Oakland": 1, "Austin": 2}[city]
        found = self.search("Slot", schedule=f"Location.{key}-Staff.{self.staff(name)}", **params)
        return [(slot["start"], slot["end"]) for slot in found]

    def visit(self, **changes: Any) -> dict[str, Any]:
        """A body that Canvas accepts; a change of None leaves the field out."""
        body = {
            "resourceType": "Appointment",
            "status": "booked",
            "appointmentType": {"coding": [{"system": SNOMED, "code": OFFICE}]},
            "reasonCode": [{"coding": [{"code": "PHYS"}], "text": "Before starting a new job"}],
            "supportingInformation": [{"reference": f"Location/{self.place('Oakland')}"}],
            "start": "2026-11-24T17:00:00Z",
            "end": "2026-11-24T17:40:00Z",
            "participant": [
                {"actor": {"reference": f"Practitioner/{self.staff('Okonkwo')}"}, "status": "accepted"},
                {"actor": {"reference": f"Patient/{self.patient('Delgado')}"}, "status": "accepted"},
            ],
            **changes,
        }
        return {name: value for name, value in body.items() if value is not None}

    def book(self, **changes: Any) -> str:
        answer = self.post("/Appointment", self.visit(**changes))
        assert answer.status_code == 201, answer.text
        return made(answer)

    def read(self, kind: str, id_: str) -> dict[str, Any]:
        answer = self.get(f"/{kind}/{id_}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def _json_headers(headers: dict[str, str]) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {"Content-Type": "application/json", **named}


def made(answer: httpx.Response) -> str:
    """The id in a create's Location header."""
    return answer.headers["Location"].rstrip("/").split("/_history/")[0].rsplit("/", 1)[1]


def issue(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, issue code and text of an OperationOutcome with one issue."""
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    (only,) = outcome["issue"]
    assert only["severity"] == "error"
    return answer.status_code, only["code"], only["details"]["text"]


@contextmanager
def running(database: Path, **options: Any) -> Iterator[Clinic]:
    clock = Clock()
    app = create_app(database, clock=clock, **options)
    with serving(app) as url:
        clinic = Clinic(url, clock)
        try:
            yield clinic
        finally:
            clinic.http.close()
    app.ehr.store.close()
