"""The running EHR in these manners: its store, clock, switches and people, and how all of it is seeded."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from ..calls import Calls
from ..ehr import PRACTICE_ZONE, Clock, system_clock
from ..faults import Faults
from ..notices import Notices, medplum_rest_hook, r4_rest_hook
from ..seed import Directory, build_directory
from ..store import Store
from .parameters import EXTRAS
from .records import SCHEMAS, Records
from .searching import Habits
from .seeding import first_resources
from .switches import MedplumSwitches, PlainSwitches

Manners = Literal["medplum", "r4"]

BASE_PATHS: dict[Manners, str] = {"medplum": "/fhir/R4", "r4": "/fhir"}
TOKEN_PATHS: dict[Manners, str] = {"medplum": "/oauth2/token", "r4": "/token"}


class Clinic:
    """Everything a request needs, passed explicitly to each part of the server."""

    def __init__(self, database: str | Path, manners: Manners, clock: Clock = system_clock) -> None:
        self.manners: Manners = manners
        self.clock = clock
        self.store = Store(database, SCHEMAS[manners])
        self.switches: MedplumSwitches | PlainSwitches = (
            MedplumSwitches() if manners == "medplum" else PlainSwitches()
        )
        self.records = Records(self.store, self.now, "uuid" if manners == "medplum" else "number")
        self.faults = Faults()
        self.calls = Calls()
        form = medplum_rest_hook if manners == "medplum" else r4_rest_hook
        self.notices = Notices(self.store, form, lambda: self.now().timestamp())
        # What else starts over with the clinic.
        self.on_reseed: list[Callable[[], None]] = []
        self.directory: Directory
        seeded_on = self.store.about("seeded_on")
        if seeded_on is None:
            self.reseed()
        else:
            self.directory = build_directory(date.fromisoformat(seeded_on))

    @property
    def medplum(self) -> MedplumSwitches | None:
        """The switches of these manners, when they are Medplum's."""
        return self.switches if isinstance(self.switches, MedplumSwitches) else None

    @property
    def plain(self) -> PlainSwitches | None:
        return self.switches if isinstance(self.switches, PlainSwitches) else None

    def now(self) -> datetime:
        return self.clock().astimezone(UTC)

    def habits(self, kind: str) -> Habits:
        """How a search for `kind` goes at this moment."""
        if self.plain is None:
            return Habits(
                is_strict=True,
                default_count=20,
                always_total=False,
                lag_seconds=self.switches.search_lag_seconds,
            )
        knows_identifier = kind != "Appointment" or self.plain.identifier_search
        return Habits(
            is_strict=False,
            default_count=50,
            always_total=True,
            relative_next=self.plain.relative_next_links,
            with_includes=self.plain.slot_includes or kind != "Slot",
            ignored=EXTRAS if knows_identifier else EXTRAS | {"identifier"},
            lag_seconds=self.plain.search_lag_seconds,
        )

    def reseed(self) -> None:
        """Starts the clinic over as of today."""
        for start_over in self.on_reseed:
            start_over()
        now = self.now()
        today = now.astimezone(PRACTICE_ZONE).date()
        if self.store.about("seeded_on") == today.isoformat():
            with self.records.writing() as connection:
                self.records.restore(connection)
            return
        directory = build_directory(today)
        with self.records.writing() as connection:
            self.store.empty(connection)
            self.records.seed(connection, first_resources(directory, self.manners, today, now))
            connection.execute("INSERT INTO about VALUES ('seeded_on', ?)", (today.isoformat(),))
        self.directory = directory
