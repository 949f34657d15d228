"""US states and territories with the time zones people there live by, the most peopled zone first.

Codes are the postal ones (USPS Publication 28). Zones are IANA names.
"""

from __future__ import annotations

from dataclasses import dataclass

EASTERN = "America/New_York"
CENTRAL = "America/Chicago"
MOUNTAIN = "America/Denver"
PACIFIC = "America/Los_Angeles"
ATLANTIC = "America/Puerto_Rico"


@dataclass(frozen=True, slots=True)
class Jurisdiction:
    code: str
    name: str
    zones: tuple[str, ...]
    is_territory: bool = False


def _state(code: str, name: str, *zones: str) -> Jurisdiction:
    return Jurisdiction(code, name, zones)


def _territory(code: str, name: str, zone: str) -> Jurisdiction:
    return Jurisdiction(code, name, (zone,), is_territory=True)


JURISDICTIONS: dict[str, Jurisdiction] = {
    place.code: place
    for place in (
        _state("AL", "Alabama", CENTRAL),
        _state("AK", "Alaska", "America/Anchorage", "America/Adak"),
        _state("AZ", "Arizona", "America/Phoenix", MOUNTAIN),
        _state("AR", "Arkansas", CENTRAL),
        _state("CA", "California", PACIFIC),
        _state("CO", "Colorado", MOUNTAIN),
        _state("CT", "Connecticut", EASTERN),
        _state("DE", "Delaware", EASTERN),
        _state("DC", "District of Columbia", EASTERN),
        _state("FL", "Florida", EASTERN, CENTRAL),
        _state("GA", "Georgia", EASTERN),
        _state("HI", "Hawaii", "Pacific/Honolulu"),
        _state("ID", "Idaho", MOUNTAIN, PACIFIC),
        _state("IL", "Illinois", CENTRAL),
        _state("IN", "Indiana", EASTERN, CENTRAL),
        _state("IA", "Iowa", CENTRAL),
        _state("KS", "Kansas", CENTRAL, MOUNTAIN),
        _state("KY", "Kentucky", EASTERN, CENTRAL),
        _state("LA", "Louisiana", CENTRAL),
        _state("ME", "Maine", EASTERN),
        _state("MD", "Maryland", EASTERN),
        _state("MA", "Massachusetts", EASTERN),
        _state("MI", "Michigan", EASTERN, CENTRAL),
        _state("MN", "Minnesota", CENTRAL),
        _state("MS", "Mississippi", CENTRAL),
        _state("MO", "Missouri", CENTRAL),
        _state("MT", "Montana", MOUNTAIN),
        _state("NE", "Nebraska", CENTRAL, MOUNTAIN),
        _state("NV", "Nevada", PACIFIC, MOUNTAIN),
        _state("NH", "New Hampshire", EASTERN),
        _state("NJ", "New Jersey", EASTERN),
        _state("NM", "New Mexico", MOUNTAIN),
        _state("NY", "New York", EASTERN),
        _state("NC", "North Carolina", EASTERN),
        _state("ND", "North Dakota", CENTRAL, MOUNTAIN),
        _state("OH", "Ohio", EASTERN),
        _state("OK", "Oklahoma", CENTRAL),
        _state("OR", "Oregon", PACIFIC, MOUNTAIN),
        _state("PA", "Pennsylvania", EASTERN),
        _state("RI", "Rhode Island", EASTERN),
        _state("SC", "South Carolina", EASTERN),
        _state("SD", "South Dakota", CENTRAL, MOUNTAIN),
        _state("TN", "Tennessee", CENTRAL, EASTERN),
        _state("TX", "Texas", CENTRAL, MOUNTAIN),
        _state("UT", "Utah", MOUNTAIN),
        _state("VT", "Vermont", EASTERN),
        _state("VA", "Virginia", EASTERN),
        _state("WA", "Washington", PACIFIC),
        _state("WV", "West Virginia", EASTERN),
        _state("WI", "Wisconsin", CENTRAL),
        _state("WY", "Wyoming", MOUNTAIN),
        _territory("AS", "American Samoa", "Pacific/Pago_Pago"),
        _territory("GU", "Guam", "Pacific/Guam"),
        _territory("MP", "Northern Mariana Islands", "Pacific/Guam"),
        _territory("PR", "Puerto Rico", ATLANTIC),
        _territory("VI", "U.S. Virgin Islands", ATLANTIC),
    )
}
