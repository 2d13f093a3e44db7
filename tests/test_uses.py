"""Rules that every operation on key material obeys: key states, identifiers, grant tokens, dry runs, key policies."""

import json

import pytest
from support.aws import ABSENT_ID, refused, violation
from support.interface import SYMMETRIC, Kind
from support.keyring import creation_options
from support.uses import MAC, RSA, SIGNING, USES, Prepared

DRY_RUN = ("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
every_use = pytest.mark.parametrize("use", USES.values(), ids=USES)
every_dry_use = pytest.mark.parametrize(
    "use", [pytest.param(use, id=name) for name, use in USES.items() if use.takes_dry_run]
)


@every_use
def test_a_key_in_each_state(account, use):
    """The rows of key-states.md: Enabled, Disabled, PendingDeletion, and usable again afterwards."""
    prepared = Prepared(account, use)
    arn, key_id = prepared.key["Arn"], prepared.key["KeyId"]
    prepared.call()
    account.kms.disable_key(KeyId=key_id)
    if use.action == "GetPublicKey":
        prepared.call()
    else:
        with refused("DisabledException", f"{arn} is disabled."):
            prepared.call()
    account.kms.schedule_key_deletion(KeyId=key_id)
    with refused("KMSInvalidStateException", f"{arn} is pending deletion."):
        prepared.call()
    account.kms.cancel_key_deletion(KeyId=key_id)
    account.kms.enable_key(KeyId=key_id)
    prepared.call()


@every_dry_use
def test_a_dry_run_sees_the_key_state(account, use):
    prepared = Prepared(account, use)
    account.kms.disable_key(KeyId=prepared.key["KeyId"])
    with refused("DisabledException", f"{prepared.key['Arn']} is disabled."):
        prepared.call(DryRun=True)


@every_use
def test_all_four_identifiers_and_the_arn_in_the_reply(account, use):
    prepared = Prepared(account, use)
    for identifier in account.every_identifier(prepared.key["KeyId"]):
        assert prepared.call(identifier)[use.echoed_as] == prepared.key["Arn"]


@every_use
def test_keys_that_are_not_there(account, use):
    prepared = Prepared(account, use)
    for identifier, text in [
        (ABSENT_ID, f"Key '{account.key_arn(ABSENT_ID)}' does not exist"),
        ("alias/absent", f"Alias {account.alias_arn('alias/absent')} is not found."),
        ("nonsense", "Invalid keyId 'nonsense'"),
    ]:
        with refused("NotFoundException", text):
            prepared.call(identifier)


@every_use
def test_a_key_of_another_account(account, other_account, use):
    """It is refused, and nobody learns from the refusal whether it exists."""
    prepared = Prepared(account, use)
    foreign = other_account.create_key(**creation_options(use.kind))["Arn"]
    errors = []
    for arn in (foreign, other_account.key_arn(ABSENT_ID)):
        with pytest.raises(account.kms.exceptions.ClientError) as caught:
            prepared.call(arn)
        error = caught.value.response["Error"]
        errors.append((error["Code"], error["Message"].replace(arn, "<arn>")))
    assert errors[0] == errors[1]
    code, message = errors[0]
    if use.kind == SYMMETRIC and use.action in ("Decrypt", "ReEncryptFrom") and code == "IncorrectKeyException":
        # The ciphertext is not of that key, which may be noticed first.
        return
    assert code == "AccessDeniedException"
    assert message.startswith(f"User: {account.root} is not authorized to perform: kms:{use.action} on ")


@pytest.mark.parametrize(
    "use", [pytest.param(use, id=name) for name, use in USES.items() if use.method != "re_encrypt"]
)
def test_a_key_shared_with_another_account(account, other_account, use):
    """By a policy that names the other account, with the key's ARN or an alias's; and no more than the policy says."""
    prepared = Prepared(account, use)
    everything = {"Effect": "Allow", "Principal": {"AWS": account.root}, "Action": "kms:*", "Resource": "*"}
    share = {**everything, "Principal": {"AWS": other_account.root}, "Action": f"kms:{use.action}"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everything, share]})
    account.kms.put_key_policy(KeyId=prepared.key["KeyId"], Policy=policy)
    method = getattr(other_account.kms, use.method)
    key_id, arn, alias, alias_arn = account.every_identifier(prepared.key["KeyId"])
    for identifier in (arn, alias_arn):
        assert method(**{**prepared.arguments, "KeyId": identifier})["KeyId"] == arn
    if use.method != "decrypt":
        # Bare names are looked for in the caller's own account. (Decrypt finds the key by the ciphertext.)
        for identifier in (key_id, alias):
            with refused("NotFoundException"):
                method(**{**prepared.arguments, "KeyId": identifier})
    with refused("AccessDeniedException"):
        other_account.kms.describe_key(KeyId=arn)


@every_use
def test_grant_tokens(account, use):
    """What is no token of ours is refused, not ignored."""
    prepared = Prepared(account, use)
    prepared.call(GrantTokens=[])
    for tokens in (["bm90IGEgdG9rZW4="], ["x"], ["t" * 8192] * 10):
        with refused("InvalidGrantTokenException"):
            prepared.call(GrantTokens=tokens)
    for tokens in (["t"] * 11, [""], ["t" * 8193]):
        with refused("ValidationException"):
            prepared.call(GrantTokens=tokens)


@every_dry_use
def test_a_dry_run_that_would_have_succeeded(account, use):
    prepared = Prepared(account, use)
    with refused(*DRY_RUN):
        prepared.call(DryRun=True)
    prepared.call(DryRun=False)


def wrong_kind(use):
    """A kind of key on which the use's operation is refused for its usage."""
    return SIGNING if use.kind.usage != "SIGN_VERIFY" else MAC


@every_dry_use
def test_a_dry_run_on_a_key_for_something_else(account, use):
    prepared = Prepared(account, use)
    other = account.create_key(**creation_options(wrong_kind(use)))
    with refused("InvalidKeyUsageException") as caught:
        prepared.call(other["KeyId"], DryRun=True)
    text = f"{other['Arn']} key usage is {other['KeyUsage']} which is not valid for {use.action[:9]}"
    assert caught.value.response["Error"]["Message"].startswith(text)


@every_dry_use
def test_a_dry_run_is_validated(account, use):
    prepared = Prepared(account, use)
    with refused("ValidationException"):
        prepared.call("", DryRun=True)
    with refused("NotFoundException"):
        prepared.call(ABSENT_ID, DryRun=True)


@every_use
def test_a_key_policy_that_denies_the_action(account, use):
    prepared = Prepared(account, use)
    everything = {"Effect": "Allow", "Principal": {"AWS": account.root}, "Action": "kms:*", "Resource": "*"}
    deny = {**everything, "Effect": "Deny", "Action": f"kms:{use.action}"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everything, deny]})
    account.kms.put_key_policy(KeyId=prepared.key["KeyId"], Policy=policy)
    dry = [{}, {"DryRun": True}] if use.takes_dry_run else [{}]
    for more in dry:
        with refused("AccessDeniedException") as caught:
            prepared.call(**more)
        assert caught.value.response["Error"]["Message"] == (
            f"User: {account.root} is not authorized to perform: kms:{use.action} on resource: {prepared.key['Arn']} "
            "with an explicit deny in a resource-based policy"
        )
    # Only that action is denied.
    other = {**deny, "Action": f"kms:{use.action}x"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everything, other]})
    account.kms.put_key_policy(KeyId=prepared.key["KeyId"], Policy=policy)
    prepared.call()


IGNORE = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
ciphertext_uses = pytest.mark.parametrize(
    "use", [pytest.param(USES[n], id=n) for n in ("Decrypt", "DecryptRsa", "ReEncryptFrom", "ReEncryptFromRsa")]
)


def without_ciphertext(prepared, **more):
    arguments = {name: value for name, value in prepared.arguments.items() if name != "CiphertextBlob"}
    named = {prepared.use.named_by: prepared.key["KeyId"]}
    return getattr(prepared.account.kms, prepared.use.method)(**{**arguments, **named, **more})


@ciphertext_uses
def test_a_dry_run_may_ignore_the_ciphertext(account, use):
    prepared = Prepared(account, use)
    with refused(*DRY_RUN):
        without_ciphertext(prepared, **IGNORE)
    for blob in (prepared.arguments["CiphertextBlob"], b"no ciphertext at all", b"x" * 6144):
        with refused(*DRY_RUN):
            without_ciphertext(prepared, CiphertextBlob=blob, **IGNORE)
    with refused("ValidationException"):
        without_ciphertext(prepared, CiphertextBlob=b"", **IGNORE)
    account.kms.disable_key(KeyId=prepared.key["KeyId"])
    with refused("DisabledException", f"{prepared.key['Arn']} is disabled."):
        without_ciphertext(prepared, **IGNORE)


@ciphertext_uses
def test_ignoring_the_ciphertext_needs_the_key_and_a_dry_run(account, use):
    prepared = Prepared(account, use)
    blob = prepared.arguments["CiphertextBlob"]
    for more in [
        {"DryRunModifiers": ["IGNORE_CIPHERTEXT"]},
        {"DryRunModifiers": ["IGNORE_CIPHERTEXT"], "DryRun": False},
        {"DryRunModifiers": ["IGNORE_CIPHERTEXT"], "CiphertextBlob": blob},
        {**IGNORE, use.named_by: None},
        {**IGNORE, "DryRunModifiers": ["INVALID"]},
        {"DryRun": True},
        {"DryRun": True, "DryRunModifiers": []},
    ]:
        arguments = {**prepared.arguments, use.named_by: prepared.key["KeyId"], **more}
        if "CiphertextBlob" not in more:
            del arguments["CiphertextBlob"]
        arguments = {name: value for name, value in arguments.items() if value is not None}
        with refused("ValidationException"):
            getattr(account.kms, use.method)(**arguments)


@ciphertext_uses
def test_a_dry_run_that_does_not_ignore_the_ciphertext(account, use):
    prepared = Prepared(account, use)
    with refused("InvalidCiphertextException", ""):
        prepared.call(CiphertextBlob=prepared.arguments["CiphertextBlob"][:-1] + b"??", DryRun=True)


# Aliases: both keys must be of one type (symmetric, asymmetric, HMAC) and of one usage.
SIGNING_RSA, SIGNING_ML_DSA = Kind("RSA_2048", "SIGN_VERIFY"), Kind("ML_DSA_44", "SIGN_VERIFY")
AGREEMENT = Kind("ECC_NIST_P256", "KEY_AGREEMENT")
HMAC_224 = Kind("HMAC_224", "GENERATE_VERIFY_MAC")


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        (SYMMETRIC, RSA, "type"),
        (SYMMETRIC, MAC, "type"),
        (RSA, MAC, "type"),
        (SIGNING, MAC, "type"),
        (RSA, SIGNING_RSA, "usage"),
        (SIGNING, AGREEMENT, "usage"),
        (SIGNING, SIGNING_RSA, None),
        (SIGNING_RSA, SIGNING_ML_DSA, None),
        (MAC, HMAC_224, None),
        (SYMMETRIC, SYMMETRIC, None),
    ],
    ids=str,
)
def test_an_alias_keeps_its_kind_of_key(account, first, second, what):
    made = [account.create_key(**creation_options(kind))["KeyId"] for kind in (first, second)]
    for here, there in ((0, 1), (1, 0)):
        name = f"alias/of-{here}"
        account.kms.create_alias(AliasName=name, TargetKeyId=made[here])
        if what is None:
            account.kms.update_alias(AliasName=name, TargetKeyId=made[there])
            assert account.metadata(name)["KeyId"] == made[there]
            continue
        with refused("ValidationException") as caught:
            account.kms.update_alias(AliasName=name, TargetKeyId=made[there])
        text = caught.value.response["Error"]["Message"]
        assert text.startswith(
            f"Alias {account.alias_arn(name)} cannot be changed from a CMK with key {what} "
        ) and text.endswith(f" The key {what} of the current CMK and the new CMK must be the same.")
        if what == "usage":
            assert (
                f"usage {(first, second)[here].usage} to a CMK with key usage {(first, second)[there].usage}." in text
            )
        assert account.metadata(name)["KeyId"] == made[here]


def test_validation_comes_before_the_key(account):
    rule = "Member must have length greater than or equal to 1"
    with refused("ValidationException", violation(None, "publicKey", rule)):
        account.kms.derive_shared_secret(KeyId=ABSENT_ID, KeyAgreementAlgorithm="ECDH", PublicKey=b"")
    with refused("ValidationException", violation(None, "sharedSecretCiphertextBlob", rule)):
        account.kms.decapsulate(KeyId=ABSENT_ID, EncapsulationAlgorithm="ML_KEM", SharedSecretCiphertextBlob=b"")
    for signature, bound in [(b"", "greater than or equal to 1"), (bytes(6145), "less than or equal to 6144")]:
        with refused("ValidationException", violation(None, "signature", f"Member must have length {bound}")):
            account.kms.verify(KeyId=ABSENT_ID, Message=b"m", Signature=signature, SigningAlgorithm="ECDSA_SHA_256")
        with refused("ValidationException", violation(None, "mac", f"Member must have length {bound}")):
            account.kms.verify_mac(KeyId=ABSENT_ID, Message=b"m", Mac=signature, MacAlgorithm="HMAC_SHA_256")


def test_the_uses_cover_what_uses_keys():
    assert {use.action for use in USES.values()} == {
        *("Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext"),
        *("GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext", "Sign", "Verify", "GenerateMac", "VerifyMac"),
        *("DeriveSharedSecret", "Encapsulate", "Decapsulate", "GetPublicKey"),
    }
