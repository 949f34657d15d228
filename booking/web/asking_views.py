"""The questions before the times: reason, screening, state, new or established, specialty."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from booking.flows import clinic_rules, hold_slot
from booking.models import ReasonModality, Specialty, VisitReasonRecord
from booking.scheduling.jurisdictions import JURISDICTIONS
from booking.scheduling.reasons import is_red_flag, search
from booking.scheduling.terms import Modality, PatientKind

from . import draft as drafts
from .draft import Draft
from .forms import StateForm
from .journey import journey
from .present_times import plural
from .presenters import FilterChoice, ReasonGroup, ReasonTile, SpecialtyTile

LONGEST_QUERY = 100
MOST_COMMON = 6
HOW = {Modality.VIDEO: "video", Modality.IN_PERSON: "in person", Modality.PHONE: "phone"}


def next_question(request: HttpRequest, draft: Draft) -> HttpResponse:
    """On to the first question that has no answer yet, or to the times."""
    missing = drafts.missing_before_times(draft, clinic_rules.current(), timezone.now())
    drafts.save(request, draft)
    return redirect(missing or "times")


@require_GET
def start(request: HttpRequest) -> HttpResponse:
    return _reasons_page(request, drafts.load(request))


@require_POST
def search_reasons(request: HttpRequest) -> HttpResponse:
    """What a patient types stays out of the address: it is kept in the session and shown on the first page."""
    draft = drafts.load(request)
    draft.query = request.POST.get("q", "").strip()[:LONGEST_QUERY]
    drafts.save(request, draft)
    if request.htmx:  # type: ignore[attr-defined]
        return _reasons_page(request, draft)
    return redirect("start")


def _reasons_page(request: HttpRequest, draft: Draft) -> HttpResponse:
    reasons = list(VisitReasonRecord.objects.offered().prefetch_related("modalities"))
    tiles = {reason.code: _reason_tile(reason) for reason in reasons}
    results = search([reason.to_searchable() for reason in reasons], draft.query) if draft.query else []
    groups: dict[str, list[ReasonTile]] = defaultdict(list)
    common = [reason for reason in reasons if reason.is_common][:MOST_COMMON]
    for reason in reasons:
        # A search shows no common reasons, so the lists below it leave nothing out.
        if reason in common and not draft.query:
            continue
        groups[reason.group or "Other reasons"].append(tiles[reason.code])
    context = {
        "query": draft.query,
        "searched": bool(draft.query),
        "is_red_flag": is_red_flag(draft.query),
        "results": [tiles[code] for code in results],
        "common": [tiles[reason.code] for reason in common],
        "groups": [ReasonGroup(name, tuple(members)) for name, members in groups.items()],
        "journey": journey("reason", draft=Draft()),
    }
    is_partial = request.htmx and request.method == "POST"  # type: ignore[attr-defined]
    return render(request, "booking/_reasons.html" if is_partial else "booking/reason.html", context)


def _reason_tile(reason: VisitReasonRecord) -> ReasonTile:
    ways = _ways(reason.modalities.all())
    return ReasonTile(reason.code, reason.label, f"{reason.default_minutes} minutes · {ways}")


def _ways(rows: Iterable[ReasonModality]) -> str:
    offered = {row.modality for row in rows}
    words = [HOW[modality] for modality in Modality if modality in offered]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


@require_POST
def choose_reason(request: HttpRequest) -> HttpResponse:
    draft = drafts.load(request)
    code = request.POST.get("reason", "")
    if not VisitReasonRecord.objects.offered().filter(code=code).exists():
        return redirect("start")
    draft.begin(code)
    draft.query = ""
    return next_question(request, draft)


@require_http_methods(["GET", "HEAD", "POST"])
def screening(request: HttpRequest) -> HttpResponse:
    draft = drafts.load(request)
    reason = drafts.reason_of(draft, clinic_rules.current())
    if reason is None or not reason.signs:
        return next_question(request, draft)
    answer = request.POST.get("answer")
    if answer == "yes":
        return redirect("urgent")
    if answer == "no":
        draft.is_screened = True
        return next_question(request, draft)
    context = {
        "heading": "Do you have any of these right now?",
        "signs": reason.signs,
        "is_unanswered": request.method == "POST",
        "journey": journey("reason", draft=draft, reason=reason, back="start"),
    }
    return render(request, "booking/screening.html", context, status=422 if request.method == "POST" else 200)


@require_GET
def urgent(request: HttpRequest) -> HttpResponse:
    return render(request, "booking/urgent.html", {"journey": journey("reason", draft=Draft(), back="start")})


@require_http_methods(["GET", "HEAD", "POST"])
def choose_state(request: HttpRequest) -> HttpResponse:
    draft = drafts.load(request)
    reason = drafts.reason_of(draft, clinic_rules.current())
    if reason is None:
        return redirect("start")
    form = StateForm(request.POST or None, initial={"state": draft.jurisdiction})
    if request.method == "POST" and form.is_valid():
        draft.settle_place(form.cleaned_data["state"])
        return next_question(request, draft)
    last = JURISDICTIONS.get(draft.jurisdiction)
    context = {
        "form": form,
        "last_state": {"code": last.code, "name": last.name} if last else None,
        "journey": journey("state", draft=draft, reason=reason, back="start"),
    }
    return render(request, "booking/state.html", context, status=422 if form.errors else 200)


@require_POST
def choose_zone(request: HttpRequest) -> HttpResponse:
    draft = drafts.load(request)
    if draft.jurisdiction:
        draft.settle_place(draft.jurisdiction, request.POST.get("zone", ""))
        drafts.save(request, draft)
    return redirect("times")


@require_http_methods(["GET", "HEAD", "POST"])
def patient_kind(request: HttpRequest) -> HttpResponse:
    draft = drafts.load(request)
    reason = drafts.reason_of(draft, clinic_rules.current())
    if reason is None or not draft.jurisdiction:
        return next_question(request, draft)
    if request.POST.get("kind") in set(PatientKind):
        draft.patient_kind = request.POST["kind"]
        return next_question(request, draft)
    context = {
        "is_unanswered": request.method == "POST",
        "chosen": draft.patient_kind,
        "journey": journey("state", draft=draft, reason=reason, back="choose_state"),
    }
    return render(
        request, "booking/patient_kind.html", context, status=422 if request.method == "POST" else 200
    )


@require_http_methods(["GET", "HEAD", "POST"])
def choose_specialty(request: HttpRequest) -> HttpResponse:
    draft = drafts.load(request)
    rules = clinic_rules.current()
    reason = drafts.reason_of(draft, rules)
    wanted = request.POST.get("specialty", "")
    missing = drafts.missing_before_times(draft, rules, timezone.now())
    if reason is None or missing not in (None, "choose_specialty"):
        return redirect(missing or "start")
    open_now = rules.open_specialties(drafts.visit_of(draft, rules), timezone.now())
    if not open_now:
        return no_clinician(request, draft, reason)
    if wanted in open_now:
        draft.specialty = wanted
        return next_question(request, draft)
    tiles = [
        SpecialtyTile(each.code, each.name, each.description, plural(open_now[each.code], "clinician"))
        for each in Specialty.objects.filter(code__in=open_now)
    ]
    context = {
        "tiles": tiles,
        "is_unanswered": request.method == "POST",
        "journey": journey("specialty", draft=draft, reason=reason, back="choose_state"),
    }
    return render(request, "booking/specialty.html", context, status=422 if request.method == "POST" else 200)


def no_clinician(request: HttpRequest, draft: Draft, reason: VisitReasonRecord) -> HttpResponse:
    """Nobody may see this patient for this reason where they will be: say why, and what is possible."""
    place = JURISDICTIONS[draft.jurisdiction].name
    context = {
        "heading": f"We have no clinician for this in {place}",
        "text": (
            "A clinician needs a license in the state where you are during the visit, and none of ours who takes this "
            f"reason has one for {place}."
        ),
        "ways": [
            FilterChoice("I will be in another state", reverse("choose_state"), False),
            FilterChoice("Choose another reason", reverse("start"), False),
        ],
        "journey": journey("specialty", draft=draft, reason=reason, back="choose_state"),
    }
    return render(request, "booking/no_clinician.html", context)


@require_POST
def start_over(request: HttpRequest) -> HttpResponse:
    """Give back what is held and forget every answer. What is booked stays booked."""
    draft = drafts.load(request)
    hold = drafts.current_hold(request, draft)
    if hold is not None:
        hold_slot.release(hold, note="started over")
    request.session.pop(drafts.SESSION_KEY, None)
    return redirect("start")
