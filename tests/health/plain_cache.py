# ruff: noqa: E402 - settings are changed before anything reads them
"""The portal with Django's own Redis cache in place of ours: what the tests of a Redis that is away must catch."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

from django.conf import settings

settings.CACHES["default"]["BACKEND"] = "django.core.cache.backends.redis.RedisCache"

from portal.wsgi import application

__all__ = ["application"]
