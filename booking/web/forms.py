"""One form per question. They validate and word what is wrong; they decide nothing."""

from __future__ import annotations

from datetime import date
from typing import Any

import phonenumbers
from django import forms
from django.conf import settings
from django.core.validators import RegexValidator

from booking.models.people import Sex
from booking.scheduling.clock import zone_words
from booking.scheduling.jurisdictions import JURISDICTIONS

MOST_YEARS = 130


def _grouped_places() -> list[tuple[str, Any]]:
    places = sorted(JURISDICTIONS.values(), key=lambda place: place.name)
    return [
        ("", "Choose a state or territory"),
        ("States", [(place.code, place.name) for place in places if not place.is_territory]),
        ("Territories", [(place.code, place.name) for place in places if place.is_territory]),
    ]


class MobileField(forms.CharField):
    """A mobile number as people write it; cleans to E.164. Only countries of SMS_COUNTRIES are taken."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("max_length", 30)
        super().__init__(
            widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "tel", "inputmode": "tel"}), **kwargs
        )

    def clean(self, value: Any) -> str:
        text = super().clean(value)
        if not text:
            return ""
        home = settings.SMS_COUNTRIES[0]
        try:
            number = phonenumbers.parse(text, home)
        except phonenumbers.NumberParseException:
            number = None
        if number is None or not phonenumbers.is_valid_number(number):
            raise forms.ValidationError("Enter a mobile number with its area code, such as (510) 555-0142.")
        if phonenumbers.region_code_for_number(number) not in settings.SMS_COUNTRIES:
            raise forms.ValidationError(
                "We can only text numbers in the United States. Use your e-mail instead."
            )
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


class StateForm(forms.Form):
    state = forms.ChoiceField(
        label="State or territory",
        choices=_grouped_places,
        error_messages={
            "required": "Choose the state where you will be.",
            "invalid_choice": "Choose a state from the list.",
        },
    )


class ZoneForm(forms.Form):
    zone = forms.ChoiceField(label="Time zone")

    def __init__(self, *args: Any, jurisdiction: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zones = JURISDICTIONS[jurisdiction].zones
        self.fields["zone"].choices = [(name, f"{zone_words(name)} time") for name in zones]  # type: ignore[attr-defined]


class ContactForm(forms.Form):
    channel = forms.ChoiceField(
        label="How should we send your code?",
        widget=forms.RadioSelect,
        choices=[("email", "E-mail"), ("mobile", "Text message")],
        error_messages={"required": "Choose e-mail or text message."},
    )
    email = forms.EmailField(
        label="E-mail address",
        required=False,
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "inputmode": "email"}),
        error_messages={"invalid": "Enter an e-mail address such as name@example.com."},
    )
    mobile = MobileField(label="Mobile number", required=False)
    # Nobody sees this one. Programs that fill in whatever a form has give themselves away by it.
    website = forms.CharField(required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not settings.SMS_IS_ON:
            self.fields["channel"].choices = [("email", "E-mail")]  # type: ignore[attr-defined]
            self.fields["channel"].initial = "email"
            del self.fields["mobile"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        channel = cleaned.get("channel")
        if cleaned.get("website"):
            self.add_error(
                "channel", f"We could not send a code. Please try once more, or call {settings.CLINIC_PHONE}."
            )
            return cleaned
        other = {"email": "mobile", "mobile": "email"}.get(channel or "")
        if other:
            # What stands in the field that was not chosen is no reason to stop anyone.
            self.errors.pop(other, None)
        if channel and not cleaned.get(channel) and channel not in self.errors:
            wanted = "your e-mail address" if channel == "email" else "your mobile number"
            self.add_error(channel, f"Enter {wanted}.")
        return cleaned


class CodeForm(forms.Form):
    code = forms.CharField(
        label="Code",
        max_length=12,
        widget=forms.TextInput(
            attrs={"inputmode": "numeric", "autocomplete": "one-time-code", "spellcheck": "false"}
        ),
        error_messages={"required": "Enter the code we sent you."},
    )

    def clean_code(self) -> str:
        digits = "".join(char for char in self.cleaned_data["code"] if char.isdigit())
        if len(digits) != 6:
            raise forms.ValidationError("The code is 6 digits.")
        return digits


NAME = RegexValidator(r"[^\W\d_]", "Enter a name.")


class DetailsForm(forms.Form):
    """Who the visit is for: what the EHR cannot make a patient without, and how to reach them."""

    given_name = forms.CharField(
        label="First name",
        max_length=100,
        validators=[NAME],
        widget=forms.TextInput(attrs={"autocomplete": "given-name"}),
        help_text="As it is on your ID or insurance card.",
        error_messages={"required": "Enter your first name."},
    )
    family_name = forms.CharField(
        label="Last name",
        max_length=100,
        validators=[NAME],
        widget=forms.TextInput(attrs={"autocomplete": "family-name"}),
        error_messages={"required": "Enter your last name."},
    )
    birth_month = forms.IntegerField(
        label="Month",
        widget=forms.TextInput(
            attrs={"inputmode": "numeric", "autocomplete": "bday-month", "maxlength": "2"}
        ),
        error_messages={
            "required": "Enter the month you were born.",
            "invalid": "Enter the month as a number.",
        },
    )
    birth_day = forms.IntegerField(
        label="Day",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "bday-day", "maxlength": "2"}),
        error_messages={"required": "Enter the day you were born.", "invalid": "Enter the day as a number."},
    )
    birth_year = forms.IntegerField(
        label="Year",
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "bday-year", "maxlength": "4"}),
        error_messages={
            "required": "Enter the year you were born.",
            "invalid": "Enter the year as four digits.",
        },
    )
    sex = forms.ChoiceField(
        label="Sex in your health record",
        widget=forms.RadioSelect,
        choices=Sex.choices,
        help_text="The clinic's record needs one. You can tell your clinician more at the visit.",
        error_messages={"required": "Choose one, or “I'd rather not say”."},
    )
    email = forms.EmailField(
        label="E-mail address",
        required=False,
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "email", "inputmode": "email"}),
        error_messages={"invalid": "Enter an e-mail address such as name@example.com."},
    )
    mobile = MobileField(label="Mobile number", required=False, help_text="So that the clinic can reach you.")
    text_consent = forms.BooleanField(
        label="Text me about this visit",
        required=False,
        help_text="We send a confirmation and any change to this visit. Message rates may apply. "
        "Reply STOP at any time to end them.",
    )

    def __init__(self, *args: Any, verified_channel: str, today: date, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.today = today
        self.verified_channel = verified_channel
        # A contact that has been proved is not asked for again.
        del self.fields[verified_channel]
        if verified_channel != "mobile":
            del self.fields["text_consent"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        year, month, day = (cleaned.get(f"birth_{name}") for name in ("year", "month", "day"))
        if year is not None and month is not None and day is not None:
            self._clean_birth_date(cleaned, year, month, day)
        has_way = cleaned.get("text_consent") or cleaned.get("email") or "email" in self.errors
        if self.verified_channel == "mobile" and not has_way:
            self.add_error(
                "email", "Enter an e-mail address, or agree to texts, so that we can confirm your visit."
            )
        return cleaned

    def _clean_birth_date(self, cleaned: dict[str, Any], year: int, month: int, day: int) -> None:
        if not 1 <= month <= 12:
            self.add_error("birth_month", "The month must be from 1 to 12.")
            return
        if year < 100:
            self.add_error("birth_year", "Enter the year as four digits, such as 1985.")
            return
        try:
            born_on = date(year, month, day)
        except ValueError:
            self.add_error("birth_day", "That month has no such day. Check the date of birth.")
            return
        if born_on > self.today:
            self.add_error("birth_year", "The date of birth must be in the past.")
        elif born_on.year < self.today.year - MOST_YEARS:
            self.add_error("birth_year", "Check the year of birth.")
        else:
            cleaned["birth_date"] = born_on
