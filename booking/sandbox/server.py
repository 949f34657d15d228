"""uvicorn as the sandbox wants it: no log of requests, a quick end, exact dates, connections that can be dropped."""

import socket
import sys
from typing import Any

import uvicorn

from .connection import SandboxProtocol

GRACE_SECONDS = 1
# As long as a web server in front of an EHR keeps a connection; uvicorn's own 5 would drop pooled ones mid-use.
IDLE_SECONDS = 75


class Server(uvicorn.Server):
    """Says where it listens, once, when it is ready."""

    def __init__(self, app: Any) -> None:
        # uvicorn's access log would write query strings, and those name patients.
        super().__init__(
            uvicorn.Config(
                app,
                http=SandboxProtocol,
                ws="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
                timeout_keep_alive=IDLE_SECONDS,
                # uvicorn's own is up to a second old; see SandboxProtocol.
                date_header=False,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            sys.stdout.write(f"Sandbox EHR ready at {address(listener)}\n")
            sys.stdout.flush()


def listen(host: str, port: int) -> socket.socket:
    """A listening address, or OSError if it is taken or not ours."""
    family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # asyncio turns off Nagle's delay, 40 ms a reply, only for sockets whose protocol is named.
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
