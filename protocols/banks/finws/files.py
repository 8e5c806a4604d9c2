"""The five operations on files (README.md section 3): upload, list, download, delete, and what the customer may do."""

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
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.meanings import Meanings
from protocols.kit.xmldoc import Markup, el, value, value_or

DOWNLOADS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class File:
    """A file at the bank. `parent` is the file it answers, `name` what we called it when we uploaded it."""

    reference: str
    kind: str
    status: str
    made_at: datetime
    name: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Right:
    """A kind of file that the customer may send or fetch under a target."""

    target: str
    kind: str
    direction: str


@dataclass(frozen=True, slots=True)
class Files:
    """Conversations about files; each begins a new turn, or goes on with one."""

    wire: Wire
    meanings: Meanings

    def upload(
        self, kind: str, content: bytes, name: str, turn: Turn, *, total: str = "", count: int = 1
    ) -> Generator[Sign, bytes, tuple[str, bytes]]:
        """The RequestId and bytes of an upload; sending them is the caller's. `name` comes back in lists."""
        fields: list[tuple[str, str | Markup]] = [("UserFilename", name), ("TargetId", self.wire.target),
                                                  ("ExecutionSerial", name)]  # fmt: skip
        if self.wire.variant.compression:
            fields += [("Compression", "true"), ("CompressionMethod", "GZIP")]
            content = gzip(content)
        else:
            fields.append(("Compression", "false"))
        if total:
            fields += [("AmountTotal", total), ("TransactionCount", str(count))]
        packed = _base64(content)
        if len(content) > self.wire.variant.max_file_bytes:
            raise ProtocolError("frame_too_long", f"a file of {len(content)} bytes is over the bank's limit")
        return (yield from self.wire.request("uploadFile", turn, [*fields, ("FileType", kind), ("Content", packed)]))

    def listing(
        self, kind: str, turn: Turn, *, first: date | None = None, last: date | None = None, status: str = "ALL"
    ) -> Conversation[tuple[File, ...]]:
        """The bank's files of a kind, oldest first; none is a normal answer. Raises Declined."""
        fields = [("Status", status), ("TargetId", self.wire.target), ("FileType", kind)]
        if first is not None:
            fields.append(("StartDate", first.isoformat()))
        if last is not None:
            fields.append(("EndDate", last.isoformat()))
        answer = yield from self._ask("downloadFileList", turn, fields, allowed=(NOTHING,))
        found = [_file(row) for row in answer.rows("FileDescriptors", "FileDescriptor")]
        if any(one.kind != kind for one in found):
            raise ProtocolError("correlation", f"a list of {kind} names files of another kind")
        return tuple(sorted(found, key=lambda one: (one.made_at, one.reference)))

    def download(self, file: File, turn: Turn) -> Conversation[bytes | Packed]:
        """What a file holds, unpacked. Raises Declined."""
        asked = el("FileReference", file.reference)
        answer = yield from self._ask("downloadFile", turn, [
            ("Status", "ALL"), ("FileReferences", asked), ("TargetId", self.wire.target), ("FileType", file.kind),
            *((("Compression", "true"), ("CompressionMethod", "GZIP")) if self.wire.variant.compression else ()),
        ])  # fmt: skip
        for row in answer.rows("FileDescriptors", "FileDescriptor"):
            if _file(row).reference != file.reference:
                raise ProtocolError("correlation", f"the file that came is not {file.reference}")
        if answer.value("FileType") not in ("", file.kind):
            raise ProtocolError("correlation", f"the file that came is a {answer.value('FileType')}, not {file.kind}")
        return answer.content()

    def downloads(self, files: tuple[File, ...], turn: Turn) -> Conversation[tuple[tuple[File, bytes | Packed], ...]]:
        """Several files one after the other. Raises "paging" for more than 64: ask about fewer days."""
        if len(files) > DOWNLOADS_MAX:
            raise ProtocolError("paging", f"{len(files)} files where at most {DOWNLOADS_MAX} are fetched at once")
        found: list[tuple[File, bytes | Packed]] = []
        for file in files:
            content = yield from self.download(file, turn)
            found.append((file, content))
        return tuple(found)

    def delete(self, file: File, context: Context) -> Conversation[str]:
        """Take back a file that the bank has not forwarded yet; its status afterwards. Raises Declined."""
        answer = yield from self._ask("deleteFile", self.wire.turn(context), [
            ("FileReferences", el("FileReference", file.reference)), ("TargetId", self.wire.target),
            ("FileType", file.kind)])  # fmt: skip
        for row in answer.rows("FileDescriptors", "FileDescriptor"):
            if _file(row).reference == file.reference:
                return _file(row).status
        raise ProtocolError("missing", f"the answer does not say what became of {file.reference}")

    def user_info(self, context: Context) -> Conversation[tuple[Right, ...]]:
        """What the customer may send and fetch. Harmless: it proves both signatures and the way there and back."""
        return _rights((yield from self._ask("getUserInfo", self.wire.turn(context), [])))

    def probe(self, context: Context) -> Conversation[datetime | None]:
        """Ready means: the bank knows both our signatures, and we know its. Returns when it answered, if it says so."""
        answer = yield from self._ask("getUserInfo", self.wire.turn(context), [])
        _rights(answer)  # one that cannot be read proves nothing
        try:
            at = datetime.fromisoformat("" if answer.document is None else value_or(answer.document, D + "Timestamp"))
        except ValueError:
            return None
        return None if at.tzinfo is None else at

    def _ask(
        self, operation: str, turn: Turn, fields: list[tuple[str, str | Markup]] | list[tuple[str, str]],
        allowed: tuple[str, ...] = (),
    ) -> Conversation[Answer]:  # fmt: skip
        request_id, data = yield from self.wire.request(operation, turn, fields)
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
        reference, value(row, D + "FileType"), value(row, D + "Status"), made_at, value_or(row, D + "UserFilename"),
        # OP writes a file's own reference there, which names no parent.
        parent if parent != reference else "",
    )  # fmt: skip


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
