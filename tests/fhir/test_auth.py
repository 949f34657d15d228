from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import httpx
import pytest

from booking.fhir import Token, open_gateway
from booking.scheduling.errors import EhrRejected, EhrUnavailable

from . import documents
from .documents import ANA_NORTH, bundle, outcome
from .stand_in import TOKEN_URL, StandIn, StoppedClock, config, gateway

REFUSED = httpx.Response(401, json=outcome("unknown", "Authentication failed"))
DAY = {"first_on": date(2026, 12, 1), "last_on": date(2026, 12, 1), "minutes": 30}


def token_answer(status: int = 200, body: object = None, **headers: str) -> httpx.Response:
    if isinstance(body, str):
        return httpx.Response(status, content=body, headers=headers)
    return httpx.Response(status, json=body, headers=headers)


def test_the_token_is_asked_for_once_as_a_form_and_then_reused():
    ehr = StandIn({"GET Slot": bundle()})
    with gateway(ehr) as opened:
        opened.free_slots(ANA_NORTH, **DAY)
        opened.free_slots(ANA_NORTH, **DAY)
    asked = ehr.token_requests[0]
    assert ehr.tokens_seen == ["Bearer token-1", "Bearer token-1"]
    assert ehr.token_forms == [
        {"grant_type": "client_credentials", "client_id": "portal", "client_secret": "very-secret"}
    ]
    assert (asked.method, str(asked.url)) == ("POST", TOKEN_URL)
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "authorization" not in asked.headers


def test_a_scope_is_sent_when_one_is_set():
    ehr = StandIn({"GET Slot": bundle()})
    with gateway(ehr, scope="user/*.*") as opened:
        opened.free_slots(ANA_NORTH, **DAY)
    assert ehr.token_forms[0]["scope"] == "user/*.*"


@pytest.mark.parametrize(
    ("expires_in", "lives_for"),
    [(36000, 35940), (120, 60), (60, 30), ("600", 540), (None, 240), ("soon", 240), (-5, 240), (True, 240)],
)
def test_a_token_is_renewed_a_minute_before_it_ends(expires_in, lives_for):
    ehr, clock = StandIn({"GET Slot": bundle()}, token_seconds=expires_in), StoppedClock()
    with gateway(ehr, clock) as opened:
        for seconds in (0, lives_for - 1, 2):
            clock.seconds += seconds
            opened.free_slots(ANA_NORTH, **DAY)
    assert ehr.tokens_seen == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


def test_a_read_refused_with_401_is_sent_once_more_with_a_new_token():
    ehr = StandIn({"GET Slot": [REFUSED, httpx.Response(200, json=bundle())]})
    with gateway(ehr) as opened:
        assert opened.free_slots(ANA_NORTH, **DAY) == []
    assert ehr.tokens_seen == ["Bearer token-1", "Bearer token-2"]


def test_a_create_refused_with_401_is_sent_once_more_with_a_new_token():
    made = httpx.Response(201, headers={"Location": "/Appointment/7"})
    ehr = StandIn({"POST Appointment": [REFUSED, made]})
    with gateway(ehr) as opened:
        assert opened.create_appointment(documents.request()) == "Appointment/7"
    assert ehr.tokens_seen == ["Bearer token-1", "Bearer token-2"]
    assert ehr.bodies[0] == ehr.bodies[1]


def test_a_second_401_is_the_end_of_it_for_now():
    """No patient is refused because two tokens in a row were taken back while others were at it."""
    ehr = StandIn({"POST Appointment": REFUSED})
    with gateway(ehr) as opened, pytest.raises(EhrUnavailable) as caught:
        opened.create_appointment(documents.request())
    assert (caught.value.status, len(ehr.requests), len(ehr.token_requests)) == (401, 2, 2)


def test_a_token_endpoint_that_redirects_says_what_to_set():
    ehr = StandIn({"GET Slot": bundle()})
    ehr.token_answers = [token_answer(301, "", Location="/auth/token/")]
    with gateway(ehr) as opened, pytest.raises(EhrRejected) as caught:
        opened.free_slots(ANA_NORTH, **DAY)
    assert str(caught.value) == (
        "POST token: the token endpoint redirects: set token_url to the address it redirects to. For Canvas it "
        "ends in a slash: https://<instance>.canvasmedical.com/auth/token/ (status 301)"
    )
    assert ehr.requests == []


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (token_answer(400, {"error": "invalid_scope"}), EhrRejected),
        (token_answer(401, {"error": "invalid_client"}), EhrRejected),
        (token_answer(401, "no"), EhrRejected),
        (token_answer(403, {"error": "access_denied"}), EhrRejected),
        (token_answer(403, "<html>"), EhrUnavailable),
        (token_answer(404, "<html>"), EhrRejected),
        (token_answer(429, {}), EhrUnavailable),
        (token_answer(500, {}), EhrUnavailable),
        (token_answer(200, "<html>"), EhrUnavailable),
        (token_answer(200, {}), EhrRejected),
        (token_answer(200, {"access_token": ""}), EhrRejected),
        (token_answer(200, {"access_token": 7}), EhrRejected),
        (token_answer(200, {"access_token": "a b"}), EhrRejected),
        (token_answer(200, {"access_token": "a\r\nX-Injected: 1"}), EhrRejected),
        (token_answer(200, {"access_token": "a", "token_type": "mac"}), EhrRejected),
        (httpx.ConnectError("x"), EhrUnavailable),
        (httpx.ReadTimeout("x"), EhrUnavailable),
        (httpx.RemoteProtocolError("x"), EhrUnavailable),
    ],
)
def test_without_a_token_a_create_was_surely_not_sent(given, kind):
    ehr = StandIn()
    ehr.token_answers = [given]
    with gateway(ehr) as opened, pytest.raises((EhrRejected, EhrUnavailable)) as caught:
        opened.create_appointment(documents.request())
    assert (type(caught.value), ehr.requests, len(ehr.token_requests)) == (kind, [], 1)


def test_a_refusal_names_the_oauth_error_only():
    ehr = StandIn()
    ehr.token_answers = [token_answer(401, {"error": "invalid_client", "error_description": "very-secret"})]
    with gateway(ehr) as opened, pytest.raises(EhrRejected) as caught:
        opened.create_appointment(documents.request())
    assert str(caught.value) == (
        "POST token: no token for this client id, secret and scope (invalid_client) (status 401)"
    )


def test_a_read_outlives_a_token_endpoint_that_stumbles():
    ehr = StandIn({"GET Slot": bundle()})
    ehr.token_answers = [httpx.ConnectError("x"), token_answer(503, {})]
    with gateway(ehr) as opened:
        assert opened.free_slots(ANA_NORTH, **DAY) == []
    assert len(ehr.token_requests) == 3


def run_at_once(count: int, call: object) -> list[object]:
    barrier = threading.Barrier(count)

    def one(_: int) -> object:
        barrier.wait()
        try:
            return call()
        except (EhrUnavailable, EhrRejected) as failure:
            return type(failure)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def slow_tokens(ehr: StandIn) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        if str(request.url) == TOKEN_URL:
            time.sleep(0.1)
        return ehr(request)

    return httpx.MockTransport(answer)


def test_many_threads_share_one_renewal():
    ehr = StandIn({"GET Slot": bundle()})
    opened = open_gateway(config(), transport=slow_tokens(ehr))
    assert run_at_once(12, lambda: opened.free_slots(ANA_NORTH, **DAY)) == [[]] * 12
    assert len(ehr.token_requests) == 1


def test_many_threads_refused_at_once_share_one_renewal():
    def answer(request: httpx.Request) -> httpx.Response:
        return (
            REFUSED
            if request.headers["authorization"] == "Bearer token-1"
            else httpx.Response(200, json=bundle())
        )

    ehr = StandIn({"GET Slot": answer})
    opened = open_gateway(config(), transport=slow_tokens(ehr))
    assert run_at_once(12, lambda: opened.free_slots(ANA_NORTH, **DAY)) == [[]] * 12
    assert len(ehr.token_requests) == 2


def test_threads_that_waited_for_a_renewal_that_failed_do_not_queue_up_to_try_it_again():
    ehr = StandIn()
    ehr.token_answers = [token_answer(503, {}) for _ in range(12)]
    opened = open_gateway(config(), transport=slow_tokens(ehr))
    started = time.monotonic()
    assert run_at_once(12, lambda: opened.create_appointment(documents.request())) == [EhrUnavailable] * 12
    assert len(ehr.token_requests) <= 2
    assert time.monotonic() - started < 1


def test_a_wait_for_another_threads_renewal_ends_with_ones_own_time():
    ehr = StandIn({"GET Slot": bundle()})
    hold, asked = threading.Event(), threading.Event()

    def answer(request: httpx.Request) -> httpx.Response:
        if str(request.url) == TOKEN_URL:
            asked.set()
            hold.wait(20)
        return ehr(request)

    opened = open_gateway(
        config(total_seconds=0.3, connect_seconds=0.3), transport=httpx.MockTransport(answer)
    )
    first = threading.Thread(target=lambda: run_at_once(1, lambda: opened.free_slots(ANA_NORTH, **DAY)))
    first.start()
    assert asked.wait(10)
    started = time.monotonic()
    with pytest.raises(EhrUnavailable):
        opened.free_slots(ANA_NORTH, **DAY)
    assert time.monotonic() - started < 5
    hold.set()
    first.join()


def test_processes_can_share_a_token_through_a_store():
    class Store:
        token: Token | None = None

        def load(self) -> Token | None:
            return self.token

        def save(self, token: Token) -> None:
            self.token = token

    store, ehr, clock = Store(), StandIn({"GET Slot": bundle()}), StoppedClock()
    for _ in range(2):
        opened = open_gateway(
            config(), transport=httpx.MockTransport(ehr), token_store=store, clock=clock.clock
        )
        opened.free_slots(ANA_NORTH, **DAY)
    assert len(ehr.token_requests) == 1
    assert "token-1" not in repr(store.token)


def test_a_cookie_is_never_kept():
    cookie = {"Set-Cookie": "sessionid=abc; Path=/"}
    ehr = StandIn({"GET Slot": httpx.Response(200, json=bundle(), headers=cookie)})
    with gateway(ehr) as opened:
        opened.free_slots(ANA_NORTH, **DAY)
        opened.free_slots(ANA_NORTH, **DAY)
    assert ["cookie" in request.headers for request in ehr.requests] == [False, False]
