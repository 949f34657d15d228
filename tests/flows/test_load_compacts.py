"""The list of compacts that comes with the portal: it makes sense, and never undoes what the desk set."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command

from booking.flows.load_compacts import LIST, load_compacts
from booking.models import CompactMemberRecord, CompactRecord
from booking.scheduling.jurisdictions import JURISDICTIONS

pytestmark = pytest.mark.django_db

TOLD = json.loads(LIST.read_text())["compacts"]


@pytest.fixture(autouse=True)
def no_compacts() -> None:
    """What the migration brought in is taken out, so that each test says what is there."""
    CompactRecord.objects.all().delete()


@pytest.fixture
def two_members(tmp_path: Path) -> Path:
    path = tmp_path / "compacts.json"
    write(path, {"jurisdiction": "CO", "issuing_from": "2020-07-01"}, {"jurisdiction": "TX"})
    return path


def write(path: Path, *members: dict[str, object], **more: object) -> None:
    usual = {"code": "psypact", "name": "PSYPACT", "mode": "authority", "professions": "PSYCHOLOGIST"}
    path.write_text(json.dumps({"compacts": [usual | {"as_of": "2026-01-01", "members": members} | more]}))


def test_the_list_that_comes_with_the_portal_is_taken_whole() -> None:
    load_compacts()
    assert {each.code for each in CompactRecord.objects.all()} == {each["code"] for each in TOLD}
    assert CompactMemberRecord.objects.count() == sum(len(each["members"]) for each in TOLD)
    assert load_compacts() == []


@pytest.mark.parametrize("told", TOLD, ids=lambda told: told["code"])
def test_each_compact_of_it_is_sourced_and_dated_and_says_nothing_impossible(told: dict) -> None:
    assert told["source"]
    as_of = date.fromisoformat(told["as_of"])
    places = [member["jurisdiction"] for member in told["members"]]
    assert len(set(places)) == len(places)
    assert set(places) <= set(JURISDICTIONS)
    for member in told["members"]:
        dates = {name: date.fromisoformat(member[name]) for name in member if name.endswith(("_on", "_from"))}
        assert dates.get("enacted_on", date.min) <= dates.get("effective_on", date.max), member
        assert dates.get("effective_on", date.min) <= dates.get("issuing_from", date.max), member
        # Later days are those announced when the list was published.
        assert all(each <= as_of + timedelta(days=366) for each in dates.values()), member
        is_issuing = "issuing_from" in member or member.get("is_issuing")
        assert is_issuing or "is_in_force" not in member, member


def test_states_that_joined_on_paper_only_are_not_issuing() -> None:
    load_compacts()
    term = {each.code: each.term for each in CompactRecord.objects.prefetch_related("members")}
    serving = {
        code: {m.jurisdiction for m in compact.members if m.issuing_from or m.is_issuing}
        for code, compact in term.items()
    }
    assert serving["counseling"] == {"AZ", "MN", "OH"}
    assert serving["pa"] == set()
    assert {"MA", "GU", "VI"} & serving["nlc"] == set()
    assert {"CA", "NY", "MA", "HI", "MT"} & serving["psypact"] == set()


def test_what_changed_is_said_and_written(two_members: Path) -> None:
    load_compacts(two_members)
    write(two_members, {"jurisdiction": "TX", "issuing_from": "2021-01-01"}, as_of="2026-02-01")
    assert load_compacts(two_members) == [
        "PSYPACT: list published on 2026-01-01, now 2026-02-01.",
        "PSYPACT: Texas: issuing from not known, now 2021-01-01.",
        "PSYPACT: Colorado is not in the list any more and was taken out.",
    ]
    assert [str(each) for each in CompactMemberRecord.objects.all()] == ["Texas"]


def test_what_the_desk_set_stays_and_is_said(two_members: Path) -> None:
    load_compacts(two_members)
    CompactMemberRecord.objects.update(issuing_from=date(2026, 3, 1), is_set_here=True)
    CompactRecord.objects.update(as_of=date(2026, 3, 1), is_set_here=True)
    write(two_members, {"jurisdiction": "TX", "issuing_from": "2021-01-01"})
    assert load_compacts(two_members) == [
        "PSYPACT is kept as it was set here. The list differs in: list published on.",
        "PSYPACT: Texas is kept as it was set here. The list differs in: issuing from.",
        "PSYPACT: Colorado is not in the list, and is kept as it was set here.",
    ]
    days = set(CompactMemberRecord.objects.values_list("issuing_from", flat=True))
    assert (days, CompactRecord.objects.get().as_of) == ({date(2026, 3, 1)}, date(2026, 3, 1))


def test_a_list_that_makes_no_sense_changes_nothing(two_members: Path) -> None:
    load_compacts(two_members)
    write(two_members, {"jurisdiction": "ZZ"}, as_of="2026-02-01")
    with pytest.raises(ValidationError):
        load_compacts(two_members)
    assert (CompactRecord.objects.get().as_of, CompactMemberRecord.objects.count()) == (date(2026, 1, 1), 2)


def test_the_command_says_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("load_compacts")
    assert "PSYPACT added." in capsys.readouterr().out
    call_command("load_compacts")
    assert capsys.readouterr().out == "The compacts are as the list has them.\n"
