"""Any EHR that keeps to plain FHIR R4 as a ``SchedulingGateway``: what it can do is read from its CapabilityStatement,
and its free times from the Slots that the clinic made beforehand.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from booking.scheduling.errors import EhrFailure
from booking.scheduling.gateway import Capabilities
from booking.scheduling.terms import Coding, Directory, PatientDetails, Slot

from . import resources
from .client import EhrClient
from .keeping import Kept
from .r4_booking import SlotBooking
from .r4_directory import read_directory
from .r4_features import Features, findings, read_features
from .slot_claims import open_runs, takes
from .standard import check_search, days_at_the_practice, in_order

logger = logging.getLogger("booking.fhir")

_KEEP_SECONDS = 300.0
# After a server did not say what it can do.
_ASK_AGAIN_SECONDS = 15.0


class R4Gateway(SlotBooking):
    searches_active_patients = False
    licenses_by_role = False

    def __init__(self, client: EhrClient, *, directory_seconds: float) -> None:
        super().__init__(client)
        self._directory_seconds = directory_seconds
        self._statement: Kept[Features] = Kept(client.clock, seconds=_KEEP_SECONDS)
        self._schedules: Kept[dict[str, Any]] = Kept(client.clock, seconds=_KEEP_SECONDS)
        self._last_features: Features | None = None

    @property
    def capabilities(self) -> Capabilities:
        features = self._features()
        claims = features.updates_conditionally and not self._ehr_takes_slots
        return Capabilities(
            holds=claims,
            appointment_identifier_search=features.searches("Appointment", "identifier"),
            patient_identifier_search=features.searches("Patient", "identifier"),
            prevents_double_booking=claims or bool(self._ehr_takes_slots),
            conditional_update=features.of("Appointment").is_versioned,
            moves=(claims or bool(self._ehr_takes_slots)) and features.does("Appointment", "update"),
            subscriptions=features.does("Subscription", "create"),
            days_per_slot_search=14,
            # Looking, turning two or three Slots, the Appointment, and what a lost race costs.
            calls_per_write=8,
        )

    def _features(self) -> Features:
        """What the server said last; nothing at all when it never said."""

        def ask() -> Features:
            found = self._client.fetch("metadata", self._client.probe_deadline())
            self._last_features = read_features(found.resource)
            return self._last_features

        try:
            return self._statement.get("", ask)
        except EhrFailure as failure:
            logger.warning("what the server can do is not known: %s", failure)
            said = self._last_features or Features()
            self._statement.put("", said, _ASK_AGAIN_SECONDS)
            return said

    def _findings(self, statement: Mapping[str, Any]) -> Iterator[str]:
        yield from super()._findings(statement)
        yield from findings(read_features(statement))

    def directory(self) -> Directory:
        return read_directory(
            self._client,
            self._features(),
            self._client.deadline(self._directory_seconds),
            licenses_by_role=self.licenses_by_role,
            is_photo=self._is_at_the_ehr,
        )

    def _write_patient(self, details: PatientDetails) -> dict[str, Any]:
        return {**super()._write_patient(details), "active": True}

    def free_slots(
        self,
        schedule_ref: str,
        *,
        first_on: date,
        last_on: date,
        minutes: int,
        appointment_type: Coding | None = None,
    ) -> list[Slot]:
        """Slots of that length, and runs of Slots next to each other that add up to it. Raises ``ValueError`` for a
        search outside the port's terms."""
        check_search(first_on, last_on, minutes, self.capabilities.days_per_slot_search)
        if not takes(self._schedule(schedule_ref), appointment_type):
            return []
        # The days are the practice's, and this keeps what is in them anywhere.
        earliest, latest = days_at_the_practice(first_on, last_on)
        found = self._claims.search(schedule_ref, earliest, latest, self._client.deadline())
        length = timedelta(minutes=minutes)
        now = self._client.now()
        free = set()
        for run in open_runs(found, length, appointment_type=appointment_type):
            first = resources.slot(run[0])
            if first is not None and first.starts_at > now:
                free.add(replace(first, ends_at=first.starts_at + length))
        return in_order(free)

    def _schedule(self, schedule_ref: str) -> dict[str, Any]:
        return self._schedules.get(
            schedule_ref, lambda: self._client.read(schedule_ref, self._client.deadline()).resource
        )
