"""Which states' licenses a Practitioner's qualifications prove. In doubt there is no license: fail closed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from booking.scheduling.terms import License

from . import resources

_ISSUER_STATE_URL = "http://schemas.canvasmedical.com/fhir/extensions/issuing-authority-state"
_TAXONOMY_CODE = re.compile(r"[0-9A-Z]{9}X")

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
