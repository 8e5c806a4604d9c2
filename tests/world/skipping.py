"""Where a test may be skipped. In CI (`CI=true`) what others' programs judge is there, so a skip for their lack fails.

A pytest plugin; the tests say `pytest.skip(reason)` and need not know where they run.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from typing import Any

import pytest

ALLOWED: Mapping[str, str] = {
    "this Twisted closes the hole": "the test shows a weakness of the library, which a newer one has not",
    "this user may not mount a small disk": "containers may not mount, and no package changes that",
    "root may write everywhere": "the user of the run decides",
    "rabbitmqctl of this RabbitMQ (3.10) does not show operator policies; its management API does": "the release decides",
    "the world's month is another": "a seed of the world decides",
}
"""The only reasons that hold in CI, and why nothing that is installed would help."""


def complaint(reason: str, ci: str) -> str | None:
    """What to say of a skip for this reason where the variable CI has this value; None if it may be."""
    if ci != "true" or reason in ALLOWED:
        return None
    return (f"skipped in CI: {reason}. Let setup/tools.sh or setup/apt.sh install what is missing; a reason that no "
            "package mends stands in ALLOWED of tests/world/skipping.py")  # fmt: skip


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Let a skip that must not be fail its test."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        said = complaint(reason, os.environ.get("CI", ""))
        if said is not None:
            report.outcome, report.longrepr = "failed", said
    return report
