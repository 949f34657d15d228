"""Client-credentials tokens: fetched once, shared by all threads, renewed before they end.

This is not an ``httpx.Auth``: inside one, a token endpoint that stays silent looks like a booking whose
answer was lost. Asked for before the request goes out, it is plainly a request that was never sent.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlencode

import httpx

from booking.scheduling.errors import EhrFailure, EhrRejected, EhrUnavailable

from . import outcomes
from .wire import Clock, Deadline, Request, Wire

_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_RENEW_EARLY_SECONDS = 60.0
_UNSTATED_LIFE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Token:
    """``expires_at`` is in seconds since the epoch, so that processes can share it."""

    value: str = field(repr=False)
    expires_at: float


class TokenStore(Protocol):
    """Where the current token is kept. Neither method may raise; a lost token costs one more fetch."""

    def load(self) -> Token | None: ...

    def save(self, token: Token) -> None: ...


class InProcess:
    def __init__(self) -> None:
        self._token: Token | None = None

    def load(self) -> Token | None:
        return self._token

    def save(self, token: Token) -> None:
        self._token = token


class TokenSource:
    def __init__(
        self,
        wire: Wire,
        *,
        token_url: str,
        client_id: str,
        client_secret: str,
        scope: str,
        clock: Clock,
        store: TokenStore | None = None,
    ) -> None:
        self._wire = wire
        self._url = httpx.URL(token_url)
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        self._form = urlencode(form | ({"scope": scope} if scope else {})).encode()
        self._clock = clock
        self._store = store or InProcess()
        self._lock = threading.Lock()
        self._failure_count = 0
        self._last_failure: EhrFailure | None = None

    def token(self, deadline: Deadline, *, refused: str = "") -> str:
        """A token that has not ended and is not the one the EHR just ``refused``."""
        if found := self._stored(refused):
            return found
        failures_seen = self._failure_count
        if not self._lock.acquire(timeout=deadline.left()):
            raise EhrUnavailable("POST token: another thread's renewal took all of the time")
        try:
            if found := self._stored(refused):
                return found
            if self._last_failure is not None and self._failure_count != failures_seen:
                # Whoever held the lock while we waited failed. Asking again, one waiter after another,
                # would add up everyone's waits and keep an ailing endpoint down.
                raise self._same_failure(self._last_failure)
            try:
                fetched = self._fetch(deadline)
            except EhrFailure as failure:
                self._failure_count += 1
                self._last_failure = self._same_failure(failure)
                raise
            self._store.save(fetched)
            return fetched.value
        finally:
            self._lock.release()

    def _stored(self, refused: str) -> str:
        token = self._store.load()
        if token is None or token.value == refused or self._clock.wall() >= token.expires_at:
            return ""
        return token.value

    def _fetch(self, deadline: Deadline) -> Token:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        request = Request("POST", self._url, kind="token", headers=headers, content=self._form)
        answer = outcomes.token_object(self._wire.exchange(request, deadline))
        value, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
        if not isinstance(value, str) or not _BEARER.fullmatch(value):
            raise EhrRejected("POST token: the answer holds no usable access_token")
        if not isinstance(kind, str) or kind.casefold() != "bearer":
            raise EhrRejected("POST token: the answer is not a bearer token")
        seconds = _seconds(answer.get("expires_in"))
        return Token(value, self._clock.wall() + max(seconds - _RENEW_EARLY_SECONDS, seconds / 2))

    @staticmethod
    def _same_failure(failure: EhrFailure) -> EhrFailure:
        return type(failure)(
            str(failure),
            status=failure.status,
            correlation_id=failure.correlation_id,
            retry_after_seconds=failure.retry_after_seconds,
        )


def _seconds(life: object) -> float:
    if isinstance(life, str) and re.fullmatch(r"[0-9]{1,9}", life):
        life = int(life)
    if isinstance(life, bool) or not isinstance(life, int | float) or not 0 < life < 1e9:
        return _UNSTATED_LIFE_SECONDS
    return float(life)
