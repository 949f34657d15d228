"""The invented clinic's people and their working weeks: plain data, no dates.

Every person here is made up. `seed` gives them ids and dated licenses; `calendars` turns weeks into free times.
"""

from dataclasses import dataclass, field
from typing import Literal

from .catalog import OFFICE_VISIT, TELEHEALTH, AppointmentType

Site = Literal["home", "away", "both"]
Occupancy = Literal["usual", "full", "two-free-times"]
LicenseCase = Literal[
    "current",
    "expires-in-5-days",
    "expires-in-8-days",
    "expires-in-12-days",
    "expired",
    "starts-next-week",
    "no-state",
]

OAKLAND, AUSTIN = 1, 2


@dataclass(frozen=True, slots=True)
class Hours:
    """Weekly hours on some days ("MTWRFSU"), where they are worked, and the only visit type they allow, if any."""

    days: str
    start: str
    end: str
    site: Site = "home"
    only: AppointmentType | None = None


WEEKS: dict[str, tuple[Hours, ...]] = {
    "weekdays": (Hours("MTWRF", "09:00", "12:00"), Hours("MTWRF", "13:00", "17:00")),
    "early": (Hours("MTWR", "07:00", "12:00"), Hours("MTWR", "12:45", "15:30")),
    "four-tens": (Hours("MTWR", "08:00", "12:00"), Hours("MTWR", "13:00", "18:00")),
    "evenings": (Hours("TWR", "12:00", "16:00"), Hours("TWR", "17:00", "20:00", "both", TELEHEALTH)),
    "saturday": (
        Hours("WRF", "09:00", "13:00"),
        Hours("WRF", "14:00", "17:00"),
        Hours("S", "09:00", "13:00"),
    ),
    "split": (
        Hours("MT", "09:00", "12:00"),
        Hours("MT", "13:00", "17:00"),
        Hours("WR", "09:00", "12:00", "away"),
        Hours("WR", "13:00", "17:00", "away"),
        Hours("F", "09:00", "13:00", "both", TELEHEALTH),
    ),
    "video": (
        Hours("MTWRF", "08:00", "12:00", "both", TELEHEALTH),
        Hours("MTWRF", "13:00", "16:00", "both", TELEHEALTH),
    ),
    "office": (
        Hours("MTWF", "08:30", "12:30", only=OFFICE_VISIT),
        Hours("MTWF", "13:30", "16:30", only=OFFICE_VISIT),
    ),
    "mixed": (
        Hours("MWF", "09:00", "12:00"),
        Hours("MWF", "13:00", "15:00", "both", TELEHEALTH),
        Hours("MWF", "15:00", "17:00"),
    ),
    "part": (Hours("TR", "08:00", "12:00"), Hours("TR", "13:00", "16:00")),
    "nights": (Hours("MW", "16:00", "20:30"), Hours("S", "08:00", "12:00", "both", TELEHEALTH)),
    "room": (Hours("MTWRF", "08:00", "17:00", only=OFFICE_VISIT),),
}

FAMILY, NURSE, ASSISTANT = "207Q00000X", "363LF0000X", "363AM0700X"
SKIN, MIND, HEART, CHILD, WOMEN = "207N00000X", "2084P0800X", "207RC0000X", "208000000X", "207V00000X"


@dataclass(frozen=True, slots=True)
class Staff:
    """One member of staff. `states` maps a license's state to what is telling about it."""

    key: str
    given: str
    family: str
    credential: str
    taxonomy: str | None
    home: int
    week: str
    states: dict[str, LicenseCase] = field(default_factory=dict)
    away: int | None = None
    has_room: bool = False
    schedulable: bool = True
    active: bool = True
    role: str | None = None
    occupancy: Occupancy = "usual"


def _licenses(text: str) -> dict[str, LicenseCase]:
    return dict.fromkeys(text.split(), "current")


def _staff(
    key: str,
    name: str,
    credential: str,
    taxonomy: str,
    sites: str,
    week: str,
    states: str,
    *,
    room: bool = False,
    cases: dict[str, LicenseCase] | None = None,
    occupancy: Occupancy = "usual",
) -> Staff:
    given, family = name.split(" ", 1)
    keys = [OAKLAND if letter == "O" else AUSTIN for letter in sites]
    return Staff(
        key=key,
        given=given,
        family=family,
        credential=credential,
        taxonomy=taxonomy,
        home=keys[0],
        away=keys[1] if len(keys) > 1 else None,
        week=week,
        states=_licenses(states) | (cases or {}),
        has_room=room,
        occupancy=occupancy,
    )


STAFF: tuple[Staff, ...] = (
    _staff("01", "Maya Okonkwo", "MD", FAMILY, "O", "weekdays", "CA OR WA", room=True),
    _staff("02", "Daniel Reyes", "MD", FAMILY, "A", "weekdays", "TX"),
    _staff("03", "Linh Nguyen", "DO", FAMILY, "OA", "split", "CA TX", room=True),
    _staff("04", "Aoife Gallagher-Fitzwilliam", "NP", NURSE, "O", "evenings", "CA AZ", room=True),
    _staff(
        "05", "Samuel Adeyemi", "PA-C", ASSISTANT, "A", "four-tens", "TX", cases={"GA": "expires-in-8-days"}
    ),
    _staff("06", "Priya Raghunathan", "MD", FAMILY, "OA", "video", "CA TX NY FL WA", room=True),
    _staff("07", "Tomás Herrera", "NP", NURSE, "A", "saturday", "TX CO"),
    _staff("08", "Hannah Goldberg", "MD", FAMILY, "O", "early", "CA"),
    _staff("09", "Kwame Mensah", "DO", FAMILY, "A", "mixed", "TX GA NC", room=True),
    _staff("10", "Zoë Lindqvist", "MD", FAMILY, "O", "part", "OR WA", cases={"CA": "expires-in-5-days"}),
    _staff("11", "Raúl Domínguez-Santibáñez", "NP", NURSE, "A", "evenings", "TX AZ", room=True),
    _staff("12", "Grace Kim", "PA-C", ASSISTANT, "O", "saturday", "CA", cases={"WA": "starts-next-week"}),
    _staff("13", "Jamal Whitfield", "MD", FAMILY, "A", "early", "TX IL"),
    _staff("14", "Noor Haddad", "MD", FAMILY, "OA", "split", "CA TX MA"),
    _staff("15", "Eleanor Voss", "MD", SKIN, "O", "weekdays", "CA", occupancy="full"),
    _staff("16", "Arjun Mehta", "MD", SKIN, "A", "office", "TX"),
    _staff("17", "Chloé Beaumont", "DO", SKIN, "OA", "video", "CA TX FL NY", room=True),
    _staff("18", "Malik Thornton", "DO", SKIN, "O", "mixed", "CA AZ"),
    _staff("19", "Ingrid Halvorsen", "MD", SKIN, "A", "part", "TX CO", cases={"NC": "no-state"}),
    _staff("20", "Rebecca Stein", "MD", MIND, "O", "weekdays", "CA NY", room=True),
    _staff("21", "Olumide Balogun", "MD", MIND, "A", "evenings", "TX GA", room=True),
    _staff("22", "Mei-Ling Zhao", "MD", MIND, "OA", "video", "CA TX WA IL", room=True),
    _staff("23", "Patrick O'Shaughnessy", "DO", MIND, "O", "nights", "CA MA"),
    _staff(
        "24", "Fatima al-Rashid", "MD", MIND, "A", "four-tens", "TX FL", cases={"CO": "expires-in-12-days"}
    ),
    _staff("25", "Sofia Papadopoulos", "MD", MIND, "OA", "split", "CA TX", room=True),
    _staff("26", "Wesley Yazzie", "MD", MIND, "O", "mixed", "AZ CO", cases={"CA": "expired"}),
    _staff("27", "Vikram Srinivasan", "MD", HEART, "O", "weekdays", "CA WA"),
    _staff("28", "Catherine Delacroix", "MD", HEART, "A", "office", "TX"),
    _staff("29", "Emeka Nwosu", "DO", HEART, "OA", "split", "CA TX IL", room=True),
    _staff("30", "Ruth Abramowitz", "MD", HEART, "A", "weekdays", "TX NC", occupancy="two-free-times"),
    _staff("31", "Isabel Fuentes", "MD", CHILD, "O", "early", "CA"),
    _staff("32", "Tyler Hutchinson", "DO", CHILD, "A", "weekdays", "TX"),
    _staff("33", "Yuki Tanaka", "MD", CHILD, "OA", "mixed", "CA TX OR", room=True),
    _staff("34", "Amara Diallo", "MD", CHILD, "A", "saturday", "TX"),
    _staff("35", "Benjamin Castellanos-Worthington", "MD", CHILD, "O", "part", "CA", cases={"NY": "expired"}),
    _staff("36", "Leilani Kahananui", "MD", WOMEN, "O", "weekdays", "CA OR"),
    _staff("37", "Monique Baptiste", "MD", WOMEN, "A", "four-tens", "TX FL"),
    _staff("38", "Anneliese Brandt", "DO", WOMEN, "O", "office", "CA"),
    _staff("39", "Shreya Banerjee", "MD", WOMEN, "OA", "split", "CA TX MA", room=True),
    _staff("40", "Katarzyna Wiśniewska", "MD", WOMEN, "A", "evenings", "TX", room=True),
    Staff("50", "Procedure", "Room A", "", None, OAKLAND, "room", role="ROOM"),
    Staff("51", "Dolores", "Vandermeer", "RN", None, OAKLAND, "weekdays", schedulable=False, role="RN"),
    Staff("52", "Curtis", "Blackwood", "", None, AUSTIN, "weekdays", schedulable=False, role="BL"),
    Staff("53", "Harold", "Finch", "MD", FAMILY, AUSTIN, "weekdays", states=_licenses("TX"), active=False),
)

SPECIALTY_NAMES = {
    FAMILY: "Family Medicine",
    NURSE: "Nurse Practitioner, Family",
    ASSISTANT: "Physician Assistant, Medical",
    SKIN: "Dermatology",
    MIND: "Psychiatry & Neurology, Psychiatry",
    HEART: "Internal Medicine, Cardiovascular Disease",
    CHILD: "Pediatrics",
    WOMEN: "Obstetrics & Gynecology",
}

# Long and short names of the boards that issue licenses here.
BOARDS = {
    "CA": ("Medical Board of California", "MBC"),
    "TX": ("Texas Medical Board", "TMB"),
    "NY": ("New York State Education Department, Office of the Professions", "NYSED"),
    "WA": ("Washington Medical Commission", "WMC"),
    "OR": ("Oregon Medical Board", "OMB"),
    "CO": ("Colorado Medical Board", "CMB"),
    "FL": ("Florida Board of Medicine", "FBM"),
    "IL": ("Illinois Department of Financial and Professional Regulation", "IDFPR"),
    "AZ": ("Arizona Medical Board", "AMB"),
    "MA": ("Massachusetts Board of Registration in Medicine", "BORIM"),
    "GA": ("Georgia Composite Medical Board", "GCMB"),
    "NC": ("North Carolina Medical Board", "NCMB"),
}
