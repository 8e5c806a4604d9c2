"""Who pays and who is paid. Account numbers and names are masked wherever they are printed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


def mask(number: str) -> str:
    """At most the first six and the last four characters; short numbers keep only the last two."""
    if len(number) >= 14:
        return f"{number[:6]}{'*' * (len(number) - 10)}{number[-4:]}"
    return "*" * max(len(number) - 2, 0) + number[-2:]


@dataclass(frozen=True, slots=True)
class AccountNumber:
    """An account number as text: leading zeros are part of it. `repr` and `str` are masked; `clear` is not."""

    clear: str

    def __repr__(self) -> str:
        return f"<account {mask(self.clear)}>"

    def __str__(self) -> str:
        return mask(self.clear)


@dataclass(frozen=True, slots=True)
class Name:
    """A person's or a company's name. Prints as its first character only."""

    clear: str

    def __repr__(self) -> str:
        return f"<name {self}>"

    def __str__(self) -> str:
        return f"{self.clear[:1]}**" if self.clear else ""


class PartyKind(StrEnum):
    """Whether an account belongs to an organisation (对公) or a person (对私)."""

    CORPORATE = "corporate"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Party:
    """An account with its holder. `cnaps` is the 12-digit payment-system bank number (联行号)."""

    account: AccountNumber
    name: Name
    bank_name: str | None = None
    cnaps: str | None = None
    kind: PartyKind = PartyKind.CORPORATE
