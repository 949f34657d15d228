"""Pages of times from a board that is filled: ours, the same bytes as a file, an empty view, and the peer's page."""

from __future__ import annotations

from collections.abc import Callable

from .. import grid, load
from ..figures import Act, Figures, Stopwatch
from ..oracle import Wrong
from ..scene import Scene, metered_elsewhere
from ..systems import Floor

WORKLOAD = "warm"
GZIP = {"Host": "localhost", "X-Forwarded-Proto": "https", "Accept-Encoding": "gzip"}


def visitors(
    scene: Scene, count: int, paths: list[str], headers: dict[str, str] | None = None
) -> list[load.Visitor]:
    asks = [load.Ask(path, headers=headers or {}) for path in paths]
    return [load.Visitor(asks, each) for each in scene.visitors[:count]]


def ours(scene: Scene, count: int, paths: list[str], headers: dict[str, str] | None = None) -> Act:
    crowd = visitors(scene, count, paths, headers)
    return lambda: scene.metered(lambda: load.run(scene.portal.port, crowd, seconds=scene.seconds))


def elsewhere(scene: Scene, server: str, count: int, path: str, headers: dict[str, str]) -> Act:
    running = scene.floor if server == "floor" else scene.peer
    assert running is not None
    crowd = [load.Visitor([load.Ask(path)], headers) for _ in range(count)]
    return lambda: metered_elsewhere(
        running, scene.base, lambda: load.run(running.port, crowd, seconds=scene.seconds)
    )


def prepare(scene: Scene) -> None:
    """The board filled and right, and the floor up with the bytes of the page and its part."""
    scene.delay(0)
    scene.warm()
    browser = grid.Browser(scene.portal.port, {**scene.visitors[0], "Accept-Encoding": "identity"})
    first = grid.week_pages(scene.clinic.week(0))
    pages, parts = browser.pages(first), browser.pages(first, grid.HTMX)
    browser.close()
    for bodies, who in ((pages, "page"), (parts, "part")):
        grid.require_page(scene.shown(bodies, scene.clinic.week(0)), f"the portal's {who} at {scene.name}")
    if scene.floor is None:
        scene.floor = Floor(scene.portal, {"page.html": pages[0], "part.html": parts[0]})


def warm(scene: Scene, watch: Stopwatch) -> None:
    prepare(scene)
    first, all_weeks = grid.week_pages(scene.clinic.week(0)), grid.four_weeks(scene.clinic)
    for count in scene.crowds:
        acts: dict[str, Callable[[], Figures]] = {
            # What somebody who comes from the question before is shown; its times are the week's own.
            "page as first seen": ours(scene, count, [grid.next_available()]),
            "page, 7 days": ours(scene, count, first),
            "part, 7 days": ours(scene, count, first, grid.HTMX),
            "floor: page as a file": elsewhere(scene, "floor", count, "/static/floor/page.html", GZIP),
        }
        if count == 1:
            acts |= {
                "page, 28 days": ours(scene, count, all_weeks),
                "part, 28 days": ours(scene, count, all_weeks, grid.HTMX),
                "floor: part as a file": elsewhere(scene, "floor", count, "/static/floor/part.html", GZIP),
                "floor: empty view": elsewhere(scene, "floor", count, "/empty/", GZIP),
            }
        if scene.peer is not None:
            acts["peer: its page"] = elsewhere(
                scene, "peer", count, scene.peer.page, {"Accept-Encoding": "gzip"}
            )
        watch.take({(WORKLOAD, scene.name, what, f"c={count}"): act for what, act in acts.items()})


def next_available(scene: Scene, watch: Stopwatch) -> None:
    """The page without a day: it finds the first times beyond days that have none."""
    prepare(scene)
    path = grid.next_available()
    browser = grid.Browser(scene.portal.port, scene.visitors[0])
    slots = grid.slots_in(browser.get(path), scene.portal.schedules)
    browser.close()
    wanted = scene.oracle.next_available(range(scene.size))
    if min((start for _, start in slots), default=0) != wanted:
        raise Wrong(f"next available at {scene.name} is not the oracle's {wanted}")
    watch.take(
        {
            ("next", scene.name, "page, next available", f"c={count}"): ours(scene, count, [path])
            for count in scene.crowds[:2]
        }
    )
