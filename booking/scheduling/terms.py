"""The field's nouns as frozen values: what every other package speaks in.

Times are aware and held in UTC; references are FHIR literal references such as ``Practitioner/123``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID


class Modality(StrEnum):
    VIDEO = "video"
    IN_PERSON = "in_person"
    PHONE = "phone"


class PatientKind(StrEnum):
    NEW = "new"
    ESTABLISHED = "established"


@dataclass(frozen=True, slots=True)
class Coding:
    system: str
    code: str
    display: str = ""


class LicenseKind(StrEnum):
    """``LICENSE`` is the jurisdiction's own. The others come by way of a compact and stand on a license elsewhere."""

    LICENSE = "license"
    PRIVILEGE = "privilege"
    AUTHORITY = "authority"


@dataclass(frozen=True, slots=True)
class License:
    """Leave to practice in one jurisdiction. An open end means no date was given for it.

    ``compact`` (its name) and ``home`` (the jurisdiction whose license it stands on) are empty for a
    jurisdiction's own license.
    """

    jurisdiction: str
    number: str = ""
    starts_on: date | None = None
    ends_on: date | None = None
    kind: LicenseKind = LicenseKind.LICENSE
    compact: str = ""
    home: str = ""
    modalities: frozenset[Modality] = frozenset(Modality)

    def covers(self, on: date) -> bool:
        """Whether it is in force on that local date; the last day counts as in force."""
        return (self.starts_on is None or self.starts_on <= on) and (
            self.ends_on is None or on <= self.ends_on
        )

    @property
    def basis(self) -> str:
        """For the record: "CA license A1234", or "PSYPACT authority 12345, home state TX"."""
        if self.kind is LicenseKind.LICENSE:
            return " ".join(filter(None, (self.jurisdiction, "license", self.number)))
        held = " ".join(filter(None, (self.compact, self.kind.value, self.number)))
        return f"{held}, home state {self.home}"


@dataclass(frozen=True, slots=True)
class CompactCredential:
    """What a clinician holds under a compact.

    ``jurisdiction`` is where a privilege was granted; empty for an authority that is good in every member.
    ``home`` is the jurisdiction whose license it was granted on.
    """

    compact: str
    home: str
    jurisdiction: str = ""
    number: str = ""
    starts_on: date | None = None
    ends_on: date | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """One clinician's calendar at one location, as the EHR names it."""

    id: int
    ref: str
    location_id: int
    location_ref: str
    location_name: str
    location_jurisdiction: str
    zone: str


@dataclass(frozen=True, slots=True)
class Clinician:
    """``profession`` is a code such as MD, NP or PSYCHOLOGIST; ``home`` the jurisdiction where the clinician lives.

    Both, when empty, are not known, and then no compact grants anything.
    """

    id: int
    ref: str
    name: str
    profession: str = ""
    home: str = ""
    licenses: tuple[License, ...] = ()
    credentials: tuple[CompactCredential, ...] = ()
    specialties: frozenset[str] = frozenset()
    modalities: frozenset[Modality] = frozenset(Modality)
    declined_reasons: frozenset[str] = frozenset()
    accepts_new_patients: bool = True
    schedules: tuple[Schedule, ...] = ()


@dataclass(frozen=True, slots=True)
class DurationRule:
    """How long a visit takes when every condition that is set holds; unset conditions hold always."""

    minutes: int
    clinician_id: int | None = None
    specialty: str | None = None
    modality: Modality | None = None
    patient_kind: PatientKind | None = None


@dataclass(frozen=True, slots=True)
class VisitReason:
    """Why the patient comes. Its code becomes ``Appointment.reasonCode``."""

    code: str
    coding: Coding
    label: str
    default_minutes: int
    appointment_types: dict[Modality, Coding] = field(default_factory=dict)
    specialties: frozenset[str] = frozenset()
    rules: tuple[DurationRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Slot:
    """Free time as the EHR reports it."""

    schedule_ref: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """Time of a clinician that a live hold or booking of ours takes; a hold, ``until`` it lapses."""

    clinician_id: int
    starts_at: datetime
    ends_at: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A slot shown to this patient for this reason, and the license it stands on."""

    clinician: Clinician
    schedule: Schedule
    starts_at: datetime
    ends_at: datetime
    license: License

    @property
    def minutes(self) -> int:
        return int((self.ends_at - self.starts_at).total_seconds() // 60)


@dataclass(frozen=True, slots=True)
class PatientDetails:
    """Who the visit is for. ``sex`` is a FHIR administrative-gender code; ``mobile`` is E.164."""

    identifier: UUID
    given: str
    family: str
    birth_date: date
    sex: str
    email: str = ""
    mobile: str = ""
    email_is_verified: bool = False
    mobile_is_verified: bool = False
    zone: str = ""


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """A time the EHR is to keep for a booking, or to give back."""

    booking_id: UUID
    schedule_ref: str
    practitioner_ref: str
    starts_at: datetime
    ends_at: datetime
    appointment_type: Coding

    @classmethod
    def of(cls, wanted: AppointmentRequest | AppointmentMove) -> HoldRequest:
        """The time that a visit, or a move of one, will take."""
        return cls(
            booking_id=wanted.booking_id,
            schedule_ref=wanted.schedule_ref,
            practitioner_ref=wanted.practitioner_ref,
            starts_at=wanted.starts_at,
            ends_at=wanted.ends_at,
            appointment_type=wanted.appointment_type,
        )


@dataclass(frozen=True, slots=True)
class HeldTime:
    """A time that the EHR keeps for a booking of ours, or for a visit of it."""

    booking_id: UUID
    schedule_ref: str
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class AppointmentRequest:
    """Everything the EHR needs to make one Appointment; ``booking_id`` is its identifier there."""

    booking_id: UUID
    practitioner_ref: str
    patient_ref: str
    location_ref: str
    starts_at: datetime
    ends_at: datetime
    reason: Coding
    reason_text: str
    appointment_type: Coding
    video_url: str = ""
    schedule_ref: str = ""


@dataclass(frozen=True, slots=True)
class AppointmentMove:
    """A new time, and with it perhaps another schedule of the same clinician's, for a visit that stands."""

    appointment_ref: str
    booking_id: UUID
    schedule_ref: str
    practitioner_ref: str
    location_ref: str
    starts_at: datetime
    ends_at: datetime
    appointment_type: Coding


@dataclass(frozen=True, slots=True)
class AppointmentRecord:
    """An Appointment as the EHR holds it. ``status`` is a FHIR appointmentstatus code.

    Where staff moved the visit by making another Appointment, ``replaces_ref`` and ``replaced_by_ref`` link the two.
    ``booking_ids`` are ours that it carries.
    """

    ref: str
    status: str
    starts_at: datetime
    ends_at: datetime
    practitioner_ref: str = ""
    patient_ref: str = ""
    location_ref: str = ""
    booking_ids: tuple[UUID, ...] = ()
    replaces_ref: str = ""
    replaced_by_ref: str = ""


@dataclass(frozen=True, slots=True)
class PractitionerListing:
    """A practitioner as the EHR lists them, before our own configuration is laid over."""

    ref: str
    name: str
    family: str
    given: str
    credentials: str = ""
    photo_url: str = ""
    languages: tuple[str, ...] = ()
    taxonomy_codes: tuple[str, ...] = ()
    role_codes: tuple[str, ...] = ()
    licenses: tuple[License, ...] = ()
    room_url: str = ""
    primary_location_ref: str = ""
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class LocationListing:
    ref: str
    name: str
    short_name: str = ""
    address_lines: tuple[str, ...] = ()
    city: str = ""
    jurisdiction: str = ""
    postal_code: str = ""
    zone: str = ""
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class ScheduleListing:
    """``location_ref`` is empty where the EHR's answer does not settle which location is meant."""

    ref: str
    practitioner_ref: str
    location_ref: str = ""
    location_key: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Directory:
    practitioners: tuple[PractitionerListing, ...]
    locations: tuple[LocationListing, ...]
    schedules: tuple[ScheduleListing, ...]
