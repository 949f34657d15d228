"""A small EHR behind httpx's mock transport, a clock that only moves when told, and a gateway over both."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import httpx

from booking.fhir import EhrConfig, open_gateway
from booking.fhir.wire import Clock
from booking.scheduling.gateway import SchedulingGateway

BASE_URL = "https://fumage-example.canvasmedical.com"
TOKEN_URL = "https://example.canvasmedical.com/auth/token/"

Answer = httpx.Response | Exception | dict[str, Any]
Answers = Answer | Callable[[httpx.Request], Answer]


class StandIn:
    """Answers by ``METHOD Type``. A list is used up answer by answer; its last one is given for ever after.

    Give it a mapping from request to answer, or a callable. ``requests`` has everything but token requests.
    """

    def __init__(
        self, answers: dict[str, Answers | list[Answers]] | None = None, token_seconds: object = 36000
    ) -> None:
        self.answers = answers or {}
        self.token_seconds = token_seconds
        self.requests: list[httpx.Request] = []
        self.token_requests: list[httpx.Request] = []
        self.token_answers: list[httpx.Response | Exception] = []
        self._lock = threading.Lock()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.copy_with(query=None) == httpx.URL(TOKEN_URL):
            return self._token(request)
        with self._lock:
            self.requests.append(request)
            answer = self.answers[f"{request.method} {request.url.path.rpartition('/')[2]}"]
            if isinstance(answer, list):
                answer = answer[0] if len(answer) == 1 else answer.pop(0)
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(200, content=json.dumps(answer)) if isinstance(answer, dict) else answer

    def _token(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            self.token_requests.append(request)
            count = len(self.token_requests)
            answer = self.token_answers.pop(0) if self.token_answers else None
        if isinstance(answer, Exception):
            raise answer
        made = {"access_token": f"token-{count}", "token_type": "Bearer", "expires_in": self.token_seconds}
        return answer or httpx.Response(200, json=made)

    @property
    def sent(self) -> list[tuple[str, str, dict[str, str]]]:
        """Method, path and query of every request."""
        return [(one.method, one.url.path, dict(one.url.params)) for one in self.requests]

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(one.content) for one in self.requests if one.content]

    @property
    def tokens_seen(self) -> list[str]:
        return [one.headers["authorization"] for one in self.requests]

    @property
    def token_forms(self) -> list[dict[str, str]]:
        return [dict(parse_qsl(one.content.decode())) for one in self.token_requests]


class StoppedClock:
    """Seconds pass only in ``sleep`` and by assignment."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds

    @property
    def clock(self) -> Clock:
        def now() -> float:
            return self.seconds

        def wall() -> float:
            return 1_796_000_000.0 + self.seconds

        return Clock(monotonic=now, wall=wall, sleep=self.sleep, jitter=lambda: 1.0)


def config(**more: Any) -> EhrConfig:
    usual: dict[str, Any] = {
        "dialect": "canvas",
        "base_url": BASE_URL,
        "token_url": TOKEN_URL,
        "client_id": "portal",
        "client_secret": "very-secret",
    }
    return EhrConfig(**usual | more)


@contextlib.contextmanager
def gateway(stand_in: StandIn, clock: StoppedClock | None = None, **more: Any) -> Iterator[SchedulingGateway]:
    with contextlib.closing(
        open_gateway(
            config(**more),
            transport=httpx.MockTransport(stand_in),
            clock=(clock or StoppedClock()).clock,
        )
    ) as opened:
        yield opened
