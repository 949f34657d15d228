"""What every journey starts from."""

from __future__ import annotations

import pytest

from tests.rig.redis import Redis


@pytest.fixture(autouse=True)
def _board_knows_nothing(request: pytest.FixtureRequest) -> None:
    """The shared portal reads the EHR anew: other tests of this process book in the same sandbox behind its back,
    and for as long as a reading counts as fresh its pages would rightly offer what is gone."""
    if "portal_server" in request.fixturenames:
        redis: Redis = request.getfixturevalue("redis_server")
        redis.forget("*board:*", database=1)
