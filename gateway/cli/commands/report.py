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
    from gateway.treasury.reports.table import ReportForm, TableRow

NAMES = ("balances, positions, daily, history, payments, transfers, returns, payroll, entries, fees, cash-flow, "
         "bank-service, balance-tables, open-items, receipts-missing, security-review")  # fmt: skip
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
    from gateway.treasury.reports.forms import FORMS

    form = FORMS.get(name)
    if form is None:
        output.leave(exit_codes.USAGE, f"there is no report {name}; there are {', '.join(FORMS)}")
    if language not in ("zh", "en"):
        output.leave(exit_codes.USAGE, f"a report speaks zh or en, not {language}")
    if out is not None and out.suffix not in SUFFIXES:
        output.leave(exit_codes.USAGE, f"{out}: the name of a report ends with {', '.join(SUFFIXES)}")
    client = output.remote(context, config, socket)
    asked = {"from": first, "to": last, "bank": bank, "company": company, "account": account,
             "clear": 1 if clear else None}  # fmt: skip
    with output.asking():
        page = client.get(*_path(name), **asked)
        rows = _rows(client, name, asked, page)
        if out is not None:
            count = _write(form, page, _told(rows), language, out)
            output.show({"file": str(out), "rows": count}, as_json=as_json,
                        words=lambda said: output.say(f"{said['file']}: {said['rows']} rows"))  # fmt: skip
        elif as_json:
            output.dump({**page, "rows": list(rows), "next": None})
        else:
            _show(form, rows, language)


def _told(rows: Iterator[TableRow]) -> Iterator[TableRow]:
    """The same rows; of a long report it is said now and then how far it is."""
    for count, row in enumerate(rows, 1):
        if count % PROGRESS_ROWS == 0:
            typer.echo(f"{count:,} rows …", err=True)
        yield row


def _path(name: str) -> tuple[str, ...]:
    from gateway.treasury.reports.catalogue import RESTRICTED

    return (name,) if name in RESTRICTED else ("reports", name)


def _rows(client: ControlClient, name: str, asked: dict[str, Any], page: Any) -> Iterator[TableRow]:
    """All rows, each page asked for when the one before is written."""
    while True:
        yield from page["rows"]
        if page["next"] is None:
            return
        # A period that begins today must not move with midnight.
        page = client.get(*_path(name), **{**asked, "from": page["from"], "to": page["to"], "after": page["next"]})


def _show(form: ReportForm, rows: Iterator[TableRow], language: str) -> None:
    from gateway.treasury.reports.written import as_text

    columns = {column.key: column.heading(language) for column in form.columns}
    output.table(list(as_text(form, rows, language)), columns, "nothing to show")


def _write(form: ReportForm, page: Any, rows: Iterator[TableRow], language: str, out: Path) -> int:
    from gateway.treasury.reports import written
    from gateway.treasury.reports.facts import facts
    from gateway.typesetting import NoPdf

    period = date.fromisoformat(page["from"]), date.fromisoformat(page["to"])
    about = facts(language, period, page["at"], page["accounts"], page.get("audit_head", ""))
    try:
        return written.to_file(form, about, rows, language, out)
    except OSError as error:
        output.leave(exit_codes.FAILED, f"{out}: cannot be written ({error.strerror or error}); nothing is left behind")
    except (NoPdf, written.CannotWrite) as error:
        output.leave(exit_codes.FAILED, str(error))
