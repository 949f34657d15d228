"""FHIR's RESTful interactions: read, search, create, update, patch, delete, each with its conditional forms.

Owns what a method and a path mean and which headers count. Where Medplum and a plain server differ, the difference is
here and named; whatever else an operation such as $book does is the operations' own.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Protocol
from urllib.parse import parse_qsl

from ..seed import JsonObject
from .capabilities import SERVED, capability_statement, is_allowed
from .checking import checked, parsed
from .clinic import Clinic
from .outcomes import (
    Answer,
    Refused,
    bad_request,
    conflict,
    not_found,
    not_supported,
    precondition_failed,
)
from .patching import patched
from .records import Record
from .searching import matches, search
from .slots import settle_slots, take_slots

_WEAK_TAG = re.compile(r'^W/"([^"]+)"$')
_PATCH_TYPE = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Call:
    """One interaction, from its own request or from an entry of a Bundle. `parts` is the path below the base."""

    method: str
    parts: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    body: bytes
    base: str
    client: str

    def header(self, name: str) -> str | None:
        return self.headers.get(name)


class Operations(Protocol):
    def perform(self, call: Call) -> Answer: ...


class Serializer(Protocol):
    def alone(self, work: Callable[[], Answer]) -> Answer: ...


class Interactions:
    def __init__(self, clinic: Clinic, serializer: Serializer, operations: Operations | None) -> None:
        self._clinic = clinic
        self._records = clinic.records
        self._serializer = serializer
        self._operations = operations

    def perform(self, call: Call) -> Answer:
        """Raises `Refused` for everything that is not to be."""
        kind, *rest = call.parts
        if call.parts == ("metadata",) and call.method == "GET":
            return Answer(200, capability_statement(self._clinic, call.base))
        if kind not in SERVED:
            raise Refused(404, "not-supported", f"Unknown resource type: {kind}")
        if any(part.startswith("$") for part in rest):
            if self._operations is None:
                not_found()
            return self._operations.perform(call)
        interaction = self._interaction(call.method, rest)
        if not is_allowed(self._clinic, kind, interaction):
            not_supported(f"{interaction} is not supported for {kind}")
        match interaction:
            case "search-type":
                return self._search(call, kind)
            case "read":
                return self._with_version(self._records.read(kind, rest[0]))
            case "create":
                return self._create(call, kind)
            case "update":
                return self._update(call, kind, rest[0]) if rest else self._update_matching(call, kind)
            case "patch":
                return self._patch(call, kind, rest[0])
            case _:
                return self._delete(call, kind, rest[0])

    def _interaction(self, method: str, rest: list[str]) -> str:
        if (method, rest) == ("POST", ["_search"]) or (method == "GET" and not rest):
            return "search-type"
        named = {"POST": "create"} if not rest else {"GET": "read", "PATCH": "patch", "DELETE": "delete"}
        if len(rest) <= 1 and method == "PUT":
            return "update"
        if len(rest) > 1 or method not in named:
            not_supported("Operation is not supported")
        return named[method]

    def _search(self, call: Call, kind: str) -> Answer:
        pairs = list(call.pairs)
        if call.method == "POST":
            pairs += parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True)
        habits = self._clinic.habits(kind)
        if "handling=strict" in (call.header("prefer") or ""):
            habits = replace(habits, is_strict=True)
        return search(self._records, kind, pairs, call.base, habits, self._clinic.now().timestamp())

    def _create(self, call: Call, kind: str) -> Answer:
        body = checked(parsed(call.body), kind)
        criteria = call.header("if-none-exist")
        plain = self._clinic.plain
        if not criteria or (plain is not None and not plain.conditional_create):
            return self._created(call, body)

        def once() -> Answer:
            found = self._matches(kind, criteria)
            if len(found) > 1:
                raise Refused(412, "multiple-matches", "Multiple resources found matching condition")
            return self._with_version(found[0]) if found else self._created(call, body)

        return self._serializer.alone(once)

    def _created(self, call: Call, body: JsonObject) -> Answer:
        with self._records.writing():
            if self._takes_slots(body["resourceType"]):
                take_slots(self._records, body, call.client)
            record = self._records.create(body, call.client)
        answer = self._with_version(record, status=201)
        answer.headers["Location"] = f"{call.base}/{record.type}/{record.id}"
        if self._clinic.plain is not None:
            answer.headers["Location"] += f"/_history/{record.version}"
        return self._minimal(call, answer)

    def _update(self, call: Call, kind: str, id_: str) -> Answer:
        read = self._records.read(kind, id_)
        body = checked(parsed(call.body), kind)
        if body.get("id") != id_:
            bad_request("Incorrect ID")
        wanted = self._wanted_version(call)
        for _ in range(2):
            with self._records.writing():
                before = self._records.read(kind, id_)
                if wanted is not None and wanted != before.version:
                    precondition_failed()
                if wanted is not None or before.version == read.version or not self._conflicts():
                    return self._minimal(call, self._stored(call, before, body))
            # Somebody else came first. Medplum starts over once, from what is there now.
            read = before
        raise conflict("could not serialize access due to concurrent update")

    def _stored(self, call: Call, before: Record, body: JsonObject, method: str = "PUT") -> Answer:
        """The answer to an update, and the update, unless it changes nothing: Medplum then keeps the version."""
        if self._clinic.plain is None and _without_meta(before.resource) == _without_meta(body):
            return self._with_version(before)
        if self._takes_slots(before.type):
            settle_slots(self._records, before.resource, body, call.client)
        return self._with_version(self._records.update(before, body, call.client, method=method))

    def _update_matching(self, call: Call, kind: str) -> Answer:
        """A PUT by search criteria; without an id in the body, Medplum creates what it does not find."""
        if not call.pairs or self._clinic.plain is not None:
            not_supported("Operation is not supported")
        body = checked(parsed(call.body), kind)

        def once() -> Answer:
            found = matches(
                self._records, kind, call.pairs, self._clinic.habits(kind), self._clinic.now().timestamp()
            )
            if len(found) > 1:
                raise Refused(412, "multiple-matches", "Multiple resources found matching condition")
            if not found:
                if "id" in body:
                    bad_request("Cannot perform create as update with client-assigned ID")
                return self._created(call, body)
            if body.get("id", found[0].id) != found[0].id:
                bad_request("Resource ID did not match resolved ID")
            return self._stored(call, found[0], {**body, "id": found[0].id})

        return self._serializer.alone(once)

    def _patch(self, call: Call, kind: str, id_: str) -> Answer:
        media_type = (call.header("content-type") or "").partition(";")[0].strip()
        if media_type != _PATCH_TYPE:
            raise Refused(415, "not-supported", f"A patch is {_PATCH_TYPE}")
        with self._records.writing():
            before = self._records.read(kind, id_)
            plain = self._clinic.plain
            wanted = self._wanted_version(call) if plain is not None else None
            if wanted is not None and wanted != before.version:
                precondition_failed()
            body = checked(patched(before.resource, call.body), kind)
            if body.get("id") != id_:
                bad_request("Incorrect ID")
            return self._stored(call, before, body, "PATCH")

    def _delete(self, call: Call, kind: str, id_: str) -> Answer:
        with self._records.writing():
            self._records.delete(self._records.read(kind, id_), call.client)
        issue = {"severity": "information", "code": "informational", "details": {"text": "All OK"}}
        return Answer(200, {"resourceType": "OperationOutcome", "id": "ok", "issue": [issue]})

    def _wanted_version(self, call: Call) -> str | None:
        """The version in If-Match; Medplum counts only the weak form and passes over any other."""
        header = call.header("if-match")
        if header is None or (self._clinic.plain is not None and not self._clinic.plain.conditional_update):
            return None
        match = _WEAK_TAG.match(header.strip())
        if match is not None:
            return match.group(1)
        if self._clinic.plain is None or header.strip() == "*":
            return None
        return header.strip().strip('"')

    def _with_version(self, record: Record, status: int = 200) -> Answer:
        headers = {"Last-Modified": formatdate(record.updated, usegmt=True)}
        if self._clinic.plain is None or self._clinic.plain.conditional_update:
            headers["ETag"] = f'W/"{record.version}"'
        return Answer(status, record.json, headers)

    def _minimal(self, call: Call, answer: Answer) -> Answer:
        if self._clinic.plain is not None and "return=minimal" in (call.header("prefer") or ""):
            answer.body = None
        return answer

    def _matches(self, kind: str, criteria: str) -> list[Record]:
        pairs = parse_qsl(criteria.partition("?")[2] or criteria, keep_blank_values=True)
        return matches(self._records, kind, pairs, self._clinic.habits(kind), self._clinic.now().timestamp())

    def _takes_slots(self, kind: str) -> bool:
        plain = self._clinic.plain
        return plain is not None and plain.appointment_takes_slots and kind == "Appointment"

    def _conflicts(self) -> bool:
        return self._clinic.medplum is not None and self._clinic.medplum.serialization_conflicts


def _without_meta(resource: JsonObject) -> JsonObject:
    return {name: value for name, value in resource.items() if name != "meta"}
