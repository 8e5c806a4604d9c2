"""Copies installed distributions, file by file as they recorded them:  borrow.py NAMES FROM TO"""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import distributions
from pathlib import Path


def main() -> None:
    """Copy each named distribution of FROM to TO; say which is missing."""
    names = {line.strip().lower().replace("_", "-") for line in Path(sys.argv[1]).read_text("utf-8").splitlines()}
    source, target = Path(sys.argv[2]), Path(sys.argv[3])
    for one in distributions(path=[str(source)]):
        name = one.metadata["Name"].lower().replace("_", "-").replace(".", "-")
        if name not in {wanted.replace(".", "-") for wanted in names}:
            continue
        names = {wanted for wanted in names if wanted.replace(".", "-") != name}
        for file in one.files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source / file, target / file)
    if names:
        raise SystemExit(f"not in {source}: {', '.join(sorted(names))}")


if __name__ == "__main__":
    main()
