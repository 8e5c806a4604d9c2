"""A cash pool as the one text that two persons sign: a header account, child accounts, a rule each, and ceilings.

The text has a head, `pool CNY header=ACCOUNT slots=16:30-17:00 most-run=5000000.00 most-day=9000000.00`, and one part
a child, `child ACCOUNT up=keep:50000.00`, joined by `; `. Amounts are decimals of the pool's currency. `none` closes a
pool. docs/understand/liquidity.md explains each rule by an example.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from enum import StrEnum
from itertools import pairwise
from typing import Any

from protocols.canon.money import BadMoney, Money

NONE = "none"
ROUNDINGS = (1, 100, 1_000, 10_000, 100_000)
"""Units of the currency (not minor units) that amounts may be rounded down to. Without one, nothing is rounded."""
FRESH_S = 900
_SEPARATOR = "; "
_ACCOUNT = re.compile(r"[0-9A-Za-z-]{4,40}")
_WORD = re.compile(r"[^\s=;]{1,80}")
_PERCENT = 100


class BadPool(ValueError):
    """The text is not a usable pool; the message says what is wrong."""


class UpRule(StrEnum):
    """How the amount that goes up to the header is determined: everything (全额), a fixed amount (定额), a percentage
    (按比例), or the amount above a balance that stays (留底余额).
    """

    ALL = "all"
    FIXED = "fixed"
    PART = "part"
    KEEP = "keep"


class DownRule(StrEnum):
    """How the amount that comes down to the child is determined: a fixed amount (定额), or the amount that it lacks of
    a target balance (补足目标余额).
    """

    FIXED = "fixed"
    TARGET = "target"


@dataclass(frozen=True, slots=True)
class Slot:
    """A time window of the business day, in the zone of the settings. A run begins at `opens`; from `closes` on none of
    its orders is sent."""

    opens: time
    closes: time

    @property
    def name(self) -> str:
        """The slot's name in a run's id, such as 1630."""
        return self.opens.strftime("%H%M")


@dataclass(frozen=True, slots=True)
class PoolChild:
    """A child account of a pool. `up_value` is minor units, or the percentage of PART. `floor_minor` always stays. With
    `below_minor`, money comes down only while the child has less than that."""

    account: str
    up: UpRule | None = None
    up_value: int = 0
    down: DownRule | None = None
    down_minor: int = 0
    below_minor: int | None = None
    floor_minor: int = 0


@dataclass(frozen=True, slots=True)
class Pool:
    """The rules of a cash pool. `least_minor` is the smallest amount moved, `round_units` the unit that amounts are
    rounded down to. A run moves at most `most_run_minor`, all runs of a day at most `most_day_minor`. A balance older
    than `fresh_s` moves nothing. `contract`, `quota_minor` and `until` are for a pool over several companies: no member
    owes, or is owed, more than the quota. `version` counts from 1."""

    header: str
    currency: str
    children: tuple[PoolChild, ...]
    most_run_minor: int
    most_day_minor: int
    slots: tuple[Slot, ...] = ()
    floor_minor: int = 0
    least_minor: int = 1
    round_units: int | None = None
    fresh_s: int = FRESH_S
    calendar: str = "cn"
    contract: str = ""
    quota_minor: int | None = None
    until: date | None = None
    version: int = 0

    @property
    def accounts(self) -> tuple[str, ...]:
        """All accounts of the pool, the header first."""
        return (self.header, *(one.account for one in self.children))

    def text(self) -> str:
        """The pool's canonical text, which `parse` reads."""
        head = f"pool {self.currency} {_words(self.head_values())}"
        return _SEPARATOR.join(
            (head, *(f"child {one.account} {_words(self.child_values(one))}" for one in self.children))
        )

    def head_values(self) -> dict[str, Any]:
        """The values of the pool's head by their names in the text. Empty values are not written."""
        return {
            "header": self.header,
            "slots": ",".join(f"{one.opens:%H:%M}-{one.closes:%H:%M}" for one in self.slots),
            "floor": self._amount(self.floor_minor, 0),
            "least": self._amount(self.least_minor, 1),
            "round": self.round_units,
            "most-run": self._amount(self.most_run_minor, None),
            "most-day": self._amount(self.most_day_minor, None),
            "fresh": None if self.fresh_s == FRESH_S else self.fresh_s,
            "calendar": None if (self.currency, self.calendar) == ("CNY", "cn") else self.calendar,
            "contract": self.contract,
            "quota": self._amount(self.quota_minor, None),
            "until": self.until,
        }

    def _amount(self, minor: int | None, default: int | None) -> str | None:
        return None if minor in (None, default) else str(Money(minor or 0, self.currency))

    def child_values(self, one: PoolChild) -> dict[str, Any]:
        """The values of a child by their names in the text. Empty values are not written."""
        value = one.up_value if one.up is UpRule.PART else Money(one.up_value, self.currency)
        up = None if one.up is None else one.up.value if one.up is UpRule.ALL else f"{one.up.value}:{value}"
        down = None if one.down is None else f"{one.down.value}:{Money(one.down_minor, self.currency)}"
        return {
            "up": up,
            "down": down,
            "below": self._amount(one.below_minor, None),
            "floor": self._amount(one.floor_minor, 0),
        }


def written(said: Mapping[str, Any]) -> Mapping[str, str]:
    """The values that the text contains, in their order."""
    return {name: str(value) for name, value in said.items() if value not in (None, "")}


def _words(said: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in written(said).items())


def lines(text: str) -> Sequence[str]:
    """The parts of the text for a person to read, one per line."""
    return text.split(_SEPARATOR)


def parse(text: str) -> Pool | None:
    """Parse the text that `Pool.text` writes; None for `none`. Raises BadPool for a text that is not a usable pool."""
    if text.strip() == NONE:
        return None
    first, *rest = [one.strip() for one in text.split(";")]
    words = first.split()
    if len(words) < 2 or words[0] != "pool" or not re.fullmatch("[A-Z]{3}", words[1]):  # noqa: PLR2004
        raise BadPool(
            f"{first!r} is not a valid first part: write pool CURRENCY header=ACCOUNT most-run=AMOUNT most-day=AMOUNT"
        )
    made = _head(words[1], words[2:], tuple(_child(part, words[1]) for part in rest))
    wrong = list(defects(made))
    if wrong:
        raise BadPool("; ".join(wrong))
    return made


def defects(pool: Pool) -> Sequence[str]:
    """All defects of a pool by itself, as sentences. Empty: it can be used."""
    found = []
    if not pool.children:
        found.append("a pool has at least one child")
    names = [one.account for one in pool.children]
    if pool.header in names:
        found.append(f"cycle: account {pool.header} is the header and a child")
    found.extend(f"account {one} is a child twice" for one in sorted({one for one in names if names.count(one) > 1}))
    if pool.round_units not in (None, *ROUNDINGS):
        found.append(f"round is one of {', '.join(map(str, ROUNDINGS))}")
    if pool.most_run_minor > pool.most_day_minor:
        found.append("most-run is above most-day")
    found.extend(f"slot {one.name} ends before it begins" for one in pool.slots if one.closes <= one.opens)
    ordered = sorted(pool.slots, key=lambda one: one.opens)
    found.extend(
        f"slots {one.name} and {other.name} overlap" for one, other in pairwise(ordered) if other.opens < one.closes
    )
    for one in pool.children:
        found.extend(f"child {one.account}: {why}" for why in _wrong_rules(one))
    return found


def _wrong_rules(one: PoolChild) -> Sequence[str]:
    if one.up is None and one.down is None:
        return ["it has neither up nor down"]
    if one.up is UpRule.PART and not 0 < one.up_value <= _PERCENT:
        return ["part is 1 to 100 per cent"]
    if one.below_minor is not None and one.down is None:
        return ["below= needs a rule down="]
    if one.up is not None and one.down is not None:
        stays = max(one.floor_minor, one.up_value if one.up is UpRule.KEEP else 0)
        if one.up in (UpRule.FIXED, UpRule.PART):
            return [f"up={one.up.value} and down= would move the same money up and down; use keep and target"]
        reach = one.down_minor if one.down is DownRule.TARGET else (one.below_minor or 0) + one.down_minor
        if one.down is DownRule.FIXED and one.below_minor is None:
            return ["the money that down=fixed moves would go up again: give below="]
        if reach > stays:
            return [f"money that comes down to {reach} minor units would go up again above the {stays} that stay"]
    return []


def clashes(name: str, pool: Pool, others: Mapping[str, Pool]) -> Sequence[str]:
    """The conflicts of this pool with other pools: an account in two pools, or a cycle. A header may be another pool's
    child."""
    found, above = [], {one.account: pool.header for one in pool.children}
    for other_name, other in sorted(others.items()):
        if other_name == name:
            continue
        if other.header == pool.header:
            found.append(f"account {pool.header} is the header of pool {other_name} already")
        shared = {one.account for one in pool.children} & {one.account for one in other.children}
        found.extend(f"account {one} is in pool {other_name} already" for one in sorted(shared))
        above |= {one.account: other.header for one in other.children if one.account not in above}
    at, path = pool.header, [pool.header]
    while (at := above.get(at, "")) and at not in path:
        path.append(at)
    if at:
        found.append(f"cycle: {' > '.join([*path, at])}")
    return found


# ---- reading ----


def _head(currency: str, words: Sequence[str], children: tuple[PoolChild, ...]) -> Pool:
    said = _named(
        words,
        (
            "header",
            "slots",
            "floor",
            "least",
            "round",
            "most-run",
            "most-day",
            "fresh",
            "calendar",
            "contract",
            "quota",
            "until",
        ),
        "the head",
    )
    for name in ("header", "most-run", "most-day"):
        if name not in said:
            raise BadPool(f"the head lacks {name}=")
    calendar = said.get("calendar", "cn" if currency == "CNY" else "")
    if not calendar:
        raise BadPool(f"the head lacks calendar=: no calendar is known for {currency}")
    return Pool(
        _account(said["header"]),
        currency,
        children,
        most_run_minor=_minor(said["most-run"], currency),
        most_day_minor=_minor(said["most-day"], currency),
        slots=tuple(_slot(one) for one in said["slots"].split(",")) if "slots" in said else (),
        floor_minor=_minor(said.get("floor", "0"), currency),
        least_minor=_minor(said["least"], currency) if "least" in said else 1,
        round_units=_number(said["round"], "round") if "round" in said else None,
        fresh_s=_number(said["fresh"], "fresh") if "fresh" in said else FRESH_S,
        calendar=calendar,
        contract=said.get("contract", ""),
        quota_minor=_minor(said["quota"], currency) if "quota" in said else None,
        until=_day(said["until"]) if "until" in said else None,
    )


def _child(part: str, currency: str) -> PoolChild:
    words = part.split()
    if len(words) < 2 or words[0] != "child":  # noqa: PLR2004
        raise BadPool(f"{part!r} is not a valid member line: write child ACCOUNT up=RULE down=RULE")
    account = _account(words[1])
    said = _named(words[2:], ("up", "down", "below", "floor"), f"child {account}")
    up, up_value = _rule(said.get("up"), UpRule, currency)
    down, down_minor = _rule(said.get("down"), DownRule, currency)
    below_minor = _minor(said["below"], currency) if "below" in said else None
    return PoolChild(account, up, up_value, down, down_minor, below_minor, _minor(said.get("floor", "0"), currency))


def _rule(text: str | None, kinds: Callable[[str], Any], currency: str) -> tuple[Any, int]:
    if text is None:
        return None, 0
    name, colon, value = text.partition(":")
    try:
        kind = kinds(name)
    except ValueError:
        raise BadPool(
            f"{text!r} is not a valid rule: up=all, fixed:AMOUNT, part:PERCENT or keep:AMOUNT; down=fixed:AMOUNT or "
            f"target:AMOUNT"
        ) from None
    if kind is UpRule.ALL:
        if colon:
            raise BadPool(f"{text!r}: all has no amount")
        return kind, 0
    return kind, _number(value, name) if kind is UpRule.PART else _minor(value, currency)


def _named(words: Sequence[str], names: Sequence[str], where: str) -> dict[str, str]:
    said: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if name not in names or not equals or not _WORD.fullmatch(value) or name in said:
            each = ", ".join(f"{one}=" for one in names)
            raise BadPool(f"{where}: {word!r} is not allowed here; write each of {each} at most once")
        said[name] = value
    return said


def _account(text: str) -> str:
    if not _ACCOUNT.fullmatch(text):
        raise BadPool(f"{text!r} is no account number")
    return text


def _minor(text: str, currency: str) -> int:
    try:
        return Money.parse(text, currency).minor
    except BadMoney as error:
        raise BadPool(f"{text!r}: {error}") from None


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6) or int(text) == 0:  # noqa: PLR2004
        raise BadPool(f"{name} must be a whole number of at least 1, not {text!r}")
    return int(text)


def _slot(text: str) -> Slot:
    begin, dash, end = text.partition("-")
    try:
        if not dash:
            raise ValueError
        return Slot(time.fromisoformat(begin), time.fromisoformat(end))
    except ValueError:
        raise BadPool(f"{text!r} is not a time slot: write one such as 16:30-17:00") from None


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadPool(f"{text!r} is not a day: write one such as 2027-12-31") from None
