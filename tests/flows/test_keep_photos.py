"""Our copies of clinicians' photos: fetched when they must be, and only what is a photo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from booking import ehr
from booking.flows import keep_photos as photos
from booking.flows.keep_photos import MOST_BYTES, is_photo, keep_photos
from booking.models import ClinicianPhoto, ClinicianRecord
from booking.scheduling.errors import EhrFailure, EhrRejected, EhrUnavailable
from tests import factories

pytestmark = pytest.mark.django_db

JPEG, PNG = b"\xff\xd8\xff\xe0 a face", b"\x89PNG\r\n\x1a\n a face"
WEBP = b"RIFF\x10\x00\x00\x00WEBPVP8 "
NOW = datetime(2026, 6, 10, 12, tzinfo=UTC)


@dataclass
class Host:
    """What the EHR has under each address, and which were asked for."""

    has: dict[str, tuple[str, bytes] | EhrFailure] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def photo(self, url: str) -> tuple[str, bytes]:
        self.asked.append(url)
        found = self.has.get(url) or EhrRejected("no such photo", status=404)
        if isinstance(found, EhrFailure):
            raise found
        return found


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    fake = Host()
    monkeypatch.setattr(ehr, "gateway", lambda: fake)
    return fake


def someone(host: Host, name: str = "grace", data: bytes = JPEG, kind: str = "image/jpeg") -> ClinicianRecord:
    url = f"https://ehr.example/{name}"
    host.has[url] = (kind, data)
    return factories.clinician(photo_url=url)


def run(days: float = 0) -> photos.PhotoReport:
    return keep_photos(clock=lambda: NOW + timedelta(days=days))


def test_a_photo_is_fetched_once_and_again_after_a_week(host: Host) -> None:
    who = someone(host)
    assert (run().kept, run(6.9).kept, len(host.asked)) == (1, 0, 1)
    assert bytes(who.photo.data) == JPEG
    assert run(7.1).kept == 1


def test_a_photo_is_fetched_when_its_address_changes(host: Host) -> None:
    who = someone(host)
    run()
    before = ClinicianPhoto.objects.get().sha256
    who.photo_url = "https://ehr.example/new"
    who.save()
    host.has[who.photo_url] = ("image/png", PNG)
    run(0.1)
    photo = ClinicianPhoto.objects.get()
    assert (photo.content_type, bytes(photo.data), photo.source_url) == ("image/png", PNG, who.photo_url)
    assert photo.sha256 != before


def test_who_has_no_photo_any_more_is_shown_without(host: Host) -> None:
    someone(host)
    run()
    ClinicianRecord.objects.update(photo_url="")
    assert (run(0.1).removed, ClinicianPhoto.objects.count()) == (1, 0)


def test_who_is_not_in_the_ehr_is_not_fetched(host: Host) -> None:
    someone(host)
    ClinicianRecord.objects.update(is_active=False)
    assert (run().kept, host.asked) == (0, [])


def test_a_copy_outlives_a_host_that_fails(host: Host) -> None:
    who = someone(host)
    run()
    host.has[who.photo_url] = EhrUnavailable("no answer")
    assert run(8).failed == 1
    assert ClinicianPhoto.objects.get().fetched_at == NOW


def test_one_photo_that_cannot_be_had_does_not_keep_the_others(host: Host) -> None:
    first = someone(host, "a")
    someone(host, "b")
    host.has[first.photo_url] = EhrRejected("gone", status=404)
    report = run()
    assert (report.kept, report.failed) == (1, 1)


def test_a_host_that_is_away_is_left_alone(host: Host) -> None:
    for name in "abcde":
        host.has[someone(host, name).photo_url] = EhrUnavailable("no answer")
    assert (run().failed, len(host.asked)) == (3, 3)


def test_a_run_ends_in_time_and_goes_on_at_the_next(host: Host) -> None:
    for name in "abc":
        someone(host, name)

    def slow() -> Iterator[datetime]:
        at = NOW
        while True:
            yield at
            at += timedelta(seconds=25)

    ticks = slow()
    assert keep_photos(clock=lambda: next(ticks)).kept < 3
    run(0.1)
    assert ClinicianPhoto.objects.count() == 3


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        pytest.param("image/jpeg", JPEG, True, id="jpeg"),
        pytest.param("image/png", PNG, True, id="png"),
        pytest.param("image/webp", WEBP, True, id="webp"),
        pytest.param("image/jpeg", JPEG.ljust(MOST_BYTES, b"x"), True, id="just-small-enough"),
        pytest.param("image/jpeg", JPEG.ljust(MOST_BYTES + 1, b"x"), False, id="too-large"),
        pytest.param(
            "image/svg+xml", b"<svg onload='alert(1)'/>", False, id="a-drawing-that-can-run-scripts"
        ),
        pytest.param("text/html", b"<script>", False, id="a-page"),
        pytest.param("image/jpeg", b"<script>alert(1)</script>", False, id="a-page-that-says-it-is-a-photo"),
        pytest.param("image/png", JPEG, False, id="another-kind-than-it-says"),
        pytest.param("image/webp", b"RIFF\x10\x00\x00\x00WAVEfmt ", False, id="a-sound"),
        pytest.param("image/jpeg", b"", False, id="nothing"),
    ],
)
def test_only_what_begins_as_its_kind_does_is_kept(
    kind: str, data: bytes, expected: bool, host: Host
) -> None:
    assert is_photo(kind, data) is expected
    someone(host, data=data, kind=kind)
    report = run()
    assert (report.kept, report.failed) == ((1, 0) if expected else (0, 1))
    assert ClinicianPhoto.objects.exists() is expected
