"""The evidence pack: a zip of everything that a run kept, a manifest with a hash of each file, and a signature over it.

`manifest.json` is signed with Ed25519; `signature.bin` is over its exact bytes, `public-key.pem` is the key. Whoever
trusts the key's fingerprint (it stands in the report, which people sign) trusts every byte of the pack.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from gateway.jointtest.run_store import FILE as JOURNAL
from gateway.jointtest.run_store import Run
from gateway.jointtest.verdicts import CaseVerdict, SeenAt

MANIFEST, SIGNATURE, PUBLIC_KEY = "manifest.json", "signature.bin", "public-key.pem"
FORM = 1
_BYTES_MOST = 512 * 1024 * 1024


class BadPack(ValueError):
    """A pack is not what was signed; every difference on a line of its own."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A pack whose signature and hashes are right. `fingerprint` is that of the key that signed it."""

    manifest: Mapping[str, Any]
    fingerprint: str

    @property
    def cases(self) -> Mapping[str, Mapping[str, Any]]:
        """How each case stands."""
        found: Mapping[str, Mapping[str, Any]] = self.manifest["cases"]
        return found


def signing_key(file: Path) -> Ed25519PrivateKey:
    """The key of this file; makes it, mode 0600, where there is none. Raises ValueError for another sort of key."""
    if not file.exists():
        made = Ed25519PrivateKey.generate()
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key = load_pem_private_key(file.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{file} is no Ed25519 key; name another file or remove it")
    return key


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the raw public key, in hexadecimal groups of four."""
    digest = hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()
    return " ".join(digest[n : n + 4] for n in range(0, len(digest), 4))


def cases_of(run: Run, titles: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """How each case of a run stands, as the manifest says it."""
    said = {}
    for name in run.cases:
        one = run.latest(name)
        if one is None:
            continue
        finding = one.finding
        said[name] = {
            "title": titles.get(name, ("", ""))[0], "title_zh": titles.get(name, ("", ""))[1],
            "verdict": finding.verdict.value, "why": finding.why, "round": one.round, "try": one.number,
            "until": None if finding.until is None else finding.until.isoformat(), "owner": finding.owner or None,
            "seen": None if finding.seen is None else finding.seen.value, "by": one.facts.get("by"),
            "started": one.started.isoformat(), "ended": None if one.ended is None else one.ended.isoformat(),
            "facts": dict(one.facts), "versions": dict(run.versions.get(one.round, {})), "evidence": one.name,
        }  # fmt: skip
    return said


def write(folder: Path, run: Run, titles: Mapping[str, tuple[str, str]], about: Mapping[str, Any],
          key: Ed25519PrivateKey, now: datetime, more: Sequence[Path] = ()) -> Path:  # fmt: skip
    """Make the pack of a run in its folder; returns the file. `about` names bank, environment and testers."""
    files = dict(_files(folder, more))
    manifest = {
        "form": FORM, "run": run.id, "rounds": run.rounds, "made": now.isoformat(),
        "closed": None if run.closed is None else run.closed.isoformat(), **about,
        "cases": cases_of(run, titles),
        "files": {name: {"bytes": file.stat().st_size, "sha256": _digest(file.read_bytes())}
                  for name, file in files.items()},
    }  # fmt: skip
    octets = json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True).encode()
    public = key.public_key()
    target = folder / f"evidence-{run.bank}-{run.id}-R{run.rounds}.zip"
    fresh = target.with_suffix(".new")
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr(MANIFEST, octets)
        out.writestr(SIGNATURE, key.sign(octets))
        out.writestr(PUBLIC_KEY, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        for name, file in files.items():
            out.write(file, name)
    fresh.replace(target)
    return target


def _files(folder: Path, more: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    yield JOURNAL, folder / JOURNAL
    for file in sorted((folder / "evidence").rglob("*")):
        if file.is_file():
            yield file.relative_to(folder).as_posix(), file
    for file in more:
        yield file.name, file


def _digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()


def open_pack(file: Path, trusted: str | None = None) -> Opened:
    """Check signature and hashes. `trusted` is the fingerprint that must have signed. Raises BadPack, OSError."""
    try:
        with zipfile.ZipFile(file) as pack:
            if sum(one.file_size for one in pack.infolist()) > _BYTES_MOST:
                raise BadPack(f"{file}: is larger than {_BYTES_MOST} bytes unpacked")
            return _checked(file, pack, trusted)
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise BadPack(f"{file}: is no evidence pack: {error}") from None


def _checked(file: Path, pack: zipfile.ZipFile, trusted: str | None) -> Opened:
    octets = pack.read(MANIFEST)
    key = load_pem_public_key(pack.read(PUBLIC_KEY))
    if not isinstance(key, Ed25519PublicKey):
        raise BadPack(f"{file}: is signed with another sort of key")
    print_ = fingerprint(key)
    if trusted is not None and trusted.replace(" ", "").lower() != print_.replace(" ", ""):
        raise BadPack(f"{file}: is signed by {print_}, not by {trusted}")
    try:
        key.verify(pack.read(SIGNATURE), octets)
    except InvalidSignature:
        raise BadPack(f"{file}: the manifest was changed after it was signed") from None
    manifest = json.loads(octets)
    there = {name for name in pack.namelist() if name not in (MANIFEST, SIGNATURE, PUBLIC_KEY)}
    wrong = [f"{name}: is missing" for name in sorted(manifest["files"].keys() - there)]
    wrong += [f"{name}: is not in the manifest" for name in sorted(there - manifest["files"].keys())]
    wrong += [f"{name}: was changed" for name in sorted(there & manifest["files"].keys())
              if _digest(pack.read(name)) != manifest["files"][name]["sha256"]]  # fmt: skip
    if wrong or len(pack.namelist()) != len(set(pack.namelist())):
        raise BadPack("\n".join(f"{file}: {one}" for one in wrong or ["a name is there twice"]))
    return Opened(manifest, print_)


def attestation(file: Path, kind: str, trusted: str) -> dict[str, str]:
    """What a pack attests about repeats of one kind of order, as the settings take it. Raises BadPack, OSError."""
    opened = open_pack(file, trusted)
    name = f"repeat.{kind}"
    case = opened.cases.get(name)
    if case is None:
        raise BadPack(f"{file}: has no case {name}; it is made by hand at the bank")
    if case["verdict"] != CaseVerdict.PASSED or case["seen"] != SeenAt.BANK:
        seen = case["seen"] or "nobody"
        raise BadPack(f"{file}: {name} is {case['verdict']}, seen at {seen}; it must have passed at the bank")
    front_end = str(case["versions"].get("front_end") or "")
    if not front_end:
        raise BadPack(f"{file}: says no version of the bank's front end; write it into the plan and play a round again")
    return {"bank": str(opened.manifest["bank"]), "kind": kind, "case": name, "front_end": front_end,
            "seen_on": str(case["ended"])[:10], "pack_sha256": _digest(file.read_bytes())}  # fmt: skip
