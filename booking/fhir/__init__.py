"""The EHR's FHIR API behind the scheduling port: ``open_gateway(EhrConfig(...))``."""

from .auth import Token, TokenStore
from .gateways import EhrConfig, open_gateway
from .wire import correlation_id

__all__ = ["EhrConfig", "Token", "TokenStore", "correlation_id", "open_gateway"]
