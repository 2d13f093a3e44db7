"""ML-KEM in plain Python, after FIPS 203: the library at hand lacks ML-KEM-512. Slow, and only for tests."""

import hashlib
import hmac
import os

Q = 3329
N = 256
# FIPS 203 section 8, table 2: k, eta1, eta2, du, dv.
PARAMETERS = {512: (2, 3, 2, 10, 4), 768: (3, 2, 2, 10, 4), 1024: (4, 2, 2, 11, 5)}


def _reversed_bits(number):
    return int(f"{number:07b}"[::-1], 2)


ZETAS = [pow(17, _reversed_bits(i), Q) for i in range(128)]
GAMMAS = [pow(17, 2 * _reversed_bits(i) + 1, Q) for i in range(128)]


def _to_ntt(f):
    """Algorithm 9."""
    f, i, length = list(f), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            for j in range(start, start + length):
                t = ZETAS[i] * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
            i += 1
        length //= 2
    return f


def _from_ntt(f):
    """Algorithm 10."""
    f, i, length = list(f), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, ZETAS[i] * (f[j + length] - t) % Q
            i -= 1
        length *= 2
    return [x * 3303 % Q for x in f]


def _product(f, g):
    """Algorithm 11."""
    h = []
    for i in range(128):
        a0, a1, b0, b1 = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        h += [(a0 * b0 + a1 * b1 * GAMMAS[i]) % Q, (a0 * b1 + a1 * b0) % Q]
    return h


def _sum(*polynomials):
    return [sum(column) % Q for column in zip(*polynomials, strict=True)]


def _dot(row, column):
    return _sum(*(_product(f, g) for f, g in zip(row, column, strict=True)))


def _sample_ntt(seed):
    """Algorithm 7."""
    stream, found = hashlib.shake_128(seed).digest(3 * 512), []
    for i in range(0, len(stream), 3):
        a, b, c = stream[i : i + 3]
        found += [d for d in (a + 256 * (b % 16), b // 16 + 16 * c) if d < Q]
    return found[:N]


def _noise(eta, seed, counter):
    """PRF and algorithm 8."""
    bits = _bits(hashlib.shake_256(seed + bytes([counter])).digest(64 * eta))
    ones = [sum(bits[i * eta : (i + 1) * eta]) for i in range(2 * N)]
    return [(ones[2 * i] - ones[2 * i + 1]) % Q for i in range(N)]


def _bits(data):
    return [byte >> i & 1 for byte in data for i in range(8)]


def _encode(f, d):
    """Algorithm 5."""
    number = sum(x << d * i for i, x in enumerate(f))
    return number.to_bytes(32 * d, "little")


def _decode(data, d):
    """Algorithm 6, without the reduction."""
    number = int.from_bytes(data, "little")
    return [number >> d * i & (1 << d) - 1 for i in range(N)]


def _compress(f, d):
    return [((x << d + 1) + Q) // (2 * Q) % (1 << d) for x in f]


def _decompress(f, d):
    return [(2 * Q * x + (1 << d)) >> d + 1 for x in f]


def _split(data, size):
    return [data[i : i + size] for i in range(0, len(data), size)]


def _matrix(rho, k):
    return [[_sample_ntt(rho + bytes([j, i])) for j in range(k)] for i in range(k)]


def _encrypt(parameters, ek, message, randomness):
    """K-PKE.Encrypt, algorithm 14."""
    k, eta1, eta2, du, dv = PARAMETERS[parameters]
    t, rho = [_decode(part, 12) for part in _split(ek[:-32], 384)], ek[-32:]
    a = _matrix(rho, k)
    y = [_to_ntt(_noise(eta1, randomness, i)) for i in range(k)]
    e1 = [_noise(eta2, randomness, k + i) for i in range(k)]
    e2 = _noise(eta2, randomness, 2 * k)
    u = [_sum(_from_ntt(_dot([a[j][i] for j in range(k)], y)), e1[i]) for i in range(k)]
    v = _sum(_from_ntt(_dot(t, y)), e2, _decompress(_decode(message, 1), 1))
    return b"".join(_encode(_compress(f, du), du) for f in u) + _encode(_compress(v, dv), dv)


def public_key(parameters, seed):
    """The encapsulation key of a 64-byte seed (d and z)."""
    return _generate(parameters, seed)[0]


def _generate(parameters, seed):
    """K-PKE.KeyGen, algorithm 13: encapsulation key, decryption key."""
    k, eta1, *_ = PARAMETERS[parameters]
    both = hashlib.sha3_512(seed[:32] + bytes([k])).digest()
    rho, sigma = both[:32], both[32:]
    a = _matrix(rho, k)
    s = [_to_ntt(_noise(eta1, sigma, i)) for i in range(k)]
    e = [_to_ntt(_noise(eta1, sigma, k + i)) for i in range(k)]
    t = [_sum(_dot(a[i], s), e[i]) for i in range(k)]
    return b"".join(_encode(f, 12) for f in t) + rho, s


def encapsulate(parameters, ek, message=None):
    """Algorithm 20: shared secret and ciphertext; a ValueError for a key that is none."""
    k = PARAMETERS[parameters][0]
    if len(ek) != 384 * k + 32 or any(x >= Q for part in _split(ek[:-32], 384) for x in _decode(part, 12)):
        raise ValueError("not an encapsulation key")
    message = message or os.urandom(32)
    both = hashlib.sha3_512(message + hashlib.sha3_256(ek).digest()).digest()
    return both[:32], _encrypt(parameters, ek, message, both[32:])


def decapsulate(parameters, seed, ciphertext):
    """Algorithm 21, with implicit rejection."""
    k, _, _, du, dv = PARAMETERS[parameters]
    if len(ciphertext) != 32 * (du * k + dv):
        raise ValueError("not a ciphertext")
    ek, s = _generate(parameters, seed)
    u = [_to_ntt(_decompress(_decode(part, du), du)) for part in _split(ciphertext[: 32 * du * k], 32 * du)]
    v = _decompress(_decode(ciphertext[32 * du * k :], dv), dv)
    w = [(x - y) % Q for x, y in zip(v, _from_ntt(_dot(s, u)), strict=True)]
    message = _encode(_compress(w, 1), 1)
    both = hashlib.sha3_512(message + hashlib.sha3_256(ek).digest()).digest()
    if hmac.compare_digest(_encrypt(parameters, ek, message, both[32:]), ciphertext):
        return both[:32]
    return hashlib.shake_256(seed[32:] + ciphertext).digest(32)
