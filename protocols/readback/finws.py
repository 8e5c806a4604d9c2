"""Reads the bytes of the Finnish Web Services back: an upload in SOAP with a pain.001 or pain.008 inside (banks/finws).

A message that is encrypted for the bank cannot be read here.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence

from lxml import etree

from protocols.readback.paper import (
    PaidLine,
    Sealed,
    Unreadable,
    after_head,
    amount,
    elements,
    leaf,
    nothing_else,
    once,
    rows,
)

_FILE_BYTES_MAX = 67_108_864
_AMOUNTS = ("InstdAmt", "EqvtAmt")


def paid_lines(data: bytes) -> Sequence[PaidLine]:
    """The payments of one uploaded file, group by group. Raises Sealed for an encrypted message."""
    envelope = elements(after_head(data), "utf-8")
    body = once(envelope, "Body")
    if [node.tag for node in body] != ["uploadFilein"]:
        raise Unreadable("it is no upload of one file")
    request = elements(octets_of(leaf(body, "uploadFilein/ApplicationRequest")), "utf-8")
    if request.tag == "EncryptedData":
        raise Sealed("the message is encrypted for the bank")
    if request.tag != "ApplicationRequest" or leaf(request, "Command") != "UploadFile":
        raise Unreadable("it is no ApplicationRequest that uploads a file")
    root = elements(uploaded_file(request), "utf-8")
    names = [node.tag for node in root]
    if root.tag != "Document" or names not in (["CstmrCdtTrfInitn"], ["CstmrDrctDbtInitn"]):
        raise Unreadable("the file is neither pain.001 nor pain.008")
    read = _transfers if names == ["CstmrCdtTrfInitn"] else _debits
    return nothing_else(root, _AMOUNTS, [line for group in rows(root[0], "PmtInf") for line in read(group)])


def _transfers(group: etree._Element) -> list[PaidLine]:
    own = account_number(group, "DbtrAcct")
    found = rows(group, "CdtTrfTxInf")
    return [PaidLine(own, account_number(row, "CdtrAcct"), amount(leaf(row, "Amt/InstdAmt"))) for row in found]


def _debits(group: etree._Element) -> list[PaidLine]:
    own = account_number(group, "CdtrAcct")
    found = rows(group, "DrctDbtTxInf")
    return [PaidLine(account_number(row, "DbtrAcct"), own, amount(leaf(row, "InstdAmt"))) for row in found]


def account_number(node: etree._Element, of: str) -> str:
    """The only number of the account in an element of this name."""
    identity = once(node, f"{of}/Id")
    names = [child.tag for child in identity]
    if names not in (["IBAN"], ["Othr"]):
        raise Unreadable(f"{of} has not exactly one number")
    return leaf(identity, "IBAN" if names == ["IBAN"] else "Othr/Id")


def uploaded_file(request: etree._Element) -> bytes:
    """The file, unpacked if the request says that it is packed."""
    content, packed = octets_of(leaf(request, "Content")), leaf(request, "Compression")
    if packed not in ("true", "false"):
        raise Unreadable("Compression is neither true nor false")
    if packed == "false":
        return content
    if leaf(request, "CompressionMethod") != "GZIP":
        raise Unreadable("the file is not packed by GZIP")
    opener = zlib.decompressobj(31)
    try:
        found = opener.decompress(content, _FILE_BYTES_MAX)
    except zlib.error:
        raise Unreadable("the file is no GZIP file") from None
    if not opener.eof or opener.unused_data:
        raise Unreadable("the file is not one whole GZIP file")
    return found


def octets_of(text: str) -> bytes:
    """The octets of a Base64 text."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unreadable("a part of it is no base64") from None
