"""One good call of every operation that uses key material, for the rules that hold for all of them."""

import dataclasses
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.interface import SYMMETRIC, Kind
from support.keyring import creation_options

RSA = Kind("RSA_2048", "ENCRYPT_DECRYPT")
SIGNING = Kind("ECC_NIST_P256", "SIGN_VERIFY")
MAC = Kind("HMAC_256", "GENERATE_VERIFY_MAC")
AGREEMENT = Kind("ECC_NIST_P256", "KEY_AGREEMENT")
KEM = Kind("ML_KEM_768", "ENCAPSULATE_DECAPSULATE")
OAEP = "RSAES_OAEP_SHA_256"
PLAINTEXT = b"attack at dawn"


@dataclasses.dataclass(frozen=True)
class Use:
    """`arguments` makes all of a good request but the key, while the key is enabled."""

    action: str
    method: str
    kind: Kind
    arguments: Callable
    named_by: str = "KeyId"
    echoed_as: str = "KeyId"
    takes_dry_run: bool = True


class Prepared:
    """A key of the use's kind in an account, and a call of the operation on it."""

    def __init__(self, account, use):
        self.account = account
        self.use = use
        self.key = account.create_key(**creation_options(use.kind))
        self.arguments = use.arguments(account, self.key["KeyId"])

    def call(self, identifier=None, **more):
        named = {self.use.named_by: self.key["KeyId"] if identifier is None else identifier}
        return getattr(self.account.kms, self.use.method)(**{**self.arguments, **named, **more})


def _sealed(account, key_id, **options):
    return account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT, **options)["CiphertextBlob"]


def _decrypt_rsa(account, key_id):
    return {"CiphertextBlob": _sealed(account, key_id, EncryptionAlgorithm=OAEP), "EncryptionAlgorithm": OAEP}


def _from_symmetric(account, key_id):
    return {"CiphertextBlob": _sealed(account, key_id), "DestinationKeyId": account.create_key()["KeyId"]}


def _from_rsa(account, key_id):
    return {
        "CiphertextBlob": _sealed(account, key_id, EncryptionAlgorithm=OAEP),
        "SourceEncryptionAlgorithm": OAEP,
        "DestinationKeyId": account.create_key()["KeyId"],
    }


def _to_symmetric(account, _):
    return {"CiphertextBlob": _sealed(account, account.create_key()["KeyId"])}


def _to_rsa(account, key_id):
    return {**_to_symmetric(account, key_id), "DestinationEncryptionAlgorithm": OAEP}


def _sign(*_):
    return {"Message": b"m", "SigningAlgorithm": "ECDSA_SHA_256"}


def _verify(account, key_id):
    return {**_sign(), "Signature": account.kms.sign(KeyId=key_id, **_sign())["Signature"]}


def _mac(*_):
    return {"Message": b"m", "MacAlgorithm": "HMAC_SHA_256"}


def _verify_mac(account, key_id):
    return {**_mac(), "Mac": account.kms.generate_mac(KeyId=key_id, **_mac())["Mac"]}


def _derive(*_):
    peer = ec.generate_private_key(ec.SECP256R1()).public_key()
    public = peer.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {"KeyAgreementAlgorithm": "ECDH", "PublicKey": public}


def _encapsulate(*_):
    return {"EncapsulationAlgorithm": "ML_KEM"}


def _decapsulate(account, key_id):
    made = account.kms.encapsulate(KeyId=key_id, **_encapsulate())
    return {**_encapsulate(), "SharedSecretCiphertextBlob": made["SharedSecretCiphertextBlob"]}


def _plaintext(*_):
    return {"Plaintext": PLAINTEXT}


def _rsa_plaintext(*_):
    return {"Plaintext": PLAINTEXT, "EncryptionAlgorithm": OAEP}


def _data_key(*_):
    return {"KeySpec": "AES_256"}


def _pair(*_):
    return {"KeyPairSpec": "ECC_NIST_P256"}


USES = {
    "Encrypt": Use("Encrypt", "encrypt", SYMMETRIC, _plaintext),
    "EncryptRsa": Use("Encrypt", "encrypt", RSA, _rsa_plaintext),
    "Decrypt": Use("Decrypt", "decrypt", SYMMETRIC, lambda a, k: {"CiphertextBlob": _sealed(a, k)}),
    "DecryptRsa": Use("Decrypt", "decrypt", RSA, _decrypt_rsa),
    "ReEncryptFrom": Use("ReEncryptFrom", "re_encrypt", SYMMETRIC, _from_symmetric, "SourceKeyId", "SourceKeyId"),
    "ReEncryptFromRsa": Use("ReEncryptFrom", "re_encrypt", RSA, _from_rsa, "SourceKeyId", "SourceKeyId"),
    "ReEncryptTo": Use("ReEncryptTo", "re_encrypt", SYMMETRIC, _to_symmetric, "DestinationKeyId"),
    "ReEncryptToRsa": Use("ReEncryptTo", "re_encrypt", RSA, _to_rsa, "DestinationKeyId"),
    "GenerateDataKey": Use("GenerateDataKey", "generate_data_key", SYMMETRIC, _data_key),
    "GenerateDataKeyWithoutPlaintext": Use(
        "GenerateDataKeyWithoutPlaintext", "generate_data_key_without_plaintext", SYMMETRIC, _data_key
    ),
    "GenerateDataKeyPair": Use("GenerateDataKeyPair", "generate_data_key_pair", SYMMETRIC, _pair),
    "GenerateDataKeyPairWithoutPlaintext": Use(
        "GenerateDataKeyPairWithoutPlaintext", "generate_data_key_pair_without_plaintext", SYMMETRIC, _pair
    ),
    "Sign": Use("Sign", "sign", SIGNING, _sign),
    "Verify": Use("Verify", "verify", SIGNING, _verify),
    "GenerateMac": Use("GenerateMac", "generate_mac", MAC, _mac),
    "VerifyMac": Use("VerifyMac", "verify_mac", MAC, _verify_mac),
    "DeriveSharedSecret": Use("DeriveSharedSecret", "derive_shared_secret", AGREEMENT, _derive),
    "Encapsulate": Use("Encapsulate", "encapsulate", KEM, _encapsulate),
    "Decapsulate": Use("Decapsulate", "decapsulate", KEM, _decapsulate),
    "GetPublicKey": Use("GetPublicKey", "get_public_key", SIGNING, lambda *_: {}, takes_dry_run=False),
}
