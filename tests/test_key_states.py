"""The table of key-states.md for the operations that exist, and what becomes of a key that is deleted."""

import datetime
import json

import botocore.session
import pytest
from support import imports, key_states
from support import server as servers
from support.aws import DEFAULT_POLICY, Account, refused, violation

PLAINTEXT = b"attack at dawn"

SIGNED = {"Message": PLAINTEXT, "SigningAlgorithm": "ECDSA_SHA_256"}
MAC = {"Message": PLAINTEXT, "MacAlgorithm": "HMAC_SHA_256"}
EAST = "us-east-1"


class Subject:
    """A key on its way into a state, with a ciphertext, an alias and grants of its better days; and another key."""

    def __init__(self, account, state, kind="symmetric", origin="AWS_KMS", way=None, primary=False):
        self.account, self.kms, self.kind, self.origin = account, account.kms, kind, origin
        self.spec, usage = key_states.KINDS[kind]
        several = primary or state == key_states.PENDING_REPLICAS
        self.key = account.create_key(KeySpec=self.spec, KeyUsage=usage, Origin=origin, MultiRegion=several)
        self.id, self.arn = self.key["KeyId"], self.key["Arn"]
        self.other = account.create_key()["KeyId"]
        self.plain = imports.new_material(self.spec) if origin == "EXTERNAL" else None
        self.import_call = None
        self.blob = self.grant = b""
        self.kms.create_alias(AliasName=self.name("old"), TargetKeyId=self.id)
        self.kms.create_alias(AliasName=self.name("other"), TargetKeyId=self.other)
        self.other_blob = self.kms.encrypt(KeyId=self.other, Plaintext=PLAINTEXT)["CiphertextBlob"]
        if way != key_states.FRESH:
            self.live_well(way, several and state != key_states.PENDING)
        self.enter(state, way)
        assert account.metadata(self.id)["KeyState"] == state

    def name(self, text):
        return f"alias/{text}-{self.id}"

    def live_well(self, way, replicated):
        if self.plain:
            expiry = {"ValidTo": self.key["CreationDate"] + datetime.timedelta(days=1)}
            imports.bring(self.kms, self.id, self.plain, **(expiry if way == key_states.EXPIRED else {}))
        grant = {"GranteePrincipal": self.account.root, "Operations": ["DescribeKey"]}
        self.grant = self.kms.create_grant(KeyId=self.id, **grant)["GrantId"]
        if self.kind == "symmetric":
            self.blob = self.kms.encrypt(KeyId=self.id, Plaintext=PLAINTEXT)["CiphertextBlob"]
        if self.kind == "signing":
            self.blob = self.kms.sign(KeyId=self.id, **SIGNED)["Signature"]
        if self.kind == "hmac":
            self.blob = self.kms.generate_mac(KeyId=self.id, **MAC)["Mac"]
        if self.kind == "kem":
            sealed = self.kms.encapsulate(KeyId=self.id, EncapsulationAlgorithm="ML_KEM")
            self.blob = sealed["SharedSecretCiphertextBlob"]
        if replicated:
            self.kms.replicate_key(KeyId=self.id, ReplicaRegion=EAST)

    def enter(self, state, way):
        if state == key_states.DISABLED:
            self.kms.disable_key(KeyId=self.id)
        elif state in (key_states.PENDING, key_states.PENDING_REPLICAS):
            if self.plain:
                # Parameters are given to no key that is pending deletion: they are older.
                self.import_call = imports.wrapped(self.kms, self.id, self.plain)
            self.kms.schedule_key_deletion(KeyId=self.id)
        elif way == key_states.DELETED:
            self.kms.delete_imported_key_material(KeyId=self.id)
        elif way == key_states.EXPIRED:
            self.account.server.control("clock", {"advance": "2d"})

    def sealed_by_another(self):
        """For keys that never sealed anything: any text of theirs is refused before it is opened."""
        return {"KeyId": self.id, "CiphertextBlob": self.blob or self.other_blob}

    def wrapped(self):
        if self.origin == "AWS_KMS":
            return {"KeyId": self.id, "ImportToken": b"token", "EncryptedKeyMaterial": b"x" * 256}
        return self.import_call or imports.wrapped(self.kms, self.id, self.plain)

    def rotate(self):
        if self.plain and self.kind == "symmetric" and self.account.metadata(self.id)["Enabled"]:
            imports.bring(self.kms, self.id, imports.new_material(), ImportType="NEW_KEY_MATERIAL")
        return self.kms.rotate_key_on_demand(KeyId=self.id)

    def promote(self):
        return self.kms.update_primary_region(KeyId=self.id, PrimaryRegion=EAST)

    def public_key(self):
        peer = self.account.create_key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")["KeyId"]
        return self.kms.get_public_key(KeyId=peer)["PublicKey"]

    def perform(self, operation):
        kms, key, named = self.kms, self.id, {"KeyId": self.id}
        calls = {
            "CancelKeyDeletion": lambda: kms.cancel_key_deletion(**named),
            "CreateAlias": lambda: kms.create_alias(AliasName=self.name("new"), TargetKeyId=key),
            "CreateGrant": lambda: kms.create_grant(
                **named, GranteePrincipal=self.account.root, Operations=["DescribeKey"]
            ),
            "Decapsulate": lambda: kms.decapsulate(
                **named, EncapsulationAlgorithm="ML_KEM", SharedSecretCiphertextBlob=self.blob
            ),
            "Decrypt": lambda: kms.decrypt(**self.sealed_by_another()),
            "DeleteAlias": lambda: kms.delete_alias(AliasName=self.name("old")),
            "DeleteImportedKeyMaterial": lambda: kms.delete_imported_key_material(**named),
            "DeriveSharedSecret": lambda: kms.derive_shared_secret(
                **named, KeyAgreementAlgorithm="ECDH", PublicKey=self.public_key()
            ),
            "DescribeKey": lambda: kms.describe_key(**named),
            "DisableKey": lambda: kms.disable_key(**named),
            "DisableKeyRotation": lambda: kms.disable_key_rotation(**named),
            "EnableKey": lambda: kms.enable_key(**named),
            "EnableKeyRotation": lambda: kms.enable_key_rotation(**named),
            "Encapsulate": lambda: kms.encapsulate(**named, EncapsulationAlgorithm="ML_KEM"),
            "Encrypt": lambda: kms.encrypt(**named, Plaintext=PLAINTEXT),
            "GenerateDataKey": lambda: kms.generate_data_key(**named, KeySpec="AES_256"),
            "GenerateDataKeyWithoutPlaintext": lambda: kms.generate_data_key_without_plaintext(
                **named, KeySpec="AES_256"
            ),
            "GenerateDataKeyPair": lambda: kms.generate_data_key_pair(**named, KeyPairSpec="ECC_NIST_P256"),
            "GenerateDataKeyPairWithoutPlaintext": lambda: kms.generate_data_key_pair_without_plaintext(
                **named, KeyPairSpec="ECC_NIST_P256"
            ),
            "GenerateMac": lambda: kms.generate_mac(**named, **MAC),
            "GetKeyLastUsage": lambda: kms.get_key_last_usage(**named),
            "GetKeyPolicy": lambda: kms.get_key_policy(**named),
            "GetKeyRotationStatus": lambda: kms.get_key_rotation_status(**named),
            "GetParametersForImport": lambda: kms.get_parameters_for_import(
                **named, WrappingAlgorithm=imports.PLAIN, WrappingKeySpec="RSA_2048"
            ),
            "GetPublicKey": lambda: kms.get_public_key(**named),
            "ImportKeyMaterial": lambda: kms.import_key_material(**self.wrapped(), **imports.FOREVER),
            "ListAliases": lambda: kms.list_aliases(**named),
            "ListGrants": lambda: kms.list_grants(**named),
            "ListKeyPolicies": lambda: kms.list_key_policies(**named),
            "ListKeyRotations": lambda: kms.list_key_rotations(**named),
            "ListResourceTags": lambda: kms.list_resource_tags(**named),
            "PutKeyPolicy": lambda: kms.put_key_policy(**named, Policy=DEFAULT_POLICY % self.account.root),
            "ReEncrypt.From": lambda: kms.re_encrypt(
                CiphertextBlob=self.blob or self.other_blob, SourceKeyId=key, DestinationKeyId=self.other
            ),
            "ReEncrypt.To": lambda: kms.re_encrypt(CiphertextBlob=self.other_blob, DestinationKeyId=key),
            "ReplicateKey": lambda: kms.replicate_key(**named, ReplicaRegion="us-west-2"),
            "RetireGrant": lambda: kms.retire_grant(**named, GrantId=self.grant),
            "RevokeGrant": lambda: kms.revoke_grant(**named, GrantId=self.grant),
            "RotateKeyOnDemand": self.rotate,
            "ScheduleKeyDeletion": lambda: kms.schedule_key_deletion(**named),
            "Sign": lambda: kms.sign(**named, **SIGNED),
            "TagResource": lambda: kms.tag_resource(**named, Tags=[{"TagKey": "a", "TagValue": "b"}]),
            "UntagResource": lambda: kms.untag_resource(**named, TagKeys=["a"]),
            "UpdateAlias.Away": lambda: kms.update_alias(AliasName=self.name("old"), TargetKeyId=self.other),
            "UpdateAlias.To": lambda: kms.update_alias(AliasName=self.name("other"), TargetKeyId=key),
            "UpdateKeyDescription": lambda: kms.update_key_description(**named, Description="new"),
            "UpdatePrimaryRegion": self.promote,
            "Verify": lambda: kms.verify(**named, **SIGNED, Signature=self.blob or b"signature"),
            "VerifyMac": lambda: kms.verify_mac(**named, **MAC, Mac=self.blob or bytes(32)),
        }
        return calls[operation]()


# What the state becomes when the call succeeds; all else leaves it.
BECOMES = {
    "CancelKeyDeletion": key_states.DISABLED,
    "DisableKey": key_states.DISABLED,
    "EnableKey": key_states.ENABLED,
    "ScheduleKeyDeletion": key_states.PENDING,
    # An import makes a key usable that waited for it; a disabled one stays so.
    "ImportKeyMaterial": {key_states.PENDING_IMPORT: key_states.ENABLED},
    "DeleteImportedKeyMaterial": {
        key_states.ENABLED: key_states.PENDING_IMPORT,
        key_states.DISABLED: key_states.PENDING_IMPORT,
    },
}


@pytest.fixture(scope="module")
def movable():
    """A server whose clock only goes forward, for materials that expire."""
    with servers.dev() as server:
        yield Account(server, "000000000000")


@pytest.mark.parametrize(
    ("operation", "state", "kind", "origin", "way"),
    list(key_states.cells()),
    ids=lambda part: part or "-",
)
def test_cell(request, operation, state, kind, origin, way):
    account = request.getfixturevalue("movable" if way == key_states.EXPIRED else "account")
    subject = Subject(account, state, kind, origin, way, operation in key_states.OF_PRIMARIES)
    expected = key_states.expected(operation, state, kind, origin)
    if expected is not None:
        code, text = expected
        with refused(code, text and text.format(arn=subject.arn)):
            subject.perform(operation)
        assert account.metadata(subject.id)["KeyState"] == state
        return
    subject.perform(operation)
    then = BECOMES.get(operation, state)
    then = then.get(state, state) if isinstance(then, dict) else then
    assert account.metadata(subject.id)["KeyState"] == then


def test_every_cell_of_the_reference_is_covered_or_has_a_reason():
    model = set(botocore.session.get_session().get_service_model("kms").operation_names)
    with_key = {name.partition(".")[0] for name in key_states.TABLE}
    assert not with_key & {*key_states.WITHOUT_KEY, *key_states.NOT_BUILT}
    assert with_key | {*key_states.WITHOUT_KEY, *key_states.NOT_BUILT} == model
    assert {len(codes) for codes in key_states.TABLE.values()} == {4}
    tried = {(operation, state) for operation, state, *_ in key_states.cells()}
    for operation in key_states.TABLE:
        for state in key_states.STATES:
            kind = key_states.NATURAL.get(operation, "symmetric")
            assert ((operation, state) in tried) != ((kind, state) in key_states.IMPOSSIBLE), (operation, state)
    wire = set(botocore.session.get_session().get_service_model("kms").shape_for("KeyState").enum)
    assert {*key_states.STATES, *key_states.NOT_HERE} == wire


@pytest.mark.parametrize("operation", ["Encrypt", "Decrypt", "GenerateDataKey"])
def test_an_alias_of_a_disabled_key_names_the_key_in_the_refusal(account, operation):
    subject = Subject(account, "Disabled")
    with refused("DisabledException", f"{subject.key['Arn']} is disabled."):
        if operation == "Encrypt":
            account.kms.encrypt(KeyId=subject.name("old"), Plaintext=b"x")
        elif operation == "Decrypt":
            account.kms.decrypt(KeyId=subject.name("old"), CiphertextBlob=subject.blob)
        else:
            account.kms.generate_data_key(KeyId=subject.name("old"), KeySpec="AES_128")


def test_schedule_and_cancel(aws):
    key = aws.create_key()
    blob = aws.kms.encrypt(KeyId=key["KeyId"], Plaintext=PLAINTEXT)["CiphertextBlob"]
    now = datetime.datetime.now(datetime.UTC)
    answer = aws.kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    assert (answer["KeyId"], answer["KeyState"], answer["PendingWindowInDays"]) == (key["Arn"], "PendingDeletion", 7)
    planned = answer["DeletionDate"] - now
    assert datetime.timedelta(days=7, minutes=-1) < planned < datetime.timedelta(days=8, minutes=1)
    metadata = aws.metadata(key["KeyId"])
    assert (metadata["KeyState"], metadata["Enabled"]) == ("PendingDeletion", False)
    assert metadata["DeletionDate"] == answer["DeletionDate"]

    assert aws.kms.cancel_key_deletion(KeyId=key["Arn"])["KeyId"] == key["Arn"]
    metadata = aws.metadata(key["KeyId"])
    assert (metadata["KeyState"], metadata["Enabled"]) == ("Disabled", False) and "DeletionDate" not in metadata
    with refused("DisabledException", f"{key['Arn']} is disabled."):
        aws.kms.decrypt(CiphertextBlob=blob)
    aws.kms.enable_key(KeyId=key["KeyId"])
    assert aws.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT


def test_the_window_is_thirty_days_by_default(account):
    key_id = account.create_key()["KeyId"]
    answer = account.kms.schedule_key_deletion(KeyId=key_id)
    assert answer["PendingWindowInDays"] == 30
    planned = answer["DeletionDate"] - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=29, hours=23) < planned < datetime.timedelta(days=31, minutes=1)


def test_the_window_has_bounds(account):
    key_id = account.create_key()["KeyId"]
    for days in (1, 6, 31, 365):
        with refused("ValidationException", "PendingWindowInDays must be between 7 and 30"):
            account.kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=days)
    for days, rule in [(0, "greater than or equal to 1"), (366, "less than or equal to 365")]:
        text = violation(days, "pendingWindowInDays", f"Member must have value {rule}")
        with refused("ValidationException", text):
            account.kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=days)
    assert account.metadata(key_id)["KeyState"] == "Enabled"


@pytest.mark.parametrize("days", [7, 30])
def test_a_key_is_gone_when_its_time_has_passed(clocked, days):
    kept = clocked.create_key()
    key = clocked.create_key(Tags=[{"TagKey": "a", "TagValue": "b"}])
    clocked.kms.create_alias(AliasName="alias/gone", TargetKeyId=key["KeyId"])
    clocked.kms.create_alias(AliasName="alias/kept", TargetKeyId=kept["KeyId"])
    blob = clocked.kms.encrypt(KeyId=key["KeyId"], Plaintext=PLAINTEXT)["CiphertextBlob"]
    kept_blob = clocked.kms.encrypt(KeyId=kept["KeyId"], Plaintext=PLAINTEXT)["CiphertextBlob"]
    clocked.kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=days)

    clocked.server.control("clock", {"advance": f"{days - 1}d"})
    assert clocked.metadata(key["KeyId"])["KeyState"] == "PendingDeletion"
    clocked.server.control("clock", {"advance": "2d"})

    absent = f"Key '{key['Arn']}' does not exist"
    for call in [
        lambda: clocked.metadata(key["KeyId"]),
        lambda: clocked.kms.cancel_key_deletion(KeyId=key["KeyId"]),
        lambda: clocked.kms.encrypt(KeyId=key["Arn"], Plaintext=PLAINTEXT),
        lambda: clocked.kms.list_resource_tags(KeyId=key["KeyId"]),
        lambda: clocked.kms.get_key_policy(KeyId=key["KeyId"]),
    ]:
        with refused("NotFoundException", absent):
            call()
    with refused("NotFoundException", f"Alias {clocked.alias_arn('alias/gone')} is not found."):
        clocked.metadata("alias/gone")
    with pytest.raises(clocked.kms.exceptions.ClientError) as caught:
        clocked.kms.decrypt(CiphertextBlob=blob)
    assert caught.value.response["Error"]["Code"] in (
        "AccessDeniedException",
        "NotFoundException",
        "InvalidCiphertextException",
    )
    assert [entry["KeyId"] for entry in clocked.kms.list_keys()["Keys"]] == [kept["KeyId"]]
    assert clocked.kms.decrypt(CiphertextBlob=kept_blob)["Plaintext"] == PLAINTEXT
    assert clocked.metadata("alias/kept")["KeyId"] == kept["KeyId"]
    # The name is free again.
    clocked.kms.create_alias(AliasName="alias/gone", TargetKeyId=kept["KeyId"])


def test_a_cancelled_deletion_does_not_happen(clocked):
    key = clocked.create_key()
    blob = clocked.kms.encrypt(KeyId=key["KeyId"], Plaintext=PLAINTEXT)["CiphertextBlob"]
    clocked.kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    clocked.server.control("clock", {"advance": "6d"})
    clocked.kms.cancel_key_deletion(KeyId=key["KeyId"])
    clocked.server.control("clock", {"advance": "400d"})
    clocked.kms.enable_key(KeyId=key["KeyId"])
    assert clocked.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT


def test_many_keys_may_fall_due_at_once(clocked):
    keys = [clocked.create_key()["KeyId"] for _ in range(150)]
    for number, key_id in enumerate(keys):
        clocked.kms.create_alias(AliasName=f"alias/{number}", TargetKeyId=key_id)
        if number % 3:
            clocked.kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7 + number % 24)
    clocked.server.control("clock", {"advance": "40d"})
    left = {entry["KeyId"] for entry in clocked.kms.list_keys(Limit=1000)["Keys"]}
    assert left == {key_id for number, key_id in enumerate(keys) if number % 3 == 0}


def test_policy_and_description_of_a_pending_key_survive_cancelling(account):
    key_id = account.create_key(Description="kept", Tags=[{"TagKey": "a", "TagValue": "b"}])["KeyId"]
    account.kms.schedule_key_deletion(KeyId=key_id)
    account.kms.cancel_key_deletion(KeyId=key_id)
    assert account.metadata(key_id)["Description"] == "kept"
    assert account.kms.list_resource_tags(KeyId=key_id)["Tags"] == [{"TagKey": "a", "TagValue": "b"}]
    policy = json.loads(account.kms.get_key_policy(KeyId=key_id)["Policy"])
    assert policy == json.loads(DEFAULT_POLICY % account.root)
