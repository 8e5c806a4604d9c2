"""Checks an evidence pack: its root, its signature, every file, and the run's journal in it.

Everything in a pack hangs on its root. Without a root from elsewhere (the signed paper), a check can only say that the
parts agree with each other, and that much the holder of the signing key can make of any content.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gateway.jointtest.pack import MANIFEST, PUBLIC_KEY, SIGNATURE, cases_of, fingerprint, unlike_journal
from gateway.jointtest.pack_root import grouped, read_root, root_of
from gateway.jointtest.run_store import EVIDENCE, BadJournal, CaseAttempt, Run, run_of
from gateway.jointtest.run_store import FILE as JOURNAL
from gateway.jointtest.verdicts import CaseVerdict, SeenAt

_OUTSIDE = (MANIFEST, SIGNATURE, PUBLIC_KEY)
_BYTES_MOST = 512 * 1024 * 1024


class BadPack(ValueError):
    """The content of a pack differs from what was signed; every difference on a line of its own. `chinese` is the text
    in Chinese, if it is known."""

    def __init__(self, text: str, chinese: str = "") -> None:
        super().__init__(text)
        self.chinese = chinese


@dataclass(frozen=True, slots=True)
class OpenedPack:
    """A pack in which no difference was found. `fingerprint` is that of the signing key.

    `run` is the run as the journal in the pack has it.
    """

    file: Path
    manifest: Mapping[str, Any]
    octets: bytes
    root: str
    fingerprint: str
    run: Run

    @property
    def cases(self) -> Mapping[str, Mapping[str, Any]]:
        """The standing of each case."""
        found: Mapping[str, Mapping[str, Any]] = self.manifest["cases"]
        return found

    @property
    def digests(self) -> Mapping[str, str]:
        """The SHA-256 of each file by its name in the pack."""
        return {name: str(one["sha256"]) for name, one in self.manifest["files"].items()}


def open_pack(file: Path, trusted: str | None = None, root: str | None = None) -> OpenedPack:
    """Check a pack, and find every difference.

    `root` is the root that the signed paper states; `trusted` is the fingerprint of the key that must have signed.
    Raises BadPack, OSError; ValueError for a root that is none.
    """
    wanted = None if root is None else read_root(root)
    try:
        with zipfile.ZipFile(file) as pack:
            if sum(one.file_size for one in pack.infolist()) > _BYTES_MOST:
                raise BadPack(f"{file}: is larger than {_BYTES_MOST} bytes unpacked")
            return _checked(file, pack, trusted, wanted)
    except zipfile.BadZipFile:
        chinese = f"{file}：不是证据包（不是 zip 文件）"
        raise BadPack(f"{file}: is no evidence pack: it is no zip file", chinese) from None
    except (KeyError, UnicodeDecodeError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise BadPack(f"{file}: is no evidence pack: {error}") from None


def _checked(file: Path, pack: zipfile.ZipFile, trusted: str | None, wanted: str | None) -> OpenedPack:
    octets = pack.read(MANIFEST)
    root, manifest = root_of(octets), json.loads(octets)
    wrong: list[str] = []
    if wanted is not None and wanted != root:
        wrong.append(f"its root is {grouped(root)}, not {grouped(wanted)}: this is not the pack of the signed paper")
    print_, about_key = _signature(pack, octets, manifest, trusted)
    wrong += about_key
    wrong += _files(pack, manifest)
    run = Run()
    if JOURNAL in pack.namelist():
        try:
            run = run_of(pack.read(JOURNAL), JOURNAL)
        except BadJournal as error:
            wrong.append(str(error))
        except (KeyError, ValueError, TypeError, StopIteration) as error:
            wrong.append(f"{JOURNAL}: cannot be read as a run's journal: {error!r}")
        else:
            wrong += _against_journal(run, manifest)
    if wrong:
        raise BadPack("\n".join(f"{file}: {one}" for one in wrong))
    return OpenedPack(file, manifest, octets, root, print_, run)


def _signature(
    pack: zipfile.ZipFile, octets: bytes, manifest: Mapping[str, Any], trusted: str | None
) -> tuple[str, list[str]]:
    """The fingerprint of the signing key, and what is wrong with key and signature."""
    try:
        key = load_pem_public_key(pack.read(PUBLIC_KEY))
    except (ValueError, UnsupportedAlgorithm):
        return "", [f"{PUBLIC_KEY}: holds no public key"]
    if not isinstance(key, Ed25519PublicKey):
        return "", ["it is signed with another sort of key than Ed25519"]
    print_, wrong = fingerprint(key), []
    if trusted is not None and trusted.replace(" ", "").lower() != print_.replace(" ", ""):
        wrong.append(f"it is signed by {print_}, not by {trusted}")
    if manifest["form"] > 1 and manifest["key"] != print_:
        wrong.append(f"it is signed by {print_}, and its manifest names the key {manifest['key']}")
    try:
        key.verify(pack.read(SIGNATURE), octets)
    except InvalidSignature:
        wrong.append("the manifest was changed after it was signed")
    return print_, wrong


def _files(pack: zipfile.ZipFile, manifest: Mapping[str, Any]) -> Iterator[str]:
    listed: Mapping[str, Mapping[str, Any]] = manifest["files"]
    names = pack.namelist()
    there = {name for name in names if name not in _OUTSIDE}
    yield from (f"{name}: is there twice" for name in sorted({name for name in names if names.count(name) > 1}))
    yield from (f"{name}: is missing" for name in sorted(listed.keys() - there))
    yield from (f"{name}: is not in the manifest" for name in sorted(there - listed.keys()))
    for name in sorted(there & listed.keys()):
        if hashlib.sha256(pack.read(name)).hexdigest() != listed[name]["sha256"]:
            yield f"{name}: was changed"


def _against_journal(run: Run, manifest: Mapping[str, Any]) -> Iterator[str]:
    """The differences between the manifest and the run's journal in the same pack."""
    if manifest["form"] == 1:
        return
    cases: Mapping[str, Mapping[str, Any]] = manifest["cases"]
    titles = {name: (str(one["title"]), str(one["title_zh"])) for name, one in cases.items()}
    told = cases_of(run, titles)
    for name in sorted(told.keys() | cases.keys()):
        if told.get(name) != cases.get(name):
            yield f"{name}: the manifest says {_said(cases.get(name))}, the run's journal {_said(told.get(name))}"
    end = {"lines": run.lines, "head": run.head}
    if manifest["journal"] != end:
        yield f"{JOURNAL}: has other lines than those that the manifest names"
    closed = None if run.closed is None else run.closed.isoformat()
    if (run.id, run.bank, run.rounds, closed) != tuple(manifest[one] for one in ("run", "bank", "rounds", "closed")):
        yield f"{JOURNAL}: is the journal of another run, round or bank than the manifest names"
    digests = {name: str(one["sha256"]) for name, one in manifest["files"].items()}
    for tried in unlike_journal(run, digests):
        yield f"{EVIDENCE}/{tried}: its files are not those at the end of the try, whose digest the run's journal has"
    known = {one.name for one in run.tries}
    for name in digests:
        folder, _, rest = name.partition("/")
        if folder == EVIDENCE and rest.partition("/")[0] not in known:
            yield f"{name}: belongs to no try in the run's journal"
    for one in run.tries:
        yield from _commands(one, digests)


def _said(case: Mapping[str, Any] | None) -> str:
    if case is None:
        return "nothing"
    seen = f", seen at {case['seen']}" if case.get("seen") else ""
    return f"{case.get('verdict')} in {case.get('evidence')}{seen}, ended {case.get('ended')}"


def _commands(one: CaseAttempt, digests: Mapping[str, str]) -> Iterator[str]:
    """The commands of a try whose file is not what the journal says was published."""
    for said in one.published:
        number = str(said["message_id"]).rpartition("-")[2]
        stem = f"{EVIDENCE}/{one.name}/command-{number}"
        found = digests.get(f"{stem}.json") or digests.get(f"{stem}.xml")
        if found != said["sha256"]:
            yield f"{stem}: is not the command that the run's journal says was published as {said['message_id']}"


def attestation(file: Path, kind: str, root: str, trusted: str | None = None) -> dict[str, str]:
    """A pack's statement about repeats of one kind of order, in the form of the settings.

    `root` is the root that the signed paper states. Raises BadPack, OSError; ValueError for a root that is none.
    """
    opened = open_pack(file, trusted, root)
    name = f"repeat.{kind}"
    case = opened.cases.get(name)
    against = opened.manifest.get("against")
    if against != SeenAt.BANK:
        raise BadPack(f"{file}: was made against {against or 'nobody'}; only a run against the bank counts")
    if case is None:
        raise BadPack(f"{file}: has no case {name}; it is made by hand at the bank")
    if case["verdict"] != CaseVerdict.PASSED or case["seen"] != SeenAt.BANK:
        seen = case["seen"] or "nobody"
        raise BadPack(f"{file}: {name} is {case['verdict']}, seen at {seen}; it must have passed at the bank")
    front_end = str(case["versions"].get("front_end") or "")
    if not front_end:
        raise BadPack(f"{file}: says no version of the bank's front end; write it into the plan and play a round again")
    return {
        "bank": str(opened.manifest["bank"]),
        "kind": kind,
        "case": name,
        "front_end": front_end,
        "seen_on": str(case["ended"])[:10],
        "pack_sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
    }
