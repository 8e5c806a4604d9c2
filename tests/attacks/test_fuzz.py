"""The fuzz targets without a fuzzer: they accept good inputs and thousands of broken ones, and detect planted defects."""

from __future__ import annotations

import random
from unittest.mock import patch

import pytest

from fuzz.__main__ import main
from fuzz.targets import Accepted, Target, _judge, makers
from protocols.canon.outcome import Fate, Outcome
from protocols.kit import xmldoc
from tests.attacks.targets import READY

PARTS = (b"<!-- -->", b"<?a b?>", b"&x;", b"]]>", b"<a/>", b"\0", b"\xff", b"</", b'"', b"9" * 40)
MUTANTS = 30


def broken(target: Target, seed: str, count: int) -> None:
    """Each seed with random cuts, bytes and parts. The target raises what it finds."""
    chance = random.Random(seed)
    for good in target.seeds:
        target.attempt(good)
        for _ in range(count):
            place = chance.randrange(len(good))
            change = chance.choice((*PARTS, bytes((chance.randrange(256),)), b""))
            target.attempt(good[:place] + change + good[place + chance.choice((0, 1, len(change))) :])


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "name", ["parse-utf-8", "parse-gb18030", "gate", "engines", *(f"read-{bank}" for bank in READY)]
)
def test_targets(name: str) -> None:
    broken(makers()[name](), name, MUTANTS)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [f"{what}-{bank}" for what in ("talk", "inside") for bank in READY])
def test_conversations(name: str) -> None:
    broken(makers()[name](), name, 200)


def test_a_parser_that_lets_comments_through_is_found_out() -> None:
    target = makers()["parse-utf-8"]()
    with (
        patch.object(xmldoc, "_scan", lambda *_: None),
        patch.object(xmldoc, "_inspect", lambda *_: None),
        pytest.raises(Accepted),
    ):
        target.attempt(b"<a><!-- --></a>")


def test_engines_that_disagree_are_found_out() -> None:
    target = makers()["engines"]()
    with patch("protocols.kit.dsig.verify._by_xmlsec", lambda *_: False), pytest.raises(Accepted):
        target.attempt(target.seeds[0])


def test_another_word_for_the_same_code_is_found_out() -> None:
    yes = Outcome(Fate.SETTLED, "1")
    _judge(yes, Outcome(Fate.FAILED, "2"))
    _judge(yes, Outcome(Fate.UNKNOWN, "1"))
    with pytest.raises(Accepted):
        _judge(yes, Outcome(Fate.FAILED, "1"))
    with pytest.raises(Accepted):
        _judge({"a": yes}, {"b": yes})


def test_a_name_that_no_target_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "nothing"]) == 64
    assert "read-sample" in capsys.readouterr().err
