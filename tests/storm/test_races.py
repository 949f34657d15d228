"""A hundred at once over HTTP, two web processes, PostgreSQL: one Appointment for a time, and never two that overlap."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import races
from .people import BOOKED, TAKEN
from .scene import Scene


@pytest.fixture(scope="module")
def guarded() -> Iterator[Scene]:
    with races.racing_scene() as scene:
        yield scene


def test_a_hundred_presses_for_one_time_make_one_appointment(guarded: Scene) -> None:
    found = races.race(guarded, rounds=2, racers=100)
    assert (found.winners, found.overlapping, found.deadlocks) == ([1, 1], [], 0)
    assert found.pages == {BOOKED: 2, TAKEN: 198}


def test_no_two_of_a_hundred_overlapping_times_are_booked(guarded: Scene) -> None:
    found = races.race(guarded, rounds=1, racers=96, choices=races.OVERLAPPING, first=10)
    assert (found.overlapping, found.deadlocks) == ([], 0)
    assert 2 <= found.winners[0] <= 6
    assert found.pages == {BOOKED: found.winners[0], TAKEN: 96 - found.winners[0]}


def test_the_control_without_the_guards_both_races_book_too_much() -> None:
    with races.racing_scene(guarded=False) as scene:
        assert races.race(scene, rounds=1, racers=16).winners[0] > 1
        assert races.race(scene, rounds=1, racers=24, choices=races.OVERLAPPING, first=10).overlapping != []
