"""Reads a pain.001 or pain.008 as commands.

The routing key decides what a file becomes: `payment.submit` and `transfer.submit` make an order of each transfer,
`batch.submit` and `payroll.submit` a batch of each PmtInf, `collection.submit` a batch of each PmtInf of a pain.008. So
one file may have accounts at different banks, and each part is handled by itself. Everything is first put into the
fields of the JSON form, so that limits and fingerprints are the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, tzinfo
from hashlib import sha256
from typing import Any, Final

from lxml import etree
from pydantic import ValidationError

from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.money import Money
from protocols.canon.party import PartyKind, address_fields, is_broken_iban
from protocols.erp import faults
from protocols.erp.form import Contradiction
from protocols.erp.forms import FORMS
from protocols.erp.iso.routes import COLLECTION_PATHS, TRANSFER_PATHS
from protocols.erp.json_form import gbk_hint
from protocols.erp.words import (
    BATCHES,
    MAX_ID_CHARS,
    MAX_ITEMS,
    SINGLE_ORDERS,
    CommandType,
    SubmitBatch,
    SubmitFile,
    SubmitOrder,
)
from protocols.kit import xmldoc
from protocols.kit.charset import UTF8
from protocols.kit.errors import ProtocolError
from protocols.kit.iso20022 import debit, schema, transfer
from protocols.kit.iso20022.debit import Debit, DebitFile, DebitGroup
from protocols.kit.iso20022.names import VERSIONS, MessageVersion, version_of
from protocols.kit.iso20022.parts import Side
from protocols.kit.iso20022.transfer import INSTANT, NOT_PROVIDED, Transfer, TransferFile, TransferGroup

MAX_NODES: Final = 40_000
MSG_ID, PMT_INF_ID, END_TO_END_ID, INSTR_ID, MSG_NAME = "msg_id", "pmt_inf_id", "end_to_end_id", "instr_id", "msg_name"
"""The tags under which every event names the file's own ids."""
_DOCUMENT: Final = re.compile(
    rb"\s*(?:<\?xml[^>]*\?>)?(?:\s*<!--(?:(?!-->)[\s\S])*-->)*\s*<(?:[A-Za-z][A-Za-z0-9._-]*:)?Document\s[^>]*?"
    rb"urn:iso:std:iso:20022:tech:xsd:([a-z0-9.]{1,20})[\"']"
)
_HEAD_BYTES: Final = 8_000
_BOM: Final = b"\xef\xbb\xbf"
# One byte above 127 between two ASCII bytes, as in Latin-1 text with accents. Characters of GBK take two bytes.
_LATIN: Final = re.compile(rb"[\x20-\x3f<>][A-Za-z]*[\xc0-\xff](?=[\x20-\x3f<>])|[A-Za-z][\xc0-\xff][a-z]")
_ID: Final = re.compile(r"[!-~]+\Z", re.ASCII)
_CNAPS: Final = re.compile(r"[0-9]{12}\Z", re.ASCII)
_DIGEST_CHARS: Final = 24
_MIXED: Final = "mixed"
_ONLY: Final = {CommandType.COLLECTION_SUBMIT: "pain.008"}


@dataclass(frozen=True, slots=True)
class _Part:
    """One command that is being built: its fields, and the place of each field in the file."""

    raw: dict[str, Any]
    at: str
    row_at: str
    paths: Mapping[str, str]
    rows: tuple[int, ...] = field(default=())


def is_file(body: bytes) -> bool:
    """True if the body looks like an ISO 20022 document. The parser decides later."""
    return _DOCUMENT.match(body.removeprefix(_BOM)[:_HEAD_BYTES]) is not None


def name_of(body: bytes) -> str:
    """The name of the message that a file states, if it is a known one; else the oldest of its kind."""
    found = _DOCUMENT.match(body.removeprefix(_BOM)[:_HEAD_BYTES])
    name = "" if found is None else found.group(1).decode()
    return name if name in VERSIONS else "pain.001.001.03"


def parse_file(type_: CommandType, body: bytes, zone: tzinfo) -> SubmitFile | Refusal:
    """The commands in a file, or a refusal of the whole file with every fault; never raises.

    `zone` is where a requested day begins. `at` of a fault is the element's path from the root.
    """
    try:
        root = _root(body)
        version = version_of(root)
    except ProtocolError as error:
        hint = _charset_hint(body) if error.reason == "charset" else ""
        return Refusal(Code.MALFORMED, f"not usable XML: {error.text}{hint}")
    wanted = _ONLY.get(type_, "pain.001")
    if type_ not in SINGLE_ORDERS | BATCHES:
        return Refusal(Code.MALFORMED, f"{type_.value} is not a command that carries an ISO 20022 file")
    if version.kind != wanted:
        return Refusal(Code.MALFORMED, f"{type_.value} takes a {wanted} of ISO 20022, not {version.name}")
    found = _misfits(root, version)
    if found:
        return _refusal(Code.SCHEMA, version.name, found)
    try:
        wrong = tuple(
            Fault(f"{_top(version)}/{one.at}", FieldCode.TOTAL, one.sentence) for one in transfer.miscounts(root)
        )
        if version.kind == "pain.008":
            return _commands(type_, version, debit.read_debits(root), wrong, zone)
        return _commands(type_, version, transfer.read_transfers(root), wrong, zone)
    except ProtocolError as error:
        return _refusal(Code.SCHEMA, version.name, (Fault("/Document", FieldCode.PATTERN, error.text),))


def message_id(body: bytes) -> str | None:
    """The MsgId of a refused file, for its reply, if it can be read."""
    try:
        root = _root(body)
        version = version_of(root)
        n = f"{{{version.namespace}}}"
        return xmldoc.value_or(root, f"{n}{version.child}/{n}GrpHdr/{n}MsgId") or None
    except ProtocolError:
        return None


def _root(body: bytes) -> etree._Element:
    """The file's root. Comments are left out: official samples have them, and the file is not signed."""
    return xmldoc.parse(body.removeprefix(_BOM), UTF8, max_nodes=MAX_NODES, drop_comments=True)


def _charset_hint(body: bytes) -> str:
    """The hint for a file that is not UTF-8: the charset that it declares or seems to have."""
    if re.match(rb"<\?xml[^>]*encoding\s*=\s*[\"'](iso-8859-|latin|windows-125|cp125)", body[:200], re.IGNORECASE):
        return "; the file declares Latin-1 or its like: write it in UTF-8 and declare UTF-8"
    if gbk_hint(body) and not _LATIN.search(body):
        return gbk_hint(body)
    return "; the bytes look like ISO-8859-1 (Latin-1): write the file in UTF-8"


def _top(version: MessageVersion) -> str:
    return f"/Document/{version.child}"


def _misfits(root: etree._Element, version: MessageVersion) -> tuple[Fault, ...]:
    """The violations of the schema; empty if the gateway has no schema of this version."""
    if version.name not in VERSIONS:
        return ()
    return tuple(Fault("/Document", FieldCode.PATTERN, one) for one in schema.faults(root, version.name))


def _commands(
    type_: CommandType, version: MessageVersion, file: TransferFile | DebitFile, wrong: tuple[Fault, ...], zone: tzinfo
) -> SubmitFile | Refusal:
    found = [*wrong]
    if not file.amounts:
        found.append(Fault(_top(version), FieldCode.REQUIRED, "orders nothing"))
    parts = tuple(_parts(type_, version, file, zone))
    found += _repeated(parts)
    found += (fault for part in parts for fault in _broken_ibans(part))
    words: list[SubmitOrder | SubmitBatch] = []
    for part in parts:
        if part.raw["currency"] == _MIXED:
            at = f"{part.row_at}/{part.paths['currency']}"
            found.append(Fault(at, FieldCode.CURRENCY, "all orders of a batch must have the same currency"))
            continue
        if part.raw.get("channel") == _MIXED:
            at = f"{part.at}/PmtTpInf/LclInstrm"
            found.append(Fault(at, FieldCode.UNSUPPORTED, "mixes instant and other transfers: give each a PmtInf"))
            continue
        try:
            word = FORMS[type_].model_validate(part.raw).word()
        except Contradiction as error:
            found += _moved(part, error.faults)
        except ValidationError as error:
            found += _moved(part, faults.findings(error, ()).faults)
        else:
            assert isinstance(word, SubmitOrder | SubmitBatch)
            words.append(word)
    if found:
        return _refusal(Code.SCHEMA, version.name, tuple(found[: faults.MAX_FAULTS]))
    return SubmitFile(file.message_id, version.name, tuple(words))


def _refusal(code: Code, name: str, found: tuple[Fault, ...]) -> Refusal:
    many = "1 element" if len(found) == 1 else f"{len(found)} elements"
    return Refusal(code, f"{many} of this {name} cannot be taken; nothing in the file was carried out", found)


# ---- from groups to fields ----------------------------------------------------------------------------------------


def _parts(
    type_: CommandType, version: MessageVersion, file: TransferFile | DebitFile, zone: tzinfo
) -> Iterator[_Part]:
    groups: tuple[TransferGroup | DebitGroup, ...] = file.groups
    for number, group in enumerate(groups, start=1):
        at = f"{_top(version)}/PmtInf[{number}]"
        tags = {MSG_NAME: version.name, MSG_ID: file.message_id, PMT_INF_ID: group.id}
        if isinstance(group, DebitGroup):
            yield _collections(file.message_id, group, at, tags, zone)
        elif type_ in BATCHES:
            yield _batch(type_, file.message_id, group, at, tags, zone)
        else:
            yield from _singles(file.message_id, group, at, tags, zone)


def _singles(message: str, group: TransferGroup, at: str, tags: dict[str, str], zone: tzinfo) -> Iterator[_Part]:
    for number, one in enumerate(group.transfers, start=1):
        raw = {
            "id": _id(message, group.id, _own_id(one)),
            "debtor": _party(group.debtor),
            "creditor": _party(one.creditor),
            "amount": str(one.amount),
            "currency": one.amount.currency,
            "purpose": _purpose(one),
            "urgency": _urgency(group, one),
            "channel": _channel(group, one),
            "not_before": _begins(group, zone),
            "tags": {**tags, **_row_tags(one)},
            "terms": _terms(group, one),
        }
        yield _Part(raw, at, f"{at}/CdtTrfTxInf", TRANSFER_PATHS, (number,))


def _batch(
    type_: CommandType, message: str, group: TransferGroup, at: str, tags: dict[str, str], zone: tzinfo
) -> _Part:
    items = [
        {
            "id": _id(message, group.id, _own_id(one)),
            "amount": str(one.amount),
            "purpose": _purpose(one),
            "creditor": _party(one.creditor, employee=type_ is CommandType.PAYROLL_SUBMIT),
            "tags": _row_tags(one),
            "terms": _terms(group, one),
        }
        for one in group.transfers
    ]
    raw = _head(message, group, tags, [one.amount for one in group.transfers], zone) | {
        "debtor": _party(group.debtor),
        "urgency": _urgency(group, *group.transfers),
        "channel": _channel(group, *group.transfers),
        "items": items,
    }
    return _Part(raw, at, f"{at}/CdtTrfTxInf", TRANSFER_PATHS)


def _collections(message: str, group: DebitGroup, at: str, tags: dict[str, str], zone: tzinfo) -> _Part:
    items = [
        {
            "id": _id(message, group.id, _own_id(one)),
            "amount": str(one.amount),
            "purpose": one.text,
            "debtor": _party(one.debtor),
            "agreement": one.mandate.id,
            "tags": _row_tags(one),
            "signed_on": one.mandate.signed_on.isoformat(),
            "terms": {"end_to_end_id": one.end_to_end_id},
        }
        for one in group.debits
    ]
    raw = _head(message, group, tags, [one.amount for one in group.debits], zone) | {
        "creditor": _party(group.creditor),
        "agreement": group.debits[0].mandate.id if group.debits else "",
        "items": items,
        "mandate": _mandate(group),
    }
    return _Part(raw, at, f"{at}/DrctDbtTxInf", COLLECTION_PATHS)


def _mandate(group: DebitGroup) -> dict[str, str]:
    schemes = {one.mandate.creditor_scheme_id for one in group.debits}
    said = {"sequence": group.sequence, "instrument": group.instrument, "scheme_id": "".join(schemes)}
    return {name: text for name, text in said.items() if text}


def _head(
    message: str, group: TransferGroup | DebitGroup, tags: dict[str, str], amounts: list[Money], zone: tzinfo
) -> dict[str, Any]:
    """The head of a batch whose items are refused one by one, as a status report states it (PART)."""
    currency = amounts[0].currency if amounts else _MIXED
    same = all(one.currency == currency for one in amounts)
    total = Money(sum(one.minor for one in amounts), currency) if same and amounts else None
    return {
        "id": _id(message, group.id),
        "count": len(amounts),
        "sum": "1" if total is None else str(total),
        "currency": currency if same else _MIXED,
        "on_item_error": "refuse_item",
        "not_before": _begins(group, zone),
        "tags": tags,
    }


def _own_id(one: Transfer | Debit) -> str:
    """The identifier of an instruction: EndToEndId, or InstrId if the payee is to see no identifier."""
    return one.instruction_id if one.end_to_end_id == NOT_PROVIDED and one.instruction_id else one.end_to_end_id


def _id(*parts: str) -> str:
    """MsgId/PmtInfId[/EndToEndId]. If that is too long or not a valid id: its last part and a digest of all."""
    whole = "/".join(parts)
    if len(whole) <= MAX_ID_CHARS and _ID.match(whole):
        return whole
    digest = sha256("\x1f".join(parts).encode()).hexdigest()[:_DIGEST_CHARS]
    return f"{parts[-1]}~{digest}" if _ID.match(parts[-1]) else digest


def _row_tags(one: Transfer | Debit) -> dict[str, str]:
    return {END_TO_END_ID: one.end_to_end_id} | ({INSTR_ID: one.instruction_id} if one.instruction_id else {})


def _purpose(one: Transfer) -> str:
    return one.text or next((each.reference for each in one.remittances if each.reference), "")


def _urgency(group: TransferGroup, *ones: Transfer) -> str:
    """Urgent if the transfers say so, or else the group; a batch is urgent if any of its transfers is."""
    said = [one.urgent for one in ones if one.urgent is not None]
    return "urgent" if any(said or [group.urgent]) else "normal"


def _channel(group: TransferGroup, *ones: Transfer) -> str:
    """INST means instant. A batch has one channel, so a batch that mixes both is refused."""
    said = {(one.instrument or group.instrument) == INSTANT for one in ones}
    if len(said) > 1:
        return _MIXED
    return "instant" if True in said else "auto"


def _begins(group: TransferGroup | DebitGroup, zone: tzinfo) -> str:
    """The requested time, or the beginning of the requested day."""
    if isinstance(group, TransferGroup) and group.at is not None:
        return group.at.isoformat(timespec="seconds")
    return datetime.combine(group.on, time.min, zone).isoformat()


def _terms(group: TransferGroup, one: Transfer) -> dict[str, Any]:
    """The terms beyond parties, amount and text. A reference that is also the only text stays a reference too."""
    parts = [
        {
            name: text
            for name, text in (
                ("reference", each.reference),
                ("invoice", each.invoice),
                ("credit_note", each.credit_note),
                ("amount", "" if each.amount is None else str(each.amount)),
            )
            if text
        }
        for each in one.remittances
    ]
    said = {
        "end_to_end_id": "" if one.end_to_end_id == NOT_PROVIDED else one.end_to_end_id,
        "purpose_code": one.purpose,
        "charge_bearer": one.charge_bearer or group.charge_bearer,
        "remittances": parts,
        "ultimate_debtor": one.ultimate_debtor or group.ultimate_debtor,
        "ultimate_creditor": one.ultimate_creditor,
    }
    return {name: value for name, value in said.items() if value}


def _party(side: Side, *, employee: bool = False) -> dict[str, Any]:
    party = side.party
    said: dict[str, Any] = {}
    for name, content in (
        ("account", party.account.clear),
        ("name", party.name.clear),
        ("bank_name", party.bank_name),
        ("bic", party.bic),
    ):
        if content:
            said[name] = content
    if party.address is not None and (where := address_fields(party.address)):
        said["address"] = where
    # Member numbers of other clearing systems are not CNAPS numbers.
    if party.cnaps and _CNAPS.match(party.cnaps):
        said["cnaps"] = party.cnaps
    if party.kind is PartyKind.PERSON and not employee:
        said["kind"] = "person"
    return said


def _broken_ibans(part: _Part) -> Iterator[Fault]:
    """Accounts with the form of an IBAN but wrong check digits."""
    for number, holder in enumerate((part.raw, *part.raw.get("items", ()))):
        for name in ("debtor", "creditor"):
            if is_broken_iban(holder.get(name, {}).get("account", "")):
                pointer = f"/items/{number - 1}/{name}/account" if number else f"/{name}/account"
                detail = "has the form of an IBAN and wrong check digits (modulo 97)"
                yield Fault(_element(part, pointer), FieldCode.PATTERN, detail)


# ---- from fields back to the file ---------------------------------------------------------------------------------


def _repeated(parts: Iterable[_Part]) -> Iterator[Fault]:
    """Faults of ids that occur twice in one file, in any of its parts, and of parts that are too large."""
    seen: dict[str, str] = {}
    for part in parts:
        row = f"{part.row_at}[{part.rows[0]}]" if part.rows else part.at
        name = f"{row}/PmtId" if part.rows else f"{row}/PmtInfId"
        other = seen.setdefault(part.raw["id"], row)
        if other != row:
            yield Fault(name, FieldCode.REPEATED, f"has the ids of {other}")
        items = part.raw.get("items", ())
        if len(items) > MAX_ITEMS:
            yield Fault(part.at, FieldCode.TOO_LONG, f"{len(items)} payments, limit {MAX_ITEMS}", MAX_ITEMS)


def _moved(part: _Part, found: Iterable[Fault]) -> Iterator[Fault]:
    for one in found:
        yield Fault(_element(part, one.at), one.code, one.detail, one.limit)


def _element(part: _Part, pointer: str) -> str:
    """The name of the file's element that belongs to a JSON pointer of the command."""
    names = pointer.strip("/").split("/")
    row = f"{part.row_at}[{part.rows[0]}]" if part.rows else ""
    if names[0] == "items" and len(names) > 1:
        row, names = f"{part.row_at}[{int(names[1]) + 1}]", names[2:]
    # The deepest field that has a place of its own in the file.
    for length in range(len(names), 0, -1):
        below = part.paths.get("/".join(names[:length]))
        if below is not None:
            return f"{part.at}/{below[1:]}" if below.startswith("^") else f"{row or part.row_at}/{below}"
    return row or part.at
