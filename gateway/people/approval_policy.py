"""An approval policy as a whole: its bands and its groups of persons, as the one line that is signed and kept.

Pure. The text has one part a band, `CNY 0..50000.00 1 payee=new group=treasury`, and one a group,
`group treasury=li,wang`, joined by `; `. Amounts are decimals of the band's currency. `none` is a policy without bands:
nothing needs an approval.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.people import approval_bands
from gateway.people.approval_bands import ANY, ApprovalBand, ApprovalFacts, ApprovalNeed
from protocols.canon.money import BadMoney, Money

NONE = "none"
_SEPARATOR = "; "
_NARROWING = ("kind", "payee", "sender", "group")
_WORDS = ", ".join(f"{one}=NAME" for one in _NARROWING)
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,30}")
_RANGE = re.compile(r"([0-9.]*[0-9])\.\.([0-9.]*)")


class BadPolicy(ValueError):
    """The text is no policy, or one with a gap; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """`groups` are the persons of each group that a band names. `version` counts from 1 in one journal."""

    bands: tuple[ApprovalBand, ...] = ()
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    version: int = 0

    def text(self) -> str:
        """The one way to write this policy."""
        groups = [f"group {name}={','.join(sorted(persons))}" for name, persons in sorted(self.groups.items())]
        return _SEPARATOR.join((*(_band_text(one) for one in sorted(self.bands, key=_place)), *groups)) or NONE

    def needed(self, facts: ApprovalFacts) -> ApprovalNeed:
        """What a payment needs by this policy. See approval_bands.needed."""
        return approval_bands.needed(self.bands, facts) if self.bands else ApprovalNeed()

    def members(self, group: str) -> frozenset[str] | None:
        """The persons of a group; None for any approver."""
        return None if group == ANY else self.groups.get(group, frozenset())


def parse(text: str) -> ApprovalPolicy:
    """Read what `ApprovalPolicy.text` writes. Raises BadPolicy for every text that cannot be used."""
    if text.strip() == NONE:
        return ApprovalPolicy()
    bands: list[ApprovalBand] = []
    groups: dict[str, frozenset[str]] = {}
    for part in (one.strip() for one in text.split(";")):
        first, _blank, rest = part.partition(" ")
        if first == "group":
            name, persons = _group(rest)
            if name in groups:
                raise BadPolicy(f"group {name} is said twice")
            groups[name] = persons
        else:
            bands.append(_band(part))
    made = ApprovalPolicy(tuple(sorted(bands, key=_place)), groups)
    wrong = [*approval_bands.defects(made.bands), *_wrong_groups(made)]
    if wrong:
        raise BadPolicy("; ".join(wrong))
    return made


def lines(policy: ApprovalPolicy) -> Sequence[str]:
    """The parts of the text, one a line, as a person reads them."""
    return policy.text().split(_SEPARATOR)


def _place(one: ApprovalBand) -> tuple[object, ...]:
    return (one.currency, *(getattr(one, name) for name in _NARROWING), one.above_minor)


def _band_text(one: ApprovalBand) -> str:
    upto = "" if one.upto_minor is None else str(Money(one.upto_minor, one.currency))
    narrowed = "".join(f" {name}={getattr(one, name)}" for name in _NARROWING if getattr(one, name) != ANY)
    return f"{one.currency} {Money(one.above_minor, one.currency)}..{upto} {one.approvers}{narrowed}"


def _band(part: str) -> ApprovalBand:
    words = part.split()
    if len(words) < 3 or not words[2].isascii() or not words[2].isdigit():  # noqa: PLR2004
        raise BadPolicy(f"{part!r} is no band: write CURRENCY ABOVE..UPTO APPROVERS, as CNY 0..50000.00 1")
    currency, amounts, approvers, *narrowing = words
    found = _RANGE.fullmatch(amounts)
    if found is None:
        raise BadPolicy(f"{part!r}: write the amounts as ABOVE..UPTO, or ABOVE.. without an end")
    named: dict[str, str] = {}
    for word in narrowing:
        name, equals, value = word.partition("=")
        if name not in _NARROWING or not equals or not _NAME.fullmatch(value) or name in named:
            raise BadPolicy(f"{part!r}: {word!r} is none of {_WORDS}, once each")
        named[name] = value
    try:
        above = Money.parse(found.group(1), currency).minor
        upto = Money.parse(found.group(2), currency).minor if found.group(2) else None
    except BadMoney as error:
        raise BadPolicy(f"{part!r}: {error}") from None
    return ApprovalBand(currency, above, upto, int(approvers), **named)


def _group(text: str) -> tuple[str, frozenset[str]]:
    name, equals, said = text.partition("=")
    persons = frozenset(one.strip() for one in said.split(",") if one.strip())
    if not equals or not _NAME.fullmatch(name) or not persons or not all(map(_NAME.fullmatch, persons)):
        raise BadPolicy(f"'group {text}' is no group: write group NAME=person,person")
    return name, persons


def _wrong_groups(policy: ApprovalPolicy) -> Sequence[str]:
    wrong = []
    for one in policy.bands:
        if one.group == ANY:
            continue
        there = len(policy.groups.get(one.group, ()))
        if there < one.approvers:
            wrong.append(f"a band needs {one.approvers} of group {one.group}, which has {there} persons")
    unused = sorted(set(policy.groups) - {one.group for one in policy.bands})
    return [*dict.fromkeys(wrong), *(f"group {name} is in no band" for name in unused)]
