"""What a web process does before it takes its first visitor, and that nothing can keep it from taking one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

from tests.rig.postgres import Postgres
from tests.rig.processes import LOOPBACK, ROOT, clean_environment

_START = """
import json
from portal import wsgi
from booking.flows import clinic_rules
print("STATE", json.dumps([wsgi._readying.is_alive(), clinic_rules._kept is not None]))
"""


def started(database_url: str) -> list[bool]:
    """Whether it is still at it when it takes visitors, and whether it knows the clinic's rules by then."""
    env = clean_environment() | {"PORTAL_MODE": "test", "DATABASE_URL": database_url}
    said = subprocess.run(
        [sys.executable, "-c", _START], env=env, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    state: list[bool] = json.loads(said.rpartition("STATE")[2])
    return state


def test_a_process_takes_visitors_when_it_has_read_the_rules(postgres_server: Postgres) -> None:
    with postgres_server.database() as url:
        env = clean_environment() | {"PORTAL_MODE": "test", "DATABASE_URL": url}
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"], env=env, cwd=ROOT, check=True
        )
        # A machine may stand still for the three seconds. One that never reads them would not do so in five starts.
        assert any(started(url) == [False, True] for _ in range(5))


@pytest.mark.parametrize("database", ["hangs", "is gone"])
def test_a_process_without_a_database_takes_visitors_all_the_same(database: str) -> None:
    with socket.socket() as silent:
        silent.bind((LOOPBACK, 0))
        if database == "hangs":
            silent.listen()
        url = f"postgresql://portal@{LOOPBACK}:{silent.getsockname()[1]}/portal"
        assert any(started(url) == [database == "hangs", False] for _ in range(5))
