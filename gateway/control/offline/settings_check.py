"""Check the settings and everything that they name: files, keys, banks, database, broker. All findings at once.

`findings` says all; `run` refuses to start on the same list. What only cannot be reached is told apart: it may be
there in a minute, and the service manager should try again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from pydantic import BaseModel
from sqlalchemy import Connection, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from gateway import calendars
from gateway import settings as conf
from gateway.bank import certificate_check
from gateway.bank.lane_dialer import tls_settings
from gateway.bank.signers import FileSigner, KeyFileError, KeySettings, refuse_open_key
from gateway.bank.tls import pinned_server_context
from gateway.control.offline import environment_marks, reused_references
from gateway.journal.cluster import unknown_to_settings
from gateway.journal.commit import permit_log
from gateway.journal.sql import databases, migrations, vault
from gateway.journal.sql.databases import is_memory
from gateway.settings import Loaded, Mistake
from gateway.settings.agreement import Finding
from protocols.bank import BadOptions, Bank, Context, Replay
from protocols.kit.errors import ProtocolError

DAMAGED = "is no SQLite database, or is damaged; keep the file and put a copy back: docs/do/restore.md"
_DATABASES = ("sqlite", "postgresql", "mysql", "mariadb")
QUARANTINE_S = 30.0
"""The least time, in production, until a "not found" may count for a repeat."""
# What banks call the option that says from when on a "not found" counts.
_QUARANTINES = ("quarantine_s", "not_found_after_s", "not_found_quarantine_s")
# SQLite's primary result codes: the file is damaged, or is none of its own.
_SQLITE_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_TLS_KEYS = {"client_key": "key", "client_cert": "certificate", "ca_file": "ca_file", "crl_file": "crl_file"}
LoadBank = Callable[[conf.BankSettings], Bank]
# Whether a finding may be over in a minute; a note is none that keeps the daemon from starting.
AWAY, NO, NOTE = "away", "no", "note"


@dataclass(frozen=True, slots=True)
class CheckFindings:
    """`mistakes` must be mended in the settings; `unreachable` may be over in a minute; `notes` do not keep the daemon
    from starting, but somebody should know."""

    mistakes: tuple[Mistake, ...]
    unreachable: tuple[Mistake, ...]
    notes: tuple[Mistake, ...] = ()


def findings(loaded: Loaded, load_bank: LoadBank, now: datetime) -> CheckFindings:
    """Look at everything. Nothing is created, written or migrated; the database is only asked for its version."""
    look = _Look(loaded.settings, load_bank, now)
    found = [*look.secrets(), *look.banks(), *look.calendars(), *look.broker(), *look.state()]
    found += environment_marks.shared(loaded.settings, os.environ)
    apart: dict[str, list[Finding]] = {AWAY: [], NO: found, NOTE: []}
    for key, remedy, kind in look.database():
        apart[kind].append((key, remedy))
    # A secret that cannot be read is told once, not again by everything that needs it.
    mistakes = dict.fromkeys((*loaded.mistakes, *(loaded.mistake(key, remedy) for key, remedy in found)))
    away, notes = (tuple(loaded.mistake(key, remedy) for key, remedy in apart[kind]) for kind in (AWAY, NOTE))
    return CheckFindings(tuple(mistakes), away, notes)


class _Look:
    def __init__(self, settings: conf.Settings, load_bank: LoadBank, now: datetime) -> None:
        self._settings = settings
        self._load_bank = load_bank
        self._now = now
        self._unreadable: set[Path] = set()
        self._banks: dict[str, Bank] = {}

    def secrets(self) -> Iterator[Finding]:
        """Secret files: there, readable, nobody else's to read."""
        for key, secret in _secrets(self._settings):
            path = secret.path()
            try:
                refuse_open_key(path)
                octets = path.read_bytes()
            except KeyFileError as error:
                self._unreadable.add(path)
                # Outside a unit nobody knows which instance's folder it would be.
                named = path if secret.credential is None else f"credential {secret.credential}"
                yield key, f"{named} {error.what}; {_credential_advice(secret, error.remedy)}"
                continue
            except OSError as error:
                self._unreadable.add(path)
                yield key, f"{path} cannot be read ({error.strerror}); check its owner and mode"
                continue
            if not octets.strip():
                self._unreadable.add(path)
                yield key, f"{path} is empty; write the secret into it"
        vault_key = self._settings.journal.vault_key.path()
        if vault_key not in self._unreadable:
            try:
                vault.load(vault_key)
            except vault.VaultError as error:
                yield "journal.vault_key", f"{error}; or make one with `bankgw doctor --make-key {vault_key}`"

    def calendars(self) -> Iterator[Finding]:
        """The file of calendars, and the calendars that banks name."""
        file, known = self._settings.calendar_file, set[str]()
        try:
            known = set(calendars.load(file))
        except OSError as error:
            yield "calendar_file", f"{file} cannot be read ({error.strerror}); check its owner and mode"
        except calendars.BadCalendar as error:
            yield "calendar_file", f"{file}: {error}; mend it"
        for name, table in self._settings.banks.items():
            if known and table.calendar not in (None, *known):
                yield f"banks.{name}.calendar", (
                    f"there is no calendar {table.calendar}; name one of {', '.join(sorted(known))}, or add it to "
                    f"the file of calendar_file"
                )

    def banks(self) -> Iterator[Finding]:
        """Each bank: its protocol and options, its lanes' doors, keys, certificates and credentials."""
        for name, table in self._settings.banks.items():
            at = f"banks.{name}"
            bank: Bank | None = None
            wrong = [(option, said) for option, path in table.option_files.items() if (said := _no_text(path))]
            for option, said in wrong:
                yield f"{at}.option_files.{option}", said
            if not wrong:
                try:
                    bank = self._load_bank(table)
                except BadOptions as error:
                    place = "option_files" if error.key in table.option_files else "options"
                    yield f"{at}.{place}.{error.key}", error.remedy
                except ModuleNotFoundError:
                    yield f"{at}.protocol", f"there is no protocol {table.protocol}; `bankgw banks` lists them"
                except (OSError, ValueError) as error:
                    yield f"{at}.options", f"cannot be used: {error}"
            for lane_name, lane in table.lanes.items():
                yield from self._lane(f"{at}.lanes.{lane_name}", lane, bank)
            if table.pushes is not None:
                yield from self._pushes(f"{at}.pushes", table.pushes)
            if bank is not None:
                self._banks[name] = bank
                yield from self._currencies(name, bank)
                yield from self._repeats(at, table, bank)
                yield from reused_references.reused(at, name, bank.profile.limits.reference)

    def _lane(self, at: str, lane: conf.LaneSettings, bank: Bank | None) -> Iterator[Finding]:
        if lane.tls is not None:
            yield from self._tls(f"{at}.tls", lane.tls, lane.host)
        for name, key in lane.keys.items():
            yield from self._signing_key(f"{at}.keys.{name}", name, key)
        if bank is None:
            return
        yield from _same(f"{at}.ports", lane.ports, bank.ports, "door")
        yield from _same(f"{at}.keys", lane.keys, bank.profile.signs, "signing key")
        yield from self._credentials(f"{at}.credentials", lane, bank)

    def _pushes(self, at: str, table: conf.PushSettings) -> Iterator[Finding]:
        files = (table.certificate, table.key.path(), table.ca_file)
        if self._unreadable.intersection(files):
            return
        try:
            pinned_server_context(*files, table.client_pins)
        except KeyFileError as error:
            setting = {table.certificate: "certificate", table.ca_file: "ca_file"}.get(error.file, "key")
            yield f"{at}.{setting}", _der(error.file) or f"{error.file} {error.what}; {error.remedy}"
        except ValueError as error:
            yield f"{at}.client_pins", f"{error}"

    def _tls(self, at: str, table: conf.Tls, host: str) -> Iterator[Finding]:
        try:
            wanted = tls_settings(table, host)
        except ValueError as error:
            yield at, f"{error}; mend it"
            return
        for problem in certificate_check.check(wanted, self._now):
            if problem.file not in self._unreadable:
                said = _der(problem.file) or f"{problem.file} {problem.what}; {problem.remedy}"
                yield f"{at}.{_TLS_KEYS[problem.key]}", said

    def _signing_key(self, at: str, name: str, table: conf.SigningKey) -> Iterator[Finding]:
        path = table.key.path()
        if path in self._unreadable:
            return
        wanted = KeySettings(name, path, table.certificate, digest=table.digest)
        try:
            signer = FileSigner.load(wanted, production=True)
        except KeyFileError as error:
            setting = "certificate" if error.file == table.certificate else "key"
            yield f"{at}.{setting}", _der(error.file) or f"{error.file} {error.what}; {error.remedy}"
            return
        end = signer.certificate.not_valid_after_utc
        if self._now >= end:
            yield f"{at}.certificate", f"{table.certificate} expired at {end:%Y-%m-%d %H:%M}Z; renew it with the bank"

    def _credentials(self, at: str, lane: conf.LaneSettings, bank: Bank) -> Iterator[Finding]:
        """Begin the bank's sign-on with names in place of the secrets: a name it misses shows itself."""
        sign_on = bank.sessions.sign_on
        if sign_on is None:
            return
        names = _Names(lane.credentials)
        known = -1
        # A sign-on may stop at the first name it misses, so it is begun until it misses no more.
        while len(names.missed) > known:
            known = len(names.missed)
            names.given |= set(names.missed)
            context = Context("", 0, date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), tuple(range(1, 9)), names)
            conversation = sign_on(context)
            try:
                next(conversation)
            except (KeyError, ProtocolError, StopIteration):
                pass
            conversation.close()
        for name in names.missed:
            yield f"{at}.{name}", "the bank's sign-on needs it; name its file or credential"

    def _currencies(self, name: str, bank: Bank) -> Iterator[Finding]:
        carried = bank.profile.limits.amount.currencies
        for n, account in enumerate(self._settings.accounts):
            if account.bank == name and account.currency not in carried:
                yield f"accounts.{n}.currency", f"{name} carries {', '.join(carried)}, not {account.currency}; mend it"

    def _repeats(self, at: str, table: conf.BankSettings, bank: Bank) -> Iterator[Finding]:
        """In production nothing is repeated on a "not found" that may only mean "not yet", and what may be repeated is
        not in people's hands before that.
        """
        if self._settings.mode != "production":
            return
        for kind, rule in bank.profile.replay.items():
            # What travels in bundles is never repeated, whatever the bank says of single orders.
            repeats = rule.policy is not Replay.NEVER and rule.most > 0 and kind not in bank.bundles
            span_s = rule.not_found_quarantine.total_seconds()
            if repeats and span_s < QUARANTINE_S:
                set_by = next((option for option in _QUARANTINES if option in table.options), None)
                key, longer = f"{at}.options", f"set its option for this quarantine ({', '.join(_QUARANTINES)})"
                if set_by is not None:
                    key, longer = f"{key}.{set_by}", f"set {set_by}"
                yield key, (
                    f"a {kind.value} in doubt may be repeated (`{rule.policy.value}`) after a \"not found\" asked "
                    f"{span_s:g} s after its last byte, and the bank may only be slow; {longer} "
                    f"to {QUARANTINE_S:g} or more, or `most_repeats = 0` in [{at}]"
                )
            deadline_s = bank.profile.enquiry_deadline.total_seconds()
            if repeats and deadline_s <= span_s:
                yield f"{at}.enquiry_deadline_s", (
                    f"a {kind.value} in doubt escalates {deadline_s:g} s after it was sent, but a \"not found\" counts "
                    f"only after {span_s:g} s, so nothing would ever be repeated; set enquiry_deadline_s above "
                    f"{span_s:g}, or `most_repeats = 0` in [{at}] if that is meant"
                )

    def broker(self) -> Iterator[Finding]:
        """The broker's address for this mode, and its certificates."""
        broker = self._settings.broker
        if broker.tls is not None:
            yield from self._tls("broker.tls", broker.tls, broker.host)
        if broker.password is None or broker.password.path() in self._unreadable:
            return
        if self._settings.mode == "production" and (broker.user, broker.password.read()) == ("guest", b"guest"):
            yield "broker.user", (
                "login guest/guest: everybody knows it; "
                "create a user for the gateway, see conf/rabbitmq/definitions.json"
            )

    def state(self) -> Iterator[Finding]:
        """The state folder can be made or written; the permit log is whole."""
        folder, log = self._settings.state_dir, self._settings.permit_log()
        nearest = next(one for one in (folder, *folder.parents) if one.exists())
        if not nearest.is_dir():
            yield "state_dir", f"{nearest} is not a folder; name another"
        elif not os.access(nearest, os.W_OK | os.X_OK):
            yield "state_dir", f"{nearest} may not be written by this user; `chown` it, or name another folder"
        try:
            permit_log.examine(log, vault.load(self._settings.journal.vault_key.path()))
        except vault.VaultError:
            pass  # said of the key itself
        except permit_log.PermitLogBroken as error:
            yield "state_dir", str(error)
        except OSError as error:
            yield "state_dir", f"{log} cannot be read ({error.strerror}); check its owner and mode"

    def database(self) -> Iterator[tuple[str, str, str]]:
        """The journal's database: a URL that means something, reachable, of a schema this program knows; and what is
        open in it that the settings do not know."""
        journal = self._settings.journal
        try:
            url = make_url(self._settings.journal_url())
            if url.get_backend_name() not in _DATABASES:
                wrong = f"{url.get_backend_name()} is none of {', '.join(_DATABASES)}"
                yield "journal.url", f"{wrong}; write sqlite:///journal.db, or see docs/do/install.md", NO
                return
            url.get_dialect()
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            yield "journal.url", f"cannot be used ({error}); write sqlite:///journal.db, or see docs/do/install.md", NO
            return
        if url.get_backend_name() == "sqlite" and (url.database is None or not Path(url.database).exists()):
            # The file is made at the first start, and so is state_dir; no other folder is.
            folder = None if url.database is None or is_memory(str(url)) else Path(url.database).parent
            if folder is not None and folder != self._settings.state_dir and not folder.is_dir():
                yield "journal.url", f"there is no folder {folder}; make it, or name a file elsewhere", NO
            return
        if journal.password is not None:
            if journal.password.path() in self._unreadable:
                return
            url = url.set(password=journal.password.read().decode("utf-8", "replace"))
        try:
            engine = databases.connect(url.render_as_string(hide_password=False), connections=1, writing=False)
            try:
                with engine.connect() as conn:
                    too_new = migrations.too_new(conn)
                    left = [] if too_new else self._unknown(conn)
            finally:
                engine.dispose()
        except (ModuleNotFoundError, ImportError) as error:
            yield "journal.url", f"its driver is not installed ({error}); see docs/do/install.md", NO
            return
        except SQLAlchemyError as error:
            said = str(getattr(error, "orig", error)).strip().splitlines()
            wrong = f"{url} cannot be opened ({said[0] if said else type(error).__name__})"
            if is_damaged(error):
                yield "journal.url", f"{url.database} {DAMAGED}", NO
                return
            if url.get_backend_name() == "sqlite":
                yield "journal.url", f"{wrong}; check the file's owner and mode, and who else has it open", AWAY
                return
            yield "journal.url", f"{wrong}; start the server, or mend the URL", AWAY
            return
        if too_new:
            yield "journal.url", f"{too_new}; install the bankgw that made it", NO
        production = self._settings.mode == "production"
        for one in left:
            yield "journal.accept_unknown", one.sentence, NO if production or not one.word else NOTE

    def _unknown(self, conn: Connection) -> list[unknown_to_settings.Unknown]:
        revision, path = migrations.revision_of(conn), self._settings.journal.vault_key.path()
        if revision is None:
            return []  # an empty one
        try:
            # A whole row can be read where its table is of this very program.
            whole = revision == migrations.KNOWN[-1] and path not in self._unreadable
            opened = vault.load(path) if whole else None
            return unknown_to_settings.look(conn, unknown_to_settings.known_of(self._settings, self._banks), opened)
        except vault.VaultError:
            return []  # it is said elsewhere that this is no key, or not this journal's


def is_damaged(error: SQLAlchemyError) -> bool:
    """Whether SQLite says that the file is no database of its own, or not a whole one."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _SQLITE_DAMAGED


def _no_text(path: Path) -> str:
    """Why an option cannot be the text of this file; empty if it can."""
    try:
        path.read_text("utf-8")
    except OSError as error:
        return f"{path} cannot be read ({error.strerror}); check path, owner and mode"
    except UnicodeDecodeError:
        return _der(path) or f"{path} is not text in UTF-8; save it in UTF-8, a certificate in PEM"
    return ""


def _der(path: Path) -> str:
    """What to do about a certificate in the form that most programs for Windows write; empty if it is none."""
    try:
        x509.load_der_x509_certificate(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm):
        return ""
    made = f"openssl x509 -inform DER -in {path} -out {path}.pem"
    return f"{path} is a certificate in DER, not in PEM; convert it (`{made}`) and name {path}.pem"


class _Names(Mapping[str, str]):
    """Credentials by name only; remembers which were asked for in vain."""

    def __init__(self, given: Iterable[str]) -> None:
        self.given = set(given)
        self.missed: list[str] = []

    def __getitem__(self, name: str) -> str:
        if name in self.given:
            return "-"
        if name not in self.missed:
            self.missed.append(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)


def _same(at: str, given: Mapping[str, Any], wanted: Any, what: str) -> Iterator[Finding]:
    for name in wanted:
        if name not in given:
            yield f"{at}.{name}", f"the bank has a {what} of this name; add it"
    for name in given:
        if name not in wanted:
            there = ", ".join(sorted(wanted)) or "none"
            yield f"{at}.{name}", f"the bank has no {what} of this name (there is: {there}); remove it"


def _credential_advice(secret: conf.Secret, otherwise: str) -> str:
    if secret.credential is None:
        return otherwise
    return (
        f"credentials are there only for the unit while it runs: add LoadCredential={secret.credential}:/path/to/file "
        "to the unit of this instance, and check inside it (docs/do/install.md)"
    )


def _secrets(settings: conf.Settings) -> Iterator[tuple[str, conf.Secret]]:
    """Every secret of the settings with its key."""

    def walk(at: str, value: Any) -> Iterator[tuple[str, conf.Secret]]:
        if isinstance(value, conf.Secret):
            yield at, value
        elif isinstance(value, BaseModel):
            for name in type(value).model_fields:
                yield from walk(f"{at}.{name}" if at else name, getattr(value, name))
        elif isinstance(value, Mapping):
            for name, one in value.items():
                yield from walk(f"{at}.{name}", one)

    return walk("", settings)
