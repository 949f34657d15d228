"""Accounts, and the people visits are for."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.contrib.auth.models import AbstractUser
from django.db import models

from booking.scheduling.terms import PatientDetails

if TYPE_CHECKING:
    from .bookings import Booking


class User(AbstractUser):
    """A patient who chose to have an account, or a member of staff. Guests have none."""

    mobile = models.CharField(max_length=20, blank=True)
    mobile_is_verified = models.BooleanField(default=False)

    class Meta(AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["mobile"],
                condition=models.Q(mobile_is_verified=True) & ~models.Q(mobile=""),
                name="user_verified_mobile_unique",
            )
        ]


class Sex(models.TextChoices):
    """FHIR administrative-gender, which every EHR asks for."""

    FEMALE = "female", "Female"
    MALE = "male", "Male"
    OTHER = "other", "Another"
    UNKNOWN = "unknown", "I'd rather not say"


class PatientRecord(models.Model):
    """One person as they told us who they are. ``id`` is our identifier for them in the EHR."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, blank=True, related_name="patients")
    given_name = models.CharField(max_length=100)
    family_name = models.CharField(max_length=100)
    birth_date = models.DateField()
    sex = models.CharField(max_length=10, choices=Sex.choices)
    email = models.EmailField(blank=True)
    mobile = models.CharField(max_length=20, blank=True)
    ehr_patient_ref = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    bookings: models.Manager[Booking]

    class Meta:
        verbose_name = "patient"

    def __str__(self) -> str:
        return f"{self.given_name} {self.family_name}"

    def to_term(self, *, verified_channel: str, verified_value: str, zone: str) -> PatientDetails:
        return PatientDetails(
            identifier=self.id,
            given=self.given_name,
            family=self.family_name,
            birth_date=self.birth_date,
            sex=self.sex,
            email=self.email,
            mobile=self.mobile,
            email_is_verified=verified_channel == "email" and verified_value == self.email,
            mobile_is_verified=verified_channel == "mobile" and verified_value == self.mobile,
            zone=zone,
        )
