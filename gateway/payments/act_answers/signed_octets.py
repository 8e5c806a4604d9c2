"""Shows the octets that the XML signatures of a message sign. It is for people to look at, not for verifying."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

_DSIG = "{http://www.w3.org/2000/09/xmldsig#}"


def signed_octets(message: bytes) -> Iterator[bytes]:
    """The canonical octets that each XML signature of a message signs; none for a message without one.

    A length or a header may stand before the XML, as the bank frames its messages.
    """
    start = message.find(b"<")
    if start < 0 or b"SignedInfo" not in message:
        return
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False)
    try:
        tree = etree.fromstring(message[start : message.rfind(b">") + 1], parser)
    except etree.XMLSyntaxError:
        return
    for info in tree.iter(f"{_DSIG}SignedInfo"):
        method = info.find(f"{_DSIG}CanonicalizationMethod")
        name = "" if method is None else method.get("Algorithm", "")
        yield etree.tostring(info, method="c14n", exclusive="exc-c14n" in name, with_comments="WithComments" in name)
