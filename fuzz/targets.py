"""The fuzzing targets by name, and the failures: another exception than ProtocolError, or a hostile answer that is
believed.

parse-…     `xmldoc.parse`: what it lets through must be within its own limits
gate        `dsig.verify`, by our own check: what it accepts must be the very octets that were signed
engines     `dsig.verify`, by our own check and with xmlsec: both must give the same answer
read-…      a bank's `read` of the stored answer to a payment
talk-…      a bank's conversations with one answer replaced
inside-…    the same, with the hostile document put where the bank's was and all around it made good again
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from protocols.bank import Sign, Submit
from protocols.canon.order import Kind
from protocols.canon.outcome import Outcome
from protocols.kit import dsig, xmldoc
from protocols.kit.charset import GB18030, UTF8, Charset
from protocols.kit.dsig.verify import Engine
from protocols.kit.errors import ProtocolError
from tests.attacks.run import judged
from tests.attacks.targets import KIT, MINOR, READY, Golden, SignedDocument, goldens, signed_documents
from tests.protocols.banks.every.bench import FINAL, table

Try = Callable[[bytes], None]
_ENGINES: tuple[Engine, Engine] = ("hand", "xmlsec")


class Accepted(Exception):
    """A hostile answer was believed."""


@dataclass(frozen=True)
class Target:
    """One target. `attempt` raises the failure, or nothing; `seeds` are good inputs. The first byte chooses among
    several.
    """

    attempt: Try
    seeds: tuple[bytes, ...]


def _parse(charset: Charset) -> Target:
    def attempt(data: bytes) -> None:
        try:
            root = xmldoc.parse(data, charset)
        except ProtocolError:
            return
        depth, waiting, elements = 0, [root], 0
        while waiting:
            depth += 1
            elements += len(waiting)
            if any(not isinstance(one.tag, str) or len(one.attrib) > xmldoc.MAX_ATTRIBUTES for one in waiting):
                raise Accepted("a comment, an instruction, an entity, or too many attributes")
            waiting = [child for one in waiting for child in one]
        declared = root.getroottree().docinfo.internalDTD is not None
        if depth > xmldoc.MAX_DEPTH or elements > xmldoc.MAX_NODES or declared:
            raise Accepted("beyond a limit")

    found = [spot.document.data for bank in READY for golden in goldens(bank) for _, spot in golden.spots()]
    return Target(attempt, tuple(dict.fromkeys(found)))


def _gate() -> Target:
    documents = [one for bank in (KIT, *READY) for one in signed_documents(bank)]
    good = [dsig.verify(one.data, one.profile, one.pins, today=one.today).parts for one in documents]

    def attempt(data: bytes) -> None:
        number = data[0] % len(documents) if data else 0
        one = documents[number]
        try:
            read = dsig.verify(data[1:], one.profile, one.pins, today=one.today, engine="hand")
        except ProtocolError:
            return
        if read.parts != good[number]:
            raise Accepted(f"{one.profile.name}: other octets than were signed")

    return Target(attempt, tuple(bytes((number,)) + one.data for number, one in enumerate(documents)))


def _engines() -> Target:
    documents = [one for bank in (KIT, *READY) for one in signed_documents(bank)]

    def attempt(data: bytes) -> None:
        one = documents[data[0] % len(documents) if data else 0]
        by_hand, by_xmlsec = (_verified(data[1:], one, engine) for engine in _ENGINES)
        if by_hand != by_xmlsec:
            raise Accepted(f"{one.profile.name}: by hand {by_hand!r:.200}, by xmlsec {by_xmlsec!r:.200}")

    return Target(attempt, tuple(bytes((number,)) + one.data for number, one in enumerate(documents)))


def _verified(data: bytes, one: SignedDocument, engine: Engine) -> tuple[bytes, ...] | None:
    try:
        return dsig.verify(data, one.profile, one.pins, today=one.today, engine=engine).parts
    except ProtocolError:
        return None


def _read(bank: str) -> Target:
    made = table(bank)
    kind = Kind.PAYMENT if Kind.PAYMENT in made.bank.money else next(iter(made.bank.money))
    reference, order = made.reference(), made.order(kind, minor=MINOR)
    talk, answers = made.bank.money[kind](order, made.stage.context(reference)), list[bytes]()
    serials: tuple[str, ...] = ()
    try:
        step = next(talk)
        while True:
            if isinstance(step, Sign):
                step = talk.send(made.stage.signers[step.key](step.octets))
                continue
            money = isinstance(step, Submit)
            serials = step.serials if isinstance(step, Submit) else serials
            answers.append(made.stage.exchange(step.port, step.data, money=money))
            step = talk.send(answers[-1])
    except StopIteration:
        pass
    made.pay(order, reference)
    sent = replace(made.sent[reference], serials=serials)
    good = made.bank.read(kind, sent, answers[-1])

    def attempt(data: bytes) -> None:
        try:
            said = made.bank.read(kind, sent, data)
        except ProtocolError:
            return
        _judge(good, said)

    return Target(attempt, tuple(answers))


def _talk(bank: str) -> Target:
    places = [(golden, at, answer) for golden in goldens(bank) for at, answer in golden.recording.exchanges()]

    def attempt(data: bytes) -> None:
        golden, at, _ = places[data[0] % len(places) if data else 0]
        _heard(golden, at, data[1:])

    seeds = (bytes((number,)) + answer for number, (_, _, answer) in enumerate(places))
    return Target(attempt, tuple(seeds))


def _inside(bank: str) -> Target:
    places = [(golden, at, spot) for golden in goldens(bank) for at, spot in golden.spots()]

    def attempt(data: bytes) -> None:
        golden, at, spot = places[data[0] % len(places) if data else 0]
        # The bank may state anything that it signs, so only a crash would be a failure here.
        _heard(golden, at, spot.put(data[1:]), believed=spot.authentic)

    seeds = (bytes((number,)) + spot.document.data for number, (_, _, spot) in enumerate(places))
    return Target(attempt, tuple(seeds))


def _heard(golden: Golden, at: int, answer: bytes, *, believed: bool = False) -> None:
    said, _ = golden.again(at, answer)
    if believed:
        return
    if golden.signed and judged(golden.said, said, cleans=False).startswith("accepted"):
        raise Accepted(f"{golden.name}: {said!r:.300}")
    _judge(golden.said, said)


def _judge(good: object, said: object) -> None:
    """Judge an unsigned answer: it may be another word of the bank, but the same word must not mean something else."""
    before, after = _outcomes(good), _outcomes(said)
    for key, one in after.items():
        if one.fate in FINAL and key not in before:
            raise Accepted(f"a word about {key!r}, which nobody sent")
        if one.fate in FINAL and one.fate is not before[key].fate and one.code == before[key].code:
            raise Accepted(f"{before[key].fate} {one.code!r} became {one.fate}")


def _outcomes(said: object) -> Mapping[str, Outcome]:
    if isinstance(said, Outcome):
        return {"": said}
    if isinstance(said, Mapping):
        return {str(key): one for key, one in said.items() if isinstance(one, Outcome)}
    return {}


def makers() -> dict[str, Callable[[], Target]]:
    """Every target by name. A target is made only when it is asked for."""
    found: dict[str, Callable[[], Target]] = {
        "parse-utf-8": lambda: _parse(UTF8),
        "parse-gb18030": lambda: _parse(GB18030),
        "gate": _gate,
        "engines": _engines,
    }
    for bank in READY:
        found[f"read-{bank}"] = partial(_read, bank)
        found[f"talk-{bank}"] = partial(_talk, bank)
        found[f"inside-{bank}"] = partial(_inside, bank)
    return found
