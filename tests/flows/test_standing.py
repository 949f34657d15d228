"""Every committed change of the rules or of a claim is seen, whoever made it and however."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from booking.models import (
    Booking,
    BookingEvent,
    ClinicianPhoto,
    ClinicianRecord,
    CompactMemberRecord,
    CompactRecord,
    DurationRuleRecord,
    LicenseRecord,
    LocationRecord,
    ReasonModality,
    RulesChange,
    ScheduleRecord,
    SchedulingPolicy,
    Specialty,
    VisitReasonRecord,
    standing,
)
from booking.models.claims import noted_between
from booking.models.standing import WATCHED, forget_changes
from booking.scheduling.lifecycle import CLAIMING, TRANSITIONS, BookingState
from tests import factories
from tests.rig.processes import ROOT, clean_environment


@pytest.fixture
def clinician(db) -> ClinicianRecord:
    reason = factories.reason()
    person = factories.clinician()
    factories.compact_credential(person)
    DurationRuleRecord.objects.create(reason=reason, clinician=person, minutes=45)
    ClinicianPhoto.objects.create(
        clinician=person, sha256="0", content_type="image/png", data=b"", fetched_at=datetime.now(UTC)
    )
    SchedulingPolicy.current()
    return person


def test_every_table_that_rules_are_read_from_is_watched(clinician):
    for model in reversed(WATCHED):
        before = standing().rules
        model.objects.all().delete()
        assert standing().rules != before, model
    assert len(WATCHED) == 16


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda who: who.save(), id="save"),
        pytest.param(lambda who: who.specialties.add(factories.specialty("skin")), id="many-to-many"),
        pytest.param(lambda who: who.declined_reasons.set(VisitReasonRecord.objects.all()), id="declined"),
        pytest.param(lambda who: who.licenses.all().delete(), id="delete"),
        pytest.param(lambda who: ClinicianRecord.objects.update(is_bookable=False), id="bulk"),
        pytest.param(
            lambda who: LicenseRecord.objects.bulk_create([LicenseRecord(clinician=who, jurisdiction="NV")]),
            id="bulk-create",
        ),
        pytest.param(lambda who: LocationRecord.objects.update(time_zone="America/Boise"), id="location"),
        pytest.param(lambda who: ScheduleRecord.objects.update(is_active=False), id="schedule"),
        pytest.param(lambda who: CompactMemberRecord.objects.all().delete(), id="compact-member"),
        pytest.param(lambda who: CompactRecord.objects.update(as_of=None), id="compact"),
        pytest.param(lambda who: DurationRuleRecord.objects.update(minutes=50), id="rule"),
        pytest.param(lambda who: ReasonModality.objects.update(type_code="1"), id="modality"),
        pytest.param(lambda who: Specialty.objects.update(position=3), id="specialty"),
        pytest.param(lambda who: ClinicianPhoto.objects.all().delete(), id="photo"),
        pytest.param(lambda who: SchedulingPolicy.objects.update(lead_minutes=5), id="policy"),
    ],
)
def test_a_change_is_seen(clinician, change):
    before = standing()
    assert standing() == before
    change(clinician)
    assert (standing().rules == before.rules, standing().claims) == (False, before.claims)


def test_what_is_no_rule_changes_nothing(clinician, clock):
    before = standing()
    factories.patient()
    assert standing() == before


def test_a_hold_and_its_end_are_seen(clinic, clock, visitor):
    factories.policy()
    first = standing()
    booking = clinic.hold(visitor, now=clock())
    second = standing()
    booking.move(BookingState.RELEASED, actor="patient")
    third = standing()
    assert first.claims < second.claims < third.claims
    assert first.rules == third.rules
    assert Booking.objects.count() == 1


def test_one_query_whatever_there_is(clinician, django_assert_num_queries):
    with django_assert_num_queries(1):
        standing()


@pytest.mark.django_db(transaction=True)
def test_a_writer_that_began_first_and_committed_last_is_seen():
    from threading import Event, Thread

    from django.db import connections

    has_written, may_commit = Event(), Event()

    def early() -> None:
        with transaction.atomic():
            factories.specialty("early")
            has_written.set()
            may_commit.wait(10)
        connections.close_all()

    thread = Thread(target=early)
    thread.start()
    assert has_written.wait(10)
    factories.specialty("late")
    between = standing()
    may_commit.set()
    thread.join()
    after = standing()
    # The control: the highest number alone is the late writer's, both times.
    assert between.rules[0] == after.rules[0]
    assert between.rules != after.rules


def test_old_notes_are_forgotten_and_the_newest_kept(clinician):
    before = standing().rules
    newest = RulesChange.objects.latest("pk")
    assert forget_changes(datetime.now(UTC) + timedelta(days=1)) == before[1] - 1
    assert (list(RulesChange.objects.all()), standing().rules) == ([newest], (before[0], 1))


def test_putting_the_triggers_in_place_again_does_no_harm(clinician):
    call_command("migrate", verbosity=0)
    before = standing().rules
    Specialty.objects.update(position=4)
    assert standing().rules == (before[0] + 1, before[1] + 1)
    assert connection.vendor == "postgresql"


def test_sqlite_notes_changes_too(tmp_path):
    """Beside PostgreSQL, which every other test here is about: a portal begun on SQLite, and a bulk statement there."""
    env = clean_environment(
        PORTAL_MODE="test", DATABASE_URL=f"sqlite:///{tmp_path / 'db.sqlite3'}", VAR_DIR=str(tmp_path)
    )

    def manage(*args: str) -> str:
        command = [sys.executable, "manage.py", *args]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True).stdout

    manage("migrate", "--verbosity", "0")
    said = manage(
        "shell",
        "-c",
        "from booking.models import Specialty, standing\n"
        "seen = [standing().rules]\n"
        "for change in (\n"
        "    lambda: Specialty.objects.create(code='a', name='A'),\n"
        "    lambda: Specialty.objects.update(position=2),\n"
        "    lambda: None,\n"
        "    lambda: Specialty.objects.all()._raw_delete('default'),\n"
        "):\n"
        "    change()\n"
        "    seen.append(standing().rules)\n"
        "print('CHANGED', [one != other for one, other in zip(seen, seen[1:])])",
    )
    assert said.split("CHANGED ")[1].strip() == "[True, True, False, True]"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(old, new, id=f"{old}-{new}")
        for old, following in TRANSITIONS.items()
        for new in sorted(following)
        if old != new
    ],
)
def test_what_leaves_a_claim_as_it_is_is_nothing_new(db, old, new):
    """Every way a booking can go. One that is held again has a new end, so that it is as if it were claimed anew."""
    begins, ends = old in CLAIMING, new in CLAIMING
    fields = {"appointment_ref": "Appointment/1"} if "booked" in (old, new) else {}
    in_an_hour = datetime.now(UTC) + timedelta(hours=1)
    made = factories.booking(state=old, hold_expires_at=in_an_hour, **fields)
    before = standing().claims
    assert made.move(new, actor="system")
    is_new = (begins, ends) != (True, True) or new == "held"
    assert noted_between(before, standing().claims) == ({made.clinician_id} if is_new else set())


@pytest.mark.parametrize("seconds", [-1, 60], ids=["after-its-end", "before-its-end"])
def test_a_hold_that_goes_on_after_its_end_is_a_new_claim(db, seconds):
    ends = datetime.now(UTC) + timedelta(seconds=seconds)
    made = factories.booking(state=BookingState.HELD, hold_expires_at=ends, appointment_ref="")
    before = standing().claims
    assert made.move(BookingState.SUBMITTING, actor="patient")
    assert noted_between(before, standing().claims) == ({made.clinician_id} if seconds < 0 else set())


def test_what_was_changed_in_the_ehr_and_a_new_hold_are_new(db):
    made = factories.booking()
    before = standing().claims
    made.note("changed in the EHR")
    assert noted_between(before, standing().claims) == {made.clinician_id}
    assert noted_between(standing().claims, standing().claims) == set()
    BookingEvent.objects.create(booking=made, new_state=BookingState.HELD, actor="patient")
    assert noted_between(before, standing().claims) == {made.clinician_id}
