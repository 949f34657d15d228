"""What every dialect does alike: patients, looking up appointments, photos and the first look at a server.

A dialect inherits from here and adds its own way with slots, holds and writes to appointments.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import httpx

from booking.scheduling.errors import Changed, EhrRejected, EhrUnavailable, NotFound
from booking.scheduling.gateway import Capabilities, Examination, Limits
from booking.scheduling.terms import (
    AppointmentRecord,
    AppointmentRequest,
    Coding,
    HeldTime,
    PatientDetails,
    Slot,
)

from . import matching, resources, writers
from .client import EhrClient, Version
from .wire import Answer, Deadline

logger = logging.getLogger("booking.fhir")

PAGE_SIZE = "100"
_MOST_HAND_OVERS = 8
_MOST_CHANGES = 5
_MOST_PHOTO_BYTES = 1024 * 1024
_PHOTO_MAGIC = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}

_T = TypeVar("_T")


class StandardGateway(ABC):
    """Thread-safe; make one and keep it. A verb ends within its configured time, a verb of several writes
    within that for each."""

    # Sent for a contact that the patient has proved theirs, where a vendor has an extension for it.
    consent_url = ""
    # Whether a search for patients asks for active ones. By R4 that misses those of whom it is not said.
    searches_active_patients = True

    def __init__(self, client: EhrClient) -> None:
        self._client = client

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities: ...

    @property
    @abstractmethod
    def limits(self) -> Limits: ...

    @abstractmethod
    def can_move(self) -> bool: ...

    def close(self) -> None:
        self._client.close()

    def examine(self) -> Examination:
        clock, deadline = self._client.clock, self._client.deadline()
        # The first read signs in as well; the second is timed alone.
        self._client.fetch("metadata", deadline)
        started, asked_at = clock.monotonic(), clock.wall()
        found = self._client.fetch("metadata", deadline)
        latency = clock.monotonic() - started
        statement = found.resource
        if statement.get("resourceType") != "CapabilityStatement":
            raise EhrRejected(
                "GET metadata: the answer is no CapabilityStatement; see whether base_url is right"
            )
        software = resources.mapping(statement.get("software"))
        named = " ".join(filter(None, (resources.text(software.get(key)) for key in ("name", "version"))))
        return Examination(
            software=named or resources.text(statement.get("publisher")) or "unnamed",
            fhir_version=resources.text(statement.get("fhirVersion")) or "unstated",
            latency_seconds=latency,
            clock_skew_seconds=_skew(found.date, asked_at + latency / 2),
            findings=tuple(self._findings(statement)),
        )

    def _findings(self, statement: Mapping[str, Any]) -> Iterator[str]:
        """Sentences about what a server says of itself; a dialect adds its own."""
        version = resources.text(statement.get("fhirVersion"))
        if not version.startswith("4."):
            yield f"The server speaks FHIR {version or 'of no stated version'}; the portal needs R4 (4.0)."

    def photo(self, url: str) -> tuple[str, bytes]:
        address = resources.https_url(url) or (url if self._is_at_the_ehr(url) else "")
        if not address:
            raise EhrRejected("GET photo: not an https address")
        answer = self._client.download(httpx.URL(address), self._client.deadline())
        if not isinstance(answer, Answer):
            raise EhrUnavailable(f"GET photo: no answer ({answer.reason})")
        if answer.status != 200 or answer.flaw or len(answer.body) > _MOST_PHOTO_BYTES:
            kind = EhrUnavailable if answer.status >= 500 else EhrRejected
            raise kind("GET photo: not to be had", status=answer.status)
        for magic, media_type in _PHOTO_MAGIC.items():
            if answer.body.startswith(magic):
                return media_type, answer.body
        if answer.body[:4] == b"RIFF" and answer.body[8:12] == b"WEBP":
            return "image/webp", answer.body
        raise EhrRejected("GET photo: neither JPEG, PNG nor WebP")

    def _is_at_the_ehr(self, url: str) -> bool:
        """Whether an http address is the EHR's own, as it is for a sandbox on this machine."""
        try:
            return self._client.is_own(httpx.URL(url))
        except httpx.InvalidURL:
            return False

    def free_slots(
        self,
        schedule_ref: str,
        *,
        first_on: date,
        last_on: date,
        minutes: int,
        appointment_type: Coding | None = None,
    ) -> list[Slot]:
        found = self.free_slots_of(
            [schedule_ref],
            first_on=first_on,
            last_on=last_on,
            minutes=minutes,
            appointment_type=appointment_type,
        )
        return found[schedule_ref]

    @abstractmethod
    def free_slots_of(
        self,
        schedule_refs: Sequence[str],
        *,
        first_on: date,
        last_on: date,
        minutes: int,
        appointment_type: Coding | None = None,
    ) -> dict[str, list[Slot]]: ...

    def held_times(
        self, schedule_refs: Sequence[str], *, starts_from: datetime, starts_before: datetime
    ) -> list[HeldTime]:
        """Nothing, where nothing is held."""
        return []

    def find_patient(self, details: PatientDetails) -> str | None:
        deadline = self._client.deadline()
        if self.capabilities.patient_identifier_search:
            query = {
                "identifier": f"{resources.PATIENT_SYSTEM}|{details.identifier}",
                "_count": PAGE_SIZE,
            }
            found = self._client.search("Patient", query, deadline)
            ours = {
                resources.own_reference(patient)
                for patient in found
                if matching.is_in_use(patient)
                and resources.has_identifier(patient, resources.PATIENT_SYSTEM, str(details.identifier))
            }
            if ours:
                return _only(ours)
        if not matching.has_verified_contact(details):
            return None
        query = {
            "birthdate": details.birth_date.isoformat(),
            "family": resources.text(details.family),
            "given": resources.text(details.given),
            **({"active": "true"} if self.searches_active_patients else {}),
            "_count": PAGE_SIZE,
        }
        today = self._client.today()
        found = self._client.search("Patient", query, deadline)
        return _only(
            {
                resources.own_reference(patient)
                for patient in found
                if matching.is_in_use(patient) and matching.is_same_person(patient, details, today)
            }
        )

    def create_patient(self, details: PatientDetails) -> str:
        patient = written(lambda: self._write_patient(details), "Patient")
        return self._client.create("Patient", patient, self._client.deadline())

    def _write_patient(self, details: PatientDetails) -> dict[str, Any]:
        return writers.write_patient(details, consent_url=self.consent_url)

    def update_patient(self, patient_ref: str, details: PatientDetails) -> None:
        ours = written(lambda: self._write_patient(details), "Patient")
        self._change(
            patient_ref,
            lambda on_file: writers.completed_patient(on_file, ours),
            patient_ref=patient_ref,
        )

    def _change(
        self,
        ref: str,
        change: Callable[[dict[str, Any]], dict[str, Any]],
        *,
        patient_ref: str = "",
        read: Version | None = None,
    ) -> None:
        """Read, change, and write back what was read and so changed, unless it has changed meanwhile: then anew.

        Where the EHR takes no condition on an update, whoever writes last wins. Nothing is written that would change
        nothing. ``change`` raises ``ValueError`` for what must not be sent.
        """
        found = read or self._client.read(ref, self._client.deadline(), patient_ref=patient_ref)
        deadline = self._client.deadline()
        for attempt in range(1, _MOST_CHANGES + 1):
            changed = written(partial(change, found.resource), ref.partition("/")[0])
            if changed == found.resource:
                return
            condition = self._condition(found)
            try:
                self._client.update(
                    ref, changed, self._client.deadline(), headers=condition, patient_ref=patient_ref
                )
                return
            except Changed:
                if attempt == _MOST_CHANGES or not self._client.pause(attempt, deadline):
                    raise
            found = self._client.read(ref, self._client.deadline(), patient_ref=patient_ref)

    def _condition(self, version: Version) -> dict[str, str]:
        """The header that makes an update fail if the record is not as it was when it was read."""
        return {"If-Match": version.etag} if version.etag else {}

    def find_appointments(
        self, booking_id: UUID, like: AppointmentRequest | None = None
    ) -> list[AppointmentRecord]:
        if self.capabilities.appointment_identifier_search:
            query = {"identifier": f"{resources.BOOKING_SYSTEM}|{booking_id}", "_count": PAGE_SIZE}
        elif like is not None:
            # The clinician's visits that start then are few; whose they are is told by what they carry.
            query = {
                "patient": like.patient_ref,
                "date": writers.write_instant(like.starts_at),
                "_count": PAGE_SIZE,
            }
        else:
            raise EhrRejected("GET Appointment: this EHR does not search by identifier")
        whose = like.patient_ref if like is not None else ""
        found = self._client.search("Appointment", query, self._client.deadline(), patient_ref=whose)
        return readable(
            appointment for appointment in found if booking_id in resources.booking_ids(appointment)
        )

    def read_appointment(self, appointment_ref: str) -> AppointmentRecord | None:
        version = self._appointment(appointment_ref, self._client.deadline())
        return None if version is None else readable([version.resource])[0]

    def _appointment(self, ref: str, deadline: Deadline) -> Version | None:
        try:
            return self._client.read(ref, deadline)
        except NotFound:
            return None

    def current_appointment(self, appointment_ref: str) -> AppointmentRecord | None:
        record = self.read_appointment(appointment_ref)
        seen = {appointment_ref}
        while record is not None and record.replaced_by_ref:
            if record.replaced_by_ref in seen or len(seen) > _MOST_HAND_OVERS:
                raise EhrRejected("GET Appointment: its hand-overs go round in a circle")
            seen.add(record.replaced_by_ref)
            record = self.read_appointment(record.replaced_by_ref)
        return record

    def search_appointments(
        self,
        *,
        starts_from: datetime,
        starts_before: datetime,
        practitioner_ref: str = "",
        patient_ref: str = "",
    ) -> list[AppointmentRecord]:
        if not (practitioner_ref or patient_ref):
            raise ValueError("search_appointments needs a clinician or a patient")
        query = [("practitioner", practitioner_ref)] if practitioner_ref else []
        query += [("patient", patient_ref)] if patient_ref else []
        query += [
            ("date", f"ge{writers.write_instant(starts_from)}"),
            ("date", f"lt{writers.write_instant(starts_before)}"),
            ("_count", PAGE_SIZE),
        ]
        found = self._client.search("Appointment", query, self._client.deadline(), patient_ref=patient_ref)
        return [
            record
            for record in readable(found)
            if starts_from <= record.starts_at < starts_before
            and practitioner_ref in ("", record.practitioner_ref)
            and patient_ref in ("", record.patient_ref)
        ]


def readable(found: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> list[AppointmentRecord]:
    """Records in order of start. One that cannot be read is an error: left out, it would read as "not there", and the
    visit be booked a second time."""
    records = [resources.appointment_record(appointment) for appointment in found]
    if None in records:
        raise EhrRejected("GET Appointment: an appointment came back in a form we cannot read")
    return sorted((record for record in records if record), key=lambda record: (record.starts_at, record.ref))


def read_all(
    found: list[dict[str, Any]], read: Callable[[Mapping[str, Any]], _T | None], kind: str
) -> list[_T]:
    """What can be read of it. All unreadable is an error, for it would pass as an empty answer."""
    listings = [listing for resource in found if (listing := read(resource)) is not None]
    if len(listings) < len(found):
        logger.warning(
            "GET %s: %d of %d left out as unreadable", kind, len(found) - len(listings), len(found)
        )
        if not listings:
            raise EhrRejected(f"GET {kind}: none of {len(found)} could be read")
    return listings


def written(write: Callable[[], dict[str, Any]], kind: str) -> dict[str, Any]:
    """What a writer makes of our terms; what it refuses to make is rejected before anything is sent."""
    try:
        return write()
    except ValueError as problem:
        raise EhrRejected(f"POST {kind}: not sent, {problem}") from None


def days_at_the_practice(first_on: date, last_on: date) -> tuple[datetime, datetime]:
    """Instants that hold these local days in whatever zone the practice is: from UTC+14 to UTC-12."""
    earliest = datetime.combine(first_on, time(), UTC) - timedelta(hours=14)
    return earliest, datetime.combine(last_on, time(), UTC) + timedelta(hours=36)


def check_search(first_on: date, last_on: date, minutes: int, most_days: int) -> None:
    """Raises ``ValueError`` for a slot search outside the port's terms."""
    if minutes < 1 or not 0 <= (last_on - first_on).days < most_days:
        raise ValueError(f"free_slots takes a positive length and 1 to {most_days} days")


def in_order(slots: set[Slot]) -> list[Slot]:
    return sorted(slots, key=lambda slot: slot.starts_at)


def _skew(date_header: str, ours: float) -> float | None:
    """Seconds by which the EHR's clock is ahead of ours; its header counts whole seconds, so half of one is added."""
    try:
        return parsedate_to_datetime(date_header).timestamp() + 0.5 - ours
    except (ValueError, OverflowError):
        return None


def _only(refs: set[str]) -> str | None:
    return refs.pop() if len(refs) == 1 and "" not in refs else None
