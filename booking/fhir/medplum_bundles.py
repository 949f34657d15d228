"""Slots claimed and an Appointment made in one transaction Bundle, where Medplum really does transactions.

Unless Medplum's staff switch it on for a project, it carries out a ``transaction`` as a batch: what fails undoes
nothing, the status is 200, and the answer still calls itself a transaction-response. So it is tried first.
"""

from __future__ import annotations

import logging
import threading
import uuid
from typing import Any

from booking.scheduling.errors import EhrFailure, EhrRejected, OutcomeUnknown

from . import outcomes, resources
from .client import EhrClient
from .keeping import Kept
from .medplum_outcomes import is_rolled_back
from .wire import Answer

logger = logging.getLogger("booking.fhir")

Json = dict[str, Any]

_KEEP_SECONDS = 3600.0
_ASK_AGAIN_SECONDS = 60.0
_PROBE_SYSTEM = "urn:self-scheduling-portal:probe"


class Lost(Exception):
    """Nothing was done, for a Slot was no longer as it was read, or the work was rolled back."""


class Transactions:
    def __init__(self, client: EhrClient) -> None:
        self._client = client
        self._hold: Kept[bool] = Kept(client.clock, seconds=_KEEP_SECONDS)
        self._probing = threading.Lock()

    def hold(self) -> bool:
        """Whether one that fails leaves nothing behind. One thread tries; the others do without meanwhile."""
        if not self._probing.acquire(blocking=False):
            return False
        try:
            return self._hold.get("", self._probe)
        except EhrFailure as failure:
            logger.warning("whether transactions hold is not known: %s", failure)
            self._hold.put("", False, _ASK_AGAIN_SECONDS)
            return False
        finally:
            self._probing.release()

    def forget(self) -> None:
        self._hold.put("", False)

    def _probe(self) -> bool:
        """First one that can do nothing at all, then, if the whole of it was refused, one that would leave an
        Appointment ``entered-in-error``."""
        fails = _entry("PUT", f"Slot/{uuid.uuid4()}", _no_slot())
        if not self._is_refused([fails]):
            return False
        mark = {"system": _PROBE_SYSTEM, "value": str(uuid.uuid4())}
        trace = {
            "resourceType": "Appointment",
            "status": "entered-in-error",
            "identifier": [mark],
            "participant": [{"actor": {"display": "Probe"}, "status": "declined"}],
        }
        if not self._is_refused([_entry("POST", "Appointment", trace), fails]):
            return False
        query = {"identifier": f"{mark['system']}|{mark['value']}", "_count": "1"}
        return not self._client.search("Appointment", query, self._client.deadline())

    def _is_refused(self, entries: list[Json]) -> bool:
        for entry in entries:
            if entry["request"]["method"] == "PUT":
                entry["resource"]["id"] = entry["request"]["url"].partition("/")[2]
        try:
            outcomes.written_object(
                self._client.write("POST", "", _transaction(entries), self._client.deadline())
            )
        except EhrRejected as refusal:
            return refusal.status in (400, 404, 409, 412, 422)
        return False

    def create(self, turns: list[tuple[Json, Json]], appointment: Json) -> str:
        """Turn Slots, each if it is as it was read, and make the Appointment. Raises ``Lost``, and ``OutcomeUnknown``
        when the whole may have been done, or part of it."""
        entries = [
            _entry(
                "PUT",
                resources.own_reference(slot),
                changed,
                ifMatch=f'W/"{resources.text(resources.mapping(slot.get("meta")).get("versionId"))}"',
            )
            for slot, changed in turns
        ]
        entries.append(_entry("POST", "Appointment", appointment))
        answer = self._client.write("POST", "", _transaction(entries), self._client.deadline())
        if is_rolled_back(answer) or (isinstance(answer, Answer) and answer.status in (409, 412)):
            raise Lost
        done = outcomes.written_object(answer)
        responses = [
            resources.mapping(each.get("response")) for each in resources.mappings(done.get("entry"))
        ]
        statuses = [resources.text(each.get("status"))[:1] for each in responses]
        if len(responses) != len(entries) or set(statuses) != {"2"}:
            # It is a batch now, or says nothing of use: what was done of it is for a later look to find.
            self.forget()
            raise OutcomeUnknown("POST Bundle: part of it was done, or none", status=200)
        found = resources.REFERENCE.search(resources.text(responses[-1].get("location")))
        if not found or found[1] != "Appointment":
            raise OutcomeUnknown(
                "POST Bundle: accepted, but the answer does not say what was made", status=200
            )
        ref = f"Appointment/{found[2]}"
        # Medplum's issue 9811: one that the server itself tried twice could answer 200 with nothing stored.
        try:
            self._client.read(ref, self._client.deadline())
        except EhrFailure as failure:
            raise OutcomeUnknown("POST Bundle: accepted, but what it made cannot be read") from failure
        return ref


def _no_slot() -> Json:
    return {
        "resourceType": "Slot",
        "schedule": {"reference": "Schedule/00000000-0000-4000-8000-000000000000"},
        "status": "entered-in-error",
        "start": "2020-01-01T00:00:00Z",
        "end": "2020-01-01T00:15:00Z",
    }


def _entry(method: str, url: str, resource: Json, **more: str) -> Json:
    return {"resource": resource, "request": {"method": method, "url": url, **more}}


def _transaction(entries: list[Json]) -> Json:
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}
