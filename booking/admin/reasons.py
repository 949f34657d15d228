"""Visit reasons: their words, their codes, and how long they take, with the winning rule in sight."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Count, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from booking.models import ClinicianRecord, DurationRuleRecord, ReasonModality, Specialty, VisitReasonRecord
from booking.scheduling.durations import VisitCase, winning_rule
from booking.scheduling.terms import DurationRule, Modality, PatientKind

KIND_WORDS = {PatientKind.NEW: "New", PatientKind.ESTABLISHED: "Established"}
MODALITY_LABELS = {Modality.VIDEO: "Video", Modality.IN_PERSON: "In person", Modality.PHONE: "Phone"}


class ReasonModalityFormSet(BaseInlineFormSet):
    def clean(self) -> None:
        super().clean()
        kept = [
            form
            for form in self.forms
            if form.cleaned_data.get("modality") and not form.cleaned_data.get("DELETE")
        ]
        if not any(self.errors) and not kept:
            raise ValidationError(
                "Give at least one way to hold the visit, or patients cannot choose this reason."
            )


class DurationRuleFormSet(BaseInlineFormSet):
    """Refuses rules that contradict one another, and rules that could never apply."""

    def clean(self) -> None:
        super().clean()
        offered = self._offered_modalities()
        specialties: set[Specialty] = getattr(self.instance, "chosen_specialties", set())
        seen: dict[tuple[Any, ...], forms.ModelForm] = {}
        for form in self.forms:
            rule = form.cleaned_data
            if not rule or rule.get("DELETE") or form.errors:
                continue
            conditions = tuple(
                rule.get(name) or None for name in ("clinician", "specialty", "modality", "patient_kind")
            )
            if not any(conditions):
                form.add_error(
                    None, "A rule needs at least one condition. Change the reason's own length instead."
                )
            if conditions in seen:
                other = seen[conditions].cleaned_data["minutes"]
                form.add_error(
                    "minutes",
                    f"This contradicts another rule: the same conditions give {other} minutes there. Keep one of them.",
                )
            seen[conditions] = form
            self._check_can_apply(form, rule, offered, specialties)

    def _check_can_apply(
        self, form: forms.ModelForm, rule: dict[str, Any], offered: set[str], specialties: set[Specialty]
    ) -> None:
        clinician, specialty = rule.get("clinician"), rule.get("specialty")
        if rule.get("modality") and rule["modality"] not in offered:
            form.add_error("modality", "This reason is not held this way, so the rule could never apply.")
        if specialty and specialty not in specialties:
            form.add_error(
                "specialty", "This reason does not belong to that specialty, so the rule could never apply."
            )
        if clinician is None:
            return
        theirs = set(clinician.specialties.all())
        if not theirs & specialties:
            form.add_error("clinician", f"{clinician} has none of this reason's specialties.")
        elif specialty and specialty not in theirs:
            form.add_error("specialty", f"{clinician} does not have that specialty.")
        if self.instance.pk and clinician.declined_reasons.filter(pk=self.instance.pk).exists():
            form.add_error("clinician", f"{clinician} does not take this reason.")
        if rule.get("patient_kind") == PatientKind.NEW and not clinician.accepts_new_patients:
            form.add_error("patient_kind", f"{clinician} does not take new patients.")

    def _offered_modalities(self) -> set[str]:
        """The ways to hold the visit that stand in the same submission."""
        total = int(self.data.get("modalities-TOTAL_FORMS") or 0)
        return {
            self.data.get(f"modalities-{n}-modality", "")
            for n in range(total)
            if not self.data.get(f"modalities-{n}-DELETE")
        }


class ReasonModalityInline(admin.TabularInline):
    model = ReasonModality
    formset = ReasonModalityFormSet
    extra = 0
    max_num = 3


class DurationRuleInline(admin.TabularInline):
    model = DurationRuleRecord
    formset = DurationRuleFormSet
    extra = 0
    fields = ["clinician", "specialty", "modality", "patient_kind", "minutes"]
    autocomplete_fields = ["clinician"]
    verbose_name_plural = (
        "duration rules (the most specific wins: clinician, then specialty, then way to hold the visit, "
        "then new or established)"
    )


@admin.register(VisitReasonRecord)
class VisitReasonAdmin(admin.ModelAdmin):
    list_display = [
        "label",
        "ways",
        "length",
        "taken_by",
        "clinicians",
        "coding_code",
        "is_common",
        "is_active",
    ]
    list_filter = ["is_active", "is_common", "specialties", "modalities__modality"]
    search_fields = ["label", "synonyms", "coding_code", "code"]
    prepopulated_fields = {"code": ["label"]}
    filter_horizontal = ["specialties"]
    readonly_fields = ["winning_rules"]
    inlines = [ReasonModalityInline, DurationRuleInline]
    save_on_top = True
    formfield_overrides = {models.TextField: {"widget": forms.Textarea(attrs={"rows": 3, "cols": 70})}}
    fieldsets = [
        (
            "What patients read",
            {"fields": ["label", "code", "synonyms", ("group", "position"), ("is_common", "is_active")]},
        ),
        ("In the EHR", {"fields": ["coding_system", "coding_code", "coding_display"]}),
        ("Who takes it, and for how long", {"fields": ["specialties", "default_minutes", "winning_rules"]}),
        ("Before and after booking", {"fields": ["screening_signs", "prepare"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[VisitReasonRecord]:
        related = ["modalities", "specialties", "rules__clinician", "rules__specialty"]
        return super().get_queryset(request).prefetch_related(*related)

    def save_form(self, request: HttpRequest, form: forms.ModelForm, change: bool) -> Any:
        reason = super().save_form(request, form, change)
        # The rules below are checked against the specialties of this very submission.
        reason.chosen_specialties = set(form.cleaned_data.get("specialties", ()))
        return reason

    @admin.display(description="held by")
    def ways(self, reason: VisitReasonRecord) -> str:
        return ", ".join(str(row) for row in reason.modalities.all()) or "nothing yet"

    @admin.display(description="minutes", ordering="default_minutes")
    def length(self, reason: VisitReasonRecord) -> str:
        lengths = sorted({reason.default_minutes, *(rule.minutes for rule in reason.rules.all())})
        return " / ".join(map(str, lengths))

    @admin.display(description="specialties")
    def taken_by(self, reason: VisitReasonRecord) -> str:
        return ", ".join(specialty.name for specialty in reason.specialties.all()) or "nobody yet"

    @admin.display(description="clinicians")
    def clinicians(self, reason: VisitReasonRecord) -> int:
        people = ClinicianRecord.objects.bookable().filter(specialties__in=reason.specialties.all())
        return people.exclude(declined_reasons=reason).aggregate(count=Count("pk", distinct=True))["count"]

    @admin.display(description="Which rule wins")
    def winning_rules(self, reason: VisitReasonRecord) -> SafeString | str:
        """Every case the saved rules tell apart, the minutes it gets and the rule that says so."""
        if reason._state.adding:
            return "Save the reason first; then every case and the rule that decides it are listed here."
        rows = list(_cases(reason))
        body = format_html_join(
            "", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td><b>{}</b></td><td>{}</td></tr>", rows
        )
        return format_html(
            '<div class="module"><table><caption>As saved</caption><thead><tr><th scope="col">Clinician</th>'
            '<th scope="col">Specialty</th><th scope="col">Held by</th><th scope="col">Patient</th>'
            '<th scope="col">Minutes</th><th scope="col">Decided by</th></tr></thead><tbody>{}</tbody></table></div>',
            body,
        )


def _cases(reason: VisitReasonRecord) -> Iterable[tuple[str, str, str, str, int, str]]:
    term = reason.to_term()
    names: dict[DurationRule, str] = {rule.to_term(): str(rule) for rule in reason.rules.all()}
    named = {rule.clinician for rule in reason.rules.all() if rule.clinician}
    kinds = list(PatientKind) if any(rule.patient_kind for rule in term.rules) else [None]
    for clinician in [None, *sorted(named, key=str)]:
        theirs = set(clinician.specialties.all()) if clinician else None
        for specialty in reason.specialties.all():
            if theirs is not None and specialty not in theirs:
                continue
            for modality in term.appointment_types:
                for kind in kinds:
                    case = VisitCase(
                        clinician.pk if clinician else -1, frozenset({specialty.code}), modality, kind
                    )
                    rule = winning_rule(term.rules, case)
                    yield (
                        str(clinician) if clinician else "Anyone else" if named else "Anyone",
                        specialty.name,
                        MODALITY_LABELS[modality],
                        KIND_WORDS[kind] if kind else "Any",
                        rule.minutes if rule else term.default_minutes,
                        names[rule] if rule else "the reason's own length",
                    )
