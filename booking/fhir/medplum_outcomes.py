"""What Medplum's scheduling operations mean by their answers, whose statuses and texts changed between versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from booking.scheduling.errors import EhrUnavailable

from . import outcomes, resources
from .client import EhrClient
from .wire import Answer, NoAnswer

Json = dict[str, Any]

NOTHING: Json = {"resourceType": "Parameters"}
_ROLLED_BACK_CODES = frozenset({"40001", "40P01"})
_ROLLED_BACK_TEXTS = ("deadlock detected", "could not serialize")
_MOST_RETRIES = 6


def perform(
    client: EhrClient, path: str, body: Mapping[str, Any], *, is_done: Callable[[], bool] = lambda: False
) -> Json:
    """An operation's answer, after as many tries as can help. Raises as any write does."""
    answer = send(client, path, body, is_done=is_done)
    return {} if answer is None else outcomes.written_object(answer)


def send(
    client: EhrClient, path: str, body: Mapping[str, Any], *, is_done: Callable[[], bool] = lambda: False
) -> Answer | NoAnswer | None:
    """POST what is one transaction at the EHR, and again while it is rolled back, a little later each time.

    ``is_done`` looks, before each further try, whether it has come about meanwhile; then there is no answer. Raises
    ``EhrUnavailable`` when it was rolled back to the last.
    """
    deadline = client.deadline()
    for attempt in range(1, _MOST_RETRIES + 2):
        answer = client.write("POST", path, body, client.deadline(deadline.left()))
        if not is_rolled_back(answer):
            return answer
        if attempt > _MOST_RETRIES or not client.pause(attempt, deadline):
            break
        if is_done():
            return None
    raise EhrUnavailable(f"{answer.request}: rolled back every time for other work", status=409)


def is_rolled_back(answer: Answer | NoAnswer) -> bool:
    """Whether PostgreSQL undid the whole of it for other work that it met: it may be sent again as it is.

    Seen as 409 with the code 40001 in ``details.coding``, about other times too, and as 400 "deadlock detected".
    """
    if not isinstance(answer, Answer) or answer.status not in (400, 409):
        return False
    codes = {
        resources.text(coding.get("code"))
        for issue in outcomes.issues(answer)
        for coding in resources.mappings(resources.mapping(issue.get("details")).get("coding"))
    }
    return bool(codes & _ROLLED_BACK_CODES) or any(
        mark in text for mark in _ROLLED_BACK_TEXTS for text in outcomes.issue_texts(answer)
    )


def asks_for_slots(answer: Answer | NoAnswer | None) -> bool:
    """Whether $book was refused for lack of its parameter ``slot``, as 5.1.12 does to an Appointment."""
    return (
        isinstance(answer, Answer)
        and answer.status == 400
        and any("input parameter 'slot'" in text for text in outcomes.issue_texts(answer))
    )


def bundled(answer: Mapping[str, Any], resource_type: str) -> list[Json]:
    """Resources in the Bundle that an operation answered with; the documentation shows it wrapped in Parameters."""
    if answer.get("resourceType") == "Parameters":
        parts = (
            resources.mapping(part.get("resource")) for part in resources.mappings(answer.get("parameter"))
        )
        answer = next((found for found in parts if found.get("resourceType") == "Bundle"), {})
    found = (resources.mapping(entry.get("resource")) for entry in resources.mappings(answer.get("entry")))
    return [resource for resource in found if resource.get("resourceType") == resource_type]
