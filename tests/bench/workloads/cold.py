"""Pages of times where nothing is known: fresh processes and an empty board; and fresh processes with a full one.

A fresh process has answered its front page once, so that what is loaded with the first page of any site is not charged
to the grid. Of the two web processes one is asked for the page and the other for its part.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import date

from .. import data, grid
from ..figures import Figures, Stopwatch, percentile
from ..scene import DELAYS_MS, Scene
from ..usage import serving_process, tree

WORKLOAD = "cold"


def fresh_connections(scene: Scene) -> list[grid.Browser]:
    """Restart the web processes, and open a connection to each that has answered the front page and nothing else."""
    scene.portal.restart_web()
    pids = tree(scene.portal.web.pid)
    found: dict[int, grid.Browser] = {}
    for number in range(40):
        browser = grid.Browser(scene.portal.port, scene.visitors[number % len(scene.visitors)])
        browser.get("/")
        pid = serving_process(scene.portal.port, browser.local_port, pids)
        if pid is None or pid in found:
            browser.close()
        else:
            found[pid] = browser
        if len(found) == 2:
            break
    return list(found.values())


def first_times(scene: Scene, browser: grid.Browser, headers: Mapping[str, str]) -> dict[str, Figures]:
    """Four weeks, one after another, from an empty board: figures of the first week's page, and of all four."""
    before, took = scene.meters(), 0.0
    shown: list[tuple[float, grid.Shown, Figures]] = []
    for number in range(data.WEEKS):
        days = scene.clinic.week(number)
        began = time.perf_counter()
        bodies = browser.pages(grid.week_pages(days), headers)
        # Reading the meters takes time of its own, which is nobody's wait.
        took += (time.perf_counter() - began) * 1000
        shown.append((took, scene.shown(bodies, days), scene.meters()))
    return {
        "7 days": _figures(shown[:1], before),
        "28 days": _figures(shown, before),
    }


def _figures(shown: list[tuple[float, grid.Shown, Figures]], before: Figures) -> Figures:
    took, _, after = shown[-1]
    return {
        "p50_ms": took,
        "whole": 1 - sum(each.missing for _, each, _ in shown) / len(shown),
        "ehr_calls": after["ehr_calls"] - before["ehr_calls"],
        "sql": after["sql"] - before["sql"],
        "web_cpu_ms": (after["web_cpu"] - before["web_cpu"]) * 1000,
        "sandbox_cpu_ms": (after["sandbox_cpu"] - before["sandbox_cpu"]) * 1000,
    }


def cold(scene: Scene, watch: Stopwatch, delays: Sequence[int] = DELAYS_MS) -> None:
    for _ in range(watch.runs):
        for delay in delays:
            _cold_once(scene, watch, delay)
    scene.delay(0)


def _cold_once(scene: Scene, watch: Stopwatch, delay: int) -> None:
    scene.delay(0)
    browsers = fresh_connections(scene)
    scene.delay(delay)
    kinds: tuple[tuple[str, Mapping[str, str]], ...] = (("page", {}), ("part", grid.HTMX))
    for browser, (what, headers) in zip(browsers, kinds, strict=False):
        scene.settle()
        calibration = watch.quiet()
        scene.portal.forget_board()
        for span, figures in first_times(scene, browser, headers).items():
            watch.note((WORKLOAD, scene.name, f"{what}, {span}", f"EHR {delay} ms"), figures, calibration)
        browser.close()


def cold_process(scene: Scene, watch: Stopwatch) -> None:
    """The board is full and this process knows nothing of it: the first page of a new one, and then, its connections
    open, three weeks that nobody has asked it for. Two processes a restart, percentiles over all."""
    scene.delay(0)
    scene.warm()
    scene.settle()
    took: dict[str, list[float]] = {"page, 7 days": [], "page, 7 days not asked before": []}
    for _ in range(watch.runs):
        for browser in fresh_connections(scene):
            for number in range(data.WEEKS):
                what = "page, 7 days not asked before" if number else "page, 7 days"
                calibration = watch.quiet()
                figures = _first_look(scene, browser, scene.clinic.week(number))
                watch.note(("fresh", scene.name, what, "board full"), figures, calibration)
                took[what].append(figures["p50_ms"])
            browser.close()
    for what, milliseconds in took.items():
        watch.note(
            ("fresh", scene.name, f"{what}, all samples", "board full"),
            {
                "p50_ms": percentile(milliseconds, 0.5),
                "p95_ms": percentile(milliseconds, 0.95),
                "p99_ms": max(milliseconds),
            },
            watch.best_ms,
        )


def _first_look(scene: Scene, browser: grid.Browser, days: tuple[date, ...]) -> Figures:
    before, began = scene.meters(), time.perf_counter()
    bodies = browser.pages(grid.week_pages(days))
    milliseconds = (time.perf_counter() - began) * 1000
    after = scene.meters()
    grid.require_page(scene.shown(bodies, days), f"a process at {scene.name} that has not shown it")
    return {
        "p50_ms": milliseconds,
        "sql": after["sql"] - before["sql"],
        "ehr_calls": after["ehr_calls"] - before["ehr_calls"],
        "web_cpu_ms": (after["web_cpu"] - before["web_cpu"]) * 1000,
    }
