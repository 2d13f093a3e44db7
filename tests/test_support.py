"""The suite's own plain-Python algorithms agree with the published vectors and with the library where it has them."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, mlkem
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support import ed25519ph
from support import mlkem as plain

LIBRARY = {
    768: (mlkem.MLKEM768PrivateKey, mlkem.MLKEM768PublicKey),
    1024: (mlkem.MLKEM1024PrivateKey, mlkem.MLKEM1024PublicKey),
}


def test_ed25519ph_of_rfc_8032_section_7_3():
    seed = bytes.fromhex("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42")
    public = bytes.fromhex("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf")
    signature = bytes.fromhex(
        "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
        "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
    )
    assert ed25519ph.public_key(seed) == public
    assert ed25519ph.sign(seed, b"abc") == signature
    assert ed25519ph.verify(public, b"abc", signature)
    assert not ed25519ph.verify(public, b"abd", signature)
    for position in (0, 31, 32, 63):
        altered = bytearray(signature)
        altered[position] ^= 1
        assert not ed25519ph.verify(public, b"abc", bytes(altered))


def test_ed25519_public_keys_are_those_of_the_library(chance):
    seed = chance.randbytes(32)
    public = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key()
    assert ed25519ph.public_key(seed) == public.public_bytes(Encoding.Raw, PublicFormat.Raw)


@pytest.mark.parametrize("parameters", LIBRARY)
def test_ml_kem_agrees_with_the_library(parameters, chance):
    private_kind, public_kind = LIBRARY[parameters]
    seed = chance.randbytes(64)
    private = private_kind.from_seed_bytes(seed)
    public = plain.public_key(parameters, seed)
    assert private.public_key().public_bytes_raw() == public
    secret, ciphertext = plain.encapsulate(parameters, public)
    assert private.decapsulate(ciphertext) == secret == plain.decapsulate(parameters, seed, ciphertext)
    secret, ciphertext = public_kind.from_public_bytes(public).encapsulate()
    assert plain.decapsulate(parameters, seed, ciphertext) == secret
    altered = bytes([ciphertext[0] ^ 1]) + ciphertext[1:]
    assert plain.decapsulate(parameters, seed, altered) == private.decapsulate(altered) != secret


def test_ml_kem_512_agrees_with_itself(chance):
    """The sizes are those of FIPS 203 table 3; what the sizes share with 768 and 1024 is checked above."""
    seed = chance.randbytes(64)
    public = plain.public_key(512, seed)
    secret, ciphertext = plain.encapsulate(512, public)
    assert (len(public), len(ciphertext), len(secret)) == (800, 768, 32)
    assert plain.decapsulate(512, seed, ciphertext) == secret
    with pytest.raises(ValueError):
        plain.encapsulate(512, b"\xff" * 800)
