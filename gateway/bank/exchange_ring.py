"""A bounded file of a lane's last exchanges, each record sealed; it survives a killed process, not a power failure.

There are two segments of half the size. When the active one is full, the other one is begun again, so that between half
of the size and all of it is kept. A record is `length(4) | number(8) | sealed bytes`, and four zero bytes follow the
last one. It is written with one system call and never synced, because the ring only explains the traffic of a lane; the
journal proves what happened to a payment.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from gateway.kernel import log
from gateway.kernel.sql.vault import Vault, VaultError
from gateway.settings import Settings

_HEAD = struct.Struct(">IQ")
_END = bytes(4)
_MOST_BYTES = 1_048_576
"""The longest record. A larger length means that the segment ends here in the middle of a record."""
TRACES = "traces"
"""The folder of the rings in `state_dir`."""
_log = log.get("bank.exchange_ring")


class ExchangeRing:
    """A bounded file of a lane's last exchanges, each record sealed. `lane` names the files below `folder`. Raises
    OSError when they cannot be opened.

    If a later write fails, its record is lost, and the error is logged once until a write succeeds, so that no payment
    waits for the ring.
    """

    def __init__(self, folder: Path, lane: str, size_bytes: int, vault: Vault) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lane = lane
        self._vault = vault
        self._half = max(size_bytes // 2, _HEAD.size)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._files = [os.open(folder / f"{lane}.{half}.ring", flags, 0o600) for half in (0, 1)]
        self._failing = False
        found = [self._segment(one) for one in self._files]
        last = [segment[-1][0] if segment else 0 for segment in found]
        self._active = 0 if last[0] >= last[1] else 1
        self._number = max(last)
        self._end = sum(_HEAD.size + len(sealed) for _number, sealed in found[self._active])

    def append(self, record: bytes) -> None:
        """Store one record; the oldest ones are overwritten."""
        self._number += 1
        sealed = self._vault.seal(record, self._aad(self._number))
        framed = _HEAD.pack(len(sealed), self._number) + sealed + _END
        if len(framed) > min(self._half, _MOST_BYTES):
            return
        try:
            if self._end + len(framed) > self._half:
                self._active, self._end = 1 - self._active, 0
            written = os.pwrite(self._files[self._active], framed, self._end)
            if written < len(framed):
                raise OSError(f"only {written} of {len(framed)} bytes were written")
        except OSError as error:
            if not self._failing:
                self._failing = True
                _log.warning(
                    "trace.not_written",
                    lane=self._lane,
                    error=str(error),
                    action=(
                        "`bankgw lanes trace` lacks this exchange; payments go on; make room below state_dir/traces"
                    ),
                )
            return
        self._failing = False
        self._end += len(framed) - len(_END)

    def records_after(self, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """The records with a number above `after`, the oldest first. A record that cannot be decrypted is left out."""
        order = (1 - self._active, self._active)
        for number, sealed in [found for half in order for found in self._segment(self._files[half])]:
            if number > after:
                try:
                    yield number, self._vault.open(sealed, self._aad(number))
                except VaultError as error:
                    _log.warning(
                        "trace.not_opened",
                        lane=self._lane,
                        number=number,
                        error=str(error),
                        action="this exchange is not shown; the vault's key that sealed it may have been removed",
                    )

    @property
    def last(self) -> int:
        """The number of the newest record; 0 if none was ever kept."""
        return self._number

    def close(self) -> None:
        """Close the files."""
        for one in self._files:
            os.close(one)

    def _segment(self, file: int) -> list[tuple[int, bytes]]:
        octets = os.pread(file, os.fstat(file).st_size, 0)
        found, at, before = [], 0, 0
        while at + _HEAD.size <= len(octets):
            length, number = _HEAD.unpack_from(octets, at)
            if not 0 < length <= _MOST_BYTES or number <= before or at + _HEAD.size + length > len(octets):
                break
            found.append((number, octets[at + _HEAD.size : at + _HEAD.size + length]))
            before, at = number, at + _HEAD.size + length
        return found

    def _aad(self, number: int) -> bytes:
        return f"exchange_ring.{self._lane}.{number}".encode()


def open_rings(settings: Settings, vault: Vault) -> dict[str, ExchangeRing]:
    """Each lane's ring. A ring that cannot be opened is left out, so that no payment waits for it."""
    rings = {}
    for bank_name, bank in settings.banks.items():
        for lane_name, lane in bank.lanes.items():
            name = f"{bank_name}.{lane_name}"
            if lane.trace_kib:
                try:
                    rings[name] = ExchangeRing(settings.state_dir / TRACES, name, lane.trace_kib * 1024, vault)
                except OSError as error:
                    _log.warning(
                        "trace.not_opened",
                        lane=name,
                        error=str(error),
                        action=(
                            "`bankgw lanes trace` keeps no exchange of this lane; make the folder writable, then "
                            "restart the daemon"
                        ),
                    )
    return rings
