"""Page against twin: each message on a bank's page is compared with the twin's answer and with the adapter's request.

The tables are data in `tests/protocols/banks/<bank>/page/*.toml`, one file a message, written from the bank's page and
never from code. Names, order, nesting, attributes, the declaration and the charset are compared; values are not.

    source = "pab.md 2"        section of the page
    operation = "4001"         the bank's name of the message, for people
    act = "balance"            what makes us ask: a name of ACTS
    marker = "4001  "          text (or regular expression) that only this request has; the first such exchange is compared
    peel = ["reqData=", "base64"]   how the document is got out of the answer, where it is not the text from "<" to ">":
                               "name=" a form's field (decoded), "base64"; "after X", "until X": without X,
                               "from X", "to X": with it; `peel_request` likewise
    [options]                  options of the bank beside its trial's
    [twin]                     options of the twin beside its trial's
    [request] / [answer]       each may be missing
    declaration = '<?xml version="1.0" encoding="GBK" ?>'   the exact XML declaration; "" means that there is none
    charset = "GBK"            the bytes decode strictly so (GB18030 for what calls itself GBK)
    outline = '''              elements by indentation, in order
    Result
      Account
      list *                   may be repeated, at least once; all rows are compared
      Fee ?                    the page shows it in some messages only
      row @name                its attributes; "@name?" one that some messages have
      list ~                   the page does not tell the order of its children
      ...                      the page names no more of this element's content
    '''
"""

from __future__ import annotations

import base64
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

import pytest
from lxml import etree

from protocols.canon.order import Channel, Kind, Order, TransferDetail, Urgency
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, DirectoryQuestion, ReceiptQuestion
from protocols.canon.statement import ReceiptLater
from tests.protocols.banks.every.bench import EVERY, Table, table

FOLDER = Path(__file__).parents[1]
PAGES = tuple(sorted(path for bank in EVERY for path in (FOLDER / bank / "page").glob("*.toml")))
KEYS = {"source", "operation", "act", "marker", "peel", "peel_request", "options", "twin", "request", "answer"}
SIDE_KEYS = {"declaration", "charset", "outline"}


# ---- the outline of a page ----


@dataclass
class Node:
    """An element as the page shows it."""

    tag: str
    optional: bool = False
    repeated: bool = False
    unordered: bool = False
    open: bool = False
    attributes: dict[str, bool] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)


def outline(text: str) -> Node:
    """The tree of an indented outline; attributes are True where each message has them."""
    path: list[tuple[int, Node]] = []
    root = Node("")
    for line in filter(str.strip, text.splitlines()):
        depth, words = len(line) - len(line.lstrip()), line.split()
        while path and path[-1][0] >= depth:
            path.pop()
        if words == ["..."]:
            path[-1][1].open = True
            continue
        marks = words[1:]
        assert all(mark in ("?", "*", "~") or mark.startswith("@") for mark in marks), line
        node = Node(
            words[0],
            "?" in marks,
            "*" in marks,
            "~" in marks,
            attributes={mark[1:].rstrip("?"): not mark.endswith("?") for mark in marks if mark[0] == "@"},
        )
        if path:
            path[-1][1].children.append(node)
            path.append((depth, node))
        else:
            path, root = [(depth, node)], node
    return root


def differences(page: Node, said: etree._Element, where: str = "") -> list[str]:
    """The differences between the message and the page, as sentences."""
    where = f"{where}/{page.tag}"
    found = []
    attributes = {str(name) for name in said.attrib}
    if attributes - page.attributes.keys():
        found.append(f"{where}: attributes {sorted(attributes - page.attributes.keys())} are not on the page")
    missing = {name for name, always in page.attributes.items() if always} - attributes
    if missing:
        found.append(f"{where}: no attribute {sorted(missing)}")
    left = [child for child in said if isinstance(child.tag, str)]
    if page.unordered:
        order = {node.tag: place for place, node in enumerate(page.children)}
        left.sort(key=lambda child: order.get(_name(child), len(order)))
    for node in page.children:
        count = 0
        while left and _name(left[0]) == node.tag and (node.repeated or not count):
            found += differences(node, left.pop(0), where)
            count += 1
        if not count and not node.optional:
            found.append(f"{where}: the page has {node.tag} before {_name(left[0]) if left else 'the end'}")
            break
    if left and not page.open:
        found.append(f"{where}: {_name(left[0])} is not on the page at this place")
    return found


def _name(element: etree._Element) -> str:
    return etree.QName(element).localname


# ---- the questions of the adapter ----


def _paid(kind: Kind, purpose: str = "货款") -> Callable[[Table], None]:
    def act(made: Table) -> None:
        reference = made.reference()
        made.pay(made.order(kind, purpose=purpose), reference)
        made.fate(reference)

    return act


def _urgent(made: Table) -> None:
    order = replace(made.order(Kind.PAYMENT), urgency=Urgency.URGENT)
    made.pay(order, made.reference())


def _instant(made: Table) -> None:
    order, reference = replace(made.order(Kind.PAYMENT), channel=Channel.INSTANT), made.reference()
    made.pay(order, reference)
    made.fate(reference)


def _swept(direction: str) -> Callable[[Table], None]:
    def act(made: Table) -> None:
        plain, reference = made.order(Kind.TRANSFER), made.reference()
        made.pay(replace(cast(Order[TransferDetail], plain), detail=TransferDetail(direction)), reference)
        made.fate(reference)

    return act


def _batch_receipt(made: Table) -> None:
    ask = made.bank.questions.receipt
    assert ask is not None
    bundle, reference = made.bundle(Kind.BATCH_ITEM, ("货款", "货款"))
    made.pay_bundle(bundle, reference)
    made.stage.time.later(86_400)
    made.stage.sign_on()
    item = bundle.items[0]
    made.stage.talk(
        ask(
            ReceiptQuestion(
                item.order.ours.account,
                made.today,
                reference=item.reference,
                amount=item.order.amount,
                bundle=reference,
                creditor=item.order.creditor.account,
                creditor_name=item.order.creditor.name,
            ),
            made.stage.context(),
        )
    )


def _bundled(kind: Kind, purposes: tuple[str, ...] = ("货款", "货款")) -> Callable[[Table], None]:
    def act(made: Table) -> None:
        bundle, reference = made.bundle(kind, purposes)
        made.pay_bundle(bundle, reference)
        made.bundle_fate(kind, reference)

    return act


def _large_batch(made: Table) -> None:
    """Ask about a batch twice, because an answer that a bank gives only once is then requested in another way."""
    bundle, reference = made.bundle(Kind.BATCH_ITEM, ("货款 #refuse", *("货款",) * 30))
    made.pay_bundle(bundle, reference)
    for _ in range(2):
        made.bundle_fate(Kind.BATCH_ITEM, reference)


def _balance(days: int) -> Callable[[Table], None]:
    def act(made: Table) -> None:
        ask = made.bank.questions.balance
        assert ask is not None
        on = made.today - timedelta(days=days) if days else None
        made.stage.talk(ask(BalanceQuestion(AccountNumber(made.own[0]), on=on), made.stage.context()))

    return act


def _lines(made: Table) -> None:
    made.pay(made.order(Kind.PAYMENT), made.reference())
    made.walk(made.own[0], made.today, made.today)


def _past_lines(made: Table) -> None:
    made.pay(made.order(Kind.PAYMENT), made.reference())
    made.stage.time.later(86_400)
    made.stage.sign_on()
    yesterday = made.today - timedelta(days=1)
    made.walk(made.own[0], yesterday, yesterday)


def _no_lines(made: Table) -> None:
    made.walk(made.own[0], made.today, made.today)


def _returned(made: Table) -> None:
    made.pay(made.order(Kind.PAYMENT, purpose="货款 #return"), made.reference())
    made.stage.time.later(86_400)
    made.stage.sign_on()
    made.returns()


def _no_returns(made: Table) -> None:
    made.returns()


def _directory(made: Table) -> None:
    ask = made.bank.questions.directory
    assert ask is not None
    made.stage.talk(ask(DirectoryQuestion("示例银行", "000000000099"), made.stage.context()))


def _receipt(made: Table) -> None:
    ask = made.bank.questions.receipt
    assert ask is not None
    reference = made.reference()
    made.pay(made.order(Kind.PAYMENT), reference)
    day = made.today
    made.stage.time.later(86_400)
    made.stage.sign_on()
    [line] = made.walk(made.own[0], day, day)
    question = ReceiptQuestion(line.account, day, line.bank_line_id, reference, amount=line.amount)
    for _ in range(5):
        told = made.stage.talk(ask(question, made.stage.context()))
        if not isinstance(told, ReceiptLater):
            return
        made.stage.time.later(int(told.after_s) + 1)
        question = ReceiptQuestion(
            line.account, day, line.bank_line_id, reference, amount=line.amount, ticket=told.ticket
        )


def _probe(made: Table) -> None:
    made.stage.talk(made.bank.sessions.probe(made.stage.context()))


ACTS: Mapping[str, Callable[[Table], None]] = {
    "sign_on": lambda made: None,
    "probe": _probe,
    "balance": _balance(0),
    "past_balance": _balance(1),
    "payment": _paid(Kind.PAYMENT),
    "refused_payment": _paid(Kind.PAYMENT, "货款 #refuse"),
    "late_payment": _paid(Kind.PAYMENT, "货款 #late"),
    "urgent_payment": _urgent,
    "transfer": _paid(Kind.TRANSFER),
    "instant_payment": _instant,
    "sweep": _swept("sweep"),
    "push": _swept("push"),
    "batch_receipt": _batch_receipt,
    "batch": _bundled(Kind.BATCH_ITEM),
    "large_batch": _large_batch,
    "late_batch": _bundled(Kind.BATCH_ITEM, ("货款 #late", "货款 #late")),
    "payroll": _bundled(Kind.PAYROLL_ITEM),
    "payroll_line": _paid(Kind.PAYROLL_ITEM),
    "collection": _bundled(Kind.COLLECTION),
    "lines": _lines,
    "past_lines": _past_lines,
    "no_lines": _no_lines,
    "returns": _returned,
    "no_returns": _no_returns,
    "directory": _directory,
    "receipt": _receipt,
}


# ---- the comparison ----


@cache
def page(path: Path) -> Mapping[str, Any]:
    """The page's data. Fails on an unknown key."""
    found = tomllib.loads(path.read_text("utf-8"))
    assert found.keys() <= KEYS, found.keys() - KEYS
    for side in ("request", "answer"):
        assert found.get(side, {}).keys() <= SIDE_KEYS
    return found


@cache
def exchange(path: Path) -> tuple[bytes, bytes]:
    """The first exchange of the page's message: our request and the twin's answer."""
    known, bank = page(path), path.parent.parent.name
    made = table(bank, bank_options=known.get("options", {}), **known.get("twin", {}))
    ACTS[known["act"]](made)
    for said in made.stage.said:
        if re.search(known["marker"].encode("ascii"), said.request):
            return said.request, said.answer
    raise AssertionError(f"{known['act']} does not make us ask {known['operation']}")


_CUTS: Mapping[str, Callable[[bytes, bytes], bytes]] = {
    "after": lambda frame, mark: frame[frame.index(mark) + len(mark) :],
    "until": lambda frame, mark: frame[: frame.index(mark)],
    "from": lambda frame, mark: frame[frame.index(mark) :],
    "to": lambda frame, mark: frame[: frame.rindex(mark) + len(mark)],
}


def document(frame: bytes, steps: list[str]) -> bytes:
    """The XML document in a frame."""
    for step in steps:
        if step == "base64":
            frame = base64.b64decode(frame)
        elif (word := step.partition(" "))[0] in _CUTS:
            frame = _CUTS[word[0]](frame, word[2].encode("ascii"))
        else:
            text = frame[frame.index(step.encode("ascii")) :].decode("ascii")
            frame = parse_qs(text)[step.rstrip("=")][0].encode("latin-1")
    return frame[frame.index(b"<") : frame.rindex(b">") + 1]


def parsed(xml: bytes, charset: str) -> etree._Element:
    """The document's root, decoded as the page says. Raises UnicodeDecodeError."""
    text = xml.decode("gb18030" if charset.upper() in ("GBK", "GB2312", "GB18030") else charset)
    return etree.fromstring(re.sub(r"^<\?xml.*?\?>", "", text, count=1))


def _id(path: Path) -> str:
    return f"{path.parent.parent.name}-{path.stem}"


def judged(path: Path, side: str) -> None:
    """Compare one side of a page's message with the bytes of the exchange."""
    wants, known = page(path)[side], page(path)
    frame = exchange(path)[side == "answer"]
    xml = document(frame, known.get("peel" if side == "answer" else "peel_request", []))
    declared = re.match(rb"<\?xml.*?\?>", xml)
    if "declaration" in wants:
        assert (declared.group().decode("ascii") if declared else "") == wants["declaration"]
    assert differences(outline(wants["outline"]), parsed(xml, wants.get("charset", "utf-8"))) == []


ANSWERS, REQUESTS = ([path for path in PAGES if side in page(path)] for side in ("answer", "request"))


@pytest.mark.parametrize("path", ANSWERS, ids=_id)
def test_the_twin_answers_what_the_page_shows(path: Path) -> None:
    judged(path, "answer")


@pytest.mark.parametrize("path", REQUESTS, ids=_id)
def test_we_ask_what_the_page_shows(path: Path) -> None:
    judged(path, "request")


PAGE = """
a
  b
  c ?
  d * @n
    e
    ...
  f ~ @s?
    g ?
    h ?
"""


@pytest.mark.parametrize(
    ("xml", "told"),
    [
        ("<a><b/><d n='1'><e/></d><f/></a>", ""),
        ("<a><b/><c/><d n='1'><e/><x/></d><d n='2'><e/></d><f s='1'/></a>", ""),
        ("<a><b/><d n='1'><e/></d><f><h/><g/></f></a>", ""),
        ("<a><b/><d n='1'><e/></d><f><h/><g/><i/></f></a>", "i is not on the page"),
        ("<a><c/><b/><d n='1'><e/></d><f/></a>", "the page has b before c"),
        ("<a><b/><f/></a>", "the page has d before f"),
        ("<a><b/><d><e/></d><f/></a>", "no attribute ['n']"),
        ("<a><b/><d n='1'><e/></d><d n='1'/><f/></a>", "the page has e before the end"),
        ("<a><b/><d n='1'><e/></d><f/><g/></a>", "g is not on the page"),
        ("<a><b/><d n='1'><e/></d><f t='1'/></a>", "attributes ['t'] are not on the page"),
        ("<a><b/><d n='1'><e/></d><f/><f/></a>", "f is not on the page"),
    ],
)
def test_every_difference_is_told(xml: str, told: str) -> None:
    found = differences(outline(PAGE), etree.fromstring(xml))
    assert bool(found) == bool(told) and told in " ".join(found)
