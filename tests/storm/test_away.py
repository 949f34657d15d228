"""Whatever is away, people book where they can, nobody waits for Redis, and every visit has its message in the end."""

from __future__ import annotations

import pytest

from . import away
from .conftest import People
from .scene import Scene

# What a page may take on a machine that is busy with other tests, and no wait for Redis among it.
REDIS_MAY_COST = 3.0


def test_without_redis_in_any_way_visits_are_booked_and_confirmed(scene: Scene, people: People) -> None:
    usual = away.without(scene, people(4), away.redis_away(scene, "flushed"))
    assert (usual.findings.faults, usual.findings.counts["booked"]) == ({}, 4)
    for how in ("stopped", "hung", "killed"):
        found = away.without(scene, people(4), away.redis_away(scene, how))
        assert (how, found.findings.faults, found.findings.counts["booked"]) == (how, {}, 4)
        assert found.failed_pages == 0
        assert found.slowest_page < usual.slowest_page + REDIS_MAY_COST


def test_what_postgres_acknowledged_outlives_its_crash(scene: Scene, people: People) -> None:
    found = away.without(scene, people(12), away.postgres_crashes(scene, 2, every=3))
    # Whoever met a crash may have been refused, or have given up; what nobody may be is told wrong.
    assert (found.findings.faults, found.findings.counts["booked"] >= 10) == ({}, True), found.findings.counts


@pytest.mark.parametrize("how", ["down", "451"])
def test_mail_that_fails_is_sent_once_it_can_be(scene: Scene, people: People, how: str) -> None:
    found = away.without(scene, people(2), away.mail_away(scene, how), messages_meet_it=True)
    assert (found.findings.faults, found.findings.counts["booked"]) == ({}, 2)


def test_what_a_carrier_took_on_without_saying_so_comes_again_under_the_same_key(
    scene: Scene, people: People
) -> None:
    """The control too: the checker counts the copies."""
    found = away.without(scene, people(2), away.mail_away(scene, away.ANSWER_LOST), messages_meet_it=True)
    assert found.findings.but("messages_twice") == {}
    assert len(found.findings.messages_twice) > 0
    ids = [
        str(mail["Message-ID"]) for mail in scene.mail.messages if mail["To"] in found.findings.messages_twice
    ]
    assert len(ids) > len(set(ids)) == len(found.findings.messages_twice)
