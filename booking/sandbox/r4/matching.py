"""One search parameter's value as an SQL condition on the record table.

Values of one parameter, joined by commas, are alternatives (FHIR R4, Search).
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NoReturn

from .outcomes import bad_request
from .parameters import PARAMETERS, TARGETS, Parameter

_DATE = re.compile(r"^(eq|ne|gt|lt|ge|le|sa|eb)?(\d{4}(?:-\d{2}(?:-\d{2}(?:T.+)?)?)?)$")
_HIGHEST = chr(0x10FFFF)

# Every resource has these two.
ID, UPDATED = "_id", "_lastUpdated"


@dataclass(frozen=True, slots=True)
class Condition:
    sql: str
    values: tuple[object, ...]


def condition(kind: str, code: str, value: str) -> Condition | None:
    """`code` is a name with its modifier or chain; None says that this server knows no such parameter."""
    head, dot, chain = code.partition(".")
    name, _, modifier = head.partition(":")
    if name == ID:
        return _any_of("id", value.split(","))
    if name == UPDATED:
        return _date("updated", name, value)
    parameter = PARAMETERS[kind].get(name)
    if parameter is None:
        return None
    if dot:
        return _chained(kind, name, parameter, modifier, chain, value)
    if modifier == "missing":
        return _missing(kind, name, parameter, value)
    match parameter.kind:
        case "date":
            if modifier:
                _unknown_modifier(modifier)
            if parameter.column == "born":
                return _born(name, value)
            return _date(parameter.column or "", name, value)
        case "reference":
            return _reference(kind, name, parameter, modifier, value)
        case "string":
            return _string(f"{kind}.{name}", modifier, value)
        case _:
            return _token(f"{kind}.{name}", parameter, modifier, value)


def _token(term: str, parameter: Parameter, modifier: str, value: str) -> Condition:
    if modifier not in ("", "not"):
        _unknown_modifier(modifier)
    parts, values = [], []
    for each in _alternatives(value):
        system, bar, code = each.rpartition("|")
        if parameter.only_system:
            code = code.casefold()
        if parameter.column == "kinds":
            parts.append("instr(kinds, ?) > 0")
            values.append(f" {system}|{code} " if bar and code else f" {system}|" if bar else f"|{code} ")
        elif parameter.column is not None:
            parts.append(f"{parameter.column} = ?")
            values.append(code)
        else:
            sql = "seq IN (SELECT seq FROM term WHERE name = ?"
            values.append(term)
            if code:
                sql, values = f"{sql} AND value = ?", [*values, code]
            if bar and parameter.only_system is None:
                sql, values = f"{sql} AND system = ?", [*values, system]
            parts.append(f"{sql})")
    joined = f"({' OR '.join(parts)})"
    # The column is empty where the element is absent, and what is absent is not the value.
    return Condition(f"NOT coalesce({joined}, 0)" if modifier == "not" else joined, tuple(values))


def _reference(kind: str, name: str, parameter: Parameter, modifier: str, value: str) -> Condition:
    if modifier and not modifier[0].isupper():
        _unknown_modifier(modifier)
    targets = []
    for each in _alternatives(value):
        parts = each.rstrip("/").split("/")
        if len(parts) >= 2:
            # An absolute URL of this server means the same as Type/id.
            targets.append("/".join(parts[-2:]))
        else:
            targets += [f"{target}/{each}" for target in _possible_targets(name, modifier)]
    return _referring(kind, name, parameter, targets)


def _referring(kind: str, name: str, parameter: Parameter, targets: list[str]) -> Condition:
    marks = ",".join("?" * len(targets))
    if parameter.column is not None:
        return Condition(f"{parameter.column} IN ({marks})", tuple(targets))
    sql = f"seq IN (SELECT seq FROM term WHERE name = ? AND value IN ({marks}))"  # noqa: S608 - only marks
    return Condition(sql, (f"{kind}.{name}", *targets))


def _chained(
    kind: str, name: str, parameter: Parameter, modifier: str, chain: str, value: str
) -> Condition | None:
    if parameter.kind != "reference":
        bad_request(f"Invalid chained search parameter: {name}")
    parts: list[str] = []
    values: list[object] = []
    for target in _possible_targets(name, modifier):
        inner = condition(target, chain, value)
        if inner is None:
            continue
        found = (
            f"SELECT '{target}/' || record.id FROM record"  # noqa: S608 - a type's name from our own table
            f" WHERE type = '{target}' AND deleted = 0 AND {inner.sql}"
        )
        if parameter.column is not None:
            parts.append(f"{parameter.column} IN ({found})")
        else:
            parts.append(f"seq IN (SELECT seq FROM term WHERE name = ? AND value IN ({found}))")  # noqa: S608
            values.append(f"{kind}.{name}")
        values.extend(inner.values)
    return Condition(f"({' OR '.join(parts)})", tuple(values)) if parts else None


def _possible_targets(name: str, modifier: str) -> list[str]:
    if modifier:
        return [modifier] if modifier in PARAMETERS else []
    named = {**TARGETS, "schedule": "Schedule", "slot": "Slot", "service": "HealthcareService"}.get(name)
    return (
        [named] if named else ["Practitioner", "Location", "Patient", "PractitionerRole", "HealthcareService"]
    )


def _string(term: str, modifier: str, value: str) -> Condition:
    """From the start of a value, without regard to case; several words must each start one."""
    parts, values = [], []
    for each in _alternatives(value):
        if modifier == "exact":
            parts.append("seq IN (SELECT seq FROM term WHERE name = ? AND system = ?)")
            values += [term, each]
        elif modifier == "contains":
            parts.append("seq IN (SELECT seq FROM term WHERE name = ? AND instr(value, ?) > 0)")
            values += [term, each.casefold()]
        elif modifier:
            _unknown_modifier(modifier)
        else:
            words = each.casefold().split() or [""]
            sql = "seq IN (SELECT seq FROM term WHERE name = ? AND value >= ? AND value < ?)"
            parts.append(f"({' AND '.join([sql] * len(words))} OR {sql})")
            for word in [*words, each.casefold()]:
                values += [term, word, word + _HIGHEST]
    return Condition(f"({' OR '.join(parts)})", tuple(values))


def _date(column: str, name: str, value: str) -> Condition:
    parts: list[str] = []
    values: list[object] = []
    for each in value.split(","):
        prefix, low, high = _span(name, each)
        match prefix:
            case "ge":
                parts, values = [*parts, f"{column} >= ?"], [*values, low]
            case "gt" | "sa":
                parts, values = [*parts, f"{column} >= ?"], [*values, high]
            case "le":
                parts, values = [*parts, f"{column} < ?"], [*values, high]
            case "lt" | "eb":
                parts, values = [*parts, f"{column} < ?"], [*values, low]
            case "ne":
                parts, values = [*parts, f"({column} < ? OR {column} >= ?)"], [*values, low, high]
            case _:
                parts, values = [*parts, f"({column} >= ? AND {column} < ?)"], [*values, low, high]
    return Condition(f"({' OR '.join(parts)})", tuple(values))


def _born(name: str, value: str) -> Condition:
    """Whole days, compared as text; a year or a month means all of its days."""
    parts: list[str] = []
    values: list[object] = []
    for each in value.split(","):
        match = _DATE.match(each)
        if match is None:
            bad_request(f"Invalid date value for search parameter {name}")
        prefix, day = match.group(1) or "eq", match.group(2)[:10]
        last = day + _HIGHEST
        sql, bounds = {
            "ge": ("born >= ?", (day,)),
            "gt": ("born > ?", (last,)),
            "sa": ("born > ?", (last,)),
            "le": ("born <= ?", (last,)),
            "lt": ("born < ?", (day,)),
            "eb": ("born < ?", (day,)),
            "ne": ("NOT (born >= ? AND born <= ?)", (day, last)),
            "eq": ("(born >= ? AND born <= ?)", (day, last)),
        }[prefix]
        parts.append(sql)
        values.extend(bounds)
    return Condition(f"({' OR '.join(parts)})", tuple(values))


def _missing(kind: str, name: str, parameter: Parameter, value: str) -> Condition:
    if value not in ("true", "false"):
        bad_request(f"Invalid boolean value for {name}:missing")
    if parameter.column is not None:
        sql = f"coalesce({parameter.column}, '') = ''"
        return Condition(sql if value == "true" else f"NOT ({sql})", ())
    sql = "seq IN (SELECT seq FROM term WHERE name = ?)"
    return Condition(f"NOT ({sql})" if value == "true" else sql, (f"{kind}.{name}",))


def _any_of(column: str, values: list[str]) -> Condition:
    return Condition(f"{column} IN ({','.join('?' * len(values))})", tuple(values))


def _span(name: str, text: str) -> tuple[str, float, float]:
    """Prefix and the bounds of the moment, day, month or year named, in epoch seconds; a bare date is UTC's."""
    match = _DATE.match(text)
    if match is None:
        bad_request(f"Invalid date value for search parameter {name}")
    prefix, value = match.group(1) or "eq", match.group(2)
    try:
        if len(value) > 10:
            moment = datetime.fromisoformat(value)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            width = 0.001 if "." in value else 1.0
            return prefix, moment.timestamp(), moment.timestamp() + width
        first = date.fromisoformat(f"{value}-01-01"[:10] if len(value) == 4 else f"{value}-01"[:10])
    except ValueError:
        bad_request(f"Invalid date value for search parameter {name}")
    if len(value) == 10:
        after = first + timedelta(days=1)
    elif len(value) == 7:
        after = (first + timedelta(days=31)).replace(day=1)
    else:
        after = first.replace(year=first.year + 1)
    low, high = (datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() for day in (first, after))
    return prefix, low, high


def _alternatives(value: str) -> list[str]:
    return [each.replace("\\,", ",") for each in re.split(r"(?<!\\),", value)]


def _unknown_modifier(modifier: str) -> NoReturn:
    bad_request(f"Unsupported search modifier: {modifier}")
