"""GenerateDataKeyPair and GenerateDataKeyPairWithoutPlaintext for every spec that the interface offers."""

import concurrent.futures
import threading

import pytest
from support import interface
from support.aws import must_not_be_null, refused, violation
from support.interface import KINDS, SYMMETRIC
from support.outside import Pair

METHODS = ["generate_data_key_pair", "generate_data_key_pair_without_plaintext"]
CONTEXT = {"tenant": "blue", "purpose": "test"}
# Lengths of the public and of the private key in DER; None where it varies by leading bits.
LENGTHS = {
    "RSA_2048": (294, None),
    "RSA_3072": (422, None),
    "RSA_4096": (550, None),
    "ECC_NIST_P256": (91, 138),
    "ECC_NIST_P384": (120, 185),
    "ECC_NIST_P521": (158, 241),
    "ECC_SECG_P256K1": (88, 135),
    "ECC_NIST_EDWARDS25519": (44, 48),
    "ML_KEM_512": (822, 86),
    "ML_KEM_768": (1206, 86),
    "ML_KEM_1024": (1590, 86),
}


@pytest.fixture
def key(aws):
    return aws.create_key()


@pytest.mark.parametrize("spec", interface.DATA_KEY_PAIR_SPECS)
def test_a_pair(aws, key, spec):
    made = aws.kms.generate_data_key_pair(KeyId=key["KeyId"], KeyPairSpec=spec, EncryptionContext=CONTEXT)
    assert set(made) - {"ResponseMetadata"} == {
        *("PrivateKeyCiphertextBlob", "PrivateKeyPlaintext", "PublicKey", "KeyId", "KeyPairSpec", "KeyMaterialId")
    }
    assert (made["KeyId"], made["KeyPairSpec"]) == (key["Arn"], spec)
    assert made["KeyMaterialId"] == key["CurrentKeyMaterialId"]
    pair = Pair(spec, made["PublicKey"], made["PrivateKeyPlaintext"])
    assert pair.works()
    # PKCS #8 version 1 has one DER form of these keys, which the library writes too.
    assert pair.rewritten() == pair.pkcs8
    public_bytes, private_bytes = LENGTHS[spec]
    assert len(made["PublicKey"]) == public_bytes
    assert private_bytes in (None, len(made["PrivateKeyPlaintext"]))

    sealed = made["PrivateKeyCiphertextBlob"]
    opened = aws.kms.decrypt(CiphertextBlob=sealed, EncryptionContext=CONTEXT)
    assert opened["Plaintext"] == made["PrivateKeyPlaintext"]
    assert (opened["KeyId"], opened["KeyMaterialId"]) == (key["Arn"], key["CurrentKeyMaterialId"])
    for context in ({}, {"tenant": "blue"}, {**CONTEXT, "more": "x"}):
        with refused("InvalidCiphertextException", ""):
            aws.kms.decrypt(CiphertextBlob=sealed, EncryptionContext=context)


@pytest.mark.parametrize("spec", interface.DATA_KEY_PAIR_SPECS)
def test_a_pair_without_plaintext(aws, key, spec):
    made = aws.kms.generate_data_key_pair_without_plaintext(
        KeyId=key["KeyId"], KeyPairSpec=spec, EncryptionContext=CONTEXT
    )
    assert set(made) - {"ResponseMetadata"} == {
        *("PrivateKeyCiphertextBlob", "PublicKey", "KeyId", "KeyPairSpec", "KeyMaterialId")
    }
    assert (made["KeyId"], made["KeyPairSpec"]) == (key["Arn"], spec)
    assert made["KeyMaterialId"] == key["CurrentKeyMaterialId"]
    sealed = made["PrivateKeyCiphertextBlob"]
    private = aws.kms.decrypt(CiphertextBlob=sealed, EncryptionContext=CONTEXT)["Plaintext"]
    pair = Pair(spec, made["PublicKey"], private)
    assert pair.works() and pair.rewritten() == pair.pkcs8
    with refused("InvalidCiphertextException", ""):
        aws.kms.decrypt(CiphertextBlob=sealed)


@pytest.mark.parametrize("method", METHODS)
def test_every_pair_is_new(account, method):
    key_id = account.create_key()["KeyId"]
    for spec in ("ECC_NIST_P256", "ECC_NIST_EDWARDS25519", "ML_KEM_768"):
        make = getattr(account.kms, method)
        made = [make(KeyId=key_id, KeyPairSpec=spec) for _ in range(20)]
        assert len({answer["PublicKey"] for answer in made}) == 20
        assert len({answer["PrivateKeyCiphertextBlob"] for answer in made}) == 20


@pytest.mark.parametrize("method", METHODS)
def test_sm2_is_not_offered(account, method):
    key_id = account.create_key()["KeyId"]
    with refused("UnsupportedOperationException"):
        getattr(account.kms, method)(KeyId=key_id, KeyPairSpec="SM2")


@pytest.mark.parametrize("method", METHODS)
def test_the_pair_spec_is_validated(account, method):
    key_id = account.create_key()["KeyId"]
    make = getattr(account.kms, method)
    with refused("ValidationException", must_not_be_null("keyPairSpec")):
        make(KeyId=key_id)
    for spec in ("AES_256", "ML_DSA_65", "HMAC_256", "SYMMETRIC_DEFAULT", "rsa_2048", ""):
        head = violation(spec, "keyPairSpec", "Member must satisfy enum value set: [")
        with refused("ValidationException") as caught:
            make(KeyId=key_id, KeyPairSpec=spec)
        assert caught.value.response["Error"]["Message"].startswith(head)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != SYMMETRIC], ids=str)
def test_only_symmetric_keys_seal_pairs(keys, kind, method):
    with refused("InvalidKeyUsageException"):
        getattr(keys.kms, method)(KeyId=keys.id(kind), KeyPairSpec="ECC_NIST_P256")


def test_symmetric_calls_do_not_wait_for_rsa(account):
    """RSA keys take long to make; a queue of them must not hold up AES, which takes microseconds."""
    key_id = account.create_key()["KeyId"]
    started = threading.Barrier(13)

    def make():
        started.wait()
        return account.kms.generate_data_key_pair_without_plaintext(KeyId=key_id, KeyPairSpec="RSA_4096")

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        pending = [pool.submit(make) for _ in range(12)]
        started.wait()
        for _ in range(50):
            account.kms.encrypt(KeyId=key_id, Plaintext=b"x")
        still = sum(not future.done() for future in pending)
        assert all("PublicKey" in future.result() for future in pending)
    assert still, "twelve RSA keys were made before fifty calls of Encrypt were through"
