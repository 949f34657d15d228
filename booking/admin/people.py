"""Accounts, staff's above all."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from booking.models import User


@admin.register(User)
class AccountAdmin(UserAdmin):
    list_display = ["username", "email", "is_staff", "is_active", "last_login"]
