"""What every template may name: the clinic, and whether this is the demonstration."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def clinic(request: HttpRequest) -> dict[str, Any]:
    digits = "".join(char for char in settings.CLINIC_PHONE if char.isdigit())
    return {
        "clinic": {
            "name": settings.CLINIC_NAME,
            "phone": settings.CLINIC_PHONE,
            "phone_href": f"tel:{'+1' + digits if len(digits) == 10 else '+' + digits}",
            "emergency_phone": "911",
        },
        "is_demo": settings.IS_DEMO,
    }
