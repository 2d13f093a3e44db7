"""Users, groups and access keys over AWS's own API."""

import json
import re

import pytest
from support import server as servers
from support.aws import Account, refused
from support.identities import ALLOW_KMS, everything, trust, unique
from support.production import Deployment


@pytest.fixture
def iam(aws):
    return aws.service("iam", region="us-east-1")


def test_a_user_comes_and_goes(aws, iam):
    name = unique("Alice")
    made = iam.create_user(UserName=name, Path="/people/", Tags=[{"Key": "team", "Value": "blue"}])["User"]
    assert re.fullmatch(r"AIDA[A-Z2-7]{17}", made["UserId"])
    assert made["Arn"] == f"arn:aws:iam::{aws.number}:user/people/{name}"
    assert (made["Path"], made["UserName"], made["Tags"]) == ("/people/", name, [{"Key": "team", "Value": "blue"}])
    assert iam.get_user(UserName=name)["User"] == made
    assert "PermissionsBoundary" not in made
    listed = [user for user in iam.list_users()["Users"] if user["UserName"] == name]
    assert listed == [{key: value for key, value in made.items() if key != "Tags"}]
    iam.delete_user(UserName=name)
    with refused("NoSuchEntity", f"The user with name {name} cannot be found.", status=404):
        iam.get_user(UserName=name)
    with refused("NoSuchEntity", f"The user with name {name} cannot be found.", status=404):
        iam.delete_user(UserName=name)


def test_names_are_unique_without_regard_to_case(iam):
    iam.create_user(UserName="Bob", Path="/a/")
    for name, path in (("Bob", "/a/"), ("bob", "/"), ("BOB", "/b/")):
        with refused("EntityAlreadyExists", f"User with name {name} already exists.", status=409):
            iam.create_user(UserName=name, Path=path)
    with refused("NoSuchEntity", status=404):
        iam.get_user(UserName="bob")
    iam.create_group(GroupName="Bob")
    with refused("EntityAlreadyExists", "Group with name bob already exists.", status=409):
        iam.create_group(GroupName="bob")


def test_a_namesake_is_another_user(iam):
    first = iam.create_user(UserName="carol")["User"]["UserId"]
    iam.delete_user(UserName="carol")
    assert iam.create_user(UserName="carol")["User"]["UserId"] != first


def test_a_renamed_user_is_the_same(aws, iam):
    made = iam.create_user(UserName="dave", Path="/old/")["User"]
    key = iam.create_access_key(UserName="dave")["AccessKey"]["AccessKeyId"]
    iam.create_user(UserName="taken")
    with refused("EntityAlreadyExists", status=409):
        iam.update_user(UserName="dave", NewUserName="Taken")
    iam.update_user(UserName="dave", NewUserName="Dave")
    iam.update_user(UserName="Dave", NewUserName="david", NewPath="/new/")
    with refused("NoSuchEntity", status=404):
        iam.get_user(UserName="dave")
    now = iam.get_user(UserName="david")["User"]
    assert (now["UserId"], now["Arn"]) == (made["UserId"], f"arn:aws:iam::{aws.number}:user/new/david")
    assert [key["AccessKeyId"] for key in iam.list_access_keys(UserName="david")["AccessKeyMetadata"]] == [key]
    iam.create_user(UserName="dave")
    iam.update_user(UserName="david", NewPath="/")
    assert iam.list_users(PathPrefix="/new/")["Users"] == []


def test_pages_and_paths(iam):
    names = [f"user{number}" for number in range(7)]
    for number, name in enumerate(names):
        iam.create_user(UserName=name, Path="/even/" if number % 2 == 0 else "/odd/")
    assert [user["UserName"] for user in everything(iam.list_users, "Users")] == names
    assert [user["UserName"] for user in everything(iam.list_users, "Users", PathPrefix="/even/")] == names[::2]
    assert iam.list_users(PathPrefix="/none")["Users"] == []
    for settings in ({"MaxItems": 0}, {"MaxItems": 1001}, {"PathPrefix": "even"}):
        with refused("ValidationError"):
            iam.list_users(**settings)


def test_bad_names_and_paths(iam):
    for settings in (
        {},
        {"UserName": ""},
        {"UserName": "x" * 65},
        {"UserName": "x", "Path": "/" * 513},
        {"UserName": "x", "Tags": [{"Key": "", "Value": ""}]},
        {"UserName": "x", "Tags": [{"Key": "<", "Value": ""}]},
        {"UserName": "x", "Tags": [{"Key": str(number), "Value": ""} for number in range(51)]},
    ):
        with refused("ValidationError") as caught:
            iam.create_user(**settings)
        assert "validation error" in caught.value.response["Error"]["Message"]
    name = "It must contain only alphanumeric characters and/or the following: +=,.@_-"
    for bad in ("a b", "a/b", "a:b", "\u00e9"):
        with refused("ValidationError", f"The specified value for userName is invalid. {name}"):
            iam.create_user(UserName=bad)
    path = "It must begin and end with / and contain only alphanumeric characters and/or / characters."
    for bad in ("/x", "x/", "/a b/"):
        with refused("ValidationError", f"The specified value for path is invalid. {path}"):
            iam.create_user(UserName="x", Path=bad)
        with refused("ValidationError", f"The specified value for path is invalid. {path}"):
            iam.create_policy(PolicyName="x", Path=bad, PolicyDocument=ALLOW_KMS)


def test_the_root_is_a_user_without_a_name(aws, iam):
    root = iam.get_user()["User"]
    assert (root["UserId"], root["Arn"]) == (aws.number, aws.root)
    assert "UserName" not in root and "Path" not in root


def test_accounts_are_apart(account, other_account):
    mine, theirs = (one.service("iam", region="us-east-1") for one in (account, other_account))
    mine.create_user(UserName="erin")
    policy = mine.create_policy(PolicyName="mine", PolicyDocument=ALLOW_KMS)["Policy"]["Arn"]
    key = mine.create_access_key(UserName="erin")["AccessKey"]["AccessKeyId"]
    assert theirs.list_users()["Users"] == [] and theirs.list_policies()["Policies"] == []
    with refused("NoSuchEntity", status=404):
        theirs.get_user(UserName="erin")
    with refused("NoSuchEntity", status=404):
        theirs.get_access_key_last_used(AccessKeyId=key)
    for call in (theirs.get_policy, theirs.delete_policy, theirs.list_policy_versions, theirs.list_entities_for_policy):
        with refused("AccessDenied", status=403):
            call(PolicyArn=policy)
    theirs.create_user(UserName="erin")
    with refused("NoSuchEntity", status=404):
        theirs.attach_user_policy(UserName="erin", PolicyArn=policy)
    with refused("NoSuchEntity", status=404):
        theirs.delete_access_key(UserName="erin", AccessKeyId=key)


def test_tags_of_a_user(iam):
    iam.create_user(UserName="frank", Tags=[{"Key": "Team", "Value": "a"}])
    iam.tag_user(UserName="frank", Tags=[{"Key": "team", "Value": "b"}, {"Key": "cost", "Value": ""}])
    tags = [{"Key": "cost", "Value": ""}, {"Key": "team", "Value": "b"}]
    assert iam.list_user_tags(UserName="frank")["Tags"] == tags
    assert everything(iam.list_user_tags, "Tags", UserName="frank") == tags
    iam.untag_user(UserName="frank", TagKeys=["TEAM", "absent"])
    assert iam.list_user_tags(UserName="frank")["Tags"] == [{"Key": "cost", "Value": ""}]
    text = "Duplicate tag keys found. Please note that Tag keys are case insensitive."
    with refused("InvalidInput", text):
        iam.tag_user(UserName="frank", Tags=[{"Key": "x", "Value": ""}, {"Key": "X", "Value": ""}])
    with refused("InvalidInput"):
        iam.tag_user(UserName="frank", Tags=[{"Key": "aws:x", "Value": ""}])
    iam.tag_user(UserName="frank", Tags=[{"Key": str(number), "Value": ""} for number in range(49)])
    with refused("LimitExceeded", status=409):
        iam.tag_user(UserName="frank", Tags=[{"Key": "one more", "Value": ""}])
    with refused("NoSuchEntity", status=404):
        iam.tag_user(UserName="absent", Tags=[])


def test_groups(aws, iam):
    made = iam.create_group(GroupName="Readers", Path="/teams/")["Group"]
    assert re.fullmatch(r"AGPA[A-Z2-7]{17}", made["GroupId"])
    assert made["Arn"] == f"arn:aws:iam::{aws.number}:group/teams/Readers"
    users = [unique("member") for _ in range(5)]
    for user in users:
        iam.create_user(UserName=user)
        iam.add_user_to_group(GroupName="Readers", UserName=user)
        iam.add_user_to_group(GroupName="Readers", UserName=user)
    assert iam.get_group(GroupName="Readers")["Group"] == made
    assert sorted(user["UserName"] for user in everything(iam.get_group, "Users", GroupName="Readers")) == sorted(users)
    assert iam.list_groups_for_user(UserName=users[0])["Groups"] == [made]
    with refused("DeleteConflict", "Cannot delete entity, must remove users from group first.", status=409):
        iam.delete_group(GroupName="Readers")
    with refused("DeleteConflict", "Cannot delete entity, must remove users from group first.", status=409):
        iam.delete_user(UserName=users[0])
    for user in users:
        iam.remove_user_from_group(GroupName="Readers", UserName=user)
    with refused("NoSuchEntity", status=404):
        iam.remove_user_from_group(GroupName="Readers", UserName=users[0])
    iam.update_group(GroupName="Readers", NewGroupName="Writers", NewPath="/")
    assert [group["GroupName"] for group in everything(iam.list_groups, "Groups")] == ["Writers"]
    assert iam.get_group(GroupName="Writers")["Group"]["GroupId"] == made["GroupId"]
    iam.delete_group(GroupName="Writers")
    with refused("NoSuchEntity", "The group with name Writers cannot be found.", status=404):
        iam.get_group(GroupName="Writers")


def test_a_user_is_in_ten_groups_at_most(iam):
    iam.create_user(UserName="grace")
    for number in range(11):
        iam.create_group(GroupName=f"group{number:02}")
    for number in range(10):
        iam.add_user_to_group(GroupName=f"group{number:02}", UserName="grace")
    with refused("LimitExceeded", "Cannot exceed quota for GroupsPerUser: 10", status=409):
        iam.add_user_to_group(GroupName="group10", UserName="grace")
    names = [group["GroupName"] for group in everything(iam.list_groups_for_user, "Groups", UserName="grace")]
    assert names == [f"group{number:02}" for number in range(10)]


def test_three_hundred_groups(account):
    iam = account.service("iam", region="us-east-1")
    for number in range(300):
        iam.create_group(GroupName=f"group{number}")
    with refused("LimitExceeded", "Cannot exceed quota for GroupsPerAccount: 300", status=409):
        iam.create_group(GroupName="another")
    names = [group["GroupName"] for page in iam.get_paginator("list_groups").paginate() for group in page["Groups"]]
    assert sorted(names) == sorted(f"group{number}" for number in range(300))
    iam.delete_group(GroupName="group7")
    iam.create_group(GroupName="another")


def test_access_keys_of_a_user(iam):
    iam.create_user(UserName="heidi")
    made = iam.create_access_key(UserName="heidi")["AccessKey"]
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", made["AccessKeyId"]) and len(made["SecretAccessKey"]) == 40
    assert (made["UserName"], made["Status"]) == ("heidi", "Active")
    second = iam.create_access_key(UserName="heidi")["AccessKey"]["AccessKeyId"]
    with refused("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2", status=409):
        iam.create_access_key(UserName="heidi")
    iam.update_access_key(UserName="heidi", AccessKeyId=second, Status="Inactive")
    states = {key["AccessKeyId"]: key["Status"] for key in iam.list_access_keys(UserName="heidi")["AccessKeyMetadata"]}
    assert states == {made["AccessKeyId"]: "Active", second: "Inactive"}
    with refused("LimitExceeded", status=409):
        iam.create_access_key(UserName="heidi")
    for status in ("Expired", "active"):
        with refused("ValidationError"):
            iam.update_access_key(UserName="heidi", AccessKeyId=second, Status=status)
    with refused("DeleteConflict", "Cannot delete entity, must delete access keys first.", status=409):
        iam.delete_user(UserName="heidi")
    iam.create_user(UserName="ivan")
    text = f"The Access Key with id {second} cannot be found."
    for call in (iam.delete_access_key, iam.update_access_key):
        with refused("NoSuchEntity", text, status=404):
            settings = {"Status": "Active"} if call == iam.update_access_key else {}
            call(UserName="ivan", AccessKeyId=second, **settings)
    iam.delete_access_key(UserName="heidi", AccessKeyId=second)
    iam.delete_access_key(UserName="heidi", AccessKeyId=made["AccessKeyId"])
    assert iam.list_access_keys(UserName="heidi")["AccessKeyMetadata"] == []
    iam.delete_user(UserName="heidi")


def test_what_users_never_have(iam):
    """Terraform asks for these before it deletes a user."""
    iam.create_user(UserName="judy")
    assert iam.list_ssh_public_keys(UserName="judy")["SSHPublicKeys"] == []
    assert iam.list_signing_certificates(UserName="judy")["Certificates"] == []
    assert iam.list_service_specific_credentials(UserName="judy")["ServiceSpecificCredentials"] == []
    assert iam.list_mfa_devices(UserName="judy")["MFADevices"] == []
    for call in (iam.get_login_profile, iam.delete_login_profile):
        with refused("NoSuchEntity", "Login Profile for User judy cannot be found.", status=404):
            call(UserName="judy")
    with refused("NoSuchEntity", status=404):
        iam.list_ssh_public_keys(UserName="absent")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    deployment = Deployment(tmp_path_factory.mktemp("identities"))
    status, output = deployment.init()
    assert status == 0, output
    return deployment


def test_users_sign_with_their_keys_until_they_may_not(deployment):
    """On a real server, over a restart."""
    with deployment.serve() as server:
        root = Account(server, deployment.account, **deployment.credentials())
        iam = root.service("iam", region="us-east-1")
        user = iam.create_user(UserName="kim", Path="/people/")["User"]
        key = iam.create_access_key(UserName="kim")["AccessKey"]
        credentials = {"account": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
        kim = Account(server, deployment.account, **credentials)
        who = kim.service("sts").get_caller_identity()
        assert (who["Arn"], who["UserId"], who["Account"]) == (user["Arn"], user["UserId"], deployment.account)
        never = iam.create_access_key(UserName="kim")["AccessKey"]["AccessKeyId"]
        last = iam.get_access_key_last_used(AccessKeyId=never)["AccessKeyLastUsed"]
        assert last == {"ServiceName": "N/A", "Region": "N/A"}
        last = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
        assert (last["UserName"], last["AccessKeyLastUsed"]["ServiceName"]) == ("kim", "sts")
        assert last["AccessKeyLastUsed"]["Region"] == servers.REGION
        wrong = Account(server, deployment.account, account=key["AccessKeyId"], secret="wrong")
        with refused("SignatureDoesNotMatch", status=403):
            wrong.service("sts").get_caller_identity()
        with refused("AccessDenied", status=403):
            kim.service("iam", region="us-east-1").list_users()
        iam.update_access_key(UserName="kim", AccessKeyId=key["AccessKeyId"], Status="Inactive")
        text = "The security token included in the request is invalid."
        with refused("InvalidClientTokenId", text, status=403):
            kim.service("sts").get_caller_identity()
        with refused("UnrecognizedClientException"):
            kim.kms.list_keys()
        iam.update_access_key(UserName="kim", AccessKeyId=key["AccessKeyId"], Status="Active")
        assert kim.service("sts").get_caller_identity()["Arn"] == user["Arn"]
        iam.update_user(UserName="kim", NewPath="/others/")
        assert kim.service("sts").get_caller_identity()["Arn"].endswith(":user/others/kim")
    with deployment.serve() as server:
        kim = Account(server, deployment.account, **credentials)
        assert kim.service("sts").get_caller_identity()["UserId"] == user["UserId"]
        iam = Account(server, deployment.account, **deployment.credentials()).service("iam", region="us-east-1")
        assert iam.get_user(UserName="kim")["User"]["UserId"] == user["UserId"]
        for one in iam.list_access_keys(UserName="kim")["AccessKeyMetadata"]:
            iam.delete_access_key(UserName="kim", AccessKeyId=one["AccessKeyId"])
        with refused("InvalidClientTokenId", status=403):
            kim.service("sts").get_caller_identity()
        iam.delete_user(UserName="kim")


def with_key(server, iam, number, name):
    """The user as a caller."""
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Account(server, number, account=key["AccessKeyId"], secret=key["SecretAccessKey"])


def test_a_user_does_not_shed_a_deny_by_another_name():
    """Key policies and trust policies go by the unique id: for Deny and for Allow, whatever the user is called now."""
    number = "111122223333"
    with servers.dev(None, "--enforce", "--root", f"{number}=AKIAROOTROOTROOTROOT:secret") as server:
        root = Account(server, number, account="AKIAROOTROOTROOTROOT", secret="secret")
        iam = root.service("iam", region="us-east-1")
        made = iam.create_user(UserName="mallory")["User"]
        every = {"Effect": "Allow", "Action": ["iam:*", "kms:*", "sts:*"], "Resource": "*"}
        everything_else = json.dumps({"Version": "2012-10-17", "Statement": [every]})
        iam.put_user_policy(UserName="mallory", PolicyName="all", PolicyDocument=everything_else)
        mallory = with_key(server, iam, number, "mallory")

        def key(effect):
            named = {"Effect": effect, "Principal": {"AWS": made["Arn"]}, "Action": "kms:Encrypt", "Resource": "*"}
            rest = {"Effect": "Allow", "Principal": {"AWS": root.root}, "Action": "kms:*", "Resource": "*"}
            if effect == "Allow":
                rest["NotAction"] = ["kms:Encrypt"]
                del rest["Action"]
            policy = json.dumps({"Version": "2012-10-17", "Statement": [rest, named]})
            return root.create_key(Policy=policy)["KeyId"], policy

        (denied, denying), (allowed, _) = key("Deny"), key("Allow")
        assert root.kms.get_key_policy(KeyId=denied)["Policy"] == denying
        everybody = json.loads(trust({"AWS": root.root}))["Statement"][0]
        but = {"Effect": "Deny", "Principal": {"AWS": made["Arn"]}, "Action": "sts:AssumeRole"}
        closed = json.dumps({"Version": "2012-10-17", "Statement": [everybody, but]})
        iam.create_role(RoleName="closed", AssumeRolePolicyDocument=closed)
        iam.create_role(RoleName="open", AssumeRolePolicyDocument=trust({"AWS": made["Arn"]}))

        def stands(user):
            with refused("AccessDeniedException") as caught:
                user.kms.encrypt(KeyId=denied, Plaintext=b"x")
            assert "explicit deny in a resource-based policy" in caught.value.response["Error"]["Message"]
            user.kms.encrypt(KeyId=allowed, Plaintext=b"x")
            with refused("AccessDenied", status=403):
                assume(user, "closed")
            assume(user, "open")

        def assume(user, role):
            arn = f"arn:aws:iam::{number}:role/{role}"
            return user.service("sts").assume_role(RoleArn=arn, RoleSessionName="one")

        stands(mallory)
        own = mallory.service("iam", region="us-east-1")
        own.update_user(UserName="mallory", NewUserName="innocent")
        stands(mallory)
        own.update_user(UserName="innocent", NewPath="/better/")
        assert mallory.service("sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{number}:user/better/innocent"
        stands(mallory)
        # The policy says whom it means, and who saves that again is not told that all is well.
        shown = root.kms.get_key_policy(KeyId=denied)["Policy"]
        assert shown == denying.replace(made["Arn"], made["UserId"])
        with refused("MalformedPolicyDocumentException"):
            root.kms.put_key_policy(KeyId=denied, Policy=shown)
        # Who takes the name now is somebody else: neither kept out, nor let in.
        iam.create_user(UserName="mallory")
        iam.put_user_policy(UserName="mallory", PolicyName="all", PolicyDocument=everything_else)
        namesake = with_key(server, iam, number, "mallory")
        namesake.kms.encrypt(KeyId=denied, Plaintext=b"x")
        assume(namesake, "closed")
        with refused("AccessDeniedException"):
            namesake.kms.encrypt(KeyId=allowed, Plaintext=b"x")
        with refused("AccessDenied", status=403):
            assume(namesake, "open")
        stands(mallory)


def test_last_use_is_kept_over_a_restart(tmp_path):
    root = "111122223333=AKIAROOTROOTROOTROOT:secret"
    arguments = (tmp_path / "data", "--enforce", "--root", root)
    with servers.dev(*arguments) as server:
        iam = server.client("iam", "AKIAROOTROOTROOTROOT", "us-east-1", "secret")
        iam.create_user(UserName="lena")
        key = iam.create_access_key(UserName="lena")["AccessKey"]
        server.client("sts", key["AccessKeyId"], secret=key["SecretAccessKey"]).get_caller_identity()
        server.control("clock", {"advance": "2m"})
        before = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])["AccessKeyLastUsed"]
        assert before["ServiceName"] == "sts"
    with servers.dev(*arguments) as server:
        iam = server.client("iam", "AKIAROOTROOTROOTROOT", "us-east-1", "secret")
        assert iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])["AccessKeyLastUsed"] == before
