"""The gaps between a permit log and the database, and their consequences for the lanes: values, without the
database.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum

from gateway.kernel.commit.permit_lines import RightsDecision
from gateway.kernel.commit.rows import Permit
from gateway.language import BilingualText, bilingual, listed


class GapKind(StrEnum):
    """Whether the journal or the permit log lacks entries."""

    JOURNAL = "journal_older"
    FORKED = "journal_forked"
    LOG = "permit_log_older"
    NO_LOG = "permit_log_missing"
    OTHERS = "no_log_of_others"
    RESTORED = "restored_copy"
    PROMOTED = "promoted_replica"
    NOT_SEALED = "not_sealed"
    MARK = "broker_knows_later"
    FOUND_BEFORE = "found_before"
    UNREAD = "mark_not_read"


_BY_COUNT = (GapKind.JOURNAL, GapKind.FORKED, GapKind.PROMOTED)
_TOLD_BY_THE_LOG = (GapKind.JOURNAL, GapKind.FORKED)
_LIFE = re.compile(
    r"node (?P<node>.+) on (?P<host>.+), journal (?P<journal>.+), fencing number (?P<fence>.+), since (?P<since>.+)"
)
"""The note about a life of the journal, as `MarkMessage.holder_text` writes it and permit logs keep it."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A difference between journal and permit log: entries that one of them has and the other one lacks.

    `log` and `journal` are the compared heads (seq, hash), `common` is the last entry that both have. If the journal
    lacks entries: `entries` between `from_ms` and `to_ms`, of which `others` came from outside the node, and `sends`,
    `count` in all; `partial`: the log does not reach back to a common entry. If the log lacks sends: `count` sends, of
    the payments `unlogged`; if the log itself is missing, `unlogged` are the nodes that have sent. `lost_words` are the
    decisions about persons, policies and pools that the log has and the journal lacks. Without seals: `unsealed` are
    the number of rows without a seal, of rows with one, and of audit entries that only this version writes. If the
    broker's mark names a life that the journal lacks, `note` names that life. FOUND_BEFORE: the database says that this
    node found a gap, and the log that listed it is gone; `log` has that gap's episode. UNREAD is no gap: the node began
    without a log and waits for the mark, or, with a `note`, has read it.
    """

    lack: GapKind
    node: str
    log: tuple[int, str]
    journal: tuple[int, str]
    common: int
    entries: int = 0
    others: int = 0
    from_ms: int = 0
    to_ms: int = 0
    count: int = 0
    sends: tuple[Permit, ...] = ()
    unlogged: tuple[str, ...] = ()
    partial: bool = False
    lost_words: tuple[RightsDecision, ...] = ()
    note: str = ""
    unsealed: tuple[int, ...] = ()

    def concerns(self, lane: str) -> bool:
        """True if the gap keeps this lane from sending. A gap concerns every lane; after the promotion of a replica,
        only the lanes of the absent node.
        """
        return self.lack is not GapKind.PROMOTED or lane in self.unlogged

    @property
    def is_newcomer(self) -> bool:
        """True if this gap exists because the node has no log that knows the other nodes. Then only this node waits."""
        return self.lack is GapKind.OTHERS

    @property
    def persons(self) -> frozenset[str]:
        """The persons about whose rights decisions are missing."""
        return frozenset(word.about[7:] for word in self.lost_words if word.about.startswith("person:"))

    @property
    def name(self) -> str:
        """The gap's fingerprint. For a journal without seals it stays the same while the journal is being sealed."""
        lasting = f"{self.lack} {self.node}".encode() if self.lack is GapKind.NOT_SEALED else self.record()
        return hashlib.sha256(lasting).hexdigest()

    def record(self) -> bytes:
        """The gap as one line of JSON."""
        said = asdict(self)
        for later in {"lost_words", "note", "unsealed"} - {name for name, value in said.items() if value}:
            # Earlier versions did not write these fields. Empty ones are left out, so that the fingerprint stays the
            # same.
            del said[later]
        return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()

    @property
    def tells_all(self) -> bool:
        """True if the gap lists every send that may be missing, so that all other orders are known to be unsent."""
        if self.lack is GapKind.NOT_SEALED:
            return True
        return self.lack in _TOLD_BY_THE_LOG and not self.partial and self.count == len(self.sends)

    @property
    def counts(self) -> bool:
        """True if lanes are paused because of the gap. Missing acts of the node itself pause none: the node repeats
        them or asks the bank.
        """
        return self.lack not in _BY_COUNT or self.count + self.others > 0 or self.partial

    def sentence(self) -> str:
        """The gap as an English sentence."""
        return self.bilingual().said("en")

    def bilingual(self) -> BilingualText:
        """The gap as a sentence in both languages."""
        if self.lack is GapKind.OTHERS:
            return bilingual(
                "{node} has no permit log, and {others} sent payments: the journal may be older than what they sent",
                "{node} 没有许可日志，而 {others} 发送过付款：流水库可能早于它们所发送的内容",
                node=self.node,
                others=", ".join(self.unlogged),
            )
        if self.lack is GapKind.PROMOTED:
            return bilingual(
                "another server holds the database, and the permit log of {node}, where its last sends may stand "
                "alone, has not been compared with it",
                "数据库已由另一台服务器接管，{node} 的许可日志尚未与其核对，其最后的发送可能仅记在该日志中",
                node=self.node,
            )
        if self.lack is GapKind.RESTORED:
            return bilingual(
                "`bankgw restore` put this database back from a backup, and it may lack what was done after it",
                "`bankgw restore` 已从备份恢复该数据库，可能缺少备份之后的内容",
            )
        if self.lack in (GapKind.LOG, GapKind.NO_LOG):
            return bilingual(
                "the permit log of {node} {what}, and the journal has {count} later sends of this node",
                "{node} 的许可日志{what}，而流水库中有该节点之后的 {count} 次发送",
                node=self.node,
                what=bilingual("is missing", "缺失")
                if self.lack is GapKind.NO_LOG
                else bilingual("ends at entry {entry}", "止于第 {entry} 条", entry=str(self.log[0])),
                count=str(self.count),
            )
        if self.lack is GapKind.NOT_SEALED:
            return self._not_sealed()
        if self.lack is GapKind.MARK:
            return bilingual(
                "the broker's mark names a life of this journal that the journal lacks ({life}): the database is an "
                "older state, or a copy of one that went on elsewhere",
                "消息服务器中的标记记有流水库所缺的一次运行（{life}）：数据库是较早的状态，或是在别处继续运行的库的副本",
                life=_life(self.note),
            )
        if self.lack is GapKind.FOUND_BEFORE:
            return bilingual(
                "{node} found that entries are missing, and its permit log, which listed them, is gone",
                "{node} 曾发现缺少记录，而列有这些记录的许可日志已不存在",
                node=self.node,
            )
        return self._older()

    def _older(self) -> BilingualText:
        forked = self.lack is GapKind.FORKED
        lost = listed(
            [
                bilingual(
                    "{entry} {about} by {by}", "{entry} {about}，由 {by} 作出", entry=w.entry, about=w.about, by=w.by
                )
                for w in self.lost_words
            ],
            ("; ", "；"),
        )
        return bilingual(
            "the journal {differs} what {node} wrote: after entry {common} it lacks {entries} entries, {others} of "
            "them words of senders and persons, and {count} sends{lost}",
            "流水库{differs} {node} 所写的内容：在第 {common} 条之后缺少 {entries} 条记录"
            "（其中 {others} 条来自来源系统和人员）和 {count} 次发送{lost}",
            differs=bilingual("forked from", "分叉于") if forked else bilingual("is older than", "早于"),
            node=self.node,
            common=str(self.common),
            entries=str(self.entries),
            others=str(self.others),
            count=str(self.count),
            lost=bilingual("; among the words: {lost}", "；其中包括：{lost}", lost=lost) if self.lost_words else "",
        )

    def _not_sealed(self) -> BilingualText:
        lacking, having, ours = self.unsealed or (0, 0, 0)
        return bilingual(
            "the journal of an older version has no seals: {payments} payments, {entries} audit entries verified, "
            "{contradictions} contradictions; {node} ends at entry {seq}, {hash}; {lacking} rows have no seal, "
            "{having} have one, and {ours} audit entries are such as only this version writes. This version seals "
            "every row that it writes: unless the journal was upgraded just now, somebody removed the seals, and "
            "nobody may sign",
            "旧版本的流水库没有行签章：已核对 {payments} 笔付款、{entries} 条审计记录，矛盾 {contradictions} 处；"
            "{node} 止于第 {seq} 条（{hash}）；{lacking} 行没有签章，{having} 行有签章，"
            "{ours} 条审计记录只有本版本才会写入。本版本对写入的每一行签章："
            "除非流水库刚刚升级，否则即有人去除了签章，任何人不得签署",
            payments=str(self.count),
            entries=str(self.entries),
            contradictions=str(self.others),
            node=self.node,
            seq=str(self.journal[0]),
            hash=self.journal[1],
            lacking=str(lacking),
            having=str(having),
            ours=str(ours),
        )


def _life(note: str) -> BilingualText | str:
    found = _LIFE.fullmatch(note)
    if found is None:
        return note
    return bilingual(
        "node {node} on {host}, journal {journal}, fencing number {fence}, since {since}",
        "节点 {node}，主机 {host}，流水库 {journal}，防护编号 {fence}，始于 {since}",
        **found.groupdict(),
    )


@dataclass(frozen=True, slots=True)
class RestoreFindings:
    """The result of comparing permit log and database. `sends`: the sends that the journal lacks, under the present
    names of their lanes. `episode`: the fingerprint of all that is missing ("" if nothing). `told`: the fingerprint of
    what concerns the other nodes too. `cleared`: the lanes that were released for it. `gaps`: the gaps besides single
    sends. `is_new_node`: the journal has orders, and this node cannot tell whether it is the newest journal, because
    the node had no permit log or has not read the broker's mark since.
    """

    sends: tuple[Permit, ...] = ()
    episode: str = ""
    cleared: frozenset[str] = frozenset()
    gaps: tuple[Gap, ...] = ()
    told: str = ""
    is_new_node: bool = False

    @property
    def is_newcomer(self) -> bool:
        """True while the node waits because it has no log that knows the other nodes."""
        return any(gap.is_newcomer for gap in self.gaps)

    @property
    def newcomer_text(self) -> str:
        """The text for lanes that wait only because the node has no log that knows the other nodes; "" otherwise."""
        alone = not self.sends and all(gap.is_newcomer for gap in self.gaps)
        return next((gap.sentence() for gap in self.gaps if alone), "")

    @property
    def barred(self) -> frozenset[str]:
        """The persons about whom the last decisions are missing. They may neither sign nor approve."""
        return frozenset(name for gap in self.gaps for name in gap.persons)

    def of_lane(self, lane: str) -> list[Permit]:
        """The sends of one lane that the journal lacks and that a log lists."""
        return [permit for permit in self.sends if permit.ref.rpartition("/")[0] == lane]

    def by_lane(self) -> Mapping[str, int]:
        """The number of listed missing sends, by lane."""
        return Counter(permit.ref.rpartition("/")[0] for permit in self.sends)

    @property
    def forgotten(self) -> int:
        """The number of sends that the journal lacks, listed or not."""
        return sum(gap.count for gap in self.gaps if gap.lack in (GapKind.JOURNAL, GapKind.FORKED)) or len(self.sends)

    def may_lack_sends(self, lane: str) -> bool:
        """True if this lane may have made sends that neither the database nor this node's permit log has."""
        return self.holds(lane) and any(gap.concerns(lane) and not gap.tells_all for gap in self.gaps)

    def holds(self, lane: str) -> bool:
        """True if this lane must not send."""
        concerned = not self.gaps or any(gap.concerns(lane) for gap in self.gaps)
        return bool(self.episode) and concerned and lane not in self.cleared
