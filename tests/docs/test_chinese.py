"""A reader of Chinese alone does every job of the first pages, in the words that finance and banks write."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.docs.chinese_words import astray, codes, halfwidth, targets, wrong_terms
from tests.house import product, texts

CHINESE = sorted(path for path in texts() if path.endswith(".zh.md"))
BILINGUAL = ["docs/understand/glossary.md"]
FIRST = ["README.zh.md", *(path for path in CHINESE if path.startswith("docs/learn/"))]
# Every page of these folders has a twin, so that no job leads through English.
WHOLE = ("docs/learn/", "docs/do/")


def test_punctuation_beside_chinese_is_full_width() -> None:
    assert [(path, found) for path in (*CHINESE, *BILINGUAL) for found in halfwidth(texts()[path])] == []


def test_one_thing_has_one_term() -> None:
    assert [(path, found) for path in (*CHINESE, *BILINGUAL) for found in wrong_terms(texts()[path])] == []


def test_links_go_to_the_chinese_page_where_there_is_one() -> None:
    assert [(path, found) for path in CHINESE for found in astray(path, texts()[path], texts().__contains__)] == []


@pytest.mark.parametrize("path", FIRST)
def test_no_first_page_sends_its_reader_to_an_english_page(path: str) -> None:
    english = {
        target
        for _words, target in targets(path, texts()[path])
        if target.endswith(".md") and not target.endswith(".zh.md") and target != path.replace(".zh.md", ".md")
    }
    assert english == set()


def test_every_page_of_a_job_has_its_twin() -> None:
    assert [
        path
        for path in texts()
        if path.startswith(WHOLE)
        and path.endswith(".md")
        and not path.endswith(".zh.md")
        and path.replace(".md", ".zh.md") not in texts()
    ] == []


# Pages whose two languages name the same commands, settings, states and metrics, which a translation easily loses.
SAME_CODE = ["install", "bad-settings", "certificates", "operate", "restore", "iso20022", "pushes"]
RUNBOOKS = sorted(path for path in CHINESE if path.startswith("docs/do/runbooks/Bankgw"))
# What only one language writes as code: a column of a quoted line, and pages that have no Chinese twin to link to.
ONE_LANGUAGE = {
    "docs/do/install.zh.md": {"check"},
    "docs/do/bad-settings.zh.md": {"file"},
    "docs/do/certificates.zh.md": {"protocols/banks/finws/README.md"},
    "docs/do/pushes.zh.md": {"pab", "cib"},
}


def test_both_languages_name_the_same_code() -> None:
    for path in (*(f"docs/do/{name}.zh.md" for name in SAME_CODE), *RUNBOOKS):
        english, chinese = codes(texts()[path.replace(".zh.md", ".md")]), codes(texts()[path])
        assert english ^ chinese == ONE_LANGUAGE.get(path, set()), path


def test_runbooks_have_the_same_steps() -> None:
    for path in RUNBOOKS:
        pages = (texts()[path.replace(".zh.md", ".md")], texts()[path])
        english, chinese = (re.findall(r"^\d+\. ", page, re.MULTILINE) for page in pages)
        assert english == chinese, path


# ---- the checks themselves --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["付款,恰好一次", "见(下)", "`held`:待放行", "待放行: `held`", "**答案:**对", "结束!然后", "好,\n然后"]
)
def test_half_width_marks_are_found(text: str) -> None:
    assert halfwidth(text)


@pytest.mark.parametrize(
    "text",
    [
        "付款，恰好一次",
        "`a,b:c(d)`",
        "1,000 笔，10:30 起",
        "```sh\necho '好,的'\n```\n",
        "[页](a(b).md)",
        "<!-- 不,看 -->",
    ],
)
def test_full_width_marks_and_code_are_left_alone(text: str) -> None:
    assert halfwidth(text) == []


@pytest.mark.parametrize(
    "text", ["一笔订单", "付款存疑", "挂起的付款", "银行账本", "未达项", "退票", "消息代理", "代理未保存", "会计乙"]
)
def test_wrong_terms_are_found(text: str) -> None:
    assert wrong_terms(text)


@pytest.mark.parametrize(
    "text", ["付款指令", "未达账项", "未达到目标", "有的银行称“退票”", "反向代理", "摘要写明手续费"]
)
def test_right_terms_are_left_alone(text: str) -> None:
    assert wrong_terms(text) == []


def test_a_link_past_the_twin_is_found() -> None:
    page = "[English](a.md) [b](b.md) [c](c.zh.md) [d](../d.md#x)"
    assert astray("docs/a.zh.md", page, {"docs/b.zh.md", "docs/a.zh.md"}.__contains__) == ["docs/b.md"]


# ---- the product's own words ------------------------------------------------------------------------------------

_HAN = re.compile(r"[\u3400-\u9fff]")
# Texts that banks write, or that stand in for them, keep the banks' own punctuation and words.
_BANKS_OWN = ("protocols/banks/", "gateway/simbank/", "protocols/erp/examples.py", "gateway/demo/orders.py")
# The words that persons sign: another word needs a new form (docs/adr/0044-both-languages-are-signed.md).
_SIGNED = ("gateway/control/proposal_text.py", "gateway/people/act_answers/people_changes.py")


def _is_chinese(text: str) -> bool:
    """True for a Chinese sentence, which may name a file or a program; not for an English one with a Chinese term."""
    bare = re.sub(r"\{[^}]*\}|`[^`]*`", "", text)
    return 2 * len(re.findall(r"[A-Za-z]{2,}", bare)) < len(_HAN.findall(bare))


def _strings() -> Iterator[tuple[str, str]]:
    """The Chinese strings of the product, each with its file; no docstrings."""
    for source in product():
        if source.path.startswith((*_BANKS_OWN, *_SIGNED)) or not _HAN.search(source.text):
            continue
        said = {id(node.value) for node in ast.walk(source.tree) if isinstance(node, ast.Expr)}
        strings = (node for node in ast.walk(source.tree) if isinstance(node, ast.Constant) and id(node) not in said)
        for text in (node.value for node in strings):
            if isinstance(text, str) and _is_chinese(text):
                yield source.path, text


def test_the_program_speaks_with_the_same_marks_and_terms() -> None:
    found = list(_strings())
    assert len(found) > 2000  # noqa: PLR2004
    assert [(path, text) for path, text in found if halfwidth(text) or wrong_terms(text)] == []
