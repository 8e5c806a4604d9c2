"""Checks across settings tables: references between them, overlaps, and settings that production forbids."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from importlib import import_module
from ipaddress import ip_address, ip_network
from zoneinfo import ZoneInfo

from gateway.settings.shards import logins_to_deal
from gateway.settings.tables import BandSettings, BankSettings, SenderSettings, Settings
from gateway.settings_files import Shard
from protocols.bank import Bank, Sessions
from protocols.canon.money import BadMoney, Money

# A UNIX socket's address holds 108 bytes, the last of them 0.
SOCKET_BYTES = 107
TREASURY = "treasury"
"""The sender of orders of cash pools. No broker user speaks for it."""
Finding = tuple[str, str]
"""A key, and the remedy."""


def findings(settings: Settings) -> Iterator[Finding]:
    """Every disagreement."""
    yield from _cross_check(settings)
    yield from _senders_check(settings)
    yield from _lanes_check(settings)
    yield from _owners_check(settings)
    yield from _pushes_check(settings)
    yield from _places_check(settings)
    yield from _dialled_check(settings)
    yield from _reconciliation_check(settings)
    yield from _reports_check(settings)
    yield from _positions_check(settings)


def _positions_check(settings: Settings) -> Iterator[Finding]:
    """Position trees with unknown parents or cycles, incomplete opening balances, rates that are given twice."""
    parents = {account.number: account.parent for account in settings.accounts}
    for n, account in enumerate(settings.accounts):
        at = f"accounts.{n}"
        if account.parent is not None and account.parent not in parents:
            yield (
                f"{at}.parent",
                f"…{account.parent[-4:]} is not in the account register; add it to [[accounts]], or remove it",
            )
        elif _in_ring(account.number, parents):
            yield f"{at}.parent", "the accounts above it lead back to it; one of them must stand at the top"
        if (account.opening_balance is None) is not (account.opening_day is None):
            yield f"{at}.opening_day", "opening_balance and opening_day go together; write both or none"
        if account.opening_balance is not None:
            try:
                Money.parse(account.opening_balance.removeprefix("-"), account.currency)
            except BadMoney as error:
                yield f"{at}.opening_balance", f"{error}; write it as {account.currency} has it"
    seen: set[tuple[str, date]] = set()
    group = settings.positions.group_currency
    for n, one in enumerate(settings.positions.rates):
        at = f"positions.rates.{n}"
        if group is None:
            yield at, "there is a rate and no group_currency that it leads to; write one, or remove the rate"
        elif one.currency == group:
            yield f"{at}.currency", f"{group} is the group's own currency and needs no rate; remove it"
        if not Decimal(one.rate):
            yield f"{at}.rate", "a rate is more than 0"
        if (one.currency, one.day) in seen:
            yield f"{at}.day", f"{one.currency} has a rate of {one.day} already; keep one"
        seen.add((one.currency, one.day))


def _in_ring(account: str, parents: Mapping[str, str | None]) -> bool:
    above, seen = parents[account], set[str]()
    while above is not None and above not in seen:
        if above == account:
            return True
        seen.add(above)
        above = parents.get(above)
    return False


def _reports_check(settings: Settings) -> Iterator[Finding]:
    """Scheduled reports with the same key, or about an unknown company or bank."""
    seen = set[str]()
    companies = {one.company for one in settings.accounts}
    for n, told in enumerate(settings.reports.scheduled):
        at = f"reports.scheduled.{n}"
        if told.key in seen:
            yield f"{at}.key", f"{told.key} occurs twice; their files would have the same names"
        seen.add(told.key)
        if told.bank is not None and told.bank not in settings.banks:
            yield f"{at}.bank", f"there is no table banks.{told.bank}; name one of {_names(settings.banks)}"
        if told.company is not None and told.company not in companies:
            yield f"{at}.company", f"no account is of {told.company}; name one of {', '.join(sorted(companies))}"


def _reconciliation_check(settings: Settings) -> Iterator[Finding]:
    """Empty ranges of numbers, and fees of banks or in amounts that no account has."""
    for n, told in enumerate(settings.reconciliation.numbers):
        if not told.first <= told.last < 10**told.digits:
            yield f"reconciliation.numbers.{n}", f"holds no number of {told.digits} digits; mend first, last or digits"
    for n, band in enumerate(settings.reconciliation.fees):
        at = f"reconciliation.fees.{n}"
        if band.bank not in settings.banks:
            yield f"{at}.bank", f"there is no table banks.{band.bank}; name one of {_names(settings.banks)}"
        for currency in sorted({one.currency for one in settings.accounts if one.bank == band.bank}):
            for name, text in (("upto", band.upto), ("fee", band.fee)):
                try:
                    Money.parse(text, currency)
                except BadMoney:
                    yield f"{at}.{name}", f"{text} is no amount of {currency}, which an account at {band.bank} has"


def _dialled_check(settings: Settings) -> Iterator[Finding]:
    """Hosts to which development and test connect although they may not."""
    for n, entry in enumerate(settings.environment.may_dial):
        if "/" in entry:
            try:
                ip_network(entry)
            except ValueError:
                yield f"environment.may_dial.{n}", f"{entry!r} is no network; write one such as 10.1.0.0/16"
    if settings.mode == "production":
        return
    for key, host in dialled(settings):
        if not may_dial(settings, host):
            yield (
                key,
                (
                    f"{settings.mode} may connect to the loopback only; list {host} in environment.may_dial if it "
                    "belongs to this environment, and to no other"
                ),
            )


def dialled(settings: Settings) -> Iterator[tuple[str, str]]:
    """Every host to which orders, news or data to be signed go, by the key that names it."""
    yield "broker.host", settings.broker.host
    for bank_name, bank in settings.banks.items():
        for lane_name, lane in bank.lanes.items():
            yield f"banks.{bank_name}.lanes.{lane_name}.host", lane.host
            for name, key in lane.keys.items():
                if key.remote is not None:
                    yield f"banks.{bank_name}.lanes.{lane_name}.keys.{name}.remote.host", key.remote.host


def may_dial(settings: Settings, host: str) -> bool:
    """Whether this environment may connect to a host."""
    listed = settings.environment.may_dial
    return settings.mode == "production" or is_loopback(host) or _listed(host, listed)


def _listed(host: str, allowed: Sequence[str]) -> bool:
    if host in allowed:
        return True
    try:
        address = ip_address(host)
        return any(address in ip_network(entry, strict=False) for entry in allowed if "/" in entry)
    except ValueError:
        return False


def _cross_check(settings: Settings) -> Iterator[Finding]:
    """References to unknown names, and numbers that are given twice."""
    seen: dict[str, str] = {}
    for n, account in enumerate(settings.accounts):
        at = f"accounts.{n}"
        if account.number in seen:
            yield f"{at}.number", f"stands in {seen[account.number]} already; keep one"
        seen[account.number] = at
        bank = settings.banks.get(account.bank)
        if bank is None:
            yield (
                f"{at}.bank",
                f"there is no table banks.{account.bank}; add it, or name one of {_names(settings.banks)}",
            )
        elif account.lane not in bank.lanes:
            there = _names(bank.lanes)
            yield f"{at}.lane", f"there is no table banks.{account.bank}.lanes.{account.lane}; name one of {there}"
        if account.opened and account.closed and account.closed <= account.opened:
            yield f"{at}.closed", f"must be after opened ({account.opened}); mend one of them"
    try:
        ZoneInfo(settings.zone)
    except (KeyError, OSError, ValueError):
        yield "zone", f'{settings.zone!r} is no time zone; write one such as "Asia/Shanghai"'


def _senders_check(settings: Settings) -> Iterator[Finding]:
    """Users of two senders, gaps between bands, and amounts that their accounts' currency cannot have."""
    currency_of = {account.number: account.currency for account in settings.accounts}
    users: dict[str, str] = {}
    for name, sender in settings.senders.items():
        at = f"senders.{name}"
        if name == TREASURY and sender.users:
            yield f"{at}.users", "its orders are made by the rules of cash pools; give the user to another sender"
        elif name != TREASURY and not sender.users:
            yield f"{at}.users", "needs at least 1"
        for user in sender.users:
            if users.setdefault(user, name) != name:
                yield f"{at}.users", f"{user!r} speaks for sender {users[user]!r} already; give it to one of them"
        for number in sender.accounts:
            if number != "*" and number not in currency_of:
                yield (
                    f"{at}.accounts",
                    f"…{number[-4:]} is not in the account register; add it to [[accounts]], or remove it",
                )
        try:
            re.compile(sender.reply_to)
        except re.error as error:
            yield f"{at}.reply_to", f"is not a regular expression ({error}); mend it"
        wanted = set(currency_of.values() if "*" in sender.accounts else map(currency_of.get, sender.accounts))
        yield from _amounts_check(at, sender, sorted(currency for currency in wanted if currency))
    anonymous = [name for name, sender in settings.senders.items() if sender.anonymous]
    for name in anonymous[1:]:
        yield f"senders.{name}.anonymous", f"sender {anonymous[0]!r} has it already; at most one sender may"


def _amounts_check(at: str, sender: SenderSettings, currencies: Sequence[str]) -> Iterator[Finding]:
    limits = {f"limits.{key}": value for key, value in sender.limits.model_dump().items() if value is not None}
    for n, band in enumerate(sender.bands):
        limits |= {f"bands.{n}.{key}": value for key, value in (("above", band.above), ("upto", band.upto)) if value}
    if limits and len(currencies) > 1:
        yield (
            at,
            f"its accounts are in {', '.join(currencies)}, but its limits can count in one; make a sender for each",
        )
        return
    currency = currencies[0] if currencies else "CNY"
    broken = False
    for key, amount in limits.items():
        try:
            Money.parse(amount, currency)
        except BadMoney as error:
            broken = True
            yield f"{at}.{key}", f"{amount} is no amount of {currency} ({error}); mend it"
    if not broken:
        for gap in band_gaps(sender.bands):
            yield f"{at}.bands", f"{gap}; bands must cover every amount exactly once"


def _names(tables: Mapping[str, object]) -> str:
    return ", ".join(sorted(tables)) or "none that exist"


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine only: an address of 127/8, ::1, or `localhost`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_public(host: str) -> bool:
    """Whether `host` is an address of the internet. A name does not count, because its address may change."""
    try:
        return ip_address(host).is_global
    except ValueError:
        return False


def _lanes_check(settings: Settings) -> Iterator[Finding]:
    """Lanes without TLS that no setting allows, and banks without a lane."""
    for bank_name, bank in settings.banks.items():
        if not bank.lanes:
            yield f"banks.{bank_name}.lanes", f"needs at least one lane; add [banks.{bank_name}.lanes.main]"
        for lane_name, lane in bank.lanes.items():
            key = f"banks.{bank_name}.lanes.{lane_name}"
            if lane.tls is None and lane.plaintext == "no":
                yield f"{key}.tls", 'add a [tls] table, or set plaintext = "loopback" or "pinned-lan"'
            if lane.tls is None and lane.plaintext == "loopback" and not is_loopback(lane.host):
                yield f"{key}.plaintext", f"{lane.host} is not loopback; add a [tls] table"
            if lane.tls is not None and lane.plaintext != "no":
                yield f"{key}.plaintext", "contradicts the [tls] table; remove one of them"
            for name, port in lane.ports.items():
                if not 1 <= port <= 65535:
                    yield f"{key}.ports.{name}", "write a TCP port, 1 to 65535"


def _owners_check(settings: Settings) -> Iterator[Finding]:
    """Logins for which the bank keeps one session, but which two lanes, exchanges or banks would share.

    A bank is built only if its tables could break that rule, so that most settings cost nothing here.
    """
    protocols = Counter(bank.protocol for bank in settings.banks.values())
    owners: dict[tuple[str, str], str] = {}
    for bank_name, bank in settings.banks.items():
        windows = {name: lane.window for name, lane in bank.lanes.items() if (lane.window or 1) > 1}
        if not windows and len(bank.lanes) < 2 and protocols[bank.protocol] < 2:
            continue
        sessions = _sessions(bank)
        if sessions is None or not sessions.one_owner:
            continue
        owner, key = sessions.one_owner, f"banks.{bank_name}"
        first, *others = bank.lanes
        for lane_name in others:
            yield (
                f"{key}.lanes.{lane_name}",
                f"the bank keeps one session for {owner}, and lane {first} has it; remove this lane, or make it a bank "
                "of its own with a login of its own",
            )
        for lane_name, window in windows.items():
            if (window or 1) > sessions.window:
                yield (
                    f"{key}.lanes.{lane_name}.window",
                    f"the bank keeps one session for {owner}; write {sessions.window}, or remove it",
                )
        there = owners.setdefault((bank.protocol, owner), bank_name)
        if there != bank_name:
            yield (
                f"{key}.options",
                f"{owner} signs on in banks.{there} already, and the bank keeps one session for it; let the bank give "
                "this table a login of its own",
            )


def _pushes_check(settings: Settings) -> Iterator[Finding]:
    """Listeners for banks that never connect to customers, and two listeners at one address."""
    places: dict[tuple[str, int], str] = {}
    for bank_name, table in settings.banks.items():
        if table.pushes is None:
            continue
        key, bank = f"banks.{bank_name}.pushes", _built(table)
        if bank is not None and bank.pushes is None:
            yield key, f"the protocol {table.protocol!r} knows no messages of this bank's own accord; remove the table"
        there = places.setdefault((table.pushes.host, table.pushes.port), bank_name)
        if there != bank_name:
            yield f"{key}.port", f"banks.{there} is listened for there already; choose another port"


def _sessions(table: BankSettings) -> Sessions | None:
    """The bank's declaration of its sessions; None if no bank can be built from the table."""
    bank = _built(table)
    return None if bank is None else bank.sessions


def _built(table: BankSettings) -> Bank | None:
    """The bank of a table; None if none can be built. `bankgw check` tells the reason."""
    try:
        texts = {name: path.read_text("utf-8") for name, path in table.option_files.items()}
        module = import_module(f"protocols.banks.{table.protocol}")
        bank: Bank = module.build({**table.options, **texts})
    except (ImportError, OSError, ValueError):
        return None
    return bank


def _places_check(settings: Settings) -> Iterator[Finding]:
    """Values that production forbids, invalid logins, and impossible addresses or paths."""
    if settings.broker.password is None and settings.broker.tls is None:
        yield (
            "broker.password",
            "name the password's file or credential, or add a [broker.tls] table whose certificate logs in",
        )
    if settings.mode == "production":
        if settings.broker.tls is None and not is_loopback(settings.broker.host):
            yield "broker.tls", "plain AMQP leaves this machine; add a [broker.tls] table"
        if not settings.journal.url.startswith("sqlite") and not settings.journal.password:
            yield "journal.password", "name the database password's file or credential"
        if settings.journal.witness is None and not settings.journal.no_witness.strip():
            yield (
                "journal.witness",
                "name the folder of a witness on another machine (docs/do/restore.md), or say in "
                "journal.no_witness why there is none; `bankgw status` shows it",
            )
    kept = settings.retention
    if kept.audit_days < kept.payments_days:
        yield "retention.audit_days", f"the audit trail must outlive payments; write {kept.payments_days} or more"
    if kept.books_days() > (most := min(kept.payments_days, kept.statements_days)):
        yield (
            "retention.reconciliation_days",
            f"a book without its payments and statements would be open again; write {most} or less",
        )
    socket = settings.control_socket()
    if len(os.fsencode(socket)) > SOCKET_BYTES:
        key = "control.socket" if settings.control.socket else "state_dir"
        yield (
            key,
            f"{socket} has more than {SOCKET_BYTES} bytes, too long for a UNIX socket; "
            "give control.socket a shorter path",
        )
    if settings.control.group_may_open and socket.is_relative_to(settings.state_dir):
        yield "control.socket", "the group cannot reach state_dir; give it a path such as /run/bankgw/control.sock"
    yield from _shard_check(settings)
    yield from _web_check(settings)
    url = settings.broker.management_url
    if url is not None and not re.match(r"https?://[^/\s]+", url):
        yield "broker.management_url", "write http://user:password@host:15672, or remove it"


def _shard_check(settings: Settings) -> Iterator[Finding]:
    try:
        shard = Shard.of(settings.shard)
    except ValueError as error:
        yield "shard", str(error)
        return
    if shard.count > 1 and settings.journal.url.startswith("sqlite"):
        yield "shard", "SQLite has one writer; move the journal to PostgreSQL or MariaDB, or run one process"
    most = logins_to_deal(settings)
    if shard.count > max(most, 1):
        yield "shard", f"the lanes belong to {most} login(s), which are not divided; run no more shards than that"


def _web_check(settings: Settings) -> Iterator[Finding]:
    """The settings that keep the web pages apart from each other and from the daemon."""
    web = settings.web
    if (web.console_origin is None) != (web.approval_origin is None):
        yield "web", "give both `console_origin` and `approval_origin`, or neither"
    if web.console_origin is not None and web.approval_origin is not None:
        console, approval = (host_of(one) for one in (web.console_origin, web.approval_origin))
        if console == approval or console.endswith(f".{approval}"):
            yield (
                "web.approval_origin",
                f"the console at {console} could use the passkeys of {approval}; give the "
                f"approval page a host of its own",
            )
    if web.oidc is not None and web.console_origin is None:
        yield "web.oidc", "there is no console to sign in to; give `console_origin` and `approval_origin`"
    for key, socket in (("web.daemon_socket", settings.web_socket()), ("web.query_socket", settings.query_socket())):
        if len(os.fsencode(socket)) > SOCKET_BYTES:
            yield key, f"{socket} has more than {SOCKET_BYTES} bytes; give it a shorter path"
        if web.group is not None and socket.is_relative_to(settings.state_dir):
            yield key, "the group cannot reach state_dir; give it a path such as /run/bankgw-web/daemon.sock"


def host_of(origin: str) -> str:
    """The host of an origin, which is the id of the relying party."""
    return origin.partition("://")[2].partition(":")[0]


def band_gaps(bands: tuple[BandSettings, ...]) -> list[str]:
    """The amounts that approval bands leave uncovered or cover twice; empty when none or all are covered once."""
    if not bands:
        return []
    try:
        edges = [(_minor(one.above), None if one.upto is None else _minor(one.upto)) for one in bands]
    except BadMoney as error:
        return [f"bands cannot be ordered: {error}"]
    edges.sort(key=lambda edge: (edge[0], edge[1] is None, edge[1] or 0))
    gaps = []
    reached: int | None = 0
    for above, upto in edges:
        if reached is None:
            gaps.append(f"a band above {Money(above)} lies behind one without end")
            break
        if above != reached:
            word = "no band covers" if above > reached else "two bands cover"
            low, high = sorted((above, reached))
            gaps.append(f"{word} amounts above {Money(low)} up to {Money(high)}")
        if upto is not None and upto <= above:
            gaps.append(f"the band above {Money(above)} ends at or before its start")
        reached = upto
    if reached is not None:
        gaps.append(f"no band covers amounts above {Money(reached)}")
    return gaps


def _minor(amount: str) -> int:
    return Money.parse(amount).minor
