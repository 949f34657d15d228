"""What the benchmark runs against, each under the command line its users would give it, and what is metered of it.

PostgreSQL keeps its promises here (fsync on) and counts statements. The portal is started from docker-compose.yml's own
command lines with production settings; the floor is the same server and settings with files and an empty view; the peer
is django-appointment under gunicorn with two sync workers.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.rig import mail
from tests.rig.postgres import Postgres, postgres
from tests.rig.processes import LOOPBACK, Child, clean_environment, free_port, http_status, stop_all
from tests.rig.redis import Redis, redis
from tests.rig.sandbox import SandboxControl
from tests.test_compose import production_environment
from tests.test_production_run import command

from .usage import cpu_seconds, memory_bytes

HOST = "book.clinic.example"
# A browser behind a proxy that ends TLS.
BROWSER = {"Host": HOST, "X-Forwarded-Proto": "https", "Accept-Encoding": "gzip"}
CSRF = "benchbenchbenchbenchbenchbenchbe"
# Its statements are told from the worker's by its name.
WEB_ROLE = "web"
# The sandbox is nobody's to spare while a board is filled that pages are then timed on.
OPEN_BUDGET = {"EHR_CALLS_PER_SECOND": "10000", "EHR_CALLS_PER_MINUTE": "100000"}
# What the queue keeps in the same Redis, and would not find again.
_QUEUE_KEYS = ("_kombu", "unacked", "celery")
_DURABLE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_preload_libraries": "pg_stat_statements",
    "shared_buffers": "256MB",
}
_COUNT = """
    SELECT COALESCE(SUM(calls), 0) FROM pg_stat_statements s
    JOIN pg_roles r ON r.oid = s.userid JOIN pg_database d ON d.oid = s.dbid
    WHERE r.rolname = %s AND d.datname = %s
    AND query !~* '^(begin|commit|rollback|savepoint|release)'"""


@dataclass
class Ground:
    """What all systems stand on, for the length of the benchmark."""

    postgres: Postgres
    redis: Redis
    letters: mail.Mailbox
    directory: Path
    static: Path
    template: str

    def statements(self, role: str, database: str) -> int:
        """How many the role has had answered in a database, transaction control left out."""
        with psycopg.connect(self.postgres.url(), autocommit=True) as connection:
            row = connection.execute(_COUNT, (role, database)).fetchone()
        return int(row[0]) if row else 0


@contextmanager
def ground(directory: Path) -> Iterator[Ground]:
    """PostgreSQL with an empty, migrated database to copy, Redis, a mailbox, and the portal's static files."""
    with ExitStack() as stack:
        cluster = stack.enter_context(postgres(extra_settings=_DURABLE))
        cluster.execute("CREATE EXTENSION pg_stat_statements", "portal")
        cluster.execute(f"CREATE ROLE {WEB_ROLE} LOGIN SUPERUSER")
        found = Ground(
            postgres=cluster,
            redis=stack.enter_context(redis()),
            letters=stack.enter_context(mail.mailbox()),
            directory=directory,
            static=directory / "static",
            template="portal",
        )
        env = _production(found, "portal", {})
        for words in (["collectstatic", "--no-input"], ["migrate", "--no-input"]):
            _manage([sys.executable, "manage.py", *words, "--verbosity", "0"], env)
        yield found


def _production(base: Ground, database: str, extra: Mapping[str, str]) -> dict[str, str]:
    env = production_environment(
        PORTAL_URL=f"https://{HOST}",
        ALLOWED_HOSTS=f"{HOST},localhost",
        BEHIND_TLS_PROXY="true",
        **extra,
    )
    return (
        env
        | base.letters.env
        | {
            "DATABASE_URL": base.postgres.url(database),
            "REDIS_URL": base.redis.url(1),
            "VAR_DIR": str(base.directory),
            "STATIC_ROOT": str(base.static),
            "SESSION_MINUTES": "720",
        }
    )


def _manage(words: list[str], env: Mapping[str, str], given: str = "") -> str:
    done = subprocess.run(words, env=dict(env), input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[-3:])} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


@dataclass
class Served:
    """One running server: where it listens and what to read its cost from."""

    name: str
    port: int
    children: dict[str, Child] = field(default_factory=dict)

    @property
    def web(self) -> Child:
        return self.children["web"]

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, by part."""
        return {name: cpu_seconds(child.pid) for name, child in self.children.items() if child.running}

    def memory(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, child in self.children.items():
            resident, shared_out = memory_bytes(child.pid)
            found |= {f"{name}_rss_mb": resident / 1e6, f"{name}_pss_mb": shared_out / 1e6}
        return found

    def stop(self) -> None:
        stop_all(self.children.values())
        self.children.clear()


class PortalUnderTest(Served):
    """Two web processes, a worker and beat, on a database and an EHR of its own."""

    def __init__(self, base: Ground, database: str, sandbox: SandboxControl) -> None:
        super().__init__("portal", free_port())
        self.base, self.database, self.sandbox = base, database, sandbox
        self.env = _production(base, database, sandbox.env)
        self.session_cookie, self.csrf_cookie = "", ""
        self.schedules: dict[int, int] = {}

    def seed(self, clinic: dict[str, Any]) -> None:
        answer = self._program({"write": True, "clinic": clinic, "sessions": 0, "minutes": 20})
        self.schedules = {schedule: index for index, schedule in enumerate(answer["schedules"])}

    def visitors(self, clinic: dict[str, Any], count: int, minutes: int = 20) -> list[dict[str, str]]:
        """Headers of as many visitors as asked for, each with cookies of their own."""
        clinic = {name: value for name, value in clinic.items() if name != "people"}
        answer = self._program({"clinic": clinic, "sessions": count, "minutes": minutes})
        return [
            {
                **BROWSER,
                "Cookie": f"{answer['cookie']}={key}; {answer['csrf']}={CSRF}",
                "Origin": f"https://{HOST}",
                "X-CSRFToken": CSRF,
            }
            for key in answer["sessions"]
        ]

    def _program(self, order: dict[str, Any]) -> dict[str, Any]:
        words = [sys.executable, "-m", "tests.bench.seed_portal"]
        found: dict[str, Any] = json.loads(_manage(words, self.env, json.dumps(order)))
        return found

    def _child(self, service: str, replacements: dict[str, str], env: dict[str, str]) -> Child:
        log = self.base.directory / f"{service}-{self.port}.log"
        return Child(service, command(service, replacements), log=log, env=env)

    def start_web(self) -> None:
        env = self.env | {"DATABASE_URL": self.env["DATABASE_URL"].replace("//portal@", f"//{WEB_ROLE}@")}
        where = {"--port 8000": f"--port {self.port}", "0.0.0.0": LOOPBACK}
        web = self._child("web", where, env)
        self.children["web"] = web
        web.wait_until(lambda: http_status(self.port, "/healthz") == 200, seconds=60)

    def start_jobs(self) -> None:
        worker = self.children["worker"] = self._child("worker", {}, self.env)
        schedule = str(self.base.directory / f"beat-{self.port}")
        self.children["beat"] = self._child("beat", {"/var/lib/portal/beat-schedule": schedule}, self.env)
        said = worker.output().count(" ready.")
        worker.wait_until(lambda: worker.output().count(" ready.") > said, seconds=60)

    def restart(self, **changes: str) -> None:
        """All of it anew, with other settings than it was seeded with; without any, with those again."""
        self.stop()
        kept, self.env = self.env, self.env | changes
        try:
            self.start_web()
            self.start_jobs()
        finally:
            self.env = kept

    def restart_web(self) -> None:
        self.web.stop(3)
        self.start_web()

    def forget_board(self) -> None:
        """Everything in Redis but the queue: the board, and whatever else is there to make pages quick."""
        with self.base.redis.connect(1) as connection:
            keys = [key for key in connection.scan_iter(count=2000) if not key.startswith(_QUEUE_KEYS)]
            for at in range(0, len(keys), 500):
                connection.delete(*keys[at : at + 500])

    def statements(self) -> int:
        return self.base.statements(WEB_ROLE, self.database)

    def ehr_calls(self) -> int:
        return int(self.sandbox.calls()["total"])


class Floor(Served):
    """The portal's server and settings, with the portal's own pages as files under ``/static/floor/`` and an empty
    view at ``/empty/``."""

    def __init__(self, portal: PortalUnderTest, pages: Mapping[str, bytes]) -> None:
        super().__init__("floor", free_port())
        root = portal.base.directory / f"floor-{self.port}"
        folder = root / "floor"
        folder.mkdir(parents=True)
        for name, body in pages.items():
            (folder / name).write_bytes(body)
            subprocess.run(["gzip", "--keep", "--best", str(folder / name)], check=True)
        for kept in ("staticfiles.json",):
            shutil.copy(portal.base.static / kept, root / kept)
        env = portal.env | {
            "STATIC_ROOT": str(root),
            "DJANGO_SETTINGS_MODULE": "tests.bench.floor_settings",
        }
        where = {"--port 8000": f"--port {self.port}", "0.0.0.0": LOOPBACK}
        log = portal.base.directory / f"floor-{self.port}.log"
        web = self.children["web"] = Child("floor", command("web", where), log=log, env=env)
        web.wait_until(lambda: http_status(self.port, "/healthz") == 200, seconds=60)


@contextmanager
def portal_of(base: Ground, sandbox: SandboxControl, clinic: dict[str, Any]) -> Iterator[PortalUnderTest]:
    with base.postgres.database(template=base.template) as url:
        found = PortalUnderTest(base, url.rpartition("/")[2], sandbox)
        try:
            found.forget_board()
            found.seed(clinic)
            found.start_web()
            found.start_jobs()
            yield found
        finally:
            found.stop()


def environment_of_peer(folder: Path) -> Path:
    """The peer's Python, installed from its hashed requirements when it is not there or they have changed."""
    wanted = Path(__file__).parent / "peer" / "requirements.txt"
    stamp, python = folder / "installed.txt", folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        words = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _manage([*words, "--require-hashes", "--requirement", str(wanted)], clean_environment())
        stamp.write_text(wanted.read_text())
    return python


class Peer(Served):
    """django-appointment, seeded with the same clinic; ``staff`` are its ids in the order of the clinic's people."""

    def __init__(self, base: Ground, database: str, python: Path) -> None:
        super().__init__("peer", free_port())
        self.base, self.database, self._python = base, database, python
        self.service = 0
        self.staff: list[int] = []
        self.static = base.directory / "peer-static"
        self._env = clean_environment(
            PEER_SECRET_KEY="only-for-this-benchmark",
            PEER_DATABASE=database,
            PEER_DATABASE_PORT=str(base.postgres.port),
            PEER_STATIC_ROOT=str(self.static),
            DJANGO_SETTINGS_MODULE="tests.bench.peer.settings",
        )

    def start(self, clinic: dict[str, Any]) -> None:
        django = [str(self._python), "-m", "django"]
        # Tables without migrations are made first, and theirs point at the accounts.
        for what in ("auth", "--run-syncdb"):
            _manage([*django, "migrate", what, "--verbosity", "0"], self._env)
        _manage([*django, "collectstatic", "--no-input", "--verbosity", "0"], self._env)
        words = [str(self._python), "-m", "tests.bench.peer.seed"]
        answer = json.loads(_manage(words, self._env, json.dumps(clinic)).splitlines()[-1])
        self.service, self.staff = answer["service"], answer["staff"]
        self.base.postgres.execute("ANALYZE", self.database)
        log = self.base.directory / f"peer-{self.port}.log"
        where = ["--workers", "2", "--bind", f"{LOOPBACK}:{self.port}", "tests.bench.peer.wsgi"]
        web = Child("peer", [self._python, "-m", "gunicorn", *where], log=log, env=self._env)
        self.children["web"] = web
        web.wait_until(lambda: http_status(self.port, self.page) == 200, seconds=60)

    @property
    def page(self) -> str:
        return f"/appointment/request/{self.service}/"

    def statements(self) -> int:
        return self.base.statements("portal", self.database)


@contextmanager
def peer_of(base: Ground, python: Path, clinic: dict[str, Any]) -> Iterator[Peer]:
    with base.postgres.database() as url:
        found = Peer(base, url.rpartition("/")[2], python)
        try:
            found.start(clinic)
            yield found
        finally:
            found.stop()
