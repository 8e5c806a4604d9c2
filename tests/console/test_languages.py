"""Chinese pages are Chinese: they have no English words except ids, codes and texts of people, ERPs and banks."""

from __future__ import annotations

import ast
import re
from itertools import chain

import lxml.html
import pytest

from gateway.kernel.commit import audit
from gateway.kernel.core.flow import TABLE
from gateway.kernel.core.policy import HOLD_ALIKE, HOLD_BAND, HOLD_FUNDING, HOLD_PAYEE
from gateway.kernel.core.states import Source
from gateway.people.rows.proposals import ProposalState
from gateway.pools.rows.linked_orders import LinkState
from gateway.pools.rules.plan import REASONS
from gateway.receipts.rows import receipt_files
from gateway.reconciliation.rows.exceptions import NEXT_STEPS, ExceptionKind
from gateway.reconciliation.rules.decision import MatchRule, OpenReason, ProposalRule
from gateway.reports.act_answers import worklists
from gateway.statements.act_answers import accounts_today
from gateway.web.console.code_texts import CODE_TEXTS, SENTENCES, said
from gateway.web.console.texts import TEXTS
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from tests.console.conftest import House
from tests.console.test_pages import PAGES
from tests.console.test_treasury_pages import payment_of, write
from tests.gateway.approvals.test_approval_acts import approve, key_of
from tests.gateway.approvals.test_approval_holds import OVER, submit
from tests.gateway.cli.resolving import LI, hand
from tests.gateway.people.test_people_acts import SUN, let_in
from tests.house import product

# Elements and classes that hold ids, codes, bytes and command lines, or no text for people.
APART = (
    "//pre | //code | //*[contains(concat(' ', @class, ' '), ' code ')] | //*[@class='digest' or @class='size digest']"
    " | //*[@class='account'] | //*[@class='unit'] | //option[@value=''] | //script"
)
# Names of this test's people, companies, banks, senders and orders; and names that are the same in Chinese, such as
# those of settings and commands.
NAMES = frozenset(
    {"zhao", "sun", "qian", "wang", "li", "auditor", "kingdee", "sample", "jia", "AP", "main", "CNY", "pab"}
)
SAME = frozenset(
    {
        "bankgw",
        "ERP",
        "CSV",
        "SHA",
        "English",
        "JavaScript",
        "B",
        "s",
        "receipts",
        "none",
        "reconcile",
        "liquidity",
        "run",
        "parked",
        "replay",
        "resolve",
        "XML",
        "web",
        "joint_tests_dir",
        "watch",
        "true",
        "false",
        "login",
        "set",
        "password",
        "A",
    }
)
PERSON_STATES = ("waiting", "enrolled", "deactivated", "altered")
WORD = re.compile(r"[A-Za-z][A-Za-z_]*")
ID = re.compile(r"\b(?=[0-9A-Z]*[0-9])[0-9A-Z]{6,32}\b|\b[0-9a-f]{16,64}\b|\bgw[0-9]+\b|[0-9]T[0-9:.]+(?:Z|\+[0-9:]+)")


def english(body: str) -> set[str]:
    """The English words that people read on a page."""
    page = lxml.html.document_fromstring(body)
    for one in page.xpath(APART):
        one.drop_tree()
    shown = [
        *page.itertext(),
        *chain.from_iterable(page.xpath(f"//@{name}") for name in ("aria-label", "placeholder", "title", "alt")),
    ]
    return {word for text in shown for word in WORD.findall(ID.sub(" ", str(text)))} - NAMES - SAME


def test_no_english_word_stands_on_a_chinese_page(house: House) -> None:
    let_in(house.operator, hand("auditor", 2010), "audit_admin")
    submit(house.operator, "AP-1", OVER, maker="zhao")
    submit(house.operator, "AP-2", 100, maker="zhao")
    submit(house.operator, "AP-3", OVER, maker="zhao")
    approve(house.operator, SUN, key_of(house.operator, "AP-3"))
    house.operator.world.run(5)
    write(house.operator, lambda tx: receipt_files.begin(tx, [payment_of(house, "AP-2")], tx.now_ms))
    write(
        house.operator,
        lambda tx: tx.fresh.exec_driver_sql("update receipt_searches set since_ms = since_ms - 864000000"),
    )
    house.operator.world.run(1)
    sun = house.browser(SUN, "zh")
    (account, *_more) = re.findall(r'href="(/reconciliation/[0-9a-f]+)"', sun.get("/reconciliation").body)
    payments = [f"/payments/{payment_of(house, one)}" for one in ("AP-1", "AP-2", "AP-3")]
    paths = [
        *PAGES,
        account,
        *payments,
        f"/approvals/{key_of(house.operator, 'AP-1')}",
        "/worklists/receipts-missing",
        *(f"/worklists/{name}" for name in worklists.LISTS),
        "/sign-in",
        "/passkey",
        "/step-up",
        "/nowhere",
    ]
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


def audit_entries() -> set[str]:
    """The names of audit entries in the source, as a word or as a constant of a module."""
    trees = [ast.parse(one.text) for one in product() if one.path.startswith("gateway/")]
    constants = {
        name.id: str(node.value.value)
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.Assign)
        for name in node.targets
        if isinstance(name, ast.Name)
        and isinstance(node.value, ast.Constant)
        and re.fullmatch(r"[a-z_]+\.[a-z_]+", str(node.value.value))
    }
    found = set[str]()
    for call in chain.from_iterable(map(ast.walk, trees)):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "audit.append" and len(call.args) > 2:
            for part in ast.walk(call.args[2]):
                if isinstance(part, ast.Constant) and re.fullmatch(r"[a-z_]+\.[a-z_]*[a-z]", str(part.value)):
                    found.add(str(part.value))
                elif isinstance(part, (ast.Name, ast.Attribute)):
                    found.add(constants.get(ast.unparse(part).rpartition(".")[2], ""))
    return found - {""} | {audit.REGISTER_ENTRY}


def test_every_code_of_the_gateway_has_a_chinese_word() -> None:
    wanted = {f"entry_payment.{rule.name}" for rule in TABLE}
    wanted |= {f"entry_{entry}" for entry in audit_entries()}
    wanted |= {f"proposal_{one.value}" for one in ProposalState} | {f"person_{one}" for one in PERSON_STATES}
    wanted |= {f"kind_{one.value}" for one in Kind} | {f"fate_{one.value}" for one in Fate}
    wanted |= {f"hold_{one}" for one in (HOLD_ALIKE, HOLD_BAND, HOLD_PAYEE, HOLD_FUNDING)}
    wanted |= {f"source_{one.value}" for one in Source} | {f"unmatched_{one.value}" for one in OpenReason}
    wanted |= {f"matchrule_{one.value}" for one in (*MatchRule, *ProposalRule)}
    wanted |= {f"{kind}_{name}" for kind in ("list", "step") for name in worklists.LISTS}
    assert len([one for one in wanted if one.startswith("entry_")]) > 110
    assert sorted(wanted - TEXTS.keys()) == []
    assert all(re.search(r"[\u4e00-\u9fff]", chinese) for _code, chinese in CODE_TEXTS.values())


def test_every_step_of_a_work_list_has_a_chinese_sentence() -> None:
    (source,) = [one.text for one in product() if one.path == "gateway/reports/act_answers/worklists.py"]
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
