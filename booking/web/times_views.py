"""The grid of times, choosing one, and the hold that follows."""

from __future__ import annotations

from datetime import date, datetime

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from booking.flows import find_times, hold_slot
from booking.models import Booking, VisitReasonRecord
from booking.scheduling.availability import nearest
from booking.scheduling.clock import PARTS_OF_DAY, local_day
from booking.scheduling.errors import Refusal, RefusalCode
from booking.scheduling.terms import Modality, Offer

from . import draft as drafts
from .draft import Draft
from .forms import ZoneForm
from .journey import journey
from .present_times import Filters, GridPresenter, parse_slot_value
from .present_visit import hold_notice
from .presenters import Notice, TimesGrid
from .refusals import notice_for


@require_http_methods(["GET", "HEAD", "POST"])
def times(request: HttpRequest) -> HttpResponse:
    draft = drafts.load(request)
    now = timezone.now()
    reason = drafts.reason_of(draft)
    if reason is None:
        return from_the_start(request)
    missing = drafts.missing_before_times(draft, reason, now)
    drafts.save(request, draft)
    if missing:
        return redirect(missing)
    if request.method == "POST":
        return _choose(request, draft, reason, now)
    return _show(request, draft, reason, now)


def from_the_start(request: HttpRequest) -> HttpResponse:
    """For somebody without a reason chosen: the first page, or the word that their session has ended."""
    if drafts.has_ended(request) and not request.htmx:  # type: ignore[attr-defined]
        return render(request, "booking/expired.html")
    return redirect("start")


def _show(request: HttpRequest, draft: Draft, reason: VisitReasonRecord, now: datetime) -> HttpResponse:
    modalities = find_times.modalities_open(drafts.visit_of(draft, reason))
    filters = _filters(request, modalities)
    if filters is None:
        draft.specialty = ""
        drafts.save(request, draft)
        return redirect("choose_specialty")
    grid = _grid(request, draft, reason, filters, modalities, now)
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "booking/_times.html", {"grid": grid})
    zone_form = ZoneForm(jurisdiction=draft.jurisdiction, initial={"zone": draft.zone})
    context = {
        "grid": grid,
        "zone_form": zone_form if len(zone_form.fields["zone"].choices) > 1 else None,  # type: ignore[attr-defined]
        "journey": journey("time", draft=draft, reason=reason, back=_back(reason)),
    }
    return render(request, "booking/times.html", context)


def _back(reason: VisitReasonRecord) -> str:
    return "choose_specialty" if len(reason.specialties.all()) > 1 else "choose_state"


def _filters(request: HttpRequest, modalities: list[Modality]) -> Filters | None:
    """Filters as the address asks for them; nonsense counts as not asked. None when nobody can be seen at all."""
    if not modalities:
        return None
    asked = request.GET
    try:
        day = date.fromisoformat(asked.get("day", ""))
    except ValueError:
        day = None
    clinician = asked.get("clinician", "")
    return Filters(
        modality=next((each for each in modalities if each == asked.get("modality")), modalities[0]),
        day=day,
        part=asked["part"] if asked.get("part") in PARTS_OF_DAY else "",
        clinician_id=int(clinician)
        if clinician.isascii() and clinician.isdigit() and len(clinician) < 10
        else None,
    )


def _grid(
    request: HttpRequest,
    draft: Draft,
    reason: VisitReasonRecord,
    filters: Filters,
    modalities: list[Modality],
    now: datetime,
) -> TimesGrid:
    visit = drafts.visit_of(draft, reason, filters.modality)
    path = reverse("times")
    block_number = find_times.block_number_of(filters.day, visit, now) if filters.day else 0
    found = find_times.find_times(visit, block_number=block_number, now=now)
    presenter = GridPresenter(found, filters, path=path, now=now)
    later = None
    if not presenter.days and not found.pending:
        later = find_times.next_block_with_times(visit, after=found.block, now=now)
    notice, alternatives = (None, []) if request.htmx else _refusal(request, draft, found.offers)  # type: ignore[attr-defined]
    return presenter.grid(modalities=modalities, later=later, notice=notice, alternatives=alternatives)


def _refusal(
    request: HttpRequest, draft: Draft, offers: tuple[Offer, ...]
) -> tuple[Notice | None, list[Offer]]:
    """Why the last choice failed, said once, with the times nearest to it."""
    if not draft.refusal:
        return None, []
    refusal, draft.refusal = draft.refusal, {}
    drafts.save(request, draft)
    wanted = refusal.get("starts_at")
    found = (
        nearest(offers, datetime.fromisoformat(wanted), clinician_id=refusal.get("clinician_id"))
        if wanted
        else []
    )
    return notice_for(refusal["code"]), found


def remember_refusal(draft: Draft, code: RefusalCode, booking: Booking | None = None) -> None:
    """To be said on the next page of times, with alternatives near the time that was wanted."""
    draft.refusal = {"code": code.value}
    if booking is not None:
        draft.refusal |= {"starts_at": booking.starts_at.isoformat(), "clinician_id": booking.clinician_id}


def _choose(request: HttpRequest, draft: Draft, reason: VisitReasonRecord, now: datetime) -> HttpResponse:
    try:
        choice, modality = parse_slot_value(request.POST.get("slot", ""))
    except (ValueError, OverflowError, OSError):
        remember_refusal(draft, RefusalCode.NOT_OFFERED)
        drafts.save(request, draft)
        return redirect("times")
    visit = drafts.visit_of(draft, reason, modality)
    try:
        if modality not in visit.reason.appointment_types:
            raise Refusal(RefusalCode.NOT_OFFERED)
        hold = hold_slot.hold(visit, choice, visitor=drafts.known_visitor(request), now=now)
    except Refusal as refusal:
        draft.refusal = {
            "code": refusal.code.value,
            "starts_at": choice.starts_at.isoformat(),
            "clinician_id": hold_slot.clinician_of(choice),
        }
        drafts.save(request, draft)
        day = local_day(choice.starts_at, draft.zone)
        return redirect(Filters(modality, day=day).url(reverse("times")))
    draft.booking_id = str(hold.pk)
    drafts.save(request, draft)
    return redirect("contact")


@require_POST
def extend_hold(request: HttpRequest) -> HttpResponse:
    draft = drafts.load(request)
    now = timezone.now()
    hold = drafts.current_hold(request, draft)
    if hold is not None:
        hold_slot.extend(hold, now=now)
        hold.refresh_from_db()
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "booking/_hold.html", {"hold": hold and hold_notice(hold, now)})
    missing = drafts.missing_before_review(request, draft, hold)
    return redirect(missing or "review")


@require_POST
def release_hold(request: HttpRequest) -> HttpResponse:
    draft = drafts.load(request)
    hold = drafts.current_hold(request, draft)
    if hold is not None:
        hold_slot.release(hold, note="chose another time")
    draft.booking_id = ""
    drafts.save(request, draft)
    return redirect("times")


@require_POST
def leave_hold(request: HttpRequest) -> HttpResponse:
    """Sent by the browser as it leaves the page; the next page of ours takes it back."""
    hold = drafts.current_hold(request, drafts.load(request))
    if hold is not None:
        hold_slot.leave(hold, now=timezone.now())
    return HttpResponse(status=204)


@require_POST
def resume_hold(request: HttpRequest) -> HttpResponse:
    hold = drafts.current_hold(request, drafts.load(request))
    if hold is not None:
        hold_slot.resume(hold, now=timezone.now())
    return HttpResponse(status=204)
