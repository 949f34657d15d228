"""The sandbox as a program: its arguments, its one line of output, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from booking.sandbox.app import create_sandbox
from booking.sandbox.store import StoreError

from .rig import CREDENTIALS

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "booking.sandbox"]


def _environment(**extra: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SANDBOX_")}
    return {**kept, **extra}


@contextmanager
def _program(*arguments: str, **extra: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments],
        cwd=ROOT,
        env=_environment(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line.startswith("Sandbox EHR ready at http://127.0.0.1:"), line
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _run(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=_environment(**extra),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_ends_promptly(tmp_path: Path, number: signal.Signals) -> None:
    with _program("--database", str(tmp_path / "deep" / "ehr.sqlite3"), "--control") as (process, url):
        with httpx.Client(base_url=url, trust_env=False) as client:
            assert client.get("/healthz").json() == {"status": "ok"}
            token = client.post("/auth/token/", data=CREDENTIALS).json()["access_token"]
            answer = client.get(
                "/Patient", params={"family": "Delgado"}, headers={"Authorization": f"Bearer {token}"}
            )
            assert answer.json()["total"] == 1
            began = time.monotonic()
            process.send_signal(number)
            assert process.wait(timeout=10) == 0
            assert time.monotonic() - began < 3
        assert process.stdout is not None
        assert process.stdout.read() == ""
    assert (tmp_path / "deep" / "ehr.sqlite3").exists()


def test_a_request_under_way_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with (
        _program("--database", str(tmp_path / "ehr.sqlite3"), "--control") as (process, url),
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        token = client.post("/auth/token/", data=CREDENTIALS).json()["access_token"]
        client.post("/_control/faults", json={"kind": "slow", "delay_seconds": 60})
        with pytest.raises(httpx.ReadTimeout):
            client.get("/Location", headers={"Authorization": f"Bearer {token}"}, timeout=0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0


def test_settings_from_the_environment(tmp_path: Path) -> None:
    secret = {"SANDBOX_CLIENT_ID": "clinic", "SANDBOX_CLIENT_SECRET": "other"}
    with (
        _program(SANDBOX_DATABASE=str(tmp_path / "ehr.sqlite3"), SANDBOX_CONTROL="1", **secret) as (_, url),
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        assert client.post("/auth/token/", data=CREDENTIALS).status_code == 401
        own = {**CREDENTIALS, "client_id": "clinic", "client_secret": "other"}
        assert client.post("/auth/token/", data=own).status_code == 200
        assert client.get("/_control/switches").status_code == 200


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = _run("--port", port, "--database", str(tmp_path / "ehr.sqlite3"))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"Cannot listen on 127.0.0.1 port {port}: Address already in use.\n"


@pytest.mark.parametrize("port", ["seven", "70000", "-1"])
def test_a_bad_port(port: str) -> None:
    ended = _run(SANDBOX_PORT=port)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].endswith(f"the port must be a number from 0 to 65535, not '{port}'.")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but long enough to look at" * 40)
    ended = _run("--port", "0", "--database", str(tmp_path / "notes.txt"))
    assert (ended.returncode, ended.stderr) == (
        1,
        f"Cannot use {tmp_path}/notes.txt as the sandbox's database: file is not a database.\n",
    )


@pytest.mark.parametrize(
    ("arguments", "environment", "base", "token"),
    [
        (["--manners", "medplum"], {}, "/fhir/R4", "/oauth2/token"),
        ([], {"SANDBOX_MANNERS": "r4"}, "/fhir", "/token"),
    ],
)
def test_other_manners(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], base: str, token: str
) -> None:
    database = tmp_path / "ehr.sqlite3"
    with (
        _program("--database", str(database), *arguments, **environment) as (_, url),
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        granted = client.post(token, data=CREDENTIALS).json()["access_token"]
        answer = client.get(f"{base}/Patient?family=Delgado", headers={"Authorization": f"Bearer {granted}"})
        assert len(answer.json()["entry"]) == 1
        assert client.get("/_control/switches").status_code == 404
    # A file keeps its manners.
    with pytest.raises(StoreError, match="is not a database of these manners and version; delete it"):
        create_sandbox(database)


def test_manners_there_are_not() -> None:
    ended = _run("--manners", "rude")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].endswith("the manners must be canvas, medplum, r4, not 'rude'.")


def test_a_file_of_keys_that_is_not_there(tmp_path: Path) -> None:
    arguments = ("--port", "0", "--manners", "r4", "--database", str(tmp_path / "ehr.sqlite3"))
    ended = _run(*arguments, SANDBOX_JWKS=str(tmp_path / "none.json"))
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Cannot use {tmp_path}/none.json as a set of public keys: ")
