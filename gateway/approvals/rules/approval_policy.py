"""An approval policy: its bands and its groups of persons, as the one line that is signed and stored.

Pure. The text has one part a band, `CNY 0..50000.00 1 payee=new group=treasury`, and one a group,
`group treasury=li,wang`, joined by `; `. Amounts are decimals of the band's currency. `makers kingdee,sap` names the
senders that are trusted to authenticate the makers whom they name. `none` is a policy without bands: nothing needs an
approval.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.approvals.rules import approval_bands
from gateway.approvals.rules.approval_bands import ANY, ApprovalBand, ApprovalFacts, ApprovalNeed
from gateway.language import BilingualText, bilingual, coded, listed
from protocols.canon.money import BadMoney, Money

NONE = "none"
_SEPARATOR = "; "
_NARROWING = ("kind", "payee", "sender", "group")
_WORDS = ", ".join(f"{one}=NAME" for one in _NARROWING)
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,30}")
_MAKERS = "makers"
_RANGE = re.compile(r"([0-9.]*[0-9])\.\.([0-9.]*)")
_NARROWING_NAMES: Mapping[str, str] = {"kind": "业务种类", "payee": "收款人", "sender": "来源系统", "group": "复核组"}
_CODES: Mapping[str, Mapping[str, str]] = {
    "payee": {"new": "新收款人", "known": "已知收款人"},
    "kind": {
        "payment": "付款",
        "transfer": "划转",
        "batch_item": "批量付款",
        "payroll_item": "代发",
        "collection": "代收",
    },
}


class BadPolicy(ValueError):
    """The text is not a policy, or its bands have a gap; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """An approval policy. `groups` are the persons of each group that a band names. `maker_senders` are trusted to
    authenticate makers. `version` counts from 1 in one journal. `altered` says why the journal's row cannot be trusted
    ("" if it can); then no order is sent, whatever it needs."""

    bands: tuple[ApprovalBand, ...] = ()
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    version: int = 0
    maker_senders: frozenset[str] = frozenset()
    altered: str = ""

    def text(self) -> str:
        """The policy's canonical text, which `parse` reads."""
        groups = [f"group {name}={','.join(sorted(persons))}" for name, persons in sorted(self.groups.items())]
        trusted = [f"{_MAKERS} {','.join(sorted(self.maker_senders))}"] if self.maker_senders else []
        bands = [_band_text(one) for one in sorted(self.bands, key=_place)]
        return _SEPARATOR.join((*bands, *groups, *trusted)) or NONE

    def needed(self, facts: ApprovalFacts) -> ApprovalNeed:
        """The approvers that a payment needs by this policy. See approval_bands.needed."""
        return approval_bands.needed(self.bands, facts) if self.bands else ApprovalNeed()

    def members(self, group: str) -> frozenset[str] | None:
        """The persons of a group; None for any approver."""
        return None if group == ANY else self.groups.get(group, frozenset())


def parse(text: str) -> ApprovalPolicy:
    """Parse the text that `ApprovalPolicy.text` writes. Raises BadPolicy for every text that cannot be used."""
    if text.strip() == NONE:
        return ApprovalPolicy()
    bands: list[ApprovalBand] = []
    groups: dict[str, frozenset[str]] = {}
    trusted: frozenset[str] = frozenset()
    for part in (one.strip() for one in text.split(";")):
        first, _blank, rest = part.partition(" ")
        if first == "group":
            name, persons = _group(rest)
            if name in groups:
                raise BadPolicy(f"group {name} is written twice")
            groups[name] = persons
        elif first == _MAKERS:
            if trusted:
                raise BadPolicy(f"{_MAKERS} is written twice")
            trusted = _senders(rest)
        else:
            bands.append(_band(part))
    made = ApprovalPolicy(tuple(sorted(bands, key=_place)), groups, maker_senders=trusted)
    wrong = [*approval_bands.defects(made.bands), *_wrong_groups(made)]
    if wrong:
        raise BadPolicy("; ".join(wrong))
    return made


def lines(policy: ApprovalPolicy) -> Sequence[str]:
    """The parts of the policy's text for a person to read, one per line."""
    return policy.text().split(_SEPARATOR)


def bilingual_lines(policy: ApprovalPolicy) -> Sequence[BilingualText | str]:
    """The parts of the text in both languages; in English as `lines` gives them."""
    bands = [_bilingual_band(one) for one in sorted(policy.bands, key=_place)]
    groups = [
        bilingual("group {name}={persons}", "复核组 {name}：{persons}", name=name, persons=",".join(sorted(persons)))
        for name, persons in sorted(policy.groups.items())
    ]
    trusted = [
        bilingual(
            "makers {senders}", "由其认定经办人的来源系统：{senders}", senders=",".join(sorted(policy.maker_senders))
        )
    ]
    return [*bands, *groups, *(trusted if policy.maker_senders else ())] or [coded(NONE, {NONE: "任何付款均无须复核"})]


def _place(one: ApprovalBand) -> tuple[object, ...]:
    return (one.currency, *(getattr(one, name) for name in _NARROWING), one.above_minor)


def _band_text(one: ApprovalBand) -> str:
    upto = "" if one.upto_minor is None else str(Money(one.upto_minor, one.currency))
    narrowed = "".join(f" {name}={getattr(one, name)}" for name in _NARROWING if getattr(one, name) != ANY)
    return f"{one.currency} {Money(one.above_minor, one.currency)}..{upto} {one.approvers}{narrowed}"


def _bilingual_band(one: ApprovalBand) -> BilingualText:
    narrowed = [
        bilingual(
            f" {name}={{value}}",
            f"，限{_NARROWING_NAMES[name]} {{value}}",
            value=coded(getattr(one, name), _CODES.get(name, {})),
        )
        for name in _NARROWING
        if getattr(one, name) != ANY
    ]
    above, upto = str(Money(one.above_minor, one.currency)), one.upto_minor
    amounts = (
        bilingual("{above}..", "高于 {above}，无上限", above=above)
        if upto is None
        else bilingual(
            "{above}..{upto}", "高于 {above}，不高于 {upto}", above=above, upto=str(Money(upto, one.currency))
        )
    )
    return bilingual(
        "{currency} {amounts} {approvers}{narrowed}",
        "{currency} 金额{amounts}：复核人数 {approvers}{narrowed}",
        currency=one.currency,
        amounts=amounts,
        approvers=str(one.approvers),
        narrowed=listed(narrowed, ("", "")),
    )


def _band(part: str) -> ApprovalBand:
    words = part.split()
    if len(words) < 3 or not words[2].isascii() or not words[2].isdigit():  # noqa: PLR2004
        raise BadPolicy(f"{part!r} is not a valid band: write CURRENCY ABOVE..UPTO APPROVERS, as CNY 0..50000.00 1")
    currency, amounts, approvers, *narrowing = words
    found = _RANGE.fullmatch(amounts)
    if found is None:
        raise BadPolicy(f"{part!r}: write the amounts as ABOVE..UPTO, or ABOVE.. without an end")
    named: dict[str, str] = {}
    for word in narrowing:
        name, equals, value = word.partition("=")
        if name not in _NARROWING or not equals or not _NAME.fullmatch(value) or name in named:
            raise BadPolicy(f"{part!r}: {word!r} is not allowed here: write each of {_WORDS} at most once")
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
        raise BadPolicy(f"'group {text}' is not a valid group: write group NAME=person,person")
    return name, persons


def _senders(text: str) -> frozenset[str]:
    senders = frozenset(one.strip() for one in text.split(",") if one.strip())
    if not senders or not all(map(_NAME.fullmatch, senders)):
        raise BadPolicy(f"'{_MAKERS} {text}' names no senders: write {_MAKERS} SENDER,SENDER")
    return senders


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
