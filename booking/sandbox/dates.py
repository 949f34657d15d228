"""Date search parameters: a prefix and a date or instant, as a span of time compared with a stored value."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from .framework import bad_request

_PREFIXED = re.compile(r"^(ge|gt|le|lt|eq)?(\d.*)$")


@dataclass(frozen=True, slots=True)
class DateFilter:
    """`low` and `high` bound the moment or day named, in seconds since the epoch, `high` exclusive."""

    prefix: str
    low: float
    high: float

    def sql(self, column: str) -> tuple[str, float] | tuple[str, float, float]:
        """A condition on a column of epoch minutes."""
        match self.prefix:
            case "ge":
                return f"{column} * 60 >= ?", self.low
            case "gt":
                return f"{column} * 60 >= ?", self.high
            case "le":
                return f"{column} * 60 < ?", self.high
            case "lt":
                return f"{column} * 60 < ?", self.low
            case _:
                return f"{column} * 60 >= ? AND {column} * 60 < ?", self.low, self.high


def date_filter(name: str, text: str) -> DateFilter:
    """A bare date is that day in UTC: its zone is not documented, so this is inferred."""
    match = _PREFIXED.match(text)
    if match is None:
        bad_request(f"{name} must be a date with a prefix of ge, gt, le, lt or eq.")
    prefix, value = match.group(1) or "eq", match.group(2)
    try:
        if len(value) == 10:
            day = datetime.combine(date.fromisoformat(value), datetime.min.time(), UTC)
            return DateFilter(prefix, day.timestamp(), (day + timedelta(days=1)).timestamp())
        moment = datetime.fromisoformat(value)
    except ValueError:
        bad_request(f"{name} must be a date with a prefix of ge, gt, le, lt or eq.")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return DateFilter(prefix, moment.timestamp(), moment.timestamp() + 1)
