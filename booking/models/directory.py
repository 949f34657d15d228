"""Clinicians, licenses, locations and schedules, cached from the EHR with the desk's own settings beside them.

Fields the EHR fills are rewritten by ``sync_directory`` unless the desk set them (see ``overrides``); those the
desk owns are never touched by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Prefetch

from booking.scheduling.clock import is_zone
from booking.scheduling.compacts import with_compacts
from booking.scheduling.jurisdictions import JURISDICTIONS
from booking.scheduling.professions import PROFESSIONS
from booking.scheduling.terms import Clinician, License, Modality, Schedule

from .overrides import EhrFilled

if TYPE_CHECKING:
    from .reasons import VisitReasonRecord


def validate_zone(name: str) -> None:
    if not is_zone(name):
        raise ValidationError(f"“{name}” is not a time zone. Use a name such as America/Chicago.")


def words_in(text: str) -> tuple[str, ...]:
    """The parts of a text whose parts stand on lines of their own or between commas."""
    return tuple(part.strip() for part in text.replace("\n", ",").split(",") if part.strip())


class _OfferedWays(Protocol):
    by_video: bool
    in_person: bool
    by_phone: bool


def modalities_of(record: _OfferedWays) -> frozenset[Modality]:
    offered = {
        Modality.VIDEO: record.by_video,
        Modality.IN_PERSON: record.in_person,
        Modality.PHONE: record.by_phone,
    }
    return frozenset(modality for modality, is_offered in offered.items() if is_offered)


JURISDICTION_CHOICES = [(place.code, place.name) for place in JURISDICTIONS.values()]


class Specialty(models.Model):
    code = models.SlugField(max_length=50, unique=True)
    name = models.CharField(max_length=100)
    description = models.CharField(
        max_length=200, blank=True, help_text="In a patient's words, such as “Rashes, moles, acne”."
    )
    taxonomy_codes = models.CharField(
        max_length=500,
        blank=True,
        help_text="NUCC taxonomy codes, separated by commas. A clinician who has one of them has this specialty.",
    )
    role_codes = models.CharField(
        max_length=200,
        blank=True,
        help_text="Staff roles of the EHR that mean this specialty, such as LCSW; for clinicians whose taxonomy it lacks.",
    )
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "name"]
        verbose_name_plural = "specialties"

    def __str__(self) -> str:
        return self.name

    @property
    def taxonomies(self) -> frozenset[str]:
        return frozenset(words_in(self.taxonomy_codes))

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(words_in(self.role_codes))


class LocationRecord(EhrFilled):
    EHR_FIELDS = ("name", "address", "jurisdiction", "time_zone")

    ehr_ref = models.CharField("EHR reference", max_length=100, unique=True)
    ehr_key = models.CharField(
        "key in schedule ids",
        max_length=40,
        blank=True,
        help_text="Set this when the EHR names the location by a number in its schedules that could not be matched. "
        "The last reading of the directory lists such numbers.",
    )
    name = models.CharField(max_length=200)
    address = models.TextField(blank=True)
    jurisdiction = models.CharField("state", max_length=2, blank=True, choices=JURISDICTION_CHOICES)
    time_zone = models.CharField(
        max_length=50, validators=[validate_zone], help_text="Such as America/Chicago."
    )
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]
        verbose_name = "location"

    def __str__(self) -> str:
        return self.name


class ClinicianQuerySet(models.QuerySet["ClinicianRecord"]):
    def bookable(self) -> ClinicianQuerySet:
        return self.filter(is_active=True, is_bookable=True)

    def with_directory(self) -> ClinicianQuerySet:
        """Everything ``to_term`` reads, in a fixed number of queries."""
        live = ScheduleRecord.objects.filter(is_active=True, location__is_active=True).select_related(
            "location"
        )
        return self.prefetch_related(
            "licenses",
            "compact_credentials__compact__members",
            "specialties",
            "declined_reasons",
            Prefetch("schedules", queryset=live, to_attr="live_schedules"),
        )


class ClinicianRecord(EhrFilled):
    EHR_FIELDS = ("name", "family_name", "credentials", "languages", "photo_url", "specialties")

    ehr_ref = models.CharField("EHR reference", max_length=100, unique=True)
    name = models.CharField(max_length=200)
    family_name = models.CharField(max_length=100, blank=True)
    credentials = models.CharField(max_length=50, blank=True)
    photo_url = models.URLField("address of a photo", blank=True, max_length=500)
    languages = models.CharField(max_length=200, blank=True)
    ehr_room_url = models.URLField("video room in the EHR", blank=True, max_length=500)
    is_active = models.BooleanField("in the EHR", default=True)
    specialties = models.ManyToManyField(Specialty, blank=True, related_name="clinicians")

    is_bookable = models.BooleanField("can be booked online", default=True)
    room_url = models.URLField(
        "video room",
        blank=True,
        max_length=500,
        help_text="Used instead of the EHR's. Leave empty to keep that one.",
    )
    by_video = models.BooleanField("sees patients by video", default=True)
    in_person = models.BooleanField("sees patients in person", default=True)
    by_phone = models.BooleanField("sees patients by phone", default=True)
    accepts_new_patients = models.BooleanField(default=True)
    profession = models.CharField(
        max_length=20,
        blank=True,
        choices=list(PROFESSIONS.items()),
        help_text="Read off the credentials where they name one. Compacts are for certain professions only.",
    )
    home_jurisdiction = models.CharField(
        "home state",
        max_length=2,
        blank=True,
        choices=JURISDICTION_CHOICES,
        help_text="Where the clinician lives. What most compacts give stands on the license of this state.",
    )
    declined_reasons: models.ManyToManyField[VisitReasonRecord, VisitReasonRecord] = models.ManyToManyField(
        "VisitReasonRecord",
        blank=True,
        help_text="Reasons this clinician does not take, whatever their specialty.",
    )

    objects = ClinicianQuerySet.as_manager()
    live_schedules: list[ScheduleRecord]

    class Meta:
        ordering = ["family_name", "name"]
        verbose_name = "clinician"

    def __str__(self) -> str:
        return self.name

    @property
    def full_name(self) -> str:
        """ "Grace Kim, MD"."""
        return f"{self.name}, {self.credentials}" if self.credentials else self.name

    @property
    def fixed_room_url(self) -> str:
        return self.room_url or self.ehr_room_url

    def current(self, name: str) -> Any:
        """Specialties are told by their codes."""
        if name == "specialties":
            return sorted(specialty.code for specialty in self.specialties.all())
        return super().current(name)

    def put(self, name: str, value: Any) -> None:
        if name == "specialties":
            self.specialties.set(Specialty.objects.filter(code__in=value))
        else:
            super().put(name, value)

    def to_own_term(self) -> Clinician:
        """With their own licenses only; what their compact credentials grant is still to be added."""
        return Clinician(
            id=self.pk,
            ref=self.ehr_ref,
            name=self.full_name,
            profession=self.profession,
            home=self.home_jurisdiction,
            licenses=tuple(record.to_term() for record in self.licenses.all()),
            credentials=tuple(record.to_term() for record in self.compact_credentials.all()),
            specialties=frozenset(specialty.code for specialty in self.specialties.all()),
            modalities=modalities_of(self),
            declined_reasons=frozenset(reason.code for reason in self.declined_reasons.all()),
            accepts_new_patients=self.accepts_new_patients,
            schedules=tuple(record.to_term() for record in self.live_schedules),
        )

    def to_term(self) -> Clinician:
        """With what compacts grant among the licenses."""
        compacts = {each.compact.code: each.compact.term for each in self.compact_credentials.all()}
        return with_compacts(self.to_own_term(), compacts)


class LicenseRecord(models.Model):
    class Source(models.TextChoices):
        EHR = "ehr", "EHR"
        DESK = "desk", "Entered here"

    clinician = models.ForeignKey(ClinicianRecord, on_delete=models.CASCADE, related_name="licenses")
    jurisdiction = models.CharField("state", max_length=2, choices=JURISDICTION_CHOICES)
    number = models.CharField(max_length=50, blank=True)
    starts_on = models.DateField(null=True, blank=True)
    ends_on = models.DateField(null=True, blank=True, help_text="The last day on which it is in force.")
    source = models.CharField(max_length=4, choices=Source.choices, default=Source.EHR, editable=False)

    class Meta:
        ordering = ["jurisdiction", "ends_on"]
        verbose_name = "license"

    def __str__(self) -> str:
        return f"{self.jurisdiction} {self.number}".strip()

    def to_term(self) -> License:
        return License(self.jurisdiction, self.number, self.starts_on, self.ends_on)


class ScheduleRecord(EhrFilled):
    EHR_FIELDS = ("location_id",)

    ehr_ref = models.CharField("EHR reference", max_length=200, unique=True)
    clinician = models.ForeignKey(ClinicianRecord, on_delete=models.CASCADE, related_name="schedules")
    location = models.ForeignKey(LocationRecord, on_delete=models.CASCADE, related_name="schedules")
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["clinician", "location"]
        verbose_name = "schedule"

    def __str__(self) -> str:
        return f"{self.clinician} at {self.location}"

    def to_term(self) -> Schedule:
        return Schedule(
            id=self.pk,
            ref=self.ehr_ref,
            location_id=self.location_id,
            location_ref=self.location.ehr_ref,
            location_name=self.location.name,
            location_jurisdiction=self.location.jurisdiction,
            zone=self.location.time_zone,
        )
