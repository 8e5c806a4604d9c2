"""`make bench`: the daemon's CPU for one payment, compared with the floor and with a script, in one run.

The daemon and the script carry payments in turn, over the same broker and the same simulated banks; after each pair
the floor is measured (bench/floor.py). Ends with one line, and with 1 if a gate does not hold or a payment was not
carried exactly once. Payments a second and latencies are figures, not gates: they depend on the machine and its load.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from functools import partial

from bench.figures import (
    Match,
    Result,
    Round,
    Stages,
    failings,
    last_line,
    not_reached,
    stages_table,
    stub_table,
    table,
)
from bench.floor import SHAPES, Floor
from bench.orders import number_of
from bench.site import Bench, on_a_bench
from bench.usage import peak_rss_bytes
from gateway.demo.processes import stop_all
from gateway.simbank.pki import BankPki
from gateway.simbank.record import read_executions

WARM_UP = 200
SCRIPT_LEAST = 100
ROUND_MOST_S = 6.0
FAR_S = 0.05
OPEN_S = 2.0
STEADY_MOST = 20_000
HALF = 0.5
HALF_S = 10.0
BATCH_LINES = 1000


def main() -> int:
    """Run the benchmark; returns the exit code."""
    asked = _arguments()
    return on_a_bench("bench", partial(_run, asked=asked))


def _run(bench: Bench, asked: argparse.Namespace) -> int:
    try:
        bench.start_simulators()
        bench.clear()
        bench.start_daemon()
        bench.start_erp()
        sample = _match(bench, "sample", asked.rounds, asked.payments, asked.script)
        pab = _match(bench, "pab", max(asked.rounds - 1, 1), STEADY_MOST, asked.script // 2, steady=True)
        pid = bench.children["daemon"].pid
        assert pid is not None
        peak = peak_rss_bytes(pid)
        line_us = _batch(bench)
        far = _far(bench)
        wrong = [fault for bank in ("sample", "pab") for fault in _carried(bench, bank)]
        stub, stages, twice = _stub(bench, asked.payments)
        result = Result(sample, pab, stub, stages, line_us, peak)
    finally:
        bench.stop_erp()
        stop_all(list(bench.children.values()), 20)
    print(far)
    print(
        f"daemon's peak memory {result.peak_bytes / 1e6:.0f} MB; a line of a batch of {BATCH_LINES}: {line_us:.0f} us"
    )
    for one in not_reached(result):
        print(f"target not reached: {one}")
    wrong += [f"the stub bank was sent {twice} payments twice"] if twice else []
    broken = wrong + failings(result)
    for one in broken:
        print(f"not held: {one}")
    print(last_line(result))
    return 1 if broken else 0


def _match(bench: Bench, bank: str, rounds: int, payments: int, script_payments: int, *, steady: bool = False) -> Match:
    """Play rounds of both programs in turn at one bank, and measure the floor for each pair of rounds.

    `steady`: the bank is asked about each payment only some time after it was sent. The ERP then keeps so many orders
    under way that the lane is never idle, for ROUND_MOST_S, and payments a second are those of the middle.
    """
    bench.start_script(bank)
    warm = bench.play(bank, "daemon", WARM_UP)
    payments = payments if steady else fitting(payments, warm.per_second)
    open_most = max(int(warm.per_second * OPEN_S), WARM_UP) if steady else 0
    most_s = ROUND_MOST_S if steady else 0.0
    script_payments = fitting(script_payments, bench.play(bank, "script", WARM_UP // 4).per_second, SCRIPT_LEAST)
    floor = Floor(SHAPES[bank], BankPki(bench.site.folder / "pki", bank), bench.site.folder)
    gateway: list[Round] = []
    script: list[Round] = []
    floors: list[dict[str, float]] = []
    for _ in range(rounds):
        gateway.append(bench.play(bank, "daemon", payments, open_most=open_most, most_s=most_s))
        script.append(bench.play(bank, "script", script_payments))
        floors.append(floor.measure(gateway[-1].group))
    bench.stop_script()
    floor.close()
    match = Match(bank, gateway, script, floors, steady)
    print("\n".join(table(match)), flush=True)
    return match


def _batch(bench: Bench) -> float:
    """The daemon's CPU for one line of a batch of the largest size."""
    bench.play("sample", "daemon", BATCH_LINES, batch=BATCH_LINES)
    return bench.play("sample", "daemon", BATCH_LINES, batch=BATCH_LINES).cpu_each_us("daemon")


def _far(bench: Bench) -> str:
    """Play one round with a slow bank, the only round that shows the gain from several sessions."""
    bench.move_away("sample", FAR_S)
    bench.start_script("sample")
    warm = bench.play("sample", "daemon", WARM_UP)
    ours = bench.play("sample", "daemon", fitting(600, warm.per_second))
    theirs = bench.play("sample", "script", 60)
    bench.stop_script()
    return (
        f"sample, answering after {FAR_S * 1000:.0f} ms: gateway {ours.per_second:.0f}/s over 16 sessions, "
        f"script {theirs.per_second:.0f}/s over one: {ours.per_second / theirs.per_second:.1f} x"
    )


def _stub(bench: Bench, payments: int) -> tuple[list[Round], Stages, int]:
    """Play rounds with the stub bank; measure the latency at half of their load, and count the payments that the stub
    got twice."""
    bench.start_stub()
    warm = bench.play("sample", "daemon", WARM_UP * 2)
    rounds = [bench.play("sample", "daemon", fitting(payments, warm.per_second)) for _ in range(2)]
    print("\n".join(stub_table(rounds)), flush=True)
    rate = HALF * min(one.per_second for one in rounds)
    half = bench.play("sample", "daemon", max(int(rate * HALF_S), WARM_UP), per_second=rate)
    seen = bench.stop_stub()
    came_s = {number_of(account): at_s for account, at_s in seen.came_s.items()}
    went_s = {number_of(account): at_s for account, at_s in seen.went_s.items()}
    stages = Stages.of(half, came_s, went_s)
    print("\n".join(stages_table(stages)), flush=True)
    return rounds, stages, seen.twice


def _carried(bench: Bench, bank: str) -> list[str]:
    """The faults of the bank's executions: each order of both programs must be executed exactly once."""
    executed = Counter(one.instruction.creditor_account for one in read_executions(bench.site.ledger(bank)))
    twice = sum(count > 1 for count in executed.values())
    found = [f"{bank} executed {twice} payments more than once"] if twice else []
    if len(executed) != bench.ordered[bank]:
        found.append(f"{bank} executed {len(executed)} payments of {bench.ordered[bank]}")
    return found


def fitting(wanted: int, per_second: float, least: int = WARM_UP) -> int:
    """The wanted number of payments, or fewer on a machine so busy that a round would take too long."""
    return max(min(wanted, int(per_second * ROUND_MOST_S)), min(wanted, least))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="CPU a payment, beside floor and script.")
    parser.add_argument("--payments", type=int, default=3000, help="payments a round through the gateway to sample")
    parser.add_argument("--script", type=int, default=400, help="payments a round through the script (pab: half)")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
