"""The signer's log: one line for each payment that a signature covers, and for each other message that was signed.

A folder of files, one a day. Each line ends with a MAC of the vault's key over itself and the line before it, across
the files, so that no line can be altered, removed or inserted. The signer writes it; `bankgw audit verify` compares it
with the permit log.

    H 1795000000000 0 BEFORE …     a file's first line: the number of lines before it, the MAC of the last of them
    S 1795000000000 op_order op.main KX0012 1 payment CNY 10000 CONTENT OCTETS …
    Q 1795000000000 op_order op.main Fate OCTETS …
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from pathlib import Path
from urllib.parse import quote, unquote

from gateway.kernel.sql.vault import Vault

_MAC_CHARS = 32
_START = b"0" * _MAC_CHARS
_TORN = b" torn\n"
_DAY_MS = 86_400_000
_PLAIN = re.compile(r"[A-Za-z0-9_.]+", re.ASCII)


class SignatureLogBroken(Exception):
    """The log of signatures is damaged or altered; the message says where."""


@dataclass(frozen=True, slots=True)
class PaymentSignature:
    """One payment of a message that was signed. `content` is the digest of what the message says of it, `octets` that
    of the octets that were signed."""

    at_ms: int
    key: str
    lane: str
    reference: str
    attempt: int
    kind: str
    currency: str
    amount_minor: int
    content: str
    octets: str

    def line(self) -> bytes:
        """The line without its MAC."""
        return _line("S", *(getattr(self, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class QuestionSignature:
    """One message that was signed and moves no money."""

    at_ms: int
    key: str
    lane: str
    operation: str
    octets: str

    def line(self) -> bytes:
        """The line without its MAC."""
        return _line("Q", *(getattr(self, name) for name in self.__slots__))


LoggedSignature = PaymentSignature | QuestionSignature


class SignatureLog:
    """The log, open for writing. Raises SignatureLogBroken if it was altered, OSError if it cannot be written."""

    def __init__(self, folder: Path, vault: Vault, sync: Callable[[int], None] = os.fdatasync) -> None:
        self._folder, self._vault, self._sync = folder, vault, sync
        self._handle: int | None = None
        self._day, self._count, self._mac, self._headed = "", 0, _START, False
        folder.mkdir(mode=0o700, exist_ok=True)
        files = _files(folder)
        if files:
            self._day = files[-1].stem
            self._handle = os.open(files[-1], os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            _mark_torn(files[-1], self._handle)
        for path in reversed(files):
            # A crash may have left the last file without a whole line; then its first line is still to be written.
            for _item, self._mac, self._count in _verified(path, vault):  # noqa: B007 - the end is wanted
                pass
            if self._count:
                self._headed = path is files[-1]
                break

    def append(self, signatures: Sequence[LoggedSignature], *, durable: bool) -> None:
        """Write the lines; with `durable` they are on disk when this returns. After any exception nothing may be
        signed."""
        day = f"{signatures[0].at_ms // _DAY_MS:06d}"
        octets = bytearray()
        if self._handle is None or day > self._day:
            self._begin(day)
        if not self._headed:
            octets += self._with_mac(_line("H", signatures[0].at_ms, self._count, self._mac.decode()))
            self._headed = True
        for one in signatures:
            octets += self._with_mac(one.line())
        assert self._handle is not None
        _write_all(self._handle, octets)
        if durable:
            self._sync(self._handle)

    def close(self) -> None:
        """Close the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _begin(self, day: str) -> None:
        path = self._folder / f"{day}.log"
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        if self._handle is not None:
            self._sync(self._handle)
            os.close(self._handle)
        self._handle, self._day, self._headed = handle, day, False

    def _with_mac(self, line: bytes) -> bytes:
        self._mac, self._count = _mac(self._vault, self._mac, line), self._count + 1
        return b"%s %s\n" % (line, self._mac)


def read_signatures(folder: Path, vault: Vault, since_ms: int = 0) -> Iterator[LoggedSignature]:
    """The signatures of the log, oldest first; files of days before `since_ms` are skipped. Raises SignatureLogBroken,
    OSError."""
    first = f"{since_ms // _DAY_MS:06d}"
    before: bytes | None = None
    for path in [one for one in _files(folder) if one.stem >= first]:
        mac = before
        for item, mac, _count in _verified(path, vault, before):  # noqa: B007 - the last one is wanted
            if item is not None:
                yield item
        before = mac


def _verified(
    path: Path, vault: Vault, before: bytes | None = None
) -> Iterator[tuple[LoggedSignature | None, bytes, int]]:
    """The lines of a file with the MAC and the number of lines so far. `before` is the MAC that the last file ended
    with; None if it is not known: then the file's first line is believed to follow it."""
    mac, count = before, -1
    with path.open("rb") as file:
        for number, row in enumerate(file, start=1):
            if row.endswith(_TORN) or not row.endswith(b"\n"):
                continue
            line, _, said = row[:-1].rpartition(b" ")
            head = line.split(b" ")
            if count < 0:
                # The first line carries the MAC of the line before it, so that a file can be read alone.
                if len(head) != 4 or head[0] != b"H" or not head[2].isdigit() or (mac or head[3]) != head[3]:
                    raise _broken(path, number)
                mac, count = head[3], int(head[2])
            assert mac is not None
            mac, count = _mac(vault, mac, line), count + 1
            if not compare_digest(said, mac):
                raise _broken(path, number)
            yield (None if head[0] == b"H" else _parsed(path, number, line)), mac, count


def _parsed(path: Path, number: int, line: bytes) -> LoggedSignature:
    word, *said = [unquote(one) for one in line.decode("ascii").split(" ")]
    try:
        if word == "S":
            at, key, lane, reference, attempt, kind, currency, minor, content, octets = said
            return PaymentSignature(
                int(at), key, lane, reference, int(attempt), kind, currency, int(minor), content, octets
            )
        if word == "Q":
            at, key, lane, operation, octets = said
            return QuestionSignature(int(at), key, lane, operation, octets)
    except ValueError:
        pass
    raise _broken(path, number)


def _line(*words: object) -> bytes:
    said = [str(word) for word in words]
    if not all(map(_PLAIN.fullmatch, said)):
        said = [quote(word, safe="") or "-" for word in said]
    return " ".join(said).encode("ascii")


def _mac(vault: Vault, before: bytes, line: bytes) -> bytes:
    return vault.mac(b"signatures\n" + before + line).hex()[:_MAC_CHARS].encode("ascii")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.log") if path.stem.isdigit())


def _broken(path: Path, number: int) -> SignatureLogBroken:
    return SignatureLogBroken(
        f"{path}, line {number}: altered, or written with another vault key; keep the folder, and look why"
    )


def _mark_torn(path: Path, handle: int) -> None:
    octets = path.read_bytes()[-1:]
    if octets not in (b"", b"\n"):
        _write_all(handle, _TORN)


def _write_all(handle: int, octets: bytes | bytearray) -> None:
    written = 0
    while written < len(octets):
        written += os.write(handle, octets[written:])
