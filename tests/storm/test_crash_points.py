"""Crash points kill once when armed, do nothing otherwise, and cannot be had in production."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from booking import crash_points
from tests.rig.processes import ROOT, clean_environment
from tests.test_settings import run

REACHED = re.compile(r'crash_points\.reach\("([^"]+)"\)')


def reach_twice(folder: Path | None) -> subprocess.CompletedProcess[str]:
    script = (
        "from booking import crash_points\n"
        "crash_points.reach('message leased'); crash_points.reach('message leased'); print('alive')"
    )
    env = clean_environment(**({"PORTAL_CRASH_DIR": str(folder)} if folder else {}))
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )


def test_an_armed_point_kills_one_process_and_the_next_lives(tmp_path: Path) -> None:
    (tmp_path / "message leased").touch()
    assert reach_twice(tmp_path).returncode == -9
    assert re.fullmatch(r"message leased, \d+", next(tmp_path.iterdir()).name)
    assert reach_twice(tmp_path).stdout == "alive\n"


def test_without_a_folder_nothing_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "message leased").touch()
    assert reach_twice(None).stdout == "alive\n"
    assert [path.name for path in tmp_path.iterdir()] == ["message leased"]


def test_every_point_has_one_place() -> None:
    sources = [path.read_text() for path in (ROOT / "booking").rglob("*.py")]
    found = Counter(name for source in sources for name in REACHED.findall(source))
    assert found == dict.fromkeys(get_args(crash_points.Name), 1)


@pytest.mark.parametrize("mode", ["production", "demo"])
def test_nobody_but_tests_can_ask_for_crashes(mode: str, tmp_path: Path) -> None:
    done = run("manage.py", "check", PORTAL_MODE=mode, PORTAL_CRASH_DIR=str(tmp_path))
    assert done.returncode == 1
    assert (
        "PORTAL_CRASH_DIR makes processes kill themselves. It is for PORTAL_MODE=test alone." in done.stderr
    )
