from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from booking.flows.sync_directory import sync_directory
from booking.management.demo_clinic import APPOINTMENT_TYPES, REASONS, SPECIALTIES, DemoReason
from booking.models import (
    DurationRuleRecord,
    ReasonModality,
    SchedulingPolicy,
    Specialty,
    User,
    VisitReasonRecord,
)
from booking.scheduling.errors import EhrFailure

ADMIN_NAME, ADMIN_PASSWORD = "admin", "demo-admin-only"


class Command(BaseCommand):
    help = "Set up the invented demo clinic. What is there already is kept as it is; never in production."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.IS_PRODUCTION:
            raise CommandError("The demo clinic is not for production. Set up reasons in the admin instead.")
        with transaction.atomic():
            SchedulingPolicy.current()
            specialties = {
                each.code: Specialty.objects.get_or_create(
                    code=each.code,
                    defaults={
                        "name": each.name,
                        "description": each.description,
                        "taxonomy_codes": each.taxonomy_codes,
                        "position": position,
                    },
                )[0]
                for position, each in enumerate(SPECIALTIES)
            }
            for position, reason in enumerate(REASONS):
                if not VisitReasonRecord.objects.filter(code=reason.code).exists():
                    _add_reason(reason, position, specialties)
            if not User.objects.filter(username=ADMIN_NAME).exists():
                User.objects.create_superuser(ADMIN_NAME, "admin@juniper.example", ADMIN_PASSWORD)
        try:
            report = sync_directory()
        except EhrFailure as error:
            raise CommandError(f"The EHR did not give its directory: {error}.") from error
        self.stdout.write(f"Demo clinic: {len(REASONS)} reasons, {report.clinicians} clinicians.")


def _add_reason(reason: DemoReason, position: int, specialties: dict[str, Specialty]) -> None:
    record = VisitReasonRecord.objects.create(
        code=reason.code,
        label=reason.label,
        synonyms=reason.synonyms,
        group=reason.group,
        is_common=reason.is_common,
        position=position,
        coding_code=reason.ehr_code,
        coding_display=reason.ehr_display,
        default_minutes=reason.minutes,
        screening_signs=reason.signs,
        prepare=reason.prepare,
    )
    record.specialties.set([specialties[code] for code in reason.specialties])
    for way in reason.ways:
        system, code, display = APPOINTMENT_TYPES[way]
        ReasonModality.objects.create(
            reason=record, modality=way, type_system=system, type_code=code, type_display=display
        )
    for conditions, minutes in reason.rules:
        DurationRuleRecord.objects.create(
            reason=record,
            minutes=minutes,
            specialty=specialties[conditions["specialty"]] if "specialty" in conditions else None,
            modality=conditions.get("modality", ""),
            patient_kind=conditions.get("patient_kind", ""),
        )
