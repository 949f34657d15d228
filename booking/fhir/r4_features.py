"""What an R4 server offers, read from its CapabilityStatement. What is not stated counts as not offered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import resources


@dataclass(frozen=True, slots=True)
class Offered:
    """For one type of resource. ``is_versioned`` says that an update may be made to depend on the version read,
    ``creates_conditionally`` that a create may be on condition that there is none like it (If-None-Exist)."""

    interactions: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()
    includes: frozenset[str] = frozenset()
    is_versioned: bool = False
    creates_conditionally: bool = False


_NOTHING = Offered()


@dataclass(frozen=True, slots=True)
class Features:
    by_type: Mapping[str, Offered] = field(default_factory=dict)

    def of(self, resource_type: str) -> Offered:
        return self.by_type.get(resource_type, _NOTHING)

    def does(self, resource_type: str, interaction: str) -> bool:
        return interaction in self.of(resource_type).interactions

    def searches(self, resource_type: str, *parameters: str) -> bool:
        offered = self.of(resource_type)
        return "search-type" in offered.interactions and offered.parameters.issuperset(parameters)

    @property
    def updates_conditionally(self) -> bool:
        """Whether a Slot can be claimed so that only the first to do so gets it."""
        return self.updates_slots and self.of("Slot").is_versioned

    @property
    def updates_slots(self) -> bool:
        return self.does("Slot", "update")

    @property
    def includes_actors(self) -> bool:
        return bool(self.of("Schedule").includes & {"Schedule:actor", "*"})


def read_features(statement: Mapping[str, Any]) -> Features:
    found: dict[str, Offered] = {}
    for rest in resources.mappings(statement.get("rest")):
        for node in resources.mappings(rest.get("resource")) if rest.get("mode") == "server" else []:
            found[resources.text(node.get("type"))] = Offered(
                interactions=_names(node.get("interaction"), "code"),
                parameters=_names(node.get("searchParam"), "name"),
                includes=frozenset(resources.texts(node.get("searchInclude"))),
                is_versioned=node.get("versioning") in ("versioned", "versioned-update"),
                creates_conditionally=node.get("conditionalCreate") is True,
            )
    return Features(found)


def findings(features: Features) -> Iterator[str]:
    """What the portal misses, each with what to do about it."""
    for kind, what in _NEEDED_SEARCHES.items():
        if not features.does(kind, "search-type"):
            yield f"The server does not search {kind}, so there is {what}. Switch that search on, or give our client its scope."
    missing = [name for name in ("schedule", "start") if not features.searches("Slot", name)]
    if features.does("Slot", "search-type") and missing:
        yield (
            f"Slot cannot be searched by {' and '.join(missing)}, so no free times can be read. "
            "Switch on these search parameters."
        )
    if not features.does("Appointment", "create"):
        yield (
            "The server does not take new Appointments, so nothing can be booked. "
            "Switch on create for Appointment, or give our client its scope."
        )
    if not features.does("Patient", "create"):
        yield (
            "The server does not take new Patients, so only people on file can book. "
            "Switch on create for Patient if new patients are to book."
        )
    if not features.does("Appointment", "update"):
        yield (
            "Appointments cannot be updated, so patients cannot cancel or move a visit here. "
            "Switch on update for Appointment."
        )
    if not features.updates_slots:
        yield (
            "Slots cannot be updated, so the portal can neither hold a time nor mark it busy. "
            "Switch on update for Slot, or make sure that the server itself turns the Slots of an Appointment busy."
        )
    elif not features.of("Slot").is_versioned:
        yield (
            "Slot updates do not depend on versions, so two bookings of one time can cross. "
            "Switch on versioned updates (If-Match) for Slot."
        )
    for kind, what in (
        ("Appointment", "a booking whose answer was lost"),
        ("Patient", "a patient made before"),
    ):
        if features.does(kind, "search-type") and not features.searches(kind, "identifier"):
            yield (
                f"{kind} cannot be searched by identifier, so {what} is found by other marks only. "
                f"Switch on the search parameter identifier for {kind}."
            )


_NEEDED_SEARCHES = {
    "Schedule": "nobody to book",
    "Slot": "no free time to offer",
    "Practitioner": "no list of clinicians",
    "Location": "no list of places",
    "Appointment": "no look-up of what became of a booking",
    "Patient": "no way to find a patient on file",
}


def _names(value: object, key: str) -> frozenset[str]:
    return frozenset(filter(None, (resources.text(node.get(key)) for node in resources.mappings(value))))
