"""Visit reasons as the desk words and codes them, and the rules for how long each takes."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Coalesce

from booking.scheduling.reasons import Searchable
from booking.scheduling.terms import Coding, DurationRule, Modality, PatientKind, VisitReason

from .directory import ClinicianRecord, Specialty

MODALITY_CHOICES = [(Modality.VIDEO, "Video"), (Modality.IN_PERSON, "In person"), (Modality.PHONE, "Phone")]
PATIENT_KIND_CHOICES = [(PatientKind.NEW, "New patient"), (PatientKind.ESTABLISHED, "Established patient")]
MINUTES = [MinValueValidator(5), MaxValueValidator(480)]


def validate_minutes(minutes: int) -> None:
    if minutes % 5:
        raise ValidationError("Use a multiple of 5 minutes.")


class ReasonQuerySet(models.QuerySet["VisitReasonRecord"]):
    def offered(self) -> ReasonQuerySet:
        """Active reasons that at least one modality and one specialty can serve."""
        return self.filter(is_active=True, modalities__isnull=False, specialties__isnull=False).distinct()

    def with_rules(self) -> ReasonQuerySet:
        return self.prefetch_related("modalities", "specialties", "rules__specialty")


class VisitReasonRecord(models.Model):
    code = models.SlugField(
        "short name", max_length=50, unique=True, help_text="Used inside the portal only."
    )
    label = models.CharField("what patients read", max_length=100, unique=True)
    synonyms = models.TextField(
        blank=True, help_text="Other words a patient might type, one per line or separated by commas."
    )
    group = models.CharField(
        max_length=60, blank=True, help_text="The heading it stands under on the first page."
    )
    is_common = models.BooleanField("show among the common reasons", default=False)
    position = models.PositiveSmallIntegerField(default=0)
    is_active = models.BooleanField("offered to patients", default=True)

    coding_system = models.CharField("code system", max_length=200, default="INTERNAL")
    coding_code = models.CharField("code in the EHR", max_length=50)
    coding_display = models.CharField("name in the EHR", max_length=200, blank=True)

    specialties = models.ManyToManyField(Specialty, related_name="reasons")
    default_minutes = models.PositiveSmallIntegerField(
        "length (minutes)", validators=[*MINUTES, validate_minutes], help_text="Used when no rule below fits."
    )
    screening_signs = models.TextField(
        blank=True,
        help_text="Signs that need emergency care, one per line. A patient who has one is told to get help now.",
    )
    prepare = models.TextField(
        "what to prepare", blank=True, help_text="Shown on the confirmation, one point per line."
    )

    objects = ReasonQuerySet.as_manager()

    class Meta:
        ordering = ["position", "label"]
        verbose_name = "visit reason"

    def __str__(self) -> str:
        return self.label

    @property
    def signs(self) -> list[str]:
        return [line.strip() for line in self.screening_signs.splitlines() if line.strip()]

    def to_searchable(self) -> Searchable:
        words = tuple(part.strip() for part in self.synonyms.replace("\n", ",").split(",") if part.strip())
        return Searchable(self.code, self.label, words)

    def to_term(self) -> VisitReason:
        return VisitReason(
            code=self.code,
            coding=Coding(self.coding_system, self.coding_code, self.coding_display),
            label=self.label,
            default_minutes=self.default_minutes,
            appointment_types={Modality(row.modality): row.to_coding() for row in self.modalities.all()},
            specialties=frozenset(specialty.code for specialty in self.specialties.all()),
            rules=tuple(rule.to_term() for rule in self.rules.all()),
        )


class ReasonModality(models.Model):
    """One way a reason can be held, and what the EHR calls such a visit."""

    reason = models.ForeignKey(VisitReasonRecord, on_delete=models.CASCADE, related_name="modalities")
    modality = models.CharField(max_length=10, choices=MODALITY_CHOICES)
    type_system = models.CharField(
        "appointment type system", max_length=200, default="http://snomed.info/sct"
    )
    type_code = models.CharField("appointment type code", max_length=50)
    type_display = models.CharField("appointment type name", max_length=200, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["reason", "modality"], name="reason_modality_unique")]
        verbose_name = "way to hold the visit"
        verbose_name_plural = "ways to hold the visit"

    def __str__(self) -> str:
        return self.get_modality_display()

    def to_coding(self) -> Coding:
        return Coding(self.type_system, self.type_code, self.type_display)


class DurationRuleRecord(models.Model):
    reason = models.ForeignKey(VisitReasonRecord, on_delete=models.CASCADE, related_name="rules")
    clinician = models.ForeignKey(ClinicianRecord, on_delete=models.CASCADE, null=True, blank=True)
    specialty = models.ForeignKey(Specialty, on_delete=models.CASCADE, null=True, blank=True)
    modality = models.CharField(max_length=10, blank=True, choices=MODALITY_CHOICES)
    patient_kind = models.CharField("patient", max_length=12, blank=True, choices=PATIENT_KIND_CHOICES)
    minutes = models.PositiveSmallIntegerField(validators=[*MINUTES, validate_minutes])

    class Meta:
        ordering = ["reason", "pk"]
        verbose_name = "duration rule"
        constraints = [
            models.UniqueConstraint(
                "reason",
                Coalesce("clinician", -1),
                Coalesce("specialty", -1),
                "modality",
                "patient_kind",
                name="duration_rule_conditions_unique",
                violation_error_message="Another rule of this reason has the same conditions. Keep one of them.",
            ),
            models.CheckConstraint(
                condition=~models.Q(clinician=None)
                | ~models.Q(specialty=None)
                | ~models.Q(modality="")
                | ~models.Q(patient_kind=""),
                name="duration_rule_narrows",
                violation_error_message="A rule needs at least one condition. Change the reason's own length instead.",
            ),
        ]

    def __str__(self) -> str:
        conditions = [
            str(self.clinician or ""),
            str(self.specialty or ""),
            self.get_modality_display() if self.modality else "",
            self.get_patient_kind_display() if self.patient_kind else "",
        ]
        return f"{', '.join(filter(None, conditions))}: {self.minutes} minutes"

    def to_term(self) -> DurationRule:
        return DurationRule(
            minutes=self.minutes,
            clinician_id=self.clinician_id,
            specialty=self.specialty.code if self.specialty else None,
            modality=Modality(self.modality) if self.modality else None,
            patient_kind=PatientKind(self.patient_kind) if self.patient_kind else None,
        )
