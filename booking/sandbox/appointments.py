"""Appointment create, read, update and search (Canvas documentation, Appointment page).

Owns the order of things in a write: lock, look, decide, store and log, all in one transaction.
"""

import sqlite3

from starlette.concurrency import run_in_threadpool

from . import visits, write_log
from .access import only_patient, token_of
from .bundles import Page, resource
from .dates import date_filter
from .ehr import Ehr
from .framework import (
    Appointment,
    Bundle,
    FHIRProvider,
    FHIRResourceNotFoundError,
    InteractionContext,
    refuse,
)
from .preconditions import unmodified_since
from .queries import Search, order_by
from .seed import JsonObject
from .visit_rules import TIME_TAKEN, VisitRules
from .visits import Visit

_SORTS = {"date": "starts", "patient": "patient_id", "practitioner": "practitioner_id"}


def provide_appointments(provider: FHIRProvider, ehr: Ehr) -> None:
    writer = _Writer(ehr)

    @provider.create(Appointment)
    async def appointment_create(context: InteractionContext, appointment: Appointment) -> str:
        body = await context.request.json()
        return await run_in_threadpool(writer.create, context, body)

    @provider.update(Appointment)
    async def appointment_update(context: InteractionContext, id_: str, appointment: Appointment) -> str:
        body = await context.request.json()
        return await run_in_threadpool(writer.update, context, id_, body)

    @provider.read(Appointment)
    async def appointment_read(context: InteractionContext, id_: str) -> Appointment:
        row = ehr.store.row("SELECT resource, patient_id FROM appointment WHERE id = ?", (id_,))
        if row is None:
            raise FHIRResourceNotFoundError
        only_patient(context, row["patient_id"])
        return resource(Appointment, row["resource"])

    @provider.search_type(Appointment)
    async def appointment_search(
        context: InteractionContext,
        _id: str | None = None,
        appointment_type: str | None = None,
        date: list[str] | None = None,
        identifier: str | None = None,
        location: str | None = None,
        patient: str | None = None,
        practitioner: str | None = None,
        status: str | None = None,
        _sort: str | None = None,
    ) -> Bundle:
        search = Search("appointment")
        own = token_of(context).patient_id
        if own is not None:
            if patient is not None:
                only_patient(context, patient.removeprefix("Patient/"))
            search.where("patient_id = ?", own)
        if _id is not None:
            search.where("id = ?", _id)
        if patient is not None:
            search.where("patient_id = ?", _typed(patient, "Patient"))
        if practitioner is not None:
            search.where("practitioner_id = ?", _typed(practitioner, "Practitioner"))
        if location is not None:
            place = ehr.directory.place(_typed(location, "Location") or "")
            search.where("location_id = ?", place.id if place else None)
        if status is not None:
            # One value per request; a list of several is one unknown status and finds nothing.
            search.where("status = ?", status)
        if appointment_type is not None:
            system, bar, code = appointment_type.rpartition("|")
            search.where("type_code = ?", code)
            if bar:
                search.where("type_system = ?", system)
        for text in date or ():
            search.where(*date_filter("date", text).sql("starts"))
        if identifier is not None:
            search.where_identifier(identifier)
            if lag := ehr.switches.search_lag_seconds:
                search.where("created_at <= ?", ehr.now().timestamp() - lag)
        return search.page(ehr.store, Page(context.request), order_by(_SORTS, _sort))


class _Writer:
    def __init__(self, ehr: Ehr) -> None:
        self._ehr = ehr

    def create(self, context: InteractionContext, body: JsonObject) -> str:
        ehr, now = self._ehr, self._ehr.now()
        with ehr.store.writing() as connection:
            visit = self._rules(connection).new_visit(body)
            only_patient(context, visit.patient_id)
            self._refuse_taken(connection, visit)
            stored = visits.insert(connection, visit, ehr.directory, now.timestamp())
            write_log.record(connection, now, "POST", stored, token_of(context).client_id)
        return visit.id

    def update(self, context: InteractionContext, id_: str, body: JsonObject) -> str:
        ehr, now = self._ehr, self._ehr.now()
        with ehr.store.writing() as connection:
            row = connection.execute("SELECT * FROM appointment WHERE id = ?", (id_,)).fetchone()
            if row is None:
                raise FHIRResourceNotFoundError
            only_patient(context, row["patient_id"])
            unmodified_since(context, row["updated_at"])
            visit = self._rules(connection).changed_visit(visits.from_row(row), body)
            self._refuse_taken(connection, visit)
            stored = visits.replace(connection, visit, ehr.directory, now.timestamp())
            write_log.record(connection, now, "PUT", stored, token_of(context).client_id)
        return id_

    def _refuse_taken(self, connection: sqlite3.Connection, visit: Visit) -> None:
        """Only with ALLOW_DOUBLE_BOOKING off, and then on update as on create."""
        if self._ehr.switches.allow_double_booking or not visit.holds_time:
            return
        if visits.is_taken(connection, visit):
            refuse(TIME_TAKEN)

    def _rules(self, connection: sqlite3.Connection) -> VisitRules:
        def knows_patient(patient_id: str) -> bool:
            found = connection.execute("SELECT 1 FROM patient WHERE id = ?", (patient_id,))
            return found.fetchone() is not None

        return VisitRules(self._ehr.directory, self._ehr.switches, knows_patient)


def _typed(reference: str, kind: str) -> str | None:
    """The id in Type/id; the documentation shows no other form, and another finds nothing (inferred)."""
    prefix = f"{kind}/"
    return reference.removeprefix(prefix) if reference.startswith(prefix) else None
