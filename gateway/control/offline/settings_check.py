"""Checks the settings and everything that they name: files, keys, banks, database, broker. It reports all findings at
once.

`findings` gives all findings; `run` refuses to start for the same ones. Services that only cannot be reached are
reported separately, because they may be back within a minute, and the service manager should try again.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from pydantic import BaseModel
from sqlalchemy import Connection, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from gateway import settings as conf
from gateway.bank import certificate_check
from gateway.bank.lane_tls import tls_settings
from gateway.bank.signers import FileSigner, KeyFileError, KeySettings, outside_certificate, refuse_open_key
from gateway.bank.tls import pinned_server_context
from gateway.control.offline import environment_marks, reused_references
from gateway.kernel.cluster import unknown_to_settings
from gateway.kernel.commit import permit_log
from gateway.kernel.sql import databases, migrations, vault
from gateway.kernel.sql.databases import is_memory
from gateway.register import calendars
from gateway.settings import LoadedSettings, Mistake
from gateway.settings.agreement import Finding, is_public
from protocols.bank import BadOptions, Bank, Context, Replay
from protocols.kit.errors import ProtocolError
from protocols.readback.signed import why_not_judged

DAMAGED = "is no SQLite database, or is damaged; keep the file and put a copy back: docs/do/restore.md"
_DATABASES = ("sqlite", "postgresql", "mysql", "mariadb")
QUARANTINE_S = 30.0
"""The least time, in production, until a "not found" may count for a repeat."""
# The banks' names of the option for the time after which a "not found" counts.
_QUARANTINES = ("quarantine_s", "not_found_after_s", "not_found_quarantine_s")
# SQLite's primary result codes for a damaged file and for a file that is no database.
_SQLITE_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_TLS_KEYS = {"client_key": "key", "client_cert": "certificate", "ca_file": "ca_file", "crl_file": "crl_file"}
LoadBank = Callable[[conf.BankSettings], Bank]
# AWAY: the finding may disappear within a minute. NO: it must be corrected. NOTE: it does not keep the daemon from
# starting.
AWAY, NO, NOTE = "away", "no", "note"


@dataclass(frozen=True, slots=True)
class CheckFindings:
    """The findings: `mistakes` must be corrected in the settings; `unreachable` may disappear by itself within a
    minute.

    `notes` do not keep the daemon from starting, but a person should know them. `sources` say where each secret and
    each key is kept, never what it is.
    """

    mistakes: tuple[Mistake, ...]
    unreachable: tuple[Mistake, ...]
    notes: tuple[Mistake, ...] = ()
    sources: tuple[tuple[str, str], ...] = field(default=(), compare=False)


def findings(loaded: LoadedSettings, load_bank: LoadBank, now: datetime) -> CheckFindings:
    """Check everything. Nothing is created, written or migrated; the database is only asked for its version."""
    look = _Examination(loaded.settings, load_bank, now)
    found = [*look.secrets(), *look.banks(), *look.calendars(), *look.broker(), *look.state()]
    found += environment_marks.shared(loaded.settings, os.environ)
    apart: dict[str, list[Finding]] = {AWAY: [], NO: found, NOTE: []}
    for key, remedy, kind in look.database():
        apart[kind].append((key, remedy))
    apart[AWAY] += look.away
    # A secret that cannot be read is reported once, not again for each setting that needs it.
    mistakes = dict.fromkeys((*loaded.mistakes, *(loaded.mistake(key, remedy) for key, remedy in found)))
    away, notes = (tuple(loaded.mistake(key, remedy) for key, remedy in apart[kind]) for kind in (AWAY, NOTE))
    return CheckFindings(tuple(mistakes), away, notes, tuple(sources_of(loaded.settings)))


class _Examination:
    def __init__(self, settings: conf.Settings, load_bank: LoadBank, now: datetime) -> None:
        self._settings = settings
        self._load_bank = load_bank
        self._now = now
        self._unreadable: set[Path] = set()
        self._unread: set[str] = set()
        self.away: list[Finding] = []
        self._banks: dict[str, Bank] = {}

    def secrets(self) -> Iterator[Finding]:
        """Checks that secret files exist, are readable, and cannot be read by other users."""
        for key, secret in secrets_of(self._settings):
            path = secret.path()
            if path is None:
                yield from self._without_file(key, secret)
                continue
            try:
                refuse_open_key(path)
                octets = path.read_bytes()
            except KeyFileError as error:
                self._unreadable.add(path)
                # Outside a service unit the instance is unknown, and so is its folder.
                self._unread.add(key)
                named = path if secret.credential is None else f"credential {secret.credential}"
                yield key, f"{named} {error.what}; {_credential_advice(secret, error.remedy)}"
                continue
            except OSError as error:
                self._unreadable.add(path)
                self._unread.add(key)
                yield key, f"{path} cannot be read ({error.strerror}); check its owner and mode"
                continue
            if not octets.strip():
                self._unreadable.add(path)
                self._unread.add(key)
                yield key, f"{path} is empty; write the secret into it"
        vault_key = self._settings.journal.vault_key.path()
        if vault_key not in self._unreadable:
            try:
                vault.load(vault_key)
            except vault.VaultError as error:
                yield "journal.vault_key", f"{error}; or make one with `bankgw doctor --make-key {vault_key}`"

    def _without_file(self, key: str, secret: conf.Secret | conf.KeyPlace) -> Iterator[Finding]:
        """Reads a secret that a program prints or the environment has. A program that fails may succeed in a minute:
        its vault may be starting."""
        assert isinstance(secret, conf.Secret)
        try:
            if not secret.secret_bytes().strip():
                self._unread.add(key)
                yield key, f"{secret.source()} is empty; put the secret there"
        except OSError as error:
            self._unread.add(key)
            if secret.command is not None and error.errno not in (errno.ENOENT, errno.EACCES, errno.ENOEXEC):
                self.away.append((key, f"{error.strerror}; run it by hand as the daemon's user"))
            else:
                yield key, f"{error.strerror}; mend it"

    def calendars(self) -> Iterator[Finding]:
        """Check the file of calendars, and the calendars that banks name."""
        file, known = self._settings.calendar_file, set[str]()
        try:
            known = set(calendars.load(file))
        except OSError as error:
            yield "calendar_file", f"{file} cannot be read ({error.strerror}); check its owner and mode"
        except calendars.BadCalendar as error:
            yield "calendar_file", f"{file}: {error}; mend it"
        for name, table in self._settings.banks.items():
            if known and table.calendar not in (None, *known):
                yield (
                    f"banks.{name}.calendar",
                    (
                        f"there is no calendar {table.calendar}; name one of {', '.join(sorted(known))}, or add it to "
                        f"the file of calendar_file"
                    ),
                )

    def banks(self) -> Iterator[Finding]:
        """Check each bank: its protocol and options, its lanes' ports, keys, certificates and credentials."""
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
        yield from self._keys_on_the_internet(at, lane, bank)
        yield from _same(f"{at}.keys", lane.keys, bank.profile.signs, "signing key")
        for name, key in lane.keys.items():
            why = why_not_judged(bank.profile.name, encrypted=name in bank.profile.encrypts)
            if key.signer is not None and why:
                yield f"{at}.keys.{name}.signer", f"{why}; keep this key in a file, a token or behind a service"
        yield from self._credentials(f"{at}.credentials", lane, bank)

    def _keys_on_the_internet(self, at: str, lane: conf.LaneSettings, bank: Bank) -> Iterator[Finding]:
        """In production, a key that signs towards the internet is not read by this process. An attacker who controls
        the process could copy it, and use it from anywhere; a front end in the company's network would still be in
        between.
        """
        if self._settings.mode != "production" or not (bank.profile.over_internet or is_public(lane.host)):
            return
        for name, key in lane.keys.items():
            if key.key is not None:
                yield (
                    f"{at}.keys.{name}.key",
                    f"{lane.host} is the bank's interface on the internet: its signing key may not be in a file; put "
                    "it into a token, behind a signing service or with the signer (docs/do/keys.md), and remove `key`",
                )

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
        if table.key is None:
            yield from self._outside_key(at, table)
            return
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
        yield from self._signing_end(at, table, signer.certificate)

    def _outside_key(self, at: str, table: conf.SigningKey) -> Iterator[Finding]:
        """Check what can be checked without the token or the service. They may be away for a while: that stops the
        lane's signatures, never the daemon."""
        try:
            certificate = outside_certificate(table.certificate)
        except KeyFileError as error:
            yield f"{at}.certificate", _der(error.file) or f"{error.file} {error.what}; {error.remedy}"
        else:
            yield from self._signing_end(at, table, certificate)
        if table.pkcs11 is not None:
            if find_spec("pkcs11") is None:
                yield f"{at}.pkcs11", "python-pkcs11 is not installed; install bankgw with the extra `pkcs11`"
            if not table.pkcs11.module.is_file():
                yield f"{at}.pkcs11.module", f"{table.pkcs11.module} is not there; name the vendor's library"
        if table.remote is not None:
            yield from self._tls(f"{at}.remote.tls", table.remote.tls, table.remote.host)

    def _signing_end(self, at: str, table: conf.SigningKey, certificate: x509.Certificate) -> Iterator[Finding]:
        end = certificate.not_valid_after_utc
        if self._now >= end:
            yield f"{at}.certificate", f"{table.certificate} expired at {end:%Y-%m-%d %H:%M}Z; renew it with the bank"

    def _credentials(self, at: str, lane: conf.LaneSettings, bank: Bank) -> Iterator[Finding]:
        """Begin the bank's sign-on with names in place of the secrets, to find the names that it does not get."""
        sign_on = bank.sessions.sign_on
        if sign_on is None:
            return
        names = _Names(lane.credentials)
        known = -1
        # A sign-on may stop at the first missing name, so it is begun again until none is missing.
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
        """The faults of settings for repeats.

        In production nothing is repeated on a "not found" that may only mean "not yet", and a payment that may be
        repeated is escalated to people only after that.
        """
        if self._settings.mode != "production":
            return
        for kind, rule in bank.profile.replay.items():
            # Bundles are never repeated, whatever the bank allows for single orders.
            repeats = rule.policy is not Replay.NEVER and rule.most > 0 and kind not in bank.bundles
            span_s = rule.not_found_quarantine.total_seconds()
            if repeats and span_s < QUARANTINE_S:
                set_by = next((option for option in _QUARANTINES if option in table.options), None)
                key, longer = f"{at}.options", f"set its option for this quarantine ({', '.join(_QUARANTINES)})"
                if set_by is not None:
                    key, longer = f"{key}.{set_by}", f"set {set_by}"
                yield (
                    key,
                    (
                        f'a {kind.value} in doubt may be repeated (`{rule.policy.value}`) after a "not found" asked '
                        f"{span_s:g} s after its last byte, and the bank may only be slow; {longer} "
                        f"to {QUARANTINE_S:g} or more, or `most_repeats = 0` in [{at}]"
                    ),
                )
            deadline_s = bank.profile.enquiry_deadline.total_seconds()
            if repeats and deadline_s <= span_s:
                yield (
                    f"{at}.enquiry_deadline_s",
                    (
                        f'a {kind.value} in doubt escalates {deadline_s:g} s after it was sent, but a "not found" '
                        "counts "
                        f"only after {span_s:g} s, so nothing would ever be repeated; set enquiry_deadline_s above "
                        f"{span_s:g}, or `most_repeats = 0` in [{at}] if that is meant"
                    ),
                )

    def broker(self) -> Iterator[Finding]:
        """Check the broker's address for this mode, and its certificates."""
        broker = self._settings.broker
        if broker.tls is not None:
            yield from self._tls("broker.tls", broker.tls, broker.host)
        if broker.password is None or "broker.password" in self._unread:
            return
        if self._settings.mode == "production" and (broker.user, broker.password.secret_bytes()) == ("guest", b"guest"):
            yield (
                "broker.user",
                (
                    "login guest/guest: everybody knows it; "
                    "create a user for the gateway, see conf/rabbitmq/definitions.json"
                ),
            )

    def state(self) -> Iterator[Finding]:
        """Check that the state folder can be made or written, and that the permit log is whole."""
        folder, log = self._settings.state_dir, self._settings.permit_log()
        nearest = next(one for one in (folder, *folder.parents) if one.exists())
        if not nearest.is_dir():
            yield "state_dir", f"{nearest} is not a folder; name another"
        elif not os.access(nearest, os.W_OK | os.X_OK):
            yield "state_dir", f"{nearest} may not be written by this user; `chown` it, or name another folder"
        try:
            permit_log.examine(log, vault.load(self._settings.journal.vault_key.path()))
        except vault.VaultError:
            pass  # reported for the key itself
        except permit_log.PermitLogBroken as error:
            yield "state_dir", str(error)
        except OSError as error:
            yield "state_dir", f"{log} cannot be read ({error.strerror}); check its owner and mode"

    def database(self) -> Iterator[tuple[str, str, str]]:
        """Check the journal's database: its URL, whether it is reachable, its schema, and open work of banks or lanes
        that the settings do not have."""
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
            # The first start makes the file and state_dir, but no other folder.
            folder = None if url.database is None or is_memory(str(url)) else Path(url.database).parent
            if folder is not None and folder != self._settings.state_dir and not folder.is_dir():
                yield "journal.url", f"there is no folder {folder}; make it, or name a file elsewhere", NO
            return
        if journal.password is not None:
            if "journal.password" in self._unread:
                return
            url = url.set(password=journal.password.secret_bytes().decode("utf-8", "replace"))
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
            return []  # an empty database
        try:
            # A whole row can be read only if its table has the schema of this program.
            whole = revision == migrations.KNOWN[-1] and path not in self._unreadable
            opened = vault.load(path) if whole else None
            return unknown_to_settings.find_unknown(
                conn, unknown_to_settings.known_of(self._settings, self._banks), opened
            )
        except vault.VaultError:
            return []  # another check reports that this is no key, or the key of another journal


def is_damaged(error: SQLAlchemyError) -> bool:
    """Whether SQLite says that the file is damaged or is no database."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _SQLITE_DAMAGED


def _no_text(path: Path) -> str:
    """The reason why an option cannot be the text of this file; empty if it can."""
    try:
        path.read_text("utf-8")
    except OSError as error:
        return f"{path} cannot be read ({error.strerror}); check path, owner and mode"
    except UnicodeDecodeError:
        return _der(path) or f"{path} is not text in UTF-8; save it in UTF-8, a certificate in PEM"
    return ""


def _der(path: Path) -> str:
    """The remedy for a certificate in DER form, which most Windows programs write; empty for another form."""
    try:
        x509.load_der_x509_certificate(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm):
        return ""
    made = f"openssl x509 -inform DER -in {path} -out {path}.pem"
    return f"{path} is a certificate in DER, not in PEM; convert it (`{made}`) and name {path}.pem"


class _Names(Mapping[str, str]):
    """A mapping of credentials by name without their values. It remembers each requested name that is missing."""

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


def _credential_advice(secret: conf.Secret | conf.KeyPlace, otherwise: str) -> str:
    if secret.credential is None:
        return otherwise
    return (
        f"credentials are there only for the unit while it runs: add LoadCredential={secret.credential}:/path/to/file "
        "to the unit of this instance, and check inside it (docs/do/install.md)"
    )


def sources_of(settings: conf.Settings) -> Iterator[tuple[str, str]]:
    """The place of every secret and key of the settings, by its key in the settings."""
    for key, secret in secrets_of(settings):
        yield key, secret.source()
    for bank_name, bank in settings.banks.items():
        for lane_name, lane in bank.lanes.items():
            for name, signing in lane.keys.items():
                if signing.key is None:
                    yield f"banks.{bank_name}.lanes.{lane_name}.keys.{name}", signing.source()


def secrets_of(settings: conf.Settings) -> Iterator[tuple[str, conf.Secret | conf.KeyPlace]]:
    """Every secret of the settings with its key."""

    def walk(at: str, value: Any) -> Iterator[tuple[str, conf.Secret | conf.KeyPlace]]:
        if isinstance(value, conf.Secret | conf.KeyPlace):
            yield at, value
        elif isinstance(value, BaseModel):
            for name in type(value).model_fields:
                yield from walk(f"{at}.{name}" if at else name, getattr(value, name))
        elif isinstance(value, Mapping):
            for name, one in value.items():
                yield from walk(f"{at}.{name}", one)

    return walk("", settings)
