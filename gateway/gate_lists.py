"""The gate: every list of rules that a payment must pass, in order. `docs/lookup/gate.md` is made from it.

    order ── ADMISSION ──▶ held ── RELEASE ──▶ ready ── sending ──▶ written down ── WRITE ──▶ the bank
                 └────────────────────────────▶ ready
    in doubt ── RESEND (two persons) ──▶ ready        in doubt ── REPEATING ──▶ written down ── WRITE ──▶ the bank

Orders of ERPs, items of batches, moves of cash pools, linked payments and their returns pass the same lists. The list
of the lane is in `bank/gates/lists.py`. The others have rules of several rooms and are put together here.

Their order is part of the decision, because a refusal ends the list. Which of several reasons is reported does not
depend on the order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from gateway.approvals.gates.approvals import ApprovalsAtRelease, ApprovalsAtResend, ApprovalsAtSend, ApprovalsRule
from gateway.bank.company_pauses import CompanyPauses
from gateway.bank.gates.approved_bytes import ApprovedBytesAtSend
from gateway.bank.gates.company_pause import CompanyPauseAtSend
from gateway.bank.gates.lists import WRITE
from gateway.bank.gates.permitted_before import PermittedBeforeRule
from gateway.kernel.core.gate import GateRule
from gateway.payments.gates.bands import BandsAtRelease, BandsRule
from gateway.payments.gates.duplicates import DuplicatesAtRelease, DuplicatesRule
from gateway.payments.gates.earlier_holds import EarlierHolds
from gateway.payments.gates.limits import LimitsRule
from gateway.payments.gates.lists import GateLists
from gateway.payments.gates.order_facts import OrderFacts
from gateway.payments.gates.payee import PayeeAtRelease, PayeeRule
from gateway.payments.gates.release_facts import ReleaseFacts
from gateway.payments.gates.reserving import ReservingRule
from gateway.payments.gates.rights import RightsAtRelease, RightsAtResend, RightsAtSend
from gateway.payments.gates.send_facts import SendFacts
from gateway.pools.gates.funding import FundingAtRelease, FundingRule
from gateway.pools.gates.mandates import MandatesRule
from gateway.pools.gates.pool_move import PoolMoveRule
from gateway.register.registry import Registry

_APPROVALS, _FUNDING, _MANDATES = ApprovalsRule(), FundingRule(), MandatesRule()

OF_ORDER: tuple[GateRule[OrderFacts], ...] = (
    LimitsRule(),
    DuplicatesRule(),
    PayeeRule(),
    BandsRule(),
    _MANDATES,
    _FUNDING,
)
"""Asked about each order by itself. The items of a batch are judged in order, each with those before it."""

OF_COMMAND: tuple[GateRule[OrderFacts], ...] = (_APPROVALS,)
"""Asked after all orders of the command have a verdict, because these rules judge them together."""

ADMISSION = (*OF_ORDER, *OF_COMMAND)

RELEASE: tuple[GateRule[ReleaseFacts], ...] = (
    RightsAtRelease(),
    ApprovalsAtRelease(),
    DuplicatesAtRelease(),
    PayeeAtRelease(),
    BandsAtRelease(),
    FundingAtRelease(),
    EarlierHolds(),
)

RESEND: tuple[GateRule[ReleaseFacts], ...] = (RightsAtResend(), ApprovalsAtResend())
"""Asked when two persons decide to send a payment in doubt once more. The lists of a send follow later."""

RESERVING: tuple[ReservingRule, ...] = (_APPROVALS, _FUNDING, _MANDATES)
"""The rules that reserve at admission, and are told when a payment ends."""

LISTS = GateLists(OF_ORDER, OF_COMMAND, RELEASE, RESERVING)
"""The lists that payments ask (`payments/gates/lists.py`)."""


def sending(
    registry: Callable[[], Registry], zone: ZoneInfo, companies: CompanyPauses
) -> tuple[GateRule[SendFacts], ...]:
    """The rules, in order, that the unit of a first send asks, by the present `registry` and paused `companies`."""
    return (
        PermittedBeforeRule(),
        CompanyPauseAtSend(companies),
        PoolMoveRule(registry, zone),
        RightsAtSend(registry),
        ApprovalsAtSend(registry),
        ApprovedBytesAtSend(),
    )


REPEATING: tuple[GateRule[SendFacts], ...] = (PermittedBeforeRule(),)
"""The list in the unit that writes a repeat down. Approvals are not judged again, because the payment is the same (ADR
0038)."""


@dataclass(frozen=True, slots=True)
class GateList:
    """One list as the pages show it: its name, when its rules are asked, and the rules in order."""

    name: str
    asked: str
    rules: Sequence[GateRule[Any]]


def shown() -> tuple[GateList, ...]:
    """Every list, in the order in which a payment passes them."""

    def nobody() -> Registry:
        raise RuntimeError("the lists can be shown but not evaluated")

    return (
        GateList("admission", "in the unit that makes an order a payment", ADMISSION),
        GateList(
            "release",
            "in the unit that releases a held payment, by persons or because its pool's money has come",
            RELEASE,
        ),
        GateList(
            "sending",
            "in the unit that stores the bytes of a first send",
            sending(nobody, ZoneInfo("UTC"), CompanyPauses()),
        ),
        GateList("write", "in the turn of the reactor that writes the bytes, of a first send or of a repeat", WRITE),
        GateList("repeating", "in the unit that notes a repeat of stored bytes", REPEATING),
        GateList("resend", "when two persons decide that a payment in doubt is sent once more", RESEND),
    )
