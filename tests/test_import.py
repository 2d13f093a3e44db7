"""Imported key material: wrapped by OpenSSL and by PyPI cryptography for every cell of AWS's matrix, and what is refused."""

import datetime
import hashlib
import hmac
import os

import pytest
from cryptography.hazmat.primitives import keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from support import openssl
from support.aws import refused
from support.outside import CURVES, RSA_BITS, oaep

FOREVER = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
HMAC_BYTES = {"HMAC_224": 28, "HMAC_256": 32, "HMAC_384": 48, "HMAC_512": 64}
CURVE_SPECS = [*CURVES, "ECC_NIST_EDWARDS25519"]
SIZES = ["RSA_2048", "RSA_3072", "RSA_4096"]
OAEP = ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]
KEY_WRAP = ["RSA_AES_KEY_WRAP_SHA_1", "RSA_AES_KEY_WRAP_SHA_256"]
SPECS = ["SYMMETRIC_DEFAULT", *HMAC_BYTES, *RSA_BITS, *CURVE_SPECS]


def offered(spec, algorithm, size):
    """The matrix of the developer guide, cell by cell."""
    if spec in RSA_BITS:
        return algorithm in KEY_WRAP
    if algorithm in KEY_WRAP:
        return spec in CURVE_SPECS
    return (spec, size) != ("ECC_NIST_P521", "RSA_2048")


CELLS = [(spec, way, size) for spec in SPECS for way in OAEP + KEY_WRAP for size in SIZES]


def create(account, spec="SYMMETRIC_DEFAULT"):
    usage = "ENCRYPT_DECRYPT" if spec == "SYMMETRIC_DEFAULT" else "SIGN_VERIFY"
    usage = "GENERATE_VERIFY_MAC" if spec in HMAC_BYTES else usage
    return account.create_key(Origin="EXTERNAL", KeySpec=spec, KeyUsage=usage)["KeyId"]


def pkcs8_of(private):
    encoding, form = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8
    return private.private_bytes(encoding, form, serialization.NoEncryption())


def spki_of(private):
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


_privates = {}


def private_key(spec):
    """A key made outside, one of each kind for the whole run."""
    if spec not in _privates:
        if spec in RSA_BITS:
            _privates[spec] = rsa.generate_private_key(65537, RSA_BITS[spec])
        elif spec in CURVES:
            _privates[spec] = ec.generate_private_key(CURVES[spec]())
        else:
            _privates[spec] = ed25519.Ed25519PrivateKey.generate()
    return _privates[spec]


def material(spec):
    if spec in RSA_BITS or spec in CURVE_SPECS:
        return pkcs8_of(private_key(spec))
    return os.urandom(HMAC_BYTES.get(spec, 32))


def by_python(algorithm, spki, plain):
    public = serialization.load_der_public_key(spki)
    if algorithm in OAEP:
        return public.encrypt(plain, oaep(algorithm))
    between = os.urandom(32)
    return public.encrypt(between, oaep(algorithm)) + keywrap.aes_key_wrap_with_padding(between, plain)


def by_openssl(algorithm, spki, plain):
    digest = "sha1" if algorithm.endswith("SHA_1") else "sha256"
    options = ["rsa_padding_mode:oaep", f"rsa_oaep_md:{digest}", f"rsa_mgf1_md:{digest}"]
    extra = [part for option in options for part in ("-pkeyopt", option)]

    def encrypt(secret):
        command = ("pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", "spki", "-in", "secret", *extra)
        return openssl.output(*command, spki=spki, secret=secret)

    if algorithm in OAEP:
        return encrypt(plain)
    between = os.urandom(32)
    command = ("enc", "-id-aes256-wrap-pad", "-iv", "A65959A6", "-K", between.hex(), "-in", "plain")
    return encrypt(between) + openssl.output(*command, plain=plain)


def parameters(account, key, algorithm="RSAES_OAEP_SHA_256", size="RSA_2048"):
    return account.kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec=size)


def send(account, key, given, wrapped, **options):
    options = options or FOREVER
    return account.kms.import_key_material(
        KeyId=key, ImportToken=given["ImportToken"], EncryptedKeyMaterial=wrapped, **options
    )


def bring(account, key, plain, **options):
    given = parameters(account, key)
    return send(account, key, given, by_python("RSAES_OAEP_SHA_256", given["PublicKey"], plain), **options)


def works(account, key, spec, plain):
    """What the key does is what the material does outside."""
    if spec == "SYMMETRIC_DEFAULT":
        blob = account.kms.encrypt(KeyId=key, Plaintext=b"plain")["CiphertextBlob"]
        return account.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"plain"
    if spec in HMAC_BYTES:
        number = spec.removeprefix("HMAC_")
        made = account.kms.generate_mac(KeyId=key, Message=b"message", MacAlgorithm=f"HMAC_SHA_{number}")["Mac"]
        return made == hmac.digest(plain, b"message", getattr(hashlib, f"sha{number}"))
    return account.kms.get_public_key(KeyId=key)["PublicKey"] == spki_of(private_key(spec))


@pytest.mark.parametrize(("spec", "algorithm", "size"), [cell for cell in CELLS if offered(*cell)])
def test_a_cell_of_the_matrix(account, spec, algorithm, size):
    key, plain = create(account, spec), material(spec)
    given = parameters(account, key, algorithm, size)
    assert given["KeyId"] == account.key_arn(key)
    assert serialization.load_der_public_key(given["PublicKey"]).key_size == RSA_BITS[size]
    for wrap in (by_openssl, by_python):
        told = send(account, key, given, wrap(algorithm, given["PublicKey"], plain))
        assert told["KeyId"] == account.key_arn(key)
        assert ("KeyMaterialId" in told) == (spec == "SYMMETRIC_DEFAULT")
        assert account.metadata(key)["KeyState"] == "Enabled"
        assert works(account, key, spec, plain), wrap
        account.kms.delete_imported_key_material(KeyId=key)
        assert account.metadata(key)["KeyState"] == "PendingImport"


@pytest.mark.parametrize(("spec", "algorithm", "size"), [cell for cell in CELLS if not offered(*cell)])
def test_a_cell_that_aws_does_not_offer(account, spec, algorithm, size):
    with refused("UnsupportedOperationException"):
        parameters(account, create(account, spec), algorithm, size)


@pytest.mark.parametrize(("algorithm", "size"), [("RSAES_PKCS1_V1_5", "RSA_2048"), ("SM2PKE", "SM2")])
def test_wrappings_of_other_times_and_places(account, algorithm, size):
    with refused("UnsupportedOperationException"):
        parameters(account, create(account), algorithm, size)


@pytest.mark.parametrize("spec", ["ML_DSA_44", "ML_KEM_768"])
def test_specs_that_take_no_material(account, spec):
    usage = "SIGN_VERIFY" if spec.startswith("ML_DSA") else "ENCAPSULATE_DECAPSULATE"
    with refused("ValidationException", f"KeySpec {spec} is not supported for Origin EXTERNAL"):
        account.create_key(Origin="EXTERNAL", KeySpec=spec, KeyUsage=usage)


def test_a_key_before_and_after_its_first_import(aws):
    key = create(aws)
    before = aws.metadata(key)
    assert (before["KeyState"], before["Enabled"], before["Origin"]) == ("PendingImport", False, "EXTERNAL")
    assert not {"ValidTo", "ExpirationModel", "CurrentKeyMaterialId"} & set(before)
    with refused("KMSInvalidStateException", f"{before['Arn']} is pending import."):
        aws.kms.encrypt(KeyId=key, Plaintext=b"x")
    ends = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=30)
    told = bring(aws, key, os.urandom(32), ValidTo=ends)
    after = aws.metadata(key)
    assert (after["KeyState"], after["Enabled"]) == ("Enabled", True)
    assert (after["ExpirationModel"], after["ValidTo"]) == ("KEY_MATERIAL_EXPIRES", ends)
    assert after["CurrentKeyMaterialId"] == told["KeyMaterialId"]


def test_foreign_and_altered_tokens(account, chance):
    key, other = create(account), create(account)
    given, foreign = parameters(account, key), parameters(account, other)
    wrapped = by_python("RSAES_OAEP_SHA_256", given["PublicKey"], os.urandom(32))
    tokens = [foreign["ImportToken"], b"x", given["ImportToken"][:-1], given["ImportToken"] + b"x"]
    for _ in range(40):
        altered = bytearray(given["ImportToken"])
        altered[chance.randrange(len(altered))] ^= 1 << chance.randrange(8)
        tokens.append(bytes(altered))
    for token in tokens:
        with refused("InvalidImportTokenException"):
            send(account, key, {"ImportToken": token}, wrapped)
    with refused("InvalidCiphertextException"):
        send(account, key, parameters(account, key), wrapped)
    send(account, key, given, wrapped)


def test_wrong_lengths_and_other_material(account):
    key = create(account)
    for length in (1, 31, 33, 64):
        with refused("IncorrectKeyMaterialException"):
            bring(account, key, os.urandom(length))
    given = parameters(account, key)
    for length in (1, 255, 257):
        with refused("ValidationException", "Invalid encrypted key size."):
            send(account, key, given, b"x" * length)
    first = os.urandom(32)
    bring(account, key, first)
    blob = account.kms.encrypt(KeyId=key, Plaintext=b"plain")["CiphertextBlob"]
    account.kms.delete_imported_key_material(KeyId=key)
    with refused("IncorrectKeyMaterialException"):
        bring(account, key, os.urandom(32))
    with refused("KMSInvalidStateException"):
        account.kms.decrypt(CiphertextBlob=blob)
    bring(account, key, first)
    assert account.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"plain"


def test_the_date_of_expiry(account):
    key, now = create(account), datetime.datetime.now(datetime.UTC)
    with refused("ValidationException", "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"):
        bring(account, key, os.urandom(32), ExpirationModel="KEY_MATERIAL_EXPIRES")
    for days in (-1, 367):
        with refused("ValidationException"):
            bring(account, key, os.urandom(32), ValidTo=now + datetime.timedelta(days=days))
    with refused("ValidationException"):
        bring(account, key, os.urandom(32), ValidTo=now + datetime.timedelta(days=1), **FOREVER)


def test_keys_made_here_take_no_material(account):
    arn = account.create_key()["Arn"]
    text = f"{arn} origin is AWS_KMS which is not valid for this operation."
    with refused("UnsupportedOperationException", text):
        parameters(account, arn)
    with refused("UnsupportedOperationException", text):
        account.kms.delete_imported_key_material(KeyId=arn)


def test_a_token_is_good_for_a_day(clocked):
    key = create(clocked)
    given = parameters(clocked, key)
    wrapped = by_python("RSAES_OAEP_SHA_256", given["PublicKey"], os.urandom(32))
    clocked.server.control("clock", {"advance": "23h"})
    send(clocked, key, given, wrapped)
    clocked.server.control("clock", {"advance": "2h"})
    with refused("ExpiredImportTokenException"):
        send(clocked, key, given, wrapped)


def test_material_goes_when_its_time_has_come(clocked):
    key, plain = create(clocked), os.urandom(32)
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=10)
    bring(clocked, key, plain, ValidTo=ends)
    blob = clocked.kms.encrypt(KeyId=key, Plaintext=b"plain")["CiphertextBlob"]
    clocked.server.control("clock", {"advance": "9d"})
    assert clocked.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"plain"
    clocked.server.control("clock", {"advance": "2d"})
    known = clocked.metadata(key)
    assert known["KeyState"] == "PendingImport" and "ValidTo" not in known
    with refused("KMSInvalidStateException", f"{known['Arn']} is pending import."):
        clocked.kms.decrypt(CiphertextBlob=blob)
    bring(clocked, key, plain)
    assert clocked.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"plain"
