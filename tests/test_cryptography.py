"""Encrypt, Decrypt, ReEncrypt, GenerateDataKey, GenerateDataKeyWithoutPlaintext, GenerateRandom."""

import base64
import re

import pytest
from support.aws import ABSENT_ID, must_not_be_null, refused, violation

PLAINTEXT = b"attack at dawn"
CONTEXT = {"tenant": "blue", "purpose": "test"}
OUT_OF_REACH = (
    "is not authorized to perform: kms:Decrypt on the resource associated with this ciphertext because the resource does "
    "not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access"
)
INCORRECT_KEY = "The key ID in the request does not identify a CMK that can perform this operation."


@pytest.fixture
def key(aws):
    return aws.create_key()


@pytest.mark.parametrize("size", [1, 15, 16, 17, 32, 4095, 4096])
def test_round_trip(aws, key, size, chance):
    plaintext = chance.randbytes(size)
    sealed = aws.kms.encrypt(KeyId=key["KeyId"], Plaintext=plaintext)
    assert sealed["KeyId"] == key["Arn"] and sealed["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    assert "KeyMaterialId" not in sealed
    assert plaintext not in sealed["CiphertextBlob"] or size < 4
    assert len(sealed["CiphertextBlob"]) <= 6144
    opened = aws.kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"])
    assert opened["Plaintext"] == plaintext
    assert opened["KeyId"] == key["Arn"] and opened["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    assert opened["KeyMaterialId"] == key["CurrentKeyMaterialId"]


def test_the_algorithm_may_be_named(aws, key):
    blob = aws.kms.encrypt(KeyId=key["KeyId"], Plaintext=PLAINTEXT, EncryptionAlgorithm="SYMMETRIC_DEFAULT")
    opened = aws.kms.decrypt(CiphertextBlob=blob["CiphertextBlob"], EncryptionAlgorithm="SYMMETRIC_DEFAULT")
    assert opened["Plaintext"] == PLAINTEXT


def test_two_ciphertexts_of_one_plaintext_differ(account):
    key_id = account.create_key()["KeyId"]
    blobs = {account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"] for _ in range(50)}
    assert len(blobs) == 50


def test_an_empty_plaintext_is_refused(account):
    key_id = account.create_key()["KeyId"]
    rule = "Member must have length greater than or equal to 1"
    with refused("ValidationException", violation(None, "plaintext", rule)):
        account.kms.encrypt(KeyId=key_id, Plaintext=b"")


def test_a_plaintext_has_at_most_4096_bytes_and_is_not_echoed(account):
    key_id = account.create_key()["KeyId"]
    rule = "Member must have length less than or equal to 4096"
    with refused("ValidationException", violation(None, "plaintext", rule)):
        account.kms.encrypt(KeyId=key_id, Plaintext=b"s" * 4097)


def test_required_members(account):
    with refused("ValidationException", must_not_be_null("plaintext")):
        account.kms.encrypt(KeyId=ABSENT_ID)
    with refused("ValidationException", must_not_be_null("ciphertextBlob")):
        account.kms.decrypt()
    with refused("ValidationException", must_not_be_null("destinationKeyId")):
        account.kms.re_encrypt(CiphertextBlob=b"x")


def test_several_violations_are_reported_together(account):
    answer = account.signed("Encrypt", {"KeyId": "", "Plaintext": ""})
    assert answer.status == 400 and answer.code == "ValidationException"
    head, _, items = answer.message.partition(": ")
    assert head == "2 validation errors detected"
    assert sorted(items.split("; ")) == [
        "Value '' at 'keyId' failed to satisfy constraint: Member must have length greater than or equal to 1",
        "Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1",
    ]


def test_validation_comes_before_key_lookup(account):
    with refused("ValidationException"):
        account.kms.encrypt(KeyId=ABSENT_ID, Plaintext=b"")


@pytest.mark.parametrize("algorithm", ["ROT13", "RSAES_OAEP_SHA_512"])
def test_an_unknown_algorithm_is_an_enum_violation(account, algorithm):
    key_id = account.create_key()["KeyId"]
    with refused("ValidationException") as caught:
        account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT, EncryptionAlgorithm=algorithm)
    message = caught.value.response["Error"]["Message"]
    head = violation(algorithm, "encryptionAlgorithm", "Member must satisfy enum value set: [")
    assert message.startswith(head) and message.endswith("]")
    listed = set(message[len(head) : -1].split(", "))
    assert listed >= {"SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"}


@pytest.mark.parametrize("algorithm", ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"])
def test_an_algorithm_of_another_spec_is_refused(account, algorithm):
    key_id = account.create_key()["KeyId"]
    text = f"Algorithm {algorithm} is incompatible with key spec SYMMETRIC_DEFAULT."
    with refused("InvalidKeyUsageException", text):
        account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT, EncryptionAlgorithm=algorithm)


def test_the_context_must_be_the_same(aws, key):
    blob = aws.kms.encrypt(KeyId=key["KeyId"], Plaintext=PLAINTEXT, EncryptionContext=CONTEXT)["CiphertextBlob"]
    reordered = dict(reversed(CONTEXT.items()))
    assert aws.kms.decrypt(CiphertextBlob=blob, EncryptionContext=reordered)["Plaintext"] == PLAINTEXT
    wrong = [
        {},
        {"tenant": "blue"},
        {**CONTEXT, "more": "x"},
        {**CONTEXT, "tenant": "Blue"},
        {"Tenant": "blue", "purpose": "test"},
        {"tenant": "test", "purpose": "blue"},
        {"tenantblue": "", "purpose": "test"},
        {"tenantb": "lue", "purpose": "test"},
    ]
    for context in wrong:
        with refused("InvalidCiphertextException", ""):
            aws.kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)


@pytest.mark.parametrize(
    ("sealed", "opened"),
    [
        ({"a": "bc"}, {"ab": "c"}),
        ({"a": "b", "c": "d"}, {"a": "bcd"}),
        ({"a": ""}, {}),
        ({"é": "x"}, {"e\N{COMBINING ACUTE ACCENT}": "x"}),
        ({"a": "1", "b": "2"}, {"a": "2", "b": "1"}),
    ],
)
def test_contexts_that_look_alike_are_different(account, sealed, opened):
    key_id = account.create_key()["KeyId"]
    for first, second in [(sealed, opened), (opened, sealed)]:
        blob = account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT, EncryptionContext=first)["CiphertextBlob"]
        assert account.kms.decrypt(CiphertextBlob=blob, EncryptionContext=first)["Plaintext"] == PLAINTEXT
        with refused("InvalidCiphertextException", ""):
            account.kms.decrypt(CiphertextBlob=blob, EncryptionContext=second)


def test_an_empty_context_is_none(account):
    key_id = account.create_key()["KeyId"]
    blob = account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT, EncryptionContext={})["CiphertextBlob"]
    assert account.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT


def test_an_encryption_context_has_at_most_8192_bytes(account):
    kms, key_id = account.kms, account.create_key()["KeyId"]
    most = {"é" * 1_000: "v" * 2_092, "b": "v" * 4_099}
    assert sum(len(text.encode()) for pair in most.items() for text in pair) == 8_192
    blob = kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT, EncryptionContext=most)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=most)["Plaintext"] == PLAINTEXT
    more, pair = {**most, "b": "v" * 4_100}, "ECC_NIST_P256"
    uses = [
        lambda: kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT, EncryptionContext=more),
        lambda: kms.generate_data_key(KeyId=key_id, NumberOfBytes=32, EncryptionContext=more),
        lambda: kms.generate_data_key_without_plaintext(KeyId=key_id, NumberOfBytes=32, EncryptionContext=more),
        lambda: kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec=pair, EncryptionContext=more),
        lambda: kms.re_encrypt(
            CiphertextBlob=blob,
            SourceEncryptionContext=most,
            DestinationKeyId=key_id,
            DestinationEncryptionContext=more,
        ),
        lambda: kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=more, DestinationKeyId=key_id),
        lambda: kms.decrypt(CiphertextBlob=blob, EncryptionContext=more),
        # Before the key: what policies and grants cost grows with the context.
        lambda: kms.encrypt(KeyId=ABSENT_ID, Plaintext=PLAINTEXT, EncryptionContext=more),
    ]
    for use in uses:
        with refused("ValidationException", "EncryptionContext has 8193 bytes; it can have at most 8192."):
            use()


def test_any_changed_byte_of_a_ciphertext_is_noticed(account):
    key_id = account.create_key()["KeyId"]
    blob = account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"]
    for position in range(len(blob)):
        changed = bytearray(blob)
        changed[position] ^= 1 << (position % 8)
        # A changed key id names some other key, which is absent: AWS tells no difference from one out of reach.
        with pytest.raises(account.kms.exceptions.ClientError) as caught:
            account.kms.decrypt(CiphertextBlob=bytes(changed))
        error = caught.value.response["Error"]
        if error["Code"] == "AccessDeniedException":
            assert error["Message"].endswith(OUT_OF_REACH)
        else:
            assert (error["Code"], error["Message"]) == ("InvalidCiphertextException", "")


def test_a_cut_or_lengthened_ciphertext_is_noticed(account, chance):
    key_id = account.create_key()["KeyId"]
    blob = account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"]
    for changed in [blob[:-1], blob[1:], blob + b"\0", blob[:1], blob[: len(blob) // 2], blob * 2, b"\0" * 6144]:
        with refused("InvalidCiphertextException", ""):
            account.kms.decrypt(CiphertextBlob=changed)
    for _ in range(50):
        with refused("InvalidCiphertextException", ""):
            account.kms.decrypt(CiphertextBlob=chance.randbytes(chance.randrange(1, 400)))


def test_ciphertext_length_is_bounded(account):
    for blob, rule in [(b"", "greater than or equal to 1"), (b"x" * 6145, "less than or equal to 6144")]:
        with refused("ValidationException", violation(None, "ciphertextBlob", f"Member must have length {rule}")):
            account.kms.decrypt(CiphertextBlob=blob)


def test_decrypt_with_another_key(aws, key):
    other = aws.create_key()
    blob = aws.kms.encrypt(KeyId=key["KeyId"], Plaintext=PLAINTEXT)["CiphertextBlob"]
    with refused("IncorrectKeyException", INCORRECT_KEY):
        aws.kms.decrypt(CiphertextBlob=blob, KeyId=other["KeyId"])
    with refused("IncorrectKeyException", INCORRECT_KEY):
        aws.kms.re_encrypt(CiphertextBlob=blob, SourceKeyId=other["Arn"], DestinationKeyId=key["KeyId"])
    with refused("NotFoundException", f"Key '{aws.key_arn(ABSENT_ID)}' does not exist"):
        aws.kms.decrypt(CiphertextBlob=blob, KeyId=ABSENT_ID)


def test_a_foreign_ciphertext_does_not_open(account, other_account):
    blob = other_account.kms.encrypt(KeyId=other_account.create_key()["KeyId"], Plaintext=PLAINTEXT)["CiphertextBlob"]
    with refused("AccessDeniedException") as caught:
        account.kms.decrypt(CiphertextBlob=blob)
    message = caught.value.response["Error"]["Message"]
    action = "kms:Decrypt on the resource associated with this ciphertext"
    head = f"User: {account.root} is not authorized to perform: {action}"
    assert message.startswith(f"{head} because "), message


def test_a_ciphertext_of_another_region_does_not_open(account):
    elsewhere = account.in_region("us-west-2")
    blob = elsewhere.kms.encrypt(KeyId=elsewhere.create_key()["KeyId"], Plaintext=PLAINTEXT)["CiphertextBlob"]
    assert elsewhere.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT
    with pytest.raises(account.kms.exceptions.ClientError) as caught:
        account.kms.decrypt(CiphertextBlob=blob)
    assert caught.value.response["Error"]["Code"] in ("InvalidCiphertextException", "AccessDeniedException")


def test_re_encrypt(aws, key):
    target = aws.create_key()
    sealed = aws.kms.encrypt(KeyId=key["KeyId"], Plaintext=PLAINTEXT, EncryptionContext=CONTEXT)["CiphertextBlob"]
    answer = aws.kms.re_encrypt(
        CiphertextBlob=sealed,
        SourceEncryptionContext=CONTEXT,
        DestinationKeyId=target["KeyId"],
        DestinationEncryptionContext={"tenant": "green"},
    )
    assert answer["SourceKeyId"] == key["Arn"] and answer["KeyId"] == target["Arn"]
    assert answer["SourceEncryptionAlgorithm"] == answer["DestinationEncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    assert answer["SourceKeyMaterialId"] == key["CurrentKeyMaterialId"]
    assert answer["DestinationKeyMaterialId"] == target["CurrentKeyMaterialId"]
    opened = aws.kms.decrypt(CiphertextBlob=answer["CiphertextBlob"], EncryptionContext={"tenant": "green"})
    assert opened["Plaintext"] == PLAINTEXT and opened["KeyId"] == target["Arn"]
    with refused("InvalidCiphertextException", ""):
        aws.kms.re_encrypt(CiphertextBlob=sealed, DestinationKeyId=target["KeyId"])
    with refused("NotFoundException", f"Key '{aws.key_arn(ABSENT_ID)}' does not exist"):
        aws.kms.re_encrypt(CiphertextBlob=sealed, SourceEncryptionContext=CONTEXT, DestinationKeyId=ABSENT_ID)


def test_re_encrypt_under_the_same_key_changes_the_context(aws, key):
    sealed = aws.kms.encrypt(KeyId=key["KeyId"], Plaintext=PLAINTEXT)["CiphertextBlob"]
    again = aws.kms.re_encrypt(
        CiphertextBlob=sealed, DestinationKeyId=key["KeyId"], DestinationEncryptionContext=CONTEXT
    )["CiphertextBlob"]
    assert again != sealed
    assert aws.kms.decrypt(CiphertextBlob=again, EncryptionContext=CONTEXT)["Plaintext"] == PLAINTEXT


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        ({"KeySpec": "AES_128"}, 16),
        ({"KeySpec": "AES_256"}, 32),
        ({"NumberOfBytes": 1}, 1),
        ({"NumberOfBytes": 64}, 64),
        ({"NumberOfBytes": 1024}, 1024),
    ],
)
def test_data_keys(aws, key, asked, size):
    made = aws.kms.generate_data_key(KeyId=key["KeyId"], EncryptionContext=CONTEXT, **asked)
    assert made["KeyId"] == key["Arn"] and made["KeyMaterialId"] == key["CurrentKeyMaterialId"]
    assert len(made["Plaintext"]) == size and "CiphertextForRecipient" not in made
    opened = aws.kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=CONTEXT)
    assert opened["Plaintext"] == made["Plaintext"]

    hidden = aws.kms.generate_data_key_without_plaintext(KeyId=key["KeyId"], EncryptionContext=CONTEXT, **asked)
    assert "Plaintext" not in hidden
    assert hidden["KeyId"] == key["Arn"] and hidden["KeyMaterialId"] == key["CurrentKeyMaterialId"]
    opened = aws.kms.decrypt(CiphertextBlob=hidden["CiphertextBlob"], EncryptionContext=CONTEXT)
    assert len(opened["Plaintext"]) == size


@pytest.mark.parametrize("method", ["generate_data_key", "generate_data_key_without_plaintext"])
def test_a_data_key_needs_exactly_one_size(account, method):
    key_id = account.create_key()["KeyId"]
    for asked in ({}, {"KeySpec": "AES_256", "NumberOfBytes": 32}):
        with refused("ValidationException", "Please specify either number of bytes or key spec."):
            getattr(account.kms, method)(KeyId=key_id, **asked)
    for number, rule in [(0, "greater than or equal to 1"), (1025, "less than or equal to 1024")]:
        with refused("ValidationException", violation(number, "numberOfBytes", f"Member must have value {rule}")):
            getattr(account.kms, method)(KeyId=key_id, NumberOfBytes=number)
    with refused("ValidationException") as caught:
        getattr(account.kms, method)(KeyId=key_id, KeySpec="AES_192")
    text = caught.value.response["Error"]["Message"]
    assert re.fullmatch(
        re.escape(violation("AES_192", "keySpec", "Member must satisfy enum value set: ["))
        + r"(AES_256, AES_128|AES_128, AES_256)\]",
        text,
    )


def test_random_bytes(aws):
    for size in (1, 32, 1024):
        answer = aws.kms.generate_random(NumberOfBytes=size)
        assert len(answer["Plaintext"]) == size and "CiphertextForRecipient" not in answer
    assert (
        aws.kms.generate_random(NumberOfBytes=32)["Plaintext"] != aws.kms.generate_random(NumberOfBytes=32)["Plaintext"]
    )


def test_random_refusals(account):
    with refused("ValidationException", "NumberOfBytes is required."):
        account.kms.generate_random()
    for number, rule in [(0, "greater than or equal to 1"), (1025, "less than or equal to 1024")]:
        with refused("ValidationException", violation(number, "numberOfBytes", f"Member must have value {rule}")):
            account.kms.generate_random(NumberOfBytes=number)


def test_blobs_are_base64(account):
    key_id = account.create_key()["KeyId"]
    answer = account.signed("Encrypt", {"KeyId": key_id, "Plaintext": base64.b64encode(PLAINTEXT).decode()})
    blob = base64.b64decode(answer.json["CiphertextBlob"], validate=True)
    opened = account.signed("Decrypt", {"CiphertextBlob": base64.b64encode(blob).decode()})
    assert base64.b64decode(opened.json["Plaintext"], validate=True) == PLAINTEXT


def test_errors_without_a_text_have_no_message_member(account):
    answer = account.signed("Decrypt", {"CiphertextBlob": base64.b64encode(b"x" * 200).decode()})
    assert answer.status == 400 and answer.json == {"__type": "InvalidCiphertextException"}
    assert answer.headers["content-type"] == "application/x-amz-json-1.1"
    assert answer.headers["x-amzn-requestid"]


def test_grant_tokens_are_checked(account):
    """What is no token of ours is refused, not ignored."""
    key_id = account.create_key()["KeyId"]
    with refused("InvalidGrantTokenException"):
        account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT, GrantTokens=["bm90IGEgdG9rZW4="])
    account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT, GrantTokens=[])
    with refused("ValidationException"):
        account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT, GrantTokens=["t"] * 11)
    with refused("ValidationException"):
        account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT, GrantTokens=[""])
