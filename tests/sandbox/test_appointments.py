"""Appointments: writing, reading, changing and finding them."""

from typing import Any

import pytest

from booking.sandbox.framework import Appointment

from .rig import OFFICE, SNOMED, TELEHEALTH, Clinic, issue

ENDPOINT = "appointment-meeting-endpoint-0"
OTHER_EVENT = {"coding": [{"system": SNOMED, "code": "272379006"}]}


def _type(code: str, system: str = SNOMED) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def _endpoint(id_: str = ENDPOINT, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Endpoint",
        "id": id_,
        "status": "active",
        "connectionType": {"code": "https"},
        "payloadType": [{"coding": [{"code": "video-call"}]}],
        "address": "https://video.example/abc",
        **changes,
    }


def _with_video(clinic: Clinic, id_: str = ENDPOINT) -> dict[str, Any]:
    return {
        "appointmentType": _type(TELEHEALTH),
        "contained": [_endpoint(id_)],
        "supportingInformation": [
            {"reference": f"Location/{clinic.place('Oakland')}"},
            {"reference": f"#{id_}", "type": "Endpoint"},
        ],
    }


def _people(clinic: Clinic, practitioner: str, patient: str | None = None) -> list[dict[str, Any]]:
    references = [f"Practitioner/{clinic.staff(practitioner)}"]
    if patient:
        references.append(f"Patient/{clinic.patient(patient)}")
    return [{"actor": {"reference": each}, "status": "accepted"} for each in references]


def _refused(clinic: Clinic, text: str, **changes: Any) -> None:
    assert issue(clinic.post("/Appointment", clinic.visit(**changes))) == (422, "business-rule", text)


class TestRead:
    def test_the_whole_shape(self, clinic: Clinic) -> None:
        identifier = {"system": "urn:portal:booking", "value": "b-7f3c"}
        id_ = clinic.book(identifier=[identifier], **_with_video(clinic))
        found = clinic.read("Appointment", id_)
        (note,) = found["extension"]
        encounter = found["supportingInformation"][2]["reference"]
        assert (note["url"], len(note["valueId"])) == (
            "http://schemas.canvasmedical.com/fhir/extensions/note-id",
            36,
        )
        assert encounter.startswith("Encounter/")
        assert found == {
            "resourceType": "Appointment",
            "id": id_,
            "extension": [note],
            "contained": [_endpoint()],
            "identifier": [{"use": "usual", **identifier, "id": found["identifier"][0]["id"]}],
            "status": "booked",
            "appointmentType": {"coding": [{"system": SNOMED, "code": TELEHEALTH, "display": "Telehealth"}]},
            "reasonCode": [
                {
                    "coding": [
                        {
                            "system": "INTERNAL",
                            "code": "PHYS",
                            "display": "Yearly checkup",
                            "userSelected": True,
                        }
                    ],
                    "text": "Before starting a new job",
                }
            ],
            "description": "Before starting a new job",
            "supportingInformation": [
                {"reference": f"Location/{clinic.place('Oakland')}", "type": "Location"},
                {"reference": f"#{ENDPOINT}", "type": "Endpoint"},
                {"reference": encounter, "type": "Encounter"},
            ],
            "start": "2026-11-24T17:00:00+00:00",
            "end": "2026-11-24T17:40:00+00:00",
            "participant": [
                {
                    "actor": {
                        "reference": f"Practitioner/{clinic.staff('Okonkwo')}",
                        "type": "Practitioner",
                    },
                    "status": "accepted",
                },
                {
                    "actor": {"reference": f"Patient/{clinic.patient('Delgado')}", "type": "Patient"},
                    "status": "accepted",
                },
            ],
        }
        Appointment.model_validate(found)

    def test_offsets_become_utc(self, clinic: Clinic) -> None:
        id_ = clinic.book(start="2026-11-24T09:00:00-08:00", end="2026-11-24T09:40:00-08:00")
        found = clinic.read("Appointment", id_)
        assert (found["start"], found["end"]) == ("2026-11-24T17:00:00+00:00", "2026-11-24T17:40:00+00:00")

    def test_any_endpoint_id_is_read_as_the_documented_one(self, clinic: Clinic) -> None:
        found = clinic.read("Appointment", clinic.book(**_with_video(clinic, "appointment-meeting-endpoint")))
        assert [each["id"] for each in found["contained"]] == [ENDPOINT]
        assert found["supportingInformation"][1]["reference"] == f"#{ENDPOINT}"

    def test_video_without_a_link_uses_the_practitioners_room(self, clinic: Clinic) -> None:
        found = clinic.read("Appointment", clinic.book(appointmentType=_type(TELEHEALTH)))
        assert found["contained"][0]["address"].startswith("https://video.juniper-health.example/room/")
        in_person = clinic.read("Appointment", clinic.book())
        assert "contained" not in in_person

    def test_defaults_for_what_is_left_out(self, clinic: Clinic) -> None:
        found = clinic.read("Appointment", clinic.book(appointmentType=None, reasonCode=None))
        assert found["appointmentType"]["coding"][0]["code"] == OFFICE
        assert found["reasonCode"] == [{"text": "No description given"}]

    def test_fields_canvas_does_not_keep_are_ignored(self, clinic: Clinic) -> None:
        id_ = clinic.book(minutesDuration=90, comment="hello", slot=[{"reference": "Slot/1"}], priority=1)
        assert {"minutesDuration", "comment", "slot", "priority"}.isdisjoint(clinic.read("Appointment", id_))

    def test_an_integer_location_still_works(self, clinic: Clinic) -> None:
        found = clinic.read("Appointment", clinic.book(supportingInformation=[{"reference": "Location/2"}]))
        assert found["supportingInformation"][0]["reference"] == f"Location/{clinic.place('Austin')}"


class TestOtherEvents:
    def test_needs_no_patient_and_makes_no_note(self, clinic: Clinic) -> None:
        id_ = clinic.book(
            appointmentType=OTHER_EVENT,
            reasonCode=None,
            description="Staff meeting",
            participant=_people(clinic, "Okonkwo"),
        )
        found = clinic.read("Appointment", id_)
        assert (found["description"], len(found["participant"])) == ("Staff meeting", 1)
        assert "extension" not in found
        assert [each["type"] for each in found["supportingInformation"]] == ["Location"]

    def test_a_change_must_say_the_type_again(self, clinic: Clinic) -> None:
        id_ = clinic.book(appointmentType=OTHER_EVENT, participant=_people(clinic, "Okonkwo"))
        body = clinic.read("Appointment", id_)
        assert clinic.put(f"/Appointment/{id_}", body).status_code == 200


class TestRefusals:
    def test_appointment_types(self, clinic: Clinic) -> None:
        _refused(
            clinic,
            f"Appointment Type does not exist with code: 1 and system: {SNOMED}",
            appointmentType=_type("1"),
        )
        _refused(clinic, "Note type: Home visit is not scheduleable", appointmentType=_type("439708006"))
        _refused(
            clinic,
            f"Appointment Type system must be {SNOMED} or INTERNAL.",
            appointmentType=_type(OFFICE, "http://loinc.org"),
        )
        two = {"coding": _type(OFFICE)["coding"] * 2}
        _refused(clinic, "Appointment Type must have exactly one coding.", appointmentType=two)

    def test_reasons(self, clinic: Clinic) -> None:
        reason = [{"coding": [{"code": "NOPE"}]}]
        _refused(clinic, "structured reason for visit with code NOPE does not exist", reasonCode=reason)
        clinic.switch(structured_reason_for_visit=False)
        assert "reasonCode" not in clinic.read("Appointment", clinic.book(reasonCode=reason))

    def test_statuses(self, clinic: Clinic) -> None:
        for status in ("entered-in-error", "waitlist", "booke"):
            _refused(clinic, f"Appointment status {status} cannot be written.", status=status)
        for status in ("proposed", "pending", "booked", "arrived", "checked-in", "fulfilled", "noshow"):
            assert clinic.read("Appointment", clinic.book(status=status))["status"] == status

    def test_times(self, clinic: Clinic) -> None:
        _refused(clinic, "Appointment end must be after its start.", end="2026-11-24T17:00:00Z")

    def test_people_and_places(self, clinic: Clinic) -> None:
        patient_only = [
            {"actor": {"reference": f"Patient/{clinic.patient('Delgado')}"}, "status": "accepted"}
        ]
        _refused(clinic, "An appointment needs a Practitioner participant.", participant=patient_only)
        _refused(
            clinic,
            "An appointment of this type needs a Patient participant.",
            participant=_people(clinic, "Okonkwo"),
        )
        unknown = [*_people(clinic, "Okonkwo"), {"actor": {"reference": "Patient/x"}, "status": "accepted"}]
        _refused(clinic, "Patient with id x does not exist.", participant=unknown)
        _refused(
            clinic,
            "Location with id 7 does not exist.",
            supportingInformation=[{"reference": "Location/7"}],
        )
        _refused(
            clinic,
            "supportingInformation must include a Location reference.",
            supportingInformation=[{"reference": "Encounter/7"}],
        )

    def test_endpoints(self, clinic: Clinic) -> None:
        video = _with_video(clinic)
        _refused(
            clinic,
            "supportingInformation must refer to the contained Endpoint.",
            contained=video["contained"],
        )
        bare = {"resourceType": "Endpoint", "id": ENDPOINT, "address": "https://video.example/abc"}
        answer = clinic.post("/Appointment", clinic.visit(**{**video, "contained": [bare]}))
        assert answer.status_code == 400
        assert [each["details"]["text"] for each in answer.json()["issue"]] == [
            "body -> contained -> 0 -> connectionType — Field required (type=missing)",
            "body -> contained -> 0 -> payloadType — Field required (type=missing)",
        ]


class TestUpdate:
    def test_a_read_can_be_put_back_as_it_is(self, clinic: Clinic) -> None:
        id_ = clinic.book(identifier=[{"system": "urn:portal", "value": "1"}], **_with_video(clinic))
        before = clinic.read("Appointment", id_)
        assert clinic.put(f"/Appointment/{id_}", before).status_code == 200
        assert clinic.read("Appointment", id_) == before

    def test_a_new_time_moves_it_in_place(self, clinic: Clinic) -> None:
        id_ = clinic.book()
        before = clinic.read("Appointment", id_)
        moved = {**before, "start": "2026-11-25T18:00:00Z", "end": "2026-11-25T18:30:00Z"}
        assert clinic.put(f"/Appointment/{id_}", moved).status_code == 200
        assert clinic.read("Appointment", id_) == {
            **before,
            "start": "2026-11-25T18:00:00+00:00",
            "end": "2026-11-25T18:30:00+00:00",
        }

    def test_required_fields_alone_keep_the_rest(self, clinic: Clinic) -> None:
        id_ = clinic.book(identifier=[{"system": "urn:portal", "value": "1"}], **_with_video(clinic))
        before = clinic.read("Appointment", id_)
        bare = clinic.visit(id=id_, appointmentType=None, reasonCode=None)
        assert clinic.put(f"/Appointment/{id_}", bare).status_code == 200
        assert clinic.read("Appointment", id_) == before

    def test_identifiers_are_replaced(self, clinic: Clinic) -> None:
        id_ = clinic.book(identifier=[{"system": "urn:portal", "value": "1"}])
        changed = clinic.visit(id=id_, identifier=[{"system": "urn:portal", "value": "2"}])
        assert clinic.put(f"/Appointment/{id_}", changed).status_code == 200
        assert clinic.search("Appointment", identifier="urn:portal|1") == []
        assert len(clinic.search("Appointment", identifier="urn:portal|2")) == 1

    def test_another_practitioner_and_reason(self, clinic: Clinic) -> None:
        id_ = clinic.book()
        changed = clinic.visit(
            id=id_, participant=_people(clinic, "Goldberg", "Delgado"), reasonCode=[{"text": "Only words"}]
        )
        assert clinic.put(f"/Appointment/{id_}", changed).status_code == 200
        found = clinic.read("Appointment", id_)
        assert found["participant"][0]["actor"]["reference"] == f"Practitioner/{clinic.staff('Goldberg')}"
        assert found["reasonCode"] == [{"text": "Only words"}]

    def test_the_patient_is_fixed(self, clinic: Clinic) -> None:
        id_ = clinic.book()
        answer = clinic.put(
            f"/Appointment/{id_}", clinic.visit(id=id_, participant=_people(clinic, "Okonkwo", "Carter"))
        )
        assert issue(answer) == (
            422,
            "business-rule",
            "Cannot change patient for an existing appointment. "
            "Please cancel this appointment and create a new one for the new patient.",
        )

    def test_a_cancelled_one_is_frozen(self, clinic: Clinic) -> None:
        id_ = clinic.book()
        cancelled = clinic.visit(id=id_, status="cancelled")
        assert clinic.put(f"/Appointment/{id_}", cancelled).status_code == 200
        frozen = (422, "business-rule", "A cancelled appointment cannot be changed.")
        assert issue(clinic.put(f"/Appointment/{id_}", cancelled)) == frozen
        assert issue(clinic.put(f"/Appointment/{id_}", clinic.visit(id=id_))) == frozen
        clinic.switch(cancelled_frozen=False)
        assert clinic.put(f"/Appointment/{id_}", clinic.visit(id=id_)).status_code == 200
        assert clinic.read("Appointment", id_)["status"] == "booked"

    @pytest.mark.parametrize("status", ["arrived", "checked-in", "fulfilled", "noshow"])
    def test_a_visit_under_way_cannot_be_cancelled(self, clinic: Clinic, status: str) -> None:
        id_ = clinic.book(status=status)
        answer = clinic.put(f"/Appointment/{id_}", clinic.visit(id=id_, status="cancelled"))
        text = f"An appointment with status {status} cannot be cancelled."
        assert issue(answer) == (422, "business-rule", text)

    def test_if_unmodified_since(self, clinic: Clinic) -> None:
        id_ = clinic.book()
        read_at = "Wed, 18 Nov 2026 18:00:00 GMT"
        clinic.clock.advance(seconds=5)
        assert (
            clinic.put(f"/Appointment/{id_}", clinic.visit(id=id_), If_Unmodified_Since=read_at).status_code
            == 200
        )
        again = clinic.put(f"/Appointment/{id_}", clinic.visit(id=id_), If_Unmodified_Since=read_at)
        assert issue(again) == (412, "conflict", "Resource updated since If-Unmodified-Since date")


class TestDoubleBooking:
    TAKEN = (422, "business-rule", "This appointment time is no longer available.")

    def test_allowed_unless_switched_off(self, clinic: Clinic) -> None:
        assert clinic.book() != clinic.book()
        clinic.switch(allow_double_booking=False)
        assert issue(clinic.post("/Appointment", clinic.visit())) == self.TAKEN

    @pytest.mark.parametrize(
        ("start", "end", "status"),
        [
            ("16:40", "17:00", 201),
            ("16:40", "17:01", 422),
            ("17:10", "17:20", 422),
            ("16:00", "18:00", 422),
            ("17:39", "18:00", 422),
            ("17:40", "18:00", 201),
        ],
    )
    def test_overlap(self, clinic: Clinic, start: str, end: str, status: int) -> None:
        clinic.book()
        clinic.switch(allow_double_booking=False)
        body = clinic.visit(
            start=f"2026-11-24T{start}:00Z",
            end=f"2026-11-24T{end}:00Z",
            supportingInformation=[{"reference": "Location/2"}],
        )
        assert clinic.post("/Appointment", body).status_code == status

    def test_another_practitioner_is_no_overlap(self, clinic: Clinic) -> None:
        clinic.book()
        clinic.switch(allow_double_booking=False)
        assert clinic.book(participant=_people(clinic, "Goldberg", "Delgado"))

    def test_an_update_is_held_to_it_too(self, clinic: Clinic) -> None:
        clinic.switch(allow_double_booking=False)
        clinic.book()
        other = clinic.book(start="2026-11-24T18:00:00Z", end="2026-11-24T18:40:00Z")
        moved = clinic.visit(id=other)
        assert issue(clinic.put(f"/Appointment/{other}", moved)) == self.TAKEN
        same = clinic.visit(id=other, start="2026-11-24T18:10:00Z", end="2026-11-24T18:50:00Z")
        assert clinic.put(f"/Appointment/{other}", same).status_code == 200

    def test_a_cancelled_time_is_free(self, clinic: Clinic) -> None:
        clinic.switch(allow_double_booking=False)
        id_ = clinic.book()
        assert clinic.put(f"/Appointment/{id_}", clinic.visit(id=id_, status="cancelled")).status_code == 200
        assert clinic.book()
        history = clinic.post("/Appointment", clinic.visit(status="cancelled"))
        assert history.status_code == 201


class TestSearch:
    @pytest.fixture(autouse=True)
    def _three(self, clinic: Clinic) -> None:
        self.first = clinic.book(identifier=[{"system": "urn:portal", "value": "a"}])
        self.second = clinic.book(
            start="2027-01-05T17:00:00Z",
            end="2027-01-05T17:30:00Z",
            status="proposed",
            appointmentType=_type(TELEHEALTH),
            supportingInformation=[{"reference": f"Location/{clinic.place('Austin')}"}],
            participant=_people(clinic, "Reyes", "Pruitt"),
        )
        self.third = clinic.book(start="2027-01-06T00:30:00Z", end="2027-01-06T01:00:00Z", status="cancelled")

    def _ids(self, clinic: Clinic, *pairs: tuple[str, str], **params: Any) -> list[str]:
        answer = clinic.http.get("/Appointment", params=[*pairs, *params.items(), ("_count", "100")])
        assert answer.status_code == 200, answer.text
        known = {self.first: "first", self.second: "second", self.third: "third"}
        found = [entry["resource"]["id"] for entry in answer.json().get("entry", [])]
        return [known[id_] for id_ in found if id_ in known]

    def test_people_and_places(self, clinic: Clinic) -> None:
        assert self._ids(clinic, patient=f"Patient/{clinic.patient('Pruitt')}") == ["second"]
        assert self._ids(clinic, practitioner=f"Practitioner/{clinic.staff('Okonkwo')}") == ["first", "third"]
        assert self._ids(clinic, location=f"Location/{clinic.place('Austin')}") == ["second"]
        assert self._ids(clinic, patient=clinic.patient("Pruitt")) == []

    def test_status_is_one_value(self, clinic: Clinic) -> None:
        assert self._ids(clinic, status="proposed") == ["second"]
        assert self._ids(clinic, status="proposed,cancelled") == []

    def test_type(self, clinic: Clinic) -> None:
        named = {"appointment-type": f"{SNOMED}|{TELEHEALTH}"}
        assert (
            self._ids(clinic, **named) == self._ids(clinic, **{"appointment-type": TELEHEALTH}) == ["second"]
        )
        assert self._ids(clinic, **{"appointment-type": f"INTERNAL|{TELEHEALTH}"}) == []
        assert self._ids(clinic, appointmentType=OFFICE) == ["first", "second", "third"]

    def test_identifier(self, clinic: Clinic) -> None:
        assert self._ids(clinic, identifier="urn:portal|a") == self._ids(clinic, identifier="a") == ["first"]
        assert self._ids(clinic, identifier="urn:other|a") == []

    def test_a_new_identifier_may_be_found_late(self, clinic: Clinic) -> None:
        clinic.switch(search_lag_seconds=2.5)
        assert self._ids(clinic, identifier="urn:portal|a") == []
        assert self._ids(clinic, status="booked") == ["first"]
        clinic.clock.advance(seconds=2.5)
        assert self._ids(clinic, identifier="urn:portal|a") == ["first"]

    @pytest.mark.parametrize(
        ("dates", "found"),
        [
            (["ge2027-01-05T17:00:00Z"], ["second", "third"]),
            (["gt2027-01-05T17:00:00Z"], ["third"]),
            (["le2027-01-05T17:00:00Z", "gt2026-12-20"], ["second"]),
            (["lt2027-01-05T17:00:00Z", "gt2026-12-20"], []),
            (["eq2027-01-05T17:00:00Z"], ["second"]),
            (["2027-01-05T09:00:00-08:00"], ["second"]),
            (["2027-01-05"], ["second"]),
            (["2027-01-06"], ["third"]),
            (["ge2027-01-05", "lt2027-01-06"], ["second"]),
        ],
    )
    def test_dates(self, clinic: Clinic, dates: list[str], found: list[str]) -> None:
        assert self._ids(clinic, *[("date", each) for each in dates]) == found

    @pytest.mark.parametrize("text", ["soon", "ne2027-01-05", "2027-13-05", "ge2027-01-05T00:00:00 00:00"])
    def test_bad_dates(self, clinic: Clinic, text: str) -> None:
        assert issue(clinic.get("/Appointment", date=text)) == (
            400,
            "invalid",
            "date must be a date with a prefix of ge, gt, le, lt or eq.",
        )

    def test_sorting(self, clinic: Clinic) -> None:
        assert self._ids(clinic, _sort="date") == ["first", "second", "third"]
        assert self._ids(clinic, _sort="-date") == ["third", "second", "first"]

    def test_by_id(self, clinic: Clinic) -> None:
        assert self._ids(clinic, _id=self.second) == ["second"]


def test_the_seeded_visits_lie_where_the_clinic_works(clinic: Clinic) -> None:
    found = clinic.search("Appointment")
    assert sorted(each["status"] for each in found) == ["booked"] * 5 + ["cancelled"]
    for each in found:
        Appointment.model_validate(each)
