"""The readers on their own: what they make of odd values, and that nothing at all makes them stumble."""

from __future__ import annotations

import copy
import json
from datetime import UTC, date, datetime

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking.fhir import licenses, resources, writers
from booking.scheduling.errors import EhrFailure
from booking.scheduling.terms import Coding

from . import documents
from .documents import ANA_NORTH, BOOKING_ID, bundle
from .stand_in import StandIn, gateway


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2026-12-01T17:00:00Z", datetime(2026, 12, 1, 17, 0, tzinfo=UTC)),
        ("2026-12-01T17:00:00+00:00", datetime(2026, 12, 1, 17, 0, tzinfo=UTC)),
        ("2026-12-01T09:00:00-08:00", datetime(2026, 12, 1, 17, 0, tzinfo=UTC)),
        ("2026-12-01T22:45:00+05:45", datetime(2026, 12, 1, 17, 0, tzinfo=UTC)),
        ("2026-12-01T17:00Z", datetime(2026, 12, 1, 17, 0, tzinfo=UTC)),
        ("2026-12-01T17:00:00.5Z", datetime(2026, 12, 1, 17, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-12-01T17:00:00.123456789Z", datetime(2026, 12, 1, 17, 0, 0, 123_456, tzinfo=UTC)),
    ],
)
def test_an_instant_is_read_into_utc(value, read):
    found = resources.instant(value)
    assert (found, found.tzinfo) == (read, UTC)


@pytest.mark.parametrize(
    "value",
    ["2026-12-01T17:00:00", "2026-12-01", "2026-12-01 17:00:00Z", "2026-02-30T17:00:00Z", "2026-12-01T24:00:00Z",
     "2026-12-01T23:59:60Z", "2026-12-01T17:00:00+25:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00",
     "0000-01-01T00:00:00Z", "20261201T170000Z", "2026-W49-2T17:00:00Z", "٢٠٢٦-12-01T17:00:00Z",
     "2026-12-01T17:00:00Z\n", "", None, 1796144400, ["2026-12-01T17:00:00Z"], True],
)  # fmt: skip
def test_what_is_not_one_moment_is_no_instant(value):
    assert resources.instant(value) is None


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2027-06-30", (date(2027, 6, 30), date(2027, 6, 30))),
        ("2028-02", (date(2028, 2, 1), date(2028, 2, 29))),
        ("2027", (date(2027, 1, 1), date(2027, 12, 31))),
        ("2027-06-30T10:00:00Z", (date(2027, 6, 30), date(2027, 6, 30))),
        ("2027-02-29", None),
        ("2027-13", None),
        ("0000", None),
        ("27", None),
        ("", None),
        (2027, None),
    ],
)
def test_a_date_covers_its_days(value, read):
    assert resources.days(value) == read


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"reference": "Practitioner/a1"}, "Practitioner/a1"),
        ({"reference": "https://ehr.example/fhir/Practitioner/a1"}, "Practitioner/a1"),
        ({"reference": "Practitioner/a1/_history/3"}, "Practitioner/a1"),
        ({"reference": "Patient/a1"}, ""),
        ({"reference": "#a1"}, ""),
        ({"reference": "urn:uuid:5f0c1f6a-6a0e-4d0d-9a0e-0b7a3f1c2d3e"}, ""),
        ({"reference": "Practitioner/"}, ""),
        ({"reference": "Practitioner/a b"}, ""),
        ({"reference": "Practitioner/" + "a" * 65}, ""),
        ({"reference": "Practitioner?identifier=1"}, ""),
        ({"reference": 7}, ""),
        ({"display": "Ana"}, ""),
        ("Practitioner/a1", ""),
        (None, ""),
    ],
)
def test_a_reference_is_read_when_it_names_the_type(value, read):
    assert resources.reference(value, "Practitioner") == read


@pytest.mark.parametrize(
    ("coding", "sent"),
    [
        (Coding("s", "c", "d"), {"system": "s", "code": "c", "display": "d"}),
        (Coding("", "c"), {"code": "c"}),
    ],
)
def test_a_coding_is_sent_without_empty_parts(coding, sent):
    assert writers.write_coding(coding) == sent


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
SAMPLES = {
    "Practitioner": documents.practitioner(),
    "Location": documents.location(),
    "Schedule": documents.schedule(),
    "Slot": documents.slot("2026-12-01T09:00:00-08:00", "2026-12-01T09:30:00-08:00"),
    "Patient": documents.patient(),
    "Appointment": documents.appointment(),
}


def places(node: object, here: tuple = ()) -> list[tuple]:
    """The path to every value in a document."""
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [here] + [path for key, value in inner for path in places(value, (*here, key))]


def replaced(document: object, path: tuple, value: object) -> object:
    if not path:
        return value
    changed = copy.deepcopy(document)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def ask_everything(answer: object) -> None:
    """Every read verb against an EHR that always gives this answer. Only typed failures may come of it."""
    body = httpx.Response(200, content=json.dumps(answer))
    ehr = StandIn({f"GET {kind}": body for kind in SAMPLES})
    day = date(2026, 12, 1)
    with gateway(ehr) as opened:
        for read in (
            lambda: opened.directory(),
            lambda: opened.free_slots(ANA_NORTH, first_on=day, last_on=day, minutes=30),
            lambda: opened.find_patient(documents.details()),
            lambda: opened.find_appointments(BOOKING_ID),
        ):
            try:
                read()
            except EhrFailure:
                continue


@given(anything)
@settings(max_examples=150, deadline=None)
def test_no_answer_makes_a_reader_stumble(answer):
    ask_everything(answer)


@given(st.data())
@settings(max_examples=600, deadline=None)
def test_no_value_in_a_document_makes_a_reader_stumble(data):
    listed = bundle(*SAMPLES.values())
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(listed)))
        listed = replaced(listed, path, data.draw(anything))
    ask_everything(listed)


@given(anything, anything)
@settings(max_examples=300, deadline=None)
def test_no_qualification_makes_the_license_reader_stumble_or_invent(period, issuer):
    found = licenses.licenses(
        {"qualification": [documents.qualification(period=period) | {"issuer": issuer}]}
    )
    assert found == ()


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_bytes_make_a_reader_stumble(body):
    ehr = StandIn({"GET Appointment": httpx.Response(200, content=body)})
    with gateway(ehr) as opened, pytest.raises(EhrFailure):
        opened.find_appointments(BOOKING_ID)


@given(
    st.integers(100, 599),
    st.binary(max_size=40),
    st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"])),
)
@settings(max_examples=300, deadline=None)
def test_no_answer_to_a_create_makes_it_stumble(status, body, place):
    headers = [(b"location", place.encode("latin-1")), (b"retry-after", place.encode("latin-1"))]
    ehr = StandIn({"POST Appointment": httpx.Response(status, content=body, headers=headers)})
    with gateway(ehr) as opened, pytest.raises(EhrFailure):
        opened.create_appointment(documents.request())
    assert len(ehr.requests) == (2 if status == 401 else 1)
