"""kill -9 at every named point while people book: nothing is lost and nothing is made twice."""

from __future__ import annotations

import signal
from typing import get_args

from booking import crash_points

from . import kills
from .checker import check, settle
from .conftest import People
from .people import book_all
from .scene import Scene

SENT_AGAIN = "message sent and not recorded"


def test_the_control_without_those_who_make_up_for_it_a_kill_leaves_a_booking_undecided(
    scene: Scene, people: People
) -> None:
    (person,) = people(1)
    workers = [child for child in scene.portal.children() if child is not scene.portal.web]
    for child in workers:
        child.signal_group(signal.SIGSTOP)
    try:
        (scene.crashes / "create answered").touch()
        book_all(scene, [person], patience=90)
        found = check(scene, [person])
    finally:
        for child in workers:
            child.signal_group(signal.SIGCONT)
    assert (found.counts["appointments"], len(found.undecided)) == (1, 1)
    settle(scene)
    assert check(scene, [person]).faults == {}


def test_every_point_kills_once_and_everybody_has_one_visit_and_one_message(
    scene: Scene, people: People
) -> None:
    found = kills.at_points(scene, people, each=1, seconds=600)
    assert found.fired == dict.fromkeys(get_args(crash_points.Name), 1)
    assert found.findings.but("messages_twice") == {}
    # Who sent it and died before saying so sends it again, under the same key.
    assert len(found.findings.messages_twice) <= found.fired[SENT_AGAIN]
    assert found.unbooked == {}
    counts = found.findings.counts
    assert (counts["booked"] + counts["to staff"], counts["to staff"] <= 2) == (found.people, True)


def test_random_kills_lose_nothing_either(scene: Scene, people: People) -> None:
    found = kills.at_random(scene, people(10), every=4)
    assert found.random_kills.total() > 0
    assert found.findings.but("messages_twice") == {}
    assert found.unbooked == {}
    counts = found.findings.counts
    assert (counts["booked"] + counts["to staff"], counts["to staff"] <= 2) == (10, True)
