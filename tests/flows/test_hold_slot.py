"""Holding a time: one claim for one clinician and time, given back only for one that stands, judged again each time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from booking.flows import hold_slot
from booking.flows.hold_slot import Choice
from booking.models import Booking, ClinicianRecord, LicenseRecord
from booking.models.bookings import Visitor
from booking.scheduling.clock import local_day
from booking.scheduling.errors import EhrUnavailable, Refusal, RefusalCode
from booking.scheduling.lifecycle import BookingState
from booking.scheduling.terms import Modality, PatientKind
from tests import factories

MINUTE = timedelta(minutes=1)


def refusal(clinic, choice, *, visitor, now, **asked) -> RefusalCode:
    with pytest.raises(Refusal) as raised:
        hold_slot.hold(clinic.visit(**asked), choice, visitor=visitor, now=now)
    return raised.value.code


def states() -> list[str]:
    return sorted(Booking.objects.values_list("state", flat=True))


def pair_apart(clinic, minutes: int, gap: int) -> tuple[Choice, Choice]:
    """Two free times whose starts are ``gap`` minutes apart."""
    free = {slot.starts_at for slot in clinic.free(minutes)}
    first = next(start for start in sorted(free) if start + gap * MINUTE in free)
    return clinic.choice(first), clinic.choice(first + gap * MINUTE)


def test_a_hold_records_what_was_chosen(clinic, visitor, clock):
    choice = clinic.choice()
    held = hold_slot.hold(clinic.visit(), choice, visitor=visitor, now=clock())
    held.refresh_from_db()
    assert (held.state, held.owner_key, held.clinician, held.schedule, held.reason) == (
        BookingState.HELD,
        visitor.owner_key,
        clinic.clinician,
        clinic.schedule,
        clinic.reason,
    )
    assert (held.starts_at, held.ends_at) == (choice.starts_at, choice.starts_at + 30 * MINUTE)
    assert (held.jurisdiction, held.zone, held.modality) == ("CA", "America/Los_Angeles", Modality.VIDEO)
    assert held.license_number == clinic.clinician.licenses.get(jurisdiction="CA").number
    assert held.hold_expires_at == held.hold_full_expires_at == clock() + 10 * MINUTE
    assert [(event.old_state, event.new_state, event.actor) for event in held.events.all()] == [
        ("", "held", "patient")
    ]
    assert clinic.appointments(held) == []


def test_the_hold_lasts_as_long_as_the_clinic_says(clinic, visitor, clock):
    factories.policy(hold_minutes=25)
    held = hold_slot.hold(clinic.visit(), clinic.choice(), visitor=visitor, now=clock())
    assert held.hold_expires_at == clock() + 25 * MINUTE


def test_a_second_visitor_is_refused_the_same_time(clinic, visitor, clock):
    choice = clinic.choice()
    hold_slot.hold(clinic.visit(), choice, visitor=visitor, now=clock())
    assert refusal(clinic, choice, visitor=factories.visitor(), now=clock()) == RefusalCode.TIME_TAKEN
    assert states() == ["held"]


def test_choosing_the_same_time_again_gives_the_same_hold(clinic, visitor, clock):
    choice = clinic.choice()
    holds = [hold_slot.hold(clinic.visit(), choice, visitor=visitor, now=clock()) for _ in range(2)]
    assert (holds[0].pk, states()) == (holds[1].pk, ["held"])


def test_a_time_that_overlaps_by_half_is_refused(clinic, visitor, clock):
    """30 minutes are held; an hour that begins half an hour earlier ends half an hour into them."""
    long = factories.reason("long", default_minutes=60)
    free = {slot.starts_at for slot in clinic.free(60)}
    start = next(
        each for each in sorted(free) if each + 30 * MINUTE in {s.starts_at for s in clinic.free(30)}
    )
    hold_slot.hold(clinic.visit(), clinic.choice(start + 30 * MINUTE), visitor=visitor, now=clock())
    code = refusal(
        clinic, clinic.choice(start), visitor=factories.visitor(), now=clock(), reason=long.to_term()
    )
    assert (code, states()) == (RefusalCode.TIME_TAKEN, ["held"])


def test_times_that_touch_are_both_held(clinic, visitor, clock):
    for who, choice in zip([visitor, factories.visitor()], pair_apart(clinic, 30, 30), strict=True):
        hold_slot.hold(clinic.visit(), choice, visitor=who, now=clock())
    assert states() == ["held", "held"]


def test_a_clinicians_other_place_is_refused_at_the_same_time(clinic, visitor, clock):
    there = {slot.starts_at for slot in clinic.free(schedule=clinic.elsewhere)}
    both = next(slot.starts_at for slot in clinic.free() if slot.starts_at in there)
    hold_slot.hold(clinic.visit(), clinic.choice(both), visitor=visitor, now=clock())
    code = refusal(clinic, Choice(clinic.elsewhere.pk, both), visitor=factories.visitor(), now=clock())
    assert code == RefusalCode.TIME_TAKEN


@pytest.mark.parametrize(
    ("after", "winner"), [pytest.param(599, False, id="one-second-left"), pytest.param(600, True, id="over")]
)
def test_an_expired_hold_gives_way_without_a_worker(clinic, visitor, clock, after, winner):
    choice, second = clinic.choice(), factories.visitor()
    first = hold_slot.hold(clinic.visit(), choice, visitor=visitor, now=clock())
    clock.tick(after)
    if winner:
        held = hold_slot.hold(clinic.visit(), choice, visitor=second, now=clock())
        first.refresh_from_db()
        assert (first.state, held.state, held.owner_key) == ("expired", "held", second.owner_key)
        assert [event.note for event in first.events.filter(new_state="expired")] == ["hold ended"]
    else:
        assert refusal(clinic, choice, visitor=second, now=clock()) == RefusalCode.TIME_TAKEN


def test_ones_earlier_hold_is_given_back_once_the_new_one_stands(clinic, visitor, clock):
    one, other = pair_apart(clinic, 30, 15)
    first = hold_slot.hold(clinic.visit(), one, visitor=visitor, now=clock())
    second = hold_slot.hold(clinic.visit(), other, visitor=visitor, now=clock())
    first.refresh_from_db()
    assert (first.state, second.state) == ("released", "held")
    assert (
        hold_slot.check_offer(clinic.visit(), one, now=clock(), apart_from=[second.pk]).starts_at
        == one.starts_at
    )


def test_ones_earlier_hold_is_kept_when_the_new_one_is_refused(clinic, visitor, clock):
    one, other = pair_apart(clinic, 30, 30)
    hold_slot.hold(clinic.visit(), other, visitor=factories.visitor(), now=clock())
    mine = hold_slot.hold(clinic.visit(), one, visitor=visitor, now=clock())
    assert refusal(clinic, other, visitor=visitor, now=clock()) == RefusalCode.TIME_TAKEN
    mine.refresh_from_db()
    assert (mine.state, mine.is_live_hold(clock())) == ("held", True)


def test_ones_earlier_hold_is_kept_when_somebody_is_faster_to_the_lock(clinic, visitor, clock, monkeypatch):
    """Both were told that the time is free; the slower one finds it taken only under the lock."""
    one, other = pair_apart(clinic, 30, 30)
    mine = hold_slot.hold(clinic.visit(), one, visitor=visitor, now=clock())
    lock, rivals = hold_slot.lock_clinician, [factories.visitor()]

    def overtaken(clinician_id: int) -> None:
        if rivals:
            hold_slot.hold(clinic.visit(), other, visitor=rivals.pop(), now=clock())
        lock(clinician_id)

    monkeypatch.setattr(hold_slot, "lock_clinician", overtaken)
    assert refusal(clinic, other, visitor=visitor, now=clock()) == RefusalCode.TIME_TAKEN
    mine.refresh_from_db()
    assert (rivals, mine.state, mine.events.count()) == ([], "held", 1)


def test_ones_earlier_hold_is_kept_when_the_ehr_is_away(clinic, visitor, clock):
    one, other = pair_apart(clinic, 30, 30)
    mine = hold_slot.hold(clinic.visit(), one, visitor=visitor, now=clock())
    clinic.sandbox.faults("403-html", type="Slot", times=None)
    with pytest.raises(EhrUnavailable):
        hold_slot.hold(clinic.visit(), other, visitor=visitor, now=clock())
    mine.refresh_from_db()
    assert (mine.state, states()) == ("held", ["held"])


def test_a_hold_is_extended_once(clinic, visitor, clock):
    held = hold_slot.hold(clinic.visit(), clinic.choice(), visitor=visitor, now=clock())
    ends = clock.tick(300) + 10 * MINUTE
    assert hold_slot.extend(held, now=clock()) is True
    held.refresh_from_db()
    assert (held.hold_expires_at, held.hold_full_expires_at, held.hold_is_extended) == (ends, ends, True)
    clock.tick(60)
    assert hold_slot.extend(held, now=clock()) is False
    held.refresh_from_db()
    assert held.hold_expires_at == ends


def test_a_hold_that_is_over_is_not_extended(clinic, visitor, clock):
    held = hold_slot.hold(clinic.visit(), clinic.choice(), visitor=visitor, now=clock())
    clock.tick(600)
    assert hold_slot.extend(held, now=clock()) is False


def test_leaving_shortens_a_hold_and_coming_back_restores_it(clinic, visitor, clock):
    held = hold_slot.hold(clinic.visit(), clinic.choice(), visitor=visitor, now=clock())
    promised = held.hold_expires_at
    hold_slot.leave(held, now=clock())
    held.refresh_from_db()
    assert held.hold_expires_at == clock() + timedelta(seconds=90)
    clock.tick(89)
    hold_slot.resume(held, now=clock())
    held.refresh_from_db()
    assert held.hold_expires_at == promised


def test_coming_back_too_late_restores_nothing(clinic, visitor, clock):
    choice = clinic.choice()
    held = hold_slot.hold(clinic.visit(), choice, visitor=visitor, now=clock())
    hold_slot.leave(held, now=clock())
    held.refresh_from_db()
    left = held.hold_expires_at
    clock.tick(90)
    hold_slot.resume(held, now=clock())
    held.refresh_from_db()
    assert (held.hold_expires_at, held.is_live_hold(clock())) == (left, False)
    assert hold_slot.hold(clinic.visit(), choice, visitor=factories.visitor(), now=clock()).state == "held"


def test_leaving_never_lengthens_a_hold(clinic, visitor, clock):
    held = hold_slot.hold(clinic.visit(), clinic.choice(), visitor=visitor, now=clock())
    clock.tick(550)
    hold_slot.leave(held, now=clock())
    held.refresh_from_db()
    assert held.hold_expires_at == clock() + timedelta(seconds=50)


def test_a_time_the_clinic_booked_itself_is_refused(clinic, visitor, clock):
    choice = clinic.choice()
    clinic.sandbox.staff_books(clinic.clinician.ehr_ref, choice.starts_at, choice.starts_at + 30 * MINUTE)
    assert refusal(clinic, choice, visitor=visitor, now=clock()) == RefusalCode.TIME_TAKEN
    assert states() == []


def test_a_time_the_ehr_never_had_is_refused(clinic, visitor, clock):
    choice = clinic.choice(clinic.free()[0].starts_at + MINUTE)
    assert refusal(clinic, choice, visitor=visitor, now=clock()) == RefusalCode.TIME_TAKEN


def test_a_time_that_passed_is_refused_as_past(clinic, visitor, clock):
    choice = clinic.choice(clock().replace(minute=0, second=0, microsecond=0) - timedelta(days=1))
    assert refusal(clinic, choice, visitor=visitor, now=clock()) == RefusalCode.TIME_PAST


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"lead_minutes": 14 * 24 * 60}, RefusalCode.TOO_SOON, id="lead-time"),
        pytest.param({"horizon_days": 1}, RefusalCode.TOO_FAR, id="horizon"),
    ],
)
def test_a_time_outside_the_clinics_limits_is_refused(clinic, visitor, clock, changes, code):
    factories.policy(**changes)
    choice = clinic.choice()
    assert refusal(clinic, choice, visitor=visitor, now=clock()) == code


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        pytest.param({"jurisdiction": "OR"}, RefusalCode.NOT_LICENSED, id="the-next-state"),
        pytest.param({"specialty": "dermatology"}, RefusalCode.NOT_OFFERED, id="another-specialty"),
    ],
)
def test_a_request_made_by_hand_is_judged_like_any_other(clinic, visitor, clock, asked, code):
    assert refusal(clinic, clinic.choice(), visitor=visitor, now=clock(), **asked) == code
    assert states() == []


def test_a_license_that_ends_the_day_before_is_refused(clinic, visitor, clock):
    choice = clinic.choice()
    visit = clinic.visit()
    on = local_day(choice.starts_at, visit.zone)
    licenses = LicenseRecord.objects.filter(clinician=clinic.clinician, jurisdiction="CA")
    licenses.update(ends_on=on - timedelta(days=1))
    assert refusal(clinic, choice, visitor=visitor, now=clock()) == RefusalCode.NOT_LICENSED
    licenses.update(ends_on=on)
    assert hold_slot.hold(visit, choice, visitor=visitor, now=clock()).state == "held"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"is_bookable": False}, id="not-bookable"),
        pytest.param({"is_active": False}, id="gone-from-the-ehr"),
        pytest.param({"by_video": False}, id="not-by-video"),
    ],
)
def test_a_clinician_the_desk_took_off_is_refused(clinic, visitor, clock, change):
    choice = clinic.choice()
    type(clinic.clinician).objects.update(**change)
    assert refusal(clinic, choice, visitor=visitor, now=clock()) == RefusalCode.NOT_OFFERED


def test_a_clinician_without_new_patients_refuses_a_new_one(clinic, visitor, clock):
    type(clinic.clinician).objects.update(accepts_new_patients=False)
    choice = clinic.choice()
    code = refusal(clinic, choice, visitor=visitor, now=clock(), patient_kind=PatientKind.NEW)
    assert code == RefusalCode.NOT_OFFERED
    known = clinic.visit(patient_kind=PatientKind.ESTABLISHED)
    assert hold_slot.hold(known, choice, visitor=visitor, now=clock()).patient_kind == "established"


@pytest.mark.parametrize("gone", ["schedule", "location"])
def test_a_schedule_that_was_retired_is_refused(clinic, visitor, clock, gone):
    choice = clinic.choice()
    record = clinic.schedule if gone == "schedule" else clinic.schedule.location
    type(record).objects.filter(pk=record.pk).update(is_active=False)
    assert refusal(clinic, choice, visitor=visitor, now=clock()) == RefusalCode.NOT_OFFERED


def test_an_unknown_schedule_is_refused(clinic, visitor, clock):
    assert refusal(clinic, Choice(0, clock()), visitor=visitor, now=clock()) == RefusalCode.NOT_OFFERED


def test_the_daily_cap_refuses_one_more_that_day_and_not_the_next(clinic, visitor, clock):
    factories.policy(daily_cap=1)
    zone = clinic.schedule.location.time_zone
    starts = [slot.starts_at for slot in clinic.free()]
    first, same_day = next(
        (one, other)
        for one in starts
        for other in starts
        if other >= one + 30 * MINUTE and local_day(one, zone) == local_day(other, zone)
    )
    next_day = next(start for start in starts if local_day(start, zone) > local_day(first, zone))
    hold_slot.hold(clinic.visit(), clinic.choice(first), visitor=visitor, now=clock())
    code = refusal(clinic, clinic.choice(same_day), visitor=factories.visitor(), now=clock())
    assert code == RefusalCode.TIME_TAKEN
    hold_slot.hold(clinic.visit(), clinic.choice(next_day), visitor=factories.visitor(), now=clock())
    assert states() == ["held", "held"]


def test_the_daily_cap_does_not_count_the_hold_one_gives_back(clinic, visitor, clock):
    factories.policy(daily_cap=1)
    for choice in pair_apart(clinic, 30, 30):
        hold_slot.hold(clinic.visit(), choice, visitor=visitor, now=clock())
    assert states() == ["held", "released"]


@pytest.mark.parametrize(
    ("buffer", "expected"),
    [pytest.param(15, "held", id="just-kept"), pytest.param(16, None, id="a-minute-short")],
)
def test_the_buffer_is_kept_to_the_next_hold(clinic, visitor, clock, buffer, expected):
    factories.policy(buffer_minutes=buffer)
    one, other = pair_apart(clinic, 30, 45)
    hold_slot.hold(clinic.visit(), one, visitor=visitor, now=clock())
    if expected:
        held = hold_slot.hold(clinic.visit(), other, visitor=factories.visitor(), now=clock())
        assert held.state == expected
    else:
        code = refusal(clinic, other, visitor=factories.visitor(), now=clock())
        assert code == RefusalCode.TIME_TAKEN


def test_a_hold_given_back_is_free_at_once(clinic, visitor, clock):
    choice = clinic.choice()
    held = hold_slot.hold(clinic.visit(), choice, visitor=visitor, now=clock())
    assert (hold_slot.release(held), hold_slot.release(held)) == (True, False)
    assert hold_slot.hold(clinic.visit(), choice, visitor=factories.visitor(), now=clock()).state == "held"


def test_expired_holds_are_closed_in_passing(clinic, visitor, clock):
    one, other = pair_apart(clinic, 30, 30)
    old = hold_slot.hold(clinic.visit(), one, visitor=visitor, now=clock())
    clock.tick(300)
    new = hold_slot.hold(clinic.visit(), other, visitor=factories.visitor(), now=clock())
    clock.tick(300)
    assert (hold_slot.expire_holds(now=clock()), hold_slot.expire_holds(now=clock())) == (1, 0)
    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.state, new.state) == ("expired", "held")


def test_the_lock_needs_a_transaction(transactional_db):
    with pytest.raises(RuntimeError, match="lock_clinician needs a transaction"):
        hold_slot.lock_clinician(1)


def test_nobody_without_a_key_owns_anything(clinic, visitor, clock):
    hold_slot.hold(clinic.visit(), clinic.choice(), visitor=visitor, now=clock())
    Booking.objects.update(owner_key="")
    assert list(Booking.objects.of(Visitor(""))) == []


def test_a_hold_keeps_the_license_it_stands_on(clinic, visitor, clock):
    held = hold_slot.hold(clinic.visit(), clinic.choice(), visitor=visitor, now=clock())
    assert (held.license_basis, held.license_compact) == (f"CA license {held.license_number}", "")


def test_a_hold_under_a_compact_keeps_the_privilege_it_stands_on(clinic, visitor, clock):
    ClinicianRecord.objects.update(profession="PSYCHOLOGIST", home_jurisdiction="TX")
    psypact = factories.compact(members=["TX", "CO"])
    asked = clinic.visit(jurisdiction="CO", zone="America/Denver")
    with pytest.raises(Refusal) as refused:
        hold_slot.hold(asked, clinic.choice(), visitor=visitor, now=clock())
    assert refused.value.code == RefusalCode.NOT_LICENSED
    factories.compact_credential(clinic.clinician, compact=psypact)
    held = hold_slot.hold(asked, clinic.choice(), visitor=visitor, now=clock())
    assert (held.license_basis, held.license_number, held.license_compact) == (
        f"{psypact.name} authority 12345, home state TX",
        "12345",
        psypact.name,
    )


def test_a_lapsed_home_license_is_refused_at_the_hold(clinic, visitor, clock):
    """The page was shown while it was in force; the hold asks again."""
    ClinicianRecord.objects.update(profession="PSYCHOLOGIST", home_jurisdiction="TX")
    factories.compact_credential(clinic.clinician, compact=factories.compact(members=["TX", "CO"]))
    clinic.clinician.licenses.filter(jurisdiction="TX").update(ends_on=clock().date())
    with pytest.raises(Refusal) as refused:
        hold_slot.hold(
            clinic.visit(jurisdiction="CO", zone="America/Denver"),
            clinic.choice(),
            visitor=visitor,
            now=clock(),
        )
    assert refused.value.code == RefusalCode.NOT_LICENSED
