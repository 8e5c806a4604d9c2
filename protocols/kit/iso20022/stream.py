"""Account reports that are too large for memory: read entry by entry from a stream of bytes, in bounded memory.

Only one entry at a time is kept, besides what the caller collects. Document types and entities are refused, as by
`xmldoc.parse`; the caller must limit the total size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from lxml import etree

from protocols.canon.statement import Line
from protocols.kit.errors import ProtocolError
from protocols.kit.iso20022 import lines as words
from protocols.kit.iso20022.account import (
    NO_REFERENCES,
    ROWS,
    AccountEntry,
    AccountReport,
    entry_or_error,
    read_entries,
    read_entry,
    read_head,
    unbalanced_by,
)
from protocols.kit.iso20022.names import expect
from protocols.kit.iso20022.parts import Reader, read_money

_ENTRY: Final = "{*}Ntry"
_REPORTS: Final = tuple(f"{{*}}{row}" for row in ROWS.values())
_ENTRY_BYTES_MAX: Final = 8_388_608
_MARK: Final = b"<!"
_ALLOWED: Final = (b"<!--", b"<![CDATA[")


@dataclass(frozen=True, slots=True)
class Part:
    """Some entries of one report: from number `first`, counted from 1, up to number `through`. `last`: it is the
    report's last part.

    `moved_minor` is the total movement of all booked entries up to here. `report` has the entries of this part, and
    findings about them; findings about its head come with the first part, those about the whole with the last.
    """

    report: AccountReport
    first: int
    through: int
    last: bool
    moved_minor: int


def parts(
    chunks: Iterable[bytes], size: int, *, account: str = "", skip: int = 0, seen: Counter[str] | None = None
) -> Iterator[Part]:
    """The reports of a camt.052, .053 or .054, in parts of at most `size` entries. Raises ProtocolError.

    The first `skip` entries of the report of `account` are only counted, with their ids in `seen`, which is a tenth of
    the work.
    """
    number, head, kept = 0, None, list[AccountEntry | ProtocolError]()
    moved = 0
    for report, entry in _walk(chunks, account, skip):
        if isinstance(entry, _Counted):
            number += 1
            moved += entry.signed_minor
            if seen is not None:
                seen.update(entry.keys)
            continue
        if head is not None and (entry is None or len(kept) == size):
            yield _part(head, kept, number, entry is None, moved)
            kept = []
        if entry is None:
            # A new report begins here, or the last report ends.
            number, head, kept, moved = 0, report, [], 0
            continue
        number += 1
        kept.append(entry)
        if isinstance(entry, AccountEntry) and entry.status == "BOOK":
            moved += entry.signed_minor


def _part(head: AccountReport, kept: list[AccountEntry | ProtocolError], number: int, last: bool, moved: int) -> Part:
    first = number - len(kept) + 1
    entries, odd, unread = read_entries(kept, head.currency, first)
    found = (*(head.findings if first == 1 else ()), *odd, *filter(None, [unbalanced_by(head, moved) if last else ""]))
    report = replace(head, entries=entries, findings=found, unread=unread + (head.unread if first == 1 else 0))
    return Part(report, first, number, last, moved)


@dataclass(frozen=True, slots=True)
class _Counted:
    """The ids of a skipped entry's lines, and its effect on the balance. Both are empty if it is not booked or cannot
    be read."""

    keys: tuple[str, ...]
    signed_minor: int


def _counted(element: etree._Element, space: str) -> _Counted:
    n = f"{{{space}}}"
    details = [one for part in element.iterchildren(f"{n}NtryDtls") for one in part.iterchildren(f"{n}TxDtls")]
    status = element.findtext(f"{n}Sts/{n}Cd") or (element.findtext(f"{n}Sts") or "").strip()
    if status != "BOOK":
        return _Counted((), 0)
    holders = [one for detail in details for one in detail.iterchildren(f"{n}Refs")] + [element]
    told = [(one.findtext(f"{n}AcctSvcrRef") or "").strip() for one in holders]
    key = next((one for one in told if one not in NO_REFERENCES), "")
    amount = element.find(f"{n}Amt")
    try:
        if len(details) > 1 or not key or amount is None:
            entry = read_entry(Reader(element, space))
            return _Counted(tuple(words.ids_of(entry)), entry.signed_minor)
        money = read_money((amount.text or "").strip(), amount.get("Ccy", ""))
    except ProtocolError:
        return _Counted((), 0)
    return _Counted((key,), money.minor if element.findtext(f"{n}CdtDbtInd") == "CRDT" else -money.minor)


def _walk(
    chunks: Iterable[bytes], account: str, skip: int
) -> Iterator[tuple[AccountReport | None, AccountEntry | ProtocolError | _Counted | None]]:
    """Yield reports and entries in order. A report without an entry marks a report's begin; None and None mark the
    end."""
    parser = etree.XMLPullParser(
        events=("start", "end"),
        tag=(_ENTRY, *_REPORTS),
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        collect_ids=False,
        remove_comments=True,
        remove_pis=True,
    )
    report: AccountReport | None = None
    held, tail, left = 0, b"", 0
    try:
        for chunk in chunks:
            _allowed(tail + chunk)
            tail = (tail + chunk)[-len(_ALLOWED[1]) + 1 :]
            held += len(chunk)
            parser.feed(chunk)
            for event, element in parser.read_events():
                assert isinstance(element, etree._Element)
                space, _, name = str(element.tag)[1:].rpartition("}")
                if event == "start" and report is None and name == "Ntry":
                    report, left = _head(element), skip
                    yield report, None
                elif event == "end" and name == "Ntry":
                    skipped = report is not None and left > 0 and report.account == account
                    left -= skipped
                    yield report, _counted(element, space) if skipped else entry_or_error(Reader(element, space))
                    above = element.getparent()
                    assert above is not None
                    above.remove(element)
                    held = 0
                elif event == "end":
                    if report is None:
                        # A report without entries.
                        yield _head(element, inside=True), None
                    report = None
            if held > _ENTRY_BYTES_MAX:
                raise ProtocolError("xml_limits", f"more than {_ENTRY_BYTES_MAX} bytes without an entry")
        parser.close()
    except etree.XMLSyntaxError as error:
        raise ProtocolError("not_xml", f"not well-formed XML: {error}") from None
    yield None, None


def _head(element: etree._Element, *, inside: bool = False) -> AccountReport:
    above = element if inside else element.getparent()
    assert above is not None
    version = expect(above.getroottree().getroot(), *ROWS)
    return read_head(Reader(above, version.namespace), version)


def _allowed(data: bytes) -> None:
    at = data.find(_MARK)
    while at >= 0:
        if len(data) - at >= len(_ALLOWED[1]) and not data.startswith(_ALLOWED, at):
            raise ProtocolError("doctype", "the document has a document type, entity or other declaration")
        at = data.find(_MARK, at + 1)


def lines_of(part: Part, day: date | None, seen: Counter[str]) -> tuple[Line, ...]:
    """The lines of a part. `seen` counts ids from part to part, so that the ids are those of the whole report."""
    return words.lines(part.report, day, seen)
