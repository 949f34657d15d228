"""Who may see a patient. Every cause for withholding has somebody it withholds and somebody next to it who passes."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from booking.scheduling.eligibility import Withheld, specialties_open, weigh
from booking.scheduling.terms import Clinician, DurationRule, License, PatientKind

from .builders import ALL_TYPES, IN_PERSON, PHONE, VIDEO, clinician, reason, schedule, utc, visit

NEW, ESTABLISHED = PatientKind.NEW, PatientKind.ESTABLISHED
NOW = utc("2026-06-10 18:00")
FAMILY_OR_SKIN = frozenset({"family", "dermatology"})


def verdict(person: Clinician, asked) -> Withheld | None:
    """The cause, or None for somebody who may be offered."""
    found = weigh([person], asked)
    assert len(found.eligible) + len(found.withheld) == 1
    return found.withheld[0][1] if found.withheld else None


@pytest.mark.parametrize(
    ("cause", "slips", "passes", "asked"),
    [
        pytest.param(
            Withheld.REASON_NOT_BY_MODALITY,
            clinician(),
            None,
            visit(reason=reason(appointment_types={IN_PERSON: ALL_TYPES[IN_PERSON]})),
            id="the-reason-is-not-held-by-video-though-the-clinician-would",
        ),
        pytest.param(
            Withheld.OTHER_SPECIALTY,
            clinician(specialties=frozenset({"dermatology"})),
            clinician(specialties=frozenset({"dermatology", "family"})),
            visit(),
            id="a-specialty-that-does-not-take-the-reason",
        ),
        pytest.param(
            Withheld.OTHER_SPECIALTY,
            clinician(specialties=frozenset()),
            clinician(),
            visit(),
            id="no-specialty-known",
        ),
        pytest.param(
            Withheld.OTHER_SPECIALTY,
            clinician(specialties=frozenset({"family"})),
            clinician(specialties=frozenset({"dermatology"})),
            visit(reason=reason(specialties=FAMILY_OR_SKIN), specialty="dermatology"),
            id="takes-the-reason-but-by-another-specialty-than-was-chosen",
        ),
        pytest.param(
            Withheld.OTHER_SPECIALTY,
            clinician(specialties=frozenset({"cardiology"})),
            None,
            visit(specialty="cardiology"),
            id="has-the-chosen-specialty-but-it-does-not-take-the-reason",
        ),
        pytest.param(
            Withheld.DECLINES_REASON,
            clinician(declined_reasons=frozenset({"rash", "back"})),
            clinician(declined_reasons=frozenset({"rash"})),
            visit(),
            id="declines-this-very-reason",
        ),
        pytest.param(
            Withheld.NOT_BY_MODALITY,
            clinician(modalities=frozenset({IN_PERSON, PHONE})),
            clinician(modalities=frozenset({VIDEO})),
            visit(modality=VIDEO),
            id="sees-patients-but-not-by-video",
        ),
        pytest.param(
            Withheld.NO_NEW_PATIENTS,
            clinician(accepts_new_patients=False),
            clinician(accepts_new_patients=True),
            visit(patient_kind=NEW),
            id="takes-no-new-patients",
        ),
        pytest.param(
            Withheld.NO_LICENSE,
            clinician(licenses=(License("NV"), License("OR"))),
            clinician(licenses=(License("NV"), License("CA"))),
            visit(jurisdiction="CA"),
            id="licensed-in-the-next-state",
        ),
        pytest.param(
            Withheld.NO_LICENSE,
            clinician(licenses=(License(""),)),
            clinician(),
            visit(),
            id="a-license-of-unknown-state",
        ),
        pytest.param(Withheld.NO_LICENSE, clinician(licenses=()), clinician(), visit(), id="no-license-known"),
        pytest.param(
            Withheld.NO_SCHEDULE, clinician(schedules=()), clinician(), visit(), id="no-schedule-at-all"
        ),
        pytest.param(
            Withheld.NO_SCHEDULE,
            clinician(schedules=(schedule(jurisdiction="TX"),)),
            clinician(schedules=(schedule(jurisdiction="TX"), schedule(2, jurisdiction="CA"))),
            visit(modality=IN_PERSON),
            id="in-person-only-in-another-state-than-the-patient",
        ),
    ],
)  # fmt: skip
def test_a_clinician_is_withheld_for_the_cause(cause, slips, passes, asked):
    assert verdict(slips, asked) == cause
    if passes is not None:
        assert verdict(passes, asked) is None


@pytest.mark.parametrize("kind", [ESTABLISHED, None], ids=["established", "unknown"])
def test_a_clinician_without_new_patients_still_sees_the_others(kind):
    assert verdict(clinician(accepts_new_patients=False), visit(patient_kind=kind)) is None


@pytest.mark.parametrize("modality", [VIDEO, PHONE])
def test_a_remote_visit_may_use_a_schedule_in_any_state(modality):
    person = clinician(schedules=(schedule(jurisdiction="TX"),))
    assert weigh([person], visit(modality=modality)).eligible[0].schedules == person.schedules


def test_a_visit_in_person_keeps_only_the_schedules_in_the_state():
    here, there = schedule(1, jurisdiction="CA"), schedule(2, jurisdiction="TX")
    found = weigh([clinician(schedules=(there, here))], visit(modality=IN_PERSON)).eligible
    assert [entry.schedules for entry in found] == [(here,)]


def test_only_the_licenses_of_the_state_are_kept():
    here = (License("CA", "1", ends_on=date(2026, 6, 30)), License("CA", "2", starts_on=date(2026, 7, 1)))
    found = weigh([clinician(licenses=(License("NV", "3"), *here))], visit()).eligible
    assert [entry.licenses for entry in found] == [here]


def test_everybody_is_either_eligible_or_withheld():
    fine, unlicensed, busy = clinician(1), clinician(2, licenses=()), clinician(3, schedules=())
    found = weigh([unlicensed, fine, busy], visit())
    assert [entry.clinician for entry in found.eligible] == [fine]
    assert found.withheld == ((unlicensed, Withheld.NO_LICENSE), (busy, Withheld.NO_SCHEDULE))


@pytest.mark.parametrize(
    ("specialty", "minutes"),
    [
        pytest.param(None, 45, id="any-specialty-takes-the-longer"),
        pytest.param("family", 20, id="family-chosen"),
        pytest.param("dermatology", 45, id="skin-chosen"),
    ],
)
def test_the_length_follows_the_specialty_the_patient_chose(specialty, minutes):
    rules = (DurationRule(20, specialty="family"), DurationRule(45, specialty="dermatology"))
    asked = visit(reason=reason(specialties=FAMILY_OR_SKIN, rules=rules), specialty=specialty)
    assert [entry.minutes for entry in weigh([clinician(specialties=FAMILY_OR_SKIN)], asked).eligible] == [
        minutes
    ]


@pytest.mark.parametrize(
    ("begins", "ends", "covered"),
    [
        pytest.param(None, None, True, id="open"),
        pytest.param(date(2026, 6, 10), None, True, id="begins-that-day"),
        pytest.param(date(2026, 6, 11), None, False, id="begins-the-day-after"),
        pytest.param(None, date(2026, 6, 10), True, id="last-day"),
        pytest.param(None, date(2026, 6, 9), False, id="ended-the-day-before"),
        pytest.param(date(2026, 6, 10), date(2026, 6, 10), True, id="that-day-alone"),
        pytest.param(date(2026, 6, 11), date(2026, 6, 9), False, id="ends-before-it-begins"),
    ],
)
def test_a_license_covers_its_first_and_last_day(begins, ends, covered):
    assert License("CA", "", begins, ends).covers(date(2026, 6, 10)) is covered


def open_in(*people: Clinician, asked=None, days: int = 28) -> dict[str, int]:
    asked = asked or visit(reason=reason(specialties=FAMILY_OR_SKIN))
    return specialties_open(people, asked, now=NOW, until=NOW + timedelta(days=days))


def test_open_specialties_count_clinicians_and_hide_the_empty():
    both = clinician(1, specialties=FAMILY_OR_SKIN)
    assert open_in(both, clinician(2)) == {"dermatology": 1, "family": 2}
    assert open_in(clinician(2)) == {"family": 1}
    assert open_in() == {}


def test_open_specialties_count_each_clinician_once_over_all_modalities():
    video, phone = (
        clinician(1, modalities=frozenset({VIDEO})),
        clinician(2, modalities=frozenset({PHONE, VIDEO})),
    )
    assert open_in(video, phone, asked=visit(modality=IN_PERSON)) == {"family": 2}


def test_open_specialties_leave_out_ways_the_reason_does_not_allow():
    by_video = visit(reason=reason(appointment_types={VIDEO: ALL_TYPES[VIDEO]}))
    assert open_in(clinician(1, modalities=frozenset({PHONE})), asked=by_video) == {}


@pytest.mark.parametrize(
    ("license", "count"),
    [
        pytest.param(License("NV"), 0, id="the-next-state"),
        pytest.param(License("CA", "", None, date(2026, 6, 9)), 0, id="ended-yesterday"),
        pytest.param(License("CA", "", None, date(2026, 6, 10)), 1, id="ends-today"),
        pytest.param(License("CA", "", date(2026, 7, 8)), 1, id="begins-on-the-last-day"),
        pytest.param(License("CA", "", date(2026, 7, 9)), 0, id="begins-the-day-after-the-horizon"),
        pytest.param(License("CA", "", date(2026, 6, 20), date(2026, 6, 21)), 1, id="two-days-in-between"),
    ],
)
def test_open_specialties_need_a_license_inside_the_horizon(license, count):
    found = open_in(clinician(licenses=(license,)))
    assert found == ({"family": count} if count else {})


def test_open_specialties_judge_days_where_the_patient_is():
    """At 2026-06-10 18:00Z it is June 11 on Guam: a license that ended on June 10 is over there, and not in California."""
    ended = (License("CA", "", None, date(2026, 6, 10)), License("GU", "", None, date(2026, 6, 10)))
    here, there = visit(), visit(jurisdiction="GU", zone="Pacific/Guam")
    assert [open_in(clinician(licenses=ended), asked=asked) for asked in (here, there)] == [{"family": 1}, {}]


def test_open_specialties_leave_out_clinicians_without_new_patients_for_a_new_one():
    person = clinician(accepts_new_patients=False)
    assert [open_in(person, asked=visit(patient_kind=kind)) for kind in (NEW, ESTABLISHED)] == [
        {},
        {"family": 1},
    ]
