"""`bankgw explain`: what was signed and why it does not fit, without anybody's name or account."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.desk import cli, codes
from gateway.desk.command_explain import masked
from tests.protocols.banks.finws.paper import US, pay, stage


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli.application(), ["explain", *map(str, words)])
    return result.exit_code, result.output


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    """A Finnish upload with its head of HTTP, as evidence keeps it."""
    made = stage()
    pay(made)
    file = tmp_path / "upload.bin"
    file.write_bytes(made.said[0].request)
    (tmp_path / "key.pem").write_bytes(US.pin.pem)
    return file


def test_both_signatures_of_an_upload_are_explained(sent: Path) -> None:
    code, text = run(sent, "--key", sent.parent / "key.pem")
    assert code == codes.OK, text
    assert text.count("signature /") == 2
    assert "inside /Envelope/Body/uploadFilein/ApplicationRequest" in text
    assert text.count(" fits\n") == 3
    assert f"fits the key pinned {US.pin.fingerprint}" in text
    assert "11111111" not in text and "00000000" in text


def test_names_and_numbers_are_shown_only_when_asked(sent: Path) -> None:
    assert "GOLDEN00000000000001" not in run(sent)[1]
    code, text = run(sent, "--clear", "--json")
    assert code == codes.OK
    layers = json.loads(text)["layers"]
    assert "GOLDEN00000000000001" in layers[1]["signatures"][0]["references"][0]["octets"]


def test_a_changed_byte_is_found(sent: Path) -> None:
    good = json.loads(run(sent, "--clear", "--json")[1])["layers"][0]["signatures"][0]["references"][0]
    (sent.parent / "theirs.txt").write_text(good["octets"])
    sent.write_bytes(sent.read_bytes().replace(b"<m:SenderId>1", b"<m:SenderId>2"))
    code, text = run(sent, "--against", sent.parent / "theirs.txt", "--json")
    assert code == codes.FAILED
    body, stamp = json.loads(text)["layers"][0]["signatures"][0]["references"]
    assert (body["fits"], stamp["fits"]) == (False, True)
    assert body["stated"] == good["stated"] != body["ours"]
    assert good["octets"].encode()[body["differs_at"]["byte"] - 12 :].startswith(b"<m:SenderId>1")
    assert "DOES NOT FIT" in run(sent)[1]


@pytest.mark.parametrize("content", [b"", b"no xml", b"<a/>", b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///dev/zero'>]><a>&x;</a>"])
def test_what_has_no_signature(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    code, text = run(tmp_path / "x")
    assert code == codes.FAILED
    assert text.strip()


def test_what_cannot_be_read(tmp_path: Path, sent: Path) -> None:
    assert run(tmp_path / "gone")[0] == codes.FAILED
    (tmp_path / "no.pem").write_text("x")
    assert run(sent, "--key", tmp_path / "no.pem")[0] == codes.USAGE
    assert run(sent, "--charset", "UTF-16")[0] == codes.USAGE


def test_masking_keeps_the_shape() -> None:
    text = '<a xmlns="urn:x" name="Ann 7"><b>Ä1 &amp; 张三\n</b><DigestValue>abc=</DigestValue></a>'
    assert masked(text) == '<a xmlns="urn:x" name="Xxx 0"><b>字0 &amp; 字字\n</b><DigestValue>abc=</DigestValue></a>'
