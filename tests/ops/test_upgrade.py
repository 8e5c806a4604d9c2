"""From 0.2.0 to this version and back, twice, on one journal, while an ERP keeps sending."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from faults import versions
from gateway.kernel.sql import databases, migrations
from tests.independent.site import not_to_be_had
from tests.ops.drill import drill, result
from tests.ops.units import UnitProcess
from tests.world.services import ROOT

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(600)]


def released(version: str) -> str:
    """The commit of a released version, as the changelog names it."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    found = re.search(rf"^## {re.escape(version)} - .*\n\nCommit `([0-9a-f]{{40}})`", text, re.MULTILINE)
    assert found, f"the changelog names no commit of {version}"
    return found[1]


def _revision(journal: Path) -> tuple[str, str]:
    engine = databases.connect(f"sqlite:///{journal}", connections=1, writing=False)
    try:
        with engine.connect() as conn:
            return migrations.revision_of(conn) or "", migrations.beside_of(conn)
    finally:
        engine.dispose()


def test_there_and_back_under_traffic(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    try:
        old = versions.earlier(tmp_path / "old", released("0.2.0"))
    except versions.NoVersion as error:
        not_to_be_had(str(error))
    with drill(tmp_path / "s", "upgrade", "sample", tree=old) as one:
        # The settings are those that 0.2.0 wrote; nobody touches them during the upgrade.
        one.configure()
        schemas, running = [], None
        try:
            for number, tree in enumerate((old, ROOT, old, ROOT)):
                if running is not None:
                    assert running.stop() == 0, running.tail()
                running = UnitProcess(tree, "bankgw.service", one.site.settings, one.folder / f"life-{number}.log")
                running.until_ready()
                schemas.append(_revision(one.site.state / "journal.db"))
                if number == 0:
                    one.traffic.start()
                one.traffic.more(12)
            # No step since 0.2.0 says that 0.2.0 cannot use the journal; if one does, this drill ends at it.
            assert all(beside <= schemas[0][0] for _revision_, beside in schemas), schemas
            one.traffic.stop()
            paid = one.judge()
            assert not json.loads(one.bankgw("status", "--json"))["safe_mode"]
            one.bankgw("audit", "verify")
        finally:
            if running is not None:
                running.stop()
        logs = "".join(file.read_text("utf-8") for file in one.folder.glob("life-*.log"))
        assert "from_the_past" not in logs and "written_by_another" not in logs
    result(record_property, orders=paid, schemas=str(schemas))
