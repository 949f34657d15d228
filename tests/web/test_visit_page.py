"""The page of a visit whose booking went back to being held, because the EHR was away, while its patient came here."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.conf import settings
from django.test import Client

from booking.scheduling.lifecycle import BookingState
from tests import factories

pytestmark = pytest.mark.django_db


def client_of(owner_key: str) -> Client:
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session["owner_key"] = owner_key
    session.save()
    client = Client()
    client.cookies["session"] = session.session_key
    return client


def test_a_time_that_is_still_held_leads_back_to_the_last_button() -> None:
    booking = factories.booking(state=BookingState.HELD)
    answer = client_of(booking.owner_key).get(f"/visits/{booking.pk}/")
    assert (answer.status_code, answer["Location"]) == (302, "/book/review/")
    part = client_of(booking.owner_key).get(f"/visits/{booking.pk}/", headers={"HX-Request": "true"})
    assert part["HX-Redirect"] == "/book/review/"


def test_nobody_else_is_led_anywhere() -> None:
    booking = factories.booking(state=BookingState.HELD)
    assert client_of("somebody-else").get(f"/visits/{booking.pk}/").status_code == 404
