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
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Clear, Config, Socket

if TYPE_CHECKING:
    from gateway.control.client import ControlClient

INDEX = (
    "file",
    "receipt",
    "payment",
    "order",
    "company",
    "bank",
    "account",
    "bank_date",
    "amount",
    "currency",
    "payee",
    "payee_account",
    "reference",
    "serial",
    "media_type",
    "size",
    "sha256",
    "kept",
    "entry",
    "line",
    "payer",
    "payer_account",
)
_SUFFIX = {
    "application/pdf": ".pdf",
    "text/plain": ".txt",
    "application/zip": ".zip",
    "application/ofd": ".ofd",
    "application/xml": ".xml",
    "image/png": ".png",
    "image/jpeg": ".jpg",
}

FirstDay = Annotated[str | None, typer.Option("--from", metavar="DAY", help="First bank date; default: of the month.")]
LastDay = Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last bank date; default: today.")]
OfBank = Annotated[str | None, typer.Option(help="Only this bank's accounts.")]
OfCompany = Annotated[str | None, typer.Option(help="Only this company's accounts.")]
OfAccount = Annotated[str | None, typer.Option(help="Only this own account.")]


def export(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the archives go; made if missing.")],
    first: FirstDay = None,
    last: LastDay = None,
    bank: OfBank = None,
    company: OfCompany = None,
    account: OfAccount = None,
    clear: Clear = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Write the originals, one ZIP an account and month, each with an index as CSV and XML.

    An archive opens without bankgw and without its keys. Each file is checked against its digest. A ZIP is written
    whole or not at all, readable by you alone.
    """
    with output.asking():
        client = output.remote(context, config, socket)
        rows = list(
            _rows(
                client,
                {
                    "from": first,
                    "to": last,
                    "bank": bank,
                    "company": company,
                    "account": account,
                    "clear": 1 if clear else None,
                },
            )
        )
        made = []
        try:
            out.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, some in _by_month(rows).items():
                made.append({"file": str(out / name), "receipts": len(some)})
                _archive(client, some, out / name)
        except OSError as error:
            why = error.strerror or error
            output.leave(
                exit_codes.FAILED,
                (f"{out}: cannot be written ({why})", f"{out}：无法写入（{output.os_reason(error)}）"),
            )
    output.show({"archives": made}, as_json=as_json, words=_made)


def _made(said: Any) -> None:
    for one in said["archives"]:
        file, count = one["file"], one["receipts"]
        output.say((f"{file}: {count} receipts", f"{file}：{count} 份回单"))
    if not said["archives"]:
        output.say(("no receipts in this period", "该期间没有回单"))


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
        with (
            os.fdopen(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
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
        receipt = row["receipt"]
        output.leave(
            exit_codes.FAILED,
            (
                f"receipt {receipt} does not have its digest; nothing is written of it",
                f"回单 {receipt} 与其校验值不符；未写出任何内容",
            ),
        )
    return data


def _index_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\r\n")
    table.writerow(INDEX)
    table.writerows([_cell(row.get(name)) for name in INDEX] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> str:
    """Keeps a spreadsheet from reading a text as a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t") else text


def _index_xml(rows: Sequence[Mapping[str, Any]]) -> str:
    from xml.sax.saxutils import quoteattr

    lines = [
        "  <receipt "
        + " ".join(f"{name}={quoteattr(str(row[name]))}" for name in INDEX if row.get(name) is not None)
        + "/>"
        for row in rows
    ]
    return '<?xml version="1.0" encoding="UTF-8"?>\n<receipts>\n' + "\n".join(lines) + "\n</receipts>\n"
