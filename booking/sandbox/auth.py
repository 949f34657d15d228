"""The OAuth token endpoint and what a token may do (Canvas documentation, Customer authentication page).

Client credentials only, with the patient-scoped variant; no authorization code, refresh or introspection.
Bodies of refused token requests are not documented: plain OAuth ones are inferred.
"""

import re
import secrets
import string
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .ehr import Ehr

LIFETIME_SECONDS = 36_000

_ALPHABET = string.ascii_letters + string.digits
_SCOPE = re.compile(r"^(user|patient|system)/([A-Za-z]+|\*)\.(read|write|\*|c?r?u?d?s?)$")
_IDENTITY_SCOPES = frozenset({"openid", "profile", "fhirUser", "offline_access", "launch", "launch/patient"})
# The documented user/ and system/ lists leave these out; only patient/ has them.
_PATIENT_CONTEXT_ONLY = frozenset({"Appointment", "Schedule", "Slot"})
_PATIENT_WRITABLE = frozenset({"*", "Appointment", "Patient"})
_EVERYTHING = "user/*.*"
_LETTERS = {"read": "rs", "write": "cu", "*": "crus"}


@dataclass(frozen=True, slots=True)
class Token:
    value: str
    client_id: str
    scope: str
    patient_id: str | None

    def allows(self, resource_type: str, letter: str) -> bool:
        """`letter` is one of c, r, u, s, as in SMART v2 scopes."""
        for scope in self.scope.split():
            match = _SCOPE.match(scope)
            if match is None:
                continue
            _, wanted, access = match.groups()
            if wanted in ("*", resource_type) and letter in _LETTERS.get(access, access):
                return True
        return False


class Auth:
    def __init__(self, ehr: Ehr, client_id: str, client_secret: str) -> None:
        self._ehr = ehr
        self._client_id = client_id
        self._client_secret = client_secret

    async def answer(self, request: Request) -> Response:
        """Answers everything under /auth/."""
        if request.url.path == "/auth/token":
            return Response(status_code=301, headers={"Location": "/auth/token/"})
        if request.url.path != "/auth/token/":
            return Response("<html><body><h1>Not Found</h1></body></html>", 404, media_type="text/html")
        if request.method != "POST":
            return Response(status_code=405, headers={"Allow": "POST"})
        media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if media_type != "application/x-www-form-urlencoded":
            return _refused("invalid_request")
        body = (await request.body()).decode("utf-8", "replace")
        return await run_in_threadpool(self._token, dict(parse_qsl(body, keep_blank_values=True)))

    def find(self, authorization: str | None) -> Token | None:
        """The good token in an Authorization header, if there is one."""
        kind, _, value = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not value:
            return None
        row = self._ehr.store.row(
            "SELECT * FROM token WHERE value = ? AND expires_at > ?",
            (value.strip(), self._ehr.now().timestamp()),
        )
        if row is None:
            return None
        return Token(row["value"], row["client_id"], row["scope"], row["patient_id"])

    def revoke(self, token: Token) -> None:
        with self._ehr.store.writing() as connection:
            connection.execute("DELETE FROM token WHERE value = ?", (token.value,))

    def _token(self, form: dict[str, str]) -> Response:
        if form.get("grant_type") != "client_credentials":
            return _refused("unsupported_grant_type" if form.get("grant_type") else "invalid_request")
        known = secrets.compare_digest(form.get("client_id", "").encode(), self._client_id.encode())
        right = secrets.compare_digest(form.get("client_secret", "").encode(), self._client_secret.encode())
        if not (known and right):
            return _refused("invalid_client", 401)
        scope, patient_id = form.get("scope", "").strip(), form.get("patient") or None
        if not _is_grantable(scope, for_patient=patient_id is not None):
            return _refused("invalid_scope")
        if patient_id and not self._ehr.store.row("SELECT 1 FROM patient WHERE id = ?", (patient_id,)):
            return _refused("invalid_request")
        scope = scope or _EVERYTHING
        value = "".join(secrets.choice(_ALPHABET) for _ in range(30))
        now = self._ehr.now().timestamp()
        with self._ehr.store.writing() as connection:
            connection.execute("DELETE FROM token WHERE expires_at <= ?", (now,))
            connection.execute(
                "INSERT INTO token VALUES (?, ?, ?, ?, ?)",
                (value, self._client_id, scope, patient_id, now + LIFETIME_SECONDS),
            )
        granted: dict[str, object] = {
            "access_token": value,
            "expires_in": LIFETIME_SECONDS,
            "token_type": "Bearer",
            "scope": scope,
        }
        if patient_id:
            granted |= {
                "patient": patient_id,
                "need_patient_banner": True,
                "smart_style_url": "https://juniper-health.example/smart-style.json",
            }
        return JSONResponse(granted, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


def _is_grantable(scope: str, *, for_patient: bool) -> bool:
    contexts = set()
    for each in scope.split():
        if each in _IDENTITY_SCOPES:
            continue
        match = _SCOPE.match(each)
        if match is None or not match.group(3):
            return False
        context, resource_type, access = match.groups()
        contexts.add(context)
        if context != "patient":
            if resource_type in _PATIENT_CONTEXT_ONLY:
                return False
        elif set(_LETTERS.get(access, access)) & set("cud") and resource_type not in _PATIENT_WRITABLE:
            return False
    return contexts == {"patient"} if for_patient else True


def _refused(error: str, status: int = 400) -> Response:
    return JSONResponse({"error": error}, status_code=status, headers={"Cache-Control": "no-store"})
