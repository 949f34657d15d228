"""Time taken through Slots that the clinic made beforehand: who turns a free Slot first has it.

A Slot taken by the portal carries the booking's identifier, so that every step can be repeated and undone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from booking.scheduling.errors import Changed, EhrFailure, EhrRejected, NotFound, OutcomeUnknown, TimeTaken
from booking.scheduling.terms import Coding, HoldRequest

from . import outcomes, resources
from .client import EhrClient
from .slot_search import SlotSearch

logger = logging.getLogger("booking.fhir")

Json = dict[str, Any]
Turn = Callable[[Json, Json], None]
"""Makes of a Slot as it was read the changed one. Raises ``Changed`` when it is no longer as it was read."""

BUSY = "busy"
HELD = "busy-tentative"
_TAKEN = frozenset({BUSY, HELD, "busy-unavailable"})
# How long before a time Slots begin that may still reach into it.
_REACH = timedelta(hours=24)
_TRIES = 4


@dataclass(frozen=True, slots=True)
class Claim:
    """Slots that are now this booking's. ``fresh`` are those that were free before; ``was_busy`` says that an earlier
    create had come as far as this."""

    slots: tuple[Json, ...]
    fresh: tuple[Json, ...]
    was_busy: bool

    @property
    def refs(self) -> list[str]:
        return [resources.own_reference(slot) for slot in self.slots]


class SlotClaims:
    def __init__(self, client: EhrClient, turn: Turn, slots: SlotSearch) -> None:
        self._client = client
        self._turn = turn
        self._slots = slots

    def find(self, request: HoldRequest) -> list[Json] | None:
        """Slots that make up exactly the time and are free or already this booking's; None when there are none."""
        nearby = self._slots.one(
            request.schedule_ref, request.starts_at - _REACH, request.ends_at, self._client.deadline()
        )
        runs = open_runs(
            nearby,
            request.ends_at - request.starts_at,
            appointment_type=request.appointment_type,
            booking_id=request.booking_id,
        )
        return next((run for run in runs if _starts(run[0]) == request.starts_at), None)

    def claim(self, request: HoldRequest, status: str) -> Claim:
        """Take the time; what is this booking's already is kept. Raises ``TimeTaken``, and ``OutcomeUnknown`` when a
        Slot may or may not have been taken. After any other failure nothing new stays taken."""
        fresh: dict[str, Json] = {}
        lost: EhrRejected | None = None
        deadline = self._client.deadline()
        for attempt in range(1, _TRIES + 1):
            try:
                run = self.find(request)
                if run is None:
                    raise TimeTaken("PUT Slot: the time is no longer free")
                was_busy = all(slot["status"] == BUSY for slot in run)
                for slot in run:
                    if is_ours(slot, request.booking_id) and slot["status"] in (status, BUSY):
                        continue
                    self._turn(slot, taken(slot, request.booking_id, status))
                    if slot["status"] == "free":
                        fresh[resources.own_reference(slot)] = slot
                return Claim(tuple(run), tuple(fresh.values()), was_busy)
            except Changed as change:
                # Somebody was first, or changed something else about it: another look tells.
                lost = change
                if attempt < _TRIES and not self._client.pause(attempt, deadline):
                    break
            except OutcomeUnknown:
                raise
            except EhrFailure:
                self.undo(fresh.values(), request.booking_id)
                raise
        self.undo(fresh.values(), request.booking_id)
        assert lost is not None
        raise lost

    def undo(self, slots: Iterable[Json], booking_id: UUID) -> None:
        """Give back, on the way out of a failure: another one must not hide the first."""
        for slot in slots:
            ref = resources.own_reference(slot)
            try:
                self.give_back(ref, {booking_id})
            except EhrFailure as failure:
                logger.warning("%s not given back: %s", ref.partition("/")[0], failure)

    def give_back(self, ref: str, booking_ids: Iterable[UUID], *, unmarked_too: bool = False) -> None:
        """Turn a Slot free that carries one of these bookings, or, if asked, is busy for no booking of ours."""
        deadline = self._client.deadline()
        ours = set(booking_ids)
        for attempt in range(1, _TRIES + 1):
            try:
                slot = self._client.read(ref, self._client.deadline()).resource
            except NotFound:
                return
            marks = set(resources.booking_ids(slot))
            if _status(slot) not in (BUSY, HELD) or not (marks & ours or (unmarked_too and not marks)):
                return
            try:
                self._turn(slot, freed(slot, ours))
                return
            except Changed:
                if attempt == _TRIES or not self._client.pause(attempt, deadline):
                    raise


def is_ours(slot: Mapping[str, Any], booking_id: UUID) -> bool:
    return _status(slot) in (BUSY, HELD) and booking_id in resources.booking_ids(slot)


def taken(slot: Json, booking_id: UUID, status: str) -> Json:
    """The Slot with the booking's identifier in place of any earlier one of ours."""
    mark = {"system": resources.BOOKING_SYSTEM, "value": str(booking_id)}
    return {**slot, "status": status, "identifier": [*_foreign_identifiers(slot), mark]}


def freed(slot: Json, booking_ids: Iterable[UUID]) -> Json:
    values = {str(each) for each in booking_ids}
    kept = [
        node
        for node in resources.mappings(slot.get("identifier"))
        if node.get("system") != resources.BOOKING_SYSTEM or resources.text(node.get("value")) not in values
    ]
    changed = {**slot, "status": "free", "identifier": kept}
    if not kept:
        del changed["identifier"]
    return changed


def _foreign_identifiers(slot: Mapping[str, Any]) -> list[Json]:
    return [
        node
        for node in resources.mappings(slot.get("identifier"))
        if node.get("system") != resources.BOOKING_SYSTEM
    ]


def open_runs(
    slots: Sequence[Json],
    length: timedelta,
    *,
    appointment_type: Coding | None = None,
    booking_id: UUID | None = None,
) -> list[list[Json]]:
    """Runs of free Slots, each next to the one before, that add up to exactly ``length``; for each start the shortest.

    With a booking, Slots that are its own count as free. Two Slots may cover one time, for another service or another
    room: a time that any Slot says is taken is not open, since a clinician sees one patient at a time.
    """
    usable: list[Json] = []
    taken_spans: list[tuple[datetime, datetime]] = []
    for slot in slots:
        read = resources.slot(slot)
        if read is None or read.ends_at <= read.starts_at:
            continue
        is_own = booking_id is not None and is_ours(slot, booking_id)
        if is_own or (slot.get("status") == "free" and takes(slot, appointment_type)):
            usable.append(slot)
        elif _status(slot) in _TAKEN:
            taken_spans.append((read.starts_at, read.ends_at))
    starting: dict[datetime, list[Json]] = {}
    seen: set[tuple[datetime, datetime]] = set()
    # Our own before others and long ones before short ones: the first run found is the one to take.
    for slot in sorted(usable, key=lambda each: (each["status"] == "free", _starts(each) - _ends(each))):
        span = _starts(slot), _ends(slot)
        if span not in seen and not any(start < span[1] and span[0] < end for start, end in taken_spans):
            seen.add(span)
            starting.setdefault(span[0], []).append(slot)
    runs = (_run(starting, start, start + length) for start in sorted(starting))
    return [run for run in runs if run]


def _run(starting: Mapping[datetime, list[Json]], start: datetime, end: datetime) -> list[Json]:
    for slot in starting.get(start, []):
        if _ends(slot) == end:
            return [slot]
        if _ends(slot) < end and (rest := _run(starting, _ends(slot), end)):
            return [slot, *rest]
    return []


def takes(slot: Mapping[str, Any], appointment_type: Coding | None) -> bool:
    """Whether a Slot, or a Schedule, that says what it is for is for this; one that says nothing takes all."""
    codings = [
        coding
        for concept in [
            *resources.mappings(slot.get("serviceType")),
            *resources.mappings(slot.get("appointmentType")),
        ]
        for coding in resources.mappings(concept.get("coding"))
    ]
    return (
        appointment_type is None
        or not codings
        or any(
            resources.text(coding.get("system")) == appointment_type.system
            and coding.get("code") == appointment_type.code
            for coding in codings
        )
    )


def _status(slot: Mapping[str, Any]) -> str:
    return resources.text(slot.get("status"))


def _starts(slot: Mapping[str, Any]) -> datetime:
    found = resources.instant(slot.get("start"))
    assert found is not None
    return found


def _ends(slot: Mapping[str, Any]) -> datetime:
    found = resources.instant(slot.get("end"))
    assert found is not None
    return found


def replacing(client: EhrClient, *, with_condition: Callable[[], bool]) -> Turn:
    """A PUT of the whole Slot, where the server can with If-Match: it then goes through for the first only."""

    def turn(slot: Json, changed: Json) -> None:
        ref, headers = resources.own_reference(slot), {}
        if with_condition():
            version = resources.text(resources.mapping(slot.get("meta")).get("versionId"))
            etag = f'W/"{version}"' if version else ""
            if not etag:
                found = client.read(ref, client.deadline())
                if found.resource != slot:
                    raise Changed("PUT Slot: it has changed since it was read")
                etag = found.etag
            if not etag:
                raise EhrRejected("PUT Slot: not sent, the server gives it no version")
            headers = {"If-Match": etag}
        client.update(ref, changed, client.deadline(), headers=headers)

    return turn


def patching(client: EhrClient) -> Turn:
    """A JSON Patch that tests what it replaces. On Medplum, If-Match counts on PUT only; a failed test is 400."""

    def turn(slot: Json, changed: Json) -> None:
        steps: list[Json] = [
            {"op": "test", "path": f"/{key}", "value": slot[key]}
            for key in ("status", "start", "end", "identifier")
            if key in slot
        ]
        for key in ("status", "identifier"):
            if key in changed:
                steps.append({"op": "add", "path": f"/{key}", "value": changed[key]})
            elif key in slot:
                steps.append({"op": "remove", "path": f"/{key}"})
        answer = client.write(
            "PATCH",
            resources.own_reference(slot),
            steps,
            client.deadline(),
            headers={"Content-Type": "application/json-patch+json"},
        )
        try:
            outcomes.written_object(answer)
        except EhrRejected as refusal:
            if refusal.status in (400, 409, 412, 422):
                raise Changed(str(refusal), status=refusal.status, issue_code=refusal.issue_code) from None
            raise

    return turn
