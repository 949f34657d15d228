"""Where a request comes from: the network a household or an office has, as a key that is no address any more."""

from __future__ import annotations

import hmac
from ipaddress import IPv6Address, ip_address, ip_network

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest


def network_key(request: HttpRequest) -> str:
    """The same for one IPv4 address, and for one /64 of IPv6. Empty where a proxy hides from us who is behind it."""
    if settings.IS_BEHIND_PROXY and not settings.ALLAUTH_TRUSTED_PROXY_COUNT:
        return ""
    try:
        address = ip_address(get_adapter().get_client_ip(request))
    except (PermissionDenied, ValueError):
        return ""
    whole = 64 if isinstance(address, IPv6Address) else 32
    network = str(ip_network((address, whole), strict=False))
    return hmac.new(settings.SECRET_KEY.encode(), network.encode(), "sha256").hexdigest()[:32]
