"""Whose request this is: the token that `edge` checked, as seen by the handlers."""

from .auth import Token
from .framework import FHIRForbiddenError, InteractionContext

SCOPE_KEY = "sandbox.token"


def token_of(context: InteractionContext) -> Token:
    token: Token = context.request.scope[SCOPE_KEY]
    return token


def only_patient(context: InteractionContext, patient_id: str | None) -> None:
    """Refuses a patient-scoped token any other patient's records; the 403 is inferred."""
    own = token_of(context).patient_id
    if own is not None and patient_id != own:
        raise FHIRForbiddenError("Authorization failed")
