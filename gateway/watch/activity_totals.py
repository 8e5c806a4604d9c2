"""How many commands, payments and messages this process has handled, read from its metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from prometheus_client import Counter as CounterMetric

from gateway.kernel.meters import Meters
from protocols.canon.outcome import State

_BY_STATE = {
    State.SENDING: "sent",
    State.SETTLED: "settled",
    State.FAILED: "failed",
    State.REJECTED: "failed",
    State.IN_DOUBT: "doubted",
}


def activity_totals(meters: Meters) -> Mapping[str, int]:
    """The totals since the start: commands read, commands refused, payments sent, settled, failed (rejected
    ones too) and doubted, messages that the broker confirmed."""
    totals = Counter(dict.fromkeys(("commands", "refused", *_BY_STATE.values(), "published"), 0))
    for _labels, count in _samples(meters.commands):
        totals["commands"] += count
    for _labels, count in _samples(meters.refusals):
        totals["refused"] += count
    for labels, count in _samples(meters.payments):
        name = _BY_STATE.get(State(labels["state"]))
        if name is not None:
            totals[name] += count
    for labels, count in _samples(meters.published):
        totals["published"] += count if labels["verdict"] == "confirmed" else 0
    return totals


def _samples(metric: CounterMetric) -> list[tuple[Mapping[str, str], int]]:
    """The labels and the value of each series of a counter."""
    return [
        (one.labels, int(one.value))
        for family in metric.collect()
        for one in family.samples
        if one.name.endswith("_total")
    ]
