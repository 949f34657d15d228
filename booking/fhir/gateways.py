"""From settings to a gateway: the EHR's configuration, checked, and the one way to open it."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

import httpx

from booking.scheduling.gateway import SchedulingGateway

from .auth import ClientAuthentication, ClientSecret, PatientTokens, SignedAssertion, TokenSource, TokenStore
from .canvas import CanvasGateway
from .client import EhrClient
from .medplum import MedplumGateway
from .r4 import R4Gateway
from .wire import Clock, Wire

DIALECTS = ("canvas", "medplum", "r4")
AUTH_METHODS = ("client_secret_post", "client_secret_basic", "private_key_jwt")


@dataclass(frozen=True, slots=True)
class EhrConfig:
    """Where the EHR is and how patient to be with it. Raises ``ValueError`` with what to set instead.

    ``total_seconds`` bounds one verb with all its tries, pages and token renewals; ``directory_seconds``
    bounds ``directory()``. The other times bound one step on the network. ``ca_file`` names
    certificates to trust besides the public ones. ``allow_plain_http`` is for a
    sandbox on a private network. ``prevents_double_booking`` and ``structured_reasons`` repeat two settings
    of the clinic's EHR that it does not tell: whether overlapping appointments are refused, and whether
    reasons for visit have codes.

    ``auth_method`` says how the portal shows who it is: ``client_secret_post``, ``client_secret_basic`` or
    ``private_key_jwt``, which wants ``private_key`` (PEM) and the ``key_id`` under which the EHR knows it.
    ``patient_scope``, where the EHR gives out tokens for one patient (Canvas does), is what such a token is asked
    for; empty leaves them alone.
    """

    dialect: str
    base_url: str
    token_url: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    scope: str = ""
    auth_method: str = "client_secret_post"
    private_key: str = field(default="", repr=False)
    key_id: str = ""
    patient_scope: str = ""
    connect_seconds: float = 2.0
    read_seconds: float = 8.0
    write_seconds: float = 5.0
    pool_seconds: float = 2.0
    total_seconds: float = 10.0
    directory_seconds: float = 60.0
    max_connections: int = 20
    max_body_bytes: int = 5 * 1024 * 1024
    max_pages: int = 50
    max_entries: int = 20_000
    ca_file: str = ""
    allow_plain_http: bool = False
    prevents_double_booking: bool = False
    structured_reasons: bool = True

    def __post_init__(self) -> None:
        if self.dialect not in DIALECTS:
            raise ValueError(f"dialect: {self.dialect!r} is not one of {', '.join(DIALECTS)}")
        for name in ("base_url", "token_url"):
            _check_url(name, getattr(self, name), self.allow_plain_http)
        if self.auth_method not in AUTH_METHODS:
            raise ValueError(f"auth_method: {self.auth_method!r} is not one of {', '.join(AUTH_METHODS)}")
        secret = "private_key" if self.auth_method == "private_key_jwt" else "client_secret"
        for name in ("client_id", secret):
            if not getattr(self, name).strip():
                raise ValueError(f"{name}: is empty; it comes with registering the portal at the EHR")
        try:
            self.authentication()
        except ValueError as problem:
            raise ValueError(f"private_key: {problem}") from None
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name.endswith("_seconds") and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{item.name}: must be a number of seconds above 0")
            if item.name.startswith("max_") and value < 1:
                raise ValueError(f"{item.name}: must be 1 or more")
        if self.ca_file and not Path(self.ca_file).is_file():
            raise ValueError("ca_file: there is no such file")
        if self.connect_seconds > self.total_seconds:
            raise ValueError("connect_seconds: must not be longer than total_seconds")

    def authentication(self) -> ClientAuthentication:
        if self.auth_method == "private_key_jwt":
            return SignedAssertion(
                client_id=self.client_id,
                token_url=self.token_url,
                private_key=self.private_key,
                key_id=self.key_id,
            )
        in_header = self.auth_method == "client_secret_basic"
        return ClientSecret(self.client_id, self.client_secret, in_header=in_header)


def open_gateway(
    config: EhrConfig,
    *,
    transport: httpx.BaseTransport | None = None,
    token_store: TokenStore | None = None,
    clock: Clock | None = None,
    on_call: Callable[[], None] | None = None,
) -> SchedulingGateway:
    """A gateway to keep for the life of the process; all threads may use it at once.

    Open it after a fork, never before. ``transport`` and ``clock`` are for tests; ``token_store`` lets
    processes share one token. ``on_call`` is called, in the thread that calls, before each HTTP request that goes
    out, of whatever kind: tokens, pages and repeated tries are requests of their own. What it raises, the verb raises.
    """
    clock = clock or Clock()
    wire = Wire(
        connect_seconds=config.connect_seconds,
        read_seconds=config.read_seconds,
        write_seconds=config.write_seconds,
        pool_seconds=config.pool_seconds,
        max_connections=config.max_connections,
        max_body_bytes=config.max_body_bytes,
        clock=clock,
        ca_file=config.ca_file,
        transport=transport,
        on_call=on_call,
    )
    authentication = config.authentication()

    def tokens(*, scope: str, store: TokenStore | None = None, **more: str) -> TokenSource:
        return TokenSource(
            wire,
            token_url=config.token_url,
            authentication=authentication,
            scope=scope,
            clock=clock,
            store=store,
            more=more,
        )

    patient_tokens = (
        PatientTokens(lambda patient: tokens(scope=config.patient_scope, patient=patient))
        if config.patient_scope
        else None
    )
    client = EhrClient(
        wire,
        tokens(scope=config.scope, store=token_store),
        base_url=config.base_url,
        total_seconds=config.total_seconds,
        max_pages=config.max_pages,
        max_entries=config.max_entries,
        clock=clock,
        patient_tokens=patient_tokens,
        media_type="application/json" if config.dialect == "canvas" else "application/fhir+json",
    )
    if config.dialect == "medplum":
        return MedplumGateway(client, directory_seconds=config.directory_seconds)
    if config.dialect == "r4":
        return R4Gateway(client, directory_seconds=config.directory_seconds)
    return CanvasGateway(
        client,
        directory_seconds=config.directory_seconds,
        prevents_double_booking=config.prevents_double_booking,
        structured_reasons=config.structured_reasons,
    )


def _check_url(name: str, value: str, allow_plain_http: bool) -> None:
    try:
        url = httpx.URL(value)
        url.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        raise ValueError(f"{name}: is not a URL") from None
    if url.scheme not in ("https", "http") or not url.host:
        raise ValueError(f"{name}: must be a whole address such as https://fumage-example.canvasmedical.com")
    if url.userinfo or "@" in url.netloc.decode():
        raise ValueError(f"{name}: must not hold a user name or password; set client_id and client_secret")
    if url.port is not None and not 0 < url.port < 65536:
        raise ValueError(f"{name}: has a port that does not exist")
    if url.query or url.fragment or value != value.strip():
        raise ValueError(f"{name}: must end with its path, without '?', '#' or spaces")
    if url.scheme == "http" and not allow_plain_http and not _is_loopback(url.host):
        raise ValueError(f"{name}: must be https, or the token and patients' data travel in the open")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
