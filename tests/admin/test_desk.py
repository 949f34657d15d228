"""Who may come to the desk, and what lies on it."""

from __future__ import annotations

import re

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from booking.models import SchedulingPolicy, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> User:
    return User.objects.create_superuser("staff", "staff@example.com")


def visit(user: User | None, name: str = "admin:index") -> tuple[int, str]:
    client = Client()
    if user:
        client.force_login(user)
    response = client.get(reverse(name))
    return response.status_code, response.headers.get("Location", "")


def test_staff_with_a_second_factor_come_in_and_nobody_else_does(staff: User, settings: Settings) -> None:
    settings.STAFF_SECOND_FACTOR = True
    patient = User.objects.create_user("patient", "patient@example.com")
    to_sign_in = "/admin/login/?next=/admin/"
    assert [visit(None), visit(patient), visit(staff)] == [(302, to_sign_in)] * 3
    TOTP.activate(staff, "A" * 32)
    assert visit(staff) == (200, "")
    TOTP.activate(patient, "B" * 32)
    assert visit(patient) == (302, to_sign_in)
    Authenticator.objects.all().delete()
    assert visit(staff) == (302, to_sign_in)


def test_staff_without_a_second_factor_are_led_to_set_one_up(staff: User, settings: Settings) -> None:
    settings.STAFF_SECOND_FACTOR = True
    assert visit(staff, "admin:login") == (302, "/accounts/2fa/")
    assert visit(None, "admin:login") == (302, "/accounts/login/?next=/admin/")
    assert visit(User.objects.create_user("patient"), "admin:login")[0] == 403


def test_patient_page_has_only_nonced_scripts_and_the_desk_only_our_own(staff: User) -> None:
    client = Client()
    client.force_login(staff)
    desk = client.get("/admin/").headers["Content-Security-Policy"]
    page = client.get("/").headers["Content-Security-Policy"]
    assert re.search(r"script-src ([^;]*)", desk)[1] == "'self'"  # type: ignore[index]
    assert re.fullmatch(r"'nonce-[\w+/=-]+'", re.search(r"script-src ([^;]*)", page)[1])  # type: ignore[index]


def test_policy_opens_as_its_one_row(staff: User) -> None:
    client = Client()
    client.force_login(staff)
    response = client.get("/admin/booking/schedulingpolicy/")
    assert (
        response.headers["Location"]
        == f"/admin/booking/schedulingpolicy/{SchedulingPolicy.current().pk}/change/"
    )


@pytest.mark.parametrize(
    "model", ["booking", "message", "clinicianrecord", "locationrecord", "specialty", "user"]
)
def test_every_list_opens(model: str, staff: User) -> None:
    client = Client()
    client.force_login(staff)
    assert client.get(f"/admin/booking/{model}/").status_code == 200
