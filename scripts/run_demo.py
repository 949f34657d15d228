"""``make run``: the portal, its worker and the sandbox EHR on this machine, with everything they keep in var/.

``EHR=medplum`` or ``EHR=r4`` gives the sandbox the manners of another EHR, and files of their own to keep.

One supervisor starts them, stays quiet while they are well, and ends all of them together: on Ctrl-C, on a
request to end, when the terminal closes, or when one of them fails.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from threading import Thread
from typing import NoReturn
from urllib.parse import quote

from scripts.children import (
    LOOPBACK,
    ROOT,
    Child,
    ChildFailed,
    clean_environment,
    http_status,
    is_free,
    stop_all,
)

ADMIN = ("admin", "demo-admin-only")
VAR = ROOT / "var"
LOGS = VAR / "log"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# For each EHR: the path of its FHIR API, and of its token endpoint.
EHRS = {"canvas": ("", "/auth/token/"), "medplum": ("/fhir/R4", "/oauth2/token"), "r4": ("/fhir", "/token")}

WELCOME = """
The portal is running, with a sandbox EHR behind it ({manners} manners). Nothing leaves this machine.

  Book a visit      {portal}/
  Codes and mail    {portal}/dev/messages/   what would be sent by e-mail and text message
  Clinic's desk     {portal}/admin/   sign in as {user}, password {password}
  Sandbox EHR       {sandbox}/

Try first: book a visit, then read its confirmation under "Codes and mail".
Everything is kept in var/ for the next time; `make clean` starts over. Ctrl-C ends it.
"""


class Stopped(Exception):
    """Somebody asked the demo to end."""


class Unable(Exception):
    """The demo cannot start or go on; the message says why."""


def _stop(*_: object) -> NoReturn:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise Stopped


def end_with_make() -> None:
    """When make itself is killed outright, Linux asks this process to end."""
    if sys.platform == "linux" and "MAKELEVEL" in os.environ:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def port_from(name: str, default: int) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isdigit() or not 1024 <= int(value) <= 65535:
        raise Unable(
            f"{name} is “{value}”. Set it to a port from 1024 to 65535, such as make run {name}={default}."
        )
    if not is_free(port := int(value)):
        raise Unable(
            f"Port {port} is in use by another program. End that one, or choose another port: "
            f"make run {name}={port + 100}"
        )
    return port


def ehr_from_environment() -> str:
    value = os.environ.get("EHR") or "canvas"
    if value not in EHRS:
        raise Unable(f"EHR is “{value}”. Set it to one of {', '.join(EHRS)}, such as make run EHR=medplum.")
    return value


def only_one_here() -> int:
    """A lock that the system lets go of when this process ends, however it ends."""
    lock = os.open(VAR / "demo.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise Unable(
            "The demo is already running from this folder. End it there with Ctrl-C first."
        ) from None
    return lock


def kept_secret_key() -> str:
    path = VAR / "demo-secret-key"
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(50))
    return path.read_text().strip()


def kept_in(name: str, manners: str) -> str:
    return str(VAR / (f"{name}.sqlite3" if manners == "canvas" else f"{name}-{manners}.sqlite3"))


def demo_environment(port: int, sandbox_port: int, manners: str) -> dict[str, str]:
    sandbox = f"http://localhost:{sandbox_port}"
    base_path, token_path = EHRS[manners]
    return clean_environment(
        PORTAL_MODE="demo",
        SECRET_KEY=kept_secret_key(),
        ALLOWED_HOSTS=f"localhost,{LOOPBACK}",
        PORTAL_URL=f"http://localhost:{port}",
        DATABASE_URL=f"sqlite://{quote(kept_in('portal', manners))}",
        VAR_DIR=str(VAR),
        EHR_DIALECT=manners,
        EHR_BASE_URL=f"{sandbox}{base_path}",
        EHR_TOKEN_URL=f"{sandbox}{token_path}",
        EHR_CLIENT_ID="portal-demo",
        EHR_CLIENT_SECRET="portal-demo-secret",
        SANDBOX_CLIENT_ID="portal-demo",
        SANDBOX_CLIENT_SECRET="portal-demo-secret",
    )


class Demo:
    """The children, in the order they were started."""

    def __init__(self, port: int, sandbox_port: int, manners: str) -> None:
        self.port = port
        self.sandbox_port = sandbox_port
        self.manners = manners
        self.env = demo_environment(port, sandbox_port, manners)
        self.children: list[Child] = []

    def _start(self, name: str, *args: str) -> Child:
        log = LOGS / f"{name}.log"
        log.unlink(missing_ok=True)
        child = Child(name, [sys.executable, *args], log=log, env=self.env, pipe_errors=True)
        self.children.append(child)
        Thread(target=_pass_on_errors, args=(child,), daemon=True).start()
        return child

    def _manage(self, *args: str) -> None:
        """Run one management command to its end; the servers already started are watched meanwhile."""
        servers = list(self.children)
        log = LOGS / f"{args[0]}.log"
        log.unlink(missing_ok=True)
        child = Child(args[0], [sys.executable, "manage.py", *args], log=log, env=self.env)
        self.children.append(child)
        while child.running:
            _check(servers)
            time.sleep(0.05)
        child.kill()
        self.children.remove(child)
        if child.status:
            raise Unable(f"manage.py {' '.join(args)} failed:\n{child.tail()}")

    def start(self) -> None:
        sandbox = self._start(
            "sandbox",
            *("-m", "booking.sandbox", "--host", LOOPBACK, "--port", str(self.sandbox_port)),
            *("--database", kept_in("sandbox", self.manners), "--manners", self.manners),
        )
        self._manage("migrate", "--no-input", "--verbosity", "0")
        sandbox.wait_until(lambda: http_status(self.sandbox_port, "/healthz") == 200, seconds=60)
        self._manage("seed_demo")
        portal = self._start(
            "portal",
            *("-m", "granian", "--interface", "wsgi", "--host", LOOPBACK, "--port", str(self.port)),
            *(
                "--workers",
                "1",
                "--blocking-threads",
                "8",
                "--no-ws",
                "--no-access-log",
                "--log-level",
                "warning",
            ),
            *("--workers-kill-timeout", "2", "portal.wsgi:application"),
        )
        worker = self._start(
            "worker",
            # On one's own machine, as root in a container too, there is nothing to protect the worker from.
            *(
                "-W",
                "ignore:You're running the worker with superuser",
                "-m",
                "celery",
                "-A",
                "portal",
                "worker",
                "--beat",
                "--schedule",
                str(VAR / "beat-schedule"),
            ),
            *("--pool", "threads", "--concurrency", "2", "--loglevel", "INFO"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        )
        portal.wait_until(lambda: http_status(self.port, "/healthz") == 200, seconds=60)
        worker.wait_until(lambda: " ready." in worker.output(), seconds=60)

    def welcome(self) -> None:
        addresses = {
            "portal": f"http://localhost:{self.port}",
            "sandbox": f"http://localhost:{self.sandbox_port}",
        }
        words = {"manners": self.manners, "user": ADMIN[0], "password": ADMIN[1]}
        print(WELCOME.format(**addresses, **words), flush=True)

    def watch(self) -> None:
        while True:
            _check(self.children)
            time.sleep(0.25)


def _check(servers: list[Child]) -> None:
    for child in servers:
        if not child.running:
            time.sleep(0.2)  # its last words are still being written down
            raise Unable(f"The {child.name} ended unexpectedly (status {child.status}).\n{child.tail()}")


def _pass_on_errors(child: Child) -> None:
    """Everything goes to the child's log; what is not mere information is shown as well."""
    with child.errors as errors, child.log.open("ab", buffering=0) as log:
        for line in errors:
            log.write(line)
            if not re.match(rb"(\S+ )?[^\"']{0,40}\b(INFO|DEBUG)\b|\s*$", line):
                with suppress(OSError):
                    print(
                        f"{child.name}: {line.decode(errors='replace').rstrip()}", file=sys.stderr, flush=True
                    )


def main() -> int:
    end_with_make()
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)
    demo = None
    try:
        LOGS.mkdir(parents=True, exist_ok=True)
        lock = only_one_here()
        demo = Demo(port_from("PORT", 8000), port_from("SANDBOX_PORT", 8001), ehr_from_environment())
        print("Starting the portal ...", flush=True)
        demo.start()
        demo.welcome()
        demo.watch()
    except Stopped:
        status = 0
    except (Unable, ChildFailed, OSError, subprocess.SubprocessError) as error:
        with suppress(OSError):
            print(error, file=sys.stderr, flush=True)
        status = 1
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if demo is not None:
        # Celery would take its time; what it leaves undone is in the database and done at the next start.
        stop_all(demo.children, seconds=3)
        os.close(lock)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
