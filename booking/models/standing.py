"""What a page may go by: whether the clinic's rules, or the times our bookings claim, changed since it last looked.

The database itself notes every write to a table that rules are read from, by triggers: an admin's save, a bulk
statement and somebody at a database prompt all count. Notes are added and never rewritten, so that two writers never
wait for each other here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.apps import AppConfig
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Now

from .bookings import BookingEvent
from .clinic import SchedulingPolicy
from .compacts import CompactCredentialRecord, CompactMemberRecord, CompactRecord
from .directory import ClinicianRecord, LicenseRecord, LocationRecord, ScheduleRecord, Specialty
from .reasons import DurationRuleRecord, ReasonModality, VisitReasonRecord
from .upkeep import ClinicianPhoto

WATCHED: tuple[type[models.Model], ...] = (
    ClinicianRecord,
    ClinicianRecord.specialties.through,
    ClinicianRecord.declined_reasons.through,
    ClinicianPhoto,
    LicenseRecord,
    LocationRecord,
    ScheduleRecord,
    Specialty,
    CompactRecord,
    CompactMemberRecord,
    CompactCredentialRecord,
    VisitReasonRecord,
    VisitReasonRecord.specialties.through,
    ReasonModality,
    DurationRuleRecord,
    SchedulingPolicy,
)


class RulesChange(models.Model):
    """One write, or one statement of many, to a table that rules are read from."""

    at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = "change of the rules"
        verbose_name_plural = "changes of the rules"

    def __str__(self) -> str:
        return f"Change {self.pk}"


def forget_changes(before: datetime) -> int:
    """Delete old notes. The newest stays, or the next one could look like one already seen."""
    newest = RulesChange.objects.order_by("-pk").values("pk")[:1]
    return RulesChange.objects.filter(at__lt=before).exclude(pk__in=newest).delete()[0]


@dataclass(frozen=True, slots=True)
class Standing:
    """``rules`` and ``claims`` each differ from an earlier one when anything of theirs was committed in between.

    Both numbers of ``rules`` are needed: a writer that took its number early may commit after one that took it late.
    """

    rules: tuple[int, int]
    claims: int


def standing(using: str = "default") -> Standing:
    """In one query, whatever the size of the clinic."""
    changes, events = RulesChange._meta.db_table, BookingEvent._meta.db_table
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT (SELECT COALESCE(MAX(id), 0) FROM {changes}), (SELECT COUNT(*) FROM {changes}),"  # noqa: S608
            f" (SELECT COALESCE(MAX(id), 0) FROM {events})"
        )
        last, count, event = cursor.fetchone()
    return Standing((last, count), event)


def watch(sender: AppConfig, using: str = "default", **_more: Any) -> None:
    """Put the triggers in place; a receiver of ``post_migrate``, since SQLite loses them when it alters a table."""
    connection = connections[using]
    tables = set(connection.introspection.table_names())
    if RulesChange._meta.db_table not in tables:
        return
    watched = [model._meta.db_table for model in WATCHED if model._meta.db_table in tables]
    with connection.cursor() as cursor:
        for statement in _STATEMENTS[connection.vendor](connection, watched):
            cursor.execute(statement)


def _postgresql(connection: BaseDatabaseWrapper, tables: list[str]) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'booking_rules_change'")
        have = {name for (name,) in cursor.fetchall()}
    missing = [table for table in tables if table not in have]
    if not missing:
        return []
    note = f"INSERT INTO {RulesChange._meta.db_table} DEFAULT VALUES"
    return [
        "CREATE OR REPLACE FUNCTION booking_note_rules_change() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {note}; RETURN NULL; END $$",
        *(
            f"CREATE TRIGGER booking_rules_change AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION booking_note_rules_change()"
            for table in missing
        ),
    ]


def _sqlite(_connection: BaseDatabaseWrapper, tables: list[str]) -> list[str]:
    note = f"INSERT INTO {RulesChange._meta.db_table} (at) VALUES (CURRENT_TIMESTAMP)"  # noqa: S608
    return [
        f"CREATE TRIGGER IF NOT EXISTS booking_rules_{event.lower()}_{table} AFTER {event} ON {table}"
        f" BEGIN {note}; END"
        for table in tables
        for event in ("INSERT", "UPDATE", "DELETE")
    ]


_STATEMENTS = {"postgresql": _postgresql, "sqlite": _sqlite}
