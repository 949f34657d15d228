"""A stand-in for the SMS provider's message API, with the ways in which it can let us down."""

from __future__ import annotations

import base64
import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Event, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from .processes import LOOPBACK

ACCOUNT = "AC00000000000000000000000000000000"
TOKEN = "sms-test-token"
SENDER = "+15005550006"


class Mode(Enum):
    OK = "ok"
    TOO_MANY = "429"
    BROKEN = "500"
    HANG = "hang"
    ACCEPT_THEN_RESET = "accept-then-reset"


@dataclass(frozen=True)
class Text:
    """One message the provider took on."""

    to: str
    sender: str
    body: str
    sid: str = field(default_factory=lambda: f"SM{uuid4().hex}", compare=False)
    at: float = field(default_factory=time.time, compare=False)


@dataclass
class SmsGateway:
    """``texts`` is what was accepted, oldest first; ``requests`` counts every text brought, refused ones too, and ``looks``
    every page of the list that was asked for. Not every service ``has_list``; ``page_size`` is the most it gives."""

    port: int
    mode: Mode = Mode.OK
    texts: list[Text] = field(default_factory=list)
    requests: int = 0
    looks: int = 0
    has_list: bool = True
    page_size: int = 1000
    _changed: Condition = field(default_factory=Condition, repr=False)
    _released: Event = field(default_factory=Event, repr=False)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """What the portal needs to send here."""
        return {
            "SMS_API_URL": self.url,
            "SMS_ACCOUNT_SID": ACCOUNT,
            "SMS_AUTH_TOKEN": TOKEN,
            "SMS_FROM": SENDER,
        }

    def to(self, number: str) -> list[Text]:
        return [text for text in list(self.texts) if number in text.to]

    def wait_for(self, count: int = 1, *, to: str = "", seconds: float = 20.0) -> list[Text]:
        """At least ``count`` accepted messages (to ``to``), or AssertionError."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.to(to)) >= count, seconds)
        found = self.to(to)
        assert len(found) >= count, (
            f"{len(found)} of {count} messages to {to or 'anyone'} in {seconds} seconds"
        )
        return found

    def clear(self) -> None:
        """Forget everything, answer normally, and let go of callers left hanging."""
        self.mode = Mode.OK
        self.texts.clear()
        self.requests = self.looks = 0
        self.has_list, self.page_size = True, 1000
        self._released.set()
        self._released = Event()

    def accept(self, text: Text) -> None:
        with self._changed:
            self.texts.append(text)
            self._changed.notify_all()

    def hang(self) -> None:
        self._released.wait()

    def release(self) -> None:
        self._released.set()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    gateway: SmsGateway


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        gateway = self.server.gateway
        gateway.requests += 1
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())
        if not self._is_allowed():
            return None
        fields = {name: form.get(name, [""])[0] for name in ("To", "From", "Body")}
        if missing := [name for name, value in fields.items() if not value]:
            return self._answer(400, {"code": 21604, "message": f"Required: {', '.join(missing)}"})
        if not self._is_well():
            return None
        text = Text(fields["To"], fields["From"], fields["Body"])
        gateway.accept(text)
        if gateway.mode is Mode.ACCEPT_THEN_RESET:
            return self._reset()
        return self._answer(201, self._record(text))

    def do_GET(self) -> None:
        """The newest first, in pages."""
        gateway = self.server.gateway
        gateway.looks += 1
        if not self._is_allowed() or not self._is_well():
            return None
        if not gateway.has_list:
            return self._answer(405, {"code": 20004, "message": "Method not allowed"})
        asked = parse_qs(urlsplit(self.path).query)
        size = min(int(asked.get("PageSize", ["50"])[0]), gateway.page_size)
        first = int(asked.get("Page", ["0"])[0]) * size
        texts = list(reversed(gateway.texts))
        is_last = first + size >= len(texts)
        following = f"{urlsplit(self.path).path}?PageSize={size}&Page={first // size + 1}"
        return self._answer(
            200,
            {
                "messages": [self._record(text) for text in texts[first : first + size]],
                "next_page_uri": None if is_last else following,
            },
        )

    def _record(self, text: Text) -> dict[str, Any]:
        return {
            "sid": text.sid,
            "account_sid": ACCOUNT,
            "status": "queued",
            "to": text.to,
            "from": text.sender,
            "body": text.body,
            "date_created": formatdate(text.at),
            "error_code": None,
            "error_message": None,
        }

    def _is_allowed(self) -> bool:
        expected = "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        if urlsplit(self.path).path != f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json":
            self._answer(404, {"code": 20404, "message": "The requested resource was not found"})
        elif self.headers.get("Authorization") != expected:
            self._answer(401, {"code": 20003, "message": "Authenticate"})
        else:
            return True
        return False

    def _is_well(self) -> bool:
        match self.server.gateway.mode:
            case Mode.TOO_MANY:
                self._answer(429, {"code": 20429, "message": "Too Many Requests"}, {"Retry-After": "1"})
            case Mode.BROKEN:
                self._answer(500, {"code": 20500, "message": "Internal Server Error"})
            case Mode.HANG:
                self.server.gateway.hang()
                self.close_connection = True
            case _:
                return True
        return False

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _answer(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        if status >= 400:
            body |= {"status": status}
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        """Nothing is printed; the lists tell what came."""


@contextmanager
def sms_gateway() -> Iterator[SmsGateway]:
    """The provider's API on a free port, answered from threads of this process."""
    server = _Server((LOOPBACK, 0), _Handler)
    gateway = server.gateway = SmsGateway(server.server_port)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        gateway.release()
        server.shutdown()
        server.server_close()
        thread.join()
