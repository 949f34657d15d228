"""Finding a reason from a patient's own words; and the words that must not wait for a visit."""

from __future__ import annotations

import pytest

from booking.scheduling.reasons import RED_FLAGS, Searchable, is_red_flag, search

REASONS = (
    Searchable("cold", "Cold, flu, cough or sore throat", ("fever", "runny nose", "strep", "ear ache")),
    Searchable("checkup", "Yearly checkup", ("physical", "annual exam", "wellness")),
    Searchable("refill", "Medicine refill", ("prescription", "pills", "medication")),
    Searchable("rash", "Rash or itching", ("hives", "eczema", "itchy skin", "poison ivy")),
    Searchable("anxiety", "Worry, anxiety or panic", ("stress", "panic attack", "mental health")),
    Searchable("low-mood", "Low mood or depression", ("sad", "mental health")),
    Searchable("headache", "Headache or migraine", ("head pain",)),
    Searchable("back", "Back, neck or joint pain", ("knee", "sore back", "sciatica")),
)


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        pytest.param("refill", ["refill"], id="a-word-of-the-label"),
        pytest.param("REFILL!", ["refill"], id="capitals-and-marks"),
        pytest.param("  yearly   checkup ", ["checkup"], id="spaces"),
        pytest.param("hives", ["rash"], id="synonym"),
        pytest.param("annual exam", ["checkup"], id="synonym-of-two-words"),
        pytest.param("exam annual", ["checkup"], id="words-in-another-order"),
        pytest.param("mental health", ["anxiety", "low-mood"], id="a-synonym-of-two-reasons"),
        pytest.param("presc", ["refill"], id="the-beginning-of-a-word"),
        pytest.param("I have a rash on my back", [], id="all-words-are-needed"),
        pytest.param("I have a rash", ["rash"], id="small-words-do-not-count"),
        pytest.param("knee pain", ["back"], id="words-of-label-and-synonym-together"),
        pytest.param("sore throat", ["cold"], id="one-word-fits-elsewhere-too"),
        pytest.param("pain", ["headache", "back"], id="a-word-of-two-reasons"),
        pytest.param("anxeity", ["anxiety"], id="letters-swapped"),
        pytest.param("migrane", ["headache"], id="a-letter-missing"),
        pytest.param("depresion", ["low-mood"], id="a-double-letter-missing"),
        pytest.param("perscription", ["refill"], id="a-common-slip"),
        pytest.param("headahce", ["headache"], id="letters-swapped-at-the-end"),
        pytest.param("éczema", ["rash"], id="accents"),
        pytest.param("xqzwv", [], id="nonsense"),
        pytest.param("refill xqzwv", [], id="nonsense-beside-a-word-that-fits"),
        pytest.param("r", [], id="one-letter"),
        pytest.param("", [], id="nothing"),
        pytest.param(" ?! ", [], id="only-marks"),
        pytest.param("發燒", [], id="letters-we-cannot-read"),
        pytest.param("rsh", [], id="too-short-to-guess"),
    ],
)
def test_search_finds_what_the_patient_means(query, codes):
    assert sorted(search(REASONS, query)) == sorted(codes)


def test_search_puts_the_better_hit_first():
    close, exact, begun = (
        Searchable("close", "Rask"),
        Searchable("exact", "Rash"),
        Searchable("begun", "Rashes"),
    )
    assert search((close, begun, exact), "rash") == ["exact", "begun", "close"]


def test_search_puts_a_label_before_a_synonym():
    by_synonym, by_label = Searchable("synonym", "Itching", ("rash",)), Searchable("label", "Rash")
    assert search((by_synonym, by_label), "rash") == ["label", "synonym"]


def test_search_keeps_the_clinics_order_among_equals():
    reasons = (Searchable("b", "Rash"), Searchable("a", "Rash"))
    assert search(reasons, "rash") == ["b", "a"]


@pytest.mark.parametrize("flag", RED_FLAGS)
def test_every_red_flag_is_noticed_inside_a_sentence(flag):
    assert is_red_flag(f"Since noon: {flag.upper()}, and a cough") is True


@pytest.mark.parametrize(
    "query",
    [
        "I can't breathe",
        "I can\N{RIGHT SINGLE QUOTATION MARK}t breathe",
        "cant breathe",
        "my nose won't stop bleeding",
        "it won\N{RIGHT SINGLE QUOTATION MARK}t stop bleeding",
        "chest-pain",
        "Chest   pain",
        "chest pains",
        "pain in my chest",
        "shortness of breath",
        "my son had two seizures",
        "I want to kill myself",
        "suicidal thoughts",
        "alcohol poisoning",
    ],
)
def test_words_that_must_not_wait_are_noticed(query):
    assert is_red_flag(query) is True


@pytest.mark.parametrize(
    "query",
    [
        "chest cold",
        "back pain and a chest cough",
        "breathe",
        "poison ivy",
        "rash from poison oak",
        "keystroke injury",
        "bleeding gums",
        "",
    ],
)
def test_other_words_are_no_alarm(query):
    assert is_red_flag(query) is False


def test_poison_ivy_does_not_hide_an_alarm_beside_it():
    assert is_red_flag("poison ivy and my throat closing") is True


def test_no_reason_of_the_demo_clinic_is_an_alarm():
    from booking.management.demo_clinic import REASONS as DEMO

    words = [each for reason in DEMO for each in (reason.label, *reason.synonyms.split(","))]
    assert [word for word in words if is_red_flag(word)] == []
