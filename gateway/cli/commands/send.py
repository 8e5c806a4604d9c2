"""`bankgw send`: publish one command as an ERP would, and watch what becomes of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import AsJson
from protocols.canon.outcome import State

if TYPE_CHECKING:
    from gateway.cli.erp_client import BatchStanding
    from protocols.erp.words import CommandType

_TOLD = ("would", "seq", "item_no", "payment", "bank", "bank_reference", "bank_code", "bank_text", "hold_reason",
         "next_enquiry", "was")  # fmt: skip
SHOWN_CHARS = 1_000
DEFAULT_PROFILE = Path("/etc/bankgw/erp.toml")
_HELD = "`bankgw orders show` says why; approvers decide by `bankgw approvals`, the rest is for `bankgw orders release`"


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
    from gateway.cli.erp_profile import BadProfile, read
    from gateway.clock import SystemEntropy
    from protocols.erp.words import CommandType

    body = sys.stdin.buffer.read() if str(file) == "-" else _body(file)
    kinds = {kind.value: kind for kind in CommandType}
    if type_name is not None and type_name not in kinds:
        output.leave(exit_codes.USAGE, f"--type {type_name}: there is no such command; write one of {', '.join(kinds)}")
    kind = erp_client.guess_type(body) if type_name is None else kinds[type_name]
    if kind is None:
        output.leave(exit_codes.USAGE, f"the body fits no command, or more than one (batch.submit and payroll.submit "
                                       f"may "
                       f"look alike, a status.query always must be named); name it with --type: {', '.join(kinds)}"
                       )  # fmt: skip
    if dry_run:
        kind, body, wait = _rehearsed(kind), body.replace(b"payment.submit", b"payment.validate"), True
    environment = output.environment(context)
    reactor = environment.reactor()
    content_type = "application/xml" if body.lstrip()[:1] == b"<" else "application/json"
    try:
        speaker = read(profile)
        now = environment.now
        visit = erp_client.Visit(reactor, speaker, SystemEntropy(), now, _printer(as_json, now()))
        work = visit(kind, body, content_type, timeout if wait else 0.0)
        broker_client.visit(reactor, lambda: work, timeout + 2 * broker_client.CONNECT_S)
    except BadProfile as error:
        output.refuse(error.mistakes)
    except (broker_client.BrokerSilent, erp_client.Unroutable, OSError, ValueError) as error:
        output.leave(exit_codes.UNAVAILABLE, str(error))
    if not wait:
        if not as_json:
            output.say(f"the broker has it: {kind.value}")
        return
    raise typer.Exit(_verdict(kind, visit.heard, timeout))


def _rehearsed(kind: CommandType) -> CommandType:
    from protocols.erp.words import CommandType

    if kind not in (CommandType.PAYMENT_SUBMIT, CommandType.PAYMENT_VALIDATE):
        output.leave(exit_codes.USAGE, f"--dry-run is for payment.submit; there is no rehearsal of {kind.value}")
    return CommandType.PAYMENT_VALIDATE


def _body(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        output.leave(exit_codes.USAGE, f"{file} cannot be read: {error.strerror}")


def _printer(as_json: bool, started: Any) -> Any:
    def printed(one: Any) -> None:
        if as_json:
            print(output.as_json({"event": one.event, "at": one.at.isoformat(), "body": one.said}))
            return
        said = one.said
        style = output.STATE_STYLE.get(str(said.get("state", "")), "")
        words = [f"{(one.at - started).total_seconds():7.3f} s", f"{one.event:20}"]
        words += [f"{name} {said[name]}" for name in _TOLD if said.get(name)]
        output.line(("  ".join(words), style))
        if one.is_repeat:
            output.say(f"{'':11}taken before, not carried out again; it is now: {said.get('state', 'see below')}")
        error = said.get("error")
        if isinstance(error, dict):
            output.say(f"{'':11}{error['code']}: {error['title']} (resend: {error['resend']})")
            for fault in error.get("errors", []):
                output.say(f"{'':11}  {fault['at']}: {fault['code']}: {fault['detail']}")
        elif one.name.startswith("batch."):
            _batch_words(said)
        elif "state" not in said and "would" not in said:
            output.say(json.dumps(_short(said), ensure_ascii=False, indent=1))

    return printed


def _batch_words(said: Any) -> None:
    states = ", ".join(f"{one['count']} {one['state']} ({one['sum']})" for one in said.get("states", ()))
    output.say(f"{'':11}{said.get('count')} items, {said.get('sum')} {said.get('currency')}: {states}")


def _short(value: Any) -> Any:
    """Without the bytes of a receipt, which nobody can read."""
    if isinstance(value, dict):
        return {name: _short(one) for name, one in value.items()}
    if isinstance(value, str) and len(value) > SHOWN_CHARS:
        return f"{value[:60]}… ({len(value)} characters; --json has them all)"
    return value


def _verdict(kind: CommandType, heard: list[Any], timeout: float) -> int:
    from gateway.cli import erp_client
    from protocols.erp.words import BATCHES

    if not heard:
        print(f"nobody answered in {timeout:g} s; the broker has the command: do not send it under another id",
              file=sys.stderr)  # fmt: skip
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
        print(f"it is held; {_HELD}", file=sys.stderr)
        return exit_codes.REFUSED
    if state is None or heard[-1].said.get("final") or refused:
        return exit_codes.FAILED
    print(f"not over after {timeout:g} s: {state.value}; never send it again, ask with status.query", file=sys.stderr)
    return exit_codes.IN_DOUBT


def _batch_verdict(batch: BatchStanding | None, timeout: float) -> int:
    from gateway.cli import erp_client

    if batch is not None and batch.refused:
        return exit_codes.FAILED
    if batch is not None and batch.over:
        return exit_codes.OK if set(batch.shares) == {State.SETTLED} else exit_codes.FAILED
    states = [] if batch is None else list(batch.states.values())
    doubt, held = sum(map(erp_client.is_doubt, states)), states.count(State.HELD)
    if held and not doubt:
        print(f"{held} items are held; {_HELD}", file=sys.stderr)
        return exit_codes.REFUSED
    print(f"not over after {timeout:g} s: {doubt} items may be at the bank; never send it again, ask with status.query",
          file=sys.stderr)  # fmt: skip
    return exit_codes.IN_DOUBT
