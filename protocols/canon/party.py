"""The parties of an order: payer and payee. Account numbers and names are masked wherever they are printed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final

from protocols.canon.fast_init import fast_init

_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}\Z", re.ASCII)


def mask(number: str) -> str:
    """The account number with at most its first six and last four characters shown; of a short number only the last
    two."""
    if len(number) >= 14:
        return f"{number[:6]}{'*' * (len(number) - 10)}{number[-4:]}"
    return "*" * max(len(number) - 2, 0) + number[-2:]


def is_iban(number: str) -> bool:
    """True if the text has the form and the check digits of an IBAN (ISO 13616)."""
    if not _IBAN.match(number):
        return False
    turned = number[4:] + number[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def is_broken_iban(number: str) -> bool:
    """True if the text has the form of an IBAN but wrong check digits."""
    return _IBAN.match(number) is not None and not is_iban(number)


@fast_init
@dataclass(frozen=True, slots=True)
class AccountNumber:
    """An account number as text: leading zeros are part of it. `repr` and `str` are masked; `clear` is not."""

    clear: str

    def __repr__(self) -> str:
        return f"<account {mask(self.clear)}>"

    def __str__(self) -> str:
        return mask(self.clear)


@fast_init
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
class Address:
    """A structured address; `lines` are the parts that could not be structured. `country` is ISO 3166, two letters."""

    country: str = ""
    town: str = ""
    postcode: str = ""
    street: str = ""
    building: str = ""
    lines: tuple[str, ...] = ()


def address_fields(where: Address) -> dict[str, Any]:
    """The fields of the address as JSON, without unset ones."""
    told = {one.name: getattr(where, one.name) for one in fields(where)}
    return {name: list(value) if name == "lines" else value for name, value in told.items() if value}


def address_from(said: Mapping[str, Any]) -> Address:
    """The address from the JSON that `address_fields` wrote."""
    return Address(**{**said, "lines": tuple(said.get("lines", ()))})


@fast_init
@dataclass(frozen=True, slots=True)
class Party:
    """An account with its holder. `cnaps` is the 12-digit payment-system bank number (联行号), `bic` the bank's BIC."""

    account: AccountNumber
    name: Name
    bank_name: str | None = None
    cnaps: str | None = None
    kind: PartyKind = PartyKind.CORPORATE
    bic: str | None = None
    address: Address | None = None
