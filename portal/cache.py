"""The cache: Redis, shared by all processes; and for a moment this process's own memory when Redis does not answer.

What is kept here may be lost at any time, so a page is the same with or without it: limits on codes and sign-in are
counted by each process alone meanwhile, and the EHR as last seen is what this process saw.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from contextlib import suppress
from threading import Lock
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis import Redis, RedisError

from .redis_pool import BoundedPool

log = logging.getLogger(__name__)

# A Redis that failed is not asked again for so long: one that hangs costs a process one wait, not one a call.
AWAY_SECONDS = 5.0


class Circuit:
    """Whether Redis is worth asking. Shared by the threads of a process; after a failure one of them tries first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._ask_again_at = 0.0
        self._is_away = False
        # Keys, with their versions, of an ``add`` that got no answer. A Redis that hung does it when it goes on, and a lock
        # that nobody knows to be theirs would stand until it ends by itself. Older ones have ended.
        self.unanswered: deque[tuple[Any, int | None]] = deque(maxlen=100)

    def lets_through(self) -> bool:
        with self._lock:
            if not self._is_away:
                return True
            now = time.monotonic()
            if now < self._ask_again_at:
                return False
            self._ask_again_at = now + AWAY_SECONDS
            return True

    def failed(self, error: Exception) -> None:
        with self._lock:
            if not self._is_away:
                log.warning("Redis does not answer (%s): this process goes on alone", type(error).__name__)
            self._is_away = True
            self._ask_again_at = time.monotonic() + AWAY_SECONDS

    def answered(self) -> None:
        if self._is_away:
            with self._lock:
                self._is_away = False
            log.warning("Redis answers again")


_circuits: dict[str, Circuit] = {}


class RedisOrLocalCache(BaseCache):
    """Django's Redis cache. Whatever fails in it is done in this process's memory instead, and so is what follows."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._shared = RedisCache(server, params)
        self._local = LocMemCache(server, {**params, "OPTIONS": {"MAX_ENTRIES": 20_000}})
        # Django makes one cache object a thread.
        self._circuit = _circuits.setdefault(server, Circuit())

    def _do(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if self._circuit.lets_through():
            try:
                self._take_back()
                done = getattr(self._shared, name)(*args, **kwargs)
            except (RedisError, OSError) as error:
                self._circuit.failed(error)
                if name == "add":
                    self._circuit.unanswered.append((args[0], args[3]))
            else:
                self._circuit.answered()
                return done
        return getattr(self._local, name)(*args, **kwargs)

    def _take_back(self) -> None:
        for key, version in tuple(self._circuit.unanswered):
            self._shared.delete(key, version)
            with suppress(ValueError):
                self._circuit.unanswered.remove((key, version))

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return bool(self._do("add", key, value, timeout, version))

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self._do("get", key, default, version)

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> None:
        self._do("set", key, value, timeout, version)

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        return bool(self._do("touch", key, timeout, version))

    def delete(self, key: Any, version: int | None = None) -> bool:
        return bool(self._do("delete", key, version))

    def get_many(self, keys: Any, version: int | None = None) -> dict[Any, Any]:
        return dict(self._do("get_many", list(keys), version))

    def has_key(self, key: Any, version: int | None = None) -> bool:
        return bool(self._do("has_key", key, version))

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        return int(self._do("incr", key, delta, version))

    def set_many(self, data: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> list[Any]:
        return list(self._do("set_many", dict(data), timeout, version))

    def delete_many(self, keys: Any, version: int | None = None) -> None:
        self._do("delete_many", list(keys), version)

    def clear(self) -> None:
        self._local.clear()
        self._do("clear")


def answers(url: str, **socket: float) -> bool:
    """Ask Redis itself, past every circuit."""
    try:
        with Redis(connection_pool=BoundedPool.from_url(url, **socket)) as connection:
            return bool(connection.ping())
    except (RedisError, OSError):
        return False
