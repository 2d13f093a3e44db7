"""Ed25519ph in plain Python, after RFC 8032 section 5.1: no library at hand has it. Slow, and only for tests."""

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


class Point:
    """A point in extended homogeneous coordinates: x = X/Z, y = Y/Z, xy = T/Z."""

    def __init__(self, x, y, z=1, t=None):
        self.x, self.y, self.z, self.t = x, y, z, x * y % P if t is None else t

    def __add__(self, other):
        a = (self.y - self.x) * (other.y - other.x) % P
        b = (self.y + self.x) * (other.y + other.x) % P
        c = 2 * self.t * other.t * D % P
        d = 2 * self.z * other.z % P
        e, f, g, h = b - a, d - c, d + c, b + a
        return Point(e * f % P, g * h % P, f * g % P, e * h % P)

    def __rmul__(self, scalar):
        total, power = Point(0, 1), self
        while scalar:
            if scalar & 1:
                total = total + power
            power = power + power
            scalar >>= 1
        return total

    def __eq__(self, other):
        return (self.x * other.z - other.x * self.z) % P == 0 == (self.y * other.z - other.y * self.z) % P

    def encode(self):
        inverse = pow(self.z, -1, P)
        x, y = self.x * inverse % P, self.y * inverse % P
        return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(data):
    """The point of 32 bytes; a ValueError if there is none (section 5.1.3)."""
    number = int.from_bytes(data, "little")
    y, sign = number & ~(1 << 255), number >> 255
    if len(data) != 32 or y >= P:
        raise ValueError("not a point")
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        raise ValueError("not a point")
    return Point(P - x if x & 1 != sign else x, y)


BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def _hash(*parts):
    """SHA-512 behind dom2 with the flag of prehashing and no context, as a scalar."""
    prefix = b"SigEd25519 no Ed25519 collisions\x01\x00"
    return int.from_bytes(hashlib.sha512(prefix + b"".join(parts)).digest(), "little") % ORDER


def _expand(seed):
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little")
    return scalar & ~7 & ~(1 << 255) | 1 << 254, digest[32:]


def public_key(seed):
    return (_expand(seed)[0] * BASE).encode()


def sign(seed, message):
    """Signs the message, which is hashed here (PH is SHA-512)."""
    scalar, prefix = _expand(seed)
    prehash = hashlib.sha512(message).digest()
    r = _hash(prefix, prehash)
    point = (r * BASE).encode()
    k = _hash(point, public_key(seed), prehash)
    return point + ((r + k * scalar) % ORDER).to_bytes(32, "little")


def verify(public, message, signature):
    """Whether this signs the message, which is hashed here."""
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or s >= ORDER:
        return False
    try:
        key, point = decode(public), decode(signature[:32])
    except ValueError:
        return False
    k = _hash(signature[:32], public, hashlib.sha512(message).digest())
    return s * BASE == point + k * key
