"""Attestation documents of Nitro Enclaves and NitroTPM under a root of the test's own, and the sealed replies.

`TestRoot` stands for the Nitro PKI: give its `pem` to the server as an accepted root. An `Enclave` has a key pair,
makes documents and opens `CiphertextForRecipient`; `bad_documents` are those that no server must believe."""

import datetime
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.x509.oid import NameOID

from support.der import tlv

MODULE_ID = "i-1234567890abcdef0-enc9876543210abcde"
ES384 = {1: -35}
NITRO_ENCLAVE, NITRO_TPM = "pcrs", "nitrotpm_pcrs"
DEFAULT_PCRS = {index: bytes([index]) * 48 for index in range(5)}
ABSENT = object()
_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


class TestRoot:
    """A root, an authority below it, and the certificate that signs documents: all P-384, as AWS's are."""

    __test__ = False  # not a class of tests

    def __init__(self, valid_from=None, valid_for=datetime.timedelta(days=3650)):
        valid_from = valid_from or datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        self.valid_from, self.valid_until = valid_from, valid_from + valid_for
        self._root_key, self._zone_key = _ec_key(), _ec_key()
        self.root = self._certificate("root", self._root_key, "root", self._root_key, path_length=None)
        self.zone = self._certificate("zone", self._zone_key, "root", self._root_key, path_length=0)
        self.signer_key = _ec_key()
        self.signer = self.signer_certificate()

    @property
    def pem(self):
        """The root certificate for the server's configuration."""
        return self.root.public_bytes(serialization.Encoding.PEM)

    @property
    def fingerprint(self):
        """SHA-256 of the root certificate's DER, 64 hexadecimal digits."""
        return hashlib.sha256(der(self.root)).hexdigest()

    def signer_certificate(self, **changes):
        """What signs documents; by `changes` one that must not, such as `path_length=0` (an authority)."""
        return self._certificate("signer", self.signer_key, "zone", self._zone_key, **changes)

    def document(self, public_key=None, *, pcrs=None, platform=NITRO_ENCLAVE, at=None, module_id=MODULE_ID, **changes):
        """A signed document; `at` is a datetime. `changes` replace fields by name, `ABSENT` leaves one out; they may
        also be `signer`, `protected`, `indefinite`, `tagged`, and `extra` (encoded names and values)."""
        at = at or datetime.datetime.now(datetime.UTC)
        signer = changes.pop("signer", self.signer)
        envelope = {name: changes.pop(name) for name in ("protected", "tagged") if name in changes}
        indefinite, extra = changes.pop("indefinite", False), changes.pop("extra", b"")
        fields = {
            "module_id": module_id,
            "digest": "SHA384",
            "timestamp": int(at.timestamp() * 1000),
            platform: DEFAULT_PCRS if pcrs is None else pcrs,
            "certificate": der(signer),
            "cabundle": [der(self.root), der(self.zone)],
            "public_key": None if public_key is None else spki(public_key),
            "user_data": None,
            "nonce": None,
            **changes,
        }
        fields = {name: value for name, value in fields.items() if value is not ABSENT}
        payload = encode(fields)[1:] + extra
        if indefinite:
            return self.sign(b"\xbf" + payload + b"\xff", **envelope)
        return self.sign(_head(5, len(fields) + bool(extra)) + payload, **envelope)

    def sign(self, payload, protected=ES384, tagged=False):
        """COSE_Sign1 (RFC 9052, section 4.2) around any bytes."""
        protected = encode(protected)
        signature = self._sign(encode(["Signature1", protected, b"", payload]))
        return (b"\xd2" if tagged else b"") + encode([protected, {}, payload, signature])

    def _sign(self, message):
        first, second = utils.decode_dss_signature(self.signer_key.sign(message, ec.ECDSA(hashes.SHA384())))
        return first.to_bytes(48, "big") + second.to_bytes(48, "big")

    def _certificate(self, name, key, issuer, issuer_key, path_length=ABSENT, signs=True, **validity):
        is_authority = path_length is not ABSENT
        usage = dict.fromkeys(
            ["content_commitment", "key_encipherment", "data_encipherment", "crl_sign"]
            + ["encipher_only", "decipher_only"],
            False,
        )
        usage |= {"digital_signature": signs and not is_authority, "key_cert_sign": signs and is_authority}
        usage |= {"key_agreement": not signs}
        constraints = x509.BasicConstraints(ca=is_authority, path_length=path_length if is_authority else None)
        return (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(validity.get("valid_from", self.valid_from))
            .not_valid_after(validity.get("valid_until", self.valid_until))
            .add_extension(constraints, critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .sign(issuer_key, hashes.SHA384())
        )


class Enclave:
    """A key pair and what is attested about its holder."""

    def __init__(self, root, *, pcrs=None, platform=NITRO_ENCLAVE, module_id=MODULE_ID, bits=2048):
        self.key = recipient_key(bits)
        self._root = root
        self._attested = {"pcrs": pcrs, "platform": platform, "module_id": module_id}

    @property
    def private_pem(self):
        return pem(self.key)

    def document(self, **changes):
        """A fresh document with the public key; `changes` as in `TestRoot.document`."""
        return self._root.document(**{"public_key": self.key, **self._attested, **changes})

    def recipient(self, **changes):
        """The `Recipient` parameter of a request."""
        return {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": self.document(**changes)}

    def open(self, sealed):
        return open_reply(self.key, sealed)


def bad_documents(root, enclave):
    """Documents that must not be believed, by what is wrong with them. All but the forged ones are rightly signed."""
    now, minute = datetime.datetime.now(datetime.UTC), datetime.timedelta(minutes=1)
    other = TestRoot()
    good = enclave.document()
    register = {0: b"\0" * 48}
    return {
        "another root": enclave.document(cabundle=[der(other.root), der(root.zone)]),
        "another root's chain": other.document(enclave.key),
        "another root's signature": other.document(enclave.key, signer=root.signer, cabundle=bundle(root)),
        "the root not first": enclave.document(cabundle=bundle(root)[::-1]),
        "no root": enclave.document(cabundle=[der(root.zone)]),
        "no authority": enclave.document(cabundle=[der(root.root)]),
        "no bundle": enclave.document(cabundle=[]),
        "an authority too many": enclave.document(cabundle=[*bundle(root), der(other.zone)]),
        "an expired signer": enclave.document(signer=root.signer_certificate(valid_until=now - minute)),
        "a signer of tomorrow": enclave.document(signer=root.signer_certificate(valid_from=now + 60 * minute)),
        "an authority as signer": enclave.document(signer=root.signer_certificate(path_length=0)),
        "a signer without the usage": enclave.document(signer=root.signer_certificate(signs=False)),
        "an authority's certificate": enclave.document(signer=root.zone),
        "an altered payload": good.replace(MODULE_ID.encode(), MODULE_ID.encode()[::-1]),
        "an altered signature": good[:-1] + bytes([good[-1] ^ 1]),
        "an empty signature": good[:-96] + bytes(96),
        "another algorithm": enclave.document(protected={1: -7}),
        "another header": enclave.document(protected={1: -35, 4: b"key"}),
        "old": enclave.document(at=now - 6 * minute),
        "from the future": enclave.document(at=now + 6 * minute),
        "no time": enclave.document(timestamp=0),
        "no public key": enclave.document(public_key=None),
        "a field of no value": enclave.document(public_key=b""),
        "an elliptic curve key": enclave.document(public_key=ec.generate_private_key(ec.SECP256R1())),
        "a short RSA key": enclave.document(public_key=recipient_key(1024)),
        "a cut public key": enclave.document(public_key=spki(enclave.key)[:-1]),
        "no registers": enclave.document(pcrs={}),
        "too many registers": enclave.document(pcrs={index: b"\0" * 48 for index in range(33)}),
        "an oversized register": enclave.document(pcrs={0: b"\0" * 65}),
        "registers of both platforms": enclave.document(platform=NITRO_ENCLAVE, nitrotpm_pcrs=register),
        "a register twice": enclave.document(pcrs=ABSENT, extra=encode("pcrs") + b"\xa2" + 2 * encode(register)[1:]),
        "a field twice": enclave.document(extra=encode("module_id") + encode(MODULE_ID)),
        "an unknown field": enclave.document(policy=b"any"),
        "another digest": enclave.document(digest="SHA256"),
        "no module": enclave.document(module_id=ABSENT),
        "an empty module": enclave.document(module_id=""),
        "too much user data": enclave.document(user_data=b"\0" * 1025),
        "bytes after the map": root.sign(encode({"module_id": MODULE_ID}) + b"\0"),
        "no map": root.sign(encode(["module_id"])),
        "an open map": root.sign(b"\xbf"),
    }


def bundle(root):
    return [der(root.root), der(root.zone)]


def recipient_key(bits=2048):
    """The key pair that an enclave would make."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def spki(key):
    """DER SubjectPublicKeyInfo of a public or private key; bytes stay as they are."""
    if isinstance(key, bytes):
        return key
    public = key.public_key() if hasattr(key, "public_key") else key
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def pem(private_key):
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private_key.private_bytes(*form)


def _ec_key():
    return ec.generate_private_key(ec.SECP384R1())


def der(certificate):
    return certificate.public_bytes(serialization.Encoding.DER)


def _name(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def encode(value):
    """CBOR (RFC 8949) of what documents are made of."""
    match value:
        case None:
            return b"\xf6"
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case bytes():
            return _head(2, len(value)) + value
        case str():
            return _head(3, len(value.encode())) + value.encode()
        case list():
            return _head(4, len(value)) + b"".join(map(encode, value))
        case dict():
            return _head(5, len(value)) + b"".join(encode(name) + encode(item) for name, item in value.items())
    raise TypeError(type(value))


def _head(major, number):
    if number < 24:
        return bytes([major << 5 | number])
    size = next(size for size in range(4) if number < 1 << (8 << size))
    return bytes([major << 5 | 24 + size]) + number.to_bytes(1 << size, "big")


def open_reply(key, sealed):
    """The plaintext of `CiphertextForRecipient`, which must have the very structure that AWS KMS gives it."""
    identifier, encrypted_key, vector, content = reply_parts(sealed)
    assert identifier == hashlib.sha256(spki(key)).digest(), "sealed to another key"
    decryptor = Cipher(algorithms.AES256(key.decrypt(encrypted_key, _OAEP)), modes.CBC(vector)).decryptor()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(decryptor.update(content) + decryptor.finalize()) + unpadder.finalize()


def open_reply_by_openssl(key, sealed):
    """The same by `openssl cms -decrypt`, which shares no code with `open_reply`."""
    with tempfile.TemporaryDirectory() as directory:
        key_file, reply_file = Path(directory, "key.pem"), Path(directory, "reply.cms")
        key_file.write_bytes(pem(key))
        reply_file.write_bytes(sealed)
        command = ["openssl", "cms", "-decrypt", "-inform", "DER", "-in", reply_file, "-inkey", key_file, "-binary"]
        return subprocess.run(command, capture_output=True, check=True).stdout


def reply_parts(sealed):
    """Subject key identifier, encrypted content key, initialisation vector and encrypted content of a CMS reply."""
    tree, rest = _read(sealed)
    assert rest == b"", "bytes after the reply"
    _, _, [_kind, (_, _, [(_, _, [_version, (_, _, [recipient]), content_info])])] = tree
    _, _, [_version, (_, _, identifier), _transport, (_, _, encrypted_key)] = recipient
    _, _, [_kind, (_, _, [_cipher, (_, _, vector)]), (_, _, chunks)] = content_info
    parts = identifier, encrypted_key, vector, b"".join(chunk for _, _, chunk in chunks)
    assert tree == _reply(*parts), "not the structure of AWS KMS"
    return parts


def seal_reply(key, plaintext):
    """`CiphertextForRecipient` as the tool itself would write it, to test the readers."""
    content_key, vector, padder = os.urandom(32), os.urandom(16), PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES256(content_key), modes.CBC(vector)).encryptor()
    content = encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()
    encrypted_key = key.public_key().encrypt(content_key, _OAEP)
    return _write(_reply(hashlib.sha256(spki(key)).digest(), encrypted_key, vector, content))


def _reply(identifier, encrypted_key, vector, content):
    """The tree of a reply (RFC 5652, section 6.1): tag, whether its length is definite, and value or elements."""
    sha256 = (0x30, True, [_identifier(2, 16, 840, 1, 101, 3, 4, 2, 1), (0x05, True, b"")])
    mask = (0x30, True, [_identifier(1, 2, 840, 113549, 1, 1, 8), sha256])
    oaep = (0x30, True, [(0xA0, True, [sha256]), (0xA1, True, [mask])])
    transport = (0x30, True, [_identifier(1, 2, 840, 113549, 1, 1, 7), oaep])
    version = (0x02, True, b"\x02")
    recipient = (0x30, True, [version, (0x80, True, identifier), transport, (0x04, True, encrypted_key)])
    cipher = (0x30, True, [_identifier(2, 16, 840, 1, 101, 3, 4, 1, 42), (0x04, True, vector)])
    chunks = (0xA0, False, [(0x04, True, content)])
    content_info = (0x30, False, [_identifier(1, 2, 840, 113549, 1, 7, 1), cipher, chunks])
    data = (0x30, False, [version, (0x31, True, [recipient]), content_info])
    return 0x30, False, [_identifier(1, 2, 840, 113549, 1, 7, 3), (0xA0, False, [data])]


def _identifier(first, second, *arcs):
    """An object identifier (X.690, section 8.19)."""
    value = bytes([first * 40 + second])
    for arc in arcs:
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.insert(0, arc & 0x7F | 0x80)
        value += bytes(digits)
    return 0x06, True, value


def _read(data):
    """One BER element and what follows it. Constructed elements have a list of elements, others their bytes."""
    tag, length, rest = data[0], data[1], data[2:]
    if length == 0x80:
        elements = []
        while rest[:2] != b"\0\0":
            element, rest = _read(rest)
            elements.append(element)
        return (tag, False, elements), rest[2:]
    if length > 0x80:
        size = length & 0x7F
        length, rest = int.from_bytes(rest[:size], "big"), rest[size:]
    content, rest = rest[:length], rest[length:]
    assert len(content) == length, "the reply ends within an element"
    if not tag & 0x20:
        return (tag, True, content), rest
    elements = []
    while content:
        element, content = _read(content)
        elements.append(element)
    return (tag, True, elements), rest


def _write(element):
    """The BER of an element, as `_read` returns it."""
    tag, is_definite, content = element
    if isinstance(content, list):
        content = b"".join(map(_write, content))
    return tlv(tag, content) if is_definite else bytes([tag, 0x80]) + content + b"\0\0"
