"""`bankgw login`: open a short session for your UNIX user, set a password for that, and `bankgw logout`."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gateway.act import Bilingual
from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket
from gateway.cli.signing import DEFAULT_KEY, KeyOption, PassphraseFile, passphrase

if TYPE_CHECKING:
    from gateway.control.client import ControlClient

_CODE: Bilingual = ("One-time code", "动态码")
_PAGES: Mapping[str, str] = {"approval": "复核页", "console": "控制台"}


def login(
    context: typer.Context,
    with_password: Annotated[
        bool, typer.Option("--password", help="With your password and a one-time code, instead of your key.")
    ] = False,
    set_password: Annotated[
        bool, typer.Option("--set-password", help="Then set a new password, and the secret for one-time codes.")
    ] = False,
    passkey: Annotated[
        str | None, typer.Option("--passkey", metavar="CODE", help="Then bind the passkey whose code a web page shows.")
    ] = None,
    page: Annotated[
        Literal["approval", "console"], typer.Option("--page", help="The page that the passkey is for.")
    ] = "approval",
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Sign in as the person of your UNIX user: your key signs a challenge, or you give password and one-time code. The
    session is your user's on this machine, and ends by itself. Ten failures in a row lock you out for 30 minutes."""
    if with_password and (set_password or passkey):
        output.leave(
            exit_codes.USAGE,
            (
                "passwords and passkeys are set in a session that your key opened: leave out --password",
                "密码与通行密钥须在以密钥登录的会话中设置：请去掉 --password",
            ),
        )
    remote = output.remote(context, config, socket)
    if with_password:
        password, code = output.hidden(("Password", "密码")), output.hidden(_CODE)
        with output.asking():
            said = remote.post("sign-in", password=password, one_time_code=code)
    else:
        said = _by_key(remote, key, passphrase_file)
    if set_password:
        _set_password(remote)
    if passkey:
        with output.asking():
            bound = remote.post("factors", "passkey", code=passkey, page=page)
        origin, kind = bound["origin"], bound["page"]
        output.warn(
            (
                f"the passkey made at {origin} is yours now, for the {kind} page",
                f"在 {origin} 生成的通行密钥已绑定给您，用于 {_PAGES.get(kind, kind)}",
            )
        )
    output.show(said, as_json=as_json, words=_signed_in)


def show_session(one: Any) -> None:
    """Who the user is, and whether the person is signed in."""
    output.say(f"{one['person']} (uid {one['uid']}): {one['roles']}")
    signed_in = (
        "signed in by {factor}, ends in {ends_in_s} s without use",
        "已登录（{factor}），{ends_in_s} 秒无操作后结束",
    )
    not_yet = ("not signed in: bankgw login", "未登录：bankgw login")
    output.say(output.in_language(signed_in if one["signed_in"] else not_yet).format_map(one))


def _by_key(remote: ControlClient, path: Any, passphrase_file: Any) -> Any:
    from gateway.cli import person_key
    from gateway.people.rules import sign_in_text

    path = path.expanduser()
    with output.asking():
        text = remote.post("sign-in", "challenge")["text"]
    try:
        key = person_key.load(path, passphrase(passphrase_file, sealed=person_key.is_sealed(path)))
    except person_key.KeyUnusable as error:
        output.leave(exit_codes.FAILED, output.explained(error, "密钥无法使用："))
    with output.asking():
        return remote.post("sign-in", signature=b64encode(key.sign(sign_in_text.to_sign(text))).decode())


def _set_password(remote: ControlClient) -> None:
    password = output.hidden(("New password (12 characters or more)", "新密码（至少 12 个字符）"), twice=True)
    with output.asking():
        made = remote.post("factors", "password", password=password)
    address = made["address"]
    output.warn(
        (
            f"enter this into your telephone's program for codes, once:\n{address}",
            f"请将以下内容一次性录入手机的动态码程序：\n{address}",
        )
    )
    with output.asking():
        code = output.hidden(("Its present code", "其当前动态码"))
        remote.post("factors", "password", "confirm", one_time_code=code)


def _signed_in(one: Any) -> None:
    person, factor, roles, ends_in_s = (one[name] for name in ("person", "factor", "roles", "ends_in_s"))
    output.say(
        (
            f"{person} is signed in by {factor}: {roles}; ends in {ends_in_s} s without use",
            f"{person} 已登录（{factor}）：{roles}；{ends_in_s} 秒无操作后结束",
        )
    )
