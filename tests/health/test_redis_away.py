"""Redis stopped or hung: every page works, nobody waits over three seconds, limits still hold, and a visit is booked."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from statistics import median

import httpx
import pytest

from tests.journeys.plain import PlainVisitor
from tests.journeys.steps import Person, eventually, to_review, to_times
from tests.rig.mail import Mailbox
from tests.rig.portal import Portal
from tests.rig.portal import portal as start_portal
from tests.rig.postgres import Postgres
from tests.rig.redis import redis as start_redis
from tests.rig.sandbox import SandboxControl

MOST_SECONDS = 3.0
# The first look at the grid may wait for the EHR as well, for GRID_DEADLINE_SECONDS.
GRID_SECONDS = 0.5


class Queue:
    """One address, and whichever Redis answers there."""

    def __init__(self, servers: ExitStack) -> None:
        self._servers = servers
        self.server = servers.enter_context(start_redis())

    def stop(self) -> None:
        with self.server.connect() as connection:
            connection.shutdown(nosave=True)
        assert eventually(lambda: not self.server.child.running)

    def start(self) -> None:
        self.server = self._servers.enter_context(start_redis(self.server.port))


@pytest.fixture(scope="module")
def queue() -> Iterator[Queue]:
    with ExitStack() as servers:
        yield Queue(servers)


@pytest.fixture(scope="module")
def portal(
    sandbox_server: SandboxControl, postgres_server: Postgres, queue: Queue, _mailbox: Mailbox
) -> Iterator[Portal]:
    with (
        postgres_server.database() as url,
        start_portal(
            sandbox_server,
            database_url=url,
            redis_url=queue.server.url(),
            web_processes=2,
            worker=True,
            env=_mailbox.env | {"GRID_DEADLINE_SECONDS": str(GRID_SECONDS)},
        ) as running,
    ):
        yield running


@contextmanager
def away(queue: Queue, how: str) -> Iterator[None]:
    """Hung: it takes connections and says nothing. Stopped: nobody is there, and what it knew is lost."""
    if how == "stopped":
        queue.stop()
        try:
            yield
        finally:
            queue.start()
    else:
        child = queue.server.child
        child.popen.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            child.popen.send_signal(signal.SIGCONT)


class TimedVisitor(PlainVisitor):
    """Keeps how long each request took, pages and redirects apart."""

    def __init__(self, base_url: str) -> None:
        super().__init__(base_url)
        self.took: list[tuple[float, str]] = []
        began: list[float] = []
        self.http.event_hooks = {
            "request": [lambda request: began.append(time.monotonic())],
            "response": [
                lambda answer: self.took.append(
                    (time.monotonic() - began[-1], f"{answer.request.method} {answer.request.url.path}")
                )
            ],
        }


def choose_time(visitor: PlainVisitor) -> None:
    to_times(visitor, reason="refill", state="CA")
    for _ in range(5):
        if visitor.press(name="slot").path != "/book/times/":
            return
    raise AssertionError(visitor.page.text[:500])


def whole_way(portal: Portal, person: Person, mailbox: Mailbox) -> list[tuple[float, str]]:
    """From the front page to a booked visit; what each request took."""
    with closing(TimedVisitor(portal.url)) as visitor:
        for _ in range(2):
            visitor.open("/")
        choose_time(visitor)
        to_review(visitor, person, mailbox)
        visitor.press("Book this visit")
        assert "is booked" in visitor.page.text
        visitor.open("/accounts/login/")
        return visitor.took


@pytest.fixture(scope="module")
def usual(portal: Portal, sandbox_server: SandboxControl, _mailbox: Mailbox) -> float:
    """What the slowest request takes while Redis is there."""
    slowest, _ = max(whole_way(portal, Person(email="redis-there@example.com", family="Usual"), _mailbox))
    return slowest


@pytest.mark.parametrize("how", ["hung", "stopped"])
def test_a_visit_is_booked_and_confirmed_and_no_request_waits(
    portal: Portal, usual: float, queue: Queue, mailbox: Mailbox, sandbox: SandboxControl, how: str
) -> None:
    person = Person(email=f"redis-{how}@example.com", family="Away")
    with away(queue, how):
        took = whole_way(portal, person, mailbox)
    slow = [each for each in took if each[0] > usual + MOST_SECONDS]
    assert slow == [], sorted(took)[-3:]
    # The row waited in the database; what Redis lost is of no matter.
    assert eventually(
        lambda: [mail for mail in mailbox.to(person.email) if "booked" in mail["Subject"]], seconds=120
    )


def usual_page(portal: Portal) -> float:
    """What half the pages of four seconds take at most."""
    with closing(TimedVisitor(portal.url)) as visitor:
        ends = time.monotonic() + 4
        while time.monotonic() < ends:
            # A connection of its own each, so that both web processes are met.
            httpx.post(f"{portal.url}/accounts/login/", trust_env=False)
            visitor.open("/accounts/login/")
        return median(took for took, _ in visitor.took)


def test_once_it_is_known_to_hang_pages_are_as_quick_as_ever(portal: Portal, queue: Queue) -> None:
    before = usual_page(portal)
    with away(queue, "hung"):
        # A wait for Redis is half a second at least.
        assert usual_page(portal) < before + 0.3


@pytest.mark.parametrize("how", ["there", "hung"])
def test_codes_to_one_contact_are_limited_whether_redis_is_there_or_not(
    portal: Portal, queue: Queue, mailbox: Mailbox, sandbox: SandboxControl, how: str
) -> None:
    """Three in ten minutes; while each of two processes counts for itself, three by each at the most."""
    person = Person(email=f"limit-{how}@example.com", family="Limited")

    def ask_for_codes() -> int:
        for _ in range(10):
            visitor = PlainVisitor(portal.url)
            choose_time(visitor)
            visitor.press("code", fields={"channel": "email", "email": person.email})
            visitor.close()
        return len(mailbox.to(person.email))

    if how == "there":
        assert eventually(
            lambda: (
                httpx.get(f"{portal.url}/readyz", trust_env=False).json()["parts"]["cache"]["state"] == "ok"
            )
        )
        time.sleep(6)
        assert ask_for_codes() == 3
    else:
        with away(queue, how):
            assert 3 <= ask_for_codes() <= 6


def test_the_control_a_cache_without_a_way_on_fails_its_page(
    sandbox_server: SandboxControl, postgres_server: Postgres, queue: Queue, mailbox: Mailbox
) -> None:
    """Django's own Redis cache under the same portal."""
    with (
        postgres_server.database() as url,
        start_portal(
            sandbox_server,
            database_url=url,
            redis_url=queue.server.url(3),
            env=mailbox.env,
            application="tests.health.plain_cache:application",
        ) as plain,
    ):
        visitor = PlainVisitor(plain.url)
        choose_time(visitor)
        with away(queue, "hung"):
            visitor.press("code", fields={"channel": "email", "email": "control@example.com"})
        assert visitor.page.status == 500
        visitor.close()
