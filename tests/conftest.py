"""The servers that tests run against, and the environment that makes Django use them.

Before Django reads its settings, everything of the caller's that the portal would read is taken out of the
environment, and a private PostgreSQL is promised on a free port; it starts once, before the first test, and
pytest-xdist's processes share it (each with a test database of its own). Every other server starts when a test
first asks for it. Nothing is skipped when a program is missing: the run ends and says what to install.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import django
import pytest
from django.db import connection

from tests.rig import mail, network, programs, sms
from tests.rig.browser import Browser, running_loop
from tests.rig.browser import browser as start_browser
from tests.rig.portal import Portal
from tests.rig.portal import portal as start_portal
from tests.rig.postgres import Postgres
from tests.rig.postgres import postgres as start_postgres
from tests.rig.processes import clean_environment, free_port, temporary_directory
from tests.rig.redis import Redis
from tests.rig.redis import redis as start_redis
from tests.rig.sandbox import SandboxControl, Sandboxes
from tests.rig.sandbox import sandbox as start_sandbox
from tests.rig.sandbox import sandboxes as start_sandboxes

_POSTGRES_PORT = "TEST_RIG_POSTGRES_PORT"
_owned = ExitStack()
_shares_servers = "PYTEST_XDIST_WORKER" in os.environ


def _prepare_environment() -> None:
    """What this process, and every test process it starts, hands to Django."""
    if not _shares_servers:
        port = free_port()
        env = clean_environment(
            **{_POSTGRES_PORT: str(port)},
            PORTAL_MODE="test",
            DATABASE_URL=Postgres(port).url(),
        )
        for name in set(os.environ) - set(env):
            del os.environ[name]
        os.environ.update(env)
    os.environ["VAR_DIR"] = str(_owned.enter_context(temporary_directory("test")))


_prepare_environment()
os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
django.setup()
# pytest-django would make the processes of pytest-xdist read the settings before this file has prepared them.
del os.environ["DJANGO_SETTINGS_MODULE"]


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("version", 0) or config.getoption("help", False):
        return
    _owned.enter_context(network.loopback_only())
    if _shares_servers or config.getoption("collectonly", False):
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    if missing := programs.missing_packages():
        raise pytest.UsageError(programs.sentence(missing))
    _owned.enter_context(start_postgres(int(os.environ[_POSTGRES_PORT])))


def pytest_unconfigure() -> None:
    _owned.close()


@pytest.fixture(scope="session")
def postgres_server() -> Postgres:
    """The cluster that Django's test database is in; ``.database()`` makes a fresh one beside it."""
    return Postgres(int(os.environ[_POSTGRES_PORT]))


@dataclass
class Crashes:
    """The database of the test goes away, and is back when it is brought back, or after so many ``seconds``."""

    server: Postgres
    name: str
    timers: list[threading.Timer] = field(default_factory=list)

    def crash(self, seconds: float | None = None) -> None:
        self.server.turn_away(self.name)
        if seconds is not None:
            self.timers.append(threading.Timer(seconds, self.server.open, [self.name]))
            self.timers[-1].start()

    def bring_back(self) -> None:
        """As the next request finds it."""
        for each in self.timers:
            each.join()
        self.server.open(self.name)
        connection.close()


@pytest.fixture
def crashes(postgres_server: Postgres, transactional_db: None) -> Iterator[Crashes]:
    found = Crashes(postgres_server, connection.settings_dict["NAME"])
    yield found
    found.bring_back()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """This test process's own Redis. Flush it, or use another of its 16 databases, rather than trust it to be empty."""
    with start_redis() as server:
        yield server


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[SandboxControl]:
    """The sandbox EHR; ask for ``sandbox`` instead to find it well behaved."""
    with start_sandbox() as control:
        yield control


@pytest.fixture(scope="module")
def sandboxes() -> Iterator[Sandboxes]:
    """Sandboxes of every kind of manners, for one file of tests."""
    with start_sandboxes() as running:
        yield running


@pytest.fixture(scope="session")
def _usual_switches(sandbox_server: SandboxControl) -> dict[str, object]:
    return sandbox_server.switches()


@pytest.fixture
def sandbox(sandbox_server: SandboxControl, _usual_switches: dict[str, object]) -> Iterator[SandboxControl]:
    """The sandbox EHR without faults and with its usual switches, before the test and after. Its data stays."""
    sandbox_server.clear_faults()
    sandbox_server.switches(**_usual_switches)
    yield sandbox_server
    sandbox_server.clear_faults()
    sandbox_server.switches(**_usual_switches)


@pytest.fixture(scope="session")
def _mailbox() -> Iterator[mail.Mailbox]:
    with mail.mailbox() as box:
        yield box


@pytest.fixture
def mailbox(_mailbox: mail.Mailbox) -> mail.Mailbox:
    """An SMTP server, empty."""
    _mailbox.clear()
    return _mailbox


@pytest.fixture(scope="session")
def _sms_gateway() -> Iterator[sms.SmsGateway]:
    with sms.sms_gateway() as gateway:
        yield gateway


@pytest.fixture
def sms_gateway(_sms_gateway: sms.SmsGateway) -> Iterator[sms.SmsGateway]:
    """The SMS provider, empty and well behaved; no caller is left hanging after the test."""
    _sms_gateway.clear()
    yield _sms_gateway
    _sms_gateway.clear()


@pytest.fixture(scope="session")
def portal_server(
    postgres_server: Postgres,
    redis_server: Redis,
    sandbox_server: SandboxControl,
    _mailbox: mail.Mailbox,
    _sms_gateway: sms.SmsGateway,
) -> Iterator[Portal]:
    """One seeded portal for all tests that can share it: PostgreSQL, Redis, two web processes and a worker.

    Tests that need another shape, or their data to themselves, start their own with ``tests.rig.portal.portal``.
    """
    with (
        postgres_server.database() as database_url,
        start_portal(
            sandbox_server,
            database_url=database_url,
            redis_url=redis_server.url(1),
            web_processes=2,
            worker=True,
            env=_mailbox.env | _sms_gateway.env,
        ) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def _chromium() -> Iterator[tuple[Browser, asyncio.AbstractEventLoop | None]]:
    with start_browser() as running:
        loop = asyncio._get_running_loop()
        with running_loop(None):
            yield running, loop


@pytest.fixture
def browser(_chromium: tuple[Browser, asyncio.AbstractEventLoop | None]) -> Iterator[Browser]:
    """Chromium. A test that has it cannot use Django's database in its own thread; other tests can."""
    running, loop = _chromium
    with running_loop(loop):
        yield running
