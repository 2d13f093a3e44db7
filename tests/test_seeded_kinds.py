"""Keys of every kind brought in by a seed file: here both halves are known outside, so each direction can be checked."""

import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa
from support import server as servers
from support.aws import Account, refused

ACCOUNT = "000000000000"
REGION = "us-east-1"
MESSAGE = b"attack at dawn"
HASHES = {"224": hashlib.sha224, "256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def key_id(number):
    return f"00000000-0000-4000-8000-{number:012d}"


def private_bytes(key):
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def entry(number, material, spec, usage):
    encoded = base64.b64encode(material).decode()
    return {"keyId": key_id(number), "material": encoded, "keySpec": spec, "keyUsage": usage}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The client of a server seeded with one key of each kind, and their private halves."""
    pairs = {
        "RSA_2048": rsa.generate_private_key(65537, 2048),
        "ECC_NIST_P256": ec.generate_private_key(ec.SECP256R1()),
        "ECC_SECG_P256K1": ec.generate_private_key(ec.SECP256K1()),
        "ECC_NIST_EDWARDS25519": ed25519.Ed25519PrivateKey.generate(),
        "ML_DSA_65": mldsa.MLDSA65PrivateKey.generate(),
    }
    macs = {size: bytes(range(int(size) // 8)) for size in HASHES}
    entries = [entry(1, private_bytes(pairs["RSA_2048"]), "RSA_2048", "ENCRYPT_DECRYPT")]
    ids = {"RSA_2048 decrypts": key_id(1)}
    for number, (spec, pair) in enumerate(pairs.items(), 2):
        entries.append(entry(number, private_bytes(pair), spec, "SIGN_VERIFY"))
        ids[spec] = key_id(number)
    for number, (size, material) in enumerate(macs.items(), 20):
        entries.append(entry(number, material, f"HMAC_{size}", "GENERATE_VERIFY_MAC"))
        ids[f"HMAC_{size}"] = key_id(number)
    file = tmp_path_factory.mktemp("seed") / "seed.json"
    file.write_text(json.dumps({"keys": entries}))
    with servers.dev(None, "--seed", file) as server:
        yield Account(server, ACCOUNT, REGION).kms, ids, pairs, macs


@pytest.mark.parametrize("size", HASHES)
def test_macs_are_hmac(world, size):
    kms, ids, _, macs = world
    name, algorithm = ids[f"HMAC_{size}"], f"HMAC_SHA_{size}"
    expected = hmac.new(macs[size], MESSAGE, HASHES[size]).digest()
    assert kms.generate_mac(KeyId=name, Message=MESSAGE, MacAlgorithm=algorithm)["Mac"] == expected
    assert kms.verify_mac(KeyId=name, Message=MESSAGE, MacAlgorithm=algorithm, Mac=expected)["MacValid"]
    with refused("KMSInvalidMacException"):
        kms.verify_mac(KeyId=name, Message=MESSAGE, MacAlgorithm=algorithm, Mac=expected[:-1])


def test_what_is_encrypted_here_is_decrypted_outside(world):
    kms, ids, pairs, _ = world
    sealed = kms.encrypt(
        KeyId=ids["RSA_2048 decrypts"], Plaintext=MESSAGE, EncryptionAlgorithm="RSAES_OAEP_SHA_256"
    )
    assert pairs["RSA_2048"].decrypt(sealed["CiphertextBlob"], OAEP) == MESSAGE


def test_what_is_signed_outside_verifies_here(world):
    kms, ids, pairs, _ = world
    ecdsa = ec.ECDSA(hashes.SHA256())
    signatures = {
        "RSA_2048": ("RSASSA_PSS_SHA_256", pairs["RSA_2048"].sign(MESSAGE, PSS, hashes.SHA256())),
        "ECC_NIST_P256": ("ECDSA_SHA_256", pairs["ECC_NIST_P256"].sign(MESSAGE, ecdsa)),
        "ECC_SECG_P256K1": ("ECDSA_SHA_256", pairs["ECC_SECG_P256K1"].sign(MESSAGE, ecdsa)),
        "ECC_NIST_EDWARDS25519": ("ED25519_SHA_512", pairs["ECC_NIST_EDWARDS25519"].sign(MESSAGE)),
        "ML_DSA_65": ("ML_DSA_SHAKE_256", pairs["ML_DSA_65"].sign(MESSAGE)),
    }
    for spec, (algorithm, signature) in signatures.items():
        request = {"KeyId": ids[spec], "SigningAlgorithm": algorithm, "Signature": signature}
        assert kms.verify(Message=MESSAGE, **request)["SignatureValid"]
        with refused("KMSInvalidSignatureException"):
            kms.verify(Message=MESSAGE + b".", **request)


def test_the_public_half_is_the_one_outside(world):
    kms, ids, pairs, _ = world
    for spec, pair in pairs.items():
        spki = pair.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        assert kms.get_public_key(KeyId=ids[spec])["PublicKey"] == spki, spec


@pytest.mark.parametrize(
    "wrong",
    [
        {"keySpec": "HMAC_512", "keyUsage": "GENERATE_VERIFY_MAC"},
        {"keySpec": "RSA_2048", "keyUsage": "SIGN_VERIFY"},
        {"keySpec": "SYMMETRIC_DEFAULT", "keyUsage": "SIGN_VERIFY"},
        {"keySpec": "RSA_2049", "keyUsage": "SIGN_VERIFY"},
        {"keySpec": "HMAC_256"},
    ],
    ids=str,
)
def test_a_seed_that_does_not_fit_is_refused(tmp_path, wrong):
    file = tmp_path / "seed.json"
    material = base64.b64encode(bytes(range(32))).decode()
    file.write_text(json.dumps({"keys": [{"keyId": key_id(1), "material": material, **wrong}]}))
    with pytest.raises(servers.StartError) as ended:
        servers.dev(None, "--seed", file)
    assert material not in ended.value.output
