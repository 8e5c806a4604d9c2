"""The command line starts at once: a command line imports its own command's modules, and no heavy library."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer

from gateway.cli.application import application
from gateway.cli.help_pages import FullHelpGroup
from gateway.cli.plain_values import read_plainly
from tests.gateway.cli.canned_daemon import STATUS, TOP, canned_daemon, lane, order
from tests.house import SUBJECTS

CPU_S = 0.25
"""CPU of one command on an otherwise idle machine (docs/do/operate.md)."""
TYPER_S = 0.06
"""CPU of an interpreter that only imports typer, on the machine for which `CPU_S` was written."""
OURS = frozenset(
    {
        "gateway.__main__",
        "gateway.act",
        "gateway.language",
        "gateway.settings_files",
        "gateway.version",
        "gateway.kernel.start_failures",
        "gateway.people.rules",
        "gateway.people.rules.roles",
        *("gateway.control.client", "gateway.control.register", "gateway.control.service_unit"),
        *(
            f"gateway.{room}.acts"
            for room in (
                "approvals",
                "payments",
                "people",
                "pools",
                "positions",
                "receipts",
                "reconciliation",
                "reports",
                "statements",
            )
        ),
        *("gateway.cli.act_commands", "gateway.cli.act_hooks", "gateway.cli.application", "gateway.cli.command_texts"),
        *("gateway.cli.completion", "gateway.cli.environment", "gateway.cli.every_command", "gateway.cli.exit_codes"),
        *("gateway.cli.headings", "gateway.cli.help_pages", "gateway.cli.output", "gateway.cli.plain_values"),
        *(
            "gateway.cli.screen",
            "gateway.cli.signing",
            "gateway.cli.stdout",
            "gateway.cli.tables",
            "gateway.cli.terminal",
        ),
    }
)
"""Our modules that a command may import that asks the daemon and shows the answer, besides its own module."""
ITS_OWN = {
    ("status",): {"gateway.cli.commands.lanes", "gateway.cli.commands.status"},
    ("orders", "list"): {"gateway.cli.commands.orders", "gateway.cli.folding"},
    ("lanes", "list"): {"gateway.cli.commands.lanes"},
    ("top", "--once", "--every", "0.5"): {"gateway.cli.commands.top"},
}
NOT_OURS = frozenset({"_virtualenv", "annotated_doc", "apport_python_hook", "shellingham", "sitecustomize", "typer"})
"""Packages besides the standard library that such a command may import."""
_ASK = """
import json, sys
from gateway import __main__ as program
try:
    program.main()
except SystemExit as ended:
    print(json.dumps([ended.code, sorted(sys.modules)]), file=sys.stderr)
"""


def loaded(*words: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", _ASK, *words], capture_output=True, text=True, check=True, timeout=60)
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return set(modules)


@pytest.fixture
def config(tmp_path: Path) -> Iterator[str]:
    settings = tmp_path / "bankgw.toml"
    settings.write_text('state_dir = "."\n')
    answers = {
        "/status": STATUS,
        "/lanes": {"lanes": [lane("sample.main")], "stop": None},
        "/orders": {"orders": [order(number) for number in range(20)], "next": None},
        "/top": TOP,
    }
    with canned_daemon(tmp_path / "control.sock", answers):
        yield str(settings)


def strangers(modules: set[str]) -> set[str]:
    """Packages that belong neither to the standard library nor to us."""
    tops = {name.partition(".")[0] for name in modules}
    return {
        name
        for name in tops - sys.stdlib_module_names - {"gateway", "protocols", "__main__"}
        if not name.startswith(("__editable__", "_distutils"))
    } - NOT_OURS


def modules_of(names: set[str]) -> set[str]:
    """Our modules without the packages that only hold them, and without the declarations of acts, which all are read."""
    ours = {name for name in names if name.partition(".")[0] in ("gateway", "protocols")}
    modules = {name for name in ours if not any(other.startswith(f"{name}.") for other in ours)} | (ours & OURS)
    return {name for name in modules if not name.startswith("gateway.control.acts.") and not name.endswith(".acts")}


@pytest.mark.parametrize("words", ITS_OWN, ids=" ".join)
def test_a_command_imports_what_it_needs_and_no_more(words: tuple[str, ...], config: str) -> None:
    found = loaded(*words, "--config", config)
    assert modules_of(found) - OURS == ITS_OWN[words]
    assert strangers(found) == set()


def test_the_version_needs_no_command() -> None:
    found = loaded("--version")
    assert not [name for name in found if name.startswith(("gateway.cli.commands.", "gateway.control"))]
    assert modules_of(found) <= OURS and strangers(found) == set()


@pytest.mark.parametrize("words", [("--help",), ("orders", "--help"), ("run", "--help")])
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    found = loaded(*words)
    # Of a subject only the declarations of its acts are loaded, and nothing that they do not need.
    inside = {name for name in found if name.split(".")[:2] in [["gateway", room] for room in SUBJECTS]}
    needed = {"gateway.people.rules", "gateway.people.rules.roles"}
    assert {name for name in inside if name.count(".") > 1 and not name.endswith(".acts")} <= needed
    assert strangers(found) == set() and not found & {"http.client", "gateway.settings", "urllib.request"}


def test_commands_start_in_little_time(config: str) -> None:
    def cpu_s(*words: str) -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        before_s = used.ru_utime + used.ru_stime
        subprocess.run([sys.executable, *words], capture_output=True, check=True, timeout=60)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime - before_s

    asking = ("--config", config)
    lines = (("--version",), ("--help",), ("status", *asking), ("orders", "list", *asking))
    for words in lines:
        # Beside other work the same program takes more CPU, so it is measured against what typer takes there and then.
        spans = [(cpu_s("-m", "gateway", *words), cpu_s("-c", "import typer")) for _ in range(5)]
        ours_s, typer_s = (min(column) for column in zip(*spans, strict=True))
        assert ours_s <= CPU_S * typer_s / TYPER_S, (words, spans)


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["--number", "3", "--ratio", "2.5", "--name", "x", "--many", "a", "--many", "b"], (3, 2.5, "x", ["a", "b"])),
        (["--number", "07", "--ratio", "1e3"], (7, 1000.0, None, None)),
        (["--number", " 3", "--file", "/etc/hostname"], (3, 1.0, None, None)),
    ],
)
def test_plain_values_are_those_of_the_library(words: list[str], values: tuple[object, ...]) -> None:
    seen: list[tuple[object, ...]] = []
    program = typer.Typer()

    @program.command()
    def command(
        number: Annotated[int, typer.Option(min=1, max=10)] = 1,
        ratio: float = 1.0,
        name: str | None = None,
        many: list[str] | None = None,
        file: Path = Path("x"),
        way: Literal["up", "down"] = "up",
    ) -> None:
        seen.append((number, ratio, name, many, file, way))

    for plain in (False, True):
        made = typer.main.get_command(program)
        if plain:
            read_plainly(made)
        made.main(words, standalone_mode=False)
    assert seen[0] == seen[1] and seen[0][:4] == values
    for wrong in (
        ["--number", "11"],
        ["--number", "x"],
        ["--ratio", "y"],
        ["--way", "left"],
        ["--file", "/etc/shadow"],
    ):
        texts = []
        for plain in (False, True):
            made = typer.main.get_command(program)
            if plain:
                read_plainly(made)
            try:
                made.main(wrong, standalone_mode=False)
                texts.append("done")
            except Exception as error:  # whichever error it is, both ways must end with the same one
                texts.append(f"{type(error).__name__} {error}")
        assert texts[0] == texts[1], wrong
        assert texts[0] != "done" or wrong[0] == "--file"


def test_no_group_of_commands_cuts_a_summary_off() -> None:
    program = typer.main.get_command(application())
    assert isinstance(program, FullHelpGroup)
    groups = {name: one for name, one in program.commands.items() if hasattr(one, "commands")}
    assert len(groups) > 5
    assert {name for name, one in groups.items() if not isinstance(one, FullHelpGroup)} == set()
