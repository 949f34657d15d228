"""Child processes that never outlive what started them. Standard library only.

Each child leads a process group of its own, which ends with the child, and on Linux the child is told to end
when the thread that started it dies, however that happens. Start children from a thread that stays.
"""

from __future__ import annotations

import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent
LOOPBACK = "127.0.0.1"

_OURS = (
    "PORTAL_",
    "CLINIC_",
    "EHR_",
    "GRID_",
    "EMAIL_",
    "SMS_",
    "VIDEO_",
    "SANDBOX_",
    "DJANGO_",
    "CELERY_",
    "GRANIAN_",
    "SECRET_KEY",
    "ALLOWED_HOSTS",
    "DATABASE_URL",
    "REDIS_URL",
    "VAR_DIR",
    "STATIC_ROOT",
    "DEFAULT_FROM_EMAIL",
    "SECURE_SSL_REDIRECT",
    "BEHIND_TLS_PROXY",
    "SESSION_MINUTES",
    "STAFF_SECOND_FACTOR",
    "LOG_LEVEL",
    "WORKER_",
)


class ChildFailed(Exception):
    """A child ended, or did not answer in time; the message carries the end of its output."""


def clean_environment(**variables: str) -> dict[str, str]:
    """This process's environment without anything the portal would read from it, plus ``variables``."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    reachable = ",".join(filter(None, [env.get("NO_PROXY") or env.get("no_proxy"), "localhost,127.0.0.1"]))
    env |= {"NO_PROXY": reachable, "no_proxy": reachable, "PYTHONUNBUFFERED": "1"}
    return env | variables


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


_given: set[int] = set()


def free_port() -> int:
    """A free port below the range the system hands to outgoing connections, so that none of those takes it.

    None is given twice, nor by two of pytest-xdist's processes: who has one may listen on it much later.
    """
    chooser = random.SystemRandom()
    first, last = 15_000, 32_000
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        first += 2_000 * (int(worker.removeprefix("gw")) % 8)
        last = first + 2_000
    while True:
        port = chooser.randrange(first, last)
        if port not in _given and is_free(port):
            _given.add(port)
            return port


def http_status(port: int, path: str = "/", *, host: str = "localhost") -> int | None:
    """The status that a plain GET is answered with, or None when nothing answers."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": f"{host}:{port}"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def accepts_tcp(port: int) -> bool:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


class Child:
    """One running program, its process group and the file with its output.

    With ``pipe_errors`` its error output is left to whoever reads ``errors``.
    """

    def __init__(
        self,
        name: str,
        args: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        user: str | None = None,
        end_signal: signal.Signals = signal.SIGTERM,
        pipe_errors: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        self._end_signal = end_signal
        self._ended = False
        tie = shutil.which("setpriv")
        prefix = [tie, "--pdeathsig", end_signal.name.removeprefix("SIG"), "--"] if tie else []
        identity: dict[str, Any] = {"user": user, "group": user, "extra_groups": []} if user else {}
        if user == "nobody":
            identity["group"] = "nogroup"
        with log.open("ab") as output:
            self.popen: subprocess.Popen[bytes] = subprocess.Popen(
                [*prefix, *map(str, args)],
                env=dict(clean_environment() if env is None else env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE if pipe_errors else subprocess.STDOUT,
                start_new_session=True,
                **identity,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def errors(self) -> IO[bytes]:
        """The error output of a child started with ``pipe_errors``."""
        assert self.popen.stderr is not None
        return self.popen.stderr

    @property
    def running(self) -> bool:
        return self.status is None

    @property
    def status(self) -> int | None:
        """How it ended (a signal as a negative number), None while it runs.

        It is looked at without being collected, so that its number, and its group's, stay its own until ``kill``.
        """
        if self._ended or not hasattr(os, "waitid"):
            return self.popen.poll()
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.output().splitlines()[-lines:])

    def signal_group(self, number: signal.Signals) -> bool:
        """Whether there was anyone in the group to get it."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def kill(self) -> None:
        """End the whole group at once, as a crash or the out-of-memory killer would."""
        if not self._ended:
            self.signal_group(signal.SIGKILL)
            self.popen.wait()
            self._ended = True

    def stop(self, seconds: float = 8.0) -> None:
        """Ask the group to end, and see to it that it has."""
        stop_all([self], seconds)

    def wait_until(self, ready: Callable[[], bool], seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise ChildFailed(f"{self.name} ended with status {self.status}.\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ChildFailed(f"{self.name} did not answer within {seconds:.0f} seconds.\n{self.tail()}")
            time.sleep(0.05)


def stop_all(children: Iterable[Child], seconds: float = 8.0) -> None:
    """End every group: asked first, together; killed when the time is over. Safe to call again."""
    waiting = [child for child in children if not child._ended]
    for child in waiting:
        child.signal_group(child._end_signal)
    deadline = time.monotonic() + seconds
    while any(child.running for child in waiting) and time.monotonic() < deadline:
        time.sleep(0.02)
    for child in waiting:
        child.kill()


@contextmanager
def running(
    name: str,
    args: Sequence[str | Path],
    *,
    log: Path,
    ready: Callable[[], bool] | None = None,
    seconds: float = 30.0,
    **options: Any,
) -> Iterator[Child]:
    """A child that is ready inside the block and gone after it."""
    child = Child(name, args, log=log, **options)
    try:
        if ready is not None:
            child.wait_until(ready, seconds)
        yield child
    finally:
        child.stop()
