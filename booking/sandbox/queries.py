"""Searches over the stored resources: conditions joined by AND, a sort, and one page of the result."""

from collections.abc import Mapping
from typing import Any, Literal

from .bundles import Page
from .framework import Bundle
from .store import Store


class Search:
    """One search over one table. Conditions are written here in the source; only their values come from outside."""

    def __init__(self, table: Literal["appointment", "patient"]) -> None:
        self._table = table
        self._conditions: list[str] = []
        self._values: list[Any] = []

    def where(self, condition: str, *values: Any) -> None:
        self._conditions.append(condition)
        self._values.extend(values)

    def where_identifier(self, text: str) -> None:
        """`value`, `system|value`, `system|` or `|value`; the last is read as the value in any system (inferred)."""
        system, _, value = text.rpartition("|")
        condition, values = "SELECT resource_id FROM identifier WHERE type = ?", [self._table.capitalize()]
        if value:
            condition, values = f"{condition} AND value = ?", [*values, value]
        if system:
            condition, values = f"{condition} AND system = ?", [*values, system]
        self.where(f"id IN ({condition})", *values)

    def page(self, store: Store, page: Page, order: str) -> Bundle:
        matching = f"FROM {self._table}"
        if self._conditions:
            matching += f" WHERE {' AND '.join(self._conditions)}"
        counted = store.row(f"SELECT count(*) {matching}", self._values)
        rows = store.rows(
            f"SELECT resource {matching} ORDER BY {order} LIMIT ? OFFSET ?",
            [*self._values, page.count, page.offset],
        )
        return page.bundle([row["resource"] for row in rows], counted[0] if counted else 0)


def order_by(columns: Mapping[str, str], sort: str | None) -> str:
    """`_sort` as one of `columns`, with - for descending; anything else is ignored. Ties keep the order of creation."""
    name = (sort or "").removeprefix("-")
    if name not in columns:
        return "seq"
    return f"{columns[name]} {'DESC' if sort and sort.startswith('-') else 'ASC'}, seq"
