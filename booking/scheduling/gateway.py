"""The port to the EHR, owned by the domain: verbs in, terms out, errors from ``errors`` only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from .terms import (
    AppointmentMove,
    AppointmentRecord,
    AppointmentRequest,
    Coding,
    Directory,
    HeldTime,
    HoldRequest,
    PatientDetails,
    Slot,
)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the flows may count on; they never ask for a vendor's name.

    ``holds``: the EHR itself can keep a time before there is a visit. ``prevents_double_booking``: it refuses
    a second visit at one time. ``conditional_update``: it refuses a change to what has changed since it was
    read. ``subscriptions``: it can tell us of changes.
    """

    holds: bool = False
    appointment_identifier_search: bool = False
    patient_identifier_search: bool = False
    prevents_double_booking: bool = False
    conditional_update: bool = False
    subscriptions: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is asked for at a time, known without asking the EHR.

    ``days_per_slot_search``: practice-local days that one call for free times may span.
    ``schedules_per_slot_search``: schedules that one search at the EHR answers for; a call for more makes as many
    searches as that takes. ``calls_per_write``: how many calls, each with its own time, a write may take.
    """

    days_per_slot_search: int = 14
    schedules_per_slot_search: int = 1
    calls_per_write: int = 1


@dataclass(frozen=True, slots=True)
class Examination:
    """What one look at the EHR's front door showed. ``clock_skew_seconds`` is the EHR's clock minus ours;
    ``findings`` are sentences for the clinic's engineer, each with what to do."""

    software: str
    fhir_version: str
    latency_seconds: float
    clock_skew_seconds: float | None
    findings: tuple[str, ...] = ()


class SchedulingGateway(Protocol):
    """Every call may raise ``EhrUnavailable`` or ``EhrRejected``; every write also ``OutcomeUnknown``.

    A create is sent once and never again by the gateway, and not at all when what it is given cannot be used
    (no location, an end before the start): that is ``EhrRejected`` too. Reads may be tried again inside their
    time budget. ``hold_time``, ``release_time``, ``cancel_appointment``, ``move_appointment`` and
    ``update_patient`` may be called again after any failure: what they leave is the same.
    """

    @property
    def capabilities(self) -> Capabilities:
        """May ask the EHR the first time. Where that fails, the answer is the cautious one."""

    @property
    def limits(self) -> Limits:
        """Never asks the EHR."""

    def can_move(self) -> bool:
        """Whether a visit can be given another time and stay the same Appointment. May ask the EHR, as
        ``capabilities`` may; nothing but a change of a visit, or a look at the EHR itself, need wait for that."""

    def close(self) -> None:
        """Give back connections; the gateway is not used afterwards."""

    def examine(self) -> Examination:
        """Sign in, read what the server says of itself, and compare clocks."""

    def directory(self) -> Directory:
        """Everyone who can be scheduled, everywhere they can be, as the EHR lists them now."""

    def photo(self, url: str) -> tuple[str, bytes]:
        """Media type and bytes of a clinician's photo (JPEG, PNG or WebP, at most 1 MiB), fetched without a token."""

    def free_slots(
        self,
        schedule_ref: str,
        *,
        first_on: date,
        last_on: date,
        minutes: int,
        appointment_type: Coding | None = None,
    ) -> list[Slot]:
        """Free times of exactly ``minutes`` on the practice-local days first_on to last_on, both included,
        in order of start; at most ``limits.days_per_slot_search`` days."""

    def free_slots_of(
        self,
        schedule_refs: Sequence[str],
        *,
        first_on: date,
        last_on: date,
        minutes: int,
        appointment_type: Coding | None = None,
    ) -> dict[str, list[Slot]]:
        """``free_slots`` of each schedule, all within the time of one verb; every reference asked for is a key.

        A schedule that the EHR does not know, or will not answer for, has none, unless that is so of all of them:
        then it is the error that one alone would be.
        """

    def find_patient(self, details: PatientDetails) -> str | None:
        """The one patient who is this person beyond doubt: by our identifier, else by the same family name,
        given name, birth date and a verified e-mail or mobile on file. None when nobody, or more than one, fits."""

    def create_patient(self, details: PatientDetails) -> str:
        """Create and return the reference; raises ``OutcomeUnknown`` when no usable answer came."""

    def update_patient(self, patient_ref: str, details: PatientDetails) -> None:
        """Add our identifier and the contacts and zone that are missing; nothing on file is dropped or replaced."""

    def hold_time(self, request: HoldRequest) -> None:
        """Where ``capabilities.holds``: have the EHR keep the time for this booking. Raises ``TimeTaken``."""

    def release_time(self, request: HoldRequest) -> None:
        """Give back a hold of this booking's that became no visit. Done as well when there is none."""

    def held_times(
        self, schedule_refs: Sequence[str], *, starts_from: datetime, starts_before: datetime
    ) -> list[HeldTime]:
        """What of these schedules is taken in our bookings' names, as far as the EHR can be asked; nothing where it
        keeps no holds. At most ``limits.schedules_per_slot_search`` schedules and ``days_per_slot_search`` days."""

    def create_appointment(self, request: AppointmentRequest) -> str:
        """Create and return the reference; raises ``TimeTaken`` or ``OutcomeUnknown``.

        Where the EHR keeps a hold of this booking's, that becomes the visit.
        """

    def find_appointments(
        self, booking_id: UUID, like: AppointmentRequest | None = None
    ) -> list[AppointmentRecord]:
        """Every Appointment that carries our identifier, whatever its status; a mere hold is none.

        Where the EHR cannot search by identifier, ``like`` tells whose visits at what time to look through.
        """

    def read_appointment(self, appointment_ref: str) -> AppointmentRecord | None:
        """The Appointment as it is now; None when the EHR no longer has it."""

    def current_appointment(self, appointment_ref: str) -> AppointmentRecord | None:
        """The Appointment, or the one that took its place when the clinic moved the visit by making another."""

    def search_appointments(
        self,
        *,
        starts_from: datetime,
        starts_before: datetime,
        practitioner_ref: str = "",
        patient_ref: str = "",
    ) -> list[AppointmentRecord]:
        """Visits of a clinician or a patient that start in a span of time, whatever their status, in order."""

    def cancel_appointment(self, appointment_ref: str) -> None:
        """Cancel it and free its time. Done as well when it is cancelled already."""

    def move_appointment(self, move: AppointmentMove) -> None:
        """Where ``can_move()``: give a visit its new time in place. Raises ``TimeTaken``; then, and after
        ``OutcomeUnknown`` once settled, it stands where it was or where it should be, never nowhere."""
