"""Restraint toward an EHR that fails, so that the portal neither wears it down nor makes patients wait for it in vain.

A brake stops calls to a server that has not answered for a while, but for one trial at a time. A budget keeps repeated
tries to a tenth of the first ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

FAILURES_IN_A_ROW = 5
# So many failures at one instant are one hiccup.
FAILING_SECONDS = 1.5
# A trial of which nothing was heard for so long is forgotten.
LONGEST_TRIAL_SECONDS = 30.0
TRIAL_EVERY_SECONDS = 1.0
# A call that has used up so much of its time counts as one that found nobody: who would go out behind it need not wait too.
MOST_OF_ITS_TIME = 0.7

REPEATS_PER_FIRST_TRY = 0.1
# Where few ask, each may repeat; and after quiet hours a bad minute may cost no more than these on top of the tenth.
MOST_REPEATS_SAVED = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One that is under way (monotonic seconds); by ``silent_from`` an answer is hardly to be hoped for."""

    began: float
    silent_from: float


class Brake:
    """For one server; thread-safe. ``monotonic`` gives seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._under_way: list[Call] = []
        self._failures = 0
        self._failing_since = self._answered_at = 0.0
        self._no_trial_before = 0.0

    def begin(self, seconds: float) -> Call | None:
        """A call that may go out and take so long, to be told to ``end``; None when it may not."""
        now = self._monotonic()
        with self._lock:
            if self._is_on(now):
                # Those that may still be answered are trial enough: whoever has stood in line behind them is not sent as another.
                if now < self._no_trial_before or any(call.silent_from > now for call in self._under_way):
                    return None
                self._no_trial_before = now + LONGEST_TRIAL_SECONDS
            call = Call(now, now + MOST_OF_ITS_TIME * seconds)
            self._under_way.append(call)
            return call

    @property
    def is_on(self) -> bool:
        with self._lock:
            return self._is_on(self._monotonic())

    def _is_on(self, now: float) -> bool:
        silent = [
            call.began
            for call in self._under_way
            if call.silent_from <= now and call.began >= self._answered_at
        ]
        since = min([*silent, self._failing_since] if self._failures else silent, default=now)
        return self._failures + len(silent) >= FAILURES_IN_A_ROW and now - since >= FAILING_SECONDS

    def end(self, call: Call, *, is_answered: bool) -> None:
        """Unanswered, the server has been silent since the call went out, if not since its last answer."""
        now = self._monotonic()
        with self._lock:
            self._under_way.remove(call)
            if is_answered:
                self._failures, self._answered_at = 0, now
                return
            if self._failures == 0:
                self._failing_since = max(call.began, self._answered_at)
            self._failures += 1
            self._no_trial_before = now + TRIAL_EVERY_SECONDS


class RepeatBudget:
    """Thread-safe. Every first try earns a part of a repeated one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._saved = MOST_REPEATS_SAVED

    def earn(self) -> None:
        with self._lock:
            self._saved = min(MOST_REPEATS_SAVED, self._saved + REPEATS_PER_FIRST_TRY)

    def spend(self) -> bool:
        """False when there is nothing left to spend."""
        with self._lock:
            if self._saved < 1:
                return False
            self._saved -= 1
            return True
