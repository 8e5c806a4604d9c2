"""Where each field of a command stands in a file; `^` marks what stands in PmtInf and not in the instruction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TRANSFER_PATHS: Final[Mapping[str, str]] = {
    "id": "PmtId", "amount": "Amt/InstdAmt", "currency": "Amt/InstdAmt/@Ccy", "purpose": "RmtInf",
    "creditor": "Cdtr", "creditor/name": "Cdtr/Nm", "creditor/account": "CdtrAcct/Id", "creditor/bank_name": "CdtrAgt",
    "creditor/cnaps": "CdtrAgt/FinInstnId/ClrSysMmbId/MmbId", "debtor": "^Dbtr", "debtor/name": "^Dbtr/Nm",
    "debtor/account": "^DbtrAcct/Id", "debtor/bank_name": "^DbtrAgt",
    "debtor/cnaps": "^DbtrAgt/FinInstnId/ClrSysMmbId/MmbId", "not_before": "^ReqdExctnDt", "urgency": "^PmtTpInf",
    "channel": "^PmtTpInf/LclInstrm", "creditor/bic": "CdtrAgt/FinInstnId", "creditor/address": "Cdtr/PstlAdr",
    "debtor/bic": "^DbtrAgt/FinInstnId", "debtor/address": "^Dbtr/PstlAdr", "terms/end_to_end_id": "PmtId/EndToEndId",
    "terms/purpose_code": "Purp", "terms/charge_bearer": "ChrgBr", "terms/remittances": "RmtInf/Strd",
    "terms/ultimate_debtor": "UltmtDbtr", "terms/ultimate_creditor": "UltmtCdtr",
    "sum": "^CtrlSum", "count": "^NbOfTxs", "items": "^CdtTrfTxInf",
}  # fmt: skip
COLLECTION_PATHS: Final[Mapping[str, str]] = {
    "id": "PmtId", "amount": "InstdAmt", "currency": "InstdAmt/@Ccy", "purpose": "RmtInf",
    "agreement": "DrctDbtTx/MndtRltdInf/MndtId", "debtor": "Dbtr", "debtor/name": "Dbtr/Nm",
    "debtor/account": "DbtrAcct/Id", "debtor/bank_name": "DbtrAgt",
    "debtor/cnaps": "DbtrAgt/FinInstnId/ClrSysMmbId/MmbId", "creditor": "^Cdtr", "creditor/name": "^Cdtr/Nm",
    "creditor/account": "^CdtrAcct/Id", "creditor/bank_name": "^CdtrAgt",
    "creditor/cnaps": "^CdtrAgt/FinInstnId/ClrSysMmbId/MmbId", "not_before": "^ReqdColltnDt", "sum": "^CtrlSum",
    "count": "^NbOfTxs", "items": "^DrctDbtTxInf",
}  # fmt: skip
