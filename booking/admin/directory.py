"""Clinicians, where they may see patients, specialties and places."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from booking.flows.sync_directory import sync_directory
from booking.models import (
    ClinicianRecord,
    LicenseRecord,
    LocationRecord,
    ScheduleRecord,
    Specialty,
)
from booking.models.overrides import EhrFilled
from booking.scheduling.errors import EhrFailure

from .compacts import CompactCredentialInline, leave_in_words
from .overrides import OverridesAdmin, SetHereFilter, words_of


@admin.register(Specialty)
class SpecialtyAdmin(admin.ModelAdmin):
    list_display = ["name", "description", "taxonomy_codes", "role_codes", "position"]
    list_editable = ["position"]
    search_fields = ["name", "taxonomy_codes", "role_codes"]
    prepopulated_fields = {"code": ["name"]}


class EhrLicenseInline(admin.TabularInline):
    """Rows that the EHR owns: shown, never changed here."""

    model = LicenseRecord
    verbose_name_plural = "Licenses the EHR lists"
    fields = ["jurisdiction", "number", "starts_on", "ends_on"]
    extra = 0
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[LicenseRecord]:
        return super().get_queryset(request).filter(source=LicenseRecord.Source.EHR)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class DeskLicenseInline(admin.TabularInline):
    model = LicenseRecord
    verbose_name_plural = "Licenses entered here"
    fields = ["jurisdiction", "number", "starts_on", "ends_on"]
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[LicenseRecord]:
        return super().get_queryset(request).filter(source=LicenseRecord.Source.DESK)


class ScheduleInline(admin.TabularInline):
    model = ScheduleRecord
    fields = ["location", "ehr_says", "ehr_ref", "is_active"]
    readonly_fields = ["ehr_says", "ehr_ref", "is_active"]
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="The EHR says")
    def ehr_says(self, schedule: ScheduleRecord) -> SafeString | str:
        place = LocationRecord.objects.filter(pk=schedule.ehr_values.get("location_id")).first()
        words = place.name if place else "nothing of this yet"
        return format_html("{} <b>(set here)</b>", words) if schedule.overridden else words


@admin.register(ClinicianRecord)
class ClinicianAdmin(OverridesAdmin):
    list_display = [
        "name",
        "set_here",
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
        SetHereFilter,
        "specialties",
        "profession",
        "licenses__jurisdiction",
        "accepts_new_patients",
    ]
    search_fields = ["name", "family_name"]
    filter_horizontal = ["specialties", "declined_reasons"]
    inlines = [EhrLicenseInline, DeskLicenseInline, CompactCredentialInline, ScheduleInline]
    readonly_fields = ["ehr_ref", "ehr_room_url", "is_active", "may_see_patients_in"]
    formfield_overrides = {models.URLField: {"assume_scheme": "https"}}
    actions = ["take_ehr_values", "sync_now"]
    fieldsets = [
        (
            "Who they are",
            {
                "description": "Filled from the EHR. A value you change here stays as you set it; set it back to "
                "what the EHR says, and it follows the EHR again.",
                "fields": [
                    "name",
                    "family_name",
                    "credentials",
                    "languages",
                    "photo_url",
                    "specialties",
                    ("ehr_ref", "is_active"),
                ],
            },
        ),
        (
            "What they do",
            {
                "fields": [
                    "is_bookable",
                    ("by_video", "in_person", "by_phone"),
                    "accepts_new_patients",
                    "declined_reasons",
                    ("room_url", "ehr_room_url"),
                ]
            },
        ),
        (
            "Where they may see patients",
            {"fields": [("profession", "home_jurisdiction"), "may_see_patients_in"]},
        ),
    ]

    def ehr_words(self, record: EhrFilled, name: str) -> str:
        if name == "specialties":
            return words_of(
                [str(each) for each in Specialty.objects.filter(code__in=record.ehr_values[name])]
            )
        return super().ehr_words(record, name)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ClinicianRecord | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[ClinicianRecord]:
        return super().get_queryset(request).prefetch_related("specialties", "licenses")

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        for row in formset.forms:
            record = row.instance
            if isinstance(record, ScheduleRecord) and "location" in row.changed_data:
                record.settle(["location_id"])
            # Only the desk's own rows can be changed, so whatever is added or changed is the desk's.
            if isinstance(record, LicenseRecord) and row.has_changed():
                record.source = LicenseRecord.Source.DESK
        super().save_formset(request, form, formset, change)

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
        read_now(request)


def read_now(request: HttpRequest) -> None:
    """Read the directory and say on the next page how it went."""
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
class LocationAdmin(OverridesAdmin):
    list_display = ["name", "jurisdiction", "time_zone", "ehr_key", "is_active", "set_here"]
    list_filter = ["is_active", SetHereFilter, "jurisdiction"]
    search_fields = ["name", "address"]
    readonly_fields = ["ehr_ref", "is_active"]
    fieldsets = [
        (
            None,
            {
                "description": "Filled from the EHR. A value you change here stays as you set it; set it back to "
                "what the EHR says, and it follows the EHR again. Where the EHR gives no time zone, the state's "
                "main one stands for it.",
                "fields": ["name", "address", "jurisdiction", "time_zone"],
            },
        ),
        ("In the EHR", {"fields": ["ehr_ref", "ehr_key", "is_active"]}),
    ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: LocationRecord | None = None) -> bool:
        return False
