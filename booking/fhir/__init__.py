"""The EHR's FHIR API behind the scheduling port: ``open_gateway(EhrConfig(...))``."""

from .auth import Token, TokenStore
from .client import patience
from .gateways import EhrConfig, open_gateway
from .notices import Notice, is_authentic, read_notice
from .wire import correlation_id

__all__ = [
    "EhrConfig",
    "Notice",
    "Token",
    "TokenStore",
    "correlation_id",
    "is_authentic",
    "open_gateway",
    "patience",
    "read_notice",
]
