"""A present problem: its kind, its subject, its cause, its remedy and its page, in words that status, log and metric
share.
"""

from __future__ import annotations

from dataclasses import dataclass

RUNBOOKS = {
    "stopped": "BankgwStopped",
    "safe_mode": "BankgwDatabaseFromThePast",
    "journal": "BankgwJournalDown",
    "broker": "BankgwBrokerDown",
    "broker_blocked": "BankgwBrokerBlocked",
    "broker_refuses": "BankgwBrokerRefuses",
    "broker_queue": "BankgwBrokerQueueGrows",
    "mark": "BankgwMarkNotHeld",
    "heartbeat": "BankgwHeartbeatLate",
    "lane": "BankgwLaneDown",
    "key": "BankgwKeyGone",
    "bank_hangs": "BankgwBankHangs",
    "row_altered": "BankgwAlarmRowAltered",
    "clock": "BankgwAlarmClockSet",
    "disk": "BankgwDiskNearlyFull",
    "disk_filling": "BankgwDiskFilling",
    "permit_log_unwritable": "BankgwPermitLogUnwritable",
    "permit_log": "BankgwPermitLogLarge",
    "certificate": "BankgwCertificateEndsSoon",
    "credential": "BankgwCredentialEndsSoon",
    "retention": "BankgwRetentionBehind",
    "backup_old": "BankgwBackupOld",
    "backup_failed": "BankgwBackupFailed",
    "drill": "BankgwDrillFailed",
    "pushes": "BankgwPushesNotHeard",
    "settings": "BankgwSettingsRefused",
    "start_failed": "BankgwStartFailed",
}
"""The page of the documentation for each kind."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A present problem. `kind` is one of `meters.TROUBLES`; `subject` names the lane, bank or part. A problem that
    gets worse has a `step`: persons are notified again when the step changes.
    """

    kind: str
    subject: str
    cause: str
    remedy: str
    step: str = ""

    def as_json(self, since: str) -> dict[str, str]:
        """The problem as JSON, for the status and the pages."""
        return {
            "trouble": self.kind,
            "subject": self.subject,
            "cause": self.cause,
            "remedy": self.remedy,
            "since": since,
            "runbook": RUNBOOKS[self.kind],
            **({"step": self.step} if self.step else {}),
        }
