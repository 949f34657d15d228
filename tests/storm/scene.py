"""The portal as it is deployed, with something that can fail in front of each of its neighbors, and a watchman that
starts again what has died, as a container engine does."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, RLock, Thread
from typing import Any
from urllib.parse import urlsplit

import psycopg

from tests.rig.fault_proxy import FaultProxies, FaultProxy, fault_proxies
from tests.rig.mail import Mailbox, mailbox
from tests.rig.portal import Portal
from tests.rig.postgres import MortalPostgres, mortal_postgres
from tests.rig.processes import (
    LOOPBACK,
    Child,
    clean_environment,
    free_port,
    http_status,
    stop_all,
    temporary_directory,
)
from tests.rig.redis import Redis
from tests.rig.redis import redis as start_redis
from tests.rig.sandbox import SandboxControl
from tests.rig.sandbox import sandbox as start_sandbox
from tests.rig.sms import SmsGateway, sms_gateway

NOTICE_SECRET = "only-for-storms-" + "".join(chr(97 + n) for n in range(20))
CLINICIANS = 24

# An EHR that is given up on after seconds, so that a test need not rest for minutes. Limits on calls are not its subject.
QUICK = {
    "EHR_CONNECT_SECONDS": "1",
    "EHR_READ_SECONDS": "3",
    "EHR_TOTAL_SECONDS": "4",
    "EHR_REST_SECONDS": "5",
    "EHR_LOOK_AGAIN_SECONDS": "2",
    "EHR_FOLLOW_SECONDS": "60",
    "WORKER_LEASE_SECONDS": "8",
    "CARRIER_SECONDS": "5",
}
OPEN = {"EHR_CALLS_PER_MINUTE": "100000", "EHR_CALLS_PER_SECOND": "10000"}


def write_roster(
    path: Path,
    clinicians: int = CLINICIANS,
    *,
    horizon_days: int = 40,
    step_minutes: int = 15,
    hours: tuple[str, str] = ("06:00", "20:00"),
) -> None:
    """A clinic with time for everybody: family doctors in California, seven days a week."""
    place = {"key": 1, "id": "6c0f4b9a-3d5e-4f17-8a52-0d9b7e1c2a34", "name": "Storm Clinic"}
    staff = [
        {
            "key": f"{number + 1:04d}",
            "given": f"Given{chr(65 + number % 26)}",
            "family": f"Doctor{number + 1:03d}",
            "credential": "MD",
            "taxonomy": "207Q00000X",
            "states": ["CA"],
            "place": 1,
            "hours": [["MTWRFSU", *hours]],
            "busy": [],
        }
        for number in range(clinicians)
    ]
    places = [place | {"zone": "America/Los_Angeles", "state": "CA"}]
    roster = {"horizon_days": horizon_days, "step_minutes": step_minutes, "places": places, "staff": staff}
    path.write_text(json.dumps(roster))


class Deployment(Portal):
    """Web, worker, beat and relay with the options of docker-compose.yml; in test mode, where crash points are to be had."""

    beat: Child | None = None
    relay: Child | None = None

    def start_web(self) -> Child:
        command = (
            f"granian --interface wsgi --host {LOOPBACK} --port {self.port} --workers {self.web_processes}"
        )
        options = "--blocking-threads 8 --no-ws --respawn-failed-workers --respawn-interval 0.5"
        words = [*command.split(), *options.split(), "--workers-kill-timeout", "5", "--log-level", "warning"]
        self.web = self._child("web", ["-m", *words, self.application])
        return self.web

    def start_worker(self) -> Child:
        options = "--concurrency 2 --loglevel INFO --without-gossip --without-mingle"
        self.worker = self._child("worker", ["-m", "celery", "-A", "portal", "worker", *options.split()])
        return self.worker

    def start_beat(self) -> Child:
        schedule = str(self.directory / "beat-schedule")
        words = ["-m", "celery", "-A", "portal", "beat", "--schedule", schedule, "--loglevel", "INFO"]
        self.beat = self._child("beat", words)
        return self.beat

    def start_relay(self) -> Child:
        self.relay = self._child("relay", ["manage.py", "relay"])
        return self.relay

    def _child(self, name: str, words: list[str]) -> Child:
        return Child(name, [sys.executable, *words], log=self.directory / f"{name}.log", env=self.env)

    def children(self) -> list[Child]:
        return [child for child in (self.web, self.worker, self.beat, self.relay) if child]

    def stop(self) -> None:
        stop_all(self.children())


class Watchman:
    """Starts again whatever of the deployment, or its database, has ended, a second later."""

    def __init__(self, deployment: Deployment, postgres: MortalPostgres) -> None:
        self._deployment, self._postgres = deployment, postgres
        self._over = Event()
        self.lock = RLock()
        self.restarts = 0
        self._thread = Thread(target=self._watch, daemon=True, name="watchman")

    def start(self) -> None:
        """The deployment's processes are children of this thread, and live as long as it does."""
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        here = self._deployment
        starters: dict[str, Callable[[], Child]] = {
            "web": here.start_web,
            "worker": here.start_worker,
            "beat": here.start_beat,
            "relay": here.start_relay,
        }
        for start in starters.values():
            start()
        while not self._over.wait(1):
            self._postgres.start()
            for name, start in starters.items():
                child: Child | None = getattr(here, name)
                if child is not None and not child.running:
                    with self.lock:
                        child.kill()
                        self.restarts += 1
                        start()
        here.stop()


@dataclass
class Scene:
    """``proxies`` by name: ehr, redis, postgres, smtp, sms. ``crashes`` is the folder of crash points."""

    postgres: MortalPostgres
    redis: Redis
    sandbox: SandboxControl
    mail: Mailbox
    sms: SmsGateway
    proxies: Mapping[str, FaultProxy]
    portal: Deployment
    watchman: Watchman
    crashes: Path
    database_url: str
    servers: ExitStack = field(repr=False)
    days: int

    def days_ahead(self) -> list[str]:
        """Those that people look at, none of them near enough for a lead time or a midnight to matter."""
        return [(datetime.now(UTC).date() + timedelta(days=3 + n)).isoformat() for n in range(self.days)]

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(statement.encode(), values).fetchall()

    def is_up(self) -> bool:
        return http_status(self.portal.port, "/healthz") == 200

    def wait_until(self, what: Callable[[], bool], seconds: float = 60) -> float:
        """How long it took; AssertionError when it does not come to pass."""
        began = time.monotonic()
        while not what():
            assert time.monotonic() - began < seconds, (
                f"not within {seconds} seconds\n{self.portal.logs()[-3000:]}"
            )
            time.sleep(0.1)
        return time.monotonic() - began

    def restart_redis(self) -> None:
        """A Redis on the old one's port that knows nothing of what that one knew."""
        self.redis = self.servers.enter_context(start_redis(self.redis.port))


@contextmanager
def scene(
    *,
    env: Mapping[str, str] | None = None,
    application: str = "portal.wsgi:application",
    notices: bool = False,
    can_fail: bool = True,
    hours: tuple[str, str] = ("06:00", "20:00"),
    days: int = 14,
) -> Iterator[Scene]:
    """Everything on ports of its own. ``application`` is for negative controls; people look at so many ``days``.

    Without ``can_fail`` there are no proxies, which otherwise take a core to carry what a busy portal says.
    """
    with ExitStack() as servers:
        directory = servers.enter_context(temporary_directory("storm"))
        crashes = directory / "crashes"
        crashes.mkdir()
        roster = directory / "roster.json"
        write_roster(roster, hours=hours)
        postgres = servers.enter_context(mortal_postgres())
        redis = servers.enter_context(start_redis())
        sandbox = servers.enter_context(start_sandbox(roster=roster))
        box, texts = servers.enter_context(mailbox()), servers.enter_context(sms_gateway())
        ports = _ports(postgres, redis, sandbox, box, texts)
        proxies = _proxies(servers.enter_context(fault_proxies()), ports) if can_fail else {}
        ports |= {name: proxy.port for name, proxy in proxies.items()}
        postgres.server.execute("CREATE DATABASE storm")
        port = free_port()
        ehr = f"http://{LOOPBACK}:{ports['ehr']}"
        settings = {
            "PORTAL_MODE": "test",
            "SECRET_KEY": "only-for-tests-" + "k" * 50,
            "ALLOWED_HOSTS": f"localhost,{LOOPBACK}",
            "PORTAL_URL": f"http://localhost:{port}",
            "DATABASE_URL": f"postgres://portal@{LOOPBACK}:{ports['postgres']}/storm",
            "REDIS_URL": f"redis://{LOOPBACK}:{ports['redis']}/0",
            "VAR_DIR": str(directory),
            "PORTAL_CRASH_DIR": str(crashes),
            "EHR_NOTICE_SECRET": NOTICE_SECRET if notices else "",
            **sandbox.env,
            "EHR_BASE_URL": ehr,
            "EHR_TOKEN_URL": f"{ehr}{urlsplit(sandbox.env['EHR_TOKEN_URL']).path}",
            **box.env,
            "EMAIL_PORT": str(ports["smtp"]),
            **texts.env,
            "SMS_API_URL": f"http://{LOOPBACK}:{ports['sms']}",
            **QUICK,
            **OPEN,
            **(env or {}),
        }
        portal = Deployment(directory, clean_environment(**settings), port=port, web_processes=2)
        portal.application = application
        portal.manage("migrate", "--no-input", "--verbosity", "0")
        portal.manage("seed_demo")
        watchman = Watchman(portal, postgres)
        here = Scene(
            postgres, redis, sandbox, box, texts, proxies, portal, watchman, crashes,
            postgres.server.url("storm"), servers, days,
        )  # fmt: skip
        watchman.start()
        try:
            here.wait_until(here.is_up)
            here.wait_until(lambda: bool(here.query("SELECT 1 FROM booking_heartbeat")))
            if notices:
                sandbox.send_notices(f"{portal.url}/ehr/notices/", NOTICE_SECRET)
            yield here
        finally:
            if notices:
                sandbox.send_no_notices()
            watchman.stop()


def _ports(
    postgres: MortalPostgres, redis: Redis, sandbox: SandboxControl, box: Mailbox, texts: SmsGateway
) -> dict[str, int]:
    return {
        "ehr": urlsplit(sandbox.url).port or 80,
        "redis": redis.port,
        "postgres": postgres.server.port,
        "smtp": box.port,
        "sms": texts.port,
    }


def _proxies(proxies: FaultProxies, ports: Mapping[str, int]) -> dict[str, FaultProxy]:
    return {name: proxies.before(port) for name, port in ports.items()}


def processes_below(pid: int) -> list[int]:
    """Its children and theirs, oldest first."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    found, look = [], [pid]
    while look:
        mine = sorted(child for child, parent in parents.items() if parent == look[0])
        found += mine
        look = look[1:] + mine
    return found


def kill(pid: int) -> bool:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return False
    return True
