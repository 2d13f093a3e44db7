"""What belongs to services that call for a user: no direct call has it, whatever it brings along.

No service of this server calls KMS yet, so what is seen from outside is that nobody can pass for one. How it is through
a service: `crates/kms/tests/kms/service_calls.rs`.
"""

import json

import pytest
from support import server as servers
from support.aws import refused
from support.identities import trust
from support.people import ONE, SECRET, Person, allow, policy, role_of, root_of, user_of
from test_audit import records

DENIED = "AccessDeniedException"
VIA = "ssm.eu-central-1.amazonaws.com"
THING = "arn:aws:ssm:eu-central-1:111122223333:parameter/one"
NOTHING = "0" * 64


def under(account, *statements):
    """A key under this policy, which its account may replace."""
    administration = {"Effect": "Allow", "Principal": {"AWS": account.root}, "Action": "kms:PutKeyPolicy"}
    every = [{"Resource": "*", **statement} for statement in (administration, *statements)]
    return account.create_key(Policy=policy(*every))["Arn"]


def when(action, **condition):
    return {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": action, "Condition": condition}


def of_a_service(account):
    """The policy of keys that AWS's services own: all use through the service, and a direct look at what the key is."""
    use = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:CreateGrant", "kms:DescribeKey"]
    look = {
        "Effect": "Allow",
        "Principal": {"AWS": account.root},
        "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
    }
    only = {"kms:CallerAccount": account.number, "kms:ViaService": VIA}
    return when(use, StringEquals=only), look


def test_a_key_of_a_service_is_for_no_direct_use(aws):
    other = type(aws)(aws.server, str(int(aws.number) + 500_000_000_000))
    arn = under(aws, *of_a_service(aws))
    assert aws.metadata(arn)["Arn"] == arn
    for caller in (aws, other):
        with refused(DENIED):
            caller.kms.encrypt(KeyId=arn, Plaintext=b"plain")
        with refused(DENIED):
            caller.kms.generate_data_key(KeyId=arn, KeySpec="AES_256")
        with refused(DENIED):
            caller.kms.create_grant(KeyId=arn, GranteePrincipal=caller.root, Operations=["Decrypt"])
    with refused(DENIED):
        other.kms.describe_key(KeyId=arn)
    # The condition alone keeps them out: with what is true of a direct call the same policy opens.
    opened = under(aws, when("kms:Encrypt", StringEquals={"kms:CallerAccount": aws.number}))
    assert aws.kms.encrypt(KeyId=opened, Plaintext=b"plain")["KeyId"] == opened


@pytest.mark.parametrize("value", ["true", "false"])
def test_no_direct_grant_is_for_a_resource_of_a_service(account, value):
    def told(call, *arguments, **options):
        if value == "true":
            with refused(DENIED):
                call(*arguments, **options)
            return {}
        return call(*arguments, **options)

    actions = ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"]
    arn = under(account, when(actions, Bool={"kms:GrantIsForAWSResource": value}))
    made = told(account.kms.create_grant, KeyId=arn, GranteePrincipal=account.root, Operations=["Encrypt"])
    listed = told(account.kms.list_grants, KeyId=arn)
    assert [grant["GrantId"] for grant in listed.get("Grants", [])] == [made[key] for key in made if key == "GrantId"]
    told(account.kms.revoke_grant, KeyId=arn, GrantId=made.get("GrantId", NOTHING))


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"Null": {"kms:ViaService": "false"}}, False),
        ({"Null": {"aws:CalledVia": "false"}}, False),
        ({"Null": {"aws:CalledViaFirst": "false"}}, False),
        ({"Null": {"aws:CalledViaLast": "false"}}, False),
        ({"Null": {"aws:SourceArn": "false"}}, False),
        ({"Null": {"aws:SourceAccount": "false"}}, False),
        ({"Null": {"aws:PrincipalServiceName": "false"}}, False),
        ({"Bool": {"aws:ViaAWSService": "true"}}, False),
        ({"Bool": {"aws:PrincipalIsAWSService": "true"}}, False),
        ({"Bool": {"aws:ViaAWSService": "false", "aws:PrincipalIsAWSService": "false"}}, True),
        ({"Null": {"kms:ViaService": "true"}}, True),
    ],
)
def test_nothing_that_a_request_brings_makes_it_a_services(account, condition, holds):
    """Headers that AWS's services send one another, a context and tags that are named like the conditions."""
    names = ["kms:ViaService", "kms:GrantIsForAWSResource", "ViaService", "kms:CalledVia"]
    arn = under(account, when("kms:Encrypt", **condition))
    account.kms.put_key_policy(
        KeyId=arn,
        Policy=policy(
            {"Effect": "Allow", "Principal": {"AWS": account.root}, "Resource": "*", "Action": "kms:*Tag*"},
            {"Effect": "Allow", "Principal": {"AWS": account.root}, "Resource": "*", "Action": "kms:PutKeyPolicy"},
            {**when("kms:Encrypt", **condition), "Resource": "*"},
        ),
    )
    account.kms.tag_resource(KeyId=arn, Tags=[{"TagKey": name, "TagValue": VIA} for name in names])
    context = {**dict.fromkeys([*names, "aws:CalledVia"], VIA), "aws:ViaAWSService": "true", "aws:SourceArn": THING}

    def forge(headers):
        headers.update(
            {
                "User-Agent": "ssm.amazonaws.com",
                "Referer": "ssm.amazonaws.com",
                "x-amz-source-arn": THING,
                "x-amz-source-account": ONE,
                "x-amz-via-service": VIA,
                "x-amzn-invoked-by": "ssm.amazonaws.com",
                "X-Forwarded-For": "ssm.amazonaws.com",
            }
        )

    body = {"KeyId": arn, "Plaintext": "cGxhaW4=", "EncryptionContext": context}
    answer = account.signed("Encrypt", body, change=forge)
    assert (answer.status == 200) is holds, answer
    assert holds or json.loads(answer.body)["__type"].endswith(DENIED)


def test_no_session_tag_makes_a_session_a_services():
    with servers.dev(None, "--enforce", "--root", f"{ONE}={root_of(ONE)}:{SECRET}") as server:
        root = Person(server, root_of(ONE), SECRET)
        user = user_of(root, allow(["sts:AssumeRole", "sts:TagSession"]))
        document = trust({"AWS": user.arn}, ["sts:AssumeRole", "sts:TagSession"])
        role = role_of(root, document, allow("kms:*"))
        tags = {"kms:ViaService": VIA, "ViaService": VIA, "kms:GrantIsForAWSResource": "true", "CalledVia": VIA}
        session = user.assume(role, Tags=[{"Key": key, "Value": value} for key, value in tags.items()])
        own = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ONE}:root"}, "Resource": "*"}
        for condition in (
            {"Null": {"kms:ViaService": "false"}},
            {"Null": {"aws:CalledVia": "false"}},
            {"Bool": {"kms:GrantIsForAWSResource": "true"}},
        ):
            text = policy(
                {**own, "NotAction": ["kms:CreateGrant"]}, {**own, "Action": "kms:CreateGrant", "Condition": condition}
            )
            key = root.kms.create_key(Policy=text)["KeyMetadata"]["Arn"]
            assert session.kms.encrypt(KeyId=key, Plaintext=b"plain")["KeyId"] == key
            with refused(DENIED):
                session.kms.create_grant(KeyId=key, GranteePrincipal=user.arn, Operations=["Encrypt"])


def test_a_grant_for_a_source_gives_a_direct_caller_nothing_but_its_end(account, other_account):
    arn = account.create_key()["Arn"]
    made = account.kms.create_grant(
        KeyId=arn,
        GranteePrincipal=other_account.root,
        Operations=["Encrypt", "DescribeKey", "RetireGrant"],
        Constraints={"SourceArn": THING},
    )
    with refused(DENIED):
        other_account.kms.encrypt(KeyId=arn, Plaintext=b"plain", GrantTokens=[made["GrantToken"]])
    with refused(DENIED):
        other_account.kms.describe_key(KeyId=arn)
    other_account.kms.retire_grant(KeyId=arn, GrantId=made["GrantId"])
    assert account.kms.list_grants(KeyId=arn)["Grants"] == []


def test_the_record_of_a_direct_call_names_no_service(tmp_path):
    with servers.dev(tmp_path / "data") as server:
        answer = server.signed(
            "CreateKey", {}, change=lambda headers: headers.update({"User-Agent": "ssm.amazonaws.com"})
        )
        assert answer.status == 200
    (record,) = (found for found in records(tmp_path / "data" / "audit") if found["eventName"] == "CreateKey")
    assert (record["sourceIPAddress"], record["userAgent"]) == ("127.0.0.1", "ssm.amazonaws.com")
    assert "invokedBy" not in record["userIdentity"]
    assert "innerRequestIDs" not in (record.get("additionalEventData") or {})
