"""Bookings and looks at the grid at a steady rate for as long as wanted: no error, and no memory that only grows."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.cookies import SimpleCookie
from pathlib import Path
from threading import Event, Lock, Thread, local
from typing import Any

from tests.rig.processes import LOOPBACK

from .checker import Findings, check, look_again, settle
from .people import BOOKED, Booker, Patient
from .scene import Scene, processes_below

# Seconds after which what is due and could not be begun is given up.
MOST_LATE = 10


@dataclass
class Soak:
    """``memory`` is of web and workers together, in MB, one figure every few seconds.

    ``seconds`` is how long it took until all was done. Those of pages and bookings count from when something was due:
    who has to wait before asking waits too.
    """

    minutes: float
    grids: Counter[int] = field(default_factory=Counter)
    grid_seconds: list[float] = field(default_factory=list)
    bookings: Counter[int] = field(default_factory=Counter)
    booking_seconds: list[float] = field(default_factory=list)
    not_begun: int = 0
    seconds: float = 0.0
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
        return self.findings.figures() | {
            "minutes": self.minutes,
            "grids a second": round(self.grids.total() / self.seconds, 1),
            "bookings a second": round(self.findings.counts.get("booked", 0) / self.seconds, 2),
            "not begun for want of room": self.not_begun,
            "5xx or no answer": self.errors,
            "grid p50 ms": milliseconds(self.grid_seconds, 0.5),
            "grid p95 ms": milliseconds(self.grid_seconds, 0.95),
            "times to booked p50 ms": milliseconds(self.booking_seconds, 0.5),
            "times to booked p95 ms": milliseconds(self.booking_seconds, 0.95),
            "memory MB": round(self.memory[-1]) if self.memory else 0,
            "memory growth %": round(100 * self.growth, 1),
        }


def milliseconds(seconds: list[float], share: float) -> int:
    return round(1000 * sorted(seconds)[int(len(seconds) * share)]) if seconds else 0


class Looker(local):
    """Asks for pages and reads none: in each thread a browser of its own, with as little ado as there can be."""

    def __init__(self, port: int, session: str) -> None:
        self._connection = HTTPConnection(LOOPBACK, port, timeout=30)
        self._cookies = SimpleCookie({"session": session})

    def status_of(self, path: str) -> int:
        """0 without an answer."""
        cookies = self._cookies.output(attrs=[], header="", sep=";").strip()
        try:
            self._connection.request("GET", path, headers={"Cookie": cookies, "Accept-Encoding": "gzip"})
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, HTTPException):
            self._connection.close()
            return 0
        for each in answer.headers.get_all("Set-Cookie", []):
            self._cookies.load(each)
        return answer.status


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

    def book(due: float) -> None:
        with lock:
            patient = waiting.pop() if waiting else None
        if patient is None:
            return
        what = Booker(scene, patient, random.Random(patient.number), patience=60).book()
        with lock:
            found.bookings.update(said.status for said in patient.history)
            if what == BOOKED:
                found.booking_seconds.append(time.monotonic() - due)

    looker = Looker(scene.portal.port, patients[0].session)

    def look(due: float) -> None:
        # Half of them as the page first comes, half at any day there is.
        day = "" if draw.random() < 0.5 else f"?day={draw.choice(scene.days_ahead())}"
        status = looker.status_of(f"/book/times/{day}")
        with lock:
            found.grids[status] += 1
            found.grid_seconds.append(time.monotonic() - due)

    def weigh() -> None:
        while not over.wait(max(1.0, minutes * 60 / 200)):
            found.memory.append(memory_mb(scene))

    weigher = Thread(target=weigh, daemon=True, name="scales")
    weigher.start()
    with ThreadPoolExecutor(32) as looking, ThreadPoolExecutor(32) as booking:
        began, begun = time.monotonic(), {"book": 0, "look": 0}
        while (at := time.monotonic() - began) < minutes * 60:
            for name, rate, act, pool in (("book", bookings, book, booking), ("look", grids, look, looking)):
                while begun[name] < at * rate:
                    due = began + begun[name] / rate
                    begun[name] += 1
                    if pool._work_queue.qsize() < rate * MOST_LATE:
                        pool.submit(act, due)
                    else:
                        found.not_begun += 1
            time.sleep(0.01)
    found.seconds = time.monotonic() - began
    over.set()
    weigher.join()
    settle(scene)
    taken_part = [patient for patient in patients if patient.history]
    look_again(scene, taken_part)
    found.findings = check(scene, taken_part)
    return found
