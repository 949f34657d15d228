"""A private PostgreSQL cluster: its own directory, port and operating-system user; nothing of it outlives the block."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from uuid import uuid4

import psycopg

from . import programs
from .processes import (
    LOOPBACK,
    Child,
    accepts_tcp,
    clean_environment,
    free_port,
    running,
    temporary_directory,
)

USER = "portal"

# Nothing here has to survive a power cut, and many test processes connect at once.
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "max_connections": "300",
    "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "timezone": "UTC",
}


@dataclass(frozen=True)
class Postgres:
    """A running cluster that trusts whoever reaches it on the loopback."""

    port: int
    child: Child | None = None

    def url(self, database: str = "portal") -> str:
        return f"postgres://{USER}@{LOOPBACK}:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement.encode())

    def turn_away(self, database: str) -> None:
        """As after a crash: whoever is connected to it no longer is, and nobody comes in until it is opened (``open``)."""
        self.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
        self.execute(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'"
        )

    def open(self, database: str) -> None:
        self.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')

    @contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """The URL of a fresh database (a copy of ``template``'s, if given), dropped at the end with whoever is connected."""
        name = f"portal_{uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        try:
            yield self.url(name)
        finally:
            with suppress(psycopg.OperationalError):
                self.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _server_user() -> str | None:
    """PostgreSQL refuses to run as root; then it runs as the user Debian made for it, or as nobody."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"


def _initdb(program: str, directory: str, user: str | None) -> None:
    command = [
        program,
        "-D",
        directory,
        "-U",
        USER,
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
    ]
    group = "nogroup" if user == "nobody" else user
    done = subprocess.run(
        [*command, "--no-instructions"],
        capture_output=True,
        text=True,
        cwd="/",
        env=clean_environment(),
        user=user,
        group=group,
        extra_groups=[] if user else None,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"initdb could not make a cluster:\n{done.stdout}{done.stderr}")


@contextmanager
def postgres(port: int | None = None, extra_settings: Mapping[str, str] | None = None) -> Iterator[Postgres]:
    """A cluster with one empty database, ``portal``; on ``port`` if that was promised to somebody already."""
    initdb = programs.require(programs.postgres_program("initdb"), "postgresql")
    server = programs.require(programs.postgres_program("postgres"), "postgresql")
    user = _server_user()
    with temporary_directory("pg", user) as directory:
        data = directory / "data"
        _initdb(initdb, str(data), user)
        cluster = Postgres(port or free_port())
        settings = _SETTINGS | {"port": str(cluster.port), "unix_socket_directories": str(directory)}
        settings |= extra_settings or {}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

        def ready() -> bool:
            if not accepts_tcp(cluster.port):
                return False
            with suppress(psycopg.OperationalError):
                cluster.execute("CREATE DATABASE portal")
                return True
            return False

        # For the server an interrupt means: end now, without waiting for those connected.
        with running(
            "PostgreSQL",
            [server, "-D", data, *options],
            log=directory / "log",
            ready=ready,
            cwd=directory,
            user=user,
            end_signal=signal.SIGINT,
        ) as child:
            yield replace(cluster, child=child)


class MortalPostgres:
    """A cluster that keeps every commit through ``crash`` and ``start``, as one on a disk does."""

    def __init__(self, port: int, directory: Path, user: str | None) -> None:
        self.server = Postgres(port)
        # What a commit said must not wait in the memory that a crash takes along.
        settings = _SETTINGS | {
            "port": str(port),
            "unix_socket_directories": str(directory),
            "synchronous_commit": "on",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        server = programs.require(programs.postgres_program("postgres"), "postgresql")
        self._command = [server, "-D", str(directory / "data"), *options]
        self._directory, self._user = directory, user
        self._child: Child | None = None
        self._lock = Lock()

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    def start(self) -> None:
        """Unless it runs. Called from a thread that stays, since the server ends with it."""
        with self._lock:
            if self.running:
                return
            self._child = Child(
                "PostgreSQL",
                self._command,
                log=self._directory / "log",
                cwd=self._directory,
                user=self._user,
                end_signal=signal.SIGINT,
            )
            self._child.wait_until(self.answers)

    def answers(self) -> bool:
        if not accepts_tcp(self.server.port):
            return False
        with suppress(psycopg.OperationalError):
            self.server.execute("SELECT 1")
            return True
        return False

    def crash(self) -> None:
        """Shut down in immediate mode: nobody is waited for, nothing is written."""
        with self._lock:
            assert self._child is not None
            os.kill(self._child.pid, signal.SIGQUIT)
            self._child.popen.wait()
            self._child.kill()

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()


@contextmanager
def mortal_postgres() -> Iterator[MortalPostgres]:
    user = _server_user()
    initdb = programs.require(programs.postgres_program("initdb"), "postgresql")
    with temporary_directory("pg", user) as directory:
        _initdb(initdb, str(directory / "data"), user)
        cluster = MortalPostgres(free_port(), directory, user)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
