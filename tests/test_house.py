"""The house as it stands keeps the rules of tests/house.py, and each rule catches a bad example."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator

import pytest

from tests.house import (
    CODE_RULES,
    OLD_MODULES,
    Source,
    banks_apart,
    cli_without_journal,
    cycles,
    docstrings,
    full_nouns,
    import_order,
    invented_numbers,
    links,
    named_errors,
    no_hidden_clock,
    no_machine,
    no_print,
    nothing_patched,
    nothing_postponed,
    page_at,
    pika_in_one_place,
    plain_names,
    product,
    purity,
    reactor_as_argument,
    size,
    source,
    stale_reasons,
    texts,
)


def check(complaints: Iterable[str]) -> None:
    """Fail with every complaint at once."""
    found = list(complaints)
    assert not found, f"{len(found)} complaint(s):\n" + "\n".join(found)


@pytest.mark.parametrize("rule", CODE_RULES, ids=lambda rule: rule.__name__)
def test_code(rule: Callable[[Source], Iterator[str]]) -> None:
    check(complaint for one in product() for complaint in rule(one))


def test_plain_names_of_campaign_and_bench() -> None:
    sources = [source(path, text) for path, text in texts().items()
               if path.startswith(("faults/", "bench/")) and path.endswith(".py")]  # fmt: skip
    check(complaint for one in sources for complaint in plain_names(one))


def test_campaign_and_bench_patch_nothing() -> None:
    sources = [source(path, text) for path, text in texts().items()
               if path.startswith(("faults/", "bench/")) and path.endswith(".py")]  # fmt: skip
    check(complaint for one in sources for complaint in nothing_patched(one))


@pytest.mark.parametrize(
    "bad",
    ["from gateway import app\napp.SystemClock = 1", "import gateway.app\ngateway.app.X = 1",
     "from gateway.clock import SystemClock as C\ndef f():\n    C.now_ms = 1", "setattr(x, 'y', 1)",
     "from unittest import mock\nmock.patch('gateway.app.X')"],
)  # fmt: skip
def test_a_patched_name_is_caught(bad: str) -> None:
    assert list(nothing_patched(source("faults/x.py", bad)))
    assert not list(nothing_patched(source("faults/x.py", "from gateway import app\nself.app = app\nx.y = app.z")))


def test_plain_settings_keys() -> None:
    tables = [node for one in product() if one.path == "gateway/settings/tables.py" for node in ast.walk(one.tree)]
    keys = {node.target.id for node in tables if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    assert "state_dir" in keys and not keys & OLD_MODULES


def test_no_import_rings() -> None:
    check(cycles(product()))


def test_reasons_for_catching_everything_are_used() -> None:
    check(stale_reasons(product()))


def test_no_machine() -> None:
    check(complaint for path, text in texts().items() for complaint in no_machine(path, text))


def test_invented_numbers() -> None:
    check(complaint for path, text in texts().items() for complaint in invented_numbers(path, text))


def test_links() -> None:
    # The pages in protocols/erp/pages are put together below docs/, and are read there.
    pages = [path for path in texts() if path.endswith(".md") and "erp/pages/" not in path]
    check(complaint for path in pages for complaint in links(path, texts()[path], page_at))


# ---- each rule catches something --------------------------------------------------------------------------

DOC = '"""Doc."""\n'
LONG = "\n    ".join(["def f():", '"""Doc."""', *(["pass"] * 70)])
BAD: tuple[tuple[Callable[[Source], Iterator[str]], str, str], ...] = (
    (import_order, "protocols/canon/x.py", "from protocols.kit import fields"),
    (import_order, "protocols/kit/x.py", "import protocols.banks.pab"),
    (import_order, "protocols/banks/x.py", "from protocols.erp.json_form import read"),
    (import_order, "protocols/erp/x.py", "import gateway.clock"),
    (import_order, "gateway/core/flow.py", "from gateway import clock"),
    (import_order, "gateway/core/flow.py", "from protocols.kit import charset"),
    (import_order, "gateway/clock.py", "from gateway import log"),
    (import_order, "gateway/journal/x.py", "def f():\n    from gateway.bank import lane"),
    (import_order, "gateway/bank/lane.py", "from ..erp import outbox"),
    (import_order, "gateway/bank/lane.py", "from gateway.app import build"),
    (import_order, "gateway/watch/x.py", "if TYPE_CHECKING:\n    from gateway.cli import run"),
    (import_order, "gateway/app.py", "from gateway.simbank import server"),
    (import_order, "gateway/simbank/x.py", "from gateway.bank import lane"),
    (import_order, "gateway/simbank/x.py", "from gateway.journal import store"),
    (import_order, "gateway/attic.py", "import os"),
    (import_order, "gateway/cli/x.py", "from gateway import attic"),
    (import_order, "gateway/app.py", "from gateway.demo import site"),
    (import_order, "gateway/control/x.py", "from gateway.demo import site"),
    (import_order, "gateway/control/offline/x.py", "def f():\n    from gateway.cli.run import serve"),
    (import_order, "gateway/watch/x.py", "from gateway.cli import output"),
    (cli_without_journal, "gateway/cli/x.py", "from gateway.journal.sql import vault"),
    (cli_without_journal, "gateway/cli/commands/x.py", "def f():\n    from gateway.journal import sql"),
    (plain_names, "gateway/bank/tenure.py", ""),
    (plain_names, "faults/ears.py", ""),
    (plain_names, "gateway/x.py", "class BankBerth: pass"),
    (plain_names, "gateway/x.py", "class A:\n    def has_neighbours(self): pass"),
    (plain_names, "gateway/x.py", "from gateway import log\n_log = log.get('bank.lookout')"),
    (banks_apart, "protocols/banks/pab/x.py", "from protocols.banks.sample import messages"),
    (purity, "protocols/kit/x.py", "import time"),
    (purity, "protocols/banks/pab/x.py", "from twisted.internet import defer"),
    (purity, "protocols/erp/x.py", "def f():\n    import urllib.request"),
    (purity, "protocols/canon/x.py", "from lxml import etree"),
    (no_hidden_clock, "protocols/kit/x.py", "from datetime import datetime\nnow = datetime.now(UTC)"),
    (no_hidden_clock, "gateway/core/x.py", "import uuid\nnew = uuid.uuid4()"),
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
    (import_order, "gateway/journal/x.py", "from gateway.core import flow\nfrom . import rows\nimport os"),
    (import_order, "gateway/app.py", "import gateway.bank.lane, gateway.erp.intake, gateway.control.verbs"),
    (
        import_order,
        "gateway/simbank/x.py",
        "from gateway.bank.tls import server_context\nimport protocols.twin",
    ),
    (import_order, "gateway/cli/x.py", "from gateway.simbank import service"),
    (import_order, "gateway/__main__.py", "from gateway.simbank import service"),
    (cli_without_journal, "gateway/control/offline/x.py", "from gateway.journal.sql import vault"),
    (plain_names, "protocols/erp/words.py", "class Words: pass"),
    (plain_names, "gateway/x.py", "class PastDays:\n    def wanted(self): pass\n    def _desk(self): pass"),
    (banks_apart, "protocols/banks/pab/x.py", "from protocols.banks.pab import table"),
    (purity, "protocols/kit/x.py", "from datetime import time\nimport hashlib\nfrom lxml import etree"),
    (no_hidden_clock, "protocols/kit/x.py", "def f(context):\n    return context.now, clock.now()"),
    (pika_in_one_place, "gateway/erp/amqp.py", "import pika"),
    (reactor_as_argument, "gateway/__main__.py", "def main():\n    from twisted.internet import reactor"),
    (size, "gateway/x.py", LONG.replace("pass\n    ", "", 3)),
    (
        full_nouns,
        "gateway/x.py",
        "class Mapper:\n    def utility_bill(self): pass\n    def futile(self): pass",
    ),
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
    assert {rule for rule, _, _ in BAD} == set(CODE_RULES)


def test_rings_are_caught() -> None:
    first = source("gateway/a.py", "from gateway import b")
    second = source("gateway/b.py", "def f():\n    import gateway.c.d")
    third = source("gateway/c/d.py", "from ..a import x")
    types_only = source("gateway/c/d.py", "if TYPE_CHECKING:\n    from ..a import x")
    ring = "import ring: gateway.a -> gateway.b -> gateway.c.d -> gateway.a"
    assert list(cycles([first, second, third])) == [ring]
    assert list(cycles([first, second, types_only])) == []


@pytest.mark.parametrize(
    "cut", ["files.python|hosted.org", "py|pi.org", "/wo|rk/x", "'/ro|ot/x'", "deb.de|bian.org"]
)
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
