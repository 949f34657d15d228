"""What this process knows of the free times somebody wants: how old each reading is, what is lacking, what failed."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.conf import settings

from . import fetching
from .mirror import mirror
from .readings import Reading, Want, Wants


@dataclass(frozen=True, slots=True)
class BoardView:
    """``starts`` (sorted seconds since 1970) by schedule reference; ``read_at`` is that of the oldest reading shown.

    ``pending`` schedules are still being looked up, ``unreachable`` ones could not be. ``is_stale`` means that the EHR
    does not answer and some of what is shown has grown old. ``number`` is for ``changed``; ``made_at`` and ``until``
    (seconds since 1970) are when it was made, and when the passing of time alone makes it another. ``known`` is what
    the next view of the same wants begins from.
    """

    starts: dict[str, array[int]]
    read_at: datetime | None
    pending: int
    unreachable: int
    is_stale: bool
    number: int = 0
    made_at: float = 0.0
    until: float = 0.0
    known: Known | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Judged:
    """A want with the readings of its weeks. ``read_at`` is when the oldest of them was made, 0 when one never was;
    ``starts`` are those of all weeks."""

    want: Want
    readings: tuple[Reading, ...]
    starts: array[int]
    read_at: float
    marked_at: float
    failed_at: float

    def read_before(self, instant: float) -> list[tuple[int, float]]:
        """Weeks whose reading is older than that, or was never made, each with when that was."""
        return [
            (week, reading.read_at)
            for week, reading in zip(self.want.weeks, self.readings, strict=True)
            if reading.read_at < instant
        ]


class Known:
    """What this process knows of some wants, judged at one instant (seconds since 1970).

    ``before`` is what it knew of them earlier: then only what changed since is judged anew.
    """

    def __init__(self, wants: Wants, now: float, before: Known | None = None) -> None:
        self.wants = wants
        self.now = now
        self.fresh_after = now - settings.GRID_FRESH_SECONDS
        # A reading too old to be shown counts as none.
        self._kept_after = max(1.0, now - settings.GRID_KEEP_SECONDS)
        self.number = mirror.sync()
        changed = mirror.changed(before.number) if before is not None and before.wants is wants else None
        if before is None or changed is None:
            self.judged = self._judge(wants)
        else:
            places = sorted({place for key in changed for place in wants.places.get(key, ())})
            self.judged = list(before.judged)
            for place, judged in zip(places, self._judge([wants[place] for place in places]), strict=True):
                self.judged[place] = judged
        self._is_away: bool | None = None

    @staticmethod
    def _judge(wants: Sequence[Want]) -> list[Judged]:
        readings = mirror.readings(key for want in wants for key in want.keys)
        stale = mirror.stale_since(key for want in wants for key in want.stale_keys)
        found = []
        for want in wants:
            of_weeks = tuple(readings[key] for key in want.keys)
            starts = of_weeks[0].starts
            for reading in of_weeks[1:]:
                starts = starts + reading.starts
            found.append(
                Judged(
                    want,
                    of_weeks,
                    starts,
                    read_at=min([each.read_at for each in of_weeks]),
                    marked_at=max([stale[key] for key in want.stale_keys]),
                    failed_at=max([each.failed_at for each in of_weeks]),
                )
            )
        return found

    def lacks(self, judged: Judged) -> list[tuple[int, float]]:
        """Weeks never read, or seen to differ since, each with when it was read: a page waits for these."""
        return judged.read_before(max(judged.marked_at, self._kept_after))

    def has_failed(self, judged: Judged) -> bool:
        if judged.failed_at > self.now - fetching.FAILURE_SECONDS:
            return True
        if self._is_away is None:
            self._is_away = fetching.is_away()
        return self._is_away

    def unsettled(self) -> list[Judged]:
        kept_after = self._kept_after
        return [
            each
            for each in self.judged
            if (each.read_at < kept_after or each.read_at < each.marked_at) and not self.has_failed(each)
        ]

    def aged(self) -> list[Judged]:
        """Those that are good to show and no longer fresh, the oldest first."""
        kept_after, fresh_after = self._kept_after, self.fresh_after
        found = [
            each
            for each in self.judged
            if kept_after <= each.read_at < fresh_after and each.read_at >= each.marked_at
        ]
        return sorted(found, key=lambda each: each.read_at)

    def view(self) -> BoardView:
        starts: dict[str, array[int]] = {}
        oldest = until = float("inf")
        pending = unreachable = 0
        is_stale = False
        kept_after, fresh_after = self._kept_after, self.fresh_after
        for judged in self.judged:
            read_at, free = judged.read_at, judged.starts
            is_whole = is_known = read_at >= kept_after
            if not is_whole:
                known = [reading for reading in judged.readings if reading.read_at >= kept_after]
                is_known = bool(known)
                read_at = min([reading.read_at for reading in known], default=oldest)
                free = array("I", [start for reading in known for start in reading.starts])
            if is_known:
                oldest = min(oldest, read_at)
                ref = judged.want.line.schedule_ref
                starts[ref] = starts[ref] + free if ref in starts else free
            if is_whole and read_at >= fresh_after and read_at >= judged.marked_at:
                until = min(until, read_at)
            elif self.has_failed(judged):
                until = 0.0
                unreachable += not is_known
                is_stale = is_stale or is_known
            else:
                until = 0.0
                pending += not is_whole or read_at < judged.marked_at
        return BoardView(
            starts=starts,
            read_at=None if oldest == float("inf") else datetime.fromtimestamp(oldest, UTC),
            pending=pending,
            unreachable=unreachable,
            is_stale=is_stale,
            number=self.number,
            made_at=self.now,
            until=until + settings.GRID_FRESH_SECONDS if until else 0.0,
            known=self,
        )
