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
from django.urls import reverse

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

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        return with_admin_scripts(super().admin_view(view, cacheable))
