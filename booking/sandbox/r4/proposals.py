"""What $hold and $book are given: an Appointment as $find proposes it, held against the rules and the time left.

Texts of refusals are Medplum's where its documentation or a measured server shows them.
"""

import json
from dataclasses import dataclass

from ..seed import JsonObject
from .clinic import Clinic
from .finding import load_service
from .hours import Rules, free_spans, minute, rules_for, service_references, slots_touching
from .outcomes import Refused, bad_request
from .records import Records

NOT_AVAILABLE = "Requested time slot is not available"


@dataclass(frozen=True, slots=True)
class Proposal:
    """The Appointment to be, without its contained Slots, and those by Schedule."""

    appointment: JsonObject
    service: JsonObject
    parts: list[tuple[JsonObject, Rules, list[JsonObject]]]

    @property
    def slots(self) -> list[JsonObject]:
        return [slot for _, _, slots in self.parts for slot in slots]


def proposal_of(clinic: Clinic, given: JsonObject, *, whole_entry: bool) -> Proposal:
    references = service_references(given)
    if len(references) != 1:
        bad_request(
            f"Appointment has {'too many' if references else 'no'} service reference{'s' * bool(references)}"
        )
    if "slot" in given:
        bad_request("Proposed appointment must not have Slot references")
    slots = [each for each in given.get("contained", ()) if each["resourceType"] == "Slot"]
    if not slots:
        bad_request("Appointment has no contained Slot resources")
    own = [each for each in slots if each["status"] == "busy"]
    for name in ("start", "end"):
        if len({minute(each[name]) for each in own}) > 1:
            bad_request(f"Mismatched slot {name} times")
    records = clinic.records
    service = load_service(records, references[0])
    parts = []
    for reference in dict.fromkeys(each["schedule"].get("reference", "") for each in slots):
        schedule = schedule_at(records, reference)
        rules = rules_for(records, schedule, service, whole_entry=whole_entry)
        mine = [each for each in slots if each["schedule"].get("reference") == reference]
        _check_lengths(mine, rules)
        parts.append(
            (schedule, rules, [{name: each[name] for name in each if name != "id"} for each in mine])
        )
    appointment = {name: value for name, value in given.items() if name not in ("contained", "id", "meta")}
    return Proposal(appointment, service, parts)


def schedule_at(records: Records, reference: str) -> JsonObject:
    record = records.follow(reference) if reference.startswith("Schedule/") else None
    if record is None:
        bad_request("Schedule load failed")
    return record.resource


def refuse_taken(
    clinic: Clinic, proposal: Proposal, *, by_service: bool, without: frozenset[str] = frozenset()
) -> None:
    """Refuses a proposal whose whole time, buffers included, is not free; Slots in `without` are looked past."""
    for schedule, rules, slots in proposal.parts:
        span = min(minute(each["start"]) for each in slots), max(minute(each["end"]) for each in slots)
        _check_horizon(schedule, slots)
        there = [
            each for each in slots_touching(clinic.records, schedule["id"], span) if each.id not in without
        ]
        spans = free_spans(rules, proposal.service, there, span, by_service=by_service)
        if not any(low <= span[0] and span[1] <= high for low, high in spans):
            blocking = [
                {
                    "reference": f"Slot/{each.id}",
                    **{name: each.resource[name] for name in ("start", "end", "status")},
                }
                for each in there
                if each.resource["status"] in ("busy", "busy-unavailable")
            ]
            raise Refused(
                400,
                "invalid",
                NOT_AVAILABLE,
                diagnostics=json.dumps(
                    {"schedule": f"Schedule/{schedule['id']}", "blockingSlots": blocking},
                    separators=(",", ":"),
                ),
            )


def _check_lengths(slots: list[JsonObject], rules: Rules) -> None:
    own = [each for each in slots if each["status"] == "busy"]
    if len(own) != 1:
        bad_request("Expected exactly one 'busy' slot per schedule")
    start, end = minute(own[0]["start"]), minute(own[0]["end"])
    if end - start != rules.minutes:
        bad_request("Slot duration does not match scheduling parameters duration")
    buffers = {
        (minute(each["start"]), minute(each["end"])) for each in slots if each["status"] == "busy-unavailable"
    }
    if rules.before and (start - rules.before, start) not in buffers:
        bad_request(
            "Expected exactly one 'busy-unavailable' slot ending at the start of the busy slot (bufferBefore)"
        )
    if rules.after and (end, end + rules.after) not in buffers:
        bad_request(
            "Expected exactly one 'busy-unavailable' slot starting at the end of the busy slot (bufferAfter)"
        )


def _check_horizon(schedule: JsonObject, slots: list[JsonObject]) -> None:
    horizon = schedule.get("planningHorizon", {})
    too_early = "start" in horizon and any(minute(each["start"]) < minute(horizon["start"]) for each in slots)
    too_late = "end" in horizon and any(minute(each["end"]) > minute(horizon["end"]) for each in slots)
    if too_early or too_late:
        bad_request("Appointment falls outside schedule planning horizon")
