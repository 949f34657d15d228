"""The token endpoints: client credentials, with a secret or with a signed assertion, and what a token may do.

Medplum: POST /oauth2/token, form body or Basic, 3600 seconds, a wrong secret is `invalid_request`. Plain R4: OAuth's
own answers, and SMART Backend Services (private_key_jwt). Neither has user log-in here.
"""

import base64
import re
import secrets
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_plus

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .assertions import Assertions
from .clinic import TOKEN_PATHS, Clinic

LIFETIME_SECONDS = {"medplum": 3600, "r4": 300}

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SCOPE = re.compile(r"^(system|user)/([A-Za-z]+|\*)\.(read|write|\*|c?r?u?d?s?)$")
_LETTERS = {"read": "rs", "write": "cud", "*": "cruds"}
_EVERYTHING = "system/*.cruds"


@dataclass(frozen=True, slots=True)
class Token:
    value: str
    client_id: str
    scope: str

    def allows(self, kind: str, letter: str) -> bool:
        """`letter` is one of c, r, u, d, s, as in SMART's version 2 of scopes."""
        for each in self.scope.split():
            match = _SCOPE.match(each)
            if match is not None and match.group(2) in ("*", kind):
                access = match.group(3)
                if letter in _LETTERS.get(access, access):
                    return True
        return False


class Tokens:
    def __init__(
        self, clinic: Clinic, client_id: str, client_secret: str, assertions: Assertions | None
    ) -> None:
        self._clinic = clinic
        self._client_id = client_id
        self._client_secret = client_secret
        self._assertions = assertions

    async def answer(self, request: Request) -> Response:
        if request.method != "POST":
            return Response(status_code=405, headers={"Allow": "POST"})
        media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if media_type != "application/x-www-form-urlencoded":
            return _refused("invalid_request")
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
        address = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}{request.url.path}"
        return await run_in_threadpool(self._token, form, request.headers.get("authorization"), address)

    def find(self, authorization: str | None) -> Token | None:
        """The good token in an Authorization header, if there is one."""
        kind, _, value = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not value:
            return None
        row = self._clinic.store.row(
            "SELECT * FROM token WHERE value = ? AND expires_at > ?",
            (value.strip(), self._clinic.now().timestamp()),
        )
        return None if row is None else Token(row["value"], row["client_id"], row["scope"])

    def revoke(self, token: Token) -> None:
        with self._clinic.store.writing() as connection:
            connection.execute("DELETE FROM token WHERE value = ?", (token.value,))

    def configuration(self, origin: str) -> dict[str, object]:
        """What SMART's well-known address says of this endpoint."""
        methods = ["client_secret_basic", "client_secret_post"]
        capabilities = ["client-confidential-symmetric", "permission-v1", "permission-v2"]
        found: dict[str, object] = {"token_endpoint": f"{origin}{TOKEN_PATHS[self._clinic.manners]}"}
        if self._assertions is not None:
            methods.append("private_key_jwt")
            capabilities.append("client-confidential-asymmetric")
            found["token_endpoint_auth_signing_alg_values_supported"] = ["RS384", "ES384"]
        return {
            **found,
            "token_endpoint_auth_methods_supported": methods,
            "grant_types_supported": ["client_credentials"],
            "scopes_supported": ["system/*.cruds", "system/*.read", "system/*.write"],
            "capabilities": capabilities,
        }

    def _token(self, form: dict[str, str], authorization: str | None, address: str) -> Response:
        is_plain = self._clinic.manners == "r4"
        if form.get("grant_type") != "client_credentials":
            has_other = is_plain and form.get("grant_type")
            return _refused("unsupported_grant_type" if has_other else "invalid_request")
        if is_plain and "client_assertion" in form:
            known = (
                self._assertions is not None
                and form.get("client_assertion_type") == _ASSERTION_TYPE
                and self._assertions.accept(form["client_assertion"], self._client_id, address)
            )
        else:
            known = self._knows(*_credentials(form, authorization))
        if not known:
            return _refused("invalid_client", 401) if is_plain else _refused("invalid_request")
        scope = form.get("scope", "").strip()
        if is_plain and not all(_SCOPE.match(each) and not each.endswith(".") for each in scope.split()):
            return _refused("invalid_scope")
        return self._grant((scope if is_plain else "") or _EVERYTHING)

    def _grant(self, scope: str) -> Response:
        value = secrets.token_urlsafe(32)
        lifetime = LIFETIME_SECONDS[self._clinic.manners]
        now = self._clinic.now().timestamp()
        with self._clinic.store.writing() as connection:
            connection.execute("DELETE FROM token WHERE expires_at <= ?", (now,))
            connection.execute(
                "INSERT INTO token VALUES (?, ?, ?, NULL, ?)", (value, self._client_id, scope, now + lifetime)
            )
        granted = {"access_token": value, "token_type": "Bearer", "expires_in": lifetime, "scope": scope}
        return JSONResponse(granted, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    def _knows(self, client_id: str, client_secret: str) -> bool:
        known = secrets.compare_digest(client_id.encode(), self._client_id.encode())
        right = secrets.compare_digest(client_secret.encode(), self._client_secret.encode())
        return known and right


def _credentials(form: dict[str, str], authorization: str | None) -> tuple[str, str]:
    """Id and secret from HTTP Basic, which goes first, or from the form."""
    kind, _, value = (authorization or "").partition(" ")
    if kind.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        text = base64.b64decode(value.strip(), validate=True).decode()
    except ValueError:
        return "", ""
    client_id, _, client_secret = text.partition(":")
    # OAuth has both form-encoded before they are joined (RFC 6749, 2.3.1).
    return unquote_plus(client_id), unquote_plus(client_secret)


def _refused(error: str, status: int = 400) -> Response:
    headers = {"Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = "Basic"
    return JSONResponse({"error": error}, status_code=status, headers=headers)
