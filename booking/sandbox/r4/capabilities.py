"""The CapabilityStatement: what is served now, with the switches as they are.

Medplum's own says nothing of its scheduling operations, and promises transactions whether or not they are on (its
source, metadata.ts); so does this one in its manners.
"""

from typing import Any

from ..seed import JsonObject
from .clinic import Clinic
from .parameters import PARAMETERS, Parameter

SERVED = tuple(PARAMETERS)

_READING = ("read", "search-type")
_PLAIN_WRITES = {
    "Appointment": ("create", "update", "patch"),
    "Patient": ("create", "update", "patch"),
    "Slot": ("update", "patch"),
}
_EVERYTHING = (*_READING, "create", "update", "patch", "delete")
_BUNDLES = [{"code": "transaction"}, {"code": "batch"}]
_OPERATIONS = ("find", "hold", "confirm", "book", "cancel", "reschedule")


def is_allowed(clinic: Clinic, kind: str, interaction: str) -> bool:
    return interaction in _interactions(clinic, kind)


def operations(version: str) -> tuple[str, ...]:
    """Those a Medplum version has (5.1.12 knew no $confirm, and neither measured version $reschedule)."""
    missing = {"5.1.12": {"confirm", "reschedule"}, "5.1.13": {"reschedule"}}.get(version, set())
    return tuple(name for name in _OPERATIONS if name not in missing)


def capability_statement(clinic: Clinic, base: str) -> JsonObject:
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-11-01",
        "kind": "instance",
        "software": _software(clinic),
        "implementation": {"description": "Sandbox EHR", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        **({"patchFormat": ["application/json-patch+json"]} if is_allowed(clinic, "Slot", "patch") else {}),
        "rest": [
            {
                "mode": "server",
                "security": {
                    "service": [
                        {
                            "coding": [
                                {
                                    "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                                    "code": "SMART-on-FHIR",
                                }
                            ]
                        }
                    ]
                },
                "resource": [_resource(clinic, kind) for kind in SERVED],
                **({} if clinic.medplum is None else {"interaction": _BUNDLES}),
            }
        ],
    }


def _software(clinic: Clinic) -> JsonObject:
    """Medplum's version has a build's name after it; the beta is the newest release known here."""
    if clinic.medplum is None:
        return {"name": "Sandbox EHR"}
    version = clinic.medplum.medplum_version
    return {"name": "medplum", "version": f"{'5.2.13' if version == 'beta' else version}-sandbox"}


def _resource(clinic: Clinic, kind: str) -> JsonObject:
    plain = clinic.plain
    parts: JsonObject = {
        "type": kind,
        "interaction": [{"code": code} for code in _interactions(clinic, kind)],
        "versioning": _versioning(clinic),
        "readHistory": False,
        "updateCreate": False,
        "conditionalCreate": plain is None or plain.conditional_create,
        "conditionalUpdate": plain is None,
        "searchInclude": _includes(clinic, kind),
        "searchParam": [
            {"name": name, "type": parameter.kind} for name, parameter in _searchable(clinic, kind).items()
        ],
    }
    return {name: value for name, value in parts.items() if value != []}


def _versioning(clinic: Clinic) -> str:
    if clinic.plain is None:
        return "versioned"
    return "versioned-update" if clinic.plain.conditional_update else "no-version"


def _interactions(clinic: Clinic, kind: str) -> tuple[str, ...]:
    if clinic.plain is None:
        return _EVERYTHING
    writes: tuple[Any, ...] = _PLAIN_WRITES.get(kind, ())
    return (*_READING, *(each for each in writes if each != "patch" or clinic.plain.json_patch))


def _includes(clinic: Clinic, kind: str) -> list[str]:
    if not clinic.habits(kind).with_includes:
        return []
    return [f"{kind}:{name}" for name, parameter in PARAMETERS[kind].items() if parameter.kind == "reference"]


def _searchable(clinic: Clinic, kind: str) -> dict[str, Parameter]:
    ignored = clinic.habits(kind).ignored
    return {name: parameter for name, parameter in PARAMETERS[kind].items() if name not in ignored}
