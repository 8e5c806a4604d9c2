"""The present tree keeps the rules of tests/house.py, and each rule catches a bad example."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.house import (
    OLD_MODULES,
    REPEATED_NAMES,
    REPEATED_NAMES_MOST,
    Source,
    banks_apart,
    banks_words,
    cli_without_journal,
    cycles,
    import_order,
    judges,
    lane_on_top,
    never,
    no_hidden_clock,
    nothing_patched,
    pika_in_one_place,
    plain_names,
    product,
    purity,
    reactor_as_argument,
    repeated_names,
    source,
    texts,
)
from tests.house_copies import COPY_LINES, bank_copies
from tests.house_gate import one_last_gate, units_behind_lists, ways_to_the_bank
from tests.house_shape import (
    FILE_LINES,
    UNFORMATTED_MOST,
    docstrings,
    file_size,
    full_nouns,
    named_errors,
    no_print,
    nothing_postponed,
    size,
    stale_reasons,
    unformatted,
)
from tests.house_texts import invented_numbers, links, no_machine, page_at
from tests.house_words import plain_classes, plain_functions

CODE_RULES: tuple[Callable[[Source], Iterator[str]], ...] = (
    *(import_order, lane_on_top, cli_without_journal, plain_names, banks_apart, banks_words, judges, never, purity),
    *(no_hidden_clock, pika_in_one_place, reactor_as_argument),
    *(size, full_nouns, named_errors, docstrings, no_print, nothing_postponed),
)


def check(complaints: Iterable[str]) -> None:
    """Fail with every complaint at once."""
    found = list(complaints)
    assert not found, f"{len(found)} complaint(s):\n" + "\n".join(found)


@pytest.mark.parametrize("rule", CODE_RULES, ids=lambda rule: rule.__name__)
def test_code(rule: Callable[[Source], Iterator[str]]) -> None:
    check(complaint for one in product() for complaint in rule(one))


def test_files_beside_the_product_fit_a_mind_too() -> None:
    beside = ("tests/", "faults/", "bench/", "fuzz/", "interop/", "setup/")
    found = {path: text for path, text in texts().items() if path.startswith(beside) and path.endswith(".py")}
    assert {path.partition("/")[0] + "/" for path in found} == set(beside)
    check(complaint for path, text in found.items() for complaint in file_size(path, text))
    assert list(file_size("tests/test_a.py", "\n" * FILE_LINES)) and not list(file_size("tests/a.py", "\n" * 599))


def test_the_formatter_shapes_the_code() -> None:
    check(unformatted(texts()))
    mark = "# fmt: " + "skip\n"
    assert not list(unformatted({"gateway/a.py": mark * UNFORMATTED_MOST, "docs/a.md": mark}))
    assert list(unformatted({"gateway/a.py": mark * UNFORMATTED_MOST, "tests/a.py": mark}))


def test_plain_names_of_campaign_and_bench() -> None:
    sources = [
        source(path, text)
        for path, text in texts().items()
        if path.startswith(("faults/", "bench/")) and path.endswith(".py")
    ]
    check(complaint for one in sources for complaint in plain_names(one))


def test_names_of_classes_and_functions() -> None:
    sources = [source(path, text) for path, text in texts().items() if path.endswith(".py")]
    check(complaint for one in sources for rule in (plain_classes, plain_functions) for complaint in rule(one))


def test_campaign_and_bench_patch_nothing() -> None:
    sources = [
        source(path, text)
        for path, text in texts().items()
        if path.startswith(("faults/", "bench/")) and path.endswith(".py")
    ]
    check(complaint for one in sources for complaint in nothing_patched(one))


@pytest.mark.parametrize(
    "bad",
    [
        "from gateway import app\napp.SystemClock = 1",
        "import gateway.app\ngateway.app.X = 1",
        "from gateway.kernel.clock import SystemClock as C\ndef f():\n    C.now_ms = 1",
        "setattr(x, 'y', 1)",
        "from unittest import mock\nmock.patch('gateway.app.X')",
    ],
)
def test_a_patched_name_is_caught(bad: str) -> None:
    assert list(nothing_patched(source("faults/x.py", bad)))
    assert not list(nothing_patched(source("faults/x.py", "from gateway import app\nself.app = app\nx.y = app.z")))


def test_plain_settings_keys() -> None:
    tables = [node for one in product() if one.path == "gateway/settings/tables.py" for node in ast.walk(one.tree)]
    keys = {node.target.id for node in tables if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    assert "state_dir" in keys and not keys & OLD_MODULES


def test_no_import_rings() -> None:
    check(cycles(product()))


def test_banks_share_no_long_runs_of_lines() -> None:
    check(bank_copies(product()))


def test_no_name_has_two_meanings() -> None:
    check(repeated_names(product()))
    assert len(REPEATED_NAMES) <= REPEATED_NAMES_MOST


def test_one_last_gate() -> None:
    check(one_last_gate(product()))


def test_nothing_reaches_a_bank_but_through_the_lists() -> None:
    check(ways_to_the_bank(product()))
    check(units_behind_lists(product()))


def test_reasons_for_catching_everything_are_used() -> None:
    check(stale_reasons(product()))


def test_no_machine() -> None:
    check(complaint for path, text in texts().items() for complaint in no_machine(path, text))


def test_invented_numbers() -> None:
    check(complaint for path, text in texts().items() for complaint in invented_numbers(path, text))


def test_links() -> None:
    # The pages in protocols/erp/pages are assembled below docs/, and are read there.
    pages = [path for path in texts() if path.endswith(".md") and "erp/pages/" not in path]
    check(complaint for path in pages for complaint in links(path, texts()[path], page_at))


# ---- each rule catches a bad example ----------------------------------------------------------------------

DOC = '"""Doc."""\n'
LONG = "\n    ".join(["def f():", '"""Doc."""', *(["pass"] * 70)])
BAD: tuple[tuple[Callable[[Source], Iterator[str]], str, str], ...] = (
    (import_order, "protocols/canon/x.py", "from protocols.kit import fields"),
    (import_order, "protocols/kit/x.py", "import protocols.banks.pab"),
    (import_order, "protocols/banks/x.py", "from protocols.erp.json_form import read"),
    (import_order, "protocols/erp/x.py", "import gateway.kernel.clock"),
    (import_order, "gateway/kernel/core/flow.py", "from gateway.kernel import clock"),
    (import_order, "gateway/kernel/core/flow.py", "from protocols.kit import charset"),
    (import_order, "gateway/kernel/clock.py", "from gateway.register import registry"),
    (import_order, "gateway/payments/rows/x.py", "def f():\n    from gateway.approvals.rows import approval_holds"),
    (import_order, "gateway/kernel/commit/x.py", "if TYPE_CHECKING:\n    from gateway.people.rules import roles"),
    (import_order, "gateway/people/rules/x.py", "from gateway.people.rows import persons"),
    (import_order, "gateway/reports/x.py", "def f():\n    from gateway.bank import lane"),
    (import_order, "gateway/bank/lane.py", "from ..erp import outbox"),
    (import_order, "gateway/bank/lane.py", "from gateway.app import build"),
    (import_order, "gateway/watch/x.py", "if TYPE_CHECKING:\n    from gateway.cli import run"),
    (import_order, "gateway/app.py", "from gateway.simbank import server"),
    (import_order, "gateway/simbank/x.py", "from gateway.bank import lane"),
    (import_order, "gateway/simbank/x.py", "from gateway.kernel.commit import store"),
    (import_order, "gateway/attic.py", "import os"),
    (import_order, "gateway/cli/x.py", "from gateway import attic"),
    (lane_on_top, "gateway/bank/x.py", "if TYPE_CHECKING:\n    from gateway.bank.lane import Lane"),
    (lane_on_top, "gateway/bank/x.py", "def f():\n    from gateway.bank import lane"),
    (import_order, "gateway/app.py", "from gateway.demo import site"),
    (import_order, "gateway/control/x.py", "from gateway.demo import site"),
    (import_order, "gateway/control/offline/x.py", "def f():\n    from gateway.cli.run import serve"),
    (import_order, "gateway/watch/x.py", "from gateway.cli import output"),
    (cli_without_journal, "gateway/cli/x.py", "from gateway.kernel.sql import vault"),
    (cli_without_journal, "gateway/cli/commands/x.py", "def f():\n    from gateway.pools.rows import pools"),
    (plain_names, "gateway/bank/tenure.py", ""),
    (plain_names, "faults/ears.py", ""),
    (plain_names, "gateway/x.py", "class BankBerth: pass"),
    (plain_names, "gateway/x.py", "class A:\n    def has_neighbours(self): pass"),
    (plain_names, "gateway/x.py", "from gateway.kernel import log\n_log = log.get('bank.lookout')"),
    (plain_classes, "gateway/bank/x.py", "class _LookAtDay: pass"),
    (plain_classes, "tests/world/x.py", "def f():\n    class RunTally: pass"),
    (plain_functions, "gateway/kernel/x.py", "def f():\n    def unit(tx): pass"),
    (plain_functions, "gateway/kernel/x.py", "class Log:\n    def write(self): pass"),
    (plain_functions, "tests/world/x.py", "class Log:\n    async def take(self): pass"),
    (banks_apart, "protocols/banks/pab/x.py", "from protocols.banks.sample import messages"),
    (banks_words, "gateway/bank/x.py", "from protocols.banks.pab.table import CODES"),
    (judges, "protocols/banks/pab/payment.py", "from protocols.judge import text"),
    (judges, "protocols/banks/pab/payment.py", "from protocols.banks.pab.twin_rules import RULES"),
    (judges, "protocols/readback/pab.py", "import protocols.judge"),
    (never, "gateway/payments/rows/x.py", "def f():\n    from gateway.kernel.cluster import lane_leases"),
    (never, "gateway/erp/x.py", "if TYPE_CHECKING:\n    from gateway.bank.lane import Lane"),
    (never, "gateway/watch/x.py", "import gateway.cli.output"),
    (purity, "protocols/kit/x.py", "import time"),
    (purity, "protocols/banks/pab/x.py", "from twisted.internet import defer"),
    (purity, "protocols/erp/x.py", "def f():\n    import urllib.request"),
    (purity, "protocols/canon/x.py", "from lxml import etree"),
    (no_hidden_clock, "protocols/kit/x.py", "from datetime import datetime\nnow = datetime.now(UTC)"),
    (no_hidden_clock, "gateway/kernel/core/x.py", "import uuid\nnew = uuid.uuid4()"),
    (pika_in_one_place, "gateway/erp/client.py", "from pika.exceptions import AMQPError"),
    (reactor_as_argument, "gateway/app.py", "from twisted.internet import reactor"),
    (reactor_as_argument, "gateway/bank/x.py", "def f():\n    from twisted.internet import reactor"),
    (size, "gateway/x.py", "\n" * 600),
    (size, "gateway/x.py", LONG),
    (full_nouns, "gateway/lane_manager.py", ""),
    (full_nouns, "gateway/x.py", "class XMLUtils: pass"),
    (full_nouns, "gateway/x.py", "class A:\n    def handler(self): pass"),
    (named_errors, "gateway/erp/intake.py", "try:\n    f()\nexcept:\n    pass"),
    (named_errors, "gateway/x.py", "try:\n    f()\nexcept (OSError, Exception):\n    pass"),
    (
        named_errors,
        "gateway/erp/intake.py",
        "async def f():\n    try:\n        g()\n    except Exception:\n        pass",
    ),
    (docstrings, "gateway/x.py", "import os"),
    (docstrings, "gateway/x.py", DOC + "class A: pass"),
    (docstrings, "gateway/x.py", DOC + "async def f(): pass"),
    (no_print, "gateway/bank/x.py", "def f():\n    print(1)"),
    (nothing_postponed, "gateway/x.py", "# TO" + "DO: later"),
)
GOOD: tuple[tuple[Callable[[Source], Iterator[str]], str, str], ...] = (
    (import_order, "gateway/kernel/commit/x.py", "from gateway.kernel.core import flow\nfrom . import rows\nimport os"),
    (import_order, "gateway/app.py", "import gateway.bank.lane, gateway.erp.intake, gateway.control.verbs"),
    (import_order, "gateway/simbank/x.py", "from gateway.bank.tls import server_context\nimport protocols.twin"),
    (import_order, "gateway/cli/x.py", "from gateway.simbank import service"),
    (import_order, "gateway/__main__.py", "from gateway.simbank import service"),
    (lane_on_top, "gateway/bank/x.py", "from gateway.bank.lane_parts import LaneParts"),
    (lane_on_top, "gateway/app.py", "from gateway.bank.lane import Lane"),
    (cli_without_journal, "gateway/control/offline/x.py", "from gateway.kernel.sql import vault"),
    (plain_names, "protocols/erp/words.py", "class Words: pass"),
    (plain_names, "gateway/x.py", "class PastDays:\n    def wanted(self): pass\n    def _desk(self): pass"),
    (plain_classes, "gateway/bank/x.py", "class OverLookedRow: pass\nclass BankSession: pass"),
    (
        plain_functions,
        "gateway/kernel/x.py",
        "class Store:\n    def write(self, unit): pass\n    def read_rows(self): pass",
    ),
    (plain_functions, "tests/world/x.py", "class SlowStore:\n    def read(self, fn): pass"),
    (banks_apart, "protocols/banks/pab/x.py", "from protocols.banks.pab import table"),
    (purity, "protocols/kit/x.py", "from datetime import time\nimport hashlib\nfrom lxml import etree"),
    (no_hidden_clock, "protocols/kit/x.py", "def f(context):\n    return context.now, clock.now()"),
    (pika_in_one_place, "gateway/erp/amqp.py", "import pika"),
    (reactor_as_argument, "gateway/__main__.py", "def main():\n    from twisted.internet import reactor"),
    (size, "gateway/x.py", LONG.replace("pass\n    ", "", 3)),
    (full_nouns, "gateway/x.py", "class Mapper:\n    def utility_bill(self): pass\n    def futile(self): pass"),
    (
        named_errors,
        "gateway/erp/intake.py",
        "async def f():\n  try:\n    g()\n  except CancelledError:\n    raise\n  except Exception:\n    pass",
    ),
    (docstrings, "gateway/x.py", DOC + "def _f(): pass\nclass A:\n    '''Doc.'''\n    def g(self): pass"),
    (no_print, "gateway/cli/application.py", "print(1)"),
    (no_print, "protocols/erp/x.py", "def main():\n    print(1)"),
)


@pytest.mark.parametrize(("rule", "path", "text"), BAD)
def test_rule_catches(rule: Callable[[Source], Iterator[str]], path: str, text: str) -> None:
    assert list(rule(source(path, text)))


@pytest.mark.parametrize(("rule", "path", "text"), GOOD)
def test_rule_leaves_alone(rule: Callable[[Source], Iterator[str]], path: str, text: str) -> None:
    assert list(rule(source(path, text))) == []


def test_every_code_rule_is_tried() -> None:
    assert {rule for rule, _, _ in BAD} == {*CODE_RULES, plain_classes, plain_functions}


def test_rings_are_caught() -> None:
    first = source("gateway/a.py", "from gateway import b")
    second = source("gateway/b.py", "def f():\n    import gateway.c.d")
    third = source("gateway/c/d.py", "from ..a import x")
    types_only = source("gateway/c/d.py", "if TYPE_CHECKING:\n    from ..a import x")
    ring = "import ring: gateway.a -> gateway.b -> gateway.c.d -> gateway.a"
    assert list(cycles([first, second, third])) == [ring]
    assert list(cycles([first, second, types_only])) == [ring]
    free = source("gateway/c/d.py", "import os")
    assert list(cycles([first, second, free])) == []


def test_a_repeated_name_is_caught() -> None:
    one, two = source("gateway/a.py", "class Row: pass"), source("protocols/kit/b.py", "Row = dict[str, str]")
    bank = source("protocols/banks/pab/rows.py", "class Row: pass")
    private, constant = source("gateway/c.py", "class _Row: pass"), source("gateway/d.py", "ROW = 1\nT = TypeVar('T')")
    stale = {f"{name} has one meaning now; remove it from REPEATED_NAMES of tests/house.py" for name in REPEATED_NAMES}
    assert set(repeated_names([one, bank, private, constant])) == stale
    said = "Row is defined in gateway/a.py:1, protocols/kit/b.py:1; rename the lesser meaning"
    assert set(repeated_names([one, two, bank])) - stale == {said}


def test_a_planted_copy_between_two_banks_is_caught() -> None:
    body = [f"line_{number} = {number}" for number in range(COPY_LINES)]
    first = source("protocols/banks/pab/x.py", DOC + "import re\n" + "\n".join(body))
    # Blank lines, comments, imports and indentation do not hide a copy.
    copied = "\n\n# A comment.\nfrom typing import (\n    Any,\n)\n".join(f"{line}  " for line in body)
    second = source("protocols/banks/cib/y.py", '"""Another."""\n' + copied)
    [complaint] = bank_copies([first, second])
    assert complaint.startswith("protocols/banks/cib/y.py:2: 12 lines as at protocols/banks/pab/x.py:3")
    assert list(bank_copies([first, second], allowed={"line_0 = 0": "they belong together"})) == []
    assert list(bank_copies([first], allowed={"line_0 = 0": "no longer"}))
    shorter = source("protocols/banks/cib/y.py", "\n".join(body[1:]))
    twice_in_one_bank = source("protocols/banks/pab/y.py", DOC + "\n".join(body))
    elsewhere = source("protocols/kit/y.py", DOC + "\n".join(body))
    assert list(bank_copies([first, shorter, twice_in_one_bank, elsewhere])) == []


def test_a_copied_file_of_a_real_bank_is_caught() -> None:
    [real] = [one for one in product() if one.path == "protocols/banks/boc/payment.py"]
    planted = source("protocols/banks/pab/planted.py", real.text)
    assert any("protocols/banks/pab/planted.py" in complaint for complaint in bank_copies([*product(), planted]))


@pytest.mark.parametrize("cut", ["files.python|hosted.org", "py|pi.org", "/wo|rk/x", "'/ro|ot/x'", "deb.de|bian.org"])
def test_machine_words_are_caught(cut: str) -> None:
    assert list(no_machine("docs/x.md", f"see {cut.replace('|', '')}"))


def test_harmless_paths_are_left_alone() -> None:
    assert list(no_machine("docs/x.md", "gateway/wo" + "rk/x, {RUN}/ro" + "ot/, /var/lib/bankgw")) == []


def test_numbers_like_accounts_are_caught() -> None:
    real = "62" + "2848" + "0402564890018"
    assert list(invented_numbers("docs/x.md", f'"account": "{real}"'))
    assert list(invented_numbers("docs/x.md", f"Account {real}."))
    harmless = f"0000{real[4:]} 20261124{real[:9]} {2**63 - 1} 1234567890123456 sha256:a{real} 0.{real}"
    assert list(invented_numbers("docs/x.md", harmless)) == []


def test_dead_links_are_caught() -> None:
    shelf = {"docs/b.md": "# Two words, 一\n", "docs": ""}
    page = "[a](b.md#two-words-一) [b](../docs) [c](https://example.com/x) `[d](gone.md)`\n"
    page += "```\n[e](gone.md)\n```\n"
    assert list(links("docs/a.md", page, shelf.get)) == []
    assert list(links("docs/a.md", "[a](gone.md)", shelf.get))
    assert list(links("docs/a.md", "[a](b.md#three)", shelf.get))
    assert list(links("docs/a.md", "# Here\n[a](#there)", shelf.get))


GATE = """
def permits(self): return self.lease.permits()
def refusal(self):
    against = gate.first(WRITE, WriteFacts(self.permits))
    return None if against is None else against.reason
"""
WRITE = "WRITE: tuple[GateRule, ...] = (OvertakenRule(), PermitRule())"
MONEY = """
async def _speak(self, leaving):
    refusal = self.gate.refusal(leaving)
    if refusal is not None:
        await self.not_sent(refusal)
        return
    answer = await leaving.line.exchange(leaving.wire)
"""


PERMIT = "class PermitRule:\n    def judge(self, facts): return PASS if facts.permits(1, 2) else Refuse('no')"


def gated(money: str = MONEY, gate: str = GATE, other: str = "", write: str = WRITE, permit: str = PERMIT) -> list[str]:
    """The complaints about an example: a gate, the function that writes money, another function of the package, and the
    list."""
    return list(
        one_last_gate(
            [
                source("gateway/bank/send_gate.py", gate),
                source("gateway/bank/dispatch.py", money),
                source("gateway/bank/other.py", other),
                source("gateway/bank/gates/lists.py", write),
                source("gateway/bank/gates/permit.py", permit),
            ]
        )
    )


def test_one_gate_in_the_turn_of_the_write_is_right() -> None:
    assert not gated()
    assert not gated(other="async def carry_out(line): return await line.read()")


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        ({"other": "def gate(self): return self.lease.permits(1, 2)"}, "tests the permit"),
        ({"money": MONEY + "\ndef again(self):\n    if self.lane.permits(1, 2): pass"}, "tests the permit"),
        ({"other": "async def send(line): await line.exchange(b'money')"}, "writes to a bank"),
        ({"money": "async def _speak(self, line): await line.exchange(b'money')"}, "without asking"),
        ({"money": MONEY.replace("    answer", "    await self.sleep()\n    answer")}, "waits between"),
        ({"money": MONEY.replace("        return\n", "")}, "waits between"),
        ({"gate": "def refusal(self): return None"}, "does not ask the list"),
        ({"gate": GATE.replace("WRITE", "()")}, "does not ask the list"),
        (
            {"gate": GATE.replace("    against =", "    if self.calm: return None\n    against =")},
            "does not ask the list",
        ),
        ({"write": "WRITE: tuple[GateRule, ...] = (PermitRule(), OvertakenRule())"}, "is not the last rule"),
        ({"write": "WRITE: tuple[GateRule, ...] = ()"}, "is not the last rule"),
        ({"permit": PERMIT.replace("facts.permits(1, 2)", "True")}, "does not test the permit"),
        ({"money": ""}, "is gone"),
    ],
)
def test_a_second_gate_or_a_way_round_it_is_seen(planted: dict[str, str], said: str) -> None:
    [complaint] = gated(**planted)
    assert said in complaint


@pytest.mark.parametrize(
    "planted",
    [
        "from gateway.kernel.core.states import Send\ndef go(tx, row): apply(tx, row.payment, Send(tx.now_ms))",
        "from gateway.kernel.core.states import Replay\nevent = Replay(1, None)",
        "from gateway.kernel.core.states import Release\nevent = Release(1, 2)",
        "from gateway.kernel.core.states import Resolve\nevent = Resolve(1, None)",
        "from gateway.payments.gates.order_facts import OrderTerms\nterms = OrderTerms(1, 2, None)",
        "def go(tx): tx.permit('lane/R1', 1, 1)",
        "from gateway.kernel.core.states import Release as LetGo\nevent = LetGo(1, 2)",
        "from gateway.kernel.core import states\nevent = states.Release(1, 2)",
    ],
)
def test_another_way_to_the_bank_is_seen(planted: str) -> None:
    [complaint] = ways_to_the_bank([*product(), source("gateway/pools/x.py", planted)])
    assert "brings a payment on its way" in complaint


def test_other_rules_than_the_gates_are_seen() -> None:
    planted = source("gateway/erp/x.py", "asked = replace(asked, judged_by=())")
    [complaint] = ways_to_the_bank([*product(), planted])
    assert "only tests" in complaint


def test_a_way_that_is_gone_is_taken_off_the_list() -> None:
    assert any("has no Send any more" in one for one in ways_to_the_bank([]))


UNITS = """
def _unit(self):
    def unit(tx):
        if self._stopped(tx): return None
        message.write_down(tx)
def _repeat_unit(self):
    def unit(tx):
        against = gate.first(parts.repeating, facts)
        approval_checks.at_repeat(tx)
"""


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        (UNITS.replace("        if self._stopped(tx): return None\n", ""), "before its list is asked"),
        (UNITS.replace("gate.first(parts.repeating, facts)", "None"), "before its list is asked"),
        (UNITS.replace("_repeat_unit", "other"), "_repeat_unit is gone"),
    ],
)
def test_a_send_that_is_written_down_unjudged_is_seen(planted: str, said: str) -> None:
    assert not list(units_behind_lists([source("gateway/bank/dispatch.py", UNITS)]))
    [complaint] = units_behind_lists([source("gateway/bank/dispatch.py", planted)])
    assert said in complaint
