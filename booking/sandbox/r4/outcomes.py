"""What a request comes to: an answer, or a refusal that knows its own OperationOutcome."""

from dataclasses import dataclass, field
from typing import Any, NoReturn

import orjson

from ..seed import JsonObject

GIVEN_UP = "40001"


@dataclass(slots=True)
class Answer:
    """One interaction's result. `body` is a resource as a dict, or JSON that is ready, or nothing."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def as_bytes(self) -> bytes:
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)


class Refused(Exception):
    """A no with its HTTP status and one OperationOutcome issue."""

    def __init__(
        self,
        status: int,
        code: str,
        text: str,
        *,
        coding: str | None = None,
        expression: str | None = None,
        diagnostics: str | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.coding = coding
        self.expression = expression
        self.diagnostics = diagnostics

    def outcome(self) -> JsonObject:
        details: JsonObject = {"text": self.text}
        if self.coding:
            details["coding"] = [{"code": self.coding}]
        issue: JsonObject = {"severity": "error", "code": self.code, "details": details}
        if self.expression:
            issue["expression"] = [self.expression]
        if self.diagnostics:
            issue["diagnostics"] = self.diagnostics
        return {"resourceType": "OperationOutcome", "issue": [issue]}

    def answer(self) -> Answer:
        return Answer(self.status, self.outcome())


def bad_request(text: str, expression: str | None = None) -> NoReturn:
    raise Refused(400, "invalid", text, expression=expression)


def not_found() -> NoReturn:
    raise Refused(404, "not-found", "Not found")


def gone() -> NoReturn:
    raise Refused(410, "deleted", "Gone")


def precondition_failed() -> NoReturn:
    raise Refused(412, "conflict", "Precondition Failed")


def not_supported(text: str, status: int = 405) -> NoReturn:
    raise Refused(status, "not-supported", text)


def conflict(text: str) -> Refused:
    """PostgreSQL's serialization failure, as Medplum hands it on: nothing was stored, and a retry may work."""
    return Refused(409, "conflict", text, coding=GIVEN_UP)
