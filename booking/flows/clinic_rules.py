"""The clinic's rules as one process keeps them: who may see whom, for which reasons, within which limits.

Read from the database once and kept until the database notes a change (see ``models.standing``). Whoever asks for them
reads first whether it did, so that they are never older than the question: taking a time goes by them as pages do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from booking.models import (
    Booking,
    ClinicianRecord,
    CompactRecord,
    ScheduleRecord,
    SchedulingPolicy,
    Specialty,
    VisitReasonRecord,
)
from booking.models.bookings import BookingQuerySet
from booking.models.standing import Standing, standing
from booking.scheduling.availability import Policy
from booking.scheduling.eligibility import Visit
from booking.scheduling.index import ClinicianIndex
from booking.scheduling.terms import Modality, VisitReason


@dataclass(frozen=True, slots=True)
class ClinicianCard:
    """What a page says of a clinician beside their times."""

    name: str
    initials: str
    languages: str
    photo_url: str


@dataclass(frozen=True)
class ClinicRules:
    """``reasons`` are the offered ones by code, ``terms`` those of every reason, ``reason_records`` all by their key;
    records here are shared and only ever read."""

    version: tuple[int, int]
    policy: Policy
    policy_record: SchedulingPolicy
    index: ClinicianIndex
    cards: dict[int, ClinicianCard]
    reasons: dict[str, VisitReasonRecord]
    terms: dict[str, VisitReason]
    specialties: dict[str, Specialty]
    reason_records: dict[int, VisitReasonRecord]
    _schedules: dict[int, ScheduleRecord] = field(default_factory=dict)

    def schedule_record(self, key: int) -> ScheduleRecord:
        """With its clinician and place; read when first asked for."""
        if key not in self._schedules:
            self._schedules[key] = ScheduleRecord.objects.select_related("clinician", "location").get(pk=key)
        return self._schedules[key]

    def open_specialties(self, visit: Visit, now: datetime) -> dict[str, int]:
        """Specialties with somebody licensed who takes the reason, and how many there are."""
        until = now + timedelta(days=self.policy.horizon_days)
        return self.index.specialties_open(visit, now=now, until=until)

    def modalities_open(self, visit: Visit) -> list[Modality]:
        return self.index.modalities_open(visit)

    def asks_patient_kind(self, visit: Visit) -> bool:
        return self.index.asks_patient_kind(visit)


_lock = Lock()
_kept: ClinicRules | None = None


def current() -> ClinicRules:
    return at(standing())


def at(stands: Standing) -> ClinicRules:
    """The rules as of a standing; what was read under an earlier one is read anew."""
    global _kept
    kept = _kept
    if kept is not None and kept.version == stands.rules:
        return kept
    with _lock:
        if _kept is None or _kept.version != stands.rules:
            _kept = _read(stands.rules)
        return _kept


def reason_of(booking: Booking) -> VisitReason:
    """With its rules as they are now, whether or not it is still offered."""
    return current().terms[booking.reason.code]


def whole(found: BookingQuerySet) -> Booking:
    """The one booking found, with its patient, and with reason, clinician and place as the desk has them now.

    Raises ``Booking.DoesNotExist``.
    """
    booking = found.select_related("patient").get()
    rules = current()
    booking.reason = rules.reason_records[booking.reason_id]
    booking.schedule = rules.schedule_record(booking.schedule_id)
    if booking.schedule.clinician_id == booking.clinician_id:
        booking.clinician = booking.schedule.clinician
    return booking


def _read(version: tuple[int, int]) -> ClinicRules:
    records = list(
        ClinicianRecord.objects.bookable()
        .with_directory()
        .select_related("photo")
        .defer("photo__data", "photo__source_url")
    )
    compacts = CompactRecord.objects.prefetch_related("members")
    every_reason = {record.code: record for record in VisitReasonRecord.objects.with_rules()}
    offered = VisitReasonRecord.objects.offered().values_list("code", flat=True)
    policy = SchedulingPolicy.objects.filter(pk=1).first() or SchedulingPolicy()
    return ClinicRules(
        version=version,
        policy=policy.to_term(),
        policy_record=policy,
        index=ClinicianIndex(
            (record.to_own_term() for record in records),
            {compact.code: compact.term for compact in compacts},
        ),
        cards={record.pk: _card(record) for record in records},
        reasons={code: every_reason[code] for code in offered if code in every_reason},
        terms={code: record.to_term() for code, record in every_reason.items()},
        specialties={specialty.code: specialty for specialty in Specialty.objects.all()},
        reason_records={record.pk: record for record in every_reason.values()},
    )


def _card(record: ClinicianRecord) -> ClinicianCard:
    words = ((record.name.split() or [""])[0], record.family_name or record.name)
    return ClinicianCard(
        name=record.full_name,
        initials="".join(word[0] for word in words if word),
        languages=record.languages,
        photo_url=record.photo.get_absolute_url() if hasattr(record, "photo") else "",
    )
