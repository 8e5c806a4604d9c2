"""The language of the reference pages: their introductions, and the Chinese of each English text that they show.

The Chinese stands in reference.zh.toml under its English text, so that a text that changed has none until it is
translated again.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

from gateway.capabilities import Translate
from gateway.language import Bilingual, Lang


def translator(lang: Lang) -> Translate:
    """A function that gives the text of one language for an English text of the program."""
    return _chinese if lang == "zh" else str


def _chinese(text: str) -> str:
    """The Chinese of `text`; raises KeyError with the text that has none. An empty text has none to have."""
    if not text:
        return ""
    known = _texts()
    if text not in known:
        raise KeyError(f"gateway/cli/reference.zh.toml has no Chinese for: {text}")
    return known[text]


@cache
def _texts() -> Mapping[str, str]:
    table = tomllib.loads(resources.files("gateway.cli").joinpath("reference.zh.toml").read_text("utf-8"))
    return {english: chinese for part in table.values() for english, chinese in part.items()}


SETTINGS: Bilingual = (
    """\
The daemon reads `/etc/bankgw/bankgw.toml`, then every `conf.d/*.toml` beside it (one file per bank), then
the environment: `BANKGW__WATCH__PORT=9465` sets `watch.port`. A key may stand in one file only; lists of
tables (`[[accounts]]`) add up over the files. Relative paths are relative to the main file's folder.
`bankgw check` finds every mistake at once and says where it is and what to do: see
[bad settings](../do/bad-settings.md).

Names are lower-case letters, digits and `_`, beginning with a letter, at most 31. Amounts are text with a
point, such as `"50000.00"`. A secret is a table that names its place, never its value:
`{ file = "broker.password" }` or `{ credential = "broker" }`.
""",
    """\
守护进程先读 `/etc/bankgw/bankgw.toml`，再读同一文件夹下的每个 `conf.d/*.toml`（每家银行一个文件），最后读环境变量：
`BANKGW__WATCH__PORT=9465` 设定 `watch.port`。一个键只能出现在一个文件中；表的列表（`[[accounts]]`）由各文件累加。
相对路径以主文件所在的文件夹为准。`bankgw check` 一次找出全部错误，写明位置和改法：
见[设置有误](../do/bad-settings.zh.md)。

名称由小写字母、数字和 `_` 组成，以字母开头，最多 31 个字符。金额是带小数点的文本，例如 `"50000.00"`。
密码等机密写成一个表，只写存放位置，不写值：`{ file = "broker.password" }` 或 `{ credential = "broker" }`。
""",
)
NOTICES: Bilingual = (
    "The file of `bankgw notices`, which the daemon does not read: [notices](../do/notices.md).",
    "`bankgw notices` 的文件，守护进程不读它：见[通知](../do/notices.zh.md)。",
)
SIGNER: Bilingual = (
    "The file of `bankgw signer`, which the daemon cannot change: [keys](../do/keys.md).",
    "`bankgw signer` 的文件，守护进程不能改动它：见[密钥](../do/keys.zh.md)。",
)
METRICS: Bilingual = (
    """\
Served at `/metrics` ([settings](settings.md) `watch.host` and `watch.port`), beside `/healthz` (the process
lives) and `/readyz` (503 with reasons unless the journal writes, the broker is consumed, a lane is ready).
Times are seconds since 1970, so that `time() - metric` is an age. Labels come from closed sets; an order, an
account or an amount is never one. `process_*` (memory, processor, open files) are the usual ones
of a Prometheus client. `bankgw_notices_*` are served by `bankgw notices run` at a port of its own.
""",
    """\
在 `/metrics` 提供（[设置](settings.zh.md) `watch.host` 和 `watch.port`），同一端口还有
`/healthz`（进程存活）和 `/readyz`（网关流水库可写、正在消费消息服务器、至少一条通道就绪时为 200，
否则为 503 并附原因）。时刻是 1970 年以来的秒数，所以 `time() - metric` 就是已过的时间。
标签取自封闭的集合；付款指令、账号、金额不作标签。`process_*`（内存、处理器、打开的文件）
是 Prometheus 客户端的通用指标。`bankgw_notices_*` 由 `bankgw notices run` 在自己的端口提供。
""",
)
