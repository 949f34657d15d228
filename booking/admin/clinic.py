"""The clinic's limits, specialties, clinicians and places."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from booking.flows.sync_directory import sync_directory
from booking.models import (
    ClinicianRecord,
    LicenseRecord,
    LocationRecord,
    ScheduleRecord,
    SchedulingPolicy,
    Specialty,
)
from booking.scheduling.errors import EhrFailure

from .compacts import CompactCredentialInline, leave_in_words


class FromTheEhr(admin.TabularInline):
    """Rows the EHR owns: shown, never changed here."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


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


@admin.register(Specialty)
class SpecialtyAdmin(admin.ModelAdmin):
    list_display = ["name", "description", "taxonomy_codes", "position"]
    list_editable = ["position"]
    search_fields = ["name", "taxonomy_codes"]
    prepopulated_fields = {"code": ["name"]}


class LicenseInline(FromTheEhr):
    model = LicenseRecord
    fields = ["jurisdiction", "number", "starts_on", "ends_on"]


class ScheduleInline(FromTheEhr):
    model = ScheduleRecord
    fields = ["location", "ehr_ref", "is_active"]


@admin.register(ClinicianRecord)
class ClinicianAdmin(admin.ModelAdmin):
    list_display = [
        "name",
        "fields_of_care",
        "licensed_in",
        "held_by",
        "accepts_new_patients",
        "is_bookable",
        "is_active",
    ]
    list_filter = [
        "is_bookable",
        "is_active",
        "specialties",
        "licenses__jurisdiction",
        "accepts_new_patients",
    ]
    search_fields = ["name", "family_name"]
    filter_horizontal = ["specialties", "declined_reasons"]
    inlines = [LicenseInline, CompactCredentialInline, ScheduleInline]
    readonly_fields = [
        "name",
        "credentials",
        "languages",
        "ehr_ref",
        "ehr_room_url",
        "is_active",
        "may_see_patients_in",
    ]
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}
    actions = ["sync_now"]
    fieldsets = [
        (
            "From the EHR",
            {"fields": ["name", "credentials", "languages", "ehr_ref", "ehr_room_url", "is_active"]},
        ),
        (
            "Set here",
            {"fields": ["is_bookable", ("by_video", "in_person", "by_phone"), "accepts_new_patients"]},
        ),
        (
            "Where they may see patients",
            {"fields": [("profession", "home_jurisdiction"), "may_see_patients_in"]},
        ),
        (None, {"fields": ["specialties", "declined_reasons", "room_url"]}),
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ClinicianRecord | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[ClinicianRecord]:
        return super().get_queryset(request).prefetch_related("specialties", "licenses")

    @admin.display(description="specialties")
    def fields_of_care(self, clinician: ClinicianRecord) -> str:
        return ", ".join(specialty.name for specialty in clinician.specialties.all()) or "none: never offered"

    @admin.display(description="licensed in")
    def licensed_in(self, clinician: ClinicianRecord) -> str:
        return (
            ", ".join(sorted({row.jurisdiction for row in clinician.licenses.all()}))
            or "nowhere: never offered"
        )

    @admin.display(description="As saved")
    def may_see_patients_in(self, clinician: ClinicianRecord) -> SafeString | str:
        whole = ClinicianRecord.objects.with_directory().get(pk=clinician.pk)
        rows = leave_in_words(whole.to_term().licenses)
        if not rows:
            return "Nowhere: no license is known, so they are never offered."
        body = format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td></tr>", rows)
        return format_html(
            '<div class="module"><table><thead><tr><th scope="col">Stands on</th><th scope="col">In force</th>'
            '<th scope="col">States</th></tr></thead><tbody>{}</tbody></table></div>',
            body,
        )

    @admin.display(description="held by")
    def held_by(self, clinician: ClinicianRecord) -> str:
        offered = [
            ("video", clinician.by_video),
            ("in person", clinician.in_person),
            ("phone", clinician.by_phone),
        ]
        return ", ".join(words for words, is_offered in offered if is_offered) or "nothing: never offered"

    @admin.action(description="Read the whole directory from the EHR now")
    def sync_now(self, request: HttpRequest, queryset: QuerySet[ClinicianRecord]) -> None:
        try:
            report = sync_directory()
        except EhrFailure as error:
            messages.error(request, f"The EHR did not give its directory: {error}. Nothing was changed.")
            return
        messages.success(
            request,
            f"Read {report.clinicians} clinicians, {report.licenses} licenses, {report.locations} locations and "
            f"{report.schedules} schedules. Retired: {report.retired}. "
            f"Schedules without a known location: {len(report.unmatched_schedules)}.",
        )


@admin.register(LocationRecord)
class LocationAdmin(admin.ModelAdmin):
    list_display = ["name", "jurisdiction", "time_zone", "is_active"]
    readonly_fields = ["name", "address", "jurisdiction", "ehr_ref", "is_active"]
    fields = ["name", "address", "jurisdiction", "ehr_ref", "is_active", "time_zone", "ehr_key"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: LocationRecord | None = None) -> bool:
        return False
