"""Builds the banks' adapters from their settings tables: protocol folder, options, and time limits that were set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path

from gateway import settings as conf
from protocols.bank import Bank
from protocols.certificates import Office


def load_banks(settings: conf.Settings) -> dict[str, Bank]:
    """Build every configured bank. Raises BadOptions or LookupError through `bank_mistakes` at check time."""
    return {name: load_bank(table) for name, table in settings.banks.items()}


def load_office(table: conf.BankSettings) -> Office | None:
    """Where a bank gives certificates, if it does so over the wire. Files that are not there yet are left out."""
    module = import_module(f"protocols.banks.{table.protocol}")
    if not hasattr(module, "certificates"):
        return None
    there = {name: path for name, path in table.option_files.items() if path.exists()}
    office: Office = module.certificates({**table.options, **_texts(there)})
    return office


def _texts(files: Mapping[str, Path]) -> dict[str, str]:
    return {name: path.read_text("utf-8") for name, path in files.items()}


def load_bank(table: conf.BankSettings) -> Bank:
    """One bank from its table: its protocol's folder, its options, and the options that are files' contents."""
    module = import_module(f"protocols.banks.{table.protocol}")
    bank: Bank = module.build({**table.options, **_texts(table.option_files)})
    profile = bank.profile
    return replace(bank, profile=replace(
        profile,
        enquiry_deadline=_span(table.enquiry_deadline_s, profile.enquiry_deadline),
        returns_watch=_span(table.returns_watch_s, profile.returns_watch),
        returns_every=_span(table.returns_every_s, profile.returns_every),
        poll_every=_span(table.poll_every_s, profile.poll_every),
        replay={kind: rule if table.most_repeats is None else replace(rule, most=table.most_repeats)
                for kind, rule in profile.replay.items()},
    ))  # fmt: skip


def _span(seconds: float | None, default: timedelta) -> timedelta:
    return default if seconds is None else timedelta(seconds=seconds)
