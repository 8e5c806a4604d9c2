"""The shell blocks of the pages as one bash script, in the order in which a reader meets them.

A block runs unless the line before it is a comment that says why not:

    <!-- not run: needs root -->
    <!-- run last: other pages use the site -->

JSON and Python blocks are saved where the sentence before them says: "saved as `payment.json`:".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_FENCE = re.compile(r"(?P<lead>[^\n]*\n\n?)```(?P<lang>[a-z]+)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = re.compile(r"<!-- (?P<kind>not run|run last): (?P<why>\S.*?) -->\s*\Z")
_SAVED = re.compile(r"(?:\bas|存为|保存为) `(?P<path>[^`\s]+)`[:：]\s*\Z")
_ANSWER = re.compile(r"\A\n\n\*\*(?:Answer|答案)[:：]\*\* (?P<text>.*?)(?:\n\n|\Z)", re.DOTALL)
START, FAILED = "@@BLOCK", "@@FAILED"


@dataclass(frozen=True, slots=True)
class Step:
    """One block of a page. `kind` is `run`, `run last`, `not run` or `save`; `why` its reason, or where to save it."""

    page: str
    number: int
    kind: str
    why: str
    text: str

    @property
    def name(self) -> str:
        """The page and the number of the block in it."""
        return f"{self.page}#{self.number}"


def steps(page: str, markdown: str) -> list[Step]:
    """The page's blocks that a reader runs, or saves."""
    found: list[Step] = []
    for number, block in enumerate(_FENCE.finditer(markdown), start=1):
        mark, saved = _MARK.search(block["lead"]), _SAVED.search(block["lead"])
        if block["lang"] == "sh":
            kind, why = (mark["kind"], mark["why"]) if mark else ("run", "")
            found.append(Step(page, number, kind, why, block["text"]))
        elif saved:
            found.append(Step(page, number, "save", saved["path"], block["text"]))
    return found


def answers(page: str, markdown: str) -> dict[str, tuple[str, ...]]:
    """The output that the block before each answer of an exercise must have: the answer's code, by the block's name."""
    found = {}
    for number, block in enumerate(_FENCE.finditer(markdown), start=1):
        answer = _ANSWER.search(markdown[block.end() :])
        if answer:
            words = re.findall(r"`([^`]+)`", answer["text"].replace("\n", " "))
            found[f"{page}#{number}"] = tuple(word for word in words if not word.startswith("bankgw "))
    return found


def ordered(all_steps: list[Step]) -> list[Step]:
    """The steps in order. The blocks marked `run last` come at the end."""
    done = [step for step in all_steps if step.kind != "not run"]
    return sorted(done, key=lambda step: step.kind == "run last")


def script(todo: list[Step], replaced: Mapping[str, Mapping[str, str]], folders: Mapping[str, str]) -> str:
    """One bash script of all steps. Each says when it starts, and every command that fails is named.

    `replaced` gives, by page, what stands for a text of the page here; `folders` where the reader of a page is.
    """
    lines = ["set -E", f"trap 'echo \"{FAILED} exit code $? of: $BASH_COMMAND\"' ERR"]
    for step in todo:
        text, path = step.text, step.why
        for old, new in replaced.get(step.page, {}).items():
            text, path = text.replace(old, new), path.replace(old, new)
        lines += [f"echo '{START} {step.name}'", f"cd {folders[step.page]}"]
        if step.kind == "save":
            lines += [f"cat >{path} <<'END_OF_SAVED_BLOCK'", text.rstrip("\n"), "END_OF_SAVED_BLOCK"]
        else:
            lines.append(text.rstrip("\n"))
    return "\n".join([*lines, f"echo '{START} end'", ""])


def failures(output: str) -> list[str]:
    """The commands that failed, each with its block."""
    found, block = [], ""
    for line in output.splitlines():
        if line.startswith(START):
            block = line.removeprefix(START).strip()
        elif line.startswith(FAILED):
            found.append(f"{block}: {line.removeprefix(FAILED).strip()}")
    return found


def said(output: str, name: str) -> str:
    """The output of one block."""
    _before, _, rest = output.partition(f"{START} {name}\n")
    return rest.partition(START)[0]
