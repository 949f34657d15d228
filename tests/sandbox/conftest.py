"""One sandbox of each manners for this folder's tests, as first seeded before each."""

from collections.abc import Iterator

import pytest

from . import r4_rig, rig


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


@pytest.fixture(scope="session")
def _running_medplum(tmp_path_factory: pytest.TempPathFactory) -> Iterator[r4_rig.Server]:
    with r4_rig.running(tmp_path_factory.mktemp("medplum") / "ehr.sqlite3", "medplum") as server:
        yield server


@pytest.fixture(scope="session")
def _running_plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[r4_rig.Server]:
    with r4_rig.running(tmp_path_factory.mktemp("plain") / "ehr.sqlite3", "r4") as server:
        yield server


@pytest.fixture
def medplum(_running_medplum: r4_rig.Server) -> r4_rig.Server:
    return _fresh(_running_medplum)


@pytest.fixture
def plain(_running_plain: r4_rig.Server) -> r4_rig.Server:
    return _fresh(_running_plain)


@pytest.fixture(params=["medplum", "plain"])
def server(request: pytest.FixtureRequest) -> r4_rig.Server:
    """Either, for what both have in common."""
    found: r4_rig.Server = request.getfixturevalue(request.param)
    return found


def _fresh(server: r4_rig.Server) -> r4_rig.Server:
    server.clock.now = rig.NOON
    server.control("POST", "reset")
    server.authorize()
    return server
