"""Medplum's load limit: each client has points for a minute, and every interaction costs some.

A read costs 1, a search 20, a write 100 (Medplum documentation, Rate Limits); the header counts down both kinds.
"""

import threading

from .clinic import Clinic
from .interactions import Call
from .outcomes import Refused

REQUESTS_PER_MINUTE = 60_000
WINDOW_SECONDS = 60
READ, SEARCH, WRITE = 1, 20, 100


class Quotas:
    def __init__(self, clinic: Clinic) -> None:
        self._clinic = clinic
        self._lock = threading.Lock()
        self._began = 0.0
        self._points = 0
        self._requests = 0

    def request(self) -> None:
        with self._lock:
            self._roll()
            self._requests += 1

    def spend(self, points: int) -> None:
        """Takes the points or refuses; what is refused costs nothing."""
        limit = self._limit()
        with self._lock:
            self._roll()
            if limit and self._points + points > limit:
                raise Refused(429, "throttled", "Too Many Requests")
            self._points += points

    def header(self) -> str:
        with self._lock:
            self._roll()
            seconds = max(0, round(self._began + WINDOW_SECONDS - self._now()))
            requests = max(0, REQUESTS_PER_MINUTE - self._requests)
            points = max(0, self._limit() - self._points)
        return f'"requests";r={requests};t={seconds}, "fhirInteractions";r={points};t={seconds}'

    def reset(self) -> None:
        with self._lock:
            self._began = 0.0

    def _limit(self) -> int:
        return self._clinic.medplum.points_per_minute if self._clinic.medplum else 0

    def _now(self) -> float:
        return self._clinic.now().timestamp()

    def _roll(self) -> None:
        now = self._now()
        if now - self._began >= WINDOW_SECONDS or now < self._began:
            self._began, self._points, self._requests = now, 0, 0


def price(call: Call) -> int:
    """What an interaction costs; an operation, about what it reads and writes (inferred from the prices of both)."""
    if "$find" in call.parts:
        return READ + SEARCH
    if any(part.startswith("$") for part in call.parts):
        return SEARCH + 2 * WRITE
    if call.method == "GET":
        return READ if len(call.parts) > 1 else SEARCH
    return SEARCH if call.parts[-1] == "_search" else WRITE
