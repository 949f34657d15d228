"""The EHRs that the contract suite runs against, each with what the suite may assume of it.

``LIVE_EHR_BASE_URL``, ``LIVE_EHR_TOKEN_URL``, ``LIVE_EHR_CLIENT_ID``, ``LIVE_EHR_CLIENT_SECRET`` and
``LIVE_EHR_DIALECT`` in the environment add a real server; it needs a clinician with free time. ``LIVE_EHR_TYPE``
(``system|code``), ``LIVE_EHR_REASON`` (``system|code``) and ``LIVE_EHR_MINUTES`` name an appointment type, a reason
and a length that it knows. What the suite makes there it cancels, and its patients it marks as not active.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from booking.fhir import EhrConfig, open_gateway
from booking.scheduling.errors import EhrFailure
from booking.scheduling.gateway import SchedulingGateway
from booking.scheduling.terms import (
    AppointmentMove,
    AppointmentRequest,
    Coding,
    Directory,
    HoldRequest,
    PatientDetails,
    ScheduleListing,
    Slot,
)
from tests.rig.sandbox import SandboxControl

SNOMED = "http://snomed.info/sct"
TELEHEALTH = Coding(SNOMED, "448337001", "Telehealth")
BACK_PAIN = Coding("INTERNAL", "BACK", "Back pain")
LIVE = (
    "LIVE_EHR_BASE_URL",
    "LIVE_EHR_TOKEN_URL",
    "LIVE_EHR_CLIENT_ID",
    "LIVE_EHR_CLIENT_SECRET",
    "LIVE_EHR_DIALECT",
)


@dataclass(frozen=True)
class Ehr:
    """``takes`` says which of the EHR's schedules belong to this row of the suite."""

    name: str
    manners: str
    switches: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    takes: Callable[[ScheduleListing], bool] = lambda schedule: True

    def __str__(self) -> str:
        return self.name


def has_slots(schedule: ScheduleListing) -> bool:
    """In the sandbox, a schedule that Medplum's operations keep names no place."""
    return " at " in schedule.comment


def is_computed(schedule: ScheduleListing) -> bool:
    return not has_slots(schedule)


def somebody(**more: object) -> PatientDetails:
    usual: dict[str, object] = {
        "identifier": uuid.uuid4(),
        "given": "Noor",
        "family": f"Test{uuid.uuid4().hex[:8]}",
        "birth_date": date(1988, 2, 29),
        "sex": "female",
        "email": f"{uuid.uuid4().hex[:8]}@mail.example",
        "mobile": "+15105550191",
        "mobile_is_verified": True,
        "zone": "America/Los_Angeles",
    }
    return PatientDetails(**usual | more)


@dataclass
class Clinic:
    """One EHR with the gateway over it, and short ways to a visit in it. ``sandbox`` is None for a live server."""

    gateway: SchedulingGateway
    config: EhrConfig
    sandbox: SandboxControl | None
    takes: Callable[[ScheduleListing], bool]
    type: Coding = TELEHEALTH
    reason: Coding = BACK_PAIN
    minutes: int = 30
    made: list[str] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    _directory: Directory | None = None
    _given: set[tuple[str, datetime]] = field(default_factory=set)

    @property
    def directory(self) -> Directory:
        if self._directory is None:
            self._directory = self.gateway.directory()
        return self._directory

    @property
    def schedules(self) -> list[ScheduleListing]:
        return [each for each in self.directory.schedules if each.location_ref and self.takes(each)]

    def free(self, schedule_ref: str, minutes: int = 0) -> list[Slot]:
        first_on = datetime.now(UTC).date() + timedelta(days=2)
        days = min(12, self.gateway.limits.days_per_slot_search - 1)
        return self.gateway.free_slots(
            schedule_ref,
            first_on=first_on,
            last_on=first_on + timedelta(days=days),
            minutes=minutes or self.minutes,
            appointment_type=self.type,
        )

    def free_of(self, schedule_refs: Sequence[str], *, days: int) -> dict[str, list[Slot]]:
        first_on = datetime.now(UTC).date() + timedelta(days=2)
        return self.gateway.free_slots_of(
            schedule_refs,
            first_on=first_on,
            last_on=first_on + timedelta(days=days - 1),
            minutes=self.minutes,
            appointment_type=self.type,
        )

    def openings(
        self, count: int, *, apart: timedelta = timedelta(hours=2)
    ) -> tuple[ScheduleListing, list[Slot]]:
        """A schedule with that many free times, none within ``apart`` of another and none given out before."""
        for schedule in self.schedules:
            found: list[Slot] = []
            for slot in self.free(schedule.ref):
                is_clear = not found or slot.starts_at - found[-1].ends_at >= apart
                if is_clear and (schedule.practitioner_ref, slot.starts_at) not in self._given:
                    found.append(slot)
                if len(found) == count:
                    self._given |= {(schedule.practitioner_ref, each.starts_at) for each in found}
                    return schedule, found
        raise AssertionError(f"no schedule has {count} free times")

    def patient(self, **more: object) -> str:
        ref = self.gateway.create_patient(somebody(**more))
        self.people.append(ref)
        return ref

    def request(self, schedule: ScheduleListing, slot: Slot, **more: object) -> AppointmentRequest:
        usual: dict[str, object] = {
            "booking_id": uuid.uuid4(),
            "practitioner_ref": schedule.practitioner_ref,
            "patient_ref": more.pop("patient_ref", None) or self.patient(),
            "location_ref": schedule.location_ref,
            "starts_at": slot.starts_at,
            "ends_at": slot.ends_at,
            "reason": self.reason,
            "reason_text": "Sore back since Monday",
            "appointment_type": self.type,
            "video_url": "https://video.example/abc",
            "schedule_ref": schedule.ref,
        }
        return AppointmentRequest(**usual | more)

    def visit(self) -> AppointmentRequest:
        """A visit at a time that is free now, for a patient who is new; not yet made."""
        schedule, (slot,) = self.openings(1)
        return self.request(schedule, slot)

    def make(self, request: AppointmentRequest) -> str:
        ref = self.gateway.create_appointment(request)
        self.made.append(ref)
        return ref

    def is_free(self, request: AppointmentRequest | HoldRequest | AppointmentMove) -> bool:
        return request.starts_at in {slot.starts_at for slot in self.free(request.schedule_ref)}

    def clean_up(self) -> None:
        for ref in self.made:
            try:
                self.gateway.cancel_appointment(ref)
            except EhrFailure as failure:
                print(f"could not cancel {ref}: {failure}")
        for ref in self.people:
            self.gateway._change(ref, lambda patient: {**patient, "active": False})


def move_of(request: AppointmentRequest, ref: str, slot: Slot) -> AppointmentMove:
    return AppointmentMove(
        appointment_ref=ref,
        booking_id=request.booking_id,
        schedule_ref=request.schedule_ref,
        practitioner_ref=request.practitioner_ref,
        location_ref=request.location_ref,
        starts_at=slot.starts_at,
        ends_at=slot.ends_at,
        appointment_type=request.appointment_type,
    )


def config_of(sandbox: SandboxControl, **more: object) -> EhrConfig:
    usual: dict[str, object] = {
        name.removeprefix("EHR_").lower(): value for name, value in sandbox.env.items()
    }
    return EhrConfig(**usual | more)


@contextmanager
def clinic_at(sandbox: SandboxControl, ehr: Ehr) -> Iterator[Clinic]:
    if ehr.switches:
        sandbox.switches(**ehr.switches)
    config = config_of(sandbox, **ehr.config)
    with closing(open_gateway(config)) as gateway:
        yield Clinic(gateway, config, sandbox, ehr.takes)


def live_is_set() -> bool:
    return all(os.environ.get(name) for name in LIVE)


def _coding(name: str, usual: Coding) -> Coding:
    system, bar, code = os.environ.get(name, "").rpartition("|")
    return Coding(system, code) if bar else usual


@contextmanager
def live_clinic() -> Iterator[Clinic]:
    """A real server, from the environment."""
    settings = {name.removeprefix("LIVE_EHR_").lower(): os.environ[name] for name in LIVE}
    config = EhrConfig(**settings, scope=os.environ.get("LIVE_EHR_SCOPE", ""))
    with closing(open_gateway(config)) as gateway:
        clinic = Clinic(gateway, config, None, lambda schedule: True)
        clinic.type = _coding("LIVE_EHR_TYPE", clinic.type)
        clinic.reason = _coding("LIVE_EHR_REASON", clinic.reason)
        clinic.minutes = int(os.environ.get("LIVE_EHR_MINUTES", clinic.minutes))
        try:
            yield clinic
        finally:
            clinic.clean_up()


def twin(request: AppointmentRequest, **more: object) -> AppointmentRequest:
    """Another booking of the same time."""
    return replace(request, booking_id=uuid.uuid4(), **more)
