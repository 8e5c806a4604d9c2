"""Twelve ways in which the holder of the signing key alters a pack: the root of the signed paper finds each.

The holder has the run's folder, the key and this program. Each way writes the run's journal anew with a chain and
digests that fit, packs and signs. Such a pack is right in itself, which a check without the root confirms.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.jointtest import pack, run_store
from gateway.jointtest.pack import WrittenPack, signing_key
from gateway.jointtest.pack_check import BadPack, attestation, open_pack
from gateway.jointtest.player import keep
from gateway.jointtest.run_store import FILE, RunStore, files_digest, read_run
from gateway.jointtest.verdicts import CaseFinding, CaseVerdict, SeenAt

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
ABOUT: Mapping[str, Any] = {"bank": "pab", "against": "bank", "testers": {"ours": "甲", "bank": "乙"}}
CASES = ("settles.payment", "refused-by-bank.payment", "repeat.payment")
TITLES = dict.fromkeys(CASES, ("the case", "用例"))
Line = dict[str, Any]


def played(folder: Path, run_id: str) -> None:
    """A run against a bank: one case passed, one failed, and the repeat failed."""
    store = RunStore(folder, lambda: NOW)
    store.open(run_id, "pab", CASES)
    store.begin_round({"gateway": "1", "front_end": "V4.3"})
    for number, name in enumerate(CASES):
        one = store.start(name)
        order = {"id": f"JT-{run_id}-{number}", "account": "0000", "kind": "payment", "minor": 100}
        command = json.dumps(order).encode()
        keep(folder / "evidence" / one.name / "command-1.json", command)
        store.publishing(one, f"{one.name}-{run_id}-1", "payment.submit", [order], command)
        keep(folder / "evidence" / one.name / "gateway-wire.bin", f"bytes of {run_id} {name}".encode())
        verdict = CaseVerdict.FAILED if number else CaseVerdict.PASSED
        store.end(one, CaseFinding(verdict, "seen", seen=SeenAt.BANK), {"bank_serial": f"{number}"}, by="甲")
    store.close("甲")


def packed(folder: Path, about: Mapping[str, Any] = ABOUT, key: str = "key.pem") -> WrittenPack:
    """The run packed and signed."""
    return pack.write_pack(folder, read_run(folder), TITLES, about, signing_key(folder / key), NOW)


def rewritten(folder: Path, change: Callable[[list[Line]], list[Line] | None] = lambda lines: None) -> None:
    """Write the run's journal anew: changed, each verdict with its files' digest, and a chain that fits."""
    lines = [json.loads(line) for line in (folder / FILE).read_text("utf-8").splitlines()]
    changed, before, made = change(lines) or lines, "0" * 64, []
    for line in changed:
        if line["what"] == "verdict":
            tried = folder / "evidence" / f"R{line['round']}-{line['case']}-{line['number']}"
            line["files"] = files_digest({file.name: pack._digest(file.read_bytes()) for file in tried.iterdir()})
        line["before"] = before
        line["hash"] = before = run_store._hash(line)
        made.append(json.dumps(line, ensure_ascii=False, separators=(",", ":")))
    (folder / FILE).write_text("\n".join(made) + "\n", "utf-8")


def verdict_of(lines: list[Line], case: str) -> Line:
    return next(line for line in lines if line["what"] == "verdict" and line["case"] == case)


def flip(folder: Path) -> WrittenPack:
    def change(lines: list[Line]) -> None:
        verdict_of(lines, CASES[1])["verdict"] = "passed"

    rewritten(folder, change)
    return packed(folder)


def swap_file(folder: Path) -> WrittenPack:
    keep(folder / "evidence" / f"R1-{CASES[0]}-1" / "gateway-wire.bin", b"made up")
    rewritten(folder)
    return packed(folder)


def drop(folder: Path) -> WrittenPack:
    shutil.rmtree(folder / "evidence" / f"R1-{CASES[1]}-1")

    def change(lines: list[Line]) -> list[Line]:
        lines[0]["cases"].remove(CASES[1])
        return [line for line in lines if line.get("case") != CASES[1]]

    rewritten(folder, change)
    return packed(folder)


def change_time(folder: Path) -> WrittenPack:
    def change(lines: list[Line]) -> None:
        verdict_of(lines, CASES[0])["at"] = (NOW - timedelta(days=1)).isoformat()

    rewritten(folder, change)
    return packed(folder)


def add_file(folder: Path) -> WrittenPack:
    keep(folder / "evidence" / f"R1-{CASES[0]}-1" / "gateway-more.bin", b"made up")
    rewritten(folder)
    return packed(folder)


def others_evidence(folder: Path) -> WrittenPack:
    other = folder / "other"
    played(other, "def456")
    tried = folder / "evidence" / f"R1-{CASES[0]}-1"
    keep(tried / "gateway-wire.bin", (other / "evidence" / tried.name / "gateway-wire.bin").read_bytes())
    shutil.rmtree(other)
    rewritten(folder)
    return packed(folder)


def new_chain(folder: Path) -> WrittenPack:
    def change(lines: list[Line]) -> list[Line]:
        return [lines[0], {"what": "act", "at": NOW.isoformat(), "act": "business_date", "by": "丙"}, *lines[1:]]

    rewritten(folder, change)
    return packed(folder)


def other_tester(folder: Path) -> WrittenPack:
    return packed(folder, {**ABOUT, "testers": {"ours": "甲", "bank": "丙"}})


def front_end(folder: Path) -> WrittenPack:
    def change(lines: list[Line]) -> None:
        lines[1]["versions"]["front_end"] = "V5.0"

    rewritten(folder, change)
    return packed(folder)


def swap_cases(folder: Path) -> WrittenPack:
    def change(lines: list[Line]) -> None:
        first, second = verdict_of(lines, CASES[0]), verdict_of(lines, CASES[1])
        for name in ("verdict", "why", "facts"):
            first[name], second[name] = second[name], first[name]

    rewritten(folder, change)
    return packed(folder)


def repeat(folder: Path) -> WrittenPack:
    def change(lines: list[Line]) -> None:
        verdict_of(lines, CASES[2])["verdict"] = "passed"

    rewritten(folder, change)
    return packed(folder)


def new_key(folder: Path) -> WrittenPack:
    return packed(folder, key="another.pem")


WAYS = (
    flip,
    swap_file,
    drop,
    change_time,
    add_file,
    others_evidence,
    new_chain,
    other_tester,
    front_end,
    swap_cases,
    repeat,
    new_key,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    played(tmp_path / "run", "abc123")
    return tmp_path / "run"


def test_the_root_finds_each_of_twelve_alterations(folder: Path, tmp_path: Path) -> None:
    paper = packed(folder)
    rewritten(folder)
    assert packed(folder).root == paper.root, "the same run, packed at the same time, has the same root"
    found = 0
    for way in WAYS:
        copy = tmp_path / way.__name__
        shutil.copytree(folder, copy)
        forged = way(copy)
        open_pack(forged.file)
        assert forged.root != paper.root, way.__name__
        with pytest.raises(BadPack, match="not the pack of the signed paper"):
            open_pack(forged.file, root=paper.root)
        found += 1
    assert open_pack(paper.file, root=paper.root).root == paper.root
    print(f"{len(WAYS)} ways, {found} found")
    assert found == 12


def test_a_forged_repeat_attests_nothing(folder: Path) -> None:
    paper = packed(folder)
    forged = repeat(folder)
    assert attestation(forged.file, "payment", forged.root)["kind"] == "payment"
    with pytest.raises(BadPack, match="not the pack of the signed paper"):
        attestation(forged.file, "payment", paper.root)


def _zip(file: Path, change: Callable[[dict[str, bytes]], None], key: Ed25519PrivateKey) -> Path:
    """The pack with changed files, and a manifest that the key signs again."""
    with zipfile.ZipFile(file) as old:
        there = {name: old.read(name) for name in old.namelist()}
    change(there)
    there["signature.bin"] = key.sign(there["manifest.json"])
    there["public-key.pem"] = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with zipfile.ZipFile(file.with_name("clumsy.zip"), "w") as new:
        for name, octets in there.items():
            new.writestr(name, octets)
    return file.with_name("clumsy.zip")


def _edited(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, bytes]], None]:
    def edit(there: dict[str, bytes]) -> None:
        manifest = json.loads(there["manifest.json"])
        change(manifest)
        there["manifest.json"] = json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True).encode()

    return edit


def _flipped(manifest: dict[str, Any]) -> None:
    manifest["cases"][CASES[1]]["verdict"] = "passed"


def _dropped(manifest: dict[str, Any]) -> None:
    del manifest["cases"][CASES[1]]


def _other_end(manifest: dict[str, Any]) -> None:
    manifest["journal"]["head"] = "0" * 64


def _other_run(manifest: dict[str, Any]) -> None:
    manifest["run"] = "def456"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_flipped, "refused-by-bank.payment: the manifest says passed in R1.*, the run's journal failed in R1"),
        (_dropped, "refused-by-bank.payment: the manifest says nothing, the run's journal failed"),
        (_other_end, "has other lines than those that the manifest names"),
        (_other_run, "is the journal of another run"),
    ],
)
def test_a_manifest_that_was_signed_again_disagrees_with_the_journal(
    folder: Path, change: Callable[[dict[str, Any]], None], complaint: str
) -> None:
    made, key = packed(folder), signing_key(folder / "key.pem")
    with pytest.raises(BadPack, match=complaint):
        open_pack(_zip(made.file, _edited(change), key))


def test_another_key_alone_disagrees_with_the_manifest(folder: Path) -> None:
    made = packed(folder)
    with pytest.raises(BadPack, match="its manifest names the key"):
        open_pack(_zip(made.file, lambda there: None, Ed25519PrivateKey.generate()), root=made.root)


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        ("gateway-wire.bin", "settles.payment-1: its files are not those at the end of the try"),
        ("command-1.json", "command-1: is not the command that the run's journal says was published"),
    ],
)
def test_files_that_changed_after_the_verdict_are_told(folder: Path, file: str, complaint: str) -> None:
    keep(folder / "evidence" / f"R1-{CASES[0]}-1" / file, b"made up")
    made = packed(folder)
    assert made.unlike == (f"R1-{CASES[0]}-1",)
    with pytest.raises(BadPack, match=complaint):
        open_pack(made.file)


def test_a_try_that_goes_on_has_no_digest_yet(folder: Path) -> None:
    store = RunStore(folder, lambda: NOW)
    one = store.run.tries[0]
    assert one.digest
    keep(folder / "evidence" / one.name / "command-2.json", b"{}")
    store.publishing(one, f"{one.name}-abc123-2", "status.query", [], b"{}")
    assert store.run.tries[0].digest == "" and packed(folder).unlike == ()
    open_pack(packed(folder).file)
