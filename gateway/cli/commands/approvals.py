"""`bankgw approvals`: payments that wait for approvers. Approving is signing the words that the daemon made."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.help_pages import Listing
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption, Socket
from gateway.cli.signing import DEFAULT_KEY, KeyOption, PassphraseFile, Pen, Yes

_COLUMNS = {
    "request": "request", "state": "state", "sender": "sender", "subject": "order", "kind": "kind", "count": "payments",
    "sum": "sum", "maker": "made by", "waits": "needs", "by": "decided by", "expires_at": "expires",
}  # fmt: skip
RequestArgument = Annotated[str, typer.Argument(metavar="REQUEST", help="The request's key, as `list` shows it.")]
LanguageOption = Annotated[str, typer.Option("--language", help="Of the words: en or zh.", metavar="en|zh")]


def application() -> typer.Typer:
    """The group."""
    group = typer.Typer(help="Payments that wait for approvers.", no_args_is_help=True, cls=Listing)
    group.command("list")(list_approvals)
    group.command("show")(show)
    group.command("approve")(approve)
    group.command("reject")(reject)
    group.command("renew")(renew)
    return group


def list_approvals(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Also what was decided.")] = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """List what waits for approvers in your scope, the newest first. `late`: it waits longer than it should."""
    with output.asking():
        said = output.remote(context, config, socket).get("approvals", all="yes" if every else None)

    def words(page: Any) -> None:
        rows = [{**one, "waits": _need(one), "by": ", ".join(by["person"] for by in one["decided"]),
                 "maker": one["maker"] or "not known"} for one in page["approvals"]]  # fmt: skip
        output.table(rows, _COLUMNS, "nothing waits for approvers")

    output.show(said, as_json=as_json, words=words)


def show(
    context: typer.Context,
    request: RequestArgument,
    language: LanguageOption = "en",
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Show the words that approvers sign, who has signed, and what is missing. Looking is in the audit trail."""
    with output.asking():
        said = output.remote(context, config, socket).get("approvals", request)

    def words(one: Any) -> None:
        output.say(_words(one, language))
        output.say(f"state: {one['state']}")
        for by in one["decided"]:
            output.say(f"{by['decision']}: {by['person']} at {by['at']}")
        for why in one["void"].values():
            output.say(f"does not count: {why}")
        output.say(f"missing: {one['missing'] or 'nothing'}")

    output.show(said, as_json=as_json, words=words)


def approve(
    context: typer.Context,
    request: RequestArgument,
    language: LanguageOption = "en",
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """As approver: read the words and sign them. With the last approval that is needed, the payment goes."""
    from gateway.control.signed_words import ApprovalDecision

    pen = Pen(key, passphrase_file, yes)
    _decide(context, request, language, ApprovalDecision.APPROVE, None, pen, (config, socket), as_json=as_json)


def reject(
    context: typer.Context,
    request: RequestArgument,
    reason: ReasonOption,
    language: LanguageOption = "en",
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """As approver: say no, signed. The payment, or what waits of the batch, is cancelled; nothing was sent."""
    from gateway.control.signed_words import ApprovalDecision

    pen = Pen(key, passphrase_file, yes)
    _decide(context, request, language, ApprovalDecision.REJECT, reason, pen, (config, socket), as_json=as_json)


def renew(
    context: typer.Context,
    request: RequestArgument,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Ask anew about what expired. All approvers sign again."""
    with output.asking():
        said = output.remote(context, config, socket).post("approvals", request, "renew")
    output.show(said, as_json=as_json, words=lambda one: output.say(f"request {one['request']} is open until "
                                                                    f"{one['expires_at']}"))  # fmt: skip


def _decide(
    context: typer.Context, request: str, language: str, decision: Any, reason: str | None, pen: Pen,
    where: tuple[Any, Any], *, as_json: bool,
) -> None:  # fmt: skip
    from gateway.control.signed_words import decision_to_sign

    remote = output.remote(context, *where)
    with output.asking():
        found = remote.get("approvals", request)
    pen.environment = remote.environment
    signed = pen.sign_octets(_words(found, language), found["digest"], decision_to_sign(found["digest"], decision))
    with output.asking():
        said = remote.post("approvals", request, decision.value, **signed, **({"reason": reason} if reason else {}))

    def words(one: Any) -> None:
        if one["missing"]:
            output.say(f"signed; {one['sender']}:{one['subject']} waits for {one['missing']}")
            return
        states = ", ".join(sorted({row["state"] for row in one["payments"]})) or "unchanged"
        output.say(f"request {one['request']} is {one['state']}: {one['changed']} of {one['count']} payments: {states}")

    output.show(said, as_json=as_json, words=words)


def _words(one: Any, language: str) -> str:
    """The words, made here anew from the very bytes whose digest is signed: what the daemon says must be the same."""
    from gateway.people import approval_digest, approval_text

    if language not in ("en", "zh"):
        output.leave(exit_codes.USAGE, "--language is en or zh")
    form = str(one["form"]).encode("ascii", "replace")
    try:
        words = approval_text.words(form, "zh" if language == "zh" else "en")
    except approval_digest.BadForm as error:
        output.leave(exit_codes.FAILED, f"the daemon's request cannot be read: {error}; nothing was signed")
    if one["digest"] != approval_digest.digest(form) or words != one["words"][language]:
        output.leave(exit_codes.FAILED, "the daemon's words or digest are not those of the request's bytes; nothing "
                     "was signed. Stop, and look into the audit trail")  # fmt: skip
    return words


def _need(one: Any) -> str:
    return ", ".join(f"{need['approvers']}" + ("" if need["group"] == "*" else f" of {need['group']}")
                     for need in one["need"])  # fmt: skip
