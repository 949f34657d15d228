"""Any EHR that keeps to plain FHIR R4 as a ``SchedulingGateway``: what it can do is read from its CapabilityStatement,
and its free times from the Slots that the clinic made beforehand.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from booking.scheduling.errors import EhrFailure, EhrRejected, NotFound
from booking.scheduling.gateway import Capabilities, Limits
from booking.scheduling.terms import Coding, Directory, PatientDetails, Slot

from . import resources
from .client import EhrClient
from .keeping import Kept
from .r4_booking import SlotBooking
from .r4_directory import read_directory
from .r4_features import Features, findings, read_features
from .slot_claims import open_runs, takes
from .slot_search import MOST_AT_ONCE
from .standard import PAGE_SIZE, check_search, days_at_the_practice, in_order
from .wire import Deadline

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
            subscriptions=features.does("Subscription", "create"),
        )

    @property
    def limits(self) -> Limits:
        """R4 sets no bounds to a search. Four weeks and a day of ten schedules are some 3,000 half hours of any
        status, three pages or more; beyond that a search does not come within the time a page waits."""
        return Limits(
            days_per_slot_search=29,
            schedules_per_slot_search=MOST_AT_ONCE,
            # Looking, turning two or three Slots, the Appointment, and what a lost race costs.
            calls_per_write=8,
        )

    def can_move(self) -> bool:
        features = self._features()
        claims = features.updates_conditionally or bool(self._ehr_takes_slots)
        return claims and features.does("Appointment", "update")

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

    def free_slots_of(
        self,
        schedule_refs: Sequence[str],
        *,
        first_on: date,
        last_on: date,
        minutes: int,
        appointment_type: Coding | None = None,
    ) -> dict[str, list[Slot]]:
        """Slots of that length, and runs of Slots next to each other that add up to it."""
        check_search(first_on, last_on, minutes, self.limits.days_per_slot_search)
        refs, deadline = list(dict.fromkeys(schedule_refs)), self._client.deadline()
        schedules = self._schedules_of(refs, deadline)
        # The days are the practice's, and this keeps what is in them anywhere.
        span = days_at_the_practice(first_on, last_on)
        length = timedelta(minutes=minutes)
        found = self._free_runs(schedules, span, length, appointment_type, deadline)
        return {ref: found.get(ref, []) for ref in refs}

    def _free_runs(
        self,
        schedules: Mapping[str, dict[str, Any]],
        span: tuple[datetime, datetime],
        length: timedelta,
        appointment_type: Coding | None,
        deadline: Deadline,
    ) -> dict[str, list[Slot]]:
        """Free times to come that start in a span, of each Schedule that has Slots."""
        asked = [ref for ref, schedule in schedules.items() if takes(schedule, appointment_type)]
        earliest, latest = max(span[0], self._client.now()), span[1]
        free: dict[str, list[Slot]] = {}
        for ref, slots in self._slots.many(asked, *span, deadline).items():
            firsts = (
                resources.slot(run[0]) for run in open_runs(slots, length, appointment_type=appointment_type)
            )
            free[ref] = in_order(
                {
                    replace(first, ends_at=first.starts_at + length)
                    for first in firsts
                    if first is not None and earliest < first.starts_at < latest
                }
            )
        return free

    def _schedules_of(self, refs: Sequence[str], deadline: Deadline) -> dict[str, dict[str, Any]]:
        """Those that there are, in as few calls as it takes; raises ``NotFound`` when there are none of them."""
        unread = [ref for ref in refs if self._schedules.known(ref) is None]
        for begin in range(0, len(unread) if len(unread) > 1 else 0, MOST_AT_ONCE):
            some = unread[begin : begin + MOST_AT_ONCE]
            ids = ",".join(ref.partition("/")[2] for ref in some)
            try:
                listed = self._client.search("Schedule", {"_id": ids, "_count": PAGE_SIZE}, deadline)
            except EhrRejected as refusal:
                # Each can still be read alone.
                logger.warning("a list of schedules was refused: %s", refusal)
                break
            for schedule in listed:
                if (ref := resources.own_reference(schedule)) in some:
                    self._schedules.put(ref, schedule)
        found: dict[str, dict[str, Any]] = {}
        missing: NotFound | None = None
        for ref in refs:
            try:
                found[ref] = self._schedule(ref, deadline)
            except NotFound as failure:
                logger.warning("%s left out: %s", ref, failure)
                missing = failure
        if missing is not None and not found:
            raise missing
        return found

    def _schedule(self, schedule_ref: str, deadline: Deadline | None = None) -> dict[str, Any]:
        return self._schedules.get(
            schedule_ref,
            lambda: self._client.read(schedule_ref, deadline or self._client.deadline()).resource,
        )
