"""The bill of materials equals the lock file, and the offline audit finds the packages that an advisory names."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from setup.advisories import advisories, affects, hits, main
from setup.sbom import bill, pinned
from tests.house import ROOT

LOCK = ROOT / "requirements" / "run.txt"


def advisory(package: str, *events: dict[str, str], versions: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    span = [{"type": "ECOSYSTEM", "events": list(events)}] if events else []
    about = {"package": {"ecosystem": "PyPI", "name": package}, "ranges": span, "versions": list(versions)}
    return {"id": "PYSEC-0", "aliases": ["CVE-0"], "summary": "weak", "affected": [about], **more}


def test_the_bill_has_every_package_of_the_lock_once() -> None:
    made, pins = bill(LOCK, "1.2.3"), pinned(LOCK)
    assert len(pins) > 30 and "cryptography" in pins and "argon2-cffi" in pins
    assert [one["name"] for one in made["components"]] == sorted(pins)
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    assert made["metadata"]["component"]["version"] == "1.2.3"
    refs = {one["bom-ref"] for one in made["components"]}
    assert len(refs) == len(pins) and set(made["dependencies"][0]["dependsOn"]) == refs
    for one in made["components"]:
        assert one["purl"] == f"pkg:pypi/{one['name']}@{pins[one['name']][0]}"
        assert one.get("hashes") or one["properties"]
    assert bill(LOCK, "1.2.3") == made, "the same lock makes the same bill"


@pytest.mark.parametrize(
    ("events", "inside"),
    [
        (({"introduced": "0"}, {"fixed": "2.0"}), True),
        (({"introduced": "0"}, {"fixed": "1.5"}), False),
        (({"introduced": "1.6"},), False),
        (({"introduced": "1.0"}, {"last_affected": "1.5"}), True),
        (({"introduced": "1.0"}, {"last_affected": "1.4"}), False),
        (({"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "1.4"}, {"fixed": "1.6"}), True),
        (({"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "1.6"}, {"fixed": "1.7"}), False),
    ],
)
def test_a_range_is_read_as_osv_says(events: tuple[dict[str, str], ...], inside: bool) -> None:
    assert affects(advisory("x", *events)["affected"][0], "1.5") is inside


def test_names_versions_and_withdrawn_ones() -> None:
    pins = {"argon2-cffi": "1.5", "lxml": "2.0"}
    assert [hit.package for hit in hits(pins, iter([advisory("Argon2_CFFI", versions=("1.5",))]))] == ["argon2-cffi"]
    assert (
        hits(
            pins,
            iter(
                [
                    advisory("argon2-cffi", versions=("1.4",)),
                    advisory("other", versions=("1.5",)),
                    advisory("lxml", versions=("2.0",), withdrawn="2026-01-01"),
                ]
            ),
        )
        == []
    )
    other = advisory("lxml", versions=("2.0",))
    other["affected"][0]["package"]["ecosystem"] = "npm"
    with pytest.raises(ValueError, match="no advisory for a Python package"):
        hits(pins, iter([other]))


def test_a_zip_a_folder_and_a_file_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    version = pinned(LOCK)["cryptography"][0]
    weak = advisory("cryptography", {"introduced": "0"}, {"fixed": "99999"})
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "one.json").write_text(json.dumps(weak))
    (tmp_path / "list.json").write_text(json.dumps([weak]))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.writestr("PYSEC-0.json", json.dumps(weak))
    for place in ("f", "list.json", "all.zip"):
        assert len(list(advisories(tmp_path / place))) == 1
        assert main([str(tmp_path / place), str(LOCK)]) == 1
        assert f"cryptography {version}: PYSEC-0 CVE-0 weak; mended in 99999" in capsys.readouterr().out
    (tmp_path / "list.json").write_text(json.dumps([advisory("cryptography", versions=("0.1",))]))
    assert main([str(tmp_path / "list.json"), str(LOCK)]) == 0
    (tmp_path / "list.json").write_text("[]")
    assert main([str(tmp_path / "list.json"), str(LOCK)]) == 2
    assert main([str(tmp_path / "missing"), str(LOCK)]) == 2
