"""The one door to an EHR's FHIR API: tokens, tries, pages and origins. Raises only ``scheduling.errors``."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import httpx

from booking.scheduling.errors import EhrRejected, EhrUnavailable

from . import outcomes, resources
from .auth import TokenSource
from .wire import Answer, Clock, Deadline, NoAnswer, Request, Wire

logger = logging.getLogger("booking.fhir")

_TRIES = 3
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0


class EhrClient:
    """Thread-safe. Reads are tried up to three times inside their deadline; a create is sent once."""

    def __init__(
        self,
        wire: Wire,
        tokens: TokenSource,
        *,
        base_url: str,
        total_seconds: float,
        max_pages: int,
        clock: Clock,
    ) -> None:
        self._wire = wire
        self._tokens = tokens
        self._base = httpx.URL(base_url.rstrip("/"))
        self._total_seconds = total_seconds
        self._max_pages = max_pages
        self._clock = clock

    def close(self) -> None:
        self._wire.close()

    def deadline(self, seconds: float | None = None) -> Deadline:
        return Deadline(self._total_seconds if seconds is None else seconds, self._clock)

    def today(self) -> date:
        return datetime.fromtimestamp(self._clock.wall(), UTC).date()

    def search(
        self, resource_type: str, params: Mapping[str, str], deadline: Deadline
    ) -> list[dict[str, Any]]:
        """Every resource of the type on every page; a search that cannot be read to its end is an error."""
        url: httpx.URL | None = self._address(resource_type).copy_merge_params(params)
        seen: set[httpx.URL] = set()
        found: list[dict[str, Any]] = []
        while url is not None:
            if len(seen) == self._max_pages:
                raise EhrRejected(f"GET {resource_type}: more than {self._max_pages} pages")
            seen.add(url)
            page = self._read(url, resource_type, deadline)
            listed, unreadable = resources.entries(page, resource_type)
            if unreadable:
                logger.warning("GET %s: %d entries left out as unreadable", resource_type, unreadable)
                if not listed:
                    raise EhrRejected(f"GET {resource_type}: none of the entries could be read")
            found += listed
            url = self._next(page, url, resource_type)
            if url in seen:
                raise EhrRejected(f"GET {resource_type}: the pages go round in a circle")
        return found

    def create(self, resource_type: str, resource: Mapping[str, Any], deadline: Deadline) -> str:
        """Make the resource and return its reference."""
        content = json.dumps(resource, allow_nan=False).encode()
        answer = self._authorized("POST", self._address(resource_type), resource_type, deadline, content)
        return outcomes.created_reference(answer, resource_type)

    def _address(self, resource_type: str) -> httpx.URL:
        return self._base.copy_with(path=f"{self._base.path.rstrip('/')}/{resource_type}")

    def _read(self, url: httpx.URL, resource_type: str, deadline: Deadline) -> dict[str, Any]:
        for attempt in range(1, _TRIES + 1):
            try:
                return outcomes.read_object(self._authorized("GET", url, resource_type, deadline))
            except EhrUnavailable as failure:
                # A firewall that blocks us (403) is only made surer by a quick second try.
                pause = self._pause(attempt, failure.retry_after_seconds)
                if attempt == _TRIES or failure.status == 403 or pause >= deadline.left():
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
        resource_type: str,
        deadline: Deadline,
        content: bytes | None = None,
    ) -> Answer | NoAnswer:
        """Send with the current token, and once more with a new one when the EHR answers 401.

        That holds for a create too: 401 is given before a request is looked at, so nothing was performed and
        the second sending is the first that counts.
        """
        token = self._tokens.token(deadline)
        answer = self._once(method, url, resource_type, deadline, content, token)
        if outcomes.wants_new_token(answer):
            token = self._tokens.token(deadline, refused=token)
            answer = self._once(method, url, resource_type, deadline, content, token)
        return answer

    def _once(
        self,
        method: str,
        url: httpx.URL,
        resource_type: str,
        deadline: Deadline,
        content: bytes | None,
        token: str,
    ) -> Answer | NoAnswer:
        # The only line of the package that shows the token to anyone, so the origin is checked here too.
        if _origin(url) != _origin(self._base) or url.userinfo:
            raise EhrRejected(f"{method} {resource_type}: refused to send our token to another origin")
        headers = {"Authorization": f"Bearer {token}"}
        if content is None:
            return self._wire.exchange(Request(method, url, resource_type, headers), deadline)
        # A create cut off by our own deadline leaves its outcome unknown, so with the better part of the
        # time gone on tokens it is kinder not to begin.
        if deadline.left() < deadline.seconds / 2:
            raise EhrUnavailable(f"{method} {resource_type}: not sent, too little time was left")
        headers["Content-Type"] = "application/json"
        request = Request(method, url, resource_type, headers, content)
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
