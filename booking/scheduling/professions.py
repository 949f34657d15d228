"""Professions, which decide the compacts a clinician can use, read off what stands behind their name."""

from __future__ import annotations

import re
from collections.abc import Iterable

PROFESSIONS = {
    "MD": "Physician (MD)",
    "DO": "Physician (DO)",
    "NP": "Nurse practitioner",
    "PA": "Physician assistant",
    "RN": "Registered nurse",
    "LPN": "Practical or vocational nurse",
    "PSYCHOLOGIST": "Psychologist",
    "LPC": "Professional counselor",
    "LCSW": "Clinical social worker",
    "PT": "Physical therapist",
    "PTA": "Physical therapist assistant",
    "OT": "Occupational therapist",
    "OTA": "Occupational therapy assistant",
    "SLP": "Speech-language pathologist",
    "AUD": "Audiologist",
}

# Letters of licenses. A degree says what was studied, not what for: DNP, DPT or PhD alone name no profession.
_LETTERS = {
    "MD": "MD", "DO": "DO",
    "NP": "NP", "FNP": "NP", "AGNP": "NP", "PMHNP": "NP", "PNP": "NP", "WHNP": "NP", "CRNP": "NP", "ARNP": "NP",
    "PA": "PA", "RPA": "PA",
    "RN": "RN", "LPN": "LPN", "LVN": "LPN",
    "LPC": "LPC", "LPCC": "LPC", "LCPC": "LPC", "LMHC": "LPC", "LCMHC": "LPC",
    "LCSW": "LCSW", "LICSW": "LCSW",
    "PT": "PT", "PTA": "PTA", "OT": "OT", "OTR": "OT", "OTA": "OTA", "COTA": "OTA", "SLP": "SLP", "AUD": "AUD",
}  # fmt: skip
# Boards' marks that follow a license's letters, as in FNP-BC, PA-C or OTR/L.
_MARKS = re.compile(r"[-/](?:BC|C|L|S|R)\b")
_DOCTORATES = {"PHD", "PSYD", "EDD"}
_PSYCHOLOGY = "103T"


def profession_of(
    credentials: str, role_codes: Iterable[str] = (), taxonomy_codes: Iterable[str] = ()
) -> str:
    """The one profession that letters such as "MSN, FNP-BC" prove; else the one that role codes do; else empty.

    A doctorate counts as a psychologist's only beside a psychologist's taxonomy code (NUCC 103T...).
    """
    is_psychologist = any(code.startswith(_PSYCHOLOGY) for code in taxonomy_codes)
    return _only(_letters(credentials), is_psychologist) or _only(
        {letters for code in role_codes for letters in _letters(code)}, is_psychologist
    )


def _letters(text: str) -> set[str]:
    plain = _MARKS.sub("", text.upper().replace(".", ""))
    return set(re.split(r"[^A-Z]+", plain))


def _only(letters: set[str], is_psychologist: bool) -> str:
    found = {_LETTERS[each] for each in letters if each in _LETTERS}
    if is_psychologist and letters & _DOCTORATES:
        found.add("PSYCHOLOGIST")
    if "NP" in found:
        # A nurse practitioner is a registered nurse as well, but sees patients as the former.
        found.discard("RN")
    return found.pop() if len(found) == 1 else ""
