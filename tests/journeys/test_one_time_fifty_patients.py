"""Fifty people press the last button for one time at the same instant: one visit, forty-nine kind refusals."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
import pytest

from tests.rig.portal import Portal
from tests.rig.portal import portal as start_portal
from tests.rig.postgres import Postgres
from tests.rig.redis import Redis
from tests.rig.sandbox import SandboxControl

from .plain import Page
from .ready import Ready, all_at_once, make_ready
from .steps import instant, own_appointments

RACERS = 50
# Fifty at once on two cores are no failing EHR.
PATIENT_EHR = {"EHR_READ_SECONDS": "30", "EHR_TOTAL_SECONDS": "40", "EHR_PAGE_SECONDS": "30"}
CONSTRAINTS_OFF = {
    "postgresql": (
        "ALTER TABLE booking_booking DROP CONSTRAINT booking_no_overlapping_claims",
        "DROP INDEX booking_one_claim_per_start",
    ),
    "sqlite": ("DROP INDEX booking_one_claim_per_start",),
}


@contextmanager
def portal_on(
    database: str, postgres: Postgres, redis: Redis, sandbox: SandboxControl, *, guarded: bool = True
) -> Iterator[Portal]:
    """Two web processes with threads, as in production; unguarded for the control."""
    application = "portal.wsgi:application" if guarded else "tests.journeys.unlocked:application"
    if database == "sqlite":
        with start_portal(sandbox, web_processes=2, application=application, env=PATIENT_EHR) as running:
            if not guarded:
                with closing(sqlite3.connect(running.directory / "portal.sqlite3")) as connection:
                    for statement in CONSTRAINTS_OFF[database]:
                        connection.execute(statement)
            yield running
        return
    with (
        postgres.database() as url,
        start_portal(
            sandbox,
            database_url=url,
            redis_url=redis.url(2),
            web_processes=2,
            application=application,
            env=PATIENT_EHR,
        ) as running,
    ):
        if not guarded:
            with psycopg.connect(url, autocommit=True) as connection:
                for statement in CONSTRAINTS_OFF[database]:
                    connection.execute(statement)
        yield running


def appointments_at(sandbox: SandboxControl, person: Ready) -> list[dict[str, object]]:
    found = sandbox.appointments(practitioner=person.practitioner, status="booked", _count="100")
    return [each for each in found if instant(str(each["start"])) == person.starts_at]


def kind(page: Page) -> str:
    if page.path.startswith("/visits/") and "is booked" in page.text:
        return "booked"
    if page.path == "/book/times/" and "no longer held for you" in page.text and page.buttons("slot"):
        return "refused, with other times"
    if page.path == "/book/times/" and "was just taken" in page.text and page.buttons("slot"):
        return "refused, with other times"
    return f"{page.status} {page.path} {page.text[:200]}"


@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_exactly_one_of_fifty_submits_becomes_an_appointment(
    database: str, postgres_server: Postgres, redis_server: Redis, sandbox: SandboxControl
) -> None:
    sandbox.reset()
    with portal_on(database, postgres_server, redis_server, sandbox) as portal:
        people = make_ready(portal, RACERS, lapsed=True)
        pages = all_at_once(portal, people)
        assert Counter(map(kind, pages)) == {"booked": 1, "refused, with other times": RACERS - 1}
        assert len(appointments_at(sandbox, people[0])) == 1
        assert "Traceback" not in portal.logs()


@pytest.mark.parametrize("database", ["postgresql", "sqlite"])
def test_without_the_lock_the_same_race_books_a_time_more_than_once(
    database: str, postgres_server: Postgres, redis_server: Redis, sandbox: SandboxControl
) -> None:
    sandbox.reset()
    with portal_on(database, postgres_server, redis_server, sandbox, guarded=False) as portal:
        people = make_ready(portal, RACERS, lapsed=True)
        all_at_once(portal, people)
        assert len(appointments_at(sandbox, people[0])) > 1


def test_ten_presses_of_one_button_make_one_appointment_and_all_end_on_its_page(
    portal_server: Portal, sandbox: SandboxControl
) -> None:
    people = make_ready(portal_server, 3, skip=20)
    pages = all_at_once(portal_server, people, presses_each=10)
    assert Counter(page.path for page in pages) == {f"/visits/{person.booking_id}/": 10 for person in people}
    assert [page.status for page in pages] == [200] * 30
    assert [len(own_appointments(sandbox, person.booking_id)) for person in people] == [1, 1, 1]
