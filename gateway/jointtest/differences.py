"""Differences between two rounds or packs, and the cases that must be played again after an upgrade."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from gateway.jointtest.cases import Case

_COMPARED = ("verdict", "why", "versions")
EVERYTHING = (
    "gateway/kernel",
    "gateway/register",
    "gateway/people",
    "gateway/payments",
    "gateway/approvals",
    "gateway/statements",
    "gateway/receipts",
    "gateway/pools",
    "gateway/bank",
    "protocols/canon",
    "protocols/bank.py",
)
"""Parts that every exchange uses. A change of one of them asks for all cases."""
_PARTS: Mapping[str, tuple[str, ...]] = {
    "gateway/erp": ("happy", "rails", "refusals", "duplicates", "fields", "bundles", "questions"),
    "protocols/erp": ("happy", "rails", "refusals", "duplicates", "fields", "bundles", "questions"),
    "protocols/kit": ("happy", "rails", "refusals", "fields", "faults", "bundles", "questions"),
    "gateway/control": (),
    "gateway/cli": (),
    "gateway/watch": (),
    "gateway/demo": (),
    "gateway/simbank": (),
    "gateway/jointtest": (),
    "docs": (),
    "tests": (),
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One case whose standing has changed. `what` names the changed fields."""

    case: str
    what: tuple[str, ...]
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.case}: {self.before} → {self.after}"


def between(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> Iterator[Difference]:
    """The differences between the cases of two manifests (`pack.cases_of`). A reason that differs only in fresh ids is
    no difference.
    """
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            yield Difference(name, ("case",), *(("not there", "new") if old is None else ("there", "gone")))
            continue
        what = tuple(one for one in _COMPARED if _plain(one, old) != _plain(one, new))
        if what and what != ("why",) or what == ("why",) and old["verdict"] != "passed":
            yield Difference(name, what, _short(old), _short(new))


def _plain(field: str, said: Mapping[str, Any]) -> Any:
    return said.get(field)


def _short(said: Mapping[str, Any]) -> str:
    versions = said.get("versions") or {}
    told = ", ".join(f"{side} {version}" for side, version in versions.items() if version)
    return f"{said['verdict']} in R{said['round']} ({told})"


def program() -> dict[str, str]:
    """The SHA-256 of every file of this program by its path: the program with which a pack was made."""
    found = {}
    for package in ("gateway", "protocols"):
        root = Path(str(resources.files(package)))
        for file in sorted(root.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                name = f"{package}/{file.relative_to(root).as_posix()}"
                found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def changed_files(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The files that differ between two programs."""
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def affected(cases: Sequence[Case], bank: str, changed: Sequence[str]) -> dict[str, str]:
    """The cases to play again after these files changed, each with the first file that makes it necessary."""
    found: dict[str, str] = {}
    for path in changed:
        for case in cases:
            if case.id not in found and not case.lacks and _asks(case, bank, path):
                found[case.id] = path
    return found


def _asks(case: Case, bank: str, path: str) -> bool:
    if path.startswith("protocols/banks/"):
        return path.startswith(f"protocols/banks/{bank}/") and not path.endswith(("twin.py", ".dlg", ".md"))
    for part, sections in _PARTS.items():
        if path.startswith(f"{part}/") or path == part:
            return case.section in sections
    if path.startswith(EVERYTHING):
        return True
    # A file that nobody has assigned may matter, so it makes every case necessary.
    return path.startswith(("gateway/", "protocols/", "requirements/", "pyproject.toml"))
