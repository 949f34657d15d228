"""The page of times, answered from the board: few queries, no call, nothing sent twice, and the week as well as the day."""

from __future__ import annotations

import re
import time
from array import array
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from booking import board, ehr
from booking.board.readings import Reading, monday_of, week_of
from booking.board.shared import ask
from booking.flows import clinic_rules, kept_times
from booking.models import Booking, BookingEvent, ClinicianRecord, ScheduleRecord, VisitReasonRecord
from booking.scheduling.clock import day_bounds, local_day
from booking.scheduling.lifecycle import BookingState
from booking.scheduling.terms import Modality
from booking.web import times_views
from booking.web.draft import Draft
from booking.web.finished import Finished
from tests import factories
from tests.rig.redis import Redis

pytestmark = pytest.mark.django_db

PACIFIC = "America/Los_Angeles"
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')
SLOT = re.compile(r'name="slot" value="(\d+)\.(\d+)\.video"')
MINUTES = 30
HOURS = range(9, 17)


@dataclass
class Grid:
    """A clinic whose every clinician is free on the hour from nine to four, Monday to Friday; and a visitor before it."""

    client: Client
    monday: date

    def get(self, *, is_part: bool = False, tag: str = "", trigger: str = "", **asked: object):
        headers = {"HX-Request": "true"} if is_part else {}
        headers |= {"If-None-Match": tag} if tag else {}
        headers |= {"HX-Trigger": trigger} if trigger else {}
        values = {"day": self.monday.isoformat(), **asked}
        return self.client.get("/book/times/", values, headers=headers)

    def slots(self, **asked: object) -> list[tuple[int, int]]:
        found = SLOT.findall(self.get(**asked).content.decode())
        return [(int(schedule), int(start)) for schedule, start in found]


def starts_on(day: date) -> list[int]:
    midnight = int(day_bounds(day, PACIFIC)[0].timestamp())
    return [midnight + 3600 * hour for hour in HOURS]


def fill_board(weeks: range, *, read_at: float | None = None, most: int | None = None) -> None:
    """With the times of everybody, or of so many."""
    kind = clinic_rules.current().terms["back"].appointment_types[Modality.VIDEO]
    entries = {}
    for ref in ScheduleRecord.objects.order_by("pk").values_list("ehr_ref", flat=True)[:most]:
        line = board.Line(ref, PACIFIC, MINUTES, kind)
        for week in weeks:
            days = [monday_of(week) + timedelta(days=n) for n in range(5)]
            starts = array("I", [start for day in days for start in starts_on(day)])
            entries[f"{line.key}:{week}"] = Reading(read_at or time.time(), 0.0, starts).to_bytes()
    ask(lambda store: store.put(entries, 900))


@pytest.fixture
def calls() -> list[int]:
    """One for every request that went out to the EHR."""
    found: list[int] = []
    ehr.count_calls_with(lambda: found.append(1))
    return found


@pytest.fixture
def make_grid(settings, redis_server: Redis):
    settings.REDIS_URL = redis_server.url(4)
    settings.EHR_BASE_URL = settings.EHR_TOKEN_URL = "http://127.0.0.1:9"
    redis_server.flush()

    def make(clinicians: int) -> Grid:
        place = factories.location(time_zone=PACIFIC)
        reason = factories.reason()
        factories.policy()
        for number in range(clinicians):
            factories.clinician(name=f"Clinician {number:02}", schedules=[(f"Schedule/grid-{number}", place)])
        board.forget()
        kept_times.forget()
        monday = monday_of(week_of(datetime.now(UTC).date()) + 1)
        fill_board(range(week_of(monday) - 2, week_of(monday) + 6))
        answers = Draft(
            reason=reason.code, is_screened=True, jurisdiction="CA", zone=PACIFIC, specialty="family"
        )
        return Grid(factories.client(draft=asdict(answers)), monday)

    yield make
    settings.REDIS_URL = ""
    board.forget()
    kept_times.forget()


@pytest.mark.parametrize("clinicians", [1, 45])
def test_a_page_takes_few_queries_and_no_call_whatever_the_number_of_clinicians(make_grid, calls, clinicians):
    grid = make_grid(clinicians)
    counted = []
    for is_part in (False, True):
        for _ in ("cold", "warm"):
            with CaptureQueriesContext(connection) as queries:
                response = grid.get(is_part=is_part)
            assert response.status_code == 200
            counted.append(len(queries))
        board.forget()
        kept_times.forget()
    # The session, what stands, and, when it is cold, what is claimed.
    assert (counted, calls) == ([3, 2, 3, 2], [])


def test_twenty_clinicians_a_page_and_everybody_on_one_of_them(make_grid):
    grid = make_grid(45)
    pages = [grid.slots(page=page) for page in (1, 2, 3)]
    assert [len({schedule for schedule, _ in page}) for page in pages] == [20, 20, 5]
    soonest = 3 if grid.monday <= datetime.now(UTC).date() + timedelta(days=6) else 0
    everybody = {slot for page in pages for slot in page}
    expected = {
        (schedule, start)
        for schedule in ScheduleRecord.objects.values_list("pk", flat=True)
        for start in starts_on(grid.monday)
    }
    assert expected <= everybody
    assert len(everybody - expected) <= soonest
    body = grid.get(page=2).content.decode()
    assert "Clinicians 21 to 40 of 45" in body
    assert "Show the previous 20 clinicians" in body
    assert "Show the next 5 clinicians" in body
    assert grid.slots(page=99) == pages[2]


def test_the_week_shows_every_time_of_its_days(make_grid):
    grid = make_grid(2)
    found = set(grid.slots(view="week", is_part=True))
    days = sorted({local_day(datetime.fromtimestamp(start, UTC), PACIFIC) for _, start in found})
    today = local_day(datetime.now(UTC), PACIFIC)
    first_on = today + timedelta(days=(grid.monday - today).days // 7 * 7)
    week = [first_on + timedelta(days=n) for n in range(7)]
    soonest = datetime.now(UTC).timestamp() + 7200
    assert set(days) <= set(week)
    assert found == {
        (schedule, start)
        for schedule in ScheduleRecord.objects.values_list("pk", flat=True)
        for day in week
        if day.weekday() < 5
        for start in starts_on(day)
        if start >= soonest
    }


def test_what_has_not_changed_is_not_sent_again(make_grid, calls):
    grid = make_grid(3)
    first = grid.get(is_part=True)
    again = grid.get(is_part=True, tag=first["ETag"], trigger="look")
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert again["HX-Trigger"] == '{"checked": {"words": "Checked just now"}}'
    # Weak, since two answers of one tag differ in their tokens; a browser may send it as it likes.
    assert first["ETag"].startswith('W/"')
    assert grid.get(is_part=True, tag=first["ETag"].removeprefix("W/")).status_code == 304
    # Older, and still the same times.
    fill_board(range(week_of(grid.monday) - 2, week_of(grid.monday) + 6), read_at=time.time() - 50)
    time.sleep(kept_times.VIEW_SECONDS)
    older = grid.get(is_part=True, tag=first["ETag"])
    assert (older.status_code, older["HX-Trigger"]) == (304, '{"checked": {"words": "Checked 1 minute ago"}}')
    # Another day is another page; a whole page is never answered so, since its scripts' nonce is new.
    tuesday = (grid.monday + timedelta(days=1)).isoformat()
    assert grid.get(is_part=True, tag=first["ETag"], day=tuesday).status_code == 200
    assert grid.get(tag=first["ETag"]).status_code == 200
    assert "ETag" not in grid.get()
    assert calls == []


def claim(schedule: ScheduleRecord, start: int) -> Booking:
    """A hold of somebody else's, told of as ``hold_slot`` does."""
    at = datetime.fromtimestamp(start, UTC)
    booking = factories.booking(
        clinician=schedule.clinician,
        schedule=schedule,
        starts_at=at,
        ends_at=at + timedelta(minutes=MINUTES),
        state=BookingState.HELD,
        hold_expires_at=datetime.now(UTC) + timedelta(minutes=10),
    )
    BookingEvent.objects.create(booking=booking, new_state=BookingState.HELD, actor="patient")
    return booking


def test_a_time_taken_here_is_gone_at_once_and_back_when_it_is_given_back(make_grid):
    grid = make_grid(3)
    first = grid.get(is_part=True)
    schedule = ScheduleRecord.objects.order_by("pk").first()
    start = starts_on(grid.monday)[3]
    assert (schedule.pk, start) in grid.slots()
    booking = claim(schedule, start)
    taken = grid.get(is_part=True, tag=first["ETag"], trigger="look")
    assert (taken.status_code, (schedule.pk, start) in grid.slots()) == (200, False)
    booking.move(BookingState.RELEASED, actor="patient")
    assert (schedule.pk, start) in grid.slots()


def test_a_hold_that_ends_by_itself_gives_its_time_back(make_grid):
    grid = make_grid(1)
    schedule = ScheduleRecord.objects.get()
    start = starts_on(grid.monday)[3]
    booking = claim(schedule, start)
    ends_at = datetime.now(UTC) + timedelta(seconds=4)
    Booking.objects.filter(pk=booking.pk).update(hold_expires_at=ends_at)
    kept_times.forget()
    assert (schedule.pk, start) not in grid.slots()
    time.sleep((ends_at - datetime.now(UTC)).total_seconds() + 0.1)
    assert (schedule.pk, start) in grid.slots()


def own(response) -> tuple[list[str], list[str], str]:
    """Tokens and nonces in a page, and the nonce that its header permits."""
    body = response.content.decode()
    permitted = re.search(r"'nonce-([^']+)'", response["Content-Security-Policy"])
    return TOKEN.findall(body), re.findall(r'nonce="([^"]+)"', body), permitted[1] if permitted else ""


def test_a_page_made_for_one_visitor_has_nothing_of_theirs_for_the_next(make_grid, client, django_user_model):
    grid = make_grid(3)
    first = grid.get()
    tokens, nonces, permitted = own(first)
    assert (len(set(tokens)), set(nonces)) == (1, {permitted})

    member = django_user_model.objects.create_user(
        "member@example.com", "member@example.com", "a-long-secret"
    )
    other = Client(enforce_csrf_checks=True)
    other.force_login(member)
    session = other.session
    session["draft"] = grid.client.session["draft"]
    session.save()
    signed_in = Grid(other, grid.monday).get()
    assert ("Sign out" in signed_in.content.decode(), "Sign out" in first.content.decode()) == (True, False)

    # The same answers in a third browser, and the kept page: all as it was, but for what is its own.
    third = Client(enforce_csrf_checks=True)
    session = third.session
    session["draft"] = grid.client.session["draft"]
    session.save()
    kept = Grid(third, grid.monday).get()
    own_tokens, own_nonces, own_permitted = own(kept)
    assert set(own_nonces) == {own_permitted}
    assert own_permitted != permitted
    assert not set(own_tokens) & set(tokens)
    assert TOKEN.sub("", kept.content.decode()).replace(own_permitted, "") == TOKEN.sub(
        "", first.content.decode()
    ).replace(permitted, "")
    # A token of the page is good with its browser's cookie, and with no other's.
    slot = {"slot": "nonsense"}
    assert third.post("/book/times/", {**slot, "csrfmiddlewaretoken": own_tokens[0]}).status_code == 302
    assert third.post("/book/times/", {**slot, "csrfmiddlewaretoken": tokens[0]}).status_code == 403
    # What is said once, here that nonsense was chosen, is for this visitor, and for them once.
    said = [
        Grid(each, grid.monday).get().content.decode().count('id="notice"') for each in (third, other, third)
    ]
    assert said == [1, 0, 0]


@pytest.mark.parametrize("is_part", [False, True], ids=["page", "part"])
def test_new_times_in_a_kept_frame_are_the_page_that_is_made_without_it(make_grid, monkeypatch, is_part):
    grid = make_grid(3)
    first = grid.get(is_part=is_part)
    schedule, start = ScheduleRecord.objects.order_by("pk").first(), starts_on(grid.monday)[3]
    claim(schedule, start)
    other = Client(enforce_csrf_checks=True)
    session = other.session
    session["draft"] = grid.client.session["draft"]
    session.save()
    framed = Grid(other, grid.monday).get(is_part=is_part)
    monkeypatch.setattr(times_views, "_frames", Finished())
    monkeypatch.setattr(times_views, "_finished", Finished())
    bare = grid.get(is_part=is_part)

    def common(response) -> str:
        _, nonces, permitted = own(response)
        assert set(nonces) == (set() if is_part else {permitted})
        return TOKEN.sub("", response.content.decode()).replace(permitted, "")

    assert common(framed) == common(bare) != common(first)
    slot = f'value="{schedule.pk}.{start}.video"'
    assert (slot in common(first), slot in common(framed)) == (True, False)
    assert not set(own(framed)[0]) & {*own(first)[0], *own(bare)[0]}


def test_a_change_of_the_rules_is_in_no_kept_frame(make_grid):
    grid = make_grid(2)
    assert "Follow-up" not in grid.get().content.decode()
    VisitReasonRecord.objects.update(label="Follow-up, renamed")
    assert "Follow-up, renamed" in grid.get().content.decode()


def test_a_change_of_the_rules_is_shown_at_once(make_grid):
    grid = make_grid(3)
    assert len({schedule for schedule, _ in grid.slots()}) == 3
    ClinicianRecord.objects.filter(name="Clinician 00").update(is_bookable=False)
    assert len({schedule for schedule, _ in grid.slots()}) == 2
    ClinicianRecord.objects.get(name="Clinician 01").licenses.all().delete()
    assert len({schedule for schedule, _ in grid.slots()}) == 1


def test_grid_of_a_clinician_whose_name_is_markup_is_text(make_grid):
    grid = make_grid(1)
    ClinicianRecord.objects.update(name='<script>alert(1)</script>"', credentials="")
    body = grid.get().content.decode()
    assert "<script>alert" not in body
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;" in body


def test_old_times_are_shown_with_their_age_while_the_ehr_is_away(make_grid, settings):
    grid = make_grid(2)
    before = grid.slots()
    fill_board(range(week_of(grid.monday) - 2, week_of(grid.monday) + 6), read_at=time.time() - 300)
    ends = time.monotonic() + 10
    while "not answering" not in (body := grid.get().content.decode()):
        assert time.monotonic() < ends
        time.sleep(0.1)
    assert "These times are from 5 minutes ago" in body
    assert grid.slots() == before


@pytest.mark.parametrize(
    "asked", [{"page": "x"}, {"page": "-1"}, {"view": "year"}, {"page": "9" * 40}, {"day": "x"}]
)
def test_nonsense_in_the_address_counts_as_not_asked(make_grid, asked):
    grid = make_grid(1)
    assert grid.get(**asked).status_code == 200


def test_why_a_time_was_not_to_be_had_is_said_once_all_the_others_are_known(make_grid, redis_server):
    """Until then the times nearest to it are not known either; nor is it known that a day has none."""
    grid = make_grid(2)
    session = grid.client.session
    wanted = datetime.fromtimestamp(starts_on(grid.monday)[3], UTC)
    refusal = {"code": "time_taken", "starts_at": wanted.isoformat(), "clinician_id": None}
    session["draft"] = session["draft"] | {"refusal": refusal}
    session.save()
    weeks = range(week_of(grid.monday) - 2, week_of(grid.monday) + 6)
    redis_server.flush()
    board.forget()
    fill_board(weeks, most=1)

    def said() -> tuple[bool, ...]:
        page = grid.get().content.decode()
        return tuple(
            words in page for words in ("was just taken", "Checking", "No times", "near the one you wanted")
        )

    assert [said(), said()] == [(True, True, False, True)] * 2
    fill_board(weeks)
    board.forget()
    kept_times.forget()
    assert [said(), said()] == [(True, False, True, True), (False, False, True, False)]
