"""Bringing the list of compacts that comes with the portal into the desk's tables. What the desk changed stays."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

from django.db import models, transaction

from booking.models import CompactMemberRecord, CompactRecord

LIST = Path(__file__).resolve().parent.parent / "data" / "compacts.json"


def load_compacts(path: Path = LIST) -> list[str]:
    """Make the tables say what the list says. Returns a sentence for each change, and for each row left alone.

    Raises ``django.core.exceptions.ValidationError`` for a list that makes no sense, and then changes nothing.
    """
    told = json.loads(path.read_text())["compacts"]
    said: list[str] = []
    with transaction.atomic():
        for values in told:
            members = values.pop("members")
            found = CompactRecord.objects.filter(code=values["code"]).first()
            compact = found or CompactRecord(code=values["code"])
            said += _write(compact, values, of="")
            said += _members(compact, members)
    return said


def _members(compact: CompactRecord, told: list[dict[str, Any]]) -> list[str]:
    known = {member.jurisdiction: member for member in compact.members.all()}
    said: list[str] = []
    for values in told:
        member = known.pop(values["jurisdiction"], None) or CompactMemberRecord(
            compact=compact, jurisdiction=values["jurisdiction"]
        )
        said += _write(member, values, of=f"{compact}: ")
    for member in known.values():
        if member.is_set_here:
            said.append(f"{compact}: {member} is not in the list, and is kept as it was set here.")
        else:
            said.append(f"{compact}: {member} is not in the list any more and was taken out.")
            member.delete()
    return said


def _write(record: CompactRecord | CompactMemberRecord, values: dict[str, Any], *, of: str) -> list[str]:
    changes = []
    for field in record._meta.concrete_fields:
        if field.name in {"id", "compact", "is_set_here"}:
            continue
        new = field.to_python(values[field.name]) if field.name in values else field.get_default()
        old = getattr(record, field.name)
        if old != new:
            changes.append((field, old, new))
    if not changes and record.pk:
        return []
    is_new = record.pk is None
    if record.is_set_here:
        names = ", ".join(str(field.verbose_name) for field, _, _ in changes)
        return [f"{of}{record} is kept as it was set here. The list differs in: {names}."]
    for field, _, new in changes:
        setattr(record, field.name, new)
    record.full_clean()
    record.save()
    if is_new:
        return [f"{of}{record} added."]
    return [f"{of}{record}: {_change_words(*change)}." for change in changes]


def _change_words(field: models.Field[Any, Any], old: object, new: object) -> str:
    name = str(field.verbose_name)
    if isinstance(field, models.TextField):
        return f"{name} changed"
    return f"{name} {_words(old)}, now {_words(new)}"


def _words(value: object) -> str:
    if value in (None, ""):
        return "not known"
    return value.isoformat() if isinstance(value, date) else str(value)
