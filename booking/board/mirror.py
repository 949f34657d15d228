"""This process's own copies of the store's entries, kept right by asking once a page what changed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Container, Iterable
from threading import Lock
from typing import TypeVar

from .readings import NEVER, Reading, instant_from_bytes
from .shared import ask

Copy = TypeVar("Copy")
_MOST = 200_000
_RECENT = 4_096


class Mirror:
    """Shared by the threads of a process. ``number`` counts what changed, as this process saw it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._origin, self._since = "", 0
        self._asked_at = 0.0
        self._readings: dict[str, Reading] = {}
        self._stale: dict[str, float] = {}
        self._recent: deque[tuple[int, str]] = deque(maxlen=_RECENT)
        self.number = 0
        # Before this number nothing is known of what changed.
        self._floor = 0

    def sync(self, *, age: float = 0.0) -> int:
        """Drop the copies of what changed; the number up to which this process then knows.

        Nothing is asked when somebody asked less than ``age`` seconds ago.
        """
        at = time.monotonic()
        if at < self._asked_at + age:
            return self.number
        origin, since = self._origin, self._since
        found = ask(lambda store: store.changes(origin, since))
        with self._lock:
            self._asked_at = max(self._asked_at, at)
            was_overtaken = (origin, since) != (self._origin, self._since)
            # What another thread saw meanwhile is no older than what this one asked about.
            if was_overtaken and (found.origin != self._origin or found.number <= self._since):
                return self.number
            keys = found.keys
            if keys is None and found.origin == "local" and self._origin == "shared":
                # Redis went away: what is known stays known, with its age.
                keys = []
            self._origin, self._since = found.origin, found.number
            if keys is None:
                self._readings.clear()
                self._stale.clear()
                self._recent.clear()
                self.number += 1
                self._floor = self.number
            elif keys:
                self.number += 1
                for key in keys:
                    self._readings.pop(key, None)
                    self._stale.pop(key, None)
                    self._recent.append((self.number, key))
            return self.number

    def forget(self) -> None:
        with self._lock:
            self._origin, self._since, self._asked_at = "", 0, 0.0

    def has_changed(self, keys: Container[str], since: int) -> bool:
        """Whether any of these may have changed after a number that ``sync`` gave."""
        found = self.changed(since)
        return found is None or any(key in keys for key in found)

    def changed(self, since: int) -> set[str] | None:
        """What changed after a number that ``sync`` gave; None when that is not known any more."""
        with self._lock:
            if since < self._floor or (len(self._recent) == _RECENT and self._recent[0][0] > since):
                return None
            found = set()
            for number, key in reversed(self._recent):
                if number <= since:
                    break
                found.add(key)
            return found

    def readings(self, keys: Iterable[str]) -> dict[str, Reading]:
        return self._copies(keys, self._readings, lambda data: Reading.from_bytes(data) if data else NEVER)

    def stale_since(self, keys: Iterable[str]) -> dict[str, float]:
        return self._copies(keys, self._stale, instant_from_bytes)

    def _copies(
        self, keys: Iterable[str], copies: dict[str, Copy], decode: Callable[[bytes | None], Copy]
    ) -> dict[str, Copy]:
        wanted = list(keys)
        with self._lock:
            found = {key: copies[key] for key in wanted if key in copies}
            number = self.number
        missing = [key for key in wanted if key not in found]
        if missing:
            values = ask(lambda store: store.get(missing))
            fetched = {key: decode(value) for key, value in zip(missing, values, strict=True)}
            found |= fetched
            with self._lock:
                # What changed while the answer was on its way is not kept.
                if number == self.number:
                    if len(copies) > _MOST:
                        copies.clear()
                    copies.update(fetched)
        return found


mirror = Mirror()
