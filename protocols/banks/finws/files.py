"""The five operations on files (README.md section 3): upload, list, download, delete, and the customer's rights."""

from __future__ import annotations

import base64
from collections.abc import Generator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from lxml import etree

from protocols.bank import Ask, Context, Conversation, Sign
from protocols.banks.finws.messages import Answer, Packed, Turn, Wire, gzip
from protocols.banks.finws.names import DONE, NOTHING, D
from protocols.banks.finws.requests import FileWords
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.meanings import Meanings
from protocols.kit.xmldoc import value, value_or

DOWNLOADS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class File:
    """A file at the bank. `parent` is the file that it answers, `name` the name that we gave it when we uploaded it."""

    reference: str
    kind: str
    status: str
    made_at: datetime
    name: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Right:
    """One kind of file that the customer may send or fetch, and the target of these files."""

    target: str
    kind: str
    direction: str


@dataclass(frozen=True, slots=True)
class Files:
    """Sends, lists, fetches and deletes files at the bank. Each conversation begins a new turn, or continues one."""

    wire: Wire
    meanings: Meanings

    def upload(
        self, kind: str, content: bytes, name: str, turn: Turn, *, total: str = "", count: int = 1
    ) -> Generator[Sign, bytes, tuple[str, bytes]]:
        """The RequestId and bytes of an upload, which the caller sends. The bank returns `name` in its lists."""
        packed = self.wire.variant.compression
        content = gzip(content) if packed else content
        if len(content) > self.wire.variant.max_file_bytes:
            raise ProtocolError("frame_too_long", f"a file of {len(content)} bytes is over the bank's limit")
        words = FileWords(kind, name, packed=packed, total=total, count=count, content=_base64(content))
        return (yield from self.wire.request("uploadFile", turn, words))

    def listing(
        self, kind: str, turn: Turn, *, first: date | None = None, last: date | None = None, status: str = "ALL"
    ) -> Conversation[tuple[File, ...]]:
        """The bank's files of a kind, oldest first. An empty list is a normal answer. Raises Declined."""
        words = FileWords(kind, status=status, first=first, last=last)
        answer = yield from self._ask("downloadFileList", turn, words, allowed=(NOTHING,))
        found = [_file(row) for row in answer.rows("FileDescriptors", "FileDescriptor")]
        if any(one.kind != kind for one in found):
            raise ProtocolError("correlation", f"a list of {kind} names files of another kind")
        return tuple(sorted(found, key=lambda one: (one.made_at, one.reference)))

    def download(self, file: File, turn: Turn) -> Conversation[bytes | Packed]:
        """The content of a file, unpacked. Raises Declined."""
        packed = True if self.wire.variant.compression else None
        words = FileWords(file.kind, reference=file.reference, status="ALL", packed=packed)
        answer = yield from self._ask("downloadFile", turn, words)
        for row in answer.rows("FileDescriptors", "FileDescriptor"):
            if _file(row).reference != file.reference:
                raise ProtocolError("correlation", f"the file that came is not {file.reference}")
        if answer.value("FileType") not in ("", file.kind):
            raise ProtocolError("correlation", f"the file that came is a {answer.value('FileType')}, not {file.kind}")
        return answer.content()

    def downloads(self, files: tuple[File, ...], turn: Turn) -> Conversation[tuple[tuple[File, bytes | Packed], ...]]:
        """The contents of several files, fetched one after the other. Raises "paging" for more than 64: ask about fewer
        days."""
        if len(files) > DOWNLOADS_MAX:
            raise ProtocolError("paging", f"{len(files)} files where at most {DOWNLOADS_MAX} are fetched at once")
        found: list[tuple[File, bytes | Packed]] = []
        for file in files:
            content = yield from self.download(file, turn)
            found.append((file, content))
        return tuple(found)

    def delete(self, file: File, context: Context) -> Conversation[str]:
        """Delete a file that the bank has not forwarded yet; returns its status afterwards. Raises Declined."""
        words = FileWords(file.kind, reference=file.reference)
        answer = yield from self._ask("deleteFile", self.wire.turn(context), words)
        for row in answer.rows("FileDescriptors", "FileDescriptor"):
            if _file(row).reference == file.reference:
                return _file(row).status
        raise ProtocolError("missing", f"the answer does not say what became of {file.reference}")

    def user_info(self, context: Context) -> Conversation[tuple[Right, ...]]:
        """The kinds of file that the customer may send and fetch. The question moves nothing, and checks both
        signatures and the connection."""
        return _rights((yield from self._ask("getUserInfo", self.wire.turn(context), FileWords())))

    def probe(self, context: Context) -> Conversation[datetime | None]:
        """Check that the bank knows both our signatures, and that we know the bank's. Returns the answer's time, if it
        has one."""
        answer = yield from self._ask("getUserInfo", self.wire.turn(context), FileWords())
        _rights(answer)  # a time that cannot be read proves nothing
        try:
            at = datetime.fromisoformat("" if answer.document is None else value_or(answer.document, D + "Timestamp"))
        except ValueError:
            return None
        return None if at.tzinfo is None else at

    def _ask(self, operation: str, turn: Turn, words: FileWords, allowed: tuple[str, ...] = ()) -> Conversation[Answer]:
        request_id, data = yield from self.wire.request(operation, turn, words)
        secret = turn.context.credentials.get("decryption_key", "")
        said = yield Ask("business", data)
        answer = self.wire.read(said, operation, (request_id,), secret, turn.context.now.date())
        if answer.code != DONE and answer.code not in allowed:
            word = self.meanings.table.look_up(operation, "question", answer.code, answer.text)
            raise Declined(operation, answer.code, answer.text, "failed" if word == "empty" else word)
        if answer.code == DONE and answer.document is None:
            raise ProtocolError("missing", "the answer is sealed; the lane needs the credential decryption_key")
        return answer


def _rights(answer: Answer) -> tuple[Right, ...]:
    return tuple(
        Right(value(row, D + "TargetId"), value_or(row, D + "FileType"), value_or(row, D + "Direction"))
        for row in answer.rows("UserFileTypes", "UserFileType")
    )


def _file(row: etree._Element) -> File:
    made = value(row, D + "FileTimestamp")
    try:
        made_at = datetime.fromisoformat(made)
    except ValueError:
        raise ProtocolError("value", f"{made[:40]!r} is not a time") from None
    if made_at.tzinfo is None:
        raise ProtocolError("value", f"FileTimestamp {made[:40]!r} has no offset")
    reference, parent = value(row, D + "FileReference"), value_or(row, D + "ParentFileReference")
    return File(
        reference,
        value(row, D + "FileType"),
        value(row, D + "Status"),
        made_at,
        value_or(row, D + "UserFilename"),
        # OP writes a file's own reference there; it names no parent.
        parent if parent != reference else "",
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
