"""The token endpoint and what tokens may do."""

import string

import pytest

from .rig import CREDENTIALS, Clinic, issue

PATIENT_SCOPES = (
    "patient/Patient.read patient/Appointment.* patient/Practitioner.read patient/Location.read "
    "patient/Schedule.read patient/Slot.read"
)


def test_without_the_slash_the_token_address_only_redirects(clinic: Clinic) -> None:
    answer = clinic.http.post("/auth/token", data=CREDENTIALS)
    assert (answer.status_code, answer.headers["Location"], answer.content) == (301, "/auth/token/", b"")


def test_a_token_is_opaque_and_lasts_ten_hours(clinic: Clinic) -> None:
    answer = clinic.http.post("/auth/token/", data=CREDENTIALS)
    granted = answer.json()
    token = granted.pop("access_token")
    assert (len(token), set(token) - set(string.ascii_letters + string.digits)) == (30, set())
    assert granted == {"expires_in": 36000, "token_type": "Bearer", "scope": "user/*.*"}
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"scope": "everything"}, 400, "invalid_scope"),
        ({"scope": "system/Appointment.read"}, 400, "invalid_scope"),
        ({"scope": "patient/Schedule.write"}, 400, "invalid_scope"),
    ],
)
def test_a_refused_token_request(clinic: Clinic, change: dict[str, str], status: int, error: str) -> None:
    answer = clinic.http.post("/auth/token/", data=CREDENTIALS | change)
    assert (answer.status_code, answer.json()) == (status, {"error": error})


def test_the_token_endpoint_takes_a_form_only(clinic: Clinic) -> None:
    answer = clinic.http.post("/auth/token/", json=CREDENTIALS)
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request"})


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer nonsense", "Basic cG9ydGFsOmRlbW8="])
def test_without_a_good_token_nothing_is_served(clinic: Clinic, header: str) -> None:
    answer = clinic.http.get("/Schedule", headers={"Authorization": header})
    assert issue(answer) == (401, "unknown", "Authentication failed")


def test_a_token_ends_after_ten_hours(clinic: Clinic) -> None:
    clinic.clock.advance(seconds=35_999)
    assert clinic.get("/Location").status_code == 200
    clinic.clock.advance(seconds=1)
    assert issue(clinic.get("/Location")) == (401, "unknown", "Authentication failed")


def test_a_patient_token_says_whose_it_is(clinic: Clinic) -> None:
    patient = clinic.patient("Delgado")
    form = {**CREDENTIALS, "patient": patient, "scope": PATIENT_SCOPES}
    granted = clinic.http.post("/auth/token/", data=form).json()
    assert (granted["patient"], granted["scope"], granted["need_patient_banner"]) == (
        patient,
        PATIENT_SCOPES,
        True,
    )


@pytest.mark.parametrize("scope", ["", "user/Patient.read", "patient/Patient.read user/Location.read"])
def test_a_patient_token_needs_patient_scopes_only(clinic: Clinic, scope: str) -> None:
    form = {**CREDENTIALS, "patient": clinic.patient("Delgado"), "scope": scope}
    answer = clinic.http.post("/auth/token/", data=form)
    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_scope"})


class TestPatientToken:
    @pytest.fixture(autouse=True)
    def _as_patient(self, clinic: Clinic) -> None:
        self.other = clinic.patient("Carter")
        self.own = clinic.patient("Delgado")
        self.others_visit = clinic.search("Appointment", patient=f"Patient/{self.other}")[0]["id"]
        self.body = clinic.visit()
        form = {**CREDENTIALS, "patient": self.own, "scope": PATIENT_SCOPES}
        token = clinic.http.post("/auth/token/", data=form).json()["access_token"]
        clinic.http.headers["Authorization"] = f"Bearer {token}"

    def test_sees_its_own_records(self, clinic: Clinic) -> None:
        assert [each["id"] for each in clinic.search("Patient")] == [self.own]
        owners = {each["participant"][1]["actor"]["reference"] for each in clinic.search("Appointment")}
        assert owners == {f"Patient/{self.own}"}
        assert clinic.post("/Appointment", self.body).status_code == 201

    def test_is_refused_the_records_of_others(self, clinic: Clinic) -> None:
        refused = (403, "forbidden", "Authorization failed")
        assert issue(clinic.get(f"/Patient/{self.other}")) == refused
        assert issue(clinic.get("/Appointment", patient=f"Patient/{self.other}")) == refused
        assert issue(clinic.get(f"/Appointment/{self.others_visit}")) == refused
        stolen = {**self.body, "participant": [dict(each) for each in self.body["participant"]]}
        stolen["participant"][1]["actor"] = {"reference": f"Patient/{self.other}"}
        assert issue(clinic.post("/Appointment", stolen)) == refused

    def test_is_refused_what_its_scopes_leave_out(self, clinic: Clinic) -> None:
        refused = (403, "forbidden", "Authorization failed")
        assert issue(clinic.put(f"/Patient/{self.own}", {})) == refused
        assert clinic.get("/Schedule").status_code == 200
