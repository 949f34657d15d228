"""What one Slot call costs the portal in CPU: our gateway, the httpx transport under it, and aiohttp in the same run.

A server in a process of its own answers each call with the same free week of one schedule, 0 or 50 ms later. Every
contestant makes the same calls, in rounds that take turns so that a noisy neighbor troubles all alike; a figure is the
median over rounds of this process's CPU time by call. Nothing is asserted: machines differ, ratios differ less.

``python -m tests.bench.client_cost`` prints a table; ``--json FILE`` writes it down too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

import aiohttp
import httpx

from booking.fhir import EhrConfig, open_gateway

SCHEDULE = f"Location.1-Staff.{'a' * 32}"
CALLS, ROUNDS, PARALLEL = 400, 9, 8
DAY = date(2026, 12, 1)


def slots(count: int = 53) -> bytes:
    """A bundle such as Canvas answers: half hours of one schedule."""
    start = datetime.fromisoformat("2026-12-01T08:00:00-08:00")
    entries = [
        {
            "resource": {
                "resourceType": "Slot",
                "schedule": {"reference": f"Schedule/{SCHEDULE}", "type": "Schedule"},
                "status": "free",
                "start": (start + timedelta(minutes=30 * number)).isoformat(),
                "end": (start + timedelta(minutes=30 * (number + 1))).isoformat(),
            }
        }
        for number in range(count)
    ]
    found = {"resourceType": "Bundle", "type": "searchset", "total": count, "entry": entries}
    return json.dumps(found, separators=(",", ":")).encode()


TOKEN = b'{"access_token":"t","token_type":"Bearer","expires_in":36000}'


async def _serve(connection: Any, delay_seconds: float) -> None:
    def answer(body: bytes) -> bytes:
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: %d\r\n\r\n"
            % len(body)
            + body
        )

    whole, token = answer(slots()), answer(TOKEN)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"POST"):
                    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                    await reader.readexactly(length)
                    writer.write(token)
                else:
                    if delay_seconds:
                        await asyncio.sleep(delay_seconds)
                    writer.write(whole)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0, limit=2**20)
    connection.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _server(connection: Any, delay_seconds: float) -> None:
    asyncio.run(_serve(connection, delay_seconds))


@contextmanager
def serving(delay_seconds: float) -> Iterator[str]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_server, args=(theirs, delay_seconds), daemon=True
    )
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


Contestant = Callable[[int], None]


@contextmanager
def our_gateway(url: str) -> Iterator[Contestant]:
    """The whole verb: token, HTTP, JSON, reading and filtering 53 Slots; 8 threads as on the page of times."""
    config = EhrConfig("canvas", url, f"{url}/token/", "portal", "secret", max_connections=2 * PARALLEL + 4)
    gateway = open_gateway(config)

    def call(_: int) -> None:
        found = gateway.free_slots(
            f"Schedule/{SCHEDULE}", first_on=DAY, last_on=DAY + timedelta(days=2), minutes=30
        )
        assert len(found) == 53

    with ThreadPoolExecutor(PARALLEL) as pool:
        yield lambda calls: list(pool.map(call, range(calls))) and None
    gateway.close()


@contextmanager
def our_wire(url: str) -> Iterator[Contestant]:
    """The gateway's transport alone: one exchange with its deadline, its limits and its log line, body unread."""
    config = EhrConfig("canvas", url, f"{url}/token/", "portal", "secret", max_connections=2 * PARALLEL + 4)
    gateway: Any = open_gateway(config)
    client = gateway._client
    address = client._address("Slot").copy_with(query=QUERY)

    def call(_: int) -> None:
        answer = client._authorized("GET", address, "Slot", client.deadline(), "")
        assert len(answer.body) > 5000

    with ThreadPoolExecutor(PARALLEL) as pool:
        yield lambda calls: list(pool.map(call, range(calls))) and None
    gateway.close()


QUERY = f"schedule={SCHEDULE}&start=2026-12-01&end=2026-12-03&duration=30".encode()


@contextmanager
def bare_httpx(url: str) -> Iterator[Contestant]:
    """httpx.Client as it comes, in the same 8 threads."""
    limits = httpx.Limits(max_connections=2 * PARALLEL + 4, max_keepalive_connections=2 * PARALLEL + 4)
    with (
        httpx.Client(base_url=url, limits=limits, trust_env=False) as client,
        ThreadPoolExecutor(PARALLEL) as pool,
    ):

        def call(_: int) -> None:
            assert len(client.get(f"/Slot?{QUERY.decode()}").content) > 5000

        yield lambda calls: list(pool.map(call, range(calls))) and None


@contextmanager
def async_httpx(url: str) -> Iterator[Contestant]:
    """httpx.AsyncClient with 50 calls in flight, the shape the design warns of."""
    loop = asyncio.new_event_loop()
    client = httpx.AsyncClient(base_url=url, trust_env=False, limits=httpx.Limits(max_connections=50))

    async def one() -> None:
        assert len((await client.get(f"/Slot?{QUERY.decode()}")).content) > 5000

    async def all_of(calls: int) -> None:
        for _ in range(0, calls, 50):
            await asyncio.gather(*(one() for _ in range(50)))

    yield lambda calls: loop.run_until_complete(all_of(calls))
    loop.run_until_complete(client.aclose())
    loop.close()


@contextmanager
def with_aiohttp(url: str) -> Iterator[Contestant]:
    """aiohttp with 50 calls in flight: the yardstick."""
    loop = asyncio.new_event_loop()

    async def open_session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=50))

    session = loop.run_until_complete(open_session())

    async def one() -> None:
        async with session.get(f"/Slot?{QUERY.decode()}") as answer:
            assert len(await answer.read()) > 5000

    async def all_of(calls: int) -> None:
        for _ in range(0, calls, 50):
            await asyncio.gather(*(one() for _ in range(50)))

    yield lambda calls: loop.run_until_complete(all_of(calls))
    loop.run_until_complete(session.close())
    loop.close()


CONTESTANTS = {
    "aiohttp, 50 in flight": with_aiohttp,
    "gateway's wire, 8 threads": our_wire,
    "httpx.Client, 8 threads": bare_httpx,
    "httpx.AsyncClient, 50 in flight": async_httpx,
    "free_slots whole, 8 threads": our_gateway,
}


def measure(delay_seconds: float, rounds: int = ROUNDS, calls: int = CALLS) -> dict[str, dict[str, float]]:
    """CPU and wall milliseconds by call of each contestant, medians over rounds that take turns."""
    cpu: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    wall: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    with serving(delay_seconds) as url:
        for turn in range(rounds):
            for name, opened in CONTESTANTS.items():
                with opened(url) as contestant:
                    contestant(50)
                    before, started = time.process_time(), time.perf_counter()
                    contestant(calls)
                    cpu[name].append((time.process_time() - before) / calls * 1000)
                    wall[name].append((time.perf_counter() - started) / calls * 1000)
            del turn
    yardstick = statistics.median(cpu["aiohttp, 50 in flight"])
    return {
        name: {
            "cpu_ms": statistics.median(cpu[name]),
            "cpu_ms_least": min(cpu[name]),
            "wall_ms": statistics.median(wall[name]),
            "times_aiohttp": statistics.median(cpu[name]) / yardstick,
        }
        for name in CONTESTANTS
    }


def main() -> None:
    import logging

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    report = {f"EHR at {round(delay * 1000)} ms": measure(delay, options.rounds) for delay in (0.0, 0.05)}
    for title, figures in report.items():
        print(f"\n{title}: {CALLS} calls a round, {options.rounds} rounds, medians")
        print(f"{'':34}{'CPU ms/call':>12}{'least':>8}{'x aiohttp':>11}{'wall ms/call':>14}")
        for name, row in figures.items():
            print(
                f"{name:34}{row['cpu_ms']:12.2f}{row['cpu_ms_least']:8.2f}{row['times_aiohttp']:11.1f}{row['wall_ms']:14.2f}"
            )
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
