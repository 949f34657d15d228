"""What clinic staff do at their own screens: it asks nobody, and its mark in the write log is "staff".

A classic time is taken by making its Slots busy, an operations time by a Slot of its own. A visit that is moved keeps
its Appointment, in these manners; in Canvas it would not.
"""

from ..control import STAFF as CLIENT
from ..roster import STAFF
from ..seed import JsonObject
from .clinic import Clinic
from .people import person_id, place_id
from .records import Record
from .slots import slot_references
from .times import Book, books, written


class R4StaffScreen:
    def __init__(self, clinic: Clinic) -> None:
        self._clinic = clinic
        self._records = clinic.records

    def cancel(self, id_: str) -> str:
        with self._records.writing():
            visit = self._visit(id_)
            self._release(visit.resource)
            self._records.update(visit, {**visit.resource, "status": "cancelled"}, CLIENT)
        return id_

    def reschedule(self, id_: str, starts: int, ends: int) -> str:
        with self._records.writing():
            visit = self._visit(id_)
            book = self._book_of(visit.resource)
            self._release(visit.resource)
            taken = self._take(book, starts, ends)
            start, end = written((starts, ends), book.place, self._clinic.manners)
            moved = {**visit.resource, "start": start, "end": end, "slot": taken}
            self._records.update(visit, moved, CLIENT)
        return id_

    def book(self, practitioner_id: str, starts: int, ends: int) -> str:
        """Takes a time for something else, with no patient."""
        mine = self._books(practitioner_id.removeprefix("Practitioner/"))
        if not mine:
            raise ValueError("practitioner is the id of a member of staff.")
        with self._records.writing():
            book = next((each for each in mine if self._rows(each, starts, ends)), mine[0])
            taken = self._take(book, starts, ends)
            start, end = written((starts, ends), book.place, self._clinic.manners)
            visit: JsonObject = {
                "resourceType": "Appointment",
                "status": "booked",
                "description": "Booked at the desk",
                "start": start,
                "end": end,
                "slot": taken,
                "participant": [
                    {"actor": {"reference": f"Practitioner/{person_id(book.staff)}"}, "status": "accepted"},
                    {"actor": {"reference": f"Location/{place_id(book.place)}"}, "status": "accepted"},
                ],
            }
            return self._records.create(visit, CLIENT).id

    def _visit(self, id_: str) -> Record:
        record = self._records.find("Appointment", id_)
        if record is None or record.deleted:
            raise LookupError(id_)
        return record

    def _books(self, person: str) -> list[Book]:
        by_key = {person_id(staff): staff.key for staff in STAFF}
        return [
            book
            for book in books(self._clinic.directory, self._clinic.manners)
            if book.staff.key == by_key.get(person)
        ]

    def _book_of(self, visit: JsonObject) -> Book:
        references = [entry.get("actor", {}).get("reference", "") for entry in visit["participant"]]
        for reference in references:
            if mine := self._books(reference.removeprefix("Practitioner/")):
                schedules = {
                    slot.resource["schedule"]["reference"]
                    for slot in map(self._records.follow, slot_references(visit))
                    if slot is not None
                }
                return next((book for book in mine if f"Schedule/{book.id}" in schedules), mine[0])
        raise LookupError(visit["id"])

    def _rows(self, book: Book, starts: int, ends: int) -> list[Record]:
        """The Slots of a schedule that touch a time, in order."""
        found = self._records.rows(
            "SELECT id FROM record WHERE schedule = ? AND deleted = 0 AND starts < ? AND ends > ? ORDER BY starts",
            (f"Schedule/{book.id}", ends * 60, starts * 60),
        )
        return [self._records.read("Slot", row["id"]) for row in found]

    def _take(self, book: Book, starts: int, ends: int) -> list[JsonObject]:
        """References to the Slots that are now busy for this."""
        rows = [] if book.by_operations else self._rows(book, starts, ends)
        if rows:
            # A twin of somebody else's visit, as staff can make one, shares its Slots.
            for row in rows:
                if row.resource["status"] == "free":
                    self._records.update(row, {**row.resource, "status": "busy"}, CLIENT)
            return [{"reference": f"Slot/{row.id}"} for row in rows]
        start, end = written((starts, ends), book.place, self._clinic.manners)
        made = self._records.create(
            {
                "resourceType": "Slot",
                "schedule": {"reference": f"Schedule/{book.id}"},
                "status": "busy",
                "start": start,
                "end": end,
            },
            CLIENT,
        )
        return [{"reference": f"Slot/{made.id}"}]

    def _release(self, visit: JsonObject) -> None:
        by_operations = {
            f"Schedule/{book.id}"
            for book in books(self._clinic.directory, self._clinic.manners)
            if book.by_operations
        }
        for slot in map(self._records.follow, slot_references(visit)):
            if slot is None:
                continue
            if slot.resource["schedule"].get("reference") in by_operations:
                self._records.delete(slot, CLIENT)
            elif not self._is_shared(slot, visit):
                self._records.update(slot, {**slot.resource, "status": "free"}, CLIENT)

    def _is_shared(self, slot: Record, visit: JsonObject) -> bool:
        """Whether another visit that still takes place holds the same Slot."""
        found = self._records.rows(
            "SELECT id FROM record WHERE type = 'Appointment' AND deleted = 0 AND id != ? AND status NOT IN"
            " ('cancelled', 'noshow', 'entered-in-error')"
            " AND seq IN (SELECT seq FROM term WHERE name = 'Appointment.slot' AND value = ?)",
            (visit["id"], f"Slot/{slot.id}"),
        )
        return bool(found)
