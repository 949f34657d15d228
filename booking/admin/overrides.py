"""Fields that the EHR fills and the desk may set: what the EHR says beside each, and the way back to it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import mark_safe

from booking.models.overrides import EhrFilled


def words_of(value: Any) -> str:
    """A value as the EHR gave it, in words: lists by their parts, lines by slashes."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "nothing"
    return " / ".join(str(value).splitlines()) or "nothing"


class SetHereFilter(admin.SimpleListFilter):
    title = "values set here"
    parameter_name = "set_here"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Some value is set here"), ("no", "All as the EHR has it")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "yes":
            return queryset.exclude(overridden=[])
        return queryset.filter(overridden=[]) if self.value() == "no" else queryset


class OverridesAdmin(admin.ModelAdmin):
    """For a model of rows that the EHR fills."""

    actions = ["take_ehr_values"]

    def get_form(
        self, request: HttpRequest, obj: EhrFilled | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm]:
        form = super().get_form(request, obj, change, **kwargs)
        if obj is not None:
            for name in obj.EHR_FIELDS:
                if name in form.base_fields:
                    self._tell(form.base_fields[name], obj, name)
        return form

    def ehr_words(self, record: EhrFilled, name: str) -> str:
        return words_of(record.ehr_values[name])

    def _tell(self, field: forms.Field, record: EhrFilled, name: str) -> None:
        if name in record.ehr_values:
            said = format_html("The EHR says: {}", self.ehr_words(record, name))
        else:
            said = mark_safe("The EHR has said nothing of this yet.")
        if name in record.overridden:
            said = format_html("<b>Set here.</b> {}", said)
        field.help_text = format_html("{} {}", field.help_text, said) if field.help_text else said

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        # After the many-to-many fields are saved, so that they can be compared as well.
        super().save_related(request, form, formsets, change)
        record = form.instance
        changed = [name for name in record.EHR_FIELDS if name in form.changed_data]
        if changed:
            record = type(record)._default_manager.get(pk=record.pk)
            record.settle(changed)
            record.save(update_fields=["overridden"])

    @admin.display(description="set here")
    def set_here(self, record: EhrFilled) -> str:
        return ", ".join(name.replace("_", " ") for name in record.overridden)

    @admin.action(description="Take the EHR's values again, in place of all that was set here")
    def take_ehr_values(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        rows = [record for record in queryset if record.overridden]
        for record in rows:
            record.take_ehr_values()
            record.save()
        messages.success(request, f"As the EHR has it again: {len(rows)}.")
