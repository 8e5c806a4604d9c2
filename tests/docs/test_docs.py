"""Checks the documentation where a machine can: commands exist, examples fit, both languages have the same content."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import jsonschema_rs
import pytest
import typer

from gateway import settings
from gateway.bank import session_states
from gateway.cli import application
from gateway.cli.erp_client import guess_type
from gateway.demo import site
from gateway.erp.definitions import SenderAccess, definitions
from gateway.erp.topology import standard
from gateway.kernel.core.flow import TABLE
from gateway.kernel.meters import ALARMS
from gateway.language import LANGS, Lang
from gateway.simbank.faults import BankFault
from gateway.version import VERSION
from protocols import trial
from protocols.canon.outcome import STATE_TABLE
from protocols.erp.routing import EVENTS
from protocols.erp.words import CommandType
from tests.docs import gate_page, roles_page, session_states_page, states_page
from tests.docs.history import file_at
from tests.house import ROOT, texts
from tests.house_texts import links, page_at

PAGES = sorted(
    path
    for path in texts()
    if path.endswith(".md") and "/" not in path or path.startswith("docs/") and path.endswith(".md")
)
TRANSLATED = sorted(path for path in PAGES if path.endswith(".zh.md"))
# In Chinese they name the command or key. The details are those of the generated English page.
SUMMARIES = ("docs/lookup/cli.zh.md", "docs/lookup/settings.zh.md", "docs/lookup/metrics.zh.md")
DRAWERS = ("docs/learn/", "docs/do/", "docs/lookup/", "docs/understand/")
SCHEMAS = ROOT / "docs" / "lookup" / "contract" / "schema"
# Languages of blocks that are read as command lines.
_SHELL = ("sh", "")
_PLACEHOLDER = re.compile(r"^[A-Z…]|^[<$\"'-]|[./=]")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page: `lang`, the rest of its first line, and its text."""

    lang: str
    info: str
    text: str


def blocks(markdown: str) -> list[Block]:
    """The fenced blocks of a page."""
    found = re.findall(r"^```([^\s`]*)[ ]?([^\n]*)\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    return [Block(*one) for one in found]


def in_any_language(commands_: str) -> str:
    """Command lines without the option that asks for English: reports are Chinese unless it is there."""
    return commands_.replace(" --language en", "")


def headings(markdown: str) -> list[int]:
    """The levels of a page's headings, in order; none of those inside code."""
    bare = re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL)
    return [len(marks) for marks in re.findall(r"^(#{1,6}) ", bare, re.MULTILINE)]


def commands(markdown: str) -> Iterator[list[str]]:
    """Every command line in shell blocks and inline code that begins with `make` or `bankgw`, as words."""
    inline = [
        re.sub(r"\s+", " ", code)
        for code in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL))
    ]
    lines = [line for block in blocks(markdown) if block.lang in _SHELL for line in block.text.splitlines()]
    for text in [*inline, *lines]:
        # A pipe, a comment or a substitution ends a command; `NAME=value` before it does not matter.
        for part in re.split(r"[|;&#]|\$\(", text):
            words = part.split()
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                words.pop(0)
            if words and words[0].rpartition("/")[2] in ("make", "bankgw"):
                yield [words[0].rpartition("/")[2], *words[1:]]


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


@cache
def _commands() -> Any:
    """The commands of the command line. A group of typer has `commands`; its class is internal to typer."""
    return typer.main.get_command(application.application())


def unknown_command(words: list[str]) -> str | None:
    """The fault of a command line, if its command or an option does not exist."""
    if words[0] == "make":
        wrong = [word for word in words[1:2] if not _PLACEHOLDER.search(word) and word not in make_targets()]
        return f"make has no target {wrong[0]}" if wrong else None
    command = _commands()
    path, rest = ["bankgw"], words[1:]
    while rest and hasattr(command, "commands") and not _PLACEHOLDER.search(rest[0]):
        if rest[0] not in command.commands:
            return f"{' '.join(path)} has no command {rest[0]}"
        path.append(rest[0])
        command, rest = command.commands[rest[0]], rest[1:]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    wrong = [word for word in rest if re.fullmatch(r"--?[a-z][a-z-]*", word) and word not in known | {"--help", "-h"}]
    return f"{' '.join(path)} has no option {wrong[0]}" if wrong else None


# ---- the pages --------------------------------------------------------------------------------------------------


def test_states_page_is_what_the_table_says() -> None:
    assert states_page.PAGE.read_text("utf-8") == states_page.page(), (
        "run `python -m tests.docs.states_page --write` and commit the page"
    )


def test_every_alarm_has_a_line_for_the_operator() -> None:
    page = (ROOT / "docs" / "do" / "operate.md").read_text("utf-8")
    _head, _, table = page.partition("### An alarm rang")
    told = re.findall(r"^\| `([a-z_]+)` \|", table.partition("\n## ")[0], re.MULTILINE)
    assert sorted(told) == sorted(ALARMS)


def test_session_states_page_is_what_the_table_says() -> None:
    assert session_states_page.PAGE.read_text("utf-8") == session_states_page.page(), (
        "run `python -m tests.docs.session_states_page --write` and commit the page"
    )


def test_gate_pages_are_what_the_lists_say() -> None:
    again = "run `python -m tests.docs.gate_page --write` and commit the pages"
    assert gate_page.PAGE.read_text("utf-8") == gate_page.page(), again
    assert gate_page.FAILURES.read_text("utf-8") == gate_page.failure_table(), again


@pytest.mark.parametrize("lang", LANGS)
def test_roles_page_is_what_the_matrix_says(lang: Lang) -> None:
    assert roles_page.PAGES[lang].read_text("utf-8") == roles_page.page(lang), (
        "run `python -m tests.docs.roles_page --write` and commit the pages"
    )


def test_session_states_page_draws_every_move_once() -> None:
    drawn = re.findall(r"^  (\w+) -->\|(.*)\| (\w+)$", session_states_page.drawing(), re.MULTILINE)
    told = {(source, event, target) for source, events, target in drawn for event in events.split("<br/>")}
    table = {
        (state.value, move.event.value, move.after.value)
        for move in session_states.TABLE
        for state in move.before
        if state is not move.after
    }
    assert told == table


def test_states_page_has_words_for_every_row() -> None:
    guarded = {rule.name for rule in TABLE if rule.when is not None}
    assert guarded == set(states_page.CONDITIONS)
    for row in states_page.rows():
        told = STATE_TABLE[row.rule.after].event if row.rule.after is not None else None
        assert told is None or f"tell `{told}`" in states_page.effects_words(row), row.rule.name


def test_drawing_names_every_move() -> None:
    drawn = set(re.findall(r"^  (\w+) -->\|.*\| (\w+)$", states_page.drawing(), re.MULTILINE))
    inside = {room: [state.value for state in states] for room, _title, states in states_page._ROOMS}
    arrows = {(state, after) for before, after in drawn for state in inside.get(before, [before])}
    wanted = {
        (before.value, rule.after.value)
        for rule in TABLE
        if rule.after is not None
        for before in rule.before
        if before is not rule.after
    }
    assert arrows == wanted


def test_links_lead_somewhere() -> None:
    assert [(path, wrong) for path in PAGES for wrong in links(path, texts()[path], page_at)] == []


def test_commands_exist() -> None:
    wrong = [
        f"{path}: {' '.join(words)}: {problem}"
        for path in PAGES
        for words in commands(texts()[path])
        if (problem := unknown_command(words)) is not None
    ]
    assert wrong == []


def test_readme_begins_with_the_two_commands() -> None:
    for page in ("README.md", "README.zh.md"):
        first = next(block for block in blocks(texts()[page]) if block.lang == "sh")
        assert first.text.split("\n") == ["make demo", "make test", ""], page


def test_readme_has_four_doors_near_the_top() -> None:
    for page, suffix in (("README.md", ""), ("README.zh.md", ".zh")):
        top = "\n".join(texts()[page].splitlines()[:35])
        for door in (
            f"learn/erp-developer{suffix}.md",
            f"learn/operator{suffix}.md",
            f"learn/bank-engineer{suffix}.md",
            f"learn/treasury{suffix}.md",
        ):
            assert door in top, f"{page}: {door} is not among its first 35 lines"


PAGES_WITH_JSON = [path for path in PAGES if "```json" in texts()[path]]


@pytest.mark.parametrize("path", PAGES_WITH_JSON)
def test_marked_examples_fit_their_schema(path: str) -> None:
    for block in blocks(texts()[path]):
        if block.lang == "json":
            value = json.loads(block.text)
            if block.info:
                name = block.info.removeprefix("schema=")
                schema = json.loads((SCHEMAS / f"{name}.json").read_text("utf-8"))
                jsonschema_rs.validator_for(schema).validate(value)


@pytest.mark.parametrize("path", TRANSLATED)
def test_both_languages_say_as_much(path: str) -> None:
    original = path.replace(".zh.md", ".md")
    zh, en = texts()[path], texts()[original]
    assert os.path.basename(original) in zh, "it does not link to the original"
    if path in SUMMARIES:
        return
    assert os.path.basename(path) in en, "the original does not link to it"
    assert headings(zh) == headings(en)
    assert [(block.lang, block.info) for block in blocks(zh)] == [(block.lang, block.info) for block in blocks(en)]
    assert [in_any_language(block.text) for block in blocks(zh) if block.lang in ("sh", "json")] == [
        in_any_language(block.text) for block in blocks(en) if block.lang in ("sh", "json")
    ]


def test_every_page_is_in_the_index() -> None:
    # The index has one line for all runbooks, because they have an index of their own.
    indexes = ("docs/README.md", "docs/do/runbooks/README.md")
    linked = {
        os.path.normpath(f"{os.path.dirname(index)}/{target}")
        for index in indexes
        for target in re.findall(r"\]\(([^)#]+)", texts()[index])
    }
    assert [path for path in PAGES if path.startswith(DRAWERS) and path not in linked and path not in TRANSLATED] == []


def test_every_decision_is_listed_in_order() -> None:
    pages = [path.rpartition("/")[2] for path in PAGES if re.match(r"docs/adr/\d{4}-", path)]
    listed = re.findall(r"\]\((\d{4}-[^)]+)\)", texts()["docs/adr/README.md"])
    assert listed == pages
    numbers = [int(name[:4]) for name in pages]
    assert numbers == list(range(1, len(numbers) + 1))
    for name in pages:
        title = texts()[f"docs/adr/{name}"].splitlines()[0]
        assert title.startswith(f"# {name[:4]}. ") and title[8:] in texts()["docs/adr/README.md"]


def test_bank_page_names_every_fault() -> None:
    for page in ("docs/learn/bank-engineer.md", "docs/learn/bank-engineer.zh.md"):
        assert [fault.value for fault in BankFault if f"`{fault.value}`" not in texts()[page]] == [], page


@pytest.mark.parametrize("page", ["README.md", "README.zh.md", "docs/README.md", "CHANGELOG.md"])
def test_every_bank_is_named(page: str) -> None:
    word = "protocols/banks/{}/README.md" if page == "docs/README.md" else "`{}`"
    assert [bank for bank in trial.banks() if word.format(bank) not in texts()[page]] == []
    named = set(re.findall(r"protocols/banks/([a-z]+)/README", texts()[page]))
    assert named <= set(trial.banks())


def test_the_tour_pays_from_an_account_of_the_demo() -> None:
    page = texts()["docs/learn/first-ten-minutes.md"]
    [order] = [json.loads(block.text) for block in blocks(page) if block.info == "schema=payment.submit"]
    assert order["debtor"] == {"account": site.account_numbers("sample", 1)[0], "name": site.HOLDERS[0]}


def _rights() -> tuple[dict[str, str], str]:
    """The broker's rights that the installation page gives an ERP, and the events that it may bind."""
    made = definitions(standard(), senders=[SenderAccess("kingdee", ("erp-kingdee",))])
    [rights] = [one for one in made["permissions"] if one["user"] == "erp-kingdee"]
    [read] = [
        one["read"] for one in made["topic_permissions"] if (one["user"], one["exchange"]) == ("erp-kingdee", EVENTS)
    ]
    return rights, read


@pytest.mark.parametrize("lang", ["python", "javascript", "java", "csharp"])
@pytest.mark.parametrize("page", ["docs/learn/erp-developer.md", "docs/learn/erp-developer.zh.md"])
def test_the_programs_use_what_the_broker_and_the_settings_allow(page: str, lang: str) -> None:
    program = next(block.text for block in blocks(texts()[page]) if block.lang == lang)
    rights, events = _rights()
    queues = set(re.findall(r'"([\w.-]+\.news)"', program))
    assert len(queues) == 1
    sender = settings.read_settings(ROOT / "conf" / "bankgw.toml").settings.senders["kingdee"]
    for queue in queues:
        assert all(re.search(rights[right], queue) for right in ("configure", "write", "read"))
        assert re.fullmatch(sender.reply_to, queue)
    assert re.search(events, "payment.*.*.kingdee") and '"kingdee"' in program and "payment.*.*." in program
    assert "//erp-kingdee:" in texts()[page] and sender.users == ("erp-kingdee",)


def test_no_page_tells_an_erp_to_bind_what_the_broker_refuses() -> None:
    assert [path for path in PAGES if re.search(r"`(payment|batch)\.#`", texts()[path])] == []


@pytest.mark.parametrize("page", ["docs/lookup/contract/index.md", "docs/lookup/contract/index.zh.md"])
def test_bindings_of_the_contract_are_allowed(page: str) -> None:
    bound = re.findall(r"`([^`\s]*[*#][^`\s]*\.kingdee)`", texts()[page])
    assert set(bound) == {"payment.*.*.kingdee", "batch.*.*.kingdee", "#.kingdee"}
    assert all(re.search(_rights()[1], key) for key in bound)


def test_the_shell_question_is_guessed_right() -> None:
    shells = [block.text for block in blocks(texts()["docs/learn/erp-developer.md"]) if block.lang == "sh"]
    [shell] = [one for one in shells if "balance" in one]
    assert guess_type(shell.split("'")[1].encode()) is CommandType.BALANCE_QUERY


def test_the_iso_example_pays_from_an_account_of_the_demo_and_is_asked_for_by_its_sender() -> None:
    page = texts()["docs/do/iso20022.md"]
    [file] = [block.text for block in blocks(page) if "<Document " in block.text]
    assert f"<DbtrAcct><Id><Othr><Id>{site.account_numbers('sample', 1)[0]}</Id>" in file
    assert "`bankgw orders show kingdee:RENT-11/A/0931`" in page


def _all_commands() -> dict[str, set[str]]:
    """Every command by its words, with its options."""
    found: dict[str, set[str]] = {}

    def walk(words: str, command: Any) -> None:
        if hasattr(command, "commands"):
            for name, one in command.commands.items():
                walk(f"{words} {name}".strip(), one)
        else:
            found[words] = {option for parameter in command.params for option in parameter.opts}

    walk("", typer.main.get_command(application.application()))
    return found


def test_the_chinese_page_has_every_command() -> None:
    page = texts()["docs/lookup/cli.zh.md"]
    missing = [words for words in _all_commands() if f"`bankgw {words}" not in page]
    # Three options that stand in one cell.
    assert missing == ["certificates show", "certificates abandon"] and " continue`、`show`、`abandon`" in page


@pytest.mark.parametrize("path", ["docs/do/operate.md", "docs/lookup/cli.zh.md"])
def test_pages_name_the_commands_that_have_no_json(path: str) -> None:
    without = {words for words, options in _all_commands().items() if "--json" not in options}
    top = texts()[path].partition("\n## ")[0]
    [said] = re.findall(r"--json`[^`]*((?:`[^`]+`(?:, | and |、)?)+)", top)
    assert set(re.findall(r"`([^`]+)`", said)) == without


def _installing() -> str:
    return texts()["docs/do/install.md"]


def test_installing_gives_each_example_sender_its_rights_and_each_user_a_password() -> None:
    senders = settings.read_settings(ROOT / "conf" / "bankgw.toml").settings.senders
    exported = dict(re.findall(r"--sender ([a-z]+)=(\S+)", _installing()))
    assert exported == {name: ",".join(sender.users) for name, sender in senders.items()}
    made = definitions(standard(), senders=[SenderAccess(name, sender.users) for name, sender in senders.items()])
    for name, sender in senders.items():
        assert re.fullmatch(sender.reply_to, f"erp-{name}.replies")
        for user in sender.users:
            assert re.search(rf"\nrabbitmqctl change_password {user}\s", _installing())
            [rights] = [one for one in made["permissions"] if one["user"] == user]
            assert re.search(rights["configure"], f"erp-{name}.replies")


def test_installing_makes_the_wheel_that_it_installs_and_puts_the_units_pages_in_their_place() -> None:
    lines = [line.split("#")[0].split() for line in _installing().splitlines()]
    made = lines.index(["/opt/bankgw/bin/pip", "wheel", "--no-deps", "-w", ".", "."])
    assert made < lines.index(["/opt/bankgw/bin/pip", "install", "--no-deps", "bankgw-*.whl"])
    [target] = [line[-1] for line in lines if line[:3] == ["cp", "-rT", "docs"]]
    for unit in ("bankgw.service", "bankgw@.service", "bankgw-shard@.service"):
        text = (ROOT / "systemd" / unit).read_text("utf-8")
        [page] = re.findall(rf"^Documentation=file://{target}/(\S+)$", text, re.MULTILINE)
        assert (ROOT / "docs" / page).is_file()


def _credentials(bank: str) -> set[str]:
    """The credentials of the settings in use. Those that are commented out are set up by their own page."""
    return set(
        re.findall(
            r'^[^#\n]*credential = "([^"]+)"',
            (ROOT / "conf" / "conf.d" / f"{bank}.toml").read_text("utf-8"),
            re.MULTILINE,
        )
    )


def test_the_drop_in_loads_every_credential_of_the_example_banks() -> None:
    wanted = _credentials("sample")
    [drop_in] = [block.text for block in blocks(_installing()) if block.lang == "ini"]
    assert set(re.findall(r"^LoadCredential=([^:]+):", drop_in, re.MULTILINE)) == wanted | _credentials("pab")
    for unit in ("bankgw.service", "bankgw@.service", "bankgw-shard@.service"):
        text = (ROOT / "systemd" / unit).read_text("utf-8")
        assert set(re.findall(r"^#   LoadCredential=([^:]+):", text, re.MULTILINE)) == wanted


def test_a_copy_is_put_back_without_the_units_credentials() -> None:
    lines = [line for line in texts()["docs/do/restore.md"].splitlines() if line.startswith("bankgw restore /")]
    assert len(lines) == 2 and all(line.endswith("--vault-key /etc/bankgw/secrets/vault.key") for line in lines)


# ---- the checks themselves --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "make demmo",
        "bankgw ordres list",
        "bankgw orders lst",
        "bankgw orders list --status held",
        "bankgw parked drop X",
    ],
)
def test_wrong_commands_are_found(line: str) -> None:
    found = list(commands(f"say `{line}`, or\n```sh\n{line} | cat\n```\n"))
    assert len(found) == 2 and all(unknown_command(words) for words in found)


@pytest.mark.parametrize(
    "line",
    [
        'make demo ARGS="--seed 8"',
        "BANKGW_PRIVATE=1 make demo",
        "bankgw orders show kingdee:A --clear",
        "bankgw simulate $site/simbank.toml",
        ".venv/bin/bankgw run -c x.toml",
        "bankgw orders cancel ORDER --reason …",
    ],
)
def test_right_commands_are_left_alone(line: str) -> None:
    found = list(commands(f"`{line}`"))
    assert len(found) == 1 and unknown_command(found[0]) is None


def test_headings_in_code_do_not_count() -> None:
    assert headings("# A\n```sh\n# no\n```\n## B\n") == [1, 2]


# ---- the changelog ----------------------------------------------------------------------------------------------

_SORTS = ("Added", "Changed", "Fixed", "Security")
_LINES = 3


def test_the_changelog_has_versions_with_sorts_of_changes() -> None:
    page = texts()["CHANGELOG.md"]
    [version] = re.findall(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    versions = re.findall(r"^## (.*)$", page, re.MULTILINE)
    assert versions[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d{2}-\d{2}", one) for one in versions[1:])
    assert versions[1].startswith(f"{version} - ")
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        sorts = re.findall(r"^### (.*)$", part, re.MULTILINE)
        assert sorts == [sort for sort in _SORTS if sort in sorts]


def test_the_program_says_the_version_that_is_packed() -> None:
    [packed] = re.findall(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert packed == VERSION


_SCHEMA_OF = {"0.2.0": ("gateway/kernel/sql/schema.py", 17), "0.1.0": ("gateway/journal/sql/schema.py", 5)}


def _commit_of(version: str) -> str:
    parts = re.split(r"^## ", texts()["CHANGELOG.md"], flags=re.MULTILINE)[2:]
    named = {part.split(" ")[0]: re.findall(r"^Commit `([0-9a-f]{40})`", part, re.MULTILINE) for part in parts}
    assert named.keys() == _SCHEMA_OF.keys() and all(len(found) == 1 for found in named.values()), named
    [commit] = named[version]
    return str(commit)


@pytest.mark.parametrize("version", _SCHEMA_OF)
def test_each_version_names_the_commit_that_later_upgrades_start_from(version: str) -> None:
    path, schema = _SCHEMA_OF[version]
    assert f"SCHEMA_VERSION = {schema}\n" in file_at(_commit_of(version), path)


def test_entries_of_the_changelog_are_short() -> None:
    entries = re.findall(r"^- (?:.+\n(?:  .+\n)*)", texts()["CHANGELOG.md"], re.MULTILINE)
    assert [entry for entry in entries if entry.count("\n") > _LINES] == []
