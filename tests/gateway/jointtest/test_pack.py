"""An evidence pack opens only in the form in which it was signed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.jointtest import pack
from gateway.jointtest.pack import signing_key
from gateway.jointtest.pack_check import BadPack, attestation, open_pack
from gateway.jointtest.player import keep
from gateway.jointtest.run_store import RunStore
from gateway.jointtest.verdicts import CaseFinding, CaseVerdict, SeenAt
from gateway.settings import AttestedCase

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
EVIDENCE = "evidence/R1-probe-1/request.bin"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    store = RunStore(tmp_path, lambda: NOW)
    store.open("abc123", "sample", ["probe"])
    store.begin_round({"gateway": "1"})
    one = store.start("probe")
    keep(tmp_path / EVIDENCE, b"\x00\xff request")
    store.end(one, CaseFinding(CaseVerdict.PASSED, "answered", seen=SeenAt.TWIN), {"bank_serial": "9"})
    key = signing_key(tmp_path / "key.pem")
    return pack.write_pack(tmp_path, store.run, {"probe": ("the probe", "探测")}, {"bank": "sample"}, key, NOW).file


def rewritten(file: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    with zipfile.ZipFile(file) as old:
        there = {name: old.read(name) for name in old.namelist()}
    change(there)
    target = file.with_name("changed.zip")
    with zipfile.ZipFile(target, "w") as new:
        for name, octets in there.items():
            new.writestr(name, octets)
    return target


def test_it_says_how_each_case_stands(made: Path) -> None:
    opened = open_pack(made)
    case = opened.cases["probe"]
    assert (case["verdict"], case["seen"], case["title_zh"]) == ("passed", "twin", "探测")
    assert case["facts"] == {"bank_serial": "9"} and case["versions"] == {"gateway": "1"}
    assert EVIDENCE in opened.manifest["files"] and "journal.jsonl" in opened.manifest["files"]
    assert open_pack(made, opened.fingerprint.upper()).cases == opened.cases


def test_the_private_key_is_not_in_it(made: Path) -> None:
    with zipfile.ZipFile(made) as there:
        assert not any(b"PRIVATE" in there.read(name) for name in there.namelist())


def _verdict(there: dict[str, bytes]) -> None:
    there["manifest.json"] = there["manifest.json"].replace(b'"passed"', b'"failed"')


def _evidence(there: dict[str, bytes]) -> None:
    there[EVIDENCE] = b"\x00\xff answer!"


def _gone(there: dict[str, bytes]) -> None:
    del there[EVIDENCE]


def _more(there: dict[str, bytes]) -> None:
    there["evidence/R1-probe-1/answer.bin"] = b"x"


def _resigned(there: dict[str, bytes]) -> None:
    """The pack, changed, and signed with another person's key, whose public half replaces the old one."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = Ed25519PrivateKey.generate()
    there["signature.bin"] = key.sign(there["manifest.json"])
    there["public-key.pem"] = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (_verdict, "changed after it was signed"),
        (_evidence, "was changed"),
        (_gone, "is missing"),
        (_more, "not in the manifest"),
        (_resigned, "its manifest names the key"),
    ],
)
def test_a_change_shows(made: Path, change: Callable[[dict[str, bytes]], None], complaint: str) -> None:
    with pytest.raises(BadPack, match=complaint):
        open_pack(rewritten(made, change))


def test_the_key_and_the_root_can_be_asked_for(made: Path) -> None:
    opened = open_pack(made)
    assert open_pack(made, opened.fingerprint, opened.root.upper()).root == opened.root
    assert made.name == f"evidence-sample-abc123-R1-{opened.root[:8]}.zip"
    with pytest.raises(BadPack, match="is signed by"):
        open_pack(made, "00 00")
    with pytest.raises(BadPack, match="not the pack of the signed paper"):
        open_pack(made, root="0" * 64)
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        open_pack(made, root="12 34")


def test_what_is_no_pack_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"no zip")
    with pytest.raises(BadPack, match="no evidence pack"):
        open_pack(tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "y.zip", "w") as out:
        out.writestr("manifest.json", json.dumps({}))
    with pytest.raises(BadPack, match="no evidence pack"):
        open_pack(tmp_path / "y.zip")


def test_a_key_is_made_once(tmp_path: Path) -> None:
    first = signing_key(tmp_path / "a" / "key.pem")
    assert (tmp_path / "a" / "key.pem").stat().st_mode & 0o777 == 0o600
    assert pack.fingerprint(signing_key(tmp_path / "a" / "key.pem").public_key()) == pack.fingerprint(
        first.public_key()
    )


@pytest.mark.parametrize(
    ("seen", "verdict", "front_end", "complaint"),
    [
        (SeenAt.BANK, CaseVerdict.PASSED, "V4.3", ""),
        (SeenAt.TWIN, CaseVerdict.PASSED, "V4.3", "made against twin; only a run against the bank counts"),
        (SeenAt.BANK, CaseVerdict.FAILED, "V4.3", "is failed"),
        (SeenAt.BANK, CaseVerdict.PASSED, "", "says no version"),
    ],
)
def test_only_what_was_seen_at_the_bank_attests(
    tmp_path: Path, seen: SeenAt, verdict: CaseVerdict, front_end: str, complaint: str
) -> None:
    store = RunStore(tmp_path, lambda: NOW)
    store.open("abc123", "pab", ["repeat.payment"])
    store.begin_round({"gateway": "1", "front_end": front_end})
    store.end(store.start("repeat.payment"), CaseFinding(verdict, "by telephone", seen=seen), by="甲")
    key = signing_key(tmp_path / "key.pem")
    about = {"bank": "pab", "against": seen.value}
    written = pack.write_pack(tmp_path, store.run, {}, about, key, NOW)
    made, root = written.file, written.root
    if complaint:
        with pytest.raises(BadPack, match=complaint):
            attestation(made, "payment", root)
        return
    found = attestation(made, "payment", root)
    assert found.pop("bank") == "pab"
    assert AttestedCase.model_validate(found).seen_on == NOW.date()
    with pytest.raises(BadPack, match="no case repeat.transfer"):
        attestation(made, "transfer", root)
    with pytest.raises(BadPack, match="is signed by"):
        attestation(made, "payment", root, "00 00")
    with pytest.raises(BadPack, match="not the pack of the signed paper"):
        attestation(made, "payment", "0" * 64)
