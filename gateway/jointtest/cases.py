"""Cases of a joint test: read from `catalogue/*.toml` and derived for one bank from the operations that it declares.

A file holds templates. `kinds` makes one case of a template for each kind of order that the bank has; `fields` one for
each limit of a field that it declares; `asks` needs a question that it answers. A template that the bank cannot have
still makes a case, which is not applicable and says why: so nobody overlooks that it is missing. `unrepeated` holds the
keys that differ at a bank whose orders of that kind are never sent again.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from importlib import resources
from typing import Any

from gateway.jointtest.verdicts import ConditionCause, SeenAt
from protocols.bank import Bank, Replay, ReplayRule
from protocols.canon.limits import FieldLimit
from protocols.canon.order import Kind

FILES = ("happy", "rails", "refusals", "duplicates", "fields", "faults", "bundles", "questions", "days", "load", "hand")
"""The catalogue, in the order in which a run plays it."""
FINANCE = ("acceptance",)
"""The catalogue for a plan whose scripts test finance."""
STEPS_PLAY = "steps"
"""The play of a case of one's own that has steps."""


class BadCase(ValueError):
    """A case file cannot be used: the text names the file, the case and the fault."""


@dataclass(frozen=True, slots=True)
class ExpectedResult:
    """The observations that make a case pass. Empty fields are not checked.

    `states` are the last states that are right, `through` those that must have been told on the way, `errors` the
    codes of refusal that are right, `at` the field that the refusal must name, `reply` the name of the answer, `items`
    the last states of a bundle's items, `executions` how often the bank must have carried the order out (twin only).
    `codes` are the bank's codes that are right, `words` the texts that must all be in what was told about the order or
    in the answer; a text may be several with `|` between, of which one is enough.
    """

    states: tuple[str, ...] = ()
    through: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    at: str = ""
    reply: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    executions: int | None = None
    codes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


class StepKind(StrEnum):
    """What one step of a case does."""

    ORDER = "order"  # give an order
    AGAIN = "again"  # publish the last order's message once more, or with another content
    CANCEL = "cancel"  # withdraw the last order
    ASK = "ask"  # ask a question
    LINE = "line"  # our relay: down, up, or swallow the next answer
    CLOCK = "clock"  # move a twin's clock by days
    PAUSE = "pause"  # wait


@dataclass(frozen=True, slots=True)
class CaseStep:
    """One step of a case that is played step by step. Which fields count depends on `do`; see docs/do/joint-test.md."""

    do: StepKind
    kind: str = ""
    change: Mapping[str, Any] = field(default_factory=dict)
    size: int = 3
    trigger: str = ""
    fault: str = ""
    question: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    line: str = ""
    days: int = 0
    seconds: float = 0.0
    expect: ExpectedResult = ExpectedResult()


@dataclass(frozen=True, slots=True)
class Case:
    """One case of one bank.

    `play` names how it is played (`gateway.jointtest.plays`), `change` what differs from a plain order by JSON
    pointer, `trigger` what the bank must make of it (`refuse`, `late`, …), `fault` what goes wrong in the exchange,
    `repeat` how many more times the same message is published. `lacks` says why this bank cannot have it. `script` are
    the steps of a case of one's own (`gateway.jointtest.case_files`).
    """

    id: str
    title: str
    title_zh: str
    section: str
    play: str
    cause: ConditionCause = ConditionCause.ERP
    seen: tuple[SeenAt, ...] = (SeenAt.BANK, SeenAt.TWIN)
    kind: str = ""
    asks: str = ""
    change: Mapping[str, Any] = field(default_factory=dict)
    trigger: str = ""
    fault: str = ""
    repeat: int = 0
    other: Mapping[str, Any] = field(default_factory=dict)
    size: int = 3
    form: str = "json"
    exclusive: bool = False
    money: bool = False
    steps: str = ""
    steps_zh: str = ""
    expect: ExpectedResult = ExpectedResult()
    lacks: str = ""
    script: tuple[CaseStep, ...] = ()

    @property
    def by_twin_only(self) -> bool:
        """Whether the case needs a simulated bank, because a real one cannot be made to show it."""
        return self.seen == (SeenAt.TWIN,)


_KINDS_ZH: Mapping[str, str] = {
    "payment": "对外付款",
    "transfer": "内部转账",
    "batch_item": "批量付款",
    "payroll_item": "代发",
    "collection": "代收",
}
_OWN = frozenset({"kinds", "fields", "expect", "unrepeated"})
_CASE_FIELDS = {one.name for one in fields(Case)} - {"kind", "lacks", "section", "script"} | _OWN
_EXPECT_FIELDS = {one.name for one in fields(ExpectedResult)}


def templates(files: Sequence[str] = FILES) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every template of these files of the catalogue with its section. Raises BadCase."""
    for name in files:
        text = resources.files("gateway.jointtest").joinpath("catalogue", f"{name}.toml").read_text("utf-8")
        yield from ((name, one) for one in case_templates(name, text))


def case_templates(name: str, text: str) -> Sequence[Mapping[str, Any]]:
    """The templates of one file. Raises BadCase."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadCase(f"{name}.toml: is not TOML: {error}") from None
    found: list[Mapping[str, Any]] = tables.pop("case", [])
    if tables or not isinstance(found, list):
        raise BadCase(f"{name}.toml: there are only [[case]] tables, not {', '.join(tables) or '[case]'}")
    for one in found:
        where = f"{name}.toml: case {one.get('id', '?')}"
        parts: tuple[Mapping[str, Any], ...] = (one, one.get("unrepeated", {}))
        unknown = [key for part in parts for key in sorted(part.keys() - _CASE_FIELDS)]
        unknown += [key for part in parts for key in sorted(part.get("expect", {}).keys() - _EXPECT_FIELDS)]
        if unknown:
            raise BadCase(f"{where}: no such key: {', '.join(unknown)}")
        missing = [key for key in ("id", "title", "title_zh", "play") if not one.get(key)]
        if missing:
            raise BadCase(f"{where}: is missing {', '.join(missing)}")
    return found


def derive(bank: Bank, files: Sequence[str] = FILES) -> tuple[Case, ...]:
    """The cases of a bank, in the order of the catalogue. Raises BadCase for a file that cannot be used."""
    made = [case for section, one in templates(files) for case in _cases(section, one, bank)]
    ids = [case.id for case in made]
    for id_ in {one for one in ids if ids.count(one) > 1}:
        raise BadCase(f"case {id_} is there twice")
    return tuple(made)


def derive_from(section: str, text: str, bank: Bank) -> tuple[Case, ...]:
    """The cases of a bank from one file's text. Raises BadCase."""
    return tuple(case for one in case_templates(section, text) for case in _cases(section, one, bank))


def derive_template(section: str, template: Mapping[str, Any], bank: Bank) -> tuple[Case, ...]:
    """The cases of a bank from one template. Raises BadCase."""
    return tuple(_cases(section, template, bank))


def _cases(section: str, one: Mapping[str, Any], bank: Bank) -> Iterator[Case]:
    base = _case(section, one)
    kinds = one.get("kinds")
    if kinds is not None:
        has = bank.money.keys() | bank.bundles.keys()
        for kind in kinds:
            lacks = "" if Kind(kind) in has else f"this bank declares no {kind}"
            case = _case(section, {**one, **one["unrepeated"]}) if _unrepeated(one, Kind(kind), bank) else base
            yield _limited(
                replace(
                    case,
                    id=f"{base.id}.{kind}",
                    kind=kind,
                    lacks=lacks,
                    title=f"{case.title}: {kind}",
                    title_zh=f"{case.title_zh}：{_KINDS_ZH.get(kind, kind)}",
                ),
                bank,
            )
    elif one.get("fields"):
        yield from _of_fields(base, str(one["fields"]), bank)
    elif base.asks:
        answered = getattr(bank.questions, base.asks) is not None
        if answered and base.steps == "past" and not bank.profile.past_balance_days:
            yield replace(base, lacks="this bank has no message for balances of past days")
            return
        yield base if answered else replace(base, lacks=f"this bank answers no question of the sort {base.asks!r}")
    else:
        yield _limited(base, bank)


def _unrepeated(one: Mapping[str, Any], kind: Kind, bank: Bank) -> bool:
    """Whether a template differs for orders that are never sent again, and this kind of order never is."""
    rule = bank.profile.replay.get(kind, ReplayRule())
    return "unrepeated" in one and (rule.policy is Replay.NEVER or kind in bank.bundles)


def _case(section: str, one: Mapping[str, Any]) -> Case:
    values = {key: value for key, value in one.items() if key not in _OWN}
    told = one.get("expect", {}).items()
    expect: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in told}
    try:
        values["cause"] = ConditionCause(values.get("cause", ConditionCause.ERP))
        values["seen"] = tuple(SeenAt(where) for where in values.get("seen", ("bank", "twin")))
        return Case(section=section, expect=ExpectedResult(**expect), **values)
    except (TypeError, ValueError) as error:
        raise BadCase(f"{section}.toml: case {one['id']}: {error}") from None


def _limited(case: Case, bank: Bank) -> Case:
    """The case, marked as inapplicable if other declarations of this bank exclude it."""
    if case.lacks:
        return case
    watched = bank.questions.returns is not None and bank.profile.returns_watch.total_seconds() > 0
    if case.trigger == "return" and not watched:
        return replace(case, lacks="this bank has no message that tells of returned money")
    if case.fault == "duplicate" and Kind.PAYMENT not in bank.money:
        return replace(case, lacks="this bank takes payments in bundles only")
    profile, kind = bank.profile, Kind(case.kind) if case.kind else None
    limits = profile.limits if kind is None else profile.kind_limits.get(kind, profile.limits)
    channel, urgency = case.change.get("/channel"), case.change.get("/urgency")
    if channel is not None and channel not in {one.value for one in limits.channels}:
        return replace(case, lacks=f"this bank has no message for the rail {channel}")
    if urgency is not None and urgency not in {one.value for one in limits.urgencies}:
        return replace(case, lacks=f"this bank takes no {urgency} orders")
    if case.play == "window" and bank.sessions.window < 2:
        return replace(case, lacks="this bank has agreed to one exchange at a time")
    return case


def _of_fields(base: Case, sort: str, bank: Bank) -> Iterator[Case]:
    """One case for each limit that the bank declares: `long` exceeds it by one, `full` reaches it, `required` leaves
    the field out."""
    count = 0
    for limit in bank.profile.limits.fields:
        if limit.at.startswith("/debtor") or limit.at == "/creditor/account":
            continue
        if not _has(limit, sort):
            continue
        count += 1
        name = limit.at.strip("/").replace("/", "-")
        change: dict[str, Any] = {limit.at: None if sort == "required" else f"{{{sort} {limit.at}}}"}
        yield replace(
            base,
            id=f"{base.id}.{name}",
            kind="payment",
            change={**base.change, **change},
            title=f"{base.title}: {limit.at}",
            title_zh=f"{base.title_zh}：{limit.at}",
            expect=replace(base.expect, at="" if sort == "full" else limit.at),
        )
    if not count:
        yield replace(base, lacks="this bank declares no such limit")


def _has(limit: FieldLimit, sort: str) -> bool:
    if sort == "required":
        return limit.required and not limit.required_unless
    return bool(limit.max_bytes or limit.max_chars)
