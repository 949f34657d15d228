"""What a store of the board's entries does, and the one that is this process's own memory.

An entry is bytes under a key. Every store numbers the changes it takes, so that a process which keeps copies asks
once a page what changed since it last asked, instead of fetching everything again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

CHANGES_KEPT = 200_000


@dataclass(frozen=True, slots=True)
class Changes:
    """``number`` of the last change, and the ``keys`` changed after the one asked about.

    ``keys`` None means that the store cannot say, and copies are worth nothing. ``origin`` tells stores apart.
    """

    origin: str
    number: int
    keys: list[str] | None


class Store(Protocol):
    def changes(self, origin: str, since: int) -> Changes: ...

    def get(self, keys: Sequence[str]) -> list[bytes | None]: ...

    def put(self, entries: Mapping[str, bytes], seconds: float) -> None:
        """Keep entries for so long, and number the change."""

    def claim(self, keys: Sequence[str], seconds: float, by: str) -> list[bool]:
        """Which of these nobody but ``by`` has claimed, and are now ``by``'s for so long. Safe to ask twice."""

    def release(self, keys: Sequence[str], by: str) -> None:
        """Give back what ``by`` still holds; a claim that ran out and is another's now stays that other's."""

    def drop(self, keys: Sequence[str]) -> None:
        """Forget counts. Not numbered."""

    def count(self, key: str, seconds: float) -> int:
        """One more; the count begins anew when nothing was counted for so long."""

    def spend(self, per_second: int, per_minute: int) -> float:
        """Note one call to the EHR if either limit permits; else the seconds after which it may."""

    def note_call(self) -> None:
        """Note a call that goes out whatever the limits are."""

    def rank(self, key: str, member: str, score: float) -> None:
        """Set a member's score in a ranking."""

    def ranked(self, key: str, least: float) -> list[str]:
        """Members with at least that score, the highest first; the others are forgotten."""


class LocalStore:
    """The memory of one process: for a run on one machine, and while Redis is away."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: dict[str, tuple[float, bytes]] = {}
        self._changed: dict[str, int] = {}
        self._number = 0
        self._counts: dict[str, tuple[float, int]] = {}
        self._claims: dict[str, tuple[float, str]] = {}
        self._calls: list[float] = []
        self._rankings: dict[str, dict[str, float]] = {}

    def changes(self, origin: str, since: int) -> Changes:
        with self._lock:
            keys = None
            if origin == "local":
                keys = []
                # The last changed come last.
                for key, number in reversed(self._changed.items()):
                    if number <= since:
                        break
                    keys.append(key)
            return Changes("local", self._number, keys)

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        now = time.monotonic()
        with self._lock:
            found = (self._entries.get(key) for key in keys)
            return [entry[1] if entry and entry[0] > now else None for entry in found]

    def put(self, entries: Mapping[str, bytes], seconds: float) -> None:
        ends = time.monotonic() + seconds
        with self._lock:
            self._number += 1
            for key, value in entries.items():
                self._entries[key] = (ends, value)
                self._changed.pop(key, None)
                self._changed[key] = self._number
            if len(self._entries) > CHANGES_KEPT:
                self._tidy()

    def _tidy(self) -> None:
        now = time.monotonic()
        self._entries = {key: entry for key, entry in self._entries.items() if entry[0] > now}
        self._changed = {key: number for key, number in self._changed.items() if key in self._entries}

    def claim(self, keys: Sequence[str], seconds: float, by: str) -> list[bool]:
        now = time.monotonic()
        with self._lock:
            found = [self._claims.get(key, (0.0, "")) for key in keys]
            granted = [ends <= now or holder == by for ends, holder in found]
            self._claims.update(
                {
                    key: (now + seconds, by)
                    for key, is_granted in zip(keys, granted, strict=True)
                    if is_granted
                }
            )
            return granted

    def release(self, keys: Sequence[str], by: str) -> None:
        with self._lock:
            for key in keys:
                if self._claims.get(key, (0.0, ""))[1] == by:
                    del self._claims[key]

    def drop(self, keys: Sequence[str]) -> None:
        with self._lock:
            for key in keys:
                self._counts.pop(key, None)

    def count(self, key: str, seconds: float) -> int:
        now = time.monotonic()
        with self._lock:
            ends, count = self._counts.get(key, (0.0, 0))
            count = count + 1 if ends > now else 1
            self._counts[key] = (now + seconds, count)
            return count

    def spend(self, per_second: int, per_minute: int) -> float:
        now = time.time()
        with self._lock:
            self._calls = [at for at in self._calls if at > now - 60]
            for limit, seconds in ((per_minute, 60.0), (per_second, 1.0)):
                if len(self._calls) >= limit and (wait := self._calls[-limit] + seconds - now) > 0:
                    return wait
            self._calls.append(now)
            return 0.0

    def note_call(self) -> None:
        with self._lock:
            self._calls.append(time.time())

    def rank(self, key: str, member: str, score: float) -> None:
        with self._lock:
            self._rankings.setdefault(key, {})[member] = score

    def ranked(self, key: str, least: float) -> list[str]:
        with self._lock:
            kept = {member: score for member, score in self._rankings.get(key, {}).items() if score >= least}
            self._rankings[key] = kept
            return sorted(kept, key=lambda member: -kept[member])
