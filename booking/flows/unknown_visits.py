"""Visits that the EHR has under bookings which our database does not know: what was booked after a backup was made.

Only reads, and only tells: nobody can be written to whose contact is lost, and what the visit was for is staff's to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from booking import ehr
from booking.models import Booking, ClinicianRecord
from booking.scheduling.lifecycle import GONE


@dataclass(frozen=True, slots=True)
class UnknownVisit:
    """``ref`` is the Appointment's; ``booking_id`` the one that it carries and that we do not have."""

    ref: str
    status: str
    clinician: str
    starts_at: datetime
    booking_id: UUID


def unknown_visits(*, starts_from: datetime, starts_before: datetime) -> Iterator[UnknownVisit]:
    """Of every clinician, retired ones too, in order of name and start; one search for each. Raises ``EhrFailure``."""
    gateway = ehr.gateway()
    for clinician in ClinicianRecord.objects.order_by("family_name", "name", "pk"):
        records = gateway.search_appointments(
            starts_from=starts_from, starts_before=starts_before, practitioner_ref=clinician.ehr_ref
        )
        live = [record for record in records if record.booking_ids and record.status not in GONE]
        ours = {booking_id for record in live for booking_id in record.booking_ids}
        known = set(Booking.objects.filter(pk__in=ours).values_list("pk", flat=True))
        for record in live:
            if known.isdisjoint(record.booking_ids):
                yield UnknownVisit(
                    record.ref, record.status, clinician.full_name, record.starts_at, record.booking_ids[0]
                )
