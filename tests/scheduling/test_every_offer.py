"""Whatever the clinic and the calendar: every offer obeys every rule, and every time not offered breaks one.

The rules are told again here in the plainest way, from the bare data, sharing no code with what they judge.
"""

from __future__ import annotations

import operator
from array import array
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings, target
from hypothesis import strategies as st

from booking.scheduling.availability import Claims, Policy, find_offers
from booking.scheduling.clock import PARTS_OF_DAY
from booking.scheduling.eligibility import Visit, Withheld, specialties_open, weigh
from booking.scheduling.index import ClinicianIndex
from booking.scheduling.openings import DayBounds, open_times
from booking.scheduling.terms import (
    Claim,
    Clinician,
    Coding,
    DurationRule,
    License,
    Modality,
    PatientKind,
    Schedule,
    Slot,
    VisitReason,
)

ZONES = ["America/New_York", "America/Chicago", "America/Phoenix", "America/Los_Angeles", "Pacific/Guam"]
STATES = ["CA", "NV"]
SKILLS = ["family", "dermatology"]
LENGTHS = [15, 30, 45]
# Midnights in UTC with a clock change close by, and one without.
AROUND = [
    datetime(2026, 3, 8, tzinfo=UTC),
    datetime(2026, 11, 1, tzinfo=UTC),
    datetime(2026, 6, 10, tzinfo=UTC),
]
QUARTER = timedelta(minutes=15)

modalities = st.sampled_from(list(Modality))
kinds = st.sampled_from([None, *PatientKind])


def optional(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.none() | strategy


@st.composite
def worlds(
    draw, *, are_people_alike: bool = False
) -> tuple[list[Clinician], Visit, dict[str, list[Slot]], list[Claim], Policy, datetime]:
    """Clinic, request and calendar. ``are_people_alike``: everybody takes everything everywhere, so that it is the times that are told apart."""
    midnight = draw(st.sampled_from(AROUND))
    every_modality, every_skill = frozenset(Modality), frozenset(SKILLS)
    place = draw(st.sampled_from(STATES))
    states = st.just(place) if are_people_alike else st.sampled_from(STATES)
    able_by = st.just(every_modality) if are_people_alike else st.frozensets(modalities, min_size=1)
    skills = st.just(every_skill) if are_people_alike else st.frozensets(st.sampled_from(SKILLS), min_size=1)
    declined = st.just(frozenset()) if are_people_alike else st.frozensets(st.sampled_from(["rash", "back"]))
    # Many close together, about the midnights of the zones.
    quarters = st.integers(14, 34) | st.integers(-40, 4 * 24 * 2)
    days = st.integers(-1, 3).map(lambda n: midnight.date() + timedelta(days=n))
    people, slots = [], {}
    for number in range(draw(st.integers(1, 3))):
        schedules = tuple(
            Schedule(
                id=10 * number + n,
                ref=f"Schedule/{10 * number + n}",
                location_id=n,
                location_ref=f"Location/{n}",
                location_name="",
                location_jurisdiction=draw(states),
                zone=draw(st.sampled_from(ZONES)),
            )
            for n in range(draw(st.sampled_from([1, 1, 2, 2, 0])))
        )
        people.append(
            Clinician(
                id=number,
                ref=f"Practitioner/{number}",
                name=draw(st.sampled_from("AB")),
                licenses=tuple(
                    draw(
                        st.lists(
                            st.builds(
                                License,
                                states,
                                starts_on=optional(days),
                                ends_on=optional(days),
                            ),
                            min_size=are_people_alike,
                            max_size=2,
                        )
                    )
                ),
                specialties=draw(skills),
                modalities=draw(able_by),
                declined_reasons=draw(declined),
                accepts_new_patients=are_people_alike or draw(st.booleans()),
                schedules=schedules,
            )
        )
        for schedule in schedules:
            begins = draw(st.lists(quarters, min_size=3, max_size=12, unique=True))
            slots[schedule.ref] = [
                Slot(
                    schedule.ref,
                    midnight + n * QUARTER,
                    midnight + n * QUARTER + timedelta(minutes=draw(st.sampled_from([30, 30, 30, *LENGTHS]))),
                )
                for n in begins
            ]
    rules = st.builds(
        DurationRule,
        st.sampled_from(LENGTHS),
        clinician_id=optional(st.sampled_from(range(3))),
        specialty=optional(st.sampled_from(SKILLS)),
        modality=optional(modalities),
        patient_kind=optional(st.sampled_from(list(PatientKind))),
    )
    reason = VisitReason(
        code="back",
        coding=Coding("INTERNAL", "BACK"),
        label="Back pain",
        default_minutes=30,
        appointment_types={each: Coding("", each) for each in draw(able_by)},
        specialties=draw(skills),
        rules=tuple(draw(st.lists(rules, max_size=5))),
    )
    visit = Visit(
        reason,
        jurisdiction=place,
        zone=draw(st.sampled_from(ZONES)),
        modality=draw(modalities),
        specialty=draw(optional(st.sampled_from(SKILLS))),
        patient_kind=draw(kinds),
    )
    claims = [
        Claim(
            draw(st.integers(0, 2)),
            midnight + n * QUARTER,
            midnight + (n + draw(st.integers(1, 5))) * QUARTER,
        )
        for n in draw(st.lists(quarters, min_size=2, max_size=12))
    ]
    policy = Policy(
        lead=draw(st.sampled_from([0, 15, 120, 1440])) * timedelta(minutes=1),
        horizon_days=draw(st.integers(1, 4)),
        buffer=draw(st.sampled_from([0, 10, 15, 60])) * timedelta(minutes=1),
        daily_cap=draw(optional(st.integers(1, 3))),
    )
    now = midnight + draw(st.integers(-60, 20)) * QUARTER + timedelta(minutes=draw(st.integers(0, 14)))
    return people, visit, slots, claims, policy, now


def day(at: datetime, zone: str) -> date:
    return at.astimezone(ZoneInfo(zone)).date()


def part_of(at: datetime, zone: str) -> str:
    hour = at.astimezone(ZoneInfo(zone)).hour
    return "morning" if hour < 12 else "afternoon" if hour < 17 else "evening"


def minutes_of(person: Clinician, visit: Visit) -> int:
    """Rules compared condition by condition: a clinician's before a specialty's before a way's before a patient's."""
    reason = visit.reason
    mine = {s for s in person.specialties if s in reason.specialties and visit.specialty in (None, s)}
    fitting = []
    for rule in reason.rules:
        if rule.clinician_id is not None and rule.clinician_id != person.id:
            continue
        if rule.specialty is not None and rule.specialty not in mine:
            continue
        if rule.modality is not None and rule.modality != visit.modality:
            continue
        if rule.patient_kind is not None and rule.patient_kind != visit.patient_kind:
            continue
        named = [rule.clinician_id, rule.specialty, rule.modality, rule.patient_kind]
        fitting.append(([condition is not None for condition in named], rule.minutes))
    return max(fitting)[1] if fitting else reason.default_minutes


def faults_of_person(person: Clinician, visit: Visit) -> set[Withheld]:
    reason = visit.reason
    takes = [s for s in person.specialties if s in reason.specialties and visit.specialty in (None, s)]
    places = [
        s
        for s in person.schedules
        if visit.modality != Modality.IN_PERSON or s.location_jurisdiction == visit.jurisdiction
    ]
    told = {
        Withheld.REASON_NOT_BY_MODALITY: visit.modality not in reason.appointment_types,
        Withheld.OTHER_SPECIALTY: not takes,
        Withheld.DECLINES_REASON: reason.code in person.declined_reasons,
        Withheld.NOT_BY_MODALITY: visit.modality not in person.modalities,
        Withheld.NO_NEW_PATIENTS: visit.patient_kind == PatientKind.NEW and not person.accepts_new_patients,
        Withheld.NO_LICENSE: visit.jurisdiction not in [license.jurisdiction for license in person.licenses],
        Withheld.NO_SCHEDULE: not places,
    }
    return {cause for cause, is_so in told.items() if is_so}


def is_licensed(license: License, visit: Visit, on: date) -> bool:
    return license.jurisdiction == visit.jurisdiction and (license.starts_on or date.min) <= on <= (
        license.ends_on or date.max
    )


def days_of(slot: Slot, visit: Visit) -> list[date]:
    return [day(slot.starts_at, visit.zone), day(slot.ends_at, visit.zone)]


def faults_of_time(
    person: Clinician,
    schedule: Schedule,
    slot: Slot,
    visit: Visit,
    claims: list[Claim],
    policy: Policy,
    now: datetime,
) -> set[Withheld]:
    mine = [claim for claim in claims if claim.clinician_id == person.id]
    same_day = [c for c in mine if day(c.starts_at, schedule.zone) == day(slot.starts_at, schedule.zone)]
    apart = [
        slot.ends_at + policy.buffer <= claim.starts_at or claim.ends_at + policy.buffer <= slot.starts_at
        for claim in mine
    ]
    horizon = day(now, visit.zone) + timedelta(days=policy.horizon_days)
    told = {
        Withheld.WRONG_LENGTH: (slot.ends_at - slot.starts_at).total_seconds()
        != 60 * minutes_of(person, visit),
        Withheld.IN_PAST: slot.starts_at <= now,
        Withheld.TOO_SOON: slot.starts_at - now < policy.lead,
        Withheld.TOO_FAR: day(slot.starts_at, visit.zone) > horizon,
        Withheld.LICENSE_ENDED: not all(
            any(is_licensed(license, visit, on) for license in person.licenses) for on in days_of(slot, visit)
        ),
        Withheld.CLAIMED: not all(apart),
        Withheld.DAY_FULL: policy.daily_cap is not None and len(same_day) >= policy.daily_cap,
    }
    return {cause for cause, is_so in told.items() if is_so}


def candidates(
    people: list[Clinician], visit: Visit, slots: dict
) -> Iterator[tuple[Clinician, Schedule, Slot]]:
    for person in people:
        for schedule in person.schedules:
            if visit.modality == Modality.IN_PERSON and schedule.location_jurisdiction != visit.jurisdiction:
                continue
            for slot in slots[schedule.ref]:
                yield person, schedule, slot


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_every_clinician_left_out_breaks_the_rule_that_is_named(world):
    people, visit, *_ = world
    found = weigh(people, visit)
    assert [entry.clinician for entry in found.eligible] == [
        p for p in people if not faults_of_person(p, visit)
    ]
    assert [person for person, _ in found.withheld] == [p for p in people if faults_of_person(p, visit)]
    assert [cause for person, cause in found.withheld if cause not in faults_of_person(person, visit)] == []
    for entry in found.eligible:
        assert entry.minutes == minutes_of(entry.clinician, visit)


@settings(max_examples=500, deadline=None)
@given(worlds(are_people_alike=True) | worlds())
def test_every_offer_obeys_every_rule_and_every_other_time_breaks_one(world):
    people, visit, slots, claims, policy, now = world
    eligible = weigh(people, visit).eligible
    found = find_offers(eligible, slots, visit=visit, policy=policy, claims=claims, now=now)
    able = [person for person in people if not faults_of_person(person, visit)]
    judged = [
        (person, schedule, slot, faults_of_time(person, schedule, slot, visit, claims, policy, now))
        for person, schedule, slot in candidates(able, visit, slots)
    ]
    fine = {(person.id, slot.starts_at) for person, _, slot, faults in judged if not faults}
    target(len(found.offers), label="offers")

    offered = [(offer.clinician.id, offer.starts_at) for offer in found.offers]
    assert sorted(offered) == sorted(fine)
    for offer in found.offers:
        (own,) = [
            (person, faults)
            for person, schedule, slot, faults in judged
            if schedule == offer.schedule
            and (slot.starts_at, slot.ends_at) == (offer.starts_at, offer.ends_at)
        ]
        assert own == (offer.clinician, set())
        assert offer.license in offer.clinician.licenses
        assert is_licensed(offer.license, visit, day(offer.ends_at, visit.zone))
        assert offer.minutes == minutes_of(offer.clinician, visit)
    order = [(offer.starts_at, offer.clinician.name, offer.clinician.id) for offer in found.offers]
    assert order == sorted(order)

    broken = [faults for person, _, slot, faults in judged if faults]
    refused = [faults for person, _, slot, faults in judged if (person.id, slot.starts_at) not in fine]
    assert len(refused) <= sum(found.withheld.values()) <= len(broken)
    assert set(found.withheld) <= set().union(*broken)


@settings(max_examples=500, deadline=None)
@given(worlds(are_people_alike=True) | worlds(), st.integers(0, 4))
def test_times_kept_as_numbers_are_the_same_offers(world, count):
    people, visit, slots, claims, policy, now = world
    eligible = weigh(people, visit).eligible
    # The board keeps one length at a time, so that a start says all.
    slots = {
        schedule.ref: [
            Slot(schedule.ref, slot.starts_at, slot.starts_at + timedelta(minutes=entry.minutes))
            for slot in slots[schedule.ref]
        ]
        for entry in eligible
        for schedule in entry.schedules
    }
    starts = {
        ref: array("I", sorted(int(slot.starts_at.timestamp()) for slot in each))
        for ref, each in slots.items()
    }
    asked = {"visit": visit, "policy": policy, "claims": claims, "now": now}
    offers = find_offers(eligible, slots, **asked).offers
    found = open_times(eligible, starts, **asked)
    target(len(offers), label="offers")
    assert found.offers() == offers

    first_on, last_on = day(now, visit.zone) - timedelta(days=1), day(now, visit.zone) + timedelta(days=6)
    bounds = DayBounds.of(first_on, last_on, visit.zone)
    for part in ("", *PARTS_OF_DAY):
        of_part = [offer for offer in offers if part in ("", part_of(offer.starts_at, visit.zone))]
        spans = bounds.spans(part)
        counts = dict(zip(bounds.days, found.counts(spans), strict=True))
        assert counts == {
            on: sum(day(offer.starts_at, visit.zone) == on for offer in of_part) for on in bounds.days
        }
        assert found.soonest(count, spans) == of_part[:count]
        for on in bounds.days:
            mine = [offer for offer in of_part if day(offer.starts_at, visit.zone) == on]
            order = list(dict.fromkeys(offer.clinician.id for offer in mine))
            shown = found.on((bounds.span(on, part),))
            assert [opening.entry.clinician.id for opening in shown] == order
            assert {
                opening.offer(index, visit.zone)
                for opening in shown
                for index in opening.between(*bounds.span(on, part))
            } == set(mine)

    # Until then nothing is lost by waiting; after it the first time is.
    if offers:
        later = {**asked, "now": found.until}
        assert found.until == offers[0].starts_at - policy.lead
        assert (
            len(open_times(eligible, starts, **later).offers())
            >= len(offers) - (policy.lead == timedelta(0)) * 3
        )
        late = {**asked, "now": found.until + timedelta(seconds=1)}
        assert offers[0] not in open_times(eligible, starts, **late).offers()


@settings(max_examples=300, deadline=None)
@given(worlds(are_people_alike=True), st.data())
def test_times_worked_out_from_earlier_ones_are_those_worked_out_anew(world, data):
    people, visit, slots, claims, policy, now = world
    eligible = weigh(people, visit).eligible
    starts = {
        schedule.ref: array("I", sorted(int(slot.starts_at.timestamp()) for slot in slots[schedule.ref]))
        for entry in eligible
        for schedule in entry.schedules
    }
    taken = Claims(claims, policy.buffer)
    before = None
    for _ in range(4):
        asked = {"visit": visit, "policy": policy, "now": now}
        found = open_times(eligible, dict(starts), claims=taken, before=before, **asked)
        anew = open_times(eligible, dict(starts), claims=claims, **asked)
        assert (found, found.offers()) == (anew, anew.offers())
        unmoved = open_times(eligible, dict(starts), claims=taken, before=found, **asked)
        assert all(map(operator.is_, unmoved.openings, found.openings))
        before = found
        ref = data.draw(st.sampled_from(sorted(starts) or [""]))
        assert {claim for claim, _ in taken.limited()} == {each for each in claims if each.until}
        match data.draw(
            st.sampled_from(["taken", "given back", "claimed", "unclaimed", "read again", "later"])
        ):
            case "taken" if starts:
                starts[ref] = starts[ref][data.draw(st.integers(0, 2)) :]
            case "given back" if starts and starts[ref]:
                starts[ref] = array("I", [starts[ref][0] - 900 * data.draw(st.integers(1, 8)), *starts[ref]])
            case "claimed" if starts and starts[ref]:
                begins = datetime.fromtimestamp(starts[ref][-1], UTC)
                whose = int(ref.removeprefix("Schedule/")) // 10
                until = data.draw(st.sampled_from([None, begins]))
                claims = [*claims, Claim(whose, begins, begins + QUARTER, until)]
                taken = taken.with_those([whose], [each for each in claims if each.clinician_id == whose])
            case "unclaimed" if claims:
                gone, *claims = claims
                whose = gone.clinician_id
                taken = taken.with_those([whose], [each for each in claims if each.clinician_id == whose])
            case "read again":
                read = Claims([replace(each) for each in claims], policy.buffer, before=taken)
                assert all(read.of(each.clinician_id) is taken.of(each.clinician_id) for each in claims)
                taken = read
            case _:
                now += data.draw(st.integers(1, 100)) * QUARTER


@settings(max_examples=300, deadline=None)
@given(worlds(), st.data())
def test_index_answers_what_weighing_everybody_does(world, data):
    people, visit, *_, now = world
    index = ClinicianIndex(people, {})
    for _ in range(3):
        asked = replace(
            visit,
            modality=data.draw(modalities),
            specialty=data.draw(optional(st.sampled_from(SKILLS))),
            patient_kind=data.draw(kinds),
            jurisdiction=data.draw(st.sampled_from(STATES)),
        )
        until = now + timedelta(days=data.draw(st.integers(0, 5)))
        for _ in range(2):
            assert index.eligible(asked) == weigh(people, asked).eligible
            assert index.specialties_open(asked, now=now, until=until) == specialties_open(
                people, asked, now=now, until=until
            )
            assert index.modalities_open(asked) == [
                each for each in Modality if weigh(people, replace(asked, modality=each)).eligible
            ]
            for whose in people:
                for schedule in whose.schedules:
                    assert index.weigh_whose(schedule.id, asked) == weigh([whose], asked)
        assert index.weigh_whose(-1, asked) is None
