"""The control address: switches, faults, the write log, and what clinic staff do at their own screens.

Served only with --control. No part of it exists in Canvas, and nothing a portal does may depend on it.
"""

import sqlite3
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import visits, write_log
from .calls import Calls
from .catalog import OTHER_EVENT
from .ehr import Ehr
from .faults import Fault, Faults
from .notices import Notices
from .seed import JsonObject
from .store import Store
from .switches import SwitchBoard
from .visits import REPLACED, REPLACEMENT, Visit

STAFF = "staff"

Handler = Callable[[Request], Awaitable[Response]]


class Controlled(Protocol):
    """What the control address needs of an EHR, whatever its manners."""

    @property
    def store(self) -> Store: ...
    @property
    def switches(self) -> SwitchBoard: ...
    @property
    def faults(self) -> Faults: ...
    @property
    def calls(self) -> Calls: ...
    @property
    def notices(self) -> Notices: ...
    def reseed(self) -> None: ...


class Screen(Protocol):
    """What staff do. Times are whole minutes since the epoch; every answer is an Appointment's id."""

    def cancel(self, id_: str) -> str: ...
    def reschedule(self, id_: str, starts: int, ends: int) -> str: ...
    def book(self, practitioner_id: str, starts: int, ends: int) -> str: ...


def control_app(ehr: Controlled, screen: Screen) -> Starlette:
    async def faults(request: Request) -> Response:
        if request.method == "POST":
            ehr.faults.add(Fault.from_json(await _json(request)))
        elif request.method == "DELETE":
            ehr.faults.clear()
        return JSONResponse({"faults": ehr.faults.as_list()})

    async def switches(request: Request) -> Response:
        if request.method == "PUT":
            ehr.switches.change(await _json(request))
        return JSONResponse(ehr.switches.as_dict())

    async def reset(request: Request) -> Response:
        """The clinic as first seeded, with default switches and no faults."""
        ehr.faults.clear()
        ehr.notices.stop()
        ehr.switches.restore_defaults()
        await run_in_threadpool(ehr.reseed)
        ehr.calls.reset()
        return JSONResponse({"status": "ok"})

    async def log(request: Request) -> Response:
        after = request.query_params.get("after", "0")
        if not after.isascii() or not after.isdigit():
            raise ValueError("after is the seq of an entry.")
        return JSONResponse({"entries": write_log.entries(ehr.store, int(after))})

    async def calls(request: Request) -> Response:
        return JSONResponse(ehr.calls.as_dict())

    async def slot_searches(request: Request) -> Response:
        return JSONResponse(ehr.calls.slot_searches())

    async def notices(request: Request) -> Response:
        """Where to tell of changes, ``{"url", "secret"}``; DELETE ends it."""
        if request.method == "PUT":
            body = await _json(request)
            url, secret = str(body.get("url", "")), str(body.get("secret", ""))
            await run_in_threadpool(ehr.notices.send_to, url, secret)
        elif request.method == "DELETE":
            ehr.notices.stop()
        return JSONResponse(ehr.notices.as_dict())

    async def cancel(request: Request) -> Response:
        return JSONResponse({"id": await run_in_threadpool(screen.cancel, request.path_params["id"])})

    async def reschedule(request: Request) -> Response:
        span = _span(await _json(request))
        id_ = await run_in_threadpool(screen.reschedule, request.path_params["id"], *span)
        return JSONResponse({"id": id_}, 201)

    async def book(request: Request) -> Response:
        body = await _json(request)
        id_ = await run_in_threadpool(screen.book, str(body.get("practitioner", "")), *_span(body))
        return JSONResponse({"id": id_}, 201)

    async def refused(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 400)

    async def not_found(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        return JSONResponse({"error": "There is no such control or record."}, status)

    return Starlette(
        routes=[
            Route("/_control/faults", faults, methods=["GET", "POST", "DELETE"]),
            Route("/_control/switches", switches, methods=["GET", "PUT"]),
            Route("/_control/reset", reset, methods=["POST"]),
            Route("/_control/log", log, methods=["GET"]),
            Route("/_control/calls", calls, methods=["GET"]),
            Route("/_control/calls/slots", slot_searches, methods=["GET"]),
            Route("/_control/notices", notices, methods=["GET", "PUT", "DELETE"]),
            Route("/_control/staff/cancel/{id}", cancel, methods=["POST"]),
            Route("/_control/staff/reschedule/{id}", reschedule, methods=["POST"]),
            Route("/_control/staff/book", book, methods=["POST"]),
        ],
        exception_handlers={ValueError: refused, HTTPException: not_found, LookupError: not_found},
    )


class StaffScreen:
    """What staff do in the EHR itself: it ignores double booking and leaves its mark in the write log as "staff"."""

    def __init__(self, ehr: Ehr) -> None:
        self._ehr = ehr

    def cancel(self, id_: str) -> str:
        with self._ehr.store.writing() as connection:
            visit = self._find(connection, id_)
            visit.status = "cancelled"
            self._save(connection, "PUT", visit)
        return id_

    def reschedule(self, id_: str, starts: int, ends: int) -> str:
        """Makes a new appointment, cancels the old, and links each to the other: Canvas's own screen never moves one."""
        with self._ehr.store.writing() as connection:
            old = self._find(connection, id_)
            new = replace(
                old,
                id=str(uuid.uuid4()),
                status="booked",
                starts=starts,
                ends=ends,
                identifiers=[],
                note_id=str(uuid.uuid4()) if old.note_id else None,
                encounter_id=str(uuid.uuid4()) if old.encounter_id else None,
                links=[(REPLACED, old.id)],
            )
            old.status = "cancelled"
            old.links = [*old.links, (REPLACEMENT, new.id)]
            self._save(connection, "PUT", old)
            self._save(connection, "POST", new)
        return new.id

    def book(self, practitioner_id: str, starts: int, ends: int) -> str:
        """Takes a time for something else, with no patient: an "other event"."""
        directory = self._ehr.directory
        person = directory.people.get(practitioner_id.removeprefix("Practitioner/"))
        if person is None:
            raise ValueError("practitioner is the id of a member of staff.")
        visit = Visit(
            id=str(uuid.uuid4()),
            status="booked",
            starts=starts,
            ends=ends,
            practitioner_id=person.id,
            patient_id=None,
            location_id=next(iter(directory.places.values())).id,
            kind=OTHER_EVENT,
            reason_text="Booked at the desk",
        )
        with self._ehr.store.writing() as connection:
            self._save(connection, "POST", visit)
        return visit.id

    def _find(self, connection: sqlite3.Connection, id_: str) -> Visit:
        row = connection.execute("SELECT * FROM appointment WHERE id = ?", (id_,)).fetchone()
        if row is None:
            raise LookupError(id_)
        return visits.from_row(row)

    def _save(self, connection: sqlite3.Connection, method: str, visit: Visit) -> None:
        now = self._ehr.now()
        write = visits.insert if method == "POST" else visits.replace
        stored = write(connection, visit, self._ehr.directory, now.timestamp())
        write_log.record(connection, now, method, stored, STAFF)


async def _json(request: Request) -> JsonObject:
    value = await request.json()
    if not isinstance(value, dict):
        raise ValueError("The body is a JSON object.")
    return value


def _span(body: JsonObject) -> tuple[int, int]:
    """Start and end of a staff action, as whole minutes; both must say their zone."""
    moments = [datetime.fromisoformat(str(body.get(name, ""))) for name in ("start", "end")]
    if any(moment.tzinfo is None for moment in moments):
        raise ValueError("start and end are instants with a zone.")
    starts, ends = (int(moment.timestamp()) // 60 for moment in moments)
    if ends <= starts:
        raise ValueError("end is after start.")
    return starts, ends
