"""`make bench`: the gateway and the script in turn, over the same broker and the same simulated banks.

Ends with one line, and with 1 if a promise does not hold. Every figure is of this run on this machine; only the
ratios, which are taken within the run, can be compared with another day's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench.figures import Match, Round, failings, last_line, table
from bench.site import Bench, facts_file
from bench.usage import peak_rss_bytes
from gateway.demo.processes import NotStarted, stop_all

WARM_UP = 200
ROUND_MOST_S = 9.0
FAR_S = 0.05
FIRST_ENQUIRY_S = 2.0
CALM_PER_SECOND = 50.0


def main() -> int:
    """Run the benchmark; the exit code."""
    asked = _arguments()
    facts = facts_file()
    if not facts.exists():
        print(f"bench: there is no {facts}; run `make broker` first", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="bankgw-bench-") as folder:
        bench = Bench(Path(folder), facts)
        try:
            bench.start_simulators()
            bench.clear()
            bench.start_daemon()
            bench.start_erp()
            sample = _match(bench, "sample", asked.rounds, asked.payments, asked.script)
            pab = _match(bench, "pab", asked.rounds, asked.pab, asked.script // 2, FIRST_ENQUIRY_S)
            far = _far(bench)
            pid = bench.children["daemon"].pid
            assert pid is not None
            peak = peak_rss_bytes(pid)
        except NotStarted as problem:
            print(f"bench: failed: {problem}")
            return 1
        finally:
            bench.stop_erp()
            stop_all(list(bench.children.values()), 20)
    print(far)
    broken = failings(sample, peak)
    for one in broken:
        print(f"not held: {one}")
    print(last_line(sample, pab, peak))
    return 1 if broken else 0


def _match(bench: Bench, bank: str, rounds: int, payments: int, script_payments: int, wait_s: float = 0.0) -> Match:
    """Rounds of both in turn. `wait_s`: how long the gateway leaves a payment alone before it asks about it."""
    bench.start_script(bank)
    warm = bench.play(bank, "daemon", WARM_UP)
    payments = fitting(payments, warm.payments / max(warm.seconds - wait_s, 0.1))
    script_payments = fitting(script_payments, bench.play(bank, "script", WARM_UP // 4).per_second)
    gateway: list[Round] = []
    script: list[Round] = []
    for _ in range(rounds):
        gateway.append(bench.play(bank, "daemon", payments))
        script.append(bench.play(bank, "script", script_payments))
    bench.stop_script()
    calm = bench.play(bank, "daemon", int(CALM_PER_SECOND * 3), CALM_PER_SECOND)
    match = Match(bank, gateway, script, calm)
    print("\n".join(table(match)), flush=True)
    return match


def _far(bench: Bench) -> str:
    """One round with a bank that takes its time, as banks do: only this one shows what sessions side by side give."""
    bench.move_away("sample", FAR_S)
    bench.start_script("sample")
    bench.play("sample", "daemon", WARM_UP)
    ours = bench.play("sample", "daemon", 600)
    theirs = bench.play("sample", "script", 60)
    bench.stop_script()
    return (
        f"sample, answering after {FAR_S * 1000:.0f} ms: gateway {ours.per_second:.0f}/s over 16 sessions, "
        f"script {theirs.per_second:.0f}/s over one: {ours.per_second / theirs.per_second:.1f} x"
    )


def fitting(wanted: int, per_second: float) -> int:
    """As many payments as are wanted, or fewer on a machine so busy that a round would take too long."""
    return max(min(wanted, int(per_second * ROUND_MOST_S)), min(wanted, WARM_UP))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Payments a second, beside a script.")
    parser.add_argument("--payments", type=int, default=3000, help="payments a round through the gateway to sample")
    parser.add_argument("--pab", type=int, default=1000, help="payments a round through the gateway to pab")
    parser.add_argument("--script", type=int, default=400, help="payments a round through the script (pab: half)")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
