"""Parts that several messages share: parties, accounts, amounts, times, and how each is written and read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from lxml import etree

from protocols.canon.money import BadMoney, Money, exponent
from protocols.canon.party import AccountNumber, Address, Name, Party, PartyKind, is_iban
from protocols.kit.charset import UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import plain
from protocols.kit.iso20022.names import MessageVersion
from protocols.kit.iso20022.schema import must_fit
from protocols.kit.xmldoc import Markup, build, el

_DECIMAL: Final = re.compile(r"\+?([0-9]*)(?:\.([0-9]*))?\Z", re.ASCII)
_SUM_DIGITS: Final = 5
CNAPS: Final = "CNAPS"
_SEVERAL: Final = frozenset({"Strd", "NtryDtls", "TxDtls", "RfrdDocInf"})
_IDENTITIES: Final = frozenset({("OrgId", "Othr"), ("PrvtId", "Othr")})
"""Elements that the schemas allow several times and of which one is read, and an organisation's other numbers."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a payment. `party` has the name and the account, `identity` an organisation's own number."""

    party: Party
    identity: str = ""


@dataclass(frozen=True, slots=True)
class StatusReason:
    """A reason of a status: a code of ISO 20022's external lists or the bank's own word, and the bank's text about
    it."""

    code: str
    text: str = ""


# ---- writing -----------------------------------------------------------------------------------------------------


def leaf(tag: str, content: str) -> Markup | None:
    """An element with text; None for an empty text."""
    return el(tag, content) if content else None


def group(tag: str, *children: Markup | None | Iterable[Markup]) -> Markup | None:
    """An element around `children`; None if there are no children."""
    inner: list[Markup] = []
    for child in children:
        if isinstance(child, Markup):
            inner.append(child)
        elif child is not None:
            inner.extend(child)
    return el(tag, inner) if inner else None


def amount(tag: str, money: Money) -> Markup:
    """An amount with its currency."""
    return el(tag, str(money), Ccy=money.currency)


def control_sum(amounts: Iterable[Money]) -> str:
    """The plain sum of amounts, whatever their currencies, as CtrlSum wants it."""
    total = sum(one.minor * 10 ** (_SUM_DIGITS - exponent(one.currency)) for one in amounts)
    whole, rest = divmod(total, 10**_SUM_DIGITS)
    fraction = f"{rest:0{_SUM_DIGITS}d}".rstrip("0")
    return f"{whole}.{fraction.ljust(2, '0')}"


def moment(at: datetime) -> str:
    """A time with its zone, to the second."""
    assert at.tzinfo is not None, "a time without a zone"
    return at.isoformat(timespec="seconds")


def written_party(tag: str, side: Side) -> Markup:
    """The elements of a party: name, address and identity."""
    where = side.party.address
    address = (
        None
        if where is None
        else group(
            "PstlAdr",
            leaf("StrtNm", where.street),
            leaf("BldgNb", where.building),
            leaf("PstCd", where.postcode),
            leaf("TwnNm", where.town),
            leaf("Ctry", where.country),
            [el("AdrLine", line) for line in where.lines],
        )
    )
    kind = "PrvtId" if side.party.kind is PartyKind.PERSON else "OrgId"
    identity = el("Id", el(kind, el("Othr", el("Id", side.identity)))) if side.identity else None
    return el(tag, leaf("Nm", side.party.name.clear), address, identity)


def ultimate(tag: str, name: str) -> Markup | None:
    """The ultimate debtor or creditor, by name."""
    return el(tag, el("Nm", name)) if name else None


def written_account(tag: str, number: str, currency: str = "") -> Markup:
    """An account by its IBAN, or by its own number if it has no IBAN."""
    inner = el("IBAN", number) if is_iban(number) else el("Othr", el("Id", number))
    return el(tag, el("Id", inner), leaf("Ccy", currency))


def written_agent(tag: str, version: MessageVersion, side: Side) -> Markup | None:
    """The element of a bank, by BIC, national number (CNAPS) or name; None if nothing is known. A BIC is written
    without a name."""
    number = side.party.cnaps
    member = None if number is None else el("ClrSysMmbId", el("ClrSysId", el("Cd", CNAPS)), el("MmbId", number))
    bic = side.party.bic or ""
    name = None if bic else leaf("Nm", side.party.bank_name or "")
    inner = group("FinInstnId", leaf(version.bic, bic), member, name)
    return None if inner is None else el(tag, inner)


def document(version: MessageVersion, *children: Markup | None) -> bytes:
    """The whole message in UTF-8. Raises ProtocolError "value" if it does not fit its schema."""
    root = el("Document", el(version.child, *children), xmlns=version.namespace)
    return must_fit(build(root, UTF8), version.name)


# ---- reading -----------------------------------------------------------------------------------------------------


class Reader:
    """Reads an element with its document's namespace. Paths are local names; a missing element is None or empty."""

    __slots__ = ("_prefix", "element")

    def __init__(self, element: etree._Element, namespace: str) -> None:
        self.element = element
        self._prefix = f"{{{namespace}}}"

    def find(self, path: str) -> Reader | None:
        """The element at `path`, or None. If the schema allows several, it is the first of them.

        Raises ProtocolError "ambiguous" for two elements of which only one is allowed, because it is not defined which
        of them counts.
        """
        found: etree._Element | None = self.element
        for step in path.split("/"):
            if found is None:
                return None
            children = found.iterchildren(self._prefix + step)
            first = next(children, None)
            if first is not None and step not in _SEVERAL and next(children, None) is not None:
                above = etree.QName(found).localname
                if (above, step) not in _IDENTITIES:
                    raise ProtocolError("ambiguous", f"more than one {step} in {above}")
            found = first
        return None if found is None else Reader(found, self._prefix[1:-1])

    def all(self, path: str) -> list[Reader]:
        """All elements at the last step of `path`."""
        above, _, last = path.rpartition("/")
        parent = self if not above else self.find(above)
        return (
            []
            if parent is None
            else [Reader(child, self._prefix[1:-1]) for child in parent.element.iterchildren(self._prefix + last)]
        )

    def joined(self, path: str) -> str:
        """The texts of all elements at the last step of `path` that have some, joined as lines."""
        return " ".join(filter(None, (each.text("") for each in self.all(path))))

    def text(self, *paths: str) -> str:
        """The text at the first of `paths` that has text; "" if none has. Raises "value" for text around elements."""
        for path in paths:
            found = self.find(path) if path else self
            if found is None:
                continue
            content = (found.element.text or "").strip()
            if len(found.element):
                if content or any((child.tail or "").strip() for child in found.element):
                    raise ProtocolError("value", f"text around elements in {found.name()}")
            elif content:
                return content
        return ""

    def name(self) -> str:
        """The element's local name."""
        return etree.QName(self.element).localname

    def choice(self, path: str) -> str:
        """The value of a choice of code and proprietary word (Cd or Prtry), or of the element itself."""
        return self.text(f"{path}/Cd", f"{path}/Prtry", path)

    def money(self, path: str) -> Money | None:
        """The amount at `path`, or None. Raises ProtocolError "value" for text that is no amount."""
        found = self.find(path)
        if found is None:
            return None
        currency = found.element.get("Ccy", "")
        return read_money(found.text(""), currency)

    def day(self, path: str) -> date | None:
        """A date (Dt, DtTm or plain) at `path`, or None. Raises ProtocolError "value"."""
        said = self.text(f"{path}/Dt", f"{path}/DtTm", path)[:10]
        try:
            return date.fromisoformat(said) if said else None
        except ValueError:
            raise ProtocolError("value", f"{path} is {said!r}, no date") from None

    def moment(self, path: str) -> datetime | None:
        """A time with a zone at `path`, or None. A time without a zone is None, because it cannot be compared."""
        said = self.text(f"{path}/DtTm", path)
        try:
            at = datetime.fromisoformat(said) if "T" in said else None
        except ValueError:
            raise ProtocolError("value", f"{path} is {said!r}, no time") from None
        return at if at is not None and at.tzinfo is not None else None

    def created(self, path: str) -> datetime:
        """The time at which a message was made. A time without a zone is read as UTC, because it only distinguishes
        messages.

        Raises ProtocolError "missing" or "value".
        """
        at = self.moment(path)
        if at is None:
            said = self.must(path)
            try:
                at = datetime.fromisoformat(said).replace(tzinfo=UTC)
            except ValueError:
                raise ProtocolError("value", f"{path} is {said!r}, no time") from None
        return at

    def must(self, path: str) -> str:
        """The text at `path`. Raises ProtocolError "missing"."""
        found = self.text(path)
        if not found:
            raise ProtocolError("missing", f"no {path} in {self.name()}")
        return found

    def need(self, path: str) -> Reader:
        """The element at `path`. Raises ProtocolError "missing"."""
        found = self.find(path)
        if found is None:
            raise ProtocolError("missing", f"no {path} in {self.name()}")
        return found


def read_money(said: str, currency: str) -> Money:
    """Money from an amount in the decimal form of XML Schema. Raises ProtocolError "value"."""
    found = _DECIMAL.match(said)
    if found is None or not (found.group(1) or found.group(2)):
        raise ProtocolError("value", f"{said!r} is no amount")
    whole, fraction = found.group(1).lstrip("0") or "0", (found.group(2) or "").rstrip("0")
    try:
        return Money.parse(f"{whole}.{fraction}" if fraction else whole, currency)
    except BadMoney as error:
        raise ProtocolError("value", f"{said} {currency} is not an amount: {error}") from None


def read_account(reader: Reader | None) -> str:
    """An account's number: IBAN or the bank's own; "" if there is none."""
    return "" if reader is None else reader.text("Id/IBAN", "Id/Othr/Id")


def read_side(party: Reader | None, account: Reader | None, agent: Reader | None) -> Side | None:
    """The payer's or payee's side of a payment, from the elements of its party, account and bank; None if all three are
    empty."""
    who = None if party is None else (party.find("Pty") or party)
    number = read_account(account)
    bank = None if agent is None else agent.find("FinInstnId")
    name = "" if who is None else who.text("Nm")
    if not (number or name or bank is not None):
        return None
    cnaps = "" if bank is None else bank.text("ClrSysMmbId/MmbId")
    person = who is not None and who.find("Id/PrvtId") is not None
    return Side(
        Party(
            AccountNumber(number),
            Name(name),
            ("" if bank is None else bank.text("Nm")) or None,
            cnaps or None,
            PartyKind.PERSON if person else PartyKind.CORPORATE,
            ("" if bank is None else bank.text("BICFI", "BIC")) or None,
            None if who is None else _read_address(who.find("PstlAdr")),
        ),
        "" if who is None else who.text("Id/OrgId/Othr/Id", "Id/PrvtId/Othr/Id"),
    )


def _read_address(where: Reader | None) -> Address | None:
    if where is None:
        return None
    return Address(
        where.text("Ctry"),
        where.text("TwnNm"),
        where.text("PstCd"),
        where.text("StrtNm"),
        where.text("BldgNb"),
        tuple(line.text("") for line in where.all("AdrLine")),
    )


def read_reasons(entries: Sequence[Reader]) -> tuple[StatusReason, ...]:
    """The reasons in StsRsnInf, RtrInf and similar elements: a code, and the texts beside it."""
    return tuple(
        StatusReason(plain(one.choice("Rsn")), plain(" ".join(more.text("") for more in one.all("AddtlInf")).strip()))
        for one in entries
    )
