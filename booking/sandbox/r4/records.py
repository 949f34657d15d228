"""Every resource of the server, versioned, in one table: read, create, update, delete.

Owns the tables and the rule that a search sees what a commit left. Resources seeded with the clinic are told from
those written since, so that a reset puts back only what was touched: seeding takes a second, tests reset often.
"""

import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson

from .. import write_log
from ..seed import JsonObject
from ..store import Schema, Store
from .outcomes import gone, not_found
from .parameters import codes, terms

_TABLES = """
CREATE TABLE record (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    version TEXT NOT NULL,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    deleted INTEGER NOT NULL,
    json BLOB NOT NULL,
    status TEXT,
    schedule TEXT,
    starts REAL,
    ends REAL,
    kinds TEXT,
    born TEXT
);
CREATE UNIQUE INDEX record_id ON record (type, id);
CREATE INDEX record_slot ON record (schedule, starts) WHERE schedule IS NOT NULL;
CREATE INDEX record_starts ON record (type, starts) WHERE schedule IS NULL AND starts IS NOT NULL;
CREATE INDEX record_born ON record (born) WHERE born IS NOT NULL;
CREATE TABLE term (name TEXT NOT NULL, value TEXT NOT NULL, system TEXT NOT NULL, seq INTEGER NOT NULL);
CREATE INDEX term_value ON term (name, value);
CREATE INDEX term_seq ON term (seq);
CREATE TABLE original AS SELECT * FROM record WHERE 0;
CREATE UNIQUE INDEX original_seq ON original (seq);
CREATE TRIGGER keep_original BEFORE UPDATE ON record
    WHEN OLD.seq <= (SELECT CAST(value AS INTEGER) FROM about WHERE name = 'last_seeded') BEGIN
    INSERT OR IGNORE INTO original SELECT * FROM record WHERE seq = OLD.seq; END
"""
SCHEMAS = {
    manners: Schema(
        version=version,
        tables=_TABLES,
        emptying="DELETE FROM record; DELETE FROM term; DELETE FROM original",
    )
    for manners, version in (("medplum", 102), ("r4", 101))
}

_INSERT = (
    "INSERT INTO record (type, id, version, created, updated, deleted, json, status, schedule, starts, ends, kinds,"
    " born) VALUES (?,?,?,?,?,0,?,?,?,?,?,?,?)"
)

VersionStyle = Literal["uuid", "number"]


@dataclass(frozen=True, slots=True)
class Record:
    seq: int
    type: str
    id: str
    version: str
    updated: float
    deleted: bool
    json: bytes

    @property
    def resource(self) -> JsonObject:
        found: JsonObject = orjson.loads(self.json)
        return found


class Records:
    """`clock` gives aware datetimes. Versions are UUIDs, as in Medplum, or numbers from 1."""

    def __init__(self, store: Store, clock: Callable[[], datetime], versions: VersionStyle) -> None:
        self._store = store
        self._clock = clock
        self._versions = versions
        self._open = threading.local()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction. Inside it, everything this thread reads or writes here is part of it."""
        connection = getattr(self._open, "connection", None)
        if connection is not None:
            yield connection
            return
        with self._store.writing() as connection:
            self._open.connection = connection
            try:
                yield connection
            finally:
                self._open.connection = None

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        connection = getattr(self._open, "connection", None)
        if connection is not None:
            found: list[sqlite3.Row] = connection.execute(sql, values).fetchall()
            return found
        return self._store.rows(sql, values)

    def find(self, kind: str, id_: str) -> Record | None:
        """The newest version, even if it says that the resource was deleted."""
        rows = self.rows("SELECT * FROM record WHERE type = ? AND id = ?", (kind, id_))
        return record_of(rows[0]) if rows else None

    def read(self, kind: str, id_: str) -> Record:
        record = self.find(kind, id_)
        if record is None:
            not_found()
        if record.deleted:
            gone()
        return record

    def follow(self, reference: str | None) -> Record | None:
        """What a relative reference points to, if it is there."""
        kind, _, id_ = (reference or "").rpartition("/")
        record = self.find(kind, id_) if kind and id_ else None
        return None if record is None or record.deleted else record

    def create(self, resource: JsonObject, client: str, id_: str | None = None) -> Record:
        now = self._clock()
        with self.writing() as connection:
            id_ = id_ or str(uuid.uuid4())
            stored = self._stamped(resource, id_, self._version(None), now)
            connection.execute(_INSERT, columns(stored, now.timestamp()))
            record = self.read(stored["resourceType"], id_)
            _index(connection, record.seq, stored)
            write_log.record(connection, now, "POST", stored, client)
        return record

    def update(self, before: Record, resource: JsonObject, client: str, *, method: str = "PUT") -> Record:
        now = self._clock()
        with self.writing() as connection:
            stored = self._stamped(resource, before.id, self._version(before.version), now)
            _, _, version, _, updated, json_, *rest = columns(stored, now.timestamp())
            connection.execute(
                "UPDATE record SET version=?, updated=?, deleted=0, json=?, status=?, schedule=?, starts=?, ends=?,"
                " kinds=?, born=? WHERE seq=?",
                (version, updated, json_, *rest, before.seq),
            )
            _index(connection, before.seq, stored)
            write_log.record(connection, now, method, stored, client)
        return self.read(before.type, before.id)

    def delete(self, record: Record, client: str) -> None:
        now = self._clock()
        with self.writing() as connection:
            connection.execute(
                "UPDATE record SET deleted=1, version=?, updated=? WHERE seq=?",
                (self._version(record.version), now.timestamp(), record.seq),
            )
            connection.execute("DELETE FROM term WHERE seq = ?", (record.seq,))
            write_log.record(connection, now, "DELETE", record.resource, client)

    def seed(self, connection: sqlite3.Connection, resources: Iterator[JsonObject]) -> None:
        """Stores resources that bring their own ids, and says that they are the clinic as first seeded."""
        # Long since known to every search, however much that lags.
        now = self._clock() - timedelta(days=1)
        stamped = []
        for resource in resources:
            version = (
                "1" if self._versions == "number" else str(uuid.uuid5(uuid.NAMESPACE_OID, resource["id"]))
            )
            stamped.append(self._stamped(resource, resource["id"], version, now))
        connection.executemany(_INSERT, (columns(each, now.timestamp()) for each in stamped))
        # The table was empty and numbered from 1.
        connection.executemany(
            "INSERT INTO term VALUES (?,?,?,?)",
            (
                (name, value, system, seq)
                for seq, each in enumerate(stamped, start=1)
                for name, system, value in terms(each)
            ),
        )
        connection.execute("INSERT INTO about VALUES ('last_seeded', ?)", (str(len(stamped)),))

    def restore(self, connection: sqlite3.Connection) -> None:
        """Undoes every write since the seeding."""
        (last,) = connection.execute(
            "SELECT CAST(value AS INTEGER) FROM about WHERE name = 'last_seeded'"
        ).fetchone()
        connection.execute("DELETE FROM term WHERE seq > ? OR seq IN (SELECT seq FROM original)", (last,))
        connection.execute("DELETE FROM record WHERE seq > ?", (last,))
        connection.execute("INSERT OR REPLACE INTO record SELECT * FROM original")
        for row in connection.execute("SELECT seq, json FROM original").fetchall():
            _index(connection, row["seq"], orjson.loads(row["json"]))
        connection.execute("DELETE FROM original")
        connection.execute("DELETE FROM write_log")
        connection.execute("DELETE FROM sqlite_sequence WHERE name IN ('record', 'write_log')")

    def _stamped(self, resource: JsonObject, id_: str, version: str, now: datetime) -> JsonObject:
        kept = {name: value for name, value in resource.items() if name not in ("resourceType", "id", "meta")}
        meta = {
            name: value
            for name, value in (resource.get("meta") or {}).items()
            if name in ("profile", "security", "tag", "source")
        }
        updated = now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "resourceType": resource["resourceType"],
            "id": id_,
            "meta": {**meta, "versionId": version, "lastUpdated": updated},
            **kept,
        }

    def _version(self, before: str | None) -> str:
        if self._versions == "uuid":
            return str(uuid.uuid4())
        return str(int(before or 0) + 1)


def record_of(row: sqlite3.Row) -> Record:
    return Record(
        row["seq"], row["type"], row["id"], row["version"], row["updated"], bool(row["deleted"]), row["json"]
    )


def columns(resource: JsonObject, now: float) -> tuple[Any, ...]:
    kind = resource["resourceType"]
    is_slot = kind == "Slot"
    return (
        kind,
        resource["id"],
        resource["meta"]["versionId"],
        now,
        now,
        orjson.dumps(resource),
        resource.get("status"),
        resource["schedule"].get("reference", "") if is_slot else None,
        seconds(resource.get("start")) if is_slot or kind == "Appointment" else None,
        seconds(resource.get("end")) if is_slot or kind == "Appointment" else None,
        codes(resource, "serviceType") if is_slot else None,
        resource.get("birthDate") if kind == "Patient" else None,
    )


def seconds(instant: str | None) -> float | None:
    return None if instant is None else datetime.fromisoformat(instant).timestamp()


def _index(connection: sqlite3.Connection, seq: int, resource: JsonObject) -> None:
    connection.execute("DELETE FROM term WHERE seq = ?", (seq,))
    connection.executemany(
        "INSERT INTO term VALUES (?,?,?,?)",
        [(name, value, system, seq) for name, system, value in terms(resource)],
    )
