"""Who works on a booking now. A lease ends by itself, so that a worker that dies leaves its booking to the next."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models

from booking import ehr
from booking.models import Booking

from . import database_away

LEASE = timedelta(seconds=settings.WORKER_LEASE_SECONDS)


def take(booking: Booking, now: datetime, *, even_leased: bool = False) -> bool:
    """Lease a booking that is in the state it was read in; False when somebody else has it, or has moved it on."""
    mine = Booking.objects.filter(pk=booking.pk, state=booking.state)
    if not even_leased:
        mine = mine.look_up_due(now)
    return _set(booking, mine, now + LEASE)


def keep(booking: Booking, now: datetime) -> bool:
    """Before a write goes out: keep the lease until that has surely ended. False when it is another's by now."""
    mine = Booking.objects.filter(pk=booking.pk, state=booking.state, lease_until=booking.lease_until)
    return _set(booking, mine, now + max(LEASE, ehr.longest_write()))


def _set(booking: Booking, mine: models.QuerySet[Booking], until: datetime) -> bool:
    taken = bool(mine.update(lease_until=until))
    if taken:
        booking.lease_until = until
    return taken


def give_back(booking: Booking) -> None:
    """Unless it has run out and is another's by now."""
    mine = Booking.objects.filter(pk=booking.pk, lease_until=booking.lease_until)
    database_away.outlast(lambda: mine.update(lease_until=None), about=booking)
