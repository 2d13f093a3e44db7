#!/usr/bin/env python3
"""Writes ed25519ph.txt: Ed25519ph signatures by an implementation of its own, from the formulas of RFC 8032 section 5.1
alone (Python's integers and hashlib). Lines: seed, public key, message, signature, in hexadecimal."""

import hashlib
import pathlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
DOMAIN = b"SigEd25519 no Ed25519 collisions" + bytes([1, 0])


def sha512(*parts):
    return hashlib.sha512(b"".join(parts)).digest()


def number(data):
    return int.from_bytes(data, "little")


def add(left, right):
    """The complete addition of RFC 8032 section 5.1.4, in affine coordinates."""
    (x1, y1), (x2, y2) = left, right
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, P - 2, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, P - 2, P)
    return x % P, y % P


def multiply(scalar, point):
    result = (0, 1)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


def base():
    y = 4 * pow(5, P - 2, P) % P
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    return (x if x % 2 == 0 else P - x), y


def encode(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def sign(seed, message):
    digest = sha512(message)
    halves = sha512(seed)
    scalar = number(halves[:32]) & ((1 << 254) - 8) | (1 << 254)
    public = encode(multiply(scalar, base()))
    nonce = number(sha512(DOMAIN, halves[32:], digest)) % L
    commitment = encode(multiply(nonce, base()))
    challenge = number(sha512(DOMAIN, commitment, public, digest)) % L
    return public, commitment + ((nonce + challenge * scalar) % L).to_bytes(32, "little")


def main():
    lines = []
    # The lengths around SHA-512's block and the 64 bytes that AWS KMS takes as a digest.
    for length in [0, 1, 3, 63, 64, 65, 111, 112, 127, 128, 129, 1023, 4096]:
        seed = sha512(b"seed", bytes([length % 256]))[:32]
        message = b"".join(sha512(b"message", bytes([part])) for part in range(64))[:length]
        public, signature = sign(seed, message)
        lines.append(" ".join(part.hex() for part in (seed, public, message, signature)))
    pathlib.Path(__file__).with_name("ed25519ph.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
