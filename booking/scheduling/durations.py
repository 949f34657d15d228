"""How long a visit takes: the most specific rule that fits wins.

A rule for a named clinician beats every rule that is not; then one for a specialty; then one for a modality;
then one for new or established patients. Each set of conditions has its own rank, so two rules that fit the
same case tie only when their conditions are the same, and that is what ``contradictions`` finds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .terms import DurationRule, Modality, PatientKind, VisitReason


@dataclass(frozen=True, slots=True)
class VisitCase:
    """What the length of a visit can depend on, beside its reason."""

    clinician_id: int
    specialties: frozenset[str]
    modality: Modality
    patient_kind: PatientKind | None


def rank(rule: DurationRule) -> int:
    return (
        8 * (rule.clinician_id is not None)
        + 4 * (rule.specialty is not None)
        + 2 * (rule.modality is not None)
        + (rule.patient_kind is not None)
    )


def fits(rule: DurationRule, case: VisitCase) -> bool:
    return (
        rule.clinician_id in (None, case.clinician_id)
        and (rule.specialty is None or rule.specialty in case.specialties)
        and rule.modality in (None, case.modality)
        and rule.patient_kind in (None, case.patient_kind)
    )


def winning_rule(rules: Iterable[DurationRule], case: VisitCase) -> DurationRule | None:
    """The rule that decides the case, or None when the reason's own length does.

    A clinician with two specialties can fit two specialty rules of one rank; the longer visit wins then, so
    that nobody is given less time than one of the rules asks for.
    """
    fitting = [rule for rule in rules if fits(rule, case)]
    return max(fitting, key=lambda rule: (rank(rule), rule.minutes), default=None)


def minutes_for(reason: VisitReason, case: VisitCase) -> int:
    rule = winning_rule(reason.rules, case)
    return rule.minutes if rule else reason.default_minutes


def depends_on_patient_kind(reason: VisitReason) -> bool:
    return any(rule.patient_kind is not None for rule in reason.rules)


def contradictions(rules: Sequence[DurationRule]) -> list[tuple[DurationRule, ...]]:
    """Groups of rules with the very same conditions, of which only one could ever be right."""
    groups: dict[tuple[object, ...], list[DurationRule]] = defaultdict(list)
    for rule in rules:
        groups[(rule.clinician_id, rule.specialty, rule.modality, rule.patient_kind)].append(rule)
    return [tuple(group) for group in groups.values() if len(group) > 1]
