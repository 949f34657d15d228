"""A clinic from a file: its people, its step, its busy times and its horizon take the place of the invented ones."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from booking.sandbox.app import create_app
from booking.sandbox.given import RosterUnusable, read_roster

from . import rig
from .test_program import _run

PLACE = "6c0f4b9a-3d5e-4f17-8a52-0d9b7e1c2a34"


def minute(text: str) -> int:
    return int(datetime.fromisoformat(text).astimezone(UTC).timestamp()) // 60


def roster(**changes: Any) -> dict[str, Any]:
    person = {
        "key": "0001",
        "given": "Ada",
        "family": "Byron",
        "credential": "MD",
        "taxonomy": "207Q00000X",
        "states": ["CA", "TX"],
        "place": 1,
        "hours": [["MTWRF", "09:00", "11:00"]],
        "busy": [[minute("2026-11-23T09:20:00-08:00"), minute("2026-11-23T10:20:00-08:00")]],
    }
    return {
        "horizon_days": 40,
        "step_minutes": 20,
        "places": [
            {
                "key": 1,
                "id": PLACE,
                "name": "Given Clinic",
                "zone": "America/Los_Angeles",
                "state": "CA",
            }
        ],
        "staff": [person | changes],
    }


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "roster.json"
    path.write_text(json.dumps(roster()))
    return path


def test_free_times_are_what_the_file_leaves(given: Path, tmp_path: Path) -> None:
    clock = rig.Clock()
    app = create_app(tmp_path / "ehr.sqlite3", clock=clock, control=True, roster=given)
    with rig.serving(app) as url:
        clinic = rig.Clinic(url, clock)
        (schedule,) = clinic.search("Schedule")
        (person,) = clinic.search("Practitioner")
        assert schedule["comment"] == "Schedule for Ada Byron MD at Given Clinic"
        assert [row["code"]["text"] for row in person["qualification"]][:3] == ["STATE", "STATE", "TAXONOMY"]

        def starts(first: str, last: str, minutes: str) -> list[str]:
            found = clinic.search("Slot", schedule=schedule["id"], start=first, end=last, duration=minutes)
            return [slot["start"][5:16] for slot in found]

        assert starts("2026-11-23", "2026-11-23", "20") == ["11-23T09:00", "11-23T10:20", "11-23T10:40"]
        assert starts("2026-11-23", "2026-11-23", "40") == ["11-23T10:20"]
        # Beyond the three weeks of the invented clinic, and beyond this one's own forty days.
        assert len(starts("2026-12-24", "2026-12-24", "20")) == 6
        assert starts("2026-12-29", "2026-12-31", "20") == []
        clinic.post("/_control/reset", {})
        assert clinic.search("Patient", family="Delgado") == []
        clinic.http.close()


def test_slot_searches_are_told_apart(given: Path, tmp_path: Path) -> None:
    clock = rig.Clock()
    app = create_app(tmp_path / "ehr.sqlite3", clock=clock, control=True, roster=given)
    with rig.serving(app) as url:
        clinic = rig.Clinic(url, clock)
        for day in ("23", "23", "24"):
            clinic.search("Slot", schedule="Location.1-Staff.x", start=f"2026-11-{day}")
        asked = "schedule=Location.1-Staff.x&start=2026-11-"
        assert clinic.get("/_control/calls/slots").json() == {f"{asked}23": 2, f"{asked}24": 1}
        clinic.post("/_control/reset", {})
        assert clinic.get("/_control/calls/slots").json() == {}
        clinic.http.close()


@pytest.mark.parametrize(
    ("broken", "word"),
    [
        ({"states": ["CA", "ZZ"]}, "ZZ"),
        ({"taxonomy": "nobody"}, "nobody"),
        ({"place": 7}, "7"),
        ({"hours": [["MTWRF", "nine:00", "17:00"]]}, "nine"),
    ],
)
def test_a_roster_that_cannot_be_used(tmp_path: Path, broken: dict[str, Any], word: str) -> None:
    path = tmp_path / "roster.json"
    path.write_text(json.dumps(roster()))
    assert len(read_roster(path).people) == 1
    path.write_text(json.dumps(roster(**broken)))
    with pytest.raises(RosterUnusable, match=word):
        read_roster(path)


def test_the_program_says_what_is_wrong(tmp_path: Path) -> None:
    ended = _run("--roster", str(tmp_path / "none.json"), "--database", str(tmp_path / "ehr.sqlite3"))
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Cannot use {tmp_path}/none.json as a roster: FileNotFoundError")
    assert _run("--roster", str(tmp_path), "--manners", "r4").returncode == 2
