"""``make storm``: what can be asked of it, without the storms themselves."""

from __future__ import annotations

from typing import get_args

import pytest

from booking import crash_points

from . import __main__ as command


def test_it_runs_every_scenario_unless_told_which() -> None:
    assert command.options([]).only.split(",") == list(command.RUN)
    assert len(get_args(crash_points.Name)) == command.POINTS


def test_an_unknown_scenario_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--only", "races,floods"]) == 2
    assert capsys.readouterr().out.startswith("There is no scenario floods. There are: races, kills, ")
