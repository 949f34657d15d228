"""What ASGI leaves to the server: dropping a connection for real, and the date of an answer to the second.

ASGI has no message for a drop, so a uvicorn protocol puts each request's transport into its scope.
"""

import asyncio
import socket
import struct
import time
from email.utils import formatdate
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

EXTENSION = "sandbox.transport"


class ConnectionDropped(Exception):
    """Raised where there is no transport to drop, as when the app is called in-process."""


class SandboxProtocol(H11Protocol):
    """uvicorn's own HTTP/1.1 protocol, with the transport within the application's reach, and answers dated as they leave.

    uvicorn looks at the clock once a second. What it says may then be older than the record it answers with, and a
    client that sends it back as If-Unmodified-Since is refused though nothing has changed.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        served: Any = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                scope.setdefault("extensions", {})[EXTENSION] = transport
            await served(scope, receive, _dated(send))

        self.app = with_transport


def _dated(send: Any) -> Any:
    async def dated(message: Any) -> None:
        if message["type"] == "http.response.start":
            date = (b"date", formatdate(time.time(), usegmt=True).encode())
            message = {**message, "headers": [date, *message.get("headers", ())]}
        await send(message)

    return dated


async def drop(scope: Any) -> None:
    """Resets the connection and waits until the server has noticed."""
    transport = scope.get("extensions", {}).get(EXTENSION)
    if transport is None:
        raise ConnectionDropped("The sandbox dropped this connection on demand.")
    raw = transport.get_extra_info("socket")
    # No lingering: closing sends a reset instead of a polite end of stream.
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    # The loop tells the protocol of the loss on its next turn; an answer attempted before that would be logged.
    for _ in range(3):
        await asyncio.sleep(0)
