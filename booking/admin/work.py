"""What the desk has to look after: bookings the EHR never answered for, and messages that could not be sent.

Lists show no names, reasons or contacts.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from booking.flows import notify, reconcile
from booking.models import Booking, BookingEvent, Message
from booking.scheduling.errors import EhrFailure
from booking.scheduling.lifecycle import BookingState


class ReadOnly(admin.ModelAdmin):
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Actions need it on the list; a single row is never changed by hand.
        return obj is None and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class EventInline(admin.TabularInline):
    model = BookingEvent
    fields = ("at", "old_state", "new_state", "actor", "note")
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Booking | None = None) -> bool:
        return False


@admin.register(Booking)
class BookingAdmin(ReadOnly):
    list_display = [
        "id",
        "state",
        "clinician",
        "starts_at",
        "license_basis",
        "submitted_at",
        "appointment_ref",
        "failure",
        "posts",
    ]
    list_filter = ["state", "modality", "clinician"]
    list_select_related = ["clinician"]
    date_hierarchy = "starts_at"
    search_fields = ["id", "appointment_ref"]
    search_help_text = "A booking's id, as it stands in the EHR's identifier, or the EHR's appointment id."
    inlines = [EventInline]
    exclude = ["owner_key"]
    actions = ["look_up", "close_as_not_booked"]

    @admin.action(description="Look in the EHR for the chosen bookings that need staff")
    def look_up(self, request: HttpRequest, queryset: QuerySet[Booking]) -> None:
        found = missing = 0
        waiting = queryset.filter(state=BookingState.NEEDS_STAFF)
        for booking in waiting.select_related("clinician", "schedule__location", "patient", "reason"):
            try:
                is_found = reconcile.look_up_for_staff(booking, clock=timezone.now)
            except EhrFailure as error:
                messages.error(request, f"The EHR did not answer: {error}.")
                return
            found, missing = found + is_found, missing + (not is_found)
        messages.info(request, f"Found and confirmed: {found}. Not in the EHR: {missing}.")

    @admin.action(
        description="Close the chosen bookings that need staff as not booked, and tell the patients"
    )
    def close_as_not_booked(self, request: HttpRequest, queryset: QuerySet[Booking]) -> None:
        closed = 0
        for booking in queryset.filter(state=BookingState.NEEDS_STAFF):
            closed += reconcile.close_for_staff(booking, actor=f"staff:{request.user.pk}", now=timezone.now())
        messages.info(request, f"Closed as not booked: {closed}. Each patient is sent a message.")


@admin.register(Message)
class MessageAdmin(ReadOnly):
    list_display = ["id", "kind", "channel", "state", "due_at", "attempts", "last_error", "sent_at"]
    list_filter = ["state", "channel", "kind"]
    exclude = ["recipient"]
    actions = ["send_again"]

    @admin.action(description="Try the chosen messages that were given up once more")
    def send_again(self, request: HttpRequest, queryset: QuerySet[Message]) -> None:
        again = queryset.filter(state=Message.State.DEAD).update(
            state=Message.State.DUE, due_at=timezone.now(), attempts=0, lease_until=None
        )
        notify.ring()
        messages.info(request, f"Due again: {again}.")
