"""A TCP proxy that goes wrong as told: in front of the EHR, Redis, PostgreSQL, the mail server or the SMS service."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from threading import Event, Thread
from typing import Any

from .processes import LOOPBACK, free_port


class Mode(Enum):
    PASS = "pass"
    # Nobody listens, and who was connected is cut off.
    REFUSE = "refuse"
    # What is sent is taken and goes nowhere.
    HANG = "accept and hang"
    RESET_BEFORE = "reset before forwarding"
    # The server has done it and answered; the answer is thrown away.
    RESET_AFTER = "reset after the request was forwarded"
    # A byte of the answer at a time, ``seconds`` apart.
    DRIP = "drip"
    CUT = "cut reply"
    LATENCY = "latency"


@dataclass(frozen=True)
class Behavior:
    """``seconds`` are for drip and latency. With ``only`` it concerns exchanges whose request holds those bytes, and
    all others pass."""

    mode: Mode
    seconds: float = 0.0
    only: bytes = b""


class _Connection:
    """One client's: what it is asking for, and whether that concerns the behavior of the moment."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter | None = None) -> None:
        self.client, self.server = client, server
        self.asked = b""
        self.is_answering = True

    def reset(self) -> None:
        for writer in (self.client, self.server):
            if writer is not None:
                _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        its_socket = writer.get_extra_info("socket")
        its_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class FaultProxy:
    """Listens on ``port`` and speaks to whoever listens on ``target``. ``connections`` and ``requests`` count what came.

    A request is whatever a client says before it is answered. While nobody listens, nothing is counted.
    """

    def __init__(self, target: int, loop: asyncio.AbstractEventLoop) -> None:
        self.target, self.port = target, free_port()
        self.connections = self.requests = 0
        self._loop = loop
        self._behavior = Behavior(Mode.PASS)
        self._open: set[_Connection] = set()
        self._listener: asyncio.Server | None = None

    @property
    def mode(self) -> Mode:
        return self._behavior.mode

    def set(self, mode: Mode, *, seconds: float = 0.0, only: bytes = b"") -> None:
        """Behave so from now on, with those who are connected as well."""
        self._do(self._change(Behavior(mode, seconds, only)))

    @contextmanager
    def behaving(self, mode: Mode, *, seconds: float = 0.0, only: bytes = b"") -> Iterator[None]:
        self.set(mode, seconds=seconds, only=only)
        try:
            yield
        finally:
            self.set(Mode.PASS)

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _change(self, behavior: Behavior) -> None:
        was = self._behavior
        self._behavior = behavior
        # A connection on which something went astray is of no more use.
        if behavior.mode is Mode.REFUSE or was.mode is Mode.HANG:
            for connection in list(self._open):
                connection.reset()
        if behavior.mode is Mode.REFUSE:
            await self.close()
        elif self._listener is None:
            self._listener = await asyncio.start_server(self._serve, LOOPBACK, self.port)

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _concerns(self, connection: _Connection, *modes: Mode) -> bool:
        return self.mode in modes and self._behavior.only in connection.asked

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = _Connection(writer)
        self._open.add(connection)
        try:
            async with self._server(connection) as answers:
                if answers is not None:
                    both = [
                        asyncio.create_task(self._ask(connection, reader)),
                        asyncio.create_task(self._answer(connection, answers)),
                    ]
                    _, waiting = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                    for task in waiting:
                        task.cancel()
                    await asyncio.gather(*both, return_exceptions=True)
        finally:
            self._open.discard(connection)
            writer.close()

    @asynccontextmanager
    async def _server(self, connection: _Connection) -> AsyncIterator[asyncio.StreamReader | None]:
        try:
            reader, connection.server = await asyncio.open_connection(LOOPBACK, self.target)
        except OSError:
            connection.reset()
            yield None
            return
        try:
            yield reader
        finally:
            connection.server.close()

    async def _ask(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        assert connection.server is not None
        with suppress(OSError):
            while data := await reader.read(65536):
                if connection.is_answering:
                    self.requests += 1
                    connection.asked, connection.is_answering = b"", False
                connection.asked += data
                if self._concerns(connection, Mode.RESET_BEFORE):
                    connection.reset()
                    return
                if self._concerns(connection, Mode.HANG):
                    continue
                connection.server.write(data)
                await connection.server.drain()

    async def _answer(self, connection: _Connection, reader: asyncio.StreamReader) -> None:
        client = connection.client
        with suppress(OSError):
            while data := await reader.read(65536):
                is_to_a_request = bool(connection.asked)
                connection.is_answering = True
                if is_to_a_request and self._concerns(connection, Mode.RESET_AFTER):
                    connection.reset()
                    return
                if is_to_a_request and self._concerns(connection, Mode.CUT):
                    client.write(data[: len(data) // 2])
                    await client.drain()
                    return
                if self._concerns(connection, Mode.HANG):
                    continue
                if self._concerns(connection, Mode.LATENCY):
                    await asyncio.sleep(self._behavior.seconds)
                if self._concerns(connection, Mode.DRIP):
                    for byte in data:
                        client.write(bytes([byte]))
                        await client.drain()
                        await asyncio.sleep(self._behavior.seconds)
                else:
                    client.write(data)
                    await client.drain()


class FaultProxies:
    """A loop in a thread of this process, and the proxies that run in it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._all: list[FaultProxy] = []

    def before(self, target: int) -> FaultProxy:
        """A proxy in front of whoever listens, or will, on that port of this machine."""
        proxy = FaultProxy(target, self._loop)
        proxy.set(Mode.PASS)
        self._all.append(proxy)
        return proxy

    async def close(self) -> None:
        for proxy in self._all:
            await proxy.close()
        mine = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)


@contextmanager
def fault_proxies() -> Iterator[FaultProxies]:
    loop = asyncio.new_event_loop()
    is_running = Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.call_soon(is_running.set)
        loop.run_forever()

    thread = Thread(target=run, daemon=True, name="fault proxies")
    thread.start()
    is_running.wait()
    proxies = FaultProxies(loop)
    try:
        yield proxies
    finally:
        asyncio.run_coroutine_threadsafe(proxies.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
