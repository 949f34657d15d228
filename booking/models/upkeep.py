"""What upkeep leaves behind: a record of each reading of the directory, copies of clinicians' photos, beat's last tick."""

from __future__ import annotations

from django.db import models
from django.urls import reverse
from django.utils import timezone

from .directory import ClinicianRecord


class DirectorySync(models.Model):
    """One reading of the EHR's directory. ``unmatched`` has, by the EHR's number of a place, how many schedules
    name it and the comment of one of them."""

    at = models.DateTimeField(default=timezone.now)
    clinicians = models.PositiveIntegerField(default=0)
    licenses = models.PositiveIntegerField(default=0)
    locations = models.PositiveIntegerField(default=0)
    schedules = models.PositiveIntegerField(default=0)
    retired = models.PositiveIntegerField(default=0)
    unmatched = models.JSONField("places not matched", default=dict)
    without_license = models.JSONField("clinicians without a license", default=list)
    without_specialty = models.JSONField("clinicians without a specialty", default=list)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-at"]
        verbose_name = "reading of the directory"
        verbose_name_plural = "readings of the directory"

    def __str__(self) -> str:
        return f"Reading of {self.at:%Y-%m-%d %H:%M} UTC"


class ClinicianPhoto(models.Model):
    """Kept here because a photo shown from the EHR's host would tell that host who looks at whom."""

    clinician = models.OneToOneField(ClinicianRecord, on_delete=models.CASCADE, related_name="photo")
    sha256 = models.CharField(max_length=64)
    content_type = models.CharField(max_length=20)
    data = models.BinaryField()
    fetched_at = models.DateTimeField()
    source_url = models.URLField(max_length=500)

    class Meta:
        verbose_name = "photo"

    def __str__(self) -> str:
        return f"Photo of {self.clinician}"

    def get_absolute_url(self) -> str:
        return reverse("clinician_photo", args=[self.clinician_id, self.sha256])


class Heartbeat(models.Model):
    """When something that must go on was last seen to."""

    name = models.CharField(max_length=20, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} at {self.at:%H:%M:%S} UTC"
