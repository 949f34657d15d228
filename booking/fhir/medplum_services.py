"""Medplum's visit types: what a Schedule says can be booked on it, as HealthcareServices with their lengths.

A Schedule that says so is kept by Medplum's scheduling operations; one that does not has Slots made beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from booking.scheduling.terms import Coding

from . import resources
from .client import EhrClient
from .keeping import Kept

SERVICE_URL = "https://medplum.com/fhir/service-type-reference"
# The second is what older texts of Medplum's write.
PARAMETERS_URLS = (
    "https://medplum.com/fhir/StructureDefinition/SchedulingParameters",
    "http://medplum.com/fhir/StructureDefinition/scheduling-parameters",
)
_HOURS = frozenset({"h", "hr", "hour", "hours"})
_MINUTES = frozenset({"min", "minute", "minutes"})
_AT_ONCE = 40


@dataclass(frozen=True, slots=True)
class Service:
    """One visit type of one Schedule. ``minutes`` None: its length cannot be read, so only the EHR knows."""

    ref: str
    names: frozenset[tuple[str, str]]
    minutes: int | None = None
    minutes_before: int = 0
    minutes_after: int = 0

    def is_called(self, coding: Coding) -> bool:
        """By a coding of its type, by an identifier, or by its id."""
        return (coding.system, coding.code) in self.names or coding.code == self.ref.partition("/")[2]


class Services:
    def __init__(self, client: EhrClient, *, seconds: float) -> None:
        self._client = client
        self._kept: Kept[tuple[Service, ...]] = Kept(client.clock, seconds=seconds)
        # Many Schedules offer the same few.
        self._read_before: Kept[dict[str, Any]] = Kept(client.clock, seconds=seconds)

    def on(self, schedule: Mapping[str, Any]) -> tuple[Service, ...]:
        """Those that can be booked, in the Schedule's order."""
        return self._kept.get(resources.own_reference(schedule), lambda: tuple(self._read(schedule)))

    def fitting(self, schedule: Mapping[str, Any], coding: Coding | None, length: timedelta) -> list[Service]:
        """Services of that name, or of any, and that length; one whose length cannot be read fits last."""
        exact, unread = [], []
        for service in self.on(schedule):
            if coding is not None and not service.is_called(coding):
                continue
            if service.minutes is None:
                unread.append(service)
            elif timedelta(minutes=service.minutes) == length:
                exact.append(service)
        return exact or unread

    def of(self, schedule: Mapping[str, Any], appointment: Mapping[str, Any]) -> Service | None:
        refs = service_refs(appointment)
        return next((service for service in self.on(schedule) if service.ref in refs), None)

    def _read(self, schedule: Mapping[str, Any]) -> Iterable[Service]:
        refs = list(dict.fromkeys([*service_refs(schedule), *_parameter_services(schedule)]))
        found = {ref: known for ref in refs if (known := self._read_before.known(ref))}
        unread = [ref for ref in refs if ref not in found]
        for start in range(0, len(unread), _AT_ONCE):
            ids = [ref.partition("/")[2] for ref in unread[start : start + _AT_ONCE]]
            query = {"_id": ",".join(ids), "_count": "1000"}
            for resource in self._client.search("HealthcareService", query, self._client.deadline()):
                found[resources.own_reference(resource)] = resource
                self._read_before.put(resources.own_reference(resource), resource)
        bookable = [ref for ref in refs if ref in found and found[ref].get("active", True) is True]
        return [_service(found[ref], schedule) for ref in bookable]


def is_kept_by_operations(schedule: Mapping[str, Any]) -> bool:
    return bool(_parameters(schedule) or service_refs(schedule))


def service_refs(resource: Mapping[str, Any]) -> list[str]:
    """The HealthcareServices that the serviceType of a Schedule, a Slot or an Appointment refers to."""
    return [
        ref
        for concept in resources.mappings(resource.get("serviceType"))
        for found in resources.extensions(concept, SERVICE_URL)
        if (ref := resources.reference(found.get("valueReference"), "HealthcareService"))
    ]


def _parameters(resource: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [found for url in PARAMETERS_URLS for found in resources.extensions(resource, url)]


def _parameter_services(schedule: Mapping[str, Any]) -> list[str]:
    return [
        ref
        for parameters in _parameters(schedule)
        for found in resources.extensions(parameters, "service")
        if (ref := resources.reference(found.get("valueReference"), "HealthcareService"))
    ]


def _service(resource: Mapping[str, Any], schedule: Mapping[str, Any]) -> Service:
    """With the Schedule's own lengths before the service's."""
    ref = resources.own_reference(resource)
    own = [
        parameters
        for parameters in _parameters(schedule)
        if any(
            resources.reference(found.get("valueReference"), "HealthcareService") == ref
            for found in resources.extensions(parameters, "service")
        )
    ]
    stated = [*own, *_parameters(resource)]

    def minutes(name: str) -> int | None:
        lengths = (
            _length(found.get("valueDuration"))
            for parameters in stated
            for found in resources.extensions(parameters, name)
        )
        return next((length for length in lengths if length is not None), None)

    names = {
        (resources.text(coding.get("system")), resources.text(coding.get("code")))
        for concept in resources.mappings(resource.get("type"))
        for coding in resources.mappings(concept.get("coding"))
    }
    names |= {
        (resources.text(node.get("system")), resources.text(node.get("value")))
        for node in resources.mappings(resource.get("identifier"))
    }
    return Service(
        ref=ref,
        names=frozenset(names),
        minutes=minutes("duration"),
        minutes_before=minutes("bufferBefore") or 0,
        minutes_after=minutes("bufferAfter") or 0,
    )


def _length(value: object) -> int | None:
    duration = resources.mapping(value)
    amount = duration.get("value")
    units = {resources.text(duration.get("unit")).casefold(), resources.text(duration.get("code")).casefold()}
    if isinstance(amount, bool) or not isinstance(amount, int | float) or amount != int(amount):
        return None
    if units & _MINUTES:
        return int(amount)
    return int(amount) * 60 if units & _HOURS else None
