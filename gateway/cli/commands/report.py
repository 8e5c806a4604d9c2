"""`bankgw report`: a treasury report on the terminal, or as xlsx, PDF, HTML or CSV in a file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Clear, Config, Socket

if TYPE_CHECKING:
    from gateway.control.client import ControlClient
    from gateway.reports.table import ReportForm, TableRow

NAMES = (
    "balances, positions, daily, history, payments, transfers, returns, payroll, entries, fees, cash-flow, "
    "bank-service, balance-tables, open-items, receipts-missing, security-review"
)
PROGRESS_ROWS = 10_000
SUFFIXES = (".xlsx", ".pdf", ".html", ".csv")


def report(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"Which one: {NAMES}.")],
    first: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="First day; default: the first of the month.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="DAY", help="Last day, and the day of `daily`; default: today.")
    ] = None,
    bank: Annotated[str | None, typer.Option(help="Only this bank's accounts.")] = None,
    company: Annotated[str | None, typer.Option(help="Only this company's accounts.")] = None,
    account: Annotated[str | None, typer.Option(help="Only this own account.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write a file: .xlsx, .pdf, .html or .csv.")
    ] = None,
    language: Annotated[str, typer.Option(help="zh or en.")] = "zh",
    clear: Clear = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Make a report: balances, positions, payments, entries, bank service, monthly statements, open items.

    The figures are the journal's; no bank is asked. A file is written whole or not at all, readable by you alone.
    """
    from gateway.reports.forms import FORMS

    form = FORMS.get(name)
    if form is None:
        there = ", ".join(FORMS)
        output.leave(
            exit_codes.USAGE, (f"there is no report {name}; there are {there}", f"没有报表 {name}；可用的是 {there}")
        )
    if language not in ("zh", "en"):
        output.leave(
            exit_codes.USAGE, (f"a report speaks zh or en, not {language}", f"报表语言为 zh 或 en，不能是 {language}")
        )
    if out is not None and out.suffix not in SUFFIXES:
        ends = ", ".join(SUFFIXES)
        output.leave(
            exit_codes.USAGE, (f"{out}: the name of a report ends with {ends}", f"{out}：报表文件名须以 {ends} 结尾")
        )
    client = output.remote(context, config, socket)
    asked = {
        "from": first,
        "to": last,
        "bank": bank,
        "company": company,
        "account": account,
        "clear": 1 if clear else None,
    }
    with output.asking():
        page = client.get(*_path(name), **asked)
        rows = _rows(client, name, asked, page)
        if out is not None:
            count = _write(form, page, _told(rows), language, out)
            output.show(
                {"file": str(out), "rows": count},
                as_json=as_json,
                words=lambda said: output.say(
                    (f"{said['file']}: {said['rows']} rows", f"{said['file']}：{said['rows']} 行")
                ),
            )
        elif as_json:
            output.dump({**page, "rows": list(rows), "next": None})
        else:
            _show(form, rows, language)


def _told(rows: Iterator[TableRow]) -> Iterator[TableRow]:
    """The same rows, with a progress message now and then for a long report."""
    for count, row in enumerate(rows, 1):
        if count % PROGRESS_ROWS == 0:
            output.warn((f"{count:,} rows …", f"{count:,} 行 ……"))
        yield row


def _path(name: str) -> tuple[str, ...]:
    from gateway.reports.catalogue import RESTRICTED

    return (name,) if name in RESTRICTED else ("reports", name)


def _rows(client: ControlClient, name: str, asked: dict[str, Any], page: Any) -> Iterator[TableRow]:
    """All rows. Each page is asked for when the one before is written."""
    while True:
        yield from page["rows"]
        if page["next"] is None:
            return
        # A period that begins today must not move with midnight.
        page = client.get(*_path(name), **{**asked, "from": page["from"], "to": page["to"], "after": page["next"]})


def _show(form: ReportForm, rows: Iterator[TableRow], language: str) -> None:
    from gateway.reports.written import as_text

    columns = {column.key: column.heading(language) for column in form.columns}
    output.table(list(as_text(form, rows, language)), columns, ("nothing to show", "没有内容"))


def _write(form: ReportForm, page: Any, rows: Iterator[TableRow], language: str, out: Path) -> int:
    from gateway.reports import written
    from gateway.reports.facts import facts
    from gateway.reports.typesetting import NoPdf

    period = date.fromisoformat(page["from"]), date.fromisoformat(page["to"])
    about = facts(language, period, page["at"], page["accounts"], page.get("audit_head", ""))
    try:
        return written.to_file(form, about, rows, language, out)
    except OSError as error:
        why = error.strerror or error
        output.leave(
            exit_codes.FAILED,
            (
                f"{out}: cannot be written ({why}); nothing is left behind",
                f"{out}：无法写入（{output.os_reason(error)}）；未留下任何文件",
            ),
        )
    except (NoPdf, written.CannotWrite) as error:
        output.leave(exit_codes.FAILED, output.explained(error, "未能生成报表文件："))
