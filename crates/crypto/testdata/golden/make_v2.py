"""Makes v2.json: wrapped key material of every kind (docs/FORMATS.md, section 7), and what its keys made.

A second implementation, with the packages `cryptography` 50 (OpenSSL 4.0) and, for ML-KEM-512, `kyber-py` 1.2; the
formats below the material are those of make_v1.py. Ed25519ph is the program of RFC 8032, section 6. v2.json is checked
in and never made again: what it holds must stay readable for ever.
"""

import hashlib
import hmac
import json
import pathlib
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, padding, rsa
from kyber_py.ml_kem import ML_KEM_512
from make_v1 import context_bytes, envelope, example, kdf, key_id_bytes, record, with_length

HASHES = {"SHA_256": hashes.SHA256, "SHA_384": hashes.SHA384, "SHA_512": hashes.SHA512}
MESSAGE = b"the message that every key signs"
KIND_SYMMETRIC, KIND_MAC, KIND_PAIR = b"\x01", b"\x02", b"\x03"


def element(tag, *parts):
    content = b"".join(parts)
    length = len(content).to_bytes(2, "big").lstrip(b"\0")
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    return bytes([tag, 0x80 + len(length)]) + length + content


def pkcs8(key):
    return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def spki(key):
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def signature(scheme, form, message, made):
    return {"scheme": scheme, "form": form, "message": message.hex(), "signature": made.hex()}


def rsa_pair(bits):
    key = rsa.generate_private_key(65537, bits)
    made = []
    for name, algorithm in HASHES.items():
        pss = padding.PSS(padding.MGF1(algorithm()), algorithm.digest_size)
        made.append(signature("RSASSA_PSS_" + name, "RAW", MESSAGE, key.sign(MESSAGE, pss, algorithm())))
        pkcs1 = key.sign(MESSAGE, padding.PKCS1v15(), algorithm())
        made.append(signature("RSASSA_PKCS1_V1_5_" + name, "RAW", MESSAGE, pkcs1))
    ciphertexts = []
    for name, algorithm in [("RSAES_OAEP_SHA_1", hashes.SHA1), ("RSAES_OAEP_SHA_256", hashes.SHA256)]:
        for plaintext in [b"", b"plaintext", bytes(bits // 8 - 2 * algorithm.digest_size - 2)]:
            oaep = padding.OAEP(padding.MGF1(algorithm()), algorithm(), None)
            ciphertext = key.public_key().encrypt(plaintext, oaep)
            ciphertexts.append({"algorithm": name, "ciphertext": ciphertext.hex(), "plaintext": plaintext.hex()})
    secret = pkcs8(key)
    return {"secret": secret, "pkcs8": secret, "public_key": spki(key.public_key()), "signatures": made,
            "ciphertexts": ciphertexts}


def ec_pair(spec, curve, hash_name):
    number = int.from_bytes(example("scalar " + spec, curve.key_size // 8), "big")
    key = ec.derive_private_key(number, curve)
    algorithm = HASHES[hash_name]()
    pair = {"secret": pkcs8(key), "pkcs8": pkcs8(key), "public_key": spki(key.public_key()),
            "signatures": [signature("ECDSA_" + hash_name, "RAW", MESSAGE, key.sign(MESSAGE, ec.ECDSA(algorithm)))]}
    if spec != "ECC_SECG_P256K1":
        peer = ec.generate_private_key(curve)
        shared = key.exchange(ec.ECDH(), peer.public_key())
        pair["agreements"] = [{"peer": spki(peer.public_key()).hex(), "secret": shared.hex()}]
    return pair


# RFC 8032, section 6: points in extended homogeneous coordinates over the field of 2^255 - 19.
P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
G_Y = 4 * pow(5, P - 2, P) % P


def recover_x(y):
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return P - x if x & 1 else x


def point_add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def point_mul(s, p):
    q = (0, 1, 1, 0)
    while s:
        if s & 1:
            q = point_add(q, p)
        p, s = point_add(p, p), s >> 1
    return q


def compress(p):
    inverse = pow(p[2], P - 2, P)
    x, y = p[0] * inverse % P, p[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def ed25519ph_sign(seed, message):
    base = (recover_x(G_Y), G_Y, 1, recover_x(G_Y) * G_Y % P)
    dom2 = b"SigEd25519 no Ed25519 collisions" + b"\x01\x00"
    h = hashlib.sha512(seed).digest()
    a = int.from_bytes(h[:32], "little") & ((1 << 254) - 8) | (1 << 254)
    public, prehash = compress(point_mul(a, base)), hashlib.sha512(message).digest()
    r = int.from_bytes(hashlib.sha512(dom2 + h[32:] + prehash).digest(), "little") % Q
    rs = compress(point_mul(r, base))
    k = int.from_bytes(hashlib.sha512(dom2 + rs + public + prehash).digest(), "little") % Q
    return rs + ((r + k * a) % Q).to_bytes(32, "little")


def ed25519_pair():
    rfc = ed25519ph_sign(bytes.fromhex("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42"), b"abc")
    assert rfc.hex().startswith("98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"), rfc.hex()
    seed = example("seed ed25519", 32)
    key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    # AWS KMS gives Ed25519ph the digest as its message, so it is hashed twice.
    digest = hashlib.sha512(MESSAGE).digest()
    return {"secret": seed, "pkcs8": pkcs8(key), "public_key": spki(key.public_key()), "signatures": [
        signature("ED25519_SHA_512", "RAW", MESSAGE, key.sign(MESSAGE)),
        signature("ED25519_PH_SHA_512", "DIGEST", digest, ed25519ph_sign(seed, digest)),
    ]}


def ml_dsa_pair(spec, private):
    seed = example("seed " + spec, 32)
    key = private.from_seed_bytes(seed)
    mu = mldsa.MLDSAMuHasher(key.public_key())
    mu.update(MESSAGE)
    mu = mu.finalize()
    return {"secret": seed, "pkcs8": pkcs8(key), "public_key": spki(key.public_key()), "signatures": [
        signature("ML_DSA_SHAKE_256", "RAW", MESSAGE, key.sign(MESSAGE)),
        signature("ML_DSA_SHAKE_256", "EXTERNAL_MU", mu, key.sign(MESSAGE)),
        signature("ML_DSA_SHAKE_256", "EXTERNAL_MU", mu, key.sign_mu(mu)),
        signature("ML_DSA_SHAKE_256", "RAW", MESSAGE, key.sign_mu(mu)),
    ]}


def ml_kem_pair(spec, private):
    seed = example("seed " + spec, 64)
    if private is None:
        public, _ = ML_KEM_512.key_derive(seed)
        algorithm = element(0x30, element(6, bytes.fromhex("608648016503040401")))
        secret, ciphertext = ML_KEM_512.encaps(public)
        encoded = element(0x30, element(2, b"\0"), algorithm, element(4, element(0x80, seed)))
        public = element(0x30, algorithm, element(3, b"\0", public))
    else:
        key = private.from_seed_bytes(seed)
        secret, ciphertext = key.public_key().encapsulate()
        encoded, public = pkcs8(key), spki(key.public_key())
    return {"secret": seed, "pkcs8": encoded, "public_key": public,
            "encapsulations": [{"ciphertext": ciphertext.hex(), "secret": secret.hex()}]}


def mac_material(name, length):
    key = example(f"hmac key {name}", length)
    macs = [{"message": message.hex(), "mac": hmac.digest(key, message, name).hex()} for message in (b"", MESSAGE)]
    return {"secret": key, "macs": macs}


def materials():
    yield "SYMMETRIC_DEFAULT", KIND_SYMMETRIC, {"secret": example("symmetric", 32)}
    for number, length in [(224, 28), (256, 32), (384, 48), (512, 64)]:
        code = bytes([[224, 256, 384, 512].index(number) + 1])
        yield f"HMAC_{number}", KIND_MAC + code, mac_material(f"sha{number}", length)
    pairs = [
        ("RSA_2048", rsa_pair(2048)),
        ("RSA_3072", rsa_pair(3072)),
        ("RSA_4096", rsa_pair(4096)),
        ("ECC_NIST_P256", ec_pair("ECC_NIST_P256", ec.SECP256R1(), "SHA_256")),
        ("ECC_NIST_P384", ec_pair("ECC_NIST_P384", ec.SECP384R1(), "SHA_384")),
        ("ECC_NIST_P521", ec_pair("ECC_NIST_P521", ec.SECP521R1(), "SHA_512")),
        ("ECC_SECG_P256K1", ec_pair("ECC_SECG_P256K1", ec.SECP256K1(), "SHA_256")),
        ("ECC_NIST_EDWARDS25519", ed25519_pair()),
        ("ML_DSA_44", ml_dsa_pair("ML_DSA_44", mldsa.MLDSA44PrivateKey)),
        ("ML_DSA_65", ml_dsa_pair("ML_DSA_65", mldsa.MLDSA65PrivateKey)),
        ("ML_DSA_87", ml_dsa_pair("ML_DSA_87", mldsa.MLDSA87PrivateKey)),
        ("ML_KEM_512", ml_kem_pair("ML_KEM_512", None)),
        ("ML_KEM_768", ml_kem_pair("ML_KEM_768", mlkem.MLKEM768PrivateKey)),
        ("ML_KEM_1024", ml_kem_pair("ML_KEM_1024", mlkem.MLKEM1024PrivateKey)),
    ]
    for code, (spec, pair) in enumerate(pairs, 1):
        yield spec, KIND_PAIR + bytes([code]), pair


def main():
    out = pathlib.Path(__file__).with_name("v2.json")
    if out.exists():
        sys.exit("v2.json exists and must not change")

    root, unseal_file = example("root v2", 32), example("unseal file v2", 48)
    file_key = kdf(unseal_file, "claviger unseal file v1", b"", 32)
    domain_keys = {1: example("domain key v2", 32)}
    domain_key = envelope("wrapped v2", root, "claviger domain key v1", b"\x01\0\0\0\x01", b"", domain_keys[1])

    listed = []
    for spec, head, material in materials():
        key_id = "mrk-00112233445566778899aabbccddeeff" if len(listed) % 2 else "1234abcd-12ab-34cd-56ef-1234567890ab"
        id_bytes, associated, secret = key_id_bytes(key_id), b"row of " + spec.encode(), material.pop("secret")
        material_id = kdf(secret, "claviger material id v1", id_bytes, 32)
        wrapped = record("material " + spec, domain_keys, 1, "claviger key material v1",
                         id_bytes + with_length(associated), head + secret)
        if head == KIND_SYMMETRIC:
            blob = envelope("blob v2", secret, "claviger blob v1", b"\x01" + id_bytes + material_id,
                            context_bytes({}), b"plaintext")
            material["blobs"] = [{"plaintext": b"plaintext".hex(), "blob": blob.hex()}]
        for member in ("pkcs8", "public_key"):
            if member in material:
                material[member] = material[member].hex()
        listed.append({"spec": spec, "key_id": key_id, "associated": associated.hex(),
                       "material_id": material_id.hex(), "wrapped": wrapped.hex(), **material})

    vectors = {
        "unseal_file": unseal_file.hex(),
        "root_by_file": envelope("root v2 by file", file_key, "claviger root key v1", b"\x01\x01", b"", root).hex(),
        "domain_keys": [domain_key.hex()],
        "materials": listed,
    }
    out.write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
