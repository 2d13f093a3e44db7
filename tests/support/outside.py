"""What the holder of a public key does without the server: verify, encrypt, agree, encapsulate.

By PyPI cryptography (OpenSSL), and in plain Python for what it lacks: Ed25519ph and ML-KEM-512."""

import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support import ed25519ph
from support import mlkem as plain_mlkem

CURVES = {
    "ECC_NIST_P256": ec.SECP256R1,
    "ECC_NIST_P384": ec.SECP384R1,
    "ECC_NIST_P521": ec.SECP521R1,
    "ECC_SECG_P256K1": ec.SECP256K1,
}
RSA_BITS = {"RSA_2048": 2048, "RSA_3072": 3072, "RSA_4096": 4096}
ML_DSA = {"ML_DSA_44": mldsa.MLDSA44PublicKey, "ML_DSA_65": mldsa.MLDSA65PublicKey, "ML_DSA_87": mldsa.MLDSA87PublicKey}
ML_KEM = {"ML_KEM_768": mlkem.MLKEM768PublicKey, "ML_KEM_1024": mlkem.MLKEM1024PublicKey}
# SubjectPublicKeyInfo up to the key itself (RFC 9935: 2.16.840.1.101.3.4.4.1, no parameters).
ML_KEM_512_SPKI = bytes.fromhex("30820332300b06096086480165030404010382032100")
# PrivateKeyInfo with the 64-byte seed as [0] (RFC 9935 section 6).
ML_KEM_512_PKCS8 = bytes.fromhex("3054020100300b060960864801650304040104428040")
HASHES = {"1": hashes.SHA1, "256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


def hash_of(algorithm):
    """The hash that an algorithm's name ends with."""
    return HASHES[algorithm.rpartition("_")[2]]()


def digest(algorithm, message):
    """The digest that MessageType DIGEST takes."""
    return hashlib.new(hash_of(algorithm).name, message).digest()


def oaep(algorithm):
    chosen = hash_of(algorithm)
    return padding.OAEP(padding.MGF1(chosen), chosen, None)


def signature_padding(algorithm):
    chosen = hash_of(algorithm)
    if algorithm.startswith("RSASSA_PSS"):
        return padding.PSS(padding.MGF1(chosen), chosen.digest_size)
    return padding.PKCS1v15()


class Outside:
    """A public key as GetPublicKey or GenerateDataKeyPair gives it, checked to be of its spec."""

    def __init__(self, spec, spki):
        self.spec = spec
        self.spki = spki
        if spec == "ML_KEM_512":
            assert spki.startswith(ML_KEM_512_SPKI) and len(spki) == len(ML_KEM_512_SPKI) + 800
            self.key = spki[len(ML_KEM_512_SPKI) :]
            return
        self.key = serialization.load_der_public_key(spki)
        # There is one DER form, so a key that is written again is the same.
        assert self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == spki
        if spec in CURVES:
            assert isinstance(self.key, ec.EllipticCurvePublicKey) and isinstance(self.key.curve, CURVES[spec])
        elif spec in RSA_BITS:
            assert isinstance(self.key, rsa.RSAPublicKey)
            assert self.key.key_size == RSA_BITS[spec] and self.key.public_numbers().e == 65537
        elif spec == "ECC_NIST_EDWARDS25519":
            assert isinstance(self.key, ed25519.Ed25519PublicKey)
        else:
            assert isinstance(self.key, {**ML_DSA, **ML_KEM}[spec])

    def message(self, algorithm, message_type, message):
        """What a caller sends to have `message` signed with this message type."""
        if message_type == "RAW":
            return message
        if message_type == "DIGEST":
            return digest(algorithm, message)
        return self.mu(message)

    def mu(self, message):
        """ML-DSA's message representative without a context (FIPS 204 section 6.2)."""
        hashed_key = hashlib.shake_256(self.key.public_bytes_raw()).digest(64)
        return hashlib.shake_256(hashed_key + b"\0\0" + message).digest(64)

    def verifies(self, algorithm, message_type, sent, signature):
        """Whether `signature` signs what was sent as Message with this message type."""
        try:
            if algorithm == "ED25519_PH_SHA_512":
                # KMS gives the digest to Ed25519ph as its message, so that it is hashed twice.
                public = self.key.public_bytes(Encoding.Raw, PublicFormat.Raw)
                return ed25519ph.verify(public, sent, signature)
            if algorithm == "ED25519_SHA_512":
                self.key.verify(signature, sent)
            elif algorithm == "ML_DSA_SHAKE_256":
                (self.key.verify_mu if message_type == "EXTERNAL_MU" else self.key.verify)(signature, sent)
            else:
                chosen = hash_of(algorithm)
                chosen = utils.Prehashed(chosen) if message_type == "DIGEST" else chosen
                if algorithm.startswith("ECDSA"):
                    self.key.verify(signature, sent, ec.ECDSA(chosen))
                else:
                    self.key.verify(signature, sent, signature_padding(algorithm), chosen)
        except InvalidSignature:
            return False
        return True

    def encrypt(self, algorithm, plaintext):
        return self.key.encrypt(plaintext, oaep(algorithm))

    def agree(self):
        """An ephemeral public key for DeriveSharedSecret, and the secret on this side."""
        own = ec.generate_private_key(self.key.curve)
        public = own.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return public, own.exchange(ec.ECDH(), self.key)

    def encapsulate(self):
        """(shared secret, ciphertext)"""
        if self.spec == "ML_KEM_512":
            return plain_mlkem.encapsulate(512, self.key)
        return self.key.encapsulate()


class Pair:
    """Both halves of a data key pair, checked to belong together."""

    def __init__(self, spec, spki, pkcs8):
        self.public = Outside(spec, spki)
        self.pkcs8 = pkcs8
        if spec == "ML_KEM_512":
            assert pkcs8.startswith(ML_KEM_512_PKCS8) and len(pkcs8) == len(ML_KEM_512_PKCS8) + 64
            self.private = pkcs8[len(ML_KEM_512_PKCS8) :]
            assert plain_mlkem.public_key(512, self.private) == self.public.key
            return
        self.private = serialization.load_der_private_key(pkcs8, password=None)
        derived = self.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert derived == spki

    def rewritten(self):
        """The private key as the library writes PKCS#8."""
        if self.public.spec == "ML_KEM_512":
            return ML_KEM_512_PKCS8 + self.private
        no_encryption = serialization.NoEncryption()
        return self.private.private_bytes(Encoding.DER, serialization.PrivateFormat.PKCS8, no_encryption)

    def works(self):
        """Uses the two halves against each other."""
        spec, private = self.public.spec, self.private
        if spec.startswith("ML_KEM"):
            secret, ciphertext = self.public.encapsulate()
            if spec == "ML_KEM_512":
                return plain_mlkem.decapsulate(512, private, ciphertext) == secret
            return private.decapsulate(ciphertext) == secret
        if spec.startswith("RSA"):
            algorithm = "RSAES_OAEP_SHA_256"
            return private.decrypt(self.public.encrypt(algorithm, b"x"), oaep(algorithm)) == b"x"
        if spec in CURVES:
            signature = private.sign(b"x", ec.ECDSA(hashes.SHA256()))
            return self.public.verifies("ECDSA_SHA_256", "RAW", b"x", signature)
        return self.public.verifies("ED25519_SHA_512", "RAW", b"x", private.sign(b"x"))
