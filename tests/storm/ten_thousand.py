"""Ten thousand bookings at an EHR of which one create in five goes wrong, and what became of each.

    python -m tests.storm.ten_thousand --bookings 10000 --json var/ten_thousand.json

The portal's own flows run in threads, on PostgreSQL of their own, against the sandbox over HTTP. The portal's clock
stands still while patients book and is then moved on, as is real time by more than the sandbox's slowest commit; until
nothing is open any more, or a quarter of an hour has passed. What everybody was told is then held against our rows and
the sandbox's own log. The control sends each create again until it is answered, under the same faults.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from tests.rig.postgres import postgres
from tests.rig.processes import temporary_directory
from tests.rig.sandbox import SandboxControl, sandbox

from .checker import Visit, ehr_visits, overlaps
from .scene import write_roster

REST, LOOK_AGAIN = 60, 30
# In real seconds: when we give up on an answer, and by when the sandbox has surely committed after that.
GIVES_UP, SLOWEST_COMMIT = 1.5, 4.0
QUARTER = timedelta(minutes=15)
PER_CLINICIAN = 250
MINUTES = 20
PROCESSES, THREADS = 2, 5

# Of all creates of an Appointment one in five, each kind as often as the next.
SHARE = 0.20
CREATES = (
    {"kind": "500"},
    {"kind": "reset-before-commit"},
    {"kind": "commit-then-500"},
    {"kind": "commit-then-no-answer"},
    {"kind": "commit-late", "delay_seconds": GIVES_UP + 0.5},
)
OTHERS = (
    {"kind": "401", "probability": 0.002},
    {"kind": "drip", "method": "GET", "probability": 0.01, "delay_seconds": 0.3},
    {"kind": "bad-json", "method": "GET", "probability": 0.01},
    {"kind": "commit-then-no-answer", "method": "POST", "type": "Patient", "probability": 0.01},
)


@dataclass
class Report:
    """``by_state`` counts the bookings that were submitted. All of the lists are of ids, and should be empty."""

    bookings: int
    seconds: float = 0.0
    creates: int = 0
    creates_without_answer: int = 0
    by_state: dict[str, int] = field(default_factory=dict)
    told_at_once: dict[str, int] = field(default_factory=dict)
    minutes_until_settled: float = 0.0
    lost: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    told_booked_but_absent: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    messages_amiss: list[str] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)
    control_creates: int = 0
    control_duplicates: int = 0

    @property
    def to_staff(self) -> int:
        return self.by_state.get("needs_staff", 0)

    @property
    def is_clean(self) -> bool:
        wrong = (self.lost, self.duplicates, self.told_booked_but_absent, self.undecided)
        return not any((*wrong, self.messages_amiss, self.overlaps))


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.at = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.at


@contextmanager
def scene(clinicians: int) -> Iterator[SandboxControl]:
    """A database that is migrated, a sandbox of so many clinicians, and Django set up for both."""
    with ExitStack() as running:
        folder = running.enter_context(temporary_directory("ten-thousand"))
        roster = folder / "roster.json"
        write_roster(roster, clinicians, horizon_days=30, step_minutes=MINUTES)
        cluster = running.enter_context(postgres())
        ehr = running.enter_context(sandbox(roster=roster))
        os.environ.update(
            ehr.env,
            PORTAL_MODE="test",
            DATABASE_URL=cluster.url(),
            VAR_DIR=str(folder),
            LOG_LEVEL="ERROR",
            EHR_READ_SECONDS=str(GIVES_UP),
            EHR_TOTAL_SECONDS=str(2 * GIVES_UP),
            EHR_REST_SECONDS=str(REST),
            EHR_LOOK_AGAIN_SECONDS=str(LOOK_AGAIN),
            EHR_CALLS_PER_MINUTE="100000",
            EHR_CALLS_PER_SECOND="10000",
            DJANGO_SETTINGS_MODULE="portal.settings",
        )
        import django

        django.setup()
        from django.core.management import call_command
        from django.db import connections

        call_command("migrate", verbosity=0)
        try:
            yield ehr
        finally:
            connections.close_all()


def set_faults(ehr: SandboxControl) -> None:
    ehr.clear_faults()
    # The dice are thrown for one kind after another, so each gets its share of what the earlier ones leave.
    left, each = 1.0, SHARE / len(CREATES)
    for fault in CREATES:
        ehr.faults(**fault, method="POST", type="Appointment", times=None, probability=each / left)
        left -= each
    for fault in OTHERS:
        ehr.faults(**fault, times=None)


def side_by_side(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What ``work`` answers for each number, from several processes of several threads each, as a deployment has."""
    context = multiprocessing.get_context("fork")
    shares = [range(each, count, PROCESSES) for each in range(PROCESSES)]
    children = []

    def child(share: range, answers: Any) -> None:
        _forget_what_the_parent_opened()
        with ThreadPoolExecutor(THREADS) as pool:
            answers.send(list(pool.map(work, share)))

    for share in shares:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=child, args=[share, theirs])
        process.start()
        theirs.close()
        children.append((process, ours))
    # One that died closes its end, which raises EOFError here.
    found = [answer for _, ours in children for answer in ours.recv()]
    for process, _ in children:
        process.join()
    return found


def _forget_what_the_parent_opened() -> None:
    from django.db import connections

    from booking import ehr as gateways

    gateways._gateways.clear()
    for connection in connections.all():
        connection.connection = None


class Crowd:
    """Patients who choose a time nobody else chooses and press the button until they are told something."""

    def __init__(self, ehr: SandboxControl, bookings: int) -> None:
        self.ehr, self.bookings = ehr, bookings
        self.clock = Clock()
        self.told: dict[UUID, str] = {}
        self._write_clinic()

    def _write_clinic(self) -> None:
        from booking import ehr as gateways
        from booking.flows.sync_directory import sync_directory
        from booking.models import ClinicianRecord, LocationRecord, ScheduleRecord
        from booking.scheduling.terms import Coding
        from tests import factories

        family = factories.specialty()
        factories.policy(lead_minutes=0, horizon_days=30)
        sync_directory()
        LocationRecord.objects.update(jurisdiction="CA", time_zone="America/Los_Angeles")
        for each in ClinicianRecord.objects.all():
            each.specialties.set([family])
        self.reason = factories.reason(default_minutes=MINUTES)
        first_on = self.clock().date() + timedelta(days=2)
        self.choices: list[tuple[int, datetime]] = []
        for schedule in ScheduleRecord.objects.order_by("pk"):
            slots = gateways.gateway().free_slots(
                schedule.ehr_ref,
                first_on=first_on,
                last_on=first_on + timedelta(days=13),
                minutes=MINUTES,
                appointment_type=Coding("http://snomed.info/sct", "448337001"),
            )
            self.choices += [(schedule.pk, slot.starts_at) for slot in slots[:PER_CLINICIAN]]
        if len(self.choices) < self.bookings:
            raise SystemExit(f"only {len(self.choices)} times are free for {self.bookings} bookings")
        # Neighbors in line are at different clinicians, as patients are.
        self.choices.sort(key=lambda choice: (choice[1], choice[0]))

    def book(self, number: int) -> tuple[UUID, str]:
        """The booking, and what its patient was told."""
        from booking.flows import confirm_booking, hold_slot
        from booking.scheduling.eligibility import Visit
        from booking.scheduling.errors import EhrFailure, Refusal
        from booking.scheduling.terms import Modality
        from tests import factories

        visitor = factories.visitor()
        visit = Visit(self.reason.to_term(), "CA", "America/Los_Angeles", Modality.VIDEO)
        choice = hold_slot.Choice(*self.choices[number])
        for _ in range(40):
            try:
                held = hold_slot.hold(visit, choice, visitor=visitor, now=self.clock())
                if held.patient is None:
                    factories.give_details(held)
                done = confirm_booking.submit(held, visitor=visitor, clock=self.clock)
            except EhrFailure:
                # "The clinic's system is not answering. Please try again."
                time.sleep(0.5)
                continue
            except Refusal as refusal:
                return uuid4(), f"no: {refusal.code}"
            return done.pk, str(done.state)
        return uuid4(), "gave up"

    def everybody_books(self) -> None:
        self.told = dict(side_by_side(self.bookings, self.book))

    def time_passes(self) -> timedelta:
        """Move the clock until nothing is open, or the quarter of an hour is over."""
        from booking.flows import reconcile
        from booking.models import Booking

        began = self.clock()
        open_ones = Booking.objects.filter(state__in=["submitting", "unconfirmed"])
        while self.clock() - began < QUARTER and open_ones.exists():
            time.sleep(SLOWEST_COMMIT)
            self.clock.at += timedelta(seconds=LOOK_AGAIN)

            def work(_: int) -> None:
                while reconcile.reconcile(clock=self.clock):
                    pass

            side_by_side(PROCESSES * THREADS, work)
        return self.clock() - began


def live_by_booking(visits: Iterable[Visit]) -> dict[str, list[str]]:
    live: dict[str, list[str]] = defaultdict(list)
    for visit in visits:
        if visit.is_live and visit.booking_id:
            live[visit.booking_id].append(visit.id)
    return live


def check(report: Report, crowd: Crowd) -> None:
    """What was told and what we have, against what the EHR has."""
    from booking.models import Booking, Message

    visits = ehr_visits(crowd.ehr)
    live = live_by_booking(visits)
    rows = {str(row.pk): row for row in Booking.objects.exclude(state__in=["held", "expired", "released"])}
    owed: dict[str, Counter[str]] = defaultdict(Counter)
    for booking_id, kind in Message.objects.values_list("booking_id", "kind"):
        owed[str(booking_id)][kind] += 1
    report.by_state = dict(Counter(row.state for row in rows.values()))
    report.told_at_once = dict(Counter(crowd.told.values()))
    report.duplicates = [booking for booking, ids in live.items() if len(ids) > 1]
    # Of whoever pressed the button there is a row; of whatever the EHR has as well.
    submitted = {str(pk) for pk, told in crowd.told.items() if not told.startswith(("no:", "gave up"))}
    report.lost = sorted((submitted | set(live)) - set(rows))
    for booking, row in rows.items():
        has = [f"Appointment/{id_}" for id_ in live.get(booking, [])]
        if row.state == "booked" and row.appointment_ref not in has:
            report.told_booked_but_absent.append(booking)
        if row.state in ("submitting", "unconfirmed"):
            report.undecided.append(booking)
        if row.state == "refused" and has:
            report.lost.append(booking)
        expected = {"booked": ["confirmation"], "needs_staff": ["needs_staff"]}.get(row.state)
        if expected is not None and sorted(owed[booking].elements()) != expected:
            report.messages_amiss.append(booking)
    report.overlaps = overlaps(visit for visit in visits if visit.is_live)


def naive(crowd: Crowd, report: Report) -> None:
    """The control: send it again until it is answered."""
    from booking import ehr as gateways
    from booking.models import PatientRecord, ScheduleRecord
    from booking.scheduling.errors import EhrFailure
    from booking.scheduling.terms import AppointmentRequest

    crowd.ehr.clear_faults()
    schedules = ScheduleRecord.objects.select_related("clinician", "location").in_bulk()
    whose = PatientRecord.objects.exclude(ehr_patient_ref="").values_list("ehr_patient_ref", flat=True)[0]
    term = crowd.reason.to_term()
    set_faults(crowd.ehr)

    def create(number: int) -> str:
        schedule_id, starts_at = crowd.choices[number]
        schedule = schedules[schedule_id]
        request = AppointmentRequest(
            booking_id=uuid4(),
            practitioner_ref=schedule.clinician.ehr_ref,
            patient_ref=whose,
            location_ref=schedule.location.ehr_ref,
            starts_at=starts_at,
            ends_at=starts_at + timedelta(minutes=MINUTES),
            reason=term.coding,
            reason_text="Control",
            appointment_type=next(iter(term.appointment_types.values())),
            schedule_ref=schedule.ehr_ref,
        )
        for _ in range(8):
            try:
                gateways.gateway().create_appointment(request)
                break
            except EhrFailure:
                continue
        return str(request.booking_id)

    wanted = side_by_side(crowd.bookings, create)
    time.sleep(SLOWEST_COMMIT)
    crowd.ehr.clear_faults()
    live = live_by_booking(ehr_visits(crowd.ehr))
    report.control_creates = sum(len(live.get(each, ())) for each in wanted)
    report.control_duplicates = sum(max(0, len(live.get(each, ())) - 1) for each in wanted)


def summary(report: Report) -> dict[str, Any]:
    """The report with numbers in place of lists."""
    found = asdict(report) | {"to_staff": report.to_staff, "is_clean": report.is_clean}
    return {name: len(each) if isinstance(each, list) else each for name, each in found.items()}


def run(bookings: int, say: Callable[[str], None]) -> Report:
    report = Report(bookings)
    with scene(-(-bookings // PER_CLINICIAN)) as ehr:
        crowd = Crowd(ehr, bookings)
        set_faults(ehr)
        began = time.monotonic()
        crowd.everybody_books()
        say(f"booked in {time.monotonic() - began:.0f} s: {dict(Counter(crowd.told.values()))}")
        report.minutes_until_settled = round(crowd.time_passes().total_seconds() / 60, 1)
        report.seconds = round(time.monotonic() - began, 1)
        ehr.clear_faults()
        report.creates, report.creates_without_answer = count_creates(ehr)
        check(report, crowd)
        say(f"settled after {report.seconds:.0f} s: {report.by_state}; {summary(report)}")
        naive(crowd, report)
        say(f"control: {report.control_duplicates} duplicates of {bookings}")
    return report


def count_creates(ehr: SandboxControl) -> tuple[int, int]:
    """How many creates the EHR was sent, and how many of those brought no usable answer."""
    from booking.models import BookingEvent

    sent = next(
        each["count"]
        for each in ehr.calls()["calls"]
        if (each["method"], each["type"]) == ("POST", "Appointment")
    )
    # From held to in doubt, and in doubt still after another create.
    return sent, BookingEvent.objects.filter(new_state="unconfirmed", note="no answer").count()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bookings", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    report = run(options.bookings, lambda words: print(words, flush=True))
    found = asdict(report) | {"to_staff": report.to_staff, "is_clean": report.is_clean}
    if options.json:
        options.json.write_text(json.dumps(found, indent=2))
    print(json.dumps(summary(report)))
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
