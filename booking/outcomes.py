"""What becomes of each booking, counted and on one line of the log: its id and states, nothing of the patient."""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction
from django.db.models.signals import post_save

from booking import metrics
from booking.models import BookingEvent

log = logging.getLogger(__name__)


def _told(instance: BookingEvent, created: bool, **_: Any) -> None:
    if created:
        transaction.on_commit(lambda: _tell(instance), robust=True)


def _tell(event: BookingEvent) -> None:
    metrics.BOOKINGS.labels(event.new_state).inc()
    log.info(
        "booking %s is %s",
        event.booking_id,
        event.new_state,
        extra={
            "booking": str(event.booking_id),
            "state": event.new_state,
            "was": event.old_state,
            "actor": event.actor,
            "note": event.note,
        },
    )


def watch() -> None:
    post_save.connect(_told, sender=BookingEvent, dispatch_uid="booking.outcomes")
