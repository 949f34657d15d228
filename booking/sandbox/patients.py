"""Patient create, read, update and search (Canvas documentation, Patient page).

Canvas requires more than FHIR does on create, and an update deletes what it is not sent. There is no duplicate
detection. The texts of refusals here are ours; the documentation prints none.
"""

import json
import re
import uuid
from datetime import date

from starlette.concurrency import run_in_threadpool

from . import patient_records, write_log
from .access import only_patient, token_of
from .bundles import Page, resource
from .catalog import BIRTHSEX, EXTENSIONS, MRN_SYSTEM
from .ehr import Ehr
from .framework import (
    Bundle,
    FHIRForbiddenError,
    FHIRProvider,
    FHIRResourceNotFoundError,
    InteractionContext,
    Patient,
    bad_request,
    field_required,
    refuse,
)
from .preconditions import unmodified_since
from .queries import Search, order_by
from .seed import JsonObject
from .visit_rules import identifiers

_BIRTHSEX_CODES = frozenset({"M", "F", "OTH", "UNK"})
_GENDERS = frozenset({"male", "female", "other", "unknown"})
_TELECOM_SYSTEMS = frozenset({"phone", "fax", "email", "pager", "url", "sms", "other"})
_STORED_TELECOM = {"sms": "phone", "url": "other"}
_EMPTIED = ("telecom", "address", "contact", "identifier")
_DROPPED_EXTENSIONS = frozenset(
    f"{EXTENSIONS}{name}"
    for name in ("preferred-pharmacy", "patient-default-provider", "patient-default-location")
)
_BIRTHDATE = re.compile(r"^(ge|gt|le|lt|eq)?(\d{4}-\d{2}-\d{2})$")
_COMPARISONS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<", "eq": "=", None: "="}
_SORTS = {"birthdate": "birthdate", "family": "family", "given": "given", "name": "name", "_id": "id"}


def provide_patients(provider: FHIRProvider, ehr: Ehr) -> None:
    writer = _Writer(ehr)

    @provider.create(Patient)
    async def patient_create(context: InteractionContext, patient: Patient) -> str:
        if token_of(context).patient_id is not None:
            raise FHIRForbiddenError("Authorization failed")
        return await run_in_threadpool(writer.create, context, await context.request.json())

    @provider.update(Patient)
    async def patient_update(context: InteractionContext, id_: str, patient: Patient) -> str:
        only_patient(context, id_)
        return await run_in_threadpool(writer.update, context, id_, await context.request.json())

    @provider.read(Patient)
    async def patient_read(context: InteractionContext, id_: str) -> Patient:
        only_patient(context, id_)
        row = ehr.store.row("SELECT resource FROM patient WHERE id = ?", (id_,))
        if row is None:
            raise FHIRResourceNotFoundError
        return resource(Patient, row["resource"])

    @provider.search_type(Patient)
    async def patient_search(
        context: InteractionContext,
        _id: str | None = None,
        active: str | None = None,
        birthdate: list[str] | None = None,
        email: str | None = None,
        family: str | None = None,
        gender: str | None = None,
        given: str | None = None,
        identifier: str | None = None,
        name: str | None = None,
        nickname: str | None = None,
        phone: str | None = None,
        _sort: str | None = None,
    ) -> Bundle:
        """Text matches are partial for name and from the start of a word otherwise (the latter inferred)."""
        search = Search("patient")
        own = token_of(context).patient_id
        if own is not None:
            search.where("id = ?", own)
        if _id is not None:
            search.where("id = ?", _id)
        if active is not None:
            search.where("active = ?", int(active == "true"))
        for text in birthdate or ():
            comparison, day = _born(text)
            search.where(f"birthdate {comparison} ?", day)
        if gender is not None:
            search.where("gender = ?", gender)
        if name is not None:
            search.where("instr(name, ?) > 0", name.casefold())
        for column, words in (("family", family), ("given", given), ("nickname", nickname)):
            if words is not None:
                search.where(f"instr(' ' || {column}, ' ' || ?) > 0", words.casefold())
        for system, value in (("phone", phone), ("email", email)):
            if value is not None:
                search.where(
                    "id IN (SELECT patient_id FROM contact WHERE value = ? AND system = ?)",
                    value.casefold(),
                    system,
                )
        if identifier is not None:
            search.where_identifier(identifier)
        if lag := ehr.switches.search_lag_seconds:
            search.where("created_at <= ?", ehr.now().timestamp() - lag)
        return search.page(ehr.store, Page(context.request), order_by(_SORTS, _sort))


class _Writer:
    def __init__(self, ehr: Ehr) -> None:
        self._ehr = ehr

    def create(self, context: InteractionContext, body: JsonObject) -> str:
        now = self._ehr.now()
        with self._ehr.store.writing() as connection:
            stored = _checked(body)
            (count,) = connection.execute("SELECT coalesce(max(seq), 0) FROM patient").fetchone()
            stored["id"] = uuid.uuid4().hex
            stored["identifier"] = [
                patient_records.medical_record_number(count + 1),
                *_without_mrn(stored.get("identifier", [])),
            ]
            stored.setdefault("active", True)
            patient_records.insert(connection, stored, now.timestamp())
            write_log.record(connection, now, "POST", stored, token_of(context).client_id)
        return str(stored["id"])

    def update(self, context: InteractionContext, id_: str, body: JsonObject) -> str:
        """Contacts, addresses and identifiers not sent back are gone; other optional fields left out stay."""
        now = self._ehr.now()
        with self._ehr.store.writing() as connection:
            found = connection.execute("SELECT resource, updated_at FROM patient WHERE id = ?", (id_,))
            row = found.fetchone()
            if row is None:
                raise FHIRResourceNotFoundError
            unmodified_since(context, row["updated_at"])
            before = json.loads(row["resource"])
            given = _checked(body)
            stored = {name: value for name, value in before.items() if name not in _EMPTIED} | given
            stored["id"] = id_
            stored["extension"] = _merged_extensions(before.get("extension", []), given["extension"])
            stored["identifier"] = [
                *(entry for entry in before["identifier"] if entry["system"] == MRN_SYSTEM),
                *_without_mrn(given.get("identifier", [])),
            ]
            patient_records.replace(connection, stored, now.timestamp())
            write_log.record(connection, now, "PUT", stored, token_of(context).client_id)
        return id_


def _checked(body: JsonObject) -> JsonObject:
    """The body with ids and defaults filled in, if it holds all that Canvas requires."""
    official = next((name for name in body.get("name", ()) if name.get("use") == "official"), None)
    if official is None:
        field_required("name")
    for part in ("family", "given"):
        if not official.get(part):
            field_required("name", part)
    for part in ("gender", "birthDate"):
        if not body.get(part):
            field_required(part)
    if body["gender"] not in _GENDERS:
        refuse(f"Patient gender {body['gender']} is not one of {', '.join(sorted(_GENDERS))}.")
    birthsex = next(
        (each.get("valueCode") for each in body.get("extension", ()) if each["url"] == BIRTHSEX), None
    )
    if birthsex is None:
        field_required("extension", "us-core-birthsex")
    if birthsex not in _BIRTHSEX_CODES:
        refuse(f"Patient birthsex {birthsex} is not one of {', '.join(sorted(_BIRTHSEX_CODES))}.")
    kept = dict(body)
    if "telecom" in body:
        kept["telecom"] = [_contact_point(number, entry) for number, entry in enumerate(body["telecom"])]
    if "identifier" in body:
        kept["identifier"] = identifiers(body["identifier"])
    for part in ("address", "contact"):
        if part in body:
            kept[part] = [{"id": str(uuid.uuid4()), **entry} for entry in body[part]]
    return kept


def _contact_point(number: int, entry: JsonObject) -> JsonObject:
    for part in ("system", "value"):
        if not entry.get(part):
            field_required("telecom", str(number), part)
    system = _STORED_TELECOM.get(entry["system"], entry["system"])
    if entry["system"] not in _TELECOM_SYSTEMS:
        refuse(f"Telecom system {entry['system']} is not supported.")
    if system == "phone" and not (entry["value"].isascii() and entry["value"].isdigit()):
        # Documented as digits; that anything else is refused rather than cleaned is inferred.
        refuse("Telecom phone values must be digits only.")
    return {"use": "home", "rank": 1, "id": str(uuid.uuid4()), **entry, "system": system}


def _without_mrn(entries: list[JsonObject]) -> list[JsonObject]:
    return [entry for entry in entries if entry["system"] != MRN_SYSTEM]


def _merged_extensions(before: list[JsonObject], given: list[JsonObject]) -> list[JsonObject]:
    sent = {each["url"] for each in given}
    stay = [each for each in before if each["url"] not in sent and each["url"] not in _DROPPED_EXTENSIONS]
    return [*given, *stay]


def _born(text: str) -> tuple[str, str]:
    match = _BIRTHDATE.match(text)
    try:
        if match is None:
            raise ValueError
        date.fromisoformat(match.group(2))
    except ValueError:
        bad_request("birthdate must be a date.")
    return _COMPARISONS[match.group(1)], match.group(2)
