"""A plain R4 server behind httpx's mock transport, small enough to be seen through, that tests can trip up."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import httpx

from booking.fhir import EhrConfig, open_gateway
from booking.scheduling.gateway import SchedulingGateway

from .stand_in import StoppedClock

Json = dict[str, Any]
Trip = Callable[[httpx.Request, Callable[[httpx.Request], httpx.Response]], httpx.Response]

BASE = "https://ehr.example/fhir"


def statement(
    *, without: tuple[str, ...] = (), versioning: str = "versioned-update", includes: tuple[str, ...] = ()
) -> Json:
    """A CapabilityStatement; ``without`` takes out what is named like ``Slot.update`` or ``Appointment?identifier``."""
    kinds = {
        "Appointment": ("identifier", "patient", "practitioner", "date", "slot", "status"),
        "Patient": ("identifier", "birthdate", "family", "given", "active"),
        "Slot": ("identifier", "schedule", "start", "status"),
        "Schedule": ("actor", "identifier"),
        "Practitioner": ("identifier",),
        "PractitionerRole": ("practitioner",),
        "Location": (),
    }
    return {
        "resourceType": "CapabilityStatement",
        "fhirVersion": "4.0.1",
        "software": {"name": "Little"},
        "rest": [
            {
                "mode": "server",
                "resource": [
                    {
                        "type": kind,
                        "versioning": versioning,
                        "interaction": [
                            {"code": code}
                            for code in ("read", "search-type", "create", "update")
                            if f"{kind}.{code}" not in without
                        ],
                        "searchParam": [{"name": name} for name in names if f"{kind}?{name}" not in without],
                        "searchInclude": [each for each in includes if each.startswith(f"{kind}:")],
                    }
                    for kind, names in kinds.items()
                ],
            }
        ],
    }


class LittleEhr:
    """``sent`` has every request but for tokens and metadata. ``trip`` stands between a request and its answer."""

    def __init__(self, *resources: Json, says: Json | None = None) -> None:
        self.says = says or statement()
        self.records: dict[str, Json] = {}
        self.sent: list[httpx.Request] = []
        self.trip: Trip | None = None
        self.metadata_answers: list[httpx.Response] = []
        self.metadata_reads = 0
        self.honors_includes = True
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()
        for resource in resources:
            self.put(resource)

    def put(self, resource: Json) -> Json:
        ref = f"{resource['resourceType']}/{resource['id']}"
        self.records[ref] = {**resource, "meta": {"versionId": str(next(self._numbers))}}
        return self.records[ref]

    def plain(self, ref: str) -> Json:
        """Without its version."""
        return {key: value for key, value in self.records[ref].items() if key != "meta"}

    def all(self, kind: str) -> list[Json]:
        return [found for ref, found in self.records.items() if ref.startswith(f"{kind}/")]

    @property
    def lines(self) -> list[str]:
        return [f"{one.method} {one.url.path.removeprefix('/fhir/')}" for one in self.sent]

    def bodies(self, line: str) -> list[Any]:
        return [
            json.loads(one.content) for one, said in zip(self.sent, self.lines, strict=True) if said == line
        ]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "t", "token_type": "Bearer", "expires_in": 3600})
        if request.url.path.endswith("/metadata"):
            self.metadata_reads += 1
            return (
                self.metadata_answers.pop(0) if self.metadata_answers else httpx.Response(200, json=self.says)
            )
        with self._lock:
            self.sent.append(request)
        return self.trip(request, self.answer) if self.trip else self.answer(request)

    def answer(self, request: httpx.Request) -> httpx.Response:
        kind, *rest = request.url.path.removeprefix("/fhir/").split("/")
        with self._lock:
            if request.method == "GET" and not rest:
                return self._search(kind, request.url.params.multi_items())
            if request.method == "POST":
                made = self.put(
                    {**json.loads(request.content), "id": f"{kind.lower()}-{next(self._numbers)}"}
                )
                return httpx.Response(201, json=made, headers={"Location": f"{BASE}/{kind}/{made['id']}"})
            ref = "/".join([kind, *rest])
            if ref not in self.records:
                return outcome(404, "not-found")
            found = self.records[ref]
            tag = f'W/"{found["meta"]["versionId"]}"'
            if request.method == "GET":
                return httpx.Response(200, json=found, headers={"ETag": tag})
            if request.headers.get("if-match", tag) != tag:
                return outcome(412, "conflict")
            made = self.put(json.loads(request.content))
            return httpx.Response(200, json=made)

    def _search(self, kind: str, params: list[tuple[str, str]]) -> httpx.Response:
        found = [one for one in self.all(kind) if all(_fits(one, name, value) for name, value in params)]
        if ("_include", "Schedule:actor") in params and self.honors_includes:
            refs = {actor["reference"] for one in found for actor in one["actor"]}
            found += [self.records[ref] for ref in sorted(refs & self.records.keys())]
        entries = [{"resource": one} for one in found]
        return httpx.Response(200, json={"resourceType": "Bundle", "type": "searchset", "entry": entries})


def outcome(status: int, code: str) -> httpx.Response:
    issue = {"severity": "error", "code": code, "details": {"text": f"no: {code}"}}
    return httpx.Response(status, json={"resourceType": "OperationOutcome", "issue": [issue]})


def _fits(one: Json, name: str, value: str) -> bool:
    if name.startswith("_") and name != "_id":
        return True
    match name:
        case "_id":
            return one["id"] in value.split(",")
        case "identifier":
            wanted = value.split(",")
            return any(f"{each['system']}|{each['value']}" in wanted for each in one.get("identifier", []))
        case "schedule":
            return one["schedule"]["reference"] in value.split(",")
        case "start" | "date":
            prefix, instant = (value[:2], value[2:]) if value[:2] in ("ge", "lt") else ("eq", value)
            at, limit = datetime.fromisoformat(one["start"]), datetime.fromisoformat(instant)
            return {"ge": at >= limit, "lt": at < limit, "eq": at == limit}[prefix]
        case "practitioner" | "patient" if one["resourceType"] == "Appointment":
            return any(each["actor"]["reference"] == value for each in one["participant"])
        case "practitioner":
            return one["practitioner"]["reference"] in value.split(",")
    raise AssertionError(f"a search by {name}")


@contextlib.contextmanager
def gateway(
    ehr: Callable[[httpx.Request], httpx.Response], clock: StoppedClock | None = None, **more: Any
) -> Iterator[SchedulingGateway]:
    usual: dict[str, Any] = {
        "dialect": "r4",
        "base_url": BASE,
        "token_url": "https://ehr.example/token",
        "client_id": "portal",
        "client_secret": "very-secret",
    }
    transport = httpx.MockTransport(ehr)
    with contextlib.closing(
        open_gateway(EhrConfig(**usual | more), transport=transport, clock=(clock or StoppedClock()).clock)
    ) as opened:
        yield opened
