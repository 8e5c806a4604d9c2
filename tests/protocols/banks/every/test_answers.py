"""Every bank's answers about money, broken in every way: each is refused, doubt, unchanged, or another documented
status.

An answer is recorded once, from the bank's own twin. Then the conversation is held again with the very same bytes but
one change. What must never happen: another exception than ProtocolError, or a final fate that the bank did not say.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial

import pytest

from protocols.bank import MoneyStep, Sign, Submit
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import BundleFateQuestion, FateQuestion
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.every.bench import EVERY, FINAL, Table, bundled, kinds, table

Said = Outcome | Mapping[str, Outcome]
Talk = Generator[MoneyStep, bytes, Said]
MUTANTS, SECONDS, CUTS, NOISES = 300, 0.6, 15, 8
PARTS = 40
"""The exhaustive tests are cut into so many, by place, so that all cost the same: a signed answer costs milliseconds."""
ALIKE_EACH = 20
"""Of an answer whose tags are those of an earlier one, in their order, each so manieth place is tried, with one change. A
Finnish bank's conversations have 60 answers of 3 shapes: all places of all of them take hours and prove the same again."""
_TAG = re.compile(rb"<([^\s!?>]+)")
_LEAF = re.compile(rb"(?<=>)[^<>\s][^<>]*(?=</)")


@dataclass(frozen=True)
class Recording:
    """A conversation that can be repeated, with the answers of its first run."""

    name: str
    begin: Callable[[], Talk]
    answers: tuple[bytes, ...]
    signed: frozenset[int]
    golden: Said

    def again(self, at: int, answer: bytes) -> Said | ProtocolError:
        """Repeat it with answer number `at` changed."""
        talk = self.begin()
        try:
            next(talk)
            for number, told in enumerate(self.answers):
                talk.send(answer if number == at else told)
        except StopIteration as end:
            said: Said = end.value
            return said
        except ProtocolError as error:
            return error
        finally:
            talk.close()
        # A changed answer may lead to one more step; it has no outcome yet.
        return Outcome(Fate.UNKNOWN, "unfinished")

    def exchanges(self) -> Iterator[tuple[int, bytes]]:
        """The answers that came over the connection."""
        return ((at, one) for at, one in enumerate(self.answers) if at not in self.signed)


def record(made: Table, name: str, begin: Callable[[], Talk]) -> Recording:
    """Run the conversation with the twin and record it."""
    talk, answers, signed = begin(), list[bytes](), set[int]()
    try:
        step = next(talk)
        while True:
            if isinstance(step, Sign):
                signed.add(len(answers))
                answers.append(made.stage.signers[step.key](step.octets))
            else:
                answers.append(made.stage.exchange(step.port, step.data, money=isinstance(step, Submit)))
            step = talk.send(answers[-1])
    except StopIteration as end:
        return Recording(name, begin, tuple(answers), frozenset(signed), end.value)


@cache
def recordings(name: str) -> tuple[Recording, ...]:
    """The conversations to break: a success, a refusal, and the enquiries about both, alone and together."""
    found: list[Recording] = []
    for kind in kinds(name):
        for purpose in ("货款", "货款 #refuse", "货款 #late"):
            made = table(name)
            reference, order = made.reference(), made.order(kind, purpose=purpose)
            context = made.stage.context(reference)
            word = made.bank.money[kind]
            found.append(record(made, f"{kind} {purpose}", lambda w=word, o=order, c=context: w(o, c)))  # type: ignore[misc]
            made.pay(order, reference)  # a repeat, made only so that the question has its keys
            ask, asking = made.bank.questions.fate, made.stage.context()
            assert ask is not None
            question = FateQuestion(made.sent[reference])
            found.append(record(made, f"fate of {kind} {purpose}", lambda a=ask, q=question, c=asking: a(q, c)))  # type: ignore[misc]
    for kind in bundled(name):
        made = table(name)
        bundle, reference = made.bundle(kind, ("货款", "货款 #refuse", "货款"))
        context, rule = made.stage.context(reference), made.bank.bundles[kind]
        found.append(record(made, f"bundle of {kind}", lambda r=rule, b=bundle, c=context: r.word(b, c)))  # type: ignore[misc]
        made.pay_bundle(bundle, reference)
        known, asking = BundleFateQuestion(made.bundles[reference]), made.stage.context()
        found.append(record(made, f"fate of a bundle of {kind}", lambda r=rule, q=known, c=asking: r.fate(q, c)))  # type: ignore[misc]
    return tuple(found)


def outcomes(said: Said) -> Mapping[str, Outcome]:
    return {"": said} if isinstance(said, Outcome) else said


def judged(recording: Recording, said: Said | ProtocolError, what: str, *, listed: bool = True) -> bool:
    """True if a broken answer was refused. Fails if it gave a final outcome that the bank did not state.

    `listed`: the change may have made another word of the bank's own list.
    """
    if isinstance(said, ProtocolError):
        return True
    golden = outcomes(recording.golden)
    for reference, one in outcomes(said).items():
        if one.fate not in FINAL:
            continue
        was = golden.get(reference)
        if was is None and one.code == "unfinished":
            continue
        assert was is not None, f"{recording.name}, {what}: a word about {reference}, which nobody sent"
        if one.fate is not was.fate:
            assert listed and one.code != was.code, (
                f"{recording.name}, {what}: {was.fate} {was.code!r} became {one.fate} {one.code!r}"
            )
    return False


each_bank = pytest.mark.parametrize("name", EVERY)


def others(byte: int, chance: random.Random) -> set[int]:
    """The bytes that replace a byte."""
    return {byte ^ 1, byte ^ 0x20, chance.randrange(256), ord("<"), ord("0")} - {byte}


def broken(recording: Recording, at: int, answer: bytes, place: int, other: int) -> bool:
    """True if an answer with one byte replaced was refused."""
    changed = answer[:place] + bytes((other,)) + answer[place + 1 :]
    return judged(recording, recording.again(at, changed), f"answer {at}, byte {place} is {other}")


@each_bank
def test_one_byte_changed(name: str) -> None:
    """As many places are changed as fit into SECONDS of CPU time, at least MUTANTS, in each recorded answer in turn."""
    chance, began_s = random.Random(name), time.process_time()
    targets = [(recording, at, answer) for recording in recordings(name) for at, answer in recording.exchanges()]
    refused = tried = 0
    while tried < MUTANTS or time.process_time() - began_s < SECONDS:
        recording, at, answer = targets[tried % len(targets)]
        place = chance.randrange(len(answer))
        refused += broken(recording, at, answer, place, chance.choice(sorted(others(answer[place], chance))))
        tried += 1
    assert refused > 0


def shapes(name: str) -> Iterator[tuple[Recording, int, bytes, bool]]:
    """Each recorded answer, and whether it is the first one with its tags. An answer without tags counts as a first
    one."""
    seen = set[tuple[bytes, ...]]()
    for recording in recordings(name):
        for at, answer in recording.exchanges():
            shape = tuple(_TAG.findall(answer)) or (answer,)
            yield recording, at, answer, shape not in seen
            seen.add(shape)


def places(answer: bytes, part: int, first: bool) -> range:
    """The places that belong to a part. Each place is in one of the PARTS; of an answer that is similar to an earlier
    one, only each ALIKE_EACH-th place counts."""
    return range(part, len(answer), PARTS) if first else range(part * ALIKE_EACH, len(answer), PARTS * ALIKE_EACH)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@each_bank
def test_one_byte_changed_at_every_place(name: str, part: int) -> None:
    """Each byte of each form of answer is replaced in every way, one at a time."""
    chance = random.Random(name)
    refused = 0
    for recording, at, answer, first in shapes(name):
        for place in places(answer, part, first):
            ways = sorted(others(answer[place], chance))
            for other in ways if first else (chance.choice(ways),):
                refused += broken(recording, at, answer, place, other)
    assert refused > 0


@each_bank
def test_every_place_of_each_shape_is_in_a_part(name: str) -> None:
    found = list(shapes(name))
    assert {tuple(_TAG.findall(one)) for _, _, one, _ in found} == {
        tuple(_TAG.findall(one)) for _, _, one, first in found if first
    }
    for _, _, answer, first in found:
        tried = [place for part in range(PARTS) for place in places(answer, part, first)]
        assert sorted(tried) == list(range(0, len(answer), 1 if first else ALIKE_EACH))


@each_bank
def test_an_answer_that_is_cut_is_no_answer(name: str) -> None:
    chance = random.Random(name)
    for recording in recordings(name):
        for at, answer in recording.exchanges():
            for length in sorted(chance.sample(range(len(answer)), min(CUTS, len(answer)))):
                said = recording.again(at, answer[:length])
                judged(recording, said, f"answer {at} cut after {length} bytes", listed=False)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@each_bank
def test_an_answer_that_is_cut_anywhere_is_no_answer(name: str, part: int) -> None:
    """The answer is cut after every byte, for each form of answer."""
    for recording, at, answer, first in shapes(name):
        for length in places(answer, part, first):
            said = recording.again(at, answer[:length])
            judged(recording, said, f"answer {at} cut after {length} bytes", listed=False)


@each_bank
def test_noise_is_refused(name: str) -> None:
    chance = random.Random(name)
    for recording in recordings(name):
        for at, _answer in recording.exchanges():
            for _ in range(NOISES):
                noise = chance.randbytes(chance.randrange(1, 400))
                said = recording.again(at, noise)
                assert isinstance(said, ProtocolError), f"{recording.name}: noise was taken for {said}"


@each_bank
def test_a_word_never_seen_is_never_final(name: str) -> None:
    """Each piece of text in each answer in turn is replaced by a word that no bank uses."""
    refused = 0
    for recording in recordings(name):
        for at, answer in recording.exchanges():
            for found in _LEAF.finditer(answer):
                changed = answer[: found.start()] + b"ZZ9Q" + answer[found.end() :]
                what = f"answer {at}: {found.group()[:30]!r} replaced"
                refused += judged(recording, recording.again(at, changed), what, listed=False)
    assert refused > 0 or not any(_LEAF.search(one) for each in recordings(name) for _, one in each.exchanges())


@each_bank
def test_anothers_answer_is_refused(name: str) -> None:
    """The answer to one payment is given to another, whose reference and amount differ."""
    for kind in kinds(name):
        made, other = table(name), table(name)
        other.reference()  # so that the two references differ
        mine = made.reference()
        theirs, order = other.reference(), other.order(kind, minor=7_654_321)
        word = made.bank.money[kind]
        context = made.stage.context(mine)
        first = record(made, f"{kind}", partial(word, made.order(kind), context))
        second = record(other, f"{kind}", partial(word, order, other.stage.context(theirs)))
        for (at, _), (_, foreign) in zip(first.exchanges(), second.exchanges(), strict=False):
            said = first.again(at, foreign)
            if not isinstance(said, ProtocolError):
                assert isinstance(said, Outcome)
                assert said.fate not in FINAL, f"{name} {kind}: another payment's answer was believed"


def test_the_judge_sees_a_wrong_word() -> None:
    yes = Recording("x", lambda: (_ for _ in ()), (), frozenset(), Outcome(Fate.FAILED, "1"))  # type: ignore[arg-type, return-value]
    with pytest.raises(AssertionError):
        judged(yes, Outcome(Fate.SETTLED, "1"), "a byte")
    with pytest.raises(AssertionError):
        judged(yes, Outcome(Fate.SETTLED, "2"), "a word", listed=False)
    assert not judged(yes, Outcome(Fate.SETTLED, "2"), "a byte")
    assert not judged(yes, Outcome(Fate.UNKNOWN), "a byte")


def test_some_kind_everywhere() -> None:
    assert all(Kind.PAYMENT in kinds(name) or bundled(name) for name in EVERY)
