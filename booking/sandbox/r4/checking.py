"""Bodies held against FHIR's own definitions: no unknown property, no wrong type, no missing required one."""

import json
from typing import Any

from pydantic import BaseModel, ValidationError

from ..framework import (
    Appointment,
    Bundle,
    HealthcareService,
    Location,
    Parameters,
    Patient,
    Practitioner,
    PractitionerRole,
    Schedule,
    Slot,
)
from ..seed import JsonObject
from .outcomes import Refused

MODELS: dict[str, type[BaseModel]] = {
    "Appointment": Appointment,
    "HealthcareService": HealthcareService,
    "Location": Location,
    "Patient": Patient,
    "Practitioner": Practitioner,
    "PractitionerRole": PractitionerRole,
    "Schedule": Schedule,
    "Slot": Slot,
}
# The framework's models take any word for a code; these two decide who gets a time.
_STATUSES = {
    "Slot": frozenset({"busy", "free", "busy-unavailable", "busy-tentative", "entered-in-error"}),
    "Appointment": frozenset(
        {
            "proposed",
            "pending",
            "booked",
            "arrived",
            "fulfilled",
            "cancelled",
            "noshow",
            "entered-in-error",
            "checked-in",
            "waitlist",
        }
    ),
}
# Where the models would take a number for a moment, or anything for a server's own.
_TEXTS = frozenset(
    {"start", "end", "birthDate", "valueDateTime", "valueTime", "availableStartTime", "availableEndTime"}
)
_WHOLES = frozenset({"meta", "resource"})
_BODIES: dict[str, type[BaseModel]] = {**MODELS, "Bundle": Bundle, "Parameters": Parameters}


def parsed(body: bytes) -> JsonObject:
    try:
        value = json.loads(body)
    except ValueError:
        raise Refused(400, "structure", "Content could not be parsed") from None
    if not isinstance(value, dict):
        raise Refused(400, "structure", "Content is not a resource")
    return value


def checked(resource: JsonObject, kind: str) -> JsonObject:
    """The resource as it was given, if it is a valid `kind`; a server's own `meta` is not looked at."""
    if resource.get("resourceType") != kind:
        raise Refused(400, "invalid", f"Incorrect resource type: expected {kind}")
    _look_through(resource, kind)
    looked_at = {name: value for name, value in resource.items() if name != "meta"}
    try:
        _BODIES[kind].model_validate(looked_at)
    except ValidationError as error:
        raise _refusal(error, kind) from None
    except (KeyError, TypeError, AttributeError):
        # How the models fail on a resource inside of another that is of no known type, or is no resource.
        raise Refused(400, "structure", "Invalid resource inside of a resource", expression=kind) from None
    if kind in _STATUSES and resource["status"] not in _STATUSES[kind]:
        raise Refused(
            400, "invalid", f"Invalid {kind} status {resource['status']!r}", expression=f"{kind}.status"
        )
    return resource


def _look_through(value: Any, path: str) -> None:
    """JSON that FHIR has no meaning for, and that the models would let pass."""
    if value is None or value in ([], {}):
        raise Refused(400, "structure", "Invalid null or empty value", expression=path)
    if isinstance(value, list):
        for each in value:
            _look_through(each, path)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name in _TEXTS and not isinstance(each, str):
                raise Refused(
                    400, "structure", f"Invalid JSON type: {name} is a string", expression=f"{path}.{name}"
                )
            if name in _WHOLES and not isinstance(each, dict):
                raise Refused(
                    400, "structure", f"Invalid JSON type: {name} is an object", expression=f"{path}.{name}"
                )
            _look_through(each, f"{path}.{name}")


def _refusal(error: ValidationError, kind: str) -> Refused:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = [str(part) for part in first["loc"] if not _is_model_name(part)]
    if first["type"] == "extra_forbidden":
        text = f'Invalid additional property "{path[-1] if path else ""}"'
        return Refused(400, "structure", text, expression=".".join([kind, *path]))
    text = f"{'.'.join([kind, *path])}: {first['msg']}"
    return Refused(400, "invalid", text, expression=".".join([kind, *path]))


def _is_model_name(part: Any) -> bool:
    return isinstance(part, str) and part[:1].isupper()
