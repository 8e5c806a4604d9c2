"""FOX, the envelope of CIB Online Exchange: one HTTP POST carries log-on and operation, one answer carries both back.

Credentials are in every message, so there is no session that a repeat of the same bytes could miss. An answer has
layers, each absent below the first failure: the log-on (SONRS), the operation (its own STATUS), and in its body
what became of the instruction (banks/cib.md 2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final

from lxml import etree

from protocols.bank import Ask, Context, Conversation
from protocols.banks.cib.options import Options
from protocols.banks.cib.table import Meanings
from protocols.kit import http, xmldoc
from protocols.kit.charset import GBK
from protocols.kit.errors import ProtocolError
from protocols.kit.framing import FrameCutter
from protocols.kit.xmldoc import Markup, el, maybe, one, value, value_or

BEIJING: Final = timezone(timedelta(hours=8), "CST")
"""China keeps one time all year."""
CONTENT_TYPE: Final = "application/x-fox"
ANSWER_BYTES_MAX: Final = 4 * 1_048_576
DONE: Final = "0"
_NODES_MAX: Final = 60_000
_TRNUID: Final = re.compile(r"[0-9A-Za-z]{1,30}", re.ASCII)
_FORBIDDEN: Final = "<>&"


def answers() -> FrameCutter:
    """A cutter for one connection's answer."""
    return http.HttpAnswers().cutter(ANSWER_BYTES_MAX)


def leaf(tag: str, content: str, *, most: int | None = None) -> Markup:
    """An element with text. Raises "value" on < > & (the bank takes them in no form) and over `most` GBK bytes."""
    for position, char in enumerate(content):
        if char in _FORBIDDEN:
            raise ProtocolError("value", f"{tag}: the bank refuses {char!r} at position {position}")
    size = len(GBK.encode(content))  # Unencodable counts the position within the field
    if most is not None and size > most:
        raise ProtocolError("value", f"{tag} takes {most} bytes, not {size}")
    return el(tag, content)


def leaf_or_none(tag: str, content: str, *, most: int | None = None) -> Markup | None:
    """As `leaf`, or nothing where there is no text: an optional element is never sent empty."""
    return leaf(tag, content, most=most) if content else None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `signed_on` False: it stops at the log-on, `code` and `text` are about that, and `body` is None.

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
        """The body. Raises "missing" where the answer stops at the log-on."""
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
            el("SIGNONMSGSRQV1", el("SONRQ", self._sign_on(context))),
            el("SECURITIES_MSGSRQV1", el(f"{operation}RQ", el("TRNUID", trnuid), content)),
        )
        headers = (("Content-Type", CONTENT_TYPE), ("Connection", "close"))
        body = xmldoc.build(document, GBK)
        return http.request("POST", self.options.path, self.options.host_header, headers, body)

    def _sign_on(self, context: Context) -> list[Markup]:
        secrets = {name: context.credentials.get(name, "") for name in ("user", "password")}
        for name, secret in secrets.items():
            if not secret:
                raise ProtocolError("missing", f"the lane's credentials name no {name}")
            if not GBK.fits(secret, 256) or any(char in _FORBIDDEN for char in secret):
                raise ProtocolError("value", f"the lane's {name} holds a character that the bank refuses")
        return [
            el("DTCLIENT", context.now.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")),
            el("CID", self.options.customer),
            el("USERID", secrets["user"]),
            el("USERPASS", secrets["password"]),
            el("GENUSERKEY", "N"),
            el("LANGUAGE", "CHS"),
            el("APPID", "XYFIB"),
            el("APPVER", "1000"),
        ]

    def question_id(self, context: Context, nth: int = 0) -> str:
        """A question's own TRNUID: never that of a payment, for it is one character longer."""
        return f"Q{context.serials[nth]:020d}"

    def ask(
        self, operation: str, word: str, content: Markup | None, context: Context, nth: int = 0,
        *, trnuid: str | None = None,
    ) -> Conversation[Answer]:  # fmt: skip
        """Ask a question (`word` in the code table). Raises Declined where the answer stops at the log-on.

        Raises "correlation" on an answer to another question: what an enquiry tells has no reference of its own.
        `trnuid`: the bank is asked under an identifier of ours, not under a new one.
        """
        trnuid = trnuid or self.question_id(context, nth)
        frame = yield Ask("business", self.request(operation, trnuid, content, context))
        return self.answered(read_answer(frame, operation), word, trnuid)

    def answered(self, answer: Answer, word: str, trnuid: str) -> Answer:
        """`answer`, if it is one to our question: else as `ask` raises."""
        if not answer.signed_on:
            self.meanings.signed_out(word, answer.code, answer.text)
        if answer.trnuid != trnuid:
            raise ProtocolError("correlation", f"an answer to {answer.trnuid!r}, we asked {trnuid}")
        return answer

    def asked(
        self, operation: str, word: str, content: Markup, context: Context, nth: int = 0, *, trnuid: str | None = None
    ) -> Conversation[Answer]:  # fmt: skip
        """As `ask`; raises Declined on any code but 0."""
        answer = yield from self.ask(operation, word, content, context, nth, trnuid=trnuid)
        if answer.code != DONE:
            self.meanings.decline(word, answer.code, answer.text)
        return answer

    def prove(self, context: Context) -> Conversation[None]:
        """Whether the bank knows us: a balance question of which only the log-on counts. Raises Declined."""
        content = el("RQBODY", leaf("ACCTID", self.options.probe_account))
        yield from self.ask("CURRACCTQUERYTRN", "balance", content, context)


def read_answer(frame: bytes, *operations: str) -> Answer:
    """Reads the answer to one of `operations` (XXXTRN). Raises ProtocolError on whatever cannot be such an answer."""
    return read_document(document_of(frame), *operations)


def document_of(frame: bytes) -> bytes:
    """The XML of an answer. Raises "http" on another status than 200."""
    return http.expect_status(http.parse_answer(frame))


def read_document(document: bytes, *operations: str) -> Answer:
    """As `read_answer`, from the XML itself."""
    root = xmldoc.parse(document, GBK, max_bytes=ANSWER_BYTES_MAX, max_nodes=_NODES_MAX)
    if root.tag != "FOX":
        raise ProtocolError("missing", f"the root is {root.tag!r}, not FOX")
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
    # A leaf of the same name lives deeper in some bodies; this one is the structure.
    status = one(parent, "STATUS")
    code = value(status, "CODE")
    if not code:
        raise ProtocolError("missing", f"a STATUS of {parent.tag!r} without CODE")
    return code, value_or(status, "MESSAGE")


def moment(text: str) -> datetime | None:
    """A date and time as the bank writes them, with a blank or a T between; None for anything else."""
    found = re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.\d+)?", text.strip(), re.ASCII)
    try:
        if found is not None:
            year, month, day, hour, minute, second = map(int, found.groups())
            return datetime(year, month, day, hour, minute, second, tzinfo=BEIJING)
    except ValueError:
        pass  # an odd time is no reason to doubt a clear word
    return None


def attribute(element: etree._Element, name: str) -> str:
    """An attribute's value whatever case its name is in: tables and samples of the bank differ (SIZE, size)."""
    found = [str(said) for key, said in element.attrib.items() if str(key).upper() == name]
    if len(found) > 1:
        raise ProtocolError("ambiguous", f"{element.tag!r} has {name} twice")
    return found[0].strip() if found else ""


def same(what: str, stated: str, ours: str) -> None:
    """Raises "correlation" if the answer states another value than ours; what it leaves out it does not state."""
    if stated and stated != ours:
        raise ProtocolError("correlation", f"the answer has another {what}: {stated!r}, not {ours!r}")
