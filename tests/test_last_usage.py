"""GetKeyLastUsage and `kms:TrailingDaysWithoutKeyUsage`, as boto3 sees them."""

import datetime
import json

from support import server as servers
from support.aws import Account, refused
from support.production import Deployment

PLAINTEXT = b"attack at dawn"


def usage(account, key_id):
    reply = account.kms.get_key_last_usage(KeyId=key_id)
    reply.pop("ResponseMetadata")
    return reply


def record(data, request_id):
    """The audit record of a request."""
    lines = [line for path in sorted((data / "audit").glob("segment-*.log")) for line in path.read_text().splitlines()]
    records = [json.loads(line).get("record") for line in lines]
    (found,) = [record for record in records if record and record.get("requestID") == request_id]
    return found


def encrypt(account, key_id):
    reply = account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)
    return reply["ResponseMetadata"]["RequestId"], reply["CiphertextBlob"]


def expected(data, key, request_id):
    """What the operation should say of a key whose last use was this request."""
    used = record(data, request_id)
    return {
        "KeyId": key["KeyId"],
        "KeyCreationDate": key["CreationDate"],
        "TrackingStartDate": key["CreationDate"],
        "KeyLastUsage": {
            "Operation": used["eventName"],
            "Timestamp": datetime.datetime.fromisoformat(used["eventTime"]),
            "CloudTrailEventId": used["eventID"],
            "KmsRequestId": request_id,
        },
    }


def test_a_use_is_told_and_survives_kill_nine(tmp_path):
    data = tmp_path / "data"
    with servers.dev(data) as server:
        account = Account(server, "000000000000")
        key, other = account.create_key(), account.create_key()
        created = key["CreationDate"]
        fresh = {"KeyId": key["KeyId"], "KeyCreationDate": created, "TrackingStartDate": created, "KeyLastUsage": {}}
        assert usage(account, key["KeyId"]) == fresh
        first, blob = encrypt(account, key["KeyId"])
        assert usage(account, key["Arn"]) == expected(data, key, first)
        # What was stored, and what came after it.
        server.control("clock", {"advance": "2m"})
        assert usage(account, key["KeyId"]) == expected(data, key, first)
        reply = account.kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other["KeyId"])
        second = reply["ResponseMetadata"]["RequestId"]
        with refused("DryRunOperationException"):
            account.kms.decrypt(CiphertextBlob=blob, DryRun=True)
        account.kms.disable_key(KeyId=key["KeyId"])
        with refused("DisabledException"):
            encrypt(account, key["KeyId"])
        server.kill()
    for _ in range(2):
        with servers.dev(data) as server:
            account = Account(server, "000000000000")
            for each in (key, other):
                assert usage(account, each["KeyId"]) == expected(data, each, second)
            server.kill()


def test_production_finds_what_a_crash_left(tmp_path):
    deployment = Deployment(tmp_path)
    status, output = deployment.init()
    assert status == 0, output
    with deployment.serve() as server:
        account = Account(server, deployment.account, **deployment.credentials())
        key = account.create_key()
        request_id, _ = encrypt(account, key["KeyId"])
        server.kill()
    with deployment.serve() as server:
        account = Account(server, deployment.account, **deployment.credentials())
        assert usage(account, key["KeyId"]) == expected(deployment.data, key, request_id)


def test_a_key_that_is_gone_leaves_nothing(tmp_path):
    data = tmp_path / "data"
    with servers.dev(data) as server:
        account = Account(server, "000000000000")
        key_id = account.create_key()["KeyId"]
        encrypt(account, key_id)
        server.control("clock", {"advance": "2m"})
        account.kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
        assert usage(account, key_id)["KeyLastUsage"]["Operation"] == "Encrypt"
        server.control("clock", {"advance": "8d"})
        with refused("NotFoundException"):
            usage(account, key_id)


def test_a_reset_forgets(tmp_path):
    for data in (None, tmp_path / "data"):
        with servers.dev(data) as server:
            account = Account(server, "000000000000")
            encrypt(account, account.create_key()["KeyId"])
            server.control("reset")
            key = account.create_key()
            assert usage(account, key["KeyId"])["KeyLastUsage"] == {}
            encrypt(account, key["KeyId"])
            server.control("clock", {"advance": "2m"})
            assert usage(account, key["KeyId"])["KeyLastUsage"]["Operation"] == "Encrypt"


def test_whom_it_answers(account, other_account):
    key = account.create_key()
    with refused("AccessDeniedException"):
        usage(other_account, key["Arn"])
    account.kms.create_alias(AliasName="alias/used", TargetKeyId=key["KeyId"])
    with refused("InvalidArnException"):
        usage(account, "alias/used")


def lately_used_stays(account):
    """The account may do everything, but not disable or delete a key that was used in the last 30 days."""
    principal = {"Principal": {"AWS": account.root}, "Resource": "*"}
    actions = ["kms:DisableKey", "kms:ScheduleKeyDeletion"]
    condition = {"NumericLessThan": {"kms:TrailingDaysWithoutKeyUsage": "30"}}
    statements = [
        {"Effect": "Allow", "Action": "kms:*", **principal},
        {"Effect": "Deny", "Action": actions, "Condition": condition, **principal},
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def denied(account, key_id):
    with refused("AccessDeniedException"):
        account.kms.disable_key(KeyId=key_id)
    with refused("AccessDeniedException"):
        account.kms.schedule_key_deletion(KeyId=key_id)


def test_a_key_in_use_is_not_disabled(tmp_path):
    data = tmp_path / "data"
    with servers.dev(data) as server:
        account = Account(server, "000000000000")
        key_id = account.create_key(Policy=lately_used_stays(account))["KeyId"]
        denied(account, key_id)
        server.control("clock", {"advance": "31d"})
        encrypt(account, key_id)
        denied(account, key_id)
        server.kill()
    with servers.dev(data) as server:
        account = Account(server, "000000000000")
        denied(account, key_id)
        server.control("clock", {"advance": "29d"})
        denied(account, key_id)
        server.control("clock", {"advance": "1d"})
        account.kms.disable_key(KeyId=key_id)
        account.kms.schedule_key_deletion(KeyId=key_id)
