"""The AWS Encryption SDK for Python and for JavaScript: what one wrote, both read.

Both are driven through the same small interface: a keyring is a dictionary, `calls` is what the KMS answered. So each
test also shows that a refusal is the KMS's, and which one."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import threading

import aws_encryption_sdk
import pytest
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders, errors, models, references
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_encryption_sdk.materials_managers.mpl.cmm import CryptoMaterialsManagerFromMPL
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from support.aws import refused
from support.server import REGION

JAVASCRIPT = pathlib.Path(__file__).parent / "javascript"
OTHER_REGION = "us-east-1"
CONTEXT = {"tenant": "blue", "purpose": "t\u00e4st"}
# Several frames of the Encryption SDK's usual 4096 bytes.
PLAINTEXT = bytes(range(256)) * 40
SUITES = {
    "signed": "AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384",
    "unsigned": "AES_256_GCM_HKDF_SHA512_COMMIT_KEY",
}
JAVASCRIPT_SUITES = {
    "signed": "ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY_ECDSA_P384",
    "unsigned": "ALG_AES256_GCM_IV12_TAG16_HKDF_SHA512_COMMIT_KEY",
}
ANSWER_SECONDS = 60
# A ciphertext blob begins with its version and the id of its key (docs/FORMATS.md).
BLOB_NAME_BYTES = 18


class Refused(Exception):
    """The Encryption SDK did not do it."""


class Python:
    """The Encryption SDK for Python, with the keyrings of the material providers library."""

    def __init__(self, account):
        self.account = account
        self.calls = []
        self._caches = {}
        self._library = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
        self._client = aws_encryption_sdk.EncryptionSDKClient()

    def encrypt(self, keyring, context=CONTEXT, plaintext=PLAINTEXT, suite="signed", cache=None):
        algorithm = getattr(aws_encryption_sdk.Algorithm, SUITES[suite])
        options = {"source": plaintext, "encryption_context": context, "algorithm": algorithm}
        return self._run(self._client.encrypt, keyring, cache, **options)[0]

    def decrypt(self, keyring, message, cache=None, **options):
        """Answers plaintext and encryption context; `encryption_context=` is what the context must be."""
        plaintext, header = self._run(self._client.decrypt, keyring, cache, source=message, **options)
        return plaintext, header.encryption_context

    def _run(self, call, keyring, cache, **arguments):
        self.calls = []
        try:
            return call(**self._materials(keyring, cache), **arguments)
        except (aws_encryption_sdk.AWSEncryptionSDKClientError, errors.ServiceError, InvalidTag) as error:
            inner = error.args[0] if error.args else None
            raise Refused(str(error), getattr(inner, "list", None)) from error

    def _materials(self, keyring, cache):
        if cache is None:
            return {"keyring": self._keyring(**keyring)}
        if cache not in self._caches:
            made = self._library.create_default_cryptographic_materials_manager(
                models.CreateDefaultCryptographicMaterialsManagerInput(keyring=self._keyring(**keyring))
            )
            self._caches[cache] = aws_encryption_sdk.CachingCryptoMaterialsManager(
                backing_materials_manager=CryptoMaterialsManagerFromMPL(made),
                cache=aws_encryption_sdk.LocalCryptoMaterialsCache(10),
                max_age=600.0,
                max_messages_encrypted=3,
            )
        return {"materials_manager": self._caches[cache]}

    def client(self, region=REGION):
        """A client of this object's own, which notes what is answered."""
        client = self.account.in_region(region).service("kms", user_agent_extra="encryption-sdk")
        client.meta.events.register("after-call.kms", self._note, unique_id=f"notes of {id(self)}")
        return client

    def _note(self, model, parsed, **_):
        self.calls.append((model.name, parsed.get("Error", {}).get("Code", "ok")))

    def _keyring(self, kind, **chosen):
        return getattr(self, "_" + kind.replace("-", "_"))(**chosen)

    def _kms(self, generator, others=()):
        if not others:
            return self._library.create_aws_kms_keyring(
                models.CreateAwsKmsKeyringInput(kms_key_id=generator, kms_client=self.client())
            )
        return self._library.create_aws_kms_multi_keyring(
            models.CreateAwsKmsMultiKeyringInput(
                generator=generator, kms_key_ids=list(others), client_supplier=Clients(self)
            )
        )

    def _discovery(self, accounts, regions):
        return self._library.create_aws_kms_discovery_multi_keyring(
            models.CreateAwsKmsDiscoveryMultiKeyringInput(
                regions=list(regions),
                discovery_filter=models.DiscoveryFilter(account_ids=list(accounts), partition="aws"),
                client_supplier=Clients(self),
            )
        )

    def _mrk(self, key, region):
        return self._library.create_aws_kms_mrk_keyring(
            models.CreateAwsKmsMrkKeyringInput(kms_key_id=key, kms_client=self.client(region))
        )

    def _mrk_discovery(self, accounts, regions):
        [region] = regions
        return self._library.create_aws_kms_mrk_discovery_keyring(
            models.CreateAwsKmsMrkDiscoveryKeyringInput(
                kms_client=self.client(region),
                region=region,
                discovery_filter=models.DiscoveryFilter(account_ids=list(accounts), partition="aws"),
            )
        )

    def _raw_rsa(self, publicKey=None, privateKey=None):
        return self._library.create_raw_rsa_keyring(
            models.CreateRawRsaKeyringInput(
                key_namespace="test",
                key_name="pair",
                padding_scheme=models.PaddingScheme.OAEP_SHA256_MGF1,
                public_key=publicKey and publicKey.encode(),
                private_key=privateKey and privateKey.encode(),
            )
        )

    def _kms_rsa(self, key, algorithm, public_key=None):
        return self._library.create_aws_kms_rsa_keyring(
            models.CreateAwsKmsRsaKeyringInput(
                kms_key_id=key, encryption_algorithm=algorithm, public_key=public_key, kms_client=self.client()
            )
        )

    def _kms_ecdh(self, curve, key, recipient=None):
        """To a public key, or with `recipient` None the reader's side, which finds its public key by itself."""
        scheme = (
            models.KmsEcdhStaticConfigurationsKmsPublicKeyDiscovery(
                models.KmsPublicKeyDiscoveryInput(recipient_kms_identifier=key)
            )
            if recipient is None
            else models.KmsEcdhStaticConfigurationsKmsPrivateKeyToStaticPublicKey(
                models.KmsPrivateKeyToStaticPublicKeyInput(sender_kms_identifier=key, recipient_public_key=recipient)
            )
        )
        return self._library.create_aws_kms_ecdh_keyring(
            models.CreateAwsKmsEcdhKeyringInput(
                key_agreement_scheme=scheme, curve_spec=curve, kms_client=self.client()
            )
        )


class Clients(references.IClientSupplier):
    """A client for each Region that the library asks for."""

    def __init__(self, sdk):
        self._sdk = sdk

    def get_client(self, param):
        return self._sdk.client(param.region)


class JavaScript:
    """The Encryption SDK for JavaScript, in one process for all tests."""

    def __init__(self, process, account):
        self._process = process
        self._account = account
        self.calls = []

    def encrypt(self, keyring, context=CONTEXT, plaintext=PLAINTEXT, suite="signed", cache=None):
        command = {"plaintext": base64.b64encode(plaintext).decode(), "context": context, "cache": cache}
        answer = self._ask({"do": "encrypt", "keyring": keyring, "suite": JAVASCRIPT_SUITES[suite], **command})
        return base64.b64decode(answer["message"])

    def decrypt(self, keyring, message, cache=None):
        command = {"message": base64.b64encode(message).decode(), "cache": cache}
        answer = self._ask({"do": "decrypt", "keyring": keyring, **command})
        return base64.b64decode(answer["plaintext"]), answer["context"]

    def _ask(self, command):
        command |= {"endpoint": self._account.server.url, "account": self._account.number}
        if command["cache"] is None:
            del command["cache"]
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        too_late = threading.Timer(ANSWER_SECONDS, self._process.kill)
        too_late.start()
        line = self._process.stdout.readline()
        too_late.cancel()
        assert line, "the JavaScript process ended"
        answer = json.loads(line)
        self.calls = [tuple(call) for call in answer["calls"]]
        if "error" in answer:
            raise Refused(answer["error"])
        return answer


@pytest.fixture(scope="module")
def node():
    program = shutil.which("node")
    assert program, "no node: run ./test"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "NODE_"))}
    process = subprocess.Popen(
        [program, JAVASCRIPT / "encryption-sdk.js"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=plain,
        cwd=JAVASCRIPT,
        text=True,
    )
    with process:
        yield process
        process.stdin.close()
        assert process.wait(ANSWER_SECONDS) == 0


@pytest.fixture
def languages(account, node):
    return {"python": Python(account), "javascript": JavaScript(node, account)}


@pytest.fixture(params=["python", "javascript"])
def sdk(request, languages):
    return languages[request.param]


@pytest.fixture(params=["python to javascript", "javascript to python", "python", "javascript"])
def pair(request, languages):
    """A writer and a reader, in each direction."""
    writer, _, reader = request.param.partition(" to ")
    return languages[writer], languages[reader or writer]


@pytest.fixture
def key(account):
    return account.create_key()


def strict(key, *others):
    return {"kind": "kms", "generator": key["Arn"], "others": [other["Arn"] for other in others]}


def discovery(*accounts, regions=(REGION,), kind="discovery"):
    return {"kind": kind, "accounts": accounts, "regions": regions}


def opened(context, answer):
    """The plaintext came back, with the context; signed messages carry a key of the Encryption SDK's own in theirs."""
    plaintext, found = answer
    assert plaintext == PLAINTEXT
    assert {name: value for name, value in found.items() if name != "aws-crypto-public-key"} == context
    return True


def refuses(sdk, *calls, **arguments):
    """It refuses, having had exactly these answers from the KMS."""
    with pytest.raises(Refused) as caught:
        sdk.decrypt(**arguments)
    assert sdk.calls == list(calls), (sdk.calls, caught.value)


def parts(message):
    """Of a message in format 2 (AWS Encryption SDK, message format): where in it the encryption context lies, and
    for each encrypted data key where its key's name and its ciphertext lie."""
    assert message[0] == 2
    at = 1 + 2 + 32

    def field():
        nonlocal at
        start = at + 2
        at = start + int.from_bytes(message[at:start], "big")
        return slice(start, at)

    context = field()
    count = int.from_bytes(message[at : at + 2], "big")
    at += 2
    keys = []
    for _ in range(count):
        field()
        keys.append((field(), field()))
    return context, keys


def changed(message, place):
    """The message with one bit of the byte at `place` turned."""
    return message[:place] + bytes([message[place] ^ 1]) + message[place + 1 :]


@pytest.mark.parametrize("suite", SUITES)
def test_one_key(pair, key, suite):
    writer, reader = pair
    message = writer.encrypt(strict(key), suite=suite)
    assert writer.calls == [("GenerateDataKey", "ok")]
    [(name, _)] = parts(message)[1]
    assert message[name] == key["Arn"].encode()
    assert opened(CONTEXT, reader.decrypt(strict(key), message))
    assert reader.calls == [("Decrypt", "ok")]
    assert opened({}, reader.decrypt(strict(key), writer.encrypt(strict(key), context={}, suite=suite)))


def test_an_alias_names_the_key_when_encrypting(account, pair, key):
    writer, reader = pair
    account.kms.create_alias(AliasName="alias/sdk", TargetKeyId=key["KeyId"])
    message = writer.encrypt({"kind": "kms", "generator": account.alias_arn("alias/sdk"), "others": []})
    assert opened(CONTEXT, reader.decrypt(strict(key), message))


def test_what_was_altered_is_refused(account, pair, key, chance):
    writer, reader = pair
    message = writer.encrypt(strict(key))
    context, [(name, blob)] = parts(message)
    by_kms = ("Decrypt", "InvalidCiphertextException")
    for place in [blob.start, *chance.sample(range(blob.start + BLOB_NAME_BYTES, blob.stop), 5)]:
        refuses(reader, by_kms, keyring=strict(key), message=changed(message, place))
    named = blob.start + BLOB_NAME_BYTES - 1
    refuses(reader, ("Decrypt", "IncorrectKeyException"), keyring=strict(key), message=changed(message, named))
    value = message.index(b"blue", context.start, context.stop)
    refuses(reader, by_kms, keyring=strict(key), message=changed(message, value))
    # Behind the header the KMS has no part in it.
    refuses(reader, ("Decrypt", "ok"), keyring=strict(key), message=changed(message, blob.stop + 100))
    refuses(reader, ("Decrypt", "ok"), keyring=strict(key), message=message[:-1])
    # A blob that claims to be another key's.
    other = account.create_key()
    renamed = message[: name.start] + other["Arn"].encode() + message[name.stop :]
    refuses(reader, ("Decrypt", "IncorrectKeyException"), keyring=strict(other), message=renamed)
    refuses(reader, keyring=strict(other), message=message)
    assert opened(CONTEXT, reader.decrypt(strict(key), message))


def test_the_expected_context_is_compared(languages, key):
    message = languages["javascript"].encrypt(strict(key))
    python = languages["python"]
    assert opened(CONTEXT, python.decrypt(strict(key), message, encryption_context={"tenant": "blue"}))
    with pytest.raises(Refused):
        python.decrypt(strict(key), message, encryption_context={"tenant": "red"})


def test_a_disabled_or_denied_key(account, sdk, key):
    message = sdk.encrypt(strict(key))
    account.kms.disable_key(KeyId=key["KeyId"])
    refuses(sdk, ("Decrypt", "DisabledException"), keyring=strict(key), message=message)
    with pytest.raises(Refused):
        sdk.encrypt(strict(key))
    assert sdk.calls == [("GenerateDataKey", "DisabledException")]
    account.kms.enable_key(KeyId=key["KeyId"])
    assert opened(CONTEXT, sdk.decrypt(strict(key), message))
    deny(account, key, "kms:Decrypt")
    refuses(sdk, ("Decrypt", "AccessDeniedException"), keyring=strict(key), message=message)
    assert sdk.encrypt(strict(key))


def deny(account, key, action):
    allowed = {"Effect": "Allow", "Principal": {"AWS": account.root}, "Action": "kms:*", "Resource": "*"}
    policy = json.dumps(
        {"Version": "2012-10-17", "Statement": [allowed, {**allowed, "Effect": "Deny", "Action": action}]}
    )
    account.kms.put_key_policy(KeyId=key["KeyId"], Policy=policy)


def test_a_multi_keyring_opens_with_any_of_its_keys(account, pair, key):
    writer, reader = pair
    other = account.create_key()
    abroad = account.in_region(OTHER_REGION).create_key()
    message = writer.encrypt(strict(key, other, abroad))
    assert writer.calls == [("GenerateDataKey", "ok"), ("Encrypt", "ok"), ("Encrypt", "ok")]
    names = {message[name].decode() for name, _ in parts(message)[1]}
    assert names == {key["Arn"], other["Arn"], abroad["Arn"]}
    for one in (key, other):
        assert opened(CONTEXT, reader.decrypt(strict(one), message))
    assert opened(CONTEXT, reader.decrypt(discovery(account.number, regions=(OTHER_REGION,)), message))
    for one in (key, other):
        account.kms.disable_key(KeyId=one["KeyId"])
    assert opened(CONTEXT, reader.decrypt(strict(key, other, abroad), message))
    disabled = ("Decrypt", "DisabledException")
    assert reader.calls[-1] == ("Decrypt", "ok") and set(reader.calls[:-1]) <= {disabled}
    refuses(reader, disabled, disabled, keyring=strict(key, other), message=message)
    with pytest.raises(Refused):
        writer.encrypt(strict(account.create_key(), key))
    assert writer.calls == [("GenerateDataKey", "ok"), ("Encrypt", "DisabledException")]


def test_discovery(account, other_account, pair, key):
    writer, reader = pair
    message = writer.encrypt(strict(key))
    assert opened(CONTEXT, reader.decrypt(discovery(account.number), message))
    assert reader.calls == [("Decrypt", "ok")]
    # An account or Region that it was not given is not asked; in Python the wrong Region is, and does not know it.
    refuses(reader, keyring=discovery(other_account.number), message=message)
    asked = [("Decrypt", "NotFoundException")] if isinstance(reader, Python) else []
    refuses(reader, *asked, keyring=discovery(account.number, regions=(OTHER_REGION,)), message=message)
    account.kms.schedule_key_deletion(KeyId=key["KeyId"])
    pending = ("Decrypt", "KMSInvalidStateException")
    refuses(reader, pending, keyring=discovery(account.number), message=message)


def test_discovery_of_a_foreign_key_is_denied(account, other_account, sdk):
    """The caller discovers a key of an account that has not let it in."""
    foreign = other_account.create_key()
    made = other_account.kms.generate_data_key(KeyId=foreign["KeyId"], NumberOfBytes=32)
    message = sdk.encrypt(strict(account.create_key()), context={})
    _, [(name, blob)] = parts(message)
    assert len(made["CiphertextBlob"]) == blob.stop - blob.start
    message = (
        message[: name.start]
        + foreign["Arn"].encode()
        + message[name.stop : blob.start]
        + made["CiphertextBlob"]
        + message[blob.stop :]
    )
    # One account at a time: with two, discovery in Python (material providers 1.11.3) matches neither.
    refuses(sdk, ("Decrypt", "AccessDeniedException"), keyring=discovery(other_account.number), message=message)


def test_keyrings_that_know_multi_region_keys(account, other_account, pair, key):
    """With a key of one Region they do as the others do."""
    writer, reader = pair
    ring = {"kind": "mrk", "key": key["Arn"], "region": REGION}
    message = writer.encrypt(ring)
    assert opened(CONTEXT, reader.decrypt(ring, message))
    assert opened(CONTEXT, reader.decrypt(strict(key), message))
    assert opened(CONTEXT, reader.decrypt(discovery(account.number, kind="mrk-discovery"), message))
    assert reader.calls == [("Decrypt", "ok")]
    refuses(reader, keyring=discovery(other_account.number, kind="mrk-discovery"), message=message)
    account.kms.disable_key(KeyId=key["KeyId"])
    refuses(reader, ("Decrypt", "DisabledException"), keyring=ring, message=message)


def test_a_cache_of_data_keys(account, pair, key):
    writer, reader = pair
    cache = f"cache of {account.number}"
    messages, asked = [], []
    for _ in range(6):
        messages.append(writer.encrypt(strict(key), cache=cache, suite="unsigned"))
        asked.append(len(writer.calls))
    # Three messages under each data key, as the cache was told; then the next one is fetched.
    assert len({message[parts(message)[1][0][1]] for message in messages}) == sum(asked) < 6
    assert asked[0] == 1 and asked[1] == 0
    writer.encrypt(strict(key), cache=cache, suite="unsigned", context={"tenant": "red"})
    assert writer.calls == [("GenerateDataKey", "ok")]
    asked = []
    for message in messages:
        assert opened(CONTEXT, reader.decrypt(strict(key), message, cache=cache))
        asked.append(len(reader.calls))
    assert sum(asked) < 6 and asked[0] == 1 and asked[1] == 0
    # What is in the cache outlives the key; what is not does not.
    fresh = writer.encrypt(strict(key), suite="unsigned")
    account.kms.disable_key(KeyId=key["KeyId"])
    assert opened(CONTEXT, reader.decrypt(strict(key), messages[0], cache=cache))
    assert reader.calls == []
    refuses(reader, ("Decrypt", "DisabledException"), keyring=strict(key), message=fresh, cache=cache)


def pem(public_key):
    """A public key as GetPublicKey answers it, as text."""
    return serialization.load_der_public_key(public_key).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.mark.parametrize("algorithm", ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"])
@pytest.mark.parametrize("spec", ["RSA_2048", "RSA_3072", "RSA_4096"])
def test_an_rsa_key(account, languages, spec, algorithm, chance):
    """Encrypted outside with the public key, decrypted by the KMS. The library offers it in Python only."""
    sdk = languages["python"]
    made = account.create_key(KeySpec=spec, KeyUsage="ENCRYPT_DECRYPT")
    public_key = account.kms.get_public_key(KeyId=made["KeyId"])["PublicKey"]

    def ring(key, algorithm=algorithm, **more):
        return {"kind": "kms-rsa", "key": key["Arn"], "algorithm": algorithm, **more}

    writer = ring(made, public_key=pem(public_key))
    message = sdk.encrypt(writer, suite="unsigned")
    assert sdk.calls == []
    assert opened(CONTEXT, sdk.decrypt(ring(made), message))
    assert sdk.calls == [("Decrypt", "ok")]
    context, [(name, blob)] = parts(message)
    by_kms = ("Decrypt", "InvalidCiphertextException")
    for place in chance.sample(range(blob.start, blob.stop), 2):
        refuses(sdk, by_kms, keyring=ring(made), message=changed(message, place))
    [other_algorithm] = {"RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"} - {algorithm}
    refuses(sdk, by_kms, keyring=ring(made, other_algorithm), message=message)
    # RSA has no encryption context: the library binds it inside, and notices by itself.
    value = message.index(b"blue", context.start, context.stop)
    refuses(sdk, ("Decrypt", "ok"), keyring=ring(made), message=changed(message, value))
    other = account.create_key(KeySpec=spec, KeyUsage="ENCRYPT_DECRYPT")
    renamed = message[: name.start] + other["Arn"].encode() + message[name.stop :]
    refuses(sdk, by_kms, keyring=ring(other), message=renamed)
    account.kms.disable_key(KeyId=made["KeyId"])
    refuses(sdk, ("Decrypt", "DisabledException"), keyring=ring(made), message=message)
    assert sdk.encrypt(writer, suite="unsigned")


def test_an_rsa_key_does_not_do_for_another_keyring(account, sdk):
    signer = account.create_key(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    with pytest.raises(Refused):
        sdk.encrypt(strict(signer))
    assert sdk.calls == [("GenerateDataKey", "InvalidKeyUsageException")]


@pytest.mark.parametrize("curve", ["ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521"])
def test_a_key_agreement(account, languages, curve, chance):
    """From a key of the sender to a key of the recipient, both in the KMS. The library offers it in Python only."""
    sdk = languages["python"]
    sender, recipient, third = (account.create_key(KeySpec=curve, KeyUsage="KEY_AGREEMENT") for _ in range(3))
    public_key = account.kms.get_public_key(KeyId=recipient["KeyId"])["PublicKey"]

    def ring(key, **more):
        return {"kind": "kms-ecdh", "curve": curve, "key": key["Arn"], **more}

    # Each side asks for its own public key first.
    done = [("GetPublicKey", "ok"), ("DeriveSharedSecret", "ok")]
    writer = ring(sender, recipient=public_key)
    message = sdk.encrypt(writer)
    assert sdk.calls == done
    for reader in (writer, ring(recipient)):
        assert opened(CONTEXT, sdk.decrypt(reader, message))
        assert sdk.calls == done
    refuses(sdk, ("GetPublicKey", "ok"), keyring=ring(third), message=message)
    # The KMS has no part in the message: what was altered is noticed with the shared secret at hand.
    context, [(_, blob)] = parts(message)
    value = message.index(b"blue", context.start, context.stop)
    for place in [value, *chance.sample(range(blob.start, blob.stop), 2)]:
        refuses(sdk, *done, keyring=ring(recipient), message=changed(message, place))
    deny(account, recipient, "kms:DeriveSharedSecret")
    denied = ("DeriveSharedSecret", "AccessDeniedException")
    refuses(sdk, ("GetPublicKey", "ok"), denied, keyring=ring(recipient), message=message)
    account.kms.disable_key(KeyId=sender["KeyId"])
    disabled = ("DeriveSharedSecret", "DisabledException")
    refuses(sdk, ("GetPublicKey", "ok"), disabled, keyring=writer, message=message)


def test_a_generated_rsa_pair(account, pair, key):
    """A raw RSA keyring over a pair of GenerateDataKeyPair, whose private half is kept sealed by the KMS."""
    writer, reader = pair
    chosen = {"KeyId": key["KeyId"], "KeyPairSpec": "RSA_2048", "EncryptionContext": CONTEXT}
    made = account.kms.generate_data_key_pair_without_plaintext(**chosen)
    message = writer.encrypt({"kind": "raw-rsa", "publicKey": pem(made["PublicKey"]).decode()})
    assert writer.calls == []
    sealed = made["PrivateKeyCiphertextBlob"]
    private_key = account.kms.decrypt(CiphertextBlob=sealed, EncryptionContext=CONTEXT)["Plaintext"]
    assert opened(CONTEXT, reader.decrypt({"kind": "raw-rsa", "privateKey": private_pem(private_key)}, message))
    other = account.kms.generate_data_key_pair(**chosen)["PrivateKeyPlaintext"]
    refuses(reader, keyring={"kind": "raw-rsa", "privateKey": private_pem(other)}, message=message)
    with refused("InvalidCiphertextException"):
        account.kms.decrypt(CiphertextBlob=sealed)


def private_pem(private_key):
    return (
        serialization.load_der_private_key(private_key, None)
        .private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        .decode()
    )
