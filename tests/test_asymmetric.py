"""Asymmetric keys against what others make: OpenSSL, bad ciphertexts, hostile public keys, altered signatures."""

import base64
import hashlib
import os

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support import der, ed25519ph, interface, openssl, proofs
from support import server as servers
from support.aws import Account, refused
from support.interface import KINDS, SYMMETRIC, Kind
from support.keyring import creation_options
from support.outside import CURVES

RSA_2048 = Kind("RSA_2048", "ENCRYPT_DECRYPT")
AGREEMENT = Kind("ECC_NIST_P256", "KEY_AGREEMENT")
PLAINTEXT = b"attack at dawn"
OAEP = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256")


def spki(public):
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def of_usage(usage, *beginnings):
    beginnings = beginnings or ("",)
    return [kind for kind in KINDS if kind.usage == usage and kind.spec.startswith(beginnings)]


# --- the openssl program


@pytest.mark.parametrize("algorithm", OAEP)
@pytest.mark.parametrize("kind", of_usage("ENCRYPT_DECRYPT", "RSA"), ids=str)
def test_openssl_encrypts(keys, kind, algorithm):
    name = "sha1" if algorithm.endswith("_1") else "sha256"
    options = ["rsa_padding_mode:oaep", f"rsa_oaep_md:{name}", f"rsa_mgf1_md:{name}"]
    extra = [part for option in options for part in ("-pkeyopt", option)]
    for plaintext in (b"x", os.urandom(interface.PLAINTEXT_LIMIT[kind.spec, algorithm])):
        blob = openssl.output(
            *("pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", "spki", "-in", "plaintext", *extra),
            spki=keys.outside(kind).spki,
            plaintext=plaintext,
        )
        opened = keys.kms.decrypt(KeyId=keys.id(kind), CiphertextBlob=blob, EncryptionAlgorithm=algorithm)
        assert opened["Plaintext"] == plaintext


@pytest.mark.parametrize("kind", of_usage("SIGN_VERIFY", "RSA", "ECC_NIST_P", "ECC_SECG"), ids=str)
def test_openssl_verifies(keys, kind):
    for algorithm in kind.algorithms:
        name = f"sha{algorithm.rpartition('_')[2]}"
        options = []
        if "PSS" in algorithm:
            # "digest" is the salt length that KMS uses; openssl would otherwise take any.
            options = ["rsa_padding_mode:pss", "rsa_pss_saltlen:digest", f"rsa_mgf1_md:{name}"]
        for message_type in ("RAW", "DIGEST"):
            sent = keys.outside(kind).message(algorithm, message_type, PLAINTEXT)
            signature = keys.kms.sign(
                KeyId=keys.id(kind), Message=sent, MessageType=message_type, SigningAlgorithm=algorithm
            )["Signature"]
            assert openssl.verifies(keys.outside(kind).spki, name, PLAINTEXT, signature, *options), algorithm
            assert not openssl.verifies(keys.outside(kind).spki, name, b"another", signature, *options), algorithm


def test_openssl_verifies_ed25519(keys):
    kind = Kind("ECC_NIST_EDWARDS25519", "SIGN_VERIFY")
    signature = keys.kms.sign(KeyId=keys.id(kind), Message=PLAINTEXT, SigningAlgorithm="ED25519_SHA_512")["Signature"]
    command = ("pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", "spki", "-in", "message")
    files = {"spki": keys.outside(kind).spki, "signature": signature}
    assert openssl.run(*command, "-sigfile", "signature", message=PLAINTEXT, **files)[0] == 0
    assert openssl.run(*command, "-sigfile", "signature", message=b"another", **files)[0] != 0


@pytest.mark.parametrize("kind", of_usage("KEY_AGREEMENT"), ids=str)
def test_openssl_agrees(keys, kind):
    curve = {"ECC_NIST_P256": "P-256", "ECC_NIST_P384": "P-384", "ECC_NIST_P521": "P-521"}[kind.spec]
    own = openssl.output("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}", "-outform", "DER")
    public = openssl.output("pkey", "-inform", "DER", "-in", "own", "-pubout", "-outform", "DER", own=own)
    derive = ("pkeyutl", "-derive", "-keyform", "DER", "-inkey", "own", "-peerform", "DER", "-peerkey", "peer")
    expected = openssl.output(*derive, own=own, peer=keys.outside(kind).spki)
    answer = keys.kms.derive_shared_secret(KeyId=keys.id(kind), KeyAgreementAlgorithm="ECDH", PublicKey=public)
    assert answer["SharedSecret"] == expected


# --- RSA encryption


@pytest.mark.parametrize("kind", of_usage("ENCRYPT_DECRYPT", "RSA"), ids=str)
def test_rsa_plaintext_limits(keys, kind):
    for algorithm in OAEP:
        limit = interface.PLAINTEXT_LIMIT[kind.spec, algorithm]
        common = {"KeyId": keys.id(kind), "EncryptionAlgorithm": algorithm}
        keys.kms.encrypt(Plaintext=bytes(limit), **common)
        text = f"Algorithm {algorithm} and key spec {kind.spec} cannot encrypt data larger than {limit} bytes."
        for size in (limit + 1, 512, 4096):
            with refused("ValidationException", text):
                keys.kms.encrypt(Plaintext=bytes(size), **common)


def test_re_encrypting_more_than_rsa_takes(keys):
    sealed = keys.kms.encrypt(KeyId=keys.id(SYMMETRIC), Plaintext=bytes(191))["CiphertextBlob"]
    target = {"DestinationKeyId": keys.id(RSA_2048), "DestinationEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    text = "Algorithm RSAES_OAEP_SHA_256 and key spec RSA_2048 cannot encrypt data larger than 190 bytes."
    with refused("ValidationException", text):
        keys.kms.re_encrypt(CiphertextBlob=sealed, **target)
    fitting = keys.kms.encrypt(KeyId=keys.id(SYMMETRIC), Plaintext=bytes(190))["CiphertextBlob"]
    keys.kms.re_encrypt(CiphertextBlob=fitting, **target)


def test_rsa_encryption_is_randomized(keys):
    kind = {"KeyId": keys.id(RSA_2048), "EncryptionAlgorithm": OAEP[1]}
    assert len({keys.kms.encrypt(Plaintext=PLAINTEXT, **kind)["CiphertextBlob"] for _ in range(10)}) == 10


def bad_ciphertexts(keys):
    """Ciphertexts that RSA_2048 with OAEP-SHA-256 must not open, each for its own reason."""
    outside = keys.outside(RSA_2048)
    good = outside.encrypt(OAEP[1], PLAINTEXT)
    modulus = outside.key.public_numbers().n
    other = rsa.generate_private_key(65537, 2048).public_key()
    sha256 = hashes.SHA256()
    labelled = padding.OAEP(padding.MGF1(sha256), sha256, b"label")
    mixed = padding.OAEP(padding.MGF1(hashes.SHA1()), sha256, None)
    found = {
        "truncated": good[:-1],
        "without its first byte": good[1:],
        "extended": good + b"\0",
        "behind a zero": b"\0" + good,
        "twice": good * 2,
        "one byte": b"\1",
        "the other hash": outside.encrypt(OAEP[0], PLAINTEXT),
        "another mask hash": outside.key.encrypt(PLAINTEXT, mixed),
        "a label": outside.key.encrypt(PLAINTEXT, labelled),
        "PKCS #1 v1.5": outside.key.encrypt(PLAINTEXT, padding.PKCS1v15()),
        "another key": other.encrypt(PLAINTEXT, padding.OAEP(padding.MGF1(sha256), sha256, None)),
        "a longer key": keys.outside("RSA_4096", "ENCRYPT_DECRYPT").encrypt(OAEP[1], PLAINTEXT),
        "a symmetric key": keys.kms.encrypt(KeyId=keys.id(SYMMETRIC), Plaintext=PLAINTEXT)["CiphertextBlob"],
        "zeros": bytes(256),
        "one": (1).to_bytes(256, "big"),
        "the modulus": modulus.to_bytes(256, "big"),
        "the modulus less one": (modulus - 1).to_bytes(256, "big"),
        "ones": b"\xff" * 256,
        "random": os.urandom(256),
        "the longest": os.urandom(6144),
    }
    if int.from_bytes(good, "big") + modulus < 2**2048:
        found["the same beyond the modulus"] = (int.from_bytes(good, "big") + modulus).to_bytes(256, "big")
    for position in (0, 1, 127, 254, 255):
        altered = bytearray(good)
        altered[position] ^= 1
        found[f"altered at {position}"] = bytes(altered)
    return found


def test_bad_rsa_ciphertexts_are_all_alike(keys):
    """Whoever could tell why a ciphertext is bad could decrypt with this key (Bleichenbacher, Manger)."""
    answers = {}
    for name, blob in bad_ciphertexts(keys).items():
        body = {
            "KeyId": keys.id(RSA_2048),
            "CiphertextBlob": base64.b64encode(blob).decode(),
            "EncryptionAlgorithm": OAEP[1],
        }
        answer = keys.account.signed("Decrypt", body)
        varying = ("date", "x-amzn-requestid")
        headers = {field: value for field, value in answer.headers.items() if field not in varying}
        answers[name] = (answer.status, answer.body, tuple(sorted(headers.items())))
    assert len(set(answers.values())) == 1, answers
    assert answers["zeros"][:2] == (400, b'{"__type":"InvalidCiphertextException"}')


def test_bad_rsa_ciphertexts_cannot_be_re_encrypted(keys):
    for name, blob in bad_ciphertexts(keys).items():
        with refused("InvalidCiphertextException", ""):
            keys.kms.re_encrypt(
                SourceKeyId=keys.id(RSA_2048),
                CiphertextBlob=blob,
                SourceEncryptionAlgorithm=OAEP[1],
                DestinationKeyId=keys.id(SYMMETRIC),
            )
            raise AssertionError(name)


def test_rsa_decryption_needs_key_and_algorithm(keys):
    blob = keys.outside(RSA_2048).encrypt(OAEP[1], PLAINTEXT)
    text = "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048."
    with refused("InvalidKeyUsageException", text):
        keys.kms.decrypt(KeyId=keys.id(RSA_2048), CiphertextBlob=blob)
    with refused("InvalidKeyUsageException", text):
        keys.kms.re_encrypt(SourceKeyId=keys.id(RSA_2048), CiphertextBlob=blob, DestinationKeyId=keys.id(SYMMETRIC))
    with refused("InvalidKeyUsageException", text):
        keys.kms.encrypt(KeyId=keys.id(RSA_2048), Plaintext=PLAINTEXT)
    # Which of the two AWS answers without the key is not known.
    for perform in [
        lambda: keys.kms.decrypt(CiphertextBlob=blob, EncryptionAlgorithm=OAEP[1]),
        lambda: keys.kms.decrypt(CiphertextBlob=blob),
        lambda: keys.kms.re_encrypt(
            CiphertextBlob=blob, SourceEncryptionAlgorithm=OAEP[1], DestinationKeyId=keys.id(SYMMETRIC)
        ),
    ]:
        with pytest.raises(keys.kms.exceptions.ClientError) as caught:
            perform()
        assert caught.value.response["Error"]["Code"] in ("ValidationException", "InvalidCiphertextException")


def test_an_encryption_context_is_for_symmetric_keys(keys):
    blob = keys.outside(RSA_2048).encrypt(OAEP[1], PLAINTEXT)
    sealed = keys.kms.encrypt(KeyId=keys.id(SYMMETRIC), Plaintext=PLAINTEXT)["CiphertextBlob"]
    rsa_key = {"KeyId": keys.id(RSA_2048), "EncryptionAlgorithm": OAEP[1]}
    source = {"SourceKeyId": keys.id(RSA_2048), "SourceEncryptionAlgorithm": OAEP[1], "CiphertextBlob": blob}
    target = {"DestinationKeyId": keys.id(RSA_2048), "DestinationEncryptionAlgorithm": OAEP[1]}
    context = {"tenant": "blue"}
    for perform in [
        lambda c: keys.kms.encrypt(Plaintext=PLAINTEXT, EncryptionContext=c, **rsa_key),
        lambda c: keys.kms.decrypt(CiphertextBlob=blob, EncryptionContext=c, **rsa_key),
        lambda c: keys.kms.re_encrypt(SourceEncryptionContext=c, DestinationKeyId=keys.id(SYMMETRIC), **source),
        lambda c: keys.kms.re_encrypt(CiphertextBlob=sealed, DestinationEncryptionContext=c, **target),
    ]:
        with refused("ValidationException"):
            perform(context)
        perform({})


@pytest.mark.parametrize("destination", [SYMMETRIC, RSA_2048], ids=str)
@pytest.mark.parametrize("source", [SYMMETRIC, RSA_2048], ids=str)
def test_re_encrypt_between_all_kinds(aws, source, destination):
    """The material id and the context are there on symmetric sides only."""
    first, second = (aws.create_key(**creation_options(kind)) for kind in (source, destination))
    algorithms = {SYMMETRIC: "SYMMETRIC_DEFAULT", RSA_2048: "RSAES_OAEP_SHA_1"}
    before, after = {"side": "source"}, {"side": "destination"}
    blob = aws.kms.encrypt(
        KeyId=first["KeyId"],
        Plaintext=PLAINTEXT,
        EncryptionAlgorithm=algorithms[source],
        **({"EncryptionContext": before} if source == SYMMETRIC else {}),
    )["CiphertextBlob"]
    answer = aws.kms.re_encrypt(
        CiphertextBlob=blob,
        SourceKeyId=first["KeyId"],
        SourceEncryptionAlgorithm=algorithms[source],
        DestinationKeyId=second["KeyId"],
        DestinationEncryptionAlgorithm=algorithms[destination],
        **({"SourceEncryptionContext": before} if source == SYMMETRIC else {}),
        **({"DestinationEncryptionContext": after} if destination == SYMMETRIC else {}),
    )
    assert (answer["SourceKeyId"], answer["KeyId"]) == (first["Arn"], second["Arn"])
    assert answer["SourceEncryptionAlgorithm"] == algorithms[source]
    assert answer["DestinationEncryptionAlgorithm"] == algorithms[destination]
    assert answer.get("SourceKeyMaterialId") == first.get("CurrentKeyMaterialId")
    assert answer.get("DestinationKeyMaterialId") == second.get("CurrentKeyMaterialId")
    assert ("SourceKeyMaterialId" in answer) == (source == SYMMETRIC)
    assert ("DestinationKeyMaterialId" in answer) == (destination == SYMMETRIC)
    opened = aws.kms.decrypt(
        KeyId=second["KeyId"],
        CiphertextBlob=answer["CiphertextBlob"],
        EncryptionAlgorithm=algorithms[destination],
        **({"EncryptionContext": after} if destination == SYMMETRIC else {}),
    )
    assert opened["Plaintext"] == PLAINTEXT


# --- key agreement


def p256_point(x, y):
    return b"\4" + x.to_bytes(32, "big") + y.to_bytes(32, "big")


def bad_peers():
    """Public keys that DeriveSharedSecret must refuse for a P-256 key, and a good one they are made from."""
    good = ec.generate_private_key(ec.SECP256R1()).public_key()
    numbers, encoded = good.public_numbers(), spki(good)
    point = p256_point(numbers.x, numbers.y)
    assert der.ec_public_key(point) == encoded, "the writer of DER writes what the library writes"
    off = p256_point(numbers.x, (numbers.y + 1) % der.P256_PRIME)
    # A point of small order on another curve, which an unchecked ladder would accept (invalid curve attack).
    small = p256_point(0, 0)
    explicit = der.ec_public_key(point, der.explicit_p256())
    return encoded, {
        "off the curve": der.ec_public_key(off),
        "small order elsewhere": der.ec_public_key(small),
        "the point at infinity": der.ec_public_key(b"\0"),
        "infinity of full length": der.ec_public_key(bytes(65)),
        "no point": der.ec_public_key(b""),
        "coordinates beyond the prime": der.ec_public_key(p256_point(numbers.x + der.P256_PRIME, numbers.y))
        if numbers.x + der.P256_PRIME < 2**256
        else der.ec_public_key(p256_point(der.P256_PRIME, numbers.y)),
        "a hybrid point": der.ec_public_key(bytes([6 + numbers.y % 2]) + point[1:]),
        "a short point": der.ec_public_key(point[:-1]),
        "a long point": der.ec_public_key(point + b"\0"),
        "explicit parameters": explicit,
        "explicit parameters without cofactor": der.ec_public_key(point, der.explicit_p256(cofactor=False)),
        # With a generator of one's own, any public key has a known private key (CVE-2020-0601).
        "a generator of one's own": der.ec_public_key(point, der.explicit_p256(generator=point)),
        "no parameters": der.sequence(der.sequence(der.EC_PUBLIC_KEY), der.bit_string(point)),
        "null parameters": der.ec_public_key(point, b"\5\0"),
        "the name of another curve": der.ec_public_key(point, der.identifier("1.3.132.0.10")),
        "a P-384 key": spki(ec.generate_private_key(ec.SECP384R1()).public_key()),
        "a secp256k1 key": spki(ec.generate_private_key(ec.SECP256K1()).public_key()),
        "an Ed25519 key": spki(ed25519.Ed25519PrivateKey.generate().public_key()),
        "an X25519 key": spki(x25519.X25519PrivateKey.generate().public_key()),
        "an RSA key": spki(rsa.generate_private_key(65537, 2048).public_key()),
        "the point alone": point,
        "the point in PEM": good.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "base64": base64.b64encode(encoded),
        "a byte behind it": encoded + b"\0",
        "a key behind it": encoded * 2,
        "truncated": encoded[:-1],
        "a long form of the length": encoded[:1] + b"\x81" + encoded[1:],
        "an indefinite length": encoded[:1] + b"\x80" + encoded[2:] + b"\0\0",
        "unused bits": encoded.replace(b"\x03\x42\x00\x04", b"\x03\x42\x01\x04"),
        "one byte": b"x",
        "8192 bytes": b"x" * 8192,
    }


def test_hostile_public_keys(keys):
    good, bad = bad_peers()
    assert b"\x03\x42\x00\x04" in good
    # openssl takes explicit parameters for what they say, so the refusal is not for bad DER.
    openssl.output("pkey", "-pubin", "-inform", "DER", "-in", "key", "-noout", key=bad["explicit parameters"])
    common = {"KeyId": keys.id(AGREEMENT), "KeyAgreementAlgorithm": "ECDH"}
    keys.kms.derive_shared_secret(PublicKey=good, **common)
    answers = {}
    for name, public in bad.items():
        body = {**common, "PublicKey": base64.b64encode(public).decode()}
        answer = keys.account.signed("DeriveSharedSecret", body)
        answers[name] = (answer.status, answer.body)
    expected = (400, b'{"__type":"ValidationException"}')
    assert {name: answer for name, answer in answers.items() if answer != expected} == {}


def test_a_compressed_public_key_is_refused_or_understood(keys):
    own = ec.generate_private_key(ec.SECP256R1())
    compressed = der.ec_public_key(own.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint))
    common = {"KeyId": keys.id(AGREEMENT), "KeyAgreementAlgorithm": "ECDH"}
    try:
        answer = keys.kms.derive_shared_secret(PublicKey=compressed, **common)
    except keys.kms.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "ValidationException"
    else:
        assert answer["SharedSecret"] == own.exchange(ec.ECDH(), keys.outside(AGREEMENT).key)


def test_peers_of_length_zero_and_beyond_8192(keys):
    common = {"KeyId": keys.id(AGREEMENT), "KeyAgreementAlgorithm": "ECDH"}
    for public, bound in [(b"", "greater than or equal to 1"), (bytes(8193), "less than or equal to 8192")]:
        with refused("ValidationException") as caught:
            keys.kms.derive_shared_secret(PublicKey=public, **common)
        assert caught.value.response["Error"]["Message"].endswith(f"Member must have length {bound}")


def test_own_public_key_as_peer(keys):
    """Not an attack: both sides are one, and the answer is a secret like any other."""
    common = {"KeyId": keys.id(AGREEMENT), "KeyAgreementAlgorithm": "ECDH"}
    secrets = {
        keys.kms.derive_shared_secret(PublicKey=keys.outside(AGREEMENT).spki, **common)["SharedSecret"]
        for _ in range(2)
    }
    assert len(secrets) == 1


def test_two_keys_agree(account):
    made = [account.create_key(**creation_options(AGREEMENT))["KeyId"] for _ in range(2)]
    public = [account.kms.get_public_key(KeyId=key_id)["PublicKey"] for key_id in made]
    secrets = [
        account.kms.derive_shared_secret(KeyId=made[here], KeyAgreementAlgorithm="ECDH", PublicKey=public[1 - here])
        for here in (0, 1)
    ]
    assert secrets[0]["SharedSecret"] == secrets[1]["SharedSecret"]


# --- encapsulation


@pytest.mark.parametrize("kind", of_usage("ENCAPSULATE_DECAPSULATE"), ids=str)
def test_implicit_rejection(keys, kind):
    """A wrong ciphertext of the right length opens to a secret that looks like any other, always the same."""
    secret, blob = keys.outside(kind).encapsulate()
    common = {"KeyId": keys.id(kind), "EncapsulationAlgorithm": "ML_KEM"}

    def opened(ciphertext):
        answer = keys.kms.decapsulate(SharedSecretCiphertextBlob=ciphertext, **common)
        return answer["SharedSecret"]

    assert opened(blob) == secret
    found = {secret}
    wrong = [bytes([blob[0] ^ 1]) + blob[1:], blob[:-1] + bytes([blob[-1] ^ 0x80]), bytes(len(blob))]
    wrong += [b"\xff" * len(blob), os.urandom(len(blob))]
    for ciphertext in wrong:
        first = opened(ciphertext)
        assert len(first) == 32 and first not in found and opened(ciphertext) == first
        found.add(first)


@pytest.mark.parametrize("kind", of_usage("ENCAPSULATE_DECAPSULATE"), ids=str)
def test_encapsulated_secrets_have_one_length(keys, kind):
    size = interface.KEM_CIPHERTEXT_BYTES[kind.spec]
    others = [other for other in interface.KEM_CIPHERTEXT_BYTES.values() if other != size]
    for wrong in [1, size - 1, size + 1, 6144, *others]:
        with refused("InvalidCiphertextException", ""):
            keys.kms.decapsulate(
                KeyId=keys.id(kind), EncapsulationAlgorithm="ML_KEM", SharedSecretCiphertextBlob=os.urandom(wrong)
            )


def test_each_encapsulation_is_new(keys):
    kind = {"KeyId": keys.id("ML_KEM_768", "ENCAPSULATE_DECAPSULATE"), "EncapsulationAlgorithm": "ML_KEM"}
    made = [keys.kms.encapsulate(**kind) for _ in range(10)]
    assert len({answer["SharedSecret"] for answer in made}) == 10
    assert len({answer["SharedSecretCiphertextBlob"] for answer in made}) == 10


def test_a_ciphertext_for_another_key_gives_another_secret(account):
    kind = Kind("ML_KEM_512", "ENCAPSULATE_DECAPSULATE")
    first, second = (account.create_key(**creation_options(kind))["KeyId"] for _ in range(2))
    made = account.kms.encapsulate(KeyId=first, EncapsulationAlgorithm="ML_KEM")
    opened = account.kms.decapsulate(
        KeyId=second,
        EncapsulationAlgorithm="ML_KEM",
        SharedSecretCiphertextBlob=made["SharedSecretCiphertextBlob"],
    )
    assert opened["SharedSecret"] != made["SharedSecret"] and len(opened["SharedSecret"]) == 32


# --- signatures

SIGNERS = [
    pytest.param(kind, algorithm, id=f"{kind.spec}-{algorithm}")
    for kind in of_usage("SIGN_VERIFY")
    for algorithm in kind.algorithms
]


def signed(keys, kind, algorithm):
    """Arguments of a Verify that succeeds."""
    message_type = "RAW" if interface.takes(algorithm, "RAW") else "DIGEST"
    message = keys.outside(kind).message(algorithm, message_type, PLAINTEXT)
    common = {"KeyId": keys.id(kind), "Message": message, "MessageType": message_type, "SigningAlgorithm": algorithm}
    return {**common, "Signature": keys.kms.sign(**common)["Signature"]}


@pytest.mark.parametrize(("kind", "algorithm"), SIGNERS)
def test_altered_signatures(keys, kind, algorithm, chance):
    good = signed(keys, kind, algorithm)
    signature = good["Signature"]
    assert keys.kms.verify(**good)["SignatureValid"] is True
    size = len(signature)
    wrong = [signature[:-1], signature[1:], signature + b"\0", b"\0" + signature, signature * 2, bytes(size)]
    wrong += [b"\xff" * size, b"\0", b"x" * 6144, chance.randbytes(size)]
    for position in {0, 1, size // 2, size - 1, *(chance.randrange(size) for _ in range(8))}:
        altered = bytearray(signature)
        altered[position] ^= 1 << chance.randrange(8)
        wrong.append(bytes(altered))
    for altered in wrong:
        if altered == signature or len(altered) > 6144:
            continue
        with refused("KMSInvalidSignatureException", ""):
            keys.kms.verify(**{**good, "Signature": altered})


@pytest.mark.parametrize(("kind", "algorithm"), SIGNERS)
def test_a_signature_of_another_key(keys, account, kind, algorithm):
    if kind.spec in ("RSA_3072", "RSA_4096"):
        other = Kind("RSA_2048", "SIGN_VERIFY")
        foreign = {**signed(keys, other, algorithm), "KeyId": keys.id(kind)}
        with refused("KMSInvalidSignatureException", ""):
            keys.kms.verify(**foreign)
        return
    key_id = account.create_key(**creation_options(kind))["KeyId"]
    with refused("KMSInvalidSignatureException", ""):
        account.kms.verify(**{**signed(keys, kind, algorithm), "KeyId": key_id})


@pytest.mark.parametrize("kind", [k for k in of_usage("SIGN_VERIFY") if len(k.algorithms) > 1], ids=str)
def test_a_signature_by_another_algorithm(keys, kind):
    for made_by in kind.algorithms:
        good = signed(keys, kind, made_by)
        for algorithm in kind.algorithms:
            message_type = "RAW" if interface.takes(algorithm, "RAW") else "DIGEST"
            outside = keys.outside(kind)
            message = outside.message(algorithm, message_type, PLAINTEXT)
            tried = {**good, "SigningAlgorithm": algorithm, "MessageType": message_type, "Message": message}
            if algorithm == made_by:
                assert keys.kms.verify(**tried)["SignatureValid"] is True
                continue
            with refused("KMSInvalidSignatureException", ""):
                keys.kms.verify(**tried)


@pytest.mark.parametrize("kind", [k for k in of_usage("SIGN_VERIFY") if k.spec in CURVES], ids=str)
def test_ecdsa_signatures_in_other_forms(keys, kind):
    (algorithm,) = kind.algorithms
    good = signed(keys, kind, algorithm)
    r, s = utils.decode_dss_signature(good["Signature"])
    outside = keys.outside(kind)
    size = (outside.key.curve.key_size + 7) // 8
    order = outside.key.curve.group_order
    # Whoever has (r, s) also has (r, -s): ECDSA allows it, and so does every verifier that follows FIPS 186-5.
    flipped = utils.encode_dss_signature(r, order - s)
    assert outside.verifies(algorithm, "RAW", good["Message"], flipped)
    assert keys.kms.verify(**{**good, "Signature": flipped})["SignatureValid"] is True
    encoded = good["Signature"]
    body = der.integer(r) + der.integer(s)
    for wrong in [
        r.to_bytes(size, "big") + s.to_bytes(size, "big"),
        utils.encode_dss_signature(s, r),
        utils.encode_dss_signature(r + order, s),
        utils.encode_dss_signature(r, s + order),
        utils.encode_dss_signature(r, 0),
        utils.encode_dss_signature(0, s),
        utils.encode_dss_signature(0, 0),
        utils.encode_dss_signature(order, order),
        der.sequence(body, b"\5\0"),
        der.sequence(der.integer(r)),
        der.sequence(der.tlv(0x02, b"\0\0" + r.to_bytes(size, "big")), der.integer(s)),
        b"\x30\x80" + body + b"\0\0",
        b"\x30\x82" + len(body).to_bytes(2, "big") + body,
        b"\x31" + encoded[1:],
        encoded + b"\0",
    ]:
        with refused("KMSInvalidSignatureException", ""):
            keys.kms.verify(**{**good, "Signature": wrong})


def test_ed25519_signatures_in_other_forms(keys):
    kind = Kind("ECC_NIST_EDWARDS25519", "SIGN_VERIFY")
    for algorithm in kind.algorithms:
        good = signed(keys, kind, algorithm)
        signature = good["Signature"]
        scalar = int.from_bytes(signature[32:], "little")
        beyond = scalar + ed25519ph.ORDER
        assert beyond < 2**256
        for wrong in [
            # RFC 8032 section 5.1.7: a scalar of at least the order is refused, or one signature would have many forms.
            signature[:32] + beyond.to_bytes(32, "little"),
            bytes(64),
            b"\1" + bytes(63),
            signature[32:] + signature[:32],
        ]:
            with refused("KMSInvalidSignatureException", ""):
                keys.kms.verify(**{**good, "Signature": wrong})
        # The two ways of signing do not stand in for each other, nor for the other way of hashing twice.
        other = "ED25519_SHA_512" if "PH" in algorithm else "ED25519_PH_SHA_512"
        message_type = "DIGEST" if "PH" in other else "RAW"
        digest = hashlib.sha512(good["Message"]).digest()
        for message in {good["Message"], digest}:
            if message_type == "DIGEST" and len(message) != 64:
                continue
            with refused("KMSInvalidSignatureException", ""):
                keys.kms.verify(**{**good, "SigningAlgorithm": other, "MessageType": message_type, "Message": message})


def test_ed25519_signs_the_same_each_time(keys):
    """RFC 8032: no randomness; two different signatures of one message would leak the key."""
    kind = Kind("ECC_NIST_EDWARDS25519", "SIGN_VERIFY")
    for algorithm in kind.algorithms:
        assert len({signed(keys, kind, algorithm)["Signature"] for _ in range(5)}) == 1


@pytest.mark.parametrize(
    "kind", [k for k in of_usage("SIGN_VERIFY") if k.spec in CURVES or k.spec.startswith("ML_DSA")], ids=str
)
def test_other_signatures_are_randomized(keys, kind):
    assert len({signed(keys, kind, kind.algorithms[0])["Signature"] for _ in range(5)}) == 5


def test_rsa_signatures_in_other_forms(keys):
    kind = Kind("RSA_2048", "SIGN_VERIFY")
    modulus = keys.outside(kind).key.public_numbers().n
    for algorithm in kind.algorithms:
        good = signed(keys, kind, algorithm)
        number = int.from_bytes(good["Signature"], "big")
        wrong = [b"\0" + good["Signature"], (modulus - number).to_bytes(256, "big"), modulus.to_bytes(256, "big")]
        if number + modulus < 2**2048:
            wrong.append((number + modulus).to_bytes(256, "big"))
        for signature in wrong:
            with refused("KMSInvalidSignatureException", ""):
                keys.kms.verify(**{**good, "Signature": signature})


# --- what stays


@pytest.mark.parametrize("stop", ["stop", "kill"])
def test_every_kind_of_key_survives_a_restart(tmp_path, stop):
    kinds = [kind for kind in KINDS if kind.spec not in ("RSA_3072", "RSA_4096")]
    with servers.dev(tmp_path / "data") as server:
        account = Account(server, "111122223333")
        made = [(kind, account.create_key(**creation_options(kind))) for kind in kinds]
        kept = [(key, proofs.make(account.kms, kind, key["KeyId"])) for kind, key in made]
        getattr(server, stop)()
    with servers.dev(tmp_path / "data") as server:
        account = Account(server, "111122223333")
        for key, proof in kept:
            assert account.metadata(key["KeyId"]) == key
            proofs.check(account.kms, proof)


def test_no_two_keys_are_alike(account):
    """Fresh material each time: an HMAC key, an EC key and an ML-KEM key, twenty times."""
    macs, publics = set(), set()
    for _ in range(20):
        key_id = account.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyId"]
        macs.add(account.kms.generate_mac(KeyId=key_id, Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"])
        for kind in (AGREEMENT, Kind("ML_KEM_512", "ENCAPSULATE_DECAPSULATE")):
            key_id = account.create_key(**creation_options(kind))["KeyId"]
            publics.add(account.kms.get_public_key(KeyId=key_id)["PublicKey"])
    assert len(macs) == 20 and len(publics) == 40
