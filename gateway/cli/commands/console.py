"""`bankgw console` and `bankgw approval-page`: the two web pages, each a process of its own, in the foreground."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import exit_codes, output

if TYPE_CHECKING:
    from gateway.web.shared.serving import ListenAddress

DaemonSocket = Annotated[
    Path, typer.Option("--daemon-socket", help="The daemon's socket for web pages (`web.daemon_socket`).")
]
HostOption = Annotated[str, typer.Option("--host", help="Address on which browsers, or a proxy, are listened for.")]
CertificateOption = Annotated[Path | None, typer.Option("--certificate", help="PEM file of the site's certificate.")]
CertificateKey = Annotated[Path | None, typer.Option("--certificate-key", help="Its private key, PEM.")]
DEFAULT_DAEMON = Path("/run/bankgw-web/daemon.sock")


def console(
    daemon_socket: DaemonSocket = DEFAULT_DAEMON,
    query_socket: Annotated[
        Path, typer.Option("--query-socket", help="The socket of `bankgw query` (`web.query_socket`).")
    ] = Path("/run/bankgw-web/query.sock"),
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="TCP port.")] = 9470,
    certificate: CertificateOption = None,
    certificate_key: CertificateKey = None,
) -> None:
    """Run the web console, until SIGTERM or SIGINT. It reads no settings and holds no key."""
    door = _door(host, port, certificate, certificate_key)
    from gateway.web.console.site import console as site
    from gateway.web.shared.gateway_client import SocketGateway
    from gateway.web.shared.serving import serve

    serve(site(SocketGateway(daemon_socket, query_socket)), door, "console")


def approval_page(
    daemon_socket: DaemonSocket = DEFAULT_DAEMON,
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="TCP port.")] = 9471,
    certificate: CertificateOption = None,
    certificate_key: CertificateKey = None,
) -> None:
    """Run the approval page, until SIGTERM or SIGINT: the only place where a browser decides about payments."""
    door = _door(host, port, certificate, certificate_key)
    from gateway.web.approval_page.site import approval_page as site
    from gateway.web.shared.gateway_client import SocketGateway
    from gateway.web.shared.serving import serve

    serve(site(SocketGateway(daemon_socket, daemon_socket)), door, "approval page")


def _door(host: str, port: int, certificate: Path | None, key: Path | None) -> ListenAddress:
    try:
        from gateway.web.shared.serving import ListenAddress
    except ImportError as error:
        output.leave(
            exit_codes.UNAVAILABLE,
            (
                f"the web pages need bankgw[console]: {error.name} is not installed",
                f"网页需要 bankgw[console]：尚未安装 {error.name}",
            ),
        )
    if (certificate is None) != (key is None):
        output.leave(
            exit_codes.USAGE,
            (
                "give both --certificate and --certificate-key, or neither",
                "--certificate 与 --certificate-key 须同时给出或都不给出",
            ),
        )
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        output.leave(exit_codes.USAGE, ("--host is an IP address of this machine", "--host 应为本机的 IP 地址"))
    if certificate is None and not loopback:
        output.leave(
            exit_codes.USAGE,
            (
                "passwords would cross the network in clear: give a certificate, or listen on "
                "127.0.0.1 behind a proxy that has one",
                "密码会以明文经过网络：请给出证书，或在带证书的代理之后监听 127.0.0.1",
            ),
        )
    return ListenAddress(host, port, certificate, key)
