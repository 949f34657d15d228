"""Fills the peer: one service of 20 minutes, everybody as staff, each busy cell as an appointment.

Run in the peer's environment, after its migrations, with the clinic (``data.seeds``) on standard input. Prints the
service's id and the staff's ids in the order of the clinic's people, as JSON.
"""

import datetime as dt
import json
import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.bench.peer.settings")
django.setup()

from appointment.models import (  # noqa: E402
    Appointment,
    AppointmentRequest,
    Config,
    Service,
    StaffMember,
    WorkingHours,
)
from django.contrib.auth import get_user_model  # noqa: E402
from django.db import transaction  # noqa: E402

AT_ONCE = 2_000


def clock(minute: int) -> dt.time:
    return dt.time(minute // 60, minute % 60)


@transaction.atomic
def seed(clinic: dict) -> dict:
    step, opens = clinic["step"], clinic["opens"]
    hours = {"lead_time": clock(opens), "finish_time": clock(clinic["closes"])}
    Config.objects.create(slot_duration=step, appointment_buffer_time=0, website_name="Peer", **hours)
    service = Service.objects.create(name="Visit", duration=dt.timedelta(minutes=step), price=0)
    users = get_user_model().objects
    client = users.create_user("client", "client@mail.example")
    accounts = users.bulk_create(
        users.model(
            username=f"staff{number}",
            first_name=person["given"],
            last_name=person["family"],
            email=f"staff{number}@mail.example",
        )
        for number, person in enumerate(clinic["people"])
    )
    staff = StaffMember.objects.bulk_create(
        StaffMember(user=account, slot_duration=step, appointment_buffer_time=0, **hours)
        for account in accounts
    )
    offered = StaffMember.services_offered.through
    offered.objects.bulk_create(offered(staffmember_id=each.pk, service_id=service.pk) for each in staff)
    WorkingHours.objects.bulk_create(
        WorkingHours(
            staff_member=each,
            day_of_week=weekday,
            start_time=clock(opens),
            end_time=clock(clinic["closes"]),
        )
        for each in staff
        for weekday in range(1, 6)
    )
    requests = AppointmentRequest.objects.bulk_create(
        (
            AppointmentRequest(
                date=dt.date.fromisoformat(day),
                start_time=clock(opens + cell * step),
                end_time=clock(opens + (cell + 1) * step),
                service=service,
                staff_member=each,
                id_request=f"{each.pk}-{day}-{cell}",
            )
            for each, person in zip(staff, clinic["people"], strict=True)
            for day, cells in zip(clinic["days"], person["busy"], strict=True)
            for cell in cells
        ),
        batch_size=AT_ONCE,
    )
    Appointment.objects.bulk_create(
        (
            Appointment(client=client, appointment_request=each, id_request=each.id_request, amount_to_pay=0)
            for each in requests
        ),
        batch_size=AT_ONCE,
    )
    return {"service": service.pk, "staff": [each.pk for each in staff]}


if __name__ == "__main__":
    print(json.dumps(seed(json.load(sys.stdin))))
