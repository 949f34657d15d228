"""Holds that the EHR keeps for us, where it can: plain R4, over HTTP. On Canvas none of this asks anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache

from booking import ehr
from booking.flows import confirm_booking, ehr_holds, forget, hold_slot
from booking.models import Booking
from booking.scheduling.errors import Refusal, TimeTaken
from booking.scheduling.lifecycle import BookingState
from booking.scheduling.terms import Modality
from tests import factories
from tests.journeys.steps import eventually
from tests.rig.sandbox import SandboxControl
from tests.rig.sandbox import sandbox as start_sandbox

from .conftest import Clinic, make_clinic

SYSTEM = "urn:self-scheduling-portal:booking"


@pytest.fixture(scope="module")
def r4_server() -> Iterator[SandboxControl]:
    with start_sandbox("r4") as control:
        yield control


@pytest.fixture
def clinic(db: None, r4_server: SandboxControl, settings: Any) -> Iterator[Clinic]:
    for name, value in r4_server.env.items():
        setattr(settings, name, value)
    r4_server.reset()
    cache.clear()
    yield make_clinic(r4_server, ehr.gateway().directory(), family="Nguyen")
    cache.clear()


def slots(clinic: Clinic, booking: Booking) -> list[str]:
    """The status of every Slot the EHR keeps for a booking."""
    found = clinic.sandbox.search("Slot", identifier=f"{SYSTEM}|{booking.pk}")
    return [slot["status"] for slot in found]


def hold(clinic: Clinic, visitor: Any, now: Any, **more: Any) -> Booking:
    return hold_slot.hold(clinic.visit(), more.get("choice") or clinic.choice(), visitor=visitor, now=now)


def test_a_hold_is_kept_by_the_ehr_too_and_becomes_the_visit(clinic, visitor, clock):
    held = hold(clinic, visitor, clock())
    assert slots(clinic, held) == ["busy-tentative"] * 2
    assert held.ehr_hold_settled_at == clock()
    assert held.starts_at not in {slot.starts_at for slot in clinic.free()}
    booked = confirm_booking.submit(factories.give_details(held), visitor=visitor, clock=clock)
    assert booked.state == BookingState.BOOKED
    assert slots(clinic, held) == ["busy"] * 2
    assert len(clinic.appointments(booked)) == 1
    booked.refresh_from_db()
    assert booked.ehr_hold_settled_at is None
    assert ehr_holds.give_back_due(now=clock() + timedelta(days=1)) == 0
    assert slots(clinic, held) == ["busy"] * 2


def test_nobody_else_at_the_ehr_can_take_a_held_time_and_without_the_hold_they_can(clinic, visitor, clock):
    held = hold(clinic, visitor, clock())
    somebody_elses = replace(ehr_holds._request(held), booking_id=uuid4())
    with pytest.raises(TimeTaken):
        ehr.gateway().hold_time(somebody_elses)
    assert ehr_holds.give_back(held, now=clock())
    ehr.gateway().hold_time(somebody_elses)
    assert slots(clinic, held) == []


@pytest.mark.parametrize("state", [BookingState.EXPIRED, BookingState.RELEASED])
def test_a_hold_that_is_over_is_given_back(clinic, visitor, clock, state):
    held = hold(clinic, visitor, clock())
    assert ehr_holds.give_back_due(now=clock()) == 0
    assert held.move(state, actor="system")
    assert ehr_holds.give_back_due(now=clock()) == 1
    assert slots(clinic, held) == []
    assert held.starts_at in {slot.starts_at for slot in clinic.free()}
    assert ehr_holds.give_back_due(now=clock()) == 0


def test_a_hold_is_given_back_though_its_reason_is_no_longer_held_that_way(clinic, visitor, clock):
    """What an admin took away since must not keep the time for good, nor the times of all others behind it."""
    held = hold(clinic, visitor, clock())
    hold_slot.release(held)
    clinic.reason.modalities.all().delete()
    assert ehr_holds.give_back_due(now=clock()) == 1
    assert slots(clinic, held) == []


def test_a_time_that_the_ehr_gave_to_somebody_else_is_refused_and_the_hold_ends(clinic, visitor, clock):
    choice = clinic.choice()
    stranger = factories.visitor()
    # Another portal's booking takes the same time between our look and our asking: here, through the same gateway.
    first = hold(clinic, stranger, clock(), choice=choice)
    assert hold_slot.release(first)
    taken_by_another = replace(ehr_holds._request(first))
    ehr.gateway().hold_time(taken_by_another)
    with pytest.raises(Refusal) as caught:
        hold(clinic, visitor, clock(), choice=choice)
    assert caught.value.code == "time_taken"
    assert not Booking.objects.of(visitor).claiming(clock()).exists()


def test_asking_late_is_refused_too(clinic, visitor, clock, monkeypatch):
    """The time goes in the very moment between the look at the EHR and the asking."""
    choice = clinic.choice()
    gateway = ehr.gateway()
    other = hold(clinic, factories.visitor(), clock(), choice=choice)
    kept = ehr_holds._request(other)
    assert hold_slot.release(other)
    ehr_holds.give_back(other, now=clock())
    dialect = type(gateway._gateway)
    look = dialect.free_slots

    def look_and_lose(self: Any, *args: Any, **options: Any) -> Any:
        found = look(self, *args, **options)
        self.hold_time(kept)
        return found

    monkeypatch.setattr(dialect, "free_slots", look_and_lose)
    with pytest.raises(Refusal) as caught:
        hold(clinic, visitor, clock(), choice=choice)
    assert caught.value.code == "time_taken"
    booking = Booking.objects.of(visitor).get()
    assert (booking.state, booking.events.last().note) == (BookingState.RELEASED, "taken in the EHR")


def test_choosing_again_what_the_ehr_still_keeps_for_us_works(clinic, visitor, clock):
    choice = clinic.choice()
    first = hold(clinic, visitor, clock(), choice=choice)
    assert hold_slot.release(first)
    again = hold(clinic, visitor, clock(), choice=choice)
    assert again.pk != first.pk
    assert (slots(clinic, first), slots(clinic, again)) == ([], ["busy-tentative"] * 2)


def test_a_hold_that_ended_is_renewed_though_the_ehr_still_keeps_it(clinic, visitor, clock):
    held = factories.give_details(hold(clinic, visitor, clock()))
    clock.tick(3600)
    booked = confirm_booking.submit(held, visitor=visitor, clock=clock)
    assert booked.state == BookingState.BOOKED
    assert booked.pk != held.pk
    assert slots(clinic, booked) == ["busy"] * 2


def test_another_choice_gives_the_first_back(clinic, visitor, clock):
    first_choice, second_choice = clinic.choice(), clinic.choice(clinic.free()[8].starts_at)
    first = hold(clinic, visitor, clock(), choice=first_choice)
    hold(clinic, visitor, clock(), choice=second_choice)
    assert ehr_holds.give_back_due(now=clock()) == 1
    assert slots(clinic, first) == []


@pytest.mark.parametrize("kind", ["commit-then-no-answer", "commit-late"])
def test_a_hold_without_an_answer_rests_before_it_is_given_back(clinic, visitor, clock, settings, kind):
    settings.EHR_READ_SECONDS = 0.5
    clinic.sandbox.faults(method="PUT", type="Slot", kind=kind, times=1, delay_seconds=1)
    held = hold(clinic, visitor, clock())
    assert held.state == BookingState.HELD
    assert hold_slot.release(held)
    assert ehr_holds.give_back_due(now=clock()) == 0
    clock.tick(ehr.longest_write().total_seconds() + 1)
    assert eventually(lambda: slots(clinic, held))
    assert ehr_holds.give_back_due(now=clock()) == 1
    assert slots(clinic, held) == []


def test_choosing_again_before_the_answer_is_settled_loses_no_track_of_it(clinic, visitor, clock, settings):
    """The first asking is carried out after the second hold stands: it must still be given back."""
    settings.EHR_READ_SECONDS = 0.5
    free = clinic.free()
    earlier, later = next(
        (one, other)
        for one in free
        for other in free
        if one.ends_at <= other.starts_at < one.ends_at + timedelta(hours=12)
    )
    clinic.sandbox.faults(method="PUT", type="Slot", kind="commit-late", times=1, delay_seconds=2)
    first = hold(clinic, visitor, clock(), choice=clinic.choice(later.starts_at))
    hold(clinic, visitor, clock(), choice=clinic.choice(earlier.starts_at))
    assert eventually(lambda: slots(clinic, first))
    clock.tick(ehr.longest_write().total_seconds() + 1)
    assert ehr_holds.give_back_due(now=clock()) == 1
    assert slots(clinic, first) == []


def test_an_ehr_that_is_away_does_not_stop_a_hold_and_is_asked_again_later(clinic, visitor, clock):
    clinic.sandbox.faults(method="PUT", type="Slot", kind="502", times=None)
    held = hold(clinic, visitor, clock())
    assert held.state == BookingState.HELD
    assert hold_slot.release(held)
    clock.tick(3600)
    clinic.sandbox.faults(method="GET", type="Slot", kind="502", times=3)
    assert ehr_holds.give_back_due(now=clock()) == 0
    clinic.sandbox.clear_faults()
    assert ehr_holds.give_back_due(now=clock()) == 0
    clock.tick(3600)
    assert ehr_holds.give_back_due(now=clock()) == 1


def test_what_may_still_be_kept_is_not_forgotten(clinic, visitor, clock):
    held = hold(clinic, visitor, clock())
    assert hold_slot.release(held)
    forget.forget(before=clock() + timedelta(days=30))
    assert Booking.objects.filter(pk=held.pk).exists()
    assert ehr_holds.give_back_due(now=clock()) == 1
    forget.forget(before=clock() + timedelta(days=30))
    assert not Booking.objects.filter(pk=held.pk).exists()


def test_an_ehr_without_holds_is_not_asked(clinic, visitor, clock):
    clinic.sandbox.switches(conditional_update=False)
    for key in list(ehr._gateways):
        ehr._gateways.pop(key).close()
    try:
        held = hold(clinic, visitor, clock())
        assert held.ehr_hold_settled_at is None
        assert clinic.calls("PUT", "Slot") == 0
        booked = confirm_booking.submit(factories.give_details(held), visitor=visitor, clock=clock)
        assert booked.state == BookingState.BOOKED
    finally:
        clinic.sandbox.switches(conditional_update=True)
        for key in list(ehr._gateways):
            ehr._gateways.pop(key).close()


def test_a_modality_is_part_of_what_is_asked(clinic, visitor, clock):
    held = hold(clinic, visitor, clock())
    assert ehr_holds._request(held).appointment_type.code == factories.APPOINTMENT_TYPES[Modality.VIDEO][0]


def test_a_time_kept_for_a_booking_that_is_lost_is_found_and_given_back(clinic, visitor, clock):
    """As after a backup was restored: the EHR keeps a time for a booking that nobody here has heard of."""
    lost, kept = hold(clinic, visitor, clock()), hold(clinic, factories.visitor(), clock())
    Booking.objects.filter(pk=lost.pk).delete()
    assert ehr_holds.give_back_due(now=clock() + timedelta(days=1)) == 0
    assert slots(clinic, lost) == ["busy-tentative"] * 2
    assert ehr_holds.give_back_lost(now=clock()) == 2
    assert (slots(clinic, lost), slots(clinic, kept)) == ([], ["busy-tentative"] * 2)
    assert ehr_holds.give_back_lost(now=clock()) == 0


def test_a_visit_whose_booking_is_lost_keeps_its_time(clinic, visitor, clock):
    held = hold(clinic, visitor, clock())
    booked = confirm_booking.submit(factories.give_details(held), visitor=visitor, clock=clock)
    (visit,) = clinic.appointments(booked)
    Booking.objects.filter(pk=booked.pk).delete()
    ehr_holds.give_back_lost(now=clock())
    assert slots(clinic, booked) == ["busy"] * 2
    assert clinic.appointments(booked) == [visit]
