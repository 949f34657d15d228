"""Slots that the clinic made beforehand, looked for in one Schedule or in many.

By R4 a search takes several references for one parameter, joined by commas. No server says whether it does: one may
refuse the list, another take it for a single name and find nothing. So a list is believed once it has brought Slots of
two Schedules, and until then a Schedule about which it is silent is asked about alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from booking.scheduling.errors import EhrRejected, EhrUnavailable

from . import resources, writers
from .client import EhrClient
from .keeping import Kept
from .outcomes import TooLarge
from .wire import Deadline

logger = logging.getLogger("booking.fhir")

Json = dict[str, Any]
_T = TypeVar("_T")

# A search for ten takes about as long as one for one and a half; for more, a page would rather wait for two at once.
MOST_AT_ONCE = 10
_KEEP_SECONDS = 3600.0
# Answers that may be about the one Schedule asked for, and leave the others as they are.
_ABOUT_ONE = frozenset({400, 404, 410, 422})
# Answers that a server may give to a list it does not take.
_ABOUT_A_LIST = frozenset({400, 404, 405, 414, 422})
# A server that trips over every list says the same as one that trips now and then.
_TRIPPED = frozenset({500, 501})
_TRIPPED_SECONDS = 300.0


class SlotSearch:
    """``page_size`` is for one Schedule, ``list_page_size`` for several; a server may give less."""

    def __init__(
        self, client: EhrClient, *, page_size: str, list_page_size: str, takes_lists: bool = False
    ) -> None:
        self._client = client
        self._page_size = page_size
        self._list_page_size = list_page_size
        self._takes_lists = takes_lists
        self._says: Kept[bool] = Kept(client.clock, seconds=_KEEP_SECONDS)
        self._most: Kept[int] = Kept(client.clock, seconds=_KEEP_SECONDS)

    def one(self, schedule_ref: str, earliest: datetime, latest: datetime, deadline: Deadline) -> list[Json]:
        """All Slots of a Schedule, of any status, that start in a span of time."""
        found = self._ask([schedule_ref], earliest, latest, deadline, self._page_size)
        return found[schedule_ref]

    def many(
        self, schedule_refs: Sequence[str], earliest: datetime, latest: datetime, deadline: Deadline
    ) -> dict[str, list[Json]]:
        """The same of each Schedule, in as few searches as the server lets it be."""
        found: dict[str, list[Json]] = {}
        left = list(schedule_refs)
        while left:
            most = self._most.known("") or MOST_AT_ONCE
            if len(left) == 1 or most == 1 or self._says.known("") is False:
                return found | one_by_one(left, lambda ref: self.one(ref, earliest, latest, deadline))
            some = left[:most]
            try:
                answer = self._ask(some, earliest, latest, deadline, self._list_page_size)
            except TooLarge as refusal:
                logger.warning("Slots of %d schedules are too much at once: %s", len(some), refusal)
                self._most.put("", max(1, len(some) // 2))
                continue
            except EhrRejected as refusal:
                if refusal.status not in _ABOUT_A_LIST:
                    raise
                self._refused(refusal)
                continue
            except EhrUnavailable as failure:
                if failure.status not in _TRIPPED:
                    raise
                answer = one_by_one(some, lambda ref: self.one(ref, earliest, latest, deadline))
                self._refused(failure, _TRIPPED_SECONDS)
                found |= answer
                left = left[most:]
                continue
            found |= self._checked(answer, earliest, latest, deadline)
            left = left[most:]
        return found

    def _checked(
        self, answer: dict[str, list[Json]], earliest: datetime, latest: datetime, deadline: Deadline
    ) -> dict[str, list[Json]]:
        silent = [ref for ref, slots in answer.items() if not slots]
        if len(answer) - len(silent) > 1:
            self._says.put("", True)
        if not silent or self._takes_lists or self._says.known(""):
            return answer
        alone = one_by_one(silent, lambda ref: self.one(ref, earliest, latest, deadline))
        if any(alone.values()):
            self._refused("it finds less than each alone")
        return answer | alone

    def _refused(self, why: object, seconds: float | None = None) -> None:
        logger.warning("the server does not take a list of schedules: %s", why)
        self._says.put("", False, seconds)

    def _ask(
        self, refs: Sequence[str], earliest: datetime, latest: datetime, deadline: Deadline, count: str
    ) -> dict[str, list[Json]]:
        query = [
            ("schedule", ",".join(refs)),
            ("start", f"ge{writers.write_instant(earliest)}"),
            ("start", f"lt{writers.write_instant(latest)}"),
            ("_count", count),
        ]
        found: dict[str, list[Json]] = {ref: [] for ref in refs}
        for slot in self._client.search("Slot", query, deadline):
            ref = resources.reference(slot.get("schedule"), "Schedule")
            if ref in found:
                found[ref].append(slot)
        return found


def one_by_one(refs: Sequence[str], ask: Callable[[str], list[_T]]) -> dict[str, list[_T]]:
    """What is found of each. One that the EHR refuses to answer for has nothing, unless it refuses all of them."""
    found: dict[str, list[_T]] = {}
    refusals: list[EhrRejected] = []
    for ref in refs:
        try:
            found[ref] = ask(ref)
        except EhrRejected as refusal:
            if refusal.status not in _ABOUT_ONE:
                raise
            logger.warning("%s left out: %s", ref, refusal)
            refusals.append(refusal)
            found[ref] = []
    if refusals and len(refusals) == len(refs):
        raise refusals[0]
    return found
