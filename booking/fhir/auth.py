"""Client-credentials tokens: fetched once, shared by all threads, renewed before they end.

The portal shows who it is with a client secret or with a signed assertion (SMART Backend Services).

This is not an ``httpx.Auth``: inside one, a token endpoint that stays silent looks like a booking whose
answer was lost. Asked for before the request goes out, it is plainly a request that was never sent.
"""

from __future__ import annotations

import re
import threading
import uuid
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote, urlencode

import httpx
import jwt

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


class ClientAuthentication(Protocol):
    """How the portal shows the token endpoint who it is. ``now`` is in seconds since the epoch."""

    def form(self, now: float) -> dict[str, str]: ...

    def headers(self) -> dict[str, str]: ...


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """In the form, or in the header where the EHR wants HTTP Basic (RFC 6749, section 2.3.1)."""

    client_id: str
    secret: str = field(repr=False)
    in_header: bool = False

    def form(self, now: float) -> dict[str, str]:
        return {} if self.in_header else {"client_id": self.client_id, "client_secret": self.secret}

    def headers(self) -> dict[str, str]:
        if not self.in_header:
            return {}
        pair = f"{quote(self.client_id, safe='')}:{quote(self.secret, safe='')}"
        return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


class SignedAssertion:
    """A JWT signed with our private key, made anew for each request (SMART App Launch, Backend Services)."""

    _LIFE_SECONDS = 240

    def __init__(self, *, client_id: str, token_url: str, private_key: str, key_id: str = "") -> None:
        """``private_key`` is PEM: RSA, used with RS384, or EC on P-384, used with ES384. Raises ``ValueError``."""
        self._client_id = client_id
        self._token_url = token_url
        self._key_id = key_id
        self._algorithm, self._key = _signing_key(private_key)

    def form(self, now: float) -> dict[str, str]:
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": self._token_url,
            "iat": int(now),
            "exp": int(now) + self._LIFE_SECONDS,
            "jti": uuid.uuid4().hex,
        }
        headers = {"kid": self._key_id} if self._key_id else None
        signed = jwt.encode(claims, self._key, algorithm=self._algorithm, headers=headers)
        return {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": signed,
        }

    def headers(self) -> dict[str, str]:
        return {}


def _signing_key(pem: str) -> tuple[str, jwt.algorithms.AllowedPrivateKeys]:
    for name in ("RS384", "ES384"):
        algorithm = jwt.get_algorithm_by_name(name)
        try:
            key = algorithm.prepare_key(pem)
            algorithm.sign(b"a key that can sign", key)
        except (jwt.exceptions.InvalidKeyError, ValueError, TypeError, AttributeError):
            continue
        if name == "ES384" and key.curve.name != "secp384r1":
            raise ValueError("an EC key for ES384 is on the curve P-384")
        return name, key
    raise ValueError("is not a private key in PEM form: RSA, or EC on P-384")


class TokenSource:
    def __init__(
        self,
        wire: Wire,
        *,
        token_url: str,
        authentication: ClientAuthentication,
        scope: str,
        clock: Clock,
        store: TokenStore | None = None,
        more: dict[str, str] | None = None,
    ) -> None:
        """``more`` are further fields for the token request."""
        self._wire = wire
        self._url = httpx.URL(token_url)
        self._authentication = authentication
        self._form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {}) | (more or {})
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
        form = self._form | self._authentication.form(self._clock.wall())
        headers = {"Content-Type": "application/x-www-form-urlencoded", **self._authentication.headers()}
        content = urlencode(form).encode()
        request = Request("POST", self._url, kind="token", headers=headers, content=content)
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


class PatientTokens:
    """Tokens that open one patient's records only, made for each patient when first needed and kept for the latest.

    On Canvas they come from the same endpoint as others, with the patient's id and ``patient/`` scopes (its Customer
    authentication page).
    """

    _MOST = 256

    def __init__(self, make: Callable[[str], TokenSource]) -> None:
        """``make`` gives a source for a patient's id."""
        self._make = make
        self._sources: OrderedDict[str, TokenSource] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, patient_ref: str) -> TokenSource:
        key = patient_ref.removeprefix("Patient/")
        with self._lock:
            source = self._sources.get(key)
            if source is None:
                source = self._sources[key] = self._make(key)
                if len(self._sources) > self._MOST:
                    self._sources.popitem(last=False)
            self._sources.move_to_end(key)
        return source


def _seconds(life: object) -> float:
    if isinstance(life, str) and re.fullmatch(r"[0-9]{1,9}", life):
        life = int(life)
    if isinstance(life, bool) or not isinstance(life, int | float) or not 0 < life < 1e9:
        return _UNSTATED_LIFE_SECONDS
    return float(life)
