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
    does not answer and some of what is shown has grown old. ``number`` is for ``has_changed``; ``made_at`` and ``until``
    (seconds since 1970) are when it was made, and when the passing of time alone makes it another.
    """

    starts: dict[str, array[int]]
    read_at: datetime | None
    pending: int
    unreachable: int
    is_stale: bool
    number: int = 0
    made_at: float = 0.0
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    """A want with the readings of its weeks; one too old to be shown counts as none."""

    want: Want
    readings: list[Reading]
    marked_at: float
    failed_at: float

    @property
    def read_at(self) -> float:
        """When its oldest week was read; 0 when one never was."""
        return min(reading.read_at for reading in self.readings)

    def lacks(self) -> list[tuple[int, float]]:
        """Weeks never read, or seen to differ since, each with when it was read: a page waits for these."""
        return self.read_before(max(self.marked_at, 1.0))

    def read_before(self, instant: float) -> list[tuple[int, float]]:
        """Weeks whose reading is older than that, or was never made, each with when that was."""
        return [
            (week, reading.read_at)
            for week, reading in zip(self.want.weeks, self.readings, strict=True)
            if reading.read_at < instant
        ]


class Known:
    """What this process knows of some wants, judged at one instant (seconds since 1970)."""

    def __init__(self, wants: Sequence[Want], now: float) -> None:
        self.now = now
        self.fresh_after = now - settings.GRID_FRESH_SECONDS
        self.number = mirror.sync()
        readings = mirror.readings(key for want in wants for key in want.keys)
        stale = mirror.stale_since(key for want in wants for key in want.stale_keys)
        self.judged = [self._judge(want, readings, stale) for want in wants]
        self._is_away: bool | None = None

    def _judge(self, want: Want, readings: dict[str, Reading], stale: dict[str, float]) -> Judged:
        kept_after = self.now - settings.GRID_KEEP_SECONDS
        found = [readings[key] for key in want.keys]
        return Judged(
            want,
            [each if each.read_at >= kept_after else NEVER for each in found],
            marked_at=max([stale[key] for key in want.stale_keys]),
            failed_at=max([each.failed_at for each in found]),
        )

    def has_failed(self, judged: Judged) -> bool:
        if judged.failed_at > self.now - fetching.FAILURE_SECONDS:
            return True
        if self._is_away is None:
            self._is_away = fetching.is_away()
        return self._is_away

    def unsettled(self) -> list[Judged]:
        return [each for each in self.judged if each.lacks() and not self.has_failed(each)]

    def view(self) -> BoardView:
        starts: dict[str, array[int]] = {}
        oldest = until = float("inf")
        pending = unreachable = 0
        is_stale = False
        for judged in self.judged:
            known = [reading for reading in judged.readings if reading.read_at]
            ref = judged.want.line.schedule_ref
            for reading in known:
                oldest = min(oldest, reading.read_at)
                starts[ref] = starts[ref] + reading.starts if ref in starts else reading.starts
            if judged.read_at >= max(self.fresh_after, judged.marked_at):
                until = min(until, judged.read_at)
            elif self.has_failed(judged):
                until = 0.0
                unreachable += not known
                is_stale = is_stale or bool(known)
            else:
                until = 0.0
                pending += bool(judged.lacks())
        return BoardView(
            starts=starts,
            read_at=None if oldest == float("inf") else datetime.fromtimestamp(oldest, UTC),
            pending=pending,
            unreachable=unreachable,
            is_stale=is_stale,
            number=self.number,
            made_at=self.now,
            until=until + settings.GRID_FRESH_SECONDS if until else 0.0,
        )
