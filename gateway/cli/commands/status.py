"""`bankgw status`: the daemon's state, and whether it is ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.commands import lanes
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket, WatchOption

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.act import Bilingual
    from gateway.control.client import ControlClient

TROUBLES: Mapping[str, str] = {
    "stopped": "紧急停止",
    "safe_mode": "安全模式",
    "journal": "流水库无法访问",
    "broker": "消息服务器断开",
    "broker_blocked": "消息服务器告警阻塞",
    "broker_refuses": "消息服务器拒绝部分操作",
    "heartbeat": "探测消息未返回",
    "broker_queue": "消息队列积压",
    "mark": "未占用消息虚拟主机",
    "lane": "通道中断或停用",
    "key": "签名密钥无法签名",
    "bank_hangs": "银行迟迟不应答",
    "row_altered": "记录被篡改",
    "clock": "时钟不可信",
    "disk": "磁盘空间不足",
    "disk_filling": "磁盘将满",
    "permit_log_unwritable": "发送许可日志无法写入",
    "permit_log": "发送许可日志过大",
    "retention": "有行超过保存期限",
    "backup_old": "没有备份或备份过旧",
    "backup_failed": "备份失败",
    "drill": "恢复演练失败或过旧",
    "certificate": "证书将到期",
    "credential": "银行密码或 UKey 将到期",
    "pushes": "银行推送端口未打开",
    "settings": "重新加载设置被拒绝",
    "start_failed": "另一进程曾试图启动",
}
"""Chinese for the troubles of `gateway.kernel.meters`."""


def status(
    context: typer.Context,
    wait_s: Annotated[
        float | None,
        typer.Option(
            "--wait", min=0, metavar="<seconds>", help="First wait, at most so long, until the daemon is ready."
        ),
    ] = None,
    watch: WatchOption = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Show the daemon's state: readiness with reasons, lanes, broker, orders under way, certificates.

    Of shards (bankgw run --shard), all are shown, one after the other. Exit code 69 if one is not ready; with --wait,
    if it is not ready in time.
    """
    shards = [] if socket is not None else output.shards(context, config)
    if shards:
        look = partial(_look_at_shards, shards)
    else:
        daemon = output.remote(context, config, socket)
        # Only asked for where no daemon answers: reading the settings costs more than all else here.
        look = partial(_look, daemon, partial(_state_dir, context, config, daemon, socket))
    if watch is not None and wait_s is None:
        output.repeated(watch, lambda: look(None, as_json=as_json))
    elif not look(wait_s, as_json=as_json):
        raise typer.Exit(exit_codes.UNAVAILABLE)


def _look_at_shards(daemons: Sequence[ControlClient], wait_s: float | None, *, as_json: bool) -> bool:
    """Show each shard; returns whether all are ready. A shard that does not answer is not ready."""
    from gateway.control.client import NoDaemon, Refused

    said = []
    for one in daemons:
        with suppress(NoDaemon, Refused):
            said.append(one.get("status") if wait_s is None else one.ready_status(wait_s))
    here = {one["shard"] for one in said}
    count = max((int(name.partition("/")[2]) for name in here), default=len(daemons))
    missing = [name for number in range(1, count + 1) if (name := f"{number}/{count}") not in here]
    if as_json:
        output.dump({"shards": said, "missing": missing})
    else:
        for one in said:
            output.line((output.in_language(("shard {shard}", "分片 {shard}")).format_map(one), "bold"))
            _status(one)
            output.line("")
        for name in missing:
            silent = (
                "shard {name}: no daemon answers; start it: bankgw run --shard {name}",
                "分片 {name}：守护进程无应答；启动：bankgw run --shard {name}",
            )
            output.line((output.in_language(silent).format(name=name), "bold red"))
    return not missing and all(one["status"] == "ready" for one in said)


def _look(daemon: ControlClient, state_dir: Callable[[], Path], wait_s: float | None, *, as_json: bool) -> bool:
    """Show the daemon; returns whether it is ready. If none answers, says why the last one ended or did not start."""
    from gateway.control.client import NoDaemon

    with output.asking():
        try:
            said = daemon.get("status") if wait_s is None else daemon.ready_status(wait_s)
        except NoDaemon as error:
            why = _why_none(state_dir())
            if not why:
                raise
            output.leave(exit_codes.UNAVAILABLE, (str(error), error.chinese), *why)
    output.show(said, as_json=as_json, words=_status)
    return bool(said["status"] == "ready")


def _state_dir(context: typer.Context, config: Path, daemon: ControlClient, socket: Path | None) -> Path:
    """The folder that has the record of the last run: that of the settings, else that of the socket."""
    from gateway.settings import BadSettings, read_settings

    try:
        if socket is None:
            return read_settings(config, output.environment(context).variables).settings.state_dir
    except BadSettings:
        pass
    return daemon.path.parent


def _why_none(state_dir: Path) -> tuple[str | Bilingual, ...]:
    """No daemon answers: why the last one ended or could not start, and what to do; nothing if that is not known."""
    from gateway.kernel import run_record

    found = run_record.why_none_answers(state_dir)
    if found is None:
        return ()
    if found.exit is None:
        told = (f"last seen at {found.at}: {found.cause}", f"最后一次于 {found.at} 看到它运行：{found.cause}")
    elif found.exit == exit_codes.OK:
        told = (f"the last daemon ended at {found.at}: {found.cause}", f"上次运行于 {found.at} 结束：{found.cause}")
    else:
        told = (
            f"the last daemon failed at {found.at} (exit code {found.exit}): {found.cause}",
            f"上次运行于 {found.at} 失败（退出码 {found.exit}）：{found.cause}",
        )
    runbook = "runbook BankgwDown", "处置手册 BankgwDown"
    return told, (f"{found.remedy} ({runbook[0]})", f"{found.remedy}（{runbook[1]}）")


def _status(said: Any) -> None:
    _headline(said)
    for one in said["troubles"]:
        name, subject, cause = one["trouble"], one["subject"], one["cause"]
        known = f"{name}（{TROUBLES.get(name, name)}）"
        output.line((output.in_language((f"{name} {subject}: {cause}", f"{known}{subject}：{cause}")), "bold red"))
        since = ("  since {since}; {remedy} (runbook {runbook})", "  自 {since} 起；{remedy}（处置手册 {runbook}）")
        output.line(output.in_language(since).format_map(one))
    for lane in said["lane_details"]:
        told = ("lane {lane}: {condition}, {since}", "通道 {lane}：{condition}，{since}")
        output.line(output.in_language(told).format(**{**lane, "since": lanes.since(lane)}))
    output.line(_broker(said["broker"]))
    if not said["journal"]["reachable"]:
        unknown = (
            "journal unreachable since {since}: nothing is taken in or sent; what is under way is not known",
            "流水库自 {since} 起无法访问：不受理也不发送；在途情况未知",
        )
        output.line((output.in_language(unknown).format_map(said["journal"]), "bold red"))
    for company in said.get("companies_paused", ()):  # an older daemon does not say it
        paused = (
            "company {company}: PAUSED, no payment of it is sent at any bank (bankgw companies list)",
            "公司 {company}：已暂停，在任何银行都不发送其付款（bankgw companies list）",
        )
        output.line((output.in_language(paused).format(company=company), "bold red"))
    _under_way(said)
    _capacity(said["capacity"])
    _vault(said.get("vault"))
    if said["certificates"]:
        first = (
            "first to expire: {bank} {role} at {not_after} ({days_left} days left)",
            "最先到期的证书：{bank} {role}，{not_after}（还有 {days_left} 天）",
        )
        output.line(output.in_language(first).format_map(said["certificates"][0]))


def _headline(said: Any) -> None:
    """The daemon's name and version, whether it is ready, and the reason that stops it as a whole."""
    who = (
        "bankgw {version}  node {node}  {where}  pid {pid}  since {started_at}",
        "bankgw {version}  节点 {node}  {where}  pid {pid}  启动于 {started_at}",
    )
    output.line(output.in_language(who).format(**said, where=_environment(said)))
    ready = said["status"] == "ready"
    not_ready = output.in_language(("not ready: {}", "未就绪：{}")).format(
        output.in_language(("; ", "；")).join(said["reasons"])
    )
    output.line((output.in_language(("ready", "就绪")) if ready else not_ready, "green" if ready else "red"))
    if said["safe_mode"]:
        older = (
            "SAFE MODE: the database is older than what was sent; nothing is sent",
            "安全模式：数据库早于已发送的内容；不发送任何内容",
        )
        causes = (one["cause"].partition(". ")[0] for one in said["troubles"] if one["trouble"] == "safe_mode")
        output.line((output.in_language((next(causes, older[0]), older[1])), "bold red"))
    if said.get("no_witness"):
        alone = ("no witness on another machine: {}", "其他机器上没有见证：{}")
        output.line((output.in_language(alone).format(said["no_witness"]), "yellow"))
    if said["stop"]:
        stopped = (
            "STOPPED since {since} by {by}: {reason}; nothing is sent until two persons start it again "
            "(bankgw restart-all)",
            "紧急停止：自 {since} 起，由 {by} 发出：{reason}；两人恢复（bankgw restart-all）之前不发送",
        )
        output.line((output.in_language(stopped).format_map(said["stop"]), "bold red"))


def _broker(broker: Any) -> str:
    told = output.in_language(
        ("broker: up", "消息服务器：已连接") if broker["up"] else ("broker: down", "消息服务器：断开")
    )
    if broker["blocked"]:
        told += output.in_language((", blocked", "，已阻塞"))
    if broker["canary_age_s"] is not None:
        told += output.in_language((", heartbeat {:.0f} s ago", "，{:.0f} 秒前有心跳")).format(broker["canary_age_s"])
    return told


def _environment(said: Any) -> str:
    return str(said["mode"] if said["environment"] == said["mode"] else f"{said['mode']} ({said['environment']})")


def _capacity(said: Any) -> None:
    if said.get("disk_free_bytes") is None:
        return
    free, size, permits = (said[name] / 2**30 for name in ("disk_free_bytes", "disk_size_bytes", "permit_log_bytes"))
    disk = (
        "disk: {free:.1f} of {size:.1f} GiB free, permit log {permits:.3f} GiB; {rows} rows past their retention",
        "磁盘：可用 {free:.1f} GiB，共 {size:.1f} GiB，发送许可日志 {permits:.3f} GiB；超过保存期限 {rows} 行",
    )
    output.line(output.in_language(disk).format(free=free, size=size, permits=permits, rows=said["retention_overdue"]))


def _vault(vault: Any) -> None:
    """How far older values are sealed anew with a new vault key; nothing once this is over."""
    if not vault or vault["done"]:
        return
    told = (
        "vault key {key}: sealing older values anew ({state}): round {round}, {tables_done} of {tables} tables, "
        "{rows} rows",
        "数据加密主密钥 {key}：旧内容重新加封（{state}）：第 {round} 遍，{tables_done}/{tables} 张表，{rows} 行",
    )
    output.line(output.in_language(told).format_map(vault))
    if vault["waits_for"]:
        behind = ("  it waits for {}", "  等待 {}")
        output.line((output.in_language(behind).format(", ".join(vault["waits_for"])), "yellow"))


def _under_way(said: Any) -> None:
    if said["orders"] is None:
        return
    states = output.in_language((", ", "，")).join(f"{state} {number}" for state, number in said["orders"].items())
    output.line(output.in_language(("orders: {}", "付款指令：{}")).format(states))
    companies = said.get("companies") or []
    # If there is only one company, the line above has its orders.
    for one in companies if len({row["company"] for row in companies}) > 1 else ():
        states = output.in_language((", ", "，")).join(f"{state} {number}" for state, number in one["orders"].items())
        told = ("  {company} at {bank}: {states}", "  {company}，{bank}：{states}")
        output.line(output.in_language(told).format(**one | {"states": states}))
    messages = ("messages: waiting {waiting}, parked {parked}", "消息：等待 {waiting}，滞留 {parked}")
    output.line(output.in_language(messages).format_map(said["messages"]))
