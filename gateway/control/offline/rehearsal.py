"""Rehearse an upgrade: the new program looks at these settings and at a copy of the journal, with its open payments.

Nothing of what is in use is changed. The copy is restored into a folder, or an empty database, which the new program
migrates; then it reads every open payment, and must find what this program found.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from gateway.control.offline import backup
from gateway.control.offline.journal_access import Access
from gateway.journal.backup import backup as copies
from gateway.journal.backup.backup import NoBackup
from gateway.journal.payments import lookup
from gateway.journal.payments.lookup import Filters
from gateway.journal.sql import databases, migrations, vaults
from gateway.journal.sql.vault import Vault
from gateway.settings import Settings
from protocols.canon.outcome import STATE_TABLE

LIMIT_S = 3_600
_PAGE = 1_000
_OPEN = tuple(state for state, facts in STATE_TABLE.items() if not facts.final)


class NotRehearsed(Exception):  # noqa: N818 - an answer, not a fault
    """The upgrade could not be tried; the text says why. Nothing in use was touched."""


@dataclass(frozen=True, slots=True)
class OpenPayments:
    """What a program reads in a journal: its schema, how many payments are open in each state, and a digest of them."""

    schema: str
    beside: str
    states: dict[str, int]
    digest: str


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What came of it. `mistakes` are what the new program says of the settings; `same` whether it reads every open
    payment as this one does; `beside` whether nodes of this version may work on beside the new one."""

    version: str
    mistakes: tuple[str, ...]
    before: dict[str, Any]
    after: dict[str, Any]
    same: bool
    beside: bool
    copied_s: float
    migrated_s: float

    @property
    def good(self) -> bool:
        """Whether the upgrade may be made."""
        return self.same and not self.mistakes


def open_payments(url: str, vault: Vault) -> OpenPayments:
    """Read every open payment, its order included."""
    engine = databases.connect(url, connections=1, writing=False)
    vaults.attach(engine, vault)
    states: Counter[str] = Counter()
    found = []
    try:
        with engine.connect() as conn:
            schema, beside = migrations.revision_of(conn) or "", migrations.beside_of(conn)
            after = None
            while rows := lookup.listing(conn, Filters(states=_OPEN), _PAGE, after):
                for row in rows:
                    states[row.life.state.value] += 1
                    what = (row.payment, row.sender, row.order.id, row.life.state.value, row.lane, row.bank_ref,
                            str(row.order.amount), str(row.order.ours.account.clear), row.order.creditor.account.clear)
                    found.append("\t".join(map(str, what)))
                after = rows[-1].payment
    finally:
        engine.dispose()
    digest = hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()
    return OpenPayments(schema, beside, dict(sorted(states.items())), digest)


def migrate_copy(settings: Settings, url: str, vault: Vault) -> dict[str, Any]:
    """What the new program does: migrate the copy at `url` and read it. Raises NotRehearsed for the journal in use."""
    if make_url(url) == make_url(settings.journal_url()):
        raise NotRehearsed("that is the journal in use, not a copy")
    began_s = time.monotonic()
    migrations.upgrade(url)
    migrated_s = time.monotonic() - began_s
    return {**asdict(open_payments(url, vault)), "migrated_s": round(migrated_s, 2)}


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """How the new program is called, with which settings, and which files stand in for credentials."""

    command: tuple[str, ...]
    config: Path
    files: tuple[str, ...]

    def check(self, *words: str) -> tuple[int, str, str]:
        """Run its `check` over the settings."""
        return self.say("check", *words, "--config", str(self.config.absolute()))

    def say(self, *words: str) -> tuple[int, str, str]:
        """Run it; exit code, output, errors."""
        try:
            done = subprocess.run([*self.command, *words], cwd="/", text=True, capture_output=True, timeout=LIMIT_S,
                                  check=False)  # fmt: skip
        except OSError as error:
            raise NotRehearsed(f"{self.command[0]} cannot be run: {error.strerror}") from None
        return done.returncode, done.stdout, done.stderr


@contextmanager
def program_of(new: Path) -> Iterator[tuple[str, ...]]:
    """The command line of the new version: of a Debian package that is unpacked for this, or of a program."""
    if new.suffix != ".deb":
        yield (str(new.absolute()),)
        return
    with tempfile.TemporaryDirectory(prefix="bankgw-new-") as folder:
        unpack = shutil.which("dpkg-deb")
        if unpack is None:
            raise NotRehearsed("there is no dpkg-deb to unpack it; name the new program instead")
        done = subprocess.run([unpack, "-x", str(new), folder], capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotRehearsed(f"{new} cannot be unpacked: {done.stderr.strip()}")
        yield (f"{folder}/usr/lib/bankgw/bin/python3", "-m", "gateway")


def rehearse(
    settings: Settings, access: Access, new: Rehearsed, version: str, now: datetime, into: str | None
) -> Rehearsal:
    """Try it. `into`: the URL of an empty database, for journals that are not SQLite. Raises NotRehearsed."""
    url, vault = access
    backend = make_url(url).get_backend_name()
    if into is None and backend != "sqlite":
        raise NotRehearsed(f"the journal is {backend}: name an empty database with --into")
    code, said, errors = new.say("--version")
    if code:
        raise NotRehearsed(f"{new.command[0]} --version ended with {code}: {errors.strip()[-300:]}")
    named = said.split()[-1] if said.split() else "?"
    # Beside the journal: a copy of it does not belong on a disk that others use, or into memory.
    with tempfile.TemporaryDirectory(prefix=".bankgw-rehearsal-", dir=settings.state_dir) as folder:
        place = into or f"sqlite:///{folder}/journal.db"
        began_s = time.monotonic()
        try:
            backup.back_up(settings, access, version, now, Path(folder) / "copy.db")
            copies.restore(place, vault, Path(folder) / "permits", Path(folder) / "copy.db", settings.node)
        except NoBackup as error:
            raise NotRehearsed(str(error)) from None
        copied_s = time.monotonic() - began_s
        before = open_payments(place, vault)
        code, said, errors = new.check("--rehearse", place, *new.files)
        if code:
            raise NotRehearsed(f"version {named} cannot read a copy of this journal: {(said + errors).strip()[-600:]}")
        after = json.loads(said)
        mistakes = _mistakes(*new.check("--json"))
    same = (before.states, before.digest) == (after["states"], after["digest"])
    migrated_s = float(after.pop("migrated_s"))
    fits = migrations.fits(after["schema"], after["beside"])
    return Rehearsal(named, mistakes, asdict(before), after, same, fits, round(copied_s, 2), migrated_s)


def _mistakes(code: int, said: str, errors: str) -> tuple[str, ...]:
    try:
        found: Mapping[str, Any] = json.loads(said)
        return tuple(f"{one['file']}: {one['key']}: {one['remedy']}" for one in found["mistakes"])
    except (ValueError, KeyError, TypeError):
        return () if code == os.EX_OK else ((said + errors).strip()[-600:],)
