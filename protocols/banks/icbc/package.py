"""A package of instructions and what its answers say: PAYENT, PAYPER, PERDIS and the enquiries after them.

A single payment is a package of one line. A line's key is its number in the package (iSeqno), counted from 1 in the
order of what was sent; our own reference travels in ERPSqn as a second key. Two lines may be alike in everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lxml import etree

from protocols.banks.icbc.table import about_the_question, line_word
from protocols.banks.icbc.wire import RENMINBI, Message, Refused, fen, leaves, number
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import Sent
from protocols.kit.correlation import CorrelationKeys, CorrelationTags, check_keys
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import plain
from protocols.kit.meanings import Meanings
from protocols.kit.xmldoc import Markup, el, several, value, value_or


@dataclass(frozen=True, slots=True)
class Words:
    """The pair of operations that carries one sort of package. `head_account` is the element that names our own
    account once for the whole package, where lines do not.
    """

    submit: str
    enquiry: str
    head_account: str = ""


TAGS: Final = CorrelationTags(
    reference="ERPSqn", amount="PayAmt", debtor="PayAccNo", creditor="RecAccNo", currency="CurrType", renminbi=RENMINBI,
    minor=fen,
)  # fmt: skip
"""Where a line of an answer states the keys of its order."""
PAYMENTS = Words("PAYENT", "QPAYENT")
PAYROLL = Words("PAYPER", "QPAYPER")
COLLECTIONS = Words("PERDIS", "QPERDIS", head_account="RecAccNo")


@dataclass(frozen=True, slots=True)
class Package:
    """What was sent, as it was journalled: the package's number and its lines in order."""

    words: Words
    reference: str
    items: tuple[Sent, ...]

    def submitted(self, answer: Message | Refused, meanings: Meanings) -> dict[str, Outcome]:
        """What the answer to the instruction says of each item, by reference; a word about the package is said of all.

        Raises "correlation" if the answer states another count, sum, line, amount or account.
        """
        operation = self.words.submit
        if isinstance(answer, Refused):
            return self._all(meanings.word(operation, "nc", answer.code))
        if not answer.accepted:
            word = meanings.word(operation, "package", answer.code, answer.text)
            if word.fate is Fate.FAILED and answer.out is not None and several(answer.out, "rd"):
                # A package that was refused has no lines to tell of; one of these may say that it was paid.
                word = replace(word, fate=Fate.UNKNOWN, listed=False)
            return self._all(replace(word, bank_serial=answer.serial or None))
        if answer.out is None:
            return {}
        self._check_head(answer.out)
        self._check_sums(answer.out)
        batch = _batch_word(answer.out)
        if batch is not None:
            return self._all(replace(batch, bank_serial=answer.serial or None))
        fates: dict[str, Outcome] = {}
        for sent, row in self._rows(answer.out, "iSeqno"):
            code, text = value_or(row, "iRetCode"), value_or(row, "iRetMsg")
            outcome = line_word(meanings, operation, value_or(row, "Result"), code, text)
            fates[sent.reference] = replace(outcome, bank_serial=_serial(answer.serial, value_or(row, "OrderNo")))
        return fates

    def asked(self, *, new: bool) -> list[Markup]:
        """The `in` of an enquiry after every line, by our own number of the package.

        `new`: whether the newer message version is spoken. The reserved elements of a QPAYENT line stand in brackets
        on the bank's page and come with the newer version; QPERDIS has them without.
        """
        last = ("ReqReserved3", "ReqReserved4") if new or self.words is COLLECTIONS else ()
        head = leaves(("QryfSeqno", self.reference), ("QrySerialNo", ""), ("ReqReserved1", ""), ("ReqReserved2", ""))
        rows = [
            el("rd", leaves(
                ("iSeqno", str(place)), ("QryiSeqno", str(place)), ("QryOrderNo", ""), *((tag, "") for tag in last),
            ))
            for place in range(1, len(self.items) + 1)
        ]  # fmt: skip
        return [*head, *rows]

    def told(self, answer: Message | Refused, meanings: Meanings) -> dict[str, Outcome]:
        """What the answer to an enquiry says of each item. That the enquiry worked is no word about any of them."""
        operation = self.words.enquiry
        if isinstance(answer, Refused):
            return self._all(about_the_question(meanings, operation, "nc", answer.code))
        if not answer.accepted:
            return self._all(about_the_question(meanings, operation, "package", answer.code, answer.text))
        if answer.out is None:
            return {}
        stated = value(answer.out, "QryfSeqno")
        if stated != self.reference:
            raise ProtocolError("correlation", f"{operation} is about {stated!r}, not {self.reference!r}")
        self._check_head(answer.out)
        batch = _batch_word(answer.out)
        if batch is not None:
            return self._all(batch)
        serial = value_or(answer.out, "QrySerialNo")
        return {
            sent.reference: self._told_line(row, serial, meanings) for sent, row in self._rows(answer.out, "QryiSeqno")
        }

    def _told_line(self, row: etree._Element, serial: str, meanings: Meanings) -> Outcome:
        """Two levels: iRetCode is the answer of this enquiry, instrRetCode that of the instruction asked about."""
        code, text = value_or(row, "iRetCode"), value_or(row, "iRetMsg")
        if code not in ("", "0"):
            return about_the_question(meanings, self.words.enquiry, "line", code, text)
        code, text = value_or(row, "instrRetCode"), value_or(row, "instrRetMsg")
        outcome = line_word(meanings, self.words.submit, value_or(row, "Result"), code, text)
        if outcome.fate is Fate.DUPLICATE:  # it says which package came second, not what became of the first
            outcome = replace(outcome, fate=Fate.UNKNOWN)
        return replace(outcome, bank_serial=_serial(serial, value_or(row, "QryOrderNo")))

    def _all(self, word: Outcome) -> dict[str, Outcome]:
        return {sent.reference: word for sent in self.items}

    def _check_head(self, out: etree._Element) -> None:
        tag = self.words.head_account
        stated = value_or(out, tag) if tag else ""
        if stated and stated != self.items[0].creditor.clear:
            raise ProtocolError("correlation", f"package {self.reference}: the answer has another {tag}")

    def _check_sums(self, out: etree._Element) -> None:
        count, total = value_or(out, "TotalNum"), value_or(out, "TotalAmt")
        if count and number(count) != len(self.items):
            raise ProtocolError("correlation", f"package {self.reference} had {len(self.items)} lines, not {count}")
        if total and fen(total) != sum(sent.amount.minor for sent in self.items):
            raise ProtocolError("correlation", f"package {self.reference}: the answer's sum is {total}")

    def _rows(self, out: etree._Element, key: str) -> Sequence[tuple[Sent, etree._Element]]:
        """Each row with the item it is about. Raises "correlation" on a row that is none of ours, "ambiguous" twice."""
        found: dict[int, etree._Element] = {}
        for row in several(out, "rd"):
            place = number(value(row, key))
            if not 1 <= place <= len(self.items):
                raise ProtocolError("correlation", f"package {self.reference} has no line {place}")
            if place in found:
                raise ProtocolError("ambiguous", f"package {self.reference}: two rows about line {place}")
            check_keys(row, CorrelationKeys.of(self.items[place - 1]), TAGS)
            found[place] = row
        return [(self.items[place - 1], row) for place, row in found.items()]


def _batch_word(out: etree._Element) -> Outcome | None:
    """Doubt about every line where BatRetCode (PAYPER, QPAYPER) says anything but 0; None where it says nothing else.

    What its codes mean is not public, nor whether the lines beside one are what became of them.
    """
    code = value_or(out, "BatRetCode")
    if code in ("", "0"):
        return None
    return Outcome(Fate.UNKNOWN, code=code, text=plain(value_or(out, "BatRetMsg")), listed=False)


def _serial(package: str, order: str) -> str | None:
    """The bank's own key: SerialNo of the package and OrderNo of the line."""
    return "/".join(part for part in (package, order) if part) or None


def sole(fates: Mapping[str, Outcome], reference: str, unclear: Outcome) -> Outcome:
    """The word about the one line of a single payment's package, or doubt where the bank had none."""
    return fates.get(reference, unclear)
