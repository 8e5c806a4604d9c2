"""A package of instructions and its answers: PAYENT, PAYPER, PERDIS and the enquiries after them.

A single payment is a package of one line. A line's key is its number in the package (iSeqno), counted from 1 in the
order of sending; our own reference is in ERPSqn as a second key. Two lines may be equal in everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from lxml import etree

from protocols.banks.icbc.requests import ENQUIRED, ENQUIRY, NEW_ENQUIRED, elements
from protocols.banks.icbc.table import about_the_question, line_word
from protocols.banks.icbc.wire import RENMINBI, Message, Refused, fen, number
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import Sent
from protocols.kit.correlation import CorrelationKeys, CorrelationTags, check_keys
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import plain
from protocols.kit.meanings import Meanings
from protocols.kit.xmldoc import Markup, el, several, value, value_or


@dataclass(frozen=True, slots=True)
class PackageOperations:
    """The two operations that carry one kind of package. `head_account` is the element with our own account for the
    whole package, if lines do not name it."""

    submit: str
    enquiry: str
    head_account: str = ""


TAGS: Final = CorrelationTags(
    reference="ERPSqn",
    amount="PayAmt",
    debtor="PayAccNo",
    creditor="RecAccNo",
    currency="CurrType",
    renminbi=RENMINBI,
    minor=fen,
)
"""Where a line of an answer states the keys of its order."""
PAYMENTS = PackageOperations("PAYENT", "QPAYENT")
PAYROLL = PackageOperations("PAYPER", "QPAYPER")
COLLECTIONS = PackageOperations("PERDIS", "QPERDIS", head_account="RecAccNo")


@dataclass(frozen=True, slots=True)
class Package:
    """A package that was sent, as the journal stores it: its number and its lines in order."""

    words: PackageOperations
    reference: str
    items: tuple[Sent, ...]

    def submitted(self, answer: Message | Refused, meanings: Meanings) -> dict[str, Outcome]:
        """The outcome of each item, by reference, from the answer to the instruction.

        An outcome of the package counts for all items.

        Raises "correlation" if the answer states another count, sum, line, amount or account.
        """
        operation = self.words.submit
        if isinstance(answer, Refused):
            return self._all(meanings.word(operation, "nc", answer.code))
        if not answer.accepted:
            word = meanings.word(operation, "package", answer.code, answer.text)
            if word.fate is Fate.FAILED and answer.out is not None and several(answer.out, "rd"):
                # A refused package has no lines in its answer. If there are some, one of them may say that it was paid:
                # doubt.
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
        """The `in` of an enquiry about every line, by our own number of the package.

        `new`: whether the newer message version is used.
        """
        line = NEW_ENQUIRED if new or self.words is COLLECTIONS else ENQUIRED
        places = range(1, len(self.items) + 1)
        return [*elements(ENQUIRY, self.reference), *(el("rd", elements(line, place)) for place in places)]

    def told(self, answer: Message | Refused, meanings: Meanings) -> dict[str, Outcome]:
        """The outcome of each item in the answer to an enquiry. That the enquiry succeeded proves nothing about the
        items."""
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
        """The outcome of a line by two codes: iRetCode answers this enquiry, instrRetCode the instruction that it is
        about."""
        code, text = value_or(row, "iRetCode"), value_or(row, "iRetMsg")
        if code not in ("", "0"):
            return about_the_question(meanings, self.words.enquiry, "line", code, text)
        code, text = value_or(row, "instrRetCode"), value_or(row, "instrRetMsg")
        outcome = line_word(meanings, self.words.submit, value_or(row, "Result"), code, text)
        # this code shows that another package came first, and does not show the result of that package
        if outcome.fate is Fate.DUPLICATE:
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
        """Each row with its item. Raises "correlation" for a row of another package, "ambiguous" for two rows of one
        item."""
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
    """Doubt about every line where BatRetCode (PAYPER, QPAYPER) is neither empty nor 0; None otherwise.

    Neither the meaning of its codes nor whether the lines beside a code are final is public.
    """
    code = value_or(out, "BatRetCode")
    if code in ("", "0"):
        return None
    return Outcome(Fate.UNKNOWN, code=code, text=plain(value_or(out, "BatRetMsg")), listed=False)


def _serial(package: str, order: str) -> str | None:
    """The bank's own key: SerialNo of the package and OrderNo of the line."""
    return "/".join(part for part in (package, order) if part) or None


def sole(fates: Mapping[str, Outcome], reference: str, unclear: Outcome) -> Outcome:
    """The outcome of a single payment, from the one line of its package; doubt if the answer has no line."""
    return fates.get(reference, unclear)
