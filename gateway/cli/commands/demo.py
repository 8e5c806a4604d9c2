"""`bankgw demo`: the whole gateway on this machine, with simulated banks that misbehave."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def demo(
    seed: Annotated[
        int, typer.Option(help="Chooses the orders; what the banks' faults strike depends on the time too.")
    ] = 7,
    orders: Annotated[
        int | None, typer.Option(min=1, help="How many orders to publish; default: 1000, fewer for slow banks only.")
    ] = None,
    kills: Annotated[int, typer.Option(min=0, help="How often the daemon is killed with SIGKILL.")] = 3,
    folder: Annotated[Path | None, typer.Option(help="Keep the site there; default: a folder of its own.")] = None,
    report: Annotated[Path | None, typer.Option(help="Where to write the report; default: demo-report.html.")] = None,
    lang: Annotated[
        Literal["en", "zh"] | None, typer.Option(help="The report's language; default: as LANG says, else English.")
    ] = None,
    banks: Annotated[str, typer.Option(help="Simulated banks, with commas between; `all` for each.")] = "sample,pab",
    approvals: Annotated[
        bool, typer.Option("--approvals", help="Put an approval policy in force; approvers sign what it holds.")
    ] = False,
    console: Annotated[
        bool, typer.Option("--console", help="Then serve the web console and the approval page, with work to approve.")
    ] = False,
    console_minutes: Annotated[
        float, typer.Option("--console-minutes", min=0.1, max=480, help="So long, unless Ctrl-C ends it before.")
    ] = 30.0,
) -> None:
    """Run the whole system on this machine: simulated banks that misbehave, the daemon, an ERP, three kills, a
    report.
    """
    from gateway.demo import application as demonstration

    raise typer.Exit(
        demonstration.main(
            seed,
            orders,
            folder,
            report,
            banks,
            kills,
            lang=lang,
            approvals=approvals,
            pages_minutes=console_minutes if console else 0.0,
        )
    )
