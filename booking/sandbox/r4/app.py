"""Puts an R4 server together: one clinic, its interactions, and the edge around them."""

from pathlib import Path

from ..control import control_app
from ..ehr import Clock
from .assertions import Assertions
from .clinic import Clinic, Manners
from .edge import R4Edge
from .interactions import Interactions
from .operations import MedplumOperations
from .serializing import Serializer
from .staff import R4StaffScreen
from .tokens import Tokens


def create_r4_app(
    database: str | Path,
    manners: Manners,
    *,
    clock: Clock,
    client_id: str,
    client_secret: str,
    control: bool,
    jwks: Path | None,
) -> R4Edge:
    """`jwks` is the file of a client's public keys, which only plain R4 asks for."""
    assertions = Assertions(jwks, clock) if jwks is not None and manners == "r4" else None
    clinic = Clinic(database, manners, clock)
    serializer = Serializer(clinic)
    operations = None if clinic.medplum is None else MedplumOperations(clinic, clinic.medplum, serializer)
    return R4Edge(
        clinic,
        Interactions(clinic, serializer, operations),
        Tokens(clinic, client_id, client_secret, assertions),
        control_app(clinic, R4StaffScreen(clinic)) if control else None,
    )
