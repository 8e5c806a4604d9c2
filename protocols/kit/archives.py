"""Archives of PDFs that banks send as receipts: bounded in files and in unpacked bytes."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from protocols.canon.statement import Receipt
from protocols.kit.errors import ProtocolError

FILE_BYTES_MAX: Final = 4 * 1_048_576
MEMBERS_MAX: Final = 10_000


def members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The PDFs of an archive. Raises "value" on one that is broken, locked, or too big when unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if len(infos) > MEMBERS_MAX:
                raise ProtocolError("frame_too_long", f"an archive of {len(infos)} files")
            for info in infos:
                if info.filename.lower().endswith(".pdf"):
                    with archive.open(info) as member:
                        yield info.filename, _read(member.read(FILE_BYTES_MAX + 1))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise ProtocolError("value", f"the archive of receipts cannot be read: {error}") from None


def pdf(data: bytes, name: str) -> Receipt:
    """A receipt. Raises "value" if the bytes are no PDF."""
    if not data.startswith(b"%PDF-"):
        raise ProtocolError("value", "the receipt is no PDF")
    return Receipt(data, "application/pdf", name)


def only_pdf(data: bytes, name: str) -> Receipt:
    """The PDF that a file is, or the one in the archive that it is. Raises "ambiguous" on several, "missing"."""
    if not data.startswith(b"PK"):
        return pdf(data, name)
    found = list(members(data))
    if len(found) != 1:
        raise ProtocolError("missing" if not found else "ambiguous", f"{len(found)} PDFs for one receipt")
    return pdf(found[0][1], PurePosixPath(found[0][0]).name)


def _read(content: bytes) -> bytes:
    if len(content) > FILE_BYTES_MAX:
        raise ProtocolError("frame_too_long", f"a receipt of more than {FILE_BYTES_MAX} bytes")
    return content
