"""Lists what the pages claim about the product, and draws some of it for a person to check. It does not ship.

    python -m tests.docs.claims --seed 34 --count 25

A claim is a sentence, a row of a table or an item of a list that names code or a number: those can be wrong.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator

from tests.house import texts

FOLDERS = ("docs/do/", "docs/learn/", "docs/understand/")
# Made by programs from what they describe, and held by tests of their own.
MADE = ("docs/understand/states.md", "docs/understand/session-states.md", "docs/understand/failure-table.md")
_BLOCK = re.compile(r"^ *```.*?^ *```|<!--.*?-->", re.MULTILINE | re.DOTALL)
_ENDS = re.compile(r"(?<=[.:;!?])\s+(?=[A-Z`*])")


def claims(markdown: str) -> Iterator[str]:
    """The claims of one page, in their order."""
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[-|]|\d+\. ))", _BLOCK.sub("", markdown)):
        text = " ".join(paragraph.split())
        if f"{paragraph}\n|---" in markdown:
            continue  # the head of a table
        if text.startswith(("#", "[")) or re.fullmatch(r"[|\s:-]*", text):
            continue
        whole = [text] if text.startswith("|") else _ENDS.split(text)
        yield from (one for one in whole if re.search(r"`|\d", one) and len(one.split()) > 4)  # noqa: PLR2004


def every() -> list[tuple[str, str]]:
    """All claims of the English pages, each with its page."""
    pages = sorted(path for path in texts() if path.startswith(FOLDERS) and path.endswith(".md"))
    return [(path, one) for path in pages if ".zh." not in path and path not in MADE for one in claims(texts()[path])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=25)
    chosen = parser.parse_args()
    found = every()
    print(f"{len(found)} claims; drawn by seed {chosen.seed}:")
    for number, (path, one) in enumerate(random.Random(chosen.seed).sample(found, chosen.count), 1):
        print(f"{number:2}. {path}\n    {one}")


if __name__ == "__main__":
    main()
