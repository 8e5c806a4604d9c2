"""`bankgw receipts`: electronic receipts (电子回单) of payments and of money that came in: kept, missing, originals."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import zipfile
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.help_pages import Listing
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Clear, Config, ReasonOption, Socket

if TYPE_CHECKING:
    from gateway.control.client import ControlClient

INDEX = ("file", "receipt", "payment", "order", "company", "bank", "account", "bank_date", "amount", "currency",
         "payee", "payee_account", "reference", "serial", "media_type", "size", "sha256", "kept", "entry", "line",
         "payer", "payer_account")  # fmt: skip
_SUFFIX = {"application/pdf": ".pdf", "text/plain": ".txt", "application/zip": ".zip", "application/ofd": ".ofd",
           "application/xml": ".xml", "image/png": ".png", "image/jpeg": ".jpg"}  # fmt: skip
_KEPT = {"order": "order", "line": "bank's number", "bank": "bank", "account": "account", "bank_date": "bank date",
         "amount": "amount", "media_type": "file", "size": "bytes"}  # fmt: skip
_MISSING = {"order": "order", "subject": "payment or entry", "bank": "bank", "account": "account",
            "bank_date": "bank date", "age_days": "days", "tries": "tries", "why": "why"}  # fmt: skip

FirstDay = Annotated[str | None, typer.Option("--from", metavar="DAY", help="First bank date; default: of the month.")]
LastDay = Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last bank date; default: today.")]
OfBank = Annotated[str | None, typer.Option(help="Only this bank's accounts.")]
OfCompany = Annotated[str | None, typer.Option(help="Only this company's accounts.")]
OfAccount = Annotated[str | None, typer.Option(help="Only this own account.")]


def application() -> typer.Typer:
    """The group."""
    group = typer.Typer(help="Electronic receipts (电子回单) of payments and of money that came in.",
                        no_args_is_help=True, cls=Listing)  # fmt: skip
    group.command("list")(listing)
    for verb in (missing, export, none):
        group.command(verb.__name__)(verb)
    return group


def listing(
    context: typer.Context, first: FirstDay = None, last: LastDay = None, bank: OfBank = None,
    company: OfCompany = None, account: OfAccount = None, clear: Clear = False, config: Config = DEFAULT_CONFIG,
    socket: Socket = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """List the receipts that are kept."""
    with output.asking():
        client = output.remote(context, config, socket)
        rows = list(_rows(client, {"from": first, "to": last, "bank": bank, "company": company, "account": account,
                                   "clear": 1 if clear else None}))  # fmt: skip
    output.show({"receipts": rows}, as_json=as_json,
                words=lambda said: output.table(said["receipts"], _KEPT, "no receipts"))  # fmt: skip


def missing(
    context: typer.Context,
    older: Annotated[int, typer.Option("--older", metavar="DAYS", help="Only those missing for so long.")] = 0,
    bank: OfBank = None, company: OfCompany = None, account: OfAccount = None, clear: Clear = False,
    config: Config = DEFAULT_CONFIG, socket: Socket = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """List settled payments, and money that came in, whose receipt is not there, the oldest first, with why."""
    with output.asking():
        said = output.remote(context, config, socket).get(
            "receipts", "missing", older_days=older or None, bank=bank, company=company, account=account,
            clear=1 if clear else None,
        )  # fmt: skip
    output.show(said, as_json=as_json, words=lambda told: output.table(told["missing"], _MISSING, "none is missing"))


def none(
    context: typer.Context,
    payment: Annotated[
        str, typer.Argument(metavar="KEY", help="The key of the payment or entry, as `missing` has it.")
    ],
    reason: ReasonOption,
    config: Config = DEFAULT_CONFIG, socket: Socket = None, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Say that the bank gives no receipt of a payment or entry (确认无回单); it is not looked for any more."""
    with output.asking():
        said = output.remote(context, config, socket).post("receipts", payment, "none", reason=reason)
    output.show(said, as_json=as_json, words=lambda told: output.say(f"{told['payment']}: no receipt"))


def export(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the archives go; made if missing.")],
    first: FirstDay = None, last: LastDay = None, bank: OfBank = None, company: OfCompany = None,
    account: OfAccount = None, clear: Clear = False, config: Config = DEFAULT_CONFIG, socket: Socket = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Write the originals, one ZIP an account and month, each with an index as CSV and XML.

    An archive opens without bankgw and without its keys. Each file is checked against its digest. A ZIP is written
    whole or not at all, readable by you alone.
    """
    with output.asking():
        client = output.remote(context, config, socket)
        rows = list(_rows(client, {"from": first, "to": last, "bank": bank, "company": company, "account": account,
                                   "clear": 1 if clear else None}))  # fmt: skip
        made = []
        try:
            out.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, some in _by_month(rows).items():
                made.append({"file": str(out / name), "receipts": len(some)})
                _archive(client, some, out / name)
        except OSError as error:
            output.leave(exit_codes.FAILED, f"{out}: cannot be written ({error.strerror or error})")
    output.show({"archives": made}, as_json=as_json, words=_made)


def _made(said: Any) -> None:
    for one in said["archives"]:
        output.say(f"{one['file']}: {one['receipts']} receipts")
    if not said["archives"]:
        output.say("no receipts in this period")


def _rows(client: ControlClient, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    after = None
    while True:
        page = client.get("receipts", after=after, **asked)
        yield from page["receipts"]
        after = page["next"]
        if after is None:
            return


def _by_month(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["account"], row["bank_date"], row["receipt"])):
        account = re.sub("[^0-9A-Za-z]+", "-", row["account"])
        found.setdefault(f"{row['bank']}-{account}-{row['bank_date'][:7]}.zip", []).append(row)
    return found


def _archive(client: ControlClient, rows: Sequence[dict[str, Any]], out: Path) -> None:
    made = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file, zipfile.ZipFile(
            file, "w", zipfile.ZIP_DEFLATED
        ) as archive:
            listed = []
            for number, row in enumerate(rows, 1):
                name = f"{number:05d}-{row['bank_date']}{_SUFFIX.get(row['media_type'], '.bin')}"
                archive.writestr(name, _original(client, row))
                listed.append({**row, "file": name})
            archive.writestr("index.csv", "\ufeff" + _index_csv(listed))
            archive.writestr("index.xml", _index_xml(listed))
        made.replace(out)
    finally:
        made.unlink(missing_ok=True)


def _original(client: ControlClient, row: Mapping[str, Any]) -> bytes:
    data, at = b"", 0
    while True:
        piece = client.get("receipts", row["receipt"], "file", at=at)
        data += b64decode(piece["data"])
        if piece["next"] is None:
            break
        at = piece["next"]
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        output.leave(exit_codes.FAILED, f"receipt {row['receipt']} does not have its digest; nothing is written of it")
    return data


def _index_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\r\n")
    table.writerow(INDEX)
    table.writerows([_cell(row.get(name)) for name in INDEX] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> str:
    """No spreadsheet takes a text for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text


def _index_xml(rows: Sequence[Mapping[str, Any]]) -> str:
    from xml.sax.saxutils import quoteattr

    lines = [
        "  <receipt " + " ".join(f"{name}={quoteattr(str(row[name]))}" for name in INDEX if row.get(name) is not None)
        + "/>"
        for row in rows
    ]  # fmt: skip
    return '<?xml version="1.0" encoding="UTF-8"?>\n<receipts>\n' + "\n".join(lines) + "\n</receipts>\n"
