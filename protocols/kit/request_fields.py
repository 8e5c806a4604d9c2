"""Tables of a request's fields: name, value, length in bytes and the row of the bank's page, in the order of writing.

A bank's `requests.py` has one table for each request that it writes, in `REQUESTS`. The table writes the fields, checks
their lengths before anything is signed, and is listed in docs/lookup/bank-requests.md. The bank's own side
(`twin_rules.py`) and the readback have tables of their own and never use these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from protocols.kit.charset import GBK, Charset
from protocols.kit.errors import ProtocolError
from protocols.kit.xmldoc import Markup, el

S = TypeVar("S")


# Without slots: Python 3.11 notes the type argument of a generic class on the object that is made.
@dataclass(frozen=True)
class RequestField(Generic[S]):
    """One field of a request about a subject of type `S` (an order, a question).

    `value` makes its text. `needed` names the field for people and makes an empty text an error. `most_bytes` is the
    page's length, in bytes of the table's charset. `source` is the page's row. `omitted`: an empty field is left out
    instead of written empty.
    """

    name: str
    value: Callable[[S], str]
    source: str
    most_bytes: int | None = None
    needed: str = ""
    omitted: bool = False


@dataclass(frozen=True)
class RequestTable(Generic[S]):
    """The fields of one part of a request. `part` names it where an operation has several ("head", "row")."""

    operation: str
    fields: tuple[RequestField[S], ...]
    part: str = ""
    charset: Charset = GBK

    def texts(self, subject: S) -> list[tuple[str, str]]:
        """Name and text of each field, in order.

        Raises "missing" for an empty field that is needed, "value" for one that is too long, Unencodable for a
        character that the bank's charset does not have.
        """
        written: list[tuple[str, str]] = []
        for one in self.fields:
            content = one.value(subject)
            if not content.strip():
                if one.needed:
                    raise ProtocolError("missing", f"the bank's form needs the {one.needed}")
                if one.omitted:
                    continue
            elif not content.isascii() or one.most_bytes is not None:
                self._check(one, content)
            written.append((one.name, content))
        return written

    def elements(self, subject: S, element: Callable[[str, str], Markup] = el) -> list[Markup]:
        """The fields as XML elements, in order. Raises as `texts` does."""
        return [element(name, content) for name, content in self.texts(subject)]

    def _check(self, one: RequestField[S], content: str) -> None:
        size = len(content) if content.isascii() else len(self.charset.encode(content))
        if one.most_bytes is not None and size > one.most_bytes:
            named = one.needed or one.name
            raise ProtocolError("value", f"the {named} takes {one.most_bytes} bytes in {one.name}, not {size}")
