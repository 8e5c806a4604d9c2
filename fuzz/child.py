"""One target in a process of its own: `python -m fuzz.child NAME [options of libFuzzer]`. Needs atheris."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def main(arguments: list[str]) -> None:
    """Fuzzes until libFuzzer ends the process. A file as the only argument is tried once."""
    atheris: Any = import_module("atheris")
    name, *options = arguments
    with atheris.instrument_imports(include=["protocols"]):
        targets = import_module("fuzz.targets")
        from protocols.kit import dsig
    dsig.start()
    target = targets.makers()[name]()
    corpus = next(Path(one) for one in options if not one.startswith("-"))
    if corpus.is_dir():
        for number, seed in enumerate(target.seeds):
            (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup([name, *options], target.attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
