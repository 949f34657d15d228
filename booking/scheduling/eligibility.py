"""Who may see this patient for this reason, and why the others may not. Pure; fails closed.

The EHR decides neither licensure nor specialty, so this runs before any slot search and again at booking.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from .clock import local_day
from .durations import VisitCase, minutes_for
from .terms import Clinician, License, LicenseKind, Modality, PatientKind, Schedule, VisitReason


class Withheld(StrEnum):
    """Why a clinician, or one of their times, is not offered."""

    REASON_NOT_BY_MODALITY = "reason_not_by_modality"
    OTHER_SPECIALTY = "other_specialty"
    DECLINES_REASON = "declines_reason"
    NOT_BY_MODALITY = "not_by_modality"
    NO_NEW_PATIENTS = "no_new_patients"
    NO_LICENSE = "no_license"
    LICENSE_NOT_FOR_MODALITY = "license_not_for_modality"
    NO_SCHEDULE = "no_schedule"
    LICENSE_ENDED = "license_ended"
    IN_PAST = "in_past"
    TOO_SOON = "too_soon"
    TOO_FAR = "too_far"
    CLAIMED = "claimed"
    DAY_FULL = "day_full"
    WRONG_LENGTH = "wrong_length"


@dataclass(frozen=True, slots=True)
class Visit:
    """What the patient asks for. ``zone`` is that of the place where they will be."""

    reason: VisitReason
    jurisdiction: str
    zone: str
    modality: Modality
    specialty: str | None = None
    patient_kind: PatientKind | None = None


@dataclass(frozen=True, slots=True)
class Eligible:
    """A clinician who may be offered, with the licenses and schedules it stands on and the visit's length.

    ``licenses`` are of the patient's jurisdiction and for the visit's modality, the jurisdiction's own first.
    """

    clinician: Clinician
    minutes: int
    licenses: tuple[License, ...]
    schedules: tuple[Schedule, ...]

    def license_over(self, starts_at: datetime, ends_at: datetime, zone_name: str) -> License | None:
        """The license a visit stands on, in force on every local day it touches, from its start to its end.

        Where one license follows another at midnight, each covers its own day and the later one is given.
        """
        first, last = local_day(starts_at, zone_name), local_day(ends_at, zone_name)
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        for license in self.licenses:
            if all(map(license.covers, days)):
                return license
        if all(any(license.covers(day) for license in self.licenses) for day in days):
            return next(license for license in self.licenses if license.covers(last))
        return None


@dataclass(frozen=True, slots=True)
class Eligibility:
    eligible: tuple[Eligible, ...]
    withheld: tuple[tuple[Clinician, Withheld], ...]


def _weigh(clinician: Clinician, visit: Visit) -> Eligible | Withheld:
    reason = visit.reason
    if visit.modality not in reason.appointment_types:
        return Withheld.REASON_NOT_BY_MODALITY
    wanted = {visit.specialty} if visit.specialty else reason.specialties
    if not wanted & reason.specialties & clinician.specialties:
        return Withheld.OTHER_SPECIALTY
    if reason.code in clinician.declined_reasons:
        return Withheld.DECLINES_REASON
    if visit.modality not in clinician.modalities:
        return Withheld.NOT_BY_MODALITY
    if visit.patient_kind is PatientKind.NEW and not clinician.accepts_new_patients:
        return Withheld.NO_NEW_PATIENTS
    here = [license for license in clinician.licenses if license.jurisdiction == visit.jurisdiction]
    if not here:
        return Withheld.NO_LICENSE
    licenses = tuple(
        sorted(
            (license for license in here if visit.modality in license.modalities),
            key=lambda license: license.kind is not LicenseKind.LICENSE,
        )
    )
    if not licenses:
        return Withheld.LICENSE_NOT_FOR_MODALITY
    schedules = clinician.schedules
    if visit.modality is Modality.IN_PERSON:
        schedules = tuple(s for s in schedules if s.location_jurisdiction == visit.jurisdiction)
    if not schedules:
        return Withheld.NO_SCHEDULE
    case = VisitCase(clinician.id, clinician.specialties & wanted, visit.modality, visit.patient_kind)
    return Eligible(clinician, minutes_for(reason, case), licenses, schedules)


def weigh(clinicians: Iterable[Clinician], visit: Visit) -> Eligibility:
    """Split clinicians into those who may be offered and those withheld, each with the reason.

    A license that begins or ends inside the horizon is decided per time, in ``availability``.
    """
    eligible: list[Eligible] = []
    withheld: list[tuple[Clinician, Withheld]] = []
    for clinician in clinicians:
        verdict = _weigh(clinician, visit)
        if isinstance(verdict, Eligible):
            eligible.append(verdict)
        else:
            withheld.append((clinician, verdict))
    return Eligibility(tuple(eligible), tuple(withheld))


def specialties_open(
    clinicians: Iterable[Clinician], visit: Visit, *, now: datetime, until: datetime
) -> dict[str, int]:
    """For each specialty that takes the reason, how many clinicians could see this patient between two instants.

    Counted over every modality the reason allows, so that no specialty is hidden by a filter chosen later.
    """
    people = tuple(clinicians)
    first, last = local_day(now, visit.zone), local_day(until, visit.zone)
    found: dict[str, set[int]] = {specialty: set() for specialty in sorted(visit.reason.specialties)}
    for modality in visit.reason.appointment_types:
        # Of whatever specialty: nothing else that withholds somebody depends on it.
        for entry in weigh(people, replace(visit, modality=modality, specialty=None)).eligible:
            if any(_overlaps(license, first, last) for license in entry.licenses):
                for specialty in entry.clinician.specialties & visit.reason.specialties:
                    found[specialty].add(entry.clinician.id)
    return {specialty: len(who) for specialty, who in found.items() if who}


def _overlaps(license: License, first: date, last: date) -> bool:
    starts, ends = license.starts_on, license.ends_on
    return (starts is None or starts <= last) and (ends is None or first <= ends)
