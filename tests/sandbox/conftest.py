"""One sandbox for this folder's tests, seeded again before each."""

from collections.abc import Iterator

import pytest

from . import rig


@pytest.fixture(scope="session")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Clinic]:
    with rig.running(tmp_path_factory.mktemp("clinic") / "ehr.sqlite3", control=True) as clinic:
        yield clinic


@pytest.fixture
def clinic(_running: rig.Clinic) -> rig.Clinic:
    """Freshly seeded, with default switches, no faults and the clock at noon."""
    _running.clock.now = rig.NOON
    _running.http.post("/_control/reset")
    _running.authorize()
    return _running
