"""The configuration of a simulated bank: one TOML (or JSON) file.

    bank = "sample"                 # a folder of protocols/banks with a twin
    ledger_file = "sample.jsonl"    # optional: the truth outlives the process
    control = "sample.sock"         # optional: see gateway.simbank.control
    ready_file = "sample.json"      # optional: written once the ports are open, holds their numbers
    exchange_log = "sample.log"     # optional: every request and answer, bytes and all
    clock_ahead_s = 0               # the bank's clock is so many seconds ahead: another business date
    cheap = false                   # benchmark mode: the cheapest honest answers

    [ports]                         # 0 or absent: any free one
    business = 7001
    [keys]                          # PEM files the twin asks for
    bank = "sample-bank-sign-key.pem"
    client = "sample-gateway-sign-cert.pem"
    [tls]                           # absent: plain TCP
    cert = "sample-server-cert.pem"
    key = "sample-server-key.pem"
    client_ca = "sample-ca-cert.pem"
    [options]                       # the twin's own
    [[accounts]]
    number = "0000000000000000017"
    holder = "示例甲公司"
    opening = "1000000.00"          # currency = "CNY", frozen = "0.00"
    [conduct]                       # gateway.simbank.ledger.BookingRules
    [faults]                        # seed, delay_s, hide_s, return_s, and a rate for each kind of fault
    seed = "7"
    drop_after = 0.02

Paths are relative to the file.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from gateway.simbank.faults import BankFault, Delays, FaultPlan
from gateway.simbank.ledger import BookingRules, LedgerAccount
from protocols.canon.money import BadMoney, Money

T = TypeVar("T")


class BadConfig(ValueError):
    """The configuration cannot be used: file, key, and what to do."""

    def __init__(self, file: str, key: str, remedy: str, chinese: str = "") -> None:
        super().__init__(f"{file}: {key}: {remedy}")
        self.file = file
        self.key = key
        self.remedy = remedy
        self.chinese = chinese


# A UNIX socket's address holds 108 bytes, the last of them 0.
_SOCKET_BYTES = 107


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The PEM files for the server's side of mutual TLS."""

    cert: Path
    key: Path
    client_ca: Path


@dataclass(frozen=True, slots=True)
class SimConfig:
    """The configuration of one simulated bank. `fault_seed` also selects the place in an answer where a
    fault strikes.
    """

    bank: str
    accounts: tuple[LedgerAccount, ...]
    keys: Mapping[str, Path] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)
    interface: str = "127.0.0.1"
    tls: TlsFiles | None = None
    conduct: BookingRules = BookingRules()
    fault_seed: str = "0"
    fault_rates: Mapping[BankFault, float] = field(default_factory=dict)
    delays: Delays = Delays()
    ledger_file: Path | None = None
    control: Path | None = None
    ready_file: Path | None = None
    exchange_log: Path | None = None
    clock_ahead_s: float = 0.0
    cheap: bool = False

    @classmethod
    def from_file(cls, file: Path) -> SimConfig:
        """Read a TOML file, or a JSON file if its name ends so. Raises BadConfig at the first mistake."""
        try:
            text = file.read_text("utf-8")
            table = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
        except OSError as error:
            why = "没有这个文件" if isinstance(error, FileNotFoundError) else error.strerror
            raise BadConfig(
                str(file),
                "-",
                f"cannot be read ({error.strerror}); create it (`bankgw simulate DIR --init BANK` writes one) or name "
                "another",
                f"{file}：无法读取（{why}）；请新建（`bankgw simulate DIR --init BANK` 可写出），或指明另一文件",
            ) from None
        except ValueError as error:  # not UTF-8, not TOML, not JSON
            raise BadConfig(str(file), "-", f"cannot be understood: {error}") from None
        if not isinstance(table, dict):
            raise BadConfig(str(file), "-", "must be one table of settings")
        return _Reader(file, table).config()


class _Reader:
    """Takes values out of one table of the configuration, and reports the keys that nobody took."""

    def __init__(self, file: Path, table: Mapping[str, Any]) -> None:
        self._file = file
        self._left = dict(table)

    def config(self) -> SimConfig:
        seed, rates, delays = self._faults(self._take("faults", dict, {}))
        config = SimConfig(
            bank=self._take("bank", str),
            accounts=tuple(self._account(n, one) for n, one in enumerate(self._take("accounts", list))),
            keys={name: self._path(f"keys.{name}", one) for name, one in self._take("keys", dict, {}).items()},
            options=self._take("options", dict, {}),
            ports=self._take("ports", dict, {}),
            interface=self._take("interface", str, "127.0.0.1"),
            tls=self._tls(self._take("tls", dict, {})),
            conduct=self._record("conduct", BookingRules, self._take("conduct", dict, {})),
            fault_seed=seed,
            fault_rates=rates,
            delays=delays,
            ledger_file=self._optional_path("ledger_file"),
            control=self._socket("control"),
            ready_file=self._optional_path("ready_file"),
            exchange_log=self._optional_path("exchange_log"),
            clock_ahead_s=self._number("clock_ahead_s", self._left.pop("clock_ahead_s", 0.0)),
            cheap=self._take("cheap", bool, False),
        )
        for key in self._left:
            raise self._bad(key, "there is no such setting; remove it or mend its spelling")
        ports: Mapping[str, object] = config.ports
        for name, port in ports.items():
            if not isinstance(port, int) or not 0 <= port <= 65535:
                raise self._bad(f"ports.{name}", "must be a TCP port, or 0 for any free one")
        try:
            FaultPlan(seed, rates, delays)
        except ValueError as error:
            raise self._bad("faults", str(error)) from None
        return config

    def _bad(self, key: str, remedy: str) -> BadConfig:
        return BadConfig(str(self._file), key, remedy)

    def _take(self, key: str, kind: type[T], default: T | None = None) -> T:
        value = self._left.pop(key, default)
        if value is None:
            raise self._bad(key, "is required; add it")
        if not isinstance(value, kind):
            raise self._bad(key, f"must be of type {kind.__name__}")
        return value

    def _path(self, key: str, value: object) -> Path:
        if not isinstance(value, str):
            raise self._bad(key, "must be a path")
        return self._file.parent / value

    def _optional_path(self, key: str) -> Path | None:
        value = self._left.pop(key, None)
        return None if value is None else self._path(key, value)

    def _socket(self, key: str) -> Path | None:
        path = self._optional_path(key)
        if path is not None and len(os.fsencode(path)) > _SOCKET_BYTES:
            raise self._bad(key, f"{path} has more than {_SOCKET_BYTES} bytes; give the socket a shorter path")
        return path

    def _account(self, n: int, table: object) -> LedgerAccount:
        at = f"accounts.{n}"
        if not isinstance(table, dict) or not {"number", "holder", "opening"} <= set(table):
            raise self._bad(at, "must be a table with number, holder and opening")
        for key in set(table) - {"number", "holder", "opening", "currency", "frozen"}:
            raise self._bad(f"{at}.{key}", "there is no such setting; remove it or mend its spelling")
        if not all(isinstance(value, str) for value in table.values()):
            raise self._bad(at, "numbers and amounts are written as text, in quotes")
        try:
            opening = Money.parse(table["opening"], table.get("currency", "CNY"))
            frozen = Money.parse(table.get("frozen", "0"), opening.currency)
        except BadMoney as error:
            raise self._bad(at, str(error)) from None
        return LedgerAccount(table["number"], table["holder"], opening, frozen.minor)

    def _tls(self, table: Mapping[str, Any]) -> TlsFiles | None:
        if not table:
            return None
        if set(table) != {"cert", "key", "client_ca"}:
            raise self._bad("tls", "needs cert, key and client_ca, and nothing else")
        paths = {key: self._path(f"tls.{key}", value) for key, value in table.items()}
        return TlsFiles(**paths)

    def _faults(self, table: Mapping[str, Any]) -> tuple[str, dict[BankFault, float], Delays]:
        left = dict(table)
        seed = str(left.pop("seed", "0"))
        named = {one.name for one in fields(Delays)}
        delays = self._record("faults", Delays, {key: left.pop(key) for key in named & set(left)})
        rates = {}
        for key, rate in left.items():
            try:
                rates[BankFault(key)] = self._number(f"faults.{key}", rate)
            except ValueError as error:
                if isinstance(error, BadConfig):
                    raise
                known = ", ".join(fault.value for fault in BankFault)
                raise self._bad(f"faults.{key}", f"no such fault; there are {known}") from None
        return seed, rates, delays

    def _number(self, key: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._bad(key, "must be a number")
        return float(value)

    def _record(self, at: str, make: Callable[..., T], table: Mapping[str, Any]) -> T:
        """A dataclass of plain values, made from a table. Each value must have the type of its default."""
        defaults = make()
        values: dict[str, Any] = {}
        for key, value in table.items():
            default = getattr(defaults, key, None)
            if default is None:
                raise self._bad(f"{at}.{key}", "there is no such setting; remove it or mend its spelling")
            if isinstance(default, float):
                values[key] = self._number(f"{at}.{key}", value)
            elif isinstance(default, str):
                values[key] = str(value)
            elif type(value) is type(default):
                values[key] = value
            else:
                raise self._bad(f"{at}.{key}", f"must be of type {type(default).__name__}")
        return make(**values)
