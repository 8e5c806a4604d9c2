"""The settings' tables of finance: reconciliation, reports and positions."""

from __future__ import annotations

from datetime import date, time
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from gateway.settings.strict_table import StrictTable
from gateway.settings.values import AMOUNT, CURRENCY, RATE, SettingsPath, Slug

_Amount = Annotated[str, StringConstraints(pattern=AMOUNT)]


class NumberRangeSettings(StrictTable):
    """Numbers that a bank's text may name, such as those of invoices or contracts."""

    prefix: str = Field("", max_length=20, description="What stands right before the number in the text: INV.")
    digits: int = Field(ge=4, le=18, description="How many digits the number has.")
    first: int = Field(ge=0, description="The first number of the range.")
    last: int = Field(ge=0, description="The last number of the range.")


class FeeSettings(StrictTable):
    """The fee of a bank for a payment up to an amount. Several rows for one bank are bands."""

    bank: Slug = Field(description="A table under `banks`.")
    upto: _Amount = Field(description="For payments of up to this amount, in the account's currency …")
    fee: _Amount = Field(description="… the bank takes this.")


class ReconciliationSettings(StrictTable):
    """How statement entries are matched with payments and the ERP's book."""

    days: int = Field(5, ge=0, le=31, description="Days that an entry may lie after its payment, or around a book row.")
    numbers: tuple[NumberRangeSettings, ...] = Field(
        (), description="Numbers by which entries that are otherwise alike are told apart. None: texts are not read."
    )
    fees: tuple[FeeSettings, ...] = Field((), description="The banks' tariffs. None: no difference is taken for a fee.")


class ScheduledReportSettings(StrictTable):
    """A report that the daemon writes each day, month or quarter."""

    key: Slug = Field(description="Begins its files' names; unique.")
    report: Literal[
        "balances",
        "positions",
        "daily",
        "history",
        "payments",
        "transfers",
        "returns",
        "payroll",
        "entries",
        "fees",
        "cash-flow",
        "bank-service",
        "balance-tables",
        "open-items",
        "receipts-missing",
        "security-review",
    ] = Field(description="Which one.")
    every: Literal["day", "month", "quarter"] = Field("day", description="It is of the day, month, quarter before.")
    at: time = Field(time(7, 0), description="When, in `zone`.")
    form: Literal["xlsx", "pdf", "html", "csv"] = Field("xlsx", description="The file's form.")
    language: Literal["zh", "en"] = Field("zh", description="Its language.")
    company: Slug | None = Field(None, description="Only this company's accounts.")
    bank: Slug | None = Field(None, description="Only this bank's accounts.")
    clear: bool = Field(False, description="Account numbers, names and texts unmasked; the audit trail says so.")
    keep_days: int = Field(400, ge=1, le=36_500, description="Days after which a file is deleted.")


class ReportSettings(StrictTable):
    """Reports that the daemon writes by itself."""

    folder: SettingsPath | None = Field(
        None, description="Where the files are, readable by the daemon's user alone; default: `reports` in `state_dir`."
    )
    scheduled: tuple[ScheduledReportSettings, ...] = Field((), description="The reports.")


class RateSettings(StrictTable):
    """The exchange rate of a currency into the group's currency, from a day on."""

    currency: str = Field(pattern=CURRENCY, description="ISO 4217 currency.")
    rate: str = Field(pattern=RATE, description='What one unit of it is worth, as text: "7.1234".')
    day: date = Field(description="First day on which it holds; it holds until the next one.")


class PositionSettings(StrictTable):
    """Positions over all currencies."""

    group_currency: str | None = Field(
        None, pattern=CURRENCY, description="Currency of a total over all currencies. Absent: there is none."
    )
    rates: tuple[RateSettings, ...] = Field((), description="The group's exchange rates.")
