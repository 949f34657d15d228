"""How hard visitors lean on the EHR: a hundred at one cold grid, and thirty-two who look again and again."""

from __future__ import annotations

from datetime import date, timedelta
from urllib.parse import parse_qs

from .. import grid, load
from ..figures import Figures, Stopwatch
from ..scene import Scene

WORKLOAD = "crowd"
VISITORS, LOOKING = 100, 32
DELAY_MS = 50


def cold_grid(scene: Scene, watch: Stopwatch) -> None:
    """A hundred visitors ask for the same week at the same moment, with nothing on the board, and again twice."""
    scene.delay(DELAY_MS)
    paths = grid.week_pages(scene.clinic.week(0))

    def act() -> Figures:
        scene.settle()
        before = scene.sandbox.slot_searches()
        scene.portal.forget_board()
        crowd = [load.Visitor([load.Ask(path) for path in paths], each) for each in scene.visitors[:VISITORS]]
        figures = scene.metered(lambda: load.run(scene.portal.port, crowd, rounds=3, pause_seconds=1))
        scene.settle()
        after = scene.sandbox.slot_searches()
        asked = {
            query: number - before.get(query, 0)
            for query, number in after.items()
            if number > before.get(query, 0)
        }
        return figures | _searches(asked)

    watch.take({(WORKLOAD, scene.name, f"{VISITORS} at one cold grid, 3 rounds", f"EHR {DELAY_MS} ms"): act})
    scene.delay(0)


def _searches(asked: dict[str, int]) -> Figures:
    """How many Slot searches there were, how many were one asked before, and how often a schedule's day was fetched."""
    days: dict[tuple[str, str, date], int] = {}
    windows: set[tuple[date, date]] = set()
    for query, number in asked.items():
        fields = {name: values[0] for name, values in parse_qs(query).items()}
        first, last = date.fromisoformat(fields["start"]), date.fromisoformat(fields["end"])
        windows.add((first, last))
        for offset in range((last - first).days + 1):
            key = (fields["schedule"], fields["duration"], first + timedelta(days=offset))
            days[key] = days.get(key, 0) + number
    total = sum(asked.values())
    return {
        "slot_searches": float(total),
        "searches_repeated": float(total - len(asked)),
        "windows": float(len(windows)),
        "schedules": float(len({key[0] for key in days})),
        "most_fetches_of_a_schedule_day": float(max(days.values(), default=0)),
    }


def visitor_minutes(scene: Scene, watch: Stopwatch, seconds: float) -> None:
    """Visitors who look at the week every three seconds while the board is kept fresh: EHR calls by visitor-minute."""
    scene.delay(DELAY_MS)
    scene.warm()
    paths = grid.week_pages(scene.clinic.week(0))

    def act() -> Figures:
        crowd = [load.Visitor([load.Ask(path) for path in paths], each) for each in scene.visitors[:LOOKING]]
        before = scene.portal.ehr_calls()
        figures = scene.metered(lambda: load.run(scene.portal.port, crowd, seconds=seconds, pause_seconds=3))
        calls = scene.portal.ehr_calls() - before
        minutes = seconds / 60
        return figures | {
            "ehr_calls_a_minute": calls / minutes,
            "ehr_calls_a_visitor_minute": calls / minutes / LOOKING,
        }

    watch.take({(WORKLOAD, scene.name, f"{LOOKING} looking every 3 s", f"EHR {DELAY_MS} ms"): act}, runs=1)
    scene.delay(0)
