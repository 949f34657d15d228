"""$find: which times it proposes, from hours, grid, buffers and Slots."""

from datetime import timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from booking.sandbox.framework import Bundle

from .medplum_rig import SERVICE_REFERENCE, at, find, query_for, service_at
from .r4_rig import Json, Server, issue

PARAMETERS = "https://medplum.com/fhir/StructureDefinition/SchedulingParameters"


def test_find_proposes_appointments_with_contained_slots(medplum: Server) -> None:
    service, schedule = service_at(medplum), medplum.schedule("Goldberg")
    answer = medplum.get("Appointment/$find", **query_for(medplum))
    bundle = answer.json()
    Bundle.model_validate(bundle)
    assert (answer.status_code, bundle["resourceType"], bundle["type"]) == (200, "Bundle", "searchset")
    first = bundle["entry"][0]["resource"]
    span = {"start": first["start"], "end": first["end"]}
    assert first == {
        "resourceType": "Appointment",
        "status": "proposed",
        **span,
        "serviceType": [
            {
                "coding": [
                    {"system": "http://snomed.info/sct", "code": "448337001", "display": "Telehealth"}
                ],
                "extension": [{"url": SERVICE_REFERENCE, "valueReference": {"reference": service}}],
            }
        ],
        "participant": [{"actor": schedule["actor"][0], "required": "required", "status": "needs-action"}],
        "contained": [
            {
                "resourceType": "Slot",
                "status": "busy",
                "schedule": {"reference": f"Schedule/{schedule['id']}"},
                **span,
            }
        ],
    }


def test_find_keeps_to_hours_grid_and_busy_time(medplum: Server) -> None:
    found = find(medplum)
    busy = medplum.search("Slot", schedule=medplum.schedule("Goldberg")["id"], status="busy,busy-unavailable")
    spans = [(at(each["start"]), at(each["end"])) for each in found]
    taken = [(at(each["start"]), at(each["end"])) for each in busy]
    assert len(found) > 20
    for start, end in spans:
        local = start.astimezone(ZoneInfo("America/Los_Angeles"))
        assert (local.minute % 15, end - start) == (0, timedelta(minutes=30))
        assert local.weekday() in (0, 1, 2, 3)
        assert 7 <= local.hour < 16
        assert not any(low < end and start < high for low, high in taken)
    assert all(before < after for before, after in pairwise(spans))


def test_find_gives_twenty_unless_asked_for_more(medplum: Server) -> None:
    query = query_for(medplum)
    del query["_count"]
    assert len(medplum.get("Appointment/$find", **query).json()["entry"]) == 20


def test_find_gives_past_times_too(medplum: Server) -> None:
    past = find(medplum, start="2026-11-18T08:00:00Z", end="2026-11-18T18:00:00Z")
    assert [each["start"] < "2026-11-18T18:00" for each in past].count(True) == len(past) > 0


def test_find_over_two_schedules_gives_what_both_have_free(medplum: Server) -> None:
    apart = [{each["start"] for each in find(medplum, name)} for name in ("Goldberg", "Srinivasan")]
    pair = [f"Schedule/{medplum.schedule(name)['id']}" for name in ("Goldberg", "Srinivasan")]
    both = find(medplum, schedule=pair)
    assert {each["start"] for each in both} == apart[0] & apart[1]
    assert len(both[0]["contained"]) == len(both[0]["participant"]) == 2


def test_find_never_looks_at_a_classic_schedule_as_bookable(medplum: Server) -> None:
    answer = medplum.get("Appointment/$find", **query_for(medplum, "Okonkwo"))
    assert issue(answer) == (400, "invalid", "Schedule is not schedulable for requested service type")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"end": "2026-12-25T08:00:00Z"}, "Search range cannot exceed 31 days"),
        ({"end": "2026-11-23T08:00:00Z"}, "Invalid search time range"),
        ({"start": "soon"}, "Invalid date format"),
        ({"start": None}, "Expected at least 1 value(s) for required input parameter 'start'"),
        ({"schedule": "Schedule/none"}, "Loading schedule failed"),
        ({"service-type-reference": "HealthcareService/none"}, "HealthcareService not found"),
    ],
)
def test_find_refuses(medplum: Server, changes: Json, text: str) -> None:
    query = {name: value for name, value in {**query_for(medplum), **changes}.items() if value is not None}
    assert issue(medplum.get("Appointment/$find", **query)) == (400, "invalid", text)


def test_find_with_an_inactive_service(medplum: Server) -> None:
    home = service_at(medplum, "Home visit 60 minutes")
    answer = medplum.get("Appointment/$find", **query_for(medplum, **{"service-type-reference": home}))
    assert issue(answer) == (400, "invalid", "HealthcareService is inactive")


def test_find_is_a_get_on_the_type(medplum: Server) -> None:
    schedule = medplum.schedule("Goldberg")["id"]
    assert medplum.post("Appointment/$find", {}).status_code == 404
    assert medplum.get(f"Schedule/{schedule}/$find").status_code == 404
    assert medplum.get("Appointment/$book").status_code == 404


def test_find_in_the_form_the_documentation_shows(medplum: Server) -> None:
    medplum.switch(find_in_parameters=True)
    answer = medplum.get("Appointment/$find", **query_for(medplum)).json()
    (only,) = answer["parameter"]
    assert (answer["resourceType"], only["name"], only["resource"]["type"]) == (
        "Parameters",
        "return",
        "searchset",
    )


def _schedule(medplum: Server, *extensions: Json, zone: str | None, service: str) -> str:
    """A Schedule of somebody new with these scheduling parameters."""
    person = medplum.create(
        "Practitioner",
        **(
            {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": zone}]}
            if zone
            else {}
        ),
    )
    reference = {"url": "service", "valueReference": {"reference": service}}
    made = medplum.create(
        "Schedule",
        actor=[{"reference": f"Practitioner/{person['id']}"}],
        serviceType=[{"extension": [{"url": SERVICE_REFERENCE, "valueReference": {"reference": service}}]}],
        extension=[{"url": PARAMETERS, "extension": [reference, *extensions]}],
    )
    return f"Schedule/{made['id']}"


def _available(*days: str, start: str, end: str) -> Json:
    times = [
        *({"url": "daysOfWeek", "valueCode": day} for day in days),
        {"url": "availableStartTime", "valueTime": start},
        {"url": "availableEndTime", "valueTime": end},
    ]
    return {"url": "availability", "extension": [{"url": "availableTime", "extension": times}]}


def _length(name: str, minutes: int) -> Json:
    return {"url": name, "valueDuration": {"value": minutes, "unit": "min"}}


def test_hours_follow_the_clock_across_a_change_of_time(medplum: Server) -> None:
    service = service_at(medplum)
    hours = _available("mon", "fri", start="09:00:00", end="10:00:00")
    schedule = _schedule(medplum, _length("duration", 60), hours, zone="America/New_York", service=service)
    found = find(
        medplum,
        schedule=schedule,
        start="2027-11-05T00:00:00Z",
        end="2027-11-09T00:00:00Z",
    )
    assert [each["start"] for each in found] == ["2027-11-05T13:00:00.000Z", "2027-11-08T14:00:00.000Z"]


def test_the_grid_is_hourly_in_utc_unless_said(medplum: Server) -> None:
    service = medplum.create("HealthcareService", active=True, type=[{"text": "Visit"}])
    reference = f"HealthcareService/{service['id']}"
    hours = _available("mon", start="09:15:00", end="12:00:00")
    schedule = _schedule(medplum, _length("duration", 30), hours, zone="Asia/Kolkata", service=reference)
    day = {"start": "2026-11-22T18:30:00Z", "end": "2026-11-23T18:30:00Z"}
    query = {"schedule": schedule, "service-type-reference": reference, **day}
    assert [each["start"] for each in find(medplum, **query)] == [
        "2026-11-23T04:00:00.000Z",
        "2026-11-23T05:00:00.000Z",
        "2026-11-23T06:00:00.000Z",
    ]


def test_hours_past_midnight(medplum: Server) -> None:
    service = service_at(medplum)
    hours = _available("mon", start="23:00:00", end="01:00:00")
    schedule = _schedule(medplum, _length("duration", 60), hours, zone="Etc/UTC", service=service)
    found = find(medplum, schedule=schedule)
    assert [each["start"] for each in found] == [
        f"2026-11-{start}.000Z"
        for start in ("23T23:00:00", "23T23:15:00", "23T23:30:00", "23T23:45:00", "24T00:00:00")
    ]


def test_an_actor_without_a_zone(medplum: Server) -> None:
    service = service_at(medplum)
    hours = _available("mon", start="09:00:00", end="10:00:00")
    lost = _schedule(medplum, _length("duration", 60), hours, zone=None, service=service)
    answer = medplum.get("Appointment/$find", **query_for(medplum, schedule=lost))
    assert issue(answer) == (400, "invalid", "No timezone specified")
    zone = {"url": "timezone", "valueCode": "Etc/UTC"}
    known = _schedule(medplum, _length("duration", 60), hours, zone, zone=None, service=service)
    assert len(find(medplum, schedule=known)) == 1


def test_fields_a_schedule_leaves_out_are_the_services_from_the_beta_on(medplum: Server) -> None:
    service = service_at(medplum)
    hours = _available("mon", start="09:00:00", end="10:00:00")
    schedule = _schedule(medplum, hours, zone="Etc/UTC", service=service)
    assert len(find(medplum, schedule=schedule)) == 3
    medplum.switch(medplum_version="5.1.12")
    answer = medplum.get("Appointment/$find", **query_for(medplum, schedule=schedule))
    assert issue(answer) == (400, "invalid", "No matching scheduling parameters found")


def test_two_actors_cannot_be_scheduled(medplum: Server) -> None:
    schedule = medplum.schedule("Goldberg")
    two = {**schedule, "actor": [*schedule["actor"], {"reference": "Location/x"}]}
    medplum.put(f"Schedule/{schedule['id']}", two)
    answer = medplum.get("Appointment/$find", **query_for(medplum))
    assert issue(answer) == (400, "invalid", "$find only supported on schedules with exactly one actor")


def test_a_free_slot_opens_time_outside_of_the_hours(medplum: Server) -> None:
    saturday = {"start": "2026-11-21T08:00:00Z", "end": "2026-11-22T08:00:00Z"}
    assert [each["start"] for each in find(medplum, **saturday)] == [
        "2026-11-21T18:00:00.000Z",
        "2026-11-21T18:15:00.000Z",
        "2026-11-21T18:30:00.000Z",
    ]


@pytest.mark.parametrize(("version", "blocks_telehealth"), [("beta", False), ("5.1.13", True)])
def test_a_busy_slot_with_a_service(medplum: Server, version: str, blocks_telehealth: bool) -> None:
    """Since 5.1.28 it blocks that service only; before, all."""
    medplum.switch(medplum_version=version)
    schedule = f"Schedule/{medplum.schedule('Goldberg')['id']}"
    first = find(medplum)[0]
    office = {"coding": [{"system": "http://snomed.info/sct", "code": "308335008"}]}
    span = {"start": first["start"], "end": first["end"]}
    medplum.create("Slot", schedule={"reference": schedule}, status="busy", serviceType=[office], **span)
    by_service = {
        name: first["start"]
        in [each["start"] for each in find(medplum, **{"service-type-reference": service_at(medplum, name)})]
        for name in ("Telehealth 30 minutes", "Office visit 30 minutes")
    }
    assert by_service == {"Telehealth 30 minutes": not blocks_telehealth, "Office visit 30 minutes": False}
