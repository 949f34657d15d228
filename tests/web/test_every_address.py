"""Every address of the portal, as somebody without an answer to any question, or with no right to anything, meets it."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import get_resolver

from booking.models import Booking, BookingEvent, Message, PatientRecord, User

pytestmark = pytest.mark.django_db

# What a newcomer's GET is answered with: a page, a redirect to the first question, or no.
EXPECTED: dict[str, tuple[int, str]] = {
    "start": (200, ""),
    "search_reasons": (405, ""),
    "choose_reason": (405, ""),
    "screening": (302, "/"),
    "urgent": (200, ""),
    "choose_state": (302, "/"),
    "patient_kind": (302, "/"),
    "choose_specialty": (302, "/"),
    "choose_zone": (405, ""),
    "times": (302, "/"),
    "extend_hold": (405, ""),
    "release_hold": (405, ""),
    "leave_hold": (405, ""),
    "resume_hold": (405, ""),
    "contact": (302, "/"),
    "code": (302, "/"),
    "resend_code": (405, ""),
    "details": (302, "/"),
    "review": (302, "/"),
    "session_ended": (200, ""),
    "start_over": (405, ""),
    "clinician_photo": (404, ""),
    "visits": (302, "/accounts/login/?next=/visits/"),
    "visit": (404, ""),
    "visit_calendar": (404, ""),
    "visit_link": (404, ""),
    "ehr_notices": (404, ""),
    "healthz": (200, ""),
    "readyz": (200, ""),
    "metrics": (404, ""),
    "dev_messages": (200, ""),
}
ARGUMENTS = {
    "visit": [uuid4()],
    "visit_calendar": [uuid4()],
    "visit_link": ["0123abcd.forged"],
    "clinician_photo": [1, "0" * 64],
}
POSTS = [name for name, (status, _) in EXPECTED.items() if status == 405]


def addresses() -> set[str]:
    mine = get_resolver("booking.web.urls")
    return {name for name in mine.reverse_dict if isinstance(name, str)}


def url(name: str) -> str:
    return "/" + get_resolver("booking.web.urls").reverse(name, *ARGUMENTS.get(name, []))


def test_table_names_every_address() -> None:
    assert addresses() == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_newcomer_is_answered_and_nothing_is_written(name: str) -> None:
    response = Client().get(url(name))
    assert (response.status_code, response.headers.get("Location", "")) == EXPECTED[name]
    rows = [model.objects.count() for model in (Booking, BookingEvent, Message, PatientRecord, User)]
    assert rows == [0] * 5


@pytest.mark.parametrize("name", EXPECTED)
def test_answer_may_not_be_kept_by_anyone(name: str) -> None:
    response = Client().get(url(name))
    assert response.headers["Cache-Control"] == "no-store"
    assert "HX-Request" in response.headers["Vary"]
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


@pytest.mark.parametrize("name", POSTS)
def test_post_without_a_token_is_refused(name: str) -> None:
    assert Client(enforce_csrf_checks=True).post(url(name)).status_code == 403


@pytest.mark.parametrize("name", POSTS)
def test_post_with_nonsense_never_fails(name: str) -> None:
    nonsense = {
        "q": "x" * 5000,
        "reason": "'; --",
        "zone": "Mars/Base",
        "slot": "1.1e9.video",
        "code": "\x00",
    }
    assert Client().post(url(name), nonsense).status_code in (204, 302)


@pytest.mark.parametrize(
    "slot",
    ["", "1", "1.2", "1.2.3", "x.y.video", "1.99999999999999999.video", "-1.0.video", "٣.5.video", "1.5.fax"],
)
def test_nonsense_for_a_time_goes_back_to_the_questions(slot: str) -> None:
    assert Client().post("/book/times/", {"slot": slot}).headers["Location"] == "/"


def test_expired_sign_in_during_a_swap_goes_to_the_whole_login_page() -> None:
    response = Client().get("/visits/", headers={"HX-Request": "true"})
    assert (response.status_code, response.headers["HX-Redirect"]) == (200, "/accounts/login/?next=/visits/")
    assert "Location" not in response.headers


def test_ended_session_during_the_journey_is_told_of() -> None:
    client = Client()
    client.post("/book/search/", {"q": "rash"})
    Session.objects.all().delete()
    # An open grid looks again by itself: its page must not turn into the first question without a word.
    response = client.get("/book/times/?day=2030-01-01", headers={"HX-Request": "true"})
    assert response.headers["HX-Redirect"] == "/book/ended/"
    assert "Your session has ended" in client.get("/book/ended/").content.decode()
    client.post("/book/search/", {"q": "rash"})
    Session.objects.all().delete()
    page = client.post("/book/review/")
    assert (page.status_code, "Your session" in page.content.decode()) == (200, True)


def test_development_page_does_not_exist_in_production(settings: pytest.FixtureRequest) -> None:
    settings.IS_PRODUCTION = True  # type: ignore[attr-defined]
    assert Client().get("/dev/messages/").status_code == 404


def test_words_a_patient_searches_for_are_in_no_address() -> None:
    client = Client()
    response = client.post("/book/search/", {"q": "itchy"})
    assert response.headers["Location"] == "/"
    assert "itchy" in client.get("/").content.decode()
    part = client.post("/book/search/", {"q": "itchy"}, headers={"HX-Request": "true"})
    assert (part.status_code, "<html" in part.content.decode()) == (200, False)


def test_every_response_carries_a_correlation_id_of_its_own() -> None:
    ids = {Client().get("/healthz").headers["X-Correlation-ID"] for _ in range(3)}
    assert len(ids) == 3
