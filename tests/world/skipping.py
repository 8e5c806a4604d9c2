"""Where a test may be skipped. In CI (`CI=true`) every external program is installed, so that a skip for lack of one
fails.

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
    "this checkout has no history": "an archive of the sources has none, and no package brings it",
}
"""The only reasons allowed in CI, each with why nothing that can be installed would help."""


def complaint(reason: str, ci: str) -> str | None:
    """The complaint about a skip for this reason with this value of CI; None if the skip is allowed."""
    if ci != "true" or reason in ALLOWED:
        return None
    return (
        f"skipped in CI: {reason}. Let setup/tools.sh or setup/apt.sh install what is missing; a reason that no "
        "package mends stands in ALLOWED of tests/world/skipping.py"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Let a forbidden skip fail its test."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        said = complaint(reason, os.environ.get("CI", ""))
        if said is not None:
            report.outcome, report.longrepr = "failed", said
    return report
