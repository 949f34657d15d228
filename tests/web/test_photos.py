"""Clinicians' photos come from the portal itself, and the page of times says on what leave a clinician stands."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from django.test import Client

from booking.messaging.words import license_words
from booking.models import ClinicianPhoto, ClinicianRecord
from tests import factories

pytestmark = pytest.mark.django_db

JPEG = b"\xff\xd8\xff\xe0 a face"


@pytest.fixture
def photo() -> ClinicianPhoto:
    return ClinicianPhoto.objects.create(
        clinician=factories.clinician(),
        sha256=hashlib.sha256(JPEG).hexdigest(),
        content_type="image/jpeg",
        data=JPEG,
        fetched_at=datetime(2026, 6, 10, tzinfo=UTC),
        source_url="https://ehr.example/grace",
    )


def test_photo_is_served_to_be_kept_and_as_what_it_is(photo: ClinicianPhoto) -> None:
    response = Client().get(photo.get_absolute_url())
    assert (response.status_code, response.content) == (200, JPEG)
    assert response.headers["Content-Type"] == "image/jpeg"
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers.get("Set-Cookie") is None


def test_address_of_other_bytes_or_of_nobody_in_the_ehr_has_none(photo: ClinicianPhoto) -> None:
    url = photo.get_absolute_url()
    for gone in (
        url[:-1] + ("0" if url[-1] != "0" else "1"),
        f"/clinicians/{photo.clinician_id + 1}/photo/{photo.sha256}",
    ):
        response = Client().get(gone)
        assert (response.status_code, response.headers["Cache-Control"]) == (404, "no-store")
    ClinicianRecord.objects.update(is_active=False)
    assert Client().get(url).status_code == 404


def test_photo_is_only_read(photo: ClinicianPhoto) -> None:
    assert Client().post(photo.get_absolute_url()).status_code == 405


@pytest.mark.parametrize(
    ("compact", "words"),
    [("", "Licensed in Colorado"), ("PSYPACT", "May see patients in Colorado (PSYPACT)")],
)
def test_leave_to_see_patients_in_plain_words(compact: str, words: str) -> None:
    assert license_words("CO", compact) == words
