"""The portal's pages of times as a visitor asks for them, and what their answers say.

Which addresses make up a week is told here and nowhere else: ``VIEW`` is the one line to change.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from http.client import HTTPConnection

from tests.rig.processes import LOOPBACK

from .data import WEEKS, Clinic
from .oracle import Answer, Oracle, Wrong, by_clinician_day, require

# "week": one page has the week of up to 20 clinicians. "day": one page has one day, of everybody.
VIEW = "week"
PATH = "/book/times/"
PAGE_OF = 20
HTMX = {"HX-Request": "true"}
# So many of the very next times may stand above the grid, of people who are on another of its pages.
SOONEST = 5

_BUTTON = re.compile(rb"<button\b[^>]*\bname=\"?slot\b[^>]*>")
_VALUE = re.compile(rb"\bvalue=\"?(\d+)\.(\d+)\.")


def week_pages(week: Sequence[date], page: int = 1) -> list[str]:
    """The addresses that together show one week of one page's clinicians."""
    if VIEW == "week":
        turn = f"&page={page}" if page > 1 else ""
        return [f"{PATH}?modality=video&view=week&day={week[0].isoformat()}{turn}"]
    return [f"{PATH}?modality=video&day={day.isoformat()}" for day in week]


def four_weeks(clinic: Clinic) -> list[str]:
    """28 days of the first page's clinicians: four weeks, one after another."""
    return [path for number in range(WEEKS) for path in week_pages(clinic.week(number))]


def everything(clinic: Clinic, size: int) -> list[str]:
    """Every free time of ``size`` clinicians in the first week."""
    pages = range(1, math.ceil(size / PAGE_OF) + 1) if VIEW == "week" else [1]
    return [path for page in pages for path in week_pages(clinic.week(0), page)]


def next_available() -> str:
    """Without a day the page begins where the first times are."""
    return f"{PATH}?modality=video"


def plain(body: bytes) -> bytes:
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body


def slots_in(body: bytes, schedules: Mapping[int, int]) -> list[tuple[int, int]]:
    """Every time that can be pressed: a clinician's index and a start in epoch seconds."""
    found = []
    for button in _BUTTON.finditer(plain(body)):
        value = _VALUE.search(button[0])
        if value is None:
            raise Wrong(f"a time without a value: {button[0][:200]!r}")
        found.append((schedules[int(value[1])], int(value[2])))
    return found


@dataclass(frozen=True)
class Shown:
    """What pages showed, against the oracle. ``complete`` clinicians have all they should; ``missing`` is the share of
    a full page's clinicians that are not among them. ``is_waiting``: times of somebody, on whichever page, are still
    being looked up."""

    answer: Answer
    complete: frozenset[int]
    missing: float
    is_waiting: bool


def compare(
    bodies: Collection[bytes],
    portal_schedules: Mapping[int, int],
    oracle: Oracle,
    days: Collection[date],
    size: int,
) -> Shown:
    """Raises ``Wrong`` when a time is shown that is not free. What is not shown may be on its way, or on another page."""
    answer = by_clinician_day(slot for body in bodies for slot in slots_in(body, portal_schedules))
    for (clinician, day), starts in answer.items():
        if extra := starts - oracle.day(clinician, day):
            raise Wrong(f"clinician {clinician} is not free on {day} at {sorted(extra)}")
    wanted = frozenset(days)
    shown = {clinician for clinician, _ in answer}
    complete = frozenset(
        each
        for each in shown
        if {key: starts for key, starts in answer.items() if key[0] == each and key[1] in wanted}
        == oracle.answer([each], wanted)
    )
    full = min(PAGE_OF if VIEW == "week" else size, size)
    is_waiting = any(b">Checking " in plain(body) for body in bodies)
    return Shown(answer, complete, 1 - min(len(complete), full) / full, is_waiting)


def require_page(shown: Shown, who: str) -> None:
    """A page that is to be timed is whole, and has besides at most the few times that stand above the grid."""
    besides = sum(len(starts) for (each, _), starts in shown.answer.items() if each not in shown.complete)
    if shown.missing or besides > SOONEST:
        raise Wrong(
            f"{who}: {shown.missing:.0%} of the clinicians are missing, {besides} times are in excess"
        )


def require_everything(
    bodies: Collection[bytes], schedules: Mapping[int, int], oracle: Oracle, size: int
) -> None:
    """All pages of the first week together are the oracle's answer, hash by hash."""
    days = oracle.clinic.week(0)
    answer = by_clinician_day(slot for body in bodies for slot in slots_in(body, schedules))
    answer = {key: starts for key, starts in answer.items() if key[1] in days}
    require(answer, oracle.answer(range(size), days), "the portal's pages")


class NotWhole(AssertionError):
    """Pages still lacked times when the time for them was over."""


class Browser:
    """One visitor at one connection, for what has to be looked at between the loads."""

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        self.connection = HTTPConnection(LOOPBACK, port, timeout=60)
        self.headers = dict(headers)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The body as sent; an answer other than 200 is an error."""
        self.connection.request("GET", path, headers=self.headers | dict(headers or {}))
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise Wrong(
                f"{path} answered {answer.status} to {answer.headers.get('Location')}: {body[:200]!r}"
            )
        return body

    def pages(self, paths: Collection[str], headers: Mapping[str, str] | None = None) -> list[bytes]:
        return [self.get(path, headers) for path in paths]

    @property
    def local_port(self) -> int:
        return int(self.connection.sock.getsockname()[1])

    def close(self) -> None:
        self.connection.close()
