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

from protocols import readback
from protocols.bank import Bank, Build
from protocols.canon.limits import Hours, Pace
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


def page(made: str) -> str:
    """The text of docs/lookup/banks.md; `made` is the line that says how the page is made."""
    every = [(name, tried(name), trial(name)) for name in banks()]
    lines = [
        "# Banks",
        "",
        made.strip(),
        "",
        "What each bank can do here, as its own code declares it. An order or a question of a kind that a bank has not",
        "is refused at intake, with this as the reason. *Reconstructed* is what is known from public material only:",
        "ask your bank before real money moves. Options, codes and oddities are in each bank's README.",
        "",
        "| bank | orders | in one message | questions | may be sent again |",
        "|---|---|---|---|---|",
    ]
    lines += [_row(name, bank) for name, bank, _ in every]
    real = [(name, tried(name, switched=True)) for name in banks() if name != "sample"]
    lines += ["", *_matrix(real)]
    for name, bank, _ in every:
        lines += ["", *_section(name, bank)]
    return "\n".join(lines) + "\n"


def _row(name: str, bank: Bank) -> str:
    kinds = ", ".join(f"`{kind.value}`" for kind in Kind if kind in bank.money or kind in bank.bundles)
    bundles = ", ".join(f"`{kind.value}` {rule.most}" for kind, rule in sorted(bank.bundles.items())) or "–"
    asked = ", ".join(title for word, title in QUESTIONS.items() if getattr(bank.questions, word) is not None)
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


def _matrix(every: Sequence[tuple[str, Bank]]) -> list[str]:
    marks = {"public": "public", "reconstructed": "rec.", "not available": "–"}
    told = [(name, standing(bank)) for name, bank in every]
    lines = [
        "Each operation, with everything switched on that settings can. *public*: the bank's page, or several clients,",
        "show its messages. *rec.*: reconstructed; a message, or what its answer means, is known from one client's",
        "model or not at all: it is off until a setting says that the bank confirmed it, or must be asked about first.",
        '*–*: no public page has a message for it; the README\'s section "Ask the bank" has the question.',
        "",
        f"| operation | {' | '.join(name for name, _ in told)} |",
        f"|---|{'---|' * len(told)}",
    ]
    return lines + [f"| {one} | {' | '.join(marks[found[one]] for _, found in told)} |" for one in OPERATIONS]


def _section(name: str, bank: Bank) -> list[str]:
    profile, limits = bank.profile, bank.profile.limits
    told = [
        ("charset", limits.charset),
        (
            "doors",
            ", ".join(f"{port.name} ({'kept' if port.kept else 'short'} connections)" for port in bank.ports.values()),
        ),
        ("exchanges at once", str(bank.sessions.window)),
        ("requests a second", f"{limits.pace.per_second:g}, at most {limits.pace.burst} at once{_apart(limits.pace)}"),
        ("first enquiry after", _span(limits.pace.first_enquiry_after)),
        ("hours", _hours(limits.hours)),
        (
            "entries",
            f"{profile.page_lines} a page, {profile.history_days} days back, asked for every "
            f"{_span(profile.poll_every)} at most",
        ),
        ("past balances", f"{profile.past_balance_days} days" if profile.past_balance_days else "not told"),
        ("watched for returns", _span(profile.returns_watch)),
        ("date of the host", f"stated: {profile.host_date}" if profile.host_date else "not stated"),
        ("signing keys", ", ".join(f"`{key}`" for key in profile.signs) or "none: the front end signs, or nobody"),
    ]
    readme = f"[README](../../protocols/banks/{name}/README.md)"
    lines = [
        f"## {name}",
        "",
        f"{profile.title_zh} · {profile.title} · {readme}",
        "",
        "| | |",
        "|---|---|",
        *(f"| {title} | {text} |" for title, text in told),
        "",
    ]
    for kind, rule in sorted(profile.replay.items()):
        window = "for ever" if rule.window is None else f"within {_span(rule.window)}"
        span = "" if rule.policy.value == "never" else f", {window}"
        lines.append(
            f'- `{kind.value}` in doubt: rule `{rule.policy.value}`{span}; "not found" counts only when said '
            f"{rule.not_found_count} times, asked {_span(rule.not_found_quarantine)} after the last byte"
        )
    fields = [_field(one) for one in limits.fields]
    lines += ["", "Limits: " + "; ".join(filter(None, fields)) + "."] if any(fields) else []
    lines += ["", "Reconstructed from public material:", "", *(f"- {claim}" for claim in profile.reconstructed)]
    return lines


def _field(one: Any) -> str:
    told = [
        f"{one.max_bytes} bytes" if one.max_bytes else "",
        f"{one.max_chars} characters" if one.max_chars else "",
        _required(one) if one.required else "",
    ]
    words = ", ".join(filter(None, told))
    return f"`{one.at}` {words}" if words else ""


def _apart(pace: Pace) -> str:
    return "".join(f"; `{sort}` {gap_s:g} s apart" for sort, gap_s in pace.apart_s.items())


def _required(one: Any) -> str:
    spared = dict.fromkeys(f"`{at}`" for at, _ in one.required_unless if at != one.at)
    return "required" + (" unless " + " or ".join(spared) + " spares it" if spared else "")


def _hours(hours: Hours) -> str:
    if hours.opens == hours.closes:
        told = "round the clock"
    else:
        told = f"{hours.opens:%H:%M} to {hours.closes:%H:%M}"
    days = "" if len(hours.weekdays) == 7 else ", " + " ".join(_DAYS[day] for day in hours.weekdays)
    cut = "" if hours.cut_off is None else f", cut-off {hours.cut_off:%H:%M}"
    asked = "" if hours.asked_outside else ", and no questions about payments outside"
    return f"{told}{days}{cut}{asked} ({hours.zone})"


def _span(span: timedelta) -> str:
    seconds = span.total_seconds()
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size and seconds % size == 0:
            count = round(seconds / size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds:g} s"
