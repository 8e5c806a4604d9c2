"""`bankgw keys prepare` and `bankgw keys retire`: the key file's part of a rotation of the vault's key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import exit_codes, output
from gateway.cli.journal_options import Password, VaultKey, access_of
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config

if TYPE_CHECKING:
    from gateway.settings import Settings
KeyPurpose = Annotated[str, typer.Argument(metavar="PURPOSE", help="What the key is for: `vault`.")]


def prepare(
    context: typer.Context,
    purpose: KeyPurpose,
    vault_key: VaultKey = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Add a new vault key to the key file. It seals nothing before `bankgw keys activate`. Run as root or the gateway's
    user, on one machine; copy the file to the other nodes then. A running daemon reads the file by itself."""
    from gateway.control.offline import journal_access

    _only_vault(purpose)
    path = _file(output.loaded(context, config).settings, vault_key)
    try:
        name = journal_access.prepare_key(path)
    except journal_access.NoAccess as error:
        output.leave(exit_codes.REFUSED, output.explained(error, "未作更改："))
    except OSError as error:
        output.leave(exit_codes.FAILED, output.unreadable(path, error))
    if as_json:
        output.dump({"key": name, "file": str(path)})
        return
    output.say(
        (
            f"vault key {name} is in {path}. Back the file up apart from the database, copy it to every other node of "
            f"this journal, then: bankgw keys activate vault {name} --reason WHY",
            f"数据加密主密钥 {name} 已加入 {path}。请与数据库分开备份该文件，复制到本流水库的其他所有节点，然后执行："
            f"bankgw keys activate vault {name} --reason 理由",
        )
    )


def retire(
    context: typer.Context,
    purpose: KeyPurpose,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The earlier key, as `bankgw keys list` names it.")],
    gone: Annotated[
        list[str] | None,
        typer.Option("--gone", metavar="NODE", help="This node will never run again. May be given several times."),
    ] = None,
    left: Annotated[
        int, typer.Option("--left", min=0, help="So many altered rows may become unreadable with the key.")
    ] = 0,
    vault_key: VaultKey = None,
    password: Password = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Remove an earlier vault key from the key file, after the whole journal was read: nothing in it may be sealed with
    that key any more. Run it on every node; then the key may be destroyed."""
    from gateway.control.offline import journal_access, vault_retirement

    _only_vault(purpose)
    settings = output.loaded(context, config).settings
    path = _file(settings, vault_key)
    access = access_of(settings, path, password)
    try:
        done = vault_retirement.examine(access, key, gone or (), left)
        removed = journal_access.remove_key(path, key, done.current)
    except (vault_retirement.NotRetired, journal_access.NoAccess) as error:
        output.leave(exit_codes.REFUSED, output.explained(error, "密钥仍须保留："))
    except OSError as error:
        output.leave(exit_codes.FAILED, output.unreadable(path, error))
    if as_json:
        found = {"key": key, "removed": removed, "current": done.current, "needed_by_backups_before": done.done_at}
        output.dump({**found, "left": done.left})
        return
    there = (f"{key} was removed from {path}", f"{key} 已从 {path} 移除")
    absent = (f"{key} is not in {path}", f"{path} 中没有 {key}")
    output.say(there if removed else absent)
    output.say(
        (
            f"no value in the journal needs {key}. Remove it on every node, restart the daemons, then it may be "
            f"destroyed. Backups made before {done.done_at} can be read with it alone: destroy it after them, or keep "
            "it apart for them.",
            f"流水库中已无内容需要 {key}。请在每个节点移除并重启守护进程，之后即可销毁。{done.done_at} 之前的备份"
            "只能以该密钥读取：请在这些备份之后销毁，或为其单独保管。",
        )
    )


def _only_vault(purpose: str) -> None:
    if purpose != "vault":
        output.leave(
            exit_codes.REFUSED,
            (
                f"`{purpose}` is no purpose of such a key; say `vault`. Certificates and their keys: "
                "bankgw certificates rotate",
                f"没有用途 {purpose}；请用 vault。证书及其密钥见 bankgw certificates rotate",
            ),
        )


def _file(settings: Settings, instead: Path | None) -> Path:
    """The vault's key file: one of the unit's credentials is there only while the unit runs, and cannot be written."""
    secret = settings.journal.vault_key
    if instead is None and secret.credential is not None:
        output.leave(
            exit_codes.CONFIG,
            (
                f"journal.vault_key is the systemd credential {secret.credential}, which cannot be written; name its "
                "file with --vault-key",
                f"journal.vault_key 为 systemd 凭据 {secret.credential}，不能写入；请以 --vault-key 指明其文件",
            ),
        )
    return instead or secret.path()
