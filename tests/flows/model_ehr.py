"""An EHR at the gateway's port, in memory and on a clock that only moves when told: Canvas' manners, without the wire.

Two visits may overlap, staff move a visit by making another and cancelling the first, and a write may go wrong in every
way that a gateway tells apart. ``test_model_ehr`` holds it against the sandbox.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import count
from uuid import UUID

from booking.scheduling.errors import EhrRejected, EhrUnavailable, NotFound, OutcomeUnknown
from booking.scheduling.gateway import Capabilities, Limits
from booking.scheduling.lifecycle import GONE
from booking.scheduling.terms import (
    AppointmentRecord,
    AppointmentRequest,
    Coding,
    HoldRequest,
    PatientDetails,
    Slot,
)

# What may become of a write: (is it done, what is answered).
LOST_BEFORE, LOST_AFTER, LATE, VERY_LATE = "lost before", "lost after", "late", "very late"
AWAY, REFUSED = "away", "refused"
FAULTS = (LOST_BEFORE, LOST_AFTER, LATE, AWAY, REFUSED)
# Within the rest that the portal allows, and beyond it.
LATE_SECONDS, VERY_LATE_SECONDS = 40, 200


@dataclass
class Visit:
    record: AppointmentRecord
    is_moved_by_staff: bool = False

    @property
    def is_live(self) -> bool:
        return self.record.status not in GONE


class ModelEhr:
    def __init__(
        self,
        clock: Callable[[], datetime],
        *,
        schedule_ref: str,
        practitioner_ref: str,
        starts: list[datetime],
    ) -> None:
        self._clock = clock
        self._schedule_ref, self._practitioner_ref = schedule_ref, practitioner_ref
        self.starts = starts
        self.visits: dict[str, Visit] = {}
        self.faults: deque[str] = deque()
        self.failing_reads = 0
        # Until then nothing is answered, and nothing done.
        self.away_until: datetime | None = None
        self.creates = 0
        self._patients: dict[UUID, str] = {}
        self._late: list[tuple[datetime, AppointmentRecord]] = []
        self._numbers = count(1)
        self.capabilities = Capabilities(
            appointment_identifier_search=True, patient_identifier_search=True, conditional_update=True
        )
        self.limits = Limits(days_per_slot_search=14)

    def can_move(self) -> bool:
        return True

    def close(self) -> None:
        pass

    # What staff and time do.

    def commit_what_is_late(self) -> None:
        for at, record in list(self._late):
            if at <= self._clock():
                self._late.remove((at, record))
                self.visits[record.ref] = Visit(record)

    def live(self) -> list[Visit]:
        self.commit_what_is_late()
        return [visit for visit in self.visits.values() if visit.is_live]

    def of(self, booking_id: UUID) -> list[Visit]:
        return [visit for visit in self.live() if booking_id in visit.record.booking_ids]

    def staff_cancels(self, ref: str) -> None:
        visit = self.visits[ref]
        visit.record = replace(visit.record, status="cancelled")

    def staff_books(self, starts_at: datetime, ends_at: datetime) -> str:
        record = AppointmentRecord(self._ref(), "booked", starts_at, ends_at, self._practitioner_ref)
        self.visits[record.ref] = Visit(record)
        return record.ref

    def staff_moves(self, ref: str, starts_at: datetime, ends_at: datetime) -> str:
        old = self.visits[ref]
        new = replace(
            old.record,
            ref=self._ref(),
            starts_at=starts_at,
            ends_at=ends_at,
            booking_ids=(),
            replaces_ref=ref,
        )
        self.visits[new.ref] = Visit(new, is_moved_by_staff=True)
        old.record = replace(old.record, status="cancelled", replaced_by_ref=new.ref)
        return new.ref

    def _ref(self) -> str:
        return f"Appointment/{next(self._numbers)}"

    # The port.

    def _reach(self) -> None:
        self.commit_what_is_late()
        if self.away_until is not None and self._clock() < self.away_until:
            raise EhrUnavailable("no connection")

    def _read(self) -> None:
        self._reach()
        if self.failing_reads:
            self.failing_reads -= 1
            raise EhrUnavailable("no answer")

    def free_slots(
        self,
        schedule_ref: str,
        *,
        first_on: date,
        last_on: date,
        minutes: int,
        appointment_type: Coding | None = None,
    ) -> list[Slot]:
        self._read()
        length = timedelta(minutes=minutes)
        taken = [(visit.record.starts_at, visit.record.ends_at) for visit in self.live()]
        return [
            Slot(schedule_ref, start, start + length)
            for start in self.starts
            if schedule_ref == self._schedule_ref
            and not any(begins < start + length and start < ends for begins, ends in taken)
        ]

    def find_patient(self, details: PatientDetails) -> str | None:
        self._read()
        return self._patients.get(details.identifier)

    def create_patient(self, details: PatientDetails) -> str:
        self._reach()
        return self._patients.setdefault(details.identifier, f"Patient/{len(self._patients) + 1}")

    def hold_time(self, request: HoldRequest) -> None:
        raise EhrRejected("the EHR keeps no holds")

    def release_time(self, request: HoldRequest) -> None:
        pass

    def create_appointment(self, request: AppointmentRequest) -> str:
        self._reach()
        self.creates += 1
        record = AppointmentRecord(
            self._ref(),
            "booked",
            request.starts_at,
            request.ends_at,
            request.practitioner_ref,
            request.patient_ref,
            request.location_ref,
            (request.booking_id,),
        )
        fault = self.faults.popleft() if self.faults else ""
        if fault in (LATE, VERY_LATE):
            seconds = LATE_SECONDS if fault == LATE else VERY_LATE_SECONDS
            self._late.append((self._clock() + timedelta(seconds=seconds), record))
        elif fault in ("", LOST_AFTER):
            self.visits[record.ref] = Visit(record)
        _answer(fault)
        return record.ref

    def cancel_appointment(self, appointment_ref: str) -> None:
        self._reach()
        if appointment_ref not in self.visits:
            raise NotFound("no such appointment")
        fault = self.faults.popleft() if self.faults else ""
        if fault in ("", LOST_AFTER, LATE, VERY_LATE):
            self.staff_cancels(appointment_ref)
        _answer(fault)

    def find_appointments(
        self, booking_id: UUID, like: AppointmentRequest | None = None
    ) -> list[AppointmentRecord]:
        self._read()
        return [visit.record for visit in self.visits.values() if booking_id in visit.record.booking_ids]

    def read_appointment(self, appointment_ref: str) -> AppointmentRecord | None:
        self._read()
        visit = self.visits.get(appointment_ref)
        return visit.record if visit else None

    def current_appointment(self, appointment_ref: str) -> AppointmentRecord | None:
        record = self.read_appointment(appointment_ref)
        while record is not None and record.replaced_by_ref:
            record = self.read_appointment(record.replaced_by_ref)
        return record


def _answer(fault: str) -> None:
    if fault == AWAY:
        raise EhrUnavailable("takes no more requests now")
    if fault == REFUSED:
        raise EhrRejected("refused")
    if fault:
        raise OutcomeUnknown("no answer")
