from __future__ import annotations

import logging
import re
from datetime import date

import httpx
import pytest

from booking.fhir import correlation_id
from booking.scheduling.errors import EhrFailure

from . import documents
from .documents import ANA, ANA_NORTH, PATIENT_ID, bundle, details, outcome
from .stand_in import StandIn, gateway

PRIVATE = re.compile(
    rf"Okafor|Sam\b|1980|5594440101|example\.org|{PATIENT_ID}|{ANA}|token-\d|very-secret|\?|identifier",
    re.IGNORECASE,
)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "httpcore.http11", "httpcore.connection", "booking.fhir"):
        caplog.set_level(logging.DEBUG, name)
    return caplog


def test_a_line_per_exchange_with_method_type_status_time_and_ids(logged):
    ehr = StandIn(
        {"GET Slot": httpx.Response(200, json=bundle(), headers={"fumage-correlation-id": "ehr-1"})}
    )
    reset = correlation_id.set("page-7")
    try:
        with gateway(ehr) as opened:
            opened.free_slots(ANA_NORTH, first_on=date(2026, 12, 1), last_on=date(2026, 12, 1), minutes=30)
    finally:
        correlation_id.reset(reset)
    assert logged.messages == [
        "POST token -> 200 in 0 ms, ours=page-7 ehr=-",
        "GET Slot -> 200 in 0 ms, ours=page-7 ehr=ehr-1",
    ]
    assert ehr.requests[0].headers["x-correlation-id"] == "page-7"


def test_without_an_id_of_the_callers_each_exchange_gets_one():
    ehr = StandIn({"GET Patient": bundle()})
    with gateway(ehr) as opened:
        opened.find_patient(details())
    ids = [request.headers["x-correlation-id"] for request in ehr.requests]
    assert len(set(ids)) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


def test_an_id_cannot_break_a_header_or_a_log_line():
    ehr = StandIn(
        {"GET Patient": httpx.Response(404, headers=[(b"fumage-correlation-id", b"a b\xff;<c>" + b"d" * 99)])}
    )
    reset = correlation_id.set("a\r\nX-Injected: 1")
    try:
        with gateway(ehr) as opened, pytest.raises(EhrFailure) as caught:
            opened.find_patient(details())
    finally:
        correlation_id.reset(reset)
    assert ehr.requests[0].headers["x-correlation-id"] == "aX-Injected1"
    assert caught.value.correlation_id == "abc" + "d" * 61


@pytest.mark.parametrize(
    "given",
    [
        bundle(documents.patient()),
        httpx.Response(200, content="Sam Okafor"),
        httpx.Response(404, json=outcome("not-found", "Unknown Patient Sam Okafor 1980-11-13")),
        httpx.Response(302, headers={"Location": "https://login.example/?patient=Okafor"}),
        httpx.ReadTimeout("Okafor"),
        httpx.ConnectError("Okafor"),
        {"resourceType": "Bundle", "entry": [{"Okafor": 1}, None]},
        bundle(documents.patient(), next_url="https://attacker.example/?family=Okafor"),
    ],
)
def test_neither_logs_nor_failures_hold_a_patient_a_query_or_a_token(logged, given):
    made = httpx.Response(422, json=outcome("business-rule", "Okafor is not wanted"))
    ehr = StandIn({"GET Patient": given, "POST Patient": made, "POST Appointment": made})
    failures = []
    with gateway(ehr) as opened:
        for call in (
            lambda: opened.find_patient(details()),
            lambda: opened.create_patient(details()),
            lambda: opened.create_appointment(documents.request()),
        ):
            try:
                call()
            except EhrFailure as failure:
                failures += [str(failure), repr(failure), repr(failure.__cause__), repr(failure.__context__)]
    assert [line for line in logged.messages + failures if PRIVATE.search(line)] == []
    assert not [record for record in logged.records if record.name.startswith("http")]


def test_other_users_of_httpx_keep_their_log_lines(logged):
    with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(204))) as client:
        client.get("https://another.example/")
    assert [record.name for record in logged.records] == ["httpx"]
