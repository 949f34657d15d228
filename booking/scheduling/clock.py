"""Local days and times in words. Arithmetic stays in UTC; a zone enters only to name a day or an hour."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

ZONE_NAMES = {
    "America/New_York": "Eastern",
    "America/Detroit": "Eastern",
    "America/Indiana/Indianapolis": "Eastern",
    "America/Kentucky/Louisville": "Eastern",
    "America/Chicago": "Central",
    "America/Menominee": "Central",
    "America/Denver": "Mountain",
    "America/Boise": "Mountain",
    "America/Phoenix": "Arizona",
    "America/Los_Angeles": "Pacific",
    "America/Anchorage": "Alaska",
    "America/Adak": "Hawaii-Aleutian",
    "Pacific/Honolulu": "Hawaii",
    "America/Puerto_Rico": "Atlantic",
    "Pacific/Guam": "Chamorro",
    "Pacific/Pago_Pago": "Samoa",
}

MORNING, AFTERNOON, EVENING = "morning", "afternoon", "evening"
PARTS_OF_DAY = (MORNING, AFTERNOON, EVENING)
_PART_HOURS = {MORNING: 0, AFTERNOON: 12, EVENING: 17}
# No two visits of one local day start so far apart: clocks go back by one hour, and at Troll in Antarctica by two.
LONGEST_DAY = timedelta(hours=26)


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """Raises ``zoneinfo.ZoneInfoNotFoundError`` for a name the IANA database does not have."""
    return ZoneInfo(name)


def is_zone(name: str) -> bool:
    try:
        zone(name)
    except (LookupError, ValueError, OSError):  # zoneinfo's ways to turn a name down
        return False
    return True


def local_day(at: datetime, zone_name: str) -> date:
    return at.astimezone(zone(zone_name)).date()


def day_bounds(on: date, zone_name: str) -> tuple[datetime, datetime]:
    """The UTC instants at which a local day begins and ends; 23 to 25 hours apart."""
    place = zone(zone_name)
    starts = datetime.combine(on, time.min, place).astimezone(UTC)
    ends = datetime.combine(on + timedelta(days=1), time.min, place).astimezone(UTC)
    return starts, ends


def part_begins(on: date, part: str, zone_name: str) -> datetime:
    """The UTC instant at which a part of a local day begins. No zone changes its clock at noon or at five."""
    return datetime.combine(on, time(_PART_HOURS[part]), zone(zone_name)).astimezone(UTC)


def zone_words(zone_name: str) -> str:
    """The zone as people say it: "Pacific", or the city's name where there is no common word."""
    return ZONE_NAMES.get(zone_name) or zone_name.rsplit("/", 1)[-1].replace("_", " ")


def time_words(at: datetime, zone_name: str) -> str:
    """ "2:30 pm"; in the hour that a clock change repeats, "1:30 am (daylight)" and then "1:30 am (standard)".

    The first of the two is the summer's, whatever a zone calls its own: Ireland's standard time is that of summer.
    """
    local = at.astimezone(zone(zone_name))
    hour = local.hour % 12 or 12
    words = f"{hour}:{local.minute:02d} {'am' if local.hour < 12 else 'pm'}"
    if local.replace(fold=1 - local.fold).utcoffset() != local.utcoffset():
        words += " (standard)" if local.fold else " (daylight)"
    return words


def zoned_time_words(at: datetime, zone_name: str) -> str:
    return f"{time_words(at, zone_name)} {zone_words(zone_name)} time"


def date_words(on: date) -> str:
    """ "Tuesday, November 24"."""
    return f"{on:%A, %B} {on.day}"


def short_date_words(on: date) -> str:
    return f"{on:%a, %b} {on.day}"


def when_words(at: datetime, zone_name: str) -> str:
    """ "Tuesday, November 24, 2:30 pm Pacific time"."""
    return f"{date_words(local_day(at, zone_name))}, {zoned_time_words(at, zone_name)}"
