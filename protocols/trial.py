"""The data for a trial against a bank's own twin: `protocols/banks/<name>/trial.toml`.

The demo, the list of banks, joint tests and the tests that all banks share read it, so none of them knows a bank by
name. Every table may be missing:

    accepted        the codes with which the bank's answer says that it took the request, as the twin tells them
                    (`Answer.code`); it stands above the tables
    [options]       the least options that build the bank
    [switched]      more of them for the table of banks and operations: what is off until a contract or the bank's word
                    switches it on
    [hurried]       more of them for a demo, where days pass in a minute
    [demo]          share = of the orders that a usual bank gets there; less where each takes many exchanges;
                    twin = more of the twin's options; ask_again_s = for how long the demo asks on about a settled
                    payment of which the bank may have a further word; receipts_today = false where receipts are
                    of past days only; sweeps = false where an option is missing that a pool's transfers need;
                    receipts_of = "payment", "entry" or "batch_item" where only that finds them;
                    looks_up = the text that the demo asks the directory for;
                    returns_every_s = how often a joint test asks about returned money, if 2 s are too often;
                    return_s = after how long a joint test's bank sends money back, if 3 s are too early to
                    have told of the booking before
    [twin]          the twin's options
    [faults]        what the twin can be told to do wrong: name = the twin's options that make it so; tests play each
                    one with every operation
    [books]         how the twin's books behave (gateway.simbank.ledger.Conduct): returns = false where the bank has no
                    message that tells of returned money
    [credentials]   the login's secrets, by name; they open nothing but a twin
    [keys]          signing keys that conversations ask for: key name = "gateway"
    [files]         options that are files: option = which file of the trial's keys ("bank_sign_cert", …)
    [order]         fields that this bank wants in every order beside the usual ones, by JSON pointer; as
                    /creditor/account one that is as long as every kind of order carries
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import import_module, resources
from pkgutil import iter_modules
from typing import Any


@dataclass(frozen=True, slots=True)
class Trial:
    """The trial data of one bank; the module's docstring explains them."""

    options: Mapping[str, Any] = field(default_factory=dict)
    switched: Mapping[str, Any] = field(default_factory=dict)
    hurried: Mapping[str, Any] = field(default_factory=dict)
    demo: Mapping[str, Any] = field(default_factory=dict)
    twin: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    books: Mapping[str, Any] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    keys: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    order: Mapping[str, Any] = field(default_factory=dict)
    accepted: tuple[str, ...] = ()


@cache
def trial(bank: str) -> Trial:
    """The trial of a bank. Raises ValueError for a table that no trial has."""
    data = resources.files(f"protocols.banks.{bank}").joinpath("trial.toml").read_text("utf-8")
    tables = tomllib.loads(data)
    unknown = sorted(tables.keys() - {one.name for one in fields(Trial)})
    if unknown:
        raise ValueError(f"protocols/banks/{bank}/trial.toml: no such table: {', '.join(unknown)}")
    return Trial(**{**tables, "accepted": tuple(tables.get("accepted", ()))})


def banks() -> tuple[str, ...]:
    """All banks by the name of their folder: the teaching bank first, then in alphabetical order."""
    names = sorted(found.name for found in iter_modules(import_module("protocols.banks").__path__))
    return tuple(sorted(names, key=lambda name: name != "sample"))
