"""check_ehr: what it says of a good EHR, and of each thing that can be wrong with one."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from booking import ehr
from booking.flows.examine_ehr import EhrReport, Finding, Level, examine_ehr
from booking.scheduling.terms import Modality
from tests import factories


def report(clock: Any) -> EhrReport:
    return examine_ehr(now=clock())


def about(found: EhrReport, topic: str) -> list[Finding]:
    return [finding for finding in found.findings if finding.topic == topic]


def levels(found: EhrReport) -> dict[str, str]:
    worst: dict[str, str] = {}
    for level in (Level.OK, Level.WARNING, Level.ERROR):
        worst |= {finding.topic: level.value for finding in found.findings if finding.level is level}
    return worst


def test_a_canvas_that_is_as_it_should_be(clinic, clock):
    found = report(clock)
    assert levels(found) == {
        "authentication": "ok",
        "server": "ok",
        "latency": "ok",
        "clock": "ok",
        "capabilities": "ok",
        "double booking": "warning",
        "directory": "ok",
        "licenses": "warning",
        "specialties": "warning",
        "locations": "ok",
        "time zones": "warning",
        "slots": "ok",
        "appointment types": "ok",
    }
    assert found.worst() is Level.WARNING
    (licenses,) = about(found, "licenses")
    assert licenses.words.startswith("40 of 41 clinicians have a license that is in force or to come")
    assert licenses.words.endswith("Without: Procedure Room A.")
    assert about(found, "locations")[0].words == "82 of 82 schedules map to a location."
    assert all(finding.remedy for finding in found.findings if finding.level is not Level.OK)
    assert [finding.words for finding in about(found, "capabilities")] == [
        "Has: appointment identifier search, patient identifier search, conditional update, moves. "
        "14 days of 1 schedule in one slot search.",
        "Does without: holds, prevents double booking, subscriptions.",
    ]


def test_reading_is_all_it_does(clinic, clock):
    clinic.sandbox.reset()
    report(clock)
    assert {each["method"] for each in clinic.sandbox.calls()["calls"] if each["type"] != "auth"} == {"GET"}


def test_a_wrong_secret_ends_the_report_with_what_to_check(clinic, clock, settings):
    settings.EHR_CLIENT_SECRET = "guess"
    (finding,) = report(clock).findings
    assert (finding.level, finding.topic) == (Level.ERROR, "authentication")
    assert "EHR_CLIENT_SECRET" in finding.remedy
    assert "guess" not in finding.words


def test_tokens_that_the_ehr_gives_and_does_not_take(clinic, clock):
    clinic.sandbox.faults(method="GET", kind="401", times=None)
    (finding,) = [each for each in report(clock).findings if each.level is Level.ERROR]
    assert (finding.topic, "refuses a token that is new" in finding.words) == ("directory", True)


def test_an_ehr_that_is_away(clinic, clock):
    clinic.sandbox.faults(method="POST", type="auth", kind="502", times=None)
    for key in list(ehr._gateways):
        ehr._gateways.pop(key).close()
    (finding,) = report(clock).findings
    assert (finding.level, finding.topic) == (Level.ERROR, "connection")


def test_a_double_booking_that_is_said_to_be_refused(clinic, clock, settings):
    settings.EHR_PREVENTS_DOUBLE_BOOKING = True
    (finding,) = about(report(clock), "double booking")
    assert finding.level is Level.OK


@pytest.mark.parametrize(("resource", "topic"), [("Schedule", "directory"), ("Slot", "slots")])
def test_a_resource_we_may_not_read(clinic, clock, settings, resource, topic):
    allowed = {"Practitioner", "Location", "Schedule", "Slot", "Appointment", "Patient"} - {resource}
    settings.EHR_SCOPE = " ".join(f"patient/{each}.read" for each in sorted(allowed))
    found = report(clock)
    (finding,) = about(found, topic)
    assert finding.level is Level.ERROR
    assert resource in finding.remedy
    assert found.worst() is Level.ERROR


def test_a_slow_ehr(clinic, clock):
    clinic.sandbox.faults(method="GET", type="Slot", kind="slow", times=8, delay_seconds=1.1)
    (finding,) = about(report(clock), "slots")
    assert (finding.level, "GRID_FRESH_SECONDS" in finding.remedy) == (Level.WARNING, True)


def test_an_appointment_type_that_nobody_has_time_for(clinic, clock):
    factories.reason("odd", ways=[Modality.PHONE], label="An odd one", default_minutes=600)
    (finding,) = about(report(clock), "appointment types")
    assert finding.level is Level.WARNING
    assert "http://snomed.info/sct|185317003 for 600 minutes (“An odd one”)" in finding.words


def test_no_reasons_yet(clinic, clock):
    clinic.reason.delete()
    (finding,) = about(report(clock), "appointment types")
    assert finding.words == "No visit reason is set up yet."


def printed(*options: str) -> tuple[str, bool]:
    out = StringIO()
    try:
        call_command("check_ehr", *options, stdout=out)
    except CommandError:
        return out.getvalue(), False
    return out.getvalue(), True


def test_the_command_prints_it_and_its_exit_code_tells(clinic, settings):
    text, is_fine = printed()
    assert is_fine
    assert "ok       locations          82 of 82 schedules map to a location.\n" in text
    assert text.endswith("Errors: 0. Warnings: 4.\n")
    assert max(map(len, text.splitlines())) <= 110
    assert printed("--strict")[1] is False
    settings.EHR_CLIENT_SECRET = "guess"
    text, is_fine = printed()
    assert not is_fine
    assert text.startswith("error    authentication")
    assert "To do: Check EHR_CLIENT_ID" in text
