"""Canvas' Practitioners, Locations and Schedules, read into the directory.

The facts are from Canvas' Practitioner, Location and Schedule pages and from answers of live instances.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from booking.scheduling.terms import LocationListing, PractitionerListing, ScheduleListing

from . import licenses, listings, resources
from .listings import first

_EXTENSIONS = "http://schemas.canvasmedical.com/fhir/extensions"
_ROOM_URL = f"{_EXTENSIONS}/practitioner-personal-meeting-room-link"
_PRIMARY_LOCATION_URL = f"{_EXTENSIONS}/practitioner-primary-practice-location"
_ROLES_URL = f"{_EXTENSIONS}/roles"

# The location in a Schedule's id is Canvas' internal number, not the id that its Location resource has.
_SCHEDULE_ID = re.compile(r"Location\.([0-9]{1,10})-Staff\.([0-9a-f]{32})", re.IGNORECASE | re.ASCII)


def practitioner(resource: Mapping[str, Any]) -> PractitionerListing | None:
    listing = listings.practitioner(resource)
    if listing is None:
        return None
    return replace(
        listing,
        taxonomy_codes=licenses.taxonomy_codes(resource),
        role_codes=_role_codes(resource),
        licenses=licenses.licenses(resource),
        room_url=first(
            resources.https_url(found.get("valueUrl")) for found in resources.extensions(resource, _ROOM_URL)
        ),
        primary_location_ref=first(
            resources.reference(found.get("valueReference"), "Location")
            for found in resources.extensions(resource, _PRIMARY_LOCATION_URL)
        ),
    )


def schedule(resource: Mapping[str, Any]) -> ScheduleListing | None:
    """A Schedule with the practitioner its id names; its location is yet to be settled."""
    found = _SCHEDULE_ID.fullmatch(resources.text(resource.get("id")))
    if not found:
        return None
    practitioner_ref = f"Practitioner/{found[2]}"
    actors = [
        resources.reference(actor, "Practitioner") for actor in resources.mappings(resource.get("actor"))
    ]
    if any(actor and actor.casefold() != practitioner_ref.casefold() for actor in actors):
        return None
    return ScheduleListing(
        ref=f"Schedule/{found[0]}",
        practitioner_ref=first(actors) or practitioner_ref,
        location_key=str(int(found[1])),
        comment=resources.text(resource.get("comment")),
    )


def settle_locations(
    schedules: Iterable[ScheduleListing],
    names: Mapping[str, set[str]],
    locations: Iterable[LocationListing],
) -> dict[str, str]:
    """Which Location each schedule's number means, as far as the comments prove it: number to reference.

    A comment reads ``Schedule for <practitioner's name> at <location's name>``. ``names`` has, by
    practitioner reference, every way the name may be written. A number whose comments name two locations, or
    a location claimed by two numbers, stays out: a patient sent to the wrong clinic is worse than a question
    to the admin.
    """
    places = list(locations)
    claims: dict[str, set[str]] = {}
    for listing in schedules:
        named = _named_location(listing.comment, names.get(listing.practitioner_ref, set()), places)
        if named:
            claims.setdefault(listing.location_key, set()).update(named)
    claimed = [ref for refs in claims.values() for ref in refs]
    settled = {key: next(iter(refs)) for key, refs in claims.items() if len(refs) == 1}
    return {key: ref for key, ref in settled.items() if claimed.count(ref) == 1}


def spellings(resource: Mapping[str, Any]) -> set[str]:
    """Every way a Schedule's comment may write the practitioner's name."""
    found = set()
    for name in resources.names(resource):
        plain = " ".join((*name.given, name.family)).strip()
        short = f"{first(name.given)} {name.family}".strip()
        found |= {name.full, plain, short, f"{plain} {name.suffix}", f"{plain}, {name.suffix}"}
    return {_folded(spelling) for spelling in found if spelling}


def _named_location(comment: str, names: set[str], places: list[LocationListing]) -> set[str]:
    """The references of the locations that the comment ends on: none, one, or several of the same name."""
    words = _folded(comment)
    for name in sorted(names, key=len, reverse=True):
        # Both names may hold " at ". Where the practitioner's is known, the rest is the location's, whole.
        start = f"schedule for {name} at "
        if words.startswith(start):
            tail = words.removeprefix(start)
            full = {place.ref for place in places if _folded(place.name) == tail}
            return full or {place.ref for place in places if _folded(place.short_name) == tail}
    fitting = [
        (len(written), is_full, place.ref)
        for place in places
        for written, is_full in ((_folded(place.name), True), (_folded(place.short_name), False))
        if written and words.endswith(f" at {written}")
    ]
    best = max(fitting, default=(0, False, ""))[:2]
    return {ref for length, is_full, ref in fitting if (length, is_full) == best}


def _role_codes(resource: Mapping[str, Any]) -> tuple[str, ...]:
    codes = [
        resources.text(resources.mapping(part.get("valueCoding")).get("code"))
        for roles in resources.extensions(resource, _ROLES_URL)
        for part in [roles, *resources.mappings(roles.get("extension"))]
    ]
    return tuple(dict.fromkeys(filter(None, codes)))


def _folded(value: str) -> str:
    return " ".join(value.split()).casefold()
