"""/metrics: any of several web processes answers for all of them and for the worker; labels are ours and few."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as families

from booking.observed import VERBS
from booking.scheduling.lifecycle import BookingState
from tests.journeys.plain import PlainVisitor
from tests.journeys.steps import Person, to_review, to_times
from tests.rig.mail import Mailbox
from tests.rig.portal import Portal
from tests.rig.portal import portal as start_portal
from tests.rig.postgres import Postgres
from tests.rig.processes import temporary_directory
from tests.rig.redis import Redis
from tests.rig.sandbox import SandboxControl

TOKEN = "only-for-tests-" + "t" * 20
_numbers = itertools.count(1)
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def answer(portal: Portal, token: str = TOKEN) -> httpx.Response:
    # A connection of its own, so that it may come to any of the web processes.
    return httpx.get(
        f"{portal.url}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=10, trust_env=False
    )


def series(portal: Portal) -> Series:
    got = answer(portal)
    assert got.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(got.text)
        for sample in family.samples
    }


def bookings(found: Series) -> dict[str, float]:
    return {labels[0][1]: value for (name, labels), value in found.items() if name == "portal_bookings_total"}


@contextmanager
def portal_with(
    postgres: Postgres, redis_url: str, sandbox: SandboxControl, mailbox: Mailbox, **env: str
) -> Iterator[Portal]:
    with (
        postgres.database() as url,
        start_portal(
            sandbox,
            database_url=url,
            redis_url=redis_url,
            web_processes=2,
            worker=True,
            env=mailbox.env | env,
        ) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def counted(
    postgres_server: Postgres, redis_server: Redis, sandbox_server: SandboxControl, _mailbox: Mailbox
) -> Iterator[Portal]:
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_directory("metrics"))
        yield stack.enter_context(
            portal_with(
                postgres_server,
                redis_server.url(8),
                sandbox_server,
                _mailbox,
                METRICS_TOKEN=TOKEN,
                PROMETHEUS_MULTIPROC_DIR=str(folder / "made-at-start"),
            )
        )


def somebody() -> Person:
    """With a mailbox of their own: one is sent no more than three codes in ten minutes."""
    return Person(
        given="Zzmetric",
        family="Stegosaurus",
        email=f"metric.bird{next(_numbers)}@example.com",
        born=("9", "6", "1933"),
    )


def choose_time(visitor: PlainVisitor) -> None:
    """Any that is still free: other portals book into the same EHR."""
    to_times(visitor, reason="refill", state="CA")
    for _ in range(5):
        if visitor.press(name="slot").path != "/book/times/":
            return
    raise AssertionError(visitor.page.text[:500])


def book(portal: Portal, mailbox: Mailbox) -> None:
    visitor = PlainVisitor(portal.url)
    choose_time(visitor)
    to_review(visitor, somebody(), mailbox)
    visitor.press("Book this visit")
    assert "is booked" in visitor.page.text
    visitor.close()


def test_every_process_answers_for_all(counted: Portal, mailbox: Mailbox, sandbox: SandboxControl) -> None:
    for _ in range(3):
        book(counted, mailbox)
    told = [bookings(series(counted)) for _ in range(12)]
    assert told == [{"held": 3, "submitting": 3, "booked": 3}] * 12


def test_a_process_that_serves_no_pages_is_counted_too(counted: Portal, sandbox: SandboxControl) -> None:
    key = "portal_ehr_call_seconds_count", (("dialect", "canvas"), ("outcome", "ok"), ("verb", "examine"))
    before = series(counted).get(key, 0)
    counted.manage("check_ehr", check=False)
    assert series(counted)[key] == before + 1


def test_calls_to_the_ehr_are_timed_by_verb_dialect_and_outcome(
    counted: Portal, mailbox: Mailbox, sandbox: SandboxControl
) -> None:
    before = series(counted)
    book(counted, mailbox)
    after = series(counted)
    key = (
        "portal_ehr_call_seconds_count",
        (("dialect", "canvas"), ("outcome", "ok"), ("verb", "create_appointment")),
    )
    assert after[key] - before.get(key, 0) == 1
    assert after["portal_board_read_timestamp_seconds", ()] > 0


def test_what_the_database_holds_is_told_beside(counted: Portal, sandbox: SandboxControl) -> None:
    visitor = PlainVisitor(counted.url)
    choose_time(visitor)
    found = series(counted)
    assert found["portal_rows", (("part", "holds"),)] == 1
    assert found["portal_part_is_ok", (("part", "database"),)] == 1
    assert found["portal_page_seconds_count", (("route", "times"), ("status", "2xx"))] > 0
    visitor.close()


def test_labels_are_from_short_lists_and_tell_nothing_of_anybody(
    counted: Portal, mailbox: Mailbox, sandbox: SandboxControl
) -> None:
    book(counted, mailbox)
    httpx.get(f"{counted.url}/nowhere/Stegosaurus", trust_env=False)
    httpx.get(f"{counted.url}/v/0123.forged/", trust_env=False)
    allowed = {
        "state": set(BookingState),
        "verb": VERBS,
        "dialect": {"canvas"},
        "outcome": {"ok", "rejected", "unavailable", "unknown"},
        "status": {"2xx", "3xx", "4xx", "5xx"},
    }
    text = answer(counted).text
    for name, values in allowed.items():
        assert set(re.findall(rf'\b{name}="([^"]*)"', text)) <= set(values), name
    assert all("/" not in route for route in re.findall(r'route="([^"]*)"', text))
    # Figures may have any digits.
    names = re.sub(r" [0-9.e+-]+$", "", text, flags=re.MULTILINE)
    assert [
        word for word in ("Zzmetric", "Stegosaurus", "metric.bird", "1933", "forged") if word in names
    ] == []


@pytest.mark.parametrize("token", ["wrong", TOKEN[:-1], f"{TOKEN}t"])
def test_nobody_without_the_token_is_told(counted: Portal, token: str) -> None:
    got = answer(counted, token)
    assert (got.status_code, got.text) == (401, "")


def test_without_a_folder_each_process_tells_its_own(
    postgres_server: Postgres, redis_server: Redis, sandbox_server: SandboxControl, mailbox: Mailbox
) -> None:
    """The control: what several processes count separately, no one of them can tell."""
    with portal_with(
        postgres_server, redis_server.url(9), sandbox_server, mailbox, METRICS_TOKEN=TOKEN
    ) as portal:
        for _ in range(3):
            book(portal, mailbox)
        told = {bookings(series(portal)).get("booked", 0) for _ in range(40)}
    assert told != {3}
