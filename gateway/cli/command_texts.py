"""The Chinese help of commands and groups without an act, by the words of the command. The English help is in their
docstrings."""

from __future__ import annotations

from collections.abc import Mapping

_GROUPS: Mapping[str, str] = {
    "audit": "核对审计链，并为其他机器的审计链作见证。",
    "certificates": "证书：列出、检查、更换证书文件；申请银行联机签发的证书。",
    "joint-test": "与银行的联调测试：用例、结论、证据。",
    "notices": "以邮件、即时通讯与 Web 钩子通知人员。",
    "senders": "来源系统：设置中登记的各个 ERP。",
    "signer": "独自持有银行签名密钥的进程。",
    "topology": "网关在消息服务器上所需的对象。",
}
_RUNNING: Mapping[str, str] = {
    "init": (
        "写出设置、密钥、消息服务器定义、ERP 配置与首笔指令；最后给出启动与付款两行命令。\n\n"
        "不覆盖已有内容，不登记人员，绝不切换为生产。密钥与口令均在此生成，不接受以选项传入。"
    ),
    "run": "在前台运行网关，直到 SIGTERM 或 SIGINT。\n\nSIGHUP 重新读取来源系统、账户与证书。",
    "keys prepare": (
        "在密钥文件中加入新的数据加密主密钥。`bankgw keys activate` 之前不以其加封任何内容。"
        "以 root 或网关用户在一台机器上执行，再将该文件复制到其他节点。运行中的守护进程会自行读取该文件。"
    ),
    "keys retire": (
        "读完整个流水库、确认不再有内容以该密钥加封之后，从密钥文件中移除旧的数据加密主密钥。在每个节点执行；之后即可销毁该密钥。"
    ),
    "query": "在前台运行为网页控制台读取流水库的进程，直到 SIGTERM 或 SIGINT。",
    "console": "在前台运行网页控制台，直到 SIGTERM 或 SIGINT。不读设置，不持有任何密钥。",
    "approval-page": "在前台运行复核页，直到 SIGTERM 或 SIGINT：浏览器中只有这里可以决定付款。",
    "notices run": "运行发送通知的进程，直到 SIGTERM 或 SIGINT。只读流水库，只写自己的状态。",
    "notices status": "显示各通知对象的待发、已发，以及最近一次失败的原因。",
    "notices list": "列出待发的通知（含尚未收到的收件人）与最近发出的通知。",
    "notices acknowledge": (
        "声明已有人处理某条通知所述的事项，使第二责任人不再收到通知。\n\n"
        "设置了 `after_s` 的通知对象不再收到这些事项。仅限 root 与该进程的用户。"
    ),
    "notices try": "立即向一个通知对象试发一条，并显示对方是否接收。",
    "signer run": "运行签名进程，直到 SIGTERM 或 SIGINT。只签经其回读并与流水库核对一致的报文。",
    "signer check": "读取签名进程的设置，并显示各密钥：所在位置、所属通道、每日可签的上限。",
    "backup": (
        "在网关运行中复制流水库，旁边附清单（FILE.json）。\n\n"
        "权限为 0600；已加封的内容仍为加封。不含数据加密主密钥与发送许可日志：密钥须另行备份，发送许可日志绝不可复制。"
    ),
    "restore": (
        "将备份恢复到 `journal.url` 所指的空库；须先停止网关。\n\n"
        "不覆盖任何内容；先核对备份、清单与审计链，再与本机的发送许可日志比较。"
    ),
    "support-bundle": (
        "将版本、不含密钥的设置、`check` 的结果、状态、指标与日志末尾装入一个 zip。\n\n"
        "账号已遮蔽，不含户名与密钥。守护进程停止时也可用，并注明缺少什么。"
    ),
    "lanes rename": (
        "通道在设置中改名之后，使流水库随之改名：付款、消息、待办、编号与暂停。\n\n"
        "银行的登录不变。须先停止使用该流水库的全部守护进程，设置中只能有新名称。"
    ),
    "senders rename": (
        "来源系统改名之后，使流水库随之改名：指令与批次的身份、当日累计、收款人、拒绝与查询。\n\n"
        "否则再次投递的指令会被视为新指令而再付一次。须先停止使用该流水库的全部守护进程，设置中只能有新名称。"
    ),
}
_MONEY: Mapping[str, str] = {
    "receipts export": (
        "导出回单原件：每账户每月一个 ZIP，附 CSV 与 XML 索引。\n\n"
        "压缩包无需 bankgw 及其密钥即可打开。每份文件均核对校验值。ZIP 要么完整写出，要么不写，仅您本人可读。"
    ),
    "liquidity return": "主管：将失败的联动支付所划入的资金退回主账户。",
    "liquidity stay": "主管：裁定失败的联动支付所划入的资金留存在该账户。",
    "approvals sign-made": (
        "经办人：签署 `maker` 为本人的指令或批次。\n\n将签名填入其 `maker_signature`。指令改动后须重新签署。"
    ),
}
_JOINT: Mapping[str, str] = {
    "send": (
        "如同 ERP 那样发布一条指令：同样的队列、权限与检查。\n\n"
        "加 --wait 时退出码：0 已成功（或查询已有答复），1 失败或被拒，3 待放行，4 结果未知或超时未了结，69 无人应答。"
        "加 --dry-run 时：0 会发送（或已知），1 会被拒绝，3 会待放行。批次等到全部完成：0 每笔均成功，1 有未成功的。"
        "不加 --wait 时，0 表示消息服务器已接收。\n\n"
        "配置文件为 TOML，样例见 conf/erp.toml。各键：host、port、vhost、user（消息服务器用户）、password"
        '（{ file = "…" } 或 { credential = "…" }）、sender（设置中来源系统的名称）、queue（接收答复与通知的'
        "队列名前缀：该用户须有权建立，来源系统的 reply_to 须与之相符）、hmac_key（同 password，须签名时填写），"
        "以及表 [tls]，同网关设置的 [broker.tls]。"
    ),
    "explain": (
        "逐个说明报文中的签名：签了哪些内容、每个引用覆盖什么、校验值为何不符。\n\n"
        "退出码 0：有签名且全部有效，若给出密钥则由其中之一签署，无弱算法，签名之外没有其他内容；"
        "1：并非如此，或文件无法读取。此命令只作说明；报文是否有效，以该银行的协议为准。"
    ),
    "simulate": "在前台运行一家模拟银行：协议的银行一侧，有自己的银行账与按种子产生的故障。",
    "demo": "在本机演示全过程：出故障的模拟银行、守护进程、ERP、三次强制终止与一份报告。",
    "joint-test cases": (
        "列出一家银行的用例，由其声明的业务推导；不适用的注明原因。\n\n"
        "加 --dir 时也列出自定用例；文件有错误时列出全部错误，退出码为 78。"
    ),
    "joint-test run": "开始新一轮并执行全部用例；--case 在本轮重做一个。\n\n没有失败时退出码为 0，否则为 1。",
    "joint-test resume": ("继续本轮：中断的向银行查询，等待的再看一次。\n\n不会重复发送：已发布的指令不再发布。"),
    "joint-test status": "显示各用例的结论。",
    "joint-test record": "记录人工用例的所见，或被银行阻碍的用例。",
    "joint-test waive": "豁免一个用例；负责人与理由写入报告。",
    "joint-test close": "处理余下的用例并关闭本次联调。\n\n仍有用例既未通过、也非不适用、也未豁免时，退出码为 3。",
    "joint-test pack": (
        "生成签名的证据包，以及写明其根校验值的文件。\n\n"
        "这些文件在证据包旁：报告（HTML 与 PDF，中英文）与供银行盖章的确认单。"
    ),
    "joint-test verify": (
        "核对证据包的根校验值、签名与每个文件的校验值，并显示各用例的结论。\n\n"
        "只需证据包与签署页上的根校验值。不加 --root 时，证据包仅由签名密钥的持有人担保。加 --config 时，"
        "与银行往来的报文同时与网关流水库核对，网关须在运行。证据包旁的证书签名（PACK.p7s）一并核对。"
        "有任何不符时逐项列出，退出码为 1。"
    ),
    "joint-test countersign": (
        "以银行自己的证书签署证据包：对 manifest.json 的分离式 CMS 签名（SHA-256），写入 PACK.p7s。\n\n"
        "签署之前先核对证据包。对 manifest.json 执行 `openssl cms -sign -binary` 效果相同。已有的签名不会替换。"
    ),
    "joint-test production-check": (
        "生产小额验证：在本单位账户间划转 1.00，由两人办理；次日核对对账单与回单。\n\n"
        "首次执行提交该笔划转，网关须将其待放行；由操作系统的另一用户放行（bankgw orders release）。"
        "随后及次日再次执行。不会重复提交。目录 DIR 只用于此项验证。"
    ),
    "joint-test attest": (
        "输出生产环境设置所需的内容，使结果未知的付款可以不经询问重发。\n\n"
        "证据包须与签署页一致，且为与银行联调所得；其中用例 `repeat.KIND` 须已通过，且在银行处所见。"
    ),
    "joint-test differences": "比较两个证据包中结论不同的用例。\n\n原已通过而现在未通过时，退出码为 1。",
    "joint-test affected": "列出升级后需要重做的用例，各附引起重做的文件。",
    "joint-test workbook": "读取银行的用例表；--to 将结论、参考号、流水号、测试人与版本写入副本。",
    "joint-test init": "生成待填写的 joint-test.toml。不覆盖已有文件。",
    "joint-test trial": "以真实部件（守护进程、消息服务器、模拟银行、线路代理）搭建环境，执行一家银行的全部用例。",
    "joint-test place": (
        "搭建试用环境并保持运行，直到 Ctrl-C，供 `run`、`resume` 等命令使用。\n\n"
        "联调目录为 DIR/run，网关设置为 DIR/bankgw.toml。"
    ),
    "joint-test serve": (
        "充当银行，逐个检验他方客户端的请求是否符合银行规则，直到 Ctrl-C。\n\n"
        "每次交互显示连接、交易、返回码、返回信息与金额；被拒绝的请求显示字段、规则、所填的值与接口文档的出处。"
        "无法读取的报文、没有有效客户端证书的连接也会显示。没有发现时退出码为 0；"
        "有银行不会接受的情况时，退出码为 1。业务原因的拒绝与预设的故障不计入发现。"
        "报告供客户端厂商使用：HTML 与 PDF，中英文。"
    ),
    "joint-test relay": (
        "位于网关与前置机之间，按用例切断线路；仅限本机。\n\n"
        "FILE 为 JSON：`control` 为接收命令的套接字；`ports` 为银行的各个端口，每个有 `to`（host:port，或本机端口）"
        "与 `listen`（0 为任一空闲端口）；`ready` 为端口打开后写入的文件。"
    ),
}
_SETTING_UP: Mapping[str, str] = {
    "check": (
        "找出设置及其所指文件的全部错误。不更改、不启动任何东西。\n\n"
        "加 --with 时：新版本发现错误，或读出的未了结付款与本版本不一致，则退出码为 1。"
    ),
    "doctor": "检查本机：程序库、设置、消息服务器、流水库、时钟、证书、磁盘。每行附处理办法。",
    "banks": "列出本程序支持的银行；加 --config 则列出所配置银行的能力与依据。",
    "topology export": (
        "以 RabbitMQ definitions 输出交换机、队列、权限与策略，供 `rabbitmqctl import_definitions` 使用。"
    ),
    "audit verify": (
        "核对审计链的每一环，并与付款、事件、证据、发送许可日志、检查点对照；可在网关运行中进行。\n\n"
        "有矛盾时退出码为 1。"
    ),
    "audit witness": (
        "从队列 bankgw.audit.checkpoints 接收并保存检查点，发现倒退即报警。\n\n"
        "有倒退时退出码为 1。此为样例：保存检查点的应是运行网关之外的人。"
    ),
    "audit key": "输出本节点检查点的公钥，供见证方使用；首次启动时生成。",
    "certificates list": "列出设置所指的全部证书、证书机构与吊销列表，最先到期的在前。",
    "certificates check": (
        "找出有错误的，或 45 天内到期的。\n\n"
        "加 --bank 与 --next：银行下一张证书的指纹，以及是否已列入 `pins`。退出码 1：有事要办。"
    ),
    "certificates rotate": (
        "换上新证书与密钥，旧的保留在旁边。\n\n"
        "先作检查：密钥与证书相配、强度足够、现在有效。守护进程下次重新加载后的连接使用新证书。退出码 3：未作任何更改。"
    ),
    "certificates request": (
        "生成密钥，以一次性代码申请首张证书，并等待答复。\n\n"
        "退出码 0：已签发；3：银行拒绝，或已有申请在办理；4：结果未知，见 `continue`；69：未连接，未发送任何内容。"
    ),
    "certificates renew": "生成新密钥，以仍有效的密钥签名申请新证书。退出码同 `request`。",
    "certificates continue": (
        "无应答或崩溃之后：办理允许办的事，也可能无事可办。绝不另发新申请。\n\n"
        "已写下而未发出的，现在发出；可能已到达的，十分钟内原样再发一次；此后只能由人查明。退出码同 `request`。"
    ),
    "certificates show": "显示申请的进展、每一步，以及接着可以做什么。不发送任何内容。",
    "certificates abandon": "搁置已与银行电话商定的申请；其密钥与报文保留。",
}
IN_CHINESE: Mapping[str, str] = {**_GROUPS, **_RUNNING, **_MONEY, **_JOINT, **_SETTING_UP}
