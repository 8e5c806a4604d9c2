"""Passes the ports to the handlers of all acts: the one module that knows every port and every handler."""

from __future__ import annotations

from gateway.approvals.act_answers.approvals import ApprovalAnswers
from gateway.approvals.act_answers.policy_changes import PolicyAnswers
from gateway.call import ActAnswers, answers_of
from gateway.control.company_answers import CompanyAnswers
from gateway.control.directory import DirectoryAnswers
from gateway.control.exchange_traces import TraceAnswers
from gateway.control.joint_run_answers import JointRunAnswers
from gateway.control.key_answers import KeyAnswers
from gateway.control.lane_answers import LaneAnswers
from gateway.control.lane_ladder import ProbeAnswers
from gateway.control.node_answers import NodeAnswers
from gateway.control.parked import ParkedAnswers
from gateway.control.ports import ControlPorts, LanePort
from gateway.control.proposals import ProposalAnswers
from gateway.payments.act_answers.order_answers import OrderAnswers
from gateway.payments.act_answers.repairs import RepairAnswers
from gateway.people.act_answers.delegations import DelegationAnswers
from gateway.people.act_answers.person_sessions import PersonSessions
from gateway.people.act_answers.persons import PersonAnswers
from gateway.people.act_answers.roles import RoleAnswers
from gateway.people.act_answers.sign_in import SignInAnswers
from gateway.pools.act_answers.linked_orders import LinkAnswers
from gateway.pools.act_answers.liquidity import PoolAnswers
from gateway.positions.act_answers import PositionAnswers
from gateway.receipts.act_answers import ReceiptAnswers
from gateway.reconciliation.act_answers.ledger_books import BookAnswers
from gateway.reconciliation.act_answers.reconciliation import ReconciliationAnswers
from gateway.reports.act_answers.reports import ReportAnswers
from gateway.reports.act_answers.worklists import WorkAnswers
from gateway.statements.act_answers.accounts_today import TodayAnswers
from gateway.statements.act_answers.ledger_statements import StatementAnswers


def act_answers(ports: ControlPorts, sessions: PersonSessions) -> ActAnswers:
    """The handlers of the command line's acts, by the codes of the acts."""
    store, clock, accounts, node, lanes = ports.store, ports.clock, ports.accounts, ports.node, ports.lanes
    return answers_of(
        NodeAnswers(
            store,
            clock,
            node,
            lanes,
            ports.intake,
            ports.broker,
            ports.stop,
            ports.certificates,
            ports.capacity,
            ports.totals,
        ),
        ParkedAnswers(store, lanes, ports.broker),
        TodayAnswers(store, clock, accounts, node, lambda lane: _ahead_days(lanes, lane)),
        PositionAnswers(store, clock, accounts, node),
        WorkAnswers(store, clock, accounts),
        ReportAnswers(store, clock, accounts, node, ports.certificates),
        ReceiptAnswers(store, clock, accounts),
        BookAnswers(store, accounts),
        StatementAnswers(store, clock, accounts),
        ReconciliationAnswers(store, clock, accounts),
        PoolAnswers(store, accounts, ports.intake, ports.pools),
        LinkAnswers(store, ports.pools),
        OrderAnswers(store, node, lanes.lanes, accounts, lanes.companies.of),
        RepairAnswers(store),
        LaneAnswers(store, node, lanes, ports.stop),
        CompanyAnswers(store, accounts, lanes.companies),
        ProbeAnswers(store, clock, accounts, lanes),
        TraceAnswers(store, lanes),
        JointRunAnswers(store, lanes),
        KeyAnswers(store, node, ports.keys),
        DirectoryAnswers(store, accounts, node, lanes),
        PersonAnswers(store),
        RoleAnswers(store, clock),
        DelegationAnswers(store),
        SignInAnswers(store, clock, node, ports.sessions.pending_passkeys, sessions),
        ApprovalAnswers(store, clock, accounts),
        PolicyAnswers(store),
        ProposalAnswers(ports.decisions, sessions),
    )


def _ahead_days(lanes: LanePort, name: str) -> int:
    """The days by which the date of a lane's bank is ahead of the calendar; 0 for a lane that this process does not
    have.
    """
    lane = lanes.lanes.get(name)
    return 0 if lane is None else lane.host_date.days.ahead
