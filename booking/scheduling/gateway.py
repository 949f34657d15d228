"""The port to the EHR, owned by the domain: verbs in, terms out, errors from ``errors`` only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Protocol
from uuid import UUID

from .terms import AppointmentRecord, AppointmentRequest, Coding, Directory, PatientDetails, Slot


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the flows may count on; they never ask for a vendor's name."""

    holds: bool = False
    appointment_identifier_search: bool = False
    patient_identifier_search: bool = False
    prevents_double_booking: bool = False
    days_per_slot_search: int = 14


class SchedulingGateway(Protocol):
    """Every call may raise ``EhrUnavailable`` or ``EhrRejected``; the two creates also ``OutcomeUnknown``.

    A create is sent once and never again by the gateway, and not at all when what it is given cannot be used
    (no location, an end before the start): that is ``EhrRejected`` too. Reads may be tried again inside their time budget.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    def close(self) -> None:
        """Give back connections; the gateway is not used afterwards."""

    def directory(self) -> Directory:
        """Everyone who can be scheduled, everywhere they can be, as the EHR lists them now."""

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
        in order of start; at most ``capabilities.days_per_slot_search`` days."""

    def find_patient(self, details: PatientDetails) -> str | None:
        """The one patient who is this person beyond doubt: by our identifier, else by the same family name,
        given name, birth date and a verified e-mail or mobile on file. None when nobody, or more than one, fits."""

    def create_patient(self, details: PatientDetails) -> str:
        """Create and return the reference; raises ``OutcomeUnknown`` when no usable answer came."""

    def create_appointment(self, request: AppointmentRequest) -> str:
        """Create and return the reference; raises ``TimeTaken`` or ``OutcomeUnknown``."""

    def find_appointments(self, booking_id: UUID) -> list[AppointmentRecord]:
        """Every Appointment that carries our identifier, whatever its status."""
