"""Receipts that banks send in zip archives: one member is unpacked, never more, and within bounds.

These are bounded: the archive itself, the files that it lists, and the bytes to which the wanted member unpacks.
Nothing else is unpacked, so that an archive that would grow to gigabytes costs no more than its list of files.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Final

from protocols.canon.statement import Receipt
from protocols.kit.errors import ProtocolError

ARCHIVE_BYTES_MAX: Final = 64 * 1_048_576
FILE_BYTES_MAX: Final = 4 * 1_048_576
MEMBERS_MAX: Final = 10_000
_LIST_BYTES_EACH: Final = 1_024
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UTF8_NAME: Final = 0x800
_BROKEN: Final = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError)
"""The errors of zipfile on damaged or hostile bytes.

No archive or a wrong checksum, data that cannot be inflated, data that end early, an encrypted member or an unknown
method, a position or a name that cannot be.
"""


def is_archive(data: bytes) -> bool:
    """Whether these bytes begin like a zip archive."""
    return data.startswith(b"PK")


def only_member(data: bytes, wanted: Callable[[str], bool] | None = None) -> Receipt:
    """The only PDF in a zip archive; with `wanted`, the PDF whose name (without its folders) is wanted.

    Raises "missing" and "ambiguous" unless exactly one fits, "frame_too_long" on an archive, a list or a PDF that is
    too big, "value" on an archive that cannot be read, or on a file in it that is no PDF.
    """
    _check_size(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = [(info, name) for info in _listed(archive) if _is_wanted(name := _name(info), wanted)]
            if len(found) != 1:
                raise ProtocolError("missing" if not found else "ambiguous", f"{len(found)} PDFs for one receipt")
            return pdf(_unpacked(archive, found[0][0]), found[0][1])
    except _BROKEN as error:
        raise ProtocolError("value", f"the archive of receipts cannot be read: {error}") from None


def pdf(data: bytes, name: str) -> Receipt:
    """The bytes of a PDF receipt. Raises "value" if the bytes are no PDF."""
    if not data.startswith(b"%PDF-"):
        raise ProtocolError("value", "the receipt is no PDF")
    return Receipt(data, "application/pdf", name)


def only_pdf(data: bytes, name: str) -> Receipt:
    """The PDF in a file, which is a PDF or an archive with one. Raises as `only_member` and `pdf` do."""
    return only_member(data) if is_archive(data) else pdf(data, name)


def _check_size(data: bytes) -> None:
    """Refuse an archive whose list of files alone would take too much time. Its end record states the number of files
    and bytes."""
    if len(data) > ARCHIVE_BYTES_MAX:
        raise ProtocolError("frame_too_long", f"an archive of {len(data)} bytes")
    end = data.rfind(b"PK\x05\x06", max(0, len(data) - 65_557))
    files, size = (int.from_bytes(data[end + at : end + at + n], "little") for at, n in ((10, 2), (12, 4)))
    if end >= 0 and (files > MEMBERS_MAX or size > MEMBERS_MAX * _LIST_BYTES_EACH):
        raise ProtocolError("frame_too_long", f"the archive has {files} files, and its directory has {size} bytes")


def _listed(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MEMBERS_MAX:
        raise ProtocolError("frame_too_long", f"an archive of {len(infos)} files")
    return infos


def _name(info: zipfile.ZipInfo) -> str:
    """A member's name without its folders. A name without the UTF-8 mark is read as GB18030 if its bytes are valid in
    it.
    """
    name = info.filename
    if not info.flag_bits & _UTF8_NAME:
        try:
            name = name.encode("cp437").decode("gb18030")
        except UnicodeError:
            pass
    return "" if info.is_dir() else PurePosixPath(name.replace("\\", "/")).name


def _is_wanted(name: str, wanted: Callable[[str], bool] | None) -> bool:
    return name.lower().endswith(".pdf") and (wanted is None or wanted(name))


def _unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.compress_type not in _METHODS:
        raise ProtocolError("value", f"the archive of receipts is packed by method {info.compress_type}, not deflated")
    with archive.open(info) as member:
        content = member.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise ProtocolError("frame_too_long", f"a receipt of more than {FILE_BYTES_MAX} bytes")
    return content
