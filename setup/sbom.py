"""The bill of materials of what is installed, from the hash-pinned lock: CycloneDX 1.6 as JSON, to standard output.

    python -m setup.sbom requirements/run.txt > bankgw.cdx.json

It reads the lock and no network. Hashes are those that the installer verified.
"""

from __future__ import annotations

import json
import os
import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def pinned(lock: Path) -> dict[str, tuple[str, list[str]]]:
    """Each package of a lock, by its normalised name: version and SHA-256 of its files."""
    found: dict[str, tuple[str, list[str]]] = {}
    name = ""
    for line in lock.read_text("utf-8").splitlines():
        if pin := _PIN.match(line):
            name = normalised(pin[1])
            found[name] = (pin[2], [])
        if name:
            found[name][1].extend(_HASH.findall(line))
    return found


def normalised(name: str) -> str:
    """A package's name in the form that indexes compare."""
    return re.sub(r"[-_.]+", "-", name).lower()


def bill(lock: Path, version: str) -> dict[str, Any]:
    """The CycloneDX document."""
    components = []
    for name, (release, hashes) in sorted(pinned(lock).items()):
        purl = f"pkg:pypi/{name}@{release}"
        one: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": release, "purl": purl}
        if len(hashes) == 1:
            one["hashes"] = [{"alg": "SHA-256", "content": hashes[0]}]
        elif hashes:
            one["properties"] = [{"name": "bankgw:sha256", "value": value} for value in hashes]
        if license_ := _license(name):
            one["licenses"] = [{"license": {"name": license_}}]
        components.append(one)
    root = {
        "type": "application",
        "bom-ref": "bankgw",
        "name": "bankgw",
        "version": version,
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    refs = [one["bom-ref"] for one in components]
    serial = uuid5(NAMESPACE_URL, f"bankgw {version} {' '.join(refs)}")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": root},
        "components": components,
        "dependencies": [{"ref": "bankgw", "dependsOn": refs}],
    }


def _license(name: str) -> str:
    try:
        said = metadata(name).json
    except PackageNotFoundError:
        return ""
    given = said.get("license_expression") or said.get("license") or ""
    if isinstance(given, str) and 0 < len(given) < 80:
        return given
    classes = [one.rpartition("::")[2].strip() for one in said.get("classifier", ()) if one.startswith("License")]
    return classes[0] if classes else ""


def version_of() -> str:
    """$VERSION, else that of pyproject.toml."""
    found = re.search(r'^version = "(.*)"', Path("pyproject.toml").read_text("utf-8"), re.MULTILINE)
    return os.environ.get("VERSION") or (found[1] if found else "0")


if __name__ == "__main__":
    json.dump(bill(Path(sys.argv[1]), version_of()), sys.stdout, indent=1)
    sys.stdout.write("\n")
