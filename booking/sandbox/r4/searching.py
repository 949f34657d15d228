"""Searches: conditions joined by AND, order, one page of the result, what it includes, and the links around it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import orjson

from .matching import ID, UPDATED, Condition, condition
from .outcomes import Answer, Refused, bad_request
from .parameters import PARAMETERS
from .records import Record, Records, record_of

MAX_COUNT, MAX_OFFSET, MAX_INCLUDED = 1000, 10_000, 1000

Pairs = Sequence[tuple[str, str]]

_IGNORED = frozenset({"_format", "_pretty", "_elements", "_fields"})
_SORTS = {ID: "id", UPDATED: "updated"}


@dataclass(frozen=True, slots=True)
class Habits:
    """How a server searches, where servers differ.

    A strict one answers an unknown parameter with 400, another passes over it and leaves it out of its self link.
    """

    is_strict: bool
    default_count: int
    always_total: bool
    relative_next: bool = False
    with_includes: bool = True
    ignored: frozenset[str] = frozenset()
    lag_seconds: float = 0.0


@dataclass(slots=True)
class Query:
    kind: str
    conditions: list[Condition] = field(default_factory=list)
    used: list[tuple[str, str]] = field(default_factory=list)
    includes: list[tuple[bool, str]] = field(default_factory=list)
    reverse_includes: list[tuple[bool, str]] = field(default_factory=list)
    order: str = "seq"
    count: int = 0
    offset: int = 0
    with_total: bool = False
    only_count: bool = False

    @property
    def where(self) -> tuple[str, list[Any]]:
        # For a list of schedules SQLite would rather go through all Slots there are; the sign keeps it from that.
        by_schedule = any(each.sql.startswith("schedule IN") for each in self.conditions)
        kind = "+type = ?" if by_schedule else "type = ?"
        sql = " AND ".join([kind, "deleted = 0", *(each.sql for each in self.conditions)])
        return sql, [self.kind, *(value for each in self.conditions for value in each.values)]


def search(records: Records, kind: str, pairs: Pairs, base: str, habits: Habits, now: float) -> Answer:
    query = parse(kind, pairs, habits, now)
    where, values = query.where
    total = None
    if query.with_total or query.only_count:
        total = records.rows(f"SELECT count(*) FROM record WHERE {where}", values)[0][0]  # noqa: S608
    found: list[Record] = []
    if not query.only_count:
        rows = records.rows(
            f"SELECT * FROM record WHERE {where} ORDER BY {query.order} LIMIT ? OFFSET ?",  # noqa: S608
            [*values, query.count + 1, query.offset],
        )
        found = [record_of(row) for row in rows]
    has_more = len(found) > query.count
    found = found[: query.count]
    included = _included(records, query, found) if found else []
    parts: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset"}
    if total is not None:
        parts["total"] = total
    parts["link"] = _links(query, base, habits, has_more=has_more)
    if found:
        entries = [_entry(base, each, b"match") for each in found]
        entries += [_entry(base, each, b"include") for each in included]
        parts["entry"] = orjson.Fragment(b"[" + b",".join(entries) + b"]")
    return Answer(200, orjson.dumps(parts))


def parse(kind: str, pairs: Pairs, habits: Habits, now: float) -> Query:
    query = Query(kind, count=habits.default_count, with_total=habits.always_total)
    for code, value in pairs:
        name = code.partition(":")[0]
        if code in _IGNORED:
            query.used.append((code, value))
        elif name in ("_include", "_revinclude"):
            if habits.with_includes:
                again = code.endswith((":iterate", ":recurse"))
                (query.includes if name == "_include" else query.reverse_includes).append((again, value))
                query.used.append((code, value))
            elif habits.is_strict:
                bad_request(f"Unknown search parameter: {code}")
        elif code in ("_count", "_offset"):
            _take_page(query, code, value)
        elif code == "_sort":
            query.order = _order(kind, value)
            query.used.append((code, value))
        elif code in ("_total", "_summary"):
            query.with_total = query.with_total or value in ("accurate", "estimate", "count")
            query.only_count = query.only_count or (code, value) == ("_summary", "count")
            query.used.append((code, value))
        else:
            found = None if name in habits.ignored else condition(kind, code, value)
            if found is not None:
                query.conditions.append(found)
                query.used.append((code, value))
            elif habits.is_strict:
                raise Refused(400, "invalid", f"Unknown search parameter: {name}")
    if habits.lag_seconds and (kind == "Patient" or any(code == "identifier" for code, _ in query.used)):
        query.conditions.append(Condition("created <= ?", (now - habits.lag_seconds,)))
    return query


def matches(records: Records, kind: str, pairs: Pairs, habits: Habits, now: float) -> list[Record]:
    """What a conditional interaction's criteria find; three are as good as many.

    A criterion that is not known cannot be passed over here: what is left of the criteria would find anything.
    """
    query = parse(kind, pairs, replace(habits, is_strict=True), now)
    where, values = query.where
    rows = records.rows(f"SELECT * FROM record WHERE {where} ORDER BY seq LIMIT 3", values)  # noqa: S608
    return [record_of(row) for row in rows]


def _take_page(query: Query, code: str, value: str) -> None:
    if not value.isascii() or not value.isdigit():
        bad_request(f"{code} must be a whole number")
    if code == "_count":
        query.count = min(int(value), MAX_COUNT)
    elif int(value) > MAX_OFFSET:
        bad_request(f"Search offset exceeds maximum (got {value}, max {MAX_OFFSET})")
    else:
        query.offset = int(value)


def _order(kind: str, value: str) -> str:
    parts = []
    for each in value.split(","):
        name = each.removeprefix("-")
        parameter = PARAMETERS[kind].get(name)
        column = _SORTS.get(name) or (parameter.column if parameter else None)
        if column is None and parameter is not None:
            # Names are safe: they are keys of our own table.
            column = f"(SELECT min(value) FROM term WHERE term.seq = record.seq AND name = '{kind}.{name}')"  # noqa: S608
        if column is None:
            bad_request(f"Unknown sort parameter: {name}")
        parts.append(f"{column} {'DESC' if each.startswith('-') else 'ASC'}")
    return ", ".join([*parts, "seq"])


def _links(query: Query, base: str, habits: Habits, *, has_more: bool) -> list[dict[str, str]]:
    def url(offset: int, root: str = base) -> str:
        page = [("_count", str(query.count))] + ([("_offset", str(offset))] if offset else [])
        return f"{root}/{query.kind}?{urlencode([*query.used, *page])}"

    links = [{"relation": "self", "url": url(query.offset)}]
    if has_more and query.count:
        # A relative link counts from the server's base, as the FHIR standard has it for URLs in a Bundle.
        following = query.offset + query.count
        if habits.relative_next:
            links.append({"relation": "next", "url": url(following, "").removeprefix("/")})
        else:
            links.append({"relation": "next", "url": url(following)})
    return links


def _entry(base: str, record: Record, mode: bytes) -> bytes:
    url = f"{base}/{record.type}/{record.id}".encode()
    return b'{"fullUrl":"%b","resource":%b,"search":{"mode":"%b"}}' % (url, record.json, mode)


def _included(records: Records, query: Query, found: list[Record]) -> list[Record]:
    seen = {(each.type, each.id) for each in found}
    everything: list[Record] = []
    fresh, is_first = found, True
    while fresh and len(everything) < MAX_INCLUDED:
        reached: list[Record] = []
        for again, value in query.includes:
            if is_first or again:
                reached += _forward(records, fresh, value)
        for again, value in query.reverse_includes:
            if is_first or again:
                reached += _backward(records, fresh, value)
        fresh = []
        for each in reached:
            if (each.type, each.id) not in seen:
                seen.add((each.type, each.id))
                fresh.append(each)
        everything += fresh
        is_first = False
    return everything


def _forward(records: Records, sources: list[Record], value: str) -> list[Record]:
    kind, name, target = _include_parts(value)
    seqs = [each.seq for each in sources if each.type == kind]
    parameter = PARAMETERS[kind][name]
    references: set[str] = set()
    for some in _chunks(seqs):
        marks = ",".join("?" * len(some))
        if parameter.column is not None:
            sql = f"SELECT DISTINCT {parameter.column} FROM record WHERE seq IN ({marks})"  # noqa: S608
            rows = records.rows(sql, some)
        else:
            sql = f"SELECT DISTINCT value FROM term WHERE name = ? AND seq IN ({marks})"  # noqa: S608
            rows = records.rows(sql, [f"{kind}.{name}", *some])
        references |= {row[0] for row in rows}
    wanted = [each for each in sorted(references) if not target or each.startswith(f"{target}/")]
    return [each for each in (records.follow(reference) for reference in wanted) if each is not None]


def _backward(records: Records, targets: list[Record], value: str) -> list[Record]:
    kind, name, _ = _include_parts(value)
    parameter = PARAMETERS[kind][name]
    references = [f"{each.type}/{each.id}" for each in targets]
    found: list[Record] = []
    for some in _chunks(references):
        marks = ",".join("?" * len(some))
        if parameter.column is not None:
            inner, values = f"{parameter.column} IN ({marks})", some
        else:
            inner = f"seq IN (SELECT seq FROM term WHERE name = ? AND value IN ({marks}))"  # noqa: S608
            values = [f"{kind}.{name}", *some]
        sql = f"SELECT * FROM record WHERE type = ? AND deleted = 0 AND {inner} ORDER BY seq LIMIT ?"  # noqa: S608
        found += [record_of(row) for row in records.rows(sql, [kind, *values, MAX_INCLUDED])]
    return found


def _include_parts(value: str) -> tuple[str, str, str]:
    kind, _, rest = value.partition(":")
    name, _, target = rest.partition(":")
    parameter = PARAMETERS.get(kind, {}).get(name)
    if parameter is None or parameter.kind != "reference":
        bad_request(f"Invalid include parameter: {value}")
    return kind, name, target


def _chunks(values: list[Any]) -> list[list[Any]]:
    return [values[start : start + 500] for start in range(0, len(values), 500)]
