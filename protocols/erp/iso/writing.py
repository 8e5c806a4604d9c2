"""Replies and events as ISO 20022: payments and batches as pain.002, entries and statements as camt.052/053/054.

Messages are made of the same fields as the JSON form. Content that a message of ISO 20022 cannot express is left to the
other forms: a page that is not the last one, a statement without the bank's balances, answers to other questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any, Final

from protocols.canon.errors import Code
from protocols.canon.money import Money
from protocols.canon.outcome import STATE_TABLE, State
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.statement import Direction
from protocols.erp.iso.reading import END_TO_END_ID, INSTR_ID, MSG_ID, MSG_NAME, PMT_INF_ID
from protocols.kit.errors import ProtocolError
from protocols.kit.iso20022 import account_writer, report
from protocols.kit.iso20022.account import AccountEntry, AccountReport, CamtBalance, TransactionDetail
from protocols.kit.iso20022.names import VERSIONS, MessageVersion
from protocols.kit.iso20022.parts import Side, StatusReason
from protocols.kit.iso20022.report import PARTLY, GroupStatus, PaymentStatus, StatusReport
from protocols.kit.iso20022.transfer import NOT_PROVIDED

_ID_MAX: Final = 35
_CHARGE: Final = "PMNT/ICDT/CHRG"
_OLDEST: Final = "pain.002.001.03"
_EVENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "transactions.page": ("camt.052", "camt.054"),
    "statement.ready": ("camt.053",),
    "transaction.booked": ("camt.054",),
}
# From the earliest status to the last: a group is no further than its slowest payment.
_SLOWEST: Final = ("PDNG", "ACTC", "ACSP", "ACSC", "RJCT", "CANC")
MESSAGES: Final = frozenset(name for name in VERSIONS if name[:8] not in ("pain.001", "pain.008"))
"""The messages in which answers can be asked for."""


def answer_to(name: str) -> str:
    """The version of status report that answers a file of this version."""
    return "pain.002.001.12" if VERSIONS[name].modern else _OLDEST


def iso_message(event: str, said: Mapping[str, Any], message: str, at: datetime) -> bytes | None:
    """The reply or event as `message` (as in `pain.002.001.12`), or None where that message cannot express it.

    `at` is the time of writing; the described events have their own times.
    """
    version = VERSIONS[message]
    try:
        if version.kind == "pain.002":
            found = _status(event, said, version, at)
            return None if found is None else report.write_status(found, message)
        if version.kind not in _EVENTS.get(event, ()):
            return None
        booked = _account(event, said, version.kind, at)
        return None if booked is None else account_writer.write_reports(booked.id, at, [booked], message)
    except ProtocolError:
        # A text too long for the schema is cut here. The other forms carry it whole.
        return None


# ---- payments and batches -----------------------------------------------------------------------------------------


def _status(event: str, said: Mapping[str, Any], version: MessageVersion, at: datetime) -> StatusReport | None:
    tags: Mapping[str, str] = said.get("tags", {})
    at = datetime.fromisoformat(said["at"]) if "at" in said else at
    ours = _short(said.get("payment") or said.get("id") or event, said.get("seq", 0), said.get("event", ""), str(at))
    original, name = tags.get(MSG_ID) or said.get("id") or NOT_PROVIDED, tags.get(MSG_NAME, "")
    if len(original) > _ID_MAX:
        original = _short(original)
    if event in ("payment.rejected", "batch.rejected", "command.rejected") and "payment" not in said:
        # The message is refused as a whole, so nothing of it exists. A refusal without a state is about a repeated
        # message: it does not tell the result of the first one.
        first = event == "command.rejected" or "state" in said or said["error"]["code"] == Code.ID_CONFLICT
        status = "RJCT" if first else ""
        return StatusReport(ours, at, original, name or "pain.001", status, tuple(_why(said["error"])))
    if event.startswith("payment.") or event == "status.result":
        line = _line(said, tags, version)
        group = GroupStatus(tags.get(PMT_INF_ID) or NOT_PROVIDED, "", (), (line,))
        return StatusReport(ours, at, original, name or "pain.001", "", (), (group,))
    if event.startswith("batch."):
        return StatusReport(ours, at, original, name or "pain.001", "", (), (_group(said, tags, version),))
    return None


def _group(said: Mapping[str, Any], tags: Mapping[str, str], version: MessageVersion) -> GroupStatus:
    statuses = {_code(STATE_TABLE[State(one["state"])].iso, version) for one in said["states"]}
    refused = statuses & {"RJCT", "CANC"}
    whole = PARTLY if refused and statuses - refused else next(one for one in _SLOWEST if one in statuses)
    lines = tuple(_line(one, tags, version, said["currency"]) for one in said.get("items", ()))
    return GroupStatus(_fit(tags.get(PMT_INF_ID) or said["id"]), whole, (), lines)


def _line(
    said: Mapping[str, Any], tags: Mapping[str, str], version: MessageVersion, currency: str = ""
) -> PaymentStatus:
    state = State(said["state"])
    # A correction has no status of its own. It makes every earlier status uncertain.
    iso = said.get("iso") or (STATE_TABLE[state].iso if said.get("event") != "payment.correction" else "PDNG")
    reasons = list(_why(said["error"])) if "error" in said else []
    words = [
        state.value,
        *(str(said[name]) for name in ("bank_code", "bank_text") if name in said),
        *said.get("hold_reasons", ()),
    ]
    if not reasons:
        reasons = [StatusReason(_reason_code(said.get("bank_code", ""), state), ": ".join(words))]
    amount = Money.parse(said["amount"], said.get("currency") or currency) if "amount" in said else None
    return PaymentStatus(
        tags.get(END_TO_END_ID) or _fit(end_to_end_id(said["id"], tags)),
        _code(iso, version),
        tuple(reasons),
        tags.get(INSTR_ID, ""),
        amount,
        _fit(said.get("bank_serial", "")),
    )


def end_to_end_id(id_: str, tags: Mapping[str, str]) -> str:
    """The EndToEndId that is part of the id of a file's instruction; any other id unchanged."""
    begin = f"{tags.get(MSG_ID, '')}/{tags.get(PMT_INF_ID, '')}/"
    return id_.removeprefix(begin) if id_.startswith(begin) else id_.partition("~")[0] if MSG_ID in tags else id_


def _code(iso: str, version: MessageVersion) -> str:
    """The status code that this version has: the oldest version has a closed list of codes, without CANC."""
    return "RJCT" if iso == "CANC" and version.name == _OLDEST else iso


def _reason_code(bank_code: str, state: State) -> str:
    """ISO's reason if the bank gave one (`RJCT/AC04`), else the name of the state."""
    own = bank_code.rpartition("/")[2]
    return own if len(own) == 4 and own.isalnum() and own.isupper() and own.isascii() and own != "RJCT" else state.value


def _why(error: Mapping[str, Any]) -> Iterable[StatusReason]:
    yield StatusReason(error["code"], error["title"])
    for one in error["errors"]:
        yield StatusReason(one["code"], f"{one['at']}: {one['detail']}")


# ---- accounts -----------------------------------------------------------------------------------------------------


def _account(event: str, said: Mapping[str, Any], kind: str, at: datetime) -> AccountReport | None:
    rows = [said["line"]] if event == "transaction.booked" else said["lines"]
    if not said.get("complete", True):
        return None
    entries = tuple(_entry(one) for one in rows)
    currency = said.get("currency") or (rows[0]["currency"] if rows else "")
    days = [one.booked_on for one in entries if one.booked_on is not None]
    first = date.fromisoformat(said["date"]) if "date" in said else min(days, default=None)
    last = first if "date" in said else max(days, default=None)
    balances = tuple(_balances(said, currency, first, last)) if currency else ()
    if kind == "camt.053" and len(balances) < 2:
        return None
    name = _short(said["account"], str(first), str(at), event, rows[0]["line"] if rows else "")
    return AccountReport(kind, name, said["account"], currency, at, None, first, last, None, True, balances, entries)


def _balances(said: Mapping[str, Any], currency: str, first: date | None, last: date | None) -> Iterable[CamtBalance]:
    for field, kind, on in (("opening", "OPBD", first), ("closing", "CLBD", last)):
        if field in said and on is not None:
            yield CamtBalance(kind, _signed(said[field], currency), on)


def _signed(text: str, currency: str) -> Money:
    money = Money.parse(text.removeprefix("-"), currency)
    return Money(-money.minor if text.startswith("-") else money.minor, currency)


def _entry(said: Mapping[str, Any]) -> AccountEntry:
    amount, direction = Money.parse(said["amount"], said["currency"]), Direction(said["direction"])
    other = said.get("counterparty", {})
    side = Side(Party(AccountNumber(other.get("account", "")), Name(other.get("name", "")), other.get("bank")))
    known = side if other else None
    debtor, creditor = (known, None) if direction is Direction.CREDIT else (None, known)
    reference = _fit(said.get("reference", ""))
    detail = TransactionDetail(amount, reference, debtor=debtor, creditor=creditor, text=said["text"])
    return AccountEntry(
        amount,
        direction,
        "BOOK",
        False,
        said["line"][:_ID_MAX],
        _fit(said["bank_line_id"]),
        date.fromisoformat(said["bank_date"]),
        None if "booked_at" not in said else datetime.fromisoformat(said["booked_at"]),
        None if "value_date" not in said else date.fromisoformat(said["value_date"]),
        _CHARGE if said["fee"] else "",
        "",
        (detail,),
    )


def _fit(text: str) -> str:
    """The text if it fits the length of an id; else its digest."""
    return text if len(text) <= _ID_MAX else _short(text)


def _short(*parts: object) -> str:
    return sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:32]


def now(at_ms: int) -> datetime:
    """The time for a number of milliseconds of UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)
