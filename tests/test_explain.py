"""`claviger explain`: why somebody may, or may not, asked of a running server by its operator."""

import json

import pytest
from support import enforced
from support import server as servers
from support.aws import refused
from support.enforced import ALL, OWN, allow


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
    assert f"decision  Deny on {key}: NoAllow(IdentityPolicy)" in output.splitlines()
    assert "identity policy 1, statement 1: Allow, does not apply\n    another action\n" in output
    answer = world.kms.describe_key(KeyId=key)["ResponseMetadata"]["RequestId"]
    status, output = explain(data, "--request-id", answer)
    assert status == 0 and f"decision  Allow on {key}: ResourcePolicyAllows" in output
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
