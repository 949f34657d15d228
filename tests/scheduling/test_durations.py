"""How long a visit takes: the most specific rule wins, and rules that contradict each other are found."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from booking.scheduling.durations import (
    VisitCase,
    contradictions,
    depends_on_patient_kind,
    minutes_for,
    rank,
    winning_rule,
)
from booking.scheduling.terms import DurationRule, PatientKind

from .builders import IN_PERSON, PHONE, VIDEO, reason

NEW, ESTABLISHED = PatientKind.NEW, PatientKind.ESTABLISHED
CONDITIONS = {"clinician_id": 7, "specialty": "family", "modality": VIDEO, "patient_kind": NEW}
CASE = VisitCase(7, frozenset({"family"}), VIDEO, NEW)
# Every set of conditions, the strongest first: clinician before specialty before modality before patient.
STRONGEST_FIRST = [
    ("clinician_id", "specialty", "modality", "patient_kind"),
    ("clinician_id", "specialty", "modality"),
    ("clinician_id", "specialty", "patient_kind"),
    ("clinician_id", "specialty"),
    ("clinician_id", "modality", "patient_kind"),
    ("clinician_id", "modality"),
    ("clinician_id", "patient_kind"),
    ("clinician_id",),
    ("specialty", "modality", "patient_kind"),
    ("specialty", "modality"),
    ("specialty", "patient_kind"),
    ("specialty",),
    ("modality", "patient_kind"),
    ("modality",),
    ("patient_kind",),
    (),
]


def with_conditions(names: tuple[str, ...], minutes: int) -> DurationRule:
    return DurationRule(minutes=minutes, **{name: CONDITIONS[name] for name in names})


def named(names: tuple[str, ...]) -> str:
    return "+".join(names) or "none"


def test_the_table_has_every_set_of_conditions_once():
    every = [set(names) for size in range(5) for names in combinations(CONDITIONS, size)]
    assert sorted(map(sorted, every)) == sorted(sorted(names) for names in STRONGEST_FIRST)


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [
        pytest.param(one, other, id=f"{named(one)}-over-{named(other)}")
        for position, one in enumerate(STRONGEST_FIRST)
        for other in STRONGEST_FIRST[position + 1 :]
    ],
)
def test_the_stronger_conditions_win_whatever_the_minutes_and_order(stronger, weaker):
    for short, long in ((15, 60), (60, 15)):
        strong, weak = with_conditions(stronger, short), with_conditions(weaker, long)
        assert [winning_rule(rules, CASE) for rules in ([strong, weak], [weak, strong])] == [strong, strong]


def test_ranks_are_different_for_different_conditions():
    assert [rank(with_conditions(names, 30)) for names in STRONGEST_FIRST] == list(range(15, -1, -1))


@pytest.mark.parametrize(
    ("rule", "case"),
    [
        pytest.param(DurationRule(60, clinician_id=8), CASE, id="another-clinician"),
        pytest.param(DurationRule(60, specialty="dermatology"), CASE, id="another-specialty"),
        pytest.param(DurationRule(60, modality=IN_PERSON), CASE, id="another-modality"),
        pytest.param(DurationRule(60, patient_kind=ESTABLISHED), CASE, id="another-kind-of-patient"),
        pytest.param(
            DurationRule(60, patient_kind=NEW),
            VisitCase(7, frozenset({"family"}), VIDEO, None),
            id="a-patient-of-unknown-kind",
        ),
        pytest.param(DurationRule(60, clinician_id=7, modality=PHONE), CASE, id="only-one-of-two-conditions"),
        pytest.param(
            DurationRule(60, clinician_id=7, specialty="family", modality=VIDEO, patient_kind=ESTABLISHED),
            CASE,
            id="only-three-of-four-conditions",
        ),
    ],
)
def test_a_rule_that_does_not_fit_leaves_the_length_of_the_reason(rule, case):
    assert minutes_for(reason(default_minutes=25, rules=(rule,)), case) == 25


def test_without_rules_a_visit_takes_the_length_of_the_reason():
    assert minutes_for(reason(default_minutes=25), CASE) == 25


def test_a_rule_without_conditions_goes_before_the_length_of_the_reason():
    assert minutes_for(reason(default_minutes=25, rules=(DurationRule(40),)), CASE) == 40


def test_a_strong_rule_that_does_not_fit_gives_way_to_a_weak_one_that_does():
    rules = (DurationRule(90, clinician_id=8), DurationRule(20, patient_kind=NEW))
    assert minutes_for(reason(rules=rules), CASE) == 20


@pytest.mark.parametrize("order", [1, -1])
def test_a_clinician_with_two_specialties_is_given_the_longer_visit(order):
    rules = (DurationRule(20, specialty="family"), DurationRule(45, specialty="dermatology"))[::order]
    both = VisitCase(7, frozenset({"family", "dermatology"}), VIDEO, None)
    one = VisitCase(7, frozenset({"family"}), VIDEO, None)
    assert [minutes_for(reason(rules=rules), case) for case in (both, one)] == [45, 20]


def test_a_longer_tie_does_not_beat_a_stronger_rule():
    rules = (DurationRule(60, specialty="dermatology"), DurationRule(15, specialty="family", modality=VIDEO))
    both = VisitCase(7, frozenset({"family", "dermatology"}), VIDEO, None)
    assert minutes_for(reason(rules=rules), both) == 15


@pytest.mark.parametrize(
    ("rules", "depends"),
    [
        pytest.param((), False, id="no-rules"),
        pytest.param((DurationRule(30, modality=VIDEO),), False, id="rules-on-other-things"),
        pytest.param((DurationRule(30, modality=VIDEO, patient_kind=NEW),), True, id="one-among-conditions"),
    ],
)
def test_a_reason_depends_on_the_patient_only_by_a_rule(rules, depends):
    assert depends_on_patient_kind(reason(rules=rules)) is depends


@pytest.mark.parametrize("names", STRONGEST_FIRST, ids=named)
def test_the_same_conditions_twice_are_a_contradiction(names):
    first, second = with_conditions(names, 20), with_conditions(names, 40)
    assert contradictions([first, DurationRule(30, clinician_id=99), second]) == [(first, second)]


def test_different_conditions_are_no_contradiction():
    rules = [
        DurationRule(30, *conditions)
        for conditions in product((None, 1, 2), (None, "family", "dermatology"), (None, VIDEO), (None, NEW))
    ]
    assert contradictions(rules) == []


def test_rules_that_both_fit_one_case_by_different_specialties_are_no_contradiction():
    assert (
        contradictions([DurationRule(20, specialty="family"), DurationRule(45, specialty="dermatology")])
        == []
    )


def test_each_contradiction_is_found_apart():
    video = [DurationRule(minutes, modality=VIDEO) for minutes in (10, 20, 30)]
    new = [DurationRule(minutes, patient_kind=NEW) for minutes in (40, 50)]
    assert contradictions([video[0], new[0], video[1], new[1], video[2]]) == [tuple(video), tuple(new)]
