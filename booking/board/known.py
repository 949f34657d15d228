"""What this process knows of the free times somebody wants: how old each reading is, what is lacking, what failed."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings

from . import fetching
from .mirror import mirror
from .readings import NEVER, Reading, Want


@dataclass(frozen=True, slots=True)
class BoardView:
    """``starts`` (sorted seconds since 1970) by schedule reference; ``read_at`` is that of the oldest reading shown.

    ``pending`` schedules are still being looked up, ``unreachable`` ones could not be. ``is_stale`` means that the EHR
    does not answer and some of what is shown has grown old. ``number`` is for ``has_changed``; ``until`` (seconds since
    1970) is when the passing of time alone makes this view another.
    """

    starts: dict[str, array[int]]
    read_at: datetime | None
    pending: int
    unreachable: int
    is_stale: bool
    number: int = 0
    until: float = 0.0


class Known:
    """What this process knows of some wants, judged at one instant."""

    def __init__(self, wants: Sequence[Want], now: float) -> None:
        self.wants, self.now = wants, now
        self.number = mirror.sync()
        self._readings = mirror.readings(key for want in wants for key in want.keys)
        self._stale = mirror.stale_since(key for want in wants for key in want.stale_keys)
        self._is_away: bool | None = None
        self._kept_after = now - settings.GRID_KEEP_SECONDS

    def weeks(self, want: Want) -> list[Reading]:
        """The readings of a want's weeks; one too old to be shown counts as none."""
        found = (self._readings[key] for key in want.keys)
        return [each if each.read_at >= self._kept_after else NEVER for each in found]

    def marked_at(self, want: Want) -> float:
        return max(self._stale[key] for key in want.stale_keys)

    def lacks(self, want: Want) -> list[int]:
        """Weeks never read, or seen to differ since: a page waits for these."""
        marked_at = self.marked_at(want)
        return [
            week
            for week, reading in zip(want.weeks, self.weeks(want), strict=True)
            if reading.read_at == 0.0 or reading.read_at < marked_at
        ]

    def aged(self, want: Want, seconds: float) -> list[int]:
        """Weeks whose reading is older than that."""
        return [
            week
            for week, reading in zip(want.weeks, self.weeks(want), strict=True)
            if 0.0 < reading.read_at < self.now - seconds
        ]

    def has_aged(self, want: Want) -> list[int]:
        return self.aged(want, settings.GRID_FRESH_SECONDS)

    def has_failed(self, want: Want) -> bool:
        failed_after = self.now - fetching.FAILURE_SECONDS
        if any(self._readings[key].failed_at > failed_after for key in want.keys):
            return True
        if self._is_away is None:
            self._is_away = fetching.is_away()
        return self._is_away

    def unsettled(self) -> list[Want]:
        return [want for want in self.wants if self.lacks(want) and not self.has_failed(want)]

    def view(self) -> BoardView:
        starts: dict[str, array[int]] = {}
        oldest = until = float("inf")
        pending = unreachable = 0
        is_stale = False
        for want in self.wants:
            readings = self.weeks(want)
            known = [each for each in readings if each.read_at]
            for reading in known:
                oldest = min(oldest, reading.read_at)
                found = starts.get(want.line.schedule_ref)
                starts[want.line.schedule_ref] = reading.starts if found is None else found + reading.starts
            is_fresh = not self.lacks(want) and not self.has_aged(want)
            if is_fresh:
                until = min(until, *(each.read_at for each in readings))
            elif self.has_failed(want):
                until = 0.0
                unreachable += not known
                is_stale = is_stale or bool(known)
            else:
                until = 0.0
                pending += bool(self.lacks(want))
        return BoardView(
            starts=starts,
            read_at=None if oldest == float("inf") else datetime.fromtimestamp(oldest, UTC),
            pending=pending,
            unreachable=unreachable,
            is_stale=is_stale,
            number=self.number,
            until=until + settings.GRID_FRESH_SECONDS if until else 0.0,
        )
