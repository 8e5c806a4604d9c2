"""`bankgw approvals`: payments that wait for approvers. An approver signs the text that the daemon made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from gateway.act import Bilingual
from gateway.cli import exit_codes, output
from gateway.cli.act_commands import ActRun
from gateway.cli.signing import DEFAULT_KEY, KeyOption, PassphraseFile, PersonSigner, Yes

_DECISIONS: Mapping[str, Bilingual] = {"approve": ("approve", "同意"), "reject": ("reject", "拒绝")}
LanguageOption = Annotated[str, typer.Option("--language", help="Of the words: en or zh.", metavar="en|zh")]


def show(run: ActRun, language: LanguageOption = "en") -> None:
    """Show the text that approvers sign, the signatures so far, and the missing ones. The audit trail records that you
    looked.
    """

    def print_request(one: Any) -> None:
        output.say(_words(one, language))
        output.say((f"state: {one['state']}", f"状态：{one['state']}"))
        for by in one["decided"]:
            done = output.in_language(_DECISIONS.get(by["decision"], (by["decision"], by["decision"])))
            output.say((f"{done}: {by['person']} at {by['at']}", f"{done}：{by['person']}，{by['at']}"))
        for why in one["void"].values():
            output.say((f"does not count: {why}", f"不计入：{why}"))
        output.say((f"missing: {one['missing'] or 'nothing'}", f"尚缺：{one['missing'] or '无'}"))

    run.show(run.ask(), print_request)


def approve(
    run: ActRun,
    language: LanguageOption = "en",
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
) -> None:
    """As approver: read the text and sign it. After the last approval that is needed, the payment may be sent."""
    from gateway.control.signed_words import ApprovalDecision

    _decide(run, language, ApprovalDecision.APPROVE, PersonSigner(key, passphrase_file, yes))


def reject(
    run: ActRun,
    language: LanguageOption = "en",
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
) -> None:
    """As approver: sign a rejection. The payment, or the waiting part of the batch, is cancelled; nothing was sent."""
    from gateway.control.signed_words import ApprovalDecision

    _decide(run, language, ApprovalDecision.REJECT, PersonSigner(key, passphrase_file, yes))


def _decide(run: ActRun, language: str, decision: Any, signer: PersonSigner) -> None:
    from gateway.control.signed_words import decision_to_sign

    remote, request, reason = run.remote, run.given["request"], run.given.get("reason")
    with output.asking():
        found = remote.get("approvals", request)
    signer.environment = remote.environment
    signed = signer.sign_octets(_words(found, language), found["digest"], decision_to_sign(found["digest"], decision))
    with output.asking():
        said = remote.post("approvals", request, decision.value, **signed, **({"reason": reason} if reason else {}))

    def print_decision(one: Any) -> None:
        if one["missing"]:
            subject = f"{one['sender']}:{one['subject']}"
            output.say((f"signed; {subject} waits for {one['missing']}", f"已签署；{subject} 尚缺：{one['missing']}"))
            return
        found = ", ".join(sorted({row["state"] for row in one["payments"]}))
        changed, count = one["changed"], one["count"]
        output.say(
            (
                f"request {one['request']} is {one['state']}: {changed} of {count} payments: {found or 'unchanged'}",
                f"请求 {one['request']} 的状态：{one['state']}；{count} 笔付款中 {changed} 笔：{found or '未变'}",
            )
        )

    run.show(said, print_decision)


def _words(one: Any, language: str) -> str:
    """The text, made again here from the bytes whose digest is signed. The daemon's text must equal it."""
    from gateway.approvals.rules import approval_digest, approval_text

    if language not in ("en", "zh"):
        output.leave(exit_codes.USAGE, ("--language is en or zh", "--language 为 en 或 zh"))
    form = str(one["form"]).encode("ascii", "replace")
    try:
        words = approval_text.signed_text(form, "zh" if language == "zh" else "en")
    except approval_digest.BadForm as error:
        output.leave(
            exit_codes.FAILED,
            (
                f"the daemon's request cannot be read: {error}; nothing was signed",
                f"守护进程的请求无法读取，未签署任何内容：{error}",
            ),
        )
    if one["digest"] != approval_digest.digest(form) or words != one["words"][language]:
        output.leave(
            exit_codes.FAILED,
            (
                "the daemon's words or digest are not those of the request's bytes; nothing "
                "was signed. Stop, and look into the audit trail",
                "守护进程的文字或校验值与请求的原文不符；未签署任何内容。请停止办理，并核查审计链",
            ),
        )
    return words


def in_words(one: Any) -> dict[str, Any]:
    """A request as the list shows it."""
    return {**one, "need": _need(one)}


def _need(one: Any) -> str:
    return ", ".join(
        f"{need['approvers']}"
        + ("" if need["group"] == "*" else output.in_language((f" of {need['group']}", f" 人（{need['group']}）")))
        for need in one["need"]
    )
