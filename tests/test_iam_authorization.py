"""Who may call IAM: nobody without a policy that says so, whatever the operation and whether its subject exists."""

import re
import xml.etree.ElementTree as tree

import pytest
from support import server as servers
from support.aws import Account
from support.identities import ALLOW_KMS, trust

REQUESTS = servers.ROOT / "crates/wire/testdata/botocore-requests.txt"
ROOT = "111122223333=AKIAROOTROOTROOTROOT:secret"
OTHER_ROOT = "444455556666=AKIAOTHEROTHEROTHER0:secret"


def requests():
    """One request of every IAM operation, as botocore writes it."""
    lines = REQUESTS.read_text(encoding="utf-8").splitlines()
    return [line.split(" ", 2)[1:] for line in lines if line.startswith("iam ")]


@pytest.fixture(scope="module")
def world():
    with servers.dev(None, "--enforce", "--root", ROOT, "--root", OTHER_ROOT) as server:
        root = Account(server, "111122223333", account="AKIAROOTROOTROOTROOT", secret="secret")
        iam = root.service("iam", region="us-east-1")
        iam.create_user(UserName="nobody")
        key = iam.create_access_key(UserName="nobody")["AccessKey"]
        yield server, iam, key["AccessKeyId"], key["SecretAccessKey"]


def send(server, body, access_key, secret):
    """A signed form, exactly as it is given."""
    form = "application/x-www-form-urlencoded"
    options = {"region": "us-east-1", "service": "iam", "target": "", "content_type": form}
    headers = servers.sign(server.url, "", body.encode(), access_key, secret, **options)
    return server.request("POST", "/", body.encode(), headers)


def error(answer):
    return re.search(rb"<Code>(\w+)</Code>", answer.body), tree.fromstring(answer.body)


@pytest.mark.parametrize("name, body", requests(), ids=[name for name, _ in requests()])
def test_a_user_without_policies_is_refused(world, name, body):
    server, iam, access_key, secret = world
    answer = send(server, body, access_key, secret)
    code, _ = error(answer)
    assert (answer.status, code and code[1]) == (403, b"AccessDenied"), (name, answer)
    assert f"is not authorized to perform: iam:{name} on resource: ".encode() in answer.body
    assert b"because no identity-based policy allows the iam:" in answer.body
    assert [user["UserName"] for user in iam.list_users()["Users"]] == ["nobody"]


def test_every_operation_is_among_them(world):
    assert len({name for name, _ in requests()}) == len(requests()) == 106


def test_the_root_of_another_account_reaches_nothing(world):
    """The requests name a policy and a device of the first account by their ARNs, and its entities by their names."""
    server, iam, _, _ = world
    iam.create_policy(PolicyName="a+b", PolicyDocument=ALLOW_KMS)
    iam.create_virtual_mfa_device(VirtualMFADeviceName="a+b")
    for name in ("a+b@c=d", "abcdefg"):
        iam.create_user(UserName=name)
    iam.create_group(GroupName="abcdefg")
    iam.create_role(RoleName="abcdefg", AssumeRolePolicyDocument=trust({"AWS": "111122223333"}))

    def state():
        details = iam.get_account_authorization_details()
        rest = [iam.list_virtual_mfa_devices()["VirtualMFADevices"], iam.get_account_summary()["SummaryMap"]]
        return [details[name] for name in sorted(details) if name != "ResponseMetadata"] + rest

    before = state()
    for name, body in requests():
        answer = send(server, body, "AKIAOTHEROTHEROTHER0", "secret")
        if "arn%3Aaws%3Aiam%3A%3A111122223333" in body:
            assert answer.status in (400, 403, 404), (name, answer)
        assert answer.status < 500, (name, answer)
        assert b"arn:aws:iam::111122223333" not in answer.body or answer.status != 200, (name, answer)
    assert state() == before


def test_the_root_is_not_refused(world):
    """The same requests: what they name does not exist, but nothing is forbidden."""
    server, iam, _, _ = world
    for name, body in requests():
        answer = send(server, body, "AKIAROOTROOTROOTROOT", "secret")
        code, _ = error(answer)
        assert answer.status < 500 and (code is None or code[1] != b"AccessDenied"), (name, answer)
