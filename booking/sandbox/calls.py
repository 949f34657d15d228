"""Counts of calls by method and resource type, for a checker that asks how hard it leaned on the EHR."""

from collections import Counter
from itertools import count
from typing import Any


class Calls:
    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._slot_searches: Counter[str] = Counter()
        self._open: set[int] = set()
        self._most_open = 0
        self._numbers = count()

    def begin(self, method: str, kind: str, query: str = "") -> int:
        """Counts a call and returns its number, which `end` takes back once its answer is on the way."""
        self._counts[method, kind] += 1
        # The one search that names no patient.
        if kind == "Slot":
            self._slot_searches[query] += 1
        call = next(self._numbers)
        self._open.add(call)
        self._most_open = max(self._most_open, len(self._open))
        return call

    def end(self, call: int) -> None:
        self._open.discard(call)

    def reset(self) -> None:
        self._counts.clear()
        self._slot_searches.clear()
        self._most_open = len(self._open)

    def slot_searches(self) -> dict[str, int]:
        """How often each Slot search was asked, by its query."""
        return dict(self._slot_searches)

    def as_dict(self) -> dict[str, Any]:
        return {
            "calls": [
                {"method": method, "type": kind, "count": number}
                for (method, kind), number in sorted(self._counts.items())
            ],
            "total": self._counts.total(),
            "most_at_once": self._most_open,
        }
