"""The parts of a lane: its bank, journal, keys, dialer, clock and settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.bank.bank_session import Dialer
from gateway.bank.company_pauses import CompanyPauses
from gateway.bank.exchange_ring import ExchangeRing
from gateway.bank.key_trouble import KeyTrouble
from gateway.bank.login import Login
from gateway.bank.signers import Signer
from gateway.kernel.clock import Clock, Entropy
from gateway.kernel.cluster import stops
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Store
from gateway.kernel.core.gate import GateRule
from gateway.kernel.core.states import Rules, stricter
from gateway.kernel.meters import Meters
from gateway.payments.gates.send_facts import SendFacts
from protocols.bank import Bank
from protocols.canon.order import Kind


async def _nothing() -> None:
    """Compare nothing: the default for a lane whose journal is not compared with a log."""


@dataclass(frozen=True, slots=True)
class LaneParts:
    """The parts of a lane. `name` is `bank.login`; `window` is how many conversations run at once.

    `login` is shared by all lanes of the same user at the bank. `poll_ms` is the interval for reading work that other
    nodes wrote; 0 if there are no other nodes. `on_stop` gets the state of the emergency stop with each lease. `rules`
    are the settings' present rules for a kind of order. `ring` keeps the last exchanges; None if nothing is kept.
    `sending` and `repeating` are the rules that are asked in the unit that records a first send or a repeat: see
    `gateway/gate_lists.py`. `on_taken` is awaited after the lane was acquired and before anything is sent; it compares
    the journal with the permit log's records of other nodes. `companies` are the paused companies; all lanes of
    the daemon share them.
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
    sending: Sequence[GateRule[SendFacts]]
    repeating: Sequence[GateRule[SendFacts]]
    poll_ms: float = 0.0
    on_stop: Callable[[stops.Stop], object] = lambda _stop: None
    ring: ExchangeRing | None = None
    on_taken: Callable[[], Awaitable[None]] = _nothing
    companies: CompanyPauses = field(default_factory=CompanyPauses)

    def keys_in_trouble(self) -> dict[str, KeyTrouble]:
        """The lane's keys that sign nothing now, with the reasons."""
        return {name: one.trouble for name, one in self.signers.items() if one.trouble is not None}

    def rules_of(self, row: PaymentRow) -> Rules:
        """The rules that apply to a payment: the stricter of those stored with it and those of the present settings."""
        return stricter(row.life.rules, self.rules(row.order.kind))
