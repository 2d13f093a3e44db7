"""Recipient: the answer is readable by the attested enclave only, and only a true attestation document is believed."""

import datetime
import itertools
import json
import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from support import attestation, interface
from support import server as servers
from support.attestation import ABSENT, NITRO_TPM, Enclave, TestRoot
from support.aws import Account, refused, violation
from support.interface import Kind
from support.keyring import creation_options
from support.outside import Outside, Pair
from support.uses import AGREEMENT, OAEP, RSA

PLAINTEXT = b"attack at dawn"
IMAGE, OTHER_IMAGE = bytes(range(48)), bytes(range(1, 49))
_accounts = itertools.count(300_000_000_001)
MINUTE, HOUR = datetime.timedelta(minutes=1), datetime.timedelta(hours=1)
DRY_RUN = "The request would have succeeded, but the DryRun option is set."


@pytest.fixture(scope="module")
def root():
    return TestRoot()


@pytest.fixture(scope="module")
def trusting(root, tmp_path_factory):
    """A server that believes the test root."""
    path = tmp_path_factory.mktemp("root") / "root.pem"
    path.write_bytes(root.pem)
    with servers.dev(None, "--attestation-root", path) as server:
        yield server


@pytest.fixture
def account(trusting):
    """An account of the test's own on the server that believes the test root."""
    return Account(trusting, str(next(_accounts)))


@pytest.fixture(scope="module")
def enclave(root):
    return Enclave(root, pcrs={0: IMAGE, 1: bytes([1]) * 48, 8: bytes([8]) * 48})


class Call:
    """An operation with a Recipient, and how its plaintext is checked once it is opened."""

    def __init__(self, account, name):
        self.kms = account.kms
        self.name = name
        kind = {"DecryptRsa": RSA, "DeriveSharedSecret": AGREEMENT}.get(name)
        self.key = account.create_key(**(creation_options(kind) if kind else {}))
        self.id = self.key["KeyId"]
        self.arguments = getattr(self, f"_{name}")()

    def __call__(self, **more):
        return getattr(self.kms, METHODS[self.name])(**{**self.arguments, **more})

    def _Decrypt(self):
        self.expected = PLAINTEXT
        return {"CiphertextBlob": self.kms.encrypt(KeyId=self.id, Plaintext=PLAINTEXT)["CiphertextBlob"]}

    def _DecryptRsa(self):
        self.expected = PLAINTEXT
        named = {"KeyId": self.id, "EncryptionAlgorithm": OAEP}
        return {**named, "CiphertextBlob": self.kms.encrypt(Plaintext=PLAINTEXT, **named)["CiphertextBlob"]}

    def _DeriveSharedSecret(self):
        spki = self.kms.get_public_key(KeyId=self.id)["PublicKey"]
        public, self.expected = Outside("ECC_NIST_P256", spki).agree()
        return {"KeyId": self.id, "KeyAgreementAlgorithm": "ECDH", "PublicKey": public}

    def _GenerateDataKey(self):
        return {"KeyId": self.id, "KeySpec": "AES_256"}

    def _GenerateDataKeyPair(self):
        return {"KeyId": self.id, "KeyPairSpec": "ECC_NIST_P384"}

    def _GenerateRandom(self):
        return {"NumberOfBytes": 37}

    def is_right(self, answer, opened):
        if self.name == "GenerateDataKey":
            assert len(opened) == 32
            return self.kms.decrypt(CiphertextBlob=answer["CiphertextBlob"])["Plaintext"] == opened
        if self.name == "GenerateDataKeyPair":
            sealed = answer["PrivateKeyCiphertextBlob"]
            assert self.kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == opened
            return Pair("ECC_NIST_P384", answer["PublicKey"], opened).works()
        if self.name == "GenerateRandom":
            return len(opened) == 37
        return opened == self.expected


METHODS = {
    "Decrypt": "decrypt",
    "DecryptRsa": "decrypt",
    "DeriveSharedSecret": "derive_shared_secret",
    "GenerateDataKey": "generate_data_key",
    "GenerateDataKeyPair": "generate_data_key_pair",
    "GenerateRandom": "generate_random",
}
MEMBERS = {
    "Decrypt": {"KeyId", "EncryptionAlgorithm"},
    "DecryptRsa": {"KeyId", "EncryptionAlgorithm"},
    "DeriveSharedSecret": {"KeyId", "KeyAgreementAlgorithm", "KeyOrigin"},
    "GenerateDataKey": {"KeyId", "CiphertextBlob"},
    "GenerateDataKeyPair": {"KeyId", "KeyPairSpec", "PublicKey", "PrivateKeyCiphertextBlob", "KeyMaterialId"},
    "GenerateRandom": set(),
}
every_call = pytest.mark.parametrize("name", METHODS)


@every_call
def test_the_enclave_alone_can_read_it(account, enclave, name):
    call = Call(account, name)
    answer = call(Recipient=enclave.recipient())
    assert set(answer) - {"ResponseMetadata"} == MEMBERS[name] | {"CiphertextForRecipient"}
    assert call.is_right(answer, enclave.open(answer["CiphertextForRecipient"]))


@every_call
def test_openssl_reads_it_too(account, enclave, name):
    call = Call(account, name)
    answer = call(Recipient=enclave.recipient())
    opened = attestation.open_reply_by_openssl(enclave.key, answer["CiphertextForRecipient"])
    assert call.is_right(answer, opened)


@every_call
def test_each_answer_is_sealed_anew(account, enclave, name):
    call = Call(account, name)
    recipient = enclave.recipient()
    assert len({call(Recipient=recipient)["CiphertextForRecipient"] for _ in range(3)}) == 3


@pytest.mark.parametrize("spec", interface.DATA_KEY_PAIR_SPECS)
def test_pairs_of_every_spec(account, enclave, spec):
    """Private keys differ in length, and so in the padding of what is sealed."""
    key_id = account.create_key()["KeyId"]
    made = account.kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec=spec, Recipient=enclave.recipient())
    assert Pair(spec, made["PublicKey"], enclave.open(made["CiphertextForRecipient"])).works()


@pytest.mark.parametrize("size", [1, 15, 16, 17, 32, 1024])
def test_random_bytes_of_every_length(account, enclave, size):
    answer = account.kms.generate_random(NumberOfBytes=size, Recipient=enclave.recipient())
    assert len(enclave.open(answer["CiphertextForRecipient"])) == size


@every_call
def test_a_server_that_trusts_aws_only(dev, enclave, name):
    """The same document, where no other root was configured."""
    call = Call(Account(dev, str(next(_accounts))), name)
    with refused("ValidationException") as caught:
        call(Recipient=enclave.recipient())
    assert not {"Plaintext", "SharedSecret", "PrivateKeyPlaintext"} & set(caught.value.response)
    call()


def bad_documents(root, enclave):
    """Documents that must not be believed, by what is wrong with them."""
    now = datetime.datetime.now(datetime.UTC)
    good, made, other = enclave.document(), enclave.document, TestRoot()
    certificates, forged = attestation.bundle(root), attestation.bundle(other)
    return {
        **attestation.bad_documents(root, enclave),
        "another root, with ours in front": other.document(enclave.key, cabundle=[certificates[0], *forged]),
        "another root, ours as its root": other.document(enclave.key, cabundle=[certificates[0], forged[1]]),
        "another's certificate": made(certificate=attestation.der(other.signer)),
        "the root's certificate": made(certificate=certificates[0], cabundle=certificates[:1]),
        "bundle left out": made(cabundle=ABSENT),
        "a garbled bundle": made(cabundle=[certificates[0], certificates[1][:-1]]),
        "certificate left out": made(certificate=ABSENT),
        "a garbled certificate": made(certificate=b"certificate"),
        "an hour old": made(at=now - HOUR),
        "an hour ahead": made(at=now + HOUR),
        "time left out": made(timestamp=ABSENT),
        "a time that is text": made(timestamp="now"),
        "no algorithm": made(protected={}),
        "registers left out": made(pcrs=ABSENT),
        "a register of odd length": made(pcrs={0: bytes(47)}),
        "a register beyond 31": made(pcrs={0: IMAGE, 32: IMAGE}),
        "an Ed25519 public key": made(public_key=ed25519.Ed25519PrivateKey.generate()),
        "truncated": good[:-1],
        "extended": good + b"\0",
        "nothing in it": b"\0",
        "text": b"not a document",
        "a list": b"\x84",
        "deeply nested": b"\x81" * 100_000,
        "a huge length": b"\x9b" + b"\xff" * 8,
        "random": os.urandom(5000),
    }


def test_documents_in_other_forms(account, enclave):
    call = Call(account, "Decrypt")
    for changes in [
        {"indefinite": True},
        {"nonce": b"n" * 40, "user_data": b"u" * 500},
        {"at": datetime.datetime.now(datetime.UTC) - MINUTE},
    ]:
        answer = call(Recipient=enclave.recipient(**changes))
        assert enclave.open(answer["CiphertextForRecipient"]) == PLAINTEXT


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_recipient_keys_of_every_length(account, enclave, bits):
    key = attestation.recipient_key(bits)
    answer = Call(account, "Decrypt")(Recipient=enclave.recipient(public_key=key))
    assert attestation.open_reply(key, answer["CiphertextForRecipient"]) == PLAINTEXT
    with pytest.raises((AssertionError, ValueError)):
        enclave.open(answer["CiphertextForRecipient"])


def test_nitro_tpm(account, root, enclave):
    """An instance's registers are not an enclave's: neither stands in for the other in a policy."""
    instance = Enclave(root, pcrs={0: IMAGE, 4: IMAGE}, platform=NITRO_TPM)
    call = Call(account, "Decrypt")
    assert instance.open(call(Recipient=instance.recipient())["CiphertextForRecipient"]) == PLAINTEXT
    for name, welcome, stranger in [
        ("kms:RecipientAttestation:NitroTPMPCR0", instance, enclave),
        ("kms:RecipientAttestation:NitroTPMPCR4", instance, enclave),
        ("kms:RecipientAttestation:PCR0", enclave, instance),
        ("kms:RecipientAttestation:ImageSha384", enclave, instance),
    ]:
        guarded(account, call.id, {"Condition": {"StringEqualsIgnoreCase": {name: IMAGE.hex()}}})
        call(Recipient=welcome.recipient())
        with refused("AccessDeniedException"):
            call(Recipient=stranger.recipient())


@pytest.mark.parametrize("name", ["Decrypt", "GenerateRandom"])
def test_bad_documents(account, root, enclave, name):
    call = Call(account, name)
    believed = []
    for what, document in bad_documents(root, enclave).items():
        recipient = {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": document}
        try:
            call(Recipient=recipient)
        except account.kms.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "ValidationException":
                continue
            what = f"{what}: {error}"
        believed.append(what)
    assert believed == []
    call(Recipient=enclave.recipient())


@every_call
def test_any_altered_byte_of_a_document_is_noticed(account, enclave, name, chance):
    call = Call(account, name)
    good = enclave.document()
    positions = chance.sample(range(len(good)), 25)
    for position in positions:
        altered = bytearray(good)
        altered[position] ^= 1 << chance.randrange(8)
        with refused("ValidationException"):
            call(Recipient={"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": bytes(altered)})


@every_call
def test_a_recipient_is_never_ignored(account, enclave, name):
    call = Call(account, name)
    document = enclave.document()
    for recipient in [
        {},
        {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256"},
        {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": b""},
        {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_1", "AttestationDocument": document},
        {"KeyEncryptionAlgorithm": "", "AttestationDocument": document},
    ]:
        with refused("ValidationException"):
            call(Recipient=recipient)
    text = violation(None, "recipient.attestationDocument", "Member must have length less than or equal to 262144")
    with refused("ValidationException", text):
        call(Recipient={"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": bytes(262_145)})


@pytest.mark.parametrize("name", [name for name in METHODS if name != "GenerateRandom"])
def test_dry_runs(account, enclave, name):
    call = Call(account, name)
    with refused("DryRunOperationException", DRY_RUN):
        call(DryRun=True, Recipient=enclave.recipient())
    with refused("ValidationException"):
        call(DryRun=True, Recipient={"AttestationDocument": b"no document"})


def guarded(account, key_id, condition, effect="Allow"):
    """A policy under which the key's secrets are only for whom the condition names."""
    common = {"Principal": {"AWS": account.root}, "Resource": "*"}
    secrets = ["kms:Decrypt", "kms:DeriveSharedSecret", "kms:GenerateDataKey", "kms:GenerateDataKeyPair"]
    others = ["kms:Encrypt", "kms:PutKeyPolicy", "kms:GetKeyPolicy", "kms:DescribeKey", "kms:GetPublicKey"]
    first = {"Effect": "Allow", "Action": "kms:*" if effect == "Deny" else others, **common}
    policy = {
        "Version": "2012-10-17",
        "Statement": [first, {"Effect": effect, "Action": secrets, **common, **condition}],
    }
    account.kms.put_key_policy(KeyId=key_id, Policy=json.dumps(policy))


KEYED = [name for name in METHODS if name != "GenerateRandom"]
NAMES = ["kms:RecipientAttestation:PCR0", "kms:RecipientAttestation:ImageSha384", "KMS:recipientattestation:pcr0"]


@pytest.mark.parametrize("condition_key", NAMES)
@pytest.mark.parametrize("name", KEYED)
def test_a_policy_for_one_image(account, root, enclave, name, condition_key):
    call = Call(account, name)
    stranger = Enclave(root, pcrs={0: OTHER_IMAGE, 1: IMAGE})
    for written in (IMAGE.hex(), IMAGE.hex().upper()):
        condition = {"Condition": {"StringEqualsIgnoreCase": {condition_key: written}}}
        guarded(account, call.id, condition)
        call(Recipient=enclave.recipient())
        for more in ({}, {"Recipient": stranger.recipient()}):
            with refused("AccessDeniedException") as caught:
                call(**more)
            head = f"User: {account.root} is not authorized to perform: kms:{name.removesuffix('Rsa')} on "
            assert caught.value.response["Error"]["Message"].startswith(head)


@pytest.mark.parametrize("name", KEYED)
def test_a_policy_that_denies_all_other_images(account, root, enclave, name):
    """A negated operator holds when there is no document at all, so the plain call is denied too."""
    call = Call(account, name)
    stranger = Enclave(root, pcrs={0: OTHER_IMAGE})
    condition = {"Condition": {"StringNotEqualsIgnoreCase": {"kms:RecipientAttestation:ImageSha384": IMAGE.hex()}}}
    guarded(account, call.id, condition, effect="Deny")
    call(Recipient=enclave.recipient())
    for more in ({}, {"Recipient": stranger.recipient()}):
        with refused("AccessDeniedException") as caught:
            call(**more)
        message = caught.value.response["Error"]["Message"]
        assert message.endswith(" with an explicit deny in a resource-based policy")


def test_several_registers_and_images(account, root, enclave):
    call = Call(account, "Decrypt")
    registers = {"kms:RecipientAttestation:PCR1": "01" * 48, "kms:RecipientAttestation:PCR8": "08" * 48}
    guarded(account, call.id, {"Condition": {"StringEqualsIgnoreCase": registers}})
    call(Recipient=enclave.recipient())
    for pcrs in ({0: IMAGE, 1: b"\1" * 48}, {0: IMAGE, 8: b"\x08" * 48}, {1: b"\1" * 48, 8: b"\1" * 48}):
        with refused("AccessDeniedException"):
            call(Recipient=Enclave(root, pcrs=pcrs).recipient())
    images = {"kms:RecipientAttestation:PCR0": [OTHER_IMAGE.hex(), IMAGE.hex()]}
    guarded(account, call.id, {"Condition": {"StringEqualsIgnoreCase": images}})
    call(Recipient=enclave.recipient())
    call(Recipient=Enclave(root, pcrs={0: OTHER_IMAGE}).recipient())
    with refused("AccessDeniedException"):
        call(Recipient=Enclave(root, pcrs={0: b"\2" * 48}).recipient())


def test_a_bad_document_is_refused_before_the_policy_is_asked(account, enclave):
    """Its registers never reach the policy: a forged image must not be let in."""
    call = Call(account, "Decrypt")
    guarded(account, call.id, {"Condition": {"StringEqualsIgnoreCase": {NAMES[0]: IMAGE.hex()}}})
    forged = Enclave(TestRoot(), pcrs={0: IMAGE})
    with refused("ValidationException"):
        call(Recipient=forged.recipient())
    call(Recipient=enclave.recipient())


def test_what_takes_no_recipient_is_denied_under_such_a_policy(account, enclave):
    kind = Kind("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    key_id = account.create_key(**creation_options(kind))["KeyId"]
    blob = account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"]
    condition = {"Condition": {"StringEqualsIgnoreCase": {NAMES[0]: IMAGE.hex()}}}
    guarded(account, key_id, condition)
    with refused("AccessDeniedException"):
        account.kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=account.create_key()["KeyId"])
    with refused("AccessDeniedException"):
        account.kms.generate_data_key_without_plaintext(KeyId=key_id, KeySpec="AES_256")


@pytest.mark.parametrize(
    "content",
    [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None],
    ids=["empty", "nonsense", "no certificate", "absent"],
)
def test_a_root_file_that_is_none(tmp_path, content):
    if content is not None:
        (tmp_path / "root.pem").write_bytes(content)
    with pytest.raises(servers.StartError) as caught, servers.dev(None, "--attestation-root", tmp_path / "root.pem"):
        pass
    assert caught.value.status != 0 and str(tmp_path / "root.pem") in caught.value.output
