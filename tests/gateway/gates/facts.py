"""Facts for tests of one rule: an order at admission, a held payment, a payment of a message, bytes before the
write."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from typing import Any

from gateway.bank.company_pauses import CompanyPauses
from gateway.bank.gates.approved_bytes import NOT_APPROVED
from gateway.bank.gates.write_facts import WriteFacts
from gateway.kernel.commit.rows import PaymentRow, Reply
from gateway.kernel.core.policy import Allowance, UsageFacts
from gateway.kernel.core.states import Life, Rules
from gateway.payments.gates.order_facts import CommandFacts, OrderFacts, OrderTerms
from gateway.payments.gates.release_facts import ReleaseFacts
from gateway.payments.gates.send_facts import SendMessage
from gateway.payments.rows.judged_orders import NO_CONTEXT, MadeOrder
from protocols.canon.order import AnyOrder
from protocols.canon.outcome import State
from tests.protocols.erp.orders import ORDER

NOW_MS = 1_795_000_000_000
PLAIN = Allowance("erp", alike_hours=0)


def at_admission(
    allowance: Allowance = PLAIN,
    usage: UsageFacts = UsageFacts(),
    *,
    made: AnyOrder = ORDER,
    tx: Any = None,
    **terms: Any,
) -> OrderFacts:
    """An order at its admission. `usage` holds what is known about the payee."""
    terms_of = OrderTerms(NOW_MS, NOW_MS, allowance, **terms)
    command = CommandFacts(tx, "erp", NO_CONTEXT)
    found = OrderFacts(command, MadeOrder("erp", "jia", made, "v1:x"), "2026-11-24", terms_of, usage)
    found._payee = usage
    return found


def row(state: State = State.READY, **changed: Any) -> PaymentRow:
    """A payment as the journal has it, for the rules."""
    of_life = {name: changed.pop(name) for name in list(changed) if name in Life.__slots__}
    return replace(
        PaymentRow(
            payment="P",
            company="jia",
            sender="erp",
            bank="sample",
            lane="sample.main",
            order=ORDER,
            fingerprint="v1:x",
            life=Life(state, Rules(), **of_life),
            version=1,
            epoch=1,
            bank_ref="R1",
            reply=Reply(None, None),
            accepted_ms=NOW_MS,
            changed_ms=NOW_MS,
        ),
        **changed,
    )


def registry(allowance: Allowance | None = PLAIN) -> Any:
    """The register of accounts, with the sender `erp` or with no sender."""
    senders = {} if allowance is None else {"erp": SimpleNamespace(allowance=allowance)}
    return SimpleNamespace(senders=senders, banks={}, approval_terms=None)


def at_release(
    holds: tuple[str, ...],
    cleared: tuple[str, ...],
    allowance: Allowance | None = PLAIN,
    usage: UsageFacts = UsageFacts(),
    earlier: tuple[str, ...] = (),
) -> ReleaseFacts:
    """A held payment, of which a release clears `cleared`; an earlier release cleared `earlier`."""
    tx: Any = SimpleNamespace(now_ms=NOW_MS)
    found = ReleaseFacts(tx, row(State.HELD, holds=holds, cleared=earlier), cleared, registry(allowance))
    found._payee = usage
    return found


def message(*rows: PaymentRow, wire: bytes = b"money", repeats: bool = False, **tx: Any) -> SendMessage:
    """A message that is about to be written down. `tx` are attributes of the unit."""
    unit: Any = SimpleNamespace(now_ms=NOW_MS, **tx)
    return SendMessage(unit, rows or (row(),), wire, "sample", "sample.main", repeats=repeats)


def at_write(*rows: PaymentRow, **changed: Any) -> WriteFacts:
    """Bytes that were written down and may leave; `changed` replaces some of their facts."""
    parts: Any = SimpleNamespace(
        name="sample.main",
        clock=SimpleNamespace(now_ms=lambda: NOW_MS),
        rules_of=lambda one: one.life.rules,
        bank=SimpleNamespace(profile=SimpleNamespace(name="sample")),
        companies=CompanyPauses(),
    )
    calendar: Any = SimpleNamespace(shut=lambda _day: None, day_ends_ms=lambda _day: NOW_MS + 3_600_000)
    said: dict[str, Any] = {
        "calendar": calendar,
        "permits": lambda _epoch, _since_s: True,
        "paused": (),
        "leaves": (),
        "committed_s": 1.0,
        "bank_date": date(2026, 11, 18),
        "approved": NOT_APPROVED,
    }
    return WriteFacts(parts=parts, rows=rows or (row(State.SENDING),), **{**said, **changed})
