"""What a lane is made of: its bank, journal, keys, dialer, clock and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.bank.exchange_ring import ExchangeRing
from gateway.bank.login import Login
from gateway.bank.session_pool import Dialer
from gateway.bank.signers import Signer
from gateway.clock import Clock, Entropy
from gateway.core.states import Rules, stricter
from gateway.journal.cluster import stops
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Store, Tx
from gateway.journal.payments.approval_holds import NO_CONTEXT, ApprovalContext
from gateway.meters import Meters
from protocols.bank import Bank
from protocols.canon.order import Kind


@dataclass(frozen=True, slots=True)
class LaneParts:
    """What a lane is made of. `name` is `bank.login`; `window` how many conversations run at once.

    `login` is shared by all lanes of the same user at the bank. `poll_ms` is how often to look for work that other
    nodes wrote; 0: there are none. `on_stop` gets the state of the emergency stop with each lease.
    `rules` are the settings' present rules for a kind of order. `ring` keeps the last exchanges; None: nothing does.
    `approval_context`: what the settings of this moment say about a payment's approvals.
    """

    name: str
    bank_name: str
    bank: Bank
    node: str
    store: Store
    dialer: Dialer
    signers: Mapping[str, Signer]
    credentials: Mapping[str, str]
    clock: Clock
    entropy: Entropy
    meters: Meters
    window: int
    login: Login
    rules: Callable[[Kind], Rules]
    poll_ms: float = 0.0
    on_stop: Callable[[stops.Stop], object] = lambda _stop: None
    ring: ExchangeRing | None = None
    approval_context: Callable[[Tx, PaymentRow], ApprovalContext] = lambda _tx, _row: NO_CONTEXT

    def rules_of(self, row: PaymentRow) -> Rules:
        """The rules that hold for a payment: the stricter of those stored with it and the settings' present ones."""
        return stricter(row.life.rules, self.rules(row.order.kind))
