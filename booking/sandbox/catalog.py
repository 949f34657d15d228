"""The clinic's settings that no FHIR endpoint lists: appointment types, reason-for-visit codings, and the URLs Canvas uses.

Names and codes come from the Canvas documentation (Appointment page) and its default note types.
"""

from dataclasses import dataclass

SNOMED = "http://snomed.info/sct"
INTERNAL = "INTERNAL"
MRN_SYSTEM = "http://canvasmedical.com"
NPI_SYSTEM = "http://hl7.org/fhir/sid/us-npi"
EXTENSIONS = "http://schemas.canvasmedical.com/fhir/extensions/"
ROLES_SYSTEM = "http://schemas.canvasmedical.com/fhir/roles"
BIRTHSEX = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex"

ENDPOINT_ID = "appointment-meeting-endpoint-0"


@dataclass(frozen=True, slots=True)
class AppointmentType:
    """A Canvas note type: what kind of visit it is, as opposed to why the patient comes."""

    system: str
    code: str
    name: str
    is_scheduleable: bool = True
    is_telehealth: bool = False
    is_other_event: bool = False
    is_patient_required: bool = True


OFFICE_VISIT = AppointmentType(SNOMED, "308335008", "Office visit")
TELEHEALTH = AppointmentType(SNOMED, "448337001", "Telehealth", is_telehealth=True)
PHONE = AppointmentType(SNOMED, "185317003", "Phone")
HOME_VISIT = AppointmentType(SNOMED, "439708006", "Home visit", is_scheduleable=False)
OTHER_EVENT = AppointmentType(
    SNOMED, "272379006", "Generic event", is_other_event=True, is_patient_required=False
)

APPOINTMENT_TYPES = {
    (kind.system, kind.code): kind for kind in (OFFICE_VISIT, TELEHEALTH, PHONE, HOME_VISIT, OTHER_EVENT)
}


@dataclass(frozen=True, slots=True)
class ReasonCoding:
    """One row of the Reason For Visit Setting Codings; Canvas does not hold a visit to its durations."""

    code: str
    display: str
    minutes: int
    system: str = INTERNAL


REASONS = {
    code: ReasonCoding(code, display, minutes)
    for code, display, minutes in (
        ("SICK", "Cold, flu, cough or sore throat", 20),
        ("UTI", "Urinary symptoms", 20),
        ("REFILL", "Medication refill", 15),
        ("BP", "Blood pressure check", 20),
        ("PHYS", "Yearly checkup", 40),
        ("BACK", "Back, neck or joint pain", 30),
        ("STOM", "Stomach problems", 30),
        ("HEAD", "Headache or migraine", 30),
        ("DIAB", "Diabetes care", 30),
        ("LAB", "Review test results", 20),
        ("SLEEP", "Trouble sleeping", 30),
        ("RASH", "Rash or itching", 20),
        ("ACNE", "Acne", 20),
        ("MOLE", "Mole or skin spot", 20),
        ("ANX", "Anxiety", 45),
        ("DEPR", "Low mood or depression", 45),
        ("ADHD", "Attention problems", 60),
        ("PALP", "Irregular heartbeat", 40),
        ("CHOL", "High cholesterol", 30),
        ("KIDSICK", "Sick child", 20),
        ("KIDWELL", "Well-child visit", 30),
        ("PREG", "Pregnancy care", 40),
        ("PERIOD", "Menstrual problems", 30),
        ("CONTRA", "Contraception", 20),
    )
}
