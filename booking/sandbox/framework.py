"""The one door to fhirstarter: picks FHIR R4B before the framework reads its environment, and silences its own warnings.

Owns nothing of the clinic. Everything that needs the framework imports it from here.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

os.environ["FHIR_SEQUENCE"] = "R4B"


@contextmanager
def quiet() -> Iterator[None]:
    """fhirstarter 4.2 still uses names that FastAPI and Starlette have since renamed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", module=r"fhirstarter\..*")
        yield


with quiet():
    from fastapi.exceptions import RequestValidationError
    from fhir.resources.R4B.appointment import Appointment
    from fhir.resources.R4B.bundle import Bundle
    from fhir.resources.R4B.healthcareservice import HealthcareService
    from fhir.resources.R4B.location import Location
    from fhir.resources.R4B.parameters import Parameters
    from fhir.resources.R4B.patient import Patient
    from fhir.resources.R4B.practitioner import Practitioner
    from fhir.resources.R4B.practitionerrole import PractitionerRole
    from fhir.resources.R4B.schedule import Schedule
    from fhir.resources.R4B.slot import Slot
    from fhirstarter import FHIRProvider, FHIRStarter, InteractionContext
    from fhirstarter.exceptions import (
        FHIRBadRequestError,
        FHIRForbiddenError,
        FHIRGeneralError,
        FHIRPreconditionFailedError,
        FHIRResourceNotFoundError,
    )
    from fhirstarter.fhir_specification import FHIR_VERSION

if not FHIR_VERSION.startswith("4.3"):
    raise RuntimeError("fhirstarter was imported before the sandbox could choose FHIR R4B for it.")


def refuse(text: str) -> NoReturn:
    """A business rule said no: 422."""
    raise FHIRGeneralError(422, "error", "business-rule", text)


def bad_request(text: str) -> NoReturn:
    """The request itself is malformed: 400."""
    raise FHIRBadRequestError("invalid", text)


def field_required(*path: str) -> NoReturn:
    """A field FHIR leaves optional but Canvas requires; worded by the framework like its own missing fields.

    Inferred: the documentation marks these fields required without printing the answer to their absence.
    """
    error = {"type": "missing", "loc": ("body", *path), "msg": "Field required", "input": None}
    raise RequestValidationError([error])


__all__ = [
    "Appointment",
    "Bundle",
    "FHIRBadRequestError",
    "FHIRForbiddenError",
    "FHIRGeneralError",
    "FHIRPreconditionFailedError",
    "FHIRProvider",
    "FHIRResourceNotFoundError",
    "FHIRStarter",
    "HealthcareService",
    "InteractionContext",
    "Location",
    "Parameters",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Schedule",
    "Slot",
    "bad_request",
    "field_required",
    "quiet",
    "refuse",
]
