"""SimulatePrincipalPolicy, SimulateCustomPolicy, and the context keys that policies ask for."""

import json
import time

import pytest
from support import enforced
from support.aws import refused
from support.enforced import ALL, OTHER, OWN, allow, policy
from support.identities import trust, unique

KEY = f"arn:aws:kms:eu-central-1:{OWN}:key/0f3a8f4c-7a1b-4b8e-9d55-2f6f8d1c9e11"


@pytest.fixture(scope="module")
def world():
    with enforced.world() as made:
        yield made


def entry(name, *values, kind="string"):
    return {"ContextKeyName": name, "ContextKeyValues": list(values), "ContextKeyType": kind}


def custom(world, *statements, actions=("kms:Encrypt",), **more):
    texts = {"PolicyInputList": [policy(*statements)], "ActionNames": list(actions)}
    return world.iam.simulate_custom_policy(**texts, **more)["EvaluationResults"]


def decisions(results):
    return [result["EvalDecision"] for result in results]


def test_one_result_for_each_action_and_resource(world):
    actions, resources = ["kms:Encrypt", "kms:Decrypt"], [KEY, KEY[:-1]]
    results = custom(world, allow("kms:Encrypt", KEY), actions=actions, ResourceArns=resources)
    found = [(one["EvalActionName"], one["EvalResourceName"], one["EvalDecision"]) for one in results]
    assert found == [
        ("kms:Encrypt", KEY, "allowed"),
        ("kms:Encrypt", KEY[:-1], "implicitDeny"),
        ("kms:Decrypt", KEY, "implicitDeny"),
        ("kms:Decrypt", KEY[:-1], "implicitDeny"),
    ]
    (specific,) = results[0]["ResourceSpecificResults"]
    assert (specific["EvalResourceName"], specific["EvalResourceDecision"]) == (KEY, "allowed")
    (plain,) = custom(world, ALL)
    assert (plain["EvalResourceName"], plain["EvalDecision"]) == ("*", "allowed")
    assert "ResourceSpecificResults" not in plain and "PermissionsBoundaryDecisionDetail" not in plain


def test_matched_statements_have_their_place(world):
    allowing, denying = json.dumps(ALL), json.dumps({**allow("kms:Encrypt"), "Effect": "Deny"})
    text = f'{{"Version":"2012-10-17",\n"Statement":[{allowing},\n  {denying}]}}'
    arguments = {"PolicyInputList": [text], "ActionNames": ["kms:Encrypt", "kms:Decrypt"]}
    denied, allowed = world.iam.simulate_custom_policy(**arguments)["EvaluationResults"]
    assert decisions([denied, allowed]) == ["explicitDeny", "allowed"]
    (statement,) = denied["MatchedStatements"]
    assert (statement["SourcePolicyId"], statement["SourcePolicyType"]) == ("PolicyInputList.1", "none")
    assert statement["StartPosition"] == {"Line": 3, "Column": 3}
    assert statement["EndPosition"] == {"Line": 3, "Column": 3 + len(denying)}
    (statement,) = allowed["MatchedStatements"]
    assert statement["StartPosition"] == {"Line": 2, "Column": 14}


def test_only_the_given_context_counts(world):
    condition = {"StringEquals": {"aws:PrincipalTag/team": "blue"}, "Bool": {"aws:SecureTransport": "true"}}
    statement = allow("kms:Encrypt", Condition=condition)
    (result,) = custom(world, statement)
    assert result["EvalDecision"] == "implicitDeny"
    assert sorted(result["MissingContextValues"]) == ["aws:PrincipalTag/team", "aws:SecureTransport"]
    team, tls = entry("AWS:principaltag/TEAM", "blue"), entry("aws:SecureTransport", "true", kind="boolean")
    (result,) = custom(world, statement, ContextEntries=[team])
    assert (result["EvalDecision"], result["MissingContextValues"]) == ("implicitDeny", ["aws:SecureTransport"])
    (result,) = custom(world, statement, ContextEntries=[team, tls])
    assert (result["EvalDecision"], result["MissingContextValues"]) == ("allowed", [])
    many = allow("kms:Encrypt", Condition={"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}})
    for keys, expected in [(["a", "b"], "allowed"), (["a", "c"], "implicitDeny")]:
        given = entry("aws:TagKeys", *keys, kind="stringList")
        assert decisions(custom(world, many, ContextEntries=[given])) == [expected]


def test_boundaries_and_organizations(world):
    narrow, wide = policy(allow("kms:DescribeKey")), policy(ALL)
    for text, allowed in [(narrow, False), (wide, True)]:
        (result,) = custom(world, ALL, PermissionsBoundaryPolicyInputList=[text])
        assert result["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": allowed}
        assert result["EvalDecision"] == ("allowed" if allowed else "implicitDeny")
        levels = [{"ServiceControlPolicyInputList": [wide]}, {"ServiceControlPolicyInputList": [text]}]
        (result,) = custom(world, ALL, OrderedOrganizationPolicyInputList=levels)
        assert result["OrganizationsDecisionDetail"] == {"AllowedByOrganizations": allowed}
        assert result["EvalDecision"] == ("allowed" if allowed else "implicitDeny")
    with refused("InvalidInput"):
        custom(world, ALL, PermissionsBoundaryPolicyInputList=[narrow, wide])


def test_resource_policies(world):
    user = f"arn:aws:iam::{OWN}:user/u"
    key_policy = policy(allow("kms:*", Principal={"AWS": user}))
    more = {"ResourcePolicy": key_policy, "ResourceArns": [KEY]}
    assert decisions(custom(world, allow("kms:DescribeKey"), CallerArn=user, **more)) == ["allowed"]
    assert decisions(custom(world, ALL, CallerArn=user + "x", **more)) == ["implicitDeny"]
    elsewhere = {**more, "ResourceOwner": f"arn:aws:iam::{OTHER}:root"}
    assert decisions(custom(world, ALL, CallerArn=user, **elsewhere)) == ["allowed"]
    assert decisions(custom(world, allow("kms:DescribeKey"), CallerArn=user, **elsewhere)) == ["implicitDeny"]
    with refused("InvalidInput"):
        custom(world, ALL, **more)
    with refused("InvalidInput", "Invalid caller - Caller must be an IAM user in this context."):
        custom(world, ALL, CallerArn=world.root_arn, **more)
    with refused("InvalidInput"):
        custom(world, ALL, actions=["s3:GetObject"], CallerArn=user, **more)


def test_a_users_own_policies(world):
    user = world.user(allow("kms:Encrypt"))
    name = user.arn.rsplit("/", 1)[1]
    group, managed = unique("group"), unique("managed")
    world.iam.create_group(GroupName=group)
    world.iam.put_group_policy(GroupName=group, PolicyName="g", PolicyDocument=policy(allow("kms:Decrypt")))
    world.iam.add_user_to_group(GroupName=group, UserName=name)
    arn = world.iam.create_policy(PolicyName=managed, PolicyDocument=policy(allow("kms:Sign")))["Policy"]["Arn"]
    world.iam.attach_user_policy(UserName=name, PolicyArn=arn)

    def simulate(**more):
        actions = ["kms:Encrypt", "kms:Decrypt", "kms:Sign", "kms:Verify"]
        call = world.iam.simulate_principal_policy
        return call(PolicySourceArn=user.arn, ActionNames=actions, **more)["EvaluationResults"]

    results = simulate()
    assert decisions(results) == ["allowed", "allowed", "allowed", "implicitDeny"]
    sources = [
        (one["MatchedStatements"][0]["SourcePolicyId"], one["MatchedStatements"][0]["SourcePolicyType"])
        for one in results[:3]
    ]
    assert sources == [(f"user_{name}_only", "user"), (f"group_{group}_g", "group"), (arn, "user-managed")]
    assert decisions(simulate(PolicyInputList=[policy(allow("kms:Verify"))])) == ["allowed"] * 4
    excluded = decisions(simulate(PolicyExclusionList=[{"PolicyArn": arn}]))
    assert excluded == ["allowed", "allowed", "implicitDeny", "implicitDeny"]
    world.iam.put_user_permissions_boundary(UserName=name, PermissionsBoundary=arn)
    assert decisions(simulate()) == ["implicitDeny", "implicitDeny", "allowed", "implicitDeny"]
    override = decisions(simulate(PermissionsBoundaryPolicyInputList=[policy(ALL)]))
    assert override == ["allowed", "allowed", "allowed", "implicitDeny"]


def test_groups_and_roles(world):
    group, role = unique("group"), unique("role")
    world.iam.create_group(GroupName=group)
    world.iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust({"AWS": world.root_arn}))
    document = policy(allow("kms:Encrypt"))
    world.iam.put_group_policy(GroupName=group, PolicyName="p", PolicyDocument=document)
    world.iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=document)
    for arn in (f"arn:aws:iam::{OWN}:group/{group}", f"arn:aws:iam::{OWN}:role/{role}"):
        answer = world.iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=["kms:Encrypt", "kms:Sign"])
        assert decisions(answer["EvaluationResults"]) == ["allowed", "implicitDeny"]


def test_who_cannot_be_simulated(world):
    def simulate(arn, **more):
        return world.iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=["kms:Encrypt"], **more)

    text = f"Invalid Entity Arn: {world.root_arn} does not clearly define entity type and name."
    with refused("InvalidInput", text):
        simulate(world.root_arn)
    with refused("NoSuchEntity", status=404):
        simulate(f"arn:aws:iam::{OWN}:user/nobody")
    with refused("AccessDenied", status=403):
        simulate(f"arn:aws:iam::{OTHER}:user/nobody")
    with refused("InvalidInput", "Invalid Input Actions: kms:*"):
        custom(world, ALL, actions=["kms:*"])
    with refused("InvalidInput"):
        world.iam.simulate_custom_policy(PolicyInputList=["{}"], ActionNames=["kms:Encrypt"])


def test_pages(world):
    arguments = {"PolicyInputList": [policy(ALL)], "ActionNames": ["kms:Encrypt", "kms:Decrypt", "kms:Sign"]}
    first = world.iam.simulate_custom_policy(**arguments, MaxItems=2)
    second = world.iam.simulate_custom_policy(**arguments, MaxItems=2, Marker=first["Marker"])
    assert (first["IsTruncated"], second["IsTruncated"]) == (True, False)
    names = [one["EvalActionName"] for page in (first, second) for one in page["EvaluationResults"]]
    assert names == arguments["ActionNames"]


def test_context_keys(world):
    condition = {"StringEquals": {"aws:PrincipalTag/team": "${aws:username}"}, "Bool": {"aws:SecureTransport": "true"}}
    document = policy(allow("kms:Encrypt", Condition=condition))
    expected = ["aws:PrincipalTag/team", "aws:SecureTransport", "aws:username"]
    answer = world.iam.get_context_keys_for_custom_policy(PolicyInputList=[document, policy(ALL)])
    assert sorted(answer["ContextKeyNames"]) == expected
    user = world.user(allow("kms:Encrypt", Condition=condition))
    answer = world.iam.get_context_keys_for_principal_policy(PolicySourceArn=user.arn)
    assert sorted(answer["ContextKeyNames"]) == expected


def with_keys(count, start="a"):
    """A policy that asks for this many condition keys."""
    keys = {f"{start}{number:05}:k": "" for number in range(count)}
    return policy({**allow("s3:*"), "Condition": {"StringEquals": keys}})


def test_large_policies_are_read_quickly(world):
    """Names that are looked at pair by pair take half a minute, and everybody waits meanwhile."""
    texts = [with_keys(7_000, letter) for letter in "abc"] + [with_keys(7_000, "A")]
    started = time.monotonic()
    names = world.iam.get_context_keys_for_custom_policy(PolicyInputList=texts)["ContextKeyNames"]
    assert len(names) == 21_000
    assert time.monotonic() - started < 15


def test_a_page_of_large_policies_is_short(world):
    """A page ends with its work; all pages together have every pair once."""
    arguments = {"PolicyInputList": [with_keys(4_000)] * 3, "ActionNames": [f"kms:A{number}" for number in range(60)]}
    pages = world.iam.get_paginator("simulate_custom_policy").paginate(**arguments, PaginationConfig={"PageSize": 1000})
    pages = list(pages)
    names = [result["EvalActionName"] for page in pages for result in page["EvaluationResults"]]
    assert names == arguments["ActionNames"] and len(pages) > 1


def test_many_pairs_cost_a_page(world):
    arguments = {
        "PolicyInputList": [policy(ALL)],
        "ActionNames": [f"kms:A{number}" for number in range(500)],
        "ResourceArns": [f"arn:aws:kms:::{number}" for number in range(450)],
    }
    answer = world.iam.simulate_custom_policy(**arguments, MaxItems=10)
    assert len(answer["EvaluationResults"]) == 10 and answer["IsTruncated"]
    answer = world.iam.simulate_custom_policy(**arguments, Marker="224998")
    (last,) = answer["EvaluationResults"]
    assert last["EvalActionName"] == "kms:A499" and not answer["IsTruncated"]


def test_what_is_too_large_together_is_refused(world):
    large = [entry("aws:username", "x" * 60_000)]
    with refused("InvalidInput"):
        custom(world, ALL, {**ALL, "Resource": ["x" * 2_000] * 40}, ContextEntries=large)
    assert decisions(custom(world, ALL, ContextEntries=large)) == ["allowed"]
