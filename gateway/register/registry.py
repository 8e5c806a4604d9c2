"""The register: which own account belongs to which bank and lane, and which sender may do what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date, timedelta
from decimal import Decimal

from gateway import settings as conf
from gateway.kernel.core.calendars import BusinessCalendar
from gateway.kernel.core.policy import Allowance, Band, Route
from gateway.kernel.core.states import Policy, Rules
from gateway.register import calendars
from gateway.register.approval_terms import DEFAULT_TERMS, LIVE, TEST, ApprovalTerms
from gateway.register.match_terms import DEFAULT_ACCOUNT_TERMS, AccountTerms, MatchTerms, NumberRange, Tariff
from gateway.register.position_terms import NO_POSITION_TERMS, GroupRates, PositionTerms, RegisteredAccount
from protocols.bank import Bank, Profile, Questions, Replay, ReplayRule
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.party import AccountNumber, Name, Party

ENTRIES = "transactions.query"
"""The right to know what moves on an account."""


@dataclass(frozen=True, slots=True)
class Sender:
    """A configured sender. Its identity is `name`, whichever of its broker users sends."""

    name: str
    operations: frozenset[str]
    accounts: frozenset[str]
    reply_to: re.Pattern[str]
    allowance: Allowance
    hmac_key: bytes | None = None
    sent_events: bool = False

    def may_use(self, account: str) -> bool:
        """Whether this sender may use the own account."""
        return "*" in self.accounts or account in self.accounts


@dataclass(frozen=True, slots=True)
class Registry:
    """Look-ups in memory, built once from the settings. Each of them is one dictionary access."""

    senders: Mapping[str, Sender]
    senders_by_user: Mapping[str, Sender]
    routes: Mapping[str, Route]
    banks: Mapping[str, Bank]
    holders: Mapping[str, str]
    anonymous: Sender | None = None
    watched: frozenset[str] = frozenset()
    unattested: frozenset[tuple[str, Kind]] = frozenset()
    approval_terms: ApprovalTerms = DEFAULT_TERMS
    reconciliation: AccountTerms = DEFAULT_ACCOUNT_TERMS
    calendars: Mapping[str, BusinessCalendar] = field(default_factory=dict)
    parties: Mapping[str, Party] = field(default_factory=dict)
    positions: PositionTerms = NO_POSITION_TERMS
    _rules: dict[tuple[str, Kind], Rules] = field(default_factory=dict, init=False, repr=False, compare=False)

    def sender_of(self, user: str | None) -> Sender | None:
        """The sender to which this broker user belongs; without a user, the sender of anonymous questions."""
        return self.anonymous if user is None else self.senders_by_user.get(user)

    def owner_of_queue(self, queue: str) -> Sender | None:
        """The one sender whose `reply_to` pattern admits this queue; None if there is none, or more than one."""
        owners = [one for one in self.senders.values() if one.reply_to.fullmatch(queue)]
        return owners[0] if len(owners) == 1 else None

    def route_of(self, account: str) -> Route | None:
        """The bank and lane for orders of this own account; None if it is no own account."""
        return self.routes.get(account)

    def hearers(self, account: str) -> tuple[str, ...]:
        """The senders that may ask about an account's entries, and therefore get the events about them."""
        return tuple(name for name, one in self.senders.items() if one.may_use(account) and ENTRIES in one.operations)

    def rules_of(self, route: Route, kind: Kind) -> Rules:
        """As `bank_rules`, of the bank that this route leads to."""
        return self.bank_rules(route.bank, kind)

    def bank_rules(self, name: str, kind: Kind) -> Rules:
        """The bank's rules for repeats and enquiries of one kind of order, in the state table's form; `never` for a
        kind that it does not carry.

        Orders that are sent in bundles are never sent again, whatever the bank states about single orders. In
        production, a bank's statement that repeats are harmless counts only if a joint test attests it (`unattested`
        has the other kinds).
        """
        found = self._rules.get((name, kind))
        if found is None:
            bank = self.banks[name]
            rule = bank.profile.replay.get(kind, ReplayRule())
            if (name, kind) in self.unattested:
                rule = replace(rule, policy=Replay.QUERY_FIRST)
            found = rules(replace(rule, policy=Replay.NEVER) if kind in bank.bundles else rule, bank.profile)
            self._rules[name, kind] = found
        return found


def rules(replay: ReplayRule, profile: Profile) -> Rules:
    """A bank's rules for repeats, enquiries and returns of one kind of order, with times in milliseconds."""
    return Rules(
        replay=Policy(replay.policy.value),
        quarantine_ms=_ms(replay.not_found_quarantine),
        not_found_needed=replay.not_found_count,
        window_ms=None if replay.window is None else _ms(replay.window),
        deadline_ms=_ms(profile.enquiry_deadline),
        returns_watch_ms=_ms(profile.returns_watch),
        returns_every_ms=_ms(profile.returns_every),
        first_enquiry_ms=_ms(profile.limits.pace.first_enquiry_after),
        same_day=replay.same_day,
        most_repeats=replay.most,
    )


def _ms(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)


def build(settings: conf.Settings, banks: Mapping[str, Bank]) -> Registry:
    """Make the register. `banks` holds a built bank for every table `banks.<name>`; secrets are read here."""
    currency_of = {account.number: account.currency for account in settings.accounts}
    known = calendars.load(settings.calendar_file, settings.holidays)
    senders = {
        name: _sender(name, table, currency_of, known[calendars.CHINA]) for name, table in settings.senders.items()
    }
    by_user = {user: senders[name] for name, table in settings.senders.items() for user in table.users}
    routes = {account.number: _route(account, banks[account.bank]) for account in settings.accounts}
    holders = {account.number: account.name for account in settings.accounts}
    anonymous = next((senders[name] for name, table in settings.senders.items() if table.anonymous), None)
    parties = {
        account.number: Party(AccountNumber(account.number), Name(account.name), account.bank_name, account.cnaps)
        for account in settings.accounts
    }
    watched = frozenset(account.number for account in settings.accounts if account.watch)
    terms = ApprovalTerms(
        LIVE if settings.mode == "production" else TEST,
        int(settings.control.approval_valid_s * 1000),
        int(settings.control.approval_escalates_s * 1000),
    )
    return Registry(
        senders,
        by_user,
        routes,
        banks,
        holders,
        anonymous,
        watched,
        _unattested(settings, banks),
        terms,
        _account_terms(settings),
        known,
        parties,
        _position_terms(settings),
    )


def _position_terms(settings: conf.Settings) -> PositionTerms:
    """The tree of accounts with opening balances, and the group's rates, oldest first."""
    registered = {
        account.number: RegisteredAccount(account.title or "", account.nature, account.parent, _opening(account))
        for account in settings.accounts
    }
    told = settings.positions
    rates: dict[str, tuple[tuple[date, Decimal], ...]] = {}
    for one in sorted(told.rates, key=lambda one: one.day):
        rates[one.currency] = (*rates.get(one.currency, ()), (one.day, Decimal(one.rate)))
    return PositionTerms(registered, None if told.group_currency is None else GroupRates(told.group_currency, rates))


def _opening(account: conf.AccountSettings) -> tuple[date, Money] | None:
    if account.opening_balance is None or account.opening_day is None:
        return None
    amount = Money.parse(account.opening_balance.removeprefix("-"), account.currency)
    minor = -amount.minor if account.opening_balance.startswith("-") else amount.minor
    return account.opening_day, Money(minor, account.currency)


def _account_terms(settings: conf.Settings) -> AccountTerms:
    """The terms for the matching of entries, with each account's tariff by its bank."""
    told = settings.reconciliation
    tariffs = {}
    for account in settings.accounts:
        bands = [
            (Money.parse(one.upto, account.currency).minor, Money.parse(one.fee, account.currency).minor)
            for one in told.fees
            if one.bank == account.bank
        ]
        if bands:
            tariffs[account.number] = Tariff(tuple(sorted(bands)))
    ranges = tuple(NumberRange(one.prefix, one.first, one.last, one.digits) for one in told.numbers)
    payments = MatchTerms(latest_days=told.days, numbers=ranges, tariffs=tariffs)
    return AccountTerms(payments, replace(payments, earliest_days=-told.days))


def _unattested(settings: conf.Settings, banks: Mapping[str, Bank]) -> frozenset[tuple[str, Kind]]:
    """The kinds of order that the bank's settings allow to be sent again although no joint test has shown that this is
    safe."""
    if settings.mode != "production":
        return frozenset()
    attested = {(name, one.kind) for name, table in settings.banks.items() for one in table.attested}
    return frozenset(
        (name, kind)
        for name, bank in banks.items()
        for kind, rule in bank.profile.replay.items()
        if rule.policy is Replay.REPLAY_SAFE and (name, kind.value) not in attested
    )


def _route(account: conf.AccountSettings, bank: Bank) -> Route:
    return Route(
        account=account.number,
        company=account.company,
        bank=account.bank,
        lane=f"{account.bank}.{account.lane}",
        currency=account.currency,
        limits=bank.profile.limits,
        kinds=frozenset(bank.money) | frozenset(bank.bundles),
        opened=account.opened,
        closed=account.closed,
        kind_limits=bank.profile.kind_limits,
        holder=account.name,
        holder_binds=account.name_check == "refuse",
        restricted=account.restricted,
        past_days=bank.profile.past_balance_days,
        answers=frozenset(name for name in _QUESTIONS if getattr(bank.questions, name) is not None),
    )


_QUESTIONS = tuple(one.name for one in fields(Questions))


def _sender(
    name: str, table: conf.SenderSettings, currency_of: Mapping[str, str], calendar: BusinessCalendar
) -> Sender:
    currencies = {currency_of[number] for number in table.accounts if number in currency_of} or {"CNY"}
    currency = min(currencies)

    def minor(amount: str | None) -> int | None:
        return None if amount is None else Money.parse(amount, currency).minor

    bands = tuple(
        Band(Money.parse(band.above, currency).minor, minor(band.upto), band.action == "hold") for band in table.bands
    )
    limits = table.limits
    allowance = Allowance(
        sender=name,
        per_payment_minor=minor(limits.per_payment),
        per_batch_minor=minor(limits.per_batch),
        per_day_minor=minor(limits.per_day),
        per_account_day_minor=minor(limits.per_account_day),
        per_payee_day_minor=minor(limits.per_payee_day),
        bands=bands,
        alike_hours=table.suspected_duplicate_hours,
        hold_new_payee=table.new_payee_hold,
        payee_cover=table.new_payee_cover,
        payee_days=table.new_payee_days,
        holidays=calendar.closed,
        worked=calendar.worked,
    )
    return Sender(
        name=name,
        operations=frozenset(table.operations),
        accounts=frozenset(table.accounts),
        reply_to=re.compile(table.reply_to),
        allowance=allowance,
        hmac_key=table.hmac_key.secret_bytes() if table.hmac_key else None,
        sent_events=table.sent_events,
    )
