"""The form $book had in Medplum 5.1.12: Slots and a patient, and nothing else of what the caller sends is kept."""

from ..seed import JsonObject
from .clinic import Clinic
from .finding import visit_slots
from .hours import minute, rules_for, service_references, slots_touching
from .outcomes import Refused, bad_request
from .parameters import codes
from .proposals import NOT_AVAILABLE, Proposal, refuse_taken, schedule_at


def old_proposal(clinic: Clinic, parameters: dict[str, list[JsonObject]]) -> Proposal:
    """Buffer Slots are made beside the visit's own, but its Appointment will not know of them."""
    given = [each.get("resource") for each in parameters["slot"]]
    slots = [each for each in given if isinstance(each, dict) and each.get("resourceType") == "Slot"]
    if len(slots) != len(given):
        bad_request("Expected a Slot for input parameter slot")
    for name in ("start", "end"):
        if len({minute(each[name]) for each in slots}) > 1:
            bad_request(f"Mismatched slot {name} times")
    participants: list[JsonObject] = []
    parts = []
    start, end = minute(slots[0]["start"]), minute(slots[0]["end"])
    service: JsonObject = {}
    for slot in slots:
        schedule = schedule_at(clinic.records, slot["schedule"].get("reference", ""))
        if len(schedule["actor"]) != 1:
            bad_request("$book only supported on schedules with exactly one actor")
        service = _service(clinic, schedule, slot, end - start)
        rules = rules_for(clinic.records, schedule, service, whole_entry=True)
        own = {**{name: slot[name] for name in slot if name != "id"}, "status": "busy"}
        parts.append((schedule, rules, [own, *visit_slots(schedule, rules, start)[1:]]))
        participants.append({"actor": schedule["actor"][0], "status": "tentative"})
    patient = parameters.get("patient-reference", [{}])[0].get("valueReference")
    if patient is not None:
        if clinic.records.follow(patient.get("reference")) is None:
            bad_request("Invalid patient-reference")
        participants.append({"actor": patient, "status": "accepted"})
    appointment = {
        "resourceType": "Appointment",
        "status": "booked",
        "start": slots[0]["start"],
        "end": slots[0]["end"],
        "participant": participants,
    }
    return Proposal(appointment, service, parts)


def refuse_taken_old(clinic: Clinic, proposal: Proposal) -> None:
    """5.1.12 told a time that is taken (409) from one outside of the hours or too near to another (400)."""
    for schedule, _, (own, *_) in proposal.parts:
        span = minute(own["start"]), minute(own["end"])
        there = slots_touching(clinic.records, schedule["id"], span)
        if any(slot.resource["status"] != "free" for slot in there):
            raise Refused(409, "conflict", "Requested time slot is no longer available")
    try:
        refuse_taken(clinic, proposal, by_service=False)
    except Refused as refused:
        if refused.text != NOT_AVAILABLE:
            raise
        bad_request("No availability found at this time")


def _service(clinic: Clinic, schedule: JsonObject, slot: JsonObject, minutes: int) -> JsonObject:
    """The Schedule's service that the Slot names, by reference or by code, and that is this long."""
    named, coded = set(service_references(slot)), set(codes(slot, "serviceType").split())
    for reference in service_references(schedule):
        record = clinic.records.follow(reference)
        if record is None:
            continue
        is_named = reference in named if named else bool(coded & set(codes(record.resource, "type").split()))
        if is_named and _length(clinic, schedule, record.resource) == minutes:
            return record.resource
    raise Refused(400, "invalid", "No matching scheduling parameters found")


def _length(clinic: Clinic, schedule: JsonObject, service: JsonObject) -> int:
    return rules_for(clinic.records, schedule, service, whole_entry=True).minutes
