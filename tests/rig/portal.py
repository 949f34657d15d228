"""The portal as its users run it: migrated, seeded, served by granian, with or without its worker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from .processes import (
    LOOPBACK,
    ROOT,
    Child,
    clean_environment,
    free_port,
    http_status,
    stop_all,
    temporary_directory,
)
from .sandbox import SandboxControl


class Portal:
    """One running portal: ``url`` for the browser, ``env`` for anything else that should see the same data.

    ``web`` and ``worker`` are its processes, for tests that kill them and start them again.
    """

    def __init__(self, directory: Path, env: Mapping[str, str], *, port: int, web_processes: int) -> None:
        self.directory = directory
        self.env = dict(env)
        self.port = port
        self.url = f"http://localhost:{port}"
        self.web_processes = web_processes
        self.application = "portal.wsgi:application"
        self.web: Child | None = None
        self.worker: Child | None = None

    def manage(
        self, *args: str, check: bool = True, seconds: float = 180, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a management command against this portal's data, with settings of its own in ``env``."""
        command = [sys.executable, "manage.py", *args]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        said = f"manage.py {' '.join(args)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        assert not check or done.returncode == 0, said
        return done

    def client(self) -> httpx.Client:
        """A visitor without a browser, to be closed by the caller."""
        return httpx.Client(base_url=self.url, follow_redirects=True, timeout=30, trust_env=False)

    def start_web(self) -> Child:
        """The server named in ``make run`` and docker-compose.yml; ready when it says it is well."""
        command = [
            sys.executable,
            "-m",
            "granian",
            "--interface",
            "wsgi",
            "--host",
            LOOPBACK,
            "--port",
            str(self.port),
        ]
        command += ["--workers", str(self.web_processes), "--blocking-threads", "8", "--log-level", "warning"]
        command += ["--no-ws", "--workers-kill-timeout", "3", self.application]
        self.web = Child("portal", command, log=self.directory / "web.log", env=self.env)
        self.web.wait_until(lambda: http_status(self.port, "/healthz") == 200, seconds=60)
        return self.web

    def start_worker(self) -> Child:
        """A Celery worker with its own beat; ready when it says so."""
        log = self.directory / "worker.log"
        said = log.read_text().count(" ready.") if log.exists() else 0
        command = [
            sys.executable,
            "-W",
            "ignore:You're running the worker",
            "-m",
            "celery",
            "-A",
            "portal",
            "worker",
            "--beat",
            "--pool",
            "threads",
        ]
        command += [
            "--schedule",
            str(self.directory / "beat-schedule"),
            "--concurrency",
            "2",
            "--loglevel",
            "INFO",
        ]
        command += ["--without-gossip", "--without-mingle"]
        worker = self.worker = Child("worker", command, log=log, env=self.env)
        worker.wait_until(lambda: worker.output().count(" ready.") > said, seconds=60)
        return worker

    def logs(self) -> str:
        """Everything its processes have said so far."""
        return "\n".join(child.output() for child in (self.web, self.worker) if child)

    def stop(self) -> None:
        stop_all(child for child in (self.web, self.worker) if child)


@contextmanager
def portal(
    sandbox: SandboxControl,
    *,
    database_url: str | None = None,
    redis_url: str | None = None,
    web_processes: int = 1,
    worker: bool = False,
    mode: str = "demo",
    seed: bool = True,
    env: Mapping[str, str] | None = None,
    application: str = "portal.wsgi:application",
) -> Iterator[Portal]:
    """A portal of its own on a free port, booking into ``sandbox``.

    Without ``database_url`` it has its own SQLite file; for PostgreSQL give it ``postgres_server.database()``'s.
    ``env`` comes last: a mailbox's or SMS gateway's ``env``, or any setting a test is about. ``application`` is for
    negative controls, which serve the portal with a guard taken out.
    """
    port = free_port()
    with temporary_directory("web") as directory:
        settings = {
            "PORTAL_MODE": mode,
            "SECRET_KEY": "only-for-tests-" + "k" * 50,
            "ALLOWED_HOSTS": f"localhost,{LOOPBACK}",
            "PORTAL_URL": f"http://localhost:{port}",
            "DATABASE_URL": database_url or f"sqlite://{directory / 'portal.sqlite3'}",
            "VAR_DIR": str(directory),
            **({"REDIS_URL": redis_url} if redis_url else {}),
            **sandbox.env,
            **(env or {}),
        }
        running_portal = Portal(
            directory, clean_environment(**settings), port=port, web_processes=web_processes
        )
        running_portal.application = application
        running_portal.manage("migrate", "--no-input", "--verbosity", "0")
        if seed:
            running_portal.manage("seed_demo")
        try:
            running_portal.start_web()
            if worker:
                running_portal.start_worker()
            yield running_portal
        finally:
            running_portal.stop()
