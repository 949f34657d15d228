"""Where a video visit takes place: the clinician's fixed room, else a fresh room that nobody can guess."""

from __future__ import annotations

import secrets

from django.conf import settings


def room_for(fixed_room_url: str) -> str:
    """The fixed room, or VIDEO_BASE_URL with 128 random bits. Decided once per booking and kept with it."""
    return fixed_room_url or f"{settings.VIDEO_BASE_URL.rstrip('/')}/{secrets.token_urlsafe(16)}"
