"""Compares the signer's log with the permit log and the journal: each permitted send was signed, each signed payment is
a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, func, select

from gateway.control.offline.signature_log import PaymentSignature, read_signatures
from gateway.kernel.commit import lane_names
from gateway.kernel.commit.rows import Permit
from gateway.kernel.sql import schema
from gateway.kernel.sql.vault import Vault

_AT_ONCE = 200
_P, _A = schema.payments.c, schema.attempts.c
_Name = tuple[str, str]


@dataclass(slots=True)
class SignedPayments:
    """The log's payments by lane and reference: the first attempt that was signed, and the last signature's amount.
    `begun_ms` is the time of each lane's first signature: sends before it were signed elsewhere."""

    payments: dict[_Name, PaymentSignature] = field(default_factory=dict)
    begun_ms: dict[str, int] = field(default_factory=dict)
    lines: int = 0


def signed_payments(folder: Path, vault: Vault) -> SignedPayments:
    """Read and verify the whole log. Raises SignatureLogBroken, OSError."""
    found = SignedPayments()
    for one in read_signatures(folder, vault):
        found.lines += 1
        found.begun_ms.setdefault(one.lane, one.at_ms)
        if isinstance(one, PaymentSignature):
            found.payments.setdefault((one.lane, one.reference), one)
    return found


def contradictions(conn: Connection, signed: SignedPayments, permits: Iterable[Permit]) -> Iterator[str]:
    """The permits without a signature, and the signatures without a payment, as sentences. `permits` were read before
    the log of signatures would be too late: a permit follows its signature."""
    names = lane_names.current_lanes(conn)
    ours = {new for _old, new in _current(signed.begun_ms, names)}
    known = {_renamed(name, names): one for name, one in signed.payments.items()}
    begun = {_renamed((lane, ""), names)[0]: at_ms for lane, at_ms in signed.begun_ms.items()}
    unsigned: list[tuple[str, str, int]] = []
    for permit in permits:
        lane, reference = lane_names.current_ref(names, permit.ref)
        one = known.get((lane, reference))
        # A repeat sends the stored bytes again: the signature of an earlier attempt is its own.
        if lane in ours and (one is None or one.attempt > permit.attempt):
            unsigned.append((lane, reference, permit.attempt))
    for lane, reference, attempt in unsigned:
        if _sent_ms(conn, lane, reference, attempt) >= begun[lane]:
            yield f"{lane}/{reference}: attempt {attempt} was permitted, and the signer's log has no signature of it"
    oldest_ms = conn.execute(select(func.min(_P.accepted_ms))).scalar() or 0
    yield from _without_row(conn, known, oldest_ms)


def _current(lanes: Iterable[str], names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((lane, _renamed((lane, ""), names)[0]) for lane in lanes)


def _renamed(name: _Name, names: Mapping[str, str]) -> _Name:
    lane, reference = lane_names.current_ref(names, "/".join(name))
    return lane, reference


def _sent_ms(conn: Connection, lane: str, reference: str, attempt: int) -> int:
    """When the send was recorded; now, in effect, if the journal lacks it: that is a contradiction of its own."""
    both = select(_A.first_write_ms).join(schema.payments, _P.payment == _A.payment)
    found = conn.execute(both.where(_P.lane == lane, _P.bank_ref == reference, _A.attempt == attempt)).scalar()
    return 2**62 if found is None else int(found)


def _without_row(conn: Connection, known: Mapping[_Name, PaymentSignature], oldest_ms: int) -> Iterator[str]:
    """Payments of the log that the journal lacks or has with another amount. Those from before its oldest payment were
    deleted after their retention."""
    names = [name for name, one in known.items() if one.at_ms >= oldest_ms]
    for begin in range(0, len(names), _AT_ONCE):
        some = names[begin : begin + _AT_ONCE]
        there: dict[_Name, tuple[str, int]] = {}
        for lane in {lane for lane, _reference in some}:
            asked = select(_P.bank_ref, _P.currency, _P.amount_minor).where(
                _P.lane == lane, _P.bank_ref.in_([reference for of, reference in some if of == lane])
            )
            there |= {(lane, row.bank_ref): (row.currency, row.amount_minor) for row in conn.execute(asked)}
        for name in some:
            one, where = known[name], "/".join(name)
            if name not in there:
                yield f"{where}: it was signed at {one.at_ms}, and the journal has no payment of this reference"
            elif there[name] != (one.currency, one.amount_minor):
                yield f"{where}: it was signed with another amount than the journal has"
