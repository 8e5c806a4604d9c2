"""The demo's orders and questions: made from a seed, so that the same seed always writes the same orders.

An order is an instruction that the ERP wants carried out once; a command is one message about it. Most orders have one
command. Some are published two or three times, some are published again with other content, and some cannot be accepted
at all.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from gateway.demo import daily_operations

JSON, XML = "application/json", "application/xml"
ACCEPTED = "accepted"
SUBMIT, CANCEL = "payment.submit", "payment.cancel"
BALANCE, ENTRIES, STATUS = "balance.query", "transactions.query", "status.query"
STATEMENT, RECEIPT = "statement.request", "receipt.request"
PAYEES = ("示例乙材料有限公司", "示例丙物流有限公司", "示例丁设计事务所", "示例戊电子有限公司", "示例己餐饮服务部")
BRANCH = "示例银行某支行"
HAN, CONTROL = "䶮", "\u0007"
PAYEE = "/creditor/account"
PURPOSES = ("货款", "运费", "服务费", "货款 合同 HT-0931", "材料费 订单 PO-1177")
LIMIT_MINOR = 100_000_000
"""The sender's limit per payment in the demo's settings: 1,000,000.00."""
_TOO_MUCH_MINOR = 250_000_000
_XML_SHARE = 0.15
_TWICE_SHARE, _THRICE_SHARE, _OTHER_SHARE = 0.05, 0.01, 0.01
_WORDS = (("#late", 0.03), ("#late-refuse", 0.015), ("#refuse", 0.02), ("#hide", 0.01), ("#return", 0.015))
_DAILY_FROM = 300
"""A story with at least so many orders has one batch of each kind."""
_SURE = 3
"""The number of orders that each bank gets at least."""
_BAD_SHARE, _RARE_SHARE = 0.006, 0.003
_HUGE_BYTES = 1_100_000


class ExpectedAnswer(StrEnum):
    """The way in which the gateway answers a command."""

    REPLY = "reply"
    EVENT = "event"
    UNROUTED = "unrouted"


@dataclass(frozen=True, slots=True)
class DemoOrder:
    """One order, which must be executed at most once. `creditor` belongs to no other order, so a bank's ledger
    identifies the order.

    For a collection, `creditor` is the payer's account, which is the other party's account as in every order. `sort`
    names the special property of the order. `carried` is False for orders that must never reach a bank. `amounts_minor`
    has a second amount if the id was used again with other content.
    """

    id: str
    bank: str
    debtor: str
    creditor: str
    creditor_name: str
    amounts_minor: tuple[int, ...]
    purpose: str
    sort: str
    carried: bool = True
    kind: str = "payment"


@dataclass(frozen=True, slots=True)
class DemoCommand:
    """One message to publish.

    `expect` has the permitted outcomes: `accepted`, an error code, or a reply's name.
    """

    message_id: str
    order_id: str
    key: str
    body: bytes = field(repr=False)
    expect: frozenset[str]
    content_type: str = JSON
    answer: ExpectedAnswer = ExpectedAnswer.REPLY
    named_type: str | None = None

    @property
    def is_question(self) -> bool:
        """Whether the command asks a bank or the journal, and moves nothing."""
        return self.key in (BALANCE, ENTRIES, STATUS)


@dataclass(frozen=True, slots=True)
class Story:
    """All commands of the ERP in order.

    `numbers` and `names` are the account numbers and names in the story: none may be readable in the journal's file.
    """

    seed: int
    orders: tuple[DemoOrder, ...]
    commands: tuple[DemoCommand, ...]
    numbers: frozenset[str]
    names: frozenset[str]

    @property
    def questions(self) -> tuple[DemoCommand, ...]:
        """The commands that are questions."""
        return tuple(command for command in self.commands if command.is_question)


@dataclass(frozen=True, slots=True)
class BankNeeds:
    """The fields that one bank requires, and values that it cannot carry.

    `share` is the bank's number of orders in proportion to the others. `lacks` is a character and `too_long` a purpose
    that must be refused. `wants` are fields of every order by JSON pointer. `unanswered` are the questions that the
    bank does not have. `daily` are the bank's further commands besides payments (see `daily_operations`).
    """

    share: float = 1.0
    payee_digits: int = 19
    lacks: str = CONTROL
    too_long: str = "货" * 201
    wants: Mapping[str, str] = field(default_factory=dict)
    unanswered: frozenset[str] = frozenset()
    daily: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DemoAccounts:
    """The accounts of the story: the sender's accounts by bank with their holders, and one of another sender.

    `run` makes message ids unique between runs. `now` is when the story begins.
    `maker` is the person whom every order names, if any.
    """

    accounts: Mapping[str, tuple[str, ...]]
    holders: Mapping[str, str]
    foreign: str
    run: str
    now: datetime
    bank_day: date
    manners: Mapping[str, BankNeeds] = field(default_factory=dict)
    maker: str = ""


def write_story(seed: int, count: int, questions: int, stage: DemoAccounts) -> Story:
    """Write the commands of `count` orders and `questions` questions, drawn from the seed."""
    return _Author(seed, count, stage).story(questions)


class _Author:
    def __init__(self, seed: int, count: int, stage: DemoAccounts) -> None:
        self._dice = random.Random(f"bankgw demo {seed}")
        self._seed = seed
        self._count = count
        self._stage = stage
        self._messages = 0
        self._placed: list[tuple[float, DemoCommand]] = []
        self._creditors: set[str] = set()

    def story(self, questions: int) -> Story:
        orders = self._daily() if self._count >= _DAILY_FROM else []
        self._count -= len(orders)
        for n, sort in enumerate(self._sorts()):
            order = self._order(n, sort)
            orders.append(order)
            self._publish(float(n), order)
        self._ask(questions, orders)
        self._placed.sort(key=lambda placed: placed[0])
        stage = self._stage
        own = {number for numbers in stage.accounts.values() for number in numbers} | {stage.foreign}
        return Story(
            seed=self._seed,
            orders=tuple(orders),
            commands=tuple(command for _place, command in self._placed),
            numbers=frozenset(own | self._creditors),
            names=frozenset({*PAYEES, *stage.holders.values()}),
        )

    # ---- the rest of a day's work ----

    def _daily(self) -> list[DemoOrder]:
        """Batches and similar commands, in the first half of the story, so that even slow results arrive in time."""
        made = [one for bank in sorted(self._stage.accounts) for one in self._daily_of(bank)]
        for n, one in enumerate(made):
            body = self._json({**one.fields, **self._made()})
            command = self._command(one.id, daily_operations.COMMANDS[one.kind], body, one.accepted)
            self._put((n + 0.5) * self._count / (2 * len(made)), command)
        return [
            DemoOrder(item.id, one.bank, item.ours, item.other, "", (item.minor,), one.kind, one.kind, kind=one.kind)
            for one in made
            for item in one.items
        ]

    def _daily_of(self, bank: str) -> list[daily_operations.DailyCommand]:
        manners, stage = self._manners(bank), self._stage
        others = iter(lambda: self._creditor(manners.payee_digits), "")
        return list(
            daily_operations.of_bank(
                bank,
                manners.daily,
                stage.accounts[bank],
                stage.holders,
                others,
                PAYEES,
                manners.wants,
                self._dice,
                self._seed,
            )
        )

    # ---- which orders ----

    def _sorts(self) -> list[str]:
        sorts: list[str] = []
        for sort in _BAD:
            sorts += [sort] * max(1, round(self._count * _BAD_SHARE))
        sorts = sorts[: self._count // 4]
        for sort in ("withdrawn", "reply queue gone", "events only", "body over 1 MiB"):
            sorts += [sort] * max(1, round(self._count * _RARE_SHARE))
        sorts = sorts[: self._count // 3]
        for sort, share in (("twice", _TWICE_SHARE), ("three times", _THRICE_SHARE), ("other content", _OTHER_SHARE)):
            sorts += [sort] * round(self._count * share)
        for word, share in _WORDS:
            sorts += [word] * max(1, round(self._count * share))
        sorts = (sorts + ["plain"] * self._count)[: self._count]
        self._dice.shuffle(sorts)
        return sorts

    def _order(self, n: int, sort: str) -> DemoOrder:
        bank = self._bank(n, sort)
        amount = self._dice.randrange(1_00, 90_000_00)
        purpose = self._dice.choice(PURPOSES)
        return DemoOrder(
            id=f"AP-{self._seed}-{n:05d}",
            bank=bank,
            debtor=self._dice.choice(self._stage.accounts[bank]),
            creditor=self._creditor(self._manners(bank).payee_digits),
            creditor_name=self._dice.choice(PAYEES),
            amounts_minor=(amount, amount + 1) if sort == "other content" else (amount,),
            purpose=f"{purpose} {sort}" if sort.startswith("#") else purpose,
            sort=sort,
            carried=sort not in _BAD and sort not in ("withdrawn", "body over 1 MiB"),
        )

    def _made(self) -> dict[str, Any]:
        return {"maker": self._stage.maker} if self._stage.maker else {}

    def _manners(self, bank: str) -> BankNeeds:
        return self._stage.manners.get(bank, BankNeeds())

    def _bank(self, n: int, sort: str) -> str:
        banks = sorted(self._stage.accounts)
        if n < _SURE * len(banks) and sort != _LACKING:
            return banks[n % len(banks)]
        if sort == _LACKING:
            # A letter that the charset lacks shows more than a control character, which no charset carries.
            banks = [bank for bank in banks if self._manners(bank).lacks != CONTROL] or banks
        return self._dice.choices(banks, [self._manners(bank).share for bank in banks])[0]

    def _creditor(self, digits: int = 19) -> str:
        while True:
            number = f"0000{self._dice.randrange(10 ** (digits - 5), 10 ** (digits - 4))}"
            if number not in self._creditors:
                self._creditors.add(number)
                return number

    # ---- which messages ----

    def _publish(self, place: float, order: DemoOrder) -> None:
        fields = self._fields(order)
        if order.sort in _BAD:
            self._put(place, _BAD[order.sort](self, order, fields))
            return
        command = self._submit(order, fields)
        if order.sort in ("twice", "three times"):
            for _ in range(2 if order.sort == "three times" else 1):
                again = self._submit(order, fields)
                self._put(place + self._dice.uniform(0.1, 60.0), again)
        elif order.sort == "other content":
            either = frozenset({ACCEPTED, "id_conflict"})
            other = self._submit(order, {**fields, "amount": amount_text(order.amounts_minor[1])})
            command = replace(command, expect=either)
            self._put(place + self._dice.uniform(0.1, 60.0), replace(other, expect=either))
        elif order.sort == "withdrawn":
            command = self._submit(order, {**fields, "not_before": self._at(timedelta(hours=12))})
            body = json.dumps({"id": order.id, "reason": "示例撤回"}, ensure_ascii=False).encode()
            self._put(place + 20.0, self._command(order.id, CANCEL, body, "status.result"))
        elif order.sort == "reply queue gone":
            command = replace(command, answer=ExpectedAnswer.UNROUTED)
        elif order.sort == "events only":
            command = replace(command, answer=ExpectedAnswer.EVENT)
        elif order.sort == "body over 1 MiB":
            body = self._json({**fields, "purpose": "x" * _HUGE_BYTES})
            command = self._command(order.id, SUBMIT, body, "too_large")
        self._put(place, command)

    def _fields(self, order: DemoOrder) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "id": order.id,
            "debtor": {"account": order.debtor, "name": self._stage.holders[order.debtor]},
            "creditor": {
                "account": order.creditor,
                "name": order.creditor_name,
                "bank_name": BRANCH,
                "cnaps": "000000000000",
                "kind": "corporate",
            },
            "amount": amount_text(order.amounts_minor[0]),
            "currency": "CNY",
            "purpose": order.purpose,
            "tags": {"invoice": f"INV-{order.id[-5:]}"},
            **self._made(),
        }
        for pointer, value in self._manners(order.bank).wants.items():
            *path, last = pointer.strip("/").split("/")
            place = fields
            for name in path:
                place = place[name]
            place[last] = value
        return fields

    def _submit(self, order: DemoOrder, fields: Mapping[str, Any]) -> DemoCommand:
        if self._dice.random() < _XML_SHARE:
            return self._command(order.id, SUBMIT, xml_body(SUBMIT, fields), ACCEPTED, content_type=XML)
        return self._command(order.id, SUBMIT, self._json(fields), ACCEPTED)

    def _json(self, fields: Mapping[str, Any]) -> bytes:
        return json.dumps(fields, ensure_ascii=False).encode()

    def _command(self, order_id: str, key: str, body: bytes, *expect: str, **more: Any) -> DemoCommand:
        self._messages += 1
        return DemoCommand(f"{self._stage.run}-{self._messages}", order_id, key, body, frozenset(expect), **more)

    def _put(self, place: float, command: DemoCommand) -> None:
        self._placed.append((place, command))

    def _at(self, later: timedelta) -> str:
        return (self._stage.now + later).isoformat(timespec="seconds")

    # ---- what cannot be accepted ----

    def _unknown_key(self, order: DemoOrder, fields: dict[str, Any]) -> DemoCommand:
        key = self._dice.choice(("payment.sumbit", "paymnt.submit"))
        return self._command(order.id, key, self._json(fields), "unknown_type")

    def _two_types(self, order: DemoOrder, fields: dict[str, Any]) -> DemoCommand:
        return self._command(order.id, SUBMIT, self._json(fields), "type_conflict", named_type=BALANCE)

    def _number(self, order: DemoOrder, fields: dict[str, Any]) -> DemoCommand:
        return self._command(order.id, SUBMIT, self._json({**fields, "amount": order.amounts_minor[0] / 100}), "schema")

    def _broken_json(self, order: DemoOrder, fields: dict[str, Any]) -> DemoCommand:
        return self._command(order.id, SUBMIT, self._json(fields)[:-7], "malformed")

    def _broken_xml(self, order: DemoOrder, fields: dict[str, Any]) -> DemoCommand:
        body = xml_body(SUBMIT, fields).replace(b"</creditor>", b"")
        return self._command(order.id, SUBMIT, body, "malformed", content_type=XML)

    def _unknown_field(self, order: DemoOrder, fields: dict[str, Any]) -> DemoCommand:
        return self._command(order.id, SUBMIT, self._json({**fields, "amout": "1.00"}), "schema")

    def _unknown_account(self, order: DemoOrder, fields: dict[str, Any]) -> DemoCommand:
        body = self._json({**fields, "debtor": {**fields["debtor"], "account": self._creditor()}})
        return self._command(order.id, SUBMIT, body, "validation")

    def _foreign_account(self, order: DemoOrder, fields: dict[str, Any]) -> DemoCommand:
        body = self._json({**fields, "debtor": {**fields["debtor"], "account": self._stage.foreign}})
        return self._command(order.id, SUBMIT, body, "validation")

    def _too_much(self, order: DemoOrder, fields: dict[str, Any]) -> DemoCommand:
        body = self._json({**fields, "amount": amount_text(_TOO_MUCH_MINOR)})
        return self._command(order.id, SUBMIT, body, "validation")

    def _unencodable(self, order: DemoOrder, fields: dict[str, Any]) -> DemoCommand:
        name = f"示例{self._manners(order.bank).lacks}公司"
        body = self._json({**fields, "creditor": {**fields["creditor"], "name": name}})
        return self._command(order.id, SUBMIT, body, "validation", "schema")

    def _too_long(self, order: DemoOrder, fields: dict[str, Any]) -> DemoCommand:
        body = self._json({**fields, "purpose": self._manners(order.bank).too_long})
        return self._command(order.id, SUBMIT, body, "validation", "schema")

    def _stale(self, order: DemoOrder, fields: dict[str, Any]) -> DemoCommand:
        body = self._json({**fields, "valid_until": self._at(-timedelta(days=1))})
        return self._command(order.id, SUBMIT, body, "expired")

    # ---- questions ----

    def _ask(self, count: int, orders: list[DemoOrder]) -> None:
        banks, own = sorted(self._stage.accounts), self._stage.accounts
        asked = [order for order in orders if order.carried and order.kind == "payment"]
        for n in range(count):
            place = (n + 1) * len(orders) / (count + 1)
            # Balance and entries in turn, bank by bank; then of each bank's next account.
            turn, which = divmod(n - n // 5, 2)
            bank = banks[turn % len(banks)]
            account = own[bank][turn // len(banks) % len(own[bank])]
            if n % 5 < 4 and not which:
                said: dict[str, Any] = {"accounts": [account], "max_age": "PT0S"}
                command = self._question(f"{bank} balance", BALANCE, said, self._answer(bank, "balance.result"))
            elif n % 5 < 4:
                day = self._stage.bank_day.isoformat()
                said = {"account": account, "from": day, "to": day, "limit": 50}
                command = self._question(f"{bank} entries", ENTRIES, said, self._answer(bank, "transactions.page"))
            else:
                # Commands of different queues overtake each other, so the question is about a much earlier order.
                order = asked[max(0, int(place * len(asked) / len(orders)) - len(asked) // 6)]
                command = self._question(order.id, STATUS, {"id": order.id}, "status.result")
            self._put(place, command)

    def _answer(self, bank: str, name: str) -> str:
        return "unsupported" if name in self._manners(bank).unanswered else name

    def _question(self, about: str, key: str, said: dict[str, Any], name: str) -> DemoCommand:
        # A faulty bank may leave a question without an answer in time; then the reply says so.
        refusals = ("bank_unavailable", "bank_unclear", "expired", "unknown_payment")
        if self._dice.random() < _XML_SHARE:
            return self._command(about, key, xml_body(key, said), name, *refusals, content_type=XML)
        return self._command(about, key, self._json(said), name, *refusals)


_LACKING = "character the bank lacks"
_BAD: Mapping[str, Callable[[_Author, DemoOrder, dict[str, Any]], DemoCommand]] = {
    "unknown routing key": _Author._unknown_key,
    "contradictory types": _Author._two_types,
    "money as a JSON number": _Author._number,
    "broken JSON": _Author._broken_json,
    "broken XML": _Author._broken_xml,
    "unknown field": _Author._unknown_field,
    "unknown account": _Author._unknown_account,
    "account of another": _Author._foreign_account,
    "over the sender's limit": _Author._too_much,
    _LACKING: _Author._unencodable,
    "purpose too long": _Author._too_long,
    "valid_until is past": _Author._stale,
}


def amount_text(minor: int) -> str:
    """Minor units as an amount in the form of the ERP contract."""
    return f"{minor // 100}.{minor % 100:02d}"


def xml_body(command: str, fields: Mapping[str, Any]) -> bytes:
    """A command in the contract's XML form: fields are elements, arrays have items, `tags` has entries."""
    inner = "".join(_element(name, value) for name, value in fields.items())
    return f'<?xml version="1.0" encoding="UTF-8"?><{command} xmlns="urn:bankgw:1">{inner}</{command}>'.encode()


def _element(name: str, value: Any) -> str:
    if name == "tags":
        inner = "".join(f"<entry key={quoteattr(key)}>{escape(text)}</entry>" for key, text in value.items())
    elif isinstance(value, Mapping):
        inner = "".join(_element(key, one) for key, one in value.items())
    elif isinstance(value, list):
        inner = "".join(f"<item>{escape(str(one))}</item>" for one in value)
    else:
        inner = escape(str(value))
    return f"<{name}>{inner}</{name}>"
