"""Booking end to end by visitors who proved a contact already: the page of times, the hold, details, review, booked."""

from __future__ import annotations

from urllib.parse import urlencode

from .. import grid, load
from ..data import Clinic
from ..figures import Figures, Stopwatch
from ..scene import Scene

WORKLOAD = "booking"
ONE_BY_ONE, AT_ONCE, EACH = 10, 8, 4


class Times:
    """Free times for the taking, no two of one clinician's close to each other on one day."""

    def __init__(self, scene: Scene) -> None:
        schedules = {index: schedule for schedule, index in scene.portal.schedules.items()}
        clinic: Clinic = scene.clinic
        self._all = (
            f"{schedules[clinician]}.{start}.video"
            for day in clinic.days
            for clinician in range(min(scene.size, grid.PAGE_OF))
            for start in sorted(scene.oracle.day(clinician, day))
        )

    def take(self) -> str:
        return next(self._all)


def asks(scene: Scene, slot: str, number: int) -> list[load.Ask]:
    details = {
        "given_name": "Bench",
        "family_name": f"Visitor{number}",
        "birth_month": "2",
        "birth_day": "28",
        "birth_year": "1984",
        "sex": "female",
    }
    return [
        load.Ask(grid.week_pages(scene.clinic.week(0))[0]),
        load.Ask(grid.PATH, "POST", body=urlencode({"slot": slot}), status=302),
        load.Ask(None, status=302),
        load.Ask(None),
        load.Ask("/book/details/", "POST", body=urlencode(details), status=302),
        load.Ask(None),
        load.Ask("/book/review/", "POST", body="book=1", status=302),
        load.Ask(None),
    ]


def _book(scene: Scene, times: Times, visitors: list[dict[str, str]], each: int) -> load.Outcome:
    """Every visitor books ``each`` times, one after another; an account of what they were shown last is checked."""
    crowd = []
    for number, headers in enumerate(visitors):
        path = [ask for _ in range(each) for ask in asks(scene, times.take(), number)]
        crowd.append(load.Visitor(path, headers))
    outcome = load.run(scene.portal.port, crowd, rounds=1, keep_bodies=True)
    booked = 0
    for bodies in outcome.bodies:
        booked += sum(b"is booked" in grid.plain(body.encode("latin-1")) for body in bodies[7::8])
    if booked != each * len(visitors):
        raise grid.Wrong(f"{booked} of {each * len(visitors)} visits were booked")
    return outcome


def _alone(scene: Scene, times: Times) -> Figures:
    """Bookings one after another, each by somebody new: the time of each is one figure."""
    milliseconds: list[float] = []

    def act() -> load.Outcome:
        whole: load.Outcome | None = None
        for headers in scene.portal.visitors(scene.seeds, ONE_BY_ONE):
            outcome = _book(scene, times, [headers], 1)
            milliseconds.extend(outcome.round_ms)
            if whole is None:
                whole = outcome
            else:
                whole.round_ms += outcome.round_ms
                whole.seconds += outcome.seconds
                whole.body_bytes += outcome.body_bytes
                whole.client_cpu_seconds += outcome.client_cpu_seconds
        assert whole is not None
        return whole

    return scene.metered(act)


def _together(scene: Scene, times: Times) -> Figures:
    visitors = scene.portal.visitors(scene.seeds, AT_ONCE)
    figures = scene.metered(lambda: _book(scene, times, visitors, EACH))
    # A round was ``EACH`` bookings.
    return {name: value * EACH if name == "per_second" else value / EACH for name, value in figures.items()}


def booking(scene: Scene, watch: Stopwatch) -> None:
    """Uses up times: nothing that compares pages with the oracle may come after it on the same portal."""
    scene.delay(0)
    scene.warm()
    times = Times(scene)
    acts = {}
    for delay in (0, 50):
        acts[WORKLOAD, scene.name, "one by one", f"EHR {delay} ms"] = _delayed(
            scene, delay, lambda: _alone(scene, times)
        )
        acts[WORKLOAD, scene.name, f"{AT_ONCE} at once", f"EHR {delay} ms"] = _delayed(
            scene, delay, lambda: _together(scene, times)
        )
    watch.take(acts)
    scene.delay(0)


def _delayed(scene: Scene, delay: int, act):  # type: ignore[no-untyped-def]
    def delayed() -> Figures:
        scene.delay(delay)
        figures: Figures = act()
        return figures

    return delayed
