"""Managed and inline policies, attachments and permissions boundaries over AWS's own API."""

import json
import re

import pytest
from support import server as servers
from support.aws import refused
from support.identities import ALLOW_KMS, DENY_KMS, everything, trust, unique

SPACED = (
    '{\n  "Version": "2012-10-17",\t"Statement": {"Effect": "Allow", "Action": "kms:D*", '
    '"Resource": "arn:aws:s3:::a+b%20\u00ff",\r\n "Sid": "ab"}}\n'
)


@pytest.fixture
def iam(aws):
    return aws.service("iam", region="us-east-1")


@pytest.fixture
def plain(account):
    """IAM over the store in memory only, for what does not depend on it."""
    return account.service("iam", region="us-east-1")


def parsed(text):
    """botocore unquotes and parses policy documents by itself."""
    return json.loads(text) if isinstance(text, str) else text


def test_a_policy_and_its_versions(aws, iam):
    made = iam.create_policy(PolicyName="Read", Path="/kms/", PolicyDocument=ALLOW_KMS, Description="reads")["Policy"]
    arn = f"arn:aws:iam::{aws.number}:policy/kms/Read"
    assert re.fullmatch(r"ANPA[A-Z2-7]{17}", made["PolicyId"])
    assert (made["Arn"], made["DefaultVersionId"], made["AttachmentCount"]) == (arn, "v1", 0)
    assert "Description" not in made and "Tags" not in made
    assert iam.get_policy(PolicyArn=arn)["Policy"] == {**made, "Description": "reads", "Tags": []}
    version = iam.create_policy_version(PolicyArn=arn, PolicyDocument=DENY_KMS)["PolicyVersion"]
    assert (version["VersionId"], version["IsDefaultVersion"]) == ("v2", False) and "Document" not in version
    found = iam.get_policy_version(PolicyArn=arn, VersionId="v2")["PolicyVersion"]
    assert parsed(found["Document"]) == json.loads(DENY_KMS)
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=DENY_KMS, SetAsDefault=True)
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v3"
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v1")
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    states = [(one["VersionId"], one["IsDefaultVersion"]) for one in versions]
    assert states == [("v3", False), ("v2", False), ("v1", True)]
    with refused("DeleteConflict", "Cannot delete the default version of a policy.", status=409):
        iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    with refused("DeleteConflict", status=409) as caught:
        iam.delete_policy(PolicyArn=arn)
    assert "more than one version" in caught.value.response["Error"]["Message"]
    iam.delete_policy_version(PolicyArn=arn, VersionId="v3")
    for number in ("v4", "v5", "v6"):
        version = iam.create_policy_version(PolicyArn=arn, PolicyDocument=ALLOW_KMS)["PolicyVersion"]
        assert version["VersionId"] == number
    with refused("LimitExceeded", status=409):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=ALLOW_KMS)
    assert len(everything(iam.list_policy_versions, "Versions", PolicyArn=arn)) == 5
    with refused("NoSuchEntity", f"Policy {arn} version v3 does not exist or is not attachable.", status=404):
        iam.get_policy_version(PolicyArn=arn, VersionId="v3")
    for number in ("v2", "v4", "v5", "v6"):
        iam.delete_policy_version(PolicyArn=arn, VersionId=number)
    iam.delete_policy(PolicyArn=arn)
    for call in (iam.get_policy, iam.delete_policy, iam.list_policy_versions, iam.list_entities_for_policy):
        with refused("NoSuchEntity", f"Policy {arn} was not found.", status=404):
            call(PolicyArn=arn)


def test_documents_come_back_letter_for_letter(aws, iam):
    """Also what percent-encoding gets wrong easily. The raw answer is read, since botocore decodes by itself."""
    iam.create_role(RoleName="raw", AssumeRolePolicyDocument=trust({"AWS": aws.root}))
    iam.put_role_policy(RoleName="raw", PolicyName="p", PolicyDocument=SPACED)
    raw = {}
    iam.meta.events.register("before-parse.iam.GetRolePolicy", lambda response_dict, **_: raw.update(response_dict))
    document = iam.get_role_policy(RoleName="raw", PolicyName="p")["PolicyDocument"]
    assert parsed(document) == json.loads(SPACED)
    text = re.search(rb"<PolicyDocument>(.*)</PolicyDocument>", raw["body"]).group(1)
    assert re.fullmatch(rb"[A-Za-z0-9._~%-]+", text)
    assert b"%0A%20%20%22Version" in text and b"a%2Bb%2520%C3%BF" in text and b"%0D%0A" in text


def test_names_of_policies(aws, iam):
    iam.create_policy(PolicyName="Same", Path="/a/", PolicyDocument=ALLOW_KMS)
    text = "A policy called SAME already exists. Duplicate names are not allowed."
    with refused("EntityAlreadyExists", text, status=409):
        iam.create_policy(PolicyName="SAME", PolicyDocument=ALLOW_KMS)
    for arn in ("policy/Same", "policy/a/same", "policy/b/Same"):
        with refused("NoSuchEntity", status=404):
            iam.get_policy(PolicyArn=f"arn:aws:iam::{aws.number}:{arn}")
    for arn in (f"policy/{'x' * 2000}", f"policy/{'x/' * 900}x", "policy/", "policy", "user/Same", "policy/a/Same/"):
        with refused("NoSuchEntity", status=404):
            iam.get_policy(PolicyArn=f"arn:aws:iam::{aws.number}:{arn}")
    with refused("ValidationError", "Invalid ARN:  Could not be parsed!"):
        iam.get_policy(PolicyArn="not an ARN, but long enough")
    with refused("NoSuchEntity", status=404):
        iam.get_policy(PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")


def test_lists_of_policies(aws, iam):
    names = [f"policy{number}" for number in range(5)]
    for name in names:
        iam.create_policy(PolicyName=name, Path="/x/" if name < "policy3" else "/y/", PolicyDocument=ALLOW_KMS)
    iam.create_user(UserName="user")
    iam.attach_user_policy(UserName="user", PolicyArn=f"arn:aws:iam::{aws.number}:policy/x/policy1")
    iam.put_user_permissions_boundary(
        UserName="user", PermissionsBoundary=f"arn:aws:iam::{aws.number}:policy/y/policy4"
    )

    def listed(**settings):
        return [policy["PolicyName"] for policy in everything(iam.list_policies, "Policies", **settings)]

    assert listed() == listed(Scope="Local") == names
    assert listed(Scope="AWS") == []
    assert listed(PathPrefix="/y/") == names[3:]
    assert listed(OnlyAttached=True) == listed(PolicyUsageFilter="PermissionsPolicy") == ["policy1"]
    assert listed(PolicyUsageFilter="PermissionsBoundary") == ["policy4"]
    assert all("Tags" not in policy for policy in iam.list_policies()["Policies"])


@pytest.mark.parametrize(
    "document, message",
    [
        ("{", "Syntax errors in policy."),
        ("[]", "Syntax errors in policy."),
        (
            ALLOW_KMS.replace("kms:*", "decrypt"),
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        (ALLOW_KMS.replace('"Resource": "*"', '"Resource": "key"'), 'Resource key must be in ARN format or "*".'),
        (
            ALLOW_KMS.replace('"Resource"', '"Principal": "*", "Resource"'),
            "Policy document should not specify a principal.",
        ),
        (ALLOW_KMS.replace(', "Resource": "*"', ""), "Policy statement must contain resources."),
        (ALLOW_KMS.replace('"Action": "kms:*", ', ""), "Policy statement must contain actions."),
    ],
)
def test_malformed_policies_are_refused(plain, document, message):
    plain.create_user(UserName="user")
    plain.create_role(RoleName="role", AssumeRolePolicyDocument=trust("*"))
    plain.create_group(GroupName="group")
    arn = plain.create_policy(PolicyName="good", PolicyDocument=ALLOW_KMS)["Policy"]["Arn"]
    for call, settings in (
        (plain.create_policy, {"PolicyName": "bad"}),
        (plain.create_policy_version, {"PolicyArn": arn}),
        (plain.put_user_policy, {"UserName": "user", "PolicyName": "bad"}),
        (plain.put_role_policy, {"RoleName": "role", "PolicyName": "bad"}),
        (plain.put_group_policy, {"GroupName": "group", "PolicyName": "bad"}),
    ):
        with refused("MalformedPolicyDocument", message):
            call(PolicyDocument=document, **settings)
    assert plain.list_user_policies(UserName="user")["PolicyNames"] == []


def sized(characters):
    """A policy of so many characters without white space, and with much of it."""
    empty = len(re.sub(r"\s", "", ALLOW_KMS)) + len('"Sid":"",')
    policy = ALLOW_KMS.replace('"Effect"', f'"Sid": "{"a" * (characters - empty)}", "Effect"')
    return " " * 5000 + policy + "\n" * 5000


def test_sizes_count_without_white_space(plain):
    plain.create_policy(PolicyName="large", PolicyDocument=sized(6144))
    with refused("LimitExceeded", "Cannot exceed quota for PolicySize: 6144", status=409):
        plain.create_policy(PolicyName="larger", PolicyDocument=sized(6145))
    plain.create_user(UserName="user")
    plain.create_group(GroupName="group")
    plain.create_role(RoleName="role", AssumeRolePolicyDocument=trust("*"))
    for kind, most in (("user", 2048), ("group", 5120), ("role", 10240)):
        put = getattr(plain, f"put_{kind}_policy")
        owner = {f"{kind.title()}Name": kind}
        put(PolicyName="one", PolicyDocument=sized(200), **owner)
        put(PolicyName="two", PolicyDocument=sized(most - 200), **owner)
        put(PolicyName="one", PolicyDocument=sized(200), **owner)
        text = f"Maximum policy size of {most} bytes exceeded for {kind} {kind}"
        with refused("LimitExceeded", text, status=409):
            put(PolicyName="one", PolicyDocument=sized(201), **owner)
        with refused("LimitExceeded", text, status=409):
            put(PolicyName="three", PolicyDocument=ALLOW_KMS, **owner)


@pytest.mark.parametrize("kind", ["user", "group", "role"])
def test_inline_policies(aws, iam, kind):
    owner = create(iam, aws, kind)
    put, get = getattr(iam, f"put_{kind}_policy"), getattr(iam, f"get_{kind}_policy")
    listed, delete = getattr(iam, f"list_{kind}_policies"), getattr(iam, f"delete_{kind}_policy")
    for name in ("b", "a", "c"):
        put(PolicyName=name, PolicyDocument=ALLOW_KMS, **owner)
    put(PolicyName="b", PolicyDocument=DENY_KMS, **owner)
    assert parsed(get(PolicyName="b", **owner)["PolicyDocument"]) == json.loads(DENY_KMS)
    assert everything(listed, "PolicyNames", **owner) == ["a", "b", "c"]
    with refused("DeleteConflict", "Cannot delete entity, must delete policies first.", status=409):
        getattr(iam, f"delete_{kind}")(**owner)
    for name in "abc":
        delete(PolicyName=name, **owner)
    text = f"The {kind} policy with name a cannot be found."
    for call in (get, delete):
        with refused("NoSuchEntity", text, status=404):
            call(PolicyName="a", **owner)
    absent = {next(iter(owner)): "absent"}
    for call in (get, delete, listed):
        with refused("NoSuchEntity", f"The {kind} with name absent cannot be found.", status=404):
            call(**absent, **({} if call == listed else {"PolicyName": "a"}))
    getattr(iam, f"delete_{kind}")(**owner)


def create(iam, aws, kind):
    """A user, group or role; answers the argument that names it."""
    name = unique(kind)
    owner = {f"{kind.title()}Name": name}
    trusted = {"AssumeRolePolicyDocument": trust({"AWS": aws.root})} if kind == "role" else {}
    getattr(iam, f"create_{kind}")(**owner, **trusted)
    return owner


@pytest.mark.parametrize("kind", ["user", "group", "role"])
def test_attachments(aws, iam, kind):
    owner = create(iam, aws, kind)
    arns = [iam.create_policy(PolicyName=f"p{n:02}", PolicyDocument=ALLOW_KMS)["Policy"]["Arn"] for n in range(11)]
    attach, detach = getattr(iam, f"attach_{kind}_policy"), getattr(iam, f"detach_{kind}_policy")
    listed = getattr(iam, f"list_attached_{kind}_policies")
    for arn in arns[:10]:
        attach(PolicyArn=arn, **owner)
    attach(PolicyArn=arns[0], **owner)
    with refused("LimitExceeded", f"Cannot exceed quota for PoliciesPer{kind.title()}: 10", status=409):
        attach(PolicyArn=arns[10], **owner)
    found = everything(listed, "AttachedPolicies", **owner)
    assert found == [{"PolicyName": f"p{n:02}", "PolicyArn": arns[n]} for n in range(10)]
    assert listed(PathPrefix="/x/", **owner)["AttachedPolicies"] == []
    assert iam.get_policy(PolicyArn=arns[0])["Policy"]["AttachmentCount"] == 1
    with refused("DeleteConflict", "Cannot delete a policy attached to entities.", status=409):
        iam.delete_policy(PolicyArn=arns[0])
    with refused("DeleteConflict", "Cannot delete entity, must detach all policies first.", status=409):
        getattr(iam, f"delete_{kind}")(**owner)
    for arn in arns[:10]:
        detach(PolicyArn=arn, **owner)
    with refused("NoSuchEntity", f"Policy {arns[0]} was not found.", status=404):
        detach(PolicyArn=arns[0], **owner)
    missing = f"arn:aws:iam::{aws.number}:policy/missing"
    with refused("NoSuchEntity", f"Policy {missing} does not exist or is not attachable.", status=404):
        attach(PolicyArn=missing, **owner)
    assert iam.get_policy(PolicyArn=arns[0])["Policy"]["AttachmentCount"] == 0
    iam.delete_policy(PolicyArn=arns[0])
    getattr(iam, f"delete_{kind}")(**owner)


def test_whom_a_policy_is_attached_to(aws, iam):
    arn = iam.create_policy(PolicyName="shared", PolicyDocument=ALLOW_KMS)["Policy"]["Arn"]
    owners = {kind: create(iam, aws, kind) for kind in ("user", "group", "role")}
    for kind, owner in owners.items():
        getattr(iam, f"attach_{kind}_policy")(PolicyArn=arn, **owner)
    bounded = create(iam, aws, "user")
    iam.put_user_permissions_boundary(PermissionsBoundary=arn, **bounded)

    def entities(**settings):
        page = iam.list_entities_for_policy(PolicyArn=arn, **settings)
        return [
            sorted(one[f"{kind}Name"] for one in page[f"Policy{kind}s"]) for kind in ("User", "Group", "Role")
        ]

    user, group, role = (next(iter(owner.values())) for owner in owners.values())
    other = next(iter(bounded.values()))
    assert entities() == [sorted([user, other]), [group], [role]]
    assert entities(EntityFilter="Group") == [[], [group], []]
    assert entities(PolicyUsageFilter="PermissionsBoundary") == [[other], [], []]
    assert entities(PolicyUsageFilter="PermissionsPolicy") == [[user], [group], [role]]
    assert entities(PathPrefix="/x/") == [[], [], []]
    first = iam.list_entities_for_policy(PolicyArn=arn, MaxItems=3)
    assert first["IsTruncated"]
    rest = iam.list_entities_for_policy(PolicyArn=arn, MaxItems=3, Marker=first["Marker"])
    assert sum(len(page[f"Policy{kind}s"]) for page in (first, rest) for kind in ("User", "Group", "Role")) == 4
    assert not rest["IsTruncated"]


def test_boundaries(aws, iam):
    arns = [iam.create_policy(PolicyName=name, PolicyDocument=ALLOW_KMS)["Policy"]["Arn"] for name in ("one", "two")]
    made = iam.create_user(UserName="user", PermissionsBoundary=arns[0])["User"]
    boundary = {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": arns[0]}
    assert made["PermissionsBoundary"] == boundary
    assert iam.get_user(UserName="user")["User"]["PermissionsBoundary"] == boundary
    assert "PermissionsBoundary" not in iam.list_users()["Users"][0]
    counts = iam.get_policy(PolicyArn=arns[0])["Policy"]
    assert (counts["PermissionsBoundaryUsageCount"], counts["AttachmentCount"]) == (1, 0)
    iam.put_user_permissions_boundary(UserName="user", PermissionsBoundary=arns[1])
    iam.put_user_permissions_boundary(UserName="user", PermissionsBoundary=arns[1])
    iam.delete_policy(PolicyArn=arns[0])
    with refused("DeleteConflict", status=409):
        iam.delete_policy(PolicyArn=arns[1])
    missing = f"arn:aws:iam::{aws.number}:policy/missing"
    text = f"Scope ARN: {missing} does not exist or is not attachable."
    with refused("NoSuchEntity", text, status=404):
        iam.put_user_permissions_boundary(UserName="user", PermissionsBoundary=missing)
    with refused("NoSuchEntity", text, status=404):
        iam.create_user(UserName="other", PermissionsBoundary=missing)
    with refused("NoSuchEntity", status=404):
        iam.get_user(UserName="other")
    iam.delete_user_permissions_boundary(UserName="user")
    with refused("NoSuchEntity", status=404):
        iam.delete_user_permissions_boundary(UserName="user")
    iam.create_role(
        RoleName="role", AssumeRolePolicyDocument=trust({"AWS": aws.root}), PermissionsBoundary=arns[1]
    )
    assert iam.get_role(RoleName="role")["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == arns[1]
    iam.delete_role_permissions_boundary(RoleName="role")
    assert "PermissionsBoundary" not in iam.get_role(RoleName="role")["Role"]
    iam.put_role_permissions_boundary(RoleName="role", PermissionsBoundary=arns[1])
    with refused("DeleteConflict", status=409):
        iam.delete_policy(PolicyArn=arns[1])
    iam.delete_role(RoleName="role")
    iam.delete_policy(PolicyArn=arns[1])


def test_tags_of_a_policy_tell_cases_apart(iam):
    made = iam.create_policy(PolicyName="p", PolicyDocument=ALLOW_KMS, Tags=[{"Key": "a", "Value": "1"}])["Policy"]
    assert made["Tags"] == [{"Key": "a", "Value": "1"}]
    iam.tag_policy(PolicyArn=made["Arn"], Tags=[{"Key": "A", "Value": "2"}])
    tags = [{"Key": "A", "Value": "2"}, {"Key": "a", "Value": "1"}]
    assert iam.list_policy_tags(PolicyArn=made["Arn"])["Tags"] == tags
    iam.untag_policy(PolicyArn=made["Arn"], TagKeys=["a"])
    assert iam.get_policy(PolicyArn=made["Arn"])["Policy"]["Tags"] == tags[:1]


def test_policies_survive_a_restart(tmp_path):
    with servers.dev(tmp_path / "data") as server:
        iam = server.client("iam", region="us-east-1")
        arn = iam.create_policy(PolicyName="kept", PolicyDocument=ALLOW_KMS)["Policy"]["Arn"]
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=DENY_KMS, SetAsDefault=True)
        iam.create_user(UserName="kept", PermissionsBoundary=arn)
        iam.attach_user_policy(UserName="kept", PolicyArn=arn)
        iam.put_user_policy(UserName="kept", PolicyName="inline", PolicyDocument=SPACED)
        before = [
            iam.get_policy(PolicyArn=arn)["Policy"],
            iam.get_policy_version(PolicyArn=arn, VersionId="v2")["PolicyVersion"],
            iam.get_user(UserName="kept")["User"],
            iam.list_attached_user_policies(UserName="kept")["AttachedPolicies"],
            iam.get_user_policy(UserName="kept", PolicyName="inline")["PolicyDocument"],
        ]
    with servers.dev(tmp_path / "data") as server:
        iam = server.client("iam", region="us-east-1")
        after = [
            iam.get_policy(PolicyArn=arn)["Policy"],
            iam.get_policy_version(PolicyArn=arn, VersionId="v2")["PolicyVersion"],
            iam.get_user(UserName="kept")["User"],
            iam.list_attached_user_policies(UserName="kept")["AttachedPolicies"],
            iam.get_user_policy(UserName="kept", PolicyName="inline")["PolicyDocument"],
        ]
    assert after == before
