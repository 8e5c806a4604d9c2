"""Builds the banks' adapters from their settings tables: protocol folder, options, and time limits that were set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path

from gateway import settings as conf
from gateway.kernel.core.calendars import BusinessCalendar
from gateway.register import calendars
from protocols.bank import Bank
from protocols.canon.limits import Limits
from protocols.certificates import Office

_CHINA = "Asia/Shanghai"
_WEEK = {0, 1, 2, 3, 4}
TEST_HOST_DATE_DAYS = 60
"""How many days the date of a bank's host may be away from the calendar outside of production."""


def load_banks(settings: conf.Settings) -> dict[str, Bank]:
    """Build every configured bank. Raises BadOptions or LookupError through `bank_mistakes` at check time."""
    known = calendars.load(settings.calendar_file, settings.holidays)
    wide = settings.mode != "production"
    return {name: load_bank(_wide(table) if wide else table, known) for name, table in settings.banks.items()}


def _wide(table: conf.BankSettings) -> conf.BankSettings:
    """A copy of a test environment's table that lets the date of the bank's host be weeks away from the calendar."""
    days = TEST_HOST_DATE_DAYS if table.host_date_days is None else table.host_date_days
    return table.model_copy(update={"host_date_days": days})


def load_office(table: conf.BankSettings) -> Office | None:
    """A bank's certificate service, if the bank has one. Files that do not exist yet are left out."""
    module = import_module(f"protocols.banks.{table.protocol}")
    if not hasattr(module, "certificates"):
        return None
    there = {name: path for name, path in table.option_files.items() if path.exists()}
    office: Office = module.certificates({**table.options, **_texts(there)})
    return office


def _texts(files: Mapping[str, Path]) -> dict[str, str]:
    return {name: path.read_text("utf-8") for name, path in files.items()}


def load_bank(table: conf.BankSettings, known: Mapping[str, BusinessCalendar] | None = None) -> Bank:
    """One bank from its table: its protocol's folder, its options, and the options that are files' contents. A bank
    that is closed on weekends is closed on the holidays of its calendar, too."""
    module = import_module(f"protocols.banks.{table.protocol}")
    bank: Bank = module.build({**table.options, **_texts(table.option_files)})
    profile = bank.profile
    calendar = (known or {}).get(table.calendar or (calendars.CHINA if profile.limits.hours.zone == _CHINA else ""))
    if calendar is not None:
        profile = replace(
            profile,
            limits=_dated(profile.limits, calendar),
            kind_limits={kind: _dated(limits, calendar) for kind, limits in profile.kind_limits.items()},
        )
    return replace(
        bank,
        profile=replace(
            profile,
            enquiry_deadline=_span(table.enquiry_deadline_s, profile.enquiry_deadline),
            returns_watch=_span(table.returns_watch_s, profile.returns_watch),
            returns_every=_span(table.returns_every_s, profile.returns_every),
            poll_every=_span(table.poll_every_s, profile.poll_every),
            host_date_days=profile.host_date_days if table.host_date_days is None else table.host_date_days,
            replay={
                kind: rule if table.most_repeats is None else replace(rule, most=table.most_repeats)
                for kind, rule in profile.replay.items()
            },
        ),
    )


def _dated(limits: Limits, calendar: BusinessCalendar) -> Limits:
    hours = limits.hours
    if set(hours.weekdays) != _WEEK:
        return limits
    return replace(limits, hours=replace(hours, closed=calendar.closed, worked=calendar.worked))


def _span(seconds: float | None, default: timedelta) -> timedelta:
    return default if seconds is None else timedelta(seconds=seconds)
