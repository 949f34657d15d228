"""Builds the configured EHR gateway: the only place that does. One gateway a process, shared by its threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings

from booking.fhir import EhrConfig, Notice, correlation_id, is_authentic, open_gateway, patience, read_notice
from booking.observed import watched
from booking.scheduling.gateway import SchedulingGateway

__all__ = [
    "Notice",
    "SlotSearch",
    "configured",
    "correlation_id",
    "count_calls_with",
    "gateway",
    "is_authentic",
    "longest_write",
    "read_notice",
    "slot_search",
    "within",
]

_gateways: dict[EhrConfig, SchedulingGateway] = {}
_lock = threading.Lock()
_counters: list[Callable[[], None]] = []


@dataclass(frozen=True, slots=True)
class SlotSearch:
    """How many practice-local days, and how many schedules, one search of free times may span."""

    days: int
    schedules: int


def configured() -> EhrConfig:
    return EhrConfig(
        dialect=settings.EHR_DIALECT,
        base_url=settings.EHR_BASE_URL,
        token_url=settings.EHR_TOKEN_URL,
        client_id=settings.EHR_CLIENT_ID,
        client_secret=settings.EHR_CLIENT_SECRET,
        scope=settings.EHR_SCOPE,
        auth_method=settings.EHR_AUTH_METHOD,
        private_key=settings.EHR_PRIVATE_KEY,
        key_id=settings.EHR_KEY_ID,
        patient_scope=settings.EHR_PATIENT_SCOPE,
        connect_seconds=settings.EHR_CONNECT_SECONDS,
        read_seconds=settings.EHR_READ_SECONDS,
        total_seconds=settings.EHR_TOTAL_SECONDS,
        max_connections=2 * settings.GRID_PARALLEL_READS + 4,
        ca_file=settings.EHR_CA_FILE,
        allow_plain_http=settings.EHR_ALLOW_PLAIN_HTTP,
        prevents_double_booking=settings.EHR_PREVENTS_DOUBLE_BOOKING,
        structured_reasons=settings.EHR_STRUCTURED_REASONS,
    )


def gateway() -> SchedulingGateway:
    """Raises ``ValueError`` with a sentence when the settings make no sense."""
    config = configured()
    with _lock:
        if config not in _gateways:
            _gateways[config] = open_gateway(config, on_call=_count_call)
        return watched(_gateways[config], config.dialect)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """For reads that somebody waits for: each verb inside takes that long at most, or is ``EhrUnavailable``."""
    before = patience.set(seconds)
    try:
        yield
    finally:
        patience.reset(before)


def longest_write() -> timedelta:
    """After so long a write that went out has surely ended, and what came of it can be seen."""
    calls = gateway().limits.calls_per_write
    return timedelta(seconds=calls * settings.EHR_TOTAL_SECONDS + settings.EHR_REST_SECONDS)


def slot_search() -> SlotSearch:
    """Asks nothing of the EHR."""
    found = gateway().limits
    return SlotSearch(found.days_per_slot_search, found.schedules_per_slot_search)


def count_calls_with(counter: Callable[[], None]) -> None:
    """Have a counter called before every request that goes out to the EHR, of any kind."""
    if counter not in _counters:
        _counters.append(counter)


def _count_call() -> None:
    for counter in _counters:
        counter()
