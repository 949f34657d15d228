"""Appointment/$find: times that every Schedule asked for has free, as Appointments that do not exist yet.

Gives past times when asked for them, and no more than 20 unless asked for more, with no sign that there are more.
"""

from collections.abc import Iterable
from datetime import timedelta

from ..seed import JsonObject
from .clinic import Clinic
from .hours import (
    Rules,
    free_spans,
    moment,
    offers,
    rules_for,
    slots_touching,
)
from .interactions import Call
from .outcomes import Answer, bad_request, not_supported
from .records import Record, Records
from .services import SERVICE_REFERENCE
from .slots import slot_references
from .switches import MedplumSwitches
from .times import instant

DEFAULT_COUNT, MAX_COUNT, LONGEST = 20, 1000, timedelta(days=31)


def find(clinic: Clinic, switches: MedplumSwitches, call: Call) -> Answer:
    given: dict[str, list[str]] = {}
    for name, value in call.pairs:
        given.setdefault(name, []).append(value)
    for name in ("start", "end", "service-type-reference", "schedule"):
        required(given.get(name), name)
    start, end = moment(given["start"][0]), moment(given["end"][0])
    if end <= start:
        bad_request("Invalid search time range")
    if end - start > LONGEST:
        bad_request("Search range cannot exceed 31 days")
    count = _count(given.get("_count", [str(DEFAULT_COUNT)])[0])
    is_beta = switches.medplum_version == "beta"
    if is_beta and "occurrence-count" in given:
        not_supported("The sandbox finds no series.", 501)
    records = clinic.records
    service = load_service(records, given["service-type-reference"][0])
    schedules = [load_schedule(records, reference, service) for reference in given["schedule"]]
    whole_entry = switches.medplum_version == "5.1.12"
    rules = [rules_for(records, each, service, whole_entry=whole_entry) for each in schedules]
    agree(rules)
    ignored = _ignored(records, given.get("ignore-appointment", [])) if is_beta else frozenset()
    within = -(-int(start.timestamp()) // 60), int(end.timestamp()) // 60
    starts: set[int] | None = None
    for schedule, its in zip(schedules, rules, strict=True):
        # A buffer may lie outside of the time searched, a visit may not.
        around = within[0] - its.before, within[1] + its.after
        slots = [each for each in slots_touching(records, schedule["id"], around) if each.id not in ignored]
        spans = free_spans(its, service, slots, around, by_service=is_beta)
        found = {
            at
            for low, high in spans
            for at in range(low + its.before, high - its.minutes - its.after + 1)
            if its.is_aligned(at)
        }
        starts = found if starts is None else starts & found
    proposals = [
        _proposal(at, service, schedules, rules, with_service=not is_beta)
        for at in sorted(starts or ())[:count]
    ]
    bundle: JsonObject = {"resourceType": "Bundle", "type": "searchset"}
    if proposals:
        bundle["entry"] = [{"resource": each} for each in proposals]
    if switches.find_in_parameters:
        return Answer(
            200, {"resourceType": "Parameters", "parameter": [{"name": "return", "resource": bundle}]}
        )
    return Answer(200, bundle)


def load_service(records: Records, reference: str) -> JsonObject:
    record = records.follow(reference) if reference.startswith("HealthcareService/") else None
    if record is None:
        bad_request("HealthcareService not found")
    if record.resource.get("active") is False:
        bad_request("HealthcareService is inactive")
    return record.resource


def load_schedule(records: Records, reference: str, service: JsonObject) -> JsonObject:
    record = records.follow(reference) if reference.startswith("Schedule/") else None
    if record is None:
        bad_request("Loading schedule failed")
    if record.resource.get("active") is False:
        bad_request(f"Schedule {record.id} is not active")
    if not offers(record.resource, service):
        bad_request("Schedule is not schedulable for requested service type")
    return record.resource


def agree(rules: list[Rules]) -> None:
    """Several Schedules can be searched together only if they count time alike."""
    for name in ("duration", "interval", "offset"):
        if len({getattr(each, name) for each in rules}) > 1:
            bad_request(f"Scheduling parameters attribute '{name}' does not match")


def required(values: Iterable[object] | None, name: str) -> None:
    if not values:
        bad_request(f"Expected at least 1 value(s) for required input parameter '{name}'")


def visit_slots(schedule: JsonObject, rules: Rules, at: int) -> list[JsonObject]:
    """The Slots that a visit takes: its own and its buffers."""
    spans = [("busy", at, at + rules.minutes)]
    if rules.before:
        spans.append(("busy-unavailable", at - rules.before, at))
    if rules.after:
        spans.append(("busy-unavailable", at + rules.minutes, at + rules.minutes + rules.after))
    return [
        {
            "resourceType": "Slot",
            "status": status,
            "schedule": {"reference": f"Schedule/{schedule['id']}"},
            "start": instant(low),
            "end": instant(high),
        }
        for status, low, high in spans
    ]


def _proposal(
    at: int, service: JsonObject, schedules: list[JsonObject], rules: list[Rules], *, with_service: bool
) -> JsonObject:
    kinds = [
        {
            **concept,
            "extension": [
                {
                    "url": SERVICE_REFERENCE,
                    "valueReference": {"reference": f"HealthcareService/{service['id']}"},
                }
            ],
        }
        for concept in service.get("type") or [{}]
    ]
    contained = [
        # Until 5.1.28 Slots carried the service, and nothing came of it.
        {**slot, **({"serviceType": kinds} if with_service else {})}
        for schedule, its in zip(schedules, rules, strict=True)
        for slot in visit_slots(schedule, its, at)
    ]
    return {
        "resourceType": "Appointment",
        "status": "proposed",
        "start": instant(at),
        "end": instant(at + rules[0].minutes),
        "serviceType": kinds,
        "participant": [
            {"actor": schedule["actor"][0], "required": "required", "status": "needs-action"}
            for schedule in schedules
        ],
        "contained": contained,
    }


def _ignored(records: Records, references: list[str]) -> frozenset[str]:
    """Ids of the Slots that an Appointment holds, which then count as free."""
    if not references:
        return frozenset()
    record: Record | None = records.follow(references[0])
    if record is None or record.type != "Appointment":
        bad_request("Loading ignore-appointment failed")
    return frozenset(each.removeprefix("Slot/") for each in slot_references(record.resource))


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        bad_request(f"Invalid value '{text}' provided for integer parameter")
    return min(int(text), MAX_COUNT)
