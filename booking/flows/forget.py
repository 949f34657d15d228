"""Forgetting what we need no longer: sessions that ended, bookings that never became a visit, notes of old changes."""

from __future__ import annotations

from datetime import datetime

from django.contrib.sessions.models import Session
from django.db import transaction

from booking.models import Booking, PatientRecord
from booking.models.standing import forget_changes
from booking.scheduling.lifecycle import BookingState

UNFINISHED = (BookingState.EXPIRED, BookingState.RELEASED)


def forget(*, before: datetime) -> int:
    """Delete unfinished bookings made before an instant, and the people only they speak of. Returns how many rows of patients'."""
    with transaction.atomic():
        # One whose time the EHR may still keep is needed to give that back.
        unfinished = Booking.objects.filter(
            state__in=UNFINISHED, created_at__lt=before, ehr_hold_settled_at=None
        )
        count, _ = unfinished.delete()
        Booking.objects.filter(created_at__lt=before).exclude(network_key="").update(network_key="")
        people, _ = PatientRecord.objects.filter(bookings=None, user=None, created_at__lt=before).delete()
    sessions, _ = Session.objects.filter(expire_date__lt=before).delete()
    forget_changes(before)
    return count + people + sessions
