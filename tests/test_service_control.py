"""Service control policies and organizational units: an operator binds everybody in an account, its root too."""

import json

import botocore.exceptions
import pytest
from support.aws import refused
from support.identities import trust, unique
from support.operator import Operators
from support.people import allow, policy, role_of, user_of
from support.production import Deployment

PLAINTEXT = b"attack at dawn"
DENY_ENCRYPT = policy({"Effect": "Deny", "Action": "kms:Encrypt", "Resource": "*"})


def allowing(*actions):
    return policy(allow(list(actions)))


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    deployment = Deployment(tmp_path_factory.mktemp("controlled"))
    status, output = deployment.init()
    assert status == 0, output
    return deployment


@pytest.fixture(scope="module")
def production(deployment):
    with deployment.serve() as server:
        yield server


@pytest.fixture(scope="module")
def operators(deployment, production):
    return Controllers(deployment.data, "--config", deployment.config)


class Controllers(Operators):
    """An operator, with a directory for the policies that it writes."""

    def unit(self, name=None, *more):
        """A new unit; answers its id."""
        return self.obeyed("unit", "create", name or unique("unit"), *more).split()[0]

    def policy(self, text, name=None):
        """A new policy from standard input; answers its name."""
        name = name or unique("policy")
        self.obeyed("policy", "create", name, "-", typed=text)
        return name

    def attach(self, policy, target):
        self.obeyed("policy", "attach", policy, target)

    def detach(self, policy, target):
        self.obeyed("policy", "detach", policy, target)

    def account(self, server):
        """A new account with the id of a key in it."""
        account = self.create(server)
        return account, account.create_key()["KeyId"]


def encrypt(caller, key):
    return caller.kms.encrypt(KeyId=key, Plaintext=PLAINTEXT)


def denial(arn, action, resource):
    return f"User: {arn} is not authorized to perform: {action} on resource: {resource} "


WITH_DENY = "with an explicit deny in a service control policy"


def without_allow(action):
    return f"because no service control policy allows the {action} action"


def test_the_root_of_an_account_is_bound(production, operators):
    account, key_id = operators.account(production)
    name = operators.policy(DENY_ENCRYPT)
    encrypt(account, key_id)
    operators.attach(name, account.number)
    with refused("AccessDeniedException", denial(account.root, "kms:Encrypt", account.key_arn(key_id)) + WITH_DENY):
        encrypt(account, key_id)
    account.kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
    operators.detach(name, account.number)
    encrypt(account, key_id)


def test_a_unit_reaches_its_accounts_at_once_and_no_longer(production, operators):
    account, key_id = operators.account(production)
    other, other_key = operators.account(production)
    outer = operators.unit()
    inner = operators.unit(None, "--parent", outer)
    name = operators.policy(DENY_ENCRYPT)
    operators.obeyed("account", "move", account.number, inner)
    encrypt(account, key_id)
    operators.attach(name, outer)
    with refused("AccessDeniedException"):
        encrypt(account, key_id)
    encrypt(other, other_key)
    operators.obeyed("account", "move", other.number, outer)
    with refused("AccessDeniedException"):
        encrypt(other, other_key)
    # Another text counts for all of them at once.
    operators.obeyed("policy", "update", name, "-", typed=DENY_ENCRYPT.replace("kms:Encrypt", "kms:DescribeKey"))
    for one, key in ((account, key_id), (other, other_key)):
        encrypt(one, key)
        with refused("AccessDeniedException", denial(one.root, "kms:DescribeKey", one.key_arn(key)) + WITH_DENY):
            one.metadata(key)
    operators.obeyed("account", "move", account.number, "r-root")
    account.metadata(key_id)
    with refused("AccessDeniedException"):
        other.metadata(other_key)


def test_an_allow_list_holds_on_every_level(production, operators):
    account, key_id = operators.account(production)
    unit = operators.unit()
    operators.obeyed("account", "move", account.number, unit)
    narrow, wide = operators.policy(allowing("kms:Decrypt", "kms:DescribeKey")), operators.policy(allowing("kms:*"))
    operators.attach(wide, unit)
    operators.detach("FullAWSAccess", unit)
    encrypt(account, key_id)
    with refused("AccessDenied", status=403) as caught:
        account.service("iam").list_users()
    message = caught.value.response["Error"]["Message"]
    assert message.startswith(f"User: {account.root} is not authorized to perform: iam:ListUsers on resource: ")
    assert message.endswith(without_allow("iam:ListUsers"))
    operators.attach(narrow, account.number)
    encrypt(account, key_id)
    operators.detach("FullAWSAccess", account.number)
    whole = denial(account.root, "kms:Encrypt", account.key_arn(key_id)) + without_allow("kms:Encrypt")
    with refused("AccessDeniedException", whole):
        encrypt(account, key_id)
    account.metadata(key_id)
    with refused("AccessDeniedException") as caught:
        account.create_key()
    assert caught.value.response["Error"]["Message"].endswith(without_allow("kms:CreateKey"))
    operators.refused("ConstraintViolation", "policy", "detach", narrow, account.number)


def person(account, *statements):
    return user_of(Person(account), *statements)


class Person:
    """An account's root as `support.people` takes it."""

    def __init__(self, account):
        self.server, self.iam = account.server, account.service("iam")


def test_users_and_sessions_are_bound_whatever_their_policies_say(production, operators):
    account, key_id = operators.account(production)
    user = person(account, allow("*"))
    role = role_of(Person(account), trust({"AWS": account.root}), allow("*"))
    sessions = [
        user,
        user.assume(role),
        user.session(user.sts.get_session_token()),
        user.session(user.sts.get_federation_token(Name="federated", Policy=policy(allow("kms:*")))),
    ]
    for session in sessions:
        encrypt(session, key_id)
    name = operators.policy(DENY_ENCRYPT)
    operators.attach(name, account.number)
    for session in sessions:
        with refused("AccessDeniedException") as caught:
            encrypt(session, key_id)
        message = caught.value.response["Error"]["Message"]
        assert message == denial(session.who()[0], "kms:Encrypt", account.key_arn(key_id)) + WITH_DENY
    operators.obeyed("policy", "update", name, "-", typed=DENY_ENCRYPT.replace("kms:Encrypt", "sts:AssumeRole"))
    with refused("AccessDenied", status=403):
        user.assume(role)
    encrypt(sessions[1], key_id)


def test_a_grant_is_no_way_around(production, operators):
    account, key_id = operators.account(production)
    user = person(account)
    account.kms.create_grant(KeyId=key_id, GranteePrincipal=user.arn, Operations=["Encrypt", "Decrypt"])
    blob = encrypt(user, key_id)["CiphertextBlob"]
    operators.attach(operators.policy(DENY_ENCRYPT), account.number)
    with refused("AccessDeniedException", denial(user.arn, "kms:Encrypt", account.key_arn(key_id)) + WITH_DENY):
        encrypt(user, key_id)
    assert user.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT


def test_callers_of_other_accounts_are_bound_by_their_own_only(production, operators):
    """A policy is about who calls, not about what is called."""
    owner, guest = operators.create(production), operators.create(production)
    everything = {"Effect": "Allow", "Action": "kms:*", "Resource": "*"}
    statements = [{**everything, "Principal": {"AWS": one.root}} for one in (owner, guest)]
    key = owner.create_key(Policy=policy(*statements))["Arn"]
    name = operators.policy(DENY_ENCRYPT)
    operators.attach(name, owner.number)
    encrypt(guest, key)
    with refused("AccessDeniedException"):
        encrypt(owner, key)
    operators.detach(name, owner.number)
    operators.attach(name, guest.number)
    encrypt(owner, key)
    with refused("AccessDeniedException", denial(guest.root, "kms:Encrypt", key) + WITH_DENY):
        encrypt(guest, key)


def test_conditions_see_the_request(production, operators):
    account, _ = operators.account(production)
    pairs = {"StringNotEquals": {"kms:KeySpec": "SYMMETRIC_DEFAULT", "aws:RequestedRegion": "us-east-1"}}
    text = policy({"Effect": "Deny", "Action": "kms:CreateKey", "Resource": "*", "Condition": pairs})
    operators.attach(operators.policy(text), account.number)
    account.create_key()
    with refused("AccessDeniedException"):
        account.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")


def test_a_simulation_knows_what_binds_the_account(production, operators):
    account, _ = operators.account(production)
    user = person(account, allow("kms:*"))
    simulate = account.service("iam").simulate_principal_policy
    asked = {"PolicySourceArn": user.arn, "ActionNames": ["kms:Encrypt", "kms:Decrypt"]}
    before = simulate(**asked)["EvaluationResults"]
    assert [one["EvalDecision"] for one in before] == ["allowed", "allowed"]
    assert not any("OrganizationsDecisionDetail" in one for one in before)
    operators.attach(operators.policy(DENY_ENCRYPT), account.number)
    after = simulate(**asked)["EvaluationResults"]
    assert [one["EvalDecision"] for one in after] == ["explicitDeny", "allowed"]
    allowed = [one["OrganizationsDecisionDetail"]["AllowedByOrganizations"] for one in after]
    assert allowed == [False, True]


def test_everything_outlives_a_restart(tmp_path):
    deployment = Deployment(tmp_path)
    assert deployment.init()[0] == 0
    operators = Controllers(deployment.data, "--config", deployment.config)
    with deployment.serve() as server:
        account, key_id = operators.account(server)
        unit = operators.unit("Production")
        operators.obeyed("account", "move", account.number, unit)
        operators.attach(operators.policy(DENY_ENCRYPT, "no encryption"), unit)
        before = [operators.obeyed(*words) for words in LISTINGS]
    with deployment.serve() as server:
        account = type(account)(server, account.number, **account.credentials)
        with refused("AccessDeniedException"):
            encrypt(account, key_id)
        assert [operators.obeyed(*words) for words in LISTINGS] == before
        # A closed account keeps what binds it.
        operators.obeyed("account", "close", account.number)
        operators.obeyed("account", "reopen", account.number)
        with refused("AccessDeniedException"):
            encrypt(account, key_id)


LISTINGS = (("unit", "list"), ("policy", "list"), ("policy", "show", "no encryption"))


def test_what_is_listed(tmp_path):
    deployment = Deployment(tmp_path)
    assert deployment.init()[0] == 0
    operators = Controllers(deployment.data, "--config", deployment.config)
    with deployment.serve() as server:
        assert operators.obeyed("unit", "list") == "r-root  Root\n"
        assert operators.obeyed("policy", "list") == "p-FullAWSAccess  FullAWSAccess  r-root\n"
        account = operators.create(server)
        outer = operators.obeyed("unit", "create", "Production")
        assert outer == "ou-root-00000001  Root/Production\n"
        inner = operators.obeyed("unit", "create", "Payments", "--parent", "ou-root-00000001").split()[0]
        moved = operators.obeyed("account", "move", account.number, inner)
        assert moved == f"{account.number}  {inner}  Root/Production/Payments\n"
        operators.policy(DENY_ENCRYPT, "no encryption")
        operators.attach("no encryption", inner)
        file = tmp_path / "policy.json"
        file.write_text(json.dumps(json.loads(DENY_ENCRYPT), indent=2) + "\n")
        operators.obeyed("policy", "update", "no encryption", file)
        assert operators.obeyed("policy", "show", "no encryption") == file.read_text()
        assert operators.obeyed("unit", "list").splitlines() == [
            "r-root  Root",
            "ou-root-00000001  Root/Production",
            f"{inner}  Root/Production/Payments  {account.number}",
        ]
        full = "p-FullAWSAccess  FullAWSAccess"
        assert operators.obeyed("policy", "list").splitlines() == [
            f"{full}  r-root ou-root-00000001 {inner} {account.number}",
            f"p-00000003  no encryption  {inner}",
        ]
        assert operators.obeyed("policy", "list", "--target", account.number).splitlines() == [
            "r-root  Root: FullAWSAccess",
            "ou-root-00000001  Root/Production: FullAWSAccess",
            f"{inner}  Root/Production/Payments: FullAWSAccess, no encryption",
            f"{account.number}: FullAWSAccess",
        ]


def test_refusals(production, operators, tmp_path):
    account = operators.create(production)
    name, unit = operators.policy(DENY_ENCRYPT), operators.unit()
    for code, *words in (
        ("OrganizationalUnitNotFound", "account", "move", account.number, "ou-root-99999999"),
        ("NoSuchAccount", "account", "move", "999988887777", unit),
        ("InvalidAccount", "account", "move", "99998888777", unit),
        ("NoSuchAccount", "policy", "attach", name, "999988887777"),
        ("OrganizationalUnitNotFound", "policy", "attach", name, "99998888777"),
        ("PolicyNotFound", "policy", "attach", "none", unit),
        ("PolicyNotAttached", "policy", "detach", name, unit),
        ("PolicyNotFound", "policy", "show", "none"),
        ("InvalidName", "unit", "create", "a\x1b[2Jb"),
        ("ConstraintViolation", "unit", "delete", "r-root"),
    ):
        operators.refused(code, *words)
    bad = {"Effect": "Deny", "Action": "kms:*", "Resource": "*"}
    for text in (
        "",
        "{}",
        policy({**bad, "Principal": "*"}),
        policy({**bad, "Condition": {"StringEquals": {"kms:NoSuchKey": "x"}}}),
        policy({**bad, "Sid": "x" * 5_120}),
    ):
        operators.refused("MalformedPolicyDocument", "policy", "create", "bad", "-", typed=text)
        operators.refused("MalformedPolicyDocument", "policy", "update", name, "-", typed=text)
    status, output = operators.run("policy", "create", "bad", tmp_path / "nowhere")
    assert status == 1 and "nowhere" in output, output
    assert "bad" not in operators.obeyed("policy", "list")
    operators.obeyed("unit", "delete", unit)
    operators.obeyed("policy", "delete", name)
    for words in (("policy",), ("unit",), ("policy", "--help"), ("unit", "--help"), ("policy", "attach", "--help")):
        assert "claviger" in operators.run(*words)[1].lower()


def test_every_command_is_recorded(tmp_path):
    deployment = Deployment(tmp_path)
    assert deployment.init()[0] == 0
    operators = Controllers(deployment.data, "--config", deployment.config)
    nobody, account = "000000000000", deployment.account
    with deployment.serve():
        unit = operators.unit("Production")
        operators.policy(DENY_ENCRYPT, "p")
        operators.attach("p", account)
        operators.obeyed("account", "move", account, unit)
        operators.obeyed("policy", "list", "--target", account)
        operators.refused("PolicyInUse", "policy", "delete", "p")
        operators.detach("p", account)
        operators.obeyed("policy", "delete", "p")
        for words in LISTINGS[:2]:
            operators.obeyed(*words)
    records = operators.records()
    seen = [(one["eventName"], one["recipientAccountId"], one.get("errorCode"), one["readOnly"]) for one in records]
    assert seen == [
        ("CreateOrganizationalUnit", nobody, None, False),
        ("CreatePolicy", nobody, None, False),
        ("AttachPolicy", account, None, False),
        ("MoveAccount", account, None, False),
        ("ListPoliciesForTarget", account, None, True),
        ("DeletePolicy", nobody, "PolicyInUse", False),
        ("DetachPolicy", account, None, False),
        ("DeletePolicy", nobody, None, False),
        ("ListOrganizationalUnits", nobody, None, True),
        ("ListPolicies", nobody, None, True),
    ]
    assert records[0]["requestParameters"] == {"name": "Production", "parentId": None}
    assert records[0]["responseElements"] == {"unitId": unit}
    assert records[1]["requestParameters"] == {"policy": "p", "content": DENY_ENCRYPT}
    assert records[2]["requestParameters"] == {"policy": "p", "targetId": account}


def test_aws_credentials_give_no_such_order(production, operators):
    """AWS Organizations is a service of its own; here only the operator's socket sets policies."""
    account = operators.create(production)
    for operation in ("AttachPolicy", "MoveAccount", "policy/attach"):
        answer = account.signed(operation, {})
        assert answer.status == 400 and answer.code == "UnknownOperationException", answer
    with pytest.raises(botocore.exceptions.ClientError):
        account.service("organizations").list_roots()
