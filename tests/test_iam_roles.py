"""Roles and their trust policies over AWS's own API."""

import json
import re

import pytest
from support import server as servers
from support.aws import refused
from support.identities import everything, trust, unique


@pytest.fixture
def iam(aws):
    return aws.service("iam", region="us-east-1")


@pytest.fixture
def plain(account):
    return account.service("iam", region="us-east-1")


def shown_trust(iam, role):
    document = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    return json.loads(document) if isinstance(document, str) else document


def test_a_role_comes_and_goes(aws, iam):
    text = trust({"AWS": aws.root})
    made = iam.create_role(RoleName="Deploy", Path="/ci/", AssumeRolePolicyDocument=text, Description="d\u00e9")["Role"]
    assert re.fullmatch(r"AROA[A-Z2-7]{17}", made["RoleId"])
    assert made["Arn"] == f"arn:aws:iam::{aws.number}:role/ci/Deploy"
    assert "MaxSessionDuration" not in made and "Tags" not in made
    found = iam.get_role(RoleName="Deploy")["Role"]
    assert found == {**made, "MaxSessionDuration": 3600, "RoleLastUsed": {}}
    assert shown_trust(iam, "Deploy") == json.loads(text)
    listed = iam.list_roles(PathPrefix="/ci/")["Roles"]
    assert listed == [{**made, "MaxSessionDuration": 3600}]
    with refused("EntityAlreadyExists", "Role with name deploy already exists.", status=409):
        iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=text)
    assert iam.list_instance_profiles_for_role(RoleName="Deploy")["InstanceProfiles"] == []
    iam.delete_role(RoleName="Deploy")
    for call in (iam.get_role, iam.delete_role, iam.list_instance_profiles_for_role):
        with refused("NoSuchEntity", "The role with name Deploy cannot be found.", status=404):
            call(RoleName="Deploy")
    again = iam.create_role(RoleName="Deploy", AssumeRolePolicyDocument=text)["Role"]
    assert again["RoleId"] != made["RoleId"]


def test_changes_of_a_role(aws, iam):
    text = trust({"AWS": aws.root})
    role = iam.create_role(RoleName="role", AssumeRolePolicyDocument=text, MaxSessionDuration=7200)["Role"]
    assert role["MaxSessionDuration"] == 7200
    iam.update_role(RoleName="role", Description="new", MaxSessionDuration=43200)
    found = iam.get_role(RoleName="role")["Role"]
    assert (found["Description"], found["MaxSessionDuration"]) == ("new", 43200)
    assert iam.update_role_description(RoleName="role", Description="newer")["Role"]["Description"] == "newer"
    iam.update_role(RoleName="role")
    found = iam.get_role(RoleName="role")["Role"]
    assert (found["Description"], found["MaxSessionDuration"]) == ("newer", 3600)
    iam.update_role(RoleName="role", Description="")
    assert "Description" not in iam.get_role(RoleName="role")["Role"]
    for seconds in (3599, 43201):
        with refused("ValidationError"):
            iam.update_role(RoleName="role", MaxSessionDuration=seconds)
    iam.update_assume_role_policy(RoleName="role", PolicyDocument=trust({"Service": "ec2.amazonaws.com"}))
    assert shown_trust(iam, "role")["Statement"][0]["Principal"] == {"Service": "ec2.amazonaws.com"}
    with refused("MalformedPolicyDocument"):
        iam.update_assume_role_policy(RoleName="role", PolicyDocument="{}")
    for call, settings in (
        (iam.update_role, {}),
        (iam.update_role_description, {"Description": ""}),
        (iam.update_assume_role_policy, {"PolicyDocument": text}),
    ):
        with refused("NoSuchEntity", status=404):
            call(RoleName="absent", **settings)


def test_tags_of_a_role(aws, iam):
    made = iam.create_role(
        RoleName="role", AssumeRolePolicyDocument=trust({"AWS": aws.root}), Tags=[{"Key": "A", "Value": "1"}]
    )["Role"]
    assert made["Tags"] == [{"Key": "A", "Value": "1"}]
    iam.tag_role(RoleName="role", Tags=[{"Key": "a", "Value": "2"}])
    assert iam.list_role_tags(RoleName="role")["Tags"] == [{"Key": "a", "Value": "2"}]
    assert iam.get_role(RoleName="role")["Role"]["Tags"] == [{"Key": "a", "Value": "2"}]
    iam.untag_role(RoleName="role", TagKeys=["A"])
    assert iam.list_role_tags(RoleName="role")["Tags"] == []


def test_pages_of_roles(aws, iam):
    names = [f"role{number}" for number in range(5)]
    for name in names:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust({"AWS": aws.root}))
    assert [role["RoleName"] for role in everything(iam.list_roles, "Roles")] == names


@pytest.mark.parametrize(
    "document, message",
    [
        ("{", "This policy contains invalid Json"),
        ('{"Version": "2012-10-17", "Version": "2012-10-17"}', "This policy contains invalid Json"),
        (trust("*").replace('"Action"', '"Resource": "*", "Action"'), "Has prohibited field Resource"),
        (trust("*").replace('"Principal": "*", ', ""), "Missing required field Principal"),
        (trust("*", "kms:Decrypt"), "AssumeRole policy may only specify STS AssumeRole actions."),
        (trust({"AWS": "alice"}), 'Invalid principal in policy: "AWS":"alice"'),
        (trust({"AWS": "AIDAABCDEFGHIJKLMNOPQ"}), 'Invalid principal in policy: "AWS":"AIDAABCDEFGHIJKLMNOPQ"'),
        (
            trust({"AWS": "arn:aws:iam::111122223333:group/g"}),
            'Invalid principal in policy: "AWS":"arn:aws:iam::111122223333:group/g"',
        ),
        (trust({"Federated": "accounts.example"}), 'Invalid principal in policy: "Federated":"accounts.example"'),
    ],
)
def test_bad_trust_policies(plain, document, message):
    with refused("MalformedPolicyDocument", message):
        plain.create_role(RoleName="role", AssumeRolePolicyDocument=document)
    with refused("NoSuchEntity", status=404):
        plain.get_role(RoleName="role")


def test_trust_policies_have_a_size(plain):
    text = trust("*")
    plain.create_role(RoleName="role", AssumeRolePolicyDocument=text + " " * (2048 - len(text)))
    with refused("LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048", status=409):
        plain.update_assume_role_policy(RoleName="role", PolicyDocument=text + " " * (2049 - len(text)))


def test_a_trust_policy_follows_whom_it_names(aws, iam):
    """Not the name: a renamed user stays trusted, one who is gone leaves the bare id, and a namesake gets nothing."""
    user = iam.create_user(UserName="alice")["User"]
    iam.create_role(RoleName="role", AssumeRolePolicyDocument=trust({"AWS": [user["Arn"], aws.root]}))
    iam.update_user(UserName="alice", NewUserName="alicia", NewPath="/p/")
    renamed = f"arn:aws:iam::{aws.number}:user/p/alicia"
    assert shown_trust(iam, "role")["Statement"][0]["Principal"]["AWS"] == [renamed, aws.root]
    iam.delete_user(UserName="alicia")
    iam.create_user(UserName="alice")
    left = shown_trust(iam, "role")
    assert left["Statement"][0]["Principal"]["AWS"] == [user["UserId"], aws.root]
    text = f'Invalid principal in policy: "AWS":"{user["UserId"]}"'
    with refused("MalformedPolicyDocument", text):
        iam.update_assume_role_policy(RoleName="role", PolicyDocument=json.dumps(left))


def test_where_principals_must_exist(tmp_path):
    root = "111122223333=AKIAROOTROOTROOTROOT:secret"
    with servers.dev(tmp_path / "data", "--enforce", "--root", root) as server:
        iam = server.client("iam", "AKIAROOTROOTROOTROOT", "us-east-1", "secret")
        for principal in (
            "arn:aws:iam::111122223333:user/absent",
            "arn:aws:iam::111122223333:role/absent",
            "arn:aws:iam::444455556666:root",
            "444455556666",
            "arn:aws:sts::111122223333:assumed-role/absent/session",
            f"arn:aws:iam::111122223333:user/{'x' * 1500}",
        ):
            with refused("MalformedPolicyDocument", f'Invalid principal in policy: "AWS":"{principal}"'):
                iam.create_role(RoleName="role", AssumeRolePolicyDocument=trust({"AWS": principal}))
        provider = "arn:aws:iam::111122223333:oidc-provider/issuer.example.com"
        name = unique("there")
        arn = iam.create_user(UserName=name, Path="/p/")["User"]["Arn"]
        with refused("MalformedPolicyDocument"):
            wrong = f"arn:aws:iam::111122223333:user/{name}"
            iam.create_role(RoleName="role", AssumeRolePolicyDocument=trust({"AWS": wrong}))
        iam.create_role(RoleName="role", AssumeRolePolicyDocument=trust({"AWS": [arn, "111122223333"]}))
        session = "arn:aws:sts::111122223333:assumed-role/role/session"
        iam.create_role(RoleName="other", AssumeRolePolicyDocument=trust({"AWS": session}))
        iam.update_assume_role_policy(RoleName="other", PolicyDocument=trust({"Federated": provider}))
