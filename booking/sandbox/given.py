"""A clinic from a file in place of the invented one: its places, its people, and when each of them is busy.

The file is JSON. ``horizon_days`` and ``step_minutes`` are the calendar's; ``places`` have ``key`` (a small whole
number), ``id``, ``name``, ``zone`` and ``state``; ``staff`` have ``key`` (digits), ``given``, ``family``,
``credential``, ``taxonomy`` (a NUCC code of `roster`), ``states`` they are licensed in (of `roster`), ``place`` (a key),
``hours`` (days, start and end as in `roster`, such as ["MTWRF", "09:00", "17:00"]) and ``busy`` (pairs of whole minutes
since the epoch, in order). Nobody of this clinic has patients or visits yet.
"""

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from .calendars import Busy, Calendar, Window
from .catalog import NPI_SYSTEM
from .roster import BOARDS, SPECIALTY_NAMES, Staff
from .seed import Given, Place, staff_id

_DAY_LETTERS = "MTWRFSU"


class RosterUnusable(Exception):
    """The file cannot be used; the message is a sentence for the person at the terminal."""


def read_roster(path: Path) -> Given:
    try:
        whole = json.loads(path.read_text())
        places = {place.key: place for place in map(_place, whole["places"])}
        step, horizon = int(whole["step_minutes"]), int(whole["horizon_days"])
        return Given(places, tuple(_person(entry, places, step, horizon) for entry in whole["staff"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RosterUnusable(f"Cannot use {path} as a roster: {error!r}.") from error


def _place(entry: dict[str, Any]) -> Place:
    key = int(entry["key"])
    resource = {
        "resourceType": "Location",
        "id": entry["id"],
        "identifier": [{"system": NPI_SYSTEM, "value": f"1999991{key:03d}"}],
        "status": "active",
        "name": entry["name"],
        "address": {"use": "work", "state": entry["state"], "country": "US"},
    }
    return Place(key, entry["id"], entry["name"], ZoneInfo(entry["zone"]), resource)


def _person(
    entry: dict[str, Any], places: dict[int, Place], step: int, horizon: int
) -> tuple[Staff, Calendar]:
    place = places[int(entry["place"])]
    if unknown := [state for state in entry["states"] if state not in BOARDS]:
        raise ValueError(f"no board of {unknown[0]} is known")
    if entry["taxonomy"] not in SPECIALTY_NAMES:
        raise ValueError(f"no specialty {entry['taxonomy']} is known")
    staff = Staff(
        key=entry["key"],
        given=entry["given"],
        family=entry["family"],
        credential=entry["credential"],
        taxonomy=entry["taxonomy"],
        home=place.key,
        week="weekdays",
        states=dict.fromkeys(entry["states"], "current"),
    )
    windows = tuple(
        Window(
            days=frozenset(_DAY_LETTERS.index(letter) for letter in days),
            start=_minutes(start),
            end=_minutes(end),
            locations=frozenset({place.key}),
            only=None,
        )
        for days, start, end in entry["hours"]
    )
    busy = Busy([start for start, _ in entry["busy"]], [end for _, end in entry["busy"]])
    return staff, Calendar(
        staff_id=staff_id(staff.key),
        zone=place.zone.key,
        windows=windows,
        occupancy=staff.occupancy,
        step_minutes=step,
        horizon_days=horizon,
        busy=busy,
    )


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)
