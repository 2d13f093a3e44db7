"""Just enough DER to write public keys that no library would write."""


def tlv(tag, *contents):
    content = b"".join(contents)
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def sequence(*contents):
    return tlv(0x30, *contents)


def integer(number):
    return tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def bit_string(content):
    return tlv(0x03, b"\0" + content)


def octets(content):
    return tlv(0x04, content)


def identifier(dotted):
    first, second, *rest = (int(part) for part in dotted.split("."))
    encoded = bytes([first * 40 + second])
    for part in rest:
        digits = [part & 127]
        while part := part >> 7:
            digits.insert(0, part & 127 | 128)
        encoded += bytes(digits)
    return tlv(0x06, encoded)


EC_PUBLIC_KEY = identifier("1.2.840.10045.2.1")
P256 = identifier("1.2.840.10045.3.1.7")
# SEC 2 section 2.4.2.
P256_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
P256_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
P256_BASE = bytes.fromhex(
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def ec_public_key(point, parameters=P256):
    """A SubjectPublicKeyInfo with this point, well formed or not, on a named curve or with other parameters."""
    return sequence(sequence(EC_PUBLIC_KEY, parameters), bit_string(point))


def explicit_p256(cofactor=True, generator=P256_BASE):
    """P-256 spelled out as ECParameters (RFC 3279 section 2.3.5) in place of its name."""
    field = sequence(identifier("1.2.840.10045.1.1"), integer(P256_PRIME))
    curve = sequence(octets((P256_PRIME - 3).to_bytes(32, "big")), octets(P256_B.to_bytes(32, "big")))
    last = [integer(1)] if cofactor else []
    return sequence(integer(1), field, curve, octets(generator), integer(P256_ORDER), *last)
