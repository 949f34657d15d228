from __future__ import annotations

import logging
import textwrap
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from booking.flows.examine_ehr import Level, examine_ehr

MARKS = {Level.OK: "ok     ", Level.WARNING: "warning", Level.ERROR: "error  "}


class Command(BaseCommand):
    help = (
        "Talk to the configured EHR and report what works, what does not and what to do. Nothing is written. "
        "Exit code 0: bookings can be made. 1: they cannot. With --strict, 1 for a warning too."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--strict", action="store_true", help="fail on warnings too")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verbosity"] < 2:
            # A line for every call to the EHR would bury the report.
            logging.getLogger("booking.fhir").setLevel(logging.ERROR)
        report = examine_ehr(now=timezone.now())
        width = max(len(finding.topic) for finding in report.findings)
        for finding in report.findings:
            indent = " " * (len(MARKS[finding.level]) + width + 4)
            head = f"{MARKS[finding.level]}  {finding.topic.ljust(width)}  "
            self.stdout.write(
                textwrap.fill(finding.words, 110, initial_indent=head, subsequent_indent=indent)
            )
            if finding.remedy:
                self.stdout.write(
                    textwrap.fill(
                        f"To do: {finding.remedy}", 110, initial_indent=indent, subsequent_indent=indent
                    )
                )
        counts = {level: sum(each.level is level for each in report.findings) for level in Level}
        self.stdout.write(f"\nErrors: {counts[Level.ERROR]}. Warnings: {counts[Level.WARNING]}.")
        failing = {Level.ERROR, Level.WARNING} if options["strict"] else {Level.ERROR}
        if report.worst() in failing:
            raise CommandError("The EHR is not ready for bookings; see what to do above.")
