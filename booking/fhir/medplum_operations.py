"""Schedules that Medplum keeps by its scheduling operations: free time is computed, and only taken time has Slots.

A hold is an Appointment that is ``pending``. It carries the booking's identifier from its first moment, since there is
nothing else to tell a repeated request from somebody else's, and it never ends by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from booking.scheduling.errors import (
    EhrFailure,
    EhrRejected,
    EhrUnavailable,
    NotFound,
    OutcomeUnknown,
    TimeTaken,
)
from booking.scheduling.terms import AppointmentMove, AppointmentRequest, HoldRequest

from . import medplum_writers, outcomes, r4_writers, resources
from .client import EhrClient
from .keeping import Kept
from .medplum_finding import Finding
from .medplum_outcomes import NOTHING, asks_for_slots, bundled, perform, send
from .medplum_services import Services
from .standard import StandardGateway, written

logger = logging.getLogger("booking.fhir")

Json = dict[str, Any]

HELD = frozenset({"pending", "proposed"})
_KEEP_SECONDS = 3600.0
_NOWHERE = "Appointment/00000000-0000-4000-8000-000000000000"


class Operations:
    """``schedule`` is the Schedule of the time, as last read. ``records`` reads and changes single records."""

    def __init__(
        self, client: EhrClient, records: StandardGateway, services: Services, finding: Finding
    ) -> None:
        self._client = client
        self._records = records
        self._services = services
        self._finding = finding
        self._lacks: Kept[bool] = Kept(client.clock, seconds=_KEEP_SECONDS)

    def hold(self, schedule: Json, time: HoldRequest) -> tuple[Json, bool]:
        """The pending Appointment, or the visit that it has become, and whether it is new. Raises ``TimeTaken``."""
        own = self.own(time)
        if standing := [
            each for each in own if resources.text(each.get("status")) not in resources.CANCELLED | HELD
        ]:
            return standing[0], False
        if held := _held_at(own, time):
            return held, False
        proposal = self._finding.proposal(schedule, time)
        if proposal is None:
            raise TimeTaken("POST Appointment $hold: not sent, the time is no longer free")
        asked = medplum_writers.with_appointment(r4_writers.marked(proposal, time.booking_id))
        try:
            answer = perform(self._client, "Appointment/$hold", asked)
        except EhrRejected as refusal:
            if refusal.status == 404:
                self._lacks.put("hold", True)
            if found := self._behind(refusal, schedule, time):
                return found, False
            raise
        return _made(answer, "$hold"), True

    def own(self, time: HoldRequest) -> list[Json]:
        """Appointments of any status with the booking's identifier."""
        query = {"identifier": f"{resources.BOOKING_SYSTEM}|{time.booking_id}", "_count": "100"}
        found = self._client.search("Appointment", query, self._client.deadline())
        return [each for each in found if time.booking_id in resources.booking_ids(each)]

    def _behind(self, refusal: EhrRejected, schedule: Json, time: HoldRequest) -> Json | None:
        """What is behind a refusal, which no status and no text tell for sure: our own earlier request, a time that is
        gone (raises ``TimeTaken``), or neither."""
        if refusal.status not in (400, 409, 422):
            return None
        if found := _held_at(self.own(time), time):
            return found
        if self._finding.proposal(schedule, time) is None:
            raise TimeTaken("POST Appointment: the time is no longer free", status=refusal.status) from None
        return None

    def release(self, time: HoldRequest) -> None:
        for appointment in self.own(time):
            if resources.text(appointment.get("status")) in HELD:
                self.cancel(appointment, self.slots(appointment))

    def create(self, schedule: Json, request: AppointmentRequest, time: HoldRequest) -> str:
        """Hold, or find our own hold; say on it who comes and why; confirm."""
        written(lambda: r4_writers.write_appointment(request), "Appointment")
        if not self._lacks.get("hold", lambda: False):
            try:
                held, is_new = self.hold(schedule, time)
            except EhrRejected as refusal:
                if refusal.status != 404:
                    raise
            else:
                if resources.text(held.get("status")) in HELD:
                    self._make_visit(resources.own_reference(held), request, is_new=is_new)
                return resources.own_reference(held)
        return self._book(schedule, request, time)

    def _make_visit(self, ref: str, request: AppointmentRequest, *, is_new: bool) -> None:
        try:
            self._records._change(ref, lambda found: medplum_writers.completed(found, request))
            self._confirm(ref)
        except OutcomeUnknown:
            raise
        except NotFound as failure:
            # It was there a moment ago.
            raise OutcomeUnknown(str(failure), status=failure.status) from failure
        except EhrFailure as failure:
            # The same create may succeed later, so a hold that was there before stays.
            if is_new or isinstance(failure, EhrRejected):
                self._give_up(ref)
            raise

    def _confirm(self, ref: str) -> None:
        """$confirm, or the same by hand where there is none (5.1.12): the time is held all along."""
        if not self._lacks.get("confirm", lambda: False):
            try:
                perform(
                    self._client, f"{ref}/$confirm", NOTHING, is_done=lambda: self._status(ref) == "booked"
                )
                return
            except EhrRejected as refusal:
                status = self._status(ref)
                if status == "booked":
                    return
                if status in resources.CANCELLED:
                    # Somebody swept it up; another create makes another hold.
                    raise EhrUnavailable("POST Appointment $confirm: the hold is gone") from None
                if refusal.status != 404:
                    raise
                self._lacks.put("confirm", True)
        self._records._change(ref, medplum_writers.booked)
        try:
            for slot_ref in _slot_refs(self._client.read(ref, self._client.deadline()).resource):
                self._records._change(slot_ref, medplum_writers.busy)
        except EhrUnavailable as failure:
            # The visit is booked already, so this is no failure that did nothing.
            raise OutcomeUnknown(str(failure), status=failure.status) from failure

    def _give_up(self, ref: str) -> None:
        """On the way out of a failure: another one must not hide the first."""
        try:
            found = self._client.read(ref, self._client.deadline()).resource
            if resources.text(found.get("status")) in HELD:
                self.cancel(found, self.slots(found))
        except EhrFailure as failure:
            logger.warning("a hold was not given back: %s", failure)

    def _book(self, schedule: Json, request: AppointmentRequest, time: HoldRequest) -> str:
        """In one step, where there is no $hold. What $book by Slots drops is put on right after."""
        own = [
            each
            for each in self.own(time)
            if resources.text(each.get("status")) not in resources.CANCELLED | HELD
        ]
        if own := own or self.unmarked(request):
            return self._complete(resources.own_reference(own[0]), request)
        proposal = self._finding.proposal(schedule, time)
        if proposal is None:
            raise TimeTaken("POST Appointment $book: not sent, the time is no longer free")
        path = "Appointment/$book"
        by_slots = medplum_writers.with_slots(proposal, request.patient_ref)
        try:
            if self._lacks.get("book an Appointment", lambda: False):
                answer = perform(self._client, path, by_slots)
            else:
                whole = r4_writers.marked(medplum_writers.completed(proposal, request), time.booking_id)
                said = send(self._client, path, medplum_writers.with_appointment(whole))
                assert said is not None
                if asks_for_slots(said):
                    self._lacks.put("book an Appointment", True)
                    answer = perform(self._client, path, by_slots)
                else:
                    answer = outcomes.written_object(said)
        except EhrRejected as refusal:
            if found := self._behind(refusal, schedule, time):
                return resources.own_reference(found)
            raise
        return self._complete(resources.own_reference(_made(answer, "$book")), request)

    def _complete(self, ref: str, request: AppointmentRequest) -> str:
        def whole(found: Json) -> Json:
            return r4_writers.marked(medplum_writers.completed(found, request), request.booking_id)

        try:
            self._records._change(ref, whole)
        except EhrFailure as failure:
            raise OutcomeUnknown(str(failure), status=failure.status) from failure
        return ref

    def unmarked(self, request: AppointmentRequest) -> list[Json]:
        """Visits that $book by Slots may have made of a request without us learning of it: of this patient with this
        clinician at this very time, with no booking on them. None where $book does not work that way."""
        if not self._lacks.get("book an Appointment", lambda: False):
            return []
        query = {
            "patient": request.patient_ref,
            "practitioner": request.practitioner_ref,
            "status": "booked",
            "_count": "1000",
        }
        found = self._client.search("Appointment", query, self._client.deadline())
        return [
            each
            for each in found
            if not resources.booking_ids(each)
            and (resources.instant(each.get("start")), resources.instant(each.get("end")))
            == (request.starts_at, request.ends_at)
        ]

    def cancel(self, appointment: Json, slots: list[Json]) -> None:
        """Cancel, which deletes the Slots that the Appointment refers to; ``slots`` are those that there are."""
        ref = resources.own_reference(appointment)
        try:
            perform(
                self._client,
                f"{ref}/$cancel",
                NOTHING,
                is_done=lambda: self._status(ref) in resources.CANCELLED,
            )
        except EhrRejected as refusal:
            if self._status(ref) in resources.CANCELLED:
                return
            # "Loading slots failed": one of its Slots is gone. What $cancel does is then done by hand, as it is where
            # there is no $cancel.
            if refusal.status != 404 and len(slots) == len(_slot_refs(appointment)):
                raise
            self._records._change(ref, r4_writers.cancelled)
            for slot in slots:
                self.delete(resources.own_reference(slot))

    def delete(self, ref: str) -> None:
        try:
            outcomes.written_object(self._client.write("DELETE", ref, None, self._client.deadline()))
        except NotFound:
            return

    def can_move(self) -> bool:
        """Asked for nothing, $reschedule is refused for what is missing where it exists, and not found where it does
        not. Raises ``EhrFailure`` when neither is the answer."""

        def ask() -> bool:
            deadline = self._client.probe_deadline()
            try:
                outcomes.written_object(
                    self._client.write("POST", f"{_NOWHERE}/$reschedule", NOTHING, deadline)
                )
            except EhrRejected as refusal:
                if refusal.status not in (400, 404, 422):
                    raise
                return refusal.status == 404
            return False

        return not self._lacks.get("reschedule", ask)

    def move(self, schedule: Json, move: AppointmentMove, time: HoldRequest) -> None:
        appointment = self._client.read(move.appointment_ref, self._client.deadline()).resource
        written(lambda: r4_writers.moved(appointment, move, ()), "Appointment")
        if not self._is_at(appointment, time):
            self._reschedule(schedule, appointment, move, time)
        try:
            self._records._change(
                move.appointment_ref,
                lambda found: r4_writers.marked(r4_writers.relocated(found, move), move.booking_id),
            )
        except EhrFailure as failure:
            # The visit has its new time already.
            raise OutcomeUnknown(str(failure), status=failure.status) from failure

    def _reschedule(
        self, schedule: Json, appointment: Json, move: AppointmentMove, time: HoldRequest
    ) -> None:
        service = self._services.of(schedule, appointment)
        minutes = (time.ends_at - time.starts_at) // timedelta(minutes=1)
        if service is None or service.minutes not in (None, minutes):
            raise EhrRejected(
                "POST Appointment $reschedule: not sent, its visit type is of another length or place"
            )

        def is_there() -> bool:
            read = self._client.read(move.appointment_ref, self._client.deadline())
            return self._is_at(read.resource, time)

        path = f"{move.appointment_ref}/$reschedule"
        try:
            perform(self._client, path, medplum_writers.with_new_time(move, service), is_done=is_there)
        except EhrRejected as refusal:
            if is_there():
                return
            if refusal.status == 404:
                self._lacks.put("reschedule", True)
            elif refusal.status in (400, 409, 422) and not self._finding.proposal(
                schedule, time, ignore=move.appointment_ref
            ):
                raise TimeTaken("POST Appointment $reschedule: the time is no longer free") from None
            raise

    def _is_at(self, appointment: Json, time: HoldRequest) -> bool:
        """Whether it stands at that time on that Schedule, as its Slots tell."""
        span = resources.instant(appointment.get("start")), resources.instant(appointment.get("end"))
        return span == (time.starts_at, time.ends_at) and time.schedule_ref in {
            resources.reference(slot.get("schedule"), "Schedule") for slot in self.slots(appointment)
        }

    def slots(self, appointment: Mapping[str, Any]) -> list[Json]:
        """Those it refers to, as far as there are any."""
        found = []
        for ref in _slot_refs(appointment):
            try:
                found.append(self._client.read(ref, self._client.deadline()).resource)
            except NotFound:
                continue
        return found

    def _status(self, ref: str) -> str:
        return resources.text(self._client.read(ref, self._client.deadline()).resource.get("status"))


def _held_at(own: list[Json], time: HoldRequest) -> Json | None:
    """The hold of exactly this time among the booking's Appointments."""
    span = time.starts_at, time.ends_at
    return next(
        (
            each
            for each in own
            if resources.text(each.get("status")) in HELD
            and (resources.instant(each.get("start")), resources.instant(each.get("end"))) == span
        ),
        None,
    )


def _made(answer: Mapping[str, Any], operation: str) -> Json:
    made = bundled(answer, "Appointment")
    if not made or not resources.own_reference(made[0]):
        raise OutcomeUnknown(
            f"POST Appointment {operation}: accepted, but the answer does not say what was made"
        )
    return made[0]


def _slot_refs(appointment: Mapping[str, Any]) -> list[str]:
    refs = (resources.reference(node, "Slot") for node in resources.mappings(appointment.get("slot")))
    return [ref for ref in refs if ref]
