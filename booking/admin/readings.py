"""Readings of the EHR's directory: how each went, and what staff have to settle."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from booking.flows.sync_directory import last_reading
from booking.models import DirectorySync, LocationRecord

from .directory import read_now
from .work import ReadOnly


def _schedules_words(found: dict[str, Any]) -> str:
    """ "12 schedules, such as “Schedule for Grace Kim at Oak”"."""
    count = found["schedules"]
    words = "1 schedule" if count == 1 else f"{count} schedules"
    return f"{words}, such as “{found['comment']}”" if found["comment"] else f"{words} without a comment"


class SettleForm(forms.Form):
    """One choice of a location for each number of the EHR's that no location could be matched to."""

    def __init__(self, unmatched: dict[str, dict[str, Any]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        places = LocationRecord.objects.filter(is_active=True)
        for key, found in unmatched.items():
            self.fields[f"key_{key}"] = forms.ModelChoiceField(
                places,
                required=False,
                label=f"Number {key}",
                help_text=f"{_schedules_words(found)}.",
                empty_label="Not known yet",
            )

    def clean(self) -> dict[str, Any]:
        chosen = [place for place in self.cleaned_data.values() if place]
        if len({place.pk for place in chosen}) < len(chosen):
            raise forms.ValidationError("Two numbers cannot mean the same location.")
        # An error takes its field out of the cleaned data.
        for name, place in list(self.cleaned_data.items()):
            if place and place.ehr_key and f"key_{place.ehr_key}" != name:
                self.add_error(
                    name, f"{place} already stands for number {place.ehr_key}. Change it there first."
                )
        return self.cleaned_data

    def settle(self) -> int:
        """Write the chosen numbers down; returns how many."""
        chosen = {name.removeprefix("key_"): place for name, place in self.cleaned_data.items() if place}
        for key, place in chosen.items():
            place.ehr_key = key
            place.save(update_fields=["ehr_key"])
        return len(chosen)


@admin.register(DirectorySync)
class DirectorySyncAdmin(ReadOnly):
    list_display = [
        "at",
        "clinicians",
        "licenses",
        "locations",
        "schedules",
        "retired",
        "to_settle",
        "error",
    ]
    fields = [
        "at",
        "error",
        ("clinicians", "licenses"),
        ("locations", "schedules"),
        "retired",
        "not_matched",
        "never_offered_license",
        "never_offered_specialty",
    ]
    readonly_fields = ["not_matched", "never_offered_license", "never_offered_specialty"]
    change_list_template = "admin/booking/directorysync/change_list.html"

    @admin.display(description="to settle")
    def to_settle(self, reading: DirectorySync) -> str:
        parts = [
            (len(reading.unmatched), "places"),
            (len(reading.without_license), "licenses"),
            (len(reading.without_specialty), "specialties"),
        ]
        return ", ".join(f"{words}: {count}" for count, words in parts if count) or "nothing"

    @admin.display(description="places not matched")
    def not_matched(self, reading: DirectorySync) -> str:
        return (
            "; ".join(f"number {key}: {_schedules_words(found)}" for key, found in reading.unmatched.items())
            or "none"
        )

    @admin.display(description="never offered, without a license")
    def never_offered_license(self, reading: DirectorySync) -> str:
        return ", ".join(reading.without_license) or "nobody"

    @admin.display(description="never offered, without a specialty")
    def never_offered_specialty(self, reading: DirectorySync) -> str:
        return ", ".join(reading.without_specialty) or "nobody"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.settle)
        return [path("settle/", view, name="booking_directorysync_settle"), *super().get_urls()]

    def settle(self, request: HttpRequest) -> HttpResponse:
        if not request.user.has_perm("booking.change_locationrecord"):
            raise PermissionDenied
        reading = last_reading()
        form = SettleForm(
            reading.unmatched if reading else {}, request.POST if request.method == "POST" else None
        )
        if request.method == "POST" and form.is_valid():
            messages.success(request, f"Locations settled: {form.settle()}.")
            read_now(request)
            return redirect("admin:booking_directorysync_settle")
        context = self.admin_site.each_context(request) | {
            "title": "Settle places and read the directory",
            "opts": self.opts,
            "form": form,
            "reading": reading,
        }
        return TemplateResponse(request, "admin/booking/directorysync/settle.html", context)
