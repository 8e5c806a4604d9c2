"""Acts about keys and secrets: what there is, and which vault key is in use. None of them shows a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.act import (
    Act,
    ActProof,
    AnswerColumn,
    CommandGroup,
    ParamForm,
    ReasonParam,
    RoomActs,
    SentenceAnswer,
    TableAnswer,
)
from gateway.people.rules.roles import PersonRole


@dataclass(frozen=True, slots=True)
class ActivateKey:
    """Parameters: what the key is for (`vault`), the key that is used from now on, and the reason."""

    purpose: Annotated[str, ParamForm(("What the key is for: `vault`.", "密钥用途：`vault`。"), metavar="PURPOSE")]
    key: Annotated[
        str,
        ParamForm(
            (
                "The vault key, as `bankgw keys prepare vault` named it.",
                "数据加密主密钥，名称如 `bankgw keys prepare vault` 所示。",
            ),
            metavar="KEY",
        ),
    ]
    reason: ReasonParam


KEYS = RoomActs(
    groups=(
        CommandGroup(
            "keys", ("List keys and secrets, and rotate the vault's key.", "查看密钥与机密，轮换数据加密主密钥。")
        ),
    ),
    acts=(
        Act(
            "GET",
            "/keys",
            "keys.list",
            "node",
            (
                "List every key and secret: purpose, place, since, until, last used. Never a value.",
                "列出每一密钥与机密：用途、存放处、启用、到期、最近使用。绝不显示内容。",
            ),
            help=(
                "Below the list: how far older values are sealed anew with the vault key in use.",
                "列表之下为旧内容以现用数据加密主密钥重新加封的进度。",
            ),
            answer=(
                TableAnswer(
                    "keys",
                    (
                        AnswerColumn("purpose", ("purpose", "用途")),
                        AnswerColumn("name", ("name", "名称")),
                        AnswerColumn("state", ("state", "状态")),
                        AnswerColumn("source", ("source", "存放处")),
                        AnswerColumn("since", ("since", "启用"), ("-", "-")),
                        AnswerColumn("until", ("until", "到期"), ("-", "-")),
                        AnswerColumn("used", ("last used", "最近使用"), ("-", "-")),
                    ),
                ),
                SentenceAnswer(
                    (
                        "vault key {key}: sealing anew {state}, round {round}, {tables_done} of {tables} tables, "
                        "{rows} rows so far, {unopened} left as they are",
                        "数据加密主密钥 {key}：重新加封 {state}，第 {round} 遍，{tables_done}/{tables} 张表，"
                        "已加封 {rows} 行，原样保留 {unopened} 行",
                    ),
                    each="vault",
                ),
            ),
            roles=frozenset({PersonRole.SYSTEM_ADMIN, PersonRole.SECURITY_ADMIN, PersonRole.AUDIT_ADMIN}),
            command="keys list",
        ),
        Act(
            "POST",
            "/keys/{purpose}/{key}/activate",
            "keys.activate",
            "node",
            (
                "Seal new values with this vault key from now on, on every node, and seal the older ones anew.",
                "自此所有节点以该密钥加封新内容，并将旧内容重新加封。",
            ),
            help=(
                "Every running node must have the key in its key file already. The older values are sealed anew while "
                "payments go on; `bankgw keys list` shows how far. The earlier key stays needed until then, and for "
                "backups that were made before.",
                "各运行中的节点的密钥文件须已含有该密钥。旧内容在付款照常进行时重新加封，进度见 `bankgw keys list`。"
                "在此之前旧密钥仍须保留；此前的备份也仍需要它。",
            ),
            params=ActivateKey,
            answer=(
                SentenceAnswer(
                    (
                        "vault key {key} is in use; {before} is needed until `bankgw keys list` says `done`",
                        "已启用数据加密主密钥 {key}；在 `bankgw keys list` 显示 done 之前仍需 {before}",
                    )
                ),
            ),
            roles=frozenset({PersonRole.SYSTEM_ADMIN}),
            proof=ActProof.COMMAND_LINE,
            command="keys activate",
        ),
    ),
)
