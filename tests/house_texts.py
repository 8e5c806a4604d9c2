"""Rules for texts: no path of a machine, no real number, no dead link. It does not ship."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

from tests.house import ROOT, texts

# Written in pieces, so that this file does not contain the names.
MACHINE_WORDS = re.compile(
    "|".join(
        (
            *(r"py" r"pi\.org", r"python" r"hosted\.org", r"registry\.np" r"mjs", r"deb\.de" r"bian\.org"),
            # A folder of a person's machine: an absolute path, not the end of a longer one.
            r"(?<![\w.~}*-])/(?:work|root)/",
        )
    )
)


def no_machine(path: str, text: str) -> Iterator[str]:
    """Committed text does not depend on the machine where it was written, or on the mirror that was used."""
    for line, words in enumerate(text.splitlines(), 1):
        if found := MACHINE_WORDS.search(words):
            yield f"{path}:{line}: `{found[0]}` is a host or a path of one machine"


def invented_numbers(path: str, text: str) -> Iterator[str]:
    """A number that could be a real card or account must begin with 0000. A date and a serial do not count."""
    for found in re.finditer(r"(?<![\w.])\d{16,19}(?![\w.]?\d|\w)", text):
        number = found[0]
        counting = number in "1234567890" * 3 or number in "0123456789" * 3
        a_date = re.match(r"20\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])", number)
        if number.startswith("0000") or counting or a_date or len(set(number)) == 1 or int(number) == 2**63 - 1:
            continue
        line = text.count("\n", 0, found.start()) + 1
        yield f"{path}:{line}: {number} could be a real account; begin it with 0000"


def slug(heading: str) -> str:
    """The anchor that a code host makes of a heading."""
    plain = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(markdown: str) -> set[str]:
    """All anchors of a page."""
    headings = re.findall(r"^#{1,6}\s+(.*?)\s*#*$", _without_code(markdown), re.MULTILINE)
    return {slug(heading) for heading in headings} | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", markdown))


def links(path: str, text: str, pages: Callable[[str], str | None]) -> Iterator[str]:
    """The faults of a page's relative links, which must lead to an existing page. `pages` returns a file's text, "" for
    a folder, None for nothing."""
    for target in re.findall(r"\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)", _without_code(text)):
        if re.match(r"[a-z+]+:|//", target):
            continue
        file, _, anchor = target.partition("#")
        place = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
        page = text if not file else pages(place)
        if page is None:
            yield f"{path}: the link to {target} leads nowhere"
        elif anchor and place.endswith(".md") and anchor not in anchors(page):
            yield f"{path}: {target} names a heading that {place} does not have"


def _without_code(markdown: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^(```|~~~).*?^\1", "", markdown, flags=re.MULTILINE | re.DOTALL))


def page_at(place: str) -> str | None:
    """The text behind a link of the committed pages."""
    if place in texts():
        return texts()[place]
    return "" if (ROOT / place).exists() else None
