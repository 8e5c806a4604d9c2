"""Every table and field of the settings files: type, unit, default, meaning. Source of docs/lookup/settings.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from gateway.settings.backup_tables import BackupSettings
from gateway.settings.key_tables import KeyPlace, Secret, SigningKey, Tls
from gateway.settings.oidc import OidcSettings
from gateway.settings.strict_table import StrictTable as _Table
from gateway.settings.treasury_tables import PositionSettings, ReconciliationSettings, ReportSettings
from gateway.settings.values import (
    ACCOUNT,
    AMOUNT,
    CLOCK,
    CNAPS,
    CURRENCY,
    ORIGIN,
    SIGNED_AMOUNT,
    Host,
    SettingsPath,
    Slug,
)
from gateway.settings_files import CONTROL_SOCKET, STATE_DIR

PERMIT_LOG = "permits"
"""The permit log's folder in `state_dir`."""
Operation = Literal[
    "payment.submit", "payment.cancel", "payment.approve", "payment.reject", "transfer.submit", "batch.submit",
    "payroll.submit", "collection.submit",
    "status.query", "balance.query", "transactions.query", "statement.request", "receipt.request",
    "payment.validate",
    "ledger.submit", "ledger.withdraw", "credit.claim", "reconciliation.query", "report.request",
]  # fmt: skip


class Broker(_Table):
    """RabbitMQ."""

    host: Host = Field("127.0.0.1", description="Broker host.")
    port: int = Field(5672, ge=1, le=65535, description="Broker port (5671 with TLS).")
    vhost: str = Field("bankgw", description="Virtual host.")
    user: str = Field("bankgw", min_length=1, description="The gateway's own broker user.")
    password: Secret | None = Field(
        None,
        description="The broker user's password. Without it the certificate of `[broker.tls]` is the login (SASL "
        "EXTERNAL); `user` is then the name that the broker reads from it.",
    )
    tls: Tls | None = Field(
        None, description="AMQPS with client certificate; without it only loopback is allowed in production."
    )
    topology: Literal["declare", "verify"] = Field(
        "declare", description="Declare exchanges and queues, or only verify that they are safe."
    )
    management_url: str | None = Field(None, description="Management API, to read effective policies; optional.")
    prefetch: int = Field(200, ge=1, le=2000, description="Unacknowledged commands per queue.")
    ledger_prefetch: int = Field(
        2, ge=1, le=16, description="Unacknowledged parts of books; few, as each writes up to 500 rows."
    )
    prefetch_bytes: int = Field(
        67_108_864,
        ge=4_194_304,
        description="Bytes of unacknowledged commands of all queues; beyond, the gateway reads nothing from the broker "
        "until half of them are done.",
    )
    canary_s: float = Field(
        30.0, ge=0, description="Seconds between heartbeat messages through the broker; 0 turns it off."
    )


Left = Annotated[str, StringConstraints(pattern=r"^(lane|bank|account|kind|sender|user):\S+$")]


class Journal(_Table):
    """The relational database that is the journal."""

    url: str = Field("sqlite:///journal.db", description="SQLAlchemy URL; a relative SQLite path is under `state_dir`.")
    password: Secret | None = Field(None, description="Database password, if the URL carries none.")
    vault_key: KeyPlace = Field(description="Key file that seals personal data; made by `bankgw doctor --make-key`.")
    linger_ms: float = Field(3.0, ge=0, le=100, description="Milliseconds a group commit waits for more units.")
    reseal_per_second: int = Field(
        200,
        ge=1,
        le=100_000,
        description="Rows that are sealed anew per second at most after another vault key was activated "
        "(`bankgw keys activate`). More rows take more of the time of payments.",
    )
    permit_log_days: int = Field(
        90,
        ge=1,
        le=3650,
        description="Days for which the permit log lists sends. An older restored database is detected all the same.",
    )
    checkpoint_s: float = Field(
        60.0,
        ge=0,
        le=3600,
        description="Seconds after which new audit entries get a signed checkpoint for witnesses; 0 makes none.",
    )
    witness: Path | None = Field(
        None,
        description="Folder, mounted from another machine, in which `bankgw audit witness` keeps this journal's "
        "checkpoints. Each start compares them with the journal: a snapshot of the whole machine, put back, takes "
        "journal and permit log back together.",
    )
    no_witness: str = Field(
        "", max_length=200, description="Why production has no `journal.witness`, in words; `bankgw status` shows it."
    )
    poll_ms: float | None = Field(
        None,
        ge=0,
        le=10_000,
        description="Milliseconds between polls for what other nodes wrote into the same journal. Default: 250 for a "
        "database server, 0 (one node only, no polling) for SQLite.",
    )
    refusals_kept_days: int = Field(
        90,
        ge=2,
        le=3650,
        description="Days for which refused commands, the journal's copies of parked ones, banks' pushes and sent "
        "messages about no payment are kept.",
    )
    accept_unknown: tuple[Left, ...] = Field(
        (),
        description="What the journal has open and these settings no longer have, where production is to start all "
        "the same: `lane:BANK.LOGIN`, `bank:NAME`, `account:NUMBER`, `kind:BANK/KIND`, `sender:NAME`, `user:NAME`. "
        "`bankgw check` says which there are.",
    )


class RetentionSettings(_Table):
    """How long the journal keeps rows. Older rows are deleted in small pieces, and each deletion is recorded in the
    audit trail."""

    payments_days: int = Field(
        3_653,
        ge=400,
        le=36_500,
        description="Days for which a payment is kept after it is final, with its attempts, evidence, messages and "
        "approvals. Its order id is forgotten with it: the same id is another order then.",
    )
    statements_days: int = Field(
        3_653,
        ge=400,
        le=36_500,
        description="Days for which entries of accounts are kept, and the balances of their closed days.",
    )
    reconciliation_days: int | None = Field(
        None,
        ge=400,
        le=36_500,
        description="Days for which ERPs' books, persons' decisions about their rows and monthly statements are kept. "
        "Default, and at most: as long as both payments and statements.",
    )
    audit_days: int = Field(
        3_653,
        ge=400,
        le=36_500,
        description="Days for which audit entries, proposals and delegations are kept, at least as long as payments. A "
        "signed checkpoint stays in the place of the entries that are deleted, a whole month at a time.",
    )
    receipts_days: int = Field(10_958, ge=400, le=36_500, description="Days for which originals of receipts are kept.")

    def books_days(self) -> int:
        """`reconciliation_days`, or its default."""
        return self.reconciliation_days or min(self.payments_days, self.statements_days)


class ReceiptSettings(_Table):
    """Electronic receipts (电子回单) of settled payments and of money that came in, fetched by the daemon where a bank
    gives them."""

    fetch: bool = Field(True, description="Fetch receipts.")
    incoming: bool = Field(True, description="Also those of entries of money that came in, of watched accounts.")
    after_s: float = Field(
        3_600.0, ge=0, description="Seconds after a payment has settled, or an entry was seen, before it is asked for."
    )
    days: int = Field(60, ge=1, le=366, description="How many days back payments and entries are looked at at first.")
    per_minute: int = Field(
        6, ge=1, le=60, description="Questions a minute and lane; none while a payment of that lane is on its way out."
    )
    opens: str = Field("00:00", pattern=CLOCK, description="From when on it is asked, HH:MM in the bank's time.")
    closes: str = Field("00:00", pattern=CLOCK, description="Until when, HH:MM; the same as `opens`: all day.")


class WatchSettings(_Table):
    """Metrics and health over HTTP."""

    host: str = Field("127.0.0.1", description="Address of `/metrics`, `/healthz` and `/readyz`.")
    port: int = Field(
        9464, ge=0, le=65535, description="Port; 0 picks a free one and writes it to `state_dir/watch.port`."
    )


class LogSettings(_Table):
    """The stream of JSON lines on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is written.")
    priorities: bool = Field(False, description="Begin each line with the journal's `<6>`: for a daemon under systemd.")


class ControlSettings(_Table):
    """The control API."""

    socket: SettingsPath | None = Field(
        None, description="UNIX socket of the control API; default `state_dir/control.sock`."
    )
    group_may_open: bool = Field(
        False,
        description="Let the daemon's group open the socket too (mode 0660): members may enrol, and do what "
        "their roles as persons allow, nothing else. Needs `socket` outside `state_dir`.",
    )
    proposal_valid_s: float = Field(
        14_400.0, ge=60, le=604_800, description="Seconds within which a second person must approve a proposal."
    )
    approval_valid_s: float = Field(
        259_200.0, ge=300, le=2_592_000, description="Seconds within which a held payment must be approved."
    )
    approval_escalates_s: float = Field(
        14_400.0, ge=60, le=2_592_000, description="Seconds after which a payment without its approvals counts as late."
    )
    session_idle_s: float = Field(
        900.0, ge=60, le=3_600, description="Seconds without use after which a person's session ends (`bankgw login`)."
    )
    session_most_s: float = Field(
        28_800.0, ge=60, le=43_200, description="Seconds after which a person's session ends in any case."
    )


class WebSettings(_Table):
    """The web console and its approval page, each a process of its own. Without origins neither of them listens."""

    console_origin: str | None = Field(
        None, pattern=ORIGIN, description="Where browsers find the console: `https://console.example.com`."
    )
    approval_origin: str | None = Field(
        None,
        pattern=ORIGIN,
        description="Where browsers find the approval page: another host, to whose name passkeys "
        "that approve are bound. The console's host must not end with it.",
    )
    daemon_socket: SettingsPath | None = Field(
        None, description="UNIX socket at which the daemon hears web pages; default `state_dir/web.sock`."
    )
    query_socket: SettingsPath | None = Field(
        None, description="UNIX socket of `bankgw query`; default `state_dir/query.sock`."
    )
    joint_tests_dir: SettingsPath | None = Field(
        None, description="Folder of joint tests, one folder a run, that `bankgw query` reads and the console shows."
    )
    group: str | None = Field(
        None,
        description="UNIX group whose members may open both sockets (mode 0660): the users of the web pages. "
        "Needs sockets outside `state_dir`.",
    )
    oidc: OidcSettings | None = Field(None, description="Sign in to the console through an identity provider, too.")


class AccountSettings(_Table):
    """An own account."""

    number: str = Field(pattern=ACCOUNT, description="Account number, as text; leading zeros count.")
    name: str = Field(min_length=1, max_length=120, description="Account holder as the bank knows it.")
    company: Slug = Field(description="Company it belongs to.")
    bank: Slug = Field(description="Bank that keeps it: a table under `banks`.")
    lane: Slug = Field("main", description="Lane (login) of that bank which serves it.")
    currency: str = Field("CNY", pattern=CURRENCY, description="ISO 4217 currency.")
    opened: date | None = Field(None, description="First day it may be used.")
    closed: date | None = Field(None, description="First day it may no longer be used.")
    name_check: Literal["refuse", "warn"] = Field(
        "refuse", description="An order that gives this account another holder's name is refused, or only logged."
    )
    nature: Literal["basic", "general", "special", "temporary"] = Field(
        "general", description="Nature of the account: basic 基本, general 一般, special 专用, temporary 临时."
    )
    restricted: bool = Field(
        False, description="Its money is for one purpose (募集资金, 农民工工资, 保证金) or frozen: no pool may use it."
    )
    title: str | None = Field(None, min_length=1, max_length=60, description="What people call it (账户简称).")
    parent: str | None = Field(
        None, pattern=ACCOUNT, description="Own account that it stands under in the tree of positions."
    )
    opening_balance: str | None = Field(
        None,
        pattern=SIGNED_AMOUNT,
        description="Its balance at the start of `opening_day`; positions begin with it until the bank closes a day.",
    )
    opening_day: date | None = Field(None, description="Day of `opening_balance`.")
    bank_name: str | None = Field(None, max_length=120, description="Branch that keeps it, for orders into it.")
    cnaps: str | None = Field(None, pattern=CNAPS, description="Number of that branch (联行号), 12 digits.")
    watch: bool = Field(
        True,
        description="Read its balance and entries at the bank's own rate, and publish new entries and closed days as "
        "events. `false`: the bank is asked about it only when somebody asks.",
    )


AmountText = Annotated[str, StringConstraints(pattern=AMOUNT)]


class BandSettings(_Table):
    """The treatment of payments above `above`, and up to and including `upto`; without `upto` there is no upper end."""

    above: AmountText = Field("0", description="Amounts above this …")
    upto: AmountText | None = Field(None, description="… up to and including this; absent: without end.")
    action: Literal["release", "hold"] = Field(
        description="`release` sends without asking, `hold` waits for an approval."
    )


class SenderLimits(_Table):
    """The largest amounts that a sender may move, in the account's currency. A missing value means no limit."""

    per_payment: AmountText | None = Field(None, description="Largest single payment.")
    per_batch: AmountText | None = Field(None, description="Largest total of one batch.")
    per_day: AmountText | None = Field(None, description="Most in one calendar day over all accounts.")
    per_account_day: AmountText | None = Field(None, description="Most in one day per debtor account.")
    per_payee_day: AmountText | None = Field(None, description="Most in one day per creditor account.")


class SenderSettings(_Table):
    """An ERP system that may command the gateway. Its name here, not the broker user, is its identity."""

    users: tuple[str, ...] = Field(
        (), description="Broker users whose messages count as this sender's; none for `treasury`, as pools send."
    )
    anonymous: bool = Field(
        False, description="Questions without a user-id count as this sender's; at most one sender may say so."
    )
    operations: tuple[Operation, ...] = Field(min_length=1, description="Commands it may send.")
    accounts: tuple[str, ...] = Field(("*",), description="Own accounts it may use; `*` is all.")
    reply_to: str = Field(r"^$", description="Pattern its reply-to queues must match in full.")
    limits: SenderLimits = Field(SenderLimits.model_construct(), description="Its limits.")
    bands: tuple[BandSettings, ...] = Field(
        (), description="Approval bands; they must cover every amount exactly once."
    )
    suspected_duplicate_hours: int = Field(
        24, ge=0, le=720, description="Hours within which a similar payment is held as a suspected duplicate; 0: off."
    )
    new_payee_hold: bool = Field(
        False, description="Hold payments to a payee (account, name and bank) that is not known for such an amount."
    )
    new_payee_days: int = Field(
        3, ge=0, le=30, description="Business days a payment must have stayed settled to make its payee known."
    )
    new_payee_cover: int = Field(
        10, ge=1, le=1_000_000, description="A known payee is paid up to so many times his largest such payment unheld."
    )
    hmac_key: Secret | None = Field(
        None, description="When set, every command must carry a matching `signature` header."
    )
    sent_events: bool = Field(False, description="Also publish `payment.sent`.")


class LaneSettings(_Table):
    """One login at a bank's front-end: its address, its keys, its pace."""

    host: Host = Field(description="Front-end's host.")
    ports: Mapping[str, int] = Field(description="TCP port of each of the bank's services, by name.")
    tls: Tls | None = Field(None, description="Mutual TLS to the front-end; absent needs `plaintext`.")
    plaintext: Literal["no", "loopback", "pinned-lan"] = Field(
        "no", description="Allow plain TCP: to loopback, or on a guarded line of the LAN (warned and counted)."
    )
    credentials: Mapping[str, Secret] = Field({}, description="The login's secrets by the names the bank asks for.")
    keys: Mapping[str, SigningKey] = Field({}, description="Signing keys by the names the bank asks for.")
    expires: Mapping[Slug, date] = Field({}, description="Last day of a password or UKey, by a name of your own.")
    window: int | None = Field(None, ge=1, le=64, description="Exchanges in parallel; default: the bank's.")
    per_second: float | None = Field(None, gt=0, description="Requests a second; default: the bank's.")
    connect_timeout_s: float = Field(5.0, gt=0, le=60, description="Seconds for the TCP connection.")
    handshake_timeout_s: float = Field(5.0, gt=0, le=60, description="Seconds for the TLS handshake.")
    trace_kib: int = Field(
        4_096,
        ge=0,
        le=1_048_576,
        description="KiB of `state_dir` for the last exchanges, sealed, that `bankgw lanes trace` shows. 0: none.",
    )


class AttestedCase(_Table):
    """The statement that a bank executes repeated bytes only once, as a joint test has shown. `bankgw joint-test
    attest` prints it."""

    kind: Literal["payment", "transfer"] = Field(description="The kind of order.")
    case: str = Field(min_length=1, description="The case of the joint test.")
    front_end: str = Field(min_length=1, description="The version of the bank's front end that it was seen at.")
    seen_on: date = Field(description="The day on which it was seen.")
    pack_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the evidence pack.")


class PushSettings(_Table):
    """The address at which a bank may connect to the gateway, by mutual TLS with a client certificate named here."""

    host: Host = Field("127.0.0.1", description="Address of this machine on which the bank is listened for.")
    port: int = Field(ge=1, le=65535, description="TCP port.")
    certificate: SettingsPath = Field(description="PEM file of our server certificate and its chain.")
    key: KeyPlace = Field(description="Our server certificate's private key, PEM.")
    ca_file: SettingsPath = Field(description="PEM file of the authority that issued the caller's certificate.")
    client_pins: tuple[str, ...] = Field(
        min_length=1, description="Base64 SHA-256 of the public key (SPKI) of each client certificate that may call."
    )
    most_connections: int = Field(8, ge=1, le=64, description="Connections at once; more are closed.")
    per_second: float = Field(20.0, gt=0, le=1000, description="Messages a second; beyond, connections are closed.")
    idle_s: float = Field(30.0, gt=0, le=600, description="Seconds without a byte after which one is closed.")


class BankSettings(_Table):
    """A bank and its lanes. The options of the bank's protocol are in `options`."""

    protocol: Slug = Field(description="Folder under protocols/banks.")
    options: Mapping[str, Any] = Field({}, description="The protocol's own options; see its README.")
    option_files: Mapping[str, SettingsPath] = Field(
        {}, description="Options whose value is a file's text, such as the bank's certificate."
    )
    enquiry_deadline_s: float | None = Field(
        None, gt=0, description="Seconds after sending until a payment without a result escalates; default: the bank's."
    )
    returns_watch_s: float | None = Field(
        None, ge=0, description="Seconds after settlement for which returns are asked about; default: the bank's."
    )
    returns_every_s: float | None = Field(
        None, gt=0, description="Seconds between two enquiries about a return; default: the bank's."
    )
    poll_every_s: float | None = Field(
        None, gt=0, description="Seconds between two polls of a watched account; default: the bank's."
    )
    most_repeats: int | None = Field(
        None,
        ge=0,
        le=10,
        description="How often a payment in doubt is sent again by itself, byte for byte, where the bank's rules allow "
        "that at all; default: the bank's. 0: never.",
    )
    attested: tuple[AttestedCase, ...] = Field(
        (),
        description="In production an order in doubt is sent again without asking first only where a case of a joint "
        "test attests that the bank carries the same bytes out once; else the gateway asks first.",
    )
    host_date_days: int | None = Field(
        None, ge=0, le=366, description="Days the bank's own date may be off; default: 1 in `production`, else 60."
    )
    calendar: Slug | None = Field(
        None, description="Calendar of a bank that is closed on weekends; default: `cn` for a bank in China's zone."
    )
    pushes: PushSettings | None = Field(
        None, description="Listen for messages that the bank sends of its own accord; default: no."
    )
    lanes: Mapping[Slug, LaneSettings] = Field(description="Its lanes by name.")


class EnvironmentSettings(_Table):
    """The name of this environment, and the values that keep it apart from the others."""

    name: Slug | None = Field(
        None, description="Its name in `status`, in each log line and before a signature; default: `mode`."
    )
    may_dial: tuple[str, ...] = Field(
        (),
        description="Names, addresses and networks (`10.1.0.0/16`) that `development` and `test` may connect to, "
        "beside the loopback. `production` may connect anywhere.",
    )
    others: tuple[SettingsPath, ...] = Field(
        (),
        description="What other environments use: their settings files on this machine, or what `bankgw check --marks` "
        "printed elsewhere. An address, authority or key that is theirs too is a mistake.",
    )


class Settings(_Table):
    """All settings of the daemon."""

    mode: Literal["development", "test", "production"] = Field(
        "development", description="`production` may move real money and refuses unsafe settings."
    )
    environment: EnvironmentSettings = Field(EnvironmentSettings.model_construct(), description="The environment.")
    node: Slug = Field("gw1", description="Name of this instance; unique among those that share a journal.")
    shard: str = Field(
        "1/1",
        pattern=r"^[0-9]{1,2}/[0-9]{1,2}$",
        description="`k/n`: this process is the k-th of n over one journal, each with its part of the lanes; needs "
        "PostgreSQL or MariaDB. Set by `bankgw run --shard`.",
    )
    state_dir: SettingsPath = Field(STATE_DIR, description="Folder for the journal, the permit log and the socket.")
    zone: str = Field("Asia/Shanghai", description="Zone of calendar days in limits.")
    holidays: tuple[date, ...] = Field((), description="Weekdays that no calendar counts as business days.")
    calendar_file: SettingsPath | None = Field(
        None, description="TOML file of years that China's calendar lacks, and of others: docs/do/liquidity.md."
    )
    drain_s: float = Field(25.0, gt=0, description="Seconds a stopping daemon waits for exchanges under way.")
    broker: Broker = Field(description="RabbitMQ.")
    journal: Journal = Field(description="The journal.")
    retention: RetentionSettings = Field(RetentionSettings.model_construct(), description="Retention.")
    backups: BackupSettings = Field(BackupSettings.model_construct(), description="Backups.")
    receipts: ReceiptSettings = Field(ReceiptSettings.model_construct(), description="Receipts.")
    watch: WatchSettings = Field(WatchSettings.model_construct(), description="Metrics and health.")
    log: LogSettings = Field(LogSettings.model_construct(), description="Log lines.")
    control: ControlSettings = Field(ControlSettings.model_construct(), description="Control API.")
    web: WebSettings = Field(WebSettings.model_construct(), description="Web pages.")
    reconciliation: ReconciliationSettings = Field(
        ReconciliationSettings.model_construct(), description="Reconciliation."
    )
    reports: ReportSettings = Field(ReportSettings.model_construct(), description="Scheduled reports.")
    positions: PositionSettings = Field(PositionSettings.model_construct(), description="Positions.")
    accounts: tuple[AccountSettings, ...] = Field((), description="Account register.")
    senders: Mapping[Slug, SenderSettings] = Field({}, description="Senders by name.")
    banks: Mapping[Slug, BankSettings] = Field({}, description="Banks by name.")

    def environment_name(self) -> str:
        """The environment's name as people see it."""
        return self.environment.name or self.mode

    def control_socket(self) -> Path:
        """The socket of the control API."""
        return self.control.socket or self.state_dir / CONTROL_SOCKET

    def web_socket(self) -> Path:
        """The daemon's socket for web pages."""
        return self.web.daemon_socket or self.state_dir / "web.sock"

    def query_socket(self) -> Path:
        """The query process's socket for the console."""
        return self.web.query_socket or self.state_dir / "query.sock"

    def backups_folder(self) -> Path:
        """The folder of the backups."""
        return self.backups.folder or self.state_dir / "backups"

    def permit_log(self) -> Path:
        """The folder of this node's permit log."""
        return self.state_dir / PERMIT_LOG

    def journal_url(self) -> str:
        """The journal's URL with a relative SQLite path made absolute under `state_dir`."""
        found = re.fullmatch(r"sqlite:///([^/].*)", self.journal.url)
        return f"sqlite:///{self.state_dir / found.group(1)}" if found else self.journal.url
