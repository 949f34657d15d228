"""The unfinished booking of one visitor, kept in their session: every answer so far, and what is still missing.

Nothing of it is in a URL, so Back, reload and "Change" lose nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest

from booking.flows import clinic_rules
from booking.flows.clinic_rules import ClinicRules
from booking.models import Booking, PatientRecord, User, VisitReasonRecord
from booking.models.bookings import Visitor
from booking.scheduling.eligibility import Visit
from booking.scheduling.jurisdictions import JURISDICTIONS
from booking.scheduling.lifecycle import BookingState
from booking.scheduling.terms import Modality, PatientKind

from .networks import network_key

SESSION_KEY = "draft"
OWNER_KEY = "owner_key"


@dataclass
class Contact:
    """A way to reach the visitor that they have shown to be theirs. ``verified_at`` is ISO 8601."""

    channel: str
    value: str
    verified_at: str


@dataclass
class Draft:
    query: str = ""
    reason: str = ""
    is_screened: bool = False
    jurisdiction: str = ""
    zone: str = ""
    patient_kind: str = ""
    specialty: str = ""
    booking_id: str = ""
    patient_id: str = ""
    contact: dict[str, str] = field(default_factory=dict)
    has_text_consent: bool = False
    # Why the last choice of a time failed, to be said once: a refusal code, the wanted start and the clinician.
    refusal: dict[str, Any] = field(default_factory=dict)

    @property
    def verified_contact(self) -> Contact | None:
        return Contact(**self.contact) if self.contact else None

    def has_proved(self, channel: str, value: str, now: datetime) -> None:
        self.contact = asdict(Contact(channel, value, now.isoformat()))

    def begin(self, reason: str) -> None:
        """Start over with another reason, keeping what is true of the person whatever they come for."""
        if reason != self.reason:
            self.reason, self.is_screened, self.patient_kind, self.specialty = reason, False, "", ""

    def settle_place(self, jurisdiction: str, zone: str = "") -> None:
        place = JURISDICTIONS[jurisdiction]
        if jurisdiction != self.jurisdiction:
            self.specialty = ""
        self.jurisdiction = jurisdiction
        self.zone = zone if zone in place.zones else place.zones[0]


_ANSWERS = frozenset(each.name for each in fields(Draft))


def load(request: HttpRequest) -> Draft:
    stored = request.session.get(SESSION_KEY) or {}
    return Draft(**{name: value for name, value in stored.items() if name in _ANSWERS})


def save(request: HttpRequest, draft: Draft) -> None:
    """A draft that is as it was is not written again.

    With its first answer a session gets the secret by which its bookings are found: one that came only with the first
    hold could be lost with the page that made it, and the time would be nobody's.
    """
    _have_secret(request)
    answers = dict(vars(draft))
    if request.session.get(SESSION_KEY) != answers:
        request.session[SESSION_KEY] = answers


def visitor(request: HttpRequest) -> Visitor:
    """Who is at this browser. A session gets its secret with its first answer and keeps it to its end."""
    user = request.user if isinstance(request.user, User) else None
    return Visitor(request.session.get(OWNER_KEY, ""), user, network_key(request))


def has_ended(request: HttpRequest) -> bool:
    """Whether this browser brings the cookie of a session that is no more, and with it its answers."""
    return settings.SESSION_COOKIE_NAME in request.COOKIES and request.session.is_empty()


def known_visitor(request: HttpRequest) -> Visitor:
    _have_secret(request)
    return visitor(request)


def _have_secret(request: HttpRequest) -> None:
    if not request.session.get(OWNER_KEY):
        request.session[OWNER_KEY] = secrets.token_urlsafe(24)


def reason_of(draft: Draft, rules: ClinicRules) -> VisitReasonRecord | None:
    return rules.reasons.get(draft.reason)


def visit_of(draft: Draft, rules: ClinicRules, modality: Modality | None = None) -> Visit:
    term = rules.terms[draft.reason]
    return Visit(
        reason=term,
        jurisdiction=draft.jurisdiction,
        zone=draft.zone,
        modality=modality or next(each for each in Modality if each in term.appointment_types),
        specialty=draft.specialty or None,
        patient_kind=PatientKind(draft.patient_kind) if draft.patient_kind else None,
    )


def missing_before_times(draft: Draft, rules: ClinicRules, now: datetime) -> str | None:
    """The URL name of the first question without an answer, or None when times can be shown.

    Fills in a specialty that leaves no choice.
    """
    reason = reason_of(draft, rules)
    if reason is None:
        return "start"
    if reason.signs and not draft.is_screened:
        return "screening"
    if draft.jurisdiction not in JURISDICTIONS:
        return "choose_state"
    if not draft.patient_kind and rules.asks_patient_kind(visit_of(draft, rules)):
        return "patient_kind"
    open_now = rules.open_specialties(visit_of(draft, rules), now)
    if draft.specialty not in open_now:
        draft.specialty = next(iter(open_now)) if len(open_now) == 1 else ""
    return None if draft.specialty else "choose_specialty"


def current_hold(request: HttpRequest, draft: Draft) -> Booking | None:
    """The booking this visitor is working on, whatever became of it. Nobody else's is ever found."""
    if not draft.booking_id:
        return None
    mine = Booking.objects.of(visitor(request))
    try:
        return clinic_rules.whole(mine.filter(pk=UUID(draft.booking_id)))
    except Booking.DoesNotExist:
        return None


def missing_before_review(request: HttpRequest, draft: Draft, hold: Booking | None) -> str | None:
    """The URL name of what has to be done before the visit can be reviewed, or None."""
    if hold is None or hold.state in (BookingState.RELEASED, BookingState.REFUSED):
        return "times"
    if draft.verified_contact is None:
        return "contact"
    if hold.patient_id is None:
        return "details"
    return None


def patient_of(request: HttpRequest, draft: Draft) -> PatientRecord | None:
    """The person this visitor last gave details of: in this draft, else with their account."""
    if draft.patient_id:
        return PatientRecord.objects.filter(pk=draft.patient_id).first()
    if isinstance(request.user, User):
        return request.user.patients.order_by("-created_at").first()
    return None
