"""Acts of web pages: their sessions, and the questions that the query process answers for them."""

from __future__ import annotations

from gateway.act import Act, ActEffect, ActProof, Bilingual, RoomActs, SocketProof
from gateway.people.rules.roles import EVERY_ROLE, MONEY_ROLES, READERS, RUNNERS, PersonRole

_APPROVERS = frozenset({PersonRole.APPROVER})
# Joint tests move no own account's money, so their messages are shown masked, whatever the scope.
_JOINT_TESTS = READERS | RUNNERS


def _open(method: str, path: str, code: str, title: Bilingual) -> Act:
    """Declare an act that a page may use without a session."""
    proof = ActProof.LOOK if method == "GET" else ActProof.SESSION
    return Act(method, path, code, "web", title, everybody=True, shows=SocketProof.USER, proof=proof)


def _own(method: str, path: str, code: str, title: Bilingual) -> Act:
    """Declare an act about the caller's own session, which every person in a browser may use."""
    proof = ActProof.LOOK if method == "GET" else ActProof.SESSION
    return Act(method, path, code, "web", title, roles=EVERY_ROLE, proof=proof)


WEB = RoomActs(
    acts=(
        _open("GET", "/place", "web.place", ("Name this environment.", "这是哪个环境。")),
        _open("POST", "/web/sign-in", "web.sign_in", ("Sign in with password and code.", "以密码与动态码登录。")),
        _open("POST", "/web/sign-in/passkey", "web.sign_in_passkey", ("Sign in with a passkey.", "以通行密钥登录。")),
        _open(
            "POST",
            "/web/sign-in/oidc",
            "web.sign_in_oidc",
            ("Sign in through the identity provider.", "经身份提供方登录。"),
        ),
        _open(
            "POST",
            "/web/oidc/begin",
            "web.oidc_begin",
            ("Begin to sign in through the identity provider.", "开始经身份提供方登录。"),
        ),
        _open("POST", "/web/challenge", "web.challenge", ("Ask for a passkey's challenge.", "索取通行密钥的挑战值。")),
        _open("POST", "/web/passkeys", "web.passkeys", ("Hand a new passkey in.", "提交新的通行密钥。")),
        Act(
            "POST",
            "/web/approvals/{request}/approve",
            "web.approve",
            "web",
            ("Approve at the approval page with a passkey.", "在复核页以通行密钥同意。"),
            roles=_APPROVERS,
            shows=SocketProof.SIGNATURE,
            scoped=True,
            proof=ActProof.ONE_PASSKEY,
            moves_money=True,
        ),
        Act(
            "POST",
            "/web/approvals/{request}/reject",
            "web.reject",
            "web",
            ("Reject at the approval page with a passkey.", "在复核页以通行密钥拒绝。"),
            roles=_APPROVERS,
            shows=SocketProof.SIGNATURE,
            scoped=True,
            proof=ActProof.ONE_PASSKEY,
            effect=ActEffect.STOPS,
        ),
        _own("GET", "/web/session", "web.session", ("Name the session's person.", "这是谁的会话。")),
        _own("POST", "/web/renew", "web.renew", ("Keep the session alive.", "延续会话。")),
        _own("POST", "/web/sign-out", "web.sign_out", ("End the session.", "结束会话。")),
        _own("POST", "/web/refused", "web.refused", ("Record a person's refused request.", "记录人员被拒绝的请求。")),
        _open(
            "POST",
            "/web/page-refusals",
            "web.page_refusals",
            ("Record the requests that a page refused.", "记录页面拒绝的请求。"),
        ),
        _own("POST", "/web/step-up", "web.step_up", ("Show password and code again.", "再次输入密码与动态码。")),
        _own("POST", "/web/step-up/passkey", "web.step_up_passkey", ("Show a passkey again.", "再次出示通行密钥。")),
        Act(
            "POST",
            "/web/exports/reports/{name}",
            "web.export_report",
            "web",
            ("Export a report as a file.", "将报表导出为文件。"),
            roles=READERS,
            scoped=True,
            proof=ActProof.STEP_UP,
        ),
        Act(
            "POST",
            "/web/orders/{payment}/reveal",
            "web.reveal",
            "web",
            ("Show one payment's numbers and names unmasked.", "显示一笔付款未遮蔽的账号与户名。"),
            roles=MONEY_ROLES,
            scoped=True,
            proof=ActProof.SESSION,
        ),
        Act(
            "GET",
            "/overview",
            "query.overview",
            "web",
            ("Show open payments.", "未了结付款概览。"),
            roles=READERS,
            scoped=True,
        ),
        Act(
            "GET",
            "/search",
            "query.search",
            "web",
            ("Find everything with an id.", "按编号查找。"),
            roles=READERS,
            scoped=True,
        ),
        Act(
            "GET",
            "/accounts",
            "query.accounts",
            "web",
            ("List own accounts in scope.", "列出范围内的本单位账户。"),
            roles=READERS,
            scoped=True,
        ),
        Act(
            "GET",
            "/joint-tests",
            "joint_tests.list",
            "web",
            ("List runs of joint tests.", "列出联调测试。"),
            roles=_JOINT_TESTS,
        ),
        Act(
            "GET",
            "/joint-tests/{run}",
            "joint_tests.show",
            "web",
            ("Show a run of joint tests.", "显示一次联调测试。"),
            roles=_JOINT_TESTS,
        ),
        Act(
            "GET",
            "/joint-tests/{run}/tries/{number}",
            "joint_tests.try",
            "web",
            ("Show one try of a case.", "显示用例的一次执行。"),
            roles=_JOINT_TESTS,
        ),
        Act(
            "GET",
            "/joint-tests/{run}/tries/{number}/files/{file}",
            "joint_tests.file",
            "web",
            ("Show a file of a try.", "显示一次执行的文件。"),
            roles=_JOINT_TESTS,
        ),
        Act(
            "GET",
            "/audit",
            "query.audit",
            "web",
            ("Show the audit trail, the newest first.", "显示审计链，最新的在前。"),
            roles=frozenset({PersonRole.AUDIT_ADMIN}),
        ),
    )
)
