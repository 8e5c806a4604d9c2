"""Reads what a signature of the Finnish Web Services binds (banks/finws README, 2 to 5).

A content key signs the ApplicationRequest as a whole. The transport key signs the envelope's Body and Timestamp by
their ids; the Body carries the same ApplicationRequest.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from lxml import etree

from protocols.canon.order import Kind
from protocols.readback.finws import account_number, octets_of, uploaded_file
from protocols.readback.paper import Unreadable, amount, elements, leaf, nothing_else, once, rows
from protocols.readback.signed_message import SignedLine, SignedMessage

_DS: Final = "{http://www.w3.org/2000/09/xmldsig#}"
_SOAP: Final = "{http://schemas.xmlsoap.org/soap/envelope/}"
_DATA: Final = "{http://bxd.fi/xmldata/}"
_ID: Final = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}Id"
_ENVELOPED: Final = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
_EXCLUSIVE: Final = {
    "http://www.w3.org/2001/10/xml-exc-c14n#": True,
    "http://www.w3.org/2001/10/xml-exc-c14n#WithComments": True,
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315": False,
    "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments": False,
}
_DIGESTS: Final = {
    "http://www.w3.org/2000/09/xmldsig#sha1": hashlib.sha1,
    "http://www.w3.org/2001/04/xmlenc#sha256": hashlib.sha256,
    "http://www.w3.org/2001/04/xmlenc#sha512": hashlib.sha512,
}
_QUESTIONS: Final[Mapping[str, str]] = {
    "DownloadFileList": "downloadFileList",
    "DownloadFile": "downloadFile",
    "GetUserInfo": "getUserInfo",
}
_PAID: Final = frozenset({Kind.PAYMENT, Kind.TRANSFER, Kind.BATCH_ITEM, Kind.PAYROLL_ITEM})
_COLLECTED: Final = frozenset({Kind.COLLECTION})
_AMOUNTS: Final = ("InstdAmt", "EqvtAmt")


def signed_message(octets: bytes, document: bytes) -> SignedMessage:
    """What a signature over these octets says. Raises Unreadable unless they are the SignedInfo of this document."""
    root = _root(document)
    if root.tag == f"{_DATA}ApplicationRequest":
        _signs_the_whole(octets, root)
        return _request(document)
    if root.tag != f"{_SOAP}Envelope":
        raise Unreadable("it is neither an ApplicationRequest nor an envelope")
    body = _signed_body(octets, root)
    asked = [node for node in body if isinstance(node.tag, str)]
    if len(asked) != 1:
        raise Unreadable("the Body has not exactly one request")
    operation = etree.QName(asked[0]).localname.removesuffix("in")
    carried = [node for node in asked[0] if etree.QName(node).localname == "ApplicationRequest"]
    if len(carried) != 1:
        raise Unreadable("the Body has not exactly one ApplicationRequest")
    said = _request(octets_of(carried[0].text or ""))
    if said.operation != operation:
        raise Unreadable(f"the envelope asks for {operation}, its content for {said.operation}")
    return said


# ---- the signature -----------------------------------------------------------------------------------------------


def _root(data: bytes) -> etree._Element:
    """The root of an XML text without comments, entities and instructions."""
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Unreadable(f"it is no XML: {type(error).__name__}") from None
    if root.getroottree().docinfo.doctype or any(not isinstance(node.tag, str) for node in root.iter()):
        raise Unreadable("the XML has declarations, comments or instructions")
    return root


def _canonical(element: etree._Element, *, exclusive: bool) -> bytes:
    """The canonical octets of an element that is cut out of its document first."""
    cut = etree.fromstring(etree.tostring(element, encoding="utf-8", with_tail=False))
    found: bytes = etree.tostring(cut, method="c14n", exclusive=exclusive, with_comments=False)
    return found


def _references(octets: bytes) -> Sequence[tuple[str, Sequence[str], str, str]]:
    """The references of a SignedInfo in its own canonical form: URI, transforms, digest method and value."""
    info = _root(octets)
    if info.tag != f"{_DS}SignedInfo" or [node.tag for node in info][:2] != [
        f"{_DS}CanonicalizationMethod",
        f"{_DS}SignatureMethod",
    ]:
        raise Unreadable("the octets are no SignedInfo")
    method = _EXCLUSIVE.get(str(info[0].get("Algorithm")))
    if method is None or _canonical(info, exclusive=method) != octets:
        raise Unreadable("the octets are no SignedInfo in its canonical form")
    found = []
    for one in info[2:]:
        parts = {etree.QName(node).localname: node for node in one}
        if one.tag != f"{_DS}Reference" or len(parts) != len(one) or not {"DigestMethod", "DigestValue"} <= set(parts):
            raise Unreadable("a reference of the SignedInfo is of another form")
        transforms = [str(node.get("Algorithm")) for node in parts.get("Transforms", ())]
        value = parts["DigestValue"].text or ""
        found.append((str(one.get("URI")), transforms, str(parts["DigestMethod"].get("Algorithm")), value))
    return found


def _fits(octets: bytes, method: str, value: str) -> bool:
    made = _DIGESTS.get(method)
    return made is not None and base64.b64encode(made(octets).digest()).decode("ascii") == value


def _signs_the_whole(octets: bytes, root: etree._Element) -> None:
    found = _references(octets)
    if len(found) != 1:
        raise Unreadable("the SignedInfo has not exactly one reference")
    uri, transforms, method, value = found[0]
    forms = [_EXCLUSIVE.get(one) for one in transforms[1:]] or [False]
    if uri or transforms[:1] != [_ENVELOPED] or len(forms) != 1 or forms[0] is None:
        raise Unreadable("the reference is not to the whole document")
    if not _fits(_canonical(root, exclusive=forms[0]), method, value):
        raise Unreadable("the octets are not the SignedInfo of the message")


def _signed_body(octets: bytes, envelope: etree._Element) -> etree._Element:
    """The Body, if the octets sign it."""
    bodies = [node for node in envelope if node.tag == f"{_SOAP}Body"]
    if len(bodies) != 1:
        raise Unreadable("the envelope has not exactly one Body")
    signed = set()
    for uri, transforms, method, value in _references(octets):
        named = [node for node in envelope.iter() if f"#{node.get(_ID)}" == uri]
        form = _EXCLUSIVE.get(transforms[0]) if len(transforms) == 1 else None
        if len(named) != 1 or not form:
            raise Unreadable("a reference names not exactly one element, or has other transforms")
        if not _fits(_canonical(named[0], exclusive=True), method, value):
            raise Unreadable("the octets are not the SignedInfo of the message")
        signed.add(named[0])
    if bodies[0] not in signed:
        raise Unreadable("the Body is not signed")
    return bodies[0]


# ---- the content -------------------------------------------------------------------------------------------------


def _request(data: bytes) -> SignedMessage:
    whole = _root(data)
    if whole.tag != f"{_DATA}ApplicationRequest":
        raise Unreadable("the content is encrypted for the bank, or no ApplicationRequest")
    request = elements(data, "utf-8")
    command = leaf(request, "Command")
    if command in _QUESTIONS:
        if request.find("Content") is not None:
            raise Unreadable(f"{command} carries a file")
        return SignedMessage(_QUESTIONS[command])
    if command != "UploadFile":
        raise Unreadable(f"command {command!r} is not known here")
    root = elements(uploaded_file(request), "utf-8")
    names = [node.tag for node in root]
    if root.tag != "Document" or names not in (["CstmrCdtTrfInitn"], ["CstmrDrctDbtInitn"]):
        raise Unreadable("the file is neither pain.001 nor pain.008")
    pays = names == ["CstmrCdtTrfInitn"]
    read = _transfer if pays else _debit
    lines = tuple(
        read(group, row)
        for group in rows(root[0], "PmtInf")
        for row in rows(group, "CdtTrfTxInf" if pays else "DrctDbtTxInf")
    )
    nothing_else(root, _AMOUNTS, lines)
    reference = leaf(root[0], "GrpHdr/MsgId")
    _totals(root[0], request, reference, lines)
    return SignedMessage("uploadFile", _PAID if pays else _COLLECTED, reference, lines)


def _totals(message: etree._Element, request: etree._Element, reference: str, lines: Sequence[SignedLine]) -> None:
    """Compare what file and request say of the whole with the lines."""
    total = sum((line.amount for line in lines), Decimal())
    for said, ours in (
        (leaf(message, "GrpHdr/NbOfTxs"), str(len(lines))),
        (leaf(request, "ExecutionSerial"), reference),
        (leaf(request, "UserFilename"), reference),
    ):
        if said != ours:
            raise Unreadable("the file and its request are about different numbers or names")
    for node, path in ((message, "GrpHdr/CtrlSum"), (request, "AmountTotal")):
        if node.find(path) is not None and amount(leaf(node, path)) != total:
            raise Unreadable("a total is not that of the lines")


def _transfer(group: etree._Element, row: etree._Element) -> SignedLine:
    currency = _currency(row, "Amt/InstdAmt")
    return SignedLine(
        leaf(row, "PmtId/InstrId"),
        account_number(group, "DbtrAcct"),
        account_number(row, "CdtrAcct"),
        amount(leaf(row, "Amt/InstdAmt")),
        currency,
        debtor_name=_maybe(group, "Dbtr/Nm"),
        payee_name=_maybe(row, "Cdtr/Nm"),
        payee_bank=_maybe(row, "CdtrAgt/FinInstnId/ClrSysMmbId/MmbId"),
        payee_bic=_maybe(row, "CdtrAgt/FinInstnId/BIC") or _maybe(row, "CdtrAgt/FinInstnId/BICFI"),
    )


def _debit(group: etree._Element, row: etree._Element) -> SignedLine:
    return SignedLine(
        leaf(row, "PmtId/InstrId"),
        account_number(row, "DbtrAcct"),
        account_number(group, "CdtrAcct"),
        amount(leaf(row, "InstdAmt")),
        _currency(row, "InstdAmt"),
        debtor_name=_maybe(row, "Dbtr/Nm"),
        payee_name=_maybe(group, "Cdtr/Nm"),
        agreement=leaf(row, "DrctDbtTx/MndtRltdInf/MndtId"),
    )


def _maybe(node: etree._Element, path: str) -> str | None:
    """The text at a path that may be missing, and may not occur twice."""
    return None if node.find(path) is None else leaf(node, path)


def _currency(row: etree._Element, path: str) -> str:
    return once(row, path).get("Ccy") or ""
