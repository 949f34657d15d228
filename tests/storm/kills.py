"""kill -9 at named points and at random, while people book and the EHR loses some of its answers."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from operator import itemgetter
from threading import Event, Thread
from typing import Any, get_args

from booking import crash_points
from tests.rig.processes import Child

from .checker import Findings, check, look_again, settle, slowest, unbooked
from .people import Patient, book_all
from .scene import Scene, kill, processes_below

OUTLASTS_KILLS = 300.0
# People who come together; then the next.
AT_A_TIME = 60
STAFF_MOVES = "change seen in the EHR"


@dataclass
class Kills:
    """``fired``: how often each point killed; ``random_kills`` by who was hit. At worst: ``pages_back`` from a page that
    failed to the next good one of anybody's, ``to_booked`` from the press to the EHR's word in our database,
    ``to_message`` from there to its message. ``unbooked``: what became of those who have no visit, by number."""

    findings: Findings
    people: int = 0
    fired: Counter[str] = field(default_factory=Counter)
    random_kills: Counter[str] = field(default_factory=Counter)
    pages_back: float = 0.0
    to_booked: float = 0.0
    to_message: float = 0.0
    unbooked: dict[int, list[str]] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        return self.findings.figures() | {
            "people": self.people,
            "without a visit": self.unbooked,
            "kills": self.fired.total() + self.random_kills.total(),
            "points": len(self.fired),
            "least often": " ".join(map(str, min(self.fired.items(), key=itemgetter(1), default=("",)))),
            "pages back after s": round(self.pages_back, 1),
            "press to booked s": round(self.to_booked, 1),
            "booked to message s": round(self.to_message, 1),
            **{f"killed {name}": times for name, times in sorted(self.random_kills.items())},
        }


class Reaper:
    """Keeps points armed until each has killed ``each`` times, never more than one new one in ``apart`` seconds."""

    def __init__(self, scene: Scene, names: list[str], each: int, *, apart: float) -> None:
        self._scene, self._names, self._each, self._apart = scene, names, each, apart
        self._over = Event()
        self._thread = Thread(target=self._reap, daemon=True, name="reaper")

    @property
    def fired(self) -> Counter[str]:
        found = (path.name.rpartition(", ") for path in self._scene.crashes.iterdir())
        return Counter(name for name, comma, _ in found if comma)

    @property
    def is_done(self) -> bool:
        return all(self.fired[name] >= self._each for name in self._names)

    def __enter__(self) -> Reaper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        for name in self._names:
            (self._scene.crashes / name).unlink(missing_ok=True)

    def _reap(self) -> None:
        draw = random.Random(7)
        while not self._over.wait(self._apart):
            # In this order: one that kills in between is seen as armed or as fired.
            armed = {name for name in self._names if (self._scene.crashes / name).exists()}
            fired = self.fired
            wanting = [name for name in self._names if fired[name] < self._each and name not in armed]
            if wanting:
                (self._scene.crashes / draw.choice(wanting)).touch()


def at_points(scene: Scene, people: Callable[[int], list[Patient]], *, each: int, seconds: float) -> Kills:
    """Every point kills ``each`` times while people book; as many come as that takes, for ``seconds`` at most.

    Staff move visits now and then, so that there is something to follow.
    """
    names = list(get_args(crash_points.Name))
    scene.crashes.mkdir(exist_ok=True)
    for path in scene.crashes.iterdir():
        path.unlink()
    scene.sandbox.faults(
        "commit-then-no-answer", method="POST", type="Appointment", times=None, probability=0.1
    )
    scene.sandbox.faults(
        "reset-before-commit", method="POST", type="Appointment", times=None, probability=0.05
    )
    ends = time.monotonic() + seconds
    patients: list[Patient] = []
    with Reaper(scene, names, each, apart=0.7) as reaper, _moving_staff(scene):

        def is_over() -> bool:
            return reaper.is_done or time.monotonic() > ends

        # On a quick machine they are through before the last point is armed, and nothing but a booking comes to most.
        while not is_over():
            patients += book_all(scene, people(AT_A_TIME), patience=OUTLASTS_KILLS, is_over=is_over)
        fired = reaper.fired
    scene.sandbox.clear_faults()
    kills = _settled(scene, patients)
    kills.fired = fired
    return kills


class _moving_staff:  # noqa: N801 - named as the block it makes
    """Staff in the EHR move a visit of ours for as long as the point behind that is armed."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._over = Event()
        self._thread = Thread(target=self._move, daemon=True, name="staff")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _move(self) -> None:
        moved: set[str] = set()
        while not self._over.wait(2):
            if not (self._scene.crashes / STAFF_MOVES).exists():
                continue
            booked = self._scene.query(
                "SELECT appointment_ref, starts_at, ends_at FROM booking_booking WHERE state = 'booked'"
            )
            for ref, starts_at, ends_at in booked:
                key = ref.removeprefix("Appointment/")
                if key not in moved:
                    # Far beyond what patients can choose, where nobody's visit is in the way.
                    later = timedelta(days=60)
                    new = self._scene.sandbox.staff_moves(key, starts_at + later, ends_at + later)
                    moved |= {key, new}
                    break


def at_random(scene: Scene, patients: list[Patient], *, every: float) -> Kills:
    """Some process of the portal dies every few seconds until all those people are through."""
    scene.sandbox.faults(
        "commit-then-no-answer", method="POST", type="Appointment", times=None, probability=0.05
    )
    hit: Counter[str] = Counter()
    over = Event()

    def strike() -> None:
        draw = random.Random(11)
        # The first as soon as anybody is on the way: a quick machine is through with a few people before the second.
        while not any(patient.history for patient in patients) and not over.wait(0.02):
            pass
        pause = 0.0
        while not over.wait(pause):
            who = draw.choice(["web", "web process", "worker", "pool child", "beat", "relay"])
            pause = 0.2
            if _strike(scene, who, draw):
                hit[who] += 1
                pause = every

    thread = Thread(target=strike, daemon=True, name="killer")
    thread.start()
    try:
        book_all(scene, patients, patience=OUTLASTS_KILLS)
    finally:
        over.set()
        thread.join()
        scene.sandbox.clear_faults()
    kills = _settled(scene, patients)
    kills.random_kills = hit
    return kills


def _strike(scene: Scene, who: str, draw: random.Random) -> bool:
    portal = scene.portal
    with scene.watchman.lock:
        if who in ("web process", "pool child"):
            parent = portal.web if who == "web process" else portal.worker
            below = processes_below(parent.pid) if parent else []
            return bool(below) and kill(draw.choice(below))
        child: Child | None = getattr(portal, who)
        if child is None or not child.running:
            return False
        # A container dies whole.
        return child.signal_group(9)  # type: ignore[arg-type]


def _settled(scene: Scene, patients: list[Patient]) -> Kills:
    """Wait until nothing is in doubt and nothing owed, let everybody look once more, and compare."""
    settle(scene)
    look_again(scene, patients)
    kills = Kills(check(scene, patients), people=len(patients))
    pages = sorted((said for patient in patients for said in patient.history), key=lambda said: said.at)
    good = [said.at for said in pages if said.status == 200]
    bad = [said.at for said in pages if said.status != 200]
    kills.pages_back = max(
        (next((at - failed for at in good if at >= failed), 0.0) for failed in bad), default=0.0
    )
    kills.unbooked = unbooked(scene, patients)
    kills.to_booked, kills.to_message = slowest(scene, patients)
    return kills
