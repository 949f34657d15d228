"""Whether a Patient on file is the person in front of us.

A wrong match shows one patient's chart to another, so anything short of certain is no.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Any

from booking.scheduling.terms import PatientDetails

from . import resources


def has_verified_contact(details: PatientDetails) -> bool:
    """Whether there is a contact that this person has proved to be theirs."""
    return bool(_emails(details) or _phones(details))


def is_in_use(patient: Mapping[str, Any]) -> bool:
    """Active, and not replaced by another record."""
    links = resources.mappings(patient.get("link"))
    return patient.get("active", True) is True and all(link.get("type") != "replaced-by" for link in links)


def is_same_person(patient: Mapping[str, Any], details: PatientDetails, today: date) -> bool:
    """The same birth date and names, and a verified contact of the details is on file and in use."""
    return (
        patient.get("birthDate") == details.birth_date.isoformat()
        and any(_is_same_name(name, details) for name in resources.names(patient))
        and any(
            _is_same_contact(contact, details, today)
            for contact in resources.mappings(patient.get("telecom"))
        )
    )


def _is_same_name(name: resources.Name, details: PatientDetails) -> bool:
    given = _folded(details.given)
    written = {_folded(" ".join(name.given)), _folded(name.given[0])} if name.given else set()
    return bool(given) and given in written and _folded(name.family) == _folded(details.family)


def _is_same_contact(contact: Mapping[str, Any], details: PatientDetails, today: date) -> bool:
    covered = resources.period(contact.get("period"))
    if contact.get("use") == "old" or covered is None or (covered[1] is not None and covered[1] < today):
        return False
    if contact.get("system") == "email":
        return _folded(resources.text(contact.get("value"))) in _emails(details)
    if contact.get("system") in ("phone", "sms"):
        return resources.phone_number(contact.get("value")) in _phones(details)
    return False


def _emails(details: PatientDetails) -> set[str]:
    email = _folded(details.email)
    return {email} if details.email_is_verified and email else set()


def _phones(details: PatientDetails) -> set[str]:
    mobile = resources.phone_number(details.mobile)
    return {mobile} if details.mobile_is_verified and mobile else set()


def _folded(value: str) -> str:
    return unicodedata.normalize("NFC", " ".join(value.split())).casefold()
