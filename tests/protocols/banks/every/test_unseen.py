"""A money answer that the adapter has never seen decides nothing. Unknown codes are tested with the code tables of all
banks. At banks that sign, unknown content is tested in correctly signed answers. Banks that do not sign have such a
test on whole answers in their own `test_mutations.py`."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from protocols.canon.outcome import Fate
from protocols.kit import codes
from protocols.kit.iso20022 import report
from protocols.kit.iso20022.report import FATES, GroupStatus, PaymentStatus, StatusReport
from tests.protocols.banks.every.bench import EVERY, FINAL
from tests.protocols.banks.finws.paper import stage

DAY = datetime(2026, 11, 24)
DECIDES = {"settled", "failed", "returned", "reversed"}
WORD = st.from_regex("[0-9A-Za-z]{1,8}", fullmatch=True) | st.text(max_size=8)
TEXT = st.text(alphabet="交易成功失败处理中已存在退票ABC019 :;|", max_size=20)


@cache
def tables(name: str) -> codes.Table:
    """The bank's codes in its package."""
    return codes.load(resources.files(f"protocols.banks.{name}").joinpath("codes.toml").read_bytes(), name)


@pytest.mark.parametrize("name", EVERY)
def test_only_codes_that_were_written_out_decide(name: str) -> None:
    """A row for "every code that begins with …" may mean doubt, and never a final outcome. A text alone counts only if
    it is a sentence."""
    for row in tables(name).rows:
        if row.outcome not in DECIDES:
            continue
        # "2/*" is the whole code of one level, whatever the level below says.
        seen = row.code is not None and (not row.code.endswith("*") or row.code.endswith("/*"))
        sentence = (
            row.text is not None and re.escape(row.text.pattern) == row.text.pattern and len(row.text.pattern) > 12
        )
        assert seen or sentence, f"{name}: row {row.number} decides about answers that nobody has seen"


@pytest.mark.parametrize("name", EVERY)
def test_a_code_in_no_row_means_nothing(name: str) -> None:
    table = tables(name)
    places = sorted({(row.operation, row.layer) for row in table.rows})

    @settings(max_examples=60)
    @given(WORD, TEXT)
    def unseen(code: str, text: str) -> None:
        assume("/" not in code and all(row.code != code for row in table.rows))
        for operation, layer in places:
            assert table.look_up(operation, layer, code, text) not in DECIDES, (operation, layer, code, text)

    unseen()


# ---- status files and accounts of finws: signed, so only the bank itself can say something new in them ----


@settings(max_examples=100)
@given(WORD, st.sampled_from(["payment", "group", "file"]))
def test_a_status_that_no_list_has_is_doubt(word: str, where: str) -> None:
    assume(word not in FATES)
    line = PaymentStatus("E1", word if where == "payment" else "")
    groups = (GroupStatus("G1", word if where == "group" else "", (), (line,)),)
    told = StatusReport("M1", DAY, "M0", "pain.001.001.09", word if where == "file" else "", (), groups)
    said = report.said_of(told, "E1")
    assert said is None or (said.fate, said.listed) == (Fate.UNKNOWN, False)


@settings(max_examples=60)
@given(st.sampled_from(["first", "repeat", "file", "booking"]), WORD, TEXT)
def test_a_code_that_finws_never_used_is_doubt(layer: str, code: str, text: str) -> None:
    assume(all(row.code != code for row in tables("finws").rows))
    words: Any = _finws()
    said = words.meanings.word("uploadFile", layer, code, text)
    assert (said.fate, said.listed) == (Fate.UNKNOWN, False) and said.fate not in FINAL


@cache
def _finws() -> Any:
    fate: Any = stage().bank.questions.fate
    return fate.__self__
