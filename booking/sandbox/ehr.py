"""The running EHR: its store, its clock, its settings and its directory, and how all of it is seeded."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from .calls import Calls
from .faults import Faults
from .notices import Notices, canvas_plugin
from .seed import Directory, Given, build_directory
from .seed_records import first_records
from .store import Store
from .switches import Switches

Clock = Callable[[], datetime]

# The instance's own zone: where "today" is when nothing names a location.
PRACTICE_ZONE = ZoneInfo("America/Los_Angeles")


def system_clock() -> datetime:
    return datetime.now(UTC)


class Ehr:
    """Everything a request needs, passed explicitly to each part of the server."""

    def __init__(self, database: str | Path, clock: Clock = system_clock, given: Given | None = None) -> None:
        self.clock = clock
        self._given = given
        self.store = Store(database)
        self.switches = Switches()
        self.faults = Faults()
        self.calls = Calls()
        self.notices = Notices(self.store, canvas_plugin, lambda: self.now().timestamp())
        seeded_on = self.store.about("seeded_on")
        self.directory: Directory
        if seeded_on is None:
            self.reseed()
        else:
            self.directory = build_directory(date.fromisoformat(seeded_on), given)

    def now(self) -> datetime:
        return self.clock().astimezone(UTC)

    def reseed(self) -> None:
        """Starts the clinic over as of today."""
        now = self.now()
        today = now.astimezone(PRACTICE_ZONE).date()
        directory = build_directory(today, self._given)
        with self.store.writing() as connection:
            self.store.empty(connection)
            if self._given is None:
                first_records(connection, directory, now)
            connection.execute("INSERT INTO about VALUES ('seeded_on', ?)", (today.isoformat(),))
        self.directory = directory
