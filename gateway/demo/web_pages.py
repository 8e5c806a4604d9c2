"""`bankgw demo --console`: after the play, the web pages with its results, and with people and payments to approve.

The daemon starts again, together with the query process, the console and the approval page, all on 127.0.0.1. They end
by themselves after some minutes, or on Ctrl-C. Names and passwords are valid for this run only.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet.defer import CancelledError, Deferred

from gateway.control.client import ControlClient, NoDaemon, Refused
from gateway.control.offline import journal_access, journal_writer
from gateway.demo import approvals, daily_operations, processes, stage
from gateway.demo.erp import Erp
from gateway.demo.orders import BRANCH, PAYEES, SUBMIT, amount_text
from gateway.demo.processes import Child, NotStarted
from gateway.demo.site import Site
from gateway.kernel.clock import Clock
from gateway.kernel.commit.store import Tx
from gateway.kernel.tasks import sleep
from gateway.people.rows import password_factors, persons
from gateway.people.rows.password_factors import PasswordFactor
from gateway.people.rules import grants, one_time_codes, passwords
from gateway.settings import load, socket_of

YOU, COLLEAGUE = "chen", "lin"
"""The two approvers. The colleague signs outside of a browser after you."""
MINUTES = 30
PAYROLL_LINES = 500
_FIRST_PORTS = (9470, 9471)
YOUR_UID, _COLLEAGUES_UID = 2_000_000_100, 2_000_000_101
_ACTOR = "demo"
_PATIENCE_S, _LOOK_S = 60.0, 0.5
_ONE_MINOR, _TWO_MINOR = 5_000_001, 9_000_001
SayLine = Callable[[str], None]
Threaded = Callable[[Callable[[], Any]], Deferred[Any]]


@dataclass(frozen=True, slots=True)
class DemoPages:
    """The addresses of this run's two sites."""

    console_port: int
    approval_port: int

    @property
    def console(self) -> str:
        """The console's origin."""
        return f"http://console.localhost:{self.console_port}"

    @property
    def approval(self) -> str:
        """The approval page's origin."""
        return f"http://approve.localhost:{self.approval_port}"

    def settings(self) -> Mapping[str, Any]:
        """The gateway's settings for the pages."""
        return {"web": {"console_origin": self.console, "approval_origin": self.approval}}

    def children(self, site: Site) -> tuple[Child, ...]:
        """The three processes beside the daemon."""
        daemon, query = (str(site.state / name) for name in ("web.sock", "query.sock"))
        words = {
            "query": ("query", "--config", str(site.settings)),
            "console": (
                "console",
                "--daemon-socket",
                daemon,
                "--query-socket",
                query,
                "--port",
                str(self.console_port),
            ),
            "approval page": ("approval-page", "--daemon-socket", daemon, "--port", str(self.approval_port)),
        }
        return tuple(
            Child(name, (sys.executable, "-m", "gateway", *said), site.folder / f"{name.replace(' ', '-')}.log")
            for name, said in words.items()
        )


def free_ports() -> DemoPages:
    """Two ports for the pages: the usual ones if they are free, else two that are free now."""
    return DemoPages(*(_free(port) for port in _FIRST_PORTS))


def _free(port: int) -> int:
    for wanted in (port, 0):
        with socket.socket() as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                line.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            return int(line.getsockname()[1])
    raise NotStarted("no port of 127.0.0.1 is free for the web pages")


# ---- people ----


@dataclass(frozen=True, slots=True)
class DemoPeople:
    """The approval keys of both demo persons, and the factors with which the reader signs in to the console."""

    key_file: Path
    colleague: Ed25519PrivateKey
    password: str
    secret: str

    def code(self, now_ms: int) -> str:
        """The present one-time code, as a telephone would show it."""
        return one_time_codes.code_at(self.secret, now_ms // 1000 // one_time_codes.STEP_S)


def enrol(site: Site, *, policy_there: bool) -> DemoPeople:
    """Enrol both persons while the daemon is stopped. Put a policy in force unless the demo's run has one. Raises
    NotWritten, NoAccess."""
    if not policy_there:
        approvals.put_in_force(site.settings)
    mine, theirs = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    file = site.folder / "secrets" / f"{YOU}.key"
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(mine.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    made = DemoPeople(file, theirs, secrets.token_hex(8), one_time_codes.secret_of(secrets.token_bytes(20)))
    factor = PasswordFactor(YOU, passwords.hashed(made.password, secrets.token_bytes(16)), made.secret, confirmed=True)

    def enrol_both(tx: Tx) -> None:
        for name, uid, key in ((YOU, YOUR_UID, mine), (COLLEAGUE, _COLLEAGUES_UID, theirs)):
            one = persons.Person(name, uid, key.public_key().public_bytes_raw(), enrolled=True, at_ms=tx.now_ms)
            said = persons.enrol(tx, name, uid, one.key, _ACTOR)
            assert isinstance(said, persons.Person), "nobody of this name was enrolled before"
            after = replace(said, enrolled=True, grants=grants.parse("approver@*"))
            persons.change(tx, after, "person.confirmed", _ACTOR, {"key": after.fingerprint, "roles": "approver@*"})
        password_factors.store_factor(tx, factor, "person.password_set", _ACTOR)

    settings = load(site.settings)
    url, vault = journal_access.url_of(settings, None), journal_access.vault_of(settings, None)
    journal_writer.commit_offline(settings, url, vault, enrol_both)
    return made


# ---- what there is to approve ----


def orders(banks: tuple[str, ...], run: str, now: datetime) -> Iterator[tuple[str, str, bytes]]:
    """Command, message id and body of a payment for one approver, one for two approvers, and a payroll for two."""
    bank = next((one for one in banks if daily_operations.PAYROLL in stage.manners(one).daily), banks[0])
    made = stage.stage((bank,), run, now, approvals.MAKER)
    debtor = made.accounts[bank][0]
    head = {"currency": "CNY", "debtor": {"account": debtor, "name": made.holders[debtor]}, "maker": approvals.MAKER}
    digits = stage.manners(bank).payee_digits
    for n, (name, minor) in enumerate((("ONE", _ONE_MINOR), ("TWO", _TWO_MINOR))):
        fields: dict[str, Any] = {
            **head,
            "id": f"{name}-{run}",
            "amount": amount_text(minor),
            "purpose": "货款",
            "creditor": {
                "account": _payee(n, digits),
                "name": PAYEES[n],
                "bank_name": BRANCH,
                "cnaps": "000000000000",
                "kind": "corporate",
            },
        }
        for pointer, value in stage.manners(bank).wants.items():
            side, _, field = pointer.strip("/").partition("/")
            (fields[side] if field else fields)[field or side] = value
        yield SUBMIT, f"{run}-pages-{n}", json.dumps(fields, ensure_ascii=False).encode()
    if daily_operations.PAYROLL in stage.manners(bank).daily:
        minors = [20_001 + n for n in range(PAYROLL_LINES)]
        body = {
            **head,
            "id": f"PAYROLL-{run}",
            "purpose": daily_operations.PURPOSES[daily_operations.PAYROLL],
            "count": len(minors),
            "sum": amount_text(sum(minors)),
            "items": [
                {
                    "id": f"PAYROLL-{run}-{n}",
                    "amount": amount_text(minor),
                    "creditor": {"account": _payee(1_000 + n, digits), "name": PAYEES[n % len(PAYEES)]},
                }
                for n, minor in enumerate(minors, 1)
            ],
        }
        command = daily_operations.COMMANDS[daily_operations.PAYROLL]
        yield command, f"{run}-pages-payroll", json.dumps(body, ensure_ascii=False).encode()


def _payee(n: int, digits: int) -> str:
    """An account that no order of the demo's run pays, because their accounts have another digit after the zeros."""
    return f"0000{n + 1:0{digits - 4}d}"


# ---- the colleague ----


class Colleague:
    """Signs requests that the reader has approved and that need one more signature, with a key of its own and outside
    of a browser.

    The colleague's signatures are sent as an ERP would send them.
    """

    def __init__(self, control: ControlClient, erp: Erp, key: Ed25519PrivateKey, run: str, say: SayLine) -> None:
        self._control = control
        self._erp = erp
        self._key = key
        self._run = run
        self._say = say
        self._signed: set[str] = set()

    async def sign_due(self, threaded: Threaded) -> None:
        """Sign the requests that need this signature now."""
        for shown in await threaded(self._due):
            request = str(shown["request"])
            body = approvals.signed(shown, COLLEAGUE, self._key)
            await self._erp.bring(approvals.APPROVE, f"{self._run}-colleague-{len(self._signed)}", body)
            self._signed.add(request)
            self._say(f"{COLLEAGUE} signed {shown['subject']} with an own key, outside of a browser")

    def _due(self) -> list[Mapping[str, Any]]:
        try:
            waiting = self._control.get("approvals")["approvals"]
            return [self._control.get("approvals", one["request"]) for one in waiting if self._is_due(one)]
        except (NoDaemon, Refused):
            return []

    def _is_due(self, one: Mapping[str, Any]) -> bool:
        by = {given["person"] for given in one["decided"]}
        need = max((int(part["approvers"]) for part in one["need"]), default=0)
        return one["request"] not in self._signed and YOU in by and COLLEAGUE not in by and len(by) < need


# ---- all of it ----


@dataclass(frozen=True, slots=True)
class PagesRequest:
    """The inputs from the demo's run: its site and banks, an ERP for this part, and the duration."""

    site: Site
    banks: tuple[str, ...]
    erp: Erp
    run: str
    minutes: float
    policy_there: bool


async def serve(pages: DemoPages, wish: PagesRequest, clock: Clock, threaded: Threaded, say: SayLine) -> None:
    """Start everything, print the addresses and how to sign in, and wait. Ends in order on a cancellation (Ctrl-C).

    Raises NotStarted, and the errors of `enrol`.
    """
    people = await threaded(lambda: enrol(wish.site, policy_there=wish.policy_there))
    children, control = pages.children(wish.site), ControlClient(socket_of(wish.site.settings))
    command = processes.person_daemon_command(wish.site.settings, YOUR_UID)
    daemon = Child("daemon", command, wish.site.folder / "daemon.log")
    try:
        daemon.start()
        await _until(clock, daemon, lambda: _answers(control))
        for child in children:
            child.start()
        places: tuple[Path | int, ...] = (wish.site.state / "query.sock", pages.console_port, pages.approval_port)
        for child, there in zip(children, places, strict=True):
            await _until(clock, child, partial(_is_there, there))
        await wish.erp.start()
        for key, message_id, body in orders(wish.banks, wish.run, datetime.fromtimestamp(clock.now_ms() / 1000, UTC)):
            await wish.erp.bring(key, message_id, body)
        for line in guide(pages, people, wish):
            say(line)
        colleague = Colleague(control, wish.erp, people.colleague, wish.run, say)
        await _wait(people, colleague, wish.minutes, clock, threaded, say)
        say(f"the web pages end after {wish.minutes:g} minutes")
    except CancelledError:
        say("the web pages end")
    finally:
        await threaded(lambda: processes.stop_all([daemon, *children], 15.0))
        await wish.erp.close()


async def _wait(
    people: DemoPeople, colleague: Colleague, minutes: float, clock: Clock, threaded: Threaded, say: SayLine
) -> None:
    until_s, told = clock.monotonic_s() + minutes * 60, ""
    while clock.monotonic_s() < until_s:
        if (code := people.code(clock.now_ms())) != told:
            told = code
            say(f"one-time code {code}")
        await colleague.sign_due(threaded)
        await sleep(clock, _LOOK_S)


async def _until(clock: Clock, child: Child, good: Callable[[], bool]) -> None:
    until_s = clock.monotonic_s() + _PATIENCE_S
    while not good():
        if child.ended() is not None or clock.monotonic_s() > until_s:
            raise NotStarted(f"{child.name} did not start; its output:\n{child.tail()}")
        await sleep(clock, 0.1)


def _answers(control: ControlClient) -> bool:
    try:
        return bool(control.get("status"))
    except Refused:
        return True
    except NoDaemon:
        return False


def _is_there(place: Path | int) -> bool:
    if isinstance(place, Path):
        return place.exists()
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", place)) == 0


def guide(pages: DemoPages, people: DemoPeople, wish: PagesRequest) -> Iterator[str]:
    """The text with the pages' addresses, and how to sign in."""
    settings = wish.site.settings
    # The running program, because a checkout's program is not on the search path of another terminal.
    beside = Path(sys.executable).with_name("bankgw")
    program = beside if beside.exists() else "bankgw"
    yield ""
    yield f"console        {pages.console}   sign in as {YOU}, password {people.password}, one-time code below"
    yield f"approval page  {pages.approval}/passkey   make a passkey there as {YOU}, and bind the code that it shows:"
    yield f"  {program} login --config {settings} --key {people.key_file} --page approval --passkey CODE"
    yield f"  (with all of these words, in another terminal), then sign in at {pages.approval}"
    yield (
        f"to approve     ONE-{wish.run} is yours alone; TWO-{wish.run} and PAYROLL-{wish.run} of {PAYROLL_LINES} "
        f"lines need two: {COLLEAGUE} signs after you"
    )
    yield f"ends           on Ctrl-C, or by itself after {wish.minutes:g} minutes"
