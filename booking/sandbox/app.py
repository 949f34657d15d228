"""Puts the sandbox together: one EHR, the FHIR framework around it, and the edge around that."""

from pathlib import Path
from typing import Literal

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from .appointments import provide_appointments
from .auth import Auth
from .capabilities import config_file
from .control import StaffScreen, control_app
from .directory_api import provide_directory
from .edge import SERVED, Edge, not_found_page
from .ehr import Clock, Ehr, system_clock
from .framework import FHIRProvider, FHIRStarter, quiet
from .given import read_roster
from .patients import provide_patients
from .r4.app import create_r4_app
from .r4.edge import R4Edge
from .strikes import outcome

CLIENT_ID, CLIENT_SECRET = "portal-demo", "portal-demo-secret"

Manners = Literal["canvas", "medplum", "r4"]


def create_sandbox(
    database: str | Path,
    manners: Manners = "canvas",
    *,
    clock: Clock = system_clock,
    client_id: str = CLIENT_ID,
    client_secret: str = CLIENT_SECRET,
    control: bool = False,
    jwks: Path | None = None,
    roster: Path | None = None,
) -> Edge | R4Edge:
    """The sandbox with the manners asked for.

    `jwks` is a file of public keys, for plain R4 alone; `roster` one of a clinic (see `given`), for Canvas' alone.
    Raises RosterUnusable.
    """
    if manners == "canvas":
        return create_app(
            database,
            clock=clock,
            client_id=client_id,
            client_secret=client_secret,
            control=control,
            roster=roster,
        )
    return create_r4_app(
        database,
        manners,
        clock=clock,
        client_id=client_id,
        client_secret=client_secret,
        control=control,
        jwks=jwks,
    )


def create_app(
    database: str | Path,
    *,
    clock: Clock = system_clock,
    client_id: str = CLIENT_ID,
    client_secret: str = CLIENT_SECRET,
    control: bool = False,
    roster: Path | None = None,
) -> Edge:
    """An ASGI application with Canvas's manners over `database`, which is made and seeded if it does not exist.

    `clock` returns an aware datetime and decides every "now" and "today" in the clinic.
    """
    ehr = Ehr(database, clock, read_roster(roster) if roster else None)
    provider = FHIRProvider()
    provide_directory(provider, ehr)
    provide_patients(provider, ehr)
    provide_appointments(provider, ehr)
    # No OpenAPI pages: the framework's would fetch examples from the internet.
    with quiet():
        fhir = FHIRStarter(title="Sandbox EHR", config_file=config_file(), openapi_url=None)
        fhir.add_providers(provider)
    fhir.add_exception_handler(HTTPException, _unrouted)
    auth = Auth(ehr, client_id, client_secret)
    return Edge(fhir, ehr, auth, control_app(ehr, StaffScreen(ehr)) if control else None)


async def _unrouted(request: Request, error: HTTPException) -> Response:
    """Paths and methods the framework has no route for: FHIR wording under a resource type, a web page elsewhere."""
    parts = request.url.path.split("/")[1:]
    if error.status_code == 405:
        return outcome(405, "not-supported", "Operation is not supported")
    if parts[0] in SERVED and error.status_code == 404:
        return outcome(404, "not-found", f"Unknown {parts[0]} resource '{'/'.join(parts[1:])}'")
    return not_found_page()
