"""Interstate compacts: who is a member and issuing, since when, and what says so."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from booking.models import CompactCredentialRecord, CompactMemberRecord, CompactRecord
from booking.scheduling.compacts import CompactMode
from booking.scheduling.terms import License

# So that a row of a table fits beside the desk's menu.
_NARROW: Any = {models.CharField: {"widget": forms.TextInput(attrs={"size": 14})}}
_NOTE: Any = {models.CharField: {"widget": forms.Textarea(attrs={"rows": 2, "cols": 28})}}


class CompactMemberInline(admin.TabularInline):
    model = CompactMemberRecord
    fields = [
        "jurisdiction",
        "note",
        "effective_on",
        "is_in_force",
        "issuing_from",
        "is_issuing",
        "left_on",
        "enacted_on",
        "mark",
    ]
    readonly_fields = ["mark"]
    extra = 0
    # A row taken out would come back with the next list; a state that leaves gets the day it left.
    can_delete = False
    formfield_overrides = _NOTE

    @admin.display(description="")
    def mark(self, member: CompactMemberRecord) -> str:
        return "Changed here" if member.is_set_here else ""


@admin.register(CompactRecord)
class CompactAdmin(admin.ModelAdmin):
    list_display = ["name", "mode", "professions", "members_in_words", "as_of", "age"]
    readonly_fields = ["how_it_counts"]
    inlines = [CompactMemberInline]
    prepopulated_fields = {"code": ["name"]}
    save_on_top = True
    formfield_overrides = {models.TextField: {"widget": forms.Textarea(attrs={"rows": 3, "cols": 90})}}
    fieldsets = [
        (None, {"fields": [("name", "code"), "mode", "professions"]}),
        (
            "What it covers",
            {"fields": [("by_video", "in_person", "by_phone"), "home_is_residence", "how_it_counts"]},
        ),
        ("Where the members below are from", {"fields": ["as_of", "source", "notes"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[CompactRecord]:
        return super().get_queryset(request).prefetch_related("members")

    @admin.display(description="members")
    def members_in_words(self, compact: CompactRecord) -> str:
        members = compact.members.all()
        issuing = sum(bool(member.issuing_from or member.is_issuing) for member in members)
        return f"{len(members)}, of which {issuing} issuing"

    @admin.display(description="list is")
    def age(self, compact: CompactRecord) -> str:
        if compact.as_of is None:
            return "undated: check it"
        days = (timezone.localdate() - compact.as_of).days
        words = f"{days} days old"
        return f"{words}: check it" if compact.is_stale(timezone.localdate()) else words

    @admin.display(description="How a member counts")
    def how_it_counts(self, compact: CompactRecord) -> str:
        if compact.mode == CompactMode.LICENSE:
            return "It gives ordinary licenses, which are listed with each clinician. It grants nothing by itself."
        return (
            "A member counts while it is both in force and issuing: from the day given, or, where only the mark "
            "is set, from the day the list was published; until the day before it left. The clinician's home "
            "state and the patient's state must both count, and the home state's own license must be in force."
        )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        compact = self.get_object(request, object_id)
        if request.method == "GET" and compact is not None and compact.is_stale(timezone.localdate()):
            messages.warning(
                request,
                f"The list of members is {self.age(compact).removesuffix(': check it')}. "
                "Look at the compact's own site, correct the members, and set the day of the new list.",
            )
        return super().change_view(request, object_id, form_url, extra_context)

    def has_delete_permission(self, request: HttpRequest, obj: CompactRecord | None = None) -> bool:
        return False

    def save_model(
        self, request: HttpRequest, obj: CompactRecord, form: forms.ModelForm, change: bool
    ) -> None:
        if form.has_changed():
            obj.is_set_here = True
        super().save_model(request, obj, form, change)

    def save_formset(self, request: HttpRequest, form: forms.ModelForm, formset: Any, change: bool) -> None:
        for row in formset.forms:
            if row.has_changed():
                row.instance.is_set_here = True
        super().save_formset(request, form, formset, change)


class CompactCredentialInline(admin.TabularInline):
    model = CompactCredentialRecord
    fields = ["compact", "home_jurisdiction", "jurisdiction", "number", "starts_on", "ends_on"]
    extra = 0
    verbose_name_plural = "What they hold under interstate compacts"
    formfield_overrides = _NARROW

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "compact":
            kwargs["queryset"] = CompactRecord.objects.exclude(mode=CompactMode.LICENSE.value)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name == "compact":
            # Compacts have a page of their own; three more links in each row would only push the dates out of sight.
            field.widget.can_add_related = field.widget.can_change_related = field.widget.can_view_related = (
                False
            )
        return field


def leave_in_words(licenses: tuple[License, ...]) -> list[tuple[str, str, str]]:
    """Rows of: on what it stands, until when and how, and in which states; those alike in one row."""
    rows: dict[tuple[str, str], list[str]] = {}
    for license in licenses:
        basis = license.basis if license.compact else "License"
        ways = " or ".join(sorted(way.value.replace("_", " ") for way in license.modalities))
        starts = (
            f"from {license.starts_on:%b} {license.starts_on.day}, {license.starts_on.year}"
            if license.starts_on
            else ""
        )
        ends = (
            f"through {license.ends_on:%b} {license.ends_on.day}, {license.ends_on.year}"
            if license.ends_on
            else ""
        )
        period = " ".join(filter(None, (starts, ends))) or "no dates given"
        rows.setdefault((basis, f"{period}; {ways}" if license.compact else period), []).append(
            license.jurisdiction
        )
    return [(basis, period, ", ".join(sorted(states))) for (basis, period), states in rows.items()]
