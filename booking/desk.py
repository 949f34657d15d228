"""The admin site itself. Staff come in through the portal's own sign-in, with a second factor on top of it.

Only where STAFF_SECOND_FACTOR is off, as in the demo, is there Django's own form with a password.
"""

from __future__ import annotations

from typing import Any

from allauth.mfa.utils import is_mfa_enabled
from csp.constants import SELF
from csp.decorators import csp_update
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

# Django's admin loads its own scripts from our origin and gives them no nonce.
with_admin_scripts: Any = csp_update({"script-src": [SELF]})


class DeskSite(AdminSite):
    site_header = "Scheduling desk"
    site_title = "Scheduling desk"
    index_title = "What would you like to set up?"

    def has_permission(self, request: HttpRequest) -> bool:
        if not super().has_permission(request):
            return False
        return not settings.STAFF_SECOND_FACTOR or is_mfa_enabled(request.user)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not settings.STAFF_SECOND_FACTOR:
            return with_admin_scripts(super().login)(request, extra_context)
        user = request.user
        if user.is_authenticated and not (user.is_active and user.is_staff):
            raise PermissionDenied
        if user.is_authenticated:
            messages.warning(
                request, "Staff need a second factor. Add an authenticator app or a security key first."
            )
            return redirect("mfa_index")
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"), reverse("account_login"))

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """What lies there to be seen to is said on the first page."""
        from booking.models import Booking, Message  # needs the app registry

        waiting = [
            (
                Booking.objects.for_staff(),
                "bookings need a person to look at them",
                "booking",
                "for_staff=yes",
            ),
            (
                Message.objects.filter(state=Message.State.DEAD),
                "messages could not be sent and were given up",
                "message",
                "state__exact=dead",
            ),
        ]
        for rows, words, model, query in waiting:
            if request.user.has_perm(f"booking.view_{model}") and (count := rows.count()):
                url = f"{reverse(f'admin:booking_{model}_changelist')}?{query}"
                messages.warning(
                    request, format_html('<a href="{}">{}: {}</a>', url, words.capitalize(), count)
                )
        return super().index(request, extra_context)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        return with_admin_scripts(super().admin_view(view, cacheable))
