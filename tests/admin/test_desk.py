"""Who may come to the desk, and what lies on it."""

from __future__ import annotations

import re

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from booking.flows import notify
from booking.models import Message, SchedulingPolicy, User
from tests import factories

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


@pytest.fixture
def desk(staff: User) -> Client:
    client = Client()
    client.force_login(staff)
    return client


def given_up() -> Message:
    message = notify.owe(factories.booking(), "confirmation", now=timezone.now())
    assert message is not None
    Message.objects.update(state="dead", attempts=10, last_error="smtp 451")
    message.refresh_from_db()
    return message


def test_a_message_that_was_given_up_has_a_button_and_whoever_pressed_it_stands_in_its_history(
    desk: Client, staff: User
) -> None:
    message = given_up()
    page = desk.get(f"/admin/booking/message/{message.pk}/change/")
    assert f'action="/admin/booking/message/{message.pk}/again/"' in page.content.decode()
    assert message.recipient not in page.content.decode()
    assert desk.get(f"/admin/booking/message/{message.pk}/again/").status_code == 405
    assert desk.post(f"/admin/booking/message/{message.pk}/again/").status_code == 302
    message.refresh_from_db()
    assert (message.state, message.attempts, message.lease_until) == ("due", 0, None)
    (line,) = LogEntry.objects.filter(object_id=str(message.pk))
    assert (line.user, line.change_message) == (staff, "Tried again after smtp 451")
    page = desk.get(f"/admin/booking/message/{message.pk}/change/")
    assert "/again/" not in page.content.decode()
    desk.post(f"/admin/booking/message/{message.pk}/again/")
    assert LogEntry.objects.count() == 1


def test_only_who_may_change_messages_has_them_tried_again() -> None:
    message = given_up()
    onlooker = User.objects.create_user("onlooker", "on@example.com", is_staff=True)
    onlooker.user_permissions.add(Permission.objects.get(codename="view_message"))
    client = Client()
    client.force_login(onlooker)
    assert client.post(f"/admin/booking/message/{message.pk}/again/").status_code == 403
    message.refresh_from_db()
    assert message.state == "dead"


def test_chosen_messages_are_tried_again_and_each_has_its_line(desk: Client) -> None:
    first, second = given_up(), given_up()
    Message.objects.filter(pk=second.pk).update(state="sent")
    chosen = {"action": "send_again", "_selected_action": [first.pk, second.pk]}
    desk.post("/admin/booking/message/", chosen)
    assert dict(Message.objects.values_list("pk", "state")) == {first.pk: "due", second.pk: "sent"}
    assert list(LogEntry.objects.values_list("object_id", flat=True)) == [str(first.pk)]


def test_the_first_page_says_what_waits_for_a_person(desk: Client) -> None:
    assert "given up" not in desk.get("/admin/").content.decode()
    given_up()
    factories.booking(clinician=factories.clinician(), attention="A second visit was found and cancelled")
    factories.booking(clinician=factories.clinician(), state="needs_staff")
    page = desk.get("/admin/").content.decode()
    assert "Messages could not be sent and were given up: 1" in page
    assert "Bookings need a person to look at them: 2" in page
    assert desk.get("/admin/booking/booking/?for_staff=yes").content.decode().count("action-checkbox") == 3


def test_what_was_seen_to_is_off_the_list_and_stays_in_the_history(desk: Client) -> None:
    booking = factories.booking(attention="Two visits in the EHR, settle there")
    desk.post("/admin/booking/booking/", {"action": "mark_as_seen", "_selected_action": [booking.pk]})
    booking.refresh_from_db()
    assert booking.attention == ""
    (line,) = LogEntry.objects.all()
    assert line.change_message == "Seen to: Two visits in the EHR, settle there"
