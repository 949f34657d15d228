"""Free times that Medplum computes: ``Appointment/$find``, asked for one Schedule and one HealthcareService."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from booking.scheduling.errors import EhrRejected
from booking.scheduling.terms import Coding, HoldRequest, Slot

from . import resources, writers
from .client import EhrClient
from .medplum_outcomes import bundled
from .medplum_services import Service, Services
from .wire import Deadline

Json = dict[str, Any]

_MOST = 1000
# How far around a time it is asked for.
_AROUND = timedelta(hours=2)


class Finding:
    def __init__(self, client: EhrClient, services: Services) -> None:
        self._client = client
        self._services = services

    def free_slots(
        self,
        schedule: Json,
        earliest: datetime,
        latest: datetime,
        length: timedelta,
        kind: Coding | None,
        deadline: Deadline,
    ) -> set[Slot]:
        """Times to come of that length; $find gives past ones too when asked."""
        ref, now = resources.own_reference(schedule), self._client.now()
        start = max(earliest, now.replace(microsecond=0))
        return {
            slot
            for service in self._services.fitting(schedule, kind, length)
            for slot, _ in self._find(ref, service, start, latest, deadline)
            if slot.ends_at - slot.starts_at == length and slot.starts_at > now
        }

    def proposal(self, schedule: Json, time: HoldRequest, *, ignore: str = "") -> Json | None:
        """A fresh proposal for exactly this time; None when it is not free. ``ignore`` names an Appointment whose own
        time counts as free."""
        service = self.service(schedule, time)
        start, end = time.starts_at - _AROUND, time.ends_at + _AROUND
        deadline = self._client.deadline()
        for slot, proposal in self._find(time.schedule_ref, service, start, end, deadline, ignore=ignore):
            if (slot.starts_at, slot.ends_at) == (time.starts_at, time.ends_at):
                return proposal
        return None

    def service(self, schedule: Json, time: HoldRequest) -> Service:
        fitting = self._services.fitting(schedule, time.appointment_type, time.ends_at - time.starts_at)
        if not fitting:
            raise EhrRejected("POST Appointment: not sent, no HealthcareService of that type and length")
        return fitting[0]

    def _find(
        self,
        schedule_ref: str,
        service: Service,
        start: datetime,
        end: datetime,
        deadline: Deadline,
        *,
        ignore: str = "",
    ) -> Iterator[tuple[Slot, Json]]:
        """Times with the proposals they came in. There is no next page, so a full answer is followed by a question
        from its last time on."""
        while start < end:
            params = [
                ("start", writers.write_instant(start)),
                ("end", writers.write_instant(end)),
                ("service-type-reference", service.ref),
                ("schedule", schedule_ref),
                *([("ignore-appointment", ignore)] if ignore else []),
                ("_count", str(_MOST)),
            ]
            answer = self._client.fetch("Appointment/$find", deadline, params)
            proposals = bundled(answer.resource, "Appointment")
            found = [(slot, proposal) for proposal in proposals for slot in _slots(proposal, schedule_ref)]
            yield from found
            last = max((slot.starts_at for slot, _ in found), default=start)
            if len(proposals) < _MOST or last <= start:
                return
            start = last


def _slots(proposal: Mapping[str, Any], schedule_ref: str) -> Iterator[Slot]:
    """The one time that a proposal stands for, if it is whole and on this Schedule."""
    starts_at, ends_at = resources.instant(proposal.get("start")), resources.instant(proposal.get("end"))
    for contained in resources.mappings(proposal.get("contained")):
        slot = resources.slot(contained)
        if slot and contained.get("status") == "busy" and slot.schedule_ref == schedule_ref:
            if (slot.starts_at, slot.ends_at) == (starts_at, ends_at):
                yield slot
            return
