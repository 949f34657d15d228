"""Connections to Redis whose patience is for an answer as a whole.

A socket's own timeout begins anew with every byte, so that a server which drips may hold a page for as long as it likes.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from redis.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)


class _Socket:
    """A socket that reads no longer than ``seconds`` after something was last sent. All else is the socket's own."""

    def __init__(self, wrapped: socket.socket, seconds: float) -> None:
        self._wrapped = wrapped
        self._seconds = seconds
        self._limit: float | None = seconds
        self._ends = time.monotonic() + seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def settimeout(self, seconds: float | None) -> None:
        self._limit = seconds
        self._wrapped.settimeout(seconds)

    def sendall(self, *args: Any) -> None:
        self._ends = time.monotonic() + self._seconds
        self._wrapped.settimeout(self._seconds)
        self._wrapped.sendall(*args)

    def recv(self, size: int, *flags: int) -> bytes:
        # With flags it is a peek at a connection that was idle.
        if not flags:
            self._prepare()
        return self._wrapped.recv(size, *flags)

    def recv_into(self, *args: Any) -> int:
        self._prepare()
        return self._wrapped.recv_into(*args)

    def _prepare(self) -> None:
        # Zero is a look at what has come in already, which waits for nothing.
        if self._limit != 0:
            left = self._ends - time.monotonic()
            if left <= 0:
                raise TimeoutError("the whole answer did not come in time")
            self._wrapped.settimeout(left if self._limit is None else min(left, self._limit))


class _Bounded:
    socket_timeout: float | None

    def _connect(self) -> Any:
        connected = super()._connect()  # type: ignore[misc]
        return _Socket(connected, self.socket_timeout) if self.socket_timeout else connected


class _Tcp(_Bounded, Connection):
    pass


class _Tls(_Bounded, SSLConnection):
    pass


class _Unix(_Bounded, UnixDomainSocketConnection):
    pass


_BOUNDED: dict[str, Any] = {
    "Connection": _Tcp,
    "SSLConnection": _Tls,
    "UnixDomainSocketConnection": _Unix,
}


class BoundedPool(ConnectionPool):
    """A pool whose ``socket_timeout`` is for each answer as a whole, over TCP, TLS and Unix sockets alike."""

    def __init__(self, connection_class: type[AbstractConnection] = Connection, **options: Any) -> None:
        super().__init__(_BOUNDED[connection_class.__name__], **options)
