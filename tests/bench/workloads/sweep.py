"""The same work: every free time of the clinic in seven days, by our pages and by the peer's endpoint.

The peer has no grid: its endpoint answers for one clinician and one day, so the work is one call for each.
"""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from .. import grid, load
from ..data import ZONE
from ..figures import Act, Figures, Stopwatch
from ..oracle import Answer, Wrong, by_clinician_day, require
from ..scene import Scene, metered_elsewhere
from .warm import prepare

WORKLOAD = "every time"
CONNECTIONS = 4


def dealt(paths: list[str], visitors: list[dict[str, str]], headers: dict[str, str]) -> list[load.Visitor]:
    """The work split over four visitors, who do their shares at the same time."""
    shares = [paths[number::CONNECTIONS] for number in range(CONNECTIONS)]
    return [
        load.Visitor([load.Ask(path, headers=headers) for path in share], visitors[number % len(visitors)])
        for number, share in enumerate(shares)
        if share
    ]


def _whole_work(figures: Figures, outcome: load.Outcome) -> Figures:
    """Costs were reckoned by visitor; here all of them together did the work once."""
    scaled = {
        name: value * outcome.rounds
        for name, value in figures.items()
        if name.endswith(("_cpu_ms", "sql", "ehr_calls", "kbytes"))
    }
    return scaled | {"p50_ms": outcome.seconds * 1000, "requests": float(sum(outcome.statuses.values()))}


def our_pages(scene: Scene, htmx: bool) -> Figures:
    paths = grid.everything(scene.clinic, scene.size)
    crowd = dealt(paths, scene.visitors, grid.HTMX if htmx else {})
    outcomes: list[load.Outcome] = []

    def act() -> load.Outcome:
        outcomes.append(load.run(scene.portal.port, crowd, rounds=1, keep_bodies=True))
        return outcomes[-1]

    figures = scene.metered(act)
    bodies = [body.encode("latin-1") for each in outcomes[-1].bodies for body in each]
    grid.require_everything(bodies, scene.portal.schedules, scene.oracle, scene.size)
    return _whole_work(figures, outcomes[-1])


def peer_calls(scene: Scene) -> Figures:
    peer = scene.peer
    assert peer is not None
    days = scene.clinic.week(0)
    # Seven days a clinician, as in our week: the weekend is asked for as well.
    all_days = [days[0] + timedelta(days=number) for number in range(7)]
    paths = [
        f"/appointment/ajax/available_slots/?selected_date={day}&staff_member={staff}&service_id={peer.service}"
        for staff in peer.staff
        for day in all_days
    ]
    asked = [(index, day) for index in range(len(peer.staff)) for day in all_days]
    outcomes: list[load.Outcome] = []

    def act() -> load.Outcome:
        crowd = dealt(paths, [{}], {"X-Requested-With": "XMLHttpRequest"})
        for visitor in crowd:
            for ask in visitor.asks:
                # Days without a time are answered with 400.
                ask.status = 0
        outcomes.append(load.run(peer.port, crowd, rounds=1, keep_bodies=True))
        return outcomes[-1]

    figures = metered_elsewhere(peer, scene.base, act)
    answer: Answer = {}
    for number, bodies in enumerate(outcomes[-1].bodies):
        for (clinician, _), body in zip(asked[number::CONNECTIONS], bodies, strict=True):
            slots = json.loads(body)["available_slots"]
            answer |= by_clinician_day((clinician, _epoch(start)) for start, _ in slots)
    require(answer, scene.oracle.answer(range(scene.size), days), "the peer's endpoint")
    return _whole_work(figures, outcomes[-1])


def _epoch(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(ZONE))).timestamp())


def every_time(scene: Scene, watch: Stopwatch) -> None:
    prepare(scene)
    paths = grid.everything(scene.clinic, scene.size)
    browser = grid.Browser(scene.portal.port, scene.visitors[0])
    # The board may never have been asked for the later pages.
    _until_everything(scene, browser, paths)
    browser.close()
    ours = f"{len(paths)} pages"
    acts: dict[tuple[str, ...], Act] = {
        (WORKLOAD, scene.name, f"ours: {ours}", f"c={CONNECTIONS}"): lambda: our_pages(scene, htmx=False),
        (WORKLOAD, scene.name, f"ours: {ours} as parts", f"c={CONNECTIONS}"): lambda: our_pages(
            scene, htmx=True
        ),
    }
    if scene.peer is not None:
        calls = f"peer: {7 * len(scene.peer.staff):,} calls"
        acts[WORKLOAD, scene.name, calls, f"c={CONNECTIONS}"] = lambda: peer_calls(scene)
    watch.take(acts)


def _until_everything(scene: Scene, browser: grid.Browser, paths: list[str]) -> None:
    for attempt in range(40):
        try:
            grid.require_everything(browser.pages(paths), scene.portal.schedules, scene.oracle, scene.size)
            return
        except Wrong:
            if attempt == 39:
                raise
            time.sleep(0.5)
