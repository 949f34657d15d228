"""A private Redis that keeps nothing on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis as client

from . import programs
from .processes import LOOPBACK, Child, free_port, running, temporary_directory


@dataclass(frozen=True)
class Redis:
    """A running server with 16 databases; ``child`` is there to be killed by a test that asks what happens then."""

    port: int
    child: Child

    def url(self, database: int = 0) -> str:
        return f"redis://{LOOPBACK}:{self.port}/{database}"

    def connect(self, database: int = 0) -> client.Redis:
        return client.Redis(host=LOOPBACK, port=self.port, db=database, decode_responses=True)

    def answers(self) -> bool:
        try:
            with self.connect() as connection:
                return bool(connection.ping())
        except client.RedisError:
            return False

    def forget(self, pattern: str, *, database: int = 0) -> None:
        with self.connect(database) as connection:
            if keys := list(connection.scan_iter(pattern, count=1000)):
                connection.delete(*keys)

    def flush(self) -> None:
        with self.connect() as connection:
            connection.flushall()


@contextmanager
def redis(port: int | None = None) -> Iterator[Redis]:
    program = programs.require(programs.redis_program(), "redis-server")
    port = port or free_port()
    options = f"--port {port} --bind {LOOPBACK} --appendonly no --maxmemory-policy noeviction --dir"
    with temporary_directory("redis") as directory:
        command = [program, *options.split(), str(directory), "--save", ""]
        with running("Redis", command, log=directory / "log", cwd=directory) as child:
            server = Redis(port, child)
            child.wait_until(server.answers)
            yield server
