"""What a server does about Slots when it looks after them itself, by switch: most leave them to the client."""

from ..seed import JsonObject
from .outcomes import Refused
from .records import Records

_HOLDS_NO_TIME = frozenset({"cancelled", "noshow", "entered-in-error"})


def take_slots(records: Records, appointment: JsonObject, client: str) -> None:
    """Makes the Slots of a new Appointment busy, or refuses it if one of them is not free."""
    if appointment["status"] in _HOLDS_NO_TIME:
        return
    for reference in slot_references(appointment):
        slot = records.follow(reference)
        if slot is None or slot.resource["status"] != "free":
            raise Refused(409, "conflict", f"{reference} is not free")
        records.update(slot, {**slot.resource, "status": "busy"}, client)


def settle_slots(records: Records, before: JsonObject, after: JsonObject, client: str) -> None:
    """Lets go of what an Appointment held before a change and takes what it holds after."""
    held = set(slot_references(before)) if before["status"] not in _HOLDS_NO_TIME else set()
    wanted = set(slot_references(after)) if after["status"] not in _HOLDS_NO_TIME else set()
    for reference in sorted(held - wanted):
        slot = records.follow(reference)
        if slot is not None and slot.resource["status"] == "busy":
            records.update(slot, {**slot.resource, "status": "free"}, client)
    taken = [{"reference": reference} for reference in sorted(wanted - held)]
    take_slots(records, {**after, "slot": taken}, client)


def slot_references(appointment: JsonObject) -> list[str]:
    return [entry["reference"] for entry in appointment.get("slot", ()) if "reference" in entry]
