"""The fate of a file's payments: from the file's own status, status files about it, and bookings on the account.

A file of one payment and one of thousands are read in the same way. A payment is identified by its own number: InstrId,
or the EndToEndId if that is ours; in a file of its own also by the file's number (MsgId, PmtInfId).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Final

from protocols.bank import Context, Conversation
from protocols.banks.finws import iso
from protocols.banks.finws.files import DOWNLOADS_MAX, File, Files
from protocols.banks.finws.messages import Packed, Turn
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import Sent
from protocols.canon.statement import Direction
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import check_day, plain
from protocols.kit.iso20022 import report
from protocols.kit.iso20022.account import AccountEntry, AccountReport, TransactionDetail
from protocols.kit.iso20022.report import StatusReport
from protocols.kit.meanings import Meanings

# A later source counts more than an earlier one. A booking is the statement of the account itself.
_CLIMB: Final = (Fate.RETURNED, Fate.REVERSED, Fate.SETTLED, Fate.FAILED, Fate.PENDING, Fate.DUPLICATE)
_STATUS_FILE: Final = "pain.002"
_BACK: Final = (Fate.RETURNED, Fate.REVERSED)


@dataclass(frozen=True, slots=True)
class Types:
    """The bank's names for kinds of files, as in its contract with the customer."""

    payment: str
    status: str
    notification: str
    report: str
    statement: str
    collection: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A file that was sent, with its payments. `known`: other numbers that only this file's one payment can have.
    `groups`: its groups' numbers, each with its payments, as far as they were stored."""

    reference: str
    bank_serial: str | None
    bank_date: date
    items: Mapping[str, Sent]
    known: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def item(self, *numbers: str) -> Sent | None:
        """The payment that has one of these numbers."""
        return next((self.items[one] for one in numbers if one in self.items), None)

    @property
    def only(self) -> Sent | None:
        """The file's one payment, if it has one."""
        return next(iter(self.items.values())) if len(self.items) == 1 else None


@dataclass(frozen=True, slots=True)
class _Told:
    """The outcomes of one payment from status files and from bookings. `odd`: statements that contradict what we sent.

    `unclear`: entries for several payments of which nothing shows whether this payment is among them, each with whether
    the entry takes money back. `left_out`, the same for all payments: parts that could not be read, and that may be
    about any payment.
    """

    status: list[Outcome]
    booked: list[Outcome]
    odd: list[str]
    unclear: list[tuple[bool, str]]
    left_out: list[str]


@dataclass(frozen=True, slots=True)
class Climb:
    """Asks about files of one kind. `collects`: they bring money in, so a booked credit settles them."""

    files: Files
    types: Types
    meanings: Meanings
    upload: str
    collects: bool = False

    def fates(self, asked: Asked, context: Context) -> Conversation[dict[str, Outcome]]:
        """The outcome of each payment, by our reference. Raises Declined where the bank does not answer."""
        turn = self.files.wire.turn(context)
        ours = yield from self._uploads_of(asked, context, turn)
        left_out: list[str] = []
        about = {reference: _Told([], [], [], [], left_out) for reference in asked.items}
        yield from self._status_words(asked, ours, context, turn, about)
        yield from self._booking_words(asked, ours, context, turn, about)
        word = self.meanings.word
        # The bank's number is always that of our first upload, as in the outcomes from other files.
        at_bank = [replace(word("uploadFile", "file", one.status), bank_serial=ours[0].reference) for one in ours]
        return {reference: _best(at_bank, told, len(ours)) for reference, told in about.items()}

    def _uploads_of(self, asked: Asked, context: Context, turn: Turn) -> Conversation[tuple[File, ...]]:
        """Our upload at the bank. Two files of its name mean that it arrived twice, although we never send it twice on
        purpose."""
        first, last = _days(asked, context)
        uploads = yield from self.files.listing(self.upload, turn, first=first, last=last)
        return tuple(one for one in uploads if asked.reference == one.name or asked.bank_serial == one.reference)

    # ---- status files ----

    def _status_words(
        self, asked: Asked, ours: tuple[File, ...], context: Context, turn: Turn, about: Mapping[str, _Told]
    ) -> Conversation[None]:
        """The outcomes from status files. For each file of ours the newest status file counts."""
        first, last = _days(asked, context)
        files = yield from self.files.listing(self.types.status, turn, first=first, last=last)
        parents = tuple(one.reference for one in ours)
        answers = tuple(one for one in files if one.parent in parents)
        others = _some(tuple(one for one in files if not one.parent), ours, DOWNLOADS_MAX - len(answers))
        words: dict[str, dict[str, Outcome]] = {reference: {} for reference in about}
        read = sorted((*answers[-DOWNLOADS_MAX:], *others), key=lambda one: (one.made_at, one.reference))
        for file, content in (yield from self.files.downloads(tuple(read), turn)):
            try:
                said, odd = iso.status(content)
            except ProtocolError as error:
                # The file that cannot be read may revoke an earlier status of the same upload.
                why = f"{iso.unread(file, error)}: the upload's own answer"
                unknown = Outcome(Fate.UNKNOWN, "", why, ours[0].reference if ours else None, findings=(why,))
                for reference in words if file.parent else ():
                    words[reference][file.parent] = unknown
                _left_out(about, *(() if file.parent else (iso.unread(file, error),)))
                continue
            if said.original_id != asked.reference:
                if file.parent:
                    raise ProtocolError("correlation", f"a status file answers our upload but not {asked.reference}")
                continue
            # A line that cannot be read may be the only one about a payment.
            _left_out(about, *(f"{file.kind} {plain(said.message_id)}: {one}" for one in said.findings))
            for reference, word in _words_of(said, asked, about).items():
                text = f"{_STATUS_FILE} {word.text}".strip()
                serial = _serial(asked.items[reference], ours)
                told = tuple(f"{file.kind} {plain(said.message_id)}: {one}" for one in odd)
                words[reference][file.parent] = replace(word, text=text, bank_serial=serial, findings=told)
        for reference, by_file in words.items():
            about[reference].status.extend(by_file.values())

    # ---- bookings ----

    def _booking_words(
        self, asked: Asked, ours: tuple[File, ...], context: Context, turn: Turn, about: Mapping[str, _Told]
    ) -> Conversation[None]:
        """The outcomes from bookings: from notifications first, then from statements that were made after them or in
        their place."""
        first, last = _days(asked, context)
        shown_at: dict[str, datetime] = {}
        for kind in (self.types.notification, self.types.statement):
            files = yield from self.files.listing(kind, turn, first=first, last=last)
            if len(shown_at) == len(asked.items):
                # A booking also stands in the statement made after it, so files from before the notification are not
                # read again.
                files = tuple(one for one in files if one.made_at >= min(shown_at.values()))
            for file, content in (yield from self.files.downloads(_some(files, ours, DOWNLOADS_MAX), turn)):
                for reference, word in self._booked_by(file, content, asked, ours, about):
                    about[reference].booked.append(word)
                    shown_at.setdefault(reference, file.made_at)

    def _booked_by(
        self, file: File, content: bytes | Packed, asked: Asked, ours: tuple[File, ...], about: Mapping[str, _Told]
    ) -> Iterable[tuple[str, Outcome]]:
        """The bookings in one file. If it cannot be read, or not to its end, the other files still count."""
        accounts = iter(iso.accounts(content))
        while True:
            try:
                account = next(accounts, None)
            except ProtocolError as error:
                _left_out(about, iso.unread(file, error))
                return
            if account is None:
                return
            if account.unread:
                _left_out(about, *(f"{file.kind} {plain(account.id)}: {one}" for one in account.findings))
            yield from self._booked_in(account, asked, ours, about)

    def _booked_in(
        self, account: AccountReport, asked: Asked, ours: tuple[File, ...], about: Mapping[str, _Told]
    ) -> Iterable[tuple[str, Outcome]]:
        for entry in account.entries:
            if entry.fee:
                continue
            yield from self._booked_together(account, entry, asked, ours, about)
            for detail in entry.details:
                sent = _named(detail, asked)
                # A detail without an amount may be any part of its entry. A return that is not yet booked does not
                # count.
                if entry.direction is self._back and entry.status != "BOOK":
                    continue
                if sent is None or account.account != self._own(sent) or entry.share(detail) is None:
                    continue
                try:
                    yield sent.reference, self._booked(account.kind, entry, detail, sent, ours)
                except ProtocolError as error:
                    _contradicted(asked, about, sent, error)

    def _own(self, sent: Sent) -> str:
        return sent.creditor.clear if self.collects else sent.debtor.clear

    def _booked_together(
        self,
        account: AccountReport,
        entry: AccountEntry,
        asked: Asked,
        ours: tuple[File, ...],
        about: Mapping[str, _Told],
    ) -> Iterable[tuple[str, Outcome]]:
        """The outcomes by one entry for a whole file or group, or by an entry that takes such a booking back.

        It counts for all payments that were not refused, if count and sum are exactly theirs. Otherwise the payments
        that the entry does not name are unclear.
        """
        members = _together(entry, asked)
        details = [(sent, entry.share(one)) for one in entry.details if (sent := _named(one, asked)) is not None]
        named = {sent.reference for sent, share in details if share is not None}
        if members is None or sum(share.minor for _, share in details if share) == entry.amount.minor:
            return
        refused = {name for name, told in about.items() if any(word.fate is Fate.FAILED for word in told.status)}
        left = [one for one in members if one.reference not in refused]
        if any(account.account != self._own(one) for one in left):
            return
        counts = {batch.count for batch in entry.batches} - {None}
        if not _is_all(entry, left, counts):
            # The details may name all payments of the entry without the amount of each.
            left = list({sent.reference: sent for sent, _ in details if sent.reference not in refused}.values())
        back = entry.direction is self._back
        if entry.status != "BOOK" and (back or not _is_all(entry, left, counts)):
            return
        if entry.reversal and not back:
            left = []
        if not left or not _is_all(entry, left, counts):
            words = "takes back" if back else "books"
            why = (
                f"{account.kind} entry {plain(_key(entry))} {words} {entry.amount} of this file in one sum, and "
                "does not say for which payments; ask the bank"
            )
            for one in members:
                if one.reference not in named | refused:
                    about[one.reference].unclear.append((back, why))
            return
        code = entry.status
        if back:
            why_back = any(one.returned for one in entry.details)
            code = "RTRN" if why_back else "RVSL" if entry.reversal else f"{entry.status} {_MARK[self._back]}"
        for sent in left:
            if sent.reference not in named:
                text = f"{account.kind} entry {_key(entry)} for {len(left)} payments together"
                yield sent.reference, replace(self._word(code, text, sent, ours), booked_at=entry.booked_at)

    @property
    def _back(self) -> Direction:
        return Direction.DEBIT if self.collects else Direction.CREDIT

    def _booked(
        self, message: str, entry: AccountEntry, detail: TransactionDetail, sent: Sent, ours: tuple[File, ...]
    ) -> Outcome:
        shown = entry.share(detail)
        if shown != sent.amount:
            raise ProtocolError("correlation", f"{sent.reference}: the account shows {shown}")
        other = detail.debtor if self.collects else detail.creditor
        theirs = sent.debtor if self.collects else sent.creditor
        number = "" if other is None else other.party.account.clear
        if entry.direction is not self._back and entry.reversal:
            raise ProtocolError("correlation", f"{sent.reference}: an entry takes money back that came in")
        if entry.direction is not self._back:
            if number not in ("", theirs.clear):
                raise ProtocolError("correlation", f"{sent.reference}: the account shows another payee's account")
            check_day(entry.booked_on, sent.bank_date, sent.reference)
        key = detail.bank_reference or _key(entry)
        code, text = entry.status, f"{message} entry {key}"
        if entry.direction is self._back:
            # A person must look at money that comes back with our own reference and without a reason.
            code = "RTRN" if detail.returned else "RVSL" if entry.reversal else f"{entry.status} {_MARK[self._back]}"
            why = "; ".join(f"{one.code} {one.text}".strip() for one in detail.reasons)
            text = f"{message} entry {key} {why}".strip()
        return replace(self._word(code, text, sent, ours), booked_at=entry.booked_at)

    def _word(self, code: str, text: str, sent: Sent, ours: tuple[File, ...]) -> Outcome:
        return replace(self.meanings.word("uploadFile", "booking", code, plain(text)), bank_serial=_serial(sent, ours))


_MARK: Final = {Direction.CREDIT: "CRDT", Direction.DEBIT: "DBIT"}


def _left_out(about: Mapping[str, _Told], *sentences: str) -> None:
    """Record the parts that could not be read, once, because all payments share the list."""
    for told in list(about.values())[:1]:
        told.left_out.extend(sentences)


def _contradicted(asked: Asked, about: Mapping[str, _Told], sent: Sent, error: ProtocolError) -> None:
    """Record that one payment of several is in doubt, so that the others keep their outcomes. Raises if it is the only
    one."""
    if asked.only is not None:
        raise error
    about[sent.reference].odd.append(error.text)


def _words_of(said: StatusReport, asked: Asked, about: Mapping[str, _Told]) -> dict[str, Outcome]:
    """The outcome of each of our payments that the report names."""
    strangers, only = False, asked.only
    groups = []
    for group in said.groups:
        lines = []
        for line in group.payments:
            sent = asked.item(line.instruction_id, line.end_to_end_id)
            if sent is None and only is not None:
                if line.instruction_id or line.end_to_end_id not in ("", *asked.known):
                    raise ProtocolError("correlation", f"a status of {line.end_to_end_id}, not {asked.reference}")
                sent = only
            if sent is None:
                strangers = True
                continue
            if line.amount not in (None, sent.amount):
                error = ProtocolError("correlation", f"{sent.reference}: the status is about {line.amount}")
                _contradicted(asked, about, sent, error)
                continue
            lines.append(replace(line, end_to_end_id=sent.reference))
        groups.append(replace(group, payments=tuple(lines)))
    own, rest = report.said_by_payment(replace(said, groups=tuple(groups)))
    if only is None and [one.id for one in groups] not in ([], [asked.reference]):
        # The report is about one of several groups, or about another file: its group status is not about the other
        # payments.
        rest = report.said_by_payment(replace(said, groups=()))[1]
    if strangers:
        # One of our payments may stand in the report under another number, so the group status may not be about it.
        rest = None
    found = {reference: own.get(reference, rest) for reference in asked.items}
    return {reference: word for reference, word in found.items() if word is not None}


def _together(entry: AccountEntry, asked: Asked) -> list[Sent] | None:
    """The payments of the group or file that an entry names; None if it names none of ours.

    A group is named by its number; a number that we do not know, in a message of ours, may stand for any part of the
    message.
    """
    named = [(one.message_id, one.group_id) for one in entry.batches] + [
        (one.message_id, one.group_id) for one in entry.details if _named(one, asked) is None
    ]
    found = {pair for pair in named if asked.reference in (pair[0], pair[1].partition("-")[0])}
    if not found or len(entry.batches) > 1:
        return None
    groups = {group for _, group in found}
    if len(groups) == 1 and (group := groups.pop()) in asked.groups:
        return [asked.items[one] for one in asked.groups[group]]
    return list(asked.items.values())


def _is_all(entry: AccountEntry, sent: Sequence[Sent], counts: Collection[int | None]) -> bool:
    """Whether an entry is for exactly these payments, by its sum, and by its count if it states one."""
    same = all(one.amount.currency == entry.amount.currency for one in sent)
    return same and sum(one.amount.minor for one in sent) == entry.amount.minor and {*counts} <= {len(sent)}


def _named(detail: TransactionDetail, asked: Asked) -> Sent | None:
    found = asked.item(detail.instruction_id, detail.end_to_end_id)
    if found is None and asked.reference in (detail.group_id, detail.message_id):
        return asked.only
    return found


def _best(at_bank: Sequence[Outcome], told: _Told, files: int) -> Outcome:
    """The outcome that counts among all that were found for a payment."""
    words = [*at_bank, *told.status, *told.booked]
    if told.odd:
        return Outcome(Fate.UNKNOWN, "", "; ".join(dict.fromkeys(told.odd)), words[0].bank_serial if words else None)
    left_out = tuple(dict.fromkeys(told.left_out))
    if not words:
        return Outcome(Fate.NOT_FOUND, "24", "in no list, status file or account report", findings=left_out)
    refused = [word for word in told.status if word.fate is Fate.FAILED]
    back = any(word.fate in _BACK for word in told.booked)
    if refused and not back and any(word.fate is Fate.SETTLED for word in words):
        return Outcome(Fate.UNKNOWN, "RJCT", "refused by one file, booked by another", words[0].bank_serial)
    if refused and len(refused) < files:
        return Outcome(Fate.UNKNOWN, "RJCT", "refused, but not every file of this name", words[0].bank_serial)
    settled = any(word.fate is Fate.SETTLED for word in told.booked)
    unclear = [why for takes_back, why in told.unclear if takes_back or not settled]
    if unclear and not back and not refused:
        why = "; ".join(dict.fromkeys(unclear))
        return Outcome(Fate.UNKNOWN, "", why, words[0].bank_serial, findings=(*dict.fromkeys(unclear), *left_out))
    best = next((word for fate in _CLIMB for word in words[::-1] if word.fate is fate), words[-1])
    told_odd = (*(one for word in words for one in word.findings), *left_out)
    best = replace(best, findings=tuple(dict.fromkeys(told_odd)))
    shown = [word.text for word in told.booked if word.fate is best.fate]
    return replace(best, text="; ".join(dict.fromkeys(shown))) if shown else best


def _days(asked: Asked, context: Context) -> tuple[date, date]:
    around = timedelta(days=1)
    return asked.bank_date - around, max(asked.bank_date, context.bank_date) + around


def _some(files: tuple[File, ...], ours: tuple[File, ...], most: int) -> tuple[File, ...]:
    """The files to read now: the first ones since our file arrived, which show its outcome, and the newest, which show
    returns."""
    since = min((one.made_at for one in ours), default=None)
    later = tuple(one for one in files if since is None or one.made_at >= since)
    if len(later) <= most:
        return later
    newest = max(most, 0) // 2
    return later[: max(most, 0) - newest] + (later[-newest:] if newest else ())


def _serial(sent: Sent, ours: tuple[File, ...]) -> str | None:
    return ours[0].reference if ours else sent.bank_serial


def _key(entry: AccountEntry) -> str:
    return entry.bank_reference or entry.reference
