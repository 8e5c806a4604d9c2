"""The faults and refusals that all parts of the simulated bank share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lxml import etree

from protocols.judge import RequestFinding
from protocols.kit.xmldoc import Markup, el

REGISTERED: Final = ("PAYOUT", "登记成功")
"""Code and text of what is registered for later (banks/cib.md 5)."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of this simulated bank; see twin.py."""

    enable_sign: bool = True
    word: str = ""
    trouble: str = ""
    trouble_words: str = "操作执行异常，请查询"
    used: bool = False
    enquiry_code: str = ""
    not_found: str = "code"
    core: str = ""
    lower_size: bool = False
    turned: bool = False
    lost_line: int = 0
    strange_line: int = 0
    line_word: str = ""
    round: bool = False
    cut_names: bool = False
    indent: bool = False
    reference_in: str = ""
    zipped: bool = False
    bare: bool = False
    http_500: bool = False
    registered: bool = False
    reduced: bool = False
    odd_rows: bool = False
    fast_apart: bool = False


class Broke(Exception):  # noqa: N818 - not an error of ours: the front end answers 500, though the money moved
    """The fault `http_500`."""


class Refused(Exception):  # noqa: N818 - an answer of the protocol, not a fault of the program
    """A STATUS other than 0. `harmless`: SEVERITY is INFO. `body`: the content beside the status, if there is any.

    `findings`: the rules that the request broke, if the refusal is about the request and not about its subject.
    """

    def __init__(
        self,
        code: str,
        words: str,
        body: Markup | None = None,
        *,
        harmless: bool = False,
        findings: tuple[RequestFinding, ...] = (),
    ) -> None:
        super().__init__(code)
        self.code, self.words, self.body, self.harmless, self.findings = code, words, body, harmless, findings


def sole(parent: etree._Element, path: str) -> etree._Element:
    """The element at `path`, which the rules have found there."""
    found = parent.find(path)
    assert found is not None, path
    return found


def text(parent: etree._Element, tag: str) -> str:
    """The text of a child; "" if there is no such child."""
    return (parent.findtext(tag) or "").strip()


def leaves(parent: etree._Element) -> list[Markup]:
    """The leaves below an element, as the client sent them."""
    return [el(str(child.tag), child.text or "") for child in parent]
