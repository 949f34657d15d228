from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from booking.flows.keep_photos import keep_photos
from booking.flows.sync_directory import sync_directory
from booking.scheduling.errors import EhrFailure


class Command(BaseCommand):
    help = "Read clinicians, licenses, locations, schedules and photos from the EHR."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = sync_directory()
        except EhrFailure as error:
            raise CommandError(
                f"The EHR did not give its directory: {error}. Nothing was changed."
            ) from error
        self.stdout.write(
            f"{report.clinicians} clinicians, {report.licenses} licenses, {report.locations} locations, "
            f"{report.schedules} schedules; retired {report.retired}."
        )
        for ref in report.unmatched_schedules:
            self.stdout.write(
                f"No location for schedule {ref}: set its number as the key of a location in the admin."
            )
        for name in report.without_license:
            self.stdout.write(f"No license that can be read: {name} is never offered.")
        for name in report.without_specialty:
            self.stdout.write(f"No specialty: {name} is never offered.")
        for sentence in report.overrides:
            self.stdout.write(f"Set here, and not taken from the EHR: {sentence}.")
        photos = keep_photos(clock=timezone.now)
        if photos.kept or photos.failed or photos.removed:
            self.stdout.write(
                f"{photos.kept} photos fetched, {photos.failed} could not be, {photos.removed} removed."
            )
