"""The EHR tells of what its staff do, and the portal follows at once: the page of times, and the patient's own visit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from booking.notice_rate import TOGETHER_SECONDS
from tests.rig.mail import Mailbox
from tests.rig.portal import Portal
from tests.rig.portal import portal as start_portal
from tests.rig.postgres import Postgres
from tests.rig.redis import Redis
from tests.rig.sandbox import SandboxControl
from tests.rig.sandbox import sandbox as start_sandbox

from .plain import PlainVisitor
from .ready import make_ready, visitor_for
from .steps import own_appointments, times_of_the_day, to_times

SECRET = "a-secret-of-more-than-32-characters-0123456789"
# What a second is on a machine that does much else; the ordinary looks take half a minute and more.
SOON_SECONDS = 15.0


@pytest.fixture(scope="module", params=["canvas", "medplum", "r4"])
def clinic(
    request: pytest.FixtureRequest, postgres_server: Postgres, redis_server: Redis, _mailbox: Mailbox
) -> Iterator[tuple[Portal, SandboxControl, str]]:
    with (
        start_sandbox(request.param) as ehr,
        postgres_server.database() as database_url,
        start_portal(
            ehr,
            database_url=database_url,
            redis_url=redis_server.url(9),
            worker=True,
            env=_mailbox.env | {"EHR_NOTICE_SECRET": SECRET},
        ) as running,
    ):
        redis_server.forget("*board:*", database=9)
        yield running, ehr, database_url


def rows(database_url: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(sql, values).fetchall()


def seconds_until(look: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not look():
        assert time.monotonic() - began < SOON_SECONDS, "it did not follow"
        time.sleep(0.05)
    return time.monotonic() - began


def tell(portal: Portal, ehr: SandboxControl) -> None:
    ehr.send_notices(f"{portal.url}/ehr/notices/", SECRET)


def test_a_time_that_staff_take_goes_from_the_page(clinic: tuple[Portal, SandboxControl, str]) -> None:
    portal, ehr, database_url = clinic
    visitor = PlainVisitor(portal.url)
    to_times(visitor, reason="back-or-joint", state="CA")
    here = str(visitor.page.url)
    values = times_of_the_day(visitor.page)

    def offered(value: str) -> bool:
        visitor.open(here)
        return value in times_of_the_day(visitor.page)

    def take(value: str) -> None:
        schedule_id, epoch = value.split(".")[:2]
        ((practitioner,),) = rows(
            database_url,
            "SELECT c.ehr_ref FROM booking_clinicianrecord c JOIN booking_schedulerecord s ON s.clinician_id = c.id"
            " WHERE s.id = %s",
            schedule_id,
        )
        start = datetime.fromtimestamp(int(epoch), UTC)
        ehr.staff_books(practitioner, start, start + timedelta(minutes=30))

    # The control: as long as nobody tells of it, the page offers it, as fresh as it may be.
    untold, told = values[0], values[len(values) // 2]
    take(untold)
    time.sleep(1.5)
    assert offered(untold)
    tell(portal, ehr)
    take(told)
    print(f"gone from the page after {seconds_until(lambda: not offered(told)):.2f} s")
    assert {each["status"] for each in ehr.notices()} == {202}
    ehr.send_no_notices()
    visitor.close()


def test_a_visit_that_staff_move_and_then_cancel_is_followed(
    clinic: tuple[Portal, SandboxControl, str],
) -> None:
    portal, ehr, database_url = clinic
    (person,) = make_ready(portal, 1)
    visitor = visitor_for(portal, person)
    visitor.open("/book/review/")
    visitor.press("Book this visit")
    assert "Your visit is booked" in visitor.page.html

    def booking() -> tuple[str, datetime]:
        ((state, starts_at),) = rows(
            database_url, "SELECT state, starts_at FROM booking_booking WHERE id = %s", person.booking_id
        )
        return state, starts_at

    (appointment,) = own_appointments(ehr, person.booking_id)
    length = datetime.fromisoformat(appointment["end"]) - datetime.fromisoformat(appointment["start"])
    new = person.starts_at + timedelta(days=7)
    tell(portal, ehr)
    key = ehr.staff_moves(appointment["id"], new, new + length)
    print(f"moved after {seconds_until(lambda: booking() == ('booked', new)):.2f} s")
    # What follows a notice of the same appointment closely waits a little, which is not what is measured here.
    time.sleep(TOGETHER_SECONDS + 0.5)
    ehr.staff_cancels(key)
    print(f"cancelled after {seconds_until(lambda: booking()[0] == 'cancelled'):.2f} s")
    kinds = rows(
        database_url,
        "SELECT kind FROM booking_message WHERE booking_id = %s ORDER BY created_at",
        person.booking_id,
    )
    assert [kind for (kind,) in kinds] == ["confirmation", "moved", "cancelled"]
    assert {each["status"] for each in ehr.notices()} == {202}
    ehr.send_no_notices()
    visitor.close()
