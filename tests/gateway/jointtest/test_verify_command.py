"""`bankgw joint-test verify`, `countersign` and `attest` as people call them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.jointtest.pack_root import grouped, read_root
from tests.gateway.jointtest.test_alterations import other_tester, packed, played, repeat
from tests.gateway.jointtest.test_countersignature import KEYS, certified
from tests.house import ROOT


def said(*words: str | Path, language: str = "C.UTF-8") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "joint-test", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "LC_ALL": language},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_pack_is_verified_with_the_root_and_without(tmp_path: Path) -> None:
    played(tmp_path, "abc123")
    made = packed(tmp_path)
    code, text = said("verify", made.file, "--root", grouped(made.root))
    assert code == 0 and f"root {grouped(made.root)}: the pack is that of the paper" in text, text
    code, text = said("verify", made.file)
    assert code == 0 and "only the holder of the signing key vouches for this pack" in text, text
    code, text = said("verify", made.file, language="zh_CN.UTF-8")
    assert code == 0 and "此证据包仅由签名密钥的持有人担保" in text, text
    assert said("verify", made.file, "--root", "12")[0] == 2
    forged = other_tester(tmp_path)
    code, text = said("verify", forged.file, "--root", made.root)
    assert code == 1 and "this is not the pack of the signed paper" in text, text


def test_the_bank_countersigns_with_its_certificate(tmp_path: Path) -> None:
    played(tmp_path, "abc123")
    made = packed(tmp_path)
    certified(tmp_path, "bank", KEYS["rsa"])
    certified(tmp_path, "other", KEYS["rsa"])
    pair = ("--certificate", tmp_path / "bank.pem", "--key", tmp_path / "bank.key")
    code, text = said("verify", made.file, "--bank-certificate", tmp_path / "bank.pem")
    assert code == 1 and "the bank has not countersigned" in text, text
    assert said("countersign", made.file, *pair, "--root", "0" * 64)[0] == 1
    assert said("countersign", made.file, *pair, "--root", made.root)[0] == 0
    code, text = said("countersign", made.file, *pair)
    assert code == 3 and "it is never replaced" in text, text
    code, text = said("verify", made.file, "--root", made.root, "--bank-certificate", tmp_path / "bank.pem")
    assert code == 0 and "countersigned by CN=bank" in text and "the certificate you named" in text, text
    code, text = said("verify", made.file)
    assert code == 0 and "nobody vouches for this certificate" in text, text
    code, text = said("verify", made.file, "--bank-certificate", tmp_path / "other.pem")
    assert code == 1 and "another certificate made it" in text, text
    forged = other_tester(tmp_path)
    signature = made.file.with_name(f"{made.file.name}.p7s")
    signature.rename(forged.file.with_name(f"{forged.file.name}.p7s"))
    code, text = said("verify", forged.file)
    assert code == 1 and "over other bytes" in text, text


@pytest.mark.parametrize("words", [(), ("--root", "0" * 64)])
def test_a_repeat_is_attested_with_the_root_only(tmp_path: Path, words: tuple[str, ...]) -> None:
    played(tmp_path, "abc123")
    made = repeat(tmp_path)
    code, text = said("attest", made.file, "payment", "--root", made.root)
    assert code == 0 and text.startswith("[[banks.pab.attested]]\n") and 'front_end = "V4.3"' in text, text
    assert said("attest", made.file, "payment", *words)[0] in (2, 3)


def test_a_root_is_read_as_people_type_it() -> None:
    root = "8f3a91c0" * 8
    assert read_root(grouped(root).upper()) == read_root(f" {root}\n") == root
    for wrong in ("", root[:-1], root + "0", "g" * 64):
        with pytest.raises(ValueError, match="64 hexadecimal digits"):
            read_root(wrong)
