"""Refuses this process any connection that leaves the machine, except to an EHR that was asked for by name."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit


class ConnectionRefusedByTests(RuntimeError):
    """Code under test reached out of this machine. Not an OSError, so that nothing takes it for a network hiccup."""


def _is_local(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


def _live_hosts() -> set[object]:
    """The hosts of a live EHR (tests/fhir/contract.py), which only somebody's own environment names."""
    addresses = (os.environ.get("LIVE_EHR_BASE_URL", ""), os.environ.get("LIVE_EHR_TOKEN_URL", ""))
    return {host for address in addresses if (host := urlsplit(address).hostname)}


@contextmanager
def loopback_only() -> Iterator[None]:
    """Looking up or connecting to anything but the loopback raises, here and in the threads of this process."""
    connect, connect_ex, lookup = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo
    allowed = _live_hosts()

    def check(family: int, address: Any) -> None:
        host = address[0]
        if family in (socket.AF_INET, socket.AF_INET6) and host not in allowed and not _is_local(host):
            raise ConnectionRefusedByTests(f"Tests stay on this machine; refused {address[0]}:{address[1]}")

    def checked_connect(self: socket.socket, address: Any) -> None:
        check(self.family, address)
        connect(self, address)

    def checked_connect_ex(self: socket.socket, address: Any) -> int:
        check(self.family, address)
        return connect_ex(self, address)

    def checked_lookup(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        check(socket.AF_INET, (host, port))
        found = lookup(host, port, *args, **options)
        if host in allowed:
            allowed.update(entry[4][0] for entry in found)
        return found

    socket.socket.connect = checked_connect  # type: ignore[method-assign,assignment]
    socket.socket.connect_ex = checked_connect_ex  # type: ignore[method-assign,assignment]
    socket.getaddrinfo = checked_lookup
    try:
        yield
    finally:
        socket.socket.connect, socket.socket.connect_ex = connect, connect_ex  # type: ignore[method-assign]
        socket.getaddrinfo = lookup
