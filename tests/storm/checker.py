"""What everybody was told, against our database, the EHR's own log and what the message catchers got."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.journeys.steps import IDENTIFIER_SYSTEM, instant
from tests.rig.sandbox import SandboxControl

from .people import BOOKED, CONFIRMING, STAFF, Booker, Patient
from .scene import Scene

LATE = timedelta(minutes=15)
GONE = ("cancelled", "entered-in-error")
IN_DOUBT = ("submitting", "unconfirmed")
KEPT = ("booked", "needs_staff")


@dataclass(frozen=True)
class Row:
    """One booking of ours."""

    id: str
    state: str
    contact: str
    submitted_at: datetime | None = None
    booked_at: datetime | None = None


@dataclass(frozen=True)
class Visit:
    """One Appointment of the EHR's, as its own log has it. ``is_live`` when the portal has not taken it back; it ``stands``
    when nobody has, and takes its time."""

    id: str
    booking_id: str
    practitioner: str
    starts_at: datetime
    ends_at: datetime
    is_live: bool = True
    stands: bool = True


@dataclass(frozen=True)
class Delivered:
    """One confirmation that reached somebody. ``key`` is the same for each copy of one message."""

    contact: str
    key: str = ""


@dataclass
class Findings:
    """Ids of what should not be, by what is wrong with it; ``counts`` are figures that are no fault."""

    lost: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)
    told_booked_but_absent: list[str] = field(default_factory=list)
    told_and_unknown: list[str] = field(default_factory=list)
    unknown_to_us: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    messages_lost: list[str] = field(default_factory=list)
    messages_twice: list[str] = field(default_factory=list)
    messages_for_nothing: list[str] = field(default_factory=list)
    people_twice: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def faults(self) -> dict[str, list[str]]:
        return {name: found for name, found in asdict(self).items() if name != "counts" and found}

    def but(self, *names: str) -> dict[str, list[str]]:
        """The faults, apart from some that a scenario counts for itself."""
        return {name: found for name, found in self.faults.items() if name not in names}

    def figures(self) -> dict[str, int]:
        return self.counts | {name: len(found) for name, found in asdict(self).items() if name != "counts"}


def compare(
    patients: Iterable[Patient],
    rows: Sequence[Row],
    visits: Sequence[Visit],
    delivered: Sequence[Delivered],
    people: Sequence[str] = (),
) -> Findings:
    """``people`` are the names of those whom the EHR was asked to make a Patient for."""
    found = Findings()
    by_id = {row.id: row for row in rows}
    live: dict[str, list[Visit]] = defaultdict(list)
    for visit in visits:
        if visit.is_live:
            live[visit.booking_id].append(visit)
    for row in rows:
        copies = len(live[row.id])
        if copies > 1:
            found.duplicates.append(row.id)
        if row.state == "booked" and copies == 0:
            found.lost.append(row.id)
        if copies and row.state not in (*KEPT, *IN_DOUBT):
            found.unknown_to_us.append(row.id)
        if row.state in IN_DOUBT:
            found.undecided.append(row.id)
        if row.submitted_at and row.booked_at and row.booked_at - row.submitted_at > LATE:
            found.late.append(row.id)
    found.unknown_to_us += [booking_id for booking_id in live if booking_id and booking_id not in by_id]
    found.overlaps = overlaps(visit for each in live.values() for visit in each if visit.stands)
    told: dict[str, set[str]] = defaultdict(set)
    pages: Counter[str] = Counter()
    for patient in patients:
        for said in patient.history:
            pages[said.what] += 1
            if said.booking_id:
                told[said.booking_id].add(said.what)
    for booking_id, words in told.items():
        if booking_id not in by_id:
            found.told_and_unknown.append(booking_id)
        elif BOOKED in words and not live[booking_id]:
            found.told_booked_but_absent.append(booking_id)
    _messages(found, rows, delivered)
    found.people_twice = [name for name, times in Counter(people).items() if times > 1]
    states = Counter(row.state for row in rows)
    found.counts = {
        "booked": states["booked"],
        "to staff": states["needs_staff"],
        "refused": states["refused"],
        "appointments": sum(map(len, live.values())),
        "told confirming": sum(CONFIRMING in words for words in told.values()),
        "told staff": sum(STAFF in words for words in told.values()),
        "pages": sum(pages.values()),
        "messages": len(delivered),
    }
    return found


def overlaps(visits: Iterable[Visit]) -> list[str]:
    """Ids of visits that begin before an earlier one of the same clinician has ended."""
    by_whom: dict[str, list[Visit]] = defaultdict(list)
    for visit in visits:
        by_whom[visit.practitioner].append(visit)
    found = []
    for theirs in by_whom.values():
        theirs.sort(key=lambda visit: visit.starts_at)
        ends = None
        for visit in theirs:
            if ends is not None and visit.starts_at < ends:
                found.append(visit.id)
            ends = visit.ends_at if ends is None else max(ends, visit.ends_at)
    return found


def _messages(found: Findings, rows: Sequence[Row], delivered: Sequence[Delivered]) -> None:
    owed = Counter(row.contact for row in rows if row.state == "booked")
    got = Counter(each.contact for each in delivered)
    for contact in owed.keys() | got.keys():
        if got[contact] < owed[contact]:
            found.messages_lost.append(contact)
        elif owed[contact] == 0:
            found.messages_for_nothing.append(contact)
        elif got[contact] > owed[contact]:
            found.messages_twice.append(contact)


def check(scene: Scene, patients: Sequence[Patient]) -> Findings:
    """Of these people alone, apart from overlaps and Appointments that belong to no booking, which are anybody's."""
    whose = {patient.contact for patient in patients}
    names = {f"Number{patient.number}" for patient in patients}
    every = our_rows(scene)
    theirs = [row for row in every if row.contact in whose]
    others = {row.id for row in every if row.contact not in whose}
    visits = ehr_visits(scene.sandbox)
    found = compare(
        patients,
        theirs,
        [visit for visit in visits if visit.booking_id not in others],
        [each for each in delivered(scene) if each.contact in whose],
        [name for name in people_made(scene) if name in names],
    )
    found.overlaps = overlaps(visit for visit in visits if visit.stands)
    return found


def our_rows(scene: Scene) -> list[Row]:
    found = scene.query("SELECT id, state, contact_value, submitted_at, booked_at FROM booking_booking")
    return [Row(str(key), state, contact, sent, booked) for key, state, contact, sent, booked in found]


def ehr_visits(sandbox: SandboxControl) -> list[Visit]:
    """What staff cancelled, or moved, is no loss of the portal's, and counts as live; its time is others' to take."""
    latest: dict[str, dict[str, Any]] = {}
    for entry in sandbox.log():
        if entry["type"] == "Appointment" and entry["resource"]:
            latest[entry["id"]] = entry
    visits = []
    for key, entry in latest.items():
        resource = entry["resource"]
        ours = [
            each["value"]
            for each in resource.get("identifier", [])
            if each.get("system") == IDENTIFIER_SYSTEM
        ]
        actors = [each["actor"]["reference"] for each in resource["participant"]]
        whom = next((ref for ref in actors if ref.startswith("Practitioner/")), "")
        span = instant(resource["start"]), instant(resource["end"])
        visits.append(
            Visit(
                key,
                ours[0] if ours else "",
                whom,
                *span,
                is_live=resource["status"] not in GONE or entry["client"] == "staff",
                stands=resource["status"] not in GONE,
            )
        )
    return visits


def delivered(scene: Scene) -> list[Delivered]:
    mails = [
        Delivered(str(mail["To"]), str(mail["Message-ID"]))
        for mail in list(scene.mail.messages)
        if "your visit is booked" in str(mail["Subject"])
    ]
    texts = [Delivered(text.to, text.body) for text in list(scene.sms.texts) if "is booked" in text.body]
    return mails + texts


def people_made(scene: Scene) -> list[str]:
    return [
        entry["resource"]["name"][0]["family"]
        for entry in scene.sandbox.log()
        if entry["type"] == "Patient" and entry["method"] == "POST"
    ]


def settle(scene: Scene, seconds: float = 120.0) -> float:
    """Wait until no booking is in doubt and no message owed; how long that took. The checker tells what is left."""
    began = time.monotonic()
    while time.monotonic() - began < seconds and _open_work(scene):
        time.sleep(0.5)
    return time.monotonic() - began


def _open_work(scene: Scene) -> bool:
    found = scene.query(
        "SELECT EXISTS (SELECT FROM booking_booking WHERE state IN ('submitting', 'unconfirmed'))"
        " OR EXISTS (SELECT FROM booking_message WHERE state = 'due')"
    )
    return bool(found[0][0])


def look_again(scene: Scene, patients: Iterable[Patient]) -> None:
    """Everybody who was told anything but "booked" opens the page once more. Who had given up may book then, and that
    comes to its end, too."""
    for patient in patients:
        if patient.last and patient.last.what != BOOKED:
            Booker(scene, patient, random.Random(patient.number), patience=10).book()
    settle(scene)


def slowest(scene: Scene, patients: Sequence[Patient]) -> tuple[float, float]:
    """In seconds, at worst: from the press to the EHR's word in our database, and from there to its message sent."""
    contacts = [patient.contact for patient in patients]
    found = scene.query(
        "SELECT coalesce(max(extract(epoch FROM booked_at - submitted_at)), 0),"
        " coalesce(max(extract(epoch FROM sent_at - booked_at)), 0)"
        " FROM booking_booking JOIN booking_message ON booking_id = booking_booking.id AND kind = 'confirmation'"
        " WHERE contact_value = ANY(%s)",
        contacts,
    )
    return float(found[0][0]), float(found[0][1])


def unbooked(scene: Scene, patients: Sequence[Patient]) -> dict[int, list[str]]:
    """Of those who have neither a visit that stands nor staff who see to it, by number: how their bookings ended, and
    what pages told them. Three creates of one booking may all meet a fault, and then it is the staff's."""
    states = defaultdict(list)
    for row in our_rows(scene):
        states[row.contact].append(row.state)
    return {
        patient.number: [
            *states[patient.contact],
            *(
                f"{said.request}: {said.what} ({said.status}) in {said.seconds:.1f} s"
                for said in patient.history
            ),
        ]
        for patient in patients
        if not any(state in KEPT for state in states[patient.contact])
    }
