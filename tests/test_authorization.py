"""Who may use a key: the patterns that people build with policies, end to end, allow and deny each."""

import json
import re

import botocore.exceptions
import pytest
from support import enforced
from support.aws import Account, refused
from support.enforced import ALL, OTHER, OWN, allow, code, policy
from support.identities import trust, unique

DENIED = "AccessDeniedException"
ADMINISTRATION = [
    *("kms:Create*", "kms:Describe*", "kms:Enable*", "kms:List*", "kms:Put*", "kms:Update*", "kms:Revoke*"),
    *("kms:Disable*", "kms:Get*", "kms:Delete*", "kms:TagResource", "kms:UntagResource"),
    *("kms:ScheduleKeyDeletion", "kms:CancelKeyDeletion"),
]
USE = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]


@pytest.fixture(scope="module")
def world():
    with enforced.world() as made:
        yield made


def delegation(world):
    """The statement that leaves the key to the account's own policies."""
    return allow("kms:*", Principal={"AWS": world.root_arn})


def named(caller, actions, **more):
    return allow(actions, Principal={"AWS": caller if isinstance(caller, str) else caller.arn}, **more)


def key_with(world, *statements, **options):
    return world.kms.create_key(Policy=policy(*statements), **options)["KeyMetadata"]["Arn"]


def sentence(caller, action, resource, reason):
    return f"User: {caller.arn} is not authorized to perform: {action} on resource: {resource} {reason}"


def no_policy(kind, action):
    return f"because no {kind} policy allows the {action} action"


def encrypt(caller, key, **more):
    return caller.kms.encrypt(KeyId=key, Plaintext=b"plain", **more)["CiphertextBlob"]


def session(world, caller, role, **more):
    """The caller as a session of the role."""
    answer = caller.service("sts").assume_role(RoleArn=role, RoleSessionName="session", **more)
    credentials = answer["Credentials"]
    made = {"account": credentials["AccessKeyId"], "secret": credentials["SecretAccessKey"]}
    taken = Account(world.server, caller.number, token=credentials["SessionToken"], **made)
    taken.arn = answer["AssumedRoleUser"]["Arn"]
    return taken


def role(world, trusted, *statements, name=None, **more):
    name = name or unique("role")
    trusting = trust({"AWS": trusted}, ["sts:AssumeRole", "sts:TagSession"])
    made = world.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusting, **more)["Role"]
    if statements:
        world.iam.put_role_policy(RoleName=name, PolicyName="only", PolicyDocument=policy(*statements))
    return made["Arn"]


# The account's own policies


def test_the_default_key_policy_leaves_it_to_identity_policies(world):
    key = world.key()
    may, may_not = world.user(allow("kms:Encrypt", key)), world.user()
    assert encrypt(may, key)
    with refused(DENIED, sentence(may_not, "kms:Encrypt", key, no_policy("identity-based", "kms:Encrypt"))):
        encrypt(may_not, key)
    with refused(DENIED, sentence(may, "kms:Decrypt", key, no_policy("identity-based", "kms:Decrypt"))):
        may.kms.decrypt(KeyId=key, CiphertextBlob=encrypt(may, key))


def test_without_the_account_in_the_key_policy_identity_policies_allow_nothing(world):
    user = world.user(ALL)
    other = world.user(ALL)
    key = key_with(world, named(user, "kms:*"), BypassPolicyLockoutSafetyCheck=True)
    assert encrypt(user, key)
    with refused(DENIED, sentence(other, "kms:Encrypt", key, no_policy("resource-based", "kms:Encrypt"))):
        encrypt(other, key)
    with refused(DENIED):
        encrypt(world.root, key)


def test_a_deny_in_an_identity_policy_holds_whatever_the_key_policy_says(world):
    user = world.user({**ALL, "Effect": "Deny", "Action": "kms:Encrypt"})
    key = key_with(world, delegation(world), named(user, "kms:*"))
    with refused(DENIED, sentence(user, "kms:Encrypt", key, "with an explicit deny in an identity-based policy")):
        encrypt(user, key)
    assert user.kms.describe_key(KeyId=key)


def test_a_deny_in_the_key_policy_holds_whatever_an_identity_policy_says(world):
    user = world.user(ALL)
    denying = {**named(user, "kms:Encrypt"), "Effect": "Deny"}
    key = key_with(world, delegation(world), denying)
    with refused(DENIED, sentence(user, "kms:Encrypt", key, "with an explicit deny in a resource-based policy")):
        encrypt(user, key)
    assert encrypt(world.root, key)


def test_policies_of_groups_and_managed_policies_count(world):
    key, user = world.key(), world.user()
    name = user.arn.rsplit("/", 1)[1]
    group = unique("group")
    world.iam.create_group(GroupName=group)
    world.iam.put_group_policy(GroupName=group, PolicyName="p", PolicyDocument=policy(allow("kms:Encrypt", key)))
    with refused(DENIED):
        encrypt(user, key)
    world.iam.add_user_to_group(GroupName=group, UserName=name)
    assert encrypt(user, key)
    world.iam.remove_user_from_group(GroupName=group, UserName=name)
    with refused(DENIED):
        encrypt(user, key)
    document = policy(allow("kms:Encrypt", key))
    managed = world.iam.create_policy(PolicyName=unique("managed"), PolicyDocument=document)["Policy"]["Arn"]
    world.iam.attach_user_policy(UserName=name, PolicyArn=managed)
    assert encrypt(user, key)
    nothing = policy(allow("kms:DescribeKey", key))
    world.iam.create_policy_version(PolicyArn=managed, PolicyDocument=nothing, SetAsDefault=True)
    with refused(DENIED):
        encrypt(user, key)
    assert user.kms.describe_key(KeyId=key)


def test_a_permissions_boundary_limits(world):
    key, user = world.key(), world.user(ALL)
    name = user.arn.rsplit("/", 1)[1]
    document = policy(allow("kms:DescribeKey"))
    bound = world.iam.create_policy(PolicyName=unique("boundary"), PolicyDocument=document)["Policy"]["Arn"]
    world.iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=bound)
    assert user.kms.describe_key(KeyId=key)
    reason = "because no permissions boundary allows the kms:Encrypt action"
    with refused(DENIED, sentence(user, "kms:Encrypt", key, reason)):
        encrypt(user, key)
    # A user that the key policy names itself is not limited, as with AWS.
    open_key = key_with(world, delegation(world), named(user, "kms:Encrypt"))
    assert encrypt(user, open_key)
    world.iam.delete_user_permissions_boundary(UserName=name)
    assert encrypt(user, key)


# Administrators and users


def test_administrators_administer_and_users_use(world):
    administrator, user, owner = world.user(), world.user(), delegation(world)
    key = key_with(world, owner, named(administrator, ADMINISTRATION), named(user, USE))
    blob = encrypt(user, key)
    assert user.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"plain"
    assert user.kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key)
    assert user.kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    text = administrator.kms.get_key_policy(KeyId=key)["Policy"]
    for caller, calls in [
        (
            administrator,
            [
                ("encrypt", {"KeyId": key, "Plaintext": b"x"}),
                ("decrypt", {"KeyId": key, "CiphertextBlob": blob}),
                ("generate_data_key", {"KeyId": key, "KeySpec": "AES_256"}),
                ("re_encrypt", {"CiphertextBlob": blob, "DestinationKeyId": key}),
            ],
        ),
        (
            user,
            [
                ("put_key_policy", {"KeyId": key, "Policy": text}),
                ("get_key_policy", {"KeyId": key}),
                ("disable_key", {"KeyId": key}),
                ("enable_key", {"KeyId": key}),
                ("schedule_key_deletion", {"KeyId": key, "PendingWindowInDays": 7}),
                ("update_key_description", {"KeyId": key, "Description": "d"}),
                ("tag_resource", {"KeyId": key, "Tags": [{"TagKey": "a", "TagValue": "b"}]}),
            ],
        ),
    ]:
        for name, arguments in calls:
            with refused(DENIED):
                getattr(caller.kms, name)(**arguments)
    administrator.kms.put_key_policy(KeyId=key, Policy=text)
    administrator.kms.disable_key(KeyId=key)
    administrator.kms.enable_key(KeyId=key)
    administrator.kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    administrator.kms.cancel_key_deletion(KeyId=key)


def test_put_key_policy_cannot_lock_out(world):
    administrator = world.user()
    key = key_with(world, delegation(world), named(administrator, "kms:PutKeyPolicy"))
    text = world.kms.get_key_policy(KeyId=key)["Policy"]
    somebody = policy(named(world.user(), "kms:*"))
    with refused("MalformedPolicyDocumentException") as caught:
        administrator.kms.put_key_policy(KeyId=key, Policy=somebody)
    lockout = "The new key policy will not allow you to update the key policy in the future."
    assert caught.value.response["Error"]["Message"] == lockout
    # A user whom the new policy names may go on; the account's statement will do too.
    administrator.kms.put_key_policy(KeyId=key, Policy=policy(named(administrator, "kms:*")))
    administrator.kms.put_key_policy(KeyId=key, Policy=text)
    administrator.kms.put_key_policy(KeyId=key, Policy=somebody, BypassPolicyLockoutSafetyCheck=True)
    with refused(DENIED):
        administrator.kms.put_key_policy(KeyId=key, Policy=text)


# Services


def test_persistent_resources_only_by_a_service(world):
    user = world.user()
    condition = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    statement = named(user, ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"], Condition=condition)
    key = key_with(world, delegation(world), named(user, "kms:DescribeKey"), statement)
    assert user.kms.describe_key(KeyId=key)
    for name, arguments in [
        ("create_grant", {"GranteePrincipal": user.arn, "Operations": ["Decrypt"]}),
        ("list_grants", {}),
    ]:
        with refused(DENIED):
            getattr(user.kms, name)(KeyId=key, **arguments)
    condition["Bool"]["kms:GrantIsForAWSResource"] = "false"
    world.kms.put_key_policy(KeyId=key, Policy=policy(delegation(world), statement))
    assert user.kms.create_grant(KeyId=key, GranteePrincipal=user.arn, Operations=["Decrypt"])["GrantId"]


def test_a_key_of_a_service_refuses_direct_use(world):
    user = world.user(ALL)
    condition = {"StringEquals": {"kms:CallerAccount": OWN, "kms:ViaService": "ebs.eu-central-1.amazonaws.com"}}
    through = allow(USE, Principal={"AWS": "*"}, Condition=condition)
    reading = allow(["kms:Describe*", "kms:Get*", "kms:List*"], Principal={"AWS": world.root_arn})
    key = key_with(world, through, reading, BypassPolicyLockoutSafetyCheck=True)
    for caller in (user, world.root):
        with refused(DENIED):
            encrypt(caller, key)
        assert caller.kms.describe_key(KeyId=key)
    # The caller's account alone is a condition that direct use meets.
    condition["StringEquals"].pop("kms:ViaService")
    assert encrypt(user, key_with(world, through, reading, BypassPolicyLockoutSafetyCheck=True))


# Second factors


def test_deny_without_a_second_factor(world):
    user = world.user(ALL)
    name = user.arn.rsplit("/", 1)[1]
    deny = {**named("*", "kms:Encrypt"), "Effect": "Deny", "Condition": {"Null": {"aws:MultiFactorAuthAge": "true"}}}
    key = key_with(world, delegation(world), deny)
    with refused(DENIED, sentence(user, "kms:Encrypt", key, "with an explicit deny in a resource-based policy")):
        encrypt(user, key)
    device = world.iam.create_virtual_mfa_device(VirtualMFADeviceName=name)["VirtualMFADevice"]
    serial, seed = device["SerialNumber"], device["Base32StringSeed"]
    codes = {"AuthenticationCode1": code(seed, -1), "AuthenticationCode2": code(seed)}
    world.iam.enable_mfa_device(UserName=name, SerialNumber=serial, **codes)

    def with_token(**arguments):
        made = user.service("sts").get_session_token(**arguments)["Credentials"]
        credentials = {"account": made["AccessKeyId"], "secret": made["SecretAccessKey"]}
        return Account(world.server, OWN, token=made["SessionToken"], **credentials)

    with refused(DENIED):
        encrypt(with_token(), key)
    assert encrypt(with_token(SerialNumber=serial, TokenCode=code(seed, 1)), key)


# Tags


def test_tags_of_key_and_caller_must_agree(world):
    condition = {"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team}"}}
    user = world.user(allow("kms:Encrypt", Condition=condition))
    keys = {}
    for team in ("blue", "red"):
        made = world.kms.create_key(Tags=[{"TagKey": "team", "TagValue": team}])
        keys[team] = made["KeyMetadata"]["Arn"]
    for key in [*keys.values(), world.key()]:
        with refused(DENIED):
            encrypt(user, key)
    name = user.arn.rsplit("/", 1)[1]
    world.iam.tag_user(UserName=name, Tags=[{"Key": "Team", "Value": "blue"}])
    assert encrypt(user, keys["blue"])
    with refused(DENIED):
        encrypt(user, keys["red"])
    world.kms.tag_resource(KeyId=keys["red"], Tags=[{"TagKey": "team", "TagValue": "blue"}])
    assert encrypt(user, keys["red"])
    # The tags of a session count in place of the role's.
    arn = role(world, world.root_arn, allow("kms:Encrypt", Condition=condition), Tags=[{"Key": "team", "Value": "red"}])
    taker = world.user(allow(["sts:AssumeRole", "sts:TagSession"], arn))
    with refused(DENIED):
        encrypt(session(world, taker, arn), keys["blue"])
    assert encrypt(session(world, taker, arn, Tags=[{"Key": "team", "Value": "blue"}]), keys["blue"])


def test_tags_of_a_request(world):
    condition = {
        "StringEquals": {"aws:RequestTag/team": "blue"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["team"]},
    }
    user = world.user(allow(["kms:CreateKey", "kms:TagResource", "iam:CreateUser"], Condition=condition))
    iam = user.service("iam", region="us-east-1")
    good, wrong = ("team", "blue"), ("team", "red")
    for tags in ([], [wrong], [good, ("more", "x")]):
        with refused(DENIED):
            user.kms.create_key(Tags=[{"TagKey": key, "TagValue": value} for key, value in tags])
        with refused("AccessDenied", status=403):
            iam.create_user(UserName=unique("u"), Tags=[{"Key": key, "Value": value} for key, value in tags])
    user.kms.create_key(Tags=[{"TagKey": "team", "TagValue": "blue"}])
    iam.create_user(UserName=unique("u"), Tags=[{"Key": "team", "Value": "blue"}])


# Conditions of IAM


def test_users_may_only_be_made_within_a_boundary(world):
    def managed():
        document = policy(allow("kms:DescribeKey"))
        return world.iam.create_policy(PolicyName=unique("p"), PolicyDocument=document)["Policy"]["Arn"]

    bound, other = managed(), managed()
    condition = {"StringEquals": {"iam:PermissionsBoundary": bound}}
    actions = ["iam:CreateUser", "iam:PutUserPolicy", "iam:AttachUserPolicy", "iam:PutUserPermissionsBoundary"]
    user = world.user(allow(actions, Condition=condition))
    iam = user.service("iam", region="us-east-1")
    name, plain = unique("bounded"), unique("plain")
    with refused("AccessDenied", status=403):
        iam.create_user(UserName=name)
    with refused("AccessDenied", status=403):
        iam.create_user(UserName=name, PermissionsBoundary=other)
    iam.create_user(UserName=name, PermissionsBoundary=bound)
    world.iam.create_user(UserName=plain)
    for who in (name, plain):
        for call, arguments in [
            (iam.put_user_policy, {"PolicyName": "p", "PolicyDocument": policy(ALL)}),
            (iam.attach_user_policy, {"PolicyArn": other}),
        ]:
            if who == name:
                call(UserName=who, **arguments)
                continue
            with refused("AccessDenied", status=403):
                call(UserName=who, **arguments)
    with refused("AccessDenied", status=403):
        iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=other)


def test_which_policies_may_be_attached(world):
    document = policy(allow("kms:DescribeKey"))
    good, bad = (
        world.iam.create_policy(PolicyName=unique("p"), PolicyDocument=document)["Policy"]["Arn"] for _ in range(2)
    )
    user = world.user(allow("iam:AttachUserPolicy", Condition={"ArnEquals": {"iam:PolicyARN": good}}))
    name = unique("target")
    world.iam.create_user(UserName=name)
    iam = user.service("iam", region="us-east-1")
    iam.attach_user_policy(UserName=name, PolicyArn=good)
    reason = no_policy("identity-based", "iam:AttachUserPolicy")
    with refused("AccessDenied", sentence(user, "iam:AttachUserPolicy", f"user {name}", reason), status=403):
        iam.attach_user_policy(UserName=name, PolicyArn=bad)


@pytest.mark.parametrize("family", ["aws:ResourceTag/", "iam:ResourceTag/"])
def test_tags_of_users_roles_and_policies(world, family):
    user = world.user(allow("iam:Get*", Condition={"StringEquals": {f"{family}open": "yes"}}))
    iam = user.service("iam", region="us-east-1")
    tags = [{"Key": "open", "Value": "yes"}]
    for tagged in (True, False):
        more = {"Tags": tags} if tagged else {}
        name, document = unique("thing"), policy(allow("kms:DescribeKey"))
        world.iam.create_user(UserName=name, **more)
        role(world, world.root_arn, name=name, **more)
        arn = world.iam.create_policy(PolicyName=name, PolicyDocument=document, **more)["Policy"]["Arn"]
        for call, arguments in [
            (iam.get_user, {"UserName": name}),
            (iam.get_role, {"RoleName": name}),
            (iam.get_policy, {"PolicyArn": arn}),
        ]:
            if tagged:
                assert call(**arguments)
                continue
            with refused("AccessDenied", status=403):
                call(**arguments)


def test_how_iam_names_what_is_refused(world):
    user = world.user()
    iam = user.service("iam", region="us-east-1")
    account = f"arn:aws:iam::{OWN}"
    for call, arguments, action, shown in [
        (iam.create_user, {"UserName": "x", "Path": "/p/"}, "CreateUser", f"{account}:user/p/x"),
        (
            iam.create_role,
            {"RoleName": "x", "AssumeRolePolicyDocument": trust({"AWS": OWN})},
            "CreateRole",
            f"{account}:role/x",
        ),
        (iam.get_user, {"UserName": "x"}, "GetUser", "user x"),
        (iam.get_role, {"RoleName": "x"}, "GetRole", "role x"),
        (iam.get_group, {"GroupName": "x"}, "GetGroup", "group x"),
        (iam.list_users, {}, "ListUsers", f"{account}:user/"),
        (iam.list_roles, {}, "ListRoles", "*"),
        (iam.get_account_summary, {}, "GetAccountSummary", "*"),
    ]:
        text = sentence(user, f"iam:{action}", shown, no_policy("identity-based", f"iam:{action}"))
        with refused("AccessDenied", text, status=403):
            call(**arguments)


# Who is gone


def test_a_user_made_again_gets_nothing(world):
    user = world.user()
    name = user.arn.rsplit("/", 1)[1]
    id_ = world.iam.get_user(UserName=name)["User"]["UserId"]
    key = key_with(world, delegation(world), named(user, "kms:Encrypt"))
    assert encrypt(user, key)
    world.iam.delete_access_key(UserName=name, AccessKeyId=user.credentials["account"])
    world.iam.delete_user(UserName=name)
    assert id_ in world.kms.get_key_policy(KeyId=key)["Policy"]
    world.iam.create_user(UserName=name)
    made = world.iam.create_access_key(UserName=name)["AccessKey"]
    again = Account(world.server, OWN, account=made["AccessKeyId"], secret=made["SecretAccessKey"])
    assert again.service("sts").get_caller_identity()["Arn"] == user.arn
    with refused(DENIED):
        encrypt(again, key)
    assert id_ in world.kms.get_key_policy(KeyId=key)["Policy"]
    world.kms.put_key_policy(KeyId=key, Policy=policy(delegation(world), named(user, "kms:Encrypt")))
    assert encrypt(again, key)


def test_a_role_made_again_gets_nothing(world):
    name, taker = unique("role"), world.user(allow("sts:AssumeRole"))
    arn = role(world, world.root_arn, name=name)
    key = key_with(world, delegation(world), named(arn, "kms:Encrypt"))
    before = session(world, taker, arn)
    assert encrypt(before, key)
    world.iam.delete_role(RoleName=name)
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        encrypt(before, key)
    assert caught.value.response["Error"]["Code"] == "UnrecognizedClientException"
    role(world, world.root_arn, name=name)
    with refused(DENIED):
        encrypt(session(world, taker, arn), key)
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        encrypt(before, key)
    assert caught.value.response["Error"]["Code"] == "UnrecognizedClientException"


def test_whoever_is_not_there_cannot_be_named(world):
    for who in ("user/nobody-at-all", "role/nobody-at-all"):
        statement = named(f"arn:aws:iam::{OWN}:{who}", "kms:Encrypt")
        with refused("MalformedPolicyDocumentException") as caught:
            key_with(world, delegation(world), statement)
        message = "Policy contains a statement with one or more invalid principals."
        assert caught.value.response["Error"]["Message"] == message


# Sessions of roles


def test_sessions_of_a_role(world):
    key, arn = world.key(), None
    arn = role(world, world.root_arn, allow(["kms:Encrypt", "kms:DescribeKey"], key))
    taker = world.user(allow("sts:AssumeRole", arn))
    assert encrypt(session(world, taker, arn), key)
    limited = session(world, taker, arn, Policy=policy(allow("kms:DescribeKey")))
    assert limited.kms.describe_key(KeyId=key)
    reason = "because no session policy allows the kms:Encrypt action"
    with refused(DENIED, sentence(limited, "kms:Encrypt", key, reason)):
        encrypt(limited, key)
    # A session policy is a ceiling: it allows nothing by itself.
    wide = session(world, taker, arn, Policy=policy(ALL))
    with refused(DENIED, sentence(wide, "kms:DisableKey", key, no_policy("identity-based", "kms:DisableKey"))):
        wide.kms.disable_key(KeyId=key)
    # A role that the key policy names is limited by the session's policy still.
    open_key = key_with(world, delegation(world), named(arn, "kms:Encrypt"))
    assert encrypt(session(world, taker, arn), open_key)
    with refused(DENIED):
        encrypt(limited, open_key)
    world.iam.delete_role_policy(RoleName=arn.rsplit("/", 1)[1], PolicyName="only")
    with refused(DENIED):
        encrypt(session(world, taker, arn), key)


# Another account


def test_another_account_needs_both_sides(world):
    stranger, nobody = world.user(allow("kms:Encrypt"), of=world.other), world.user(of=world.other)
    key = world.key()
    text = "on this resource because the resource does not exist in this Region, no resource-based policies allow"
    for caller in (stranger, world.other):
        with refused(DENIED) as caught:
            encrypt(caller, key)
        assert text in caught.value.response["Error"]["Message"]
    exact = named(nobody, "kms:Encrypt")
    opened = key_with(world, delegation(world), named(stranger, "kms:Encrypt"), exact)
    assert encrypt(stranger, opened)
    with refused(DENIED, sentence(nobody, "kms:Encrypt", opened, no_policy("identity-based", "kms:Encrypt"))):
        encrypt(nobody, opened)


def test_pages_and_markers_stay_in_their_account(world):
    for _ in range(3):
        world.key()
    marker = world.kms.list_keys(Limit=1)["NextMarker"]
    try:
        answer = world.other.kms.list_keys(Marker=marker)
    except botocore.exceptions.ClientError as error:
        assert re.search("Marker", error.response["Error"]["Code"]), error
    else:
        assert all(f":{OTHER}:" in key["KeyArn"] for key in answer["Keys"])
    for _ in range(2):
        world.iam.create_user(UserName=unique("listed"))
    marker = world.iam.list_users(MaxItems=1)["Marker"]
    own = world.other.service("iam", region="us-east-1").list_users(Marker=marker)["Users"]
    assert OWN not in json.dumps([user["Arn"] for user in own])
