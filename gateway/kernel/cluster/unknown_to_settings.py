"""Open payments whose lane, bank, account, kind or sender the settings no longer have.

A payment without a configured lane is neither sent nor enquired about, and an order that an ERP delivers again under
another sender's name counts as another order. So these findings are reported before the daemon starts and while it
runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, case, func, inspect, select

from gateway.kernel.cluster import renames
from gateway.kernel.cluster.renames import OPEN
from gateway.kernel.commit import lane_names, payment_rows
from gateway.kernel.sql import schema
from gateway.kernel.sql.vault import Vault
from gateway.settings import Settings
from protocols.bank import Bank
from protocols.canon.order import Kind
from protocols.canon.party import mask

_P = schema.payments.c
_MOST = 1_000
_OWN = case((_P.kind == Kind.COLLECTION.value, _P.creditor_idx), else_=_P.debtor_idx)


@dataclass(frozen=True, slots=True)
class KnownToSettings:
    """The names that the settings have. `kinds` is by bank, without banks that could not be built; `users` is by
    sender. `accepted` are findings such as `lane:NAME` that the operator has accepted.
    """

    banks: frozenset[str]
    lanes: frozenset[str]
    senders: frozenset[str]
    accounts: Collection[str]
    kinds: Mapping[str, Collection[str]]
    users: Mapping[str, str]
    accepted: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A name that the journal uses and the settings lack: how many payments it affects, and what to do."""

    what: str
    name: str
    payments: int
    remedy: str
    word: str
    """Its name for `journal.accept_unknown`; empty if it cannot be accepted."""

    @property
    def sentence(self) -> str:
        """The finding as a sentence: what is wrong and what to do."""
        word = f'; or start all the same: accept_unknown = ["{self.word}"] in [journal]'
        return self.remedy + (word if self.word else "")


def known_of(settings: Settings, banks: Mapping[str, Bank]) -> KnownToSettings:
    """The names that these settings have. Kinds are given only for banks that could be built."""
    return KnownToSettings(
        banks=frozenset(settings.banks),
        lanes=frozenset(f"{name}.{lane}" for name, bank in settings.banks.items() for lane in bank.lanes),
        senders=frozenset(settings.senders),
        accounts=tuple(account.number for account in settings.accounts),
        kinds={name: frozenset(kind.value for kind in (*bank.money, *bank.bundles)) for name, bank in banks.items()},
        users={user: name for name, sender in settings.senders.items() for user in sender.users},
        accepted=frozenset(settings.journal.accept_unknown),
    )


def find_unknown(conn: Connection, known: KnownToSettings, vault: Vault | None) -> list[Unknown]:
    """All names that the journal uses and the settings lack, except those that the operator accepted. Without the
    vault, accounts are not named.
    """
    numbers: Counter[tuple[str, str]] = Counter()
    samples: dict[str, str] = {}
    blind = None if vault is None else {vault.blind(number) for number in known.accounts}
    accepted = (
        {vault.blind(word.removeprefix("account:")) for word in known.accepted if word.startswith("account:")}
        if vault is not None
        else set()
    )
    grouped = (
        select(
            _P.sender,
            _P.bank,
            _P.lane,
            _P.kind,
            _OWN.label("own"),
            func.count().label("number"),
            func.min(_P.payment).label("sample"),
        )
        # The lanes are named so that the index over lane and state is used.
        .where(_P.lane.in_(select(schema.lanes.c.lane)), _P.state.in_(OPEN))
        .group_by(_P.sender, _P.bank, _P.lane, _P.kind, _OWN)
    )
    for row in conn.execute(grouped):
        for what, name in _unknown(row, known, blind):
            numbers[what, name] += row.number
            samples.setdefault(name, row.sample)
    found = []
    for (what, name), number in sorted(numbers.items()):
        if what == "account":
            if name not in accepted:
                assert vault is not None
                found.append(_account(conn, vault, samples[name], number))
        else:
            found.append(_made(what, name, number))
    found += [*_moved_users(conn, known), *_old_lanes(conn, known)]
    return [one for one in found if one.word not in known.accepted]


def moved_users(conn: Connection, known: KnownToSettings) -> list[Unknown]:
    """The broker users that now belong to another sender than before, unless the operator accepted them."""
    return [one for one in _moved_users(conn, known) if one.word not in known.accepted]


def _unknown(row: Any, known: KnownToSettings, accounts: Collection[str] | None) -> Iterator[tuple[str, str]]:
    if row.bank not in known.banks:
        yield "bank", row.bank
    elif row.lane not in known.lanes:
        yield "lane", row.lane
    elif row.kind not in known.kinds.get(row.bank, (row.kind,)):
        yield "kind", f"{row.bank}/{row.kind}"
    if row.sender not in known.senders:
        yield "sender", row.sender
    if accounts is not None and row.own not in accounts:
        yield "account", row.own


def _payments(number: int) -> str:
    return f"{number} open payment{'s' if number != 1 else ''}"


def _made(what: str, name: str, number: int) -> Unknown:
    remedy = {
        "bank": f"{_payments(number)} of bank {name}, which the settings do not have: nobody sends or asks about them. "
        f"Put its table back; if it only has another name, keep the old one for as long as they are open",
        "lane": f"{_payments(number)} on lane {name}, which the settings do not have: nobody sends or asks about them. "
        f"Put the lane back, or if it has another name now: bankgw lanes rename {name} NEW",
        "kind": f"{_payments(number)} of a kind ({name}) that is switched off: what was not sent is held "
        f"(cannot_be_prepared), what was sent is asked about as far as the bank can be asked. Switch it on "
        f"until they are over",
        "sender": f"{_payments(number)} of sender {name}, which the settings do not have: an order that its ERP "
        f"delivers again under another sender is paid again. Put the sender back, or if it has another name "
        f"now: bankgw senders rename {name} NEW",
    }[what]
    return Unknown(what, name, number, remedy, f"{what}:{name}")


def _account(conn: Connection, vault: Vault, payment: str, number: int) -> Unknown:
    found = conn.execute(select(schema.payments).where(_P.payment == payment)).one()
    clear = payment_rows.decode_row(found, vault).order.ours.account.clear
    remedy = (
        f"{_payments(number)} of own account {mask(clear)}, which is not in the register: they are carried on, "
        f"but nobody may order or ask about the account. Put it back into [[accounts]]"
    )
    return Unknown("account", mask(clear), number, remedy, "account:NUMBER")


def _moved_users(conn: Connection, known: KnownToSettings) -> Iterator[Unknown]:
    for user, before in sorted(renames.users(conn).items()):
        now = known.users.get(user)
        if now is None or now == before:
            continue
        some = select(_P.payment).where(_P.sender == before).limit(_MOST).subquery()
        number = int(conn.execute(select(func.count()).select_from(some)).scalar_one())
        if number:
            many = f"{number} or more orders" if number == _MOST else f"{number} order{'s' if number != 1 else ''}"
            yield Unknown(
                "user",
                user,
                number,
                (
                    f"broker user {user} speaks for sender {now} and spoke for {before}, which has {many} in the "
                    f"journal: "
                    f"one that is delivered again is taken for a new order of {now} and paid again. If it is the same "
                    f"ERP: "
                    f"bankgw senders rename {before} {now}"
                ),
                f"user:{user}",
            )


def _old_lanes(conn: Connection, known: KnownToSettings) -> Iterator[Unknown]:
    if not inspect(conn).has_table(schema.lane_renames.name):
        return  # a database of an older version: nothing was renamed yet
    for old, now in sorted(lane_names.current_lanes(conn).items()):
        if old in known.lanes:
            yield Unknown(
                "old_lane",
                old,
                0,
                (
                    f"lane {old} was renamed to {now}, and the permit log still has its name; give the new lane "
                    f"another "
                    f"name, or rename it back: bankgw lanes rename {now} {old}"
                ),
                "",
            )
