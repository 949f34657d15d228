"""Interstate compacts: nobody is offered where they may not see patients, and nobody who may is left out.

One table goes through every jurisdiction, profession, modality and day around every boundary, and is judged by a
second telling of the rules, day by day and from the bare data, that shares no code with what it judges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from booking.scheduling.availability import Policy, find_offers
from booking.scheduling.compacts import Compact, CompactMember, CompactMode, with_compacts
from booking.scheduling.eligibility import Visit, Withheld, weigh
from booking.scheduling.jurisdictions import JURISDICTIONS
from booking.scheduling.terms import (
    Clinician,
    CompactCredential,
    License,
    LicenseKind,
    Modality,
    Slot,
)

from .builders import IN_PERSON, PHONE, VIDEO, clinician, reason, schedule

NOW = datetime(2026, 6, 1, tzinfo=UTC)
AS_OF = date(2026, 5, 1)
STATES = [place.code for place in JURISDICTIONS.values() if not place.is_territory]
PROFESSIONS = ["MD", "DO", "NP", "PA", "RN", "LPN", "PSYCHOLOGIST", "LPC", "PT", "PTA", ""]


def june(day: int) -> date:
    return date(2026, 6, day)


# What can be said of a member, and the days on which it serves: the first, and the first on which it no longer does.
STANDINGS: list[tuple[dict[str, object] | None, date | None, date | None]] = [
    (None, None, None),
    ({"effective_on": date(2020, 1, 1), "issuing_from": date(2021, 1, 1)}, date(2021, 1, 1), None),
    ({}, None, None),
    ({"effective_on": date(2020, 1, 1)}, None, None),
    ({"is_in_force": True, "is_issuing": True}, AS_OF, None),
    ({"effective_on": date(2020, 1, 1), "issuing_from": june(9)}, june(9), None),
    ({"effective_on": june(12), "issuing_from": date(2021, 1, 1)}, june(12), None),
    ({"is_in_force": True, "is_issuing": True, "left_on": june(15)}, AS_OF, june(15)),
    ({"is_in_force": True}, None, None),
    ({"issuing_from": date(2021, 1, 1)}, None, None),
]
HOMES = ["TX", "CO"]


def standing(state: str, shift: int) -> tuple[dict[str, object] | None, date | None, date | None]:
    """Homes are members of long standing; the others go through every standing there is."""
    return STANDINGS[1] if state in HOMES else STANDINGS[(STATES.index(state) + shift) % len(STANDINGS)]


@dataclass
class Rule:
    """A compact told in bare data."""

    mode: str
    professions: list[str]
    ways: list[Modality]
    shift: int
    bound_to_residence: bool = True


RULES = {
    "psy": Rule("authority", ["PSYCHOLOGIST"], [VIDEO, PHONE], 0),
    "nurse": Rule("authority", ["RN", "LPN"], [VIDEO, PHONE, IN_PERSON], 3),
    "counsel": Rule("privilege", ["LPC", "PT", "PTA"], [VIDEO, PHONE, IN_PERSON], 5),
    "assist": Rule("privilege", ["PA"], [VIDEO, PHONE, IN_PERSON], 7, bound_to_residence=False),
    "medical": Rule("license", ["MD", "DO"], [VIDEO, PHONE, IN_PERSON], 1),
}
COMPACTS = {
    code: Compact(
        code=code,
        name=code.upper(),
        mode=CompactMode(rule.mode),
        professions=frozenset(rule.professions),
        modalities=frozenset(rule.ways),
        home_is_residence=rule.bound_to_residence,
        as_of=AS_OF,
        members=tuple(
            CompactMember(state, **said)  # type: ignore[arg-type]
            for state in STATES
            if (said := standing(state, rule.shift)[0]) is not None
        ),
    )
    for code, rule in RULES.items()
}


@dataclass
class Person:
    """What somebody holds: own licenses as (state, first day, last day); credentials the same with a compact in front.

    A credential without a state is good wherever the compact allows. ``home`` is the state it was granted on.
    """

    lives_in: str
    own: list[tuple[str, date | None, date | None]]
    home: str = "TX"
    states: list[str] = field(default_factory=list)
    held: list[tuple[date | None, date | None]] = field(default_factory=lambda: [(None, None)])

    def credentials(self, rule: Rule) -> list[tuple[str, date | None, date | None]]:
        where = STATES if rule.mode == "privilege" and not self.states else self.states or [""]
        return [(state, first, last) for state in where for first, last in self.held]


PEOPLE = {
    "whose-home-license-lapses": Person("TX", [("TX", date(2020, 1, 1), june(10))]),
    "whose-home-license-is-renewed": Person("TX", [("TX", None, june(10)), ("TX", june(11), june(18))]),
    "renewed-a-day-late": Person("TX", [("TX", None, june(10)), ("TX", june(12), None)]),
    "whose-credential-begins-and-ends": Person("TX", [("TX", None, None)], held=[(june(8), june(16))]),
    "whose-credential-is-renewed": Person(
        "TX", [("TX", None, None)], held=[(None, june(9)), (june(10), june(16))]
    ),
    "who-moved": Person("CO", [("TX", None, None), ("CO", None, None)]),
    "without-a-home-license": Person("TX", [("NV", None, None)]),
    "licensed-there-too": Person(
        "TX", [("TX", None, june(13)), *((state, june(9), june(12)) for state in STATES[::3])]
    ),
    "with-certain-states-only": Person("TX", [("TX", None, None)], states=["AL", "AZ", "DE", "TX"]),
    "with-a-license-that-waits": Person("TX", [("TX", june(11), None)], held=[(june(7), None)]),
    "of-no-known-home": Person("", [("TX", None, None)], home=""),
    # Homes of every standing: their own state may be no member, not issue, begin to, or leave.
    **{
        f"whose-home-is-{state}": Person(state, [(state, None, None)], home=state)
        for state in ("IA", "IN", "KS", "KY", "LA")
    },
}


def is_between(on: date, first: date | None, last: date | None) -> bool:
    return (first is None or on >= first) and (last is None or on <= last)


def serves(state: str, rule: Rule, on: date) -> bool:
    _, first, gone = standing(state, rule.shift)
    return first is not None and on >= first and (gone is None or on < gone)


def has_own_license(person: Person, state: str, on: date) -> bool:
    return any(where == state and is_between(on, first, last) for where, first, last in person.own)


def may(person: Person, profession: str, state: str, way: Modality, on: date) -> bool:
    """Whether somebody may see a patient in a state on a day: the rules as a lawyer would ask them, one by one."""
    if has_own_license(person, state, on):
        return True
    for rule in RULES.values():
        if rule.mode == "license":
            continue
        if profession not in rule.professions or way not in rule.ways:
            continue
        if person.home == "" or state == person.home:
            continue
        if rule.bound_to_residence and person.lives_in != person.home:
            continue
        if not has_own_license(person, person.home, on):
            continue
        if not serves(person.home, rule, on) or not serves(state, rule, on):
            continue
        for where, first, last in person.credentials(rule):
            if where in ("", state) and is_between(on, first, last):
                return True
    return False


def as_clinician(person: Person, profession: str) -> Clinician:
    return clinician(
        profession=profession,
        home=person.lives_in,
        licenses=tuple(License(state, f"{state}-1", first, last) for state, first, last in person.own),
        credentials=tuple(
            CompactCredential(code, person.home, state, f"{code}-1", first, last)
            for code, rule in RULES.items()
            for state, first, last in person.credentials(rule)
        ),
    )


# Days with a boundary on them, each with the one before and the one after: here every day from the 6th to the 20th.
DAYS = [june(day) for day in range(6, 21)]
HOURS = [time(12), time(23, 15), time(23, 45), time(0)]


def slots_in(zone: str) -> list[Slot]:
    """Visits at noon, just before midnight, over midnight and from midnight on; and one at the same instant everywhere."""
    place = ZoneInfo(zone)
    starts = {datetime.combine(on, at, place).astimezone(UTC) for on in DAYS for at in HOURS}
    starts |= {datetime.combine(on, time(6, 45), UTC) for on in DAYS}
    return [Slot("Schedule/1", at, at + timedelta(minutes=30)) for at in sorted(starts)]


@pytest.mark.parametrize("name", PEOPLE)
def test_offers_are_those_the_law_allows_and_all_of_those(name: str) -> None:
    person = PEOPLE[name]
    unlawful, missed, stands_on, cases, lawful_cases = [], [], [], 0, 0
    asked = reason()
    for profession in PROFESSIONS:
        whole = with_compacts(as_clinician(person, profession), COMPACTS)
        for state in STATES:
            zone = JURISDICTIONS[state].zones[0]
            slots = slots_in(zone)
            places = (schedule(1, jurisdiction=state, zone=zone),)
            who = clinician(
                profession=profession, home=person.lives_in, licenses=whole.licenses, schedules=places
            )
            for way in Modality:
                visit = Visit(asked, state, zone, way)
                found = find_offers(
                    weigh([who], visit).eligible,
                    {"Schedule/1": slots},
                    visit=visit,
                    policy=Policy(lead=timedelta(0), horizon_days=60),
                    claims=(),
                    now=NOW,
                )
                offered = {offer.starts_at: offer for offer in found.offers}
                allowed = {on: may(person, profession, state, way, on) for on in [june(5), *DAYS, june(21)]}
                for slot in slots:
                    days = {at.astimezone(ZoneInfo(zone)).date() for at in (slot.starts_at, slot.ends_at)}
                    is_lawful = all(allowed[on] for on in days)
                    cases += 1
                    lawful_cases += is_lawful
                    case = (profession, state, way, slot.starts_at)
                    if slot.starts_at in offered and not is_lawful:
                        unlawful.append(case)
                    if is_lawful and slot.starts_at not in offered:
                        missed.append(case)
                    if slot.starts_at in offered and len(days) == 1:
                        is_own = has_own_license(person, state, *days)
                        stands_on.append(
                            (offered[slot.starts_at].license.kind is LicenseKind.LICENSE) == is_own
                        )
    assert (unlawful[:5], missed[:5]) == ([], [])
    assert all(stands_on)
    # Sixty visits and more for each of 51 states, 11 professions and 3 modalities.
    assert cases > 60 * 51 * 11 * 3
    assert 0 < lawful_cases < cases
    print(f"{name}: {cases} cases, {lawful_cases} lawful")


@pytest.mark.parametrize("where", ["", "AZ", "CA", "TX"])
def test_one_state_alone_is_worked_out_as_it_is_among_all(where: str) -> None:
    for person in PEOPLE.values():
        for profession in PROFESSIONS:
            one = as_clinician(person, profession)
            every = with_compacts(one, COMPACTS).licenses
            wanted = [
                each for each in every if each.kind is LicenseKind.LICENSE or where in ("", each.jurisdiction)
            ]
            assert list(with_compacts(one, COMPACTS, where).licenses) == wanted


def member(code: str, **more: object) -> CompactMember:
    usual: dict[str, object] = {"effective_on": date(2020, 7, 1), "issuing_from": date(2020, 7, 1)}
    return CompactMember(code, **usual | more)  # type: ignore[arg-type]


def psypact(*members: CompactMember, **more: object) -> Compact:
    usual: dict[str, object] = {
        "code": "psypact",
        "name": "PSYPACT",
        "mode": CompactMode.AUTHORITY,
        "professions": frozenset({"PSYCHOLOGIST"}),
        "modalities": frozenset({VIDEO, PHONE}),
        "as_of": AS_OF,
        "members": members or (member("TX"), member("CO")),
    }
    return Compact(**usual | more)  # type: ignore[arg-type]


APIT = CompactCredential("psypact", "TX", number="12345")
TEXAS = License("TX", "T-9")


def psychologist(**more: object) -> Clinician:
    usual: dict[str, object] = {
        "profession": "PSYCHOLOGIST",
        "home": "TX",
        "licenses": (TEXAS,),
        "credentials": (APIT,),
    }
    return clinician(**usual | more)


def in_colorado(
    person: Clinician, compact: Compact, way: Modality = VIDEO, at: str = "2026-06-10 18:00"
) -> Withheld | None:
    """Why a visit in Colorado at an instant in UTC is withheld; None when it is offered."""
    zone = "America/Denver"
    visit = Visit(reason(), "CO", zone, way)
    whole = with_compacts(person, {compact.code: compact})
    starts_at = datetime.fromisoformat(at).replace(tzinfo=UTC)
    placed = clinician(licenses=whole.licenses, schedules=(schedule(1, jurisdiction="CO", zone=zone),))
    found = weigh([placed], visit)
    if found.withheld:
        return found.withheld[0][1]
    slots = {"Schedule/1": [Slot("Schedule/1", starts_at, starts_at + timedelta(minutes=30))]}
    times = find_offers(
        found.eligible, slots, visit=visit, policy=Policy(horizon_days=60), claims=(), now=NOW
    )
    return next(iter(times.withheld), None)


def test_somebody_with_everything_in_order_is_offered() -> None:
    assert in_colorado(psychologist(), psypact()) is None


@pytest.mark.parametrize(
    ("slips", "compact", "cause"),
    [
        pytest.param(psychologist(credentials=()), psypact(), Withheld.NO_LICENSE, id="member-state-but-no-authority"),
        pytest.param(psychologist(profession="LPC"), psypact(), Withheld.NO_LICENSE, id="another-profession"),
        pytest.param(psychologist(profession=""), psypact(), Withheld.NO_LICENSE, id="profession-not-known"),
        pytest.param(psychologist(home=""), psypact(), Withheld.NO_LICENSE, id="home-not-known"),
        pytest.param(psychologist(home="CO"), psypact(), Withheld.NO_LICENSE, id="moved-away-from-the-home-state"),
        pytest.param(
            psychologist(home="NM", licenses=(TEXAS, License("NM"))), psypact(), Withheld.NO_LICENSE,
            id="moved-and-licensed-in-the-new-home",
        ),
        pytest.param(psychologist(licenses=()), psypact(), Withheld.NO_LICENSE, id="no-home-license"),
        pytest.param(
            psychologist(licenses=(License("NM"),)), psypact(), Withheld.NO_LICENSE, id="license-of-a-third-state"
        ),
        pytest.param(
            psychologist(licenses=(License("TX", "", None, june(9)),)), psypact(), Withheld.LICENSE_ENDED,
            id="home-license-lapsed-the-day-before",
        ),
        pytest.param(
            psychologist(credentials=(CompactCredential("psypact", "TX", ends_on=june(9)),)), psypact(),
            Withheld.LICENSE_ENDED, id="authority-ended-the-day-before",
        ),
        pytest.param(
            psychologist(credentials=(CompactCredential("psypact", "TX", starts_on=june(11)),)), psypact(),
            Withheld.LICENSE_ENDED, id="authority-begins-the-day-after",
        ),
        pytest.param(
            psychologist(credentials=(CompactCredential("psypact", ""),)), psypact(), Withheld.NO_LICENSE,
            id="credential-names-no-home-state",
        ),
        pytest.param(
            psychologist(credentials=(CompactCredential("psypact", "TX", "NM"),)), psypact(), Withheld.NO_LICENSE,
            id="authority-for-another-state",
        ),
        pytest.param(
            psychologist(credentials=(CompactCredential("counseling", "TX"),)), psypact(), Withheld.NO_LICENSE,
            id="credential-of-a-compact-nobody-keeps",
        ),
        pytest.param(psychologist(), psypact(member("TX")), Withheld.NO_LICENSE, id="patients-state-is-no-member"),
        pytest.param(psychologist(), psypact(member("CO")), Withheld.NO_LICENSE, id="home-state-is-no-member"),
        pytest.param(
            psychologist(), psypact(member("TX"), member("CO", issuing_from=None)), Withheld.NO_LICENSE,
            id="enacted-and-in-force-but-not-issuing",
        ),
        pytest.param(
            psychologist(), psypact(member("TX"), member("CO", effective_on=None)), Withheld.NO_LICENSE,
            id="issuing-but-not-known-to-be-in-force",
        ),
        pytest.param(
            psychologist(), psypact(member("TX", issuing_from=None), member("CO")), Withheld.NO_LICENSE,
            id="home-state-not-issuing",
        ),
        pytest.param(
            psychologist(), psypact(member("TX"), member("CO", issuing_from=june(11))), Withheld.LICENSE_ENDED,
            id="begins-to-issue-the-day-after",
        ),
        pytest.param(
            psychologist(), psypact(member("TX"), member("CO", left_on=june(10))), Withheld.LICENSE_ENDED,
            id="patients-state-leaves-that-day",
        ),
        pytest.param(
            psychologist(), psypact(member("TX", left_on=june(10)), member("CO")), Withheld.LICENSE_ENDED,
            id="home-state-leaves-that-day",
        ),
        pytest.param(
            psychologist(),
            psypact(member("TX"), CompactMember("CO", is_in_force=True, is_issuing=True), as_of=None),
            Withheld.NO_LICENSE,
            id="undated-member-of-an-undated-list",
        ),
        pytest.param(
            psychologist(),
            psypact(member("TX"), CompactMember("CO", is_in_force=True, is_issuing=True), as_of=june(11)),
            Withheld.LICENSE_ENDED,
            id="undated-member-before-the-list-was-published",
        ),
        pytest.param(psychologist(), psypact(mode=CompactMode.LICENSE), Withheld.NO_LICENSE, id="compact-of-full-licenses"),
        pytest.param(
            psychologist(), psypact(mode=CompactMode.PRIVILEGE), Withheld.NO_LICENSE, id="privilege-without-a-state"
        ),
    ],
)  # fmt: skip
def test_who_would_have_slipped_through(slips: Clinician, compact: Compact, cause: Withheld) -> None:
    assert in_colorado(slips, compact) == cause


def test_authority_for_telehealth_is_none_in_person() -> None:
    assert [in_colorado(psychologist(), psypact(), way) for way in (VIDEO, PHONE, IN_PERSON)] == [
        None,
        None,
        Withheld.LICENSE_NOT_FOR_MODALITY,
    ]


def test_own_license_is_preferred_and_goes_where_the_authority_does_not() -> None:
    both = psychologist(licenses=(TEXAS, License("CO", "C-1")))
    assert in_colorado(both, psypact(), IN_PERSON) is None
    visit = Visit(reason(), "CO", "America/Denver", VIDEO)
    whole = with_compacts(both, {"psypact": psypact()})
    first, second = weigh([whole], visit).eligible[0].licenses
    assert (first.basis, second.basis) == ("CO license C-1", "PSYPACT authority 12345, home state TX")


def test_nothing_is_added_for_the_home_state_itself() -> None:
    whole = with_compacts(psychologist(), {"psypact": psypact()})
    assert [each.jurisdiction for each in whole.licenses] == ["TX", "CO"]


@pytest.mark.parametrize(
    ("at", "cause"),
    [
        pytest.param("2026-06-11 05:30", None, id="ends-at-midnight-less-a-moment-before"),
        pytest.param("2026-06-11 05:45", Withheld.LICENSE_ENDED, id="over-midnight-where-the-patient-is"),
        pytest.param("2026-06-11 04:45", None, id="over-midnight-in-texas-only"),
    ],
)
def test_last_day_of_the_home_license_is_the_patients(at: str, cause: Withheld | None) -> None:
    """Midnight in Colorado is 06:00 in UTC, in Texas 05:00."""
    lapses = psychologist(licenses=(License("TX", "", None, june(10)),))
    starts = datetime.fromisoformat(at) - timedelta(minutes=1)
    assert in_colorado(lapses, psypact(), at=starts.isoformat(sep=" ")) == cause


def test_patients_zone_decides_the_day() -> None:
    """At 05:15 in UTC it is June 11 in Texas and still June 10 in Colorado and in Guam the evening of June 11."""
    lapses = psychologist(licenses=(License("TX", "", None, june(10)),))
    assert in_colorado(lapses, psypact(), at="2026-06-11 05:15") is None
    guam = with_compacts(lapses, {"psypact": psypact(member("TX"), member("GU"))})
    visit = Visit(reason(), "GU", "Pacific/Guam", VIDEO)
    starts_at = datetime(2026, 6, 11, 5, 15, tzinfo=UTC)
    (entry,) = weigh([guam], visit).eligible
    assert entry.license_over(starts_at, starts_at + timedelta(minutes=30), visit.zone) is None


@pytest.mark.parametrize("at", ["2026-06-10 18:00", "2026-06-11 05:45", "2026-06-11 18:00"])
def test_renewal_opens_no_gap(at: str) -> None:
    renewed = (License("TX", "T-1", date(2024, 6, 11), june(10)), License("TX", "T-2", june(11), None))
    held = (
        CompactCredential("psypact", "TX", number="1", ends_on=june(10)),
        CompactCredential("psypact", "TX", number="2", starts_on=june(11)),
    )
    assert in_colorado(psychologist(licenses=renewed), psypact(), at=at) is None
    assert in_colorado(psychologist(credentials=held), psypact(), at=at) is None


def test_authority_over_a_renewed_home_license_is_one() -> None:
    renewed = (License("TX", "T-1", None, june(10)), License("TX", "T-2", june(11), None))
    whole = with_compacts(psychologist(licenses=renewed), {"psypact": psypact()})
    (authority,) = [each for each in whole.licenses if each.jurisdiction == "CO"]
    assert (authority.starts_on, authority.ends_on) == (date(2020, 7, 1), None)


def test_visit_over_a_renewal_says_the_license_it_ends_on() -> None:
    own = (License("CO", "C-1", None, june(10)), License("CO", "C-2", june(11), None))
    visit = Visit(reason(), "CO", "America/Denver", VIDEO)
    (entry,) = weigh([psychologist(licenses=own, credentials=())], visit).eligible
    starts_at = datetime(2026, 6, 11, 5, 45, tzinfo=UTC)
    found = entry.license_over(starts_at, starts_at + timedelta(minutes=30), visit.zone)
    assert found is not None
    assert found.number == "C-2"


def test_privilege_is_good_in_its_own_state_and_not_in_the_next() -> None:
    compact = psypact(member("TX"), member("CO"), member("NM"), mode=CompactMode.PRIVILEGE)
    there = psychologist(credentials=(CompactCredential("psypact", "TX", "CO", "77"),))
    whole = with_compacts(there, {"psypact": compact})
    assert [each.basis for each in whole.licenses] == [
        "TX license T-9",
        "PSYPACT privilege 77, home state TX",
    ]
    assert in_colorado(there, compact) is None


def test_compact_that_asks_for_no_residence_takes_a_license_of_any_member() -> None:
    lives_elsewhere = psychologist(home="CA")
    assert in_colorado(lives_elsewhere, psypact(home_is_residence=False)) is None
    assert in_colorado(lives_elsewhere, psypact()) == Withheld.NO_LICENSE
