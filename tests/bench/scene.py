"""One size of clinic with everything that serves it, and the meters around each run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

from tests.rig.sandbox import SandboxControl

from . import data, grid, load
from .figures import Figures
from .oracle import Oracle
from .systems import OPEN_BUDGET, Floor, Ground, Peer, PortalUnderTest
from .usage import cpu_seconds

# The EHR's answer is delayed by so much, besides its own time.
DELAYS_MS = (0, 50, 200)


@dataclass
class Scene:
    base: Ground
    clinic: data.Clinic
    size: int
    sandbox: SandboxControl
    portal: PortalUnderTest
    peer: Peer | None = None
    floor: Floor | None = None
    # Long enough for many rounds, short enough for many runs.
    seconds: float = 1.0
    crowds: tuple[int, ...] = (1, 8, 32)

    @cached_property
    def name(self) -> str:
        full = " 95% busy" if self.clinic.busy_share == data.NEARLY_FULL else ""
        return f"{self.size:,}{full}"

    @cached_property
    def oracle(self) -> Oracle:
        return Oracle(self.clinic, 20)

    @cached_property
    def seeds(self) -> dict[str, Any]:
        return data.seeds(self.clinic)

    @cached_property
    def visitors(self) -> list[dict[str, str]]:
        """Headers of 100 visitors, each with a session of their own."""
        return self.portal.visitors(self.seeds, 100)

    def delay(self, milliseconds: int) -> None:
        self.sandbox.clear_faults()
        if milliseconds:
            self.sandbox.faults("slow", times=None, delay_seconds=milliseconds / 1000)

    def stop_floor(self) -> None:
        if self.floor is not None:
            self.floor.stop()

    def shown(self, bodies: list[bytes], days: tuple[date, ...]) -> grid.Shown:
        return grid.compare(bodies, self.portal.schedules, self.oracle, days, self.size)

    def warm(self, seconds: float = 300) -> None:
        """Have the four weeks of the first page on the board, whole.

        A large board is filled by a portal that may ask the EHR without a limit; what is timed keeps to the default one.
        """
        weeks = {week: grid.week_pages(week) for week in map(self.clinic.week, range(data.WEEKS))}
        if self.size > grid.PAGE_OF and not self._is_whole(weeks):
            self.portal.restart(**OPEN_BUDGET)
            self._until_whole(weeks, seconds)
            self.portal.restart()
        self._until_whole(weeks, seconds)

    def _is_whole(self, weeks: Mapping[tuple[date, ...], list[str]]) -> bool:
        try:
            self._until_whole(weeks, 0)
        except grid.NotWhole:
            return False
        return True

    def _until_whole(self, weeks: Mapping[tuple[date, ...], list[str]], seconds: float) -> None:
        """Ask for pages as a waiting browser would, until all are whole; ``NotWhole`` when that takes too long."""
        browser = grid.Browser(self.portal.port, self.visitors[0])
        ends, waiting = time.monotonic() + seconds, dict(weeks)
        while True:
            for days, paths in list(waiting.items()):
                shown = self.shown(browser.pages(paths), days)
                if not shown.missing and not shown.is_waiting:
                    del waiting[days]
            if not waiting:
                break
            if time.monotonic() > ends:
                raise grid.NotWhole(f"the grid of {self.name} was not whole after {seconds:.0f} seconds")
            time.sleep(0.3)
        browser.close()

    def meters(self) -> Figures:
        found = {f"{name}_cpu": value for name, value in self.portal.cpu().items()}
        assert self.base.postgres.child is not None
        return found | {
            "postgres_cpu": cpu_seconds(self.base.postgres.child.pid),
            "redis_cpu": cpu_seconds(self.base.redis.child.pid),
            "sandbox_cpu": cpu_seconds(self.sandbox.child.pid),
            "sql": self.portal.statements(),
            "ehr_calls": self.portal.ehr_calls(),
        }

    def metered(self, act: Callable[[], load.Outcome]) -> Figures:
        """Figures of a load on the portal: latencies, and what a round cost each part."""
        before = self.meters()
        outcome = act()
        after = self.meters()
        spent = {name: after[name] - before.get(name, 0) for name in after}
        return outcome.figures() | per_round(spent, outcome.rounds)

    def settle(self, seconds: float = 4) -> None:
        """Wait until nobody asks the EHR anything, or for so long at most."""
        ends, calls = time.monotonic() + seconds, -1
        while time.monotonic() < ends and calls != (calls := self.portal.ehr_calls()):
            time.sleep(0.4)


def per_round(spent: Figures, rounds: int) -> Figures:
    """CPU in milliseconds, and counts, by round."""
    return {
        f"{name}_ms" if name.endswith("_cpu") else name: value
        * (1000 if name.endswith("_cpu") else 1)
        / rounds
        for name, value in spent.items()
    }


def metered_elsewhere(server: Floor | Peer, base: Ground, act: Callable[[], load.Outcome]) -> Figures:
    """Figures of a load on the floor or the peer."""

    def meters() -> Figures:
        assert base.postgres.child is not None
        found = {f"{name}_cpu": value for name, value in server.cpu().items()}
        found["postgres_cpu"] = cpu_seconds(base.postgres.child.pid)
        if isinstance(server, Peer):
            found["sql"] = server.statements()
        return found

    before = meters()
    outcome = act()
    after = meters()
    return outcome.figures() | per_round({name: after[name] - before[name] for name in after}, outcome.rounds)
