"""Finds pinned packages with a known weakness, from a file of advisories. No network is used.

    python -m setup.advisories all.zip requirements/run.txt        # exit code 1: there is one

The file holds advisories in the OSV format, as the Python Packaging Advisory Database and osv.dev publish them for
PyPI: a zip, a folder, or one JSON file with one or a list. Carry it in by hand where machines have no way out. A file
in which there is no advisory for any Python package is refused: it would find nothing.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from setup.sbom import normalised, pinned


@dataclass(frozen=True, slots=True)
class AdvisoryHit:
    """A pinned package that an advisory names. `fixed` are the versions with the correction."""

    package: str
    version: str
    advisory: str
    aliases: tuple[str, ...]
    summary: str
    fixed: tuple[str, ...]


def advisories(file: Path) -> Iterator[Mapping[str, Any]]:
    """Every advisory of a file or folder. Raises OSError, ValueError."""
    if file.is_dir():
        for one in sorted(file.rglob("*.json")):
            yield json.loads(one.read_text("utf-8"))
    elif zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as packed:
            for name in packed.namelist():
                if name.endswith(".json"):
                    yield json.loads(packed.read(name))
    else:
        said = json.loads(file.read_text("utf-8"))
        yield from said if isinstance(said, list) else [said]


def hits(pins: Mapping[str, str], known: Iterator[Mapping[str, Any]]) -> list[AdvisoryHit]:
    """The weak packages among these. Raises ValueError if there is no advisory for any Python package."""
    found, looked = [], 0
    for one in known:
        for about in one.get("affected", ()):
            package = about.get("package", {})
            if package.get("ecosystem") != "PyPI":
                continue
            looked += 1
            name = normalised(package.get("name", ""))
            if one.get("withdrawn") or name not in pins or not affects(about, pins[name]):
                continue
            fixed = tuple(
                event["fixed"]
                for span in about.get("ranges", ())
                for event in span.get("events", ())
                if "fixed" in event and span.get("type") == "ECOSYSTEM"
            )
            found.append(
                AdvisoryHit(name, pins[name], one["id"], tuple(one.get("aliases", ())), one.get("summary", ""), fixed)
            )
    if not looked:
        raise ValueError("no advisory for a Python package is in it")
    return found


def affects(about: Mapping[str, Any], release: str) -> bool:
    """Whether one `affected` entry is about this version. A version that cannot be compared counts as affected."""
    if release in about.get("versions", ()):
        return True
    try:
        version = Version(release)
        return any(
            _inside(span.get("events", ()), version)
            for span in about.get("ranges", ())
            if span.get("type") == "ECOSYSTEM"
        )
    except InvalidVersion:
        return True


def _inside(events: Any, version: Version) -> bool:
    inside = False
    ordered = sorted(events, key=lambda event: Version(next(iter(event.values()))))
    for event in ordered:
        if "introduced" in event and (event["introduced"] == "0" or version >= Version(event["introduced"])):
            inside = True
        if "fixed" in event and version >= Version(event["fixed"]):
            inside = False
        if "last_affected" in event and version > Version(event["last_affected"]):
            inside = False
    return inside


def main(words: list[str]) -> int:
    """Print the weak packages; returns 0 for none, 1 for some, 2 if the file cannot be used."""
    file, locks = Path(words[0]), [Path(word) for word in words[1:]]
    pins = {name: release for lock in locks for name, (release, _hashes) in pinned(lock).items()}
    try:
        found = hits(pins, advisories(file))
    except (OSError, ValueError) as error:
        print(f"{file}: {error}", file=sys.stderr)
        return 2
    for hit in found:
        mended = f"; mended in {', '.join(hit.fixed)}" if hit.fixed else ""
        print(f"{hit.package} {hit.version}: {hit.advisory} {' '.join(hit.aliases)} {hit.summary}{mended}")
    print(f"{len(found)} weaknesses known in {len(pins)} packages")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
