"""Signs a request, or says why not: read back, compare with the journal, count, write into the log, sign."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from operator import attrgetter

from gateway.bank.key_trouble import NotSigned
from gateway.bank.signer_frames import SignAnswer, SignerWord, SignRequest
from gateway.bank.signers import Signer
from gateway.control.offline.signature_log import PaymentSignature, QuestionSignature, SignatureLog
from gateway.kernel import log
from gateway.signer.journal_view import JournalView
from gateway.signer.judgement import JudgedPayment, NotJudgedGood, judge
from gateway.signer.signature_counts import SignatureCounts
from gateway.signer.signer_file import SignerKey
from protocols.kit.errors import CannotAsk
from protocols.readback.signed import SignedLine, SignedMessage, Unreadable, signed_message

_facts_of = attrgetter(*(one.name for one in fields(SignedLine)))
_log = log.get("signer")


@dataclass(frozen=True, slots=True)
class SignerKeyring:
    """The keys of this process with their settings, by name."""

    tables: Mapping[str, SignerKey]
    signers: Mapping[str, Signer]


class SignatureService:
    """Answers requests. What it signs is in the log before the key is used; what it refuses is in the process's log."""

    def __init__(
        self,
        keys: SignerKeyring,
        journal: JournalView,
        book: SignatureLog,
        counts: SignatureCounts,
        now_ms: Callable[[], int],
    ) -> None:
        self._keys = keys
        self._journal = journal
        self._book = book
        self._counts = counts
        self._now_ms = now_ms
        self._unwritable = ""

    async def answer(self, request: SignRequest) -> SignAnswer:
        """The signature, or the reason why there is none."""
        try:
            self._admit(request)
            signature = await self._keys.signers[request.key].sign(request.octets, request.document)
        except NotJudgedGood as error:
            word = SignerWord.LATER if error.later else SignerWord.NEVER
            _log.warning("signer.refused", key=request.key[:64], reason=error.reason, why=str(error), word=word.name)
            return _refusal(request, word, str(error))
        except (NotSigned, CannotAsk) as error:
            _log.error("signer.key_gone", key=request.key, why=error.text)
            return _refusal(request, SignerWord.LATER, error.text)
        return SignAnswer(request.number, SignerWord.SIGNED, signature)

    def _admit(self, request: SignRequest) -> None:
        """Judge the message and write its signature into the log. Raises NotJudgedGood."""
        table, now_ms = self._keys.tables.get(request.key), self._now_ms()
        if table is None:
            raise NotJudgedGood("no_such_key", "the signer's settings do not name this key")
        if self._unwritable:
            raise NotJudgedGood("log_unwritable", self._unwritable, later=True)
        try:
            message = signed_message(table.bank, request.octets, request.document)
        except Unreadable as error:
            raise NotJudgedGood("unreadable", str(error)) from None
        octets = hashlib.sha256(request.octets).hexdigest()
        if not message.moves_money:
            self._counts.check_question(request.key, table, now_ms)
            self._write(QuestionSignature(now_ms, request.key, table.lane, message.operation, octets))
            return
        if why := self._journal.why_stopped(table.lane):
            raise NotJudgedGood("stopped", why, later=True)
        judged = judge(message, self._journal.rows(table.lane, message.reference), table.lane, now_ms)
        lines = {line.reference: line for line in message.lines}
        signatures = [
            _signature(now_ms, request.key, table.lane, one, message, lines[one.reference], octets) for one in judged
        ]
        self._counts.check(request.key, table, signatures, now_ms)
        self._write(*signatures)

    def _write(self, *signatures: PaymentSignature | QuestionSignature) -> None:
        """Write before the key is used: no signature is missing in the log. A question's line waits for no disk."""
        try:
            self._book.append(signatures, durable=isinstance(signatures[0], PaymentSignature))
        except OSError as error:
            # How far the line was written is unknown; the process that starts next reads the log again.
            self._unwritable = f"the log of signatures cannot be written: {error.strerror}; start the signer again"
            raise NotJudgedGood("log_unwritable", self._unwritable, later=True) from None
        for one in signatures:
            self._counts.add(one)


def _signature(
    now_ms: int, key: str, lane: str, judged: JudgedPayment, message: SignedMessage, line: SignedLine, octets: str
) -> PaymentSignature:
    content = json.dumps([message.operation, message.reference, *map(str, _facts_of(line))])
    return PaymentSignature(
        now_ms,
        key,
        lane,
        judged.reference,
        judged.attempt,
        judged.kind,
        judged.currency,
        judged.amount_minor,
        hashlib.sha256(content.encode()).hexdigest(),
        octets,
    )


def _refusal(request: SignRequest, word: SignerWord, why: str) -> SignAnswer:
    return SignAnswer(request.number, word, why.encode("ascii", "replace")[:2_000])
