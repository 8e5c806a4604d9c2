"""Bytes of Sample Bank: one form of request, one form of answer, both signed.

See README.md sections 1 and 2.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from lxml import etree

from protocols.bank import Context, Sign
from protocols.canon.fast_init import fast_init
from protocols.canon.money import BadMoney, Money
from protocols.kit import dsig
from protocols.kit.dsig.verify import Engine
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, parse_date, plain
from protocols.kit.framing import LengthPrefix
from protocols.kit.xmldoc import ChildTexts, canonical, one, several, text

NAMESPACE: Final = "urn:sample-bank:1"
FRAMING: Final = LengthPrefix(8)
MAX_BYTES: Final = 262_144
OPERATIONS: Final = (
    "SignOn",
    "SignOff",
    "Ping",
    "Pay",
    "Move",
    "Fate",
    "PayBatch",
    "CollectBatch",
    "BatchFate",
    "Balance",
    "Entries",
    "Returns",
    "Receipt",
)
DONE: Final = "0000"
_N: Final = f"{{{NAMESPACE}}}"
SIGNATURE: Final = dsig.SignatureProfile("sample", f"/{_N}SampleBank/{{{dsig.DS}}}Signature")

Fields = Iterable[tuple[str, str]]
Rows = Sequence[Fields]


@fast_init
@dataclass(frozen=True, slots=True)
class Answer:
    """A verified answer. `code` and `text` are its head's, `body` is the signed body, `fields` are its leaves."""

    operation: str
    serial: str
    code: str
    text: str
    bank_time: datetime
    body: etree._Element
    fields: ChildTexts

    def value(self, name: str) -> str:
        """Text of a body's element. Raises "missing"."""
        return self.fields.value(_N + name)

    def amount(self, name: str, currency: str) -> Money:
        """A body's element that must hold an amount."""
        return money(self.value(name), currency)

    def rows(self, name: str) -> list[dict[str, str]]:
        """The items of the body's List, each as its elements' texts. Raises "ambiguous" on two of one name."""
        items = several(self.body, f"{_N}List/{_N}{name}")
        return [_cells(item) for item in items]


@dataclass(frozen=True, slots=True)
class Wire:
    """Writes requests and reads answers. It has the customer's number and the bank's pinned keys."""

    customer: str
    bank_keys: tuple[dsig.PinnedKey, ...]
    engine: Engine = "xmlsec"

    def request(
        self, operation: str, context: Context, fields: Fields, token: str = "", rows: Rows = ()
    ) -> Generator[Sign, bytes, bytes]:
        """The framed, signed request; yields one Sign step. `rows` are the items of its List.

        Its serial is `context.serials[0]`.
        """
        head = (
            ("Customer", self.customer),
            ("Operation", operation),
            ("Serial", str(context.serials[0])),
            ("Sent", context.now.isoformat(timespec="seconds")),
            ("Token", token),
        )
        document = (
            f'<SampleBank xmlns="{NAMESPACE}"><Head>{canonical(head)}</Head>'
            f"<Body>{canonical(fields)}{_list(rows)}</Body></SampleBank>"
        )
        prepared = dsig.prepare_canonical(document, SIGNATURE)
        signature = yield Sign("order", prepared.octets, document.encode())
        return FRAMING.wrap(dsig.attach(prepared, signature))

    def read(self, data: bytes, operations: tuple[str, ...], context: Context | None = None) -> Answer:
        """The verified answer in `data`. Only the signed part is read.

        With a `context` it must also be the answer to that conversation's request. Raises ProtocolError.
        """
        today = None if context is None else context.now.date()
        verified = dsig.verify(data, SIGNATURE, self.bank_keys, today=today, engine=self.engine, max_bytes=MAX_BYTES)
        head, body = ChildTexts(one(verified.root, _N + "Head")), one(verified.root, _N + "Body")
        answer = Answer(
            head.value(_N + "Operation"),
            head.value(_N + "Serial"),
            head.value(_N + "Code"),
            plain(head.value(_N + "Text")),
            moment(head.value(_N + "BankTime")),
            body,
            ChildTexts(body),
        )
        require("customer", head.value(_N + "Customer"), self.customer)
        if answer.operation not in operations:
            raise ProtocolError("correlation", f"the answer is to {answer.operation!r}, not {operations[0]}")
        if context is not None:
            require("serial", answer.serial, str(context.serials[0]))
        return answer


def _cells(item: etree._Element) -> dict[str, str]:
    cells = {str(cell.tag).removeprefix(_N): text(cell) for cell in item}
    if len(cells) != len(item):
        raise ProtocolError("ambiguous", "a list item has two elements of one name")
    return cells


def _list(rows: Rows) -> str:
    items = "".join([f"<Item>{canonical(row)}</Item>" for row in rows])
    return f"<List>{items}</List>" if items else ""


def require(what: str, said: str, ours: str) -> None:
    """Raises "correlation" if the answer is about another request."""
    if said != ours:
        raise ProtocolError("correlation", f"the answer's {what} is {said!r}, we asked about {ours!r}")


def money(said: str, currency: str) -> Money:
    """An amount in the bank's writing. Raises "value"."""
    try:
        return Money(amount_minor(said, signed=True), currency)
    except BadMoney as error:
        raise ProtocolError("value", str(error)) from None


def moment(said: str) -> datetime:
    """A time with offset. Raises "value"."""
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ProtocolError("value", f"{said[:40]!r} is not a time with offset")
    return found


def cell(row: Mapping[str, str], name: str) -> str:
    """The text of one element of a list's item. Raises "missing"."""
    if name not in row:
        raise ProtocolError("missing", f"a list item has no {name}")
    return row[name]


def day(said: str) -> date:
    """A date in the bank's writing. Raises "value"."""
    return parse_date(said, "yyyy-MM-dd")
