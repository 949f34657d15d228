"""The one clinic that every system of the benchmark is given: people, licenses and busy times from one seed.

Everyone works Monday to Friday from 9 to 17 at one place, in cells of twenty minutes of which a share is busy at
random, for five weeks from a Monday. The first N of the 2,000 clinicians are the clinic of N. Outside of the five weeks
nobody has a free time, so that "next available" has days to pass over. Pages show seven days counted from today; the
first four whole ones within the data are the 28 days of the benchmark.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from booking.sandbox.roster import BOARDS
from booking.sandbox.seed import staff_id

SEED = 20_261_130
CLINICIANS = 2_000
SIZES = (1, 20, 200, 2_000)
SPECIALTIES = tuple(f"specialty-{number}" for number in range(1, 11))
# Everybody has the first specialty and one of the other nine.
SPECIALTY = SPECIALTIES[0]
JURISDICTION, ZONE = "CA", "America/Los_Angeles"
DAYS, OPENS, CLOSES, STEP = 35, 9 * 60, 17 * 60, 20
CELLS = (CLOSES - OPENS) // STEP
HALF_BUSY, NEARLY_FULL = 0.5, 0.95
# No day of the data is further from today.
HORIZON_DAYS = 45
WEEKS = 4
PLACE_ID = "6c0f4b9a-3d5e-4f17-8a52-0d9b7e1c2a34"


def first_monday(today: date) -> date:
    """The first Monday at least two days ahead, so that no lead time and no midnight reaches into the data."""
    earliest = today + timedelta(days=2)
    return earliest + timedelta(days=-earliest.weekday() % 7)


def epoch_minute(day: date, minute: int) -> int:
    """Of a wall clock time at the practice, in minutes after midnight."""
    local = datetime.combine(day, time(minute // 60, minute % 60), ZoneInfo(ZONE))
    return int(local.timestamp()) // 60


@dataclass(frozen=True)
class Person:
    """One clinician; ``busy`` has for each working day in order one truth for each cell."""

    index: int
    given: str
    family: str
    specialty: str
    states: tuple[str, ...]
    busy: tuple[tuple[bool, ...], ...]

    @property
    def key(self) -> str:
        return f"{self.index + 1:04d}"

    @property
    def staff_id(self) -> str:
        """As the sandbox names them."""
        return staff_id(self.key)


@dataclass(frozen=True)
class Clinic:
    today: date
    busy_share: float
    size: int = CLINICIANS

    @property
    def first_on(self) -> date:
        return first_monday(self.today)

    @cached_property
    def days(self) -> tuple[date, ...]:
        """The working days."""
        every = (self.first_on + timedelta(days=number) for number in range(DAYS))
        return tuple(day for day in every if day.weekday() < 5)

    @cached_property
    def people(self) -> tuple[Person, ...]:
        return tuple(self._person(index) for index in range(self.size))

    def _person(self, index: int) -> Person:
        draw = random.Random(f"{SEED}/{index}/{self.busy_share}")
        others = [state for state in BOARDS if state != JURISDICTION]
        return Person(
            index=index,
            given=f"Given{chr(65 + index % 26)}",
            family=f"Family{index + 1:04d}",
            specialty=SPECIALTIES[1 + index % (len(SPECIALTIES) - 1)],
            states=(JURISDICTION, *draw.sample(others, draw.randrange(5))),
            busy=tuple(tuple(draw.random() < self.busy_share for _ in range(CELLS)) for _ in self.days),
        )

    def week(self, number: int) -> tuple[date, ...]:
        """The working days of one of the four weeks, each of seven days counted from today as pages count them."""
        first = self._first_week_on + timedelta(days=7 * number)
        return tuple(day for day in self.days if first <= day < first + timedelta(days=7))

    @property
    def _first_week_on(self) -> date:
        return self.today + timedelta(days=7 * math.ceil((self.first_on - self.today).days / 7))

    @property
    def horizon_days(self) -> int:
        """How far ahead a visit must be bookable."""
        return (self._first_week_on - self.today).days + 7 * WEEKS


def busy_spans(clinic: Clinic, person: Person) -> Iterator[list[int]]:
    """Pairs of minutes since the epoch, in order; days around the five weeks are busy from end to end."""
    for offset in range(-1, HORIZON_DAYS + 2):
        day = clinic.today + timedelta(days=offset)
        if day.weekday() > 4:
            continue
        if day not in clinic.days:
            yield [epoch_minute(day, OPENS), epoch_minute(day, CLOSES)]
            continue
        opens = epoch_minute(day, OPENS)
        span: list[int] = []
        for cell, is_busy in enumerate(person.busy[clinic.days.index(day)]):
            start = opens + cell * STEP
            if is_busy and span and span[1] == start:
                span[1] = start + STEP
            elif is_busy:
                if span:
                    yield span
                span = [start, start + STEP]
        if span:
            yield span


def write_roster(clinic: Clinic, path: Path) -> None:
    """What the sandbox takes with ``--roster``."""
    place = {"key": 1, "id": PLACE_ID, "name": "Bench Clinic", "zone": ZONE, "state": JURISDICTION}
    staff = [
        {
            "key": person.key,
            "given": person.given,
            "family": person.family,
            "credential": "MD",
            "taxonomy": "207Q00000X",
            "states": person.states,
            "place": 1,
            "hours": [["MTWRF", "09:00", "17:00"]],
            "busy": list(busy_spans(clinic, person)),
        }
        for person in clinic.people
    ]
    roster = {"horizon_days": HORIZON_DAYS, "step_minutes": STEP, "places": [place], "staff": staff}
    path.write_text(json.dumps(roster, separators=(",", ":")))


def seeds(clinic: Clinic) -> dict[str, Any]:
    """What the portal's and the peer's seeding programs read; days and cells that are busy are by index."""
    return {
        "zone": ZONE,
        "jurisdiction": JURISDICTION,
        "place_id": PLACE_ID,
        "specialties": SPECIALTIES,
        "horizon_days": clinic.horizon_days,
        "days": [day.isoformat() for day in clinic.days],
        "opens": OPENS,
        "closes": CLOSES,
        "step": STEP,
        "people": [
            {
                "given": person.given,
                "family": person.family,
                "staff_id": person.staff_id,
                "specialties": [SPECIALTY, person.specialty],
                "states": person.states,
                "busy": [[cell for cell, is_busy in enumerate(day) if is_busy] for day in person.busy],
            }
            for person in clinic.people
        ],
    }
