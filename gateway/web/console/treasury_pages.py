"""The console's pages of receipts and cash pools. Nothing here moves money: other pages and commands run and sign
pools.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Sequence

from starlette.responses import Response

from gateway.web.console.code_texts import said
from gateway.web.shared.site import PageRefused, PageRequest, WebRoute

_ENDINGS = {
    "application/pdf": ".pdf",
    "application/zip": ".zip",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "application/ofd": ".ofd",
    "text/plain": ".txt",
    "application/xml": ".xml",
}
_MOST_BYTES = 64 * 1024 * 1024


def routes() -> Sequence[WebRoute]:
    """The routes of the pages about receipts and cash pools."""
    return (
        WebRoute("GET", "/receipts", receipts),
        WebRoute("GET", "/receipts/missing", missing),
        WebRoute("GET", "/receipts/{key}", receipt),
        WebRoute("GET", "/receipts/{key}/file", receipt_file),
        WebRoute("GET", "/liquidity", pools),
        WebRoute("GET", "/liquidity/{name}", pool),
        WebRoute("GET", "/liquidity/{name}/preview", preview),
        WebRoute("GET", "/liquidity-runs/{key}", run),
    )


def receipts(visit: PageRequest) -> Response:
    """Show the stored originals of a period."""
    asked = {name: visit.asked(name) or None for name in ("from", "to", "after", "bank", "company")}
    return visit.show("receipts.html", found=visit.query.get("receipts", **asked), asked=asked)


def missing(visit: PageRequest) -> Response:
    """Show settled payments without a receipt, the oldest first."""
    older = visit.asked("older")
    found = visit.query.get("receipts", "missing", older_days=older if older.isdecimal() and int(older) > 0 else None)
    return visit.show("receipts-missing.html", found=found, older=older, said=said)


def receipt(visit: PageRequest) -> Response:
    """Show one receipt: its payment, its size, its SHA-256."""
    return visit.show("receipt.html", found=visit.query.get("receipts", visit.part("key"), "facts"))


def receipt_file(visit: PageRequest) -> Response:
    """The original file from the bank. The audit trail notes who exported it, and the person must show a factor again
    before."""
    key, data, at = visit.part("key"), b"", 0
    about = visit.query.get("receipts", key, "facts")
    while True:
        piece = visit.daemon.get("receipts", key, "file", at=at)
        data += b64decode(piece["data"])
        if piece["next"] is None:
            break
        at = piece["next"]
        if at > _MOST_BYTES:
            raise PageRefused(413, "too_large")
    if hashlib.sha256(data).hexdigest() != about["sha256"]:
        raise PageRefused(502, "digest_differs")
    name = f"receipt-{about['receipt']}{_ENDINGS.get(about['media_type'], '.bin')}"
    # A bank's file is never shown as a page of this site, whatever type it claims.
    return Response(
        data, media_type="application/octet-stream", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def pools(visit: PageRequest) -> Response:
    """Show the pools in force."""
    return visit.show("pools.html", found=visit.query.get("liquidity")["pools"])


def pool(visit: PageRequest) -> Response:
    """Show one pool: its rules as they were signed, the amounts that members have lent, its runs."""
    return visit.show("pool.html", found=visit.query.get("liquidity", visit.part("name")))


def preview(visit: PageRequest) -> Response:
    """Show the moves that a run would make if it began now. The daemon asks the banks for balances that are too old."""
    return visit.show("pool-preview.html", found=visit.daemon.get("liquidity", visit.part("name"), "preview"))


def run(visit: PageRequest) -> Response:
    """Show one run: its moves, and the reason for each member that did not move."""
    return visit.show("pool-run.html", found=visit.query.get("liquidity-runs", visit.part("key")))
