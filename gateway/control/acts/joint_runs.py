"""Acts about joint tests (联调) with a bank: the record of their tries in the audit trail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.act import Act, ActProof, ParamForm, RoomActs
from gateway.people.rules.roles import RUNNERS, PersonRole

RunParam = Annotated[str, ParamForm(("The id of the run.", "联调的编号。"))]


@dataclass(frozen=True, slots=True)
class RecordTry:
    """Parameters: a try of a run, its bank, its verdict, and the digest of its files."""

    run: RunParam
    name: Annotated[str, ParamForm(("The try, as R1-settles.payment-1.", "执行的名称，如 R1-settles.payment-1。"))]
    bank: Annotated[str, ParamForm(("The bank of the run.", "联调的银行。"))]
    verdict: Annotated[str, ParamForm(("The verdict on the case.", "用例的结论。"))]
    files: Annotated[
        str, ParamForm(("SHA-256 over the digests of the try's files.", "本次执行各文件校验值的 SHA-256。"))
    ]


@dataclass(frozen=True, slots=True)
class RecordExchanges:
    """Parameters: a run, a lane of its bank, and the number of the last event that was recorded before."""

    run: RunParam
    lane: Annotated[str, ParamForm(("The lane of the run's bank.", "联调银行的通道。"))]
    after: Annotated[
        int | None,
        ParamForm(("Only events after this number; else the last ones.", "只要此编号之后的；否则为最近的。"), least=0),
    ] = None


@dataclass(frozen=True, slots=True)
class ListTries:
    """Parameters: a run."""

    run: RunParam


JOINT_RUNS = RoomActs(
    (
        Act(
            "POST",
            "/joint-runs/{run}/tries",
            "joint_runs.record",
            "node",
            (
                "Write the verdict on a try of a joint test, and the digest of its files, into the audit trail.",
                "将联调一次执行的结论及其文件的校验值写入审计链。",
            ),
            params=RecordTry,
            roles=RUNNERS,
            proof=ActProof.COMMAND_LINE,
        ),
        Act(
            "POST",
            "/joint-runs/{run}/lanes/{lane}",
            "joint_runs.exchanges",
            "node",
            (
                "Write the digests of a lane's latest exchanges, probes and sign-ons among them, into the audit trail.",
                "将通道最近各次收发（含探测与签到）的校验值写入审计链。",
            ),
            params=RecordExchanges,
            roles=RUNNERS,
            proof=ActProof.COMMAND_LINE,
        ),
        Act(
            "GET",
            "/joint-runs/{run}/tries",
            "joint_runs.list",
            "node",
            (
                "List a joint test's tries and exchanges as the audit trail records them.",
                "列出审计链中一次联调的各次执行与收发。",
            ),
            params=ListTries,
            roles=RUNNERS | {PersonRole.AUDIT_ADMIN},
            proof=ActProof.LOOK,
        ),
    )
)
