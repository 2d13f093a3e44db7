"""The attestation tool itself, without a server: its documents as AWS describes them, its readers on a real reply."""

import datetime
import hashlib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from support import attestation
from support.attestation import ABSENT, NITRO_TPM, TestRoot, encode

TESTDATA = Path(__file__).parents[1] / "crates" / "crypto" / "testdata" / "attestation"


@pytest.fixture(scope="module")
def root():
    return TestRoot()


@pytest.fixture(scope="module")
def enclave():
    return attestation.recipient_key()


def decode(data):
    """Another reader than the tool's writer: the value, and the bytes after it."""
    major, number, data = data[0] >> 5, data[0] & 31, data[1:]
    if number in (24, 25, 26, 27):
        size = 1 << (number - 24)
        number, data = int.from_bytes(data[:size], "big"), data[size:]
    match major:
        case 0:
            return number, data
        case 1:
            return -1 - number, data
        case 2:
            return data[:number], data[number:]
        case 3:
            return data[:number].decode(), data[number:]
        case 4:
            items = []
            for _ in range(number):
                item, data = decode(data)
                items.append(item)
            return items, data
        case 5:
            items = {}
            while (number != 31 and len(items) < number) or (number == 31 and data[0] != 0xFF):
                name, data = decode(data)
                items[name], data = decode(data)
            return items, data[1:] if number == 31 else data
        case 6:
            return decode(data)
        case _:
            assert number == 22
            return None, data


def verified(document, public_key):
    """The payload of a document, after checking its signature (RFC 9052, section 4.4)."""
    (protected, unprotected, payload, signature), rest = decode(document)
    assert (unprotected, rest) == ({}, b"") and decode(protected) == ({1: -35}, b"") and len(signature) == 96
    halves = int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")
    message = b"\x84\x6aSignature1\x44\xa1\x01\x38\x22\x40\x59" + len(payload).to_bytes(2, "big") + payload
    public_key.verify(utils.encode_dss_signature(*halves), message, ec.ECDSA(hashes.SHA384()))
    fields, rest = decode(payload)
    assert rest == b""
    return fields


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (256, "190100"),
        (65536, "1a00010000"),
        (1 << 32, "1b0000000100000000"),
        (-35, "3822"),
        (b"\x01", "4101"),
        ("ü", "62c3bc"),
        ([1, [2]], "82018102"),
        ({1: -35}, "a1013822"),
        (None, "f6"),
    ],
)
def test_cbor(value, expected):
    assert encode(value).hex() == expected
    assert decode(encode(value)) == (value, b"")


def test_a_document_holds_what_it_was_asked_for(root, enclave):
    at = datetime.datetime(2026, 6, 15, 12, tzinfo=datetime.UTC)
    registers = {0: b"\0" * 48, 31: b"\xff" * 64}
    document = root.document(enclave, pcrs=registers, at=at, module_id="m", nonce=b"once", user_data=ABSENT)
    fields = verified(document, root.signer_key.public_key())
    certificates = {name: fields.pop(name) for name in ("certificate", "cabundle")}
    assert fields == {
        "module_id": "m",
        "digest": "SHA384",
        "timestamp": 1_781_524_800_000,
        "pcrs": registers,
        "public_key": attestation.spki(enclave),
        "nonce": b"once",
    }
    assert hashlib.sha256(certificates["cabundle"][0]).hexdigest() == root.fingerprint
    root.zone.verify_directly_issued_by(root.root)
    root.signer.verify_directly_issued_by(root.zone)
    assert all(len(certificate) <= 1024 for certificate in [certificates["certificate"], *certificates["cabundle"]])


def test_both_forms_and_both_platforms(root, enclave):
    key = root.signer_key.public_key()
    plain = verified(root.document(enclave, platform=NITRO_TPM), key)
    assert "pcrs" not in plain and plain["nitrotpm_pcrs"] == attestation.DEFAULT_PCRS
    document = root.document(enclave, platform=NITRO_TPM, indefinite=True, tagged=True)
    assert document[0] == 0xD2
    assert verified(document, key).keys() == plain.keys()


def test_an_altered_document_does_not_verify(root, enclave):
    document = bytearray(root.document(enclave))
    document[100] ^= 1
    with pytest.raises((InvalidSignature, UnicodeDecodeError)):
        verified(bytes(document), root.signer_key.public_key())


def test_real_documents_verify_by_the_same_rules():
    """The check above is the right one: it holds for documents that AWS signed."""
    for name, registers in (("enclave.cose", "pcrs"), ("nitrotpm.cose", "nitrotpm_pcrs")):
        document = (TESTDATA / name).read_bytes()
        (_, _, payload, _), _ = decode(document)
        certificate = x509.load_der_x509_certificate(decode(payload)[0]["certificate"])
        assert registers in verified(document, certificate.public_key())


def test_a_real_reply_has_the_structure_that_is_demanded():
    reply = (TESTDATA / "kms-reply.cms").read_bytes()
    identifier, encrypted_key, vector, content = attestation.reply_parts(reply)
    assert identifier == hashlib.sha256((TESTDATA / "kms-reply.spki").read_bytes()).digest()
    assert (len(encrypted_key), len(vector), len(content)) == (256, 16, 48)
    for altered in (reply + b"\0", reply[:-2], b"\x30\x82" + reply[2:], reply.replace(vector, vector[:15])):
        with pytest.raises((AssertionError, IndexError, ValueError)):
            attestation.reply_parts(altered)


def test_a_reply_opens_in_both_ways(enclave):
    for plaintext in (b"", b"k" * 32, b"p" * 4096):
        sealed = attestation.seal_reply(enclave, plaintext)
        assert attestation.open_reply(enclave, sealed) == plaintext
        assert attestation.open_reply_by_openssl(enclave, sealed) == plaintext
    with pytest.raises(AssertionError, match="another key"):
        attestation.open_reply(attestation.recipient_key(), sealed)


def test_bad_documents_are_all_different_and_none_is_good(root):
    enclave = attestation.Enclave(root)
    bad = attestation.bad_documents(root, enclave)
    assert len(set(bad.values())) == len(bad) > 30
    signed = 0
    for document in bad.values():
        try:
            verified(document, root.signer_key.public_key())
        except (InvalidSignature, AssertionError, IndexError):
            continue
        signed += 1
    assert signed > 25, "documents that are wrong in one thing must be right in the others"
