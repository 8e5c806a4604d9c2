"""Cases of one's own: good files become cases, and bad files tell all their mistakes with line, key and remedy."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from gateway import capabilities
from gateway.jointtest.case_files import BadCaseFiles, own_cases
from gateway.jointtest.cases import StepKind
from gateway.jointtest.plan import load_plan
from gateway.jointtest.plays import missing_words
from gateway.jointtest.run_store import RunStore
from gateway.jointtest.session import NotAllowed, open_store
from gateway.jointtest.verdicts import ConditionCause, SeenAt
from tests.gateway.jointtest.samples import sample_cases
from tests.gateway.jointtest.test_plan import written
from tests.gateway.jointtest.test_run_store import now
from tests.house import texts

BANK = capabilities.tried("sample")
GOOD = """
[[case]]
id = "no-cover"
title = "no cover"
cause = "bank"
[[case.step]]
do = "order"
trigger = "refuse"
expect = { states = ["failed"], words = ["余额不足|insufficient_funds"] }
[[case.step]]
do = "ask"
question = "status.query"
fields = { id = "{order}" }

[[case]]
id = "half"
title = "half an answer"
title_zh = "半个应答"
[[case.step]]
do = "order"
kind = "batch_item"
fault = "half"
size = 2
expect = { items = ["settled", "failed"] }

[[case]]
id = "plain"
title = "the catalogue's form"
kinds = ["payment", "transfer"]
play = "order"
expect = { states = ["settled"] }
"""


def files(folder: Path, *contents: str) -> Path:
    for number, text in enumerate(contents):
        (folder / f"own-{number}.toml").write_text(text, "utf-8")
    return folder


def test_good_files_become_cases(tmp_path: Path) -> None:
    found = {case.id: case for case in own_cases(files(tmp_path, GOOD), BANK, sample_cases())}
    assert list(found) == ["no-cover", "half", "plain.payment", "plain.transfer"]
    first = found["no-cover"]
    assert (first.title_zh, first.cause, first.trigger, first.section) == (
        "no cover",
        ConditionCause.BANK,
        "refuse",
        "own-0",
    )
    assert [step.do for step in first.script] == [StepKind.ORDER, StepKind.ASK]
    assert first.script[0].expect.words == ("余额不足|insufficient_funds",) and first.script[0].kind == "payment"
    # A bank cannot be told to make a fault, so a case with one is a twin's unless it says otherwise.
    assert found["half"].seen == (SeenAt.TWIN,) and first.seen == (SeenAt.BANK, SeenAt.TWIN)
    assert own_cases(tmp_path / "nowhere", BANK) == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[case", r"own-0\.toml:1: file: is not TOML"),
        ("x = 1\n", r":1: x: only \[\[case\]\] tables"),
        ("[case]\nid = 'a'", r":1: case: write \[\[case\]\]"),
        ("", r":1: file: has no \[\[case\]\]"),
        ("[[case]]\nid = 'a'\ntitel = 't'", r":3: case a: titel: no such key; did you mean title\?"),
        ("[[case]]\nid = 'a'\nplay = 'ordr'", r":3: case a: play: 'ordr' is not known; did you mean order\?"),
        ("[[case]]\nid = 'a'\ntitle = 't'", r":1: case a: play: is missing; or write \[\[case.step\]\]"),
        ("[[case]]\nid = 'A b'", r":2: case A b: id: needs an id"),
        ("[[case]]\nid = 'probe'", r":2: case probe: id: probe is there already, in the catalogue"),
        ("[[case]]\nid = 'a'\nasks = 'weather'", r":3: case a: asks: 'weather' is not known; there are balance"),
        ("[[case]]\nid = 'a'\nseen = ['moon']", r":3: case a: seen: 'moon' is not known; there are bank, twin"),
        ("[[case]]\nid = 'a'\ntitle = 3", r":3: case a: title: must be text in quotes"),
        ("[[case]]\nid = 'a'\n[[case.step]]\ndo = 'agian'", r":4: case a step 1: do: 'agian' is not known; did you"),
        ("[[case]]\nid = 'a'\n[[case.step]]\ndo = 'again'", r":4: case a step 1: do: no order was given before"),
        (
            "[[case]]\nid = 'a'\n[[case.step]]\ndo = 'line'\nline = 'off'",
            r":5: case a step 1: line: 'off' is not known",
        ),
        ("[[case]]\nid = 'a'\n[[case.step]]\ndo = 'pause'\nseconds = 601", r":5: .*: needs seconds, up to 600"),
        ("[[case]]\nid = 'a'\n[[case.step]]\ndo = 'clock'\ndays = 9", r":5: case a step 1: days: is -1, 0 or 1"),
        ("[[case]]\nid = 'a'\n[[case.step]]\ndo = 'ask'", r":3: case a step 1: question: is missing"),
        ("[[case]]\nid = 'a'\n[[case.step]]\ndo = 'order'\nfault = 'halff'", r":5: .*: 'halff' is not known; did you"),
        ("[[case]]\nid = 'a'\n[[case.step]]\ndo = 'order'\nchange = { a = 1 }", r':5: .* change: write "/a"'),
        (
            "[[case]]\nid = 'a'\n[[case.step]]\ndo = 'order'\n\nexpect = { states = ['setled'], stats = [] }",
            r":6: case a step 1: expect.stats: no such key; did you mean states\?\n.*:6: .*'setled' is not known",
        ),
        (
            "[[case]]\nid = 'a'\n[[case.step]]\ndo = 'order'\nkind = 'batch_item'\nexpect = { items = ['settled'] }",
            r":6: case a step 1: expect.items: names 1 states, and size is 3",
        ),
    ],
)
def test_a_mistake_is_told_with_line_key_and_remedy(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(BadCaseFiles) as refused:
        own_cases(files(tmp_path, text), BANK, sample_cases())
    assert re.search(told, str(refused.value)), str(refused.value)


def test_all_mistakes_of_all_files_are_told_at_once_in_both_languages(tmp_path: Path) -> None:
    one = "[[case]]\nid = 'a'\ntitle = 't'\nplay = 'nothing'\n[[case]]\nid = 'a'\ntitle = 't'\nplay = 'order'\n"
    with pytest.raises(BadCaseFiles) as refused:
        own_cases(files(tmp_path, one, "[[case]]\nid = 'b'\ntitle = 't'\n[[case.step]]\ndo = 'again'\n", "["), BANK)
    assert [(Path(each.file).name, each.line) for each in refused.value.mistakes] == [
        ("own-0.toml", 4),
        ("own-0.toml", 6),
        ("own-1.toml", 5),
        ("own-2.toml", 1),
    ]
    assert refused.value.mistakes[2].said()[1].endswith("用例 b第 1 步：do：之前没有提交过指令；请先提交")


def test_a_run_takes_cases_of_ones_own_later_and_others_never(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    plan_ = replace(load_plan(written(tmp_path / "run")), folder=tmp_path)
    open_store(tmp_path, plan_, sample_cases(), now)
    own = own_cases(files(tmp_path, GOOD), BANK, sample_cases())
    assert open_store(tmp_path, plan_, (*sample_cases(), *own), now).run.cases[-1] == "plain.transfer"
    assert RunStore(tmp_path, now).run.cases[-4:] == tuple(case.id for case in own)
    with pytest.raises(NotAllowed, match="without the cases x; open a new one"):
        open_store(tmp_path, plan_, [*sample_cases(), replace(sample_cases()[0], id="x")], now)


def test_words_are_all_needed_and_alternatives_are_enough() -> None:
    assert missing_words(("a|b", "c"), "b and c") == ""
    assert missing_words(("a|b", "c"), "only c") == "nothing told has the words 'a|b'"


@pytest.mark.parametrize("page", ["docs/do/joint-test.md", "docs/do/joint-test.zh.md"])
def test_the_page_shows_a_file_that_can_be_used(tmp_path: Path, page: str) -> None:
    shown = [one for one in re.findall(r"```toml\n(.*?)```", texts()[page], re.DOTALL) if "[[case.step]]" in one]
    assert len(shown) == 1 and tomllib.loads(shown[0])
    assert own_cases(files(tmp_path, shown[0]), BANK, sample_cases())
