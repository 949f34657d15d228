"""The desk edits reasons and their duration rules, sees which rule wins, and cannot save a contradiction."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from booking.models import (
    ClinicianRecord,
    DurationRuleRecord,
    ReasonModality,
    Specialty,
    User,
    VisitReasonRecord,
)

pytestmark = pytest.mark.django_db

SNOMED = "http://snomed.info/sct"


@pytest.fixture
def skin() -> Specialty:
    return Specialty.objects.create(code="skin", name="Skin care", taxonomy_codes="207N00000X")


@pytest.fixture
def heart() -> Specialty:
    return Specialty.objects.create(code="heart", name="Heart care", taxonomy_codes="207RC0000X")


@pytest.fixture
def cole(skin: Specialty) -> ClinicianRecord:
    clinician = ClinicianRecord.objects.create(
        ehr_ref="Practitioner/cole", name="Ida Cole", family_name="Cole"
    )
    clinician.specialties.add(skin)
    return clinician


@pytest.fixture
def rash(skin: Specialty) -> VisitReasonRecord:
    reason = VisitReasonRecord.objects.create(
        code="rash", label="Rash", coding_code="RASH", default_minutes=20
    )
    reason.specialties.add(skin)
    ReasonModality.objects.create(reason=reason, modality="video", type_code="448337001")
    return reason


@pytest.fixture
def desk() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("desk", "desk@example.com"))
    return client


def submission(reason: VisitReasonRecord, rules: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    """What the change form posts, with these duration rules as its new rows."""
    ways = list(reason.modalities.all())
    data: dict[str, Any] = {
        "label": reason.label,
        "code": reason.code,
        "synonyms": "",
        "group": "",
        "position": "0",
        "is_active": "on",
        "coding_system": "INTERNAL",
        "coding_code": reason.coding_code,
        "coding_display": "",
        "specialties": [each.pk for each in reason.specialties.all()],
        "default_minutes": "20",
        "screening_signs": "",
        "prepare": "",
        "modalities-TOTAL_FORMS": str(len(ways)),
        "modalities-INITIAL_FORMS": str(len(ways)),
        "rules-TOTAL_FORMS": str(len(rules)),
        "rules-INITIAL_FORMS": "0",
    }
    for n, way in enumerate(ways):
        data |= {
            f"modalities-{n}-id": way.pk,
            f"modalities-{n}-reason": reason.pk,
            f"modalities-{n}-modality": way.modality,
            f"modalities-{n}-type_system": SNOMED,
            f"modalities-{n}-type_code": way.type_code,
        }
    for n, rule in enumerate(rules):
        data |= {f"rules-{n}-reason": reason.pk}
        data |= {f"rules-{n}-{name}": value for name, value in rule.items()}
    return data | changes


def save(desk: Client, reason: VisitReasonRecord, rules: list[dict[str, Any]], **changes: Any) -> Any:
    return desk.post(
        reverse("admin:booking_visitreasonrecord_change", args=[reason.pk]),
        submission(reason, rules, **changes),
    )


def errors(response: Any) -> list[str]:
    """The words in the page's error lists, the summary at its top left out."""
    lists = re.findall(r'<ul class="errorlist[^"]*"[^>]*>(.*?)</ul>', response.content.decode(), re.DOTALL)
    return [re.sub(r"<[^>]+>", "", each).replace("&#x27;", "'").strip() for each in lists]


def test_rules_that_agree_are_saved(desk: Client, rash: VisitReasonRecord, cole: ClinicianRecord) -> None:
    response = save(
        desk,
        rash,
        [
            {"modality": "video", "minutes": 30},
            {"clinician": cole.pk, "minutes": 40},
            {"patient_kind": "new", "minutes": 45},
        ],
    )
    assert response.status_code == 302
    assert sorted(DurationRuleRecord.objects.values_list("minutes", flat=True)) == [30, 40, 45]


def test_contradiction_is_not_saved(desk: Client, rash: VisitReasonRecord) -> None:
    response = save(desk, rash, [{"modality": "video", "minutes": 30}, {"modality": "video", "minutes": 40}])
    assert errors(response) == [
        "This contradicts another rule: the same conditions give 30 minutes there. Keep one of them."
    ]
    assert DurationRuleRecord.objects.count() == 0


def test_contradiction_with_a_saved_rule_is_not_saved(desk: Client, rash: VisitReasonRecord) -> None:
    saved = DurationRuleRecord.objects.create(reason=rash, patient_kind="new", minutes=30)
    response = save(
        desk,
        rash,
        [
            {"id": saved.pk, "patient_kind": "new", "minutes": 30},
            {"patient_kind": "new", "minutes": 35},
        ],
        **{"rules-INITIAL_FORMS": "1"},
    )
    assert len(errors(response)) == 1
    assert list(DurationRuleRecord.objects.values_list("minutes", flat=True)) == [30]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        pytest.param(
            {"minutes": 30},
            "A rule needs at least one condition. Change the reason's own length instead.",
            id="no condition",
        ),
        pytest.param(
            {"modality": "in_person", "minutes": 30},
            "This reason is not held this way, so the rule could never apply.",
            id="a way the reason is not held",
        ),
        pytest.param(
            {"modality": "video", "minutes": 33}, "Use a multiple of 5 minutes.", id="not a multiple of five"
        ),
        pytest.param(
            {"modality": "video", "minutes": 0},
            "Ensure this value is greater than or equal to 5.",
            id="no time at all",
        ),
    ],
)
def test_rule_that_could_never_apply_is_not_saved(
    rule: dict[str, Any], said: str, desk: Client, rash: VisitReasonRecord
) -> None:
    assert said in errors(save(desk, rash, [rule]))
    assert DurationRuleRecord.objects.count() == 0


def test_rule_for_a_specialty_the_reason_lost_in_the_same_save_is_refused(
    desk: Client, rash: VisitReasonRecord, skin: Specialty, heart: Specialty
) -> None:
    rule = {"specialty": skin.pk, "minutes": 30}
    response = save(desk, rash, [rule], specialties=[heart.pk])
    assert errors(response) == [
        "This reason does not belong to that specialty, so the rule could never apply."
    ]
    assert save(desk, rash, [rule], specialties=[heart.pk, skin.pk]).status_code == 302


def test_rule_for_a_clinician_who_cannot_take_the_reason_is_refused(
    desk: Client, rash: VisitReasonRecord, cole: ClinicianRecord, heart: Specialty
) -> None:
    cole.specialties.set([heart])
    assert errors(save(desk, rash, [{"clinician": cole.pk, "minutes": 30}])) == [
        "Ida Cole has none of this reason's specialties."
    ]
    cole.specialties.set(rash.specialties.all())
    cole.declined_reasons.add(rash)
    assert errors(save(desk, rash, [{"clinician": cole.pk, "minutes": 30}])) == [
        "Ida Cole does not take this reason."
    ]


def test_reason_without_a_way_to_hold_it_is_refused(desk: Client, rash: VisitReasonRecord) -> None:
    response = save(desk, rash, [], **{"modalities-0-DELETE": "on"})
    assert errors(response) == [
        "Give at least one way to hold the visit, or patients cannot choose this reason."
    ]


def test_page_shows_every_case_and_the_rule_that_wins_it(
    desk: Client, rash: VisitReasonRecord, cole: ClinicianRecord
) -> None:
    DurationRuleRecord.objects.create(reason=rash, modality="video", minutes=30)
    DurationRuleRecord.objects.create(reason=rash, clinician=cole, patient_kind="new", minutes=50)
    page = desk.get(reverse("admin:booking_visitreasonrecord_change", args=[rash.pk])).content.decode()
    table = page.split("As saved", 1)[1].split("</table>")[0]
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(<td>.*?)</tr>", table)]
    assert [[re.sub("<.*?>", "", cell) for cell in row] for row in rows] == [
        ["Anyone else", "Skin care", "Video", "New", "30", "Video: 30 minutes"],
        ["Anyone else", "Skin care", "Video", "Established", "30", "Video: 30 minutes"],
        ["Ida Cole", "Skin care", "Video", "New", "50", "Ida Cole, New patient: 50 minutes"],
        ["Ida Cole", "Skin care", "Video", "Established", "30", "Video: 30 minutes"],
    ]


def test_database_itself_refuses_two_rules_with_the_same_conditions(rash: VisitReasonRecord) -> None:
    from django.db import IntegrityError, transaction

    DurationRuleRecord.objects.create(reason=rash, modality="video", minutes=30)
    with pytest.raises(IntegrityError), transaction.atomic():
        DurationRuleRecord.objects.create(reason=rash, modality="video", minutes=40)


def test_list_finds_a_reason_by_a_patients_word(desk: Client, rash: VisitReasonRecord) -> None:
    rash.synonyms = "hives, poison ivy"
    rash.save()
    VisitReasonRecord.objects.create(code="other", label="Other", coding_code="X", default_minutes=20)
    page = desk.get(reverse("admin:booking_visitreasonrecord_changelist"), {"q": "ivy"}).content.decode()
    assert re.findall(r'<th class="field-label"><a[^>]*>(.*?)</a>', page) == ["Rash"]
