"""The Chinese help of arguments and options of hand-written commands, by their English help."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.cli.commands.report import NAMES

_OF_MANY: Mapping[str, str] = {
    "Seconds between two views.": "两次显示之间的秒数。",
    "Print one view and end: for scripts.": "只输出一次即结束，供脚本使用。",
    "What the key is for: `vault`.": "密钥用途：`vault`。",
    "The earlier key, as `bankgw keys list` names it.": "旧密钥，名称如 `bankgw keys list` 所示。",
    "This node will never run again. May be given several times.": "该节点不再运行。可多次给出。",
    "So many altered rows may become unreadable with the key.": "允许随该密钥变得不可读的被篡改行数。",
    "Use colours: always, never, or auto: on a terminal without NO_COLOR.": (
        "是否使用颜色：always（总是）、never（从不）、auto（终端上且未设 NO_COLOR 时）。"
    ),
    "Main settings file; conf.d beside it is read too.": "主设置文件；同目录的 conf.d 一并读取。",
    "The daemon's control socket; default: as the settings say.": "守护进程的控制套接字；默认按设置。",
    "Print one JSON document instead of words; errors, too.": "输出一个 JSON 文档而不是文字，出错时也是。",
    "Show it again every so many seconds, until interrupted.": "每隔若干秒重新显示，直到中断。",
    "Show unmasked data. Only root and the daemon's user may, and it is audited.": (
        "显示未遮蔽的数据。仅 root 与守护进程用户可用，并记入审计链。"
    ),
    "Why; kept in the audit trail.": "理由，记入审计链。",
    "Your own key file; it never leaves this machine.": "您本人的密钥文件，不离开本机。",
    "File holding the key's passphrase, instead of asking for it.": "存有密钥口令的文件，代替询问。",
    "Sign without being asked. A second person is needed all the same.": "不经询问即签署。仍需第二人。",
    "File that shows it (4 MiB at most); kept sealed in the journal.": "证明文件（最大 4 MiB），加密保存在流水库中。",
    "Only this bank's accounts.": "仅该银行的账户。",
    "Only this company's accounts.": "仅该公司的账户。",
    "Only this own account.": "仅该本单位账户。",
    "Of the words: en or zh.": "文字的语言：en 或 zh。",
}
_FIRST: Mapping[str, str] = {
    "The folder of the settings.": "设置所在目录。",
    "The bank's protocol; `bankgw banks` lists them.": "银行协议；`bankgw banks` 可列出。",
    "A simulated bank, or a real one whose files come later.": "使用模拟银行，或真实银行（其文件稍后放入）。",
    "An own account; repeatable. A simulated bank invents two.": "本单位账户（账号=户名），可重复。模拟银行自拟两个。",
    "The company's short name (a-z, 0-9, _).": "公司代号（a-z、0-9、_）。",
    "The ERP's short name (a-z, 0-9, _).": "ERP 代号（a-z、0-9、_）。",
    "With --real: the front end's host.": "与 --real 同用：前置机主机名。",
    "The name of this instance.": "本实例的名称。",
    "The gateway's state folder.": "网关的状态目录。",
    "The RabbitMQ server.": "RabbitMQ 服务器。",
    "The virtual host to make, for this gateway alone.": "新建的虚拟主机，仅供本网关使用。",
    "Run under systemd, with credentials; or start by hand.": "由 systemd 运行并使用其凭据；或手工启动。",
    "Make virtual host, users and queues by this machine's rabbitmqctl.": (
        "用本机的 rabbitmqctl 建立虚拟主机、用户与队列。"
    ),
    "Write nothing; say what FOLDER still lacks.": "不写入；说明 FOLDER 尚缺什么。",
    "Ask nothing: what no option says has its default.": "不询问：未给出的选项取默认值。",
}
_LOOKING: Mapping[str, str] = {
    "First wait, at most so long, until the daemon is ready.": "先等待守护进程就绪，最多等待该秒数。",
    "Take commands in again.": "恢复受理新指令。",
    "Then wait, at most so long, until no order is ready or sending.": (
        "随后等待，直到没有待发送或发送中的付款指令，最多等待该秒数。"
    ),
    "Look into queue bankgw.parked too.": "同时查看队列 bankgw.parked。",
    "Every parked message to the ERP, the oldest first.": "所有滞留的通知，按先后顺序。",
    "Only messages written at or after this time, as 2026-11-30T09:00+08:00.": (
        "仅限该时间及以后写入的消息，如 2026-11-30T09:00+08:00。"
    ),
    "Only messages whose last try ended with this word, as returned, 403 or NO_ROUTE.": (
        "仅限最后一次发布的结果含有该词的消息，如 returned、403、NO_ROUTE。"
    ),
    "Do not ask; for scripts.": "不询问，供脚本使用。",
    "Also the bank's reference and the payment's key.": "并列出银行参考号与付款编号。",
    "Every enquiry and every signature, which are folded otherwise.": "逐条显示查询与签名，默认折叠。",
    "Messages as hexadecimal octets; without --clear, of the masked text.": (
        "以十六进制显示报文；未加 --clear 时为遮蔽后的文字。"
    ),
    "Show what was sent and received.": "显示发送与接收的内容。",
    "Show what was sent and received in hex.": "以十六进制显示发送与接收的内容。",
    "Show the bytes in hex beside the text.": "在文字旁以十六进制显示字节。",
    "Go on with what comes, until interrupted.": "持续显示新的收发，直到中断。",
    "A pool's name, or a run's id.": "资金池的名称，或运行的编号。",
    "Account numbers unmasked; this is noted.": "显示完整账号，并记入审计链。",
}
_REPORTS: Mapping[str, str] = {
    f"Which one: {NAMES}.": f"报表名称：{NAMES}。",
    "The accounts as CSV.": "以 CSV 输出账户。",
    "First day; default: the first of the month.": "首日；默认本月首日。",
    "Last day, and the day of `daily`; default: today.": "末日，也是 `daily` 的日期；默认今天。",
    "Write a file: .xlsx, .pdf, .html or .csv.": "写入文件：.xlsx、.pdf、.html 或 .csv。",
    "zh or en.": "zh 或 en。",
    "CSV with the columns id, date, direction, amount, counterparty_account, counterparty_name, reference, voucher, "
    "settlement_no, text.": (
        "CSV 文件，各列为 id、date、direction、amount、counterparty_account、counterparty_name、reference、voucher、"
        "settlement_no、text。"
    ),
    "The book's first day.": "日记账首日。",
    "The book's last day.": "日记账末日。",
    "Its balance before the first row.": "期初余额（首行之前）。",
    "Its balance after the last row.": "期末余额（末行之后）。",
    "How many rows it has.": "行数。",
    "Money out together.": "支出合计。",
    "Money in together.": "收入合计。",
    "A camt.053 (.xml), an MT940, or a CSV with a heading.": "camt.053（.xml）、MT940，或带标题行的 CSV。",
    "First day, if the file has none.": "首日，文件中没有时填写。",
    "Last day, if the file has none.": "末日，文件中没有时填写。",
    "Balance before it, if the file has none.": "期初余额，文件中没有时填写。",
    "Balance after it, if the file has none.": "期末余额，文件中没有时填写。",
    "Which heading of the CSV is what.": "CSV 的标题与各栏的对应。",
    "Of a CSV or an MT940; a CSV's is recognised if it is not given.": (
        "CSV 或 MT940 的字符集；CSV 不填则自动识别，MT940 按 UTF-8。"
    ),
    "The decimal mark of the CSV's amounts: . or , (12,50). What could be read in two ways needs it.": (
        "CSV 金额的小数点：`.` 或 `,`（`12,50`）。金额有两种读法时必填。"
    ),
}
_PERSONS: Mapping[str, str] = {
    "The payment's key, or SENDER:ID; to propose something.": "提议时填写：付款的编号，或 SENDER:ID。",
    "Approve what another person proposed.": "批准他人的提议。",
    "With --approve: write the evidence there (0600) and end.": "与 --approve 同用：将证据写入该文件（0600）后结束。",
    "Withdraw a proposal; give --note.": "撤回提议；须填 --note。",
    "List proposals, the newest first.": "列出提议，最新的在前。",
    "Keep the key file without a passphrase (mode 0600 all the same).": "密钥文件不设口令（权限仍为 0600）。",
    "With your password and a one-time code, instead of your key.": "以密码与动态码登录，代替密钥。",
    "Then set a new password, and the secret for one-time codes.": "登录后设置新密码与动态码密钥。",
    "Then bind the passkey whose code a web page shows.": "登录后绑定页面所示代码的通行密钥。",
    "The page that the passkey is for.": "通行密钥所属的页面。",
}
_RUNNING: Mapping[str, str] = {
    "Serve the k-th of n parts of the lanes: one of n processes over one journal.": (
        "办理全部通道 n 份中的第 k 份：n 个进程共用一个流水库。"
    ),
    "Refuse to start on mistakes.": "设置有错误时拒绝启动。",
    "The daemon's socket for web pages (`web.daemon_socket`).": "守护进程供网页使用的套接字（`web.daemon_socket`）。",
    "The socket of `bankgw query` (`web.query_socket`).": "`bankgw query` 的套接字（`web.query_socket`）。",
    "Address on which browsers, or a proxy, are listened for.": "监听浏览器或代理的地址。",
    "TCP port.": "TCP 端口。",
    "PEM file of the site's certificate.": "站点证书的 PEM 文件。",
    "Its private key, PEM.": "其私钥，PEM。",
    "The notice's id, as the notice and the list show it.": "通知编号，见通知正文与 `notices list`。",
    "The signer's own settings.": "签名进程自己的设置。",
    "The signer's log of signatures, compared with the permits.": "签名进程的签名日志，与发送许可核对。",
    "The file of notices: whom to tell, how, and when not.": "通知文件：通知谁、如何通知、何时不通知。",
    "Folder of what waits, what was sent, and what failed.": "保存待发、已发与失败记录的目录。",
    "A table `destinations.NAME` of the file.": "通知文件中的表 `destinations.NAME`。",
    "The vault's key file, where the settings name a systemd credential.": (
        "数据加密主密钥文件；设置使用 systemd 凭据时填写。"
    ),
    "The database password's file, likewise.": "数据库密码文件；同上。",
    "New file for the copy, or a folder in which it is named by the time. A name without an ending is a folder's, made "
    "if it is not there.": "备份写入的新文件，或按时间命名备份的目录。没有扩展名的名称视为目录，不存在则创建。",
    "Then copy it there: a mounted folder of another disk, or another machine by rsync over SSH.": (
        "随后复制到该处：另一磁盘的挂载目录，或经 SSH 以 rsync 复制到另一台机器。"
    ),
    "Then delete all but so many of this node's backups in the folder.": "随后只保留该目录中本节点最新的若干份备份。",
    "Then delete this node's backups that are older; with --keep, those beyond it only.": (
        "随后删除早于此天数的本节点备份；与 --keep 同用时，只删超出份数的。"
    ),
    "Copy nothing: only delete what --keep and --keep-days do not keep.": (
        "不作备份，只删除 --keep 与 --keep-days 均不保留的备份。"
    ),
    "Take the newest whole backup of the folder that was made by this time, as 2026-11-30T09:00+08:00; without a zone, "
    "in that of the settings.": (
        "取该目录中此时刻或之前所作的最新完整备份，如 2026-11-30T09:00+08:00；不写时区时按设置中的时区。"
    ),
    "Copy nothing: list the backups of FOLDER, and say which are whole.": (
        "不作备份：列出该目录中的备份，并说明是否完整。"
    ),
    "A copy that `bankgw backup` made, manifest beside it; with --drill also a folder, whose newest is meant; with "
    "--at a folder.": (
        "`bankgw backup` 所作的备份，旁边有清单；加 --drill 时也可为目录，取其中最新的；加 --at 时为目录。"
    ),
    "Try and time it in a place of its own, which is thrown away. The gateway may run.": (
        "在临时位置演练恢复并计时，随后丢弃。网关可以在运行。"
    ),
    "With --drill, for PostgreSQL and MySQL: an empty database.": (
        "与 --drill 同用，适用 PostgreSQL 与 MySQL：一个空库。"
    ),
    "With --drill: exit code 1 if it takes longer.": "与 --drill 同用：超过该时间则退出码为 1。",
    "New zip file; default: named by node and time, here.": "新的 zip 文件；默认在当前目录按节点与时间命名。",
    "The daemon's log file; default: what the journal has of the unit.": (
        "守护进程的日志文件；默认取 journald 中该服务的日志。"
    ),
    "So many last lines of the log.": "日志的最后若干行。",
    "BANK.LOGIN, as the journal has it: `bankgw check` says.": "流水库中的 BANK.LOGIN，如 `bankgw check` 所示。",
    "BANK.LOGIN, as the settings have it now.": "设置中现在的 BANK.LOGIN。",
    "The sender's name in the journal: `bankgw check` says.": "流水库中来源系统的名称，如 `bankgw check` 所示。",
    "Its name in the settings now.": "设置中现在的名称。",
}
_MONEY: Mapping[str, str] = {
    "Where the archives go; made if missing.": "压缩包所在目录；不存在则创建。",
    "First bank date; default: of the month.": "首个银行日期；默认本月首日。",
    "Last bank date; default: today.": "末个银行日期；默认今天。",
    "The order, as SENDER:ID or by its key.": "付款指令：SENDER:ID，或付款的编号。",
    "The command's body, as the ERP will submit it.": "指令内容，与 ERP 将提交的一致。",
    "The sender that will submit it, by its name in the settings.": "将提交该指令的来源系统，其在设置中的名称。",
    "`live` for a gateway in production.": "生产环境的网关为 `live`。",
    "The command that the body is for.": "该内容所属的指令类型。",
}
_JOINT: Mapping[str, str] = {
    "The command's body, JSON or XML; - is standard input.": "指令内容，JSON 或 XML；- 为标准输入。",
    "Print what happens until it is over.": "显示经过，直到了结。",
    "Send a payment.submit as payment.validate: ask only, nothing is done.": (
        "将 payment.submit 作为 payment.validate 发送：只询问，不办理。"
    ),
    "Seconds to wait at most.": "最多等待的秒数。",
    "The command, such as payment.submit; default: guessed from the body.": (
        "指令类型，如 payment.submit；默认由内容判断。"
    ),
    "Who speaks to which broker: see docs/do/operate.md.": "以谁的身份连接哪个消息服务器：见 docs/do/operate.md。",
    "One message as it travelled: XML or CMS, also inside HTTP; - reads stdin.": (
        "一条原样的报文：XML 或 CMS，也可在 HTTP 之内；- 为标准输入。"
    ),
    "Certificates or public keys you trust, PEM or DER; repeatable. One must have signed.": (
        "您信任的证书或公钥，PEM 或 DER，可多次填写。须由其中之一签名。"
    ),
    "The octets that the other side hashed: says where they first differ from ours.": (
        "对方计算校验值的原文：指出与我方首个不同之处。"
    ),
    "UTF-8, GBK, GB2312 or GB18030; default: what the message declares.": (
        "UTF-8、GBK、GB2312 或 GB18030；默认按报文声明。"
    ),
    "SHA-1 is no mistake: this bank still signs with it.": "不将 SHA-1 视为错误：该银行仍以其签名。",
    "A new folder for the signed octets as they are, one file each, with personal data.": (
        "新目录，保存所签原文，各一个文件，含个人信息。"
    ),
    "Show signed octets as they are, with personal data.": "显示所签原文，含个人信息。",
    "The bank's settings, TOML or JSON; with --init a new folder.": (
        "模拟银行的设置，TOML 或 JSON；加 --init 时为新目录。"
    ),
    "debug, info, warning or error.": "日志级别：debug、info、warning 或 error。",
    "Write settings, keys and a matching gateway's files into FILE.": (
        "在 FILE 中生成设置、密钥，以及与之配套的网关文件。"
    ),
    "To the bank that runs with FILE: report, truth, calm, strike or clock.": (
        "向以 FILE 运行的模拟银行下命令：report、truth、calm、strike 或 clock。"
    ),
    "For strike: the fault; docs/do/simulate.md lists them.": "用于 strike：故障名称，见 docs/do/simulate.md。",
    "For strike: in which exchange: money, enquiry, question or probe.": (
        "用于 strike：在哪种收发中：money、enquiry、question 或 probe。"
    ),
    "For strike: only about this reference.": "用于 strike：仅该参考号。",
    "For strike: how long it lasts, where it lasts.": "用于 strike：持续型故障持续的秒数。",
    "For clock: so many seconds ahead of this machine's, or behind it (-86400).": (
        "用于 clock：比本机时钟快的秒数，慢则为负（-86400）。"
    ),
    "Chooses the orders; what the banks' faults strike depends on the time too.": (
        "随机种子，决定有哪些指令；故障击中哪一笔还取决于时间。"
    ),
    "How many orders to publish; default: 1000, fewer for slow banks only.": (
        "发布多少笔指令；默认 1000，只有慢速银行时较少。"
    ),
    "How often the daemon is killed with SIGKILL.": "以 SIGKILL 强制终止守护进程的次数。",
    "Keep the site there; default: a folder of its own.": "演示环境保存的目录；默认另建目录。",
    "Where to write the report; default: demo-report.html.": "报告写入何处；默认 demo-report.html。",
    "The report's language; default: as LANG says, else English.": "报告的语言；默认按 LANG，否则为英文。",
    "Simulated banks, with commas between; `all` for each.": "模拟银行，以逗号分隔；`all` 为全部。",
    "Put an approval policy in force; approvers sign what it holds.": "启用审批策略；由复核人签署待复核的付款。",
    "Then serve the web console and the approval page, with work to approve.": (
        "随后提供网页控制台与复核页，并有待复核的付款。"
    ),
    "So long, unless Ctrl-C ends it before.": "提供的分钟数，可用 Ctrl-C 提前结束。",
    "The run's folder, with joint-test.toml in it.": "联调目录，其中有 joint-test.toml。",
    "Who says so; kept in the run's journal.": "由谁确认；记入联调记录。",
    "Accountants' acceptance scripts, not the bank's cases.": "财务验收脚本，而非银行的用例。",
    "A folder with cases of one's own, *.toml.": "自定用例（*.toml）所在目录。",
    "A case, as `bankgw joint-test cases` names it.": "用例，如 `bankgw joint-test cases` 所示。",
    "A folder of protocols/banks.": "银行：protocols/banks 中的目录名。",
    "Only this, again, in the present round.": "仅该用例，在本轮重做。",
    "The bank's business date, in a test environment; audited.": "测试环境中银行的营业日期；记入审计链。",
    "passed, failed or blocked.": "结论：passed（通过）、failed（未通过）或 blocked（受阻）。",
    "What was seen, and where.": "所见情况，及在何处所见。",
    "Who answers for leaving it out.": "豁免的负责人。",
    "Ed25519 key that signs the pack; made where there is none. Default: pack-key.pem in the run's folder.": (
        "签署证据包的 Ed25519 密钥；没有则生成。默认为联调目录中的 pack-key.pem。"
    ),
    "An evidence pack.": "证据包。",
    "The key that must have signed it.": "须由该指纹的密钥签署。",
    "An evidence pack of a run against the bank.": "与银行联调所得的证据包。",
    "payment or transfer.": "payment（付款）或 transfer（转账）。",
    "The pack's root, as the signed paper states it.": "证据包的根校验值，如签署页所示。",
    "PEM: the certificate that must have countersigned it.": "PEM：须由其签名的银行证书。",
    "An RFC 3161 reply (*.tsr) over manifest.json.": "对 manifest.json 的 RFC 3161 时间戳应答（*.tsr）。",
    "The gateway's settings: compare with its own journal, too.": "网关设置：同时与网关流水库核对。",
    "PEM: the bank's certificate.": "PEM：银行证书。",
    "PEM: the certificate's key, RSA or ECDSA, without a password.": "PEM：证书的私钥（RSA 或 ECDSA），不带口令。",
    "Another one.": "另一个证据包。",
    "A pack made with the version of before.": "以原版本生成的证据包。",
    "A pack made with the new version; default: this program.": "以新版本生成的证据包；默认为本程序。",
    "The bank's workbook.": "银行的用例表。",
    "TOML that says which column is what.": "说明各列含义的 TOML 文件。",
    "Write the results into a copy; without it, only compare the cases.": "将结果写入副本；不填则只比较用例。",
    "en or zh: the language of the verdicts.": "结论的语言：en 或 zh。",
    "The bank, as the gateway's settings name it.": "银行，其在网关设置中的名称。",
    "The sender in the gateway's settings.": "网关设置中的来源系统。",
    "A bank with a simulated front end.": "有模拟前置机的银行。",
    "Where to make everything; default: a new folder.": "环境所在目录；默认新建目录。",
    "Only these cases.": "仅这些用例。",
    "Where to make everything; must be new or empty.": "环境所在目录；须为新目录或空目录。",
    "Leave the bank's ports and keys to a front end of your own.": "将银行的端口与密钥交给您自己的前置机。",
    "The simulated bank's settings, with exchange_log set.": "模拟银行的设置，须设 exchange_log。",
    "Write a report there at the end, and whenever SIGUSR1 comes.": ("结束时，以及收到 SIGUSR1 时，在该目录写入报告。"),
    "JSON: control, ready, ports {name: {to, listen}}.": "JSON 文件：control、ready、ports {name: {to, listen}}。",
}
_SETTING_UP: Mapping[str, str] = {
    "Print the version and end.": "显示版本后结束。",
    "Print what `environment.others` of other environments takes, as JSON.": (
        "以 JSON 输出其他环境的 `environment.others` 所需的内容。"
    ),
    "Before a reload: note mistakes where the running daemon shows them.": (
        "重新加载之前使用：把错误记在运行中的守护进程可显示之处。"
    ),
    "Rehearse an upgrade: the new version's .deb or program looks at the settings, and migrates a copy of the "
    "journal.": ("演练升级：由新版本的 .deb 或程序检查设置，并迁移流水库的副本。"),
    "With --with, for PostgreSQL and MySQL: an empty database.": (
        "与 --with 同用，适用 PostgreSQL 与 MySQL：一个空库。"
    ),
    "Add a key to this vault key file, as `keys prepare vault` does, and end.": (
        "在该数据加密主密钥文件中加入一个密钥（同 `keys prepare vault`），然后结束。"
    ),
    "Make a vault key file (mode 0600) there, and do nothing else.": "只在该处生成数据加密主密钥文件（权限 0600）。",
    "With --questions: which bank.": "与 --questions 同用：哪家银行。",
    "Print what to ask BANK before a joint test, and what is assumed.": "列出联调前须向银行确认的问题与当前假设。",
    "With --questions: en or zh; without it, as the terminal.": "与 --questions 同用：en 或 zh；不写时随终端语言。",
    "Settings whose banks are shown in detail, as they are built.": "设置文件；详细显示其中所配置的银行。",
    "Checkpoints that a witness kept; may be given several times.": "见证方保存的检查点，可多次填写。",
    "A public key, as `bankgw audit key` prints it; may be given several times.": (
        "公钥，如 `bankgw audit key` 所示，可多次填写。"
    ),
    "Where checkpoints are kept: on another machine.": "保存检查点的目录：应在另一台机器上。",
    "Stop after so many seconds; 0: when interrupted.": "若干秒后停止；0 为直到中断。",
    "The bank whose next certificate it is.": "哪家银行的下一张证书。",
    "The bank's next certificate: say its pin, and whether it is staged.": (
        "银行的下一张证书：显示其指纹，以及是否已列入。"
    ),
    "The table, as `certificates list` names it.": "设置中的表，如 `certificates list` 所示。",
    "The new certificate with its chain, PEM.": "新证书及其证书链，PEM。",
    "Put the pair back that the last rotation kept.": "换回上次更换时保留的证书与密钥。",
    "The bank's name in the settings.": "银行在设置中的名称。",
    "The subject's name as the bank knows the company.": "证书主体名称，即银行登记的公司名称。",
    "A file with the one-time code; - is standard input. It is good once.": (
        "存有一次性代码的文件；- 为标准输入。只能使用一次。"
    ),
    "The subject's country.": "证书主体的国家代码。",
    "The login whose certificate it is.": "哪个登录的证书。",
    "Where everything about the request is kept; default: state_dir/certificates/BANK-LANE.": (
        "保存申请全部内容的目录；默认 state_dir/certificates/BANK-LANE。"
    ),
    "The bank's certificate service; default: the lane's own address.": "银行的证书服务；默认为通道的地址。",
    "The virtual host to define.": "所定义的虚拟主机。",
    "The gateway's broker user.": "网关的消息服务器用户。",
    "A sender and its broker users; repeatable.": "来源系统及其消息服务器用户，可多次填写。",
}
IN_CHINESE: Mapping[str, str] = {
    **_OF_MANY,
    **_FIRST,
    **_LOOKING,
    **_REPORTS,
    **_PERSONS,
    **_RUNNING,
    **_MONEY,
    **_JOINT,
    **_SETTING_UP,
}
