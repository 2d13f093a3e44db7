"""Every operation, for a user who is allowed just that, for one who is allowed all but that, and for another account.

The expectations are support/permissions.py; docs/PERMISSIONS.md is printed from them."""

import json
import os

import botocore.exceptions
import botocore.session
import pytest
from support import enforced, permissions, permissions_text
from support import server as servers
from support.aws import refused
from support.enforced import ACCESS_KEYS, ALL, OWN, allow, policy
from support.permissions import BOTH_SIDES, IAM, KMS, KMS_NOT_BUILT, NEVER, OWN_ACCOUNT, STS, words

DOCUMENT = servers.ROOT / "docs" / "PERMISSIONS.md"
DENIED = {"kms": ("AccessDeniedException", 400), "iam": ("AccessDenied", 403), "sts": ("AccessDenied", 403)}
ROWS = [*KMS, *IAM, *STS]
GOVERNED = [row for row in ROWS if row.action not in (permissions.NOTHING, permissions.TOKEN)]


def call(caller, row, arguments):
    region = "us-east-1" if row.service == "iam" else caller.region
    return getattr(caller.service(row.service, region=region), words(row.operation))(**arguments)


def outcome(caller, row, arguments):
    """The code of the error that the call ends in; None when it succeeds."""
    try:
        call(caller, row, arguments)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    return None


def just_that(row, resources):
    """Statements that allow the operation on these resources and nothing else."""
    bound = [action for action in row.actions if action not in row.anywhere]
    return [allow(bound, resources), *(allow(action) for action in row.anywhere)]


@pytest.fixture(scope="module")
def world():
    with enforced.world() as made:
        yield made


@pytest.mark.parametrize("row", GOVERNED, ids=str)
def test_who_is_allowed_just_that(world, row):
    resources, arguments = row.prepare(world)
    code = outcome(world.user(*just_that(row, resources)), row, arguments)
    assert code is None or code in row.passes


@pytest.mark.parametrize("row", GOVERNED, ids=str)
def test_who_is_allowed_all_but_that(world, row):
    resources, arguments = row.prepare(world)
    code, status = DENIED[row.service]
    for action in row.actions:
        caller = world.user({"Effect": "Allow", "NotAction": action, "Resource": "*"})
        with refused(code, status=status) as caught:
            call(caller, row, arguments)
        text = caught.value.response["Error"]["Message"]
        head = f"User: {caller.arn} is not authorized to perform: {action} on "
        assert text.startswith(head), text
        assert row.unexplained or text.endswith(f"because no identity-based policy allows the {action} action"), text
    # The right action on the wrong resource. Each of several counts.
    if resources != ["*"]:
        for resource in resources:
            elsewhere = [one if one != resource else one + "x" for one in resources]
            with refused(code, status=status):
                call(world.user(*just_that(row, elsewhere)), row, arguments)


@pytest.mark.parametrize("row", GOVERNED, ids=str)
def test_whom_a_deny_meets(world, row):
    _, arguments = row.prepare(world)
    code, status = DENIED[row.service]
    for action in row.actions:
        with refused(code, status=status) as caught:
            call(world.user(ALL, {**ALL, "Effect": "Deny", "Action": action}), row, arguments)
        text = caught.value.response["Error"]["Message"]
        assert row.unexplained or text.endswith("with an explicit deny in an identity-based policy"), text


def let_in(world, row, resources):
    """The other account is let in by the policy of each key."""
    for arn in resources:
        kms = world.root.in_region(arn.split(":")[3]).kms
        statements = json.loads(kms.get_key_policy(KeyId=arn)["Policy"])["Statement"]
        statements.append(allow("kms:*", Principal={"AWS": world.other_root}))
        kms.put_key_policy(KeyId=arn, Policy=policy(*statements))


def all_of(world):
    """What the account has, as far as IAM lists it, and its keys."""
    details = world.iam.get_account_authorization_details()
    rest = [
        world.iam.list_virtual_mfa_devices()["VirtualMFADevices"],
        world.iam.list_open_id_connect_providers()["OpenIDConnectProviderList"],
        world.iam.list_account_aliases()["AccountAliases"],
        sorted(key["KeyArn"] for key in world.kms.list_keys(Limit=1000)["Keys"]),
        sorted(alias["AliasArn"] for alias in world.kms.list_aliases(Limit=100)["Aliases"]),
    ]
    return [details[name] for name in sorted(details) if name != "ResponseMetadata"] + rest


def arns(answer):
    """Every ARN that names something in the answer; policies may mention whom they like."""
    if isinstance(answer, dict):
        for name, value in answer.items():
            yield from [value] if name.endswith("Arn") else arns(value)
    elif isinstance(answer, list):
        for value in answer:
            yield from arns(value)


@pytest.mark.parametrize("row", GOVERNED, ids=str)
def test_another_account(world, row):
    resources, arguments = row.prepare(world)
    code, _ = DENIED[row.service]
    stranger, root = world.user(ALL, of=world.other), world.other
    before = all_of(world)
    if row.across == OWN_ACCOUNT:
        for caller in (stranger, root):
            answer = outcome(caller, row, arguments)
            assert answer in (None, code, *row.elsewhere), answer
            if answer is None and row.reads:
                assert not [arn for arn in arns(call(caller, row, arguments)) if OWN in arn]
    else:
        for caller in (stranger, root):
            assert outcome(caller, row, arguments) == code
    assert all_of(world) == before
    if row.across == OWN_ACCOUNT:
        return
    keys = [arn for arn in resources if ":key/" in arn]
    if row.service == "kms":
        let_in(world, row, keys)
    if row.across == NEVER:
        for caller in (stranger, root):
            assert outcome(caller, row, arguments) == code
        return
    assert row.across == BOTH_SIDES
    if row.service == "kms":
        assert outcome(world.user(of=world.other), row, arguments) == code
        assert outcome(world.user(*just_that(row, resources), of=world.other), row, arguments) is None


def test_every_kms_operation_has_a_row():
    model = set(botocore.session.get_session().get_service_model("kms").operation_names)
    assert len(model) == 56
    assert {row.operation for row in KMS} | set(KMS_NOT_BUILT) == model
    assert not {row.operation for row in KMS} & set(KMS_NOT_BUILT)
    assert len({row.operation for row in KMS}) == len(KMS)


@pytest.mark.parametrize("name", KMS_NOT_BUILT)
def test_what_is_not_built_is_refused(world, name):
    answer = world.server.signed(name, {}, account=ACCESS_KEYS[OWN], secret="secret")
    assert answer.status == 400 and answer.code in ("UnsupportedOperationException", "ValidationException"), answer


@pytest.mark.parametrize("service, rows", [("iam", IAM), ("sts", STS)])
def test_every_iam_and_sts_operation_that_is_built_has_a_row(world, service, rows):
    """An operation that is not built is none: InvalidAction, whoever asks."""
    client = world.root.service(service, region="us-east-1")
    model = client.meta.service_model
    named = {row.operation for row in rows}
    assert named <= set(model.operation_names) and len(named) == len(rows)
    for name in set(model.operation_names) - named:
        with refused("InvalidAction"):
            getattr(client, words(name))()


def test_the_printed_matrix_is_this_one():
    printed = permissions_text.text()
    if "CLAVIGER_TEST_WRITE_MATRIX" in os.environ:
        DOCUMENT.write_text(printed)
    assert DOCUMENT.read_text() == printed
