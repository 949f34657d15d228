"""The sandbox's own SQLite file: patients, appointments, tokens and the log of writes.

Owns connections, transactions and what Canvas's manners store; other manners bring a schema of their own. Resources
are kept as the JSON a read returns, beside the columns searches need. Reads never wait (WAL); a write takes the
file's lock before it looks at anything (BEGIN IMMEDIATE).
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUSY_SECONDS = 20

_COMMON_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE token (
    value TEXT PRIMARY KEY,
    client_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    patient_id TEXT,
    expires_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE write_log (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    method TEXT NOT NULL,
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    resource TEXT NOT NULL,
    client TEXT NOT NULL
)
"""

_COMMON_EMPTYING = "DELETE FROM about; DELETE FROM write_log; DELETE FROM sqlite_sequence"

_CANVAS_TABLES = """
CREATE TABLE patient (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    resource TEXT NOT NULL,
    active INTEGER NOT NULL,
    gender TEXT NOT NULL,
    birthdate TEXT NOT NULL,
    family TEXT NOT NULL,
    given TEXT NOT NULL,
    name TEXT NOT NULL,
    nickname TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
);
CREATE INDEX patient_birthdate ON patient (birthdate);
CREATE TABLE contact (patient_id TEXT NOT NULL, system TEXT NOT NULL, value TEXT NOT NULL);
CREATE INDEX contact_value ON contact (value, system);
CREATE INDEX contact_patient ON contact (patient_id);
CREATE TABLE appointment (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    resource TEXT NOT NULL,
    detail TEXT NOT NULL,
    status TEXT NOT NULL,
    starts INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    practitioner_id TEXT NOT NULL,
    patient_id TEXT,
    location_id TEXT NOT NULL,
    type_system TEXT NOT NULL,
    type_code TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
);
CREATE INDEX appointment_practitioner ON appointment (practitioner_id, starts);
CREATE INDEX appointment_patient ON appointment (patient_id, starts);
CREATE INDEX appointment_starts ON appointment (starts);
CREATE VIEW busy AS
    SELECT id, practitioner_id, starts, ends FROM appointment
    WHERE status NOT IN ('cancelled', 'noshow', 'entered-in-error');
CREATE TABLE identifier (type TEXT NOT NULL, resource_id TEXT NOT NULL, system TEXT NOT NULL, value TEXT NOT NULL);
CREATE INDEX identifier_value ON identifier (type, value);
CREATE INDEX identifier_resource ON identifier (type, resource_id)
"""


@dataclass(frozen=True, slots=True)
class Schema:
    """What one kind of manners stores. `version` marks the file, so that no other kind opens it."""

    version: int
    tables: str
    emptying: str


CANVAS = Schema(
    version=1,
    tables=_CANVAS_TABLES,
    emptying="DELETE FROM patient; DELETE FROM contact; DELETE FROM appointment; DELETE FROM identifier",
)


class StoreError(Exception):
    """The database file cannot be used; the message is a sentence for the person at the terminal."""


class Store:
    def __init__(self, path: str | Path, schema: Schema = CANVAS) -> None:
        self.path = Path(path)
        self._schema = schema
        # Called after each write transaction that was kept.
        self.on_commit: list[Callable[[], None]] = []
        # One connection for reading and one for writing, whichever threads they are used from. Writers of this
        # process queue on the lock: SQLite's own wait is a poll, kept for other processes.
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
            self._prepare()
            self._reader = self._connect()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"Cannot use {self.path} as the sandbox's database: {error}.") from error

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Reads what is committed; inside `writing`, use its connection instead."""
        with self._reading:
            return self._reader.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Row | None:
        with self._reading:
            found: sqlite3.Row | None = self._reader.execute(sql, parameters).fetchone()
        return found

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One write transaction: nothing else writes between what the block reads and what it stores."""
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")
        for tell in self.on_commit:
            tell()

    def about(self, name: str) -> str | None:
        found = self.row("SELECT value FROM about WHERE name = ?", (name,))
        return None if found is None else str(found["value"])

    def empty(self, connection: sqlite3.Connection) -> None:
        """Forgets the clinic's records. Tokens stay good: an outside client should not notice the reset that way."""
        for statement in f"{_COMMON_EMPTYING};{self._schema.emptying}".split(";"):
            connection.execute(statement)

    def close(self) -> None:
        with self._writing, self._reading:
            self._writer.close()
            self._reader.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _prepare(self) -> None:
        self._writer.execute("PRAGMA journal_mode = WAL")
        with self.writing() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == self._schema.version:
                return
            if version or connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                raise StoreError(
                    f"{self.path} is not a database of these manners and version; delete it or name another."
                )
            for statement in _statements(f"{_COMMON_TABLES};{self._schema.tables}"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {self._schema.version}")


def _statements(script: str) -> Iterator[str]:
    """One by one, since sqlite3 runs a whole script only outside of a transaction."""
    statement = ""
    for piece in script.split(";"):
        statement += f"{piece};"
        # Not so in the middle of a trigger, which has semicolons of its own.
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
