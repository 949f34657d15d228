"""Bookings and looks at the grid at a steady rate for as long as wanted: no error, and no memory that only grows."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import httpx

from .checker import Findings, check, look_again, settle
from .people import Booker, Patient
from .scene import Scene, processes_below


@dataclass
class Soak:
    """``memory`` is of web and workers together, in MB, one figure every few seconds."""

    minutes: float
    grids: Counter[int] = field(default_factory=Counter)
    grid_seconds: list[float] = field(default_factory=list)
    bookings: Counter[int] = field(default_factory=Counter)
    not_begun: int = 0
    memory: list[float] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)

    @property
    def growth(self) -> float:
        """From the second tenth of the time, when everything is loaded, to the last."""
        tenth = max(1, len(self.memory) // 10)
        early, late = self.memory[tenth : 2 * tenth], self.memory[-tenth:]
        return sum(late) / len(late) / (sum(early) / len(early)) - 1 if early else 0.0

    @property
    def errors(self) -> int:
        both = self.grids + self.bookings
        return sum(times for status, times in both.items() if status == 0 or status >= 500)

    def figures(self) -> dict[str, Any]:
        took = sorted(self.grid_seconds)
        seconds = self.minutes * 60
        return self.findings.figures() | {
            "minutes": self.minutes,
            "grids a second": round(self.grids.total() / seconds, 1),
            "bookings a second": round(self.findings.counts.get("booked", 0) / seconds, 2),
            "not begun for want of room": self.not_begun,
            "5xx or no answer": self.errors,
            "grid p50 ms": round(1000 * took[len(took) // 2]) if took else 0,
            "grid p95 ms": round(1000 * took[int(len(took) * 0.95)]) if took else 0,
            "memory MB": round(self.memory[-1]) if self.memory else 0,
            "memory growth %": round(100 * self.growth, 1),
        }


def memory_mb(scene: Scene) -> float:
    total = 0
    for child in scene.portal.children():
        for pid in (child.pid, *processes_below(child.pid)):
            try:
                words = Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()
            except (OSError, IndexError):
                continue
            total += int(words[0])
    return total / 1024


def soak(scene: Scene, patients: list[Patient], *, minutes: float, bookings: float, grids: float) -> Soak:
    """At so many a second each; what the machine cannot carry is not begun, and counted."""
    found, lock, over = Soak(minutes), Lock(), Event()
    waiting = list(reversed(patients))
    draw = random.Random(17)

    def book() -> None:
        with lock:
            patient = waiting.pop() if waiting else None
        if patient is None:
            return
        Booker(scene, patient, random.Random(patient.number), patience=60).book()
        with lock:
            found.bookings.update(said.status for said in patient.history)

    looker = httpx.Client(base_url=scene.portal.url, timeout=30, trust_env=False, verify=False)
    looker.cookies.set("session", patients[0].session)

    def look() -> None:
        began = time.monotonic()
        try:
            # Half of them as the page first comes, half at any day there is.
            day = "" if draw.random() < 0.5 else f"?day={draw.choice(scene.days_ahead())}"
            # As it comes over the wire: nobody here reads it, and to inflate it costs more than to send it.
            with looker.stream("GET", f"/book/times/{day}") as answer:
                status = answer.status_code
                for _ in answer.iter_raw():
                    pass
        except httpx.TransportError:
            status = 0
        with lock:
            found.grids[status] += 1
            found.grid_seconds.append(time.monotonic() - began)

    def weigh() -> None:
        while not over.wait(max(1.0, minutes * 60 / 200)):
            found.memory.append(memory_mb(scene))

    weigher = Thread(target=weigh, daemon=True, name="scales")
    weigher.start()
    with ThreadPoolExecutor(16) as lookers, ThreadPoolExecutor(12) as bookers:
        began, begun = time.monotonic(), {"book": 0, "look": 0}
        while (at := time.monotonic() - began) < minutes * 60:
            for name, rate, act, pool, room in (
                ("book", bookings, book, bookers, 12),
                ("look", grids, look, lookers, 32),
            ):
                while begun[name] < at * rate:
                    begun[name] += 1
                    if pool._work_queue.qsize() < room:
                        pool.submit(act)
                    else:
                        found.not_begun += 1
            time.sleep(0.01)
    over.set()
    weigher.join()
    looker.close()
    settle(scene)
    taken_part = [patient for patient in patients if patient.history]
    look_again(scene, taken_part)
    found.findings = check(scene, taken_part)
    return found
