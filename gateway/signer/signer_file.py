"""The signer's own settings, `signer.toml`: where it listens and for whom, the journal, the keys and their ceilings.

It is a file of its own because whoever takes the daemon over must not be able to change it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, StringConstraints, ValidationError, model_validator

from gateway import settings as conf
from gateway.settings.strict_table import StrictTable
from gateway.settings.values import AMOUNT, CURRENCY, SettingsPath, Slug
from protocols.canon.money import BadMoney, Money
from protocols.canon.order import Kind
from protocols.readback.signed import judges, why_not_judged

SOCKET: Final = Path("/run/bankgw-signer/sign.sock")
STATE: Final = Path("/var/lib/bankgw-signer")
CeilingAmount = Annotated[str, StringConstraints(pattern=AMOUNT)]
_Lane = Annotated[str, StringConstraints(pattern=r"^\S{1,128}$")]


class BadSignerFile(ValueError):
    """The signer's settings cannot be used; the text names each mistake."""


class SignerJournal(StrictTable):
    """The journal, opened for reading only."""

    url: str = Field(
        min_length=1,
        description="The journal's URL: SQLite's file, or a server with a user that may only read, by a UNIX socket.",
    )
    password: conf.Secret | None = Field(None, description="Password of that user.")
    vault_key: conf.KeyPlace = Field(description="The vault's key file: the seals of rows are verified with it.")


class SignerKey(StrictTable):
    """A bank signing key, the lane that it signs for, and its ceilings."""

    bank: str = Field(description="Protocol of the bank, as in `banks.NAME.protocol`.")
    lane: _Lane = Field(description="The lane, BANK.LANE; orders of other lanes are not signed.")
    source: conf.SigningKey = Field(description="The key's place, certificate and digest, as in the daemon's settings.")
    currency: Annotated[str, StringConstraints(pattern=CURRENCY)] = Field(
        "CNY", description="Currency of the ceilings; orders of another currency are not signed."
    )
    daily: Mapping[Kind, CeilingAmount] = Field(
        description="Most that is signed in a day for each kind of order; a kind that is missing here is not signed."
    )
    questions_per_day: int = Field(
        100_000, ge=1, description="Most messages a day that move no money: sign-ons, heartbeats, enquiries."
    )

    @model_validator(mode="after")
    def _usable(self) -> SignerKey:
        if not judges(self.bank):
            raise ValueError(f"{why_not_judged(self.bank)}; keep its keys in a file, a token or behind a service")
        if self.source.key is None and self.source.pkcs11 is None:
            raise ValueError("the signer has no network: `source` has `key` or `pkcs11`")
        for kind, most in self.daily.items():
            try:
                Money.parse(most, self.currency)
            except BadMoney as error:
                raise ValueError(f"daily.{kind.value}: {error}") from None
        return self

    def most_minor(self, kind: Kind) -> int:
        """The ceiling of a kind, in minor units; 0 if it is not signed."""
        most = self.daily.get(kind)
        return 0 if most is None else Money.parse(most, self.currency).minor


class SignerFile(StrictTable):
    """The whole file."""

    socket: SettingsPath = Field(SOCKET, description="UNIX socket on which the daemon asks.")
    daemon_user: str = Field("bankgw", description="The only user whose processes are answered.")
    state_dir: SettingsPath = Field(STATE, description="Folder of the log of signatures.")
    zone: str = Field("Asia/Shanghai", description="Time zone in which a day of the ceilings begins.")
    lock_memory: bool = Field(True, description="Refuse to start if the process's memory cannot be locked.")
    signatures_per_attempt: int = Field(
        8, ge=1, le=1000, description="Most signatures with one key for one attempt of an order."
    )
    journal: SignerJournal = Field(description="Where the rows are read.")
    keys: Mapping[Slug, SignerKey] = Field(min_length=1, description="The keys by name, as `signer.name` says.")

    @model_validator(mode="after")
    def _zone(self) -> SignerFile:
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"zone {self.zone!r} is not known on this machine") from None
        return self


def read_signer_file(path: Path) -> SignerFile:
    """The settings in a file. Relative paths are relative to its folder. Raises BadSignerFile."""
    try:
        text = path.read_text("utf-8")
        found = tomllib.loads(text)
        return SignerFile.model_validate(found, context={"folder": path.resolve().parent})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSignerFile(f"{path}: {error}") from None
    except ValidationError as error:
        said = [f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}" for one in error.errors()]
        raise BadSignerFile(f"{path}: {'; '.join(said)}") from None
