"""The search parameters served, and how each finds its values in a resource.

Names and meanings are FHIR R4's; `end` of Slot and Appointment is Medplum's own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ..seed import JsonObject

Kind = Literal["token", "reference", "string", "date"]

ZONE_EXTENSION = "http://hl7.org/fhir/StructureDefinition/timezone"


@dataclass(frozen=True, slots=True)
class Parameter:
    """`paths` lead to elements. `column` is set when the record table itself holds the value."""

    kind: Kind
    paths: tuple[str, ...]
    column: str | None = None
    only_system: str | None = None


def _token(*paths: str, column: str | None = None, only_system: str | None = None) -> Parameter:
    return Parameter("token", paths, column, only_system)


def _reference(*paths: str, column: str | None = None) -> Parameter:
    return Parameter("reference", paths, column)


def _string(*paths: str) -> Parameter:
    return Parameter("string", paths)


def _date(path: str, column: str) -> Parameter:
    return Parameter("date", (path,), column)


_PERSON = {
    "identifier": _token("identifier"),
    "active": _token("active"),
    "family": _string("name.family"),
    "given": _string("name.given"),
    "name": _string("name.family", "name.given", "name.text", "name"),
    "telecom": _token("telecom"),
    "email": _token("telecom", only_system="email"),
    "phone": _token("telecom", only_system="phone"),
    "gender": _token("gender"),
}
_CONCEPTS = {
    "service-type": _token("serviceType"),
    "service-category": _token("serviceCategory"),
    "specialty": _token("specialty"),
    "appointment-type": _token("appointmentType"),
}

PARAMETERS: dict[str, dict[str, Parameter]] = {
    "Patient": {
        **_PERSON,
        "birthdate": _date("birthDate", "born"),
        "address-state": _string("address.state"),
    },
    "Practitioner": _PERSON,
    "PractitionerRole": {
        "identifier": _token("identifier"),
        "active": _token("active"),
        "practitioner": _reference("practitioner"),
        "location": _reference("location"),
        "service": _reference("healthcareService"),
        "role": _token("code"),
        "specialty": _token("specialty"),
    },
    "Location": {
        "identifier": _token("identifier"),
        "name": _string("name", "alias"),
        "status": _token("status", column="status"),
        "address-state": _string("address.state"),
        "address-city": _string("address.city"),
        "type": _token("type"),
    },
    "HealthcareService": {
        "identifier": _token("identifier"),
        "active": _token("active"),
        "name": _string("name"),
        "service-type": _token("type"),
        "service-category": _token("category"),
        "specialty": _token("specialty"),
        "location": _reference("location"),
    },
    "Schedule": {
        "identifier": _token("identifier"),
        "active": _token("active"),
        "actor": _reference("actor"),
        "service-type": _token("serviceType"),
        "service-category": _token("serviceCategory"),
        "specialty": _token("specialty"),
    },
    "Slot": {
        **_CONCEPTS,
        "identifier": _token("identifier"),
        "schedule": _reference("schedule", column="schedule"),
        "status": _token("status", column="status"),
        "start": _date("start", "starts"),
        "end": _date("end", "ends"),
        # One column of all codes instead of rows: there are thousands of Slots and three codes to each.
        "service-type": _token("serviceType", column="kinds"),
    },
    "Appointment": {
        **_CONCEPTS,
        "identifier": _token("identifier"),
        "status": _token("status", column="status"),
        "date": _date("start", "starts"),
        "end": _date("end", "ends"),
        "actor": _reference("participant.actor"),
        "patient": _reference("participant.actor"),
        "practitioner": _reference("participant.actor"),
        "location": _reference("participant.actor"),
        "slot": _reference("slot"),
        "reason-code": _token("reasonCode"),
        "part-status": _token("participant.status"),
        "supporting-info": _reference("supportingInformation"),
    },
}

# Medplum's own; to any other server they are unknown.
EXTRAS = frozenset({"end"})

# Of all references in an element, those a parameter named like its target means.
TARGETS = {"patient": "Patient", "practitioner": "Practitioner", "location": "Location"}


def elements(value: Any, path: str) -> Iterator[Any]:
    """Everything at a dotted path, lists opened up."""
    if isinstance(value, list):
        for each in value:
            yield from elements(each, path)
    elif not path:
        if value is not None:
            yield value
    elif isinstance(value, dict):
        head, _, rest = path.partition(".")
        yield from elements(value.get(head), rest)


def terms(resource: JsonObject) -> Iterator[tuple[str, str, str]]:
    """(Type.parameter, system, value) of every value that is found through the table of terms."""
    kind = resource["resourceType"]
    for name, parameter in PARAMETERS[kind].items():
        if parameter.column is not None:
            continue
        for path in parameter.paths:
            for element in elements(resource, path):
                for system, value in _values(parameter, name, element):
                    yield f"{kind}.{name}", system, value


def codes(resource: JsonObject, path: str) -> str:
    """All system|code of an element in one string, each with a blank before and after."""
    found = [f"{system}|{code}" for element in elements(resource, path) for system, code in _tokens(element)]
    return f" {' '.join(found)} " if found else ""


def _values(parameter: Parameter, name: str, element: Any) -> Iterator[tuple[str, str]]:
    if parameter.kind == "reference":
        target = element.get("reference") if isinstance(element, dict) else None
        wanted = TARGETS.get(name)
        if target and (wanted is None or target.startswith(f"{wanted}/")):
            yield "", target
    elif parameter.kind == "string":
        if isinstance(element, dict):
            element = " ".join([*element.get("given", ()), element.get("family", "")]).strip()
        yield element, element.casefold()
    elif parameter.only_system is not None:
        if element.get("system") == parameter.only_system and element.get("value"):
            yield parameter.only_system, element["value"].casefold()
    else:
        yield from _tokens(element)


def _tokens(element: Any) -> Iterator[tuple[str, str]]:
    if isinstance(element, bool):
        yield "", "true" if element else "false"
    elif isinstance(element, str):
        yield "", element
    elif isinstance(element, dict):
        if "coding" in element or "text" in element:
            for coding in element.get("coding", ()):
                yield coding.get("system") or "", coding.get("code") or ""
        else:
            yield element.get("system") or "", element.get("value") or element.get("code") or ""
