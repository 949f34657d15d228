"""The EHR is gone for ten seconds at ten presses a second: it is hardly asked, everybody is told, and it comes back."""

from __future__ import annotations

from tests.rig.fault_proxy import Mode

from . import dead_ehr
from .conftest import People
from .people import AWAY, BOOKED, CONFIRMING, make_people
from .scene import Scene
from .scene import scene as start_scene

MOST_REPEATED = 1.1


def assert_honest(found: dead_ehr.Death) -> None:
    """Whoever was still waiting when the EHR came back was booked; all others were told that their time is held."""
    assert set(found.took) <= {AWAY, CONFIRMING, BOOKED}
    assert found.honest >= found.answered > 0


def test_a_dead_ehr_is_hardly_asked_and_back_in_no_time(scene: Scene, people: People) -> None:
    found = dead_ehr.die(scene, people(24), seconds=10, a_second=10)
    assert found.ratio <= MOST_REPEATED
    assert_honest(found)
    assert found.first_success_after < 15
    assert found.findings.faults == {}


def test_the_control_without_restraint_it_is_asked_three_times_as_often() -> None:
    with start_scene(application="tests.storm.unrestrained:application") as unrestrained:
        found = dead_ehr.die(unrestrained, make_people(unrestrained, 12), seconds=4, a_second=8)
        assert found.ratio > MOST_REPEATED


def test_who_finds_an_ehr_that_hangs_is_told_so_and_keeps_the_time(scene: Scene, people: People) -> None:
    found = dead_ehr.die(scene, people(12), seconds=8, a_second=2, how=Mode.HANG)
    assert_honest(found)
    assert found.findings.faults == {}
