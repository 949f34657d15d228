"""A server that answers as it should not, over real sockets on the loopback."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator

from booking.fhir import open_gateway
from booking.scheduling.gateway import SchedulingGateway

from .stand_in import config

Behavior = Callable[[socket.socket], None]


class RawServer:
    """Gives tokens as it should; every other request is read whole and then left to ``behavior``."""

    def __init__(self, behavior: Behavior, certificate: tuple[str, str] | None = None) -> None:
        self._behavior = behavior
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
        if self._tls:
            self._tls.load_cert_chain(*certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.requests: list[str] = []
        self.authorizations: list[bytes] = []
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._sockets.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._sockets.append(connection)
            while line := self._request(connection):
                if "/token" in line:
                    reply(connection, {"access_token": "t", "token_type": "Bearer", "expires_in": 3600})
                else:
                    self.requests.append(line)
                    self._behavior(connection)

    def _request(self, connection: socket.socket) -> str:
        """The request line, once the whole request has come; empty when the other side has gone."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := connection.recv(65536)):
                return ""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.splitlines()
                if line.lower().startswith(b"content-length")
            ),
            0,
        )
        while len(body) < length:
            body += connection.recv(65536)
        lines = head.splitlines()
        if b"/token" not in lines[0]:
            marked = [line for line in lines if line.lower().startswith(b"authorization:")]
            self.authorizations.append(marked[0] if marked else b"")
        return lines[0].decode()

    def close(self) -> None:
        self._listener.close()
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def reply(connection: socket.socket, document: object, head: bytes = b"HTTP/1.1 200 OK\r\n") -> None:
    body = json.dumps(document).encode()
    connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def drip(connection: socket.socket, start: bytes, byte: bytes) -> None:
    connection.sendall(start)
    while True:
        connection.sendall(byte)
        time.sleep(0.02)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def cut(connection: socket.socket, start: bytes) -> None:
    connection.sendall(start)
    connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def served(
    behavior: Behavior, *, certificate: tuple[str, str] | None = None, scheme: str = "", **more: object
) -> Iterator[tuple[SchedulingGateway, RawServer]]:
    server = RawServer(behavior, certificate)
    address = f"{scheme or ('https' if certificate else 'http')}://127.0.0.1:{server.port}"
    usual: dict[str, object] = {
        "total_seconds": 0.6,
        "directory_seconds": 0.6,
        "connect_seconds": 0.5,
        "base_url": address,
    }
    settings = config(**usual | {"token_url": f"{address}/auth/token/"} | more)
    with contextlib.closing(open_gateway(settings)) as gateway:
        try:
            yield gateway, server
        finally:
            server.close()
