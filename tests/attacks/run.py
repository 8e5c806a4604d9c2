"""Carries out attacks, judges the result of each, and counts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Final

from lxml import etree

from protocols.canon.outcome import Fate, Outcome
from protocols.canon.party import Name
from protocols.canon.statement import Page, ReturnsPage
from protocols.kit import dsig
from protocols.kit.dsig.verify import Engine
from protocols.kit.errors import ProtocolError
from tests.attacks import trap
from tests.attacks.kind import AttackKind, Attempt, ReadAlike
from tests.attacks.kinds_value import DECEIVING
from tests.attacks.summing import AttackSum
from tests.attacks.targets import KIT, UNFINISHED, Golden, SignedDocument, goldens, signed_documents

ENGINES: Final[tuple[Engine, ...]] = ("xmlsec", "hand")
BUDGET_S: Final = 0.050
"""The longest time that one hostile message may take from the reactor, on one core of a small machine."""
FILE_S_PER_BYTE: Final = 0.015 / 1_000_000
FILE_MAX_BYTES: Final = 16_777_216
"""A message that asks for a file may take FILE_S_PER_BYTE for each byte of the answer, up to FILE_MAX_BYTES, if
that is more."""
TRIES: Final = 5
YARDSTICK_S: Final = 0.0025
"""CPU seconds of `yardstick` on such a machine while it does nothing else."""
PARSER_KINDS: Final = 34
"""Up to here it does not matter what a document says."""
HEAVY: Final = frozenset((*range(17, 24), 116, 117))
LEAVES: Final = 3
IDENTIFIERS: Final = frozenset(
    ("bank_serial", "bank_line_id", "reference", "counterparty_account", "code", "cursor", "ticket", "clear")
)
"""Fields that go back to the bank or are compared, character by character; they are escaped where people read them."""


@dataclass
class AttackCounts:
    """The counts of a run. It fails if any case is `accepted` or `slow`."""

    cases: int = 0
    kinds: set[int] = field(default_factory=set)
    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    worst_s: float = 0.0
    worst: str = ""
    accepted: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    differently: list[str] = field(default_factory=list)

    def add(self, kind: AttackKind, what: str, word: str, spent_s: float, most_s: float = BUDGET_S) -> None:
        """Count one case, which may take at most `most_s` seconds."""
        self.cases += 1
        self.kinds.add(kind.number)
        self.verdicts[word.partition(" ")[0]] += 1
        if spent_s > self.worst_s:
            self.worst_s, self.worst = spent_s, what
        if spent_s > most_s:
            self.slow.append(f"{what}: {spent_s * 1000:.0f} ms")
        if word.startswith("differently"):
            self.differently.append(f"{what}: {word}")
        if word.startswith("accepted"):
            self.accepted.append(f"{what}: {word}")

    def sum(self) -> AttackSum:
        """The values that a run's summary needs."""
        return AttackSum(self.kinds, self.cases, len(self.accepted), self.worst_s * 1000)


@dataclass(frozen=True, slots=True)
class Case:
    """A hostile answer, its conversation and its place there. `plain`: the answer with the same meaning in usual
    notation, if there is one."""

    golden: Golden
    at: int
    answer: bytes
    what: str
    plain: bytes | None = None

    @property
    def most_s(self) -> float:
        """The largest number of seconds that the case may take."""
        if not self.golden.brings_a_file(self.at):
            return BUDGET_S
        return max(BUDGET_S, FILE_S_PER_BYTE * min(len(self.answer), FILE_MAX_BYTES))


def documents(bank: str, kind: AttackKind, *, every: bool = False) -> Iterator[Case]:
    """The hostile answers of a kind against a bank: one document of each shape and some of its leaves, or `every`
    document, and of each shape every leaf.

    What is heavy to make is made for one conversation only.
    """
    seen: set[object] = set()
    for golden in goldens(bank)[: 1 if kind.number in HEAVY and not every else None]:
        for at, spot in golden.spots():
            leaves = tuple({leaf.name: 0 for leaf in spot.document.leaves})
            shape = (spot.document.root, spot.authentic, leaves if kind.number > PARSER_KINDS else ())
            known = shape in seen
            if kind.on_document is None or (known and not every):
                continue
            seen.add(shape)
            if known or not every:
                spot = replace(spot, document=replace(spot.document, most=LEAVES))
            for number, hostile in enumerate(kind.on_document(spot)):
                what = f"{spot.name}, variant {number}"
                if isinstance(hostile, ReadAlike):
                    plain = spot.put(hostile.plain) if hostile.plain else b""
                    yield Case(golden, at, spot.put(hostile.hostile), what, plain)
                else:
                    yield Case(golden, at, spot.put(hostile), what)
        if kind.on_talk is not None:
            for number, (at, answer) in enumerate(kind.on_talk(golden)):
                yield Case(golden, at, answer, f"whole answer, variant {number}")


def attack_bank(bank: str, kind: AttackKind, tally: AttackCounts, *, every: bool = False) -> None:
    """Run every case of a kind against a bank."""
    for case in documents(bank, kind, every=every) if bank != KIT else ():
        where = f"{kind.number} {kind.name}; {case.golden.name}; answer {case.at}, {case.what}"
        tally.add(kind, where, *_heard(kind, case), case.most_s)
    if kind.on_signature is None:
        return
    for target in signed_documents(bank):
        for number, hostile in enumerate(kind.on_signature(target)):
            where = f"{kind.number} {kind.name}; {bank}, {target.profile.name}; variant {number}"
            word, spent_s = verified(target, hostile)
            spent_s = least(spent_s, lambda one=target, bad=hostile: verified(one, bad)[1])  # type: ignore[misc]
            tally.add(kind, where, word, spent_s)
            if bank != KIT and isinstance(hostile, bytes):
                _in_talk(bank, kind, target, hostile, where, tally)


def yardstick() -> None:
    """A fixed amount of work, similar to that of reading an answer."""
    document = ("<a>" + '<b c="1">2345678 90123</b>' * 4_000 + "</a>").encode()
    document.decode().count("<")
    etree.tostring(etree.fromstring(document), method="c14n")


def slowness() -> float:
    """The factor by which this machine is slower at the moment, because others use it too; at least 1.

    Processor time is not stolen, but it grows where caches and cores are shared.
    """
    least = 1e9
    for _ in range(2 * TRIES):
        begun_s = time.process_time()
        yardstick()
        least = min(least, time.process_time() - begun_s)
    return max(1.0, least / YARDSTICK_S)


def least(first_s: float, again_s: Callable[[], float], most_s: float = BUDGET_S) -> float:
    """The seconds that a case takes on an idle machine. If they are many, the best of several tries counts."""
    if first_s <= most_s:
        return first_s
    best_s = min(first_s, *(again_s() for _ in range(TRIES)))
    return best_s if best_s <= most_s else best_s / slowness()


def _heard(kind: AttackKind, case: Case) -> tuple[str, float]:
    """The judgement of one answer and the CPU seconds it took. If they are many, the best of several tries counts."""
    said, spent_s = case.golden.again(case.at, case.answer)
    spent_s = least(spent_s, lambda: case.golden.again(case.at, case.answer)[1], case.most_s)
    word = judged(case.golden.said, said, kind.cleans)
    if word.startswith("accepted") and case.plain is not None:
        likened = not case.plain or said == case.golden.again(case.at, case.plain)[0]
        return "faithful" if likened else word, spent_s
    return word, spent_s


def _in_talk(
    bank: str, kind: AttackKind, target: SignedDocument, hostile: bytes, where: str, tally: AttackCounts
) -> None:
    """Judges the hostile document in the conversation where the bank would have sent the good one."""
    for golden in goldens(bank):
        for at, spot in golden.spots():
            if spot.document.data == target.data:
                case = Case(golden, at, spot.put(hostile), spot.name)
                tally.add(kind, f"{where}, in {golden.name}", *_heard(kind, case), case.most_s)
                return
    raise AssertionError(f"{where}: in no conversation")


def verified(target: SignedDocument, hostile: bytes | Attempt) -> tuple[str, float]:
    """The verdict `refused`, or the octets that were signed; "differently" if the two ways of verifying disagree."""
    good = dsig.verify(target.data, target.profile, target.pins, today=target.today)
    words, longest_s = set[str](), 0.0
    for engine in ENGINES:
        begun_s = time.process_time()
        try:
            if not isinstance(hostile, bytes):
                hostile()
                words.add("accepted: what must not be")
            else:
                read = dsig.verify(hostile, target.profile, target.pins, today=target.today, engine=engine)
                words.add("same" if read.parts == good.parts else "accepted: other octets than were signed")
        except ProtocolError as error:
            words.add(f"refused {error.reason}")
        longest_s = max(longest_s, time.process_time() - begun_s)
    if any(word.startswith("accepted") for word in words):
        return " / ".join(sorted(words)), longest_s
    return words.pop() if len(words) == 1 else f"differently {sorted(words)}", longest_s


def judged(golden: object, said: object, cleans: bool) -> str:
    """The verdict about a case as one word: refused, same, doubt, left out, cleaned or accepted; after "accepted" also
    the text that was believed."""
    if isinstance(said, ProtocolError):
        return f"refused {said.reason}"
    if trap.CANARY in repr(said):
        return "accepted: it shows the content of another file"
    # Findings about an answer's form are read by people and shown by terminals, so they must not deceive either.
    shown = [text for one in _findings(said) for text in _texts(one) if _deceives(text)]
    if shown:
        return f"accepted: a finding says {shown[0]!r}"
    if said == golden or _told(said) == _told(golden):
        return "same"
    if _in_doubt(golden, said):
        return "doubt"
    if _left_out(golden, said):
        return "left out"
    if cleans:
        deceives = [text for text in _texts(said) if _deceives(text)]
        return f"accepted: {deceives[0]!r} is what people would read" if deceives else "cleaned"
    return f"accepted: {_difference(golden, said)}"


def _deceives(text: str) -> bool:
    """True if a person who reads this text on a screen sees another text than its characters say."""
    return not text.isprintable() or any(one in text for one in DECEIVING)


def _findings(said: object) -> Iterator[object]:
    """The texts of an answer's findings, at any depth."""
    if isinstance(said, Mapping):
        for one in said.values():
            yield from _findings(one)
    elif isinstance(said, tuple):
        for one in said:
            yield from _findings(one)
    elif is_dataclass(said) and not isinstance(said, type):
        for one in fields(said):
            if one.name == "findings":
                yield getattr(said, one.name)
            else:
                yield from _findings(getattr(said, one.name))


def _told(said: object) -> object:
    """The content of an answer without the findings about its form, which are for people."""
    if isinstance(said, Mapping):
        return {key: _told(one) for key, one in said.items()}
    if is_dataclass(said) and not isinstance(said, type) and any(one.name == "findings" for one in fields(said)):
        return replace(said, findings=())
    return said


def _in_doubt(golden: object, said: object) -> bool:
    """True if the answer claims nothing: the conversation continues, or money that was final is in doubt."""
    if said is UNFINISHED:
        return True
    before, after = _outcomes(golden), _outcomes(said)
    if before is None or after is None or not after.keys() <= before.keys():
        return False
    return all(_claims_nothing(before[key], one) for key, one in after.items())


def _claims_nothing(before: Outcome, after: Outcome) -> bool:
    if after.fate is Fate.PENDING and before.fate is Fate.PENDING:
        after = replace(after, code=before.code, text=before.text, listed=before.listed)
    return _told(after) == _told(before) or after.fate is Fate.UNKNOWN or _waits(before, after)


def _waits(before: Outcome, after: Outcome) -> bool:
    """True if the payment waits: an unreadable part is left out, and the answer says so."""
    same = after.bank_serial in (before.bank_serial, None) and after.booked_at in (before.booked_at, None)
    return after.fate is Fate.PENDING and same and bool(set(after.findings) - set(before.findings))


def _left_out(golden: object, said: object) -> bool:
    """True if the unreadable part is missing and all the rest is unchanged."""
    if golden == said or said is None or _rows_unread(golden, said):
        return True
    if isinstance(golden, tuple) and isinstance(said, tuple):
        return len(golden) == len(said) and all(map(_left_out, golden, said))
    if isinstance(golden, Mapping) and isinstance(said, Mapping):
        return golden.keys() == said.keys() and all(_left_out(golden[key], said[key]) for key in golden)
    if type(golden) is type(said) and is_dataclass(golden) and not isinstance(golden, type):
        return all(_left_out(getattr(golden, one.name), getattr(said, one.name)) for one in fields(golden))
    return False


def _rows_unread(golden: object, said: object) -> bool:
    """True if some rows of a list are unreadable, the answer says so, and the other rows are unchanged."""
    if isinstance(golden, Page) and isinstance(said, Page):
        missing = len(golden.lines) - len(said.lines)
        balances = said.opening in (golden.opening, None) and said.closing in (golden.closing, None)
        told = bool(set(said.findings) - set(golden.findings))
        return told and balances and 0 <= missing <= said.unread and set(said.lines) <= set(golden.lines)
    if isinstance(golden, ReturnsPage) and isinstance(said, ReturnsPage):
        missing = len(golden.returns) - len(said.returns)
        return missing > 0 and len(said.findings) >= missing and set(said.returns) <= set(golden.returns)
    return False


def _outcomes(said: object) -> Mapping[str, Outcome] | None:
    if isinstance(said, Outcome):
        return {"": said}
    if isinstance(said, Mapping) and all(isinstance(one, Outcome) for one in said.values()):
        return said
    return None


def _texts(said: object) -> Iterator[str]:
    if isinstance(said, str):
        yield said
    elif is_dataclass(said) and not isinstance(said, type):
        if isinstance(said, Name):
            yield said.clear
        for one in fields(said):
            if one.name not in IDENTIFIERS:
                yield from _texts(getattr(said, one.name))
    elif isinstance(said, Mapping):
        for value in said.values():
            yield from _texts(value)
    elif isinstance(said, Iterable) and not isinstance(said, bytes):
        for value in said:
            yield from _texts(value)


def _difference(golden: object, said: object) -> str:
    if type(golden) is type(said) and is_dataclass(golden) and not isinstance(golden, type):
        for one in fields(golden):
            before, after = getattr(golden, one.name), getattr(said, one.name)
            if before != after:
                return f"{one.name}: {_difference(before, after)}"
    if isinstance(golden, tuple) and isinstance(said, tuple) and len(golden) == len(said):
        return next((_difference(a, b) for a, b in zip(golden, said) if a != b), "nothing")
    return f"{golden!r:.200} became {said!r:.200}"
