"""From a hold to a booking: a way to reach the patient, who the visit is for, a last look, and the button."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from booking.flows import clinic_rules, confirm_booking
from booking.messaging.channels import DeliveryError
from booking.models import Booking, PatientRecord, User
from booking.scheduling.clock import local_day
from booking.scheduling.errors import EhrUnavailable, Refusal, RefusalCode
from booking.scheduling.lifecycle import BookingState

from . import draft as drafts
from .contact_codes import ContactCode, TooManyCodes
from .draft import Contact, Draft
from .forms import CodeForm, ContactForm, DetailsForm
from .journey import journey
from .present_visit import visit_card, visit_rows
from .refusals import notice_for
from .steps import attach, keep_contact, next_step, no_more_holds, remember_refusal, with_hold


@require_http_methods(["GET", "HEAD", "POST"])
@with_hold
def contact(request: HttpRequest, draft: Draft, hold: Booking) -> HttpResponse:
    if request.method == "GET" and "change" not in request.GET:
        following = next_step(request, draft, hold)
        if following["Location"] != reverse("contact"):
            return following
    form = ContactForm(request.POST or None, initial={"channel": "email"})
    if request.method == "POST" and form.is_valid():
        channel = form.cleaned_data["channel"]
        try:
            ContactCode.initiate(request, channel=channel, value=form.cleaned_data[channel])
            return redirect("code")
        except TooManyCodes:
            form.add_error(
                channel, "We cannot send a code there right now. Wait ten minutes, or use another way."
            )
        except DeliveryError:
            form.add_error(
                channel, "We could not send a code there. Check it and try again, or use another way."
            )
    context = {
        "form": form,
        "sign_in_url": f"{reverse('account_login')}?next={reverse('contact')}",
        "journey": journey(
            "you",
            draft=draft,
            reason=drafts.reason_of(draft, clinic_rules.current()),
            back="times",
            hold=hold,
            now=timezone.now(),
        ),
    }
    return render(request, "booking/contact.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@with_hold
def code(request: HttpRequest, draft: Draft, hold: Booking) -> HttpResponse:
    process = ContactCode.resume(request)
    if process is None:
        return redirect("contact" if draft.verified_contact is None else "details")
    form = CodeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if process.verify(form.cleaned_data["code"]):
            draft.has_proved(process.channel, process.value, timezone.now())
            drafts.save(request, draft)
            try:
                keep_contact(hold, draft, timezone.now())
            except Refusal as refusal:
                return no_more_holds(request, draft, hold, refusal)
            # Also when the person is known: what they agreed to was for the way of reaching them they had before.
            return redirect("details")
        if ContactCode.resume(request) is None:
            return render(
                request, "booking/code_ended.html", _code_context(draft, hold, process, form), status=422
            )
        form.add_error("code", "That is not the code we sent. Check it and try again.")
    return render(
        request,
        "booking/code.html",
        _code_context(draft, hold, process, form),
        status=422 if form.errors else 200,
    )


def _code_context(draft: Draft, hold: Booking, process: ContactCode, form: CodeForm) -> dict[str, object]:
    return {
        "form": form,
        "sent_to": process.value
        if process.channel == "email"
        else f"the number ending in {process.value[-4:]}",
        "can_resend": process.can_resend,
        "journey": journey(
            "you",
            draft=draft,
            reason=drafts.reason_of(draft, clinic_rules.current()),
            back="contact",
            hold=hold,
            now=timezone.now(),
        ),
    }


@require_POST
@with_hold
def resend_code(request: HttpRequest, draft: Draft, hold: Booking) -> HttpResponse:
    process = ContactCode.resume(request)
    if process is None or not process.can_resend:
        return redirect("contact")
    form = CodeForm()
    try:
        process.resend()
    except (TooManyCodes, DeliveryError):
        context = _code_context(draft, hold, process, form) | {"can_resend": False, "was_not_resent": True}
        return render(request, "booking/code.html", context, status=422)
    return redirect("code")


@require_http_methods(["GET", "HEAD", "POST"])
@with_hold
def details(request: HttpRequest, draft: Draft, hold: Booking) -> HttpResponse:
    verified = draft.verified_contact
    if verified is None:
        return redirect("contact")
    now = timezone.now()
    known = hold.patient or drafts.patient_of(request, draft)
    form = DetailsForm(
        request.POST or None,
        verified_channel=verified.channel,
        today=local_day(now, hold.zone),
        initial=_known_details(known, draft),
    )
    if request.method == "POST" and form.is_valid():
        patient = _save_patient(request, draft, verified, form.cleaned_data)
        draft.patient_id = str(patient.pk)
        draft.has_text_consent = bool(form.cleaned_data.get("text_consent"))
        attach(hold, draft, patient, now)
        drafts.save(request, draft)
        return redirect("review")
    context = {
        "form": form,
        "verified_words": verified.value,
        "journey": journey(
            "you",
            draft=draft,
            reason=drafts.reason_of(draft, clinic_rules.current()),
            back="times",
            hold=hold,
            now=now,
        ),
    }
    return render(request, "booking/details.html", context, status=422 if form.errors else 200)


def _known_details(patient: PatientRecord | None, draft: Draft) -> dict[str, object]:
    if patient is None:
        return {}
    return {
        "given_name": patient.given_name,
        "family_name": patient.family_name,
        "birth_month": patient.birth_date.month,
        "birth_day": patient.birth_date.day,
        "birth_year": patient.birth_date.year,
        "sex": patient.sex,
        "email": patient.email,
        "mobile": patient.mobile,
        "text_consent": draft.has_text_consent,
    }


def _save_patient(
    request: HttpRequest, draft: Draft, verified: Contact, cleaned: dict[str, object]
) -> PatientRecord:
    """One record per person: the same name, birth date and sex given again by this visitor is the same person."""
    user = request.user if isinstance(request.user, User) else None
    same = {
        "given_name": cleaned["given_name"],
        "family_name": cleaned["family_name"],
        "birth_date": cleaned["birth_date"],
        "sex": cleaned["sex"],
    }
    contacts = {
        "email": cleaned.get("email", ""),
        "mobile": cleaned.get("mobile", ""),
        verified.channel: verified.value,
    }
    known = PatientRecord.objects.filter(user=user, **same)
    if user is None:
        known = known.filter(pk=draft.patient_id) if draft.patient_id else known.none()
    patient = known.order_by("created_at").first() or PatientRecord(user=user, **same)
    patient.email, patient.mobile = str(contacts["email"]), str(contacts["mobile"])
    patient.save()
    return patient


@require_http_methods(["GET", "HEAD", "POST"])
@with_hold
def review(request: HttpRequest, draft: Draft, hold: Booking) -> HttpResponse:
    if drafts.missing_before_review(request, draft, hold):
        # What was told before and did not reach this hold, as when a process died in between, is not asked again.
        return next_step(request, draft, hold)
    if request.method == "POST":
        return _submit(request, draft, hold)
    return _review_page(request, draft, hold)


def _review_page(request: HttpRequest, draft: Draft, hold: Booking, *, failure: str = "") -> HttpResponse:
    now = timezone.now()
    rules = clinic_rules.current()
    policy = rules.policy_record
    # The kept one knows its specialties already.
    reason = rules.reasons.get(hold.reason.code, hold.reason)
    context = {
        "card": visit_card(hold, now=now),
        "rows": visit_rows(hold, with_changes=True),
        "cost_words": policy.cost_words,
        "change_words": policy.change_words,
        "notice": notice_for(failure) if failure else None,
        "journey": journey("review", draft=draft, reason=reason, back="details", hold=hold, now=now),
    }
    return render(request, "booking/review.html", context, status=503 if failure else 200)


def _submit(request: HttpRequest, draft: Draft, hold: Booking) -> HttpResponse:
    try:
        booking = confirm_booking.submit(hold, visitor=drafts.visitor(request), clock=timezone.now)
    except Refusal as refusal:
        remember_refusal(draft, refusal.code, hold)
        draft.booking_id = ""
        drafts.save(request, draft)
        return redirect("times")
    except EhrUnavailable:
        hold.refresh_from_db()
        return _review_page(request, draft, hold, failure=RefusalCode.EHR_AWAY)
    draft.booking_id = str(booking.pk)
    drafts.save(request, draft)
    if booking.state == BookingState.REFUSED and booking.failure != RefusalCode.NOT_ACCEPTED:
        remember_refusal(draft, RefusalCode(booking.failure), booking)
        draft.booking_id = ""
        drafts.save(request, draft)
        return redirect("times")
    return redirect("visit", booking.pk)
