"""The cache while Redis hangs, and what is left of that when it goes on."""

from __future__ import annotations

import signal
import time

from portal import cache
from portal.cache import RedisOrLocalCache
from tests.journeys.steps import eventually
from tests.rig.redis import redis as start_redis

PARAMS = {
    "OPTIONS": {
        "socket_timeout": 0.5,
        "socket_connect_timeout": 0.5,
        "pool_class": "portal.redis_pool.BoundedPool",
    }
}


def test_a_lock_that_a_hung_redis_took_late_does_not_outlive_its_owner(monkeypatch):
    monkeypatch.setattr(cache, "AWAY_SECONDS", 0.5)
    with start_redis() as server:
        kept = RedisOrLocalCache(server.url(), PARAMS)
        assert kept.add("well", 1) is True
        server.child.popen.send_signal(signal.SIGSTOP)
        assert kept.add("lock", 1, 60) is True
        assert kept.delete("lock") is True
        server.child.popen.send_signal(signal.SIGCONT)
        with server.connect() as direct:
            # The control: it is there, and neither the one who had it nor anybody else knows of it.
            assert eventually(lambda: direct.exists(kept._shared.make_key("lock")))
        time.sleep(0.6)
        assert kept.add("lock", 1, 60) is True
        assert kept.add("lock", 1, 60) is False
        assert kept.get("well") == 1
