"""What the audit log says of each call: CloudTrail's record (reference events.md), in clear, and nothing secret."""

import base64
import json
import re
import uuid

import pytest
from support import server as servers
from support.aws import ABSENT_ID, Account
from support.uses import USES, Prepared

NUMBER = "123456789012"
PLAINTEXT = b"a plaintext that nobody may read in the log"


def records(directory):
    """The records of calls, in order."""
    lines = [line for path in sorted(directory.glob("segment-*.log")) for line in path.read_text().splitlines()]
    bodies = [json.loads(line).get("record") for line in lines]
    return [body for body in bodies if body and "eventName" in body]


class Scene:
    """A server that was used in many ways, and what its log says."""

    def __init__(self, directory):
        self.ids = {}
        with servers.dev(directory) as server:
            self.account = Account(server, NUMBER)
            kms = self.account.kms
            self.key = self.note("CreateKey", kms.create_key, Description="audited")["KeyMetadata"]
            key_id = self.key["KeyId"]
            self.note("CreateAlias", kms.create_alias, AliasName="alias/audited", TargetKeyId=key_id)
            context = {"tenant": "blue"}
            sealed = self.note(
                "Encrypt", kms.encrypt, KeyId="alias/audited", Plaintext=PLAINTEXT, EncryptionContext=context
            )
            self.blob = sealed["CiphertextBlob"]
            self.note("Decrypt", kms.decrypt, CiphertextBlob=self.blob, EncryptionContext=context)
            made = self.note("GenerateDataKey", kms.generate_data_key, KeyId=key_id, KeySpec="AES_256")
            self.data_key = made["Plaintext"]
            self.note("GenerateRandom", kms.generate_random, NumberOfBytes=32)
            self.note("ListKeys", kms.list_keys)
            self.note("TagResource", kms.tag_resource, KeyId=key_id, Tags=[{"TagKey": "a", "TagValue": "b"}])
            self.note("DisableKey", kms.disable_key, KeyId=key_id)
            self.note("EncryptDisabled", kms.encrypt, KeyId=key_id, Plaintext=PLAINTEXT)
            self.note("EncryptAbsent", kms.encrypt, KeyId=ABSENT_ID, Plaintext=PLAINTEXT)
            self.note("EncryptInvalid", kms.encrypt, KeyId=key_id, Plaintext=b"")
            self.note("DecryptCorrupt", kms.decrypt, CiphertextBlob=self.blob[:-1] + b"?")
            self.note("ScheduleKeyDeletion", kms.schedule_key_deletion, KeyId=key_id, PendingWindowInDays=7)
            server.control("clock", {"advance": "8d"})
        self.records = records(directory / "audit")

    def note(self, name, call, **arguments):
        try:
            answer = call(**arguments)
        except self.account.kms.exceptions.ClientError as error:
            answer = error.response
        self.ids[name] = answer["ResponseMetadata"]["RequestId"]
        return answer

    def record(self, name):
        found = [record for record in self.records if record.get("requestID") == self.ids[name]]
        assert len(found) == 1, (name, found)
        return found[0]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("scene") / "data")


def test_every_call_has_one_record_in_order(scene):
    positions = [scene.records.index(scene.record(name)) for name in scene.ids]
    assert positions == sorted(positions)


def test_the_fields_of_a_record(scene):
    record = scene.record("Encrypt")
    assert record["eventSource"] == "kms.amazonaws.com"
    assert record["eventName"] == "Encrypt"
    assert record["awsRegion"] == servers.REGION
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", record["eventTime"])
    assert record["eventType"] == "AwsApiCall"
    assert record["readOnly"] is True
    assert record["sourceIPAddress"] == "127.0.0.1"
    assert "Boto3" in record["userAgent"] or "boto" in record["userAgent"].lower()
    assert str(uuid.UUID(record["eventID"])) == record["eventID"]
    assert record["recipientAccountId"] == NUMBER
    assert record["userIdentity"]["type"] == "Root"
    assert record["userIdentity"]["arn"] == scene.account.root
    assert record["userIdentity"]["accountId"] == NUMBER
    assert "errorCode" not in record
    assert record["requestParameters"]["keyId"] == "alias/audited"
    assert record["requestParameters"]["encryptionContext"] == {"tenant": "blue"}
    assert record["requestParameters"]["encryptionAlgorithm"] == "SYMMETRIC_DEFAULT"
    assert record["responseElements"] is None
    assert record["resources"] == [{"accountId": NUMBER, "type": "AWS::KMS::Key", "ARN": scene.key["Arn"]}]


@pytest.mark.parametrize(
    ("name", "read_only"),
    [
        ("CreateKey", False),
        ("CreateAlias", False),
        ("Decrypt", True),
        ("GenerateDataKey", True),
        ("GenerateRandom", True),
        ("ListKeys", True),
        ("TagResource", False),
        ("DisableKey", False),
        ("ScheduleKeyDeletion", False),
    ],
)
def test_reads_and_writes_are_told_apart(scene, name, read_only):
    record = scene.record(name)
    assert record["eventName"] == name
    assert record["readOnly"] is read_only
    assert "errorCode" not in record


def test_failures_are_recorded(scene):
    arn = scene.key["Arn"]
    for name, code, message in [
        ("EncryptDisabled", "DisabledException", f"{arn} is disabled."),
        ("EncryptAbsent", "NotFoundException", f"Key '{scene.account.key_arn(ABSENT_ID)}' does not exist"),
        ("DecryptCorrupt", "DisabledException", f"{arn} is disabled."),
    ]:
        record = scene.record(name)
        assert (record["errorCode"], record["errorMessage"]) == (code, message)
    assert scene.record("EncryptInvalid")["errorCode"] == "ValidationException"


def test_the_deletion_itself_is_recorded(scene):
    deletions = [record for record in scene.records if record["eventName"] == "DeleteKey"]
    assert [record["resources"][0]["ARN"] for record in deletions] == [scene.key["Arn"]]


def test_nothing_secret_is_in_the_records(scene):
    text = json.dumps(scene.records)
    for secret in (PLAINTEXT, scene.data_key, scene.blob):
        encoded = base64.b64encode(secret).decode()
        assert encoded not in text
        assert secret.hex() not in text
    assert PLAINTEXT.decode() not in text


SHOWN = {
    *("EncryptionAlgorithm", "SourceEncryptionAlgorithm", "DestinationEncryptionAlgorithm", "SigningAlgorithm"),
    *("MacAlgorithm", "KeyAgreementAlgorithm", "EncapsulationAlgorithm", "KeySpec", "KeyPairSpec"),
    *("SourceKeyId", "DestinationKeyId"),
}
SECRET = {"Plaintext", "PrivateKeyPlaintext", "SharedSecret", "Mac", "Signature", "CiphertextBlob"}
SECRET |= {"PrivateKeyCiphertextBlob", "SharedSecretCiphertextBlob"}


@pytest.fixture(scope="module")
def uses(tmp_path_factory):
    """Every use of a key, once: (prepared, request id, record) by name; and whatever no record may hold."""
    directory = tmp_path_factory.mktemp("uses") / "data"
    done, secrets = {}, []
    with servers.dev(directory) as server:
        for number, (name, use) in enumerate(USES.items()):
            prepared = Prepared(Account(server, str(200_000_000_000 + number)), use)
            answer = prepared.call()
            done[name] = (prepared, answer["ResponseMetadata"]["RequestId"])
            secrets += [value for member, value in answer.items() if member in SECRET]
            secrets += [value for member, value in prepared.arguments.items() if member in SECRET]
    by_request = {record.get("requestID"): record for record in records(directory / "audit")}
    return {name: (prepared, by_request[request]) for name, (prepared, request) in done.items()}, secrets


@pytest.mark.parametrize("name", USES)
def test_every_use_of_a_key_is_recorded(uses, name):
    prepared, record = uses[0][name]
    use, arn = prepared.use, prepared.key["Arn"]
    assert record["eventName"] == ("ReEncrypt" if use.action.startswith("ReEncrypt") else use.action)
    assert record["readOnly"] is True and record["responseElements"] is None and "errorCode" not in record
    assert arn in [resource["ARN"] for resource in record["resources"]]
    assert len(record["resources"]) == (2 if use.method == "re_encrypt" else 1)
    sent = {**prepared.arguments, use.named_by: prepared.key["KeyId"]}
    shown = {member[0].lower() + member[1:]: sent[member] for member in sent if member in SHOWN | {"KeyId"}}
    parameters = record["requestParameters"]
    assert shown.items() <= parameters.items()
    assert not {member.lower() for member in SECRET | {"Message"}} & {member.lower() for member in parameters}
    symmetric = use.kind.spec == "SYMMETRIC_DEFAULT"
    if use.method != "re_encrypt":
        material = record.get("additionalEventData", {}).get("keyMaterialId")
        assert material == (prepared.key["CurrentKeyMaterialId"] if symmetric else None)


def test_nothing_that_a_use_made_is_in_the_records(uses):
    done, secrets = uses
    text = json.dumps([record for _, record in done.values()])
    assert len(secrets) > len(USES)
    for secret in secrets:
        assert base64.b64encode(secret).decode() not in text and secret.hex() not in text


def test_what_concerns_two_regions_is_recorded_in_both(tmp_path):
    with servers.dev(tmp_path / "data") as server:
        account = Account(server, NUMBER)
        here, there = account.kms, account.in_region("eu-west-1").kms
        key = account.create_key(MultiRegion=True)
        copied = here.replicate_key(KeyId=key["KeyId"], ReplicaRegion="eu-west-1", Description="a copy")
        with pytest.raises(here.exceptions.AlreadyExistsException) as refused:
            here.replicate_key(KeyId=key["KeyId"], ReplicaRegion="eu-west-1")
        moved = here.update_primary_region(KeyId=key["KeyId"], PrimaryRegion="eu-west-1")
        replica = there.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Arn"]
    log = records(tmp_path / "data" / "audit")

    def of(answer):
        found = [record for record in log if record.get("requestID") == answer["ResponseMetadata"]["RequestId"]]
        assert len({record["eventID"] for record in found}) == len(found)
        return {(record["eventName"], record["awsRegion"]): record for record in found}

    home = account.region
    copies = of(copied)
    assert set(copies) == {("ReplicateKey", home), ("CreateKey", "eu-west-1")}
    own, made = copies["ReplicateKey", home], copies["CreateKey", "eu-west-1"]
    assert "invokedBy" not in own["userIdentity"] and own["resources"][0]["ARN"] == key["Arn"]
    assert made["userIdentity"] == {**own["userIdentity"], "invokedBy": "kms.amazonaws.com"}
    assert made["sourceIPAddress"] == made["userAgent"] == made["eventSource"] == "kms.amazonaws.com"
    assert made["requestParameters"]["multiRegion"] is True
    assert made["requestParameters"]["description"] == "a copy"
    assert made["responseElements"]["keyMetadata"]["arn"] == replica
    assert [one["ARN"] for one in made["resources"]] == [replica]
    moves = of(moved)
    assert set(moves) == {("UpdatePrimaryRegion", home), ("UpdatePrimaryRegion", "eu-west-1")}
    own, new = moves["UpdatePrimaryRegion", home], moves["UpdatePrimaryRegion", "eu-west-1"]
    assert new["userIdentity"]["invokedBy"] == "kms.amazonaws.com" and not new["resources"]
    assert new["requestParameters"] == own["requestParameters"] and new["responseElements"] == own["responseElements"]
    assert list(of(refused.value.response)) == [("ReplicateKey", home)], "what did not happen is recorded once"
    status, output = servers.run("audit", "verify", tmp_path / "data" / "audit")
    assert status == 0, output


def test_odd_user_agents_cannot_break_a_line(tmp_path):
    with servers.dev(tmp_path / "data") as server:
        account = Account(server, NUMBER)
        for agent in ['"}\\', "x" * 5000, "\x7f\t", "\xff"]:
            account.signed("ListKeys", {}, change=lambda headers, agent=agent: headers.update({"User-Agent": agent}))
        account.signed("TagResource", {"KeyId": '"}\n{\u2028', "Tags": []})
    assert len(records(tmp_path / "data" / "audit")) >= 4
    status, output = servers.run("audit", "verify", tmp_path / "data" / "audit")
    assert status == 0, output


def test_requests_without_a_good_signature_do_not_fill_the_log(tmp_path):
    """They are counted and recorded at a bounded rate, so nobody fills the log from outside."""
    root = "111122223333=AKIAIOSFODNN7EXAMPLE:secret"
    with servers.dev(tmp_path / "data", "--enforce", "--root", root) as server:
        for _ in range(400):
            server.signed("ListKeys", {}, account="AKIAUNKNOWNUNKNOWN00", secret="x")
    size = sum(path.stat().st_size for path in (tmp_path / "data" / "audit").glob("segment-*.log"))
    assert size < 400 * 400
