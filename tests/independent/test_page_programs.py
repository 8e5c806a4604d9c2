"""The programs of the page for ERP developers run unchanged: Python, Node and Java pay and ask.

Only the queue's name is changed, as the trial's broker user owns queues of another prefix. .NET is shown and not compiled.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.house import texts
from tests.independent.site import PREFIX, Running, not_to_be_had, program

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]
PAGE = "docs/learn/erp-developer.md"
JARS = Path("/usr/share/java")
NEEDED = ("amqp-client", "slf4j-api", "jackson-databind", "jackson-core", "jackson-annotations")


def programs(lang: str) -> list[str]:
    return re.findall(rf"```{lang}\n(.*?)```", texts()[PAGE], re.DOTALL)


def order(site: Running, id_: str) -> dict[str, Any]:
    [body] = [json.loads(block) for block in re.findall(r"```json[^\n]*\n(.*?)```", texts()[PAGE], re.DOTALL)]
    return {
        **body,
        "id": id_,
        "purpose": f"货款 {id_}",
        "debtor": {"account": site.account("sample"), "name": "示例甲公司"},
    }


def play(site: Running, folder: Path, lang: str, number: int, id_: str, modules: Path | None = None) -> str:
    """Save the page's program, run it with one order, return what it printed."""
    text = programs(lang)[number].replace("erp-kingdee.news", f"{PREFIX}.page.{lang}.news")
    text = text.replace("0000000000000000017", site.account("sample"))
    name = {"python": "pay.py", "javascript": "pay.js", "java": f"{('Pay', 'Ask')[number]}.java"}[lang]
    (folder / name).write_text(text, "utf-8")
    (folder / "payment.json").write_text(json.dumps(order(site, id_), ensure_ascii=False), "utf-8")
    env = {**os.environ, "AMQP_URL": site.url}
    if lang == "python":
        words = [sys.executable]
    elif lang == "javascript":
        assert modules is not None
        words, env["NODE_PATH"] = [program("node")], str(modules)
    else:
        missing = [jar for jar in NEEDED if not (JARS / f"{jar}.jar").exists()]
        if missing:
            not_to_be_had(f"no {', '.join(missing)}: run `make tools`")
        words = [program("java"), "-Dfile.encoding=UTF-8", "-cp", ":".join(str(JARS / f"{jar}.jar") for jar in NEEDED)]
    done = subprocess.run(
        [*words, name, "payment.json"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{site.daemon.tail()}"
    return done.stdout


def booked(site: Running, id_: str) -> int:
    return sum(id_ in json.dumps(one, ensure_ascii=False) for one in site.booked("sample"))


def pays(site: Running, folder: Path, lang: str, modules: Path | None = None) -> None:
    id_ = f"PAGE-{lang}-1"
    said = play(site, folder, lang, 0, id_, modules).splitlines()
    assert said[0].split()[:2] == ["payment.accepted", "accepted"], said
    assert said[-1].startswith("payment.settled settled "), said
    assert booked(site, id_) == 1
    # A second run with the same file gives the same payment, not a second one, as the page promises.
    again = play(site, folder, lang, 0, id_, modules).splitlines()
    assert again[-1].split()[:2] == ["payment.accepted", "settled"], again
    assert booked(site, id_) == 1


def test_python_pays(site: Running, tmp_path: Path) -> None:
    pays(site, tmp_path, "python")


def test_node_pays(site: Running, tmp_path: Path, modules: Path) -> None:
    pays(site, tmp_path, "javascript", modules)


def test_java_pays(site: Running, tmp_path: Path) -> None:
    pays(site, tmp_path, "java")


def test_node_asks(site: Running, tmp_path: Path, modules: Path) -> None:
    said = play(site, tmp_path, "javascript", 1, "unused", modules)
    assert said.startswith("balance.result ") and site.account("sample") in said


def test_java_asks(site: Running, tmp_path: Path) -> None:
    said = play(site, tmp_path, "java", 1, "unused")
    assert said.startswith("balance.result ") and site.account("sample") in said


@pytest.mark.parametrize("lang", ["python", "javascript", "java", "csharp"])
def test_each_is_short_enough_to_read(lang: str) -> None:
    assert all(len(text.splitlines()) <= 60 for text in programs(lang))


@pytest.mark.parametrize(
    ("page", "word"), [(PAGE, "do not compile"), (PAGE.replace(".md", ".zh.md"), "未经我们的测试编译")]
)
def test_the_one_that_is_not_tried_says_so(page: str, word: str) -> None:
    before = texts()[page].partition("```csharp")[0]
    assert word in before.rpartition("\n## ")[2]
