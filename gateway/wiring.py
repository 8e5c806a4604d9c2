"""Fills every port of the journal, through which a lower package asks a higher one, and lists how each sealed table is
sealed.

See `gateway.kernel.commit.ports`. `lane_releases.MAY_LACK_SENDS` is not filled here, because each process has its own
findings: see `gateway.system_parts`.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Table

from gateway import gate_lists
from gateway.approvals.rows import approval_checks, approval_policies, approval_requests, approvals
from gateway.kernel.cluster import renames, sealing, stops
from gateway.kernel.cluster.renames import SenderRows
from gateway.kernel.commit.ports import NO_PORTS
from gateway.kernel.commit.unsealed_rows import Sealing, as_it_is
from gateway.kernel.sql import schema
from gateway.payments.gates import lists
from gateway.payments.rows import batch_rows, bundles, payees, rules_above
from gateway.people.rows import delegations, password_factors, persons, proposals
from gateway.pools.rows import linked_orders, pool_moves, pool_seals

_SENDER_ROWS = (
    SenderRows("batches", batch_rows.move_sender),
    SenderRows("payees_registered", payees.move_sender),
    SenderRows("approval_requests", approval_requests.move_sender, approval_policies.why_not_renamed),
)
PORTS = (
    NO_PORTS.filled(lists.LISTS, gate_lists.LISTS)
    .filled(rules_above.WAS_ASKED, approval_checks.was_asked)
    .filled(rules_above.FUNDING_RIGHT, linked_orders.why_not_funded)
    .filled(rules_above.MANDATE, pool_moves.mandated)
    .filled(rules_above.LEG_WORDS, linked_orders.leg_words)
    .filled(renames.SENDER_ROWS, _SENDER_ROWS)
)
"""Who fills which port."""
SEALINGS: Mapping[Table, Sealing] = {
    schema.payments: sealing.seal_old_payment,
    schema.attempts: as_it_is(schema.attempts),
    schema.bundles: bundles.seal_old_row,
    schema.bundle_items: as_it_is(schema.bundle_items),
    schema.persons: persons.seal_old_row,
    schema.delegations: delegations.seal_old_row,
    schema.password_factors: password_factors.seal_old_row,
    schema.sign_in_failures: as_it_is(schema.sign_in_failures),
    schema.proposals: proposals.seal_old_row,
    schema.approval_policies: approval_policies.seal_old_row,
    schema.approval_requests: approval_requests.seal_old_row,
    schema.approvals: approvals.seal_old_row,
    schema.stops: stops.seal_old_row,
    schema.payees_registered: payees.seal_old_row,
    **{table: pool_seals.sealing_of(table) for table in pool_seals.TABLES},
}
"""The tables whose rows are sealed, and how a row is checked before."""
