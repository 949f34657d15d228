"""Practitioners and Locations as any R4 EHR lists them; what a vendor adds of its own is the dialect's to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from booking.scheduling.terms import LocationListing, PractitionerListing

from . import licenses, resources

LOCATION_ZONE_URL = "http://hl7.org/fhir/StructureDefinition/timezone"


def practitioner(resource: Mapping[str, Any]) -> PractitionerListing | None:
    """Without licenses, specialties and roles, which every dialect keeps elsewhere."""
    ref = resources.own_reference(resource)
    named = next(iter(resources.names(resource)), None)
    if not ref or named is None or not (named.family or named.full):
        return None
    name, credentials = _name_and_credentials(named)
    return PractitionerListing(
        ref=ref,
        name=name,
        family=named.family,
        given=" ".join(named.given),
        credentials=credentials,
        photo_url=first(
            resources.https_url(photo.get("url")) for photo in resources.mappings(resource.get("photo"))
        ),
        languages=_languages(resource),
        is_active=resource.get("active", True) is True,
    )


def location(resource: Mapping[str, Any]) -> LocationListing | None:
    ref, name = resources.own_reference(resource), resources.text(resource.get("name"))
    if not ref or not name:
        return None
    address = next(iter(resources.mappings(resource.get("address"))), {})
    return LocationListing(
        ref=ref,
        name=name,
        short_name=first(resources.texts(resource.get("alias"))),
        address_lines=tuple(resources.texts(address.get("line"))),
        city=resources.text(address.get("city")),
        jurisdiction=licenses.jurisdiction(address.get("state")),
        postal_code=resources.text(address.get("postalCode")),
        zone=zone(resource),
        is_active=resource.get("status", "active") == "active",
    )


def zone(resource: Mapping[str, Any]) -> str:
    """The IANA name of the time zone that a resource states; empty where it states none."""
    found = resources.extensions(resource, LOCATION_ZONE_URL)
    return first(resources.text(each.get("valueCode")) for each in found)


def first(values: Iterable[str]) -> str:
    return next(filter(None, values), "")


def _name_and_credentials(name: resources.Name) -> tuple[str, str]:
    """``Ana Ruiz`` and ``MD``: where there is no suffix, credentials trail the name in ``name.text``."""
    if not name.full:
        return " ".join((*name.given, name.family)).strip(), name.suffix
    before, family, after = name.full.rpartition(name.family) if name.family else ("", "", "")
    if not family or (after and after[0] not in " ,"):
        return name.full, name.suffix
    return (before + family).strip(), after.strip(" ,") or name.suffix


def _languages(resource: Mapping[str, Any]) -> tuple[str, ...]:
    """Language codes, or names where there is no code. R4 lists concepts; R5 wraps each in ``language``."""
    found = []
    for node in resources.mappings(resource.get("communication")):
        concept = resources.mapping(node.get("language")) or node
        codes = [resources.text(coding.get("code")) for coding in resources.mappings(concept.get("coding"))]
        found.append(first(codes) or resources.text(concept.get("text")))
    return tuple(dict.fromkeys(filter(None, found)))
