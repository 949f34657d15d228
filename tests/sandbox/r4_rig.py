"""A client of a sandbox with R4 or Medplum manners, served over real HTTP from a thread of the test process."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx

from booking.sandbox.app import create_sandbox

from .rig import CREDENTIALS, Clock, serving

SNOMED = "http://snomed.info/sct"
OFFICE, TELEHEALTH = "308335008", "448337001"
PATHS = {"medplum": ("/fhir/R4", "/oauth2/token"), "r4": ("/fhir", "/token")}
PLAN_NET = "http://hl7.org/fhir/us/davinci-pdex-plan-net/StructureDefinition/practitioner-qualification"
USPS = "https://www.usps.com/"
RACERS = 20

Json = dict[str, Any]


class Server:
    """`base` is the FHIR base as an absolute URL."""

    def __init__(self, url: str, manners: str, clock: Clock) -> None:
        path, self.token_path = PATHS[manners]
        self.manners = manners
        self.clock = clock
        self.url = url
        self.base = f"{url}{path}"
        self.http = httpx.Client(
            timeout=20,
            trust_env=False,
            limits=httpx.Limits(max_connections=RACERS, max_keepalive_connections=RACERS),
        )
        self.authorize()

    def authorize(self) -> None:
        self.http.headers.pop("Authorization", None)
        token = self.http.post(f"{self.url}{self.token_path}", data=CREDENTIALS).json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
        if content is not None:
            named.setdefault("Content-Type", "application/fhir+json")
        url = f"{self.base}/{path}" if path else self.base
        return self.http.request(method, url, content=content, headers=named)

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.http.get(f"{self.base}/{path}", params=params)

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.call("POST", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.call("PUT", path, body, **headers)

    def patch(self, path: str, steps: list[Json], **headers: str) -> httpx.Response:
        return self.call("PATCH", path, steps, Content_Type="application/json-patch+json", **headers)

    def search(self, kind: str, **params: Any) -> list[Json]:
        answer = self.get(kind, **{"_count": 1000, **params})
        assert answer.status_code == 200, answer.text
        return [entry["resource"] for entry in answer.json().get("entry", [])]

    def one(self, kind: str, **params: Any) -> Json:
        (found,) = self.search(kind, **params)
        return found

    def create(self, kind: str, **parts: Any) -> Json:
        answer = self.post(kind, {"resourceType": kind, **parts})
        assert answer.status_code == 201, answer.text
        made: Json = answer.json()
        return made

    def read(self, kind: str, id_: str) -> Json:
        answer = self.get(f"{kind}/{id_}")
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def control(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.http.request(method, f"{self.url}/_control/{path}", json=body)

    def switch(self, **wanted: Any) -> None:
        assert self.control("PUT", "switches", wanted).status_code == 200

    def fault(self, kind: str, **rest: Any) -> None:
        body = {"method": "POST", "type": "Appointment", "kind": kind, "times": 1, **rest}
        assert self.control("POST", "faults", body).status_code == 200

    def log(self) -> list[Json]:
        found: list[Json] = self.control("GET", "log").json()["entries"]
        return found

    def schedule(self, family: str, **params: Any) -> Json:
        """The first active Schedule of the one practitioner of that name."""
        person = self.one("Practitioner", family=family)
        return self.search("Schedule", actor=f"Practitioner/{person['id']}", active="true", **params)[0]

    def free_slots(self, family: str, **params: Any) -> list[Json]:
        schedule = f"Schedule/{self.schedule(family)['id']}"
        return self.search("Slot", schedule=schedule, status="free", _sort="start", **params)

    def visit(self, slot: Json, /, **changes: Any) -> Json:
        """An Appointment for a classic Slot; a change of None leaves the field out."""
        patient = self.one("Patient", family="Delgado")
        body = {
            "resourceType": "Appointment",
            "status": "booked",
            "slot": [{"reference": f"Slot/{slot['id']}"}],
            "start": slot["start"],
            "end": slot["end"],
            "participant": [{"actor": {"reference": f"Patient/{patient['id']}"}, "status": "accepted"}],
        }
        return {name: value for name, value in {**body, **changes}.items() if value is not None}


def issue(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, issue code and text of an OperationOutcome with one issue."""
    (only,) = answer.json()["issue"]
    assert only["severity"] == "error"
    return answer.status_code, only["code"], only["details"]["text"]


def at_once(work: Callable[[int], Any], number: int = RACERS) -> Counter[Any]:
    """What `number` callers get that start together, counted."""
    start = Barrier(number)

    def race(which: int) -> Any:
        start.wait()
        return work(which)

    with ThreadPoolExecutor(number) as pool:
        return Counter(pool.map(race, range(number)))


def ids(resources: Iterable[Json]) -> list[str]:
    return [each["id"] for each in resources]


@contextmanager
def running(database: Path, manners: str, **options: Any) -> Iterator[Server]:
    clock = Clock()
    app = create_sandbox(database, manners, clock=clock, control=True, **options)  # type: ignore[arg-type]
    with serving(app) as url:  # type: ignore[arg-type]
        server = Server(url, manners, clock)
        try:
            yield server
        finally:
            server.http.close()
    app.ehr.store.close()
