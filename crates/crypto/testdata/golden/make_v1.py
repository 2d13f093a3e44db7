"""Makes v1.json: one chain of every format of docs/FORMATS.md, from the unseal secret down to the ciphertext blob.

A second implementation of that document, with Python's hashlib, hmac and the package `cryptography`; it shares no
code with the crate. v1.json is checked in and never made again: what it holds must stay readable for ever.
This file is kept to show where it came from and to start the next version from.
"""

import hashlib
import hmac
import json
import pathlib
import struct
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def example(name, length):
    """Bytes that look random and are the same in every run."""
    return hashlib.shake_256(name.encode()).digest(length)


def kdf(secret, label, context, length):
    info = label.encode() + b"\0" + context + struct.pack(">I", length * 8)
    blocks = (hmac.digest(secret, struct.pack(">I", i) + info, "sha256") for i in range(1, 1 + (length + 31) // 32))
    return b"".join(blocks)[:length]


def with_length(data):
    return struct.pack(">Q", len(data)) + data


def envelope(name, secret, label, prefix, associated, plaintext):
    salt, nonce = example(name + " salt", 16), example(name + " nonce", 12)
    derived = kdf(secret, label, prefix + salt, 64)
    key, commitment = derived[:32], derived[32:]
    header = prefix + salt + commitment
    return header + nonce + AESGCM(key).encrypt(nonce, plaintext, header + associated)


def context_bytes(context):
    pairs = sorted((key.encode(), value.encode()) for key, value in context.items())
    return struct.pack(">Q", len(pairs)) + b"".join(with_length(key) + with_length(value) for key, value in pairs)


def record(name, domain_keys, version, purpose, associated, plaintext):
    bound = with_length(purpose.encode()) + with_length(associated)
    prefix = b"\x01" + struct.pack(">I", version)
    return envelope(name, domain_keys[version], "claviger record v1", prefix, bound, plaintext)


def key_id_bytes(key_id):
    if key_id.startswith("mrk-"):
        return b"\x02" + bytes.fromhex(key_id[4:])
    return b"\x01" + bytes.fromhex(key_id.replace("-", ""))


def main():
    out = pathlib.Path(__file__).with_name("v1.json")
    if out.exists():
        sys.exit("v1.json exists and must not change")

    root = example("root", 32)
    unseal_file, passphrase = example("unseal file", 48), "correct horse battery staple"
    salt, iterations = example("passphrase salt", 16), 1000
    file_key = kdf(unseal_file, "claviger unseal file v1", b"", 32)
    passphrase_key = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, iterations, 32)
    passphrase_prefix = b"\x01\x02" + struct.pack(">I", iterations) + salt
    label = "claviger root key v1"

    domain_keys = {version: example(f"domain key {version}", 32) for version in (1, 2)}
    wrapped_domain_keys = [
        envelope(f"wrapped {version}", root, "claviger domain key v1", b"\x01" + struct.pack(">I", version), b"", key)
        for version, key in domain_keys.items()
    ]

    records = []
    for version, associated, plaintext in [(1, b"", b""), (1, b"row 1", b"old"), (2, b"row 2", bytes(range(256)))]:
        sealed = record(f"record {len(records)}", domain_keys, version, "golden v1", associated, plaintext)
        records.append({"purpose": "golden v1", "associated": associated.hex(), "plaintext": plaintext.hex(),
                        "sealed": sealed.hex()})

    keys = []
    for key_id in ["1234abcd-12ab-34cd-56ef-1234567890ab", "mrk-00112233445566778899aabbccddeeff"]:
        material, id_bytes = example("material " + key_id, 32), key_id_bytes(key_id)
        material_id = kdf(material, "claviger material id v1", id_bytes, 32)
        wrapped = record("wrapped " + key_id, domain_keys, 2, "claviger key material v1",
                         id_bytes + with_length(b"row of the material"), b"\x01" + material)
        blobs = []
        for context, plaintext in [
            ({}, b"x"),
            ({}, bytes(range(256)) * 16),
            ({"purpose": "golden", "a": "bc"}, b"plaintext"),
            ({"": "", "\u00e9": "\u2028", "Z": "z", "\U0001d11e": "clef"}, b"any text in the context"),
        ]:
            prefix = b"\x01" + id_bytes + material_id
            blob = envelope(f"blob {key_id} {len(blobs)}", material, "claviger blob v1", prefix,
                            context_bytes(context), plaintext)
            blobs.append({"context": context, "plaintext": plaintext.hex(), "blob": blob.hex()})
        keys.append({"key_id": key_id, "material_id": material_id.hex(), "associated": b"row of the material".hex(),
                     "wrapped": wrapped.hex(), "blobs": blobs})

    mac_key = kdf(domain_keys[1], "claviger mac key v1", b"golden mac v1", 32)
    seed = example("signing key seed", 32)
    vectors = {
        "unseal_file": unseal_file.hex(),
        "root_by_file": envelope("root by file", file_key, label, b"\x01\x01", b"", root).hex(),
        "passphrase": passphrase,
        "root_by_passphrase": envelope("root by passphrase", passphrase_key, label, passphrase_prefix, b"", root).hex(),
        "domain_keys": [wrapped.hex() for wrapped in wrapped_domain_keys],
        "mac": {"purpose": "golden mac v1", "data": b"data".hex(), "tag": hmac.digest(mac_key, b"data", "sha256").hex()},
        "signing_key": {
            "associated": b"node 1".hex(),
            "seed": seed.hex(),
            "wrapped": record("signing key", domain_keys, 1, "claviger signing key v1", b"node 1", seed).hex(),
        },
        "records": records,
        "keys": keys,
    }
    out.write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
