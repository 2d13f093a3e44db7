"""OpenID Connect providers, MFA devices, the account's alias, summary and details over AWS's own API."""

import base64
import hashlib
import hmac
import json
import struct
import time

import pytest
from support import server as servers
from support.aws import refused
from support.identities import ALLOW_KMS, DENY_KMS, everything, trust

CLIENTS = ["sts.amazonaws.com", "other"]
THUMBPRINTS = ["0123456789abcdef0123456789ABCDEF01234567"]


@pytest.fixture
def iam(aws):
    return aws.service("iam", region="us-east-1")


def test_a_provider_comes_and_goes(aws, iam):
    settings = {"ClientIDList": CLIENTS, "ThumbprintList": THUMBPRINTS, "Tags": [{"Key": "a", "Value": "b"}]}
    made = iam.create_open_id_connect_provider(Url="https://issuer.example.com/id/A", **settings)
    arn = f"arn:aws:iam::{aws.number}:oidc-provider/issuer.example.com/id/A"
    assert (made["OpenIDConnectProviderArn"], made["Tags"]) == (arn, settings["Tags"])
    found = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert found["Url"] == "issuer.example.com/id/A"
    assert {key: found[key] for key in settings} == settings
    text = "Provider with url https://issuer.example.com/id/A already exists."
    with refused("EntityAlreadyExists", text, status=409):
        iam.create_open_id_connect_provider(Url="https://issuer.example.com/id/A")
    other = iam.create_open_id_connect_provider(Url="https://issuer.example.com/id/a")["OpenIDConnectProviderArn"]
    listed = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    assert sorted(one["Arn"] for one in listed) == sorted([arn, other])
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    for call in (iam.get_open_id_connect_provider, iam.delete_open_id_connect_provider):
        with refused("NoSuchEntity", f"OpenIDConnect Provider not found for arn {arn}", status=404):
            call(OpenIDConnectProviderArn=arn)


def test_arns_that_are_no_providers(aws, iam):
    for url in ("", "x", "x" * 2000, "issuer.example.com/" + "y" * 255):
        arn = f"arn:aws:iam::{aws.number}:oidc-provider/{url}"
        with refused("NoSuchEntity", f"OpenIDConnect Provider not found for arn {arn}", status=404):
            iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    with refused("InvalidInput"):
        iam.get_open_id_connect_provider(OpenIDConnectProviderArn="not an ARN, but long enough")
    with refused("ValidationError"):
        iam.create_open_id_connect_provider(Url="https://a.example.com/" + "y" * 255)


def test_changes_of_a_provider(iam):
    arn = iam.create_open_id_connect_provider(Url="https://issuer.example.com")["OpenIDConnectProviderArn"]
    named = {"OpenIDConnectProviderArn": arn}
    for _ in range(2):
        iam.add_client_id_to_open_id_connect_provider(ClientID="one", **named)
        iam.add_client_id_to_open_id_connect_provider(ClientID="two", **named)
        iam.remove_client_id_from_open_id_connect_provider(ClientID="one", **named)
    iam.update_open_id_connect_provider_thumbprint(ThumbprintList=THUMBPRINTS, **named)
    found = iam.get_open_id_connect_provider(**named)
    assert (found["ClientIDList"], found["ThumbprintList"]) == (["two"], THUMBPRINTS)
    iam.tag_open_id_connect_provider(Tags=[{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}], **named)
    iam.untag_open_id_connect_provider(TagKeys=["a"], **named)
    assert iam.list_open_id_connect_provider_tags(**named)["Tags"] == [{"Key": "A", "Value": "2"}]
    with refused("InvalidInput"):
        iam.update_open_id_connect_provider_thumbprint(ThumbprintList=THUMBPRINTS * 6, **named)
    with refused("ValidationError"):
        iam.update_open_id_connect_provider_thumbprint(ThumbprintList=["short"], **named)


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example.com",
        "https://",
        "https://issuer.example.com:8443",
        "https://issuer.example.com/?a=b",
        "https://issuer.example.com/#a",
        "https://user@issuer.example.com",
        "issuer.example.com",
    ],
)
def test_bad_urls_of_providers(account, url):
    with refused("InvalidInput"):
        account.service("iam", region="us-east-1").create_open_id_connect_provider(Url=url)


def test_quotas_of_providers(account):
    iam = account.service("iam", region="us-east-1")
    for number in range(100):
        arn = iam.create_open_id_connect_provider(Url=f"https://issuer{number}.example.com")["OpenIDConnectProviderArn"]
    text = "Cannot exceed quota for OpenIdConnectProvidersPerAccount: 100"
    with refused("LimitExceeded", text, status=409):
        iam.create_open_id_connect_provider(Url="https://another.example.com")
    for number in range(100):
        iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID=str(number))
    text = "Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: 100"
    with refused("LimitExceeded", text, status=409):
        iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="another")
    assert len(iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]) == 100
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    iam.create_open_id_connect_provider(Url="https://another.example.com")


def code(seed, window):
    """RFC 6238, as an authenticator application does it."""
    digest = hmac.new(base64.b32decode(seed), struct.pack(">q", window), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at : at + 4])[0] & 0x7FFFFFFF) % 10**6:06}"


def codes(seed, before=0):
    """Two codes in a row, the second of this moment or some windows before it."""
    now = int(time.time()) // 30 - before
    return {"AuthenticationCode1": code(seed, now - 1), "AuthenticationCode2": code(seed, now)}


def test_a_device_comes_and_goes(aws, iam):
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="Phone", Path="/p/")["VirtualMFADevice"]
    serial, seed = made["SerialNumber"], made["Base32StringSeed"]
    assert serial == f"arn:aws:iam::{aws.number}:mfa/p/Phone"
    assert len(seed) == 64 and len(base64.b32decode(seed)) == 40
    with refused("EntityAlreadyExists", "MFADevice entity at the same path and name already exists.", status=409):
        iam.create_virtual_mfa_device(VirtualMFADeviceName="phone", Path="/p/")
    listed = iam.list_virtual_mfa_devices()["VirtualMFADevices"]
    assert listed == [{"SerialNumber": serial}], "the seed is shown once"
    iam.create_user(UserName="alice")
    named = {"UserName": "alice", "SerialNumber": serial}
    wrong = "Authentication code for device is not valid."
    now = codes(seed)
    for bad in (
        {"AuthenticationCode1": now["AuthenticationCode2"], "AuthenticationCode2": now["AuthenticationCode1"]},
        {**now, "AuthenticationCode2": f"{(int(now['AuthenticationCode2']) + 1) % 10**6:06}"},
        codes(seed, 30),
    ):
        with refused("InvalidAuthenticationCode", wrong, status=403):
            iam.enable_mfa_device(**named, **bad)
    iam.enable_mfa_device(**named, **codes(seed))
    with refused("EntityAlreadyExists", status=409):
        iam.enable_mfa_device(**named, **codes(seed))
    mine = iam.list_mfa_devices(UserName="alice")["MFADevices"]
    assert [(one["UserName"], one["SerialNumber"]) for one in mine] == [("alice", serial)]
    assert iam.get_mfa_device(UserName="alice", SerialNumber=serial)["EnableDate"] == mine[0]["EnableDate"]
    assigned = iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"]
    assert [one["User"]["UserName"] for one in assigned] == ["alice"]
    assert iam.list_virtual_mfa_devices(AssignmentStatus="Unassigned")["VirtualMFADevices"] == []
    with refused("DeleteConflict", "Cannot delete entity, must delete MFA device first.", status=409):
        iam.delete_user(UserName="alice")
    with refused("DeleteConflict", status=409):
        iam.delete_virtual_mfa_device(SerialNumber=serial)
    with refused("InvalidAuthenticationCode", status=403):
        iam.resync_mfa_device(**named, **codes(seed, 1))
    iam.create_user(UserName="bob")
    with refused("NoSuchEntity", status=404):
        iam.deactivate_mfa_device(UserName="bob", SerialNumber=serial)
    iam.deactivate_mfa_device(**named)
    with refused("NoSuchEntity", status=404):
        iam.deactivate_mfa_device(**named)
    assert iam.list_mfa_devices(UserName="alice")["MFADevices"] == []
    iam.delete_virtual_mfa_device(SerialNumber=serial)
    text = f"VirtualMFADevice with serial number {serial} doesn't exist."
    with refused("NoSuchEntity", text, status=404):
        iam.delete_virtual_mfa_device(SerialNumber=serial)
    iam.delete_user(UserName="alice")


def test_a_device_whose_clock_drifts(clocked):
    iam = clocked.service("iam", region="us-east-1")
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="phone")["VirtualMFADevice"]
    serial, seed = made["SerialNumber"], made["Base32StringSeed"]
    iam.create_user(UserName="alice")
    named = {"UserName": "alice", "SerialNumber": serial}
    iam.enable_mfa_device(**named, **codes(seed))
    # Ten minutes later on the server; the device stands five minutes behind it.
    clocked.server.control("clock", {"advance": "10m"})
    iam.resync_mfa_device(**named, **codes(seed, -10))
    with refused("InvalidAuthenticationCode", status=403):
        iam.resync_mfa_device(**named, **codes(seed, -10))
    with refused("InvalidAuthenticationCode", status=403):
        iam.resync_mfa_device(**named, **codes(seed, -200))


def test_tags_and_pages_of_devices(iam):
    serials = []
    for number in range(5):
        made = iam.create_virtual_mfa_device(VirtualMFADeviceName=f"d{number}", Tags=[{"Key": "a", "Value": "b"}])
        serials.append(made["VirtualMFADevice"]["SerialNumber"])
    found = everything(iam.list_virtual_mfa_devices, "VirtualMFADevices")
    assert [one["SerialNumber"] for one in found] == serials
    iam.tag_mfa_device(SerialNumber=serials[0], Tags=[{"Key": "A", "Value": "c"}])
    iam.untag_mfa_device(SerialNumber=serials[0], TagKeys=["a"])
    assert iam.list_mfa_device_tags(SerialNumber=serials[0])["Tags"] == [{"Key": "A", "Value": "c"}]


def test_eight_devices_of_a_user(account):
    iam = account.service("iam", region="us-east-1")
    iam.create_user(UserName="alice")
    for number in range(9):
        made = iam.create_virtual_mfa_device(VirtualMFADeviceName=f"d{number}")["VirtualMFADevice"]
        arguments = {"UserName": "alice", "SerialNumber": made["SerialNumber"], **codes(made["Base32StringSeed"])}
        if number < 8:
            iam.enable_mfa_device(**arguments)
    with refused("LimitExceeded", "Cannot exceed quota for MFADevicesPerUser: 8", status=409):
        iam.enable_mfa_device(**arguments)
    assert len(everything(iam.list_mfa_devices, "MFADevices", UserName="alice")) == 8


def test_alias_of_an_account(account, other_account):
    mine, theirs = (one.service("iam", region="us-east-1") for one in (account, other_account))
    alias = f"acme-{account.number}"
    mine.create_account_alias(AccountAlias=alias)
    assert mine.list_account_aliases()["AccountAliases"] == [alias]
    assert theirs.list_account_aliases()["AccountAliases"] == []
    with refused("EntityAlreadyExists", status=409):
        theirs.create_account_alias(AccountAlias=alias)
    with refused("NoSuchEntity", status=404):
        theirs.delete_account_alias(AccountAlias=alias)
    mine.create_account_alias(AccountAlias=alias + "b")
    assert mine.list_account_aliases()["AccountAliases"] == [alias + "b"]
    theirs.create_account_alias(AccountAlias=alias)
    theirs.delete_account_alias(AccountAlias=alias)
    for bad in ("ab", "-abc", "a--b", "Abc"):
        with refused("ValidationError"):
            mine.create_account_alias(AccountAlias=bad)
    with refused("InvalidInput"):
        mine.create_account_alias(AccountAlias="123456789012")


def test_summary_of_an_account(aws, iam):
    empty = iam.get_account_summary()["SummaryMap"]
    assert len(empty) == 34
    assert (empty["Users"], empty["UsersQuota"], empty["PolicySizeQuota"], empty["VersionsPerPolicyQuota"]) == (
        0,
        5000,
        6144,
        5,
    )
    fill(iam, aws)
    full = iam.get_account_summary()["SummaryMap"]
    changed = {key: value for key, value in full.items() if value != empty[key]}
    assert changed == {
        "Users": 2,
        "Groups": 1,
        "Roles": 1,
        "Policies": 2,
        "PolicyVersionsInUse": 3,
        "Providers": 1,
        "MFADevices": 1,
        "MFADevicesInUse": 1,
    }
    with refused("NoSuchEntity", f"The Password Policy with domain name {aws.number} cannot be found.", status=404):
        iam.get_account_password_policy()


def fill(iam, aws):
    """Something of everything."""
    policy = iam.create_policy(PolicyName="p", PolicyDocument=ALLOW_KMS)["Policy"]["Arn"]
    bound = iam.create_policy(PolicyName="bound", PolicyDocument=ALLOW_KMS)["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=policy, PolicyDocument=DENY_KMS)
    iam.create_user(UserName="alice", PermissionsBoundary=bound, Tags=[{"Key": "a", "Value": "b"}])
    iam.create_user(UserName="bob")
    iam.create_group(GroupName="group")
    iam.create_role(RoleName="role", AssumeRolePolicyDocument=trust({"AWS": aws.root}))
    iam.add_user_to_group(GroupName="group", UserName="alice")
    for kind, name in (("user", "alice"), ("group", "group"), ("role", "role")):
        owner = {f"{kind.title()}Name": name}
        getattr(iam, f"attach_{kind}_policy")(PolicyArn=policy, **owner)
        getattr(iam, f"put_{kind}_policy")(PolicyName="inline", PolicyDocument=DENY_KMS, **owner)
    iam.create_open_id_connect_provider(Url="https://issuer.example.com")
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="phone")["VirtualMFADevice"]
    iam.enable_mfa_device(UserName="alice", SerialNumber=made["SerialNumber"], **codes(made["Base32StringSeed"]))
    return policy, bound


def parsed(text):
    return json.loads(text) if isinstance(text, str) else text


def test_details_of_an_account(aws, iam):
    policy, bound = fill(iam, aws)
    details = iam.get_account_authorization_details()
    alice, bob = details["UserDetailList"]
    assert (alice["UserName"], alice["GroupList"], bob["UserName"]) == ("alice", ["group"], "bob")
    assert alice["AttachedManagedPolicies"] == [{"PolicyName": "p", "PolicyArn": policy}]
    assert alice["PermissionsBoundary"]["PermissionsBoundaryArn"] == bound
    assert alice["Tags"] == [{"Key": "a", "Value": "b"}]
    group, role = details["GroupDetailList"][0], details["RoleDetailList"][0]
    for owner, inline in ((alice, "User"), (group, "Group"), (role, "Role")):
        (one,) = owner[f"{inline}PolicyList"]
        assert (one["PolicyName"], parsed(one["PolicyDocument"])) == ("inline", json.loads(DENY_KMS))
    assert (role["RoleLastUsed"], role["InstanceProfileList"]) == ({}, [])
    assert parsed(role["AssumeRolePolicyDocument"])["Statement"][0]["Principal"] == {"AWS": aws.root}
    both = {one["PolicyName"]: one for one in details["Policies"]}
    versions = [(one["VersionId"], parsed(one["Document"])) for one in both["p"]["PolicyVersionList"]]
    assert versions == [("v2", json.loads(DENY_KMS)), ("v1", json.loads(ALLOW_KMS))]
    assert (both["p"]["AttachmentCount"], both["bound"]["PermissionsBoundaryUsageCount"]) == (3, 1)
    lists = ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")
    found = {name: [] for name in lists}
    settings = {"MaxItems": 1}
    for page in range(6):
        answer = iam.get_account_authorization_details(**settings)
        assert sum(len(answer[name]) for name in lists) == 1
        for name in lists:
            found[name] += answer[name]
        assert answer["IsTruncated"] == (page < 5)
        settings["Marker"] = answer.get("Marker")
    assert found == {name: details[name] for name in lists}
    only = iam.get_account_authorization_details(Filter=["Role", "LocalManagedPolicy"])
    assert [len(only[name]) for name in lists] == [0, 0, 1, 2]
    assert [len(iam.get_account_authorization_details(Filter=["AWSManagedPolicy"])[name]) for name in lists] == [0] * 4


def test_everything_survives_a_restart(tmp_path):
    class Here:
        root = "arn:aws:iam::000000000000:root"

    def state(iam):
        answers = [
            iam.get_account_authorization_details(),
            iam.get_account_summary(),
            iam.list_virtual_mfa_devices(),
            iam.get_open_id_connect_provider(
                OpenIDConnectProviderArn="arn:aws:iam::000000000000:oidc-provider/issuer.example.com"
            ),
        ]
        return [{key: value for key, value in answer.items() if key != "ResponseMetadata"} for answer in answers]

    with servers.dev(tmp_path / "data") as server:
        iam = server.client("iam", region="us-east-1")
        fill(iam, Here)
        before = state(iam)
    with servers.dev(tmp_path / "data") as server:
        assert state(server.client("iam", region="us-east-1")) == before
