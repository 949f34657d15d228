"""Interstate compacts: leave to see patients in one jurisdiction that stands on a license in another.

Everything about a compact is dated data kept by the desk. What it grants is worked out here, for each
clinician, as ordinary ``License`` values, so that eligibility knows nothing of compacts. Pure; in doubt nothing
is granted.

What must hold together, on every day of a visit: the clinician's profession is one the compact is for; their
credential is in force; the home state's own license is in force; and both the home state and the patient's are
members that serve.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

from .terms import Clinician, CompactCredential, License, LicenseKind, Modality


class CompactMode(StrEnum):
    """What the compact gives: full licenses one by one, a privilege per member, or one authority for all members."""

    LICENSE = "license"
    PRIVILEGE = "privilege"
    AUTHORITY = "authority"


_KINDS = {
    CompactMode.PRIVILEGE: LicenseKind.PRIVILEGE,
    CompactMode.AUTHORITY: LicenseKind.AUTHORITY,
}


@dataclass(frozen=True, slots=True)
class CompactMember:
    """A jurisdiction in a compact. To have enacted it is not to be in force, and neither is it to be issuing.

    Each of the two steps has its day, where it is known; or a mark that it had been taken by the day the
    source was published; or neither, and then it has not been taken. From ``left_on`` on it grants nothing.
    """

    jurisdiction: str
    effective_on: date | None = None
    is_in_force: bool = False
    issuing_from: date | None = None
    is_issuing: bool = False
    left_on: date | None = None


@dataclass(frozen=True, slots=True)
class Compact:
    """``as_of`` is the day its list of members was published. ``home_is_residence``: what it gives ends when the
    clinician no longer lives in the home state."""

    code: str
    name: str
    mode: CompactMode
    professions: frozenset[str]
    modalities: frozenset[Modality] = frozenset(Modality)
    home_is_residence: bool = True
    as_of: date | None = None
    members: tuple[CompactMember, ...] = ()


@dataclass(frozen=True, slots=True)
class _Span:
    """Days from the first to the last, both included."""

    first: date
    last: date

    def meet(self, other: _Span) -> _Span | None:
        first, last = max(self.first, other.first), min(self.last, other.last)
        return _Span(first, last) if first <= last else None


def _span(starts_on: date | None, ends_on: date | None) -> _Span:
    return _Span(starts_on or date.min, ends_on or date.max)


def _joined(spans: Iterable[_Span]) -> list[_Span]:
    """In order, with those that overlap or follow upon one another made one: a renewal leaves no gap."""
    joined: list[_Span] = []
    for span in sorted(spans, key=lambda span: span.first):
        if span.first > span.last:
            continue
        before = joined[-1] if joined else None
        if before and (before.last == date.max or span.first <= before.last + timedelta(days=1)):
            joined[-1] = _Span(before.first, max(before.last, span.last))
        else:
            joined.append(span)
    return joined


def _common(one: Sequence[_Span], other: Sequence[_Span]) -> list[_Span]:
    return _joined(met for left in one for right in other if (met := left.meet(right)))


def _step(on: date | None, was_taken: bool, as_of: date | None) -> date | None:
    """The day from which a step counts as taken; None when it is not known to have been."""
    return on or (as_of if was_taken else None)


def _serving(compact: Compact, jurisdiction: str) -> list[_Span]:
    """When a jurisdiction is a member in force that is also issuing and accepting."""
    spans = []
    for member in compact.members:
        in_force = _step(member.effective_on, member.is_in_force, compact.as_of)
        issuing = _step(member.issuing_from, member.is_issuing, compact.as_of)
        if member.jurisdiction == jurisdiction and in_force and issuing:
            last = member.left_on - timedelta(days=1) if member.left_on else date.max
            spans.append(_Span(max(in_force, issuing), last))
    return _joined(spans)


def _reach(compact: Compact, credential: CompactCredential, where: str) -> set[str]:
    """The jurisdictions a credential can be good in. A privilege names its own; an authority may name one."""
    members = {member.jurisdiction for member in compact.members} - {credential.home}
    if where:
        members &= {where}
    if credential.jurisdiction:
        return members & {credential.jurisdiction}
    return members if compact.mode is CompactMode.AUTHORITY else set()


def _granted(
    clinician: Clinician, compact: Compact, credential: CompactCredential, where: str
) -> Iterator[License]:
    home = credential.home
    own = (each for each in clinician.licenses if each.jurisdiction == home)
    usable = _common(
        _common(_joined(_span(each.starts_on, each.ends_on) for each in own), _serving(compact, home)),
        _joined([_span(credential.starts_on, credential.ends_on)]),
    )
    for jurisdiction in sorted(_reach(compact, credential, where)):
        for span in _common(usable, _serving(compact, jurisdiction)):
            yield License(
                jurisdiction=jurisdiction,
                number=credential.number,
                starts_on=None if span.first == date.min else span.first,
                ends_on=None if span.last == date.max else span.last,
                kind=_KINDS[compact.mode],
                compact=compact.name,
                home=home,
                modalities=compact.modalities,
            )


def with_compacts(clinician: Clinician, compacts: Mapping[str, Compact], where: str = "") -> Clinician:
    """The clinician, who has their own licenses only, with what their compact credentials grant added to them.

    ``compacts`` are by code. A compact that gives ordinary licenses adds nothing: those are licenses already.
    ``where`` spares the work for every other jurisdiction.
    """
    granted: list[License] = []
    for credential in clinician.credentials:
        compact = compacts.get(credential.compact)
        if compact is None or compact.mode not in _KINDS or clinician.profession not in compact.professions:
            continue
        if credential.home and (credential.home == clinician.home or not compact.home_is_residence):
            granted += _granted(clinician, compact, credential, where)
    return replace(clinician, licenses=(*clinician.licenses, *granted))
