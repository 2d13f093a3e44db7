"""STS: the awsQuery protocol, and sessions of users, roles and federated users."""

import base64
import contextlib
import datetime
import hashlib
import hmac
import json
import struct
import time
import xml.etree.ElementTree as tree

import botocore.exceptions
import pytest
from support import server as servers
from support.aws import refused
from support.identities import trust, unique
from support.people import ONE, OTHER, SECRET, Person, allow, policy, role_of, root_of, user_of

NAMESPACE = "{https://sts.amazonaws.com/doc/2011-06-15/}"


def query(account, text, method="POST", service="sts", **headers):
    import botocore.auth
    import botocore.awsrequest
    import botocore.credentials

    url = account.server.url + ("/?" + text if method == "GET" else "/")
    body = b"" if method == "GET" else text.encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", **headers}
    if method == "GET":
        headers.pop("Content-Type")
    request = botocore.awsrequest.AWSRequest(method, url, data=body, headers=headers)
    credentials = botocore.credentials.Credentials(account.number, "any")
    botocore.auth.SigV4Auth(credentials, service, servers.REGION).add_auth(request)
    return account.server.request(method, url.removeprefix(account.server.url), body, dict(request.headers.items()))


def test_get_caller_identity(aws):
    answer = aws.service("sts").get_caller_identity()
    assert (answer["Account"], answer["UserId"], answer["Arn"]) == (aws.number, aws.number, aws.root)


def test_sts_answers_whatever_the_region(account):
    for region in ("us-east-1", "eu-west-3"):
        assert account.service("sts", region=region).get_caller_identity()["Account"] == account.number


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_xml_of_an_answer(account, method):
    answer = query(account, "Action=GetCallerIdentity&Version=2011-06-15", method)
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/xml"), answer
    root = tree.fromstring(answer.body)
    assert root.tag == NAMESPACE + "GetCallerIdentityResponse"
    result = root.find(NAMESPACE + "GetCallerIdentityResult")
    assert [child.tag for child in result] == [NAMESPACE + name for name in ("Arn", "UserId", "Account")]
    request_id = root.findtext(f"{NAMESPACE}ResponseMetadata/{NAMESPACE}RequestId")
    assert request_id and request_id == answer.headers["x-amzn-requestid"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Action=Nonsense&Version=2011-06-15", "Could not find operation Nonsense for version 2011-06-15"),
        (
            "Action=GetCallerIdentity&Version=1999-01-01",
            "Could not find operation GetCallerIdentity for version 1999-01-01",
        ),
        ("Action=GetCallerIdentity", "Could not find operation GetCallerIdentity for version NO_VERSION_SPECIFIED"),
    ],
)
def test_unknown_actions(account, text, message):
    answer = query(account, text)
    assert answer.status == 400, answer
    root = tree.fromstring(answer.body)
    assert root.tag.endswith("}ErrorResponse")
    namespace = root.tag.removesuffix("ErrorResponse")
    assert root.findtext(f"{namespace}Error/{namespace}Code") == "InvalidAction"
    assert root.findtext(f"{namespace}Error/{namespace}Message") == message
    assert root.findtext(f"{namespace}Error/{namespace}Type") == "Sender"


def test_form_rubbish(account, chance):
    for text in [
        "",
        "&&&&",
        "=",
        "%",
        "%zz=%",
        "Action",
        "Action=GetCallerIdentity&" * 2000,
        "Action=%ff%fe&Version=x",
    ]:
        answer = query(account, text)
        assert 300 <= answer.status < 500, (text, answer)
    for _ in range(50):
        answer = query(account, chance.randbytes(80).decode("latin-1"))
        assert 300 <= answer.status < 500, answer


def test_unknown_and_repeated_parameters(account):
    answer = query(account, "Action=GetCallerIdentity&Version=2011-06-15&Unknown=1&Action=Nonsense")
    assert answer.status == 200


ALLOW_ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}
INVALID = "The security token included in the request is invalid."


def enforced():
    roots = [word for number in (ONE, OTHER) for word in ("--root", f"{number}={root_of(number)}:{SECRET}")]
    return servers.dev(None, "--enforce", *roots)


@pytest.fixture(scope="module")
def enforcing():
    with enforced() as server:
        yield server


@pytest.fixture
def root(enforcing):
    return Person(enforcing, root_of(ONE), SECRET)


@pytest.fixture
def stranger(enforcing):
    return Person(enforcing, root_of(OTHER), SECRET)


def denied(person, action, resource=None):
    arn = person.who()[0]
    about = f" on resource: {resource}" if resource else ""
    return refused("AccessDenied", f"User: {arn} is not authorized to perform: {action}{about}", status=403)


def not_assumed(person, role, action="sts:AssumeRole"):
    return denied(person, action, role["Arn"])


def test_a_user_takes_a_role_that_names_it(root):
    user = user_of(root)
    role = role_of(root, trust({"AWS": user.arn}), allow("kms:*"), Path="/a/b/")
    before = datetime.datetime.now(datetime.UTC)
    answer = user.sts.assume_role(RoleArn=role["Arn"], RoleSessionName="work")
    name = role["RoleName"]
    arn = f"arn:aws:sts::{ONE}:assumed-role/{name}/work"
    assert answer["AssumedRoleUser"] == {"Arn": arn, "AssumedRoleId": f"{role['RoleId']}:work"}
    assert "PackedPolicySize" not in answer and "SourceIdentity" not in answer
    given = answer["Credentials"]
    assert given["AccessKeyId"].startswith("ASIA") and len(given["AccessKeyId"]) == 20
    assert len(given["SecretAccessKey"]) == 40
    assert 3590 < (given["Expiration"] - before).total_seconds() < 3660
    session = user.session(answer)
    assert session.who() == (arn, f"{role['RoleId']}:work", ONE)
    key = session.kms.create_key()["KeyMetadata"]["KeyId"]
    assert session.kms.describe_key(KeyId=key)["KeyMetadata"]["AWSAccountId"] == ONE
    with refused("AccessDeniedException"):
        user.kms.describe_key(KeyId=key)
    with refused("AccessDenied", status=403):
        session.iam.list_users()
    used = root.iam.get_role(RoleName=name)["Role"]["RoleLastUsed"]
    assert used["Region"] == servers.REGION and used["LastUsedDate"] >= before.replace(microsecond=0)


def test_every_refusal_of_a_role_reads_alike(root, stranger):
    user = user_of(root, allow("sts:AssumeRole"))
    bystander = user_of(root)
    missing = {"Arn": f"arn:aws:iam::{ONE}:role/no-such-role"}
    foreign = {"Arn": "arn:aws:iam::999999999999:role/no-such-account"}
    own = role_of(root, trust({"AWS": bystander.arn}))
    delegated = role_of(root, trust({"AWS": ONE}))
    theirs = role_of(stranger, trust({"AWS": OTHER}))
    for role in (missing, foreign, own, theirs, {"Arn": own["Arn"].replace("role/", "role/path/")}):
        with not_assumed(user, role):
            user.assume(role)
    with not_assumed(bystander, delegated):
        bystander.assume(delegated)
    assert user.assume(delegated).who()[2] == ONE
    with refused("AccessDenied", "Roles may not be assumed by root accounts.", status=403):
        root.assume(delegated)
    with refused("ValidationError", f"{user.arn} is invalid"):
        user.assume({"Arn": user.arn})


def test_another_accounts_role_needs_both_sides(root, stranger):
    user, idle = user_of(root, allow("sts:AssumeRole")), user_of(root)
    role = role_of(stranger, trust({"AWS": [user.arn, idle.arn]}), ALLOW_ALL)
    key = stranger.kms.create_key()["KeyMetadata"]["Arn"]
    assert user.assume(role).who()[2] == OTHER
    assert user.assume(role).kms.describe_key(KeyId=key)["KeyMetadata"]["Arn"] == key
    with not_assumed(idle, role):
        idle.assume(role)
    denying = user_of(root, allow("sts:AssumeRole"), {**allow("sts:*", role["Arn"]), "Effect": "Deny"})
    other = role_of(stranger, trust({"AWS": denying.arn}))
    assert denying.assume(other)
    stranger.iam.update_assume_role_policy(
        RoleName=role["RoleName"], PolicyDocument=trust({"AWS": [user.arn, denying.arn]})
    )
    with not_assumed(denying, role):
        denying.assume(role)


def conditioned(principal, condition, action="sts:AssumeRole"):
    document = json.loads(trust(principal, action))
    document["Statement"][0]["Condition"] = condition
    return json.dumps(document)


def test_an_external_id(root):
    user = user_of(root)
    role = role_of(root, conditioned({"AWS": user.arn}, {"StringEquals": {"sts:ExternalId": "right"}}))
    for options in ({}, {"ExternalId": "wrong"}, {"ExternalId": "RIGHT"}):
        with not_assumed(user, role):
            user.assume(role, **options)
    assert user.assume(role, ExternalId="right")


def test_the_sessions_name_and_the_tags_of_the_role(root):
    user = user_of(root)
    condition = {"StringLike": {"sts:RoleSessionName": "build-*"}, "StringEquals": {"aws:ResourceTag/team": "blue"}}
    document = conditioned({"AWS": user.arn}, condition)
    role = role_of(root, document, Tags=[{"Key": "Team", "Value": "blue"}])
    assert user.assume(role, "build-7")
    with not_assumed(user, role):
        user.assume(role, "deploy-7")
    with not_assumed(user, plain := role_of(root, document)):
        user.assume(plain, "build-7")


def test_session_policies_limit_and_never_add(root):
    user = user_of(root)
    role = role_of(root, trust({"AWS": user.arn}), allow("kms:*"))
    key = root.kms.create_key()["KeyMetadata"]["Arn"]
    inline = policy(allow("kms:DescribeKey"), allow("iam:ListUsers"))
    answer = user.sts.assume_role(RoleArn=role["Arn"], RoleSessionName="few", Policy=inline)
    assert 0 < answer["PackedPolicySize"] <= 100
    few = user.session(answer)
    assert few.kms.describe_key(KeyId=key)
    for call in (few.kms.create_key, few.kms.list_keys):
        with refused("AccessDeniedException") as caught:
            call()
        assert "because no session policy allows the kms:" in caught.value.response["Error"]["Message"]
    with refused("AccessDenied", status=403):
        few.iam.list_users()
    managed = root.iam.create_policy(PolicyName=unique("policy"), PolicyDocument=policy(allow("kms:ListKeys")))[
        "Policy"
    ]
    both = user.assume(role, Policy=inline, PolicyArns=[{"arn": managed["Arn"]}])
    assert both.kms.list_keys() and both.kms.describe_key(KeyId=key)
    listing = user.assume(role, PolicyArns=[{"arn": managed["Arn"]}])
    assert listing.kms.list_keys()
    with refused("AccessDeniedException"):
        listing.kms.describe_key(KeyId=key)
    root.iam.delete_policy(PolicyArn=managed["Arn"])
    with refused("AccessDeniedException"):
        listing.kms.list_keys()
    with refused("MalformedPolicyDocument"):
        user.assume(role, Policy="{")
    with refused("MalformedPolicyDocument"):
        user.assume(role, PolicyArns=[{"arn": managed["Arn"]}])
    with refused("PackedPolicyTooLarge"):
        user.assume(role, Policy=inline + " " * 2048)


def test_durations(root):
    user = user_of(root)
    role = role_of(root, trust({"AWS": user.arn}), MaxSessionDuration=7200)
    too_long = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    with refused("ValidationError", too_long):
        user.assume(role, DurationSeconds=7201)
    given = user.sts.assume_role(RoleArn=role["Arn"], RoleSessionName="long", DurationSeconds=7200)["Credentials"]
    left = given["Expiration"] - datetime.datetime.now(datetime.UTC)
    assert 7100 < left.total_seconds() <= 7201
    for seconds in (899, 43201):
        with refused("ValidationError"):
            user.assume(role, DurationSeconds=seconds)


def test_a_chain_of_roles_lasts_an_hour(root):
    user = user_of(root)
    first = role_of(root, trust({"AWS": user.arn}), MaxSessionDuration=43200)
    second = role_of(root, trust({"AWS": first["Arn"]}), MaxSessionDuration=43200)
    session = user.assume(first, DurationSeconds=43200)
    message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
    with refused("ValidationError", message):
        session.assume(second, DurationSeconds=3601)
    assert session.assume(second, "inner").who()[0].endswith("/inner")
    with not_assumed(user, second):
        user.assume(second)
    with not_assumed(session, first):
        session.assume(first)
    for call in (session.sts.get_session_token, lambda: session.sts.get_federation_token(Name="guest")):
        with refused("AccessDenied", status=403):
            call()


def tags(**pairs):
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


ACTIONS = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]


def test_session_tags(root):
    user = user_of(root)
    bare = role_of(root, trust({"AWS": user.arn}))
    with not_assumed(user, bare, "sts:TagSession"):
        user.assume(bare, Tags=tags(team="blue"))
    allowed = conditioned({"AWS": user.arn}, {"StringEquals": {"aws:RequestTag/team": ["blue", "red"]}}, ACTIONS[:2])
    statement = allow("kms:CreateKey", StringEquals={"aws:PrincipalTag/team": "blue"})
    role = role_of(root, allowed, statement, Tags=tags(Team="red"))
    with not_assumed(user, role):
        user.assume(role, Tags=tags(team="green"))
    answer = user.sts.assume_role(RoleArn=role["Arn"], RoleSessionName="blue", Tags=tags(team="blue"))
    assert answer["PackedPolicySize"] >= 1
    assert user.session(answer).kms.create_key()
    with refused("AccessDeniedException"):
        user.assume(role, Tags=tags(TEAM="red")).kms.create_key()
    duplicate = "Duplicate tag keys found. Please note that Tag keys are case insensitive."
    with refused("InvalidParameterValue", duplicate):
        user.assume(role, Tags=tags(team="blue", Team="red"))
    missing = "The specified transitive tag key must be included in the requested tags."
    with refused("InvalidParameterValue", missing):
        user.assume(role, Tags=tags(team="blue"), TransitiveTagKeys=["other"])
    with refused("PackedPolicyTooLarge"):
        user.assume(role, Tags=tags(team="blue", **{f"{n:0128}": "v" * 256 for n in range(49)}))


def test_transitive_tags_go_along_a_chain(root):
    user = user_of(root)
    blue = allow("kms:CreateKey", StringEquals={"aws:PrincipalTag/team": "blue"})
    first = role_of(root, trust({"AWS": user.arn}, ACTIONS[:2]))
    second = role_of(root, trust({"AWS": first["Arn"]}, ACTIONS[:2]), blue)
    plain = role_of(root, trust({"AWS": first["Arn"]}), blue)
    passing = user.assume(first, Tags=tags(team="blue", shift="early"), TransitiveTagKeys=["Team"])
    assert passing.assume(second).kms.create_key()
    with not_assumed(passing, plain, "sts:TagSession"):
        passing.assume(plain)
    conflict = (
        "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the "
        "calling session."
    )
    with refused("InvalidParameterValue", conflict):
        passing.assume(second, Tags=tags(TEAM="red"))
    keeping = user.assume(first, Tags=tags(team="blue"))
    with refused("AccessDeniedException"):
        keeping.assume(second).kms.create_key()


def test_a_source_identity_is_set_once(root):
    user = user_of(root)
    first = role_of(root, trust({"AWS": user.arn}, ACTIONS))
    alice = allow("kms:CreateKey", StringEquals={"aws:SourceIdentity": "alice"})
    second = role_of(root, trust({"AWS": first["Arn"]}, ACTIONS), alice)
    plain = role_of(root, trust({"AWS": first["Arn"]}), alice)
    answer = user.sts.assume_role(RoleArn=first["Arn"], RoleSessionName="first", SourceIdentity="alice")
    assert answer["SourceIdentity"] == "alice"
    session = user.session(answer)
    assert session.assume(second).kms.create_key()
    with not_assumed(session, plain, "sts:SetSourceIdentity"):
        session.assume(plain)
    with refused("ValidationError", "The source identity is already set for this assume role session"):
        session.assume(second, SourceIdentity="mallory")
    without = role_of(root, trust({"AWS": user.arn}))
    with not_assumed(user, without, "sts:SetSourceIdentity"):
        user.assume(without, SourceIdentity="alice")
    with refused("AccessDeniedException"):
        user.assume(first).assume(second).kms.create_key()


def code_of(seed, window):
    digest = hmac.digest(base64.b32decode(seed), struct.pack(">q", window), hashlib.sha1)
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at : at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


def with_device(root, user):
    """Gives the user an MFA device whose codes of the coming windows are not used up."""
    device = root.iam.create_virtual_mfa_device(VirtualMFADeviceName=unique("phone"))["VirtualMFADevice"]
    serial, seed = device["SerialNumber"], device["Base32StringSeed"].decode()
    now = int(time.time()) // 30
    codes = {"AuthenticationCode1": code_of(seed, now - 2), "AuthenticationCode2": code_of(seed, now - 1)}
    root.iam.enable_mfa_device(UserName=user.name, SerialNumber=serial, **codes)
    return serial, lambda: code_of(seed, int(time.time()) // 30)


def test_a_second_factor(root):
    user, other = user_of(root, allow("kms:ListKeys")), user_of(root)
    serial, code = with_device(root, user)
    required = {"Bool": {"aws:MultiFactorAuthPresent": "true"}, "NumericLessThan": {"aws:MultiFactorAuthAge": "60"}}
    role = role_of(root, conditioned({"AWS": [user.arn, other.arn]}, required))
    with not_assumed(user, role):
        user.assume(role)
    not_own = (
        "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid "
        "and associated with this user."
    )
    for person, number in ((other, serial), (user, serial + "x"), (user, "arn:aws:iam::1:mfa/x")):
        with refused("AccessDenied", not_own, status=403):
            person.assume(role, SerialNumber=number, TokenCode=code())
    wrong = "MultiFactorAuthentication failed with invalid MFA one time pass code. "
    with refused("AccessDenied", wrong, status=403):
        user.assume(role, SerialNumber=serial, TokenCode=f"{(int(code()) + 1) % 1_000_000:06}")
    with refused("AccessDenied", status=403):
        user.assume(role, SerialNumber=serial)
    right = code()
    assert user.assume(role, SerialNumber=serial, TokenCode=right)
    with refused("AccessDenied", wrong, status=403):
        user.assume(role, SerialNumber=serial, TokenCode=right)


def test_a_users_own_session(root):
    statement = allow("kms:CreateKey", Bool={"aws:MultiFactorAuthPresent": "true"})
    user = user_of(root, statement, allow("kms:ListKeys"), allow("iam:ListUsers"))
    answer = user.sts.get_session_token()
    left = answer["Credentials"]["Expiration"] - datetime.datetime.now(datetime.UTC)
    assert 43190 < left.total_seconds() <= 43201
    session = user.session(answer)
    assert session.who() == (user.arn, user.made["UserId"], ONE)
    assert session.kms.list_keys()
    with refused("AccessDeniedException"):
        session.kms.create_key()
    with refused("InvalidClientTokenId", INVALID, status=403):
        session.iam.list_users()
    with refused("AccessDenied", "Cannot call GetSessionToken with session credentials", status=403):
        session.sts.get_session_token()
    with refused("AccessDenied", "Cannot call GetFederationToken with session credentials", status=403):
        session.sts.get_federation_token(Name="guest")
    serial, code = with_device(root, user)
    strong = user.session(user.sts.get_session_token(SerialNumber=serial, TokenCode=code(), DurationSeconds=900))
    assert strong.kms.create_key() and strong.iam.list_users()
    role = role_of(root, trust({"AWS": user.arn}), MaxSessionDuration=7200)
    with refused("ValidationError"):
        session.assume(role, DurationSeconds=3601)
    assert session.assume(role)


def test_a_roots_session_lasts_an_hour(root):
    answer = root.sts.get_session_token(DurationSeconds=7200)
    left = answer["Credentials"]["Expiration"] - datetime.datetime.now(datetime.UTC)
    assert 3500 < left.total_seconds() <= 3601
    session = root.session(answer)
    assert session.who() == (f"arn:aws:iam::{ONE}:root", ONE, ONE)
    assert session.kms.list_keys()


def test_a_roots_sessions_end_with_its_access_key(root):
    """Those of a user do not."""
    made = root.iam.create_access_key()["AccessKey"]
    second = Person(root.server, made["AccessKeyId"], made["SecretAccessKey"])
    sessions = [second.session(second.sts.get_session_token())]
    whole = policy(allow("kms:*"))
    sessions.append(second.session(second.sts.get_federation_token(Name="guest", Policy=whole)))
    user = user_of(root, allow("kms:*"))
    of_user = user.session(user.sts.get_session_token())
    everybody = [*sessions, of_user]
    assert all(session.kms.list_keys() for session in everybody)
    root.iam.update_access_key(AccessKeyId=second.key, Status="Inactive")
    for session in sessions:
        with refused("UnrecognizedClientException"):
            session.kms.list_keys()
    root.iam.update_access_key(AccessKeyId=second.key, Status="Active")
    assert all(session.kms.list_keys() for session in everybody)
    root.iam.delete_access_key(AccessKeyId=second.key)
    for name in [key["AccessKeyId"] for key in root.iam.list_access_keys(UserName=user.name)["AccessKeyMetadata"]]:
        root.iam.delete_access_key(UserName=user.name, AccessKeyId=name)
    for session in sessions:
        with refused("UnrecognizedClientException"):
            session.kms.list_keys()
        with refused("InvalidClientTokenId", status=403):
            session.sts.get_caller_identity()
    assert of_user.kms.list_keys()


def test_a_federated_user_has_what_both_policies_allow(root):
    guest = f"arn:aws:sts::{ONE}:federated-user/guest"
    user = user_of(root, allow("kms:*"), allow("sts:GetFederationToken"))
    plain = user_of(root, allow("kms:*"))
    answer = user.sts.get_federation_token(Name="guest", Policy=policy(allow("kms:ListKeys"), allow("iam:*")))
    assert answer["FederatedUser"] == {"Arn": guest, "FederatedUserId": f"{ONE}:guest"}
    session = user.session(answer)
    assert session.who() == (guest, f"{ONE}:guest", ONE)
    assert session.kms.list_keys()
    with refused("AccessDeniedException"):
        session.kms.create_key()
    with refused("InvalidClientTokenId", INVALID, status=403):
        session.iam.list_users()
    nothing = user.sts.get_federation_token(Name="guest")
    assert nothing["PackedPolicySize"] == 0
    with refused("AccessDeniedException"):
        user.session(nothing).kms.list_keys()
    role = role_of(root, trust({"AWS": ONE}))
    with not_assumed(session, role):
        session.assume(role)
    with refused("AccessDenied", status=403):
        session.sts.get_access_key_info(AccessKeyId=user.key)
    with refused("AccessDenied", status=403) as caught:
        plain.sts.get_federation_token(Name="guest")
    reason = "because no identity-based policy allows the sts:GetFederationToken action"
    assert caught.value.response["Error"]["Message"].endswith(f"on resource: {guest} {reason}")
    with refused("AccessDenied", status=403):
        user.sts.get_federation_token(Name="guest", Tags=tags(a="b"))
    root.iam.delete_access_key(UserName=user.name, AccessKeyId=user.key)
    assert session.kms.list_keys()


def test_a_roots_federated_user_has_what_the_session_policy_allows(root):
    answer = root.sts.get_federation_token(Name="guest", Policy=policy(allow("kms:ListKeys")), DurationSeconds=7200)
    left = answer["Credentials"]["Expiration"] - datetime.datetime.now(datetime.UTC)
    assert left.total_seconds() <= 3601
    session = root.session(answer)
    assert session.who()[1] == f"{ONE}:guest" and session.kms.list_keys()
    with refused("AccessDeniedException"):
        session.kms.create_key()
    with refused("AccessDeniedException"):
        root.session(root.sts.get_federation_token(Name="guest")).kms.list_keys()


def test_what_is_not_supported_is_refused(root):
    user = user_of(root)
    role = role_of(root, trust({"AWS": user.arn}))
    context = {"ProviderArn": "arn:aws:iam::aws:contextProvider/IdentityCenter", "ContextAssertion": "assertion"}
    with refused("ValidationError"):
        user.assume(role, ProvidedContexts=[context])


def test_what_becomes_of_sessions_when_their_identity_changes(root):
    user = user_of(root)
    role = role_of(root, trust({"AWS": user.arn}), allow("kms:ListKeys"))
    name = role["RoleName"]
    session, own = user.assume(role), user.session(user.sts.get_session_token())
    root.iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust({"AWS": OTHER}))
    assert session.kms.list_keys()
    root.iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(allow("kms:CreateKey")))
    with refused("AccessDeniedException"):
        session.kms.list_keys()
    root.iam.delete_role_policy(RoleName=name, PolicyName="own")
    root.iam.delete_role(RoleName=name)
    with refused("UnrecognizedClientException", INVALID):
        session.kms.list_keys()
    again = root.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust({"AWS": user.arn}))["Role"]
    root.iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(allow("kms:ListKeys")))
    with refused("InvalidClientTokenId", INVALID, status=403):
        session.sts.get_caller_identity()
    assert user.assume(again).kms.list_keys()
    root.iam.delete_access_key(UserName=user.name, AccessKeyId=user.key)
    root.iam.delete_user(UserName=user.name)
    with refused("InvalidClientTokenId", INVALID, status=403):
        own.sts.get_caller_identity()
    root.iam.create_user(UserName=user.name)
    namesake = Person(root.server, *root_keys(root, user.name))
    with not_assumed(namesake, again):
        namesake.assume(again)


def root_keys(root, name):
    key = root.iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def test_sessions_are_revoked_by_their_time(root):
    user = user_of(root)
    role = role_of(root, trust({"AWS": user.arn}), allow("kms:ListKeys"))
    old = user.assume(role)
    assert old.kms.list_keys()
    # Times of issue have whole seconds.
    at = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    statement = {**allow("*", DateLessThan={"aws:TokenIssueTime": at}), "Effect": "Deny"}
    root.iam.put_role_policy(
        RoleName=role["RoleName"], PolicyName="AWSRevokeOlderSessions", PolicyDocument=policy(statement)
    )
    with refused("AccessDeniedException"):
        old.kms.list_keys()
    deadline = time.monotonic() + 10
    while True:
        with contextlib.suppress(botocore.exceptions.ClientError):
            assert user.assume(role).kms.list_keys()
            break
        assert time.monotonic() < deadline


def test_a_token_is_its_own_only(root, chance):
    user = user_of(root, allow("kms:ListKeys"))
    one, two = (user.session(user.sts.get_session_token()) for _ in range(2))
    raw = bytearray(base64.b64decode(one.token))
    raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    with enforced() as elsewhere:
        there = Person(elsewhere, root_of(ONE), SECRET)
        foreign = there.session(there.sts.get_session_token())
    for key, secret, token in (
        (one.key, one.secret, None),
        (one.key, one.secret, two.token),
        (one.key, one.secret, base64.b64encode(raw).decode()),
        (one.key, one.secret, "rubbish"),
        (one.key, one.secret, one.token[:-4]),
        (two.key, one.secret, one.token),
        (user.key, user.secret, one.token),
        (foreign.key, foreign.secret, foreign.token),
        ("ASIAUNKNOWNUNKNOWN00", one.secret, None),
        ("AKIAUNKNOWNUNKNOWN00", one.secret, one.token),
    ):
        person = Person(root.server, key, secret, token)
        with refused("UnrecognizedClientException", INVALID):
            person.kms.list_keys()
        with refused("InvalidClientTokenId", INVALID, status=403):
            person.sts.get_caller_identity()
    with refused("SignatureDoesNotMatch", status=403):
        Person(root.server, one.key, two.secret, one.token).sts.get_caller_identity()
    assert one.kms.list_keys() and two.kms.list_keys()


def test_access_key_information(root, stranger):
    user = user_of(root, allow("sts:GetAccessKeyInfo"), allow("sts:DecodeAuthorizationMessage"))
    assert user.sts.get_access_key_info(AccessKeyId=root_of(ONE))["Account"] == ONE
    for key in (root_of(OTHER), "AKIAUNKNOWNUNKNOWN00"):
        with refused("ValidationError"):
            user.sts.get_access_key_info(AccessKeyId=key)
    with refused("InvalidAuthorizationMessageException"):
        user.sts.decode_authorization_message(EncodedMessage="x")
    plain = user_of(root)
    for call in (
        lambda: plain.sts.get_access_key_info(AccessKeyId=plain.key),
        lambda: plain.sts.decode_authorization_message(EncodedMessage="x"),
    ):
        with refused("AccessDenied", status=403):
            call()


def test_key_policies_name_sessions_and_roles(root):
    user = user_of(root)
    role = role_of(root, trust({"AWS": user.arn}))
    named = user.assume(role, "named")
    arn = named.who()[0]
    account = {"Effect": "Allow", "Principal": {"AWS": ONE}, "Action": "kms:*", "Resource": "*"}

    def key_for(principal):
        statement = {**account, "Principal": {"AWS": principal}, "Action": "kms:DescribeKey"}
        return root.kms.create_key(Policy=policy(account, statement))["KeyMetadata"]["Arn"]

    for principal, others in ((role["Arn"], True), (arn, False)):
        key = key_for(principal)
        assert named.kms.describe_key(KeyId=key)
        other = user.assume(role, "other")
        if others:
            assert other.kms.describe_key(KeyId=key)
        else:
            with refused("AccessDeniedException"):
                other.kms.describe_key(KeyId=key)


def test_without_a_permission_get_caller_identity_still_answers(root):
    user = user_of(root, {**ALLOW_ALL, "Effect": "Deny"})
    assert user.who() == (user.arn, user.made["UserId"], ONE)
    assert user.session(user.sts.get_session_token()).who() == user.who()


def test_the_audit_log_says_whose_session_it_was(tmp_path):
    data = tmp_path / "data"
    with servers.dev(data, "--enforce", "--root", f"{ONE}={root_of(ONE)}:{SECRET}") as server:
        root = Person(server, root_of(ONE), SECRET)
        user = user_of(root, allow("sts:*"))
        role = role_of(root, trust({"AWS": user.arn}, ACTIONS), allow("kms:*"), Path="/a/")
        session = user.assume(role, SourceIdentity="alice", Tags=tags(team="blue"))
        session.kms.create_key()
        guest = user.session(user.sts.get_federation_token(Name="guest"))
        guest.sts.get_caller_identity()
        with not_assumed(user, {"Arn": f"{role['Arn']}x"}):
            user.assume({"Arn": f"{role['Arn']}x"})
        holders = [session, guest]
    text = "".join(path.read_text() for path in sorted((data / "audit").glob("segment-*.log")))
    for holder in holders:
        assert holder.secret not in text and holder.token not in text and holder.token[20:60] not in text
    records = [json.loads(line).get("record") or {} for line in text.splitlines()]
    created = next(one for one in records if one.get("eventName") == "CreateKey")["userIdentity"]
    arn = f"arn:aws:sts::{ONE}:assumed-role/{role['RoleName']}/session"
    assert {**created, "sessionContext": None} == {
        "type": "AssumedRole",
        "principalId": f"{role['RoleId']}:session",
        "arn": arn,
        "accountId": ONE,
        "accessKeyId": session.key,
        "sessionContext": None,
    }
    context = created["sessionContext"]
    issuer = {"type": "Role", "principalId": role["RoleId"], "arn": role["Arn"], "accountId": ONE}
    assert context["sessionIssuer"] == {**issuer, "userName": role["RoleName"]}
    assert context["attributes"]["mfaAuthenticated"] == "false" and context["sourceIdentity"] == "alice"
    asked = [one for one in records if one.get("eventName") == "AssumeRole"]
    assert [one.get("errorCode") for one in asked] == [None, "AccessDenied"]
    first = asked[0]
    assert first["eventSource"] == "sts.amazonaws.com" and first["userIdentity"]["userName"] == user.name
    assert first["requestParameters"]["roleArn"] == role["Arn"]
    assert first["requestParameters"]["principalTags"] == {"team": "blue"}
    assert first["responseElements"]["credentials"]["accessKeyId"] == session.key
    assert first["responseElements"]["assumedRoleUser"]["arn"] == arn
    who = next(one for one in records if one.get("eventName") == "GetCallerIdentity")["userIdentity"]
    assert (who["type"], who["principalId"]) == ("FederatedUser", f"{ONE}:guest")
    assert who["sessionContext"]["sessionIssuer"]["arn"] == user.arn
