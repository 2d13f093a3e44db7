"""Grants: CreateGrant, ListGrants, ListRetirableGrants, RetireGrant, RevokeGrant, and what they let a caller do.

The callers here are root users, so a grantee is an account. Without `--enforce` every principal exists.
"""

import re

import pytest
from support.aws import refused

DENIED = "AccessDeniedException"
CONTEXT = {"app": "billing", "tenant": "blue"}


@pytest.fixture
def other(other_account):
    return other_account


def create(account, key_id, grantee, operations=("Encrypt", "Decrypt"), **options):
    """A new grant; answers its id and its token."""
    answer = account.kms.create_grant(
        KeyId=key_id, GranteePrincipal=grantee, Operations=list(operations), **options
    )
    return answer["GrantId"], answer["GrantToken"]


def listed(account, key_id, **options):
    return account.kms.list_grants(KeyId=key_id, **options)["Grants"]


def encrypt(account, arn, **options):
    return account.kms.encrypt(KeyId=arn, Plaintext=b"plain", **options)["CiphertextBlob"]


def test_a_grant_opens_a_key_to_another_account(aws):
    other = type(aws)(aws.server, str(int(aws.number) + 500_000_000_000))
    arn = aws.create_key()["Arn"]
    with refused(DENIED):
        encrypt(other, arn)
    grant_id, token = create(aws, arn, other.root)
    assert re.fullmatch("[0-9a-f]{64}", grant_id)
    blob = encrypt(other, arn)
    assert other.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"plain"
    assert other.kms.encrypt(KeyId=arn, Plaintext=b"plain", GrantTokens=[token])["KeyId"] == arn
    with refused(DENIED):
        other.kms.describe_key(KeyId=arn)
    with refused(DENIED):
        other.kms.generate_data_key(KeyId=arn, KeySpec="AES_256")
    aws.kms.revoke_grant(KeyId=arn, GrantId=grant_id)
    with refused(DENIED):
        encrypt(other, arn)
    with refused(DENIED):
        other.kms.encrypt(KeyId=arn, Plaintext=b"plain", GrantTokens=[token])
    assert aws.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"plain"


def test_what_a_list_shows(account, other):
    key = account.create_key()
    grant_id, _ = create(
        account,
        key["KeyId"],
        other.root,
        RetiringPrincipal=account.root,
        Name="for/billing",
        Constraints={"EncryptionContextSubset": CONTEXT},
    )
    entry = listed(account, key["KeyId"])[0]
    created = entry.pop("CreationDate")
    assert abs(created.timestamp() - key["CreationDate"].timestamp()) < 60
    assert entry == {
        "KeyId": key["Arn"],
        "GrantId": grant_id,
        "Name": "for/billing",
        "GranteePrincipal": other.root,
        "RetiringPrincipal": account.root,
        "IssuingAccount": account.root,
        "Operations": ["Encrypt", "Decrypt"],
        "Constraints": {"EncryptionContextSubset": CONTEXT},
    }
    create(account, key["KeyId"], other.root)
    plain = next(entry for entry in listed(account, key["KeyId"]) if entry["GrantId"] != grant_id)
    assert plain["Name"] == ""
    assert not {"RetiringPrincipal", "Constraints"} & plain.keys()


def test_lists_in_pages(account, other):
    arn = account.create_key()["Arn"]
    made = {create(account, arn, other.root, RetiringPrincipal=other.root)[0] for _ in range(7)}
    create(account, arn, account.root)
    pages = account.kms.get_paginator("list_grants").paginate(KeyId=arn, PaginationConfig={"PageSize": 3})
    pages = [[entry["GrantId"] for entry in page["Grants"]] for page in pages]
    assert [len(page) for page in pages] == [3, 3, 2] and made < set(sum(pages, []))
    assert {entry["GrantId"] for entry in listed(account, arn, GranteePrincipal=other.root)} == made
    one = min(made)
    assert [entry["GrantId"] for entry in listed(account, arn, GrantId=one)] == [one]
    paginator = other.kms.get_paginator("list_retirable_grants")
    pages = paginator.paginate(RetiringPrincipal=other.root, PaginationConfig={"PageSize": 4})
    assert {entry["GrantId"] for page in pages for entry in page["Grants"]} == made
    marker = account.kms.list_grants(KeyId=arn, Limit=1)["NextMarker"]
    another = account.create_key()["Arn"]
    with refused("InvalidMarkerException"):
        account.kms.list_grants(KeyId=another, Marker=marker)
    with refused("InvalidMarkerException"):
        other.kms.list_retirable_grants(RetiringPrincipal=other.root, Marker=marker)
    with refused(DENIED):
        account.kms.list_retirable_grants(RetiringPrincipal=other.root)
    with refused(DENIED):
        other.kms.list_grants(KeyId=arn)
    with refused("ValidationException"):
        account.kms.list_grants(KeyId=arn, Limit=101)


@pytest.mark.parametrize(
    ("constraint", "context", "allowed"),
    [
        ("EncryptionContextEquals", CONTEXT, True),
        ("EncryptionContextEquals", {**CONTEXT, "more": "x"}, False),
        ("EncryptionContextEquals", {"app": "billing"}, False),
        ("EncryptionContextEquals", {}, False),
        ("EncryptionContextSubset", CONTEXT, True),
        ("EncryptionContextSubset", {**CONTEXT, "more": "x"}, True),
        ("EncryptionContextSubset", {"app": "billing"}, False),
        ("EncryptionContextSubset", {"App": "billing", "tenant": "blue"}, False),
        ("EncryptionContextSubset", {}, False),
    ],
)
def test_constraints(account, other, constraint, context, allowed):
    arn = account.create_key()["Arn"]
    operations = [
        "Encrypt",
        "Decrypt",
        "GenerateDataKey",
        "GenerateDataKeyWithoutPlaintext",
        "GenerateDataKeyPairWithoutPlaintext",
        "ReEncryptFrom",
        "ReEncryptTo",
        "DescribeKey",
    ]
    create(account, arn, other.root, operations, Constraints={constraint: CONTEXT})
    blob = encrypt(account, arn, EncryptionContext=context)
    own = other.create_key()["Arn"]
    calls = [
        lambda: encrypt(other, arn, EncryptionContext=context),
        lambda: other.kms.decrypt(CiphertextBlob=blob, EncryptionContext=context),
        lambda: other.kms.generate_data_key(KeyId=arn, KeySpec="AES_256", EncryptionContext=context),
        lambda: other.kms.generate_data_key_without_plaintext(
            KeyId=arn, KeySpec="AES_256", EncryptionContext=context
        ),
        lambda: other.kms.generate_data_key_pair_without_plaintext(
            KeyId=arn, KeyPairSpec="ECC_NIST_P256", EncryptionContext=context
        ),
        lambda: other.kms.re_encrypt(
            CiphertextBlob=blob, SourceEncryptionContext=context, DestinationKeyId=own
        ),
        lambda: other.kms.re_encrypt(
            CiphertextBlob=encrypt(other, own), DestinationKeyId=arn, DestinationEncryptionContext=context
        ),
    ]
    for call in calls:
        if allowed:
            call()
        else:
            with refused(DENIED):
                call()
    other.kms.describe_key(KeyId=arn)


def test_asymmetric_and_mac_keys(account, other):
    signing = account.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["Arn"]
    create(account, signing, other.root, ["Sign", "GetPublicKey"])
    asked = {"KeyId": signing, "Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"}
    signature = other.kms.sign(**asked)["Signature"]
    with refused(DENIED):
        other.kms.verify(Signature=signature, **asked)
    assert other.kms.get_public_key(KeyId=signing)["KeyId"] == signing
    mac = account.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["Arn"]
    create(account, mac, other.root, ["GenerateMac"])
    other.kms.generate_mac(KeyId=mac, Message=b"m", MacAlgorithm="HMAC_SHA_256")
    with refused("ValidationException"):
        create(account, mac, other.root, ["Encrypt"])
    with refused("ValidationException"):
        create(account, signing, other.root, ["Sign"], Constraints={"EncryptionContextEquals": CONTEXT})


def test_delegation_stays_within_the_grant(account, other, dev):
    third = type(account)(dev, str(int(account.number) + 600_000_000_000))
    arn = account.create_key()["Arn"]
    create(account, arn, other.root, ["Encrypt"])
    with refused(DENIED):
        create(other, arn, third.root, ["Encrypt"])
    subset = {"EncryptionContextSubset": {"app": "billing"}}
    create(account, arn, other.root, ["Encrypt", "CreateGrant"], Constraints=subset)
    for operations, constraints in [
        (["Encrypt"], {}),
        (["Decrypt"], subset),
        (["Encrypt", "Decrypt"], subset),
        (["Encrypt"], {"EncryptionContextSubset": {"tenant": "blue"}}),
        (["Encrypt"], {"EncryptionContextEquals": {"app": "other"}}),
    ]:
        with refused(DENIED):
            create(other, arn, third.root, operations, Constraints=constraints)
    create(other, arn, third.root, ["Encrypt", "CreateGrant"], Constraints={"EncryptionContextEquals": CONTEXT})
    encrypt(third, arn, EncryptionContext=CONTEXT)
    with refused(DENIED):
        encrypt(third, arn, EncryptionContext={"app": "billing"})
    # From exactly these pairs there is no way back to at least these.
    with refused(DENIED):
        create(third, arn, other.root, ["Encrypt"], Constraints={"EncryptionContextSubset": CONTEXT})


def test_retiring(account, other, dev):
    third = type(account)(dev, str(int(account.number) + 600_000_000_000))
    arn = account.create_key()["Arn"]
    grant_id, token = create(account, arn, third.root, RetiringPrincipal=other.root)
    with refused(DENIED):
        third.kms.retire_grant(GrantToken=token)
    with refused("DryRunOperationException"):
        other.kms.retire_grant(GrantToken=token, DryRun=True)
    other.kms.retire_grant(GrantToken=token)
    with refused(DENIED):
        other.kms.retire_grant(KeyId=arn, GrantId=grant_id)
    with refused("NotFoundException"):
        account.kms.retire_grant(KeyId=arn, GrantId=grant_id)
    grant_id, _ = create(account, arn, third.root, ["Encrypt", "RetireGrant"])
    third.kms.retire_grant(KeyId=arn, GrantId=grant_id)
    grant_id, _ = create(account, arn, third.root)
    account.kms.retire_grant(KeyId=arn.rsplit("/", 1)[1], GrantId=grant_id)
    assert listed(account, arn) == []
    with refused("ValidationException"):
        account.kms.retire_grant(KeyId=arn)
    with refused("ValidationException"):
        account.kms.retire_grant(KeyId=arn, GrantId=grant_id, GrantToken=token)


def test_names_make_it_the_same_grant(account, other):
    arn = account.create_key()["Arn"]
    first, second = (create(account, arn, other.root, Name="once") for _ in range(2))
    assert first[0] == second[0] and first[1] != second[1]
    assert create(account, arn, other.root, ["Encrypt"], Name="once")[0] != first[0]
    assert create(account, arn, other.root)[0] != create(account, arn, other.root)[0]


def test_tokens_of_elsewhere_are_refused(account, other):
    arn = account.create_key()["Arn"]
    _, token = create(account, arn, other.root, ["Encrypt", "DescribeKey"])
    changed = token[:-1] + ("0" if token[-1] != "0" else "1")
    for wrong in [changed, token[:-2], "not a token", "YWJj"]:
        with refused("InvalidGrantTokenException"):
            encrypt(other, arn, GrantTokens=[wrong])
        with refused("InvalidGrantTokenException"):
            other.kms.describe_key(KeyId=arn, GrantTokens=[token, wrong])
        with refused("InvalidGrantTokenException"):
            account.kms.retire_grant(GrantToken=wrong)
    other.kms.describe_key(KeyId=arn, GrantTokens=[token])


def test_bad_requests(account, other):
    key_id = account.create_key()["KeyId"]
    alias = "alias/grants"
    account.kms.create_alias(AliasName=alias, TargetKeyId=key_id)
    with refused("InvalidArnException", "Key Aliases are not supported for this operation."):
        create(account, alias, other.root)
    nobody = "arn:aws:iam::111122223333:group/admins"
    with refused("InvalidArnException", f"ARN does not refer to a valid principal: {nobody}"):
        create(account, key_id, nobody)
    with refused("ValidationException"):
        create(account, key_id, other.root, [])
    with refused("ValidationException"):
        create(account, key_id, other.root, ["GenerateRandom"])
    with refused("ValidationException"):
        account.kms.create_grant(KeyId=key_id, Operations=["Encrypt"])
    both = {"EncryptionContextEquals": CONTEXT, "EncryptionContextSubset": CONTEXT}
    with refused("ValidationException"):
        create(account, key_id, other.root, Constraints=both)
    with refused("InvalidGrantIdException"):
        account.kms.revoke_grant(KeyId=key_id, GrantId="none")
    absent = "0" * 64
    with refused("NotFoundException", f"Grant ID {absent} not found"):
        account.kms.revoke_grant(KeyId=key_id, GrantId=absent)
    with refused("DryRunOperationException"):
        create(account, key_id, other.root, DryRun=True)
    assert listed(account, key_id) == []


def test_states(account, other):
    arn = account.create_key()["Arn"]
    grant_id, _ = create(account, arn, other.root)
    account.kms.disable_key(KeyId=arn)
    with refused("DisabledException", f"{arn} is disabled."):
        create(account, arn, other.root)
    with refused("DisabledException", f"{arn} is disabled."):
        encrypt(other, arn)
    account.kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    with refused("KMSInvalidStateException", f"{arn} is pending deletion."):
        create(account, arn, other.root)
    assert len(listed(account, arn)) == 1
    account.kms.revoke_grant(KeyId=arn, GrantId=grant_id)
    assert listed(account, arn) == []


def test_a_deny_in_the_key_policy_stands_against_a_grant(account, other):
    arn = account.create_key()["Arn"]
    create(account, arn, other.root)
    encrypt(other, arn)
    policy = account.kms.get_key_policy(KeyId=arn)["Policy"]
    deny = '{"Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"}'
    account.kms.put_key_policy(KeyId=arn, Policy=policy.replace('"Statement" : [ ', f'"Statement" : [ {deny}, '))
    with refused(DENIED):
        encrypt(other, arn)
