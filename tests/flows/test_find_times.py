"""From a reason and a state to times: every offer keeps the rules, blocks follow each other, failures are told."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event

import pytest

from booking.flows import clinic_rules, hold_slot, kept_times
from booking.flows import find_times as times
from booking.flows.hold_slot import Choice
from booking.models import Booking, BookingEvent, ClinicianRecord, ScheduleRecord, standing
from booking.scheduling.clock import local_day
from booking.scheduling.errors import EhrUnavailable
from booking.scheduling.lifecycle import BookingState
from booking.scheduling.terms import Modality
from tests import factories

from .conftest import make_clinic
from .test_board import eventually, make_old


@pytest.fixture(autouse=True)
def patient_enough(settings):
    settings.GRID_DEADLINE_SECONDS = 8.0


def find(clinic, clock, *, block: int = 0, **asked) -> times.Times:
    return times.find_times(clinic.visit(**asked), block_number=block, now=clock(), stands=standing())


def test_offers_are_the_free_times_of_the_block_after_the_lead_time(clinic, clock):
    found = find(clinic, clock)
    zone, block = "America/Los_Angeles", found.block
    free = {
        slot.starts_at
        for schedule in (clinic.schedule, clinic.elsewhere)
        for slot in clinic.free(schedule=schedule)
        if local_day(slot.starts_at, zone) <= block.last_on
    }
    shown = {offer.starts_at for offer in found.offers}
    assert (free - shown, found.pending, found.is_stale, found.zone) == (set(), 0, False, zone)
    assert min(shown) >= clock() + timedelta(hours=2)
    assert {local_day(start, zone) for start in shown} <= set(block.days)


def test_blocks_follow_each_other_to_the_horizon(clinic, clock):
    factories.policy(horizon_days=20)
    blocks = [find(clinic, clock, block=number).block for number in range(3)]
    today = local_day(clock(), "America/Los_Angeles")
    assert [(block.first_on - today).days for block in blocks] == [0, 7, 14]
    assert [(block.last_on - today).days for block in blocks] == [6, 13, 20]
    assert [block.is_last for block in blocks] == [False, False, True]
    assert blocks[0].last_on + timedelta(days=1) == blocks[1].first_on


def test_what_becomes_of_others_bookings_costs_no_new_work(clinic, clock):
    other = factories.clinician(name="Somebody Else", specialties=[factories.specialty("dermatology")])
    before = find(clinic, clock).openings
    offer = find(clinic, clock).offers[0]

    claim(other.schedules.get(), offer, clock)
    assert find(clinic, clock).openings is before
    claim(ScheduleRecord.objects.get(pk=offer.schedule.id), offer, clock)
    after = find(clinic, clock)
    assert (after.openings is before, offer.starts_at in {each.starts_at for each in after.offers}) == (
        False,
        False,
    )


def claim(schedule, offer, clock) -> Booking:
    """A hold of somebody, with what is on record of it."""
    held = factories.booking(
        clinician=schedule.clinician,
        schedule=schedule,
        starts_at=offer.starts_at,
        ends_at=offer.ends_at,
        state=BookingState.HELD,
        hold_expires_at=clock() + timedelta(minutes=9),
        appointment_ref="",
    )
    BookingEvent.objects.create(booking=held, new_state=BookingState.HELD, actor="patient")
    return held


def test_a_claim_that_goes_on_to_a_visit_costs_no_new_work_and_outlives_its_hold(clinic, clock, monkeypatch):
    offer = find(clinic, clock).offers[0]
    schedule = ScheduleRecord.objects.get(pk=offer.schedule.id)
    held, lapsing = (claim(schedule, each, clock) for each in (offer, find(clinic, clock).offers[-1]))
    before = find(clinic, clock).openings
    looks = kept_times._look_anew
    monkeypatch.setattr(kept_times, "_look_anew", None)
    for state, more in (
        (BookingState.SUBMITTING, {}),
        (BookingState.BOOKED, {"appointment_ref": "Appointment/1"}),
    ):
        assert held.move(state, actor="patient", **more)
        assert find(clinic, clock).openings is before
    monkeypatch.setattr(kept_times, "_look_anew", looks)
    # Both were kept as holds. When their time is up, the one that has become a visit still takes its time.
    shown = {each.starts_at for each in find(clinic, clock.ticked(600)).offers}
    assert (held.starts_at in shown, lapsing.starts_at in shown) == (False, True)


@pytest.mark.django_db(transaction=True)
def test_while_one_looks_anew_others_are_shown_what_is_still_good(clinic, clock, monkeypatch):
    before, looking, go_on = find(clinic, clock).openings, Event(), Event()
    looks = kept_times._look_anew

    def look(*asked):
        looking.set()
        assert go_on.wait(10)
        return looks(*asked)

    monkeypatch.setattr(kept_times, "VIEW_SECONDS", 0.0)
    monkeypatch.setattr(kept_times, "_look_anew", look)
    visit, stands, now = clinic.visit(), standing(), clock()
    with ThreadPoolExecutor(1) as pool:
        (kept,) = kept_times._kept.values()
        make_old(kept.scope.wants, 1)
        first = pool.submit(times.find_times, visit, block_number=0, now=now, stands=stands)
        assert looking.wait(10)
        began = time.monotonic()
        shown = times.find_times(visit, block_number=0, now=now, stands=stands)
        waited = time.monotonic() - began
        go_on.set()
        assert first.result(10).openings == before
    assert (shown.openings is before, waited < 2) == (True, True)


@pytest.mark.parametrize(("ahead", "number"), [(-3, 0), (0, 0), (6, 0), (7, 1), (13, 1), (14, 2)])
def test_a_day_is_in_its_block(clinic, clock, ahead, number):
    day = local_day(clock(), "America/Los_Angeles") + timedelta(days=ahead)
    assert times.block_number_of(day, clinic.visit(), clock()) == number


def test_a_held_time_is_offered_to_nobody(clinic, clock, visitor):
    choice = clinic.choice()
    hold_slot.hold(clinic.visit(), choice, visitor=visitor, now=clock())
    assert choice.starts_at not in {offer.starts_at for offer in find(clinic, clock).offers}
    clock.tick(600)
    assert choice.starts_at in {offer.starts_at for offer in find(clinic, clock).offers}


def test_one_clinicians_times_can_be_asked_for(clinic, clock, directory):
    other = make_clinic(clinic.sandbox, directory, family="Okonkwo")
    both = find(clinic, clock)
    assert {offer.clinician.id for offer in both.offers} == {clinic.clinician.pk, other.clinician.pk}
    one = both.openings.of(other.clinician.pk)
    assert one.offers() == tuple(offer for offer in both.offers if offer.clinician.id == other.clinician.pk)


def test_every_offer_can_be_held(clinic, clock):
    offers = [each for each in find(clinic, clock).offers if each.starts_at > clock() + timedelta(days=1)]
    step = max(1, len(offers) // 4)
    for offer in offers[::step]:
        choice = Choice(offer.schedule.id, offer.starts_at)
        assert hold_slot.check_offer(clinic.visit(), choice, now=clock()) == offer


def test_nobody_licensed_is_told_apart_from_nothing_free(clinic, clock):
    found = find(clinic, clock, jurisdiction="OR")
    assert (found.offers, found.pending, found.eligible) == ((), 0, ())


def test_open_specialties_and_modalities_are_those_of_somebody_licensed(clinic, clock):
    here, there = clinic.visit(), clinic.visit(jurisdiction="OR")
    rules = clinic_rules.current()
    assert [rules.open_specialties(visit, clock()) for visit in (here, there)] == [{"family": 1}, {}]
    assert [rules.modalities_open(visit) for visit in (here, there)] == [list(Modality), []]
    assert rules.modalities_open(clinic.visit(jurisdiction="NY")) == [Modality.VIDEO, Modality.PHONE]


def test_a_clinician_the_desk_took_off_is_not_offered(clinic, clock):
    assert find(clinic, clock).offers != ()
    ClinicianRecord.objects.update(is_bookable=False)
    assert (find(clinic, clock).offers, clinic_rules.current().index.clinicians) == ((), ())


@pytest.mark.parametrize(
    ("modality", "zone"),
    [(Modality.VIDEO, "America/New_York"), (Modality.IN_PERSON, "America/Los_Angeles")],
    ids=["remote-where-the-patient-is", "in-person-where-the-place-is"],
)
def test_times_are_worded_where_the_patient_will_be(clinic, clock, modality, zone):
    assert find(clinic, clock, modality=modality, zone="America/New_York").zone == zone


def test_an_ehr_that_is_away_is_told_when_nothing_is_known(clinic, clock):
    clinic.sandbox.faults("403-html", type="Slot", times=None)
    with pytest.raises(EhrUnavailable):
        find(clinic, clock)


def test_an_ehr_that_goes_away_leaves_the_times_known_and_says_so(clinic, clock, settings):
    fresh = find(clinic, clock)
    settings.GRID_FRESH_SECONDS = 0
    kept_times.forget()
    clinic.sandbox.faults("403-html", type="Slot", times=None)
    find(clinic, clock)
    eventually(lambda: find(clinic, clock).is_stale)
    found = find(clinic, clock)
    assert (found.offers, found.is_stale, found.read_at) == (fresh.offers, True, fresh.read_at)


def test_the_next_block_with_times_is_found(clinic, clock):
    factories.policy(lead_minutes=13 * 24 * 60)
    first = find(clinic, clock)
    assert first.offers == ()
    asked = {"now": clock(), "stands": standing()}
    later = times.next_block_with_times(clinic.visit(), after=first.block, **asked)
    assert (later.block.number in (1, 2), later.offers[0].starts_at >= clock() + timedelta(days=13)) == (
        True,
        True,
    )
    last = times.find_times(clinic.visit(), block_number=9, **asked)
    assert (last.block.is_last, times.next_block_with_times(clinic.visit(), after=last.block, **asked)) == (
        True,
        None,
    )


def test_a_grid_takes_as_many_queries_for_many_clinicians_as_for_one(
    clinic, clock, directory, django_assert_num_queries
):
    visit = clinic.visit()
    factories.policy()
    for families in ([], ["Okonkwo", "Nguyen", "Goldberg"]):
        for family in families:
            make_clinic(clinic.sandbox, directory, family=family)
        for each in ClinicianRecord.objects.all():
            factories.compact_credential(each)
        clinic_rules.current()
        # What stands, and what is claimed; and once more, what stands.
        for queries in (2, 1):
            with django_assert_num_queries(queries):
                times.find_times(visit, block_number=0, now=clock(), stands=standing())
        # The rules: clinicians with five things of theirs, compacts and their members, reasons with four and which of
        # them are offered, the policy.
        clinic_rules._kept = None
        with django_assert_num_queries(18):
            clinic_rules.current()
