"""Settings that are well formed and still do not fit together, said in words an operator can act on."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from booking import ehr
from booking.scheduling.lifecycle import PATIENCE


@register(Tags.compatibility)
def ehr_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    try:
        config = ehr.configured()
    except ValueError as error:
        return [
            Error(
                f"The EHR's settings do not fit: {error}", hint="See EHR_… in the README.", id="booking.E001"
            )
        ]
    found: list[CheckMessage] = []
    if config.total_seconds > settings.EHR_REST_SECONDS:
        found.append(
            Error(
                "EHR_REST_SECONDS is shorter than EHR_TOTAL_SECONDS.",
                hint="A create without an answer must rest longer than the EHR may take over it, or it is made twice.",
                id="booking.E002",
            )
        )
    return found


@register(Tags.security, deploy=True)
def deployment(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    if urlsplit(settings.EHR_BASE_URL).hostname in ("localhost", "127.0.0.1", "::1"):
        found.append(
            Warning(
                "EHR_BASE_URL is this machine itself: bookings would go to a sandbox.",
                hint="Set EHR_BASE_URL to the clinic's EHR.",
                id="booking.W001",
            )
        )
    # A create, its rest, a second look and as long a rest again.
    doubt_seconds = settings.EHR_TOTAL_SECONDS + 2 * settings.EHR_REST_SECONDS
    if doubt_seconds > PATIENCE.total_seconds():
        found.append(
            Warning(
                "EHR_REST_SECONDS is so long that a booking without an answer goes to staff before it is tried again.",
                hint="A booking is settled within 15 minutes. Set no more than the EHR's slowest commit takes.",
                id="booking.W005",
            )
        )
    if settings.IS_SQLITE:
        found.append(
            Warning(
                "The database is SQLite, which serves one machine only.",
                hint="Set DATABASE_URL to a PostgreSQL database.",
                id="booking.W002",
            )
        )
    if not settings.STAFF_SECOND_FACTOR:
        found.append(
            Warning(
                "Staff can sign in without a second factor.",
                hint="Leave STAFF_SECOND_FACTOR unset.",
                id="booking.W003",
            )
        )
    if settings.IS_BEHIND_PROXY and not settings.ALLAUTH_TRUSTED_PROXY_COUNT:
        found.append(
            Warning(
                "Behind a proxy, and TRUSTED_PROXIES is 0: all patients seem to come from the proxy.",
                hint="Have the proxy add to X-Forwarded-For and set TRUSTED_PROXIES to 1, or limits by network do not hold.",
                id="booking.W004",
            )
        )
    if settings.PORTAL_HOST.split(":")[0] not in settings.ALLOWED_HOSTS:
        found.append(
            Error(
                "PORTAL_URL names a host that ALLOWED_HOSTS does not hold.",
                hint="Add it, or links in messages lead to an error page.",
                id="booking.E003",
            )
        )
    return found
