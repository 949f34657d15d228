"""Buffers that Medplum 5.1.12 left behind: its $book made them without telling the Appointment, so that $cancel does
not know them, and they go on blocking time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from . import resources, writers
from .client import EhrClient
from .medplum_services import Services

Json = dict[str, Any]

_TOGETHER = timedelta(seconds=5)


def orphans(
    client: EhrClient, services: Services, schedule: Json, appointment: Json, slots: list[Json]
) -> Iterator[str]:
    """References to such buffers of a cancelled visit, whose ``slots`` are given as they were before.

    Right beside the visit, of the length its visit type has, last written within seconds of the visit's own Slot, and
    referred to by no Appointment: a block of the clinic's own is not all of that.
    """
    if len(slots) != 1:
        return
    own, time = slots[0], resources.slot(slots[0])
    if time is None:
        return
    named = services.of(schedule, appointment)
    kinds = [named] if named else services.fitting(schedule, None, time.ends_at - time.starts_at)
    spans = {(time.starts_at - timedelta(minutes=kind.minutes_before), time.starts_at) for kind in kinds} | {
        (time.ends_at, time.ends_at + timedelta(minutes=kind.minutes_after)) for kind in kinds
    }
    spans = {(start, end) for start, end in spans if start < end}
    if not spans:
        return
    query = [
        ("schedule", resources.own_reference(schedule)),
        ("status", "busy-unavailable"),
        ("start", f"ge{writers.write_instant(min(start for start, _ in spans))}"),
        ("start", f"lt{writers.write_instant(max(end for _, end in spans))}"),
        ("_count", "100"),
    ]
    for slot in client.search("Slot", query, client.deadline()):
        found, ref = resources.slot(slot), resources.own_reference(slot)
        if found is None or (found.starts_at, found.ends_at) not in spans or not _are_twins(own, slot):
            continue
        if not client.search("Appointment", {"slot": ref, "_count": "1"}, client.deadline()):
            yield ref


def _are_twins(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    first, second = _written_at(one), _written_at(other)
    return first is not None and second is not None and abs(first - second) <= _TOGETHER


def _written_at(resource: Mapping[str, Any]) -> datetime | None:
    return resources.instant(resources.mapping(resource.get("meta")).get("lastUpdated"))
