"""`bankgw send`: publish one command as an ERP does, and watch its answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.act import Bilingual
from gateway.cli import exit_codes, output
from gateway.cli.output import AsJson
from protocols.canon.outcome import State

if TYPE_CHECKING:
    from gateway.cli.erp_client import BatchProgress
    from protocols.erp.words import CommandType

_TOLD = (
    "would",
    "seq",
    "item_no",
    "payment",
    "bank",
    "bank_reference",
    "bank_code",
    "bank_text",
    "hold_reason",
    "next_enquiry",
    "was",
)
SHOWN_CHARS = 1_000
DEFAULT_PROFILE = Path("/etc/bankgw/erp.toml")
_HELD: Bilingual = (
    "`bankgw orders show` says why; approvers decide by `bankgw approvals`, the rest is for `bankgw orders release`",
    "原因见 `bankgw orders show`；待复核的由复核人以 `bankgw approvals` 决定，其余用 `bankgw orders release`",
)


def send(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The command's body, JSON or XML; - is standard input.")],
    wait: Annotated[bool, typer.Option("--wait", help="Print what happens until it is over.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send a payment.submit as payment.validate: ask only, nothing is done.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait at most.")] = 120.0,
    type_name: Annotated[
        str | None, typer.Option("--type", help="The command, such as payment.submit; default: guessed from the body.")
    ] = None,
    profile: Annotated[
        Path, typer.Option("--profile", envvar="BANKGW_ERP", help="Who speaks to which broker: see docs/do/operate.md.")
    ] = DEFAULT_PROFILE,
    as_json: AsJson = False,
) -> None:
    """Publish one command as an ERP would: same queues, same rights, same checks.

    With --wait the exit code is 0 for settled (or an answered question), 1 for failed or rejected, 3 for held, 4 for in
    doubt or not over in time, 69 when nobody answered. With --dry-run it is 0 if the order would be sent (or is known
    already), 1 if it would be rejected, 3 if it would be held. A batch is waited for until it is completed: 0 means
    that every item is settled, 1 that one is not. Without --wait, 0 means that the broker has it.

    The profile is a TOML file; conf/erp.toml is one. Its keys: host, port, vhost, user (the broker user), password
    ({ file = "…" } or { credential = "…" }), sender (its name in the gateway's settings), queue (how the queue for
    replies and events begins: the broker must let the user make it, and the sender's reply_to match it), hmac_key (as
    password, if the sender must sign), and a table [tls] as [broker.tls] of the gateway's settings.
    """
    from gateway.cli import broker_client, erp_client
    from gateway.cli.erp_profile import BadProfile, load_profile
    from gateway.kernel.clock import SystemEntropy
    from protocols.erp.words import CommandType

    body = sys.stdin.buffer.read() if str(file) == "-" else _body(file)
    kinds = {kind.value: kind for kind in CommandType}
    if type_name is not None and type_name not in kinds:
        output.leave(exit_codes.USAGE, _no_such_type(type_name, kinds))
    kind = erp_client.guess_type(body) if type_name is None else kinds[type_name]
    if kind is None:
        output.leave(exit_codes.USAGE, _no_type_fits(kinds))
    if dry_run:
        kind, body, wait = _rehearsed(kind), body.replace(b"payment.submit", b"payment.validate"), True
    environment = output.environment(context)
    reactor = environment.reactor()
    content_type = "application/xml" if body.lstrip()[:1] == b"<" else "application/json"
    try:
        speaker = load_profile(profile)
        now = environment.now
        exchange = erp_client.CommandExchange(reactor, speaker, SystemEntropy(), now, _printer(as_json, now()))
        work = exchange(kind, body, content_type, timeout if wait else 0.0)
        broker_client.visit(reactor, lambda: work, timeout + 2 * broker_client.CONNECT_S)
    except BadProfile as error:
        output.refuse(error.mistakes)
    except (broker_client.BrokerSilent, erp_client.Unroutable, OSError, ValueError) as error:
        output.leave(exit_codes.UNAVAILABLE, output.explained(error, "指令未能发布："))
    if not wait:
        if not as_json:
            output.say((f"the broker has it: {kind.value}", f"消息服务器已接收：{kind.value}"))
        return
    raise typer.Exit(_verdict(kind, exchange.heard, timeout))


def _no_such_type(name: str, there: Iterable[str]) -> Bilingual:
    known = ", ".join(there)
    return (
        f"--type {name}: there is no such command; write one of {known}",
        f"--type {name}：没有这种指令；可用的是 {known}",
    )


def _no_type_fits(there: Iterable[str]) -> Bilingual:
    known = ", ".join(there)
    return (
        "the body fits no command, or more than one (batch.submit and payroll.submit may look alike, "
        f"a status.query always must be named); name it with --type: {known}",
        "内容不符合任何指令，或符合不止一种（batch.submit 与 payroll.submit 可能相像，status.query 必须指明）；"
        f"请以 --type 指明：{known}",
    )


def _rehearsed(kind: CommandType) -> CommandType:
    from protocols.erp.words import CommandType

    if kind not in (CommandType.PAYMENT_SUBMIT, CommandType.PAYMENT_VALIDATE):
        output.leave(
            exit_codes.USAGE,
            (
                f"--dry-run is for payment.submit; there is no rehearsal of {kind.value}",
                f"--dry-run 只用于 payment.submit；{kind.value} 不能演练",
            ),
        )
    return CommandType.PAYMENT_VALIDATE


def _body(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        output.leave(exit_codes.USAGE, output.unreadable(file, error))


def _printer(as_json: bool, started: Any) -> Any:
    def printed(one: Any) -> None:
        if as_json:
            print(output.as_json({"event": one.event, "at": one.at.isoformat(), "body": one.said}))
            return
        said = one.said
        style = output.STATE_STYLE.get(str(said.get("state", "")), "")
        words = [f"{(one.at - started).total_seconds():7.3f} s", f"{one.event:20}"]
        words += [f"{output.field(name)} {said[name]}" for name in _TOLD if said.get(name)]
        output.line(("  ".join(words), style))
        if one.is_repeat:
            state = said.get("state")
            output.say(
                (
                    f"{'':11}taken before, not carried out again; it is now: {state or 'see below'}",
                    f"{'':11}此前已受理，不再办理；现状：{state or '见下'}",
                )
            )
        error = said.get("error")
        if isinstance(error, dict):
            told, resend = f"{error['code']}: {error['title']}", error["resend"]
            output.say((f"{'':11}{told} (resend: {resend})", f"{'':11}{told}（能否重发：{resend}）"))
            for fault in error.get("errors", []):
                output.say(f"{'':11}  {fault['at']}: {fault['code']}: {fault['detail']}")
        elif one.name.startswith("batch."):
            _batch_words(said)
        elif "state" not in said and "would" not in said:
            output.say(json.dumps(_short(said), ensure_ascii=False, indent=1))

    return printed


def _batch_words(said: Any) -> None:
    states = ", ".join(f"{one['count']} {one['state']} ({one['sum']})" for one in said.get("states", ()))
    count, total = said.get("count"), f"{said.get('sum')} {said.get('currency')}"
    output.say((f"{'':11}{count} items, {total}: {states}", f"{'':11}{count} 笔明细，{total}：{states}"))


def _short(value: Any) -> Any:
    """The message without the bytes of a receipt, which nobody can read."""
    if isinstance(value, dict):
        return {name: _short(one) for name, one in value.items()}
    if isinstance(value, str) and len(value) > SHOWN_CHARS:
        rest = (f"… ({len(value)} characters; --json has them all)", f"……（{len(value)} 个字符；--json 全部输出）")
        return f"{value[:60]}{output.in_language(rest)}"
    return value


def _verdict(kind: CommandType, heard: list[Any], timeout: float) -> int:
    from gateway.cli import erp_client
    from protocols.erp.words import BATCHES

    if not heard:
        output.warn(
            (
                f"nobody answered in {timeout:g} s; the broker has the command: do not send it under another id",
                f"{timeout:g} 秒内无人应答；消息服务器已接收该指令：请勿以另一单号再发",
            )
        )
        return exit_codes.UNAVAILABLE
    if kind in BATCHES:
        return _batch_verdict(erp_client.batch_standing(heard), timeout)
    would = heard[-1].said.get("would")
    if would is not None:
        return {"held": exit_codes.REFUSED, "rejected": exit_codes.FAILED}.get(would, exit_codes.OK)
    refused = any("error" in one.said for one in heard)
    if erp_client.is_question(kind):
        return exit_codes.FAILED if refused else exit_codes.OK
    state = erp_client.last_state(heard)
    if state is State.SETTLED:
        return exit_codes.OK
    if state is State.HELD:
        output.warn((f"it is held; {_HELD[0]}", f"待放行；{_HELD[1]}"))
        return exit_codes.REFUSED
    if state is None or heard[-1].said.get("final") or refused:
        return exit_codes.FAILED
    output.warn(
        (
            f"not over after {timeout:g} s: {state.value}; never send it again, ask with status.query",
            f"{timeout:g} 秒后仍未了结：{state.value}；切勿重发，请以 status.query 查询",
        )
    )
    return exit_codes.IN_DOUBT


def _batch_verdict(batch: BatchProgress | None, timeout: float) -> int:
    from gateway.cli import erp_client

    if batch is not None and batch.refused:
        return exit_codes.FAILED
    if batch is not None and batch.over:
        return exit_codes.OK if set(batch.shares) == {State.SETTLED} else exit_codes.FAILED
    states = [] if batch is None else list(batch.states.values())
    doubt, held = sum(map(erp_client.is_doubt, states)), states.count(State.HELD)
    if held and not doubt:
        output.warn((f"{held} items are held; {_HELD[0]}", f"{held} 笔明细待放行；{_HELD[1]}"))
        return exit_codes.REFUSED
    output.warn(
        (
            f"not over after {timeout:g} s: {doubt} items may be at the bank; never send it again, "
            "ask with status.query",
            f"{timeout:g} 秒后仍未了结：{doubt} 笔可能已到银行；切勿重发，请以 status.query 查询",
        )
    )
    return exit_codes.IN_DOUBT
