"""Against hoarding: how many times one session, one proved contact and one network may keep from everybody else.

Counted in the database, so that all processes count alike with or without Redis. Each limit is a setting; 0 is none.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from booking.models import Booking
from booking.models.bookings import Visitor
from booking.scheduling.errors import Refusal, RefusalCode
from booking.scheduling.lifecycle import BookingState

HOUR = timedelta(hours=1)


def lock(what: str) -> None:
    """Let those who are counted together be counted one after another. SQLite has one write lock for all anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [what])


def check(visitor: Visitor, *, now: datetime) -> None:
    """Raises ``Refusal`` when this visitor may take no further hold now. Call it with their own holds given back."""
    taken = Booking.objects.filter(owner_key=visitor.owner_key, created_at__gt=now - HOUR)
    if 0 < settings.HOLDS_PER_SESSION_HOUR <= taken.count():
        raise Refusal(RefusalCode.HOLD_LIMIT)
    if visitor.network and settings.HOLDS_PER_NETWORK:
        lock(f"network:{visitor.network}")
        live = Booking.objects.claiming(now).filter(state=BookingState.HELD, network_key=visitor.network)
        if live.count() >= settings.HOLDS_PER_NETWORK:
            raise Refusal(RefusalCode.HOLD_LIMIT)


def keep_contact(hold: Booking, *, channel: str, value: str, verified_at: datetime, now: datetime) -> None:
    """Put the proved contact on a hold. Raises ``Refusal`` when that contact keeps as many times as it may already."""
    contact = {"contact_channel": channel, "contact_value": value, "contact_verified_at": verified_at}
    with transaction.atomic():
        if settings.HOLDS_PER_CONTACT:
            lock(f"contact:{channel}:{value.lower()}")
            live = Booking.objects.claiming(now).filter(
                state=BookingState.HELD, contact_channel=channel, contact_value__iexact=value
            )
            if live.exclude(pk=hold.pk).count() >= settings.HOLDS_PER_CONTACT:
                raise Refusal(RefusalCode.HOLD_LIMIT)
        Booking.objects.filter(pk=hold.pk, state__in=[BookingState.HELD, BookingState.EXPIRED]).update(
            **contact
        )
    for name, given in contact.items():
        setattr(hold, name, given)
