from __future__ import annotations

import hmac
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from gateway.kernel.sql.vault import Vault, VaultError, create, load

KEY, OTHER = b"1" * 32, b"2" * 32
AAD = b"payments/order/01"


def test_what_is_sealed_opens_and_shows_nothing() -> None:
    vault = Vault({"k1": KEY}, "k1")
    sealed = vault.seal("示例甲公司".encode(), AAD)
    assert "示例甲公司".encode() not in sealed
    assert vault.open(sealed, AAD) == "示例甲公司".encode()
    assert vault.open(vault.seal(b"", AAD), AAD) == b""


def test_another_process_with_the_same_key_opens_it() -> None:
    assert Vault({"k1": KEY}, "k1").open(Vault({"k1": KEY}, "k1").seal(b"x", AAD), AAD) == b"x"


def test_every_flipped_byte_is_seen() -> None:
    vault = Vault({"k1": KEY}, "k1")
    sealed = vault.seal(b"12345.67", AAD)
    for at in range(len(sealed)):
        altered = bytearray(sealed)
        altered[at] ^= 1
        with pytest.raises(VaultError):
            vault.open(bytes(altered), AAD)
    for cut in range(len(sealed)):
        with pytest.raises(VaultError):
            vault.open(sealed[:cut], AAD)


def test_a_value_moved_to_another_row_is_seen() -> None:
    vault = Vault({"k1": KEY}, "k1")
    with pytest.raises(VaultError, match="payments/order/02"):
        vault.open(vault.seal(b"x", AAD), b"payments/order/02")


def test_no_nonce_is_ever_used_twice() -> None:
    vaults = [Vault({"k1": KEY}, "k1") for _ in range(20)]
    heads = {vault.seal(b"x", AAD)[: 2 + 2 + 12 + 8] for vault in vaults for _ in range(50)}
    assert len(heads) == 1000


def _seal(vault: Vault, results: object) -> None:
    results.put(vault.seal(b"x", AAD))  # type: ignore[attr-defined]


def test_a_forked_child_does_not_repeat_its_parents_nonces() -> None:
    vault = Vault({"k1": KEY}, "k1")
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, vault.seal(b"x", AAD))
        os._exit(0)
    os.waitpid(pid, 0)
    child = os.read(read, 1000)
    os.close(read)
    os.close(write)
    head = 2 + 2 + 12 + 8
    assert child[:head] != vault.seal(b"x", AAD)[:head]
    assert vault.open(child, AAD) == b"x"
    assert multiprocessing.current_process().name


def test_after_a_rotation_old_values_open_and_blind_indexes_stay() -> None:
    old = Vault({"k1": KEY}, "k1", index=b"i" * 32)
    sealed, blind = old.seal(b"x", AAD), old.blind("6222")
    new = Vault({"k1": KEY, "k2": OTHER}, "k2", index=b"i" * 32)
    assert new.open(sealed, AAD) == b"x"
    assert new.blind("6222") == blind
    with pytest.raises(VaultError, match="'k2', which the vault does not have"):
        old.open(new.seal(b"y", AAD), AAD)


def test_another_key_of_the_same_name_opens_nothing() -> None:
    with pytest.raises(VaultError):
        Vault({"k1": OTHER}, "k1").open(Vault({"k1": KEY}, "k1").seal(b"x", AAD), AAD)


def test_blind_indexes_need_the_key_and_tell_texts_apart() -> None:
    vault = Vault({"k1": KEY}, "k1")
    assert vault.blind("6222") == vault.blind("6222") != vault.blind("6223")
    assert vault.blind("6222") != Vault({"k1": OTHER}, "k1").blind("6222")
    assert "6222" not in vault.blind("6222")


def test_a_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "vault.key"
    made = create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = load(path)
    assert found.open(made.seal(b"x", AAD), AAD) == b"x"
    assert found.blind("a") == made.blind("a")
    with pytest.raises(FileExistsError):
        create(path)


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o666])
def test_a_key_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "vault.key"
    create(path)
    path.chmod(mode)
    with pytest.raises(VaultError, match="chmod 600"):
        load(path)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"keys": 1}', '{"keys": {"k1": "AA=="}, "current": "k1", "index": "AA=="}']
)
def test_a_file_that_is_no_key_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "vault.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(VaultError):
        load(path)
    with pytest.raises(VaultError, match="cannot read"):
        load(tmp_path / "none")


def test_a_vault_prints_no_key() -> None:
    assert "1" * 8 not in repr(Vault({"k1": KEY}, "k1"))


def test_blind_is_the_hmac_of_the_standard() -> None:
    for index in (bytes(range(32)), bytes(range(64)), bytes(range(65))):
        blind = Vault({"k": bytes(32)}, "k", index).blind
        for text in ("", "0000000000000000017", "示例甲公司" * 40):
            assert blind(text) == hmac.new(index, text.encode(), "sha256").hexdigest()
