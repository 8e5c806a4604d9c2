"""Acts about people: enrolment, roles, delegations, sessions and factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gateway.act import (
    Act,
    ActDecision,
    ActEffect,
    ActProof,
    AnswerColumn,
    CommandGroup,
    ParamForm,
    ReasonParam,
    RoomActs,
    SentenceAnswer,
    SocketProof,
    TableAnswer,
)
from gateway.people.rules.roles import EVERY_ROLE, LOOK_AT_PEOPLE, MONEY_ROLES, SECURITY_ADMINS, TWO_ADMINS

PersonParam = Annotated[
    str,
    ParamForm(
        ("The person's name: a-z, 0-9, `_`, `.`, `-`.", "人员的名称：a-z、0-9、`_`、`.`、`-`。"),
        metavar="NAME",
        names="person",
    ),
]
RolesText = Annotated[
    str,
    ParamForm(
        (
            "As approver@company:acme+account:0000123;viewer@* or security_admin, or none.",
            "形如 approver@company:acme+account:0000123;viewer@*，或 security_admin，或 none。",
        ),
        option="--roles",
    ),
]
_STATE = (SentenceAnswer(("{person} (uid {uid}) is {state}", "{person}（uid {uid}）的状态：{state}")),)
_DELEGATED = (
    SentenceAnswer(
        (
            "delegation {delegation}: {delegate} acts as {roles} for {delegator} in {scope} until {until}",
            "委托 {delegation}：{delegate} 代 {delegator} 行使 {roles}，范围 {scope}，至 {until} 止",
        )
    ),
)


@dataclass(frozen=True, slots=True)
class EnrolPerson:
    """A person's name, and the public key of the person who asks."""

    name: PersonParam
    public_key: Annotated[
        str, ParamForm(("The Ed25519 public key in base64.", "Ed25519 公钥，base64。"), command=False)
    ]


@dataclass(frozen=True, slots=True)
class ConfirmPerson:
    """A person, and the fingerprint that the person read out."""

    name: PersonParam
    fingerprint: Annotated[
        str,
        ParamForm(
            ("As the person reads it out: the first 16 digits or more.", "本人读出的指纹：至少前 16 位。"),
            metavar="FINGERPRINT",
            option="argument",
        ),
    ]


@dataclass(frozen=True, slots=True)
class ChangePerson:
    """A person, and the reason for the change."""

    name: PersonParam
    reason: ReasonParam


@dataclass(frozen=True, slots=True)
class GivePersonRoles:
    """A person, all roles from now on, and the reason."""

    name: PersonParam
    roles: RolesText
    reason: ReasonParam


@dataclass(frozen=True, slots=True)
class HoldCeremony:
    """The first two administrators, and the reason for choosing them."""

    security_admin: Annotated[
        str, ParamForm(("An enrolled person.", "一名已登记人员。"), metavar="SECURITY_ADMIN", option="argument")
    ]
    system_admin: Annotated[
        str, ParamForm(("Another enrolled person.", "另一名已登记人员。"), metavar="SYSTEM_ADMIN", option="argument")
    ]
    reason: ReasonParam


@dataclass(frozen=True, slots=True)
class MakeDelegation:
    """The delegate, the roles, the accounts, the duration and the reason."""

    delegate: Annotated[
        str, ParamForm(("The person who acts for you.", "受托人。"), metavar="NAME", option="argument", names="person")
    ]
    roles: Annotated[
        str, ParamForm(("Roles of yours, with commas between.", "您的角色，以逗号分隔。"), option="--roles")
    ]
    reason: ReasonParam
    scope: Annotated[
        str,
        ParamForm(
            (
                "Where: *, or company:NAME and account:NUMBER with +.",
                "范围：*，或以 + 连接的 company:NAME、account:NUMBER。",
            )
        ),
    ] = "*"
    days: Annotated[float, ParamForm(("From now on; at most 30.", "自现在起的天数，最多 30。"), most=30)] = 7.0


@dataclass(frozen=True, slots=True)
class EndDelegation:
    """A delegation, and the reason for ending it."""

    delegation: Annotated[
        str, ParamForm(("Its key, as `list` shows it.", "编号，如 `list` 所示。"), metavar="DELEGATION")
    ]
    reason: ReasonParam


PEOPLE = RoomActs(
    groups=(
        CommandGroup(
            "persons", ("Persons who sign what no single operator may do.", "签署单个操作员无权办理事项的人员。")
        ),
        CommandGroup("roles", ("Roles of persons, and where they hold.", "人员的角色及其范围。")),
        CommandGroup("delegations", ("Delegation of roles for at most 30 days.", "角色委托，最多 30 天。")),
    ),
    acts=(
        Act(
            "GET",
            "/persons",
            "persons.list",
            "people",
            (
                "List the enrolled persons with their roles, and the persons who wait to be admitted.",
                "列出已登记人员及其角色，以及等待录入的人员。",
            ),
            answer=(
                TableAnswer(
                    "persons",
                    (
                        AnswerColumn("person", ("person", "人员")),
                        AnswerColumn("uid", ("uid", "uid")),
                        AnswerColumn("state", ("state", "状态")),
                        AnswerColumn("roles", ("roles", "角色")),
                        AnswerColumn("since", ("since", "自")),
                        AnswerColumn("fingerprint", ("fingerprint", "指纹")),
                    ),
                    ("nobody", "没有人员"),
                ),
            ),
            command="persons list",
            everybody=True,
            shows=SocketProof.USER,
        ),
        Act(
            "POST",
            "/persons",
            "persons.enrol",
            "people",
            ("Enrol yourself, from your own user and without sudo.", "以本人的系统用户登记自己，不用 sudo。"),
            params=EnrolPerson,
            everybody=True,
            shows=SocketProof.USER,
            proof=ActProof.ONE_PASSKEY,
            command="persons enrol",
        ),
        Act(
            "POST",
            "/persons/{name}/confirm",
            "persons.confirm",
            "people",
            (
                "As root, before there are two administrators: admit a person who read the fingerprint to you.",
                "root 在设有两名管理员之前：录入向您读出指纹的人员。",
            ),
            params=ConfirmPerson,
            answer=_STATE,
            command="persons confirm",
            proof=ActProof.COMMAND_LINE,
            effect=ActEffect.LOOSENS,
        ),
        Act(
            "POST",
            "/persons/{name}/remove",
            "persons.remove",
            "people",
            (
                "End a person's right to sign. Root can do this, and the person. Their proposals can no longer be "
                "approved.",
                "使人员不再能签署。root 或本人可用。其所提议的事项不能再被批准。",
            ),
            params=ChangePerson,
            answer=_STATE,
            command="persons remove",
            everybody=True,
            shows=SocketProof.USER,
            proof=ActProof.ONE_PASSKEY,
            effect=ActEffect.STOPS,
        ),
        Act(
            "",
            "",
            "persons.admit",
            "people",
            (
                "As security administrator: propose to admit a person who enrolled, with these roles. Compare the "
                "fingerprint in the words with the one that the person reads out. A second administrator approves: "
                "`bankgw resolve --approve`.",
                "安全管理员：提议录入已登记的人员并授予这些角色。须核对文字中的指纹与本人读出的指纹。"
                "由第二名管理员批准：`bankgw resolve --approve`。",
            ),
            params=GivePersonRoles,
            command="persons admit",
            proof=ActProof.TWO_PERSONS,
            effect=ActEffect.LOOSENS,
            draft=True,
            form=2,
            decision=ActDecision("enrol", SECURITY_ADMINS, TWO_ADMINS, "{name}", "{roles}"),
        ),
        Act(
            "",
            "",
            "persons.deactivate",
            "people",
            (
                "As security administrator: propose to deactivate a person. Name, user and key stay taken.",
                "安全管理员：提议停用一名人员。其名称、系统用户与密钥不再给他人使用。",
            ),
            params=ChangePerson,
            command="persons deactivate",
            proof=ActProof.TWO_PERSONS,
            effect=ActEffect.STOPS,
            draft=True,
            form=2,
            decision=ActDecision("deactivate", SECURITY_ADMINS, TWO_ADMINS, "{name}", "deactivated"),
        ),
        Act(
            "",
            "",
            "persons.reset",
            "people",
            (
                "As security administrator: propose to accept the new key that a person offered by enrolling again. It is "
                "taken 24 hours after the second administrator approves; the person's password is forgotten.",
                "安全管理员：提议采用人员重新登记时提交的新密钥。第二名管理员批准 24 小时后生效；其密码作废。",
            ),
            params=ChangePerson,
            command="persons reset",
            proof=ActProof.TWO_PERSONS,
            effect=ActEffect.LOOSENS,
            draft=True,
            form=2,
            decision=ActDecision("reset", SECURITY_ADMINS, TWO_ADMINS, "{name}", "new-key"),
        ),
        Act(
            "GET",
            "/roles",
            "roles.list",
            "people",
            (
                "List every person's roles, with those that hold by delegation now.",
                "列出每名人员的角色，包括当前因委托而有的角色。",
            ),
            answer=(
                TableAnswer(
                    "persons",
                    (
                        AnswerColumn("person", ("person", "人员")),
                        AnswerColumn("state", ("state", "状态")),
                        AnswerColumn("roles", ("roles", "角色")),
                        AnswerColumn("now", ("with delegations", "含委托")),
                    ),
                    ("nobody", "没有人员"),
                ),
                SentenceAnswer(
                    (
                        "there are no two administrators yet: sudo bankgw roles ceremony NAME NAME --reason ...",
                        "尚未设有两名管理员：sudo bankgw roles ceremony 名称 名称 --reason ...",
                    ),
                    when="ceremony_open",
                ),
            ),
            command="roles list",
            roles=LOOK_AT_PEOPLE,
            shows=SocketProof.USER,
        ),
        Act(
            "POST",
            "/ceremony",
            "roles.ceremony",
            "people",
            (
                "As root: appoint the first security administrator and the first system administrator, both present. "
                "From then on two administrators admit and appoint persons, and root cannot.",
                "root：任命首任安全管理员与系统管理员，两人须在场。此后 root 不再录入或任命人员，由两名管理员办理。",
            ),
            params=HoldCeremony,
            answer=(SentenceAnswer(("{person}: {roles}", "{person}: {roles}"), each="persons"),),
            command="roles ceremony",
            proof=ActProof.COMMAND_LINE,
            effect=ActEffect.LOOSENS,
        ),
        Act(
            "",
            "",
            "roles.set",
            "people",
            (
                "As security administrator: propose which roles a person has from now on, instead of all present ones. "
                "A second administrator approves it with `bankgw resolve --approve`.",
                "安全管理员：提议一名人员今后的全部角色，取代现有角色。由第二名管理员以 `bankgw resolve --approve` 批准。",
            ),
            params=GivePersonRoles,
            command="roles set",
            proof=ActProof.TWO_PERSONS,
            effect=ActEffect.LOOSENS,
            draft=True,
            form=2,
            decision=ActDecision("roles", SECURITY_ADMINS, TWO_ADMINS, "{name}", "{roles}"),
        ),
        Act(
            "GET",
            "/delegations",
            "delegations.list",
            "people",
            ("List delegations, the newest first, also those that ended.", "列出委托，最新的在前，包括已结束的。"),
            answer=(
                TableAnswer(
                    "delegations",
                    (
                        AnswerColumn("delegation", ("delegation", "委托")),
                        AnswerColumn("delegator", ("from", "委托人")),
                        AnswerColumn("delegate", ("to", "受托人")),
                        AnswerColumn("roles", ("roles", "角色")),
                        AnswerColumn("scope", ("scope", "范围")),
                        AnswerColumn("until", ("until", "至")),
                        AnswerColumn("reason", ("reason", "理由")),
                    ),
                    ("no delegations", "没有委托"),
                ),
            ),
            command="delegations list",
            roles=EVERY_ROLE,
        ),
        Act(
            "POST",
            "/delegations",
            "delegations.make",
            "people",
            (
                "Delegate roles of yours to another person, from now on. The two of you count as one where two are "
                "needed.",
                "自现在起将您的角色委托给另一人。需要两人之处，本人及其受托人视为同一人。",
            ),
            params=MakeDelegation,
            answer=_DELEGATED,
            command="delegations make",
            roles=MONEY_ROLES,
            proof=ActProof.BOTH_WAYS,
            effect=ActEffect.LOOSENS,
        ),
        Act(
            "POST",
            "/delegations/{delegation}/end",
            "delegations.end",
            "people",
            ("End a delegation that you made or that was made to you.", "结束您作出的或授予您的委托。"),
            params=EndDelegation,
            answer=_DELEGATED,
            command="delegations end",
            roles=EVERY_ROLE,
            proof=ActProof.SESSION,
            effect=ActEffect.STOPS,
        ),
        Act(
            "GET",
            "/sign-in",
            "sign_in.show",
            "people",
            (
                "Show the person of your UNIX user, the person's roles, and whether you are signed in.",
                "守护进程认为您是谁，是否已登录。",
            ),
            everybody=True,
            shows=SocketProof.USER,
            command="whoami",
        ),
        Act(
            "POST",
            "/sign-in/challenge",
            "sign_in.challenge",
            "people",
            ("Ask for a text for your key to sign.", "索取一段由您的密钥签署的文字。"),
            everybody=True,
            shows=SocketProof.USER,
            proof=ActProof.SESSION,
        ),
        Act(
            "POST",
            "/sign-in",
            "sign_in.sign_in",
            "people",
            ("Sign in with your key, or with password and code.", "以密钥或密码与动态码登录。"),
            everybody=True,
            shows=SocketProof.USER,
            proof=ActProof.SESSION,
            command="login",
        ),
        Act(
            "POST",
            "/sign-out",
            "sign_in.sign_out",
            "people",
            ("End the session of your UNIX user.", "结束您的会话。"),
            answer=(SentenceAnswer(("signed out", "已退出登录")),),
            everybody=True,
            shows=SocketProof.USER,
            proof=ActProof.SESSION,
            command="logout",
        ),
        Act(
            "POST",
            "/factors/password",
            "factors.password",
            "people",
            ("Set your password and a new secret for codes.", "设置密码与新的动态码密钥。"),
            roles=EVERY_ROLE,
            proof=ActProof.ONE_PASSKEY,
        ),
        Act(
            "POST",
            "/factors/password/confirm",
            "factors.password_confirm",
            "people",
            ("Show a code of the new secret, so that it counts.", "输入新密钥的动态码使其生效。"),
            roles=EVERY_ROLE,
            proof=ActProof.ONE_PASSKEY,
        ),
        Act(
            "POST",
            "/factors/passkey",
            "factors.passkey",
            "people",
            ("Bind the passkey that a page shows to yourself.", "将页面所示的通行密钥绑定给自己。"),
            roles=EVERY_ROLE,
            proof=ActProof.BOTH_WAYS,
        ),
    ),
)
