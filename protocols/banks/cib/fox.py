"""FOX, the envelope of CIB Online Exchange: one HTTP POST carries log-on and operation, one answer carries both back.

Credentials are in every message, so that a repeat of the same bytes depends on no session. An answer has layers, each
absent below the first failure: the log-on (SONRS), the operation (its own STATUS), and in its body the result of the
instruction (banks/cib.md 2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lxml import etree

from protocols.bank import Ask, Context, Conversation
from protocols.banks.cib.options import Options
from protocols.banks.cib.requests import BALANCE, LOG_ON, leaf
from protocols.banks.cib.table import signed_out
from protocols.kit import http, xmldoc
from protocols.kit.charset import GBK
from protocols.kit.china import BEIJING
from protocols.kit.correlation import CorrelationKeys, CorrelationTags, check_keys
from protocols.kit.errors import ProtocolError
from protocols.kit.meanings import Meanings
from protocols.kit.xmldoc import Markup, el, maybe, one, value, value_or

CONTENT_TYPE: Final = "application/x-fox"
ANSWER_BYTES_MAX: Final = 4 * 1_048_576
DONE: Final = "0"
_NODES_MAX: Final = 60_000
_TRNUID: Final = re.compile(r"[0-9A-Za-z]{1,30}", re.ASCII)
RENMINBI: Final = ("RMB", "CNY", "01")
TAGS: Final = CorrelationTags(
    amount="TRNAMT", debtor="ACCTFROM/ACCTID", creditor="ACCTTO/ACCTID", currency="CURSYM", renminbi=RENMINBI
)
"""Where XFERINFO states the keys of an order; our reference stands beside it, in CLIENTREF."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. If `signed_on` is False, `code` and `text` are about the log-on, and `body` is None.

    `operation` is the one that was answered, `body` its element (XXXTRNRS), `trnuid` the identifier it names, `at`
    the bank's clock.
    """

    signed_on: bool
    code: str
    text: str
    operation: str = ""
    trnuid: str = ""
    body: etree._Element | None = None
    at: datetime | None = None

    @property
    def within(self) -> etree._Element:
        """The body. Raises "missing" if the answer stops at the log-on."""
        if self.body is None:
            raise ProtocolError("missing", "the answer stops at the log-on")
        return self.body


@dataclass(frozen=True, slots=True)
class Fox:
    """Writes requests and reads answers for one customer."""

    options: Options
    meanings: Meanings

    def request(self, operation: str, trnuid: str, content: Markup | None, context: Context) -> bytes:
        """One HTTP request with `content` in `operation` (XXXTRN). The order of its elements is the contract's."""
        if not _TRNUID.fullmatch(trnuid):
            raise ProtocolError("value", f"{trnuid!r} is no TRNUID: 1 to 30 letters or digits")
        document = el(
            "FOX",
            el("SIGNONMSGSRQV1", el("SONRQ", LOG_ON.elements((context, self.options)))),
            el("SECURITIES_MSGSRQV1", el(f"{operation}RQ", el("TRNUID", trnuid), content)),
        )
        return http.post(self.options.path, self.options.host_header, CONTENT_TYPE, xmldoc.build(document, GBK))

    def question_id(self, context: Context, nth: int = 0) -> str:
        """A TRNUID for a question. It is one character longer than that of a payment, so the two cannot be equal."""
        return f"Q{context.serials[nth]:020d}"

    def ask(
        self,
        operation: str,
        word: str,
        content: Markup | None,
        context: Context,
        nth: int = 0,
        *,
        trnuid: str | None = None,
    ) -> Conversation[Answer]:
        """Ask a question (`word` is its name in the code table). Raises Declined if the answer stops at the log-on.

        Raises "correlation" on an answer to another question, because the content of an enquiry's answer has no
        reference of its own. `trnuid`: the bank is asked under this identifier of ours, not under a new one.
        """
        trnuid = trnuid or self.question_id(context, nth)
        frame = yield Ask("business", self.request(operation, trnuid, content, context))
        return self.answered(read_answer(frame, operation), word, trnuid)

    def answered(self, answer: Answer, word: str, trnuid: str) -> Answer:
        """Return `answer` if it is the answer to our question; raises as `ask` otherwise."""
        if not answer.signed_on:
            signed_out(self.meanings, word, answer.code, answer.text)
        if answer.trnuid != trnuid:
            raise ProtocolError("correlation", f"an answer to {answer.trnuid!r}, we asked {trnuid}")
        return answer

    def asked(
        self, operation: str, word: str, content: Markup, context: Context, nth: int = 0, *, trnuid: str | None = None
    ) -> Conversation[Answer]:
        """As `ask`; raises Declined on any code but 0."""
        answer = yield from self.ask(operation, word, content, context, nth, trnuid=trnuid)
        if answer.code != DONE:
            self.meanings.decline(word, "asked", answer.code, answer.text)
        return answer

    def prove(self, context: Context) -> Conversation[None]:
        """Ask for a balance to check that the bank accepts the log-on. Other parts of the answer are ignored. Raises
        Declined."""
        content = el("RQBODY", BALANCE.elements(self.options.probe_account, leaf))
        yield from self.ask("CURRACCTQUERYTRN", "balance", content, context)


def read_answer(frame: bytes, *operations: str) -> Answer:
    """Reads the answer to one of `operations` (XXXTRN). Raises ProtocolError if the bytes are no such answer."""
    return read_document(http.body_of(frame), *operations)


def read_document(document: bytes, *operations: str) -> Answer:
    """As `read_answer`, from the XML itself."""
    root = xmldoc.parse_root(document, GBK, "FOX", max_bytes=ANSWER_BYTES_MAX, max_nodes=_NODES_MAX)
    sign_on = one(root, "SIGNONMSGSRSV1/SONRS")
    code, text = _status(sign_on)
    if code != DONE:
        return Answer(False, code, text)
    said = one(root, "SECURITIES_MSGSRSV1")
    found = [(operation, body) for operation in operations if (body := maybe(said, f"{operation}RS")) is not None]
    if len(found) != 1:
        raise ProtocolError("correlation", f"no answer to {' or '.join(operations)}, or more than one")
    operation, body = found[0]
    code, text = _status(body)
    at = moment(value_or(sign_on, "DTSERVER"))
    return Answer(True, code, text, operation, value_or(body, "TRNUID"), body, at)


def _status(parent: etree._Element) -> tuple[str, str]:
    # Some bodies have a deeper leaf of the same name. This is the one with child elements.
    status = one(parent, "STATUS")
    code = value(status, "CODE")
    if not code:
        raise ProtocolError("missing", f"a STATUS of {parent.tag!r} without CODE")
    return code, value_or(status, "MESSAGE")


def moment(text: str) -> datetime | None:
    """A date and time in the bank's form, with a blank or a T between; None for any other text."""
    found = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.\d+)?", text.strip(), re.ASCII)
    try:
        if found is not None:
            year, month, day, hour, minute, second = map(int, found.groups())
            return datetime(year, month, day, hour, minute, second, tzinfo=BEIJING)
    except ValueError:
        pass  # An unreadable time does not make a clear status doubtful.
    return None


def attribute(element: etree._Element, name: str) -> str:
    """An attribute's value, whatever the case of its name, because the bank's tables and samples differ (SIZE,
    size)."""
    found = [str(said) for key, said in element.attrib.items() if str(key).upper() == name]
    if len(found) > 1:
        raise ProtocolError("ambiguous", f"{element.tag!r} has {name} twice")
    return found[0].strip() if found else ""


def same(what: str, stated: str, ours: str) -> None:
    """Raises "correlation" if the answer states another value than ours. An answer without the value is accepted."""
    if stated and stated != ours:
        raise ProtocolError("correlation", f"the answer has another {what}: {stated!r}, not {ours!r}")


def check_stated(parent: etree._Element, keys: CorrelationKeys, *, named: bool) -> None:
    """Raises "correlation" if CLIENTREF or XFERINFO below `parent` are about another payment.

    `named`: the answer must identify the payment, by our reference or by amount and both accounts; "missing" if it does
    not. Nothing else distinguishes an enquiry's answer from another one.
    """
    client, info = value_or(parent, "CLIENTREF"), maybe(parent, "XFERINFO")
    same("CLIENTREF", client, keys.reference)
    if info is not None:
        check_keys(info, keys, TAGS)
    told = info is not None and all(value_or(info, tag) for tag in (TAGS.amount, TAGS.debtor, TAGS.creditor))
    if named and not client and not told:
        raise ProtocolError("missing", f"{keys.reference}: the answer names no payment")


def check_currency(stated: str) -> None:
    """Raises "correlation" for any currency but ours; some answers say RMB, others the number 01."""
    if stated and stated not in RENMINBI:
        raise ProtocolError("correlation", f"the answer is in {stated!r}, we deal in RMB")
