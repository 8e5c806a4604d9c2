"""The table of docs/understand/attacks.md. `python -m tests.attacks.page --write` writes it anew."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from tests.attacks.catalogue import ALL, needs_signature
from tests.house import ROOT

PAGE: Final = Path(ROOT) / "docs/understand/attacks.md"
BEGIN: Final = "<!-- the table: python -m tests.attacks.page --write -->\n"


def table() -> str:
    """The table with one row for each kind: number, name, the messages it applies to, and whether the bank must sign
    its answers.
    """
    rows = [f"| {kind.number} | {kind.name} | {kind.applies_to} |" for kind in ALL]
    without = sum(needs_signature(kind) for kind in ALL)
    head = (
        f"{len(ALL) - without} of {len(ALL)} kinds are for every bank whose answers are XML; the other {without} need "
        "a signature that the adapter verifies itself, and have nothing to attack where the bank's front end does it.\n"
    )
    return head + "\n| | attack | made of |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def main() -> int:
    """Writes the page, or checks whether it is up to date."""
    text = PAGE.read_text("utf-8")
    whole = text[: text.index(BEGIN) + len(BEGIN)] + "\n" + table()
    if "--write" in sys.argv:
        PAGE.write_text(whole, "utf-8")
        return 0
    return int(whole != text)


if __name__ == "__main__":
    sys.exit(main())
