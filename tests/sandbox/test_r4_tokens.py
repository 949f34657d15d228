"""Token endpoints: OAuth's and SMART's ways in plain R4, Medplum's own habits, and what a scope allows."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from . import r4_rig
from .r4_rig import Server, issue
from .rig import CREDENTIALS, NOON

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
KEYS = {
    "RS384": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
}
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Plain R4 that knows the public halves of KEYS."""
    folder = tmp_path_factory.mktemp("keyed")
    keys = [
        json.loads(jwt.get_algorithm_by_name(name).to_jwk(key.public_key()))
        | {"kid": name, "alg": name, "use": "sig"}
        for name, key in KEYS.items()
    ]
    (folder / "jwks.json").write_text(json.dumps({"keys": keys}))
    with r4_rig.running(folder / "ehr.sqlite3", "r4", jwks=folder / "jwks.json") as server:
        yield server


def _ask(server: Server, form: dict[str, str], **headers: str) -> tuple[int, dict[str, Any]]:
    answer = server.http.post(f"{server.url}{server.token_path}", data=form, headers=headers)
    return answer.status_code, answer.json()


def _signed(server: Server, algorithm: str = "RS384", key: Any = None, **changes: Any) -> dict[str, str]:
    claims = {
        "iss": "portal-demo",
        "sub": "portal-demo",
        "aud": f"{server.url}/token",
        "exp": int(NOON.timestamp()) + 300,
        "jti": "once",
        **changes,
    }
    kept = {name: value for name, value in claims.items() if value is not None}
    assertion = jwt.encode(kept, key or KEYS[algorithm], algorithm, headers={"kid": algorithm})
    return {
        "grant_type": "client_credentials",
        "scope": "system/*.cruds",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    }


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_a_signed_assertion_is_good_once(keyed: Server, algorithm: str) -> None:
    form = _signed(keyed, algorithm, jti=f"once-{algorithm}")
    status, granted = _ask(keyed, form)
    assert (status, granted["token_type"], granted["expires_in"]) == (200, "Bearer", 300)
    assert _ask(keyed, form) == (401, {"error": "invalid_client"})


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody"},
        {"sub": "somebody"},
        {"aud": "http://elsewhere.example/token"},
        {"exp": int(NOON.timestamp()) + 301},
        {"exp": int(NOON.timestamp())},
        {"exp": None},
        {"jti": None},
        {"key": STRANGER},
    ],
)
def test_a_flawed_assertion(keyed: Server, changes: dict[str, Any]) -> None:
    form = _signed(keyed, **{"jti": str(changes), **changes})
    assert _ask(keyed, form) == (401, {"error": "invalid_client"})


def test_an_algorithm_that_smart_does_not_name(keyed: Server) -> None:
    form = _signed(keyed, jti="rs256")
    claims = jwt.decode(form["client_assertion"], options={"verify_signature": False})
    form["client_assertion"] = jwt.encode(claims, KEYS["RS384"], "RS256", headers={"kid": "RS384"})
    assert _ask(keyed, form) == (401, {"error": "invalid_client"})


def test_smart_configuration_says_which_ways_there_are(keyed: Server, plain: Server) -> None:
    known = keyed.get(".well-known/smart-configuration").json()
    assert known["token_endpoint_auth_methods_supported"] == [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
    ]
    assert known["token_endpoint_auth_signing_alg_values_supported"] == ["RS384", "ES384"]
    without = plain.get(".well-known/smart-configuration").json()
    assert without["token_endpoint_auth_methods_supported"] == ["client_secret_basic", "client_secret_post"]
    assert _ask(plain, _signed(plain)) == (401, {"error": "invalid_client"})


def test_a_secret_in_the_form_or_in_the_header(server: Server) -> None:
    basic = base64.b64encode(b"portal-demo:portal-demo-secret").decode()
    by_header = _ask(server, {"grant_type": "client_credentials"}, Authorization=f"Basic {basic}")
    for status, granted in (_ask(server, CREDENTIALS), by_header):
        lifetime = 3600 if server.manners == "medplum" else 300
        assert (status, granted["token_type"], granted["expires_in"]) == (200, "Bearer", lifetime)


def test_a_wrong_secret(plain: Server, medplum: Server) -> None:
    wrong = {**CREDENTIALS, "client_secret": "guess"}
    assert _ask(plain, wrong) == (401, {"error": "invalid_client"})
    assert _ask(medplum, wrong) == (400, {"error": "invalid_request"})


def test_another_grant(plain: Server) -> None:
    assert _ask(plain, {**CREDENTIALS, "grant_type": "password"}) == (
        400,
        {"error": "unsupported_grant_type"},
    )


def test_a_token_ends(server: Server) -> None:
    lifetime = 3600 if server.manners == "medplum" else 300
    server.clock.advance(seconds=lifetime - 1)
    assert server.get("Location").status_code == 200
    server.clock.advance(seconds=1)
    assert issue(server.get("Location")) == (401, "login", "Unauthorized")


def test_a_scope_limits_what_a_token_may_do(plain: Server) -> None:
    scope = "system/Slot.rs system/Patient.read"
    granted = _ask(plain, {**CREDENTIALS, "scope": scope})[1]
    assert granted["scope"] == scope
    plain.http.headers["Authorization"] = f"Bearer {granted['access_token']}"
    assert plain.get("Slot", _count=1).status_code == 200
    assert plain.get("Patient", _count=1).status_code == 200
    assert issue(plain.get("Appointment")) == (403, "forbidden", "Forbidden")
    assert issue(plain.post("Patient", {"resourceType": "Patient"})) == (403, "forbidden", "Forbidden")
    assert _ask(plain, {**CREDENTIALS, "scope": "everything"}) == (400, {"error": "invalid_scope"})


def test_a_file_of_keys_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "jwks.json").write_text("{}")
    from booking.sandbox.r4.assertions import Assertions, KeysUnusable

    with pytest.raises(KeysUnusable, match=r"jwks\.json as a set of public keys"):
        Assertions(tmp_path / "jwks.json", lambda: NOON)
