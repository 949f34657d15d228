"""Medplum's scheduling operations on Appointment: $find, $hold, $book, $confirm, $cancel, $reschedule.

Each but $find is one serializable transaction. Which of them there are, and what form $book takes, differs by version.
"""

from ..seed import JsonObject
from .booking_old import old_proposal, refuse_taken_old
from .capabilities import operations
from .checking import checked, parsed
from .clinic import Clinic
from .finding import agree, find, load_schedule, load_service, required, visit_slots
from .hours import minute, rules_for, service_references
from .interactions import Call
from .outcomes import Answer, Refused, bad_request
from .proposals import Proposal, proposal_of, refuse_taken
from .records import Record
from .serializing import Plan, Serializer
from .slots import slot_references
from .switches import MedplumSwitches
from .times import instant

_HELD = {"busy": "busy-tentative"}


class MedplumOperations:
    def __init__(self, clinic: Clinic, switches: MedplumSwitches, serializer: Serializer) -> None:
        self._clinic = clinic
        self._switches = switches
        self._records = clinic.records
        self._serializer = serializer

    def perform(self, call: Call) -> Answer:
        known = operations(self._switches.medplum_version)
        match (call.method, *call.parts):
            case ("GET", "Appointment", "$find"):
                return find(self._clinic, self._switches, call)
            case ("POST", "Appointment", "$hold"):
                return self._serializer.run(lambda: self._hold(call))
            case ("POST", "Appointment", "$book"):
                return self._serializer.run(lambda: self._book(call))
            case ("POST", "Appointment", id_, "$confirm") if "confirm" in known:
                return self._serializer.run(lambda: self._confirm(call, id_))
            case ("POST", "Appointment", id_, "$cancel"):
                return self._serializer.run(lambda: self._cancel(call, id_))
            case ("POST", "Appointment", id_, "$reschedule") if "reschedule" in known:
                return self._serializer.run(lambda: self._reschedule(call, id_))
        raise Refused(404, "not-found", "Not found")

    @property
    def _is_beta(self) -> bool:
        return self._switches.medplum_version == "beta"

    @property
    def _whole_entry(self) -> bool:
        return self._switches.medplum_version == "5.1.12"

    def _hold(self, call: Call) -> Plan:
        return self._proposed(call, self._given(call, "appointment"), "pending")

    def _book(self, call: Call) -> Plan:
        """Until 5.1.12 from Slots, from 5.1.13 also from an Appointment, in the beta from that only."""
        version = self._switches.medplum_version
        parameters = _parameters(call)
        if version == "beta" or (version == "5.1.13" and "appointment" in parameters):
            return self._proposed(call, self._given(call, "appointment"), "booked")
        required(parameters.get("slot"), "slot")
        proposal = old_proposal(self._clinic, parameters)
        if version == "5.1.12":
            refuse_taken_old(self._clinic, proposal)
        else:
            self._refuse_taken(proposal)

        def apply() -> Answer:
            made = [self._records.create(slot, call.client) for slot in proposal.slots]
            own = [each for each in made if each.resource["status"] == "busy"]
            visit = self._records.create(_with_slots(proposal.appointment, own), call.client)
            kind = "searchset" if version == "5.1.12" else "transaction-response"
            return Answer(201, _bundle([visit, *made], kind))

        return Plan(apply)

    def _proposed(self, call: Call, given: JsonObject, status: str) -> Plan:
        proposal = proposal_of(self._clinic, given, whole_entry=self._whole_entry)
        self._refuse_taken(proposal)

        def apply() -> Answer:
            made = [self._records.create(_as_status(slot, status), call.client) for slot in proposal.slots]
            visit = {**_with_slots(proposal.appointment, made), "status": status}
            return Answer(201, _bundle([self._records.create(visit, call.client), *made]))

        return Plan(apply)

    def _refuse_taken(self, proposal: Proposal, without: frozenset[str] = frozenset()) -> None:
        refuse_taken(self._clinic, proposal, by_service=self._is_beta, without=without)

    def _confirm(self, call: Call, id_: str) -> Plan:
        visit = self._records.read("Appointment", id_)
        status = visit.resource["status"]
        if status not in ("pending", "proposed"):
            text = f"Appointment cannot be confirmed in '{status}' status"
            # The measured server said 400 to the second of two; the documentation says 409.
            if self._is_beta:
                raise Refused(409, "conflict", text)
            bad_request(text)
        slots = self._slots_of(visit)

        def apply() -> Answer:
            done = []
            for slot in slots:
                body = slot.resource
                is_held = body["status"] == "busy-tentative"
                done.append(
                    self._records.update(slot, {**body, "status": "busy"}, call.client) if is_held else slot
                )
            booked = self._records.update(visit, {**visit.resource, "status": "booked"}, call.client)
            return Answer(200, _bundle([booked, *done]))

        return Plan(apply, kind="confirm", about=id_, read=[visit, *slots])

    def _cancel(self, call: Call, id_: str) -> Plan:
        """Deletes whatever Slots the Appointment names, a clinic's own too."""
        visit = self._records.read("Appointment", id_)
        slots = self._slots_of(visit)
        status = visit.resource["status"]
        if status not in ("pending", "booked"):
            bad_request(f"Appointment cannot be canceled in '{status}' status")

        def apply() -> Answer:
            canceled = self._records.update(visit, {**visit.resource, "status": "cancelled"}, call.client)
            for slot in slots:
                self._records.delete(slot, call.client)
            return Answer(200, canceled.json)

        return Plan(apply, kind="cancel", about=id_, read=[visit, *slots])

    def _reschedule(self, call: Call, id_: str) -> Plan:
        """From the documentation only: no measured server had it. The service is the Appointment's own."""
        parameters = _parameters(call)
        required(parameters.get("start"), "start")
        required(parameters.get("schedule"), "schedule")
        visit = self._records.read("Appointment", id_)
        body = visit.resource
        if body["status"] not in ("pending", "booked"):
            bad_request(f"Appointment cannot be rescheduled in '{body['status']}' status")
        references = service_references(body)
        if len(references) != 1:
            few = "too many service references" if references else "no service reference"
            bad_request(f"Appointment has {few}", "Appointment.serviceType")
        service = load_service(self._records, references[0])
        schedules = [
            load_schedule(self._records, _reference(each, "schedule"), service)
            for each in parameters["schedule"]
        ]
        rules = [rules_for(self._records, each, service, whole_entry=False) for each in schedules]
        agree(rules)
        at = minute(str(parameters["start"][0].get("valueDateTime", "")))
        if not rules[0].is_aligned(at):
            bad_request("Start time is not aligned to the scheduling grid", "Parameters.start")
        held = self._slots_of(visit)
        parts = [
            (schedule, its, visit_slots(schedule, its, at))
            for schedule, its in zip(schedules, rules, strict=True)
        ]
        proposal = Proposal(body, service, parts)
        self._refuse_taken(proposal, frozenset(each.id for each in held))
        participants = self._participants(body, held, schedules)

        def apply() -> Answer:
            for slot in held:
                self._records.delete(slot, call.client)
            made = [
                self._records.create(_as_status(slot, body["status"]), call.client) for slot in proposal.slots
            ]
            moved = {
                **_with_slots(body, made),
                "start": instant(at),
                "end": instant(at + rules[0].minutes),
                "participant": participants,
            }
            return Answer(200, _bundle([self._records.update(visit, moved, call.client), *made]))

        return Plan(apply, kind="reschedule", about=id_, read=[visit, *held])

    def _participants(
        self, visit: JsonObject, held: list[Record], schedules: list[JsonObject]
    ) -> list[JsonObject]:
        """The new Schedules' actors in the place of the old ones'; everybody else stays."""
        before = [self._records.follow(slot.resource["schedule"].get("reference")) for slot in held]
        left = {
            actor.get("reference")
            for schedule in before
            if schedule is not None
            for actor in schedule.resource["actor"]
        }
        now = {schedule["actor"][0].get("reference"): schedule["actor"][0] for schedule in schedules}
        kept = [
            each
            for each in visit["participant"]
            if each.get("actor", {}).get("reference") not in left - set(now)
        ]
        there = {each.get("actor", {}).get("reference") for each in kept}
        return [
            *kept,
            *(
                {"actor": actor, "required": "required", "status": "needs-action"}
                for reference, actor in now.items()
                if reference not in there
            ),
        ]

    def _slots_of(self, visit: Record) -> list[Record]:
        found = [self._records.follow(reference) for reference in slot_references(visit.resource)]
        if any(slot is None for slot in found):
            bad_request("Loading slots failed")
        return [slot for slot in found if slot is not None]

    def _given(self, call: Call, name: str) -> JsonObject:
        values = _parameters(call).get(name)
        required(values, name)
        resource = (values or [{}])[0].get("resource")
        if not isinstance(resource, dict) or resource.get("resourceType") != "Appointment":
            bad_request(f"Expected at least 1 value(s) for required input parameter '{name}'")
        return checked(resource, "Appointment")


def _parameters(call: Call) -> dict[str, list[JsonObject]]:
    found: dict[str, list[JsonObject]] = {}
    for each in checked(parsed(call.body), "Parameters").get("parameter", ()):
        found.setdefault(each["name"], []).append(each)
    return found


def _reference(parameter: JsonObject, name: str) -> str:
    reference = parameter.get("valueReference", {}).get("reference")
    if not reference:
        bad_request(f"Invalid {name} reference", f"Parameters.{name}")
    return str(reference)


def _as_status(slot: JsonObject, visit_status: str) -> JsonObject:
    """A pending visit holds its own time tentatively, and its buffers as anything does."""
    status = slot["status"]
    return {**slot, "status": _HELD.get(status, status) if visit_status == "pending" else status}


def _with_slots(visit: JsonObject, slots: list[Record]) -> JsonObject:
    return {**visit, "slot": [{"reference": f"Slot/{each.id}"} for each in slots]}


def _bundle(records: list[Record], kind: str = "transaction-response") -> JsonObject:
    return {
        "resourceType": "Bundle",
        "type": kind,
        "entry": [{"resource": each.resource} for each in records],
    }
