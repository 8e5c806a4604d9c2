"""Rehearses an upgrade: the new program reads these settings, and the open payments in a copy of the journal.

No file and no database in use is changed. The copy is restored into a folder or an empty database, and the new program
migrates it. Then the new program reads every open payment, and its results must equal those of this program.
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
from gateway.kernel.backup import backup as copies
from gateway.kernel.backup.backup import NoBackup
from gateway.kernel.sql import databases, migrations, vaults
from gateway.kernel.sql.vault import Vault
from gateway.payments.rows import lookup
from gateway.payments.rows.lookup import Filters
from gateway.settings import Settings
from protocols.canon.outcome import STATE_TABLE

LIMIT_S = 3_600
_PAGE = 1_000
_OPEN = tuple(state for state, facts in STATE_TABLE.items() if not facts.final)


class NotRehearsed(Exception):  # noqa: N818 - an answer, not a fault
    """The upgrade could not be tried; the text says why. Nothing in use was touched."""


@dataclass(frozen=True, slots=True)
class OpenPayments:
    """A program's reading of a journal: its schema, the count of open payments in each state, and a digest of them."""

    schema: str
    beside: str
    states: dict[str, int]
    digest: str


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The result of a rehearsal.

    `mistakes` are the new program's findings about the settings; `same`: it reads every open payment as this one does;
    `beside`: nodes of this version may continue to work beside the new one.
    """

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
        """Whether the rehearsal found no reason against the upgrade."""
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
                    what = (
                        row.payment,
                        row.sender,
                        row.order.id,
                        row.life.state.value,
                        row.lane,
                        row.bank_ref,
                        str(row.order.amount),
                        str(row.order.ours.account.clear),
                        row.order.creditor.account.clear,
                    )
                    found.append("\t".join(map(str, what)))
                after = rows[-1].payment
    finally:
        engine.dispose()
    digest = hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()
    return OpenPayments(schema, beside, dict(sorted(states.items())), digest)


def migrate_copy(settings: Settings, url: str, vault: Vault) -> dict[str, Any]:
    """Migrate the copy at `url` with the new program and read its open payments. Raises NotRehearsed for the journal in
    use."""
    if make_url(url) == make_url(settings.journal_url()):
        raise NotRehearsed("that is the journal in use, not a copy")
    began_s = time.monotonic()
    migrations.upgrade(url)
    migrated_s = time.monotonic() - began_s
    return {**asdict(open_payments(url, vault)), "migrated_s": round(migrated_s, 2)}


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """Runs the new program: its command, its settings, and the files that stand in for credentials."""

    command: tuple[str, ...]
    config: Path
    files: tuple[str, ...]

    def check(self, *words: str) -> tuple[int, str, str]:
        """Run the new program's `check` on the settings."""
        return self.say("check", *words, "--config", str(self.config.absolute()))

    def say(self, *words: str) -> tuple[int, str, str]:
        """Run the new program with these arguments; returns exit code, output, errors."""
        try:
            done = subprocess.run(
                [*self.command, *words], cwd="/", text=True, capture_output=True, timeout=LIMIT_S, check=False
            )
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
        python = Path(folder, "usr/lib/bankgw/bin/python3")
        if python.is_symlink() and not python.exists():
            # The package's link leads from the folder of the installation to the system's interpreter.
            target = os.path.normpath(Path("/usr/lib/bankgw/bin", os.readlink(python)))
            python.unlink()
            python.symlink_to(target)
        yield (str(python), "-m", "gateway")


def rehearse(
    settings: Settings, access: Access, new: Rehearsed, version: str, now: datetime, into: str | None
) -> Rehearsal:
    """Rehearse the upgrade. `into` is the URL of an empty database, for journals that are not SQLite. Raises
    NotRehearsed.
    """
    url, vault = access
    backend = make_url(url).get_backend_name()
    if into is None and backend != "sqlite":
        raise NotRehearsed(f"the journal is {backend}: name an empty database with --into")
    code, said, errors = new.say("--version")
    if code:
        raise NotRehearsed(f"{new.command[0]} --version ended with {code}: {errors.strip()[-300:]}")
    named = said.split()[-1] if said.split() else "?"
    # The copy stays beside the journal, because it must not lie in memory or on a disk that others use.
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
