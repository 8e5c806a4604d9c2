"""`bankgw directory`: look up a branch's payment-system number (联行号) in a bank's own directory."""

from __future__ import annotations

from typing import Any

from gateway.cli import exit_codes, output
from gateway.cli.act_commands import ActRun

_COLUMNS = {"cnaps": "number", "name": "branch", "bank_name": "bank", "city": "city"}
PATIENCE_S = 150.0
"""The bank is asked page by page."""


def directory(run: ActRun) -> None:
    """Ask a bank which branches have a name, or a number (联行号). Exit 0 also when the bank knows none.

    Exit 3 when the bank has no directory, 69 when no lane of it can be asked or it does not answer, 1 when its answer
    is a refusal or cannot be used.
    """
    if (run.given["name"] is None) == (run.given["cnaps"] is None):
        output.leave(
            exit_codes.USAGE,
            ("name a text or --cnaps NUMBER, one of them", "请给出名称中的文字或 --cnaps 联行号，二者其一"),
        )
    run.show(run.patient(PATIENCE_S).ask(), _words)


def _words(said: Any) -> None:
    output.table(said["branches"], _COLUMNS, (f"{said['bank']} knows no such branch", f"{said['bank']} 没有这样的网点"))
    if said["cut"]:
        output.say(
            ("there may be more: say more of the name, or raise --limit", "可能还有更多：请写得更具体，或加大 --limit")
        )
