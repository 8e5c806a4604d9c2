"""Writes the evidence pack: a zip of all files of a run, a manifest with a hash of each file, and a signature over it.

`manifest.json` is signed with Ed25519; `signature.bin` is over its exact bytes, `public-key.pem` is the key. The
SHA-256 of the manifest is the root (`gateway.jointtest.pack_root`). The report states the root, so it is made after the
pack and stands beside it. `gateway.jointtest.pack_check` reads packs.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gateway.jointtest.pack_root import grouped, root_of
from gateway.jointtest.run_store import EVIDENCE, Run, files_digest
from gateway.jointtest.run_store import FILE as JOURNAL

MANIFEST, SIGNATURE, PUBLIC_KEY = "manifest.json", "signature.bin", "public-key.pem"
FORM = 2
"""The form of the manifest. Form 1 named neither the signing key nor the end of the run's journal."""


@dataclass(frozen=True, slots=True)
class WrittenPack:
    """A pack's file and its root. `unlike` names the tries whose files changed after their verdict was written."""

    file: Path
    root: str
    unlike: tuple[str, ...]


def signing_key(file: Path) -> Ed25519PrivateKey:
    """The signing key in this file. If there is no file, a new key is written, mode 0600. Raises ValueError for another
    type of key."""
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
    """The fingerprint of a key: SHA-256 of the raw public key, in hexadecimal groups of four."""
    return grouped(hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest())


def cases_of(run: Run, titles: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """The standing of each case of a run, in the form of the manifest."""
    said = {}
    for name in run.cases:
        one = run.latest(name)
        if one is None:
            continue
        finding = one.finding
        said[name] = {
            "title": titles.get(name, ("", ""))[0],
            "title_zh": titles.get(name, ("", ""))[1],
            "verdict": finding.verdict.value,
            "why": finding.why,
            "round": one.round,
            "try": one.number,
            "until": None if finding.until is None else finding.until.isoformat(),
            "owner": finding.owner or None,
            "seen": None if finding.seen is None else finding.seen.value,
            "by": one.facts.get("by"),
            "started": one.started.isoformat(),
            "ended": None if one.ended is None else one.ended.isoformat(),
            "facts": dict(one.facts),
            "versions": dict(run.versions.get(one.round, {})),
            "evidence": one.name,
        }
    return said


def write_pack(
    folder: Path,
    run: Run,
    titles: Mapping[str, tuple[str, str]],
    about: Mapping[str, Any],
    key: Ed25519PrivateKey,
    now: datetime,
) -> WrittenPack:
    """Make the pack of a run in its folder. `about` names bank, environment and testers.

    The file's name ends with the first digits of the root, so a later pack never replaces one that people signed.
    """
    files = dict(_files(folder))
    digests = {name: _digest(file.read_bytes()) for name, file in files.items()}
    public = key.public_key()
    manifest = {
        "form": FORM,
        "run": run.id,
        "rounds": run.rounds,
        "made": now.isoformat(),
        "closed": None if run.closed is None else run.closed.isoformat(),
        "key": fingerprint(public),
        "journal": {"lines": run.lines, "head": run.head},
        **about,
        "cases": cases_of(run, titles),
        "files": {name: {"bytes": file.stat().st_size, "sha256": digests[name]} for name, file in files.items()},
    }
    octets = json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True).encode()
    root = root_of(octets)
    target = folder / f"evidence-{run.bank}-{run.id}-R{run.rounds}-{root[:8]}.zip"
    fresh = target.with_suffix(".new")
    with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr(MANIFEST, octets)
        out.writestr(SIGNATURE, key.sign(octets))
        out.writestr(PUBLIC_KEY, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        for name, file in files.items():
            out.write(file, name)
    fresh.replace(target)
    return WrittenPack(target, root, tuple(unlike_journal(run, digests)))


def unlike_journal(run: Run, digests: Mapping[str, str]) -> Iterator[str]:
    """The tries whose files are not those that they had when their verdict was written. `digests` is the SHA-256 of
    each file by its name in the pack."""
    by_try: dict[str, dict[str, str]] = {}
    for name, digest in digests.items():
        folder, _, rest = name.partition("/")
        tried, _, file = rest.partition("/")
        if folder == EVIDENCE:
            by_try.setdefault(tried, {})[file] = digest
    for one in run.tries:
        if one.digest and files_digest(by_try.get(one.name, {})) != one.digest:
            yield one.name


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    yield JOURNAL, folder / JOURNAL
    for file in sorted((folder / EVIDENCE).rglob("*")):
        if file.is_file():
            yield file.relative_to(folder).as_posix(), file


def _digest(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()
