"""`bankgw joint-test verify`, `countersign` and `attest`: check an evidence pack, sign it as the bank, and use it in
the settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.act import Bilingual
from gateway.cli import exit_codes, joint_run, output
from gateway.cli.output import AsJson

if TYPE_CHECKING:
    from gateway.jointtest.pack_check import OpenedPack

Pack = Annotated[Path, typer.Argument(metavar="PACK", help="An evidence pack.")]
Root = Annotated[str | None, typer.Option("--root", help="The pack's root, as the signed paper states it.")]
Fingerprint = Annotated[str | None, typer.Option("--fingerprint", help="The key that must have signed it.")]


def verify(
    context: typer.Context,
    file: Pack,
    root: Root = None,
    trusted: Fingerprint = None,
    bank_certificate: Annotated[
        Path | None, typer.Option("--bank-certificate", help="PEM: the certificate that must have countersigned it.")
    ] = None,
    time_stamp: Annotated[
        Path | None, typer.Option("--time-stamp", help="An RFC 3161 reply (*.tsr) over manifest.json.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The gateway's settings: compare with its own journal, too.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check root, signature and every hash of an evidence pack, and show the verdicts of its cases.

    The check needs only the pack and the root from the signed paper. Without --root, the pack is only proven by the
    holder of the signing key. With --config, the bytes to and from the bank are compared with the journal of the
    gateway, which must run, and the verdicts with its audit trail. A countersignature beside the pack (PACK.p7s) is
    checked, too. The exit code is 1 if there is any difference; each one is shown.
    """
    opened = _opened(file, root, trusted, exit_codes.FAILED)
    said: list[Bilingual] = [_root_said(opened, root)]
    said += _countersigned(opened, bank_certificate)
    said += _stamped(opened, time_stamp)
    if config is not None:
        said += _compared(context, opened, config)
    if as_json:
        told = [output.english(one) for one in said]
        output.dump({"fingerprint": opened.fingerprint, "root": opened.root, "told": told, **opened.manifest})
        return
    rows = [
        {
            "case": name,
            **one,
            "verdict": joint_run.verdict_shown(one["verdict"]),
            "why": joint_run.reason_shown(one["why"]),
        }
        for name, one in opened.cases.items()
    ]
    output.table(rows, {"case": "case", "verdict": "", "round": "R", "seen": "seen at", "why": ""}, "no cases")
    count, key = len(opened.manifest["files"]), opened.fingerprint
    output.say((f"{count} files are as they were signed by {key}", f"{count} 个文件与 {key} 签署时一致"))
    for line in said:
        output.say(line)


def _opened(file: Path, root: str | None, trusted: str | None, code: int) -> OpenedPack:
    """The verified pack. Ends the command with every difference, if there is one."""
    from gateway.jointtest.pack_check import BadPack, open_pack

    try:
        return open_pack(file, trusted, root)
    except BadPack as error:
        output.leave(code, *joint_run.pack_refusal(error, "证据包无效："))
    except ValueError as error:
        output.leave(exit_codes.USAGE, output.explained(error, "--root 有误："))
    except OSError as error:
        output.leave(exit_codes.USAGE, output.unreadable(file, error))


def _root_said(opened: OpenedPack, root: str | None) -> Bilingual:
    from gateway.jointtest.pack_root import grouped

    shown = grouped(opened.root)
    if root is None:
        return (
            f"root {shown}: not compared with a paper; only the holder of the signing key vouches for this pack. Give "
            "the root of the signed paper with --root",
            f"根校验值 {shown}：未与纸面核对；此证据包仅由签名密钥的持有人担保。请以 --root 给出签署页上的根校验值",
        )
    return f"root {shown}: the pack is that of the paper", f"根校验值 {shown}：证据包与纸面一致"


def _countersigned(opened: OpenedPack, certificate: Path | None) -> list[Bilingual]:
    """The facts of the countersignature beside a pack. Ends the command if it is wrong or missing."""
    from gateway.jointtest import countersignature
    from gateway.jointtest.countersignature import BadCountersignature

    beside = countersignature.beside(opened.file)
    if not beside.exists():
        if certificate is not None:
            output.leave(
                exit_codes.FAILED,
                (f"{beside} is not there: the bank has not countersigned", f"没有 {beside}：银行尚未以证书签名"),
            )
        return []
    pinned = None if certificate is None else _bytes_of(certificate)
    try:
        signer = countersignature.check(_bytes_of(beside), opened.octets, pinned)
    except BadCountersignature as error:
        output.leave(exit_codes.FAILED, output.explained(f"{beside}: {error}", "证书签名无效："))
    who = f"{signer.subject}, SHA-256 {signer.fingerprint}"
    if certificate is None:
        return [
            (
                f"countersigned by {who}: nobody vouches for this certificate; name the bank's with --bank-certificate",
                f"证书签名者 {who}：此证书未经核对；请以 --bank-certificate 指明银行证书",
            )
        ]
    return [(f"countersigned by {who}, the certificate you named", f"证书签名者 {who}，即所指明的证书")]


def _stamped(opened: OpenedPack, file: Path | None) -> list[Bilingual]:
    """The facts of a time stamp. Ends the command if the stamp is not over this pack's root."""
    from gateway.jointtest import countersignature
    from gateway.jointtest.countersignature import BadCountersignature

    if file is None:
        return []
    try:
        stamp = countersignature.check_time(_bytes_of(file), opened.root)
    except BadCountersignature as error:
        output.leave(exit_codes.FAILED, output.explained(f"{file}: {error}", "时间戳无效："))
    at, who = f"{stamp.at:%Y-%m-%d %H:%M:%S %z}", f"{stamp.authority.subject}, SHA-256 {stamp.authority.fingerprint}"
    return [
        (
            f"time stamp: the root existed at {at}, says {who}; whether to trust this authority is yours to judge",
            f"时间戳：{who} 证明该根校验值在 {at} 已存在；是否信任该机构由您判断",
        )
    ]


def _compared(context: typer.Context, opened: OpenedPack, config: Path) -> list[Bilingual]:
    """Compare the pack with the gateway's journal and audit trail. Ends the command with every difference, if there is
    one.
    """
    from gateway.control.client import Refused
    from gateway.jointtest.gateway_check import against_gateway
    from gateway.jointtest.lane_exchanges import against_exchanges, packed_exchanges
    from gateway.jointtest.trail import against_trail

    sender = opened.manifest.get("sender")
    if not sender:
        output.leave(
            exit_codes.USAGE,
            (
                f"{opened.file} is of an earlier version and names no sender: pack the run again to compare it",
                f"{opened.file} 为旧版本所生成，没有来源系统：请重新生成证据包再比较",
            ),
        )
    desk = output.remote(context, config, None)

    def lookup(order: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = desk.get("orders", f"{sender}:{order}")
        except Refused as error:
            if error.status == 404:
                return None
            raise
        return found

    with output.asking():
        found = against_gateway(opened, lookup)
        witnessed = desk.get("joint-runs", opened.run.id, "tries")
    trail = against_trail(opened.run, witnessed["tries"])
    exchanges = against_exchanges(list(packed_exchanges(opened)), witnessed.get("exchanges", ()))
    differences = (*found.differences, *trail.differences, *exchanges.differences)
    if differences:
        output.leave(exit_codes.FAILED, *output.explained_lines(differences, "与网关流水库不符："))
    said = [
        (
            f"{found.agreed} messages to and from the bank are those of the gateway's own journal",
            f"与银行往来的 {found.agreed} 个报文与网关流水库一致",
        ),
        (
            f"{trail.agreed} verdicts, with the digests of their files, are those of the gateway's audit trail",
            f"{trail.agreed} 个结论及其文件校验值与网关审计链一致",
        ),
        (
            f"{exchanges.agreed} events of the bank's lanes, with probes and sign-ons, are those of the audit trail",
            f"银行通道的 {exchanges.agreed} 个收发事件（含探测与签到）与审计链一致",
        ),
    ]
    if trail.unwitnessed:
        names = ", ".join(trail.unwitnessed)
        said.append((f"the audit trail has no verdict of {names}", f"审计链中没有以下执行的结论：{names}"))
    return said


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        output.leave(exit_codes.USAGE, output.unreadable(file, error))


def countersign(
    context: typer.Context,
    file: Pack,
    certificate: Annotated[Path, typer.Option("--certificate", help="PEM: the bank's certificate.")],
    key: Annotated[Path, typer.Option("--key", help="PEM: the certificate's key, RSA or ECDSA, without a password.")],
    root: Root = None,
) -> None:
    """Sign a pack with the bank's own certificate: a detached CMS (SHA-256) over manifest.json, written to PACK.p7s.

    The pack is checked before. `openssl cms -sign -binary` over manifest.json makes the same. An existing
    countersignature is never replaced.
    """
    from gateway.jointtest import countersignature
    from gateway.jointtest.countersignature import BadCountersignature

    opened = _opened(file, root, None, exit_codes.FAILED)
    target = countersignature.beside(file)
    now = output.environment(context).now()
    try:
        der = countersignature.countersign(opened.octets, _bytes_of(certificate), _bytes_of(key), now)
        with target.open("xb") as out:
            out.write(der)
    except BadCountersignature as error:
        output.leave(exit_codes.USAGE, output.explained(error, "未能以证书签名："))
    except FileExistsError:
        output.leave(
            exit_codes.REFUSED, (f"{target} is there already; it is never replaced", f"{target} 已存在；不会替换")
        )
    except OSError as error:
        output.leave(
            exit_codes.FAILED,
            (f"{target} cannot be written: {error.strerror}", f"无法写入 {target}：{output.os_reason(error)}"),
        )
    output.say((f"{target}", f"{target}"))
    output.say(_root_said(opened, root))


def attest(
    file: Annotated[Path, typer.Argument(metavar="PACK", help="An evidence pack of a run against the bank.")],
    kind: Annotated[str, typer.Argument(metavar="KIND", help="payment or transfer.")],
    root: Annotated[str, typer.Option("--root", help="The pack's root, as the signed paper states it.")],
    trusted: Fingerprint = None,
) -> None:
    """Print what the settings need so that an order in doubt may be sent again in production without asking first.

    The pack must be that of the signed paper, and made against the bank. In it the case `repeat.KIND` must have passed
    and must have been seen at the bank.
    """
    from gateway.jointtest.pack_check import BadPack, attestation

    try:
        found = attestation(file, kind, root, trusted)
    except BadPack as error:
        output.leave(exit_codes.REFUSED, *joint_run.pack_refusal(error, "证据包不足以证明："))
    except ValueError as error:
        output.leave(exit_codes.USAGE, output.explained(error, "--root 有误："))
    except OSError as error:
        output.leave(exit_codes.USAGE, output.unreadable(file, error))
    output.say(f"[[banks.{found.pop('bank')}.attested]]")
    for name, value in found.items():
        output.say(f'{name} = "{value}"' if name != "seen_on" else f"{name} = {value}")
