"""The desk keeps compacts and what clinicians hold under them, and sees where somebody may see patients."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from booking.models import ClinicianRecord, CompactCredentialRecord, CompactRecord, User
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("desk", "desk@example.com"))
    return client


@pytest.fixture
def psypact() -> CompactRecord:
    return factories.compact(members=["TX", "CO"])


def page_of(desk: Client, record: Any) -> str:
    name = f"admin:booking_{record._meta.model_name}_change"
    return desk.get(reverse(name, args=[record.pk])).content.decode()


def posted(compact: CompactRecord, **changes: Any) -> dict[str, Any]:
    members = list(compact.members.all())
    data: dict[str, Any] = {
        "name": compact.name,
        "code": compact.code,
        "mode": compact.mode,
        "professions": compact.professions,
        "by_video": "on",
        "by_phone": "on",
        "home_is_residence": "on",
        "as_of": compact.as_of.isoformat() if compact.as_of else "",
        "source": compact.source,
        "notes": compact.notes,
        "members-TOTAL_FORMS": len(members),
        "members-INITIAL_FORMS": len(members),
    }
    for n, member in enumerate(members):
        data |= {
            f"members-{n}-id": member.pk,
            f"members-{n}-compact": compact.pk,
            f"members-{n}-jurisdiction": member.jurisdiction,
            f"members-{n}-effective_on": "2020-07-01",
            f"members-{n}-issuing_from": "2020-07-01",
        }
    return data | changes


def test_list_says_how_many_are_members_and_how_many_issue(desk: Client, psypact: CompactRecord) -> None:
    psypact.members.filter(jurisdiction="CO").update(issuing_from=None)
    page = desk.get(reverse("admin:booking_compactrecord_changelist")).content.decode()
    assert "2, of which 1 issuing" in page


@pytest.mark.parametrize(("days", "is_warned"), [(180, False), (181, True), (None, True)])
def test_an_old_list_is_warned_about(
    days: int | None, is_warned: bool, desk: Client, psypact: CompactRecord
) -> None:
    psypact.as_of = timezone.localdate() - timedelta(days=days) if days is not None else None
    psypact.save()
    assert ("Look at the compact&#x27;s own site" in page_of(desk, psypact)) is is_warned


def test_what_the_desk_changes_is_marked_and_nothing_else_is(desk: Client, psypact: CompactRecord) -> None:
    url = reverse("admin:booking_compactrecord_change", args=[psypact.pk])
    assert desk.post(url, posted(psypact)).status_code == 302
    psypact.refresh_from_db()
    assert [psypact.is_set_here, *(each.is_set_here for each in psypact.members.all())] == [False] * 3
    assert desk.post(url, posted(psypact, **{"members-0-left_on": "2026-12-31"})).status_code == 302
    psypact.refresh_from_db()
    marks = {each.jurisdiction: each.is_set_here for each in psypact.members.all()}
    assert (psypact.is_set_here, marks) == (False, {"CO": True, "TX": False})
    assert "Changed here" in page_of(desk, psypact)


def test_a_profession_nobody_knows_is_refused(desk: Client, psypact: CompactRecord) -> None:
    url = reverse("admin:booking_compactrecord_change", args=[psypact.pk])
    response = desk.post(url, posted(psypact, professions="PSYCHOLOGIST, WIZARD"))
    assert "Use codes out of" in response.content.decode()


def test_clinician_page_says_where_they_may_see_patients_and_on_what(
    desk: Client, psypact: CompactRecord
) -> None:
    who = factories.clinician(states=["TX"], profession="PSYCHOLOGIST", home_jurisdiction="TX")
    factories.compact_credential(who, compact=psypact, ends_on=date(2027, 6, 30))
    page = page_of(desk, who)
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", page)
    assert rows == [
        ("License", "no dates given", "TX"),
        (
            f"{psypact.name} authority 12345, home state TX",
            "from Jul 1, 2020 through Jun 30, 2027; phone or video",
            "CO",
        ),
    ]


def test_compact_of_full_licenses_cannot_be_chosen_for_a_clinician(
    desk: Client, psypact: CompactRecord
) -> None:
    factories.compact("imlc", mode="license", professions="MD, DO")
    who = factories.clinician()
    choices = re.search(
        r'name="compact_credentials-__prefix__-compact".*?</select>', page_of(desk, who), re.S
    )
    assert choices is not None
    assert psypact.name in choices[0]
    assert "IMLC of the test" not in choices[0]


@pytest.mark.parametrize(
    ("mode", "fields", "said"),
    [
        ("privilege", {}, "Say which state granted the privilege."),
        ("license", {}, "gives ordinary licenses"),
        (
            "authority",
            {"starts_on": date(2026, 2, 1), "ends_on": date(2026, 1, 1)},
            "It cannot end before it begins.",
        ),
    ],
)
def test_credential_that_could_grant_nothing_is_refused(mode: str, fields: dict[str, Any], said: str) -> None:
    who: ClinicianRecord = factories.clinician()
    compact = factories.compact("other", mode=mode)
    held = CompactCredentialRecord(clinician=who, compact=compact, home_jurisdiction="TX", **fields)
    with pytest.raises(Exception, match=said):
        held.full_clean()


def test_booking_shows_what_it_stood_on(desk: Client) -> None:
    made = factories.booking(license_basis="PSYPACT authority 12345, home state TX")
    assert "PSYPACT authority 12345, home state TX" in page_of(desk, made)
