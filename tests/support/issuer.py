"""An identity provider on this machine: it publishes keys and signs tokens, right ones and wrong ones."""

import base64
import http.server
import json
import threading
import time

from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES = {"ES256": (ec.SECP256R1(), 32, "P-256"), "ES384": (ec.SECP384R1(), 48, "P-384")}


def text64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def json64(value):
    return text64(value if isinstance(value, bytes) else json.dumps(value).encode())


def number64(number, length=None):
    return text64(number.to_bytes(length or (number.bit_length() + 7) // 8, "big"))


class Key:
    """A key pair under an id, for one algorithm of JWS."""

    def __init__(self, kid, algorithm="RS256", private=None):
        self.kid, self.algorithm = kid, algorithm
        if algorithm.startswith("RS"):
            self.private = private or rsa.generate_private_key(65537, 2048)
        else:
            self.private = private or ec.generate_private_key(CURVES[algorithm][0])

    @property
    def jwk(self):
        numbers = self.private.public_key().public_numbers()
        common = {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        if self.algorithm.startswith("RS"):
            return {**common, "kty": "RSA", "n": number64(numbers.n), "e": number64(numbers.e)}
        _, length, curve = CURVES[self.algorithm]
        return {
            **common,
            "kty": "EC",
            "crv": curve,
            "x": number64(numbers.x, length),
            "y": number64(numbers.y, length),
        }

    @property
    def pem(self):
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, message):
        digest = HASHES[self.algorithm[2:]]
        if self.algorithm.startswith("RS"):
            return self.private.sign(message, padding.PKCS1v15(), digest)
        length = CURVES[self.algorithm][1]
        numbers = decode_dss_signature(self.private.sign(message, ec.ECDSA(digest)))
        return b"".join(number.to_bytes(length, "big") for number in numbers)


def token(key, claims, header=None, sign=None):
    """A token in the compact form; `header` adds to its header, `claims` may be bytes."""
    head = {"typ": "JWT", "alg": key.algorithm, "kid": key.kid, **(header or {})}
    message = f"{json64({name: value for name, value in head.items() if value is not None})}.{json64(claims)}"
    return f"{message}.{text64((sign or key.sign)(message.encode()))}"


def hmac_with(secret):
    def sign(message):
        mac = hmac.HMAC(secret, hashes.SHA256())
        mac.update(message)
        return mac.finalize()

    return sign


class Host:
    """Serves the documents of issuers below `https://127.0.0.1/PATH`, over plain HTTP on a port of loopback."""

    def __init__(self):
        self.documents, self.asked = {}, []
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                host.asked.append(self.path)
                status, body, headers = host.documents.get(self.path, (404, b"", {}))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Issuer:
    """One issuer with its keys, as its host publishes them."""

    def __init__(self, host, name, keys=None):
        self.host, self.path = host, f"/{name}"
        self.url = f"https://127.0.0.1{self.path}"
        self.keys = keys or [Key("one")]
        self.publish()

    def publish(self, **changes):
        discovery = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **changes}
        self.put("/.well-known/openid-configuration", discovery)
        self.put("/keys", {"keys": [key.jwk for key in self.keys]})

    def put(self, path, document, status=200, **headers):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.host.documents[self.path + path] = (status, body, headers)

    def asked(self, path="/keys"):
        return self.host.asked.count(self.path + path)

    def claims(self, **changes):
        now = int(time.time())
        claims = {"iss": self.url, "sub": "someone", "aud": "sts.amazonaws.com", "iat": now, "exp": now + 600}
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def token(self, key=None, header=None, **changes):
        return token(key or self.keys[0], self.claims(**changes), header)
