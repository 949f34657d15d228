"""One HTTP exchange, bounded in time and size. Owns httpx's clients, timeouts, body limits and the log line.

Knows nothing of FHIR: what a status means is ``outcomes``' business, tries and pages are ``client``'s.
"""

from __future__ import annotations

import contextlib
import logging
import random
import re
import ssl
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import httpx

from .restraint import Brake

logger = logging.getLogger("booking.fhir")

# Set it around a call to carry one id from a page or a job to the EHR; unset, every exchange gets its own.
correlation_id: ContextVar[str] = ContextVar("booking.fhir.correlation_id", default="")

_UNSAFE_IN_LOGS = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class Clock:
    """Time and chance as this package sees them, so that tests can bring their own.

    ``monotonic`` and ``wall`` are in seconds; ``jitter`` gives a number from 0 to 1.
    """

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random


class Deadline:
    """The end of one verb's time budget; retries, pages and token renewals all draw on it."""

    def __init__(self, seconds: float, clock: Clock) -> None:
        self.seconds = seconds
        self._clock = clock
        self._ends_at = clock.monotonic() + seconds

    def left(self) -> float:
        return max(0.0, self._ends_at - self._clock.monotonic())


class Flaw(StrEnum):
    """Why a body is not whole. The status and the headers that came with it still stand."""

    CUT = "its body was cut short"
    LATE = "its body was still coming when time was up"
    TOO_LARGE = "its body is over the size limit"
    ENCODED = "its body has an encoding we did not ask for"


@dataclass(frozen=True, slots=True)
class Answer:
    """``correlation_id`` is the EHR's, or ours when it gave none."""

    request: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    correlation_id: str
    flaw: Flaw | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """``was_sent`` is False only when not one byte of the request can have reached the EHR."""

    request: str
    reason: str
    was_sent: bool
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Request:
    """``kind`` stands for the request in logs and errors, in place of a URL that may name a patient."""

    method: str
    url: httpx.URL
    kind: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.kind}"


# What a proxy answers in place of an EHR that does not.
_NOBODY_BEHIND = frozenset({502, 503, 504})
# TLS, name resolution and the wait for a free connection all come before the first byte of the request.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class Wire:
    """Sends requests over two shared clients; safe to use from many threads.

    Reads share kept-alive connections. A write gets a connection of its own: on a kept-alive one, a server
    that is just closing it makes an unsent write look like a lost answer, and the patient wait for a look-up.
    """

    def __init__(
        self,
        *,
        connect_seconds: float,
        read_seconds: float,
        write_seconds: float,
        pool_seconds: float,
        max_connections: int,
        max_body_bytes: int,
        clock: Clock,
        ca_file: str = "",
        transport: httpx.BaseTransport | None = None,
        on_call: Callable[[], None] | None = None,
    ) -> None:
        self._connect_seconds = connect_seconds
        self._read_seconds = read_seconds
        self._write_seconds = write_seconds
        self._pool_seconds = pool_seconds
        self._max_body_bytes = max_body_bytes
        self._clock = clock
        self._on_call = on_call
        self._brakes: dict[tuple[str, int | None], Brake] = {}
        for_reads = transport or _bounded_transport(ca_file, max_connections, keep=max_connections)
        for_writes = transport or _bounded_transport(ca_file, max_connections, keep=0)
        self._for_reads, self._for_writes = _open_client(for_reads), _open_client(for_writes)

    def close(self) -> None:
        self._for_reads.close()
        self._for_writes.close()

    def exchange(self, request: Request, deadline: Deadline, *, is_write: bool = False) -> Answer | NoAnswer:
        """Send once and read the answer. Raises nothing that the network can cause."""
        ours = _UNSAFE_IN_LOGS.sub("", correlation_id.get())[:64] or uuid.uuid4().hex
        started = self._clock.monotonic()
        outcome = self._braked(request, deadline, ours, self._for_writes if is_write else self._for_reads)
        milliseconds = round((self._clock.monotonic() - started) * 1000)
        if isinstance(outcome, Answer):
            result = f"{outcome.status}, {outcome.flaw}" if outcome.flaw else str(outcome.status)
            theirs = "-" if outcome.correlation_id == ours else outcome.correlation_id
            logger.info("%s -> %s in %d ms, ours=%s ehr=%s", request, result, milliseconds, ours, theirs)
        else:
            logger.warning("%s -> %s in %d ms, ours=%s", request, outcome.reason, milliseconds, ours)
        return outcome

    def is_braked(self, url: httpx.URL) -> bool:
        """Whether the server has not answered for a while, so that trying again at once is in vain."""
        return self._brake(url).is_on

    def _brake(self, url: httpx.URL) -> Brake:
        return self._brakes.setdefault((url.host, url.port), Brake(self._clock.monotonic))

    def _braked(
        self, request: Request, deadline: Deadline, ours: str, client: httpx.Client
    ) -> Answer | NoAnswer:
        brake = self._brake(request.url)
        call = brake.begin(deadline.left())
        if call is None:
            return NoAnswer(
                str(request), "not sent: no answer for a while", was_sent=False, correlation_id=ours
            )
        is_answered = False
        try:
            outcome = self._send(request, deadline, ours, client)
            is_answered = isinstance(outcome, Answer) and outcome.status not in _NOBODY_BEHIND
            return outcome
        finally:
            brake.end(call, is_answered=is_answered)

    def _send(
        self, request: Request, deadline: Deadline, ours: str, client: httpx.Client
    ) -> Answer | NoAnswer:
        left = deadline.left()
        if not left:
            return NoAnswer(
                str(request), "time was up before it was sent", was_sent=False, correlation_id=ours
            )
        built = client.build_request(
            request.method,
            request.url,
            headers={**request.headers, "X-Correlation-ID": ours},
            content=request.content,
            timeout=httpx.Timeout(
                connect=min(self._connect_seconds, left),
                read=min(self._read_seconds, left),
                write=min(self._write_seconds, left),
                pool=min(self._pool_seconds, left),
            ),
        )
        if self._on_call is not None:
            self._on_call()
        # Only names of exceptions leave here: an httpx exception holds the request, and with it its URL.
        reset = _running.set(deadline)
        try:
            response = client.send(built, stream=True, follow_redirects=False)
            body, flaw = self._body(response, deadline)
        except _NEVER_SENT as problem:
            return NoAnswer(str(request), type(problem).__name__, was_sent=False, correlation_id=ours)
        except httpx.HTTPError as problem:
            return NoAnswer(str(request), type(problem).__name__, was_sent=True, correlation_id=ours)
        finally:
            _running.reset(reset)
        theirs = (
            response.headers.get("fumage-correlation-id") or response.headers.get("x-correlation-id") or ""
        )
        theirs = _UNSAFE_IN_LOGS.sub("", theirs)[:64]
        return Answer(str(request), response.status_code, response.headers, body, theirs or ours, flaw)

    def _body(self, response: httpx.Response, deadline: Deadline) -> tuple[bytes, Flaw | None]:
        """The body as far as it came, unpacked here so that a small gzip cannot become a large memory."""
        # A MockTransport's response may come already read and decoded; then only its size is left to check.
        is_read = response.is_stream_consumed
        encoding = "" if is_read else response.headers.get("content-encoding", "").strip().lower()
        chunks: Iterable[bytes] = [response.content] if is_read else response.iter_raw()
        unpack = zlib.decompressobj(wbits=31) if encoding in ("gzip", "x-gzip") else None
        body = bytearray()
        try:
            if encoding not in ("", "identity", "gzip", "x-gzip"):
                return b"", Flaw.ENCODED
            for chunk in chunks:
                room = self._max_body_bytes + 1 - len(body)
                body += unpack.decompress(chunk, room) if unpack else chunk[:room]
                if len(body) > self._max_body_bytes:
                    return b"", Flaw.TOO_LARGE
                if not deadline.left():
                    return bytes(body), Flaw.LATE
        except (httpx.HTTPError, zlib.error):
            return bytes(body), Flaw.CUT if deadline.left() else Flaw.LATE
        finally:
            with contextlib.suppress(httpx.HTTPError):
                response.close()
        return bytes(body), Flaw.CUT if unpack and body and not unpack.eof else None


def _open_client(transport: httpx.BaseTransport) -> httpx.Client:
    client = httpx.Client(
        transport=transport,
        trust_env=False,
        follow_redirects=False,
        headers={
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": "self-scheduling-portal",
        },
    )
    # One patient's session cookie must not ride on the next patient's request.
    client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return client


@cache
def _tls(ca_file: str) -> ssl.SSLContext:
    # Loading the certificate store is most of what an httpx.Client costs (40 to 70 ms), so all share one.
    context = httpx.create_ssl_context(trust_env=False)
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


_running: ContextVar[Deadline | None] = ContextVar("booking.fhir.running", default=None)


def _bounded_transport(ca_file: str, max_connections: int, *, keep: int) -> httpx.HTTPTransport:
    """httpx's timeouts are per socket operation, so headers or bodies sent byte by byte could hold a thread
    for hours. Here every operation also ends with the verb's time. Name resolution stays unbounded."""
    limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=keep)
    transport = httpx.HTTPTransport(verify=_tls(ca_file), trust_env=False, limits=limits)
    # httpx has no public way to its pool's network backend; the drip-fed header test notices if this ends.
    pool: Any = transport._pool
    pool._network_backend = _BoundedBackend(pool._network_backend)
    return transport


def _within(timeout: float | None, error: type[httpx.TimeoutException]) -> float | None:
    deadline = _running.get()
    if deadline is None:
        return timeout
    left = deadline.left()
    if not left:
        raise error("time was up")
    return left if timeout is None else min(timeout, left)


class _BoundedBackend:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> Any:
        timeout = _within(timeout, httpx.ConnectTimeout)
        return _BoundedStream(self._inner.connect_tcp(host, port, timeout=timeout, **options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _BoundedStream:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = self._inner.read(max_bytes, timeout=_within(timeout, httpx.ReadTimeout))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout=_within(timeout, httpx.WriteTimeout))

    def start_tls(self, ssl_context: ssl.SSLContext, *, timeout: float | None = None, **options: Any) -> Any:
        timeout = _within(timeout, httpx.ConnectTimeout)
        return _BoundedStream(self._inner.start_tls(ssl_context, timeout=timeout, **options))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Quiet(logging.Filter):
    """httpx logs whole URLs at INFO and httpcore headers at DEBUG; drop both, but only for our own calls."""

    def filter(self, record: logging.LogRecord) -> bool:
        return _running.get() is None


for _name in ("httpx", "httpcore.connection", "httpcore.http11"):
    logging.getLogger(_name).addFilter(_Quiet())
