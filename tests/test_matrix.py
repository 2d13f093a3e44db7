"""Every operation on every kind of key with every algorithm and message type: it works, or gives AWS's error.

What should happen is support/interface.py, transcribed from the reference. What works is checked from outside by an
independent implementation (support/outside.py) wherever the public key suffices for that."""

import os
import pathlib
import re

import botocore.exceptions
import botocore.session
import pytest
from cryptography.hazmat.primitives.asymmetric import utils
from support import interface, matrix_text
from support.aws import refused, violation
from support.interface import KINDS, OPERATIONS, SYMMETRIC, Kind
from support.keyring import creation_options
from support.outside import CURVES, RSA_BITS, Outside, Pair

DOCUMENT = pathlib.Path(__file__).resolve().parents[1] / "docs" / "MATRIX.md"
MODEL = botocore.session.get_session().get_service_model("kms")
MESSAGES = [b"m", bytes(range(256)) * 16]
SIGNATURE_BYTES = {"ECC_NIST_EDWARDS25519": 64, "ML_DSA_44": 2420, "ML_DSA_65": 3309, "ML_DSA_87": 4627}


def members(answer):
    return set(answer) - {"ResponseMetadata"}


def cells():
    return [pytest.param(op, kind, id=f"{op.name}-{kind}") for op in OPERATIONS.values() for kind in KINDS]


@pytest.mark.parametrize(("operation", "kind"), cells())
def test_cells(keys, operation, kind):
    """One row of cells; all of them are tried, so that a failure shows every cell that is wrong."""
    wrong = []
    for cell in operation.cells(kind):
        try:
            check(keys, cell)
        except (AssertionError, botocore.exceptions.ClientError, pytest.fail.Exception) as error:
            wrong.append(f"{cell.choice} {cell.message_type or ''}: {error}")
    assert not wrong, "\n".join(wrong)


def check(keys, cell):
    outcome = cell.outcome()
    if outcome.code is None:
        WORKS[cell.operation.name](keys, cell.kind, cell.choice, cell.message_type)
        return
    with refused(outcome.code) as caught:
        call(keys, cell)
    if outcome.text:
        text = re.escape(outcome.text.replace("<key ARN>", keys.key(cell.kind)["Arn"]))
        # Which of its two actions ReEncrypt names is not known.
        text = re.sub("ReEncrypt(From|To)", "ReEncrypt(From|To)?", text)
        assert re.fullmatch(text, caught.value.response["Error"]["Message"]), caught.value


def call(keys, cell):
    """The operation with input in which nothing is wrong but what the cell varies."""
    kms, key_id, choice = keys.kms, keys.id(cell.kind), cell.choice
    message = bytes(interface.DIGEST_BYTES.get(choice, interface.MU_BYTES))
    signing = {"KeyId": key_id, "Message": message, "MessageType": cell.message_type, "SigningAlgorithm": choice}
    ciphertext = some_ciphertext(keys, cell.kind)
    calls = {
        "Encrypt": lambda: kms.encrypt(KeyId=key_id, Plaintext=b"x", EncryptionAlgorithm=choice),
        "Decrypt": lambda: kms.decrypt(KeyId=key_id, CiphertextBlob=ciphertext, EncryptionAlgorithm=choice),
        "ReEncryptFrom": lambda: kms.re_encrypt(
            SourceKeyId=key_id,
            CiphertextBlob=ciphertext,
            SourceEncryptionAlgorithm=choice,
            DestinationKeyId=keys.id(SYMMETRIC),
        ),
        "ReEncryptTo": lambda: kms.re_encrypt(
            CiphertextBlob=some_ciphertext(keys, SYMMETRIC),
            DestinationKeyId=key_id,
            DestinationEncryptionAlgorithm=choice,
        ),
        "GenerateDataKey": lambda: kms.generate_data_key(KeyId=key_id, KeySpec=choice),
        "GenerateDataKeyWithoutPlaintext": lambda: kms.generate_data_key_without_plaintext(
            KeyId=key_id, KeySpec=choice
        ),
        "GenerateDataKeyPair": lambda: kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec=choice),
        "GenerateDataKeyPairWithoutPlaintext": lambda: kms.generate_data_key_pair_without_plaintext(
            KeyId=key_id, KeyPairSpec=choice
        ),
        "Sign": lambda: kms.sign(**signing),
        "Verify": lambda: kms.verify(**signing, Signature=b"s" * 64),
        "GenerateMac": lambda: kms.generate_mac(KeyId=key_id, Message=b"m", MacAlgorithm=choice),
        "VerifyMac": lambda: kms.verify_mac(
            KeyId=key_id, Message=b"m", MacAlgorithm=choice, Mac=bytes(interface.MAC_BYTES[choice])
        ),
        "DeriveSharedSecret": lambda: kms.derive_shared_secret(
            KeyId=key_id,
            KeyAgreementAlgorithm=choice,
            PublicKey=keys.outside("ECC_NIST_P256", "KEY_AGREEMENT").agree()[0],
        ),
        "Encapsulate": lambda: kms.encapsulate(KeyId=key_id, EncapsulationAlgorithm=choice),
        "Decapsulate": lambda: kms.decapsulate(
            KeyId=key_id, EncapsulationAlgorithm=choice, SharedSecretCiphertextBlob=bytes(768)
        ),
        "GetPublicKey": lambda: kms.get_public_key(KeyId=key_id),
    }
    return calls[cell.operation.name]()


def some_ciphertext(keys, kind):
    """A ciphertext of the key, or bytes of a plausible length if it is no key for encryption."""
    if kind.usage != "ENCRYPT_DECRYPT":
        return bytes(256)
    sealed = keys.kms.encrypt(KeyId=keys.id(kind), Plaintext=b"x", EncryptionAlgorithm=kind.algorithms[0])
    return sealed["CiphertextBlob"]


def sizes(kind, algorithm):
    return (1, interface.PLAINTEXT_LIMIT[kind.spec, algorithm])


def encrypt(keys, kind, algorithm, _):
    for size in sizes(kind, algorithm):
        plaintext = os.urandom(size)
        sealed = keys.kms.encrypt(KeyId=keys.id(kind), Plaintext=plaintext, EncryptionAlgorithm=algorithm)
        assert members(sealed) == {"CiphertextBlob", "KeyId", "EncryptionAlgorithm"}
        assert (sealed["KeyId"], sealed["EncryptionAlgorithm"]) == (keys.key(kind)["Arn"], algorithm)
        blob = sealed["CiphertextBlob"]
        if kind.spec in RSA_BITS:
            assert len(blob) == RSA_BITS[kind.spec] // 8
        opened = keys.kms.decrypt(KeyId=keys.id(kind), CiphertextBlob=blob, EncryptionAlgorithm=algorithm)
        assert opened["Plaintext"] == plaintext


def encrypted_outside(keys, kind, algorithm, plaintext):
    if kind == SYMMETRIC:
        return keys.kms.encrypt(KeyId=keys.id(kind), Plaintext=plaintext)["CiphertextBlob"]
    return keys.outside(kind).encrypt(algorithm, plaintext)


def decrypt(keys, kind, algorithm, _):
    for size in sizes(kind, algorithm):
        plaintext = os.urandom(size)
        blob = encrypted_outside(keys, kind, algorithm, plaintext)
        opened = keys.kms.decrypt(KeyId=keys.id(kind), CiphertextBlob=blob, EncryptionAlgorithm=algorithm)
        material = {"KeyMaterialId"} if kind == SYMMETRIC else set()
        assert members(opened) == {"KeyId", "Plaintext", "EncryptionAlgorithm"} | material
        assert (opened["KeyId"], opened["EncryptionAlgorithm"]) == (keys.key(kind)["Arn"], algorithm)
        assert opened["Plaintext"] == plaintext


def re_encrypt_from(keys, kind, algorithm, _):
    blob = encrypted_outside(keys, kind, algorithm, b"moved")
    moved = keys.kms.re_encrypt(
        SourceKeyId=keys.id(kind),
        CiphertextBlob=blob,
        SourceEncryptionAlgorithm=algorithm,
        DestinationKeyId=keys.id(SYMMETRIC),
    )
    assert (moved["SourceKeyId"], moved["KeyId"]) == (keys.key(kind)["Arn"], keys.key(SYMMETRIC)["Arn"])
    assert moved["SourceEncryptionAlgorithm"] == algorithm
    assert moved["DestinationEncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    assert moved["DestinationKeyMaterialId"] == keys.key(SYMMETRIC)["CurrentKeyMaterialId"]
    assert ("SourceKeyMaterialId" in moved) == (kind == SYMMETRIC)
    assert keys.kms.decrypt(CiphertextBlob=moved["CiphertextBlob"])["Plaintext"] == b"moved"


def re_encrypt_to(keys, kind, algorithm, _):
    for size in sizes(kind, algorithm):
        plaintext = os.urandom(size)
        moved = keys.kms.re_encrypt(
            CiphertextBlob=keys.kms.encrypt(KeyId=keys.id(SYMMETRIC), Plaintext=plaintext)["CiphertextBlob"],
            DestinationKeyId=keys.id(kind),
            DestinationEncryptionAlgorithm=algorithm,
        )
        assert (moved["SourceKeyId"], moved["KeyId"]) == (keys.key(SYMMETRIC)["Arn"], keys.key(kind)["Arn"])
        assert moved["SourceEncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
        assert moved["DestinationEncryptionAlgorithm"] == algorithm
        assert ("DestinationKeyMaterialId" in moved) == (kind == SYMMETRIC)
        blob = moved["CiphertextBlob"]
        opened = keys.kms.decrypt(KeyId=keys.id(kind), CiphertextBlob=blob, EncryptionAlgorithm=algorithm)
        assert opened["Plaintext"] == plaintext


def data_key(keys, kind, key_spec, _):
    made = keys.kms.generate_data_key(KeyId=keys.id(kind), KeySpec=key_spec)
    assert members(made) == {"CiphertextBlob", "Plaintext", "KeyId", "KeyMaterialId"}
    assert len(made["Plaintext"]) == interface.DATA_KEY_BYTES[key_spec]
    assert keys.kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]


def data_key_without_plaintext(keys, kind, key_spec, _):
    made = keys.kms.generate_data_key_without_plaintext(KeyId=keys.id(kind), KeySpec=key_spec)
    assert members(made) == {"CiphertextBlob", "KeyId", "KeyMaterialId"}
    opened = keys.kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"]
    assert len(opened) == interface.DATA_KEY_BYTES[key_spec]


def data_key_pair(keys, kind, pair_spec, _):
    made = keys.kms.generate_data_key_pair(KeyId=keys.id(kind), KeyPairSpec=pair_spec)
    common = {"PrivateKeyCiphertextBlob", "PublicKey", "KeyId", "KeyPairSpec", "KeyMaterialId"}
    assert members(made) == common | {"PrivateKeyPlaintext"}
    assert (made["KeyId"], made["KeyPairSpec"]) == (keys.key(kind)["Arn"], pair_spec)
    assert Pair(pair_spec, made["PublicKey"], made["PrivateKeyPlaintext"]).works()


def data_key_pair_without_plaintext(keys, kind, pair_spec, _):
    made = keys.kms.generate_data_key_pair_without_plaintext(KeyId=keys.id(kind), KeyPairSpec=pair_spec)
    assert members(made) == {"PrivateKeyCiphertextBlob", "PublicKey", "KeyId", "KeyPairSpec", "KeyMaterialId"}
    private = keys.kms.decrypt(CiphertextBlob=made["PrivateKeyCiphertextBlob"])["Plaintext"]
    assert Pair(pair_spec, made["PublicKey"], private).works()


def sign(keys, kind, algorithm, message_type):
    outside = keys.outside(kind)
    for message in MESSAGES:
        sent = outside.message(algorithm, message_type, message)
        made = keys.kms.sign(KeyId=keys.id(kind), Message=sent, MessageType=message_type, SigningAlgorithm=algorithm)
        assert members(made) == {"KeyId", "Signature", "SigningAlgorithm"}
        assert (made["KeyId"], made["SigningAlgorithm"]) == (keys.key(kind)["Arn"], algorithm)
        assert outside.verifies(algorithm, message_type, sent, made["Signature"])
        assert not outside.verifies(algorithm, message_type, bytes([sent[0] ^ 1]) + sent[1:], made["Signature"])
        # Which form the message had cannot be seen in the signature, but for Ed25519ph, where there is one form only.
        if algorithm != "ED25519_PH_SHA_512":
            assert outside.verifies(algorithm, "RAW", message, made["Signature"])
        well_formed(kind.spec, made["Signature"])


def well_formed(spec, signature):
    if spec in CURVES:
        # DER in its one form, with numbers below the order.
        assert utils.encode_dss_signature(*utils.decode_dss_signature(signature)) == signature
    elif spec in RSA_BITS:
        assert len(signature) == RSA_BITS[spec] // 8
    else:
        assert len(signature) == SIGNATURE_BYTES[spec]


def verify(keys, kind, algorithm, message_type):
    outside = keys.outside(kind)
    for message in MESSAGES:
        sent = outside.message(algorithm, message_type, message)
        common = {"KeyId": keys.id(kind), "MessageType": message_type, "SigningAlgorithm": algorithm}
        signature = keys.kms.sign(Message=sent, **common)["Signature"]
        answer = keys.kms.verify(Message=sent, Signature=signature, **common)
        assert members(answer) == {"KeyId", "SignatureValid", "SigningAlgorithm"}
        assert answer["SignatureValid"] is True
        assert (answer["KeyId"], answer["SigningAlgorithm"]) == (keys.key(kind)["Arn"], algorithm)
        altered = bytes([sent[0] ^ 1]) + sent[1:]
        with refused("KMSInvalidSignatureException", ""):
            keys.kms.verify(Message=altered, Signature=signature, **common)
        for other in interface.MESSAGE_TYPES:
            if interface.takes(algorithm, other):
                again = outside.message(algorithm, other, message)
                answer = keys.kms.verify(Message=again, Signature=signature, **{**common, "MessageType": other})
                assert answer["SignatureValid"] is True


def generate_mac(keys, kind, algorithm, _):
    found = set()
    for message in MESSAGES:
        made = [keys.kms.generate_mac(KeyId=keys.id(kind), Message=message, MacAlgorithm=algorithm) for _ in range(2)]
        assert members(made[0]) == {"Mac", "MacAlgorithm", "KeyId"}
        assert (made[0]["KeyId"], made[0]["MacAlgorithm"]) == (keys.key(kind)["Arn"], algorithm)
        assert made[0]["Mac"] == made[1]["Mac"] and len(made[0]["Mac"]) == interface.MAC_BYTES[algorithm]
        found.add(made[0]["Mac"])
    assert len(found) == len(MESSAGES)


def verify_mac(keys, kind, algorithm, _):
    for message in MESSAGES:
        common = {"KeyId": keys.id(kind), "MacAlgorithm": algorithm}
        mac = keys.kms.generate_mac(Message=message, **common)["Mac"]
        answer = keys.kms.verify_mac(Message=message, Mac=mac, **common)
        assert members(answer) == {"KeyId", "MacValid", "MacAlgorithm"} and answer["MacValid"] is True
        assert (answer["KeyId"], answer["MacAlgorithm"]) == (keys.key(kind)["Arn"], algorithm)
        for wrong in (mac[:-1] + bytes([mac[-1] ^ 1]), mac[:-1], mac + b"\0", mac[:1], bytes(len(mac))):
            with refused("KMSInvalidMacException", ""):
                keys.kms.verify_mac(Message=message, Mac=wrong, **common)


def derive(keys, kind, algorithm, _):
    public, secret = keys.outside(kind).agree()
    answer = keys.kms.derive_shared_secret(KeyId=keys.id(kind), KeyAgreementAlgorithm=algorithm, PublicKey=public)
    assert members(answer) == {"KeyId", "SharedSecret", "KeyAgreementAlgorithm", "KeyOrigin"}
    assert (answer["KeyId"], answer["KeyAgreementAlgorithm"]) == (keys.key(kind)["Arn"], algorithm)
    assert answer["KeyOrigin"] == "AWS_KMS"
    assert answer["SharedSecret"] == secret and len(secret) == interface.AGREED_BYTES[kind.spec]


def encapsulate(keys, kind, algorithm, _):
    made = keys.kms.encapsulate(KeyId=keys.id(kind), EncapsulationAlgorithm=algorithm)
    assert members(made) == {"KeyId", "SharedSecret", "SharedSecretCiphertextBlob", "EncapsulationAlgorithm"}
    assert (made["KeyId"], made["EncapsulationAlgorithm"]) == (keys.key(kind)["Arn"], algorithm)
    assert len(made["SharedSecret"]) == interface.KEM_SECRET_BYTES
    blob = made["SharedSecretCiphertextBlob"]
    assert len(blob) == interface.KEM_CIPHERTEXT_BYTES[kind.spec]
    opened = keys.kms.decapsulate(
        KeyId=keys.id(kind), EncapsulationAlgorithm=algorithm, SharedSecretCiphertextBlob=blob
    )
    assert opened["SharedSecret"] == made["SharedSecret"]


def decapsulate(keys, kind, algorithm, _):
    secret, blob = keys.outside(kind).encapsulate()
    opened = keys.kms.decapsulate(
        KeyId=keys.id(kind), EncapsulationAlgorithm=algorithm, SharedSecretCiphertextBlob=blob
    )
    assert members(opened) == {"KeyId", "SharedSecret", "EncapsulationAlgorithm"}
    assert (opened["KeyId"], opened["EncapsulationAlgorithm"]) == (keys.key(kind)["Arn"], algorithm)
    assert opened["SharedSecret"] == secret


def public_key(keys, kind, *_):
    answer = keys.kms.get_public_key(KeyId=keys.id(kind))
    listed = interface.ALGORITHM_LIST[kind.usage]
    answered = {"KeyId", "PublicKey", "KeySpec", "KeyUsage", listed}
    assert members(answer) - {"CustomerMasterKeySpec"} == answered
    # AWS's enumeration of the deprecated member lacks the newest specs; what it answers for those is not known.
    assert answer.get("CustomerMasterKeySpec", kind.spec) == kind.spec
    if kind.spec in MODEL.shape_for("CustomerMasterKeySpec").enum:
        assert "CustomerMasterKeySpec" in answer
    assert (answer["KeyId"], answer["KeySpec"], answer["KeyUsage"]) == (keys.key(kind)["Arn"], kind.spec, kind.usage)
    assert sorted(answer[listed]) == sorted(kind.algorithms)
    assert Outside(kind.spec, answer["PublicKey"]).spki == keys.outside(kind).spki


WORKS = {
    "Encrypt": encrypt,
    "Decrypt": decrypt,
    "ReEncryptFrom": re_encrypt_from,
    "ReEncryptTo": re_encrypt_to,
    "GenerateDataKey": data_key,
    "GenerateDataKeyWithoutPlaintext": data_key_without_plaintext,
    "GenerateDataKeyPair": data_key_pair,
    "GenerateDataKeyPairWithoutPlaintext": data_key_pair_without_plaintext,
    "Sign": sign,
    "Verify": verify,
    "GenerateMac": generate_mac,
    "VerifyMac": verify_mac,
    "DeriveSharedSecret": derive,
    "Encapsulate": encapsulate,
    "Decapsulate": decapsulate,
    "GetPublicKey": public_key,
}


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_describe_key(keys, kind):
    described = keys.account.metadata(keys.id(kind))
    assert described == keys.key(kind)
    assert (described["KeySpec"], described["KeyUsage"]) == (kind.spec, kind.usage)
    assert described.get("CustomerMasterKeySpec", kind.spec) == kind.spec
    if kind.spec in MODEL.shape_for("CustomerMasterKeySpec").enum:
        assert "CustomerMasterKeySpec" in described
    lists = {name for name in described if name.endswith("Algorithms")}
    assert lists == {interface.ALGORITHM_LIST[kind.usage]}
    assert sorted(described[lists.pop()]) == sorted(kind.algorithms)
    assert ("CurrentKeyMaterialId" in described) == (kind == SYMMETRIC)
    assert described["KeyState"] == "Enabled" and described["Origin"] == "AWS_KMS"


@pytest.mark.parametrize("usage", [*interface.USAGES, None])
@pytest.mark.parametrize("spec", [*interface.SPECS, *interface.REFUSED_SPECS])
def test_create_key(account, spec, usage):
    """All pairs; those that work are made in the key ring, and checked by test_describe_key."""
    outcome = interface.creation(spec, usage)
    if outcome.code is None and usage is not None:
        assert Kind(spec, usage) in KINDS
        return
    options = {"KeySpec": spec, **({"KeyUsage": usage} if usage else {})}
    if outcome.code is None:
        assert account.create_key(**options)["KeyUsage"] == "ENCRYPT_DECRYPT"
        return
    with refused(outcome.code, outcome.text):
        account.create_key(**options)
    assert account.kms.list_keys()["Keys"] == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.spec.startswith("RSA_4096")], ids=str)
def test_the_deprecated_name_of_the_spec(account, kind):
    options = {"CustomerMasterKeySpec": kind.spec, "KeyUsage": kind.usage}
    if kind.spec not in MODEL.shape_for("CustomerMasterKeySpec").enum:
        with refused("ValidationException") as caught:
            account.create_key(**options)
        head = violation(kind.spec, "customerMasterKeySpec", "Member must satisfy enum value set: [")
        assert caught.value.response["Error"]["Message"].startswith(head)
        return
    made = account.create_key(**options)
    assert made["KeySpec"] == made["CustomerMasterKeySpec"] == kind.spec
    text = (
        "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated."
    )
    with refused("ValidationException", text):
        account.create_key(KeySpec=kind.spec, **options)


SIGNERS = [
    pytest.param(kind, algorithm, id=f"{kind.spec}-{algorithm}")
    for kind in KINDS
    if kind.usage == "SIGN_VERIFY"
    for algorithm in kind.algorithms
]


@pytest.mark.parametrize(("kind", "algorithm"), [s for s in SIGNERS if "ED25519_SHA_512" not in s.values])
def test_digests_have_the_length_of_the_hash(keys, kind, algorithm):
    """And an external mu has 64 bytes."""
    message_type = "EXTERNAL_MU" if algorithm == "ML_DSA_SHAKE_256" else "DIGEST"
    right = interface.DIGEST_BYTES.get(algorithm, interface.MU_BYTES)
    text = f"Digest is invalid length for algorithm {algorithm}." if message_type == "DIGEST" else None
    common = {"KeyId": keys.id(kind), "MessageType": message_type, "SigningAlgorithm": algorithm}
    for size in {1, 20, 28, 32, 48, 64, 65, right - 1, right + 1, 4096} - {right}:
        with refused("ValidationException", text):
            keys.kms.sign(Message=bytes(size), **common)
        with refused("ValidationException", text):
            keys.kms.verify(Message=bytes(size), Signature=b"s" * 64, **common)


@pytest.mark.parametrize(("kind", "algorithm"), SIGNERS)
def test_the_message_type_is_raw_by_default(keys, kind, algorithm):
    common = {"KeyId": keys.id(kind), "Message": b"m" * 64, "SigningAlgorithm": algorithm}
    if not interface.takes(algorithm, "RAW"):
        with refused("ValidationException"):
            keys.kms.sign(**common)
        return
    signature = keys.kms.sign(**common)["Signature"]
    assert keys.outside(kind).verifies(algorithm, "RAW", b"m" * 64, signature)
    assert keys.kms.verify(Signature=signature, **common)["SignatureValid"] is True
    assert keys.kms.verify(Signature=signature, MessageType="RAW", **common)["SignatureValid"] is True


def test_messages_have_1_to_4096_bytes(keys):
    """A violation of the model: it comes before anything about the key is looked at."""
    signing = {"KeyId": keys.id("ECC_NIST_P256", "SIGN_VERIFY"), "SigningAlgorithm": "ECDSA_SHA_256"}
    mac = {"KeyId": keys.id("HMAC_256", "GENERATE_VERIFY_MAC"), "MacAlgorithm": "HMAC_SHA_256"}
    rules = {
        b"": "Member must have length greater than or equal to 1",
        bytes(4097): "Member must have length less than or equal to 4096",
    }
    for message, rule in rules.items():
        for perform in [
            lambda m: keys.kms.sign(Message=m, **signing),
            lambda m: keys.kms.sign(Message=m, MessageType="DIGEST", **signing),
            lambda m: keys.kms.verify(Message=m, Signature=b"s" * 64, **signing),
            lambda m: keys.kms.generate_mac(Message=m, **mac),
            lambda m: keys.kms.verify_mac(Message=m, Mac=b"m" * 32, **mac),
            lambda m: keys.kms.sign(Message=m, **{**signing, "KeyId": keys.id(SYMMETRIC)}),
        ]:
            with refused("ValidationException", violation(None, "message", rule)):
                perform(message)


@pytest.mark.parametrize(
    ("operation", "member", "path"),
    [
        ("sign", "SigningAlgorithm", "signingAlgorithm"),
        ("sign", "MessageType", "messageType"),
        ("generate_mac", "MacAlgorithm", "macAlgorithm"),
        ("derive_shared_secret", "KeyAgreementAlgorithm", "keyAgreementAlgorithm"),
        ("encapsulate", "EncapsulationAlgorithm", "encapsulationAlgorithm"),
        ("generate_data_key_pair", "KeyPairSpec", "keyPairSpec"),
    ],
)
def test_what_is_no_algorithm_at_all_violates_the_model(keys, operation, member, path):
    arguments = {
        "sign": {"Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"},
        "generate_mac": {"Message": b"m"},
        "derive_shared_secret": {"PublicKey": b"k"},
    }.get(operation, {})
    with refused("ValidationException") as caught:
        getattr(keys.kms, operation)(**{"KeyId": keys.id(SYMMETRIC), **arguments, member: "INVALID"})
    text = caught.value.response["Error"]["Message"]
    head = violation("INVALID", path, "Member must satisfy enum value set: [")
    assert text.startswith(head) and text.endswith("]")
    shape = MODEL.operation_model(botocore_name(operation)).input_shape.members[member]
    assert set(text[len(head) : -1].split(", ")) == set(shape.enum)


def botocore_name(method):
    return next(name for name in MODEL.operation_names if botocore.xform_name(name) == method)


def test_the_transcription_names_what_the_model_has():
    """A spec or algorithm of the pinned model that nobody transcribed would go untested."""
    enums = {
        "KeySpec": {*interface.SPECS, *interface.REFUSED_SPECS},
        "KeyUsageType": set(interface.USAGES),
        "EncryptionAlgorithmSpec": set(interface.ENCRYPTION_ALGORITHMS),
        "SigningAlgorithmSpec": set(interface.SIGNING_ALGORITHMS),
        "MacAlgorithmSpec": set(interface.MAC_BYTES),
        "KeyAgreementAlgorithmSpec": {"ECDH"},
        "EncapsulationAlgorithmSpec": {"ML_KEM"},
        "MessageType": set(interface.MESSAGE_TYPES),
        "DataKeySpec": set(interface.DATA_KEY_BYTES),
        "DataKeyPairSpec": {*interface.DATA_KEY_PAIR_SPECS, "SM2"},
    }
    for shape, transcribed in enums.items():
        assert set(MODEL.shape_for(shape).enum) == transcribed, shape
    used = {algorithm for kind in KINDS for algorithm in kind.algorithms}
    offered = {choice for operation in OPERATIONS.values() for choice in operation.choices}
    assert used <= offered and not used & set(interface.SM2_ALGORITHMS)
    assert all(creation_options(kind) for kind in KINDS if kind != SYMMETRIC)


def test_the_document_is_what_the_matrix_prints():
    printed = matrix_text.text()
    if "CLAVIGER_TEST_WRITE_MATRIX" in os.environ:
        DOCUMENT.write_text(printed)
    assert DOCUMENT.read_text() == printed
