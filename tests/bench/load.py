"""The load: visitors who each ask over one connection of their own, from a process that does nothing else.

``run`` starts ``python -m tests.bench.load``, which reads what to do from its input as JSON and answers in JSON. One
visitor's work is a list of requests, done one after another and then again: a *round* is one pass through it. Raw
asyncio, since an HTTP library would cost the machine more than some of the servers do.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.rig.processes import LOOPBACK, ROOT, clean_environment

from .figures import Figures, latency_figures


@dataclass
class Ask:
    """One request. ``path`` None is wherever the last answer redirected to; ``status`` is what must come back,
    0 for anything."""

    path: str | None
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    status: int = 200


@dataclass
class Visitor:
    """``headers`` go with each request: the host, a cookie, what encodings are taken."""

    asks: list[Ask]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """``round_ms`` has one figure for each round of each visitor; ``bodies`` are in the order of asking."""

    seconds: float
    round_ms: list[float]
    statuses: dict[str, int]
    body_bytes: int
    client_cpu_seconds: float
    bodies: list[list[str]]

    @property
    def rounds(self) -> int:
        return len(self.round_ms)

    def figures(self) -> Figures:
        return latency_figures(self.round_ms) | {
            "per_second": self.rounds / self.seconds,
            "kbytes": self.body_bytes / self.rounds / 1000,
            "client_cpu_ms": self.client_cpu_seconds * 1000 / self.rounds,
        }


class Unexpected(AssertionError):
    """A server answered with another status than asked for; the message has the beginning of its answer."""


def run(
    port: int,
    visitors: list[Visitor],
    *,
    seconds: float = 0,
    rounds: int = 0,
    keep_bodies: bool = False,
    pause_seconds: float = 0,
    in_turn: bool = False,
) -> Outcome:
    """Each visitor goes on until ``seconds`` are over, or for ``rounds``, resting ``pause_seconds`` between them.

    All at the same time, or with ``in_turn`` one when the last is done.
    """
    order = {
        "port": port,
        "visitors": [asdict(visitor) for visitor in visitors],
        "seconds": seconds,
        "rounds": rounds,
        "keep_bodies": keep_bodies,
        "pause_seconds": pause_seconds,
        "in_turn": in_turn,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.load"],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=clean_environment(),
        check=False,
    )
    if done.returncode:
        raise Unexpected(done.stderr.strip().splitlines()[-1] if done.stderr else "the client ended")
    return Outcome(**json.loads(done.stdout))


class _Connection(asyncio.Protocol):
    """One HTTP/1.1 exchange at a time; opened again when the server closes it after an answer."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _is_over(self) -> bool:
        return self.transport is None

    async def _more(self) -> None:
        if self.transport is None:
            raise ConnectionError("the server closed the connection in mid-answer")
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    async def _until(self, mark: bytes) -> bytes:
        while (at := self._buffer.find(mark)) < 0:
            await self._more()
        found = bytes(self._buffer[: at + len(mark)])
        del self._buffer[: at + len(mark)]
        return found

    async def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            await self._more()
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found

    async def exchange(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        assert self.transport is not None
        self.transport.write(request)
        head = (await self._until(b"\r\n\r\n")).decode("latin-1")
        status_line, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(status_line.split(" ", 2)[1])
        if "content-length" in headers:
            body = await self._exactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(await self._until(b"\r\n"), 16):
                parts.append((await self._exactly(size + 2))[:-2])
            await self._exactly(2)
            body = b"".join(parts)
        elif status in (204, 304):
            body = b""
        else:
            while not self._is_over():
                await self._more()
            body = bytes(self._buffer)
            self._buffer.clear()
        if headers.get("connection", "").lower() == "close":
            transport, self.transport = self.transport, None
            if transport is not None:
                transport.close()
        return status, headers, body


class _Client:
    def __init__(self, order: dict[str, Any]) -> None:
        self.order = order
        self.round_ms: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.body_bytes = 0

    async def visit(self, visitor: dict[str, Any], start: asyncio.Event) -> list[str]:
        port = self.order["port"]
        loop = asyncio.get_running_loop()
        asks = [_Prepared(ask, visitor["headers"], port) for ask in visitor["asks"]]
        bodies: list[str] = []
        _, connection = await loop.create_connection(_Connection, LOOPBACK, port)
        await start.wait()
        ends = time.perf_counter() + self.order["seconds"]
        done = 0
        while done < self.order["rounds"] if self.order["rounds"] else time.perf_counter() < ends:
            location = ""
            began = time.perf_counter()
            for ask in asks:
                if connection.transport is None:
                    _, connection = await loop.create_connection(_Connection, LOOPBACK, port)
                status, headers, body = await connection.exchange(ask.bytes_for(location))
                location = headers.get("location", "")
                self.statuses[str(status)] += 1
                self.body_bytes += len(body)
                if ask.status and status != ask.status:
                    raise Unexpected(
                        f"{ask.path or location} answered {status}, not {ask.status}, to {location!r}: {body[:300]!r}"
                    )
                if self.order["keep_bodies"]:
                    bodies.append(body.decode("latin-1"))
            self.round_ms.append((time.perf_counter() - began) * 1000)
            done += 1
            if self.order["pause_seconds"]:
                await asyncio.sleep(self.order["pause_seconds"])
        if connection.transport is not None:
            connection.transport.close()
        return bodies

    async def all_visits(self) -> dict[str, Any]:
        start = asyncio.Event()
        tasks = []
        if not self.order["in_turn"]:
            tasks = [asyncio.create_task(self.visit(each, start)) for each in self.order["visitors"]]
            await asyncio.sleep(0.02)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        before, began = usage.ru_utime + usage.ru_stime, time.perf_counter()
        start.set()
        bodies = await asyncio.gather(*tasks)
        if self.order["in_turn"]:
            bodies = [await self.visit(each, start) for each in self.order["visitors"]]
        usage = resource.getrusage(resource.RUSAGE_SELF)
        outcome = Outcome(
            seconds=time.perf_counter() - began,
            round_ms=self.round_ms,
            statuses=dict(self.statuses),
            body_bytes=self.body_bytes,
            client_cpu_seconds=usage.ru_utime + usage.ru_stime - before,
            bodies=list(bodies),
        )
        return asdict(outcome)


class _Prepared:
    """A request as bytes, made once; only where it goes may depend on the answer before."""

    def __init__(self, ask: dict[str, Any], shared: dict[str, str], port: int) -> None:
        self.path: str | None = ask["path"]
        self.status: int = ask["status"]
        self._method = ask["method"]
        body = ask["body"].encode()
        headers = {"Host": f"localhost:{port}"} | shared | ask["headers"]
        if body:
            headers |= {
                "Content-Type": "application/x-www-form-urlencoded",
                "Content-Length": str(len(body)),
            }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._rest = f" HTTP/1.1\r\n{lines}\r\n".encode() + body
        self._fixed = f"{self._method} {self.path}".encode() + self._rest if self.path else b""

    def bytes_for(self, location: str) -> bytes:
        return self._fixed or f"{self._method} {location}".encode() + self._rest


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_Client(json.load(sys.stdin)).all_visits())))
