"""Clinicians' photos, from our own copies."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from booking.models import ClinicianPhoto


@require_safe
def clinician_photo(request: HttpRequest, pk: int, sha: str) -> HttpResponse:
    """The address names the bytes, so a copy of them is good for ever."""
    photo = get_object_or_404(ClinicianPhoto, clinician_id=pk, sha256=sha, clinician__is_active=True)
    return HttpResponse(
        bytes(photo.data),
        content_type=photo.content_type,
        headers={
            "Cache-Control": "public, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        },
    )
