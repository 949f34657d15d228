"""Keeping our own copies of clinicians' photos, so that a page need not send a patient's browser to the EHR's host."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q

from booking import ehr
from booking.models import ClinicianPhoto, ClinicianRecord
from booking.scheduling.errors import EhrFailure, EhrUnavailable

log = logging.getLogger(__name__)

MOST_BYTES = 300_000
FRESH_FOR = timedelta(days=7)
# One run ends well inside a task's time; what is left waits for the next.
RUN_FOR = timedelta(seconds=60)
FAILURES_IN_A_ROW = 3

_BEGINNINGS = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG\r\n\x1a\n", "image/webp": b"RIFF"}


@dataclass(slots=True)
class PhotoReport:
    kept: int = 0
    failed: int = 0
    removed: int = 0


def keep_photos(*, clock: Callable[[], datetime]) -> PhotoReport:
    """Fetch the photos whose address changed or whose copy is a week old, and drop those nobody has any more.

    A photo that cannot be had leaves the copy we have, and is tried again at the next run.
    """
    report = PhotoReport()
    report.removed = ClinicianPhoto.objects.filter(clinician__photo_url="").delete()[0]
    started_at, in_a_row = clock(), 0
    due = (
        ClinicianRecord.objects.filter(is_active=True)
        .exclude(photo_url="")
        .filter(
            Q(photo=None)
            | Q(photo__fetched_at__lt=started_at - FRESH_FOR)
            | ~Q(photo__source_url=F("photo_url"))
        )
        .order_by(F("photo__fetched_at").asc(nulls_first=True), "pk")
    )
    for clinician, url in due.values_list("pk", "photo_url"):
        if clock() - started_at > RUN_FOR or in_a_row == FAILURES_IN_A_ROW:
            break
        try:
            content_type, data = ehr.gateway().photo(url)
        except EhrFailure as error:
            # Neither the address nor the clinician: a log is read by more people than the directory.
            log.info("a photo could not be fetched: %s (status %s)", error, error.status)
            report.failed += 1
            in_a_row = in_a_row + 1 if isinstance(error, EhrUnavailable) else 0
            continue
        in_a_row = 0
        if not is_photo(content_type, data):
            report.failed += 1
            continue
        ClinicianPhoto.objects.update_or_create(
            clinician_id=clinician,
            defaults={
                "sha256": hashlib.sha256(data).hexdigest(),
                "content_type": content_type,
                "data": data,
                "fetched_at": clock(),
                "source_url": url,
            },
        )
        report.kept += 1
    return report


def is_photo(content_type: str, data: bytes) -> bool:
    """Whether the bytes begin as their type does, and are no more than we keep. It is served as it is, to patients."""
    beginning = _BEGINNINGS.get(content_type)
    if beginning is None or not data.startswith(beginning) or len(data) > MOST_BYTES:
        return False
    return content_type != "image/webp" or data[8:12] == b"WEBP"
