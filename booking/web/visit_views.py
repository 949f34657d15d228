"""A booking once it is under way: its page, its calendar file, the list of an account, the link in a message."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET

from booking.flows import clinic_rules
from booking.messaging.calendar import calendar_file
from booking.messaging.links import booking_behind
from booking.models import Booking, User
from booking.scheduling.lifecycle import BookingState

from . import draft as drafts
from .present_visit import visit_card

UNDER_WAY = (
    BookingState.SUBMITTING,
    BookingState.UNCONFIRMED,
    BookingState.BOOKED,
    BookingState.REFUSED,
    BookingState.NEEDS_STAFF,
    BookingState.CANCELLING,
    BookingState.CANCELLED,
)


def _own_booking(
    request: HttpRequest, booking_id: UUID, *, among: Collection[BookingState] = UNDER_WAY
) -> Booking:
    mine = Booking.objects.of(drafts.visitor(request))
    try:
        return clinic_rules.whole(mine.filter(pk=booking_id, state__in=among))
    except Booking.DoesNotExist:
        raise Http404 from None


@require_GET
def visit(request: HttpRequest, booking_id: UUID) -> HttpResponse:
    booking = _own_booking(request, booking_id, among=(*UNDER_WAY, BookingState.HELD))
    if booking.status is BookingState.HELD:
        # The EHR was away: another press of theirs was told so while this one was on its way here.
        return redirect("review")
    card = visit_card(booking, now=timezone.now())
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "booking/_visit_status.html", {"card": card})
    return render(request, "booking/visit.html", {"card": card})


@require_GET
def visit_calendar(request: HttpRequest, booking_id: UUID) -> HttpResponse:
    booking = _own_booking(request, booking_id)
    if booking.state != BookingState.BOOKED or booking.is_moved_onto_another:
        raise Http404
    return _calendar_response(booking)


def _calendar_response(booking: Booking) -> HttpResponse:
    response = HttpResponse(calendar_file(booking), content_type="text/calendar; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="visit.ics"'
    return response


@require_GET
def visit_link(request: HttpRequest, token: str) -> HttpResponse:
    """What a link in a message shows: when, where and how to join. It can change nothing and names nobody."""
    now = timezone.now()
    booking = booking_behind(token, now=now)
    if booking is None or booking.status not in UNDER_WAY:
        raise Http404
    return render(request, "booking/visit.html", {"card": visit_card(booking, now=now, is_owner=False)})


@require_GET
@login_required
def visits(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    assert isinstance(request.user, User)
    found = (
        Booking.objects.filter(user=request.user, state__in=UNDER_WAY)
        .exclude(state=BookingState.REFUSED)
        .select_related("clinician", "schedule__location", "reason", "patient")
    )
    upcoming = sorted((each for each in found if each.ends_at > now), key=lambda each: each.starts_at)
    past = sorted(
        (each for each in found if each.ends_at <= now), key=lambda each: each.starts_at, reverse=True
    )
    context = {
        "upcoming": [(visit_card(each, now=now), each.get_absolute_url()) for each in upcoming],
        "past": [(visit_card(each, now=now), each.get_absolute_url()) for each in past[:50]],
    }
    return render(request, "booking/visits.html", context)
