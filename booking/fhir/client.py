"""The one door to an EHR's FHIR API: tokens, tries, pages and origins. Raises only ``scheduling.errors``."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import httpx

from booking.scheduling.errors import EhrRejected, EhrUnavailable

from . import outcomes, resources
from .auth import PatientTokens, TokenSource
from .restraint import RepeatBudget
from .wire import Answer, Clock, Deadline, NoAnswer, Request, Wire

logger = logging.getLogger("booking.fhir")

# How long (seconds) whoever asks can wait for one verb, besides what the configuration says. Set it for reads only.
patience: ContextVar[float] = ContextVar("booking.fhir.patience", default=float("inf"))

_TRIES = 3
_PROBE_SECONDS = 1.5
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0


Params = Mapping[str, str] | Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Version:
    """A resource as it was read. ``etag`` and ``date`` are headers as they came, empty where there was none."""

    resource: dict[str, Any]
    etag: str = ""
    date: str = ""


class EhrClient:
    """Thread-safe. Reads are tried up to three times inside their deadline, and all reads together no more than a
    tenth oftener than once; a write is sent once.

    ``patient_ref`` says whose records a call is about. Where the EHR gives out tokens that open one patient's
    records only, such a call is made with that patient's.
    """

    def __init__(
        self,
        wire: Wire,
        tokens: TokenSource,
        *,
        base_url: str,
        total_seconds: float,
        max_pages: int,
        max_entries: int,
        clock: Clock,
        patient_tokens: PatientTokens | None = None,
        media_type: str = "application/json",
    ) -> None:
        self._wire = wire
        self._tokens = tokens
        self._patient_tokens = patient_tokens
        self._base = httpx.URL(base_url.rstrip("/"))
        self._total_seconds = total_seconds
        self._max_pages = max_pages
        self._max_entries = max_entries
        self._clock = clock
        self._media_type = media_type
        self._repeats = RepeatBudget()

    def close(self) -> None:
        self._wire.close()

    def deadline(self, seconds: float | None = None) -> Deadline:
        """For one verb; ``patience`` makes it shorter."""
        given = self._total_seconds if seconds is None else seconds
        return Deadline(min(given, patience.get()), self._clock)

    def probe_deadline(self) -> Deadline:
        """For asking the server about itself on somebody else's behalf, who must not wait long for that."""
        return self.deadline(min(_PROBE_SECONDS, self._total_seconds))

    def is_own(self, url: httpx.URL) -> bool:
        """Whether an address is at the EHR's own origin, and carries no user name that says otherwise."""
        return _origin(url) == _origin(self._base) and not url.userinfo

    @property
    def clock(self) -> Clock:
        return self._clock

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall(), UTC)

    def today(self) -> date:
        return self.now().date()

    def pause(self, attempt: int, deadline: Deadline) -> bool:
        """Rest a little longer after each attempt, counted from 1, and never as long as anyone else; False, at
        once, when the deadline would not outlast it."""
        seconds = self._pause(attempt, None)
        if seconds >= deadline.left():
            return False
        self._clock.sleep(seconds)
        return True

    def search(
        self, resource_type: str, params: Params, deadline: Deadline, *, patient_ref: str = ""
    ) -> list[dict[str, Any]]:
        """Every resource of the type on every page; a search that cannot be read to its end is an error."""
        return [
            resource
            for resource in self.search_including(resource_type, params, deadline, patient_ref=patient_ref)
            if resource["resourceType"] == resource_type
        ]

    def search_including(
        self, resource_type: str, params: Params, deadline: Deadline, *, patient_ref: str = ""
    ) -> list[dict[str, Any]]:
        """As ``search``, with the resources of other types that ``_include`` brought along."""
        pairs = params.items() if isinstance(params, Mapping) else params
        query = httpx.QueryParams([(name, value) for name, value in pairs])
        url: httpx.URL | None = self._address(resource_type).copy_with(query=str(query).encode() or None)
        seen: set[httpx.URL] = set()
        found: list[dict[str, Any]] = []
        while url is not None:
            if len(seen) == self._max_pages:
                raise outcomes.TooLarge(f"GET {resource_type}: more than {self._max_pages} pages")
            seen.add(url)
            page = self._page(url, resource_type, deadline, patient_ref, is_first=len(seen) == 1)
            listed, unreadable = resources.entries(page, resource_type)
            if unreadable:
                logger.warning("GET %s: %d entries left out as unreadable", resource_type, unreadable)
                if not listed:
                    raise EhrRejected(f"GET {resource_type}: none of the entries could be read")
            found += listed
            if len(found) > self._max_entries:
                raise outcomes.TooLarge(f"GET {resource_type}: more than {self._max_entries} entries")
            url = self._next(page, url, resource_type)
            if url in seen:
                raise EhrRejected(f"GET {resource_type}: the pages go round in a circle")
        return found

    def _page(
        self, url: httpx.URL, resource_type: str, deadline: Deadline, patient_ref: str, *, is_first: bool
    ) -> dict[str, Any]:
        try:
            return self._reading(url, resource_type, deadline, patient_ref).resource
        except EhrRejected as refusal:
            # Medplum gives no page past the first 10,000 entries, and refuses to with 400.
            if is_first or refusal.status not in (400, 422):
                raise
            raise outcomes.TooLarge(str(refusal), status=refusal.status) from None

    def read(self, ref: str, deadline: Deadline, *, patient_ref: str = "") -> Version:
        """The resource ``Type/id`` with its version. Raises ``NotFound`` when the EHR has none, or has it no more."""
        resource_type = ref.partition("/")[0]
        found = self._reading(self._address(ref), resource_type, deadline, patient_ref)
        if resources.own_reference(found.resource) != ref:
            raise EhrRejected(f"GET {resource_type}: the answer is another resource")
        return found

    def fetch(self, path: str, deadline: Deadline, params: Params = ()) -> Version:
        """The object at a path below the base that is no search and no resource: ``metadata``, ``Appointment/$find``."""
        pairs = params.items() if isinstance(params, Mapping) else params
        query = str(httpx.QueryParams(list(pairs))).encode()
        url = self._address(path).copy_with(query=query or None)
        return self._reading(url, path.replace("/", " "), deadline, "")

    def create(
        self,
        resource_type: str,
        resource: Mapping[str, Any],
        deadline: Deadline,
        *,
        headers: Mapping[str, str] | None = None,
        patient_ref: str = "",
    ) -> str:
        """Make the resource and return its reference."""
        answer = self.write(
            "POST", resource_type, resource, deadline, headers=headers, patient_ref=patient_ref
        )
        return outcomes.created_reference(answer, resource_type)

    def update(
        self,
        ref: str,
        resource: Mapping[str, Any],
        deadline: Deadline,
        *,
        headers: Mapping[str, str] | None = None,
        patient_ref: str = "",
    ) -> None:
        """Replace the resource. Raises ``Changed`` where a condition in the headers, such as If-Match, does not hold,
        and ``OutcomeUnknown`` when it may or may not have been replaced."""
        answer = self.write("PUT", ref, resource, deadline, headers=headers, patient_ref=patient_ref)
        outcomes.updated(answer)

    def write(
        self,
        method: str,
        path: str,
        body: Any,
        deadline: Deadline,
        *,
        headers: Mapping[str, str] | None = None,
        patient_ref: str = "",
    ) -> Answer | NoAnswer:
        """Send one write, once, to a path below the base; what the answer means is the caller's to read.

        ``body`` None sends none.
        """
        content = b"" if body is None else json.dumps(body, allow_nan=False).encode()
        # An id is no patient's name, but a log line needs the kind of resource and the operation alone.
        first, *rest = path.split("/")
        kind = " ".join([first or "Bundle", *(part for part in rest if part.startswith("$"))])
        return self._authorized(method, self._address(path), kind, deadline, patient_ref, content, headers)

    def download(self, url: httpx.URL, deadline: Deadline) -> Answer | NoAnswer:
        """A public file, fetched without our token."""
        return self._wire.exchange(Request("GET", url, "file", {"Accept": "image/*"}), deadline)

    def _address(self, path: str) -> httpx.URL:
        return self._base.copy_with(path=f"{self._base.path.rstrip('/')}/{path}")

    def _reading(self, url: httpx.URL, kind: str, deadline: Deadline, patient_ref: str) -> Version:
        """The object a read brings, after as many tries as can help."""
        self._repeats.earn()
        for attempt in range(1, _TRIES + 1):
            try:
                answer = self._authorized("GET", url, kind, deadline, patient_ref)
                resource = outcomes.read_object(answer)
                assert isinstance(answer, Answer)
                return Version(resource, answer.headers.get("etag", ""), answer.headers.get("date", ""))
            except EhrUnavailable as failure:
                # A firewall that blocks us (403) is only made surer by a quick second try, and of a new token (401) this
                # was the second.
                pause = self._pause(attempt, failure.retry_after_seconds)
                if attempt == _TRIES or failure.status in (401, 403) or pause >= deadline.left():
                    raise
                if self._wire.is_braked(url) or not self._repeats.spend():
                    raise
            self._clock.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _pause(self, attempt: int, asked_seconds: float | None) -> float:
        if asked_seconds is not None:
            return asked_seconds
        ceiling = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0**attempt / 2)
        return ceiling * (0.5 + self._clock.jitter() / 2)

    def _authorized(
        self,
        method: str,
        url: httpx.URL,
        kind: str,
        deadline: Deadline,
        patient_ref: str,
        content: bytes | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Answer | NoAnswer:
        """Send with the current token, and once more with a new one when the EHR answers 401.

        That holds for a write too: 401 is given before a request is looked at, so nothing was performed and
        the second sending is the first that counts.
        """
        tokens = self._tokens
        if patient_ref and self._patient_tokens is not None:
            tokens = self._patient_tokens.of(patient_ref)
        token = tokens.token(deadline)
        answer = self._once(method, url, kind, deadline, content, token, more)
        if outcomes.wants_new_token(answer):
            token = tokens.token(deadline, refused=token)
            answer = self._once(method, url, kind, deadline, content, token, more)
        return answer

    def _once(
        self,
        method: str,
        url: httpx.URL,
        kind: str,
        deadline: Deadline,
        content: bytes | None,
        token: str,
        more: Mapping[str, str] | None,
    ) -> Answer | NoAnswer:
        # The only line of the package that shows the token to anyone, so the origin is checked here too.
        if not self.is_own(url):
            raise EhrRejected(f"{method} {kind}: refused to send our token to another origin")
        headers = {"Accept": self._media_type, **(more or {}), "Authorization": f"Bearer {token}"}
        if content is None:
            return self._wire.exchange(Request(method, url, kind, headers), deadline)
        # A write cut off by our own deadline leaves its outcome unknown, so with the better part of the
        # time gone on tokens it is kinder not to begin.
        if deadline.left() < deadline.seconds / 2:
            raise EhrUnavailable(f"{method} {kind}: not sent, too little time was left")
        headers.setdefault("Content-Type", self._media_type)
        request = Request(method, url, kind, headers, content)
        return self._wire.exchange(request, deadline, is_write=True)

    def _next(self, page: Mapping[str, Any], current: httpx.URL, resource_type: str) -> httpx.URL | None:
        """The address of the next page; whether it lies at our own EHR is ``_once``'s to say.

        Canvas' links are paths such as ``/Appointment?_count=10&_offset=10`` and mean its FHIR base.
        """
        link = resources.next_link(page)
        if not link:
            return None
        try:
            relative = httpx.URL(link)
            if bool(relative.scheme) != bool(relative.host):
                raise ValueError("half of an origin")
            base_path = self._base.path.rstrip("/")
            is_path = not relative.host and relative.path.startswith("/")
            if is_path and not relative.path.startswith(f"{base_path}/"):
                relative = relative.copy_with(path=base_path + relative.path)
            return current.join(relative)
        except (httpx.InvalidURL, ValueError):
            raise EhrRejected(f"GET {resource_type}: the next link is not a URL") from None


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)
