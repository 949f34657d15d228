"""The board's store for all processes, in Redis; and this process's own memory while Redis does not answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import TypeVar

import redis
from django.conf import settings

from portal.redis_pool import BoundedPool

from .store import CHANGES_KEPT, Changes, LocalStore, Store

log = logging.getLogger(__name__)
T = TypeVar("T")

# After Redis failed to answer, this process asks it nothing for as long: a hung Redis costs one wait, not one a call.
AWAY_SECONDS = 5
# How long one try may wait. There are two: see ``ask``.
WAIT_SECONDS = 0.5
_DAY = 86_400
_CALLS = "board:calls"
_CALLS_KEPT = 10_000

_PUT = """
local number = redis.call('INCR', KEYS[1])
for i = 3, #KEYS do
  redis.call('SET', KEYS[i], ARGV[i - 1], 'PX', ARGV[1])
  redis.call('ZADD', KEYS[2], number, KEYS[i])
end
redis.call('EXPIRE', KEYS[1], 86400)
redis.call('EXPIRE', KEYS[2], 86400)
if number % 1000 == 0 then redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -(tonumber(ARGV[#ARGV]) + 1)) end
return number
"""
_CLAIM = """
local granted = {}
for i, key in ipairs(KEYS) do
  local holder = redis.call('GET', key)
  granted[i] = (not holder or holder == ARGV[2]) and 1 or 0
  if granted[i] == 1 then redis.call('SET', key, ARGV[2], 'PX', ARGV[1]) end
end
return granted
"""
_RELEASE = """
for _, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[1] then redis.call('DEL', key) end
end
"""
# Exact over any sixty seconds and any one: the times of the last calls, newest first.
_SPEND = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
for i = 1, 2 do
  local limit, seconds = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local at = redis.call('LINDEX', KEYS[1], limit - 1)
  if at and tonumber(at) + seconds > now then return tostring(tonumber(at) + seconds - now) end
end
redis.call('LPUSH', KEYS[1], string.format('%.6f', now))
redis.call('LTRIM', KEYS[1], 0, ARGV[5])
redis.call('EXPIRE', KEYS[1], 120)
return '0'
"""


class SharedStore:
    """Redis, one for all processes. Raises ``redis.RedisError`` when it does not answer within WAIT_SECONDS."""

    def __init__(self, url: str) -> None:
        patience = {"socket_timeout": WAIT_SECONDS, "socket_connect_timeout": WAIT_SECONDS}
        self._redis = redis.Redis(connection_pool=BoundedPool.from_url(url, **patience))
        self._put = self._redis.register_script(_PUT)
        self._claim = self._redis.register_script(_CLAIM)
        self._release = self._redis.register_script(_RELEASE)
        self._spend = self._redis.register_script(_SPEND)

    @staticmethod
    def _name(key: str) -> str:
        return f"portal:{key}"

    def changes(self, origin: str, since: int) -> Changes:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.get(self._name("board:number"))
            pipe.zrangebyscore(self._name("board:changes"), f"({since}", "+inf", start=0, num=CHANGES_KEPT)
            number, members = pipe.execute()
        last = int(number or 0)
        # A Redis that was emptied counts from the beginning again.
        is_known = origin == "shared" and since <= last and len(members) < CHANGES_KEPT
        return Changes("shared", last, [each.decode()[7:] for each in members] if is_known else None)

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        found = self._redis.mget([self._name(key) for key in keys]) if keys else []
        return [each if isinstance(each, bytes) else None for each in found]

    def put(self, entries: Mapping[str, bytes], seconds: float) -> None:
        names = [self._name(key) for key in entries]
        self._put(
            keys=[self._name("board:number"), self._name("board:changes"), *names],
            args=[max(1, int(seconds * 1000)), *entries.values(), CHANGES_KEPT],
        )

    def claim(self, keys: Sequence[str], seconds: float, by: str) -> list[bool]:
        found = self._claim(keys=[*map(self._name, keys)], args=[max(1, int(seconds * 1000)), by])
        return [bool(each) for each in found]

    def release(self, keys: Sequence[str], by: str) -> None:
        self._release(keys=[*map(self._name, keys)], args=[by])

    def drop(self, keys: Sequence[str]) -> None:
        if keys:
            self._redis.delete(*map(self._name, keys))

    def count(self, key: str, seconds: float) -> int:
        with self._redis.pipeline() as pipe:
            pipe.incr(self._name(key))
            pipe.pexpire(self._name(key), int(seconds * 1000))
            return int(pipe.execute()[0])

    def spend(self, per_second: int, per_minute: int) -> float:
        args = [per_minute, 60, per_second, 1, max(per_minute, per_second)]
        return float(self._spend(keys=[self._name(_CALLS)], args=args))

    def note_call(self) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.lpush(self._name(_CALLS), f"{time.time():.6f}")
            pipe.ltrim(self._name(_CALLS), 0, _CALLS_KEPT)
            pipe.expire(self._name(_CALLS), 120)
            pipe.execute()

    def rank(self, key: str, member: str, score: float) -> None:
        self._redis.zadd(self._name(key), {member: score})
        self._redis.expire(self._name(key), _DAY)

    def ranked(self, key: str, least: float) -> list[str]:
        with self._redis.pipeline() as pipe:
            pipe.zremrangebyscore(self._name(key), "-inf", f"({least}")
            pipe.zrevrange(self._name(key), 0, -1)
            return [each.decode() for each in pipe.execute()[1]]


class _Stores:
    """The shared store while it answers, this process's own meanwhile."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._url = ""
        self._local: Store = LocalStore()
        self._shared: Store | None = None
        self._away_until = 0.0

    def usable(self) -> Store:
        with self._lock:
            if self._url != settings.REDIS_URL:
                self._url = settings.REDIS_URL
                self._local = LocalStore()
                self._shared = SharedStore(self._url) if self._url else None
                self._away_until = 0.0
            if self._shared is None or time.monotonic() < self._away_until:
                return self._local
            return self._shared

    def is_away(self, error: redis.RedisError) -> None:
        with self._lock:
            if time.monotonic() >= self._away_until:
                log.warning("Redis does not answer, the board goes on in this process alone: %s", error)
            self._away_until = time.monotonic() + AWAY_SECONDS

    def forget(self) -> None:
        """As a process that has just begun."""
        with self._lock:
            self._url = "?"


_stores = _Stores()
forget = _stores.forget


def ask(work: Callable[[Store], T]) -> T:
    """What ``work`` finds in the store that answers. It may be done twice, and then in the second store."""
    try:
        return work(_stores.usable())
    except redis.RedisError:
        # A connection that was closed meanwhile, or a machine that stood still for a moment.
        pass
    try:
        return work(_stores.usable())
    except redis.RedisError as error:
        _stores.is_away(error)
        return work(_stores.usable())
