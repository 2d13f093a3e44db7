"""Rubbish to every operation of IAM: refused by the client's fault, never by the server's, and nothing changes."""

import botocore.exceptions
import pytest
from support.identities import ALLOW_KMS, trust

TEXTS = [
    "",
    " ",
    "*",
    "../x",
    "a/b",
    "\u00e9\u65e5\U0001d11e",
    "\x00\x01",
    "%00%2F",
    "${aws:username}",
    "x" * 64,
    "x" * 129,
    "x" * 5000,
    "arn:aws:iam::000000000000:user/x",
    "arn:aws:iam::000000000000:policy//",
    "arn:aws:iam::111122223333:policy/x",
    "arn:aws:kms:::::::",
    "https://[::1]:99999/?#",
    "v0",
    "v99999999999999999999",
    "000000",
    '{"Version":"2012-10-17","Statement":[]}',
    '{"a":' * 200 + "1" + "}" * 200,
    "[" * 100_000,
]
NUMBERS = [0, -1, 1, 1000, 2**31 - 1, 3600]


def rubbish(shape, chance):
    kind = shape.type_name
    if kind == "structure":
        return {name: rubbish(member, chance) for name, member in shape.members.items() if chance.random() < 0.8}
    if kind == "list":
        return [rubbish(shape.member, chance) for _ in range(chance.choice([0, 1, 2, 60]))]
    if kind == "integer":
        return chance.choice(NUMBERS)
    if kind == "boolean":
        return chance.random() < 0.5
    if kind == "string":
        return chance.choice(shape.enum or TEXTS + ["there", "there", ALLOW_KMS, trust("*")])
    return {} if kind == "map" else b"\xff"


def built(iam):
    """The operations that the server has."""
    model = iam.meta.service_model
    for name in model.operation_names:
        method = next(method for method, operation in iam.meta.method_to_api_mapping.items() if operation == name)
        yield name, getattr(iam, method), model.operation_model(name).input_shape


def test_rubbish_is_refused(account, chance):
    iam = account.service("iam", region="us-east-1")
    iam.create_user(UserName="there")
    iam.create_group(GroupName="there")
    iam.create_role(RoleName="there", AssumeRolePolicyDocument=trust("*"))
    known, outcomes = set(), {}
    for name, call, shape in built(iam):
        for _ in range(12):
            arguments = rubbish(shape, chance) if shape else {}
            try:
                call(**arguments)
                outcome = 200
            except botocore.exceptions.ClientError as error:
                if error.response["Error"]["Code"] == "InvalidAction":
                    break
                outcome = error.response["ResponseMetadata"]["HTTPStatusCode"]
                assert error.response["Error"]["Code"] not in ("ServiceFailure", "InternalFailure"), (name, arguments)
            except botocore.exceptions.BotoCoreError:
                continue  # botocore will not send it
            assert outcome < 500, (name, arguments)
            known.add(name)
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert len(known) >= 100, sorted(known)
    # Both kinds of refusal were met; how often is a matter of chance.
    assert outcomes.get(400, 0) > 200 and outcomes.get(404, 0) > 5, outcomes
    # The account is still sound.
    assert iam.get_account_summary()["SummaryMap"]["Users"] == len(iam.list_users()["Users"])
    iam.get_account_authorization_details()


@pytest.mark.parametrize("marker", ["~", "\u00ff", "0", "9/", "3/zz", "used/attached/user/x", "x" * 320])
def test_markers_that_nobody_gave_out(account, marker):
    """They end a list or begin it somewhere; nothing else."""
    iam = account.service("iam", region="us-east-1")
    iam.create_user(UserName="there")
    arn = iam.create_policy(PolicyName="p", PolicyDocument=ALLOW_KMS)["Policy"]["Arn"]
    for call, settings in (
        (iam.list_users, {}),
        (iam.list_policies, {}),
        (iam.list_access_keys, {"UserName": "there"}),
        (iam.list_user_tags, {"UserName": "there"}),
        (iam.list_policy_versions, {"PolicyArn": arn}),
        (iam.list_entities_for_policy, {"PolicyArn": arn}),
        (iam.list_virtual_mfa_devices, {}),
        (iam.get_account_authorization_details, {}),
    ):
        answer = call(Marker=marker, **settings)
        assert answer["IsTruncated"] is False
