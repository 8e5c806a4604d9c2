"""Sets up the demo: simulated banks with a seeded fault plan, and a gateway configured for them.

Time-outs, first enquiries and the watch for returns are short here, so that the events of days happen within a minute.
Everything else is set as for a gateway in production.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gateway import capabilities
from gateway.demo import daily_operations, site
from gateway.demo.orders import (
    BALANCE,
    CANCEL,
    CONTROL,
    ENTRIES,
    HAN,
    LIMIT_MINOR,
    PAYEE,
    RECEIPT,
    STATEMENT,
    STATUS,
    SUBMIT,
    BankNeeds,
    DemoAccounts,
    amount_text,
)
from gateway.kernel.core.policy import field_faults
from gateway.simbank import control_line
from gateway.simbank.faults import BankFault, Delays, ExchangeKind, FaultPlan
from gateway.simbank.ledger import CHINA
from protocols.bank import Bank
from protocols.canon.order import Kind
from protocols.trial import trial

SENDER = "kingdee"
BANKS = ("sample", "pab")
ORDERS = 1_000
RETURNS_EVERY_S = 20.0
ENTRIES_EVERY_S = 15.0
ANSWER_S = 2.0
FAULTS: Mapping[BankFault, float] = {
    BankFault.DROP_BEFORE: 0.010,
    BankFault.DROP_AFTER: 0.015,
    BankFault.DELAY: 0.008,
    BankFault.HALF: 0.010,
    BankFault.GARBAGE: 0.008,
    BankFault.WRONG_SIGNATURE: 0.010,
    BankFault.OTHERS_ANSWER: 0.008,
    BankFault.TWICE: 0.008,
    BankFault.REFUSE: 0.012,
    BankFault.HIDE: 0.012,
    BankFault.LATE_RETURN: 0.012,
    BankFault.PROBE_SILENCE: 0.020,
}
"""The fault rates, as shares of all exchanges that a fault can strike."""
_ACCOUNTS = 3
_RETURN_S = 6.0
_ANSWER_S = 2.0


class SimulatorSilent(Exception):
    """A simulated bank does not answer on its control socket."""


def plans(banks: tuple[str, ...], seed: int) -> tuple[site.BankPlan, ...]:
    """The behaviour of each bank, and the gateway's settings for it."""
    return tuple(_plan(bank, seed) for bank in banks)


def _plan(bank: str, seed: int) -> site.BankPlan:
    built = capabilities.tried(bank)
    # Money comes back only at a bank that has a message for it and that the gateway asks.
    returns = built.questions.returns is not None and built.profile.returns_watch > timedelta(0)
    # A slow bank is asked only once a day whether money came back, so it must come back before the first question.
    slow = _share(bank) < 1
    return_s = 0.0 if slow else _RETURN_S
    delays = {"delay_s": ANSWER_S + 1.5, "hide_s": 5.0, "return_s": return_s}
    return site.BankPlan(
        bank=bank,
        accounts=_ACCOUNTS,
        options=trial(bank).hurried,
        twin_options=trial(bank).demo.get("twin", {}),
        settings={} if slow else {"returns_every_s": RETURNS_EVERY_S, "poll_every_s": ENTRIES_EVERY_S},
        watched=watched(bank),
        faults={"seed": f"demo {seed} {bank}", **delays, **{fault.value: rate for fault, rate in FAULTS.items()}},
        conduct={
            "seed": f"demo {seed} {bank}",
            "late_s": 8.0,
            "return_s": return_s,
            "hide_s": 5.0,
            "fee_minor": 0,
            "returns": returns,
        },
    )


def watched(bank: str) -> bool:
    """Whether the gateway reads this bank's entries as they are booked. It does not at a slow bank, which would have no
    time for other requests."""
    return capabilities.tried(bank).questions.lines is not None and _share(bank) >= 1


def orders(banks: tuple[str, ...]) -> int:
    """The number of orders for these banks in a demo, unless a person gives another number."""
    return round(ORDERS * min(1.0, max(_share(bank) for bank in banks)))


def _share(bank: str) -> float:
    return float(trial(bank).demo.get("share", 1.0))


def manners(bank: str) -> BankNeeds:
    """The fields that a bank requires, and the values that it cannot carry, by its own declaration."""
    built, wants = capabilities.tried(bank), dict(trial(bank).order)
    payee = str(wants.pop(PAYEE, "0" * BankNeeds().payee_digits))
    charset = built.profile.limits.charset
    has = {"balance.result": built.questions.balance, "transactions.page": built.questions.lines}
    return BankNeeds(
        _share(bank),
        len(payee),
        CONTROL if _fits(HAN, charset) else HAN,
        _too_long(built),
        wants,
        frozenset(answer for answer, question in has.items() if question is None),
        tuple(
            kind
            for kind in daily_operations.COMMANDS
            if Kind(kind) in (built.money if kind == daily_operations.TRANSFER else built.bundles)
        ),
    )


def _fits(text: str, charset: str) -> bool:
    try:
        text.encode(charset)
    except UnicodeEncodeError:
        return False
    return True


def _too_long(bank: Bank) -> str:
    """A purpose that is longer than the bank's limit, or than the contract's limit if the bank has none."""
    limits = bank.profile.limits
    limit = next((one for one in limits.fields if one.at == "/purpose"), None)
    sizes = () if limit is None else (60, 110, 180)
    texts = ("货" * size for size in sizes)
    fits = (text for text in texts if limit is not None and any(field_faults(limit, text, limits.charset)))
    return next(fits, BankNeeds().too_long)


def senders(user: str, banks: tuple[str, ...], more: tuple[str, ...] = ()) -> dict[str, dict[str, Any]]:
    """The demo's one sender: it may use all but one of the accounts, up to a limit, and `more` operations than usual.

    Suspected duplicates are held as usual; no two orders of the demo are similar.
    """
    operations = [SUBMIT, CANCEL, STATUS, BALANCE, ENTRIES, STATEMENT, RECEIPT, *daily_operations.COMMANDS.values()]
    return {
        SENDER: {
            "users": [user],
            "operations": [*operations, *more],
            "accounts": [number for bank in banks for number in _own(bank)],
            "reply_to": r"erp-demo\..*",
            "limits": {"per_payment": amount_text(LIMIT_MINOR)},
        }
    }


def _own(bank: str) -> tuple[str, ...]:
    return site.account_numbers(bank, _ACCOUNTS)[:-1]


def stage(banks: tuple[str, ...], run: str, now: datetime, maker: str = "") -> DemoAccounts:
    """The accounts for which the orders are written. The banks' books are kept in China's time."""
    holders = {
        number: site.HOLDERS[n % len(site.HOLDERS)]
        for bank in banks
        for n, number in enumerate(site.account_numbers(bank, _ACCOUNTS))
    }
    foreign = site.account_numbers(banks[0], _ACCOUNTS)[-1]
    return DemoAccounts(
        {bank: _own(bank) for bank in banks},
        holders,
        foreign,
        run,
        now,
        now.astimezone(CHINA).date(),
        {bank: manners(bank) for bank in banks},
        maker,
    )


def first_fault(plan: site.BankPlan, reference: str) -> BankFault | None:
    """The fault that the plan has for the first money exchange about a reference, if the exchange takes place."""
    faults = dict(plan.faults)
    seed = str(faults.pop("seed"))
    delays = Delays(**{key: faults.pop(key) for key in ("delay_s", "hide_s", "return_s")})
    rates = {BankFault(key): rate for key, rate in faults.items()}
    strike = FaultPlan(seed, rates, delays).decide(ExchangeKind.MONEY, reference)
    return None if strike is None else strike.fault


def tell_simulator(control: Path, command: Mapping[str, Any]) -> dict[str, Any]:
    """Send a command to a simulated bank and return its answer. Raises SimulatorSilent after two seconds without an
    answer."""
    try:
        return control_line.tell(control, command, _ANSWER_S)
    except control_line.NobodyListens as error:
        raise SimulatorSilent(str(error)) from None
