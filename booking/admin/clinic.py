"""The clinic's limits on booking: one row, opened as such."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from booking.models import SchedulingPolicy


@admin.register(SchedulingPolicy)
class SchedulingPolicyAdmin(admin.ModelAdmin):
    fieldsets = [
        ("How soon and how far ahead", {"fields": ["lead_minutes", "horizon_days"]}),
        ("Around each visit", {"fields": ["buffer_minutes", "daily_cap", "hold_minutes"]}),
        ("Words for patients", {"fields": ["change_words", "cost_words"]}),
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: SchedulingPolicy | None = None) -> bool:
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return redirect("admin:booking_schedulingpolicy_change", SchedulingPolicy.current().pk)
