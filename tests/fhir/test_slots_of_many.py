"""Free times of many schedules in one search: what servers make of a list, and what is made of that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from booking.scheduling.errors import EhrRejected, EhrUnavailable, NotFound
from booking.scheduling.gateway import Limits

from .little_ehr import LittleEhr, gateway, outcome
from .medplum_documents import schedule as kept_by_operations
from .r4_documents import NINE, VISIT, schedule, slot
from .stand_in import StoppedClock

Json = dict[str, Any]
GoOn = Callable[[httpx.Request], httpx.Response]
DAY = {"first_on": date(2026, 12, 1), "last_on": date(2026, 12, 1), "minutes": 30}
ANA, BEN, CAL = ("Schedule/ana", "Schedule/ben", "Schedule/cal")


def of(key: str, name: str, start: int, **more: Any) -> Json:
    return slot(f"{name}-{key}", start, schedule={"reference": f"Schedule/{name}"}, **more)


def clinic(*more: Json) -> LittleEhr:
    """Ana is free at nine and half past, Ben at ten, Cal never."""
    return LittleEhr(
        *(schedule(id=name) for name in ("ana", "ben", "cal")),
        of("a", "ana", 0),
        of("b", "ana", 30),
        of("a", "ben", 60),
        *more,
    )


WHOLE = {ANA: [0, 30], BEN: [60], CAL: []}


def times(opened: Any, *refs: str, **more: Any) -> dict[str, list[int]]:
    found = opened.free_slots_of(refs or tuple(WHOLE), **{**DAY, **more})
    assert all(each.schedule_ref == ref for ref, slots in found.items() for each in slots)
    return {
        ref: [int((each.starts_at - NINE) / timedelta(minutes=1)) for each in found[ref]] for ref in found
    }


def lists_of(ehr: LittleEhr) -> list[str]:
    """What each Slot search asked for."""
    return [one.url.params["schedule"] for one in ehr.sent if one.url.path.endswith("/Slot")]


def on_lists(answer: Callable[[httpx.Request, GoOn], httpx.Response]) -> Any:
    """A trip for a LittleEhr: ``answer`` to a Slot search for more than one schedule."""

    def trip(asked: httpx.Request, go_on: GoOn) -> httpx.Response:
        is_list = asked.url.path.endswith("/Slot") and "," in asked.url.params["schedule"]
        return answer(asked, go_on) if is_list else go_on(asked)

    return trip


def asking(refs: str) -> Callable[[httpx.Request, GoOn], httpx.Response]:
    """As if the list had been another one; empty: none."""

    def answer(asked: httpx.Request, go_on: GoOn) -> httpx.Response:
        if not refs:
            return httpx.Response(200, json={"resourceType": "Bundle", "type": "searchset"})
        chosen = asked.url.copy_set_param("schedule", refs)
        return go_on(httpx.Request("GET", chosen))

    return answer


def test_one_search_and_one_look_at_the_schedules_answer_for_all():
    ehr = clinic()
    with gateway(ehr) as opened:
        assert times(opened) == WHOLE
        assert ehr.lines == ["GET Schedule", "GET Slot"]
        assert ehr.sent[0].url.params.multi_items() == [("_id", "ana,ben,cal"), ("_count", "100")]
        assert ehr.sent[1].url.params.multi_items() == [
            ("schedule", "Schedule/ana,Schedule/ben,Schedule/cal"),
            ("start", "ge2026-11-30T10:00:00Z"),
            ("start", "lt2026-12-02T12:00:00Z"),
            ("_count", "1000"),
        ]
        assert times(opened, BEN, ANA, BEN) == {BEN: [60], ANA: [0, 30]}
        assert times(opened, CAL) == {CAL: []}
        assert opened.free_slots_of([], **DAY) == {}
    assert ehr.lines == ["GET Schedule", *["GET Slot"] * 3]


@pytest.mark.parametrize(
    ("status", "seconds"),
    [(400, 3600), (404, 3600), (405, 3600), (414, 3600), (422, 3600), (500, 300), (501, 300)],
)
def test_a_server_that_refuses_lists_is_asked_one_by_one_for_a_while(status, seconds):
    ehr, clock = clinic(), StoppedClock()
    ehr.trip = on_lists(lambda asked, go_on: outcome(status, "not-supported"))
    alone, whole = [ANA, BEN, CAL], ",".join(WHOLE)
    with gateway(ehr, clock, total_seconds=100_000) as opened:
        assert times(opened) == WHOLE
        # A read is tried again where that may help.
        tried = lists_of(ehr)[:-3]
        assert set(tried) == {whole}
        assert lists_of(ehr)[-3:] == alone
        assert times(opened) == WHOLE
        assert lists_of(ehr) == [*tried, *alone, *alone]
        clock.seconds += seconds - 1
        assert times(opened) == WHOLE
        assert lists_of(ehr)[-3:] == alone
        clock.seconds += 2
        ehr.trip = None
        assert times(opened) == WHOLE
        assert lists_of(ehr)[-1] == whole


@pytest.mark.parametrize("seen", ["", ANA, CAL, "Schedule/ana,Schedule/ben,Schedule/cal"])
def test_a_server_that_takes_a_list_for_something_else_is_found_out(seen):
    """Nothing found, the first only, the last only; the control is a server that takes it for what it is."""
    ehr, is_right = clinic(), "," in seen
    ehr.trip = on_lists(asking(seen))
    with gateway(ehr) as opened:
        assert times(opened) == WHOLE
        assert (len(lists_of(ehr)) == 1) is is_right
        asked = len(lists_of(ehr))
        assert times(opened) == WHOLE
    assert len(lists_of(ehr)) - asked == (1 if is_right else 3)


def test_a_server_that_ignores_the_parameter_gives_nobody_elses_times():
    ehr = clinic(schedule(id="dov"), of("a", "dov", 0))
    everything = httpx.Response(
        200, json={"resourceType": "Bundle", "entry": [{"resource": each} for each in ehr.all("Slot")]}
    )
    ehr.trip = on_lists(lambda asked, go_on: everything)
    with gateway(ehr) as opened:
        assert times(opened) == WHOLE
    assert len(lists_of(ehr)) == 1


def test_nobody_free_is_asked_about_alone_only_until_a_list_has_proved_itself():
    ehr = clinic()
    with gateway(ehr) as opened:
        assert times(opened, BEN, CAL) == {BEN: [60], CAL: []}
        assert lists_of(ehr) == [f"{BEN},{CAL}", CAL]
        assert times(opened, ANA, BEN) == {ANA: [0, 30], BEN: [60]}
        assert times(opened, BEN, CAL) == {BEN: [60], CAL: []}
    assert lists_of(ehr) == [f"{BEN},{CAL}", CAL, f"{ANA},{BEN}", f"{BEN},{CAL}"]


def test_pages_are_read_to_their_end():
    ehr = clinic(*(of(f"x{number}", "cal", 120 + number * 30) for number in range(20)))

    def one_a_page(asked: httpx.Request, go_on: GoOn) -> httpx.Response:
        entries = go_on(asked).json()["entry"]
        page = int(asked.url.params.get("page", "0"))
        links = [
            {"relation": "next", "url": f"Slot?{asked.url.copy_set_param('page', page + 1).query.decode()}"}
        ]
        more = {"link": links} if page + 1 < len(entries) else {}
        return httpx.Response(200, json={"resourceType": "Bundle", "entry": entries[page : page + 1], **more})

    real = ehr._search
    ehr._search = lambda kind, params: real(kind, [each for each in params if each[0] != "page"])  # type: ignore[method-assign]
    ehr.trip = on_lists(one_a_page)
    with gateway(ehr) as opened:
        assert times(opened) == {**WHOLE, CAL: [120 + number * 30 for number in range(20)]}
    assert len(lists_of(ehr)) == 23


@pytest.mark.parametrize("limit", [{"max_entries": 2}, {"max_body_bytes": 600}])
def test_what_is_too_much_at_once_is_asked_for_in_halves_from_then_on(limit):
    ehr = clinic()
    with gateway(ehr, **limit) as opened:
        opened._schedules.put(ANA, schedule())
        opened._schedules.put(BEN, schedule(id="ben"))
        opened._schedules.put(CAL, schedule(id="cal"))
        assert times(opened) == WHOLE
        assert lists_of(ehr) == [f"{ANA},{BEN},{CAL}", ANA, BEN, CAL]
        assert times(opened) == WHOLE
        assert lists_of(ehr)[4:] == [ANA, BEN, CAL]


def test_a_page_that_is_refused_too_far_in_is_too_much_at_once_and_no_refusal_of_lists():
    """As Medplum's past the first 10,000 entries."""
    names = [f"n{number}" for number in range(4)]
    ehr = LittleEhr(*(schedule(id=name) for name in names), *(of("a", name, 0) for name in names))

    def refuse_third(asked: httpx.Request, go_on: GoOn) -> httpx.Response:
        if "page" in asked.url.params:
            return outcome(400, "invalid")
        answer = go_on(asked).json()
        if len(answer["entry"]) > 2:
            answer["link"] = [
                {"relation": "next", "url": f"Slot?schedule={asked.url.params['schedule']}&page=2"}
            ]
        return httpx.Response(200, json=answer)

    ehr.trip = on_lists(refuse_third)
    refs = [f"Schedule/{name}" for name in names]
    with gateway(ehr) as opened:
        assert times(opened, *refs) == {ref: [0] for ref in refs}
        assert lists_of(ehr)[2:] == [",".join(refs[:2]), ",".join(refs[2:])]


def test_a_schedule_that_the_ehr_does_not_know_does_not_sink_the_others():
    ehr = clinic()
    with gateway(ehr) as opened:
        assert times(opened, ANA, "Schedule/gone", BEN) == {ANA: [0, 30], "Schedule/gone": [], BEN: [60]}
        assert lists_of(ehr) == [f"{ANA},{BEN}"]
        with pytest.raises(NotFound):
            opened.free_slots_of(["Schedule/gone", "Schedule/lost"], **DAY)
        with pytest.raises(NotFound):
            opened.free_slots("Schedule/gone", **DAY)


def test_schedules_are_read_one_by_one_where_they_cannot_be_listed():
    ehr = clinic()

    def trip(asked: httpx.Request, go_on: GoOn) -> httpx.Response:
        return outcome(400, "invalid") if asked.url.path.endswith("/Schedule") else go_on(asked)

    ehr.trip = trip
    with gateway(ehr) as opened:
        assert times(opened) == WHOLE
    assert ehr.lines == [
        "GET Schedule",
        "GET Schedule/ana",
        "GET Schedule/ben",
        "GET Schedule/cal",
        "GET Slot",
    ]


@pytest.mark.parametrize(
    ("answer", "error"),
    [(outcome(403, "forbidden"), EhrRejected), (httpx.Response(503), EhrUnavailable)],
)
def test_a_failure_that_is_about_no_one_schedule_is_the_failure_of_all(answer, error):
    ehr = clinic()
    ehr.trip = lambda asked, go_on: answer if asked.url.path.endswith("/Slot") else go_on(asked)
    with gateway(ehr) as opened, pytest.raises(error):
        times(opened)
    assert set(lists_of(ehr)) == {",".join(WHOLE)}


@pytest.mark.parametrize("status", [400, 503])
def test_of_schedules_asked_for_alone_a_refused_one_has_no_times_and_a_failed_one_fails_the_search(status):
    ehr = clinic()

    def trip(asked: httpx.Request, go_on: GoOn) -> httpx.Response:
        if not asked.url.path.endswith("/Slot"):
            return go_on(asked)
        wanted = asked.url.params["schedule"]
        return (
            outcome(400, "invalid")
            if "," in wanted
            else outcome(status, "x")
            if wanted == BEN
            else go_on(asked)
        )

    ehr.trip = trip
    with gateway(ehr) as opened:
        if status == 400:
            assert times(opened) == {**WHOLE, BEN: []}
        else:
            with pytest.raises(EhrUnavailable):
                times(opened)


def test_what_a_schedule_is_for_and_which_days_count_for_each_of_them():
    other = {"coding": [{"system": VISIT.system, "code": "OFFICE"}]}
    ehr = clinic(schedule(id="dov", serviceType=[other]), of("a", "dov", 0))
    ehr.put(of("late", "ben", 60 * 24 * 3))
    everything = {"resourceType": "Bundle", "entry": [{"resource": each} for each in ehr.all("Slot")]}
    ehr.trip = on_lists(lambda asked, go_on: httpx.Response(200, json=everything))
    with gateway(ehr) as opened:
        assert times(opened, ANA, BEN, "Schedule/dov", appointment_type=VISIT) == {
            ANA: [0, 30],
            BEN: [60],
            "Schedule/dov": [],
        }
    assert lists_of(ehr) == [f"{ANA},{BEN}"]


def test_more_than_a_search_may_name_are_asked_for_in_several():
    names = [f"n{number}" for number in range(45)]
    ehr = LittleEhr(*(schedule(id=name) for name in names), *(of("a", name, 0) for name in names))
    refs = [f"Schedule/{name}" for name in names]
    with gateway(ehr) as opened:
        assert times(opened, *refs) == {ref: [0] for ref in refs}
        most = opened.limits.schedules_per_slot_search
    assert [len(each.split(",")) for each in lists_of(ehr)] == [most] * 4 + [5]


def test_medplum_answers_for_slots_in_one_search_and_says_what_it_has_seen_of_its_schedules():
    ehr = clinic(kept_by_operations("half", id="kept"))
    with gateway(ehr, dialect="medplum") as opened:
        assert opened.limits.schedules_per_slot_search == 10
        assert times(opened) == WHOLE
        assert ehr.lines == ["GET Schedule", "GET Slot"]
        assert ehr.sent[1].url.params["_count"] == "1000"
        # There a list is known to work, so silence is an answer.
        assert times(opened, BEN, CAL) == {BEN: [60], CAL: []}
        assert len(lists_of(ehr)) == 2
        assert opened.limits.schedules_per_slot_search == 10
    with gateway(ehr, dialect="medplum") as opened:
        opened._ways.add(True)
        assert opened.limits.schedules_per_slot_search == 1


@pytest.mark.parametrize(
    ("dialect", "wanted"),
    [("canvas", Limits(14, 1, 1)), ("medplum", Limits(29, 10, 12)), ("r4", Limits(29, 10, 8))],
)
def test_what_a_search_may_span_is_known_without_a_call(dialect, wanted):
    asked: list[httpx.Request] = []

    def ehr(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(503)

    with gateway(ehr, dialect=dialect) as opened:
        assert opened.limits == wanted
        assert asked == []
        # The control: what has to be asked for is.
        opened.can_move()
        assert bool(asked) == (dialect != "canvas")
