"""The EHR is gone for a while, and patients keep pressing the last button so many times a second."""

from __future__ import annotations

import random
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from tests.rig.fault_proxy import Mode

from .checker import Findings, check, look_again, settle
from .people import AWAY, BOOKED, CONFIRMING, LightVisitor, Patient, read
from .scene import Scene


@dataclass
class Death:
    """``presses`` while it was gone; those ``answered`` by its end were each a first try of one call. ``went_out`` is every
    request that came to its door meanwhile, the workers' and those of presses still waiting too. ``took`` has the seconds
    of every page by what it said; ``honest`` are those that said the time is still held, or that we are confirming."""

    presses: int = 0
    answered: int = 0
    went_out: int = 0
    took: dict[str, list[float]] = field(default_factory=dict)
    first_success_after: float = 0.0
    findings: Findings = field(default_factory=Findings)

    @property
    def ratio(self) -> float:
        return self.went_out / max(1, self.answered)

    @property
    def seconds(self) -> list[float]:
        return sorted(each for some in self.took.values() for each in some)

    @property
    def honest(self) -> int:
        return len(self.took.get(AWAY, [])) + len(self.took.get(CONFIRMING, []))

    def figures(self) -> dict[str, Any]:
        took = self.seconds
        return self.findings.figures() | {
            "presses while away": self.presses,
            "answered while away": self.answered,
            "requests to the EHR": self.went_out,
            "ratio": round(self.ratio, 3),
            "honest pages": self.honest,
            "page p50 s": round(took[len(took) // 2], 2) if took else 0,
            "page max s": round(took[-1], 2) if took else 0,
            "pages over 3 s": sum(each > 3 for each in took),
            "slowest page s by what it said": {what: round(max(some), 2) for what, some in self.took.items()},
            "first success after s": round(self.first_success_after, 1),
        }


def to_review(scene: Scene, patients: list[Patient]) -> list[tuple[Patient, LightVisitor]]:
    """Everybody chooses a time, while the EHR is well, and stands before the last button."""
    draw = random.Random(3)

    def walk(patient: Patient) -> tuple[Patient, LightVisitor]:
        visitor = LightVisitor(scene.portal.url, patient.session)
        for _ in range(20):
            visitor.open(f"/book/times/?day={draw.choice(scene.days_ahead())}")
            if slots := visitor.page.buttons("slot"):
                visitor.press(name="slot", value=draw.choice(slots).value)
                if visitor.page.path == "/book/review/":
                    return patient, visitor
        raise AssertionError(visitor.page.text[:500])

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(walk, patients))


def die(
    scene: Scene, patients: list[Patient], *, seconds: float, a_second: float, how: Mode = Mode.RESET_BEFORE
) -> Death:
    """``patients`` press in turn, none of them while an earlier press of theirs still waits.

    A machine that answers slowly is given longer, for the first calls cost the same however many presses follow.
    """
    ready = to_review(scene, patients)
    found, lock, proxy = Death(), Lock(), scene.proxies["ehr"]
    booked_at: list[float] = []
    free = deque(ready)

    def press(one: tuple[Patient, LightVisitor]) -> None:
        _, visitor = one
        began = time.monotonic()
        # Whose earlier press got through stands on the visit's own page.
        is_before = visitor.page.path == "/book/review/"
        page = visitor.press("Book this visit") if is_before else visitor.open("/book/review/")
        what, _ = read(page)
        with lock:
            found.took.setdefault(what, []).append(time.monotonic() - began)
            if what == BOOKED:
                booked_at.append(time.monotonic())
            free.append(one)

    with ThreadPoolExecutor(len(ready)) as pool:
        before = proxy.requests
        proxy.set(how)
        began, waiting, turns = time.monotonic(), [], 0
        least = 0.8 * seconds * a_second
        while (at := time.monotonic() - began) < seconds or (
            sum(each.done() for each in waiting) < least and at < 6 * seconds
        ):
            if free:
                waiting.append(pool.submit(press, free.popleft()))
                found.presses += 1
            turns += 1
            time.sleep(max(0.01, turns / a_second - at))
        found.went_out, found.answered = proxy.requests - before, sum(each.done() for each in waiting)
        proxy.set(Mode.PASS)
        back = time.monotonic()
        for each in waiting:
            each.result()
    # Those who were still waiting may all have been booked before anybody presses again.
    since = [at - back for at in booked_at if at >= back]
    found.first_success_after = min(since) if since else _first_success(ready, back)
    for _, visitor in ready:
        visitor.close()
    settle(scene)
    look_again(scene, patients)
    found.findings = check(scene, patients)
    return found


def _first_success(ready: list[tuple[Patient, LightVisitor]], back: float) -> float:
    while time.monotonic() - back < 60:
        for _, visitor in ready:
            visitor.open("/book/review/")
            if visitor.page.path == "/book/review/" and read(visitor.press("Book this visit"))[0] == BOOKED:
                return time.monotonic() - back
        time.sleep(0.2)
    raise AssertionError("nothing was booked within a minute of the EHR's return")
