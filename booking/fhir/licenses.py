"""Which states' licenses a Practitioner's qualifications, or roles, prove. In doubt there is no license: fail closed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from booking.scheduling.terms import License

from . import resources

_ISSUER_STATE_URL = "http://schemas.canvasmedical.com/fhir/extensions/issuing-authority-state"
_TAXONOMY_CODE = re.compile(r"[0-9A-Z]{9}X")
_TAXONOMY_SYSTEM = "http://nucc.org/provider-taxonomy"
# Da Vinci Plan-Net's extension, and what the national directory guides made of it.
_VALIDITY_URLS = (
    "http://hl7.org/fhir/us/davinci-pdex-plan-net/StructureDefinition/practitioner-qualification",
    "http://hl7.org/fhir/us/directory-query/StructureDefinition/practitioner-qualification",
    "http://hl7.org/fhir/us/ndh/StructureDefinition/base-ext-practitioner-qualification",
)
_DEGREE_SYSTEM = "http://terminology.hl7.org/CodeSystem/v2-0360"
# Those of HL7 v2 table 0360 that nobody has without leave to practice; a PHD or a BSN is a study.
_LICENSED_DEGREES = frozenset(
    {"MD", "DO", "NP", "PA", "RN", "PN", "CANP", "CNM", "CNP", "CNS", "CPNP", "CRN", "FPNP", "RPH", "PHARMD"}
)
_LICENSE = re.compile(r"\blicen[sc](?:e|ed|ure)\b", re.IGNORECASE)
_NO_LICENSE = re.compile(
    r"\b(?:not|dea|csr|controlled|driver'?s?|business|facility|laboratory|suspended|revoked|expired|inactive|lapsed"
    r"|surrendered|retired|probation\w*|pending|applied|applicant|application|eligible|former)\b|\b(?:un|non-?)licen",
    re.IGNORECASE,
)
# Who licenses: the state itself or an office of it, and no school that bears the state's name.
_AUTHORITY = re.compile(
    r"\b(?:state|commonwealth|district|territory|board|department|dept|commission|bureau|division|office|licens\w+)\b",
    re.IGNORECASE,
)
_SCHOOL = re.compile(
    r"\b(?:university|college|school|institute|academy|hospital|clinic|cent(?:er|re)|society|association)\b",
    re.IGNORECASE,
)
_PLACE_KIND_SYSTEM = "http://terminology.hl7.org/CodeSystem/location-physical-type"

_STATES = {
    "AL": "Alabama", "AK": "Alaska", "AZ": "Arizona", "AR": "Arkansas", "CA": "California", "CO": "Colorado",
    "CT": "Connecticut", "DE": "Delaware", "DC": "District of Columbia", "FL": "Florida", "GA": "Georgia",
    "HI": "Hawaii", "ID": "Idaho", "IL": "Illinois", "IN": "Indiana", "IA": "Iowa", "KS": "Kansas",
    "KY": "Kentucky", "LA": "Louisiana", "ME": "Maine", "MD": "Maryland", "MA": "Massachusetts",
    "MI": "Michigan", "MN": "Minnesota", "MS": "Mississippi", "MO": "Missouri", "MT": "Montana",
    "NE": "Nebraska", "NV": "Nevada", "NH": "New Hampshire", "NJ": "New Jersey", "NM": "New Mexico",
    "NY": "New York", "NC": "North Carolina", "ND": "North Dakota", "OH": "Ohio", "OK": "Oklahoma",
    "OR": "Oregon", "PA": "Pennsylvania", "RI": "Rhode Island", "SC": "South Carolina", "SD": "South Dakota",
    "TN": "Tennessee", "TX": "Texas", "UT": "Utah", "VT": "Vermont", "VA": "Virginia", "WA": "Washington",
    "WV": "West Virginia", "WI": "Wisconsin", "WY": "Wyoming", "AS": "American Samoa", "GU": "Guam",
    "MP": "Northern Mariana Islands", "PR": "Puerto Rico", "VI": "Virgin Islands",
}  # fmt: skip
_CODE_BY_NAME = {name.casefold(): code for code, name in _STATES.items()}
# The capital before the state of the same name.
_NAMED = re.compile(
    r"\b(washington,? *d\.? ?c\b|" + "|".join(_CODE_BY_NAME) + r")\b",
    re.IGNORECASE,
)


def jurisdiction(value: object) -> str:
    """The two-letter code of a US state or territory given by code or by name; empty for anything else."""
    found = resources.text(value)
    return found.upper() if found.upper() in _STATES else _CODE_BY_NAME.get(found.casefold(), "")


def licenses(practitioner: Mapping[str, Any]) -> tuple[License, ...]:
    """Licenses to practice, from qualifications of the type STATE (License in older answers of Canvas).

    Other types (DEA, CLIA, PTAN, SPI, TAXONOMY, OTHER) give no leave to see patients in a state.
    """
    found = []
    for node in resources.mappings(practitioner.get("qualification")):
        covered = resources.period(node.get("period"))
        where = _issuing_state(resources.mapping(node.get("issuer")))
        if _type(node) in ("STATE", "LICENSE") and where and covered is not None:
            found.append(License(where, _number(node), starts_on=covered[0], ends_on=covered[1]))
    return tuple(found)


def stated_licenses(practitioner: Mapping[str, Any], states: Mapping[str, str]) -> tuple[License, ...]:
    """Licenses to practice as US Core and Plan-Net directories state them, from qualifications that are licenses.

    Where Plan-Net's extension is, its status has to be ``active`` and ``whereValid`` names the states, by code or by a
    Location out of ``states`` (reference to code). Medplum's own example gives no status: then the issuer has to be of
    the same state. Without the extension, the issuer's state counts, if it is an authority and names one state only.
    """
    found = []
    for node in resources.mappings(practitioner.get("qualification")):
        covered = resources.period(node.get("period"))
        if covered is None or not _is_license(node):
            continue
        found += [
            License(where, _number(node), starts_on=covered[0], ends_on=covered[1])
            for where in sorted(_valid_in(node, states))
        ]
    return tuple(found)


def role_licenses(roles: Iterable[Mapping[str, Any]], states: Mapping[str, str]) -> tuple[License, ...]:
    """Licenses of one practitioner from PractitionerRoles whose locations are whole states (Medplum's page on
    state-by-state licensure).

    A role for one HealthcareService speaks for that service only, and our licenses are for all: of the states of such
    roles only those count that every one of these services has.
    """
    general: list[License] = []
    by_service: dict[str, list[License]] = {}
    for role in roles:
        covered = resources.period(role.get("period"))
        where = sorted({states.get(ref, "") for ref in _references(role.get("location"), "Location")} - {""})
        if covered is None or role.get("active", True) is not True:
            continue
        granted = [License(state, "", starts_on=covered[0], ends_on=covered[1]) for state in where]
        services = resources.mappings(role.get("healthcareService"))
        if not services:
            general += granted
        for service in services if granted else []:
            by_service.setdefault(resources.text(service.get("reference")), []).extend(granted)
    groups = [{license.jurisdiction for license in granted} for granted in by_service.values()]
    common = set.intersection(*groups) if groups else set()
    special = [
        license for granted in by_service.values() for license in granted if license.jurisdiction in common
    ]
    return tuple(dict.fromkeys(general + special))


def whole_states(locations: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Locations that are a state and no place to go to (physical type ``jdn``): reference to the state's code, which is
    empty for any other jurisdiction, and where identifier and address name two."""
    found = {}
    for location in locations:
        kinds = resources.mappings(resources.mapping(location.get("physicalType")).get("coding"))
        if not any(kind.get("system") == _PLACE_KIND_SYSTEM and kind.get("code") == "jdn" for kind in kinds):
            continue
        address = resources.mapping(location.get("address"))
        finer = any(resources.text(address.get(part)) for part in ("city", "district", "postalCode"))
        named = [each.get("value") for each in resources.mappings(location.get("identifier"))]
        codes = {jurisdiction(value) for value in [*named, address.get("state")]} - {""}
        found[resources.own_reference(location)] = codes.pop() if len(codes) == 1 and not finer else ""
    return found


def concept_taxonomies(concepts: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The provider taxonomy codes among CodeableConcepts."""
    codes = [
        resources.text(coding.get("code")).upper()
        for concept in concepts
        for coding in resources.mappings(concept.get("coding"))
        if coding.get("system") == _TAXONOMY_SYSTEM
    ]
    return tuple(dict.fromkeys(code for code in codes if _TAXONOMY_CODE.fullmatch(code)))


def license_letters(practitioner: Mapping[str, Any]) -> tuple[str, ...]:
    """Letters such as MD or NP of the qualifications, from HL7 v2 table 0360."""
    letters = [
        letter
        for node in resources.mappings(practitioner.get("qualification"))
        for letter in _degrees(node)
        if letter in _LICENSED_DEGREES
    ]
    return tuple(dict.fromkeys(letters))


def _is_license(node: Mapping[str, Any]) -> bool:
    concept = resources.mapping(node.get("code"))
    codings = resources.mappings(concept.get("coding"))
    words = " / ".join(
        [resources.text(concept.get("text")), *(resources.text(each.get("display")) for each in codings)]
    )
    if _NO_LICENSE.search(words):
        return False
    return any(letter in _LICENSED_DEGREES for letter in _degrees(node)) or bool(_LICENSE.search(words))


def _degrees(node: Mapping[str, Any]) -> list[str]:
    codings = resources.mappings(resources.mapping(node.get("code")).get("coding"))
    return [
        resources.text(each.get("code")).upper() for each in codings if each.get("system") == _DEGREE_SYSTEM
    ]


def _valid_in(node: Mapping[str, Any], states: Mapping[str, str]) -> set[str]:
    issued = {_authority_state(resources.mapping(node.get("issuer")))} - {""}
    validities = [found for url in _VALIDITY_URLS for found in resources.extensions(node, url)]
    if not validities:
        return issued
    parts = [part for found in validities for part in resources.mappings(found.get("extension"))]
    statuses = [part.get("valueCode") for part in parts if part.get("url") == "status"]
    if any(status != "active" for status in statuses):
        return set()
    where: set[str] = set()
    for part in parts:
        if part.get("url") == "whereValid":
            codings = resources.mappings(resources.mapping(part.get("valueCodeableConcept")).get("coding"))
            where |= {jurisdiction(coding.get("code")) for coding in codings}
            where.add(states.get(resources.reference(part.get("valueReference"), "Location"), ""))
    return (where - {""}) if statuses else (where & issued)


def _authority_state(issuer: Mapping[str, Any]) -> str:
    name = resources.text(issuer.get("display"))
    is_state = bool(jurisdiction(name))
    if _SCHOOL.search(name) or not (is_state or _AUTHORITY.search(name)):
        return ""
    return _issuing_state(issuer)


def _references(value: object, resource_type: str) -> list[str]:
    return [ref for each in resources.mappings(value) if (ref := resources.reference(each, resource_type))]


def taxonomy_codes(practitioner: Mapping[str, Any]) -> tuple[str, ...]:
    """Provider taxonomy codes such as 207Q00000X, which stand for the practitioner's specialties."""
    numbers = [
        _number(node).upper()
        for node in resources.mappings(practitioner.get("qualification"))
        if _type(node) == "TAXONOMY"
    ]
    return tuple(dict.fromkeys(number for number in numbers if _TAXONOMY_CODE.fullmatch(number)))


def _type(node: Mapping[str, Any]) -> str:
    return resources.text(resources.mapping(node.get("code")).get("text")).upper()


def _number(node: Mapping[str, Any]) -> str:
    values = (
        resources.text(identifier.get("value")) for identifier in resources.mappings(node.get("identifier"))
    )
    return next(filter(None, values), "")


def _issuing_state(issuer: Mapping[str, Any]) -> str:
    stated = resources.extensions(issuer, _ISSUER_STATE_URL)
    if stated:
        codes = {jurisdiction(extension.get("valueString")) for extension in stated}
    else:
        # Canvas' answers of before 2026 name the state only as part of the authority's name.
        named = _NAMED.findall(resources.text(issuer.get("display")))
        codes = {_CODE_BY_NAME.get(name.casefold(), "DC") for name in named}
    return codes.pop() if len(codes) == 1 else ""
