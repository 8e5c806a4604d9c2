"""Another version of the program, run side by side with this one by the same Python.

Either an earlier commit (`git archive`), or this version as the next one might be: with one more step of the schema, as
a step may be while older programs work on the database: it adds columns that may be left out, a table, an index.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from gateway.kernel.sql import migrations

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("gateway", "protocols", "faults", "tests", "setup")
NEXT = f"{int(migrations.KNOWN[-1]) + 1:04d}"
_STEP = f'''"""What a next version might add."""

from alembic import op
from sqlalchemy import MetaData, Table

from gateway.kernel.sql.columns import STRICT, bounded, key

revision = "{NEXT}"
down_revision = "{migrations.KNOWN[-1]}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("payments", bounded("next_word", 16, null=True))
    op.execute("ALTER TABLE attempts ADD COLUMN next_count INTEGER NOT NULL DEFAULT 0")
    Table("next_things", MetaData(), key("thing", 16), **STRICT).create(op.get_bind())
    op.create_index("payments_next", "payments", ["next_word"])
    op.execute("UPDATE meta SET value = '{int(NEXT)}' WHERE name = 'schema'")
'''


class NoVersion(Exception):
    """The version is not available; the text says why."""


def next_one(folder: Path, step: str = _STEP) -> Path:
    """Make a copy of this version with one more step of the schema, in `folder`."""
    _skeleton(folder)
    shutil.copytree(ROOT / "gateway", folder / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    home = folder / "gateway" / "kernel" / "sql" / "migrations"
    (home / "versions" / f"v{NEXT}_next.py").write_text(step, "utf-8")
    text = (home / "__init__.py").read_text("utf-8")
    last = f'"{migrations.KNOWN[-1]}"'
    known = text.replace(last, f'{last}, "{NEXT}"', 1)
    assert known != text, "KNOWN is written otherwise than this expects"
    (home / "__init__.py").write_text(known, "utf-8")
    return folder


def earlier(folder: Path, revision: str) -> Path:
    """Check out an earlier commit of this repository in `folder`. Raises NoVersion."""
    command = ("git", "-C", str(ROOT), "archive", "--format=tar", revision)
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise NoVersion(f"git has no {revision} to show: {done.stderr.decode('utf-8', 'replace').strip()}")
    folder.mkdir()
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _skeleton(folder: Path) -> None:
    folder.mkdir()
    for package in PACKAGES[1:]:
        (folder / package).symlink_to(ROOT / package)
