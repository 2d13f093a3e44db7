"""GetKeyPolicy, PutKeyPolicy, ListKeyPolicies, and what a key policy does to a caller."""

import json

import pytest
from support.aws import DEFAULT_POLICY, refused

LOCKOUT = "The new key policy will not allow you to update the key policy in the future."


def statement(account, **changes):
    return {
        "Sid": "owner",
        "Effect": "Allow",
        "Principal": {"AWS": account.root},
        "Action": "kms:*",
        "Resource": "*",
        **changes,
    }


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Id": "test", "Statement": list(statements)})


def put(account, key_id, policy, **options):
    return account.kms.put_key_policy(KeyId=key_id, PolicyName="default", Policy=policy, **options)


def policy_of(account, key_id):
    return account.kms.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"]


def test_the_default_policy_is_awss(aws):
    key_id = aws.create_key()["KeyId"]
    answer = aws.kms.get_key_policy(KeyId=key_id)
    assert answer["PolicyName"] == "default"
    assert json.loads(answer["Policy"]) == json.loads(DEFAULT_POLICY % aws.root)
    assert policy_of(aws, key_id) == answer["Policy"]
    listed = aws.kms.list_key_policies(KeyId=key_id)
    assert listed["PolicyNames"] == ["default"] and listed["Truncated"] is False


def test_a_policy_is_kept_word_for_word(aws):
    key_id = aws.create_key()["KeyId"]
    text = "  " + document(statement(aws, Sid="owner   of the key")).replace(", ", ",\n\t ") + "\r\n"
    put(aws, key_id, text)
    assert policy_of(aws, key_id) == text


def test_create_key_takes_a_policy(aws):
    text = document(statement(aws, Sid="mine"))
    key_id = aws.create_key(Policy=text)["KeyId"]
    assert json.loads(policy_of(aws, key_id))["Statement"][0]["Sid"] == "mine"


def test_policy_names(account):
    key_id = account.create_key()["KeyId"]
    with refused("NotFoundException", "No such policy exists"):
        account.kms.get_key_policy(KeyId=key_id, PolicyName="other")
    with refused("ValidationException", "The AWS_RAM policy can only be managed by the RAM service"):
        account.kms.put_key_policy(KeyId=key_id, PolicyName="AWS_RAM", Policy=DEFAULT_POLICY % account.root)
    with pytest.raises(account.kms.exceptions.ClientError):
        account.kms.put_key_policy(KeyId=key_id, PolicyName="other", Policy=DEFAULT_POLICY % account.root)
    account.kms.put_key_policy(KeyId=key_id, Policy=document(statement(account)))


def test_policy_sizes(account):
    key_id = account.create_key()["KeyId"]
    padding = 32768 - len(document(statement(account, Sid="")))
    put(account, key_id, document(statement(account, Sid="x" * padding)))
    with refused("LimitExceededException"):
        put(account, key_id, document(statement(account, Sid="x" * (padding + 1))))
    with refused("LimitExceededException"):
        account.create_key(Policy=document(statement(account, Sid="x" * (padding + 1))))
    # An empty text breaks both the length and the pattern.
    with refused("ValidationException") as caught:
        put(account, key_id, "")
    text = caught.value.response["Error"]["Message"]
    assert text.startswith("2 validation errors detected: Value '' at 'policy' failed to satisfy constraint: ")


@pytest.mark.parametrize("bypass", [False, True])
def test_lockout_is_refused_unless_waived(account, other_account, bypass):
    key_id = account.create_key()["KeyId"]
    for change in [
        {"Action": "kms:Encrypt"},
        {"Principal": {"AWS": other_account.root}},
        {"Effect": "Deny"},
    ]:
        text = document(statement(account, **change))
        if bypass:
            account.create_key(Policy=text, BypassPolicyLockoutSafetyCheck=True)
            continue
        with refused("MalformedPolicyDocumentException", LOCKOUT):
            put(account, key_id, text)
        with refused("MalformedPolicyDocumentException", LOCKOUT):
            account.create_key(Policy=text)
    assert json.loads(policy_of(account, key_id)) == json.loads(DEFAULT_POLICY % account.root)


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        "{}",
        '{"Version":"2012-10-17","Statement":[]}',
        '{"Version":"2020-01-01","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}',
        '{"Version":"2012-10-17","Statement":[{"Effect":"allow","Principal":"*","Action":"kms:*","Resource":"*"}]}',
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}',
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Effect":"Deny","Principal":"*","Action":"kms:*","Resource":"*"}]}',
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*","Surprise":1}]}',
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"CanonicalUser":"x"},"Action":"kms:*",'
        '"Resource":"*"}]}',
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":5,"Resource":"*"}]}',
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]} trailing',
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*",'
        '"Condition":{"StringFoo":{"kms:CallerAccount":"1"}}}]}',
        '{"Statement":' * 2000,
    ],
)
def test_a_malformed_policy_is_refused(account, text):
    key_id = account.create_key()["KeyId"]
    with refused("MalformedPolicyDocumentException"):
        put(account, key_id, text)
    with refused("MalformedPolicyDocumentException"):
        account.create_key(Policy=text)
    assert json.loads(policy_of(account, key_id)) == json.loads(DEFAULT_POLICY % account.root)
    assert len(account.kms.list_keys()["Keys"]) == 1


def test_characters_outside_the_pattern_are_a_violation(account):
    key_id = account.create_key()["KeyId"]
    for character in ("\N{EURO SIGN}", "\0", "\N{KEY}"):
        with refused("ValidationException") as caught:
            put(account, key_id, document(statement(account)) + character)
        assert "at 'policy' failed to satisfy constraint" in caught.value.response["Error"]["Message"]


def test_without_the_account_statement_even_root_has_no_access(account, other_account):
    key = account.create_key(
        Policy=document(statement(account, Principal={"AWS": other_account.root})), BypassPolicyLockoutSafetyCheck=True
    )
    for call in (account.kms.describe_key, account.kms.enable_key):
        with refused("AccessDeniedException") as caught:
            call(KeyId=key["KeyId"])
        head = f"User: {account.root} is not authorized to perform: kms:"
        assert caught.value.response["Error"]["Message"].startswith(head)
    with refused("AccessDeniedException") as caught:
        account.kms.describe_key(KeyId=key["KeyId"])
    assert caught.value.response["Error"]["Message"] == (
        f"User: {account.root} is not authorized to perform: kms:DescribeKey on resource: {key['Arn']} because no "
        "resource-based policy allows the kms:DescribeKey action"
    )


def test_an_explicit_deny_wins(aws):
    key = aws.create_key()
    deny = statement(aws, Sid="no", Effect="Deny", Action=["kms:Encrypt", "kms:Schedule*"])
    put(aws, key["KeyId"], document(statement(aws), deny))
    for action, call in [
        ("Encrypt", lambda: aws.kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")),
        ("ScheduleKeyDeletion", lambda: aws.kms.schedule_key_deletion(KeyId=key["KeyId"])),
    ]:
        with refused("AccessDeniedException") as caught:
            call()
        assert caught.value.response["Error"]["Message"] == (
            f"User: {aws.root} is not authorized to perform: kms:{action} on resource: {key['Arn']} with an explicit "
            "deny in a resource-based policy"
        )
    made = aws.kms.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256")
    assert aws.kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
    put(aws, key["KeyId"], document(statement(aws)))
    aws.kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")


@pytest.mark.parametrize(
    ("actions", "allowed"),
    [
        (["kms:Encrypt", "kms:PutKeyPolicy"], True),
        (["KMS:ENCRYPT", "kms:putkeypolicy"], True),
        (["kms:Enc*", "kms:Put*"], True),
        (["kms:?ncrypt", "kms:PutKeyPolicy"], True),
        (["*"], True),
        ("kms:*", True),
        (["kms:Decrypt", "kms:PutKeyPolicy"], False),
        (["s3:Encrypt", "kms:PutKeyPolicy"], False),
        (["kms:Encrypt?", "kms:PutKeyPolicy"], False),
    ],
)
def test_action_patterns(account, actions, allowed):
    key_id = account.create_key(Policy=document(statement(account, Action=actions)))["KeyId"]
    if allowed:
        account.kms.encrypt(KeyId=key_id, Plaintext=b"x")
    else:
        with refused("AccessDeniedException"):
            account.kms.encrypt(KeyId=key_id, Plaintext=b"x")


def test_principals_of_other_forms(account):
    for principal in ["*", {"AWS": "*"}, {"AWS": account.number}, {"AWS": [account.root, "*"]}]:
        key_id = account.create_key(Policy=document(statement(account, Principal=principal)))["KeyId"]
        account.kms.encrypt(KeyId=key_id, Plaintext=b"x")


def test_a_resource_that_names_another_key_does_not_count(account):
    key = account.create_key()
    own = statement(account, Resource=key["Arn"])
    put(account, key["KeyId"], document(own))
    account.kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    elsewhere = statement(account, Sid="no", Effect="Deny", Resource=account.key_arn("0" * 8 + "-*"))
    put(account, key["KeyId"], document(own, elsewhere))
    account.kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")


def test_what_is_not_evaluated_yet_is_refused_or_obeyed(account, other_account):
    """A condition that cannot hold must either be refused when saved, or keep the caller out; never be ignored."""
    key = account.create_key()
    elements = [
        {"Condition": {"StringEquals": {"kms:CallerAccount": other_account.number}}},
        {"Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}},
        {"NotPrincipal": {"AWS": account.root}, "Principal": None},
        {"NotAction": "kms:Encrypt", "Action": None},
        {"NotResource": "*", "Resource": None},
    ]
    for element in elements:
        allow = {name: value for name, value in statement(account, Sid="use", **element).items() if value is not None}
        admin = statement(account, Action=["kms:PutKeyPolicy", "kms:GetKeyPolicy"])
        try:
            put(account, key["KeyId"], document(admin, allow))
        except account.kms.exceptions.MalformedPolicyDocumentException:
            continue
        with refused("AccessDeniedException"):
            account.kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
