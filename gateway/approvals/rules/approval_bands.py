"""The approval policy: which payments need how many approvers of which group, as rows that cover every amount once.

Pure: rows in, defects or a need out. Amounts are minor units. A payment's money in a band is its amount plus the
earlier payments of the same maker, payee and day, so that a split payment needs what the whole would have needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

ANY = "*"
_MOST_APPROVERS = 5
WITHOUT_MAKER = 2
"""Approvers of a payment whose maker is not known: with one approver, that one could be the maker."""


@dataclass(frozen=True, slots=True)
class ApprovalBand:
    """The approvers needed for amounts above `above_minor`, up to and including `upto_minor` (None: without end), in
    one currency.

    `kind`, `payee` (`known`, `new`) and `sender` narrow the band, `*` does not. `approvers` persons with the role
    approver are needed, in `group` if it is not `*`.
    """

    currency: str
    above_minor: int
    upto_minor: int | None
    approvers: int
    group: str = ANY
    kind: str = ANY
    payee: str = ANY
    sender: str = ANY


@dataclass(frozen=True, slots=True)
class ApprovalFacts:
    """The facts that the policy judges by. `spent_minor`: what the maker has paid this payee earlier today, in the
    order's currency."""

    currency: str
    amount_minor: int
    kind: str
    payee: str
    sender: str
    spent_minor: int = 0
    maker: str | None = None


@dataclass(frozen=True, slots=True)
class ApprovalNeed:
    """The number of different persons needed from each group; `*` is any approver. All zero: no approval is needed."""

    of_group: tuple[tuple[str, int], ...] = ()

    @property
    def approvers(self) -> int:
        """The number of different persons that suffice if each is of the right group: the largest count for any
        approver, or the sum over the named groups, whichever is more."""
        named = sum(count for group, count in self.of_group if group != ANY)
        return max(named, *(count for group, count in self.of_group if group == ANY), 0)


def defects(bands: Sequence[ApprovalBand]) -> list[str]:
    """All defects of a policy's bands, as sentences: meaningless values, gaps, overlaps. Empty: the policy can be used.

    Bands with the same currency, kind, payee, sender and group form a ladder. Each ladder begins at 0, has no gap and
    no overlap, and has no end. A ladder for all kinds, payees and senders must be there for every currency.
    """
    found = [why for one in bands for why in _wrong_values(one)]
    if found:
        return found
    ladders: dict[tuple[str, ...], list[ApprovalBand]] = defaultdict(list)
    for one in bands:
        ladders[one.currency, one.kind, one.payee, one.sender, one.group].append(one)
    for name, rungs in sorted(ladders.items()):
        ladder = sorted(rungs, key=lambda one: one.above_minor)
        found.extend(f"{' '.join(name)}: {why}" for why in _wrong_ladder(ladder))
    found.extend(
        f"{currency}: there is no band that covers every kind, payee and sender"
        for currency in sorted({one.currency for one in bands})
        if not any(name[:4] == (currency, ANY, ANY, ANY) for name in ladders)
    )
    return found or ([] if bands else ["there is no band at all"])


def _wrong_values(one: ApprovalBand) -> Iterable[str]:
    where = f"{one.currency} above {one.above_minor}"
    if not (len(one.currency) == 3 and one.currency.isascii() and one.currency.isupper()):  # noqa: PLR2004
        yield f"{where}: the currency is three capital letters"
    if one.above_minor < 0 or (one.upto_minor is not None and one.upto_minor <= one.above_minor):
        yield f"{where}: the band is empty"
    if not 0 <= one.approvers <= _MOST_APPROVERS:
        yield f"{where}: 0 to {_MOST_APPROVERS} approvers"
    if one.payee not in (ANY, "known", "new"):
        yield f"{where}: the payee is known, new or {ANY}"


def _wrong_ladder(rungs: Sequence[ApprovalBand]) -> Iterable[str]:
    if rungs[0].above_minor != 0:
        yield f"gap from 0 to {rungs[0].above_minor}"
    for lower, upper in pairwise(rungs):
        if lower.upto_minor is None or lower.upto_minor > upper.above_minor:
            yield f"the bands above {lower.above_minor} and above {upper.above_minor} overlap"
        elif lower.upto_minor < upper.above_minor:
            yield f"gap from {lower.upto_minor} to {upper.above_minor}"
        if upper.approvers < lower.approvers:
            yield f"above {upper.above_minor} fewer approvers are needed than below"
    last = max(rungs, key=lambda one: one.above_minor)
    if last.upto_minor is not None:
        yield f"gap above {last.upto_minor}"


def needed(bands: Sequence[ApprovalBand], facts: ApprovalFacts) -> ApprovalNeed:
    """The approvers that this payment needs. Each ladder that fits gives the band of the payment's accumulated money;
    the strictest band counts.

    A currency without a band needs the largest number that any band asks for. A payment whose maker is not known needs
    at least two approvers. Raises ValueError for a policy with a defect, which is never used, and for an amount that is
    not above 0.
    """
    wrong = defects(bands)
    if wrong or facts.amount_minor <= 0 or facts.spent_minor < 0:
        raise ValueError(wrong[0] if wrong else "an amount must be more than 0")
    listed = [one for one in bands if one.currency == facts.currency]
    fitting = [one for one in listed if _fits(one, facts)] if listed else list(bands)
    money = facts.amount_minor + facts.spent_minor
    # Amounts of another currency cannot be compared, so that an unlisted currency needs what the strictest band needs.
    hit = [one for one in fitting if not listed or one.above_minor < money <= (one.upto_minor or money)]
    need = ApprovalNeed()
    for one in hit:
        need = stricter(need, ApprovalNeed(((one.group, one.approvers),)))
    if facts.maker is None:
        need = stricter(need, ApprovalNeed(((ANY, WITHOUT_MAKER),)))
    return need


def stricter(first: ApprovalNeed, second: ApprovalNeed) -> ApprovalNeed:
    """A need that satisfies both: the larger count of each group. Joins the policies of admission and of release."""
    joined = dict(first.of_group)
    for group, count in second.of_group:
        joined[group] = max(joined.get(group, 0), count)
    return ApprovalNeed(tuple(sorted((group, count) for group, count in joined.items() if count)))


def _fits(band: ApprovalBand, facts: ApprovalFacts) -> bool:
    named = ((band.kind, facts.kind), (band.payee, facts.payee), (band.sender, facts.sender))
    return all(wanted in (ANY, there) for wanted, there in named)


def tighter_or_equal(bands: Sequence[ApprovalBand], floor: Sequence[ApprovalBand], facts: ApprovalFacts) -> bool:
    """True if `bands` need at least what `floor` needs for these facts, because settings may tighten a policy and never
    loosen it."""
    both = needed(bands, facts)
    return stricter(both, needed(floor, facts)) == both
