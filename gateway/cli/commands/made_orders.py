"""`bankgw approvals sign-made`: a maker signs an order, or a whole batch, before an ERP submits it. Needs no daemon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import AsJson
from gateway.cli.signing import DEFAULT_KEY, KeyOption, PassphraseFile, PersonSigner, Yes

if TYPE_CHECKING:
    from protocols.canon.order import AnyOrder


def sign_made(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The command's body, as the ERP will submit it.")],
    sender: Annotated[str, typer.Option(help="The sender that will submit it, by its name in the settings.")],
    environment: Annotated[str, typer.Option(metavar="test|live", help="`live` for a gateway in production.")],
    command: Annotated[str, typer.Option(help="The command that the body is for.")] = "payment.submit",
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """As maker: sign an order or batch that names you in `maker`. Put the signature into its `maker_signature`. A
    changed order needs another signature."""
    from gateway.approvals.rules import makers
    from protocols.erp import fingerprint
    from protocols.erp.words import SubmitBatch

    word = _word(file, command, environment)
    batch = isinstance(word, SubmitBatch)
    orders: tuple[AnyOrder, ...] = word.orders if batch else (word.order,)
    maker = orders[0].maker
    if maker is None:
        output.leave(
            exit_codes.USAGE,
            (
                f"{file} has no `maker`; write your enrolled name there; nothing was signed",
                f"{file} 没有 `maker`；请填入您登记的名称；未签署任何内容",
            ),
        )
    found = fingerprint.batch_fingerprint(word) if batch else fingerprint.fingerprint(word.order)
    lines = (
        output.in_language((f"environment: {environment}", f"环境：{environment}")),
        output.in_language((f"sender: {sender}", f"来源系统：{sender}")),
        output.in_language((f"maker: {maker}", f"经办人：{maker}")),
        *map(_line, orders),
        output.in_language((f"fingerprint: {found}", f"指纹：{found}")),
    )
    signer = PersonSigner(key, passphrase_file, yes)
    signer.environment = environment
    signed = signer.sign_octets("\n".join(lines), found, makers.to_sign(environment, sender, found))
    said = {"maker": maker, "fingerprint": found, "maker_signature": signed["signature"]}
    output.show(said, as_json=as_json, words=lambda one: output.say(one["maker_signature"]))


def _line(one: AnyOrder) -> str:
    money, payer = f"{one.amount} {one.amount.currency}", one.debtor.account.clear
    payee = f"{one.creditor.name.clear} {one.creditor.account.clear}"
    return output.in_language(
        (f"{one.id}: {money} from {payer} to {payee}", f"{one.id}：{money}，自 {payer} 付给 {payee}")
    )


def _word(file: Path, command: str, environment: str) -> Any:
    """The order or batch of the file. Ends the command if it is none."""
    from gateway.register.approval_terms import LIVE, TEST
    from protocols.canon.errors import Refusal
    from protocols.erp import commands
    from protocols.erp.words import CommandType, SubmitBatch, SubmitOrder

    if environment not in (LIVE, TEST):
        output.leave(
            exit_codes.USAGE,
            (
                f"--environment is {TEST} or {LIVE}, not {environment!r}; nothing was signed",
                f"--environment 为 {TEST} 或 {LIVE}，不能是 {environment!r}；未签署任何内容",
            ),
        )
    try:
        body, type_ = file.read_bytes(), CommandType(command)
    except (OSError, ValueError) as error:
        output.leave(exit_codes.USAGE, (f"{error}; nothing was signed", f"未签署任何内容：\n{error}"))
    word = commands.parse_command(type_, None, body)
    if isinstance(word, Refusal):
        faults = [f"{one.at}: {one.detail}" for one in word.faults]
        refused = (f"{file}: {word.title}; nothing was signed", f"{file} 不能采用，未签署任何内容：\n{word.title}")
        output.leave(exit_codes.USAGE, refused, *faults)
    if not isinstance(word, SubmitOrder | SubmitBatch):
        output.leave(
            exit_codes.USAGE,
            (f"{command} makes no payment; nothing was signed", f"{command} 不产生付款；未签署任何内容"),
        )
    return word
