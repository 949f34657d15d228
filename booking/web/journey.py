"""Where a visitor is on the way to a booking: the step in words, the way back, what was chosen so far."""

from __future__ import annotations

from datetime import datetime

from django.urls import reverse

from booking.models import Booking, VisitReasonRecord
from booking.scheduling.jurisdictions import JURISDICTIONS

from .draft import Draft
from .present_visit import hold_notice
from .presenters import Journey, Step, SummaryRow

STEPS = {
    "reason": "choose a reason",
    "state": "say where you will be",
    "specialty": "choose a type of care",
    "time": "choose a time",
    "you": "tell us about you",
    "review": "check and book",
}


def journey(
    step: str,
    *,
    draft: Draft,
    reason: VisitReasonRecord | None = None,
    back: str = "",
    hold: Booking | None = None,
    now: datetime | None = None,
) -> Journey:
    """``step`` is a key of STEPS. A reason that belongs to one specialty has one step less."""
    names = list(STEPS)
    if reason is not None and len(reason.specialties.all()) < 2:
        names.remove("specialty")
    if step not in names:
        step = "state"
    return Journey(
        step=Step(names.index(step) + 1, len(names), STEPS[step]),
        back_url=reverse(back) if back else "",
        summary=tuple(_summary(draft, reason, names)),
        hold=hold_notice(hold, now) if hold is not None and now is not None else None,
    )


def _summary(draft: Draft, reason: VisitReasonRecord | None, names: list[str]) -> list[SummaryRow]:
    rows = []
    if reason is not None:
        rows.append(SummaryRow("Reason", reason.label, reverse("start")))
    if draft.jurisdiction:
        rows.append(
            SummaryRow("Where you will be", JURISDICTIONS[draft.jurisdiction].name, reverse("choose_state"))
        )
    if draft.specialty and reason is not None:
        change = reverse("choose_specialty") if "specialty" in names else ""
        rows += [
            SummaryRow("Type of care", specialty.name, change)
            for specialty in reason.specialties.all()
            if specialty.code == draft.specialty
        ]
    return rows
