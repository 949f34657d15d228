"""Finding a visit reason from a patient's own words, and noticing words that should not wait for a visit."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

# Phrases that send a person to emergency help before any visit is offered. Worded as people type them, without
# apostrophes; one more "s" at the end is understood.
RED_FLAGS = (
    "chest pain",
    "chest pressure",
    "chest tightness",
    "chest hurts",
    "pain in chest",
    "pain in my chest",
    "heart attack",
    "stroke",
    "face drooping",
    "slurred speech",
    "cant breathe",
    "cant breath",
    "cannot breathe",
    "can not breathe",
    "hard to breathe",
    "trouble breathing",
    "difficulty breathing",
    "short of breath",
    "shortness of breath",
    "choking",
    "unconscious",
    "passed out",
    "seizure",
    "overdose",
    "overdosed",
    "poison",
    "poisoned",
    "poisoning",
    "suicide",
    "suicidal",
    "kill myself",
    "end my life",
    "want to die",
    "severe bleeding",
    "wont stop bleeding",
    "coughing blood",
    "vomiting blood",
    "anaphylaxis",
    "throat closing",
)
# A rash, and a search word of one of our reasons.
_NO_RED_FLAG = re.compile(r"\bpoison (ivy|oak|sumac)\b")

_SMALL_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "at",
        "for",
        "from",
        "have",
        "i",
        "in",
        "is",
        "it",
        "me",
        "my",
        "of",
        "on",
        "or",
        "the",
        "to",
        "with",
    ]
)


@dataclass(frozen=True, slots=True)
class Searchable:
    code: str
    label: str
    synonyms: tuple[str, ...] = ()


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower().replace("'", "")
    return " ".join(re.findall(r"[a-z0-9]+", text))


def _words(text: str) -> list[str]:
    words = _plain(text).split()
    return [word for word in words if word not in _SMALL_WORDS] or words


def is_red_flag(query: str) -> bool:
    plain = f" {_NO_RED_FLAG.sub('', _plain(query))} "
    return any(f" {flag} " in plain or f" {flag}s " in plain for flag in RED_FLAGS)


def _closeness(wanted: str, word: str) -> float:
    if word == wanted:
        return 1.0
    if len(wanted) >= 2 and word.startswith(wanted):
        return 0.9
    if len(wanted) >= 4 and abs(len(word) - len(wanted)) <= 2:
        ratio = SequenceMatcher(None, wanted, word).ratio()
        return ratio * 0.85 if ratio >= 0.75 else 0.0
    return 0.0


def search(reasons: Sequence[Searchable], query: str) -> list[str]:
    """Codes of the reasons that every word of the query fits, best first; small slips of spelling are forgiven."""
    wanted = _words(query)
    if not wanted:
        return []
    scored: list[tuple[float, int, str]] = []
    for position, reason in enumerate(reasons):
        best = max((_score(wanted, text) for text in _texts(reason)), default=0.0)
        if best:
            scored.append((-best, position, reason.code))
    return [code for _, _, code in sorted(scored)]


def _texts(reason: Searchable) -> Iterable[tuple[str, float]]:
    yield reason.label, 1.0
    for synonym in reason.synonyms:
        yield synonym, 0.95
    yield " ".join((reason.label, *reason.synonyms)), 0.8


def _score(wanted: list[str], text_and_weight: tuple[str, float]) -> float:
    text, weight = text_and_weight
    words = _words(text)
    hits = [max((_closeness(want, word) for word in words), default=0.0) for want in wanted]
    return weight * sum(hits) / len(hits) if all(hits) else 0.0
