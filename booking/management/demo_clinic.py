"""What the demo clinic offers: specialties, visit reasons and duration rules, as data for ``seed_demo``."""

from __future__ import annotations

from dataclasses import dataclass, field

VIDEO, IN_PERSON, PHONE = "video", "in_person", "phone"
SNOMED = "http://snomed.info/sct"
APPOINTMENT_TYPES = {
    VIDEO: (SNOMED, "448337001", "Telehealth"),
    IN_PERSON: (SNOMED, "308335008", "Office visit"),
    PHONE: (SNOMED, "185317003", "Phone"),
}

CHEST_SIGNS = "Chest pain or pressure\nTrouble breathing\nFainting or passing out"


@dataclass(frozen=True)
class DemoSpecialty:
    code: str
    name: str
    description: str
    taxonomy_codes: str


@dataclass(frozen=True)
class DemoReason:
    code: str
    label: str
    minutes: int
    ehr_code: str
    ehr_display: str
    specialties: tuple[str, ...]
    synonyms: str
    ways: tuple[str, ...] = (VIDEO, IN_PERSON, PHONE)
    group: str = ""
    is_common: bool = False
    signs: str = ""
    prepare: str = ""
    # Conditions by name (specialty, modality, patient_kind) with the minutes they ask for.
    rules: tuple[tuple[dict[str, str], int], ...] = field(default=())


SPECIALTIES = (
    DemoSpecialty(
        "family",
        "Family medicine",
        "Everyday health, checkups, colds, refills",
        "207Q00000X, 363LF0000X, 363AM0700X",
    ),
    DemoSpecialty("dermatology", "Skin care", "Rashes, moles, acne", "207N00000X"),
    DemoSpecialty("psychiatry", "Mental health", "Worry, low mood, attention, sleep", "2084P0800X"),
    DemoSpecialty("cardiology", "Heart care", "Heartbeat, blood pressure, cholesterol", "207RC0000X"),
    DemoSpecialty("pediatrics", "Children's health", "Babies, children and teens", "208000000X"),
    DemoSpecialty("womens-health", "Women's health", "Pregnancy, periods, birth control", "207V00000X"),
)

EVERYDAY, PAIN, SKIN, MIND, HEART, CHILD, WOMEN = (
    "Everyday health",
    "Pain and stomach",
    "Skin",
    "Mind and sleep",
    "Heart and blood",
    "Children",
    "Women's health",
)
MEDICINES = "A list of the medicines you take, or the bottles themselves"

REASONS = (
    DemoReason(
        "cold-or-flu", "Cold, flu, cough or sore throat", 20, "SICK", "Cold, flu, cough or sore throat",
        ("family",), "fever, runny nose, congestion, sinus, covid, strep, ear ache, chills, sick",
        group=EVERYDAY, is_common=True,
        signs="Trouble breathing, or lips or face turning blue or gray\nChest pain\nA stiff neck with a high fever",
        prepare=f"Your temperature, if you have a thermometer\n{MEDICINES}",
    ),
    DemoReason(
        "urinary", "Burning or pain when you pee", 20, "UTI", "Urinary symptoms",
        ("family", "womens-health"), "uti, bladder infection, urinary tract infection, urine, peeing a lot",
        group=EVERYDAY, prepare=MEDICINES,
    ),
    DemoReason(
        "refill", "Medicine refill", 15, "REFILL", "Medication refill",
        ("family",), "prescription, pills, medication, renew, ran out",
        group=EVERYDAY, is_common=True, prepare="The bottle or the name and dose of each medicine\nThe name of your pharmacy",
    ),
    DemoReason(
        "checkup", "Yearly checkup", 40, "PHYS", "Yearly checkup",
        ("family",), "physical, annual exam, wellness, preventive, well visit, screening",
        ways=(IN_PERSON, VIDEO), group=EVERYDAY, is_common=True,
        rules=(({"patient_kind": "new"}, 60), ({"modality": VIDEO}, 30), ({"modality": VIDEO, "patient_kind": "new"}, 45)),
        prepare=f"{MEDICINES}\nDates of your last tests and shots, if you know them",
    ),
    DemoReason(
        "test-results", "Go over test results", 20, "LAB", "Review test results",
        ("family", "cardiology"), "lab, labs, blood work, x-ray, scan, imaging, results",
        ways=(VIDEO, PHONE), group=EVERYDAY, prepare="A copy of the results, if you have one",
    ),
    DemoReason(
        "diabetes", "Diabetes care", 30, "DIAB", "Diabetes care",
        ("family",), "sugar, blood sugar, a1c, insulin, metformin",
        group=EVERYDAY, prepare=f"Your recent blood sugar numbers\n{MEDICINES}",
    ),
    DemoReason(
        "back-or-joint", "Back, neck or joint pain", 30, "BACK", "Back, neck or joint pain",
        ("family",), "knee, shoulder, hip, sprain, arthritis, sore back, sciatica",
        group=PAIN, signs="Sudden weakness or numbness in both legs\nLoss of bladder or bowel control\nA serious fall or crash",
    ),
    DemoReason(
        "stomach", "Stomach problems", 30, "STOM", "Stomach problems",
        ("family",), "nausea, vomiting, diarrhea, constipation, heartburn, reflux, belly, tummy ache",
        group=PAIN, signs="Vomiting blood, or black or bloody stools\nA hard, very painful belly",
    ),
    DemoReason(
        "headache", "Headache or migraine", 30, "HEAD", "Headache or migraine",
        ("family",), "migraine, head pain", group=PAIN,
        signs="The worst headache of your life, or one that came on suddenly\n"
        "Weakness, numbness, a drooping face or trouble speaking\nA headache after a blow to the head",
    ),
    DemoReason(
        "rash", "Rash or itching", 20, "RASH", "Rash or itching",
        ("dermatology", "family"), "hives, eczema, itchy skin, bumps, psoriasis, poison ivy",
        group=SKIN, is_common=True, rules=(({"specialty": "dermatology", "modality": IN_PERSON}, 30),),
        signs="Trouble breathing or swallowing\nSwelling of the face, lips or tongue",
        prepare="Two or three clear photos of the skin, in daylight",
    ),
    DemoReason(
        "acne", "Acne", 20, "ACNE", "Acne", ("dermatology",), "pimples, zits, breakout, spots",
        group=SKIN, prepare="The creams and medicines you have tried",
    ),
    DemoReason(
        "mole", "Mole or skin spot", 20, "MOLE", "Mole or skin spot",
        ("dermatology",), "skin check, growth, skin cancer, freckle, wart, skin tag",
        ways=(IN_PERSON, VIDEO), group=SKIN, rules=(({"modality": IN_PERSON}, 30),),
        prepare="A clear photo of the spot beside a coin, in daylight",
    ),
    DemoReason(
        "anxiety", "Worry, anxiety or panic", 45, "ANX", "Anxiety",
        ("psychiatry", "family"), "anxious, stress, panic attack, nervous, mental health, therapy",
        ways=(VIDEO, IN_PERSON), group=MIND, is_common=True,
        rules=(({"specialty": "family"}, 30), ({"patient_kind": "new"}, 60)),
        signs="Thoughts of ending your life or of hurting yourself or others",
    ),
    DemoReason(
        "low-mood", "Low mood or depression", 45, "DEPR", "Low mood or depression",
        ("psychiatry", "family"), "sad, depressed, hopeless, mental health, grief, crying",
        ways=(VIDEO, IN_PERSON), group=MIND,
        rules=(({"specialty": "family"}, 30), ({"patient_kind": "new"}, 60)),
        signs="Thoughts of ending your life or of hurting yourself or others",
    ),
    DemoReason(
        "attention", "Trouble with attention or focus", 60, "ADHD", "Attention problems",
        ("psychiatry",), "adhd, add, concentration, focus, distracted",
        ways=(VIDEO, IN_PERSON), group=MIND, rules=(({"patient_kind": "established"}, 30),),
    ),
    DemoReason(
        "sleep", "Trouble sleeping", 30, "SLEEP", "Trouble sleeping",
        ("family", "psychiatry"), "insomnia, snoring, tired, cannot sleep, awake",
        group=MIND, prepare="When you went to bed and got up over the last few nights",
    ),
    DemoReason(
        "blood-pressure", "Blood pressure check", 20, "BP", "Blood pressure check",
        ("family", "cardiology"), "hypertension, high blood pressure, bp",
        group=HEART, signs=CHEST_SIGNS, prepare="Your recent readings, if you measure at home",
    ),
    DemoReason(
        "heartbeat", "Heartbeat that feels fast or uneven", 40, "PALP", "Irregular heartbeat",
        ("cardiology",), "palpitations, racing heart, fluttering, skipped beats, afib",
        ways=(VIDEO, IN_PERSON), group=HEART, signs=CHEST_SIGNS,
    ),
    DemoReason(
        "cholesterol", "High cholesterol", 30, "CHOL", "High cholesterol",
        ("cardiology", "family"), "lipids, statin, triglycerides", group=HEART,
    ),
    DemoReason(
        "sick-child", "Sick child", 20, "KIDSICK", "Sick child",
        ("pediatrics", "family"), "fever, baby, toddler, kid, ear infection, cough, rash, vomiting",
        group=CHILD,
        signs="Trouble breathing\nA baby under 3 months with a fever\nVery sleepy and hard to wake\nA seizure",
        prepare="Your child's weight and temperature",
    ),
    DemoReason(
        "well-child", "Child checkup", 30, "KIDWELL", "Well-child visit",
        ("pediatrics",), "shots, vaccines, school physical, sports physical, well child, newborn",
        ways=(IN_PERSON,), group=CHILD, rules=(({"patient_kind": "new"}, 45),), prepare="Your child's shot record",
    ),
    DemoReason(
        "pregnancy", "Pregnancy care", 40, "PREG", "Pregnancy care",
        ("womens-health",), "pregnant, prenatal, expecting, baby",
        ways=(IN_PERSON, VIDEO), group=WOMEN,
        rules=(({"patient_kind": "new"}, 60), ({"modality": VIDEO}, 30)),
        signs="Heavy bleeding\nSevere belly pain\nA severe headache with changes in your eyesight",
    ),
    DemoReason(
        "period", "Period problems", 30, "PERIOD", "Menstrual problems",
        ("womens-health", "family"), "cramps, heavy bleeding, irregular, menopause, hot flashes, menstrual",
        group=WOMEN,
    ),
    DemoReason(
        "birth-control", "Birth control", 20, "CONTRA", "Contraception",
        ("womens-health", "family"), "contraception, pill, iud, implant, ring, patch, plan b",
        group=WOMEN, is_common=True, rules=(({"modality": IN_PERSON}, 30),),
    ),
)  # fmt: skip
