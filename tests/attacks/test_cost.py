"""The limits of what one hostile message may cost. Memory is tested here; test_kinds.py tests reactor time in every
case.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.attacks.catalogue import ALL
from tests.attacks.run import HEAVY, TRIES, documents, verified
from tests.attacks.targets import READY, SignedDocument, signed_documents
from tests.attacks.test_kinds import each_bank

MEMORY_MAX = 64 * 1_048_576
CPU_MAX_S = 1.0
COSTLY = HEAVY | {9, 10, 11, 16, 34, 39}
COSTLY_SIGNATURES = (65, 69, 70, 78, 79, 83, 100, 104, 118)


def _status(name: str) -> int:
    """A figure about this process from /proc, in bytes."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(name)


def grown(do: Callable[[], object]) -> int:
    """The growth of the resident memory to its maximum; the least of several tries."""
    least = MEMORY_MAX * 1000
    for _ in range(3):
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
        before = _status("VmRSS")
        do()
        least = min(least, _status("VmHWM") - before)
        if least <= MEMORY_MAX:
            break
    return least


def cpu_s(do: Callable[[], object]) -> float:
    """The CPU seconds of a call; the least of several tries, because a busy machine only adds to them."""
    least = 1e9
    for _ in range(TRIES):
        begun_s = time.process_time()
        do()
        least = min(least, time.process_time() - begun_s)
        if least <= CPU_MAX_S:
            break
    return least


def test_memory_is_seen() -> None:
    assert grown(lambda: bytes(os.urandom(1)) * (2 * MEMORY_MAX)) > MEMORY_MAX


def test_time_is_seen() -> None:
    assert cpu_s(lambda: sum(range(60_000_000))) > 0.05


@pytest.mark.timeout(300)
@each_bank
def test_memory_and_time_of_one_message(bank: str) -> None:
    """Bombs, oversize documents and huge numbers, in the place of the bank's answer."""
    seen = 0
    for kind in ALL:
        if kind.number in COSTLY:
            for case in documents(bank, kind):
                if len(case.answer) < 10_000:
                    continue
                seen += 1
                tried = partial(case.golden.again, case.at, case.answer)
                assert (more := grown(tried)) <= MEMORY_MAX, f"{kind.number}; {case.what}: {more // 1_048_576} MiB"
                assert (spent := cpu_s(tried)) <= CPU_MAX_S, f"{kind.number}; {case.what}: {spent:.1f} s"
    assert seen > 10


def _costly(target: SignedDocument) -> None:
    for kind in ALL:
        if kind.number in COSTLY_SIGNATURES and kind.on_signature is not None:
            for number, hostile in enumerate(kind.on_signature(target)):
                what, tried = (
                    f"{kind.number} {target.profile.name}, variant {number}",
                    partial(verified, target, hostile),
                )
                assert (more := grown(tried)) <= MEMORY_MAX, f"{what}: {more // 1_048_576} MiB"
                assert cpu_s(tried) <= CPU_MAX_S, what


@pytest.mark.parametrize("bank", [bank for bank in READY if bank in ("sample", "finws")])
def test_memory_and_time_of_one_signature(bank: str) -> None:
    for target in signed_documents(bank):
        _costly(target)
