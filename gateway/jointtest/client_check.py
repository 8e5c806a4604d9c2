"""Checks a foreign client at a simulated bank: each request against the bank's rules, and the sum of its behaviour.

The rules are the twin's, which is written from the bank's page: what the twin takes, the page allows. A request that it
cannot read is told with the reason; a real bank would close the connection and say nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from gateway.jointtest.client_words import (
    COUNTED,
    KINDS,
    REASONS,
    RULES,
    TOUCHES,
    VERDICTS,
    ExchangeVerdict,
    printable,
    reconstructed,
    shown_value,
    trouble,
)
from gateway.jointtest.rule_sources import shown_source
from gateway.language import Bilingual
from gateway.simbank.exchange_log import ConnectionTrouble, ExchangeMoney, LoggedExchange, read_exchanges
from protocols.judge import RequestFinding, RequestRules

_ROW = re.compile(r"\[\d+\]")
_NUMBER = re.compile(r"[0-9]+")
_CONNECTION_TROUBLES = frozenset(one.value for one in ConnectionTrouble)


@dataclass(slots=True)
class GroupedFinding:
    """One rule that the client broke at one field of one operation, how often, and when first and last.

    `value` is the value of the first time, `source` where the rule stands, `code` the bank's answer.
    """

    operation: str
    place: str
    rule: Bilingual
    words: Bilingual
    value: str
    source: Bilingual
    code: str
    is_reconstructed: bool
    first_ms: int
    last_ms: int
    count: int = 1


@dataclass(slots=True)
class OperationCounts:
    """How often one operation was tried, and what the bank did with it."""

    tried: int = 0
    accepted: int = 0
    broken: int = 0
    refused: int = 0


@dataclass(slots=True)
class SeenClient:
    """One client certificate that was shown, with the number of its connections and exchanges."""

    connections: set[int] = field(default_factory=set)
    exchanges: int = 0


@dataclass(slots=True)
class ClientCheck:
    """The client's behaviour so far, read from the bank's log of exchanges as the log grows.

    `accepted` are the codes with which the bank's answer takes a request. `operations` are all that the bank has; they
    are counted from the start, so that one that was never tried shows.
    """

    log: Path
    offset: int = 0
    accepted: tuple[str, ...] = ()
    operations: Sequence[str] = ()
    verdicts: Counter[ExchangeVerdict] = field(default_factory=Counter)
    touches: Counter[str] = field(default_factory=Counter)
    money: Counter[str] = field(default_factory=Counter)
    bodies: dict[str, set[bytes]] = field(default_factory=dict)
    counts: dict[str, OperationCounts] = field(default_factory=dict)
    groups: dict[tuple[str, ...], GroupedFinding] = field(default_factory=dict)
    clients: dict[str, SeenClient] = field(default_factory=dict)
    first_ms: int = 0
    last_ms: int = 0

    def __post_init__(self) -> None:
        self.counts.update((name, OperationCounts()) for name in self.operations)

    def news(self) -> Iterator[Bilingual]:
        """The lines about each exchange that the log gained since the last call."""
        if not self.log.exists() or self.log.stat().st_size <= self.offset:
            return
        with self.log.open("rb") as lines:
            lines.seek(self.offset)
            end = self.offset + lines.read().rfind(b"\n") + 1
        for one in read_exchanges(self.log, self.offset, end):
            yield from self._lines(one)
        self.offset = end

    def _lines(self, one: LoggedExchange) -> Iterator[Bilingual]:
        verdict = self.verdict_of(one)
        self.first_ms, self.last_ms = self.first_ms or one.machine_ms, one.machine_ms
        self.verdicts[verdict] += 1
        if one.client and one.client not in self.clients:
            yield f"client certificate: {one.client}", f"客户端证书：{one.client}"
        seen = self.clients.setdefault(one.client, SeenClient())
        seen.connections.add(one.connection)
        if verdict in (ExchangeVerdict.NOT_READ, ExchangeVerdict.CONNECTION):
            yield from self._trouble_lines(one, verdict)
            return
        seen.exchanges += 1
        self.touches[one.touch] += 1
        self._count(one, verdict)
        repeat = self._repeat(one)
        yield _exchange_line(one, verdict, repeat)
        for found in one.findings:
            self._group(one, found)
            yield _finding_line(found)

    def verdict_of(self, one: LoggedExchange) -> ExchangeVerdict:
        """What the bank did with a request. The books decide about orders, the code of the answer about the rest."""
        if one.trouble:
            of_connection = one.trouble in _CONNECTION_TROUBLES
            return ExchangeVerdict.CONNECTION if of_connection else ExchangeVerdict.NOT_READ
        if one.findings:
            return ExchangeVerdict.BROKEN_RULE
        if one.money is not None:
            is_taken = one.money.refused < one.money.orders
        else:
            is_taken = not one.code or not self.accepted or one.code in self.accepted
        return ExchangeVerdict.ACCEPTED if is_taken else ExchangeVerdict.BUSINESS

    def _trouble_lines(self, one: LoggedExchange, verdict: ExchangeVerdict) -> Iterator[Bilingual]:
        words, (english, chinese) = trouble(one.trouble), VERDICTS[verdict]
        detail, count = printable(one.complaint), len(one.request)
        of_request = verdict is ExchangeVerdict.NOT_READ
        size = (f"; {count} bytes", f"；{count} 字节") if of_request else ("", "")
        yield (
            f"{_head(one)}  {english}: {words[0]} ({detail}{size[0]})",
            f"{_head(one)}  {chinese}：{words[1]}（{detail}{size[1]}）",
        )
        if not is_harmless(one):
            at_ms = one.machine_ms
            found = GroupedFinding("", "", KINDS[verdict], words, detail, ("", ""), "", False, at_ms, at_ms)
            self._enter((one.trouble,), found)

    def _count(self, one: LoggedExchange, verdict: ExchangeVerdict) -> None:
        # A request of which not even the operation can be read is no heartbeat.
        name = one.operation or ("-" if one.findings else one.touch)
        tally = self.counts.setdefault(name, OperationCounts())
        tally.tried += 1
        tally.accepted += verdict is ExchangeVerdict.ACCEPTED
        tally.broken += verdict is ExchangeVerdict.BROKEN_RULE
        tally.refused += verdict is ExchangeVerdict.BUSINESS

    def _repeat(self, one: LoggedExchange) -> int:
        """How often the reference of an order has come by now."""
        if one.touch != "money" or not one.reference:
            return 1
        self.money[one.reference] += 1
        self.bodies.setdefault(one.reference, set()).add(one.request)
        return self.money[one.reference]

    def _group(self, one: LoggedExchange, found: RequestFinding) -> None:
        place = _ROW.sub("[]", found.place)
        made = GroupedFinding(
            one.operation,
            place,
            RULES[found.rule],
            (found.words.english, found.words.chinese),
            shown_value(found.place, found.rule, found.value),
            shown_source(found.source),
            found.refusal.code,
            found.reconstructed or found.refusal.reconstructed,
            one.machine_ms,
            one.machine_ms,
        )
        # Lengths and limits in the words differ from value to value.
        words = _NUMBER.sub("#", found.words.english)
        self._enter((one.operation, place, found.rule.value, found.source, words), made)

    def _enter(self, key: tuple[str, ...], found: GroupedFinding) -> None:
        """Count a finding: a new group, or once more in the group with this key."""
        known = self.groups.setdefault(key, found)
        if known is not found:
            known.count, known.last_ms = known.count + 1, found.last_ms

    def repeats(self) -> list[Bilingual]:
        """The orders that came more than once, with the same bytes or with others."""
        found = []
        for reference, count in self.money.items():
            if count > 1:
                shown, is_same = printable(reference), len(self.bodies[reference]) == 1
                same = ("the same bytes", "内容相同") if is_same else ("other bytes", "内容不同")
                found.append(
                    (
                        f"  order {shown} was sent {count} times: {same[0]}",
                        f"  指令 {shown} 提交了 {count} 次：{same[1]}",
                    )
                )
        return found

    def findings(self) -> list[Bilingual]:
        """The behaviour of the client that a bank would not accept: one line a rule, and one an order sent twice."""
        return [_group_line(one) for one in self.groups.values()] + self.repeats()

    def untried(self) -> list[str]:
        """The operations of the bank that the client never tried."""
        return [name for name, one in self.counts.items() if not one.tried]

    def last_line(self) -> Bilingual:
        """A summary of the client's behaviour in one line."""
        count = len(self.findings())
        told = [(self.verdicts[one], COUNTED[one]) for one in ExchangeVerdict if self.verdicts[one]]
        english = ", ".join(f"{number} {words[0]}" for number, words in told) or "nothing came"
        chinese = "，".join(f"{words[1]} {number}" for number, words in told) or "没有请求"
        return f"joint-test serve: {english}; {count} findings", f"joint-test serve：{chinese}；发现 {count} 处"


def is_harmless(one: LoggedExchange) -> bool:
    """Whether a trouble is no mistake of the client: a port was opened and closed, as a check of the line does."""
    return one.trouble == ConnectionTrouble.LEFT_IN_HANDSHAKE and not one.request


def known_operations(bank: str) -> tuple[str, ...]:
    """The operations whose rules this bank's own side has; none for a bank without such a table."""
    name = f"protocols.banks.{bank}.twin_rules"
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return ()
    tables = [one for one in vars(module).values() if isinstance(one, Mapping)]
    by_day = getattr(module, "rules", None)
    if callable(by_day):
        # A bank whose page rules by the day, as about how far ahead an order may be.
        tables.append(by_day(datetime.now(UTC).date()))
    rules = [one for table in tables for one in table.values() if isinstance(one, RequestRules)]
    return tuple(dict.fromkeys(one.operation for one in rules))


def moment_text(at_ms: int, shape: str = "%H:%M:%S.%f") -> str:
    """A time in this machine's zone; with the default shape to the millisecond."""
    told = datetime.fromtimestamp(at_ms / 1000).astimezone().strftime(shape)
    return told[:-3] if shape.endswith("%f") else told


def _head(one: LoggedExchange) -> str:
    """Time, connection and the client's address."""
    return f"{moment_text(one.machine_ms)}  #{one.connection} {one.peer or one.port}"


def _exchange_line(one: LoggedExchange, verdict: ExchangeVerdict, repeat: int) -> Bilingual:
    touch, titles = TOUCHES.get(one.touch, (one.touch, one.touch)), VERDICTS[verdict]
    if one.findings and not one.operation:
        touch = ("a request", "请求")
    said = " ".join(filter(None, (one.code, printable(one.reason))))
    parts: list[Bilingual] = [(said, said)] if said else []
    if one.reference or one.money is not None:
        parts.append(_money_words(one.reference, one.money, one.reason))
    if repeat > 1:
        parts.append((f"its reference came {repeat} times", f"该流水号已出现 {repeat} 次"))
    if one.fault:
        parts.append((f"planned fault {one.fault}, no finding", f"预设故障 {one.fault}，不计入发现"))
    english, chinese = ((" · " + " · ".join(part[n] for part in parts)) if parts else "" for n in (0, 1))
    operation = printable(one.operation)
    return (
        f"{_head(one)}  {operation or touch[0]}: {titles[0]}{english}",
        f"{_head(one)}  {operation or touch[1]}：{titles[1]}{chinese}",
    )


def _money_words(reference: str, money: ExchangeMoney | None, said: str) -> Bilingual:
    """The reference and the sums. The books' reason is left out where it is what the bank `said`."""
    shown = printable(reference) or "-"
    if money is None:
        return shown, shown
    sum_ = f"{money.amount} {money.currency}"
    payee = (f" to …{money.payee}", f"，收款账号 …{money.payee}") if money.payee else ("", "")
    reason = REASONS.get(money.reason, (money.reason, money.reason))
    if money.refused and money.reason != said:
        many = (f"{money.refused} of {money.orders} refused: ", f"{money.orders} 笔中拒绝 {money.refused} 笔：")
        refused = tuple(f"; {m if money.orders > 1 else ''}{r}" for m, r in zip(many, reason, strict=True))
    else:
        refused = ("", "")
    count = (f"{money.orders} orders, ", f"{money.orders} 笔，") if money.orders > 1 else ("", "")
    return (
        f"{shown}, {count[0]}{sum_}, account …{money.own}{payee[0]}{refused[0]}",
        f"{shown}，{count[1]}{sum_}，账号 …{money.own}{payee[1]}{refused[1].replace('; ', '；')}",
    )


def _label(is_reconstructed: bool) -> Bilingual:
    english, chinese = reconstructed()
    return (f" ({english})", f"（{chinese}）") if is_reconstructed else ("", "")


def _finding_line(found: RequestFinding) -> Bilingual:
    english, chinese = RULES[found.rule]
    value = shown_value(found.place, found.rule, found.value)
    label = _label(found.reconstructed or found.refusal.reconstructed)
    source = shown_source(found.source)
    return (
        f'      {found.place} "{value}": {found.words.english} [{english}; {source[0]}]{label[0]}',
        f"      {found.place} “{value}”：{found.words.chinese}［{chinese}；{source[1]}］{label[1]}",
    )


def _group_line(one: GroupedFinding) -> Bilingual:
    first, last = moment_text(one.first_ms, "%H:%M:%S"), moment_text(one.last_ms, "%H:%M:%S")
    span = first if first == last else f"{first} – {last}"
    label = _label(one.is_reconstructed)
    where = " ".join(filter(None, (one.operation, one.place)))
    english = f'{where} "{one.value}": ' if where else ""
    chinese = f"{where} “{one.value}”：" if where else ""
    source = (f"; {one.source[0]}", f"；{one.source[1]}") if one.source[0] else ("", "")
    return (
        f"  {one.count} x {english}{one.words[0]} [{one.rule[0]}{source[0]}] {span}{label[0]}",
        f"  {one.count} 次 {chinese}{one.words[1]}［{one.rule[1]}{source[1]}］{span}{label[1]}",
    )
