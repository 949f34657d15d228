from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from booking.flows.unknown_visits import unknown_visits
from booking.models import SchedulingPolicy
from booking.scheduling.errors import EhrFailure


class Command(BaseCommand):
    help = (
        "After a restore from a backup: list the visits to come that patients booked here and this database does not "
        "know. Nothing is written. Exit code 0: there are none. 1: there are, or the EHR did not say."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--days", type=int, help="how far ahead to look; else as far as patients can book, and a day"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["days"]
        if days is None:
            days = SchedulingPolicy.current().horizon_days + 1
        if not 1 <= days <= 1000:
            raise CommandError("--days is a number from 1 to 1000.")
        now, found = timezone.now().replace(microsecond=0), 0
        try:
            for visit in unknown_visits(starts_from=now, starts_before=now + timedelta(days=days)):
                found += 1
                at = visit.starts_at.strftime("%Y-%m-%d %H:%M UTC")
                self.stdout.write(
                    f"{at}  {visit.clinician}  {visit.ref} ({visit.status})  booking {visit.booking_id}"
                )
        except EhrFailure as error:
            raise CommandError(
                f"The EHR did not answer for every clinician: {error}. The list is not complete; run this again."
            ) from error
        if found:
            raise CommandError(
                f"Visits that are in the EHR and not known here: {found}. Their patients' links lead nowhere, and changes of "
                "staff are not told to them: write to those patients from the EHR."
            )
        self.stdout.write(f"Every visit of the next {days} days that was booked here is known here.")
