"""How patients are stored and indexed for search. Owns the patient and contact tables; no rules about writing."""

import json
import sqlite3

from .catalog import MRN_SYSTEM
from .seed import JsonObject


def insert(connection: sqlite3.Connection, resource: JsonObject, at: float) -> None:
    connection.execute(
        "INSERT INTO patient (id, resource, active, gender, birthdate, family, given, name, nickname,"
        " created_at, updated_at) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        (resource["id"], *_columns(resource), at, at),
    )
    _index(connection, resource)


def replace(connection: sqlite3.Connection, resource: JsonObject, at: float) -> None:
    id_ = resource["id"]
    connection.execute(
        "UPDATE patient SET resource=?, active=?, gender=?, birthdate=?, family=?, given=?, name=?, nickname=?,"
        " updated_at=? WHERE id=?",
        (*_columns(resource), at, id_),
    )
    connection.execute("DELETE FROM contact WHERE patient_id = ?", (id_,))
    connection.execute("DELETE FROM identifier WHERE type = 'Patient' AND resource_id = ?", (id_,))
    _index(connection, resource)


def medical_record_number(number: int) -> JsonObject:
    """Canvas issues one to every patient; clients cannot set or drop it."""
    return {
        "id": f"mrn-{number}",
        "use": "usual",
        "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]},
        "system": MRN_SYSTEM,
        "value": f"{700_000_000 + number}",
        "assigner": {"display": "Canvas Medical"},
    }


def _columns(resource: JsonObject) -> tuple[object, ...]:
    names = resource["name"]
    official = next(name for name in names if name.get("use") == "official")
    given = " ".join(official.get("given", ()))
    every = [
        part
        for name in names
        for part in (*name.get("given", ()), name.get("family", ""), name.get("text", ""))
    ]
    nickname = " ".join(
        part for name in names if name.get("use") == "nickname" for part in name.get("given", ())
    )
    return (
        json.dumps(resource, ensure_ascii=False, separators=(",", ":")),
        int(resource.get("active", True)),
        resource["gender"],
        resource["birthDate"],
        official["family"].casefold(),
        given.casefold(),
        " ".join(every).casefold(),
        nickname.casefold(),
    )


def _index(connection: sqlite3.Connection, resource: JsonObject) -> None:
    id_ = resource["id"]
    connection.executemany(
        "INSERT INTO contact VALUES (?, ?, ?)",
        [(id_, entry["system"], entry["value"].casefold()) for entry in resource.get("telecom", ())],
    )
    connection.executemany(
        "INSERT INTO identifier VALUES ('Patient', ?, ?, ?)",
        [(id_, entry["system"], entry["value"]) for entry in resource.get("identifier", ())],
    )
