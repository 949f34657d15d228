"""Interstate compacts as dated data that the desk keeps, and what clinicians hold under them.

``load_compacts`` brings in the list that comes with the portal; what the desk changed is marked and left alone.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cached_property

from django.core.exceptions import ValidationError
from django.db import models

from booking.scheduling.compacts import Compact, CompactMember, CompactMode
from booking.scheduling.professions import PROFESSIONS
from booking.scheduling.terms import CompactCredential

from .directory import JURISDICTION_CHOICES, ClinicianRecord, modalities_of, words_in

# Members join and begin to issue several times a year.
SOURCE_LASTS = timedelta(days=180)

MODE_CHOICES = [
    (CompactMode.LICENSE.value, "Full licenses, one for each state"),
    (CompactMode.PRIVILEGE.value, "A privilege for each state"),
    (CompactMode.AUTHORITY.value, "One authority or license, good in every member"),
]


def validate_professions(text: str) -> None:
    unknown = [code for code in words_in(text) if code not in PROFESSIONS]
    if unknown or not words_in(text):
        raise ValidationError(f"Use codes out of {', '.join(PROFESSIONS)}, separated by commas.")


class CompactRecord(models.Model):
    code = models.SlugField("short name", max_length=30, unique=True)
    name = models.CharField(max_length=60, unique=True, help_text="Patients read it, as in “(PSYPACT)”.")
    mode = models.CharField("what it gives", max_length=10, choices=MODE_CHOICES)
    professions = models.CharField(max_length=100, validators=[validate_professions])
    by_video = models.BooleanField("covers visits by video", default=True)
    in_person = models.BooleanField("covers visits in person", default=True)
    by_phone = models.BooleanField("covers visits by phone", default=True)
    home_is_residence = models.BooleanField(
        "ends when the clinician moves",
        default=True,
        help_text="What it gives stands on the license of the state the clinician lives in.",
    )
    as_of = models.DateField(
        "list published on",
        null=True,
        blank=True,
        help_text="Members marked as in force or issuing without a date count as such from this day on.",
    )
    source = models.TextField(blank=True, help_text="The publication that the list of members is from.")
    notes = models.TextField(blank=True)
    is_set_here = models.BooleanField("changed here", default=False, editable=False)

    class Meta:
        ordering = ["name"]
        verbose_name = "interstate compact"

    def __str__(self) -> str:
        return self.name

    def is_stale(self, today: date) -> bool:
        return self.as_of is None or today - self.as_of > SOURCE_LASTS

    @cached_property
    def term(self) -> Compact:
        return Compact(
            code=self.code,
            name=self.name,
            mode=CompactMode(self.mode),
            professions=frozenset(words_in(self.professions)),
            modalities=modalities_of(self),
            home_is_residence=self.home_is_residence,
            as_of=self.as_of,
            members=tuple(member.to_term() for member in self.members.all()),
        )


class CompactMemberRecord(models.Model):
    compact = models.ForeignKey(CompactRecord, on_delete=models.CASCADE, related_name="members")
    jurisdiction = models.CharField("state", max_length=2, choices=JURISDICTION_CHOICES)
    enacted_on = models.DateField(null=True, blank=True)
    effective_on = models.DateField("in force from", null=True, blank=True)
    is_in_force = models.BooleanField("in force, day not known", default=False)
    issuing_from = models.DateField(null=True, blank=True)
    is_issuing = models.BooleanField("issuing, day not known", default=False)
    left_on = models.DateField(
        null=True, blank=True, help_text="The first day on which it is no longer a member."
    )
    note = models.CharField(max_length=200, blank=True)
    is_set_here = models.BooleanField("changed here", default=False, editable=False)

    class Meta:
        ordering = ["compact", "jurisdiction"]
        verbose_name = "member"
        constraints = [
            models.UniqueConstraint(fields=["compact", "jurisdiction"], name="compact_member_once"),
        ]

    def __str__(self) -> str:
        return self.get_jurisdiction_display()

    def to_term(self) -> CompactMember:
        return CompactMember(
            jurisdiction=self.jurisdiction,
            effective_on=self.effective_on,
            is_in_force=self.is_in_force,
            issuing_from=self.issuing_from,
            is_issuing=self.is_issuing,
            left_on=self.left_on,
        )


class CompactCredentialRecord(models.Model):
    clinician = models.ForeignKey(
        ClinicianRecord, on_delete=models.CASCADE, related_name="compact_credentials"
    )
    compact = models.ForeignKey(CompactRecord, on_delete=models.PROTECT, related_name="credentials")
    home_jurisdiction = models.CharField(
        "home state",
        max_length=2,
        choices=JURISDICTION_CHOICES,
        help_text="The state whose license it was granted on.",
    )
    jurisdiction = models.CharField(
        "for the state",
        max_length=2,
        blank=True,
        choices=JURISDICTION_CHOICES,
        help_text="Only for a privilege. An authority is good in every member.",
    )
    number = models.CharField(max_length=50, blank=True)
    starts_on = models.DateField(null=True, blank=True)
    ends_on = models.DateField(null=True, blank=True, help_text="The last day on which it is in force.")

    class Meta:
        ordering = ["compact", "jurisdiction", "ends_on"]
        verbose_name = "compact credential"

    def __str__(self) -> str:
        return f"{self.compact} {self.jurisdiction} {self.number}".replace("  ", " ").strip()

    def clean(self) -> None:
        try:
            compact = self.compact
        except CompactRecord.DoesNotExist:
            return  # the field itself says that one has to be chosen
        mode = CompactMode(compact.mode)
        if mode is CompactMode.LICENSE:
            raise ValidationError(
                {"compact": f"{compact} gives ordinary licenses. Add each under licenses instead."}
            )
        if mode is CompactMode.PRIVILEGE and not self.jurisdiction:
            raise ValidationError({"jurisdiction": "Say which state granted the privilege."})
        if self.starts_on and self.ends_on and self.ends_on < self.starts_on:
            raise ValidationError({"ends_on": "It cannot end before it begins."})

    def to_term(self) -> CompactCredential:
        return CompactCredential(
            compact=self.compact.code,
            home=self.home_jurisdiction,
            jurisdiction=self.jurisdiction,
            number=self.number,
            starts_on=self.starts_on,
            ends_on=self.ends_on,
        )
