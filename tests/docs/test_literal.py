"""The pages for beginners, followed to the letter: every block runs in order, on one site, in one shell."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest

from gateway.demo import site as demo_site
from tests.docs import literal
from tests.docs.test_docs import in_any_language
from tests.house import ROOT, texts
from tests.world.services import Broker

TOUR, ERP = "docs/learn/first-ten-minutes.md", "docs/learn/erp-developer.md"
OPERATOR, BANK, INSTALL = "docs/learn/operator.md", "docs/learn/bank-engineer.md", "docs/do/install.md"
TREASURY = "docs/learn/treasury.md"
PAGES = (TOUR, TREASURY, ERP, OPERATOR, BANK, INSTALL)
# The numbers are written out, so that a block that is no longer run is noticed: how many run, and how many do not.
BLOCKS = {TOUR: (7, 0), ERP: (3, 0), TREASURY: (7, 0), OPERATOR: (6, 0), BANK: (5, 3), INSTALL: (3, 17)}


def steps_of(page: str) -> list[literal.Step]:
    return literal.steps(page, texts()[page])


@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs_or_says_why_not(page: str) -> None:
    found = steps_of(page)
    count = Counter(step.kind for step in found)
    assert (count["run"] + count["run last"], count["not run"]) == BLOCKS[page]
    assert all(len(step.why) > 8 for step in found if step.kind != "run" and step.kind != "save")


def chinese(page: str) -> str:
    return page.replace(".md", ".zh.md")


@pytest.mark.parametrize("page", PAGES)
def test_the_chinese_page_runs_the_same(page: str) -> None:
    zh, en = steps_of(chinese(page)), steps_of(page)
    assert [(one.number, one.kind, in_any_language(one.text)) for one in zh] == [
        (one.number, one.kind, in_any_language(one.text)) for one in en
    ]
    assert [one.why for one in zh if one.kind == "save"] == [one.why for one in en if one.kind == "save"]


@pytest.mark.parametrize("page", PAGES)
def test_no_block_waits_for_a_fixed_time_or_has_a_password_on_a_command_line(page: str) -> None:
    for step in steps_of(page):
        for line in step.text.splitlines():
            assert not line.startswith("sleep "), f"{step.name}: wait for what is to be ready"
            words = line.partition("#")[0].split()
            assert words[:2] != ["rabbitmqctl", "change_password"] or len(words) == 3, f"{step.name}: {line}"


def test_a_command_that_fails_is_named(tmp_path: Path) -> None:
    todo = literal.steps(
        "p",
        "<!-- run last: why -->\n```sh\nfalse || true\n(exit 3)\n```\n\nA file, saved as `x`:\n\n"
        "```json\n{}\n```\n\n```sh\ncat x; rm x\n```\n",
    )
    assert [step.kind for step in todo] == ["run last", "save", "run"]
    text = literal.script(literal.ordered(todo), {}, {"p": str(tmp_path)})
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
    assert literal.failures(done.stdout) == ["p#1: exit code 3 of: ( exit 3 )"]
    assert literal.said(done.stdout, "p#3") == "{}\n"


def test_the_settings_that_a_reader_copies_lack_only_files(tmp_path: Path) -> None:
    """The files that are missing after the page's commands are those that the page names next: certificates and
    secrets.
    """
    [copy] = [step.text for step in steps_of(INSTALL) if "cp conf/bankgw.toml" in step.text]
    subprocess.run(["bash", "-ec", copy.replace("/etc/", f"{tmp_path}/")], cwd=ROOT, check=True)
    command = [sys.executable, "-m", "gateway", "check", "--config", str(tmp_path / "bankgw" / "bankgw.toml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 78 and lines
    assert [line for line in lines if "cannot be read (No such file or directory)" not in line] == []
    wanted = set(re.findall(r"credential (\S+) cannot be read", "\n".join(lines)))
    told = texts()[INSTALL] + (ROOT / "systemd" / "bankgw.service").read_text("utf-8")
    assert wanted and wanted <= set(re.findall(r"^LoadCredential=([\w-]+):", told, re.MULTILINE))


def environment(described: Path, broker: Broker, language: str) -> dict[str, str]:
    """A reader's environment: nothing of pytest's, a language, and an ERP's login at the tests' broker."""
    login = broker.users["erp-demo"]
    url = (
        f"amqp://{quote(login.user)}:{quote(login.password)}@{broker.host}:{broker.port}/{quote(broker.test_vhost, '')}"
    )
    others = ("PYTEST", "BANKGW", "LC_", "LANG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {
        **kept,
        "LANG": language,
        "BANKGW_BROKER_JSON": str(described),
        "AMQP_URL": url,
        "PATH": f"{ROOT}/.venv/bin:{kept['PATH']}",
    }


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.timeout(900)
@pytest.mark.parametrize("language", ["C.UTF-8", "zh_CN.UTF-8"])
def test_the_pages_hold_when_followed_to_the_letter(
    language: str, broker: Broker, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    in_chinese = language.startswith("zh")

    def read(page: str) -> str:
        return chinese(page) if in_chinese else page

    site, etc, described = tmp_path_factory.mktemp("t") / "tour", tmp_path / "etc", tmp_path / "broker.json"
    (etc / "rabbitmq").mkdir(parents=True)
    users = {role: {"user": login.user, "password": login.password} for role, login in broker.users.items()}
    described.write_text(
        json.dumps({"host": broker.host, "port": broker.port, "vhost": broker.test_vhost, "users": users})
    )
    # The demo's own tests play 1,000 orders. The ERP developer's page itself names what differs on the demo's site.
    tour = {"/tmp/bankgw-tour": str(site), 'ARGS="--f': 'ARGS="--orders 60 --f'}
    erp = {"erp-kingdee.": "erp-demo.", "0000000000000000017": demo_site.account_numbers("sample", 1)[0]}
    install = {"/etc/": f"{etc}/"}
    todo = literal.ordered([step for page in PAGES for step in steps_of(read(page))])
    replaced = {TOUR: tour, ERP: erp, TREASURY: tour, OPERATOR: tour, BANK: tour, INSTALL: install}
    folders = dict.fromkeys(PAGES, str(ROOT)) | {ERP: str(site)}
    text = literal.script(
        todo,
        {read(page): words for page, words in replaced.items()},
        {read(page): folder for page, folder in folders.items()},
    )
    out = tmp_path / "output"
    with out.open("w") as stream:
        process = subprocess.Popen(
            ["bash", "-c", text],
            env=environment(described, broker, language),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(840)
        finally:
            for each in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, each)
                except ProcessLookupError:
                    break
    output = out.read_text()
    assert literal.failures(output) == [], output[-20_000:]
    assert output.endswith(f"{literal.START} end\n"), output[-20_000:]
    _check(output, {page: read(page) for page in PAGES}, in_chinese=in_chinese)
    ran = [step.name for step in todo if step.kind != "save"]
    print(f"{len(ran)} blocks ran")
    for page in PAGES:
        for step in steps_of(read(page)):
            if step.kind == "not run":
                print(f"{step.name} did not run: {step.why}")


@pytest.mark.parametrize("page", [TREASURY, OPERATOR, BANK])
def test_exercises_have_answers_that_the_chinese_page_gives_too(page: str) -> None:
    found, zh = literal.answers(page, texts()[page]), chinese(page)
    answered = {name.replace(".zh.md", ".md"): words for name, words in literal.answers(zh, texts()[zh]).items()}
    assert len(found) >= 1 and all(found.values())
    # A sentence may have the words in another order, and the commands speak the reader's language.
    assert {name: len(set(words)) for name, words in found.items()} == {
        name: len(set(words)) for name, words in answered.items()
    }
    for name, words in found.items():
        assert {word for word in words if "_" in word} <= set(answered[name])


def test_an_answer_that_is_not_so_is_named() -> None:
    page = "Look:\n\n```sh\necho yes\n```\n\n**Answer:** it says `yes`, not `no`\nor `may\nbe`. After it `x`.\n\nAnd `y`.\n"
    assert literal.answers("p", page) == {"p#1": ("yes", "no", "may be", "x")}


def _check(output: str, read: dict[str, str], *, in_chinese: bool) -> None:
    """Checks the results that the pages promise. `read` has the page that was followed, by the English one."""
    for page in (TREASURY, OPERATOR, BANK):
        for name, words in literal.answers(read[page], texts()[read[page]]).items():
            heard = literal.said(output, name)
            assert [word for word in words if word not in heard] == [], f"{name} said:\n{heard}"
    assert "demo: 60 orders" in output and "0 duplicated, 0 lost" in output
    assert output.count('{"faults_to_come": 0}') == 2 and output.count('{"faults_to_come": 1}') == 2
    tour = [step for step in steps_of(read[TOUR]) if step.kind == "run"]
    paid = next(literal.said(output, step.name) for step in tour if "order.json --wait" in step.text)
    again, now = ("此前已受理", "不再办理；现状：settled") if in_chinese else ("taken before", "; it is now: settled")
    assert paid.index("payment.accepted") < paid.index("payment.settled") < paid.index(again)
    assert now in paid
    lost = next(literal.said(output, step.name) for step in tour if "order-2.json --wait" in step.text)
    assert lost.index("payment.accepted") < lost.index("payment.in_doubt") < lost.index("payment.settled")
    pay = next(step for step in steps_of(read[ERP]) if "pay.py payment.json" in step.text)
    assert "payment.accepted" in literal.said(output, pay.name)
    assert "payment.settled" in literal.said(output, pay.name)
    away = next(step for step in steps_of(read[OPERATOR]) if "kill %2" in step.text)
    assert "down" in literal.said(output, away.name)
