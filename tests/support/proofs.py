"""Questions that only the key itself answers rightly, in a form that can be kept in a file."""

import base64

from support.outside import Outside

PLAINTEXT = b"attack at dawn"


def make(kms, kind, key_id):
    """{method, arguments, expected}: what a call must answer for as long as the key exists."""
    algorithm = kind.algorithms[0]
    if kind.usage == "GENERATE_VERIFY_MAC":
        arguments = {"KeyId": key_id, "Message": PLAINTEXT, "MacAlgorithm": algorithm}
        return _proof("generate_mac", arguments, Mac=kms.generate_mac(**arguments)["Mac"])
    if kind.usage == "ENCRYPT_DECRYPT":
        arguments = {"KeyId": key_id, "EncryptionAlgorithm": algorithm}
        blob = kms.encrypt(Plaintext=PLAINTEXT, **arguments)["CiphertextBlob"]
        return _proof("decrypt", {**arguments, "CiphertextBlob": blob}, Plaintext=PLAINTEXT)
    outside = Outside(kind.spec, kms.get_public_key(KeyId=key_id)["PublicKey"])
    if kind.usage == "SIGN_VERIFY":
        arguments = {"KeyId": key_id, "Message": PLAINTEXT, "SigningAlgorithm": algorithm}
        signature = kms.sign(**arguments)["Signature"]
        return _proof("verify", {**arguments, "Signature": signature}, SignatureValid=True)
    if kind.usage == "KEY_AGREEMENT":
        public, secret = outside.agree()
        arguments = {"KeyId": key_id, "KeyAgreementAlgorithm": algorithm, "PublicKey": public}
        return _proof("derive_shared_secret", arguments, SharedSecret=secret)
    secret, blob = outside.encapsulate()
    arguments = {"KeyId": key_id, "EncapsulationAlgorithm": algorithm, "SharedSecretCiphertextBlob": blob}
    return _proof("decapsulate", arguments, SharedSecret=secret)


def check(kms, proof):
    """Asks again; and a key that signs must still sign what its public key verifies."""
    arguments, expected = _decoded(proof["arguments"]), _decoded(proof["expected"])
    answer = getattr(kms, proof["method"])(**arguments)
    assert {name: answer[name] for name in expected} == expected
    if proof["method"] == "verify":
        common = {name: arguments[name] for name in ("KeyId", "Message", "SigningAlgorithm")}
        public = kms.get_public_key(KeyId=common["KeyId"])
        outside = Outside(public["KeySpec"], public["PublicKey"])
        for signature in (arguments["Signature"], kms.sign(**common)["Signature"]):
            assert outside.verifies(common["SigningAlgorithm"], "RAW", common["Message"], signature)


def _proof(method, arguments, **expected):
    return {"method": method, "arguments": _encoded(arguments), "expected": _encoded(expected)}


def _encoded(members):
    return {
        name: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        for name, value in members.items()
    }


def _decoded(members):
    return {
        name: base64.b64decode(value["base64"]) if isinstance(value, dict) else value for name, value in members.items()
    }
