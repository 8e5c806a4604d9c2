#!/usr/bin/env python3
"""A sample of a signing service for bankgw: `remote` of a signing key in the settings (docs/do/keys.md).

It shows the interface. The key is in a file here; put your HSM, KMS or vault in its place, and your own judgement of
what may be signed: the octets come whole. Only clients whose certificate the authority has issued are answered.

    python3 signing_service.py --listen 127.0.0.1:8443 --certificate server.pem --key server.key \
        --client-ca clients.pem --signing-key order=order.key
"""

from __future__ import annotations

import argparse
import base64
import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

BODY_MAX = 16 * 1024 * 1024
TIMEOUT_S = 10
ALGORITHMS = {
    "rsa-pkcs1-sha1": hashes.SHA1(),
    "rsa-pkcs1-sha256": hashes.SHA256(),
    "rsa-pkcs1-sha384": hashes.SHA384(),
    "rsa-pkcs1-sha512": hashes.SHA512(),
}


class SigningRequests(BaseHTTPRequestHandler):
    """Answers POST /v1/sign."""

    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_S
    keys: dict[str, RSAPrivateKey] = {}

    def do_POST(self) -> None:
        """Sign what the request holds, or say why not."""
        length = self.headers.get("Content-Length", "")
        if self.path != "/v1/sign" or not length.isdigit() or int(length) > BODY_MAX:
            self.answer(400, {"error": "POST /v1/sign with a Content-Length"})
            return
        try:
            asked = json.loads(self.rfile.read(int(length)))
            octets = base64.b64decode(asked["octets"], validate=True)
            number, name, algorithm = str(asked["id"]), str(asked["key"]), str(asked["algorithm"])
        except (ValueError, KeyError, TypeError):
            self.answer(400, {"error": "not a request for a signature"})
            return
        if name not in self.keys:
            self.answer(404, {"id": number, "error": f"there is no key {name}"})
        elif algorithm not in ALGORITHMS:
            self.answer(400, {"id": number, "error": f"there is no algorithm {algorithm}"})
        else:
            # Here a service of your own reads `octets` and decides whether it signs them.
            signature = self.keys[name].sign(octets, padding.PKCS1v15(), ALGORITHMS[algorithm])
            self.answer(200, {"id": number, "signature": base64.b64encode(signature).decode("ascii")})

    def answer(self, status: int, words: dict[str, str]) -> None:
        """Send a JSON object."""
        body = json.dumps(words).encode("ascii")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form: str, *values: object) -> None:
        """One line on standard error, without the octets."""
        print(f"{self.client_address[0]} {form % values}", file=sys.stderr)


def main() -> None:
    """Serve until the process is ended."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--listen", default="127.0.0.1:8443")
    options.add_argument("--certificate", type=Path, required=True)
    options.add_argument("--key", type=Path, required=True)
    options.add_argument("--client-ca", type=Path, required=True)
    options.add_argument("--signing-key", action="append", default=[], metavar="NAME=FILE")
    given = options.parse_args()
    for one in given.signing_key:
        name, _, file = one.partition("=")
        key = load_pem_private_key(Path(file).read_bytes(), None)
        if not isinstance(key, RSAPrivateKey):
            sys.exit(f"{file} is not an RSA key")
        SigningRequests.keys[name] = key
    host, _, port = given.listen.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(given.certificate, given.key)
    context.load_verify_locations(given.client_ca)
    server = ThreadingHTTPServer((host, int(port)), SigningRequests)
    # The handshake is made in the request's own thread: a client that is slow there delays no other.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    print(f"listening on {host}:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
