"""`claviger dev`: starting and stopping, and what only dev offers: clock, reset, faults, seed file."""

import base64
import datetime
import json
import re
import shutil
import socket
import sqlite3
import subprocess
import time
import uuid

import pytest
from support import server as servers
from support.aws import Account, refused

PLAINTEXT = b"attack at dawn"


def test_it_is_ready_in_under_a_second():
    times = []
    for _ in range(3):
        with servers.dev() as server:
            assert server.request("GET", "/ready").status == 200
            times.append(server.start_seconds)
    assert min(times) < 1, times


def test_it_says_how_to_point_clients_at_it(dev):
    dev.request("GET", "/ready")
    time.sleep(0.2)
    assert dev.url in dev.log
    assert "AWS_ENDPOINT_URL" in dev.log or "--endpoint-url" in dev.log
    assert "boto3" in dev.log


def test_the_observer_endpoints(dev):
    for path in ("/health", "/ready"):
        assert dev.request("GET", path).status == 200
    metrics = dev.request("GET", "/metrics")
    assert metrics.status == 200
    assert re.search(rb"^[a-z_]+(\{[^}]*\})? [0-9.e+-]+$", metrics.body, re.MULTILINE)


def test_access_keys_name_accounts():
    with servers.dev() as server:
        for access_key, number in [
            ("123456789012", "123456789012"),
            ("AKIDX", "000000000000"),
            ("12345", "000000000000"),
        ]:
            identity = server.client("sts", access_key).get_caller_identity()
            assert identity["Account"] == number
            assert server.client("kms", access_key).create_key()["KeyMetadata"]["AWSAccountId"] == number
    with servers.dev(None, "--account", "222233334444") as server:
        assert server.client("sts", "AKIDX").get_caller_identity()["Account"] == "222233334444"
        assert server.client("sts", "123456789012").get_caller_identity()["Account"] == "123456789012"


def test_an_account_number_has_twelve_digits():
    status, output = servers.run("dev", "--listen", "127.0.0.1:0", "--account", "12")
    assert status != 0 and output.strip()


def test_memory_forgets_and_a_directory_remembers(tmp_path):
    data = tmp_path / "data"
    with servers.dev(data) as server:
        account = Account(server, "123456789012")
        key = account.create_key(Description="kept", Tags=[{"TagKey": "a", "TagValue": "b"}])
        account.kms.create_alias(AliasName="alias/kept", TargetKeyId=key["KeyId"])
        blob = account.kms.encrypt(KeyId="alias/kept", Plaintext=PLAINTEXT)["CiphertextBlob"]
    for _ in range(2):
        with servers.dev(data) as server:
            account = Account(server, "123456789012")
            assert account.metadata("alias/kept") == key
            assert account.kms.list_resource_tags(KeyId=key["KeyId"])["Tags"] == [{"TagKey": "a", "TagValue": "b"}]
            assert account.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT
    with servers.dev() as server:
        assert Account(server, "123456789012").kms.list_keys()["Keys"] == []


def test_a_taken_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        status, output = servers.run("dev", "--listen", address)
    one_clear_line(status, output, address)


def test_an_unwritable_directory(tmp_path):
    (tmp_path / "file").write_text("a file, not a directory")
    for name in ("file", "file/data"):
        status, output = servers.run("dev", "--listen", "127.0.0.1:0", "--data", tmp_path / name)
        one_clear_line(status, output, str(tmp_path / name))
    assert (tmp_path / "file").read_text() == "a file, not a directory"


def test_a_directory_in_use(tmp_path):
    data = tmp_path / "data"
    with servers.dev(data) as server:
        account = Account(server, "000000000000")
        key_id = account.create_key()["KeyId"]
        status, output = servers.run("dev", "--listen", "127.0.0.1:0", "--data", data)
        one_clear_line(status, output, str(data))
        account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)
        account.create_key()
    with servers.dev(data) as server:
        assert len(Account(server, "000000000000").kms.list_keys()["Keys"]) == 2


def test_a_directory_of_a_newer_release(tmp_path):
    data = tmp_path / "data"
    with servers.dev(data) as server:
        key_id = Account(server, "000000000000").create_key()["KeyId"]
    with sqlite3.connect(data / "store.sqlite") as database:
        version = database.execute("pragma user_version").fetchone()[0]
        database.execute(f"pragma user_version = {version + 1}")
    database.close()
    before = (data / "store.sqlite").read_bytes()
    status, output = servers.run("dev", "--listen", "127.0.0.1:0", "--data", data)
    one_clear_line(status, output, str(data))
    assert "newer" in output
    assert (data / "store.sqlite").read_bytes() == before
    with sqlite3.connect(data / "store.sqlite") as database:
        database.execute(f"pragma user_version = {version}")
    database.close()
    with servers.dev(data) as server:
        assert Account(server, "000000000000").metadata(key_id)["KeyId"] == key_id


def one_clear_line(status, output, word):
    assert status not in (0, None) and status > 0, output
    # The log may warn about the machine (memory that cannot be locked); the reason itself is one line.
    lines = [line for line in output.splitlines() if line.strip() and " WARN " not in line]
    assert len(lines) == 1, output
    assert word in output and "panicked" not in output


def test_beyond_loopback_needs_a_word():
    status, output = servers.run("dev", "--listen", "0.0.0.0:0")
    assert status != 0 and "--danger-listen-anywhere" in output


def test_sigterm_drains(tmp_path):
    """Requests in flight are answered; afterwards the database has no write-ahead log left to lose."""
    server = servers.dev(tmp_path / "data")
    account = Account(server, "000000000000")
    account.create_key()
    server.stop()
    left = tmp_path / "data" / "store.sqlite-wal"
    assert not left.exists() or left.stat().st_size == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8080"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/", "/_claviger/reset", "/_claviger/clock"])
def test_web_pages_are_kept_out(account, headers, path):
    key_id = account.create_key()["KeyId"]
    if path == "/":
        answer = account.signed("ScheduleKeyDeletion", {"KeyId": key_id}, change=lambda signed: signed.update(headers))
    else:
        body = json.dumps({"advance": "400d"})
        answer = account.server.request("POST", path, body, {"Content-Type": "application/json", **headers})
    assert answer.status == 403, answer
    assert account.metadata(key_id)["KeyState"] == "Enabled"


def test_an_origin_may_be_allowed():
    with servers.dev(None, "--allow-origin", "https://good.example") as server:
        account = Account(server, "000000000000")
        for origin, status in [("https://good.example", 200), ("https://evil.example", 403)]:
            answer = account.signed("ListKeys", {}, change=lambda headers, origin=origin: headers.update(Origin=origin))
            assert answer.status == status, answer


def test_localhost_is_a_good_host(account):
    def rename(headers):
        headers["Host"] = f"localhost:{account.server.port}"

    assert account.signed("ListKeys", {}, change=rename).status == 200


def test_the_clock_moves_creation_dates(clocked):
    now = datetime.datetime.now(datetime.UTC)
    clocked.server.control("clock", {"advance": "400d"})
    ahead = clocked.create_key()["CreationDate"] - now
    assert datetime.timedelta(days=400, minutes=-1) < ahead < datetime.timedelta(days=400, minutes=1)
    clocked.server.control("clock", {"advance": "1d"})
    assert clocked.create_key()["CreationDate"] - now > datetime.timedelta(days=401, minutes=-1)


def test_the_clock_stays_where_it_was_moved(tmp_path):
    with servers.dev(tmp_path / "data") as server:
        server.control("clock", {"advance": "400d"})
    with servers.dev(tmp_path / "data") as server:
        ahead = Account(server, "1").create_key()["CreationDate"] - datetime.datetime.now(datetime.UTC)
        assert datetime.timedelta(days=399) < ahead < datetime.timedelta(days=401)


def test_keys_that_fell_due_while_the_server_was_down_are_deleted_at_start(tmp_path):
    with servers.dev(tmp_path / "data") as server:
        account = Account(server, "000000000000")
        key_id = account.create_key()["KeyId"]
        account.kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
        server.control("clock", {"advance": "6d"})
        server.kill()
    with servers.dev(tmp_path / "data") as server:
        account = Account(server, "000000000000")
        assert account.metadata(key_id)["KeyState"] == "PendingDeletion"
        server.control("clock", {"advance": "2d"})
        with refused("NotFoundException"):
            account.metadata(key_id)
        server.kill()
    with servers.dev(tmp_path / "data") as server:
        with refused("NotFoundException"):
            Account(server, "000000000000").metadata(key_id)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"advance":"x"}',
        b'{"advance":-5}',
        b'{"advance":"-9999999999d"}',
        b"{",
        b'{"advance":"99999999999999999999d"}',
    ],
)
def test_a_clock_request_that_makes_no_sense(clocked, body):
    answer = clocked.server.request("POST", "/_claviger/clock", body, {"Content-Type": "application/json"})
    assert 400 <= answer.status < 500, answer
    ahead = clocked.create_key()["CreationDate"] - datetime.datetime.now(datetime.UTC)
    assert abs(ahead) < datetime.timedelta(minutes=1)


@pytest.mark.parametrize("durable", [False, True])
def test_reset_forgets_everything(tmp_path, durable):
    data = tmp_path / "data" if durable else None
    with servers.dev(data) as server:
        account = Account(server, "123456789012")
        key_id = account.create_key()["KeyId"]
        account.kms.create_alias(AliasName="alias/a", TargetKeyId=key_id)
        blob = account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"]
        answer = server.request("POST", "/_claviger/reset", "", {"Content-Type": "application/json"})
        assert answer.status == 200, answer
        assert account.kms.list_keys()["Keys"] == []
        with refused("NotFoundException", f"Key '{account.key_arn(key_id)}' does not exist"):
            account.metadata(key_id)
        with pytest.raises(account.kms.exceptions.ClientError):
            account.kms.decrypt(CiphertextBlob=blob)
        again = account.create_key()["KeyId"]
        account.kms.create_alias(AliasName="alias/a", TargetKeyId=again)
    if durable:
        with servers.dev(data) as server:
            assert [key["KeyId"] for key in Account(server, "123456789012").kms.list_keys()["Keys"]] == [again]


def faults(account, *rules):
    account.server.control("faults", {"faults": list(rules)})


def test_faults_with_a_count(clocked):
    key_id = clocked.create_key()["KeyId"]
    faults(clocked, {"operation": "Encrypt", "error": "ThrottlingException", "count": 2})
    clocked.metadata(key_id)
    for _ in range(2):
        with refused(
            "ThrottlingException",
            "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls.",
        ):
            clocked.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)
    clocked.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)


@pytest.mark.parametrize(
    ("code", "status"),
    [("KMSInternalException", 500), ("DependencyTimeoutException", 503), ("KeyUnavailableException", 500)],
)
def test_faults_of_the_server_kind(clocked, code, status):
    key_id = clocked.create_key()["KeyId"]
    faults(clocked, {"operation": "GenerateDataKey", "error": code, "count": 1})
    with refused(code, status=status):
        clocked.kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
    clocked.kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")


def test_a_fault_for_every_operation_until_reset(clocked):
    faults(clocked, {"operation": "*", "error": "ThrottlingException"})
    for _ in range(3):
        with refused("ThrottlingException"):
            clocked.kms.list_keys()
    faults(clocked)
    clocked.kms.list_keys()
    faults(clocked, {"error": "ThrottlingException"})
    clocked.server.control("reset")
    clocked.kms.list_keys()


def test_a_fault_with_a_probability(clocked):
    faults(clocked, {"operation": "ListKeys", "error": "ThrottlingException", "probability": 0.5})
    struck = 0
    for _ in range(200):
        try:
            clocked.kms.list_keys()
        except clocked.kms.exceptions.ClientError:
            struck += 1
    assert 50 < struck < 150


def test_a_delay(clocked):
    faults(clocked, {"operation": "ListKeys", "delay_milliseconds": 400, "count": 1})
    times = []
    for _ in range(2):
        began = time.monotonic()
        clocked.kms.list_keys()
        times.append(time.monotonic() - began)
    assert times[0] >= 0.4 and times[1] < 0.4


def test_sdk_retries_get_past_a_fault(clocked):
    faults(clocked, {"operation": "ListKeys", "error": "ThrottlingException", "count": 1})
    import boto3
    import botocore.config

    client = boto3.client(
        "kms",
        region_name=servers.REGION,
        endpoint_url=clocked.server.url,
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=botocore.config.Config(retries={"total_max_attempts": 3, "mode": "standard"}),
    )
    answer = client.list_keys()
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"operation": "Encrypt"},
        {"operation": "Nonsense", "error": "ThrottlingException"},
        {"operation": "Encrypt", "error": "Nonsense"},
        {"operation": "Encrypt", "error": "ThrottlingException", "probability": 2},
        {"operation": "Encrypt", "error": "ThrottlingException", "surprise": 1},
    ],
)
def test_a_fault_that_makes_no_sense(clocked, rule):
    body = json.dumps({"faults": [rule]})
    answer = clocked.server.request("POST", "/_claviger/faults", body, {"Content-Type": "application/json"})
    assert 400 <= answer.status < 500, answer


def seed(path, *keys):
    path.write_text(json.dumps({"keys": list(keys)}))
    return path


def seeded_key(**changes):
    return {
        "keyId": str(uuid.uuid4()),
        "account": "111122223333",
        "region": "eu-central-1",
        "material": base64.b64encode(bytes(range(32))).decode(),
        "aliases": ["alias/seeded", "alias/second"],
        **changes,
    }


def test_a_seed_file_fixes_ids_and_material(tmp_path):
    key = seeded_key()
    path = seed(tmp_path / "seed.json", key)
    blobs = []
    for _ in range(2):
        with servers.dev(None, "--seed", path) as server:
            account = Account(server, key["account"])
            assert account.metadata("alias/seeded")["KeyId"] == key["keyId"]
            assert account.metadata("alias/second")["KeyId"] == key["keyId"]
            blobs.append(account.kms.encrypt(KeyId="alias/seeded", Plaintext=PLAINTEXT)["CiphertextBlob"])
            # The ciphertext of the first server opens on the second: same id, same material.
            for blob in blobs:
                assert account.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT


def test_a_seed_file_beside_a_directory(tmp_path):
    key = seeded_key()
    path = seed(tmp_path / "seed.json", key)
    with servers.dev(tmp_path / "data", "--seed", path) as server:
        account = Account(server, key["account"])
        account.kms.update_key_description(KeyId=key["keyId"], Description="changed")
    with servers.dev(tmp_path / "data", "--seed", path) as server:
        account = Account(server, key["account"])
        assert account.metadata(key["keyId"])["Description"] == "changed"
        assert len(account.kms.list_keys()["Keys"]) == 1


@pytest.mark.parametrize(
    "key",
    [
        seeded_key(keyId="nonsense"),
        seeded_key(material="c2hvcnQ="),
        seeded_key(material="!"),
        seeded_key(account="12"),
        seeded_key(aliases=["no-prefix"]),
        seeded_key(surprise=1),
        {},
    ],
    ids=["key id", "short material", "no base64", "account", "alias", "unknown member", "empty"],
)
def test_a_seed_file_with_a_mistake(tmp_path, key):
    path = seed(tmp_path / "seed.json", key)
    status, output = servers.run("dev", "--listen", "127.0.0.1:0", "--seed", path)
    assert status > 0 and "seed.json" in output and "panicked" not in output
    assert key.get("material", "none") not in output


def test_http_2(account):
    curl = shutil.which("curl")
    assert curl, "curl is missing: scripts/install-debian-packages"
    headers = servers.sign(account.server.url, "ListKeys", b"{}", account.number)
    arguments = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    done = subprocess.run(
        [
            curl,
            "-sS",
            "--http2-prior-knowledge",
            "-d",
            "{}",
            *arguments,
            "-w",
            "\n%{http_version} %{http_code}",
            account.server.url + "/",
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    body, _, last = done.stdout.rpartition("\n")
    assert last == "2 200", (done.stdout, done.stderr)
    assert json.loads(body)["Keys"] == []


def test_unknown_options_are_refused():
    status, output = servers.run("dev", "--nonsense")
    assert status > 0 and "--nonsense" in output
    status, output = servers.run("--help")
    assert status == 0
    for word in ("dev", "server", "init", "audit"):
        assert word in output
