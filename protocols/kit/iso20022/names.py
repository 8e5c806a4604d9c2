"""The supported messages and versions, and the differences of their element names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lxml import etree

from protocols.kit.errors import ProtocolError

_URN: Final = "urn:iso:std:iso:20022:tech:xsd:"
_NAME: Final = re.compile(r"[a-z]{4}\.[0-9]{3}\.[0-9]{3}\.[0-9]{2}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class MessageVersion:
    """A message in one version: `name` as in `pain.001.001.09`, the root's only child, and the dialect's names.

    `modern` are the versions of 2019: BICFI for BIC, a choice of dates, parties of entries one level deeper.
    """

    name: str
    child: str
    modern: bool

    @property
    def namespace(self) -> str:
        """The document's namespace."""
        return _URN + self.name

    @property
    def kind(self) -> str:
        """The message without its version, as in `pain.001`."""
        return self.name[:8]

    @property
    def bic(self) -> str:
        """The name of the element that holds a bank's BIC."""
        return "BICFI" if self.modern else "BIC"


VERSIONS: Final = {
    one.name: one
    for one in (
        MessageVersion("pain.001.001.03", "CstmrCdtTrfInitn", False),
        MessageVersion("pain.001.001.09", "CstmrCdtTrfInitn", True),
        MessageVersion("pain.002.001.03", "CstmrPmtStsRpt", False),
        MessageVersion("pain.002.001.12", "CstmrPmtStsRpt", True),
        MessageVersion("pain.008.001.02", "CstmrDrctDbtInitn", False),
        MessageVersion("pain.008.001.08", "CstmrDrctDbtInitn", True),
        MessageVersion("camt.052.001.02", "BkToCstmrAcctRpt", False),
        MessageVersion("camt.052.001.08", "BkToCstmrAcctRpt", True),
        MessageVersion("camt.053.001.02", "BkToCstmrStmt", False),
        MessageVersion("camt.053.001.08", "BkToCstmrStmt", True),
        MessageVersion("camt.054.001.02", "BkToCstmrDbtCdtNtfctn", False),
        MessageVersion("camt.054.001.08", "BkToCstmrDbtCdtNtfctn", True),
    )
}
_CHILDREN: Final = {one.kind: one.child for one in VERSIONS.values()}


def version_of(root: etree._Element) -> MessageVersion:
    """The version of the message `root`, also if that version has no row in the table above. Raises ProtocolError
    "structure"."""
    name = etree.QName(root)
    message = (name.namespace or "").removeprefix(_URN)
    if name.localname != "Document" or not _NAME.match(message):
        raise ProtocolError(
            "structure", f"the root is {name.localname!r} of {name.namespace!r}, not an ISO 20022 document"
        )
    known = VERSIONS.get(message)
    if known is not None:
        return known
    child = _CHILDREN.get(message[:8])
    if child is None:
        raise ProtocolError("structure", f"{message} is not a message that this program reads")
    # The names changed with the versions of 2019, whose numbers differ by message.
    modern = int(message[-2:]) >= {"pain.001": 9, "pain.002": 10, "pain.008": 8}.get(message[:8], 8)
    return MessageVersion(message, child, modern)


def expect(root: etree._Element, *kinds: str) -> MessageVersion:
    """As `version_of`, for one of `kinds`. Raises ProtocolError "structure"."""
    found = version_of(root)
    if found.kind not in kinds:
        raise ProtocolError("structure", f"{found.name} where {' or '.join(kinds)} is due")
    return found
