"""Answers of the EHR that seldom change, kept for some minutes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from .wire import Clock

_T = TypeVar("_T")


class Kept(Generic[_T]):
    """By key, for a time, and of all keys the latest only. Two threads may ask for the same at once."""

    def __init__(self, clock: Clock, *, seconds: float, most: int = 2_000) -> None:
        self._clock = clock
        self._seconds = seconds
        self._most = most
        self._kept: OrderedDict[str, tuple[float, _T]] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, key: str) -> _T | None:
        """Without asking; None also for what is not kept any more."""
        with self._lock:
            ends_at, *found = self._kept.get(key, (0.0,))
        return found[0] if found and self._clock.monotonic() < ends_at else None

    def get(self, key: str, ask: Callable[[], _T]) -> _T:
        with self._lock:
            ends_at, *found = self._kept.get(key, (0.0,))
        if found and self._clock.monotonic() < ends_at:
            return found[0]
        value = ask()
        self.put(key, value)
        return value

    def put(self, key: str, value: _T, seconds: float | None = None) -> None:
        ends_at = self._clock.monotonic() + (self._seconds if seconds is None else seconds)
        with self._lock:
            self._kept[key] = (ends_at, value)
            self._kept.move_to_end(key)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
