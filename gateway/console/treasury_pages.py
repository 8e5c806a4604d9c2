"""The console's pages of receipts and of cash pools. Nothing here moves money: pools are run and signed elsewhere."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Sequence

from starlette.responses import Response

from gateway.console.code_texts import said
from gateway.web.site import PageRefused, PageVisit, WebRoute

_ENDINGS = {"application/pdf": ".pdf", "application/zip": ".zip", "image/jpeg": ".jpg", "image/png": ".png",
            "application/ofd": ".ofd", "text/plain": ".txt", "application/xml": ".xml"}  # fmt: skip
_MOST_BYTES = 64 * 1024 * 1024


def routes() -> Sequence[WebRoute]:
    """These pages."""
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


def receipts(visit: PageVisit) -> Response:
    """Originals that are kept, of a period."""
    asked = {name: visit.asked(name) or None for name in ("from", "to", "after", "bank", "company")}
    return visit.show("receipts.html", found=visit.query.get("receipts", **asked), asked=asked)


def missing(visit: PageVisit) -> Response:
    """Settled payments without a receipt, the oldest first."""
    older = visit.asked("older")
    found = visit.query.get("receipts", "missing", older_days=older if older.isdecimal() and int(older) > 0 else None)
    return visit.show("receipts-missing.html", found=found, older=older, said=said)


def receipt(visit: PageVisit) -> Response:
    """One receipt: its payment, its size, its SHA-256."""
    return visit.show("receipt.html", found=visit.query.get("receipts", visit.part("key"), "facts"))


def receipt_file(visit: PageVisit) -> Response:
    """The original as the bank gave it. The daemon notes who took it, and wants a factor shown again."""
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
    # A bank's file is no page of this site, whatever it says it is.
    return Response(data, media_type="application/octet-stream",
                    headers={"Content-Disposition": f'attachment; filename="{name}"'})  # fmt: skip


def pools(visit: PageVisit) -> Response:
    """The pools in force."""
    return visit.show("pools.html", found=visit.query.get("liquidity")["pools"])


def pool(visit: PageVisit) -> Response:
    """One pool: its rules as they were signed, what members have lent, its runs."""
    return visit.show("pool.html", found=visit.query.get("liquidity", visit.part("name")))


def preview(visit: PageVisit) -> Response:
    """What a run would move now. The daemon asks the banks for balances that are too old."""
    return visit.show("pool-preview.html", found=visit.daemon.get("liquidity", visit.part("name"), "preview"))


def run(visit: PageVisit) -> Response:
    """One run: what it moved, and what not and why."""
    return visit.show("pool-run.html", found=visit.query.get("liquidity-runs", visit.part("key")))
