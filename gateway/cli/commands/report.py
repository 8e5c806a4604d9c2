"""`bankgw report`: a treasury report on the terminal, or as xlsx, PDF, HTML or CSV in a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Clear, Config, Socket

if TYPE_CHECKING:
    from gateway.control.client import ControlClient
    from gateway.treasury.reports.table import ReportForm, TableHead, TableRow

NAMES = ("balances, positions, daily, history, payments, transfers, returns, payroll, entries, fees, cash-flow, "
         "bank-service, balance-tables, open-items")  # fmt: skip
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
        page = client.get("reports", name, **asked)
        rows = _rows(client, name, asked, page)
        if out is not None:
            count = _write(form, page, rows, language, out)
            output.show({"file": str(out), "rows": count}, as_json=as_json,
                        words=lambda said: output.say(f"{said['file']}: {said['rows']} rows"))  # fmt: skip
        elif as_json:
            output.dump({**page, "rows": list(rows), "next": None})
        else:
            _show(form, rows, language)


def _rows(client: ControlClient, name: str, asked: dict[str, Any], page: Any) -> Iterator[TableRow]:
    """All rows, each page asked for when the one before is written."""
    while True:
        yield from page["rows"]
        if page["next"] is None:
            return
        # A period that begins today must not move with midnight.
        page = client.get("reports", name, **{**asked, "from": page["from"], "to": page["to"], "after": page["next"]})


def _show(form: ReportForm, rows: Iterator[TableRow], language: str) -> None:
    from gateway.treasury.reports.written import as_text

    columns = {column.key: column.heading(language) for column in form.columns}
    output.table(list(as_text(form, rows, language)), columns, "nothing to show")


def _facts(page: Any, language: str) -> TableHead:
    from gateway.treasury.reports.table import TableHead

    words = ("Period", "Made at", "Accounts", "Audit head")
    if language == "zh":
        words = ("期间", "出具时间", "账户数", "审计链头")
    period = page["from"] if page["from"] == page["to"] else f"{page['from']} – {page['to']}"
    lines = [(words[0], period), (words[1], page["at"]), (words[2], str(page["accounts"]))]
    if page.get("audit_head"):
        lines.append((words[3], page["audit_head"]))
    return TableHead(tuple(lines))


def _write(form: ReportForm, page: Any, rows: Iterator[TableRow], language: str, out: Path) -> int:
    """Write a file beside its place, and put it there when it is whole."""
    from gateway.treasury.reports import written
    from gateway.typesetting import NoPdf

    facts, made = _facts(page, language), out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        # Made first by us, so that nobody else can read it while it grows.
        os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        if out.suffix == ".xlsx":
            count = written.to_xlsx(form, facts, rows, language, made)
        elif out.suffix == ".pdf":
            octets, count = written.to_pdf(form, facts, rows, language)
            made.write_bytes(octets)
        elif out.suffix == ".html":
            with made.open("w", encoding="utf-8") as page_file:
                count = written.to_html(form, facts, rows, language, page_file)
        else:
            # With the mark by which spreadsheets know UTF-8.
            with made.open("w", encoding="utf-8-sig", newline="") as table_file:
                count = written.to_csv(form, rows, language, table_file)
        made.replace(out)
    except OSError as error:
        output.leave(exit_codes.FAILED, f"{out}: cannot be written ({error.strerror or error}); nothing is left behind")
    except (NoPdf, written.CannotWrite) as error:
        output.leave(exit_codes.FAILED, str(error))
    finally:
        made.unlink(missing_ok=True)
    return count
