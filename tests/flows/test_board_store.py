"""The board's two stores do the same; and when Redis is away the board goes on in its own process."""

from __future__ import annotations

import signal
import threading
import time
from uuid import uuid4

import pytest

from booking import board
from booking.board import Want, shared
from booking.board.readings import Reading
from booking.board.shared import SharedStore, ask
from booking.board.store import LocalStore, Store
from tests.rig.redis import Redis
from tests.rig.redis import redis as start_redis

from .test_board import want


@pytest.fixture(params=["local", "shared"])
def store(request, redis_server: Redis) -> Store:
    if request.param == "local":
        return LocalStore()
    redis_server.flush()
    return SharedStore(redis_server.url(2))


def test_what_is_put_is_there_until_its_time_is_over(store):
    store.put({"board:a": b"1", "board:b": b"\x00\xff"}, 1.5)
    assert store.get(["board:a", "board:c", "board:b"]) == [b"1", None, b"\x00\xff"]
    time.sleep(1.6)
    assert (store.get(["board:a", "board:b"]), store.get([])) == ([None, None], [])


def test_changes_are_those_after_the_number_asked_about(store):
    first = store.changes("", 0)
    assert first.keys is None
    store.put({"board:a": b"1", "board:b": b"1"}, 60)
    second = store.changes(first.origin, first.number)
    assert (set(second.keys), second.number > first.number) == ({"board:a", "board:b"}, True)
    assert store.changes(second.origin, second.number).keys == []
    store.put({"board:a": b"2"}, 60)
    assert store.changes(second.origin, second.number).keys == ["board:a"]
    assert set(store.changes(first.origin, first.number).keys) == {"board:a", "board:b"}
    assert store.changes("another", second.number).keys is None


def test_a_store_that_was_emptied_says_that_it_cannot_tell(redis_server):
    redis_server.flush()
    store = SharedStore(redis_server.url(2))
    for _ in range(5):
        store.put({"board:a": b"1"}, 60)
    before = store.changes("shared", 0)
    redis_server.flush()
    store.put({"board:b": b"1"}, 60)
    assert store.changes(before.origin, before.number).keys is None


def test_a_claim_has_one_holder(store):
    got, start = [], threading.Barrier(12)

    def claim() -> None:
        start.wait()
        got.append(store.claim(["board:x", "board:y"], 60, uuid4().hex))

    threads = [threading.Thread(target=claim) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sum(each[index] for each in got) for index in (0, 1)] == [1, 1]


def test_a_claim_is_its_holders_until_it_ends(store):
    assert store.claim(["board:x", "board:y"], 60, "first") == [True, True]
    store.release(["board:x", "board:y"], "second")
    assert store.claim(["board:x", "board:y"], 60, "second") == [False, False]
    # An answer that was lost may be asked for again.
    assert store.claim(["board:x", "board:y"], 60, "first") == [True, True]
    store.release(["board:x"], "first")
    assert store.claim(["board:x", "board:y"], 0.2, "second") == [True, False]
    time.sleep(0.3)
    assert store.claim(["board:x"], 60, "third") == [True]
    store.release(["board:x"], "second")
    assert store.claim(["board:x"], 60, "first") == [False]


def test_counts_begin_anew_after_a_pause(store):
    assert [store.count("board:n", 2) for _ in range(3)] == [1, 2, 3]
    time.sleep(2.2)
    assert store.count("board:n", 2) == 1
    store.drop(["board:n"])
    assert store.count("board:n", 2) == 1


def test_rankings_give_the_highest_first_and_forget_the_low(store):
    for member, score in (("a", 1.0), ("b", 3.0), ("c", 2.0), ("a", 4.0)):
        store.rank("board:r", member, score)
    assert store.ranked("board:r", 2.5) == ["a", "b"]
    assert store.ranked("board:r", 0.0) == ["a", "b"]


def test_no_second_and_no_minute_has_more_calls_than_permitted(store):
    """Over any stretch, not by the clock's own seconds: a fresh second does not begin a fresh allowance."""
    at = []
    ends = time.monotonic() + 3.2
    while time.monotonic() < ends:
        asked = time.monotonic()
        wait = store.spend(5, 13)
        if not wait:
            at.append((asked, time.monotonic()))
        else:
            time.sleep(min(wait, 0.02))
    assert len(at) == 13
    # What the store counted lies between the asking and the answer.
    assert all(later[1] - earlier[0] >= 0.99 for earlier, later in zip(at, at[5:], strict=False))
    assert 55 < store.spend(5, 13) <= 60


def test_calls_noted_by_others_leave_so_much_less(store):
    for _ in range(4):
        store.note_call()
    assert (store.spend(5, 100), store.spend(5, 100) > 0) == (0.0, True)


@pytest.fixture
def own_redis(settings):
    with start_redis() as server:
        settings.REDIS_URL = server.url()
        board.forget()
        yield server
        server.child.signal_group(signal.SIGCONT)
    settings.REDIS_URL = ""
    board.forget()


def put(key: str) -> None:
    ask(lambda store: store.put({key: Reading(time.time()).to_bytes()}, 60))


def test_a_redis_that_hangs_costs_one_wait_and_what_was_known_stays(own_redis, monkeypatch):
    monkeypatch.setattr(shared, "AWAY_SECONDS", 6)
    put("board:a:1")
    board.mirror.sync()
    known = board.mirror.readings(["board:a:1"])["board:a:1"]
    own_redis.child.signal_group(signal.SIGSTOP)
    began = time.monotonic()
    for _ in range(20):
        board.mirror.sync()
        put("board:b:1")
    # One wait is for two tries. A wait for each would be forty.
    assert time.monotonic() - began < 5 * shared.WAIT_SECONDS
    assert board.mirror.readings(["board:a:1"]) == {"board:a:1": known}
    own_redis.child.signal_group(signal.SIGCONT)
    time.sleep(6.1)
    # Back again, it is believed again: what this process put down meanwhile is not in it.
    board.mirror.sync()
    found = board.mirror.readings(["board:a:1", "board:b:1"])
    assert (found["board:a:1"], found["board:b:1"].read_at) == (known, 0.0)


def test_a_redis_that_is_gone_costs_no_wait(own_redis):
    put("board:a:1")
    own_redis.child.kill()
    began = time.monotonic()
    for _ in range(20):
        board.mirror.sync()
        put("board:b:1")
    assert time.monotonic() - began < 1


def test_a_new_process_has_what_people_look_at_before_they_ask_it(own_redis):
    seen, unseen = (want(ref, weeks=2) for ref in ("Schedule/seen", "Schedule/unseen"))
    entries = {key: Reading(time.time()).to_bytes() for each in (seen, unseen) for key in each.keys}
    ask(lambda store: store.put(entries, 60))
    board.watch(board.Wants([seen]))

    def fetched(wanted: Want) -> int:
        """How many times Redis is asked for entries to show these."""
        before = mgets(own_redis)
        assert board.read(board.Wants([wanted]), deadline_seconds=0).pending == 0
        return mgets(own_redis) - before

    board.forget()
    assert fetched(seen) > 0
    board.forget()
    assert board.copy_watched() == 1
    assert (fetched(seen), fetched(unseen) > 0) == (0, True)


def mgets(server: Redis) -> int:
    with server.connect(0) as connection:
        return int(connection.info("commandstats").get("cmdstat_mget", {}).get("calls", 0))
