"""Who may see a patient, answered from an index rather than by weighing everybody. Pure.

The index narrows by what most clinicians fail on, the license where the patient will be and the specialty; whoever
is left is weighed by the rules themselves, so that it can leave nobody in whom ``eligibility.weigh`` leaves out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from threading import Lock
from typing import Any, TypeVar

from .clock import local_day
from .compacts import Compact, with_compacts
from .durations import VisitCase, depends_on_patient_kind, minutes_for
from .eligibility import Eligibility, Eligible, Visit, specialties_open, weigh
from .terms import Clinician, Modality, PatientKind, Schedule, VisitReason

Answer = TypeVar("Answer")


class ClinicianIndex:
    """``clinicians`` have their own licenses only; what ``compacts`` (by code) grant is added here.

    Shared by threads. Answers are kept for as long as the index is, which is until any rule changes.
    """

    def __init__(self, clinicians: Iterable[Clinician], compacts: Mapping[str, Compact]) -> None:
        self.clinicians = tuple(clinicians)
        self._compacts = compacts
        self._lock = Lock()
        self._candidates: dict[str, set[int]] = defaultdict(set)
        # A compact can reach any of its members, whatever the clinician's own licenses are.
        self._by_compact: list[int] = []
        for position, clinician in enumerate(self.clinicians):
            for license in clinician.licenses:
                self._candidates[license.jurisdiction].add(position)
            if clinician.credentials:
                self._by_compact.append(position)
        self._by_schedule = {
            each.id: clinician for clinician in self.clinicians for each in clinician.schedules
        }
        self._here: dict[str, dict[str, tuple[Clinician, ...]]] = {}
        self._answers: dict[tuple[Hashable, ...], tuple[VisitReason, Any]] = {}

    def eligible(self, visit: Visit) -> tuple[Eligible, ...]:
        """Those whom ``weigh`` would find eligible, in the index's order."""
        return self._answer(
            visit,
            ("eligible", visit.modality, visit.specialty),
            lambda: weigh(self._with_specialties(visit), visit).eligible,
        )

    def weigh_whose(self, schedule_id: int, visit: Visit) -> Eligibility | None:
        """``weigh`` of the one clinician whose schedule that is; None when it is nobody's."""
        clinician = self._by_schedule.get(schedule_id)
        if clinician is None:
            return None
        return weigh([with_compacts(clinician, self._compacts, visit.jurisdiction)], visit)

    def specialties_open(self, visit: Visit, *, now: datetime, until: datetime) -> dict[str, int]:
        """As ``eligibility.specialties_open`` over everybody."""
        days = local_day(now, visit.zone), local_day(until, visit.zone)
        return self._answer(
            visit,
            ("specialties", *days),
            lambda: specialties_open(
                self._union(visit.jurisdiction, visit.reason.specialties), visit, now=now, until=until
            ),
        )

    def modalities_open(self, visit: Visit) -> list[Modality]:
        """The ways somebody could see this patient for this reason, in the order they are offered."""
        return [modality for modality in Modality if self.eligible(replace(visit, modality=modality))]

    def asks_patient_kind(self, visit: Visit) -> bool:
        """Whether being new or established decides the length of the visit, or who may be seen at all."""
        anyone = replace(visit, patient_kind=None)
        return depends_on_patient_kind(visit.reason) or self._answer(
            anyone,
            ("turns new patients away", visit.specialty),
            lambda: any(
                not entry.clinician.accepts_new_patients
                for modality in visit.reason.appointment_types
                for entry in self.eligible(replace(anyone, modality=modality))
            ),
        )

    def lengths(self, reason: VisitReason, modality: Modality) -> Iterator[tuple[Schedule, int]]:
        """Schedules of everybody who takes a reason that way, each with every length in minutes it can have there."""
        kinds = (None, *PatientKind) if depends_on_patient_kind(reason) else (None,)
        for clinician in self.clinicians:
            if modality not in clinician.modalities or reason.code in clinician.declined_reasons:
                continue
            found = {
                minutes_for(reason, VisitCase(clinician.id, frozenset([specialty]), modality, kind))
                for specialty in reason.specialties & clinician.specialties
                for kind in kinds
            }
            for schedule in clinician.schedules:
                yield from ((schedule, minutes) for minutes in sorted(found))

    def _answer(self, visit: Visit, question: tuple[Hashable, ...], work: Callable[[], Answer]) -> Answer:
        """Kept by what the question depends on; a reason of the same code with other rules is another question."""
        key = (*question, visit.reason.code, visit.jurisdiction, visit.patient_kind)
        known = self._answers.get(key)
        if known is None or not (known[0] is visit.reason or known[0] == visit.reason):
            known = self._answers[key] = (visit.reason, work())
        found: Answer = known[1]
        return found

    def _with_specialties(self, visit: Visit) -> tuple[Clinician, ...]:
        wanted = {visit.specialty} if visit.specialty else visit.reason.specialties
        return self._union(visit.jurisdiction, wanted & visit.reason.specialties)

    def _union(self, jurisdiction: str, specialties: Iterable[str]) -> tuple[Clinician, ...]:
        here = self._here.get(jurisdiction)
        if here is None:
            with self._lock:
                here = self._here.get(jurisdiction) or self._gather(jurisdiction)
                self._here[jurisdiction] = here
        found = [here.get(specialty, ()) for specialty in specialties]
        if len(found) == 1:
            return found[0]
        order = {clinician.id: clinician for group in found for clinician in group}
        return tuple(each for each in here.get("", ()) if each.id in order)

    def _gather(self, jurisdiction: str) -> dict[str, tuple[Clinician, ...]]:
        """Clinicians with a license there, by specialty; all of them under the empty name."""
        groups: dict[str, list[Clinician]] = defaultdict(list)
        positions = self._candidates.get(jurisdiction, set()) | set(self._by_compact)
        for position in sorted(positions):
            clinician = self.clinicians[position]
            if clinician.credentials:
                clinician = with_compacts(clinician, self._compacts, jurisdiction)
            if any(license.jurisdiction == jurisdiction for license in clinician.licenses):
                for name in ("", *clinician.specialties):
                    groups[name].append(clinician)
        return {name: tuple(group) for name, group in groups.items()}
