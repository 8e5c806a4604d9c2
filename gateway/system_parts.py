"""The real parts of a gateway, built from its settings: files, keys, sockets and the machine's clock."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred

from gateway import settings as conf
from gateway.bank.certificate_expiry import CertificateExpiry
from gateway.bank.certificate_reload import CertificateReload, CurrentTls, peer_ends
from gateway.bank.exchange_ring import open_rings
from gateway.bank.lane_dialer import LaneDialer, lane_signers
from gateway.bank.lane_tls import tls_settings
from gateway.bank.outside_keys import OutsideKeys
from gateway.bank.tls import client_context
from gateway.erp import broker_address
from gateway.erp.amqp import pika_amqp
from gateway.erp.amqp_settings import AmqpSettings
from gateway.erp.client import AmqpClient, ClientTimeouts
from gateway.erp.policies import management_reports
from gateway.erp.topology import preparation, standard
from gateway.kernel.checkpoints import checkpoints, witness
from gateway.kernel.checkpoints.audit_purge import AuditPurge
from gateway.kernel.checkpoints.checkpoints import Checkpoints
from gateway.kernel.clock import Clock, SystemClock, SystemEntropy
from gateway.kernel.cluster.other_nodes import compare_at_start
from gateway.kernel.cluster.safe_mode import SafeMode
from gateway.kernel.cluster.vault_rotation import VaultRotation
from gateway.kernel.commit import permit_log as commit_permit_log
from gateway.kernel.commit.group_commit import GroupFacts, SqlStore
from gateway.kernel.commit.lane_releases import MAY_LACK_SENDS
from gateway.kernel.meters import Meters
from gateway.kernel.sql import migrations, vault
from gateway.kernel.sql.lock_holder import lock_holder
from gateway.parts import OnFatal, Parts
from gateway.register.adapters import load_banks
from gateway.settings.journal_access import database_url
from gateway.wiring import PORTS
from protocols.erp.words import MAX_BODY_BYTES


@dataclass(frozen=True, slots=True)
class Machine:
    """The parts that come from the machine: its clock, and the function that puts the permit log's bytes on the disk.

    The fault campaign passes in a clock that is set wrongly and a disk that fails.
    """

    clock: Clock
    sync: Callable[[int], None] = os.fdatasync


def system_parts(reactor: Any, settings: conf.Settings, on_fatal: OnFatal, machine: Machine | None = None) -> Parts:
    """The real parts. Opens files and reads keys; connects to nothing yet. Raises their errors."""
    machine = machine or Machine(SystemClock(reactor))
    clock, entropy = machine.clock, SystemEntropy()
    meters = Meters(CollectorRegistry())
    banks = load_banks(settings)
    lanes = conf.lanes_of(settings)
    production = settings.mode == "production"
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = vault.load(settings.journal.vault_key.path())
    url = database_url(settings)
    migrations.upgrade(url)
    tls = settings.broker.tls
    broker_tls = None if tls is None else CurrentTls(client_context(tls_settings(tls, settings.broker.host), clock))
    amqp = _amqp(reactor, settings, broker_tls)
    dialers = {name: LaneDialer(reactor, lane, banks[bank]) for name, (bank, lane) in lanes.items()}
    permit_log = commit_permit_log.PermitLog(
        settings.permit_log(), keys, settings.node, days=settings.journal.permit_log_days, sync=machine.sync
    )
    safe_mode = SafeMode(tuple(lanes))
    store = SqlStore(
        url,
        reactor,
        clock,
        settings.node,
        keys,
        permit_log,
        settings.journal.linger_ms,
        entropy=entropy,
        ports=PORTS.filled(MAY_LACK_SENDS, safe_mode.may_lack_sends),
        on_fatal=lambda why: on_fatal(f"the journal cannot go on: {why}"),
        observe=lambda one: _observe(meters, one),
    )
    outside_keys = OutsideKeys(reactor, clock, entropy)
    outside = witness.kept_outside(settings.journal.witness)
    chain = _chain_parts(settings, store, clock)
    keys_of = {
        name: lane_signers(lane, production=production, nonce=entropy.bytes(32), outside=outside_keys)
        for name, (_bank, lane) in lanes.items()
    }
    expiry = CertificateExpiry(settings, lambda: peer_ends(dialers, lanes))
    return Parts(
        clock=clock,
        entropy=entropy,
        store=store,
        amqp=amqp,
        dialers=dialers,
        signers=keys_of,
        credentials={name: _credentials(lane) for name, (_bank, lane) in lanes.items()},
        banks=banks,
        cursor_key=keys.blind("transactions cursor").encode(),
        meters=meters,
        past=lambda: Deferred.fromCoroutine(compare_at_start(store, permit_log, clock, outside)),
        safe_mode=safe_mode,
        canary_age_s=lambda: amqp.status().canary_age_s,
        queue_depths=lambda: amqp.status().queues,
        lock_holder=lambda: lock_holder(url),
        certificates=expiry,
        read_certificates=CertificateReload(
            dialers, keys_of, expiry, broker_tls, clock, entropy, outside_keys
        ).prepare_reload,
        checkpoints=None if chain is None else chain[0],
        audit_purge=None if chain is None else chain[1],
        vault_rotation=VaultRotation(store, clock, keys, meters, settings.journal.reseal_per_second),
        writer=store.writer_state,
        rings=open_rings(settings, keys),
        permit_log=permit_log,
        stop_keys=outside_keys.stop,
        host=os.uname().nodename,
    )


def _credentials(lane: conf.LaneSettings) -> dict[str, str]:
    return {key: secret.secret_bytes().decode() for key, secret in lane.credentials.items()}


def _chain_parts(settings: conf.Settings, store: SqlStore, clock: Clock) -> tuple[Checkpoints, AuditPurge] | None:
    """The maker of checkpoints of this node's audit chain, and the check by which one replaces old entries."""
    if not settings.journal.checkpoint_s:
        return None
    key = checkpoints.load_key(settings.state_dir / checkpoints.KEY_FILE)
    folder = settings.state_dir / checkpoints.FOLDER
    return (
        Checkpoints(store, clock, settings.node, key, folder, lambda: store.head, settings.journal.checkpoint_s),
        AuditPurge(store, settings.node, key, folder, settings.retention.audit_days),
    )


def _observe(meters: Meters, facts: GroupFacts) -> None:
    meters.journal_seconds.observe(facts.duration_s)
    meters.journal_units.inc(facts.units - facts.failed)
    if facts.failed:
        meters.journal_failures.labels("unit").inc(facts.failed)


def _amqp(reactor: Any, settings: conf.Settings, tls: CurrentTls | None) -> AmqpClient:
    broker = settings.broker
    reports = None if not broker.management_url else management_reports(reactor, broker.management_url, broker.vhost)
    prepare = preparation(standard(), "apply" if broker.topology == "declare" else "verify", reports)
    patience = ClientTimeouts(canary_every_s=broker.canary_s)
    wanted = AmqpSettings(
        broker_address.own(broker),
        f"bankgw {settings.node}",
        patience=patience,
        most_bytes=broker.prefetch_bytes,
        most_body=MAX_BODY_BYTES,
    )
    return pika_amqp(reactor, wanted, random.SystemRandom(), tls=tls, prepare=prepare)
