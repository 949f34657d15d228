"""Each mode of the fault proxy, as a client of an HTTP server behind it sees it and as the server does."""

from __future__ import annotations

import smtplib
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest

from tests.rig.fault_proxy import FaultProxies, FaultProxy, Mode, fault_proxies
from tests.rig.mail import Mailbox
from tests.rig.processes import is_free

from .test_rig import send_mail

WORDS = b"the whole answer"


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(WORDS)))
        self.end_headers()
        self.wfile.write(WORDS)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxies() -> Iterator[FaultProxies]:
    with fault_proxies() as running:
        yield running


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    running.daemon_threads = True
    running.seen = []  # type: ignore[attr-defined]
    thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def proxy(proxies: FaultProxies, server: ThreadingHTTPServer) -> FaultProxy:
    return proxies.before(server.server_port)


def ask(proxy: FaultProxy, path: str = "/", seconds: float = 5) -> bytes:
    url = f"http://127.0.0.1:{proxy.port}{path}"
    return httpx.post(url, content=b"a request", timeout=seconds, trust_env=False).content


def seen(server: ThreadingHTTPServer) -> list[str]:
    found: list[str] = server.seen  # type: ignore[attr-defined]
    return found


def test_what_passes_is_counted_and_arrives_whole(proxy: FaultProxy, server: ThreadingHTTPServer) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{proxy.port}", trust_env=False) as client:
        assert [client.post(path, content=b"x").content for path in ("/1", "/2")] == [WORDS, WORDS]
    assert (seen(server), proxy.connections, proxy.requests) == (["/1", "/2"], 1, 2)


@pytest.mark.parametrize(
    ("mode", "failure", "arrives"),
    [
        (Mode.REFUSE, httpx.ConnectError, False),
        (Mode.HANG, httpx.ReadTimeout, False),
        # Whoever is still speaking meets the reset in a write, and httpx then reads on to the end.
        (Mode.RESET_BEFORE, (httpx.ReadError, httpx.RemoteProtocolError), False),
        (Mode.RESET_AFTER, httpx.ReadError, True),
        (Mode.CUT, httpx.RemoteProtocolError, True),
    ],
)
def test_a_failing_exchange_fails_in_its_own_way_and_only_while_told_to(
    mode: Mode,
    failure: type[Exception] | tuple[type[Exception], ...],
    arrives: bool,
    proxy: FaultProxy,
    server: ThreadingHTTPServer,
) -> None:
    with proxy.behaving(mode), pytest.raises(failure):
        ask(proxy, "/failing", seconds=0.5 if mode is Mode.HANG else 10)
    assert seen(server) == (["/failing"] if arrives else [])
    assert ask(proxy, "/after") == WORDS


def test_a_slow_answer_is_late_and_whole(proxy: FaultProxy) -> None:
    began = time.monotonic()
    with proxy.behaving(Mode.LATENCY, seconds=0.2):
        assert ask(proxy) == WORDS
    assert time.monotonic() - began > 0.2
    with proxy.behaving(Mode.DRIP, seconds=0.002):
        assert ask(proxy) == WORDS


def test_a_fault_may_concern_some_requests_alone(proxy: FaultProxy, server: ThreadingHTTPServer) -> None:
    with proxy.behaving(Mode.RESET_AFTER, only=b"POST /create"):
        assert ask(proxy, "/read") == WORDS
        with pytest.raises(httpx.ReadError):
            ask(proxy, "/create")
    assert seen(server) == ["/read", "/create"]


def test_those_who_are_connected_are_cut_off_when_nobody_listens_any_more(proxy: FaultProxy) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{proxy.port}", trust_env=False) as client:
        assert client.post("/", content=b"x").content == WORDS
        proxy.set(Mode.REFUSE)
        with pytest.raises(httpx.TransportError):
            client.post("/", content=b"x")
        proxy.set(Mode.PASS)
        assert client.post("/", content=b"x").content == WORDS


def test_a_server_that_is_not_there_is_a_reset_and_one_that_speaks_first_is_heard(
    proxies: FaultProxies, mailbox: Mailbox
) -> None:
    nowhere = proxies.before(1)
    with pytest.raises(httpx.TransportError):
        ask(nowhere)
    mail = proxies.before(mailbox.port)
    with mail.behaving(Mode.RESET_AFTER, only=b"\r\n.\r\n"), pytest.raises(smtplib.SMTPServerDisconnected):
        send_mail(Mailbox(mail.port))
    assert [message["Subject"] for message in mailbox.messages] == ["Visit"]


def test_nobody_listens_after_the_block(server: ThreadingHTTPServer) -> None:
    with fault_proxies() as running:
        proxy = running.before(server.server_port)
        assert ask(proxy) == WORDS
    assert is_free(proxy.port)
