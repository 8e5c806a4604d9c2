"""The operations of each bank adapter, and the source of each: for `bankgw banks` and docs/lookup/banks.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module, resources
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from gateway.language import Lang
from protocols import readback
from protocols.bank import Bank, Build
from protocols.canon.limits import Hours
from protocols.canon.order import Channel, Kind
from protocols.trial import banks, trial

QUESTIONS: Mapping[str, str] = {
    "balance": "balance",
    "lines": "entries",
    "fate": "enquiry",
    "returns": "returns",
    "receipt": "receipts",
    "directory": "bank directory",
}


_BETWEEN: Mapping[Lang, str] = {"en": ", ", "zh": "、"}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def tried(name: str, *, switched: bool = False) -> Bank:
    """The bank built with the fewest options of its trial. Options that are files get a certificate that nobody trusts.

    `switched`: also with the options that stay off until a contract or the bank's statement allows them.
    """
    known = trial(name)
    build = cast(Build, import_module(f"protocols.banks.{name}").build)
    more = known.switched if switched else {}
    return build({**known.options, **dict.fromkeys(known.files, _certificate()), **more})


def capabilities(name: str, bank: Bank) -> dict[str, Any]:
    """A bank as plain values. `name` is its name in the settings."""
    profile, asked = bank.profile, bank.questions
    return {
        "bank": name,
        "protocol": profile.name,
        "title": profile.title,
        "title_zh": profile.title_zh,
        "orders": sorted(kind.value for kind in bank.money.keys() | bank.bundles.keys()),
        "bundles": {kind.value: rule.most for kind, rule in sorted(bank.bundles.items())},
        "operations": standing(bank),
        "questions": [word for word in QUESTIONS if getattr(asked, word) is not None],
        "past_balance_days": profile.past_balance_days,
        "history_days": profile.history_days,
        "charset": profile.limits.charset,
        "kept_sessions": any(port.kept for port in bank.ports.values()),
        "ports": sorted(bank.ports),
        "keys": list(profile.signs),
        "replay": {kind.value: rule.policy.value for kind, rule in sorted(profile.replay.items())},
        "read_back": sorted(
            kind.value for kind in bank.money.keys() | bank.bundles.keys() if readback.reads(profile.name, kind)
        ),
        "reconstructed": list(profile.reconstructed),
    }


def everything() -> list[dict[str, Any]]:
    """Each bank that this program speaks to, as its trial builds it, with the first lines of its README."""
    return [
        {**capabilities(name, tried(name)), "operations": standing(tried(name, switched=True)), **_readme(name)}
        for name in banks()
    ]


def _readme(name: str) -> dict[str, str]:
    paragraphs = resources.files(f"protocols.banks.{name}").joinpath("README.md").read_text("utf-8").split("\n\n")
    about = " ".join(paragraphs[1].replace("**", "").split()) if len(paragraphs) > 1 else ""
    return {"heading": paragraphs[0].lstrip("# ").strip(), "about": about}


@cache
def _certificate() -> str:
    key, now = generate_private_key(65537, 2048), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode("ascii")


# ---- the page ----------------------------------------------------------------------------------------------------


Translate = Callable[[str], str]
"""Gives the text of the page's language for an English text."""
_ABOUT: Mapping[Lang, str] = {
    "en": """\
[中文](banks.zh.md)

What each bank can do here, as its own code declares it. An order or a question of a kind that a bank has not
is refused at intake, with this as the reason. *Reconstructed* is what is known from public material only:
ask your bank before real money moves. Options, codes and oddities are in each bank's README.
""",
    "zh": """\
[English](banks.md)

各银行在本网关能办什么，由各自的代码声明。银行没有的付款种类或查询，在受理时即被拒绝，并以此为原因。
*重建*指仅从公开资料得知的内容：资金真正划转之前，请向银行核实。选项、代码和特殊之处见各银行的 README（英文）。
""",
}
_STANDINGS: Mapping[Lang, str] = {
    "en": """\
Each operation, with everything switched on that settings can. *public*: the bank's page, or several clients,
show its messages. *rec.*: reconstructed; a message, or what its answer means, is known from one client's
model or not at all: it is off until a setting says that the bank confirmed it, or must be asked about first.
*–*: no public page has a message for it; the README's section "Ask the bank" has the question.
""",
    "zh": """\
各项业务，按设置所能打开的全部计。*公开*：银行的页面或多个客户端显示了其报文。*重建*：报文或其应答的含义只见于一个客户端的模型，
或完全不公开；在设置写明银行已确认之前不启用，或须先向银行询问。*–*：没有公开页面载有其报文；
要问银行的问题见 README 的“Ask the bank”一节。
""",
}


def page(made: str, lang: Lang, say: Translate) -> str:
    """The text of docs/lookup/banks.md, or of its Chinese twin; `made` is the line that says how the page is made."""
    every = [(name, tried(name), trial(name)) for name in banks()]
    heads = ("bank", "orders", "in one message", "questions", "may be sent again")
    lines = [
        f"# {say('Banks')}",
        "",
        made.strip(),
        "",
        *_ABOUT[lang].splitlines(),
        "",
        f"| {' | '.join(map(say, heads))} |",
        "|---|---|---|---|---|",
    ]
    lines += [_row(name, bank, lang, say) for name, bank, _ in every]
    real = [(name, tried(name, switched=True)) for name in banks() if name != "sample"]
    lines += ["", *_STANDINGS[lang].splitlines(), "", *_matrix(real, say)]
    for name, bank, _ in every:
        lines += ["", *_section(name, bank, lang, say)]
    return "\n".join(lines) + "\n"


def _row(name: str, bank: Bank, lang: Lang, say: Translate) -> str:
    kinds = ", ".join(f"`{kind.value}`" for kind in Kind if kind in bank.money or kind in bank.bundles)
    bundles = ", ".join(f"`{kind.value}` {rule.most}" for kind, rule in sorted(bank.bundles.items())) or "–"
    asked = _BETWEEN[lang].join(
        say(title) for word, title in QUESTIONS.items() if getattr(bank.questions, word) is not None
    )
    policies = sorted({rule.policy.value for rule in bank.profile.replay.values()}) or ["never"]
    return f"| [`{name}`](#{name}) {bank.profile.title_zh} | {kinds} | {bundles} | {asked} | {', '.join(policies)} |"


OPERATIONS: Mapping[str, Callable[[Bank], bool]] = {
    "payment": lambda bank: Kind.PAYMENT in bank.money or Kind.PAYMENT in bank.bundles,
    "transfer": lambda bank: Kind.TRANSFER in bank.money,
    "instant": lambda bank: Channel.INSTANT in bank.profile.limits.channels,
    "batch": lambda bank: Kind.BATCH_ITEM in bank.bundles or Kind.BATCH_ITEM in bank.money,
    "payroll": lambda bank: Kind.PAYROLL_ITEM in bank.bundles or Kind.PAYROLL_ITEM in bank.money,
    "collection": lambda bank: Kind.COLLECTION in bank.bundles or Kind.COLLECTION in bank.money,
    "sweep": lambda bank: bank.profile.sweeps,
    "balance": lambda bank: bank.questions.balance is not None,
    "past balance": lambda bank: bank.profile.past_balance_days > 0,
    "entries": lambda bank: bank.questions.lines is not None,
    "enquiry": lambda bank: bank.questions.fate is not None,
    "returns": lambda bank: bank.questions.returns is not None,
    "receipts": lambda bank: bank.questions.receipt is not None,
    "directory": lambda bank: bank.questions.directory is not None,
    "pushes": lambda bank: bank.pushes is not None,
}


def standing(bank: Bank) -> dict[str, str]:
    """The standing of each operation: `public`, `reconstructed`, or `not available`."""
    return {
        name: "not available" if not there(bank) else "reconstructed" if name in bank.profile.guessed else "public"
        for name, there in OPERATIONS.items()
    }


def _matrix(every: Sequence[tuple[str, Bank]], say: Translate) -> list[str]:
    marks = {"public": say("public"), "reconstructed": say("rec."), "not available": "–"}
    told = [(name, standing(bank)) for name, bank in every]
    lines = [f"| {say('operation')} | {' | '.join(name for name, _ in told)} |", f"|---|{'---|' * len(told)}"]
    return lines + [f"| {say(one)} | {' | '.join(marks[found[one]] for _, found in told)} |" for one in OPERATIONS]


def _section(name: str, bank: Bank, lang: Lang, say: Translate) -> list[str]:
    profile, limits = bank.profile, bank.profile.limits
    doors = [
        say("{name} (kept connections)" if port.kept else "{name} (short connections)").format(name=port.name)
        for port in bank.ports.values()
    ]
    apart = "".join(
        say("; `{message}` {gap_s} s apart").format(message=message, gap_s=f"{gap_s:g}")
        for message, gap_s in limits.pace.apart_s.items()
    )
    told = [
        ("charset", limits.charset),
        ("doors", _BETWEEN[lang].join(doors)),
        ("exchanges at once", str(bank.sessions.window)),
        (
            "requests a second",
            say("{rate}, at most {burst} at once").format(rate=f"{limits.pace.per_second:g}", burst=limits.pace.burst)
            + apart,
        ),
        ("first enquiry after", _span(limits.pace.first_enquiry_after, say)),
        ("opening hours", _hours(limits.hours, say)),
        (
            "entries",
            say("{lines} a page, {days} days back, asked for every {span} at most").format(
                lines=profile.page_lines, days=profile.history_days, span=_span(profile.poll_every, say)
            ),
        ),
        (
            "past balances",
            say("{count} days").format(count=profile.past_balance_days)
            if profile.past_balance_days
            else say("not told"),
        ),
        ("watched for returns", _span(profile.returns_watch, say)),
        (
            "date of the host",
            say("stated: {place}").format(place=say(profile.host_date)) if profile.host_date else say("not stated"),
        ),
        ("signing keys", ", ".join(f"`{key}`" for key in profile.signs) or say("none: the front end signs, or nobody")),
    ]
    titles = [profile.title_zh, profile.title]
    readme = f"[README](../../protocols/banks/{name}/README.md)"
    lines = [
        f"## {name}",
        "",
        f"{' · '.join(titles)} · {readme}",
        "",
        "| | |",
        "|---|---|",
        *(f"| {say(title)} | {text} |" for title, text in told),
        "",
    ]
    lines += [_repeats(kind.value, rule, say) for kind, rule in sorted(profile.replay.items())]
    between, end = ("；", "。") if lang == "zh" else ("; ", ".")
    fields = [text for one in limits.fields if (text := _field(one, say))]
    lines += ["", f"{say('Limits: ')}{between.join(fields)}{end}"] if fields else []
    return [
        *lines,
        "",
        say("Reconstructed from public material:"),
        "",
        *(f"- {say(one)}" for one in profile.reconstructed),
    ]


def _repeats(kind: str, rule: Any, say: Translate) -> str:
    """The line about orders of one kind that are in doubt: may they be sent again, and when does "not found" count."""
    window = say("for ever") if rule.window is None else say("within {span}").format(span=_span(rule.window, say))
    text = say(
        '`{kind}` in doubt: rule `{policy}`{window}; "not found" counts only when said {count} times, '
        "asked {after} after the last byte"
    )
    return "- " + text.format(
        kind=kind,
        policy=rule.policy.value,
        window="" if rule.policy.value == "never" else say(", {window}").format(window=window),
        count=rule.not_found_count,
        after=_span(rule.not_found_quarantine, say),
    )


def _field(one: Any, say: Translate) -> str:
    told = [
        say("{count} bytes").format(count=one.max_bytes) if one.max_bytes else "",
        say("{count} characters").format(count=one.max_chars) if one.max_chars else "",
        _required(one, say) if one.required else "",
    ]
    words = say(", ").join(filter(None, told))
    return f"`{one.at}` {words}" if words else ""


def _required(one: Any, say: Translate) -> str:
    spared = dict.fromkeys(f"`{at}`" for at, _ in one.required_unless if at != one.at)
    return (
        say("required unless {fields} spares it").format(fields=say(" or ").join(spared)) if spared else say("required")
    )


def _hours(hours: Hours, say: Translate) -> str:
    if hours.opens == hours.closes:
        told = say("round the clock")
    else:
        told = say("{opens} to {closes}").format(opens=f"{hours.opens:%H:%M}", closes=f"{hours.closes:%H:%M}")
    days = "" if len(hours.weekdays) == 7 else say(", ") + " ".join(say(_DAYS[day]) for day in hours.weekdays)
    cut = "" if hours.cut_off is None else say(", cut-off {time}").format(time=f"{hours.cut_off:%H:%M}")
    asked = "" if hours.asked_outside else say(", and no questions about payments outside")
    return f"{told}{days}{cut}{asked} ({hours.zone})"


def _span(span: timedelta, say: Translate) -> str:
    seconds = span.total_seconds()
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size and seconds % size == 0:
            count = round(seconds / size)
            return say(f"{{count}} {unit}{'' if count == 1 else 's'}").format(count=count)
    return f"{seconds:g} s"
