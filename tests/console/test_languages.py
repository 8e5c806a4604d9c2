"""Chinese pages are Chinese: no English word stands there but ids, codes and what people, ERPs and banks wrote."""

from __future__ import annotations

import re
from itertools import chain

import lxml.html
import pytest

from gateway.console.code_texts import CODE_TEXTS, SENTENCES, said
from gateway.console.texts import TEXTS
from gateway.control import accounts_today, worklists
from gateway.core.flow import TABLE
from gateway.core.policy import HOLD_ALIKE, HOLD_BAND, HOLD_FUNDING, HOLD_PAYEE
from gateway.core.states import Source
from gateway.journal.payments import receipt_files
from gateway.journal.payments.linked_orders import LinkState
from gateway.treasury.exceptions import NEXT_STEPS, ExceptionKind
from gateway.treasury.liquidity.plan import REASONS
from gateway.treasury.reconciliation.decision import MatchRule, ProposalRule, Unmatched
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from tests.console.conftest import House
from tests.console.test_pages import PAGES
from tests.console.test_treasury_pages import payment_of, write
from tests.gateway.cli.test_resolve import LI, hand
from tests.gateway.control.test_approval_holds import OVER, submit
from tests.gateway.control.test_approvals import approve, key_of
from tests.gateway.control.test_people import SUN, let_in
from tests.house import product

# Where ids, codes, bytes and command lines stand, and what is no text: by element and class.
APART = "//pre | //code | //*[contains(concat(' ', @class, ' '), ' code ')] | //*[@class='digest' or @class='size digest']" \
        " | //*[@class='account'] | //*[@class='unit'] | //option[@value=''] | //script"  # fmt: skip
# What the world of this test is made of: names of people, companies, banks, senders, orders; and what is the same in
# Chinese: names of things, of settings, and words of the command line.
NAMES = frozenset({"zhao", "sun", "qian", "wang", "li", "auditor", "kingdee", "sample", "jia", "AP", "main", "CNY", "pab"})
SAME = frozenset({"bankgw", "ERP", "CSV", "SHA", "English", "JavaScript", "B", "s", "receipts", "none", "reconcile", "liquidity",
                  "run", "parked", "replay", "resolve", "XML", "web", "joint_tests_dir", "watch", "true", "false", "login", "set", "password", "A"})  # fmt: skip
WORD = re.compile(r"[A-Za-z][A-Za-z_]*")
ID = re.compile(r"\b(?=[0-9A-Z]*[0-9])[0-9A-Z]{6,32}\b|\b[0-9a-f]{16,64}\b|\bgw[0-9]+\b|[0-9]T[0-9:.]+(?:Z|\+[0-9:]+)")


def english(body: str) -> set[str]:
    """The English words that people read on a page."""
    page = lxml.html.document_fromstring(body)
    for one in page.xpath(APART):
        one.drop_tree()
    shown = [*page.itertext(), *chain.from_iterable(page.xpath(f"//@{name}") for name in ("aria-label", "placeholder", "title", "alt"))]
    return {word for text in shown for word in WORD.findall(ID.sub(" ", str(text)))} - NAMES - SAME


def test_no_english_word_stands_on_a_chinese_page(house: House) -> None:
    let_in(house.operator, hand("auditor", 2010), "audit_admin")
    submit(house.operator, "AP-1", OVER, maker="zhao")
    submit(house.operator, "AP-2", 100, maker="zhao")
    submit(house.operator, "AP-3", OVER, maker="zhao")
    approve(house.operator, SUN, key_of(house.operator, "AP-3"))
    house.operator.world.run(5)
    write(house.operator, lambda tx: receipt_files.begin(tx, [payment_of(house, "AP-2")], tx.now_ms))
    write(house.operator, lambda tx: tx.fresh.exec_driver_sql("update receipt_searches set since_ms = since_ms - 864000000"))
    house.operator.world.run(1)
    sun = house.browser(SUN, "zh")
    (account, *_more) = re.findall(r'href="(/reconciliation/[0-9a-f]+)"', sun.get("/reconciliation").body)
    payments = [f"/payments/{payment_of(house, one)}" for one in ("AP-1", "AP-2", "AP-3")]
    paths = [*PAGES, account, *payments, f"/approvals/{key_of(house.operator, 'AP-1')}", "/worklists/receipts-missing",
             *(f"/worklists/{name}" for name in worklists.LISTS), "/sign-in", "/passkey", "/step-up", "/nowhere"]  # fmt: skip
    found = {path: english(sun.get(path).body) for path in paths}
    auditor = house.browser(hand("auditor", 2010), "zh")
    found["/audit"] = english(auditor.get("/audit").body)
    found["/messages"] = english(house.browser(LI, "zh").get("/messages").body)
    assert sorted((path, *sorted(words)) for path, words in found.items() if words) == []


def test_english_pages_have_no_chinese(house: House) -> None:
    submit(house.operator, "AP-1", OVER, maker="zhao")
    sun = house.browser(SUN)
    for path in ("/", "/payments", "/approvals", f"/payments/{payment_of(house, 'AP-1')}", "/worklists/escalated"):
        chinese = set(re.findall(r"[\u4e00-\u9fff]+", sun.get(path).body)) - {"中文"}
        # Names of payers and payees, masked to their first character.
        assert {one for one in chinese if len(one) > 2} == set(), path


def test_every_code_of_the_gateway_has_a_chinese_word() -> None:
    wanted = {f"entry_payment.{rule.name}" for rule in TABLE}
    wanted |= {f"entry_{entry}" for one in product() if one.path.startswith("gateway/")
               for entry in re.findall(r'audit\.append\(\s*tx, [^"]*?f?"?[^"{]*?[",]? ?"([a-z_]+\.[a-z_]+)"', one.text)}  # fmt: skip
    wanted |= {f"kind_{one.value}" for one in Kind} | {f"fate_{one.value}" for one in Fate}
    wanted |= {f"hold_{one}" for one in (HOLD_ALIKE, HOLD_BAND, HOLD_PAYEE, HOLD_FUNDING)}
    wanted |= {f"source_{one.value}" for one in Source} | {f"unmatched_{one.value}" for one in Unmatched}
    wanted |= {f"matchrule_{one.value}" for one in (*MatchRule, *ProposalRule)}
    wanted |= {f"{kind}_{name}" for kind in ("list", "step") for name in worklists.LISTS}
    assert len([one for one in wanted if one.startswith("entry_")]) > 110
    assert sorted(wanted - TEXTS.keys()) == []
    assert all(re.search(r"[\u4e00-\u9fff]", chinese) for _code, chinese in CODE_TEXTS.values())


def test_every_step_of_a_work_list_has_a_chinese_sentence() -> None:
    (source,) = [one.text for one in product() if one.path == "gateway/control/worklists.py"]
    steps = set(re.findall(r'(?:step|doubt|unfunded|steps\[?\w*) = f?"([^"]+)"', source)) | set(NEXT_STEPS.values())
    steps |= set(re.findall(r'"((?:no |not |find |see )[^"]+)"', source)) | {one.value for one in ExceptionKind}
    steps |= {accounts_today.NOT_WATCHED, accounts_today.UNHEARD, "watched", *REASONS.values()}
    shown = {re.sub(r"\{[^}]+\}", "X.Y", one) for one in steps}
    assert len(shown) > 25
    assert sorted(one for one in shown if not re.search(r"[\u4e00-\u9fff]", said(one, "zh"))) == []
    assert all(said(one, "en") == one for one in shown) and LinkState.UNDECIDED


@pytest.mark.parametrize("text", ["the bank's own words 余额不足", "ask the bank", "", "=1+1"])
def test_what_a_bank_says_is_shown_as_it_is(text: str) -> None:
    assert said(text, "zh") == text and text not in SENTENCES
