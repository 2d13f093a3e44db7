"""`claviger explain`: why somebody may, or may not, asked of a running server by its operator."""

import contextlib
import json

import botocore.exceptions
import pytest
from support import enforced, permissions
from support import server as servers
from support.aws import Account, refused
from support.enforced import ALL, OWN, allow, policy
from support.identities import trust, unique
from test_permissions_matrix import GOVERNED, call


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("explained") / "data"


@pytest.fixture(scope="module")
def world(data):
    with enforced.world(data) as made:
        yield made


def explain(data, *arguments):
    status, output = servers.run("explain", "--data", data, *arguments)
    return status, output


def asked(world, data, caller, action, key, *more):
    arguments = ["--caller", caller, "--action", action, "--key", key, "--region", world.root.region]
    status, output = explain(data, *arguments, *more)
    assert status == 0, output
    return output


def test_every_statement_is_shown(world, data):
    key = world.key()
    user = world.user(
        allow("kms:Decrypt", key, Condition={"StringEquals": {"kms:EncryptionContext:App": "x"}}, Sid="OnlyX"),
        {**allow("kms:Decrypt", key), "Effect": "Deny", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    )
    output = asked(world, data, user.arn, "kms:Decrypt", key)
    first = output.splitlines()
    assert first[:3] == [f"caller    {user.arn}", "action    kms:Decrypt", f"resource  {key}"]
    assert "deny: no identity policy allows\n" in output
    assert 'resource policy, statement 1 "Enable IAM User Permissions": Allow, applies' in output
    assert 'identity policy 1, statement 1 "OnlyX": Allow, does not apply' in output
    assert 'StringEquals kms:EncryptionContext:App ["x"] does not hold: the request does not have it' in output
    assert "identity policy 1 is only\n" in output
    output = asked(world, data, user.arn, "kms:Decrypt", key, "--encryption-context", "App=x")
    assert 'allow, left to the account: resource policy, statement 1 "Enable IAM User Permissions"' in output
    assert 'kms:EncryptionContext:App ["x"] holds: the request has ["x"]' in output
    more = ("--encryption-context", "App=x", "--context", "aws:SecureTransport=false")
    assert "deny: identity policy 1, statement 2\n" in asked(world, data, user.arn, "kms:Decrypt", key, *more)


def test_it_says_what_the_server_does(world, data):
    """For users, a root, roles and grants."""
    key, stranger = world.key(), world.user()
    root, able = world.root_arn, world.user(ALL)
    for caller, arn, allowed in [(world.root, root, True), (able, able.arn, True), (stranger, stranger.arn, False)]:
        output = asked(world, data, arn, "kms:Encrypt", key)
        assert ("\nallow" in output) == allowed, output
        if allowed:
            caller.kms.encrypt(KeyId=key, Plaintext=b"x")
            continue
        with refused("AccessDeniedException"):
            caller.kms.encrypt(KeyId=key, Plaintext=b"x")
    grant = world.kms.create_grant(KeyId=key, GranteePrincipal=stranger.arn, Operations=["Encrypt"])["GrantId"]
    output = asked(world, data, stranger.arn, "kms:Encrypt", key)
    assert f"\nallow: grant {grant}\n" in output and f"grant {grant} to {stranger.arn}: allows" in output
    stranger.kms.encrypt(KeyId=key, Plaintext=b"x")


def test_a_request_by_its_id(world, data):
    key, user = world.key(), world.user(allow("kms:DescribeKey"))
    with refused("AccessDeniedException") as caught:
        user.kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"App": "x"})
    response = caught.value.response
    request = response["ResponseMetadata"]["RequestId"]
    status, output = explain(data, "--request-id", request)
    assert status == 0, output
    for line in [f"request   {request}", "operation Encrypt", f"caller    {user.arn}"]:
        assert line in output.splitlines()
    assert f"message   {response['Error']['Message']}" in output.splitlines()
    assert f"decision  Deny kms:Encrypt on {key}: NoAllow(IdentityPolicy)" in output.splitlines()
    assert "identity policy 1, statement 1: Allow, does not apply\n    another action\n" in output
    answer = world.kms.describe_key(KeyId=key)["ResponseMetadata"]["RequestId"]
    status, output = explain(data, "--request-id", answer)
    assert status == 0 and f"decision  Allow kms:DescribeKey on {key}: ResourcePolicyAllows" in output
    assert "    by ResourcePolicy 1, statement 1\n" in output


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["--request-id", "0f3a8f4c-7a1b-4b8e-9d55-2f6f8d1c9e11"], "the audit log has no record of this request"),
        (["--request-id", "x"], "a request id is a UUID"),
        (["--caller", f"arn:aws:iam::{OWN}:user/none", "--action", "kms:Decrypt"], "is not the ARN of a user"),
        (["--caller", f"arn:aws:iam::{OWN}:root", "--action", "kms:Decrypt"], "is no action of KMS that needs no key"),
        (["--caller", f"arn:aws:iam::{OWN}:root", "--action", "kms:X", "--key", "k"], "is no action on a key"),
        (["--caller", f"arn:aws:iam::{OWN}:root", "--action", "kms:Sign", "--key", "k"], "Invalid keyId 'k'"),
        (["--caller", f"arn:aws:iam::{OWN}:root", "--action", "kms:ListKeys", "--context", "x"], "is not NAME=VALUE"),
        (["--caller", f"arn:aws:iam::{OWN}:root", "--action", "iam:X"], "is no action of IAM or STS that is built"),
        (["--caller", f"arn:aws:iam::{OWN}:root", "--action", "sts:AssumeRole"], "needs the ARN of a role"),
        (["--caller", f"arn:aws:iam::{OWN}:root", "--action", "sts:GetSessionToken"], "no policy governs"),
        (["--caller", f"arn:aws:sts::{OWN}:federated-user/f", "--action", "kms:ListKeys"], "say it with --made-by"),
        (["--caller", f"arn:aws:iam::{OWN}:root", "--action", "kms:ListKeys", "--session-policy-arn", "x"], "name a role"),
        (["--caller", f"arn:aws:iam::{OWN}:root", "--action", "kms:ListKeys", "--made-by", "x"], "only a federated"),
        ([], "required arguments"),
        (["--action", "kms:Sign"], "required arguments"),
    ],
)
def test_what_cannot_be_explained(world, data, arguments, text):
    status, output = explain(data, *arguments)
    assert status != 0 and text in output, output


def test_it_is_recorded_and_changes_nothing(world, data):
    key, user = world.key(), world.user()
    before = world.kms.get_key_policy(KeyId=key)["Policy"]
    asked(world, data, user.arn, "kms:PutKeyPolicy", key, "--context", "aws:SourceIp=192.0.2.1")
    assert world.kms.get_key_policy(KeyId=key)["Policy"] == before
    lines = [line for file in sorted((data / "audit").glob("segment-*")) for line in file.read_text().splitlines()]
    records = [json.loads(line).get("record", {}) for line in lines]
    found = [record for record in records if record.get("eventName") == "Explain"][-1]
    assert found["readOnly"] is True and found["userIdentity"]["type"] == "Operator"
    parameters = found["requestParameters"]
    assert (parameters["caller"], parameters["action"], parameters["keyId"]) == (user.arn, "kms:PutKeyPolicy", key)
    assert parameters["context"] == {"aws:SourceIp": "192.0.2.1"}


def records(data):
    for file in sorted((data / "audit").glob("segment-*")):
        for line in file.read_text().splitlines():
            yield json.loads(line).get("record", {})


def last_of(data, arn):
    """The newest record of this caller."""
    return [record for record in records(data) if record.get("userIdentity", {}).get("arn") == arn][-1]


def said(output):
    """Allowed or denied, as the explanation's own line says."""
    line = next(line for line in output.splitlines() if line.startswith(("allow", "deny")))
    return "Allow" if line.startswith("allow") else "Deny"


@pytest.mark.parametrize("row", GOVERNED, ids=str)
def test_every_question_of_every_operation(world, data, row):
    """What the server asked itself, and answered, is what `explain` says: by its parts, and by the request's id."""
    resources, arguments = row.prepare(world)
    asked_of_server = set()
    for action in row.actions:
        caller = world.user({"Effect": "Allow", "NotAction": action, "Resource": "*"})
        with contextlib.suppress(botocore.exceptions.ClientError):
            call(caller, row, arguments)
        record = last_of(data, caller.arn)
        decisions = record["clavigerDecision"]
        assert decisions[-1]["effect"] == "Deny" and decisions[-1]["action"] == action
        for decision in decisions:
            asked_of_server.add(decision["action"])
            about = decision["resource"]
            option = "--key" if ":key/" in about else "--resource"
            parts = [] if about == "*" else [option, about]
            if decision["action"] == "kms:RetireGrant":
                parts += ["--grant", arguments["GrantId"]]
            status, output = explain(data, "--caller", caller.arn, "--action", decision["action"], *parts)
            assert status == 0 and said(output) == decision["effect"], output
            assert f"resource  {about}\n" in output
        status, output = explain(data, "--request-id", record["requestID"])
        assert status == 0, output
        again = [line for line in output.splitlines() if line.startswith(("allow", "deny"))]
        assert [line.split(",")[0].split(":")[0].capitalize() for line in again] == [one["effect"] for one in decisions]
    assert asked_of_server == set(row.actions)


def role(world, *statements, principal=None):
    name = unique("role")
    arn = world.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust({"AWS": principal or world.root_arn}))["Role"]["Arn"]
    if statements:
        world.iam.put_role_policy(RoleName=name, PolicyName="only", PolicyDocument=policy(*statements))
    return name, arn


def session_of(world, answer):
    given = answer["Credentials"]
    return Account(
        world.server,
        world.number,
        world.root.region,
        account=given["AccessKeyId"],
        secret=given["SecretAccessKey"],
        token=given["SessionToken"],
    )


def test_a_session_policy(world, data, tmp_path):
    key, caller = world.key(), world.user(ALL)
    name, arn = role(world, ALL, principal=caller.arn)
    narrow = tmp_path / "policy.json"
    narrow.write_text(policy(allow("kms:DescribeKey")))
    output = asked(world, data, arn, "kms:Encrypt", key)
    assert said(output) == "Allow"
    output = asked(world, data, arn, "kms:Encrypt", key, "--session-policy", narrow)
    assert "\ndeny: no session policy allows\n" in output
    assert "session policy 1, statement 1: Allow, does not apply\n    another action\n" in output
    managed = world.iam.create_policy(PolicyName=unique("p"), PolicyDocument=policy(allow("kms:Encrypt")))["Policy"]["Arn"]
    more = ("--session-policy", narrow, "--session-policy-arn", managed)
    output = asked(world, data, f"arn:aws:sts::{OWN}:assumed-role/{name}/one", "kms:Encrypt", key, *more)
    assert said(output) == "Allow" and f"session policy 2 is {managed}\n" in output
    # The same of a session that was there: its policy comes from the record of AssumeRole.
    taken = caller.service("sts").assume_role(RoleArn=arn, RoleSessionName="one", Policy=narrow.read_text())
    session = session_of(world, taken)
    with refused("AccessDeniedException") as caught:
        session.kms.encrypt(KeyId=key, Plaintext=b"x")
    status, output = explain(data, "--request-id", caught.value.response["ResponseMetadata"]["RequestId"])
    assert status == 0 and "the session was made by AssumeRole at " in output
    assert "\ndeny: no session policy allows\n" in output and "not known any more" not in output, output


def test_what_a_log_no_longer_tells_is_said(tmp_path):
    """A session whose making the log does not show: it is not guessed at."""
    data = tmp_path / "data"
    with enforced.world(data) as world:
        key, caller = world.key(), world.user(ALL)
        _, arn = role(world, principal=caller.arn)
        session = session_of(world, caller.service("sts").assume_role(RoleArn=arn, RoleSessionName="one"))
        with refused("AccessDeniedException") as caught:
            session.kms.encrypt(KeyId=key, Plaintext=b"x")
        for file in (data / "audit").glob("segment-*"):
            with file.open("r+b") as opened:
                text = opened.read()
                at = text.index(b'"credentials":{"accessKeyId":"ASIA')
                opened.seek(at)
                opened.write(b'"credentials":{"accessKeyId":"XXXX')
        status, output = explain(data, "--request-id", caught.value.response["ResponseMetadata"]["RequestId"])
        assert status == 0 and "not known any more: the session's own policies and tags" in output


def test_a_federated_session(world, data):
    key, user = world.key(), world.user(allow("kms:Encrypt"))
    arn = f"arn:aws:sts::{OWN}:federated-user/guest"
    output = asked(world, data, arn, "kms:Encrypt", key, "--made-by", user.arn)
    assert "\ndeny: no session policy allows\n" in output
    status, output = explain(data, "--caller", arn, "--action", "iam:GetUser", "--made-by", user.arn)
    assert status == 0 and "deny, whatever the policies say: " in output


def test_who_may_take_on_a_role(world, data):
    trusted, other = world.user(allow("sts:AssumeRole")), world.user(allow("sts:AssumeRole"))
    _, arn = role(world, principal=trusted.arn)
    for caller, expected in [(trusted, "Allow"), (other, "Deny")]:
        status, output = explain(data, "--caller", caller.arn, "--action", "sts:AssumeRole", "--role", arn)
        assert status == 0 and said(output) == expected, output
    assert "resource policy, statement 1: Allow, does not apply\n    the caller is not named\n" in output
    status, output = explain(data, "--caller", world.root_arn, "--action", "sts:AssumeRole", "--role", arn)
    assert status == 0 and "deny: a root user takes no role" in output


def test_a_permissions_boundary(world, data):
    key, user = world.key(), world.user(ALL)
    boundary = world.iam.create_policy(PolicyName=unique("b"), PolicyDocument=policy(allow("iam:*")))["Policy"]["Arn"]
    name = user.arn.split("/")[-1]
    world.iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=boundary)
    output = asked(world, data, user.arn, "kms:Encrypt", key)
    assert "\ndeny: no permissions boundary allows\n" in output and f"permissions boundary is {boundary}\n" in output
    assert "permissions boundary, statement 1: Allow, does not apply\n    another action\n" in output


def test_grants_behind_grants(world, data):
    """CreateGrant by a grant, RetireGrant, and grants whose constraint is not met."""
    key, holder, stranger = world.key(), world.user(), world.user()
    allowing = {"KeyId": key, "GranteePrincipal": holder.arn, "RetiringPrincipal": holder.arn}
    grant = world.kms.create_grant(
        **allowing,
        Operations=["CreateGrant", "Encrypt"],
        Constraints={"EncryptionContextSubset": {"App": "x"}},
    )["GrantId"]
    output = asked(world, data, holder.arn, "kms:Encrypt", key, "--encryption-context", "App=x")
    assert f"\nallow: grant {grant}\n" in output
    output = asked(world, data, holder.arn, "kms:Encrypt", key, "--encryption-context", "App=y")
    assert said(output) == "Deny"
    assert f'grant {grant} to {holder.arn}: does not allow this; EncryptionContextSubset {{"App": "x"}}\n' in output
    delegating = ("--grant-operation", "Encrypt", "--encryption-context", "App=x")
    output = asked(world, data, holder.arn, "kms:CreateGrant", key, *delegating)
    assert f"\nallow: grant {grant}\n" in output
    output = asked(world, data, holder.arn, "kms:CreateGrant", key, "--grant-operation", "Decrypt", *delegating[2:])
    assert said(output) == "Deny" and "does not allow this; it allows CreateGrant, Encrypt" in output
    assert "say what the new one is to allow" in asked(world, data, holder.arn, "kms:CreateGrant", key)
    for caller, expected in [(holder, "Allow"), (stranger, "Deny")]:
        output = asked(world, data, caller.arn, "kms:RetireGrant", key, "--grant", grant)
        assert said(output) == expected and "the key policy has no say" in output, output
    holder.kms.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"App": "x"})
    assert last_of(data, holder.arn)["clavigerDecision"][0]["grant"] == grant
    status, output = explain(data, "--request-id", last_of(data, holder.arn)["requestID"])
    assert status == 0 and f"    by grant {grant}\n" in output and f"\nallow: grant {grant}\n" in output


def test_closed_accounts(world, data):
    key, foreign = world.key(), world.user(ALL, of=world.other)
    document = json.loads(world.kms.get_key_policy(KeyId=key)["Policy"])
    document["Statement"].append(allow("kms:*", Principal={"AWS": world.other_root}))
    world.kms.put_key_policy(KeyId=key, Policy=json.dumps(document))
    assert said(asked(world, data, foreign.arn, "kms:Encrypt", key)) == "Allow"
    for account, text in [
        (world.other_number, f"deny, whatever the policies say: the account {world.other_number} is closed"),
        (OWN, f"the account {OWN}, whose resource this is, is closed: nobody of another account may\ndeny"),
    ]:
        status, output = servers.run("account", "close", account, "--data", data)
        assert status == 0, output
        try:
            output = asked(world, data, foreign.arn, "kms:Encrypt", key)
            assert text in output and said(output) == "Deny", output
        finally:
            assert servers.run("account", "reopen", account, "--data", data)[0] == 0


def test_a_namesake_is_told_apart(world, data):
    key, user = world.key(), world.user()
    with refused("AccessDeniedException") as caught:
        user.kms.encrypt(KeyId=key, Plaintext=b"x")
    name = user.arn.split("/")[-1]
    for access_key in world.iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
        world.iam.delete_access_key(UserName=name, AccessKeyId=access_key["AccessKeyId"])
    world.iam.delete_user(UserName=name)
    request = caught.value.response["ResponseMetadata"]["RequestId"]
    status, output = explain(data, "--request-id", request)
    assert status == 0 and "is not the ARN of a user" in output
    world.iam.create_user(UserName=name)
    status, output = explain(data, "--request-id", request)
    assert status == 0 and "who has it now, is somebody else" in output


def test_service_control_policies(world, data, tmp_path):
    file = tmp_path / "only.json"
    file.write_text(policy(allow("kms:Describe*")))
    key = world.key()

    def obeyed(*arguments):
        status, output = servers.run(*arguments, "--data", data)
        assert status == 0, output
        return output

    made = obeyed("policy", "create", "only-describe", file).split()
    number = next(word for word in made if word.startswith("p-"))
    obeyed("policy", "attach", number, OWN)
    try:
        obeyed("policy", "detach", "p-FullAWSAccess", OWN)
        output = asked(world, data, world.root_arn, "kms:Encrypt", key)
        assert "\ndeny: no service control policy allows\n" in output
        assert "service control policy 1, statement 1: Allow, does not apply\n    another action\n" in output
        assert f"is only-describe ({number}) of {OWN}\n" in output
        assert f"no service control policy of {OWN} allows this\n" in output
    finally:
        obeyed("policy", "attach", "p-FullAWSAccess", OWN)
        obeyed("policy", "detach", number, OWN)
