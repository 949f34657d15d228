"""Where a visitor goes from here: to the first thing that is still missing, past everything that is known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps

from allauth.account.models import EmailAddress
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from booking.flows import hold_limits, hold_slot
from booking.models import Booking, PatientRecord, User
from booking.scheduling.errors import Refusal, RefusalCode
from booking.scheduling.lifecycle import BookingState

from . import draft as drafts
from .draft import Draft

HOLDS = (BookingState.HELD, BookingState.EXPIRED)
HoldView = Callable[[HttpRequest, Draft, Booking], HttpResponse]


def from_the_start(request: HttpRequest) -> HttpResponse:
    """For somebody without a reason chosen: the first page, or the word that their session has ended.

    A part of a page is asked for by a page that had a reason, so there it has ended even if the browser forgot it too.
    """
    if request.htmx:  # type: ignore[attr-defined]
        return redirect("session_ended")
    return render(request, "booking/expired.html") if drafts.has_ended(request) else redirect("start")


def with_hold(view: HoldView) -> Callable[[HttpRequest], HttpResponse]:
    """Hand the view the draft and its hold. A booking already under way is shown; without a hold, back to the times.

    A hold that ended is still handed on: its time may be free, and ``submit`` finds out.
    """

    @wraps(view)
    def with_draft_and_hold(request: HttpRequest) -> HttpResponse:
        draft = drafts.load(request)
        hold = drafts.current_hold(request, draft)
        if hold is None or hold.state in (BookingState.RELEASED, BookingState.REFUSED):
            return redirect("times") if draft.reason else from_the_start(request)
        if hold.status not in HOLDS:
            return redirect("visit", hold.pk)
        hold_slot.resume(hold, now=timezone.now())
        return view(request, draft, hold)

    return with_draft_and_hold


def next_step(request: HttpRequest, draft: Draft, hold: Booking) -> HttpResponse:
    """On to whatever is missing before the review; what is known of the person goes with every new hold."""
    now = timezone.now()
    if draft.verified_contact is None and isinstance(request.user, User):
        address = EmailAddress.objects.filter(user=request.user, verified=True).order_by("-primary").first()
        if address is not None:
            draft.has_proved("email", address.email, now)
            drafts.save(request, draft)
    try:
        keep_contact(hold, draft, now)
    except Refusal as refusal:
        return no_more_holds(request, draft, hold, refusal)
    if hold.patient_id is None and draft.patient_id and draft.verified_contact is not None:
        patient = drafts.patient_of(request, draft)
        if patient is not None:
            attach(hold, draft, patient, now)
    return redirect(drafts.missing_before_review(request, draft, hold) or "review")


def keep_contact(hold: Booking, draft: Draft, now: datetime) -> None:
    """Raises ``Refusal`` when the contact that was proved keeps as many times as it may."""
    verified = draft.verified_contact
    if verified is not None and hold.contact_value != verified.value:
        hold_limits.keep_contact(
            hold,
            channel=verified.channel,
            value=verified.value,
            verified_at=datetime.fromisoformat(verified.verified_at),
            now=now,
        )


def no_more_holds(request: HttpRequest, draft: Draft, hold: Booking, refusal: Refusal) -> HttpResponse:
    """Give this one back, and say why on the page of times."""
    hold_slot.release(hold, actor="system", note=refusal.code)
    remember_refusal(draft, refusal.code, hold)
    draft.booking_id = ""
    drafts.save(request, draft)
    return redirect("times")


def attach(hold: Booking, draft: Draft, patient: PatientRecord, now: datetime) -> None:
    """Put on the hold whom it is for and how they are reached; their contact is proved by now."""
    verified = draft.verified_contact
    assert verified is not None
    fields = {
        "patient": patient,
        "user": patient.user,
        "contact_channel": verified.channel,
        "contact_value": verified.value,
        "contact_verified_at": datetime.fromisoformat(verified.verified_at),
        "text_consent_at": now if draft.has_text_consent and verified.channel == "mobile" else None,
    }
    # A hold that ended keeps what is told to it: ``submit`` renews it when its time is still free.
    Booking.objects.filter(pk=hold.pk, state__in=HOLDS).update(**fields)
    for name, value in fields.items():
        setattr(hold, name, value)


def remember_refusal(draft: Draft, code: RefusalCode, booking: Booking | None = None) -> None:
    """To be said on the next page of times, with alternatives near the time that was wanted."""
    draft.refusal = {"code": code.value}
    if booking is not None:
        draft.refusal |= {"starts_at": booking.starts_at.isoformat(), "clinician_id": booking.clinician_id}
