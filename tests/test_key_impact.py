"""`claviger key impact`: who would miss a key, from the audit log and from the key itself."""

import json

import pytest
from support import enforced
from support import server as servers
from support.aws import Account, refused
from support.enforced import ALL, OWN, allow, policy
from support.identities import trust, unique


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("missed") / "data"


@pytest.fixture(scope="module")
def world(data):
    with enforced.world(data) as made:
        yield made


def impact(data, *arguments):
    return servers.run("key", "impact", *arguments, "--data", data)


def report(data, *arguments):
    status, output = impact(data, *arguments, "--json")
    assert status == 0, output
    return json.loads(output)


def caller_in(found, arn):
    return next(caller for caller in found["callers"] if caller["arn"] == arn)


def test_who_used_a_key(world, data):
    """By alias, by grant, with a context, as a session of a role; denied and failed calls are told apart."""
    key, alias = world.key(), f"alias/{unique('named')}"
    world.kms.create_alias(AliasName=alias, TargetKeyId=key)
    user, grantee, stranger = world.user(ALL), world.user(), world.user()
    grant = world.kms.create_grant(KeyId=key, GranteePrincipal=grantee.arn, Operations=["Decrypt"], Name="read")["GrantId"]
    blob = user.kms.encrypt(KeyId=alias, Plaintext=b"x", EncryptionContext={"App": "hidden value"})["CiphertextBlob"]
    user.kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    grantee.kms.decrypt(CiphertextBlob=blob, EncryptionContext={"App": "hidden value"})
    for _ in range(2):
        with refused("AccessDeniedException"):
            stranger.kms.encrypt(KeyId=key, Plaintext=b"x")
    with refused("InvalidCiphertextException"):
        grantee.kms.decrypt(CiphertextBlob=blob, EncryptionContext={"App": "other"})
    name = unique("role")
    principal = {"AWS": user.arn}
    role = world.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust(principal))["Role"]["Arn"]
    world.iam.put_role_policy(RoleName=name, PolicyName="only", PolicyDocument=policy(allow("kms:*")))
    for session in ("one", "two"):
        given = user.service("sts").assume_role(RoleArn=role, RoleSessionName=session)["Credentials"]
        more = {"account": given["AccessKeyId"], "secret": given["SecretAccessKey"], "token": given["SessionToken"]}
        Account(world.server, OWN, world.root.region, **more).kms.encrypt(KeyId=key, Plaintext=b"x")

    found = report(data, key)
    assert found["arn"] == key and found["log"]["firstFault"] is None
    assert found["log"]["records"] == found["log"]["sound"] > 10
    used = caller_in(found, user.arn)
    assert used["uses"] == 2 and used["operations"] == {"Encrypt": 1, "GenerateDataKey": 1}
    assert used["aliases"] == {alias: 1} and used["contextKeys"] == ["App"] and used["grants"] == {}
    assert used["addresses"] == ["127.0.0.1"] and used["firstUse"] <= used["lastUse"]
    used = caller_in(found, grantee.arn)
    assert used["grants"] == {grant: 1} and used["operations"] == {"Decrypt": 1} and used["aliases"] == {}
    assert (used["uses"], used["denied"], used["failed"]) == (1, 0, 1)
    denied = caller_in(found, stranger.arn)
    assert (denied["uses"], denied["denied"], denied["firstUse"]) == (0, 2, None)
    sessions = caller_in(found, role)
    assert (sessions["uses"], sessions["sessions"]) == (2, ["one", "two"])
    assert caller_in(found, world.root_arn)["otherCalls"] >= 2
    assert found["key"]["aliases"] == [alias] and found["key"]["state"] == "Enabled"
    shown = [(one["id"], one["name"], one["grantee"], one["operations"]) for one in found["key"]["grants"]]
    assert shown == [(grant, "read", grantee.arn, ["Decrypt"])]
    status, output = impact(data, key)
    assert status == 0
    assert "hidden value" not in output + json.dumps(found)
    for text in [f"    grant     {grant} 1\n", "    context   App\n", "    sessions  one, two\n", f"{alias} 1\n"]:
        assert text in output, output
    # By the alias, of the account that it is in; by the id, in the Region.
    region = world.root.region
    assert report(data, alias, "--account", OWN, "--region", region)["arn"] == key
    assert report(data, key.split("/")[-1], "--region", region)["arn"] == key


def test_re_encryption_has_two_sides(world, data):
    old, new, user = world.key(), world.key(), world.user(ALL)
    blob = user.kms.encrypt(KeyId=old, Plaintext=b"x", EncryptionContext={"Old": "1"})["CiphertextBlob"]
    user.kms.re_encrypt(
        CiphertextBlob=blob,
        SourceEncryptionContext={"Old": "1"},
        DestinationKeyId=new,
        DestinationEncryptionContext={"New": "1"},
    )
    used = caller_in(report(data, old), user.arn)
    assert used["operations"] == {"Encrypt": 1, "ReEncryptFrom": 1} and used["contextKeys"] == ["Old"]
    used = caller_in(report(data, new), user.arn)
    assert used["operations"] == {"ReEncryptTo": 1} and used["contextKeys"] == ["New"]


def test_only_what_came_since(world, data):
    key = world.key()
    world.kms.encrypt(KeyId=key, Plaintext=b"x")
    found = report(data, key, "--since", "2000-01-01")
    assert found["log"]["since"] == "2000-01-01T00:00:00Z" and caller_in(found, world.root_arn)["uses"] == 1
    found = report(data, key, "--since", "9000-01-01")
    assert found["callers"] == []
    assert "Nobody used the key or tried to" in impact(data, key, "--since", "9000-01-01")[1]


def test_what_would_be_lost(world, data):
    key = world.key()
    assert any("nobody has a copy" in line for line in report(data, key)["key"]["lost"])
    world.kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    found = report(data, key)["key"]
    assert found["state"] == "PendingDeletion" and found["deletionDate"]
    made = world.kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["Arn"]
    found = report(data, made)["key"]
    assert (found["state"], found["origin"]) == ("PendingImport", "EXTERNAL")
    assert any("imported" in line for line in found["lost"])


def test_a_key_that_is_gone(world, data):
    """Its ARN is enough: the log still knows it."""
    arn = f"arn:aws:kms:{world.root.region}:{OWN}:key/00000000-1111-2222-3333-444444444444"
    assert report(data, arn)["key"] is None
    assert "it is there no more" in impact(data, arn)[1]


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["alias/x"], "there is no key"),
        (["alias/x", "--account", OWN], "is not found"),
        (["alias/x", "--account", "1"], "an account has 12 digits"),
        (["00000000-1111-2222-3333-444444444444"], "there is no key"),
        (["arn:aws:kms"], "there is no key"),
        (["arn:aws:kms:us-east-1:111122223333:key/x"], "Invalid keyId"),
        (["x", "--since", "yesterday"], "is neither a day"),
        ([], "required arguments"),
    ],
)
def test_what_cannot_be_reported(world, data, arguments, text):
    status, output = impact(data, *arguments)
    assert status != 0 and text in output, output


def test_it_is_recorded(world, data):
    key = world.key()
    report(data, key, "--since", "2026-01-01")
    lines = [line for file in sorted((data / "audit").glob("segment-*")) for line in file.read_text().splitlines()]
    records = [json.loads(line).get("record", {}) for line in lines]
    found = [record for record in records if record.get("eventName") == "ReportKeyImpact"][-1]
    assert found["readOnly"] is True and found["userIdentity"]["type"] == "Operator"
    assert (found["requestParameters"]["keyId"], found["requestParameters"]["since"]) == (key, "2026-01-01")


def test_an_altered_log_is_said(tmp_path):
    data = tmp_path / "data"
    with enforced.world(data) as world:
        key = world.key()
        world.kms.encrypt(KeyId=key, Plaintext=b"x")
        world.kms.encrypt(KeyId=key, Plaintext=b"y")
        for file in (data / "audit").glob("segment-*"):
            with file.open("r+b") as opened:
                opened.seek(opened.read().index(b'"eventName":"Encrypt"'))
                opened.write(b'"eventName":"Decrypt"')
        found = report(data, key)
        assert "altered" in found["log"]["firstFault"] and found["log"]["sound"] < found["log"]["records"]
        assert caller_in(found, world.root_arn)["uses"] == 2
        assert "verified  NOT: " in impact(data, key)[1]
