"""The troubles of the machine: disk, permit log, certificates, credentials, settings, other processes, backups
and drills.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.bank.credential_expiry import CredentialEnds
from gateway.kernel.commit.permit_access import unwritable_remedy
from gateway.watch.backups import SeenBackups
from gateway.watch.condition_metrics import Capacity
from gateway.watch.trouble import Trouble

DISK_SHARE = 0.10
DISK_DAYS = 7.0
PERMIT_LOG_BYTES = 1024**3
CERTIFICATE_DAYS, OWN_CERTIFICATE_DAYS = 30, 60
OWN_ROLES = ("client", "signing", "push_server")
"""The roles of our own certificates, which a bank or an authority must issue anew."""
CRL_DAYS = 2
ENDS_DAYS = (1, 7, 30, 60)
"""The days before its end at which a certificate, password or UKey comes to its next step, which is told again."""
_DAY_S = 86_400


def machine_troubles(seen: Capacity | None) -> Iterator[Trouble]:
    """The problems of the disk, the permit log, and the files in `state_dir` about starts and reloads."""
    if seen is None:
        return
    if seen.free < seen.size * DISK_SHARE:
        told = f"{seen.free / 2**20:.0f} MiB are free on the disk of state_dir, of {seen.size / 2**20:.0f}"
        if seen.waits and not seen.permit_log_fault:
            told += "; no command is taken in, commands wait in the broker"
        yield Trouble("disk", "state_dir", told, "make room: without it nothing is taken in or sent")
    if seen.forecast is not None and seen.forecast.days < DISK_DAYS:
        yield Trouble(
            "disk_filling",
            "state_dir",
            f"the disk of state_dir will be full in {seen.forecast.days:.1f} days, at the rate of the last "
            f"{_age(seen.forecast.over_s)}; {seen.free / 2**20:.0f} MiB are free",
            "find what grows (du -xh --max-depth=2 of state_dir; backups, reports, the journal), and make room",
        )
    if seen.permit_log_fault:
        yield Trouble("permit_log_unwritable", "permits", seen.permit_log_fault, unwritable_remedy(seen.permits))
    if seen.permit_log > PERMIT_LOG_BYTES:
        yield Trouble(
            "permit_log",
            "permits",
            f"the permit log takes {seen.permit_log / 2**20:.0f} MiB",
            "see whether old segments stay; never delete one by hand",
        )
    failure = seen.start_failure
    if failure is not None:
        yield Trouble(
            "start_failed",
            "second daemon",
            f"process {failure.pid} could not start at {failure.at}: {failure.cause}",
            failure.remedy,
        )
    if seen.reload is not None:
        yield Trouble(
            "settings",
            "reload",
            f"the reload at {seen.reload.at} was refused: {seen.reload.told}; in force stay the settings read at "
            f"{seen.settings_at or 'the start'}",
            "mend what the cause names (bankgw check names every mistake); then systemctl reload bankgw",
        )


def certificate_troubles(certificates: Mapping[tuple[str, str], float], now_s: float) -> Iterator[Trouble]:
    """Certificates that end soon: ours 60 days before, because a bank takes weeks to issue one; the others 30."""
    for (bank, role), at_s in certificates.items():
        left = (at_s - now_s) / _DAY_S
        days = CRL_DAYS if role == "crl" else OWN_CERTIFICATE_DAYS if role in OWN_ROLES else CERTIFICATE_DAYS
        if left < days:
            remedy = "bankgw certificates list; then docs/do/certificates.md"
            step = "" if role == "crl" else _step(left)
            yield Trouble("certificate", f"{bank} {role}", _ends_in(left), remedy, step)


def credential_troubles(credentials: CredentialEnds, now_s: float) -> Iterator[Trouble]:
    """Passwords and UKeys of logins that end soon."""
    for (login, credential), at_s in credentials.items():
        left = (at_s - now_s) / _DAY_S
        if left <= ENDS_DAYS[-1]:
            remedy = (
                "change the password at the bank, or have the bank renew the UKey; then write the new last day into "
                f"expires.{credential} of the lane, and restart: docs/do/certificates.md"
            )
            yield Trouble("credential", f"{login} {credential}", _ends_in(left), remedy, _step(left))


def backup_troubles(seen: SeenBackups, now_s: float) -> Iterator[Trouble]:
    """Backups that are too old, missing or failed."""
    limits, folder = seen.limits, seen.limits.folder
    if not limits.max_age_s:
        return
    if seen.error:
        remedy = "let the daemon's user read it, or name another in [backups] folder"
        yield Trouble("backup_old", "journal", f"the backups in {folder} cannot be read: {seen.error}", remedy)
        return
    if seen.newest_s is None:
        if limits.production or (seen.began_s is not None and now_s - seen.began_s > limits.max_age_s):
            yield Trouble(
                "backup_old",
                "journal",
                f"there is no backup in {folder}",
                f"bankgw backup {folder}, then systemctl enable --now bankgw-backup.timer; for backups elsewhere set "
                "[backups] folder, and max_age_hours = 0 if the database's own means make them",
            )
    elif now_s - seen.newest_s > limits.max_age_s:
        yield Trouble(
            "backup_old",
            "journal",
            f"the newest backup, {seen.newest}, is {_age(now_s - seen.newest_s)} old",
            f"systemctl status bankgw-backup.timer bankgw-backup; then bankgw backup {folder}",
        )
    if seen.backup is not None and not seen.backup.ok:
        yield Trouble(
            "backup_failed",
            "journal",
            f"the backup of {seen.backup.at} failed: {seen.backup.reason}",
            f"mend the cause; then bankgw backup {folder}, with the options of the unit bankgw-backup",
        )


def drill_troubles(seen: SeenBackups, now_s: float) -> Iterator[Trouble]:
    """Restore drills that failed, or are too long ago."""
    limits, folder = seen.limits, seen.limits.folder
    if not limits.drill_max_age_s or seen.error:
        return
    if seen.drill is not None and not seen.drill.ok:
        yield Trouble(
            "drill",
            "journal",
            f"the restore drill of {seen.drill.at} with {seen.drill.backup or 'no backup'} failed: {seen.drill.reason}",
            f"mend the cause, and keep the older backups; then bankgw restore --drill {folder}",
        )
        return
    since_s = seen.began_s if seen.drill_s is None else seen.drill_s
    if since_s is not None and now_s - since_s > limits.drill_max_age_s:
        held = "no restore drill is known to have held"
        if seen.drill_s is not None:
            held = f"the last restore drill that held was {_age(now_s - since_s)} ago"
        yield Trouble(
            "drill", "journal", held, f"bankgw restore --drill {folder}, then systemctl enable --now bankgw-drill.timer"
        )


def _age(seconds: float) -> str:
    return f"{seconds / 3_600:.0f} hours" if seconds < 3 * _DAY_S else f"{int(seconds / _DAY_S)} days"


def _ends_in(left_days: float) -> str:
    return f"ended {-left_days:.0f} days ago" if left_days <= 0 else f"ends in {int(left_days)} days"


def _step(left_days: float) -> str:
    if left_days <= 0:
        return "ended"
    days = next((days for days in ENDS_DAYS if left_days <= days), ENDS_DAYS[-1])
    return "1 day" if days == 1 else f"{days} days"
