"""What the desk has to look after: bookings the EHR never answered for, and messages that could not be sent.

Lists show no names, reasons or contacts.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path
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


class ForStaffFilter(admin.SimpleListFilter):
    title = "for staff"
    parameter_name = "for_staff"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Something to see to")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Booking]) -> QuerySet[Booking]:
        return queryset.for_staff() if self.value() == "yes" else queryset  # type: ignore[attr-defined]


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
        "attention",
    ]
    list_filter = ["state", ForStaffFilter, "modality", "clinician"]
    list_select_related = ["clinician"]
    date_hierarchy = "starts_at"
    search_fields = ["id", "appointment_ref"]
    search_help_text = "A booking's id, as it stands in the EHR's identifier, or the EHR's appointment id."
    inlines = [EventInline]
    exclude = ["owner_key"]
    actions = ["look_up", "close_as_not_booked", "mark_as_seen"]

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

    @admin.action(description="Mark what the chosen bookings have for staff as seen to")
    def mark_as_seen(self, request: HttpRequest, queryset: QuerySet[Booking]) -> None:
        seen = list(queryset.exclude(attention=""))
        for booking in seen:
            self.log_change(request, booking, f"Seen to: {booking.attention}")
            Booking.objects.filter(pk=booking.pk, attention=booking.attention).update(attention="")
        messages.info(request, f"Marked as seen to: {len(seen)}.")

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

    change_form_template = "admin/booking/message/change_form.html"

    @admin.action(description="Try the chosen messages that were given up once more")
    def send_again(self, request: HttpRequest, queryset: QuerySet[Message]) -> None:
        messages.info(request, f"Due again: {self._try_again(request, queryset)}.")

    def _try_again(self, request: HttpRequest, queryset: QuerySet[Message]) -> int:
        again = notify.try_again(queryset, now=timezone.now())
        for message in again:
            # Who had it tried again stands in its history.
            self.log_change(request, message, f"Tried again after {message.last_error or 'it was given up'}")
        return len(again)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.try_one_again)
        return [path("<path:object_id>/again/", view, name="booking_message_again"), *super().get_urls()]

    def try_one_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_change_permission(request):
            raise PermissionDenied
        found = self.get_object(request, object_id)
        if found is None:
            raise Http404
        if self._try_again(request, Message.objects.filter(pk=found.pk)):
            messages.success(request, "The message is due again and goes out within seconds.")
        else:
            messages.info(request, "The message was not given up, so it is not tried again.")
        return redirect("admin:booking_message_change", found.pk)
