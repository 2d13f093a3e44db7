"""The interface of KMS keys as data, transcribed from reference/lifecycle.md section 9 and errors.md by hand.

The test matrix and docs/MATRIX.md come from here. Nothing here may be taken from the server's own tables."""

import dataclasses
import itertools

RSA_ENCRYPTION = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256")
RSA_SIGNING = (
    "RSASSA_PSS_SHA_256",
    "RSASSA_PSS_SHA_384",
    "RSASSA_PSS_SHA_512",
    "RSASSA_PKCS1_V1_5_SHA_256",
    "RSASSA_PKCS1_V1_5_SHA_384",
    "RSASSA_PKCS1_V1_5_SHA_512",
)

# Key spec -> key usage -> algorithms.
SPECS = {
    "SYMMETRIC_DEFAULT": {"ENCRYPT_DECRYPT": ("SYMMETRIC_DEFAULT",)},
    "RSA_2048": {"ENCRYPT_DECRYPT": RSA_ENCRYPTION, "SIGN_VERIFY": RSA_SIGNING},
    "RSA_3072": {"ENCRYPT_DECRYPT": RSA_ENCRYPTION, "SIGN_VERIFY": RSA_SIGNING},
    "RSA_4096": {"ENCRYPT_DECRYPT": RSA_ENCRYPTION, "SIGN_VERIFY": RSA_SIGNING},
    "ECC_NIST_P256": {"SIGN_VERIFY": ("ECDSA_SHA_256",), "KEY_AGREEMENT": ("ECDH",)},
    "ECC_NIST_P384": {"SIGN_VERIFY": ("ECDSA_SHA_384",), "KEY_AGREEMENT": ("ECDH",)},
    "ECC_NIST_P521": {"SIGN_VERIFY": ("ECDSA_SHA_512",), "KEY_AGREEMENT": ("ECDH",)},
    "ECC_SECG_P256K1": {"SIGN_VERIFY": ("ECDSA_SHA_256",)},
    "ECC_NIST_EDWARDS25519": {"SIGN_VERIFY": ("ED25519_SHA_512", "ED25519_PH_SHA_512")},
    "ML_DSA_44": {"SIGN_VERIFY": ("ML_DSA_SHAKE_256",)},
    "ML_DSA_65": {"SIGN_VERIFY": ("ML_DSA_SHAKE_256",)},
    "ML_DSA_87": {"SIGN_VERIFY": ("ML_DSA_SHAKE_256",)},
    "ML_KEM_512": {"ENCAPSULATE_DECAPSULATE": ("ML_KEM",)},
    "ML_KEM_768": {"ENCAPSULATE_DECAPSULATE": ("ML_KEM",)},
    "ML_KEM_1024": {"ENCAPSULATE_DECAPSULATE": ("ML_KEM",)},
    "HMAC_224": {"GENERATE_VERIFY_MAC": ("HMAC_SHA_224",)},
    "HMAC_256": {"GENERATE_VERIFY_MAC": ("HMAC_SHA_256",)},
    "HMAC_384": {"GENERATE_VERIFY_MAC": ("HMAC_SHA_384",)},
    "HMAC_512": {"GENERATE_VERIFY_MAC": ("HMAC_SHA_512",)},
}
REFUSED_SPECS = ("SM2",)
USAGES = ("ENCRYPT_DECRYPT", "SIGN_VERIFY", "KEY_AGREEMENT", "ENCAPSULATE_DECAPSULATE", "GENERATE_VERIFY_MAC")

# The member of KeyMetadata and GetPublicKey that lists the algorithms of a usage.
ALGORITHM_LIST = {
    "ENCRYPT_DECRYPT": "EncryptionAlgorithms",
    "SIGN_VERIFY": "SigningAlgorithms",
    "KEY_AGREEMENT": "KeyAgreementAlgorithms",
    "ENCAPSULATE_DECAPSULATE": "EncapsulationAlgorithms",
    "GENERATE_VERIFY_MAC": "MacAlgorithms",
}

MESSAGE_LIMIT = 4096
# Plaintext limits of Encrypt in bytes, by key spec and algorithm.
PLAINTEXT_LIMIT = {
    ("SYMMETRIC_DEFAULT", "SYMMETRIC_DEFAULT"): 4096,
    ("RSA_2048", "RSAES_OAEP_SHA_1"): 214,
    ("RSA_2048", "RSAES_OAEP_SHA_256"): 190,
    ("RSA_3072", "RSAES_OAEP_SHA_1"): 342,
    ("RSA_3072", "RSAES_OAEP_SHA_256"): 318,
    ("RSA_4096", "RSAES_OAEP_SHA_1"): 470,
    ("RSA_4096", "RSAES_OAEP_SHA_256"): 446,
}
# Bytes of the digest that MessageType DIGEST takes.
DIGEST_BYTES = {
    "RSASSA_PSS_SHA_256": 32,
    "RSASSA_PSS_SHA_384": 48,
    "RSASSA_PSS_SHA_512": 64,
    "RSASSA_PKCS1_V1_5_SHA_256": 32,
    "RSASSA_PKCS1_V1_5_SHA_384": 48,
    "RSASSA_PKCS1_V1_5_SHA_512": 64,
    "ECDSA_SHA_256": 32,
    "ECDSA_SHA_384": 48,
    "ECDSA_SHA_512": 64,
    "SM2DSA": 32,
    "ED25519_PH_SHA_512": 64,
}
MU_BYTES = 64
MAC_BYTES = {"HMAC_SHA_224": 28, "HMAC_SHA_256": 32, "HMAC_SHA_384": 48, "HMAC_SHA_512": 64}
AGREED_BYTES = {"ECC_NIST_P256": 32, "ECC_NIST_P384": 48, "ECC_NIST_P521": 66}
KEM_CIPHERTEXT_BYTES = {"ML_KEM_512": 768, "ML_KEM_768": 1088, "ML_KEM_1024": 1568}
KEM_SECRET_BYTES = 32
DATA_KEY_BYTES = {"AES_128": 16, "AES_256": 32}
DATA_KEY_PAIR_SPECS = (
    "RSA_2048",
    "RSA_3072",
    "RSA_4096",
    "ECC_NIST_P256",
    "ECC_NIST_P384",
    "ECC_NIST_P521",
    "ECC_SECG_P256K1",
    "ECC_NIST_EDWARDS25519",
    "ML_KEM_512",
    "ML_KEM_768",
    "ML_KEM_1024",
)

ENCRYPTION_ALGORITHMS = ("SYMMETRIC_DEFAULT", *RSA_ENCRYPTION, "SM2PKE")
SIGNING_ALGORITHMS = (
    *RSA_SIGNING,
    "ECDSA_SHA_256",
    "ECDSA_SHA_384",
    "ECDSA_SHA_512",
    "ED25519_SHA_512",
    "ED25519_PH_SHA_512",
    "ML_DSA_SHAKE_256",
    "SM2DSA",
)
MESSAGE_TYPES = ("RAW", "DIGEST", "EXTERNAL_MU")
SM2_ALGORITHMS = ("SM2PKE", "SM2DSA")


@dataclasses.dataclass(frozen=True)
class Kind:
    """A key spec with one of its usages."""

    spec: str
    usage: str

    @property
    def algorithms(self):
        return SPECS[self.spec][self.usage]

    @property
    def is_asymmetric(self):
        return self.spec != "SYMMETRIC_DEFAULT" and self.usage != "GENERATE_VERIFY_MAC"

    def __str__(self):
        return f"{self.spec}-{self.usage}"


KINDS = tuple(Kind(spec, usage) for spec, usages in SPECS.items() for usage in usages)
SYMMETRIC = Kind("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")


@dataclasses.dataclass(frozen=True)
class Operation:
    """An operation that uses key material: the usage it needs, and what the caller chooses."""

    name: str
    usage: str | None
    choices: tuple = (None,)
    message_types: tuple = (None,)

    def cells(self, kind):
        return [Cell(self, kind, *choice) for choice in itertools.product(self.choices, self.message_types)]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Success (no code), or AWS's error; a text of None is one that the reference does not know."""

    code: str | None
    text: str | None = None
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell of the matrix. `choice` is an algorithm, a data key spec or a data key pair spec."""

    operation: Operation
    kind: Kind
    choice: str | None
    message_type: str | None

    def outcome(self):
        name, kind = self.operation.name, self.kind
        if name == "GetPublicKey":
            return Outcome(None) if kind.is_asymmetric else Outcome("UnsupportedOperationException")
        if kind.usage != self.operation.usage:
            text = f"<key ARN> key usage is {kind.usage} which is not valid for {name}."
            return Outcome("InvalidKeyUsageException", text)
        if name.startswith("GenerateDataKey"):
            return self._data_key_outcome()
        if self.choice not in kind.algorithms:
            text = f"Algorithm {self.choice} is incompatible with key spec {kind.spec}."
            return Outcome("InvalidKeyUsageException", text)
        if self.message_type and not takes(self.choice, self.message_type):
            return Outcome("ValidationException")
        return Outcome(None, detail=self._detail())

    def _data_key_outcome(self):
        if self.kind != SYMMETRIC:
            return Outcome("InvalidKeyUsageException")
        if self.choice == "SM2":
            return Outcome("UnsupportedOperationException")
        size = DATA_KEY_BYTES.get(self.choice)
        return Outcome(None, detail=f"{size} bytes" if size else "")

    def _detail(self):
        name, spec = self.operation.name, self.kind.spec
        if name in ("Sign", "Verify"):
            sizes = {"RAW": f"1 to {MESSAGE_LIMIT}", "EXTERNAL_MU": MU_BYTES}
            return f"{sizes.get(self.message_type) or DIGEST_BYTES[self.choice]} bytes"
        if name in ("Encrypt", "ReEncryptTo"):
            return f"1 to {PLAINTEXT_LIMIT[spec, self.choice]} bytes"
        if name in ("GenerateMac", "VerifyMac"):
            return f"1 to {MESSAGE_LIMIT} bytes, MAC of {MAC_BYTES[self.choice]}"
        if name == "DeriveSharedSecret":
            return f"secret of {AGREED_BYTES[spec]} bytes"
        if name in ("Encapsulate", "Decapsulate"):
            return f"ciphertext of {KEM_CIPHERTEXT_BYTES[spec]} bytes"
        return ""


def takes(algorithm, message_type):
    """Whether a signing algorithm takes a message type (section 9, "Sign / Verify")."""
    if algorithm == "ML_DSA_SHAKE_256":
        return message_type in ("RAW", "EXTERNAL_MU")
    if algorithm == "ED25519_SHA_512":
        return message_type == "RAW"
    if algorithm == "ED25519_PH_SHA_512":
        return message_type == "DIGEST"
    return message_type in ("RAW", "DIGEST")


_PAIRS = (*DATA_KEY_PAIR_SPECS, "SM2")
OPERATIONS = {
    operation.name: operation
    for operation in (
        Operation("Encrypt", "ENCRYPT_DECRYPT", ENCRYPTION_ALGORITHMS),
        Operation("Decrypt", "ENCRYPT_DECRYPT", ENCRYPTION_ALGORITHMS),
        Operation("ReEncryptFrom", "ENCRYPT_DECRYPT", ENCRYPTION_ALGORITHMS),
        Operation("ReEncryptTo", "ENCRYPT_DECRYPT", ENCRYPTION_ALGORITHMS),
        Operation("GenerateDataKey", "ENCRYPT_DECRYPT", tuple(DATA_KEY_BYTES)),
        Operation("GenerateDataKeyWithoutPlaintext", "ENCRYPT_DECRYPT", tuple(DATA_KEY_BYTES)),
        Operation("GenerateDataKeyPair", "ENCRYPT_DECRYPT", _PAIRS),
        Operation("GenerateDataKeyPairWithoutPlaintext", "ENCRYPT_DECRYPT", _PAIRS),
        Operation("Sign", "SIGN_VERIFY", SIGNING_ALGORITHMS, MESSAGE_TYPES),
        Operation("Verify", "SIGN_VERIFY", SIGNING_ALGORITHMS, MESSAGE_TYPES),
        Operation("GenerateMac", "GENERATE_VERIFY_MAC", tuple(MAC_BYTES)),
        Operation("VerifyMac", "GENERATE_VERIFY_MAC", tuple(MAC_BYTES)),
        Operation("DeriveSharedSecret", "KEY_AGREEMENT", ("ECDH",)),
        Operation("Encapsulate", "ENCAPSULATE_DECAPSULATE", ("ML_KEM",)),
        Operation("Decapsulate", "ENCAPSULATE_DECAPSULATE", ("ML_KEM",)),
        Operation("GetPublicKey", None),
    )
}


def creation(spec, usage):
    """What CreateKey answers to a pair of spec and usage; a usage of None is one that is left out."""
    if usage is None and spec != "SYMMETRIC_DEFAULT":
        text = "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
        return Outcome("ValidationException", text)
    if spec in REFUSED_SPECS:
        return Outcome("UnsupportedOperationException")
    if usage is None or usage in SPECS[spec]:
        return Outcome(None)
    return Outcome("ValidationException", f"KeyUsage {usage} is not compatible with KeySpec {spec}")
