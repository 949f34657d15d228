"""The directory of an EHR that keeps to plain R4: Practitioner, PractitionerRole, Location and Schedule.

A Schedule belongs to the one practitioner among its actors, in person or by role, and to the location among its
actors, else the one of the role, else the one of all the practitioner's roles, else the only one there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import chain
from typing import Any

from booking.scheduling.terms import Directory, LocationListing, PractitionerListing, ScheduleListing

from . import licenses, listings, resources
from .client import EhrClient
from .r4_features import Features
from .standard import PAGE_SIZE, read_all
from .wire import Deadline

Json = dict[str, Any]

_AT_ONCE = 40
# Levels of a place within a place.
_MOST_FLOORS = 4
_KINDS = ("Practitioner", "PractitionerRole", "Location", "Schedule")


@dataclass(frozen=True, slots=True)
class Records:
    """What was read, by reference. Roles that are not active, or not today, are left out."""

    practitioners: dict[str, Json]
    roles: dict[str, Json]
    locations: dict[str, Json]
    schedules: dict[str, Json]


def read_directory(
    client: EhrClient,
    features: Features,
    deadline: Deadline,
    *,
    licenses_by_role: bool,
    is_photo: Callable[[str], bool],
) -> Directory:
    """``licenses_by_role`` takes a role at a whole state for a license there. ``is_photo`` says which addresses of
    photos other than https ones may be shown."""
    records = _records(_gather(client, features, deadline), client.today())
    states = licenses.whole_states(records.locations.values())
    sites = _sites({ref: found for ref, found in records.locations.items() if ref not in states})

    roles_of: dict[str, list[Json]] = {}
    for role in records.roles.values():
        roles_of.setdefault(resources.reference(role.get("practitioner"), "Practitioner"), []).append(role)

    def practitioner(resource: Mapping[str, Any]) -> PractitionerListing | None:
        listing = listings.practitioner(resource)
        return listing and _with_roles(
            listing,
            resource,
            roles_of.get(listing.ref, []),
            states,
            licenses_by_role=licenses_by_role,
            is_photo=is_photo,
        )

    people = read_all(list(records.practitioners.values()), practitioner, "Practitioner")
    places = [records.locations[ref] for ref, site in sites.items() if ref == site]
    locations = read_all(places, listings.location, "Location")
    active = {listing.ref for listing in people if listing.is_active}
    open_places = {listing.ref for listing in locations if listing.is_active}
    closed = {listing.ref for listing in locations} - open_places
    schedules = [
        replace(listing, location_ref=listing.location_ref or _only(open_places))
        for listing in _schedules(records, roles_of, sites, open_places, client.today())
        if listing.practitioner_ref in active and listing.location_ref not in closed
    ]
    return Directory(
        practitioners=tuple(listing for listing in people if listing.is_active),
        locations=tuple(_with_zones(locations, schedules, records)),
        schedules=tuple(schedules),
    )


def _gather(client: EhrClient, features: Features, deadline: Deadline) -> Iterator[Json]:
    """Where the server can include the actors of Schedules, only what has to do with one; else everything."""

    def search(kind: str, *more: tuple[str, str]) -> list[Json]:
        return client.search_including(kind, [*more, ("_count", PAGE_SIZE)], deadline)

    has_roles = features.does("PractitionerRole", "search-type")
    if not features.includes_actors:
        for kind in _KINDS:
            if kind != "PractitionerRole" or has_roles:
                yield from search(kind)
        return
    found = search("Schedule", ("_include", "Schedule:actor"))

    def fetch(kind: str, parameter: str, wanted: set[str]) -> None:
        for refs in _bunches(wanted):
            values = [ref.partition("/")[2] if parameter == "_id" else ref for ref in refs]
            found.extend(search(kind, (parameter, ",".join(values))))

    asked: set[str] = set()

    def missing(kind: str) -> set[str]:
        """Each is asked for once: some references lead nowhere."""
        wanted = _referred(found, kind) - {resources.own_reference(each) for each in found} - asked
        asked.update(wanted)
        return wanted

    if has_roles:
        fetch("PractitionerRole", "_id", missing("PractitionerRole"))
        fetch("PractitionerRole", "practitioner", _referred(found, "Practitioner"))
    fetch("Practitioner", "_id", missing("Practitioner"))
    for _ in range(_MOST_FLOORS):
        fetch("Location", "_id", missing("Location"))
    yield from found


def _referred(found: Iterable[Json], kind: str) -> set[str]:
    """The references to one kind of resource in Schedules, roles, places and licenses."""
    refs = set()
    for resource in found:
        nodes = [
            *resources.mappings(resource.get("actor")),
            *resources.mappings(resource.get("location")),
            *resources.mappings(resource.get("practitioner")),
            *resources.mappings(resource.get("partOf")),
        ]
        for qualification in resources.mappings(resource.get("qualification")):
            extensions = resources.mappings(qualification.get("extension"))
            parts = chain.from_iterable(resources.mappings(each.get("extension")) for each in extensions)
            nodes += [resources.mapping(part.get("valueReference")) for part in parts]
        refs |= {resources.reference(node, kind) for node in nodes}
    return refs - {""}


def _records(found: Iterable[Json], today: date) -> Records:
    by_kind: dict[str, dict[str, Json]] = {kind: {} for kind in _KINDS}
    for resource in found:
        ref = resources.own_reference(resource)
        if ref and resource["resourceType"] in by_kind:
            by_kind[resource["resourceType"]][ref] = resource
    roles = {ref: role for ref, role in by_kind["PractitionerRole"].items() if _is_current(role, today)}
    return Records(by_kind["Practitioner"], roles, by_kind["Location"], by_kind["Schedule"])


def _sites(places: Mapping[str, Json]) -> dict[str, str]:
    """Where to go for each place, by reference: a room or a floor without an address is found at what it is part of."""

    def site(ref: str, depth: int = 0) -> str:
        whole = resources.reference(places[ref].get("partOf"), "Location")
        has_address = bool(resources.mappings(places[ref].get("address")))
        if has_address or whole not in places or depth == _MOST_FLOORS:
            return ref
        return site(whole, depth + 1)

    return {ref: site(ref) for ref in places}


def _is_current(role: Json, today: date) -> bool:
    covered = resources.period(role.get("period"))
    return (
        role.get("active", True) is True
        and covered is not None
        and (covered[1] is None or today <= covered[1])
    )


def _with_roles(
    listing: PractitionerListing,
    resource: Mapping[str, Any],
    roles: list[Json],
    states: dict[str, str],
    *,
    licenses_by_role: bool,
    is_photo: Callable[[str], bool],
) -> PractitionerListing:
    qualifications = resources.mappings(resource.get("qualification"))
    concepts = [
        *(concept for role in roles for concept in resources.mappings(role.get("specialty"))),
        *(resources.mapping(qualification.get("code")) for qualification in qualifications),
    ]
    codes = [
        resources.text(coding.get("code"))
        for role in roles
        for concept in resources.mappings(role.get("code"))
        for coding in resources.mappings(concept.get("coding"))
    ]
    granted = licenses.stated_licenses(resource, states)
    if licenses_by_role:
        granted += licenses.role_licenses(roles, states)
    addresses = (photo.get("url") for photo in resources.mappings(resource.get("photo")))
    return replace(
        listing,
        photo_url=listing.photo_url
        or listings.first(url for url in addresses if isinstance(url, str) and is_photo(url)),
        taxonomy_codes=licenses.concept_taxonomies(concepts),
        role_codes=tuple(dict.fromkeys(filter(None, [*licenses.license_letters(resource), *codes]))),
        licenses=granted,
    )


def _schedules(
    records: Records,
    roles_of: dict[str, list[Json]],
    sites: Mapping[str, str],
    open_places: set[str],
    today: date,
) -> Iterator[ScheduleListing]:
    """Without a location where none is told. Schedules of rooms, of several people and of the past are left out."""

    def sites_of(refs: Iterable[str]) -> set[str]:
        return {sites[ref] for ref in refs if ref in sites}

    def places_of(roles: Iterable[Json]) -> set[str]:
        found = (each for role in roles for each in resources.mappings(role.get("location")))
        return sites_of(resources.reference(each, "Location") for each in found) & open_places

    for ref, schedule in records.schedules.items():
        horizon = resources.period(schedule.get("planningHorizon"))
        is_past = horizon is not None and horizon[1] is not None and horizon[1] < today
        if schedule.get("active", True) is not True or is_past:
            continue
        actors = resources.mappings(schedule.get("actor"))
        named = {resources.reference(actor, "PractitionerRole") for actor in actors} - {""}
        if not named <= records.roles.keys():
            continue
        roles = [records.roles[role] for role in sorted(named)]
        people = {resources.reference(actor, "Practitioner") for actor in actors}
        people |= {resources.reference(role.get("practitioner"), "Practitioner") for role in roles}
        practitioner_ref = _only(people - {""})
        if not practitioner_ref:
            continue
        here = sites_of(resources.reference(actor, "Location") for actor in actors)
        yield ScheduleListing(
            ref=ref,
            practitioner_ref=practitioner_ref,
            location_ref=_only(here or places_of(roles) or places_of(roles_of.get(practitioner_ref, []))),
            comment=resources.text(schedule.get("comment")),
        )


def _with_zones(
    locations: Iterable[LocationListing], schedules: Iterable[ScheduleListing], records: Records
) -> Iterator[LocationListing]:
    """A location that states no time zone has the one that all of its schedules, or else their people, state."""
    zones: dict[str, set[str]] = {}
    for listing in schedules:
        stated = listings.zone(records.schedules[listing.ref]) or listings.zone(
            records.practitioners[listing.practitioner_ref]
        )
        zones.setdefault(listing.location_ref, set()).add(stated)
    for location in locations:
        yield location if location.zone else replace(location, zone=_only(zones.get(location.ref, set())))


def _bunches(refs: set[str]) -> Iterator[list[str]]:
    ordered = sorted(refs)
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]


def _only(refs: set[str]) -> str:
    return next(iter(refs)) if len(refs) == 1 else ""
