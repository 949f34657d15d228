"""How allauth behaves here: six-digit codes, the clinic's name first in mail, and typed failures to deliver."""

from __future__ import annotations

from ipaddress import ip_address
from smtplib import SMTPException
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.crypto import get_random_string

from booking.messaging.channels import DeliveryError


class AccountAdapter(DefaultAccountAdapter):
    def format_email_subject(self, subject: str) -> str:
        return f"{settings.CLINIC_NAME}: {subject.strip()}"

    def get_client_ip(self, request: HttpRequest) -> str:
        """An IPv4 address that came as IPv6 is itself again; what a proxy ought to have said and did not is not trusted."""
        try:
            ip = super().get_client_ip(request)
        except ImproperlyConfigured:
            ip = request.META.get("REMOTE_ADDR", "")
        try:
            address = ip_address(ip)
        except ValueError:
            return str(ip)
        return str(getattr(address, "ipv4_mapped", None) or address)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Raises ``DeliveryError`` where allauth would let the mail library's own errors through."""
        context = {"clinic_name": settings.CLINIC_NAME, "clinic_phone": settings.CLINIC_PHONE, **context}
        try:
            super().send_mail(template_prefix, email, context)
        except (SMTPException, OSError) as error:
            raise DeliveryError(f"smtp {type(error).__name__}") from error

    def generate_login_code(self) -> str:
        return self._six_digits()

    def generate_email_verification_code(self) -> str:
        return self._six_digits()

    def _six_digits(self) -> str:
        return get_random_string(6, "0123456789")
