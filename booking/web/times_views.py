"""The grid of times, choosing one, and the hold that follows."""

from __future__ import annotations

import re
import secrets
from collections.abc import Hashable
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import lru_cache

from django.conf import settings
from django.contrib.messages import get_messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django_htmx.http import trigger_client_event

from booking.flows import clinic_rules, find_times, hold_slot
from booking.flows.clinic_rules import ClinicRules
from booking.flows.find_times import Times
from booking.models import VisitReasonRecord
from booking.models.standing import Standing, standing
from booking.scheduling.clock import PARTS_OF_DAY, local_day
from booking.scheduling.eligibility import Visit
from booking.scheduling.errors import Refusal, RefusalCode
from booking.scheduling.terms import Modality, Offer

from . import draft as drafts
from .draft import Draft
from .finished import Finished, FinishedPage
from .forms import ZoneForm
from .journey import journey
from .present_times import WEEK, Filters, GridPresenter, freshness_words, parse_slot_value
from .present_visit import hold_notice
from .presenters import GridFilters, GridPieces, Notice, TimesGrid
from .refusals import notice_for
from .steps import HOLDS, from_the_start, next_step, remember_refusal

_finished = Finished[FinishedPage]()
# Pages but for their pieces. After each booking the pieces are new, and what stands around them is as it was.
_frames = Finished[tuple[str, ...]](most_bytes=8_000_000)
# Where the pieces go, in words that nobody can type.
_PLACES = GridPieces(*(mark_safe(f"piece-{secrets.token_hex(8)}") for _ in range(3)))  # noqa: S308 - digits alone
_PLACE = re.compile(f"({_PLACES.say}|{_PLACES.filters_html}|{_PLACES.body_html})")
# A page that only looks whether more has come in does not wait for the EHR as a first one does.
LOOK_SECONDS = 0.3


@dataclass(frozen=True)
class _Asked:
    """One request for the page of times: by whom, with which answers and filters, and what the rules are."""

    request: HttpRequest
    draft: Draft
    rules: ClinicRules
    stands: Standing
    visit: Visit
    filters: Filters
    modalities: tuple[Modality, ...]
    now: datetime

    @property
    def is_part(self) -> bool:
        """Whether htmx wants the grid alone."""
        return bool(self.request.htmx)  # type: ignore[attr-defined]

    @property
    def seconds(self) -> float | None:
        """How long the EHR may be waited for; None is as long as a page may."""
        is_looking_again = self.is_part and self.request.htmx.trigger == "look"  # type: ignore[attr-defined]
        return LOOK_SECONDS if is_looking_again else None

    def find(self) -> Times:
        day = self.filters.day
        return find_times.find_times(
            self.visit,
            block_number=find_times.block_number_of(day, self.visit, self.now) if day else 0,
            now=self.now,
            stands=self.stands,
            seconds=self.seconds,
        )


@require_http_methods(["GET", "HEAD", "POST"])
def times(request: HttpRequest) -> HttpResponse:
    draft = drafts.load(request)
    now = timezone.now()
    stands = standing()
    rules = clinic_rules.at(stands)
    if drafts.reason_of(draft, rules) is None:
        return from_the_start(request)
    missing = drafts.missing_before_times(draft, rules, now)
    drafts.save(request, draft)
    if missing:
        return redirect(missing)
    if request.method == "POST":
        return _choose(request, draft, rules, now)
    return _show(request, draft, rules, stands, now)


@require_safe
def session_ended(request: HttpRequest) -> HttpResponse:
    return render(request, "booking/expired.html")


def _show(
    request: HttpRequest, draft: Draft, rules: ClinicRules, stands: Standing, now: datetime
) -> HttpResponse:
    modalities = rules.modalities_open(drafts.visit_of(draft, rules))
    filters = _filters(request, modalities)
    if filters is None:
        draft.specialty = ""
        drafts.save(request, draft)
        return redirect("choose_specialty")
    visit = drafts.visit_of(draft, rules, filters.modality)
    asked = _Asked(request, draft, rules, stands, visit, filters, tuple(modalities), now)
    found = asked.find()
    words = freshness_words(found, now)
    # Everything a page depends on besides the times themselves; what is said once is in no page that is kept.
    answers = (draft.reason, draft.jurisdiction, draft.zone, draft.patient_kind, draft.specialty)
    whose = request.user.is_authenticated, asked.is_part
    question = (answers, filters, asked.modalities, words, whose)
    is_common = not (found.pending or draft.refusal or len(get_messages(request)))
    page = _finished.find(question, found.openings) if is_common else None
    if page is None:
        grid, is_settled = _grid(asked, found)
        html = _framed(asked, grid, (question, found.is_stale)) if is_common else _rendered(asked, grid)
        page = FinishedPage.of(html, apart_from="" if found.is_stale else words)
        if is_common and is_settled:
            _finished.keep(question, found.openings, page, page.size)
    return _part(request, page, words, found) if asked.is_part else page.response(request)


def _part(request: HttpRequest, page: FinishedPage, words: str, found: Times) -> HttpResponse:
    """The grid alone; 304 when a page that looks again shows the very same, with how fresh that now is."""
    if request.headers.get("If-None-Match", "").removeprefix("W/") == page.tag:
        response = HttpResponse(status=304)
        if not found.is_stale:
            trigger_client_event(response, "checked", {"words": words})
    else:
        response = page.response(request)
    # Weak (RFC 9110, 8.8.1): two answers of one tag differ in their tokens.
    response["ETag"] = f"W/{page.tag}"
    return response


def _framed(asked: _Asked, grid: TimesGrid, question: Hashable) -> bytes:
    """As ``_rendered``, with a kept frame. Tokens and nonces in that are somebody's, and holes in a ``FinishedPage``."""
    frame = _frames.find(question, asked.rules)
    if frame is None:
        frame = tuple(_PLACE.split(_rendered(asked, replace(grid, pieces=_PLACES)).decode()))
        _frames.keep(question, asked.rules, frame, sum(map(len, frame)))
    pieces = {
        _PLACES.say: escape(grid.pieces.say),
        _PLACES.filters_html: grid.pieces.filters_html,
        _PLACES.body_html: grid.pieces.body_html,
    }
    return "".join(pieces.get(part, part) for part in frame).encode()


def _rendered(asked: _Asked, grid: TimesGrid) -> bytes:
    """The page, or the grid alone for htmx."""
    if asked.is_part:
        return render(asked.request, "booking/_times.html", {"grid": grid}).content
    draft = asked.draft
    reason = asked.rules.reasons[draft.reason]
    zone_form = ZoneForm(jurisdiction=draft.jurisdiction, initial={"zone": draft.zone})
    context = {
        "grid": grid,
        "zone_form": zone_form if len(zone_form.fields["zone"].choices) > 1 else None,  # type: ignore[attr-defined]
        "journey": journey("time", draft=draft, reason=reason, back=_back(reason)),
    }
    return render(asked.request, "booking/times.html", context).content


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
    return Filters(
        modality=next((each for each in modalities if each == asked.get("modality")), modalities[0]),
        day=day,
        part=asked["part"] if asked.get("part") in PARTS_OF_DAY else "",
        clinician_id=_number(asked.get("clinician", "")),
        view=WEEK if asked.get("view") == WEEK else "",
        page=_number(asked.get("page", "")) or 1,
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _grid(asked: _Asked, found: Times) -> tuple[TimesGrid, bool]:
    """The grid, and whether it is good for as long as the times it shows are."""
    request, filters, now = asked.request, asked.filters, asked.now
    presenter = GridPresenter(found, filters, cards=asked.rules.cards, path=reverse("times"), now=now)
    later = None
    if not presenter.has_times and not found.pending:
        later = find_times.next_block_with_times(
            asked.visit,
            after=found.block,
            now=now,
            stands=asked.stands,
            clinician_id=filters.clinician_id,
            seconds=asked.seconds,
        )
    notice, alternatives = _refusal(request, asked.draft, found)

    def pieces() -> GridPieces:
        body = presenter.body(later=later, has_alternatives=bool(alternatives))
        return GridPieces(
            say=presenter.say(body),
            filters_html=_filters_html(presenter.choices(asked.modalities)),
            body_html=render_to_string("booking/_times_body.html", {"grid": body}, request),
        )

    is_settled = bool(presenter.people) and not found.pending and not alternatives
    question = ("pieces", filters, asked.modalities)
    grid = presenter.grid(
        found.openings.remember(question, pieces) if is_settled else pieces(),
        look_again_seconds=max(5, int(settings.GRID_FRESH_SECONDS / 2)),
        notice=notice,
        alternatives=alternatives,
    )
    return grid, is_settled


@lru_cache(maxsize=64)
def _filters_html(filters: GridFilters) -> SafeString:
    """Kept, for it changes much more rarely than the times below it."""
    return render_to_string("booking/_times_filters.html", {"filters": filters})


def _refusal(request: HttpRequest, draft: Draft, times: Times) -> tuple[Notice | None, list[Offer]]:
    """Why the last choice failed, said once, with the times nearest to it; again where those have still to come."""
    refusal = draft.refusal
    if not refusal:
        return None, []
    if not times.pending:
        draft.refusal = {}
        drafts.save(request, draft)
    wanted = refusal.get("starts_at")
    found = (
        times.openings.nearest(datetime.fromisoformat(wanted), clinician_id=refusal.get("clinician_id"))
        if wanted
        else []
    )
    return notice_for(refusal["code"]), found


def _choose(request: HttpRequest, draft: Draft, rules: ClinicRules, now: datetime) -> HttpResponse:
    try:
        choice, modality = parse_slot_value(request.POST.get("slot", ""))
    except (ValueError, OverflowError, OSError):
        remember_refusal(draft, RefusalCode.NOT_OFFERED)
        drafts.save(request, draft)
        return redirect("times")
    visit = drafts.visit_of(draft, rules, modality)
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
    draft.booking_id, draft.refusal = str(hold.pk), {}
    drafts.save(request, draft)
    return redirect("visit", hold.pk) if hold.status not in HOLDS else next_step(request, draft, hold)


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
