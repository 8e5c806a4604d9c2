"""The interface of a bank's code: a description of the bank, and conversations that turn values into bytes.

A bank is an object that `protocols.banks.<name>.build(options)` returns, never a class to extend. Its conversations,
for orders and for questions, are generators: they yield steps, and the lane carries the steps out and sends each
answer's bytes back in.

    def pay(order, context):            # a money word: exactly one Submit, at most once
        octets = ...                    # prepare
        signature = yield Sign("order", octets)
        answer = yield Submit("business", wire)
        return Outcome(...)

Transport faults are never thrown into a generator, so that no bank code can swallow one; the lane closes the generator
and records the fault. A malformed or unverifiable answer is `ProtocolError`: for money it means doubt, never failure.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from protocols.canon.fast_init import fast_init
from protocols.canon.host_days import ON_THE_CALENDAR, HostDays
from protocols.canon.limits import Limits
from protocols.canon.order import AnyOrder, Bundle, Kind
from protocols.canon.outcome import Outcome
from protocols.canon.party import AccountNumber
from protocols.canon.query import (
    BalanceQuestion,
    BundleFateQuestion,
    DirectoryQuestion,
    FateQuestion,
    LinesQuestion,
    ReceiptQuestion,
    ReturnsQuestion,
    Sent,
    SentBundle,
)
from protocols.canon.statement import Balance, DirectoryPage, Page, Receipt, ReceiptLater, ReturnsPage


@dataclass(frozen=True, slots=True)
class Ask:
    """Write `data` (a whole framed message) to `port` and send back the whole framed answer. Repeatable."""

    port: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Continue:
    """Write `data` as Ask does, but on the connection of the previous step: for protocols whose later messages belong
    to a transaction."""

    port: str
    data: bytes


@fast_init
@dataclass(frozen=True, slots=True)
class Sign:
    """Sign `octets` with the lane's key named `key`; the result of the step is the signature's bytes.

    `document` is the message of which `octets` are the digest's carrier, where they do not contain it: a signer that
    judges what it signs reads it.
    """

    key: str
    octets: bytes
    document: bytes = b""


@fast_init
@dataclass(frozen=True, slots=True)
class Submit:
    """The step that may move money: at most one in a money word's conversation, none in a question's.

    Yielding it makes the lane commit exactly `data`, the bank date and `serials` before the first byte leaves.
    """

    port: str
    data: bytes
    serials: tuple[str, ...] = ()


R = TypeVar("R")
QuestionStep = Ask | Continue | Sign
MoneyStep = Ask | Continue | Sign | Submit
Conversation = Generator[QuestionStep, bytes, R]
MoneyConversation = Generator[MoneyStep, bytes, Outcome]
Fates = Mapping[str, Outcome]
"""What a bank said of each item of a bundle, by the item's reference. An item that is missing here is in doubt."""
BundleConversation = Generator[MoneyStep, bytes, Fates]


@fast_init
@dataclass(frozen=True, slots=True)
class Context:
    """The values that a conversation needs from outside, fixed before it starts.

    `reference` is the payment's bank reference (empty for questions), `attempt` counts from 1, `bank_date` is the
    bank's business date, `now` has a zone. In a question `bank_date` follows the date that the bank's answers state
    (`host`). In an order's conversation it is that of the calendar, because it decides about repeats and cut-offs.
    `serials` are numbers that were never given out before on this lane, drawn by the journal's writer, as many as the
    profile asks for. `credentials` are the login's secrets by name; `session` is the result of sign-on.
    """

    reference: str
    attempt: int
    bank_date: date
    now: datetime
    serials: tuple[int, ...]
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    session: Mapping[str, str] = field(default_factory=dict, repr=False)
    host: HostDays = ON_THE_CALENDAR


class Replay(StrEnum):
    """How a payment in doubt may be sent again. The default is NEVER: the bank is only asked about it."""

    NEVER = "never"
    QUERY_FIRST = "query_first"
    REPLAY_SAFE = "replay_safe"


class Cutter(Protocol):
    """Cuts a byte stream into whole framed messages; refuses oversize ones with ProtocolError."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes; return the messages that these bytes complete."""

    def end(self) -> list[bytes]:
        """Note that the peer closed: return the last message if the close ends it; ProtocolError if a message is cut
        short."""


@dataclass(frozen=True, slots=True)
class Port:
    """One address of a bank's front end. A `kept` connection is reused; any other carries one exchange and closes.

    `answers` makes a fresh cutter for one connection. Time-outs are in seconds: until the first byte, between bytes,
    and for the whole exchange.
    """

    name: str
    answers: Callable[[], Cutter]
    kept: bool
    first_byte_s: float = 60.0
    between_bytes_s: float = 10.0
    exchange_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions on the business port: their number, the sign-on, and the proof that they are ready.

    `window` is how many exchanges may run at once (one per connection). `sign_on` runs on every fresh kept connection
    and returns the session's state. `probe` is the harmless question that proves readiness: the heartbeat of a kept
    session, or the lane's own probe if connections are short. It returns the time of the bank's clock if the verified
    answer states it, because nothing is sent a second time while the node's clock differs from the bank's.

    `one_owner` names a login of which the bank keeps one session at a time, in a text that all settings tables of that
    login share; empty if any number of sessions may sign on. The settings must then give the login one lane, of no
    larger window, in one bank, because two owners would end each other's sessions again and again.
    """

    window: int
    probe: Callable[[Context], Conversation[datetime | None]]
    probe_every_s: float
    sign_on: Callable[[Context], Conversation[Mapping[str, str]]] | None = None
    sign_off: Callable[[Context], Conversation[None]] | None = None
    one_owner: str = ""


@dataclass(frozen=True, slots=True)
class ReplayRule:
    """Whether a money word may ever be sent again byte-identically, and within which window after the first send.

    `not_found_quarantine`: an enquiry's "not found" counts only if it was asked this long after the last byte.
    `not_found_count`: how many such answers are needed. `window` None: the bank recognises duplicates for ever.
    `same_day`: it forgets references when its business date changes. `most`: how often one payment may be repeated
    automatically.
    """

    policy: Replay = Replay.NEVER
    not_found_quarantine: timedelta = timedelta(minutes=10)
    not_found_count: int = 2
    window: timedelta | None = None
    same_day: bool = False
    most: int = 3


FACTS = ("amount", "payee", "day")
"""What tells a payment from another one with its reference: amount, the other party's account, the day."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The description of a bank, as data.

    `name` is the short slug in keys, labels and folders. `signs` names the keys that its conversations ask for.
    `serials_per_word` is how many serial numbers one conversation may use. `page_lines` is the bank's page size,
    `history_days` how far back it answers about entries. `reconstructed` lists what is known from public material only.
    `kind_limits` are limits that differ for one kind of order (a batch line is often shorter than a payment).
    `past_balance_days` is for how many days back the bank gives a day's closing balance, 0 if it gives none.
    `poll_every` is how often the bank tolerates a question about an account's new entries. `returns_watch` is how long
    a payment may still come back after it settled; the bank is asked about it once per `returns_every`. `unstated`
    lists for each kind of order which of FACTS the answer to an enquiry does not state; all others are compared before
    the answer is believed. `over_internet`: the bank's own interface is on the internet, without a front end in the
    company's network. `encrypts` names the keys of `signs` that sign a message which is encrypted for the bank by
    then. `guessed` names the operations of which a message, or its meaning, is known from one client's
    model or less: see `gateway.capabilities.OPERATIONS`. `sweeps`: transfers in a cash pool have messages of their own.
    `host_date` names the fields in which answers state the date of the bank's host (`Page.host_date`,
    `Balance.host_date`), empty if none does; `host_date_days` is how many days it may differ from the calendar.
    """

    name: str
    title: str
    title_zh: str
    limits: Limits
    replay: Mapping[Kind, ReplayRule] = field(default_factory=dict)
    signs: tuple[str, ...] = ()
    serials_per_word: int = 4
    page_lines: int = 100
    history_days: int = 90
    enquiry_deadline: timedelta = timedelta(hours=24)
    returns_watch: timedelta = timedelta(days=7)
    returns_every: timedelta = timedelta(days=1)
    reconstructed: tuple[str, ...] = ()
    kind_limits: Mapping[Kind, Limits] = field(default_factory=dict)
    past_balance_days: int = 0
    poll_every: timedelta = timedelta(minutes=5)
    unstated: Mapping[Kind, frozenset[str]] = field(default_factory=dict)
    guessed: frozenset[str] = frozenset()
    sweeps: bool = False
    host_date: str = ""
    host_date_days: int = 1
    over_internet: bool = False
    encrypts: frozenset[str] = frozenset()


MoneyWord = Callable[[AnyOrder, Context], MoneyConversation]


@dataclass(frozen=True, slots=True)
class Questions:
    """A bank's questions. None: the bank, or its public description, has no question of that kind."""

    balance: Callable[[BalanceQuestion, Context], Conversation[Balance]] | None = None
    lines: Callable[[LinesQuestion, Context], Conversation[Page]] | None = None
    fate: Callable[[FateQuestion, Context], Conversation[Outcome]] | None = None
    returns: Callable[[ReturnsQuestion, Context], Conversation[ReturnsPage]] | None = None
    receipt: Callable[[ReceiptQuestion, Context], Conversation[Receipt | ReceiptLater]] | None = None
    directory: Callable[[DirectoryQuestion, Context], Conversation[DirectoryPage]] | None = None


@dataclass(frozen=True, slots=True)
class Bundles:
    """The way in which a bank takes many orders of one kind in one message, at most `most` of them.

    In `word`, `context.reference` is the bundle's own key, of the bank's reference form, as each item's is. `fate` asks
    about all items at once. `read` maps the stored answer. An outcome of the whole message ("accepted") is returned for
    each item that it covers. An item that the answer does not mention is left out, and is in doubt. A bundle is never
    sent again. A kind that is missing here but is in `Bank.money` is sent as one message for each item.
    """

    most: int
    word: Callable[[Bundle, Context], BundleConversation]
    fate: Callable[[BundleFateQuestion, Context], Conversation[Fates]]
    read: Callable[[SentBundle, bytes], Fates]


@dataclass(frozen=True, slots=True)
class Push:
    """A message that the bank sent without being asked. It decides nothing about a payment.

    `kind` is the bank's name of the message, one of `Pushes.kinds`. `key` is a fingerprint of its content and, if the
    bank gives it a number, of that number. It is the same when the bank sends the message again, whatever else differs
    in the frame, and different for another transaction of the same content. Payments in `references` are enquired
    about, and the entries of `accounts` are read. `unread`: the content could not be read, and was stored for persons.
    `text` is for persons.
    """

    kind: str
    key: str
    references: tuple[str, ...] = ()
    accounts: tuple[AccountNumber, ...] = ()
    text: str = ""
    unread: bool = False


@dataclass(frozen=True, slots=True)
class Pushes:
    """How messages that the bank sends unasked are received. `requests` makes a fresh cutter for one connection.

    `read` raises ProtocolError for bytes that are no message of this bank to us; these are not answered. `answer` gives
    the bytes that confirm the message to the bank, from the frame and our time in milliseconds; they are written only
    after the journal has stored the message. `closes`: the connection ends with the answer.
    """

    kinds: tuple[str, ...]
    requests: Callable[[], Cutter]
    read: Callable[[bytes], Push]
    answer: Callable[[bytes, int], bytes]
    closes: bool = False


@dataclass(frozen=True, slots=True)
class Bank:
    """A bank: profile, ports, sessions and conversations. Intake refuses an order of a kind that is missing here.

    `money` maps a kind of order to its conversation. `read` maps the stored or replayed answer to a submitted message
    of that kind. If the answer states reference, amount or accounts, they must be those of `Sent`, which was recorded
    before the message was sent: otherwise ProtocolError "correlation". Bytes that are no answer at all raise another
    ProtocolError. An unknown code raises nothing; it is doubt. `read` makes no exchanges: a bank whose stored answers
    need one (its front end verifies them) reads them as doubt.
    """

    profile: Profile
    ports: Mapping[str, Port]
    sessions: Sessions
    money: Mapping[Kind, MoneyWord]
    questions: Questions
    read: Callable[[Kind, Sent, bytes], Outcome]
    bundles: Mapping[Kind, Bundles] = field(default_factory=dict)
    pushes: Pushes | None = None


class Build(Protocol):
    """`protocols.banks.<name>.build`: reads the package's own data once and returns the bank.

    `options` is the bank's table from the settings, as plain values; unknown or wrong ones raise `BadOptions` with the
    key and the remedy.
    """

    def __call__(self, options: Mapping[str, Any]) -> Bank:
        """Return the bank that these options describe."""


class BadOptions(ValueError):
    """A bank's options are wrong. `key` is the option's name, `remedy` what to write instead."""

    def __init__(self, key: str, remedy: str) -> None:
        super().__init__(f"{key}: {remedy}")
        self.key = key
        self.remedy = remedy
