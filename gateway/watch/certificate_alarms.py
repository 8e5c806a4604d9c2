"""Alarms before a certificate expires: once each at 60, 45, 30, 14, 7, 3 and 1 days, also over restarts of the daemon.

A new revocation list is issued every few days or weeks, so that for lists only the last two alarms count.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gateway.kernel import log
from gateway.kernel.meters import Meters

DAYS = (60, 45, 30, 14, 7, 3, 1)
CRL_DAYS = (3, 1)
FILE = "certificate-alarms.json"
_DAY_S = 86_400
_log = log.get("watch.certificate_alarms")


class CertificateAlarms:
    """Raises alarms before a certificate expires. Alarms that were raised are kept in `state_dir`; without one they are
    raised again after a restart."""

    def __init__(self, meters: Meters, state_dir: Path | None) -> None:
        self._meters = meters
        self._file = None if state_dir is None else state_dir / FILE
        self._told: dict[str, int] = {}
        if self._file is not None:
            with suppress(OSError, ValueError, AttributeError):
                told = json.loads(self._file.read_text("utf-8"))
                self._told = {str(key): int(days) for key, days in told.items()}

    def tell_ending(self, certificates: Mapping[tuple[str, str], float], now_s: float) -> None:
        """Raise the alarms that are due. The times are the ends of certificates, in seconds since 1970."""
        before, there = dict(self._told), set()
        for (bank, role), at_s in certificates.items():
            key = f"{bank} {role} {at_s:.0f}"
            there.add(key)
            left = (at_s - now_s) / _DAY_S
            reached = [days for days in (CRL_DAYS if role == "crl" else DAYS) if left <= days]
            if reached and min(reached) < self._told.get(key, DAYS[0] + 1):
                self._told[key] = min(reached)
                self._meters.alarms.labels("certificate_ends").inc()
                _log.error(
                    "certificate.ends",
                    bank=bank,
                    role=role,
                    days=max(int(left), 0),
                    threshold=min(reached),
                    action="renew it; bankgw certificates list names the file; see docs/do/certificates.md",
                )
        self._told = {key: days for key, days in self._told.items() if key in there}
        if self._told != before and self._file is not None:
            fresh = self._file.with_suffix(".new")
            with suppress(OSError):
                fresh.write_text(json.dumps(self._told), "utf-8")
                fresh.replace(self._file)
