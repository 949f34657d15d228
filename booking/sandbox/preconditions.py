"""If-Unmodified-Since, the only conditional header Canvas honors (Canvas documentation, Conditional requests)."""

from email.utils import parsedate_to_datetime

from .framework import FHIRPreconditionFailedError, InteractionContext


def unmodified_since(context: InteractionContext, updated_at: float) -> None:
    """HTTP dates are whole seconds, so a change within the named second passes. A malformed date is ignored."""
    header = context.request.headers.get("If-Unmodified-Since")
    if header is None:
        return
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return
    if int(updated_at) > moment.timestamp():
        raise FHIRPreconditionFailedError("Resource updated since If-Unmodified-Since date")
