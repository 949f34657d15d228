"""What /readyz says when each part is well, hangs or is gone; and that nobody waits for it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.journeys.plain import PlainVisitor
from tests.journeys.steps import eventually, to_times
from tests.rig.portal import Portal
from tests.rig.portal import portal as start_portal
from tests.rig.postgres import Postgres
from tests.rig.postgres import postgres as start_postgres
from tests.rig.processes import Child
from tests.rig.redis import Redis
from tests.rig.redis import redis as start_redis
from tests.rig.sandbox import SandboxControl

# A part that hangs is looked at for a second and a half.
NO_WAIT_SECONDS = 3.0


@contextmanager
def hung(child: Child) -> Iterator[None]:
    child.popen.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        child.popen.send_signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Postgres]:
    with start_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def queue() -> Iterator[Redis]:
    with start_redis() as running:
        yield running


@pytest.fixture(scope="module")
def portal(sandbox_server: SandboxControl, cluster: Postgres, queue: Redis) -> Iterator[Portal]:
    with (
        cluster.database() as url,
        start_portal(
            sandbox_server,
            database_url=url,
            redis_url=queue.url(),
            web_processes=2,
            worker=True,
            # So that every page asks the EHR.
            env={"GRID_FRESH_SECONDS": "1"},
        ) as running,
    ):
        yield running


def look(portal: Portal) -> tuple[int, dict[str, str]]:
    """Status, and the state of each part; within the time a load balancer gives."""
    # The certificates that a client loads are no part of the wait.
    with portal.client() as client:
        began = time.monotonic()
        answer = client.get("/readyz")
        assert time.monotonic() - began < NO_WAIT_SECONDS
    told: dict[str, Any] = answer.json()
    assert told["ready"] == (answer.status_code == 200)
    return answer.status_code, {name: part["state"] for name, part in told["parts"].items()}


def reads_times(portal: Portal) -> None:
    visitor = PlainVisitor(portal.url)
    to_times(visitor, reason="refill", state="CA")
    visitor.close()


WELL = dict.fromkeys(("database", "outbox", "reconcile", "beat", "cache", "ehr", "broker"), "ok")


def wait_until_well(portal: Portal) -> None:
    def is_well() -> bool:
        reads_times(portal)
        # Both processes, of which either may answer.
        return all(look(portal) == (200, WELL) for _ in range(6))

    assert eventually(is_well, seconds=60)


def test_every_part_is_well_and_told_with_its_age(portal: Portal, sandbox: SandboxControl) -> None:
    wait_until_well(portal)
    parts = httpx.get(f"{portal.url}/readyz", trust_env=False).json()["parts"]
    assert {name for name, part in parts.items() if part["age_seconds"] is not None} == {"beat", "ehr"}
    assert parts["beat"]["age_seconds"] < 30


def test_a_hung_redis_is_told_and_patients_can_be_served(
    portal: Portal, queue: Redis, sandbox: SandboxControl
) -> None:
    wait_until_well(portal)
    with hung(queue.child):
        for _ in range(4):
            status, states = look(portal)
            assert (status, states["cache"], states["broker"], states["database"]) == (
                200,
                "down",
                "down",
                "ok",
            )
    wait_until_well(portal)


def test_a_hung_database_is_told_without_waiting_and_then_forgotten(
    portal: Portal, cluster: Postgres, sandbox: SandboxControl
) -> None:
    wait_until_well(portal)
    assert cluster.child
    with hung(cluster.child):
        for _ in range(4):
            status, states = look(portal)
            assert (status, states["database"], states["cache"]) == (503, "down", "ok")
    wait_until_well(portal)


def test_an_ehr_that_fails_is_told_from_what_pages_saw_and_leaves_the_portal_ready(
    portal: Portal, sandbox: SandboxControl
) -> None:
    wait_until_well(portal)
    sandbox.faults("500", type="Slot", times=None)

    def is_told() -> bool:
        reads_times(portal)
        status, states = look(portal)
        assert status == 200
        return states["ehr"] == "down"

    assert eventually(is_told)


def test_a_worker_that_is_gone_is_late(portal: Portal, sandbox: SandboxControl) -> None:
    wait_until_well(portal)
    assert portal.worker
    with hung(portal.worker):
        assert eventually(lambda: look(portal)[1]["beat"] == "late", seconds=60)
        assert look(portal)[0] == 200
