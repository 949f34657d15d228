"""Booking end to end by visitors who proved a contact already: the page of times, the hold, details, review, booked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from urllib.parse import urlencode

from .. import grid, load
from ..data import Clinic
from ..figures import Act, Figures, Stopwatch
from ..oracle import Wrong
from ..scene import Scene

WORKLOAD = "booking"
ONE_BY_ONE, AT_ONCE, EACH = 10, 8, 4
# Requests of one booking.
STEPS = 8


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


def _book(scene: Scene, times: Times, visitors: list[dict[str, str]], each: int, *, in_turn: bool) -> Figures:
    """Every visitor books ``each`` visits, one after another; what each was shown last must say so."""
    crowd = []
    for number, headers in enumerate(visitors):
        path = [ask for _ in range(each) for ask in asks(scene, times.take(), number)]
        crowd.append(load.Visitor(path, headers))

    def act() -> load.Outcome:
        outcome = load.run(scene.portal.port, crowd, rounds=1, keep_bodies=True, in_turn=in_turn)
        last = [
            grid.plain(body.encode("latin-1"))
            for bodies in outcome.bodies
            for body in bodies[STEPS - 1 :: STEPS]
        ]
        booked = sum(b"is booked" in page for page in last)
        if booked != each * len(visitors):
            raise Wrong(f"{booked} of {each * len(visitors)} visits were booked")
        return outcome

    return scene.metered(act)


def _one_by_one(scene: Scene, times: Times) -> Figures:
    """Each by somebody new, so that a round is one booking."""
    return _book(scene, times, scene.portal.visitors(scene.seeds, ONE_BY_ONE), 1, in_turn=True)


def _together(scene: Scene, times: Times) -> Figures:
    visitors = scene.portal.visitors(scene.seeds, AT_ONCE)
    figures = _book(scene, times, visitors, EACH, in_turn=False)
    # A round was ``EACH`` bookings.
    return {name: value * EACH if name == "per_second" else value / EACH for name, value in figures.items()}


def booking(scene: Scene, watch: Stopwatch) -> None:
    """Uses up times: nothing that compares pages with the oracle may come after it on the same portal."""
    scene.delay(0)
    scene.warm()
    times = Times(scene)
    acts: dict[tuple[str, ...], Act] = {}
    for delay in (0, 50):
        for what, book in (("one by one", _one_by_one), (f"{AT_ONCE} at once", _together)):
            acts[WORKLOAD, scene.name, what, f"EHR {delay} ms"] = partial(_delayed, scene, times, delay, book)
    watch.take(acts)
    scene.delay(0)


def _delayed(scene: Scene, times: Times, delay: int, book: Callable[[Scene, Times], Figures]) -> Figures:
    scene.delay(delay)
    return book(scene, times)
