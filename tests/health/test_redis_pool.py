"""A Redis that sends its answer byte by byte is waited for no longer than one that says nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis
from redis import ConnectionPool

from portal.redis_pool import BoundedPool
from tests.rig.fault_proxy import FaultProxy, Mode, fault_proxies
from tests.rig.redis import Redis

SECONDS = 0.5
PATIENCE = {"socket_timeout": SECONDS, "socket_connect_timeout": SECONDS}


@pytest.fixture
def proxy(redis_server: Redis) -> Iterator[FaultProxy]:
    with fault_proxies() as all_proxies:
        yield all_proxies.before(redis_server.port)


def url(proxy: FaultProxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/7"


def seconds_of(client: redis.Redis, key: str) -> float:
    began = time.monotonic()
    with pytest.raises(redis.TimeoutError):
        client.get(key)
    return time.monotonic() - began


def test_an_answer_that_drips_is_given_up_when_its_time_is_over(proxy, redis_server):
    with redis_server.connect(7) as direct:
        direct.set("long", "x" * 400)
    client = redis.Redis(connection_pool=BoundedPool.from_url(url(proxy), **PATIENCE))
    assert len(client.get("long")) == 400
    proxy.set(Mode.DRIP, seconds=0.02)
    assert SECONDS * 0.9 < seconds_of(client, "long") < 4 * SECONDS
    # The control: with the socket's own timeout the same answer is waited for to its end.
    plain = redis.Redis(connection_pool=ConnectionPool.from_url(url(proxy), **PATIENCE))
    began = time.monotonic()
    assert len(plain.get("long")) == 400
    assert time.monotonic() - began > 4 * SECONDS
    proxy.set(Mode.PASS)
    assert len(client.get("long")) == 400


def test_a_connection_that_lay_idle_is_used_again(proxy):
    client = redis.Redis(connection_pool=BoundedPool.from_url(url(proxy), **PATIENCE))
    client.set("mine", "1")
    time.sleep(2 * SECONDS)
    assert client.get("mine") == b"1"
    with client.pipeline() as pipe:
        pipe.incr("mine").incr("mine")
        assert pipe.execute() == [2, 3]
    assert len(client.connection_pool._available_connections) == 1


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("redis://localhost/1", "_Tcp"),
        ("rediss://localhost/1", "_Tls"),
        ("unix:///run/redis.sock?db=1", "_Unix"),
    ],
)
def test_every_way_to_redis_is_bounded(address, kind):
    assert BoundedPool.from_url(address).connection_class.__name__ == kind
