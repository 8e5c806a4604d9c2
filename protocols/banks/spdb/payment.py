"""Payments: 8801 one, 8800 up to twenty, and the enquiries after them.

A money message is signed at the sign port, then submitted, then its answer is verified: three exchanges, of which only
the second moves money. The answer shows that the bank has the order, and gives a number. Only 8804 gives the result of
the payment, row by row (see enquiry.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from lxml import etree

from protocols.bank import BundleConversation, Context, Conversation, Fates, MoneyConversation, Submit
from protocols.banks.spdb.enquiry import Enquiry, host_number
from protocols.banks.spdb.envelope import FrontEnd, Refused, sealed
from protocols.banks.spdb.requests import QueryFilter, batch, single
from protocols.banks.spdb.rows import TAGS, VOUCHER, judged
from protocols.banks.spdb.table import DONE, accepted
from protocols.canon.order import AnyOrder, Bundle, Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import BundleFateQuestion, FateQuestion, Sent, SentBundle
from protocols.kit.correlation import CorrelationKeys, check_keys
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import digits
from protocols.kit.meanings import Meanings
from protocols.kit.orders import sent_items, sent_order
from protocols.kit.xmldoc import value_or

SINGLE: Final = (Kind.PAYMENT, Kind.TRANSFER)
NONE_FOUND: Final = "EGG0521"
CONFIRMED_MOST: Final = 10
"""Lines of a bundle that one conversation asks about one by one."""
_ACCEPT = re.compile("[0-9A-Za-z]{1,40}", re.ASCII)
_UNSEEN: Final = Outcome(
    Fate.UNKNOWN, DONE, "signed, and this gateway has no bank_certificate to verify it with later", listed=True
)


@dataclass(frozen=True, slots=True)
class Payments:
    """Sends the orders of one customer, reads the answers, and asks for the outcomes."""

    front: FrontEnd
    enquiry: Enquiry
    meanings: Meanings

    # ---- one payment ----

    def pay(self, order: AnyOrder, context: Context) -> MoneyConversation:
        """Send one order by 8801. Its packetID is the payment's reference. Raises ProtocolError before anything is
        sent."""
        if order.kind not in SINGLE:
            raise ProtocolError("value", f"spdb sends no single {order.kind.value}")
        sent = sent_order(order, context.reference, context)
        signature = yield from self.front.signed(single(order, sent.reference, context.bank_date, self.front.options))
        packet = self.front.packet("8801", sent.reference, signature, context.now)
        answer = yield Submit("business", packet, (sent.reference,))
        return self._accepted((yield from self.front.opened(answer, "8801", sent.reference, context.bank_date)), sent)

    def read(self, kind: Kind, sent: Sent, answer: bytes) -> Outcome:
        """The outcome in the stored answer to an 8801: doubt if it is signed and only the front end could verify it."""
        if kind not in SINGLE:
            raise ProtocolError("value", f"spdb sends no single {kind.value}")
        told = sealed(answer, "8801", sent.reference)
        if isinstance(told, Refused):
            return self._accepted(told, sent)
        if not self.front.options.bank_certificate:
            return _UNSEEN
        return self._accepted(self.front.verified(told, sent.bank_date), sent)

    def _accepted(self, told: etree._Element | Refused, sent: Sent) -> Outcome:
        """The outcome of an accepted 8801: at most "the bank has it", because the signed answer does not say which
        payment it is about."""
        if isinstance(told, Refused):
            return self._refused("8801", told, sent.attempt)
        check_keys(told, CorrelationKeys.of(sent), TAGS)
        accept, status = _accept_no(told), value_or(told, "transStatus")
        if not status and accept:
            return Outcome(Fate.PENDING, DONE, bank_serial=accept)
        word = accepted(self.meanings, status, web=self.front.options.authorisation)
        return replace(word, bank_serial=accept or None)

    def _refused(self, operation: str, told: Refused, attempt: int) -> Outcome:
        """The outcome of a refusal. Only the refusal of a first message counts, because a repeat may be refused since
        the first one arrived."""
        word = self.meanings.word(operation, "head", told.code, told.text)
        if word.fate is Fate.FAILED and (not told.sure or attempt > 1):
            return replace(word, fate=Fate.UNKNOWN)
        return word

    def fate(self, question: FateQuestion, context: Context) -> Conversation[Outcome]:
        """The outcome by 8804 with our voucher; by EY03 if 8804 has no row and users authorise."""
        sent, packet_ids = question.sent, self.front.packet_ids(context)
        wanted = self._wanted(sent, self.front.options.single_flag, context)
        said = judged((yield from self.enquiry.rows(wanted, packet_ids, context)), sent, self.meanings)
        if said is None and self.front.options.authorisation:
            said = yield from self.enquiry.authorisation(sent, packet_ids, context)
        return said or Outcome(Fate.NOT_FOUND, NONE_FOUND)

    # ---- up to twenty ----

    def send_bundle(self, bundle: Bundle, context: Context) -> BundleConversation:
        """Send a bundle by 8800. Its packetID and packageNo are the bundle's reference. Raises ProtocolError before
        anything is sent."""
        own, items = (context.reference,), sent_items(bundle, context)
        sent = SentBundle(context.reference, context.bank_date, context.attempt, own, items)
        body = batch(bundle, sent.reference, context.bank_date, self.front.options)
        signature = yield from self.front.signed(body)
        packet = self.front.packet("8800", sent.reference, signature, context.now)
        answer = yield Submit("business", packet, (sent.reference,))
        told = yield from self.front.opened(answer, "8800", sent.reference, context.bank_date)
        return self._accepted_bundle(told, sent)

    def read_bundle(self, sent: SentBundle, answer: bytes) -> Fates:
        """The outcomes in the stored answer to an 8800; see `read`."""
        told = sealed(answer, "8800", sent.reference)
        if isinstance(told, Refused):
            return self._accepted_bundle(told, sent)
        if not self.front.options.bank_certificate:
            return _all(sent, _UNSEEN)
        return self._accepted_bundle(self.front.verified(told, sent.bank_date), sent)

    def _accepted_bundle(self, told: etree._Element | Refused, sent: SentBundle) -> Fates:
        """The same outcome for all lines: the answer counts the accepted lines, and does not name them."""
        if isinstance(told, Refused):
            return _all(sent, self._refused("8800", told, sent.attempt))
        if value_or(told, "packageNo", sent.reference) not in ("", sent.reference):
            raise ProtocolError("correlation", "8800: the answer is about another package")
        accept = _accept_no(told)
        taken, failed = (value_or(told, tag) for tag in ("successCount", "failCount"))
        if taken and failed and digits(taken) + digits(failed) != len(sent.items):
            raise ProtocolError("correlation", f"8800: {taken} and {failed} lines, we sent {len(sent.items)}")
        if not accept:
            return _all(sent, Outcome(Fate.UNKNOWN, DONE, "without an acceptNo", listed=False))
        if failed and digits(failed):
            return _all(sent, Outcome(Fate.UNKNOWN, DONE, f"{failed} lines were not taken", bank_serial=accept))
        return _all(sent, Outcome(Fate.PENDING, DONE, bank_serial=accept))

    def bundle_fate(self, question: BundleFateQuestion, context: Context) -> Conversation[Fates]:
        """The outcomes of a bundle: by DO48 first if users authorise, then by 8804 with the host's number, then by
        single enquiries."""
        sent, packet_ids, options = question.sent, self.front.packet_ids(context), self.front.options
        accept, unknown = host_number(sent.bank_serial), Outcome(Fate.NOT_FOUND, NONE_FOUND)
        if options.authorisation:
            package = None if accept else (yield from self.enquiry.package(sent, packet_ids, context))
            if package is not None and package.word.code != "0":
                return _all(sent, package.word)
            accept = package.host if package is not None else accept
            if accept or package is not None:
                # The users approved and the host has the package: a line that 8804 does not show yet is pending.
                unknown = Outcome(Fate.PENDING, "0", "authorised, and not among the rows of 8804", accept or None)
        wanted = replace(self._wanted(sent.items[0], options.batch_flag, context), voucher="", accept=accept)
        if accept:
            rows = yield from self.enquiry.rows(wanted, packet_ids, context)
            _checked(rows, sent, accept)
        else:
            # If the account has few payments, one question has all lines too.
            rows = yield from self.enquiry.only_page(wanted, packet_ids, context)
        told = ((item.reference, judged(rows, item, self.meanings)) for item in sent.items)
        fates = {reference: said for reference, said in told if said is not None}
        # Each call asks about a few lines, other ones each time. The rest is left out, and asked about later.
        still = [item for item in sent.items if item.reference not in fates]
        begin = context.serials[0] % len(still) if still else 0
        for item in (still[begin:] + still[:begin])[:CONFIRMED_MOST]:
            rows = yield from self.enquiry.rows(self._wanted(item, options.batch_flag, context), packet_ids, context)
            fates[item.reference] = judged(rows, item, self.meanings) or unknown
        return fates

    def _wanted(self, sent: Sent, flag: str, context: Context) -> QueryFilter:
        first, last = self.enquiry.days(sent.bank_date, context)
        return QueryFilter(sent.debtor.clear, first, last, flag, voucher=sent.reference)


def _all(sent: SentBundle, word: Outcome) -> Fates:
    return {item.reference: word for item in sent.items}


def _accept_no(told: etree._Element) -> str:
    accept = value_or(told, "acceptNo")
    if accept and not _ACCEPT.fullmatch(accept):
        raise ProtocolError("value", f"acceptNo {accept[:40]!r} is not of letters and digits")
    return accept


def _checked(rows: list[etree._Element], sent: SentBundle, accept: str) -> None:
    """The rows found by the package's number, each checked to be one of its lines."""
    ours = {item.reference for item in sent.items}
    for row in rows:
        if value_or(row, "acceptNo", accept) not in ("", accept) or value_or(row, VOUCHER) not in ours:
            raise ProtocolError("correlation", f"8804: a row of {accept} is none of this package's")
