"""The address in a message that shows its one visit: a random booking id and a signature, no data inside.

Reading it changes nothing, so scanners that follow every link in a mail do no harm.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.urls import reverse

from booking.models import Booking

_signer = Signer(salt="booking.visit-link", sep=".")
# The link ends with the day of the visit.
LIVES_AFTER_END = timedelta(hours=12)


def visit_link(booking: Booking) -> str:
    return settings.PORTAL_URL + reverse("visit_link", args=[_signer.sign(booking.pk.hex)])


def booking_behind(token: str, *, now: datetime) -> Booking | None:
    """The booking a link stands for, or None for any link that is wrong or over."""
    try:
        booking_id = UUID(hex=_signer.unsign(token))
    except (BadSignature, ValueError):
        return None
    return Booking.objects.filter(pk=booking_id, ends_at__gt=now - LIVES_AFTER_END).first()
