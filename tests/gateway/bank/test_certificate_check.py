"""The check of certificate files: it finds all mistakes at once, each with file, setting and remedy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.bank.certificate_check import check, not_after
from gateway.simbank.pki import Authority, new_key, write_key
from tests.world.peers import TlsFiles, signed_with_sha1

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return TlsFiles(tmp_path_factory.mktemp("yard"), datetime.now(UTC))


def pem(yard: TlsFiles, *certificates: Any) -> Any:
    return yard.file(b"".join(one.public_bytes(Encoding.PEM) for one in certificates))


def expired(yard: TlsFiles) -> dict[str, Any]:
    return {"client_cert": pem(yard, yard.client_certificate(not_before=yard.now - 2 * DAY, not_after=yard.now - DAY))}


def not_yet(yard: TlsFiles) -> dict[str, Any]:
    return {"client_cert": pem(yard, yard.client_certificate(not_before=yard.now + DAY))}


def weak(yard: TlsFiles) -> dict[str, Any]:
    return {"client_cert": pem(yard, signed_with_sha1(yard.client_certificate(), yard.root.key))}


def odd_curve(yard: TlsFiles) -> dict[str, Any]:
    key = ec.generate_private_key(ec.SECP256K1())
    path = yard.file(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    ours = yard.root.issue("gateway", key.public_key(), yard.now)
    return {"client_cert": pem(yard, ours), "client_key": path}


def wrong_order(yard: TlsFiles) -> dict[str, Any]:
    stranger = Authority.root("Another Bank root", yard.now)
    return {"client_cert": pem(yard, yard.client_certificate(), stranger.certificate)}


def missing(yard: TlsFiles) -> dict[str, Any]:
    return {"client_cert": yard.folder / "missing.pem"}


def other_key(yard: TlsFiles) -> dict[str, Any]:
    write_key(yard.folder / "other.key", new_key())
    return {"client_key": yard.folder / "other.key"}


def open_key(yard: TlsFiles) -> dict[str, Any]:
    write_key(yard.folder / "open.key", yard.client_key)
    (yard.folder / "open.key").chmod(0o644)
    return {"client_key": yard.folder / "open.key"}


def garbage_ca(yard: TlsFiles) -> dict[str, Any]:
    return {"ca_file": yard.file(b"nothing")}


def rootless_ca(yard: TlsFiles) -> dict[str, Any]:
    return {"ca_file": pem(yard, yard.root.subordinate("issuing", yard.now).certificate)}


def stale_crl(yard: TlsFiles) -> dict[str, Any]:
    crl = yard.root.crl([], yard.now - 2 * DAY, yard.now - DAY)
    return {"crl_file": yard.file(crl.public_bytes(Encoding.PEM))}


def binary_crl(yard: TlsFiles) -> dict[str, Any]:
    return {"crl_file": yard.file(yard.root.crl([], yard.now, yard.now + DAY).public_bytes(Encoding.DER))}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (expired, "expired at"),
        (not_yet, "not valid before"),
        (weak, "signed with sha1"),
        (odd_curve, "curve secp256k1"),
        (wrong_order, "is not issued by"),
        (missing, "cannot be read"),
        (other_key, "does not belong"),
        (open_key, "mode 0644"),
        (garbage_ca, "no readable PEM certificate"),
        (rootless_ca, "no self-signed root"),
        (stale_crl, "is stale"),
        (binary_crl, "holds no PEM CRL"),
    ],
)
def test_a_mistake_is_told_with_file_setting_and_remedy(
    yard: TlsFiles, make: Callable[[TlsFiles], dict[str, Any]], words: str
) -> None:
    wrong = make(yard)
    setting, file = next(iter(wrong.items()))
    (problem,) = check(yard.settings(**wrong), yard.now)
    assert (problem.key, problem.file) == (setting, file)
    assert words in problem.what
    assert str(problem).startswith(f"{file}: {setting}: ")
    assert problem.remedy in str(problem)


def test_all_mistakes_are_told_at_once(yard: TlsFiles) -> None:
    problems = check(yard.settings(**expired(yard), **open_key(yard), **garbage_ca(yard), **stale_crl(yard)), yard.now)
    assert [problem.key for problem in problems] == ["client_key", "client_cert", "ca_file", "crl_file"]


def test_nothing_is_wrong_with_good_files(yard: TlsFiles) -> None:
    issuing = yard.root.subordinate("issuing", yard.now)
    ours = issuing.issue("gateway", yard.client_key.public_key(), yard.now)
    chain = pem(yard, ours, issuing.certificate)
    assert check(yard.settings(client_cert=chain), yard.now) == []
    assert check(yard.settings(client_cert=None, client_key=None, require_mutual=False), yard.now) == []


def test_the_ends_of_all_files_are_known(yard: TlsFiles) -> None:
    ours = yard.client_certificate(not_after=yard.now + 3 * DAY)
    short = Authority.root("short", yard.now - 2 * DAY)
    crl = yard.root.crl([], yard.now - DAY, yard.now + DAY)
    times = not_after(
        yard.settings(
            client_cert=pem(yard, ours),
            ca_file=pem(yard, yard.root.certificate, short.certificate),
            crl_file=yard.file(crl.public_bytes(Encoding.PEM)),
        )
    )
    assert times == {
        "client_cert": ours.not_valid_after_utc,
        "ca_file": short.certificate.not_valid_after_utc,
        "crl_file": crl.next_update_utc,
    }
    assert set(not_after(yard.settings())) == {"client_cert", "ca_file"}
