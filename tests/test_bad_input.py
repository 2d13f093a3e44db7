"""Anything at all on the socket: AWS's error or a clean close, and the next request works."""

import base64
import gzip
import json
import os
import random
import socket
import threading
import time

import pytest
from support import server as servers
from support.aws import ABSENT_ID, Account
from support.server import sign

IDLE = int(os.environ.get("CLAVIGER_TEST_IDLE", "1000"))
ERRORS_OF_FORM = ("SerializationException", "ValidationException")


@pytest.fixture(autouse=True)
def still_serving(account):
    """After each of these tests the server must work as before."""
    yield
    key_id = account.create_key()["KeyId"]
    blob = account.kms.encrypt(KeyId=key_id, Plaintext=b"x")["CiphertextBlob"]
    assert account.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert account.server.process.poll() is None and "panicked" not in account.server.log


def exchange(server, data, seconds=15):
    """Sends bytes, closes our side, and reads what comes until the server closes; b'' for a clean close."""
    with socket.create_connection((server.host, server.port), timeout=seconds) as peer:
        try:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused while we were still sending
        received = b""
        while True:
            try:
                part = peer.recv(65536)
            except ConnectionResetError:
                return received
            if not part:
                return received
            received += part


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"G",
        b"GET",
        b"POST / HTTP/1.1\r\nHost: x\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"\0" * 1000,
        b"\xff" * 1000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 500,
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: " + b"b" * 500_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\x10" * 300,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x01\x04\0\0\0\x01" + b"z" * 4000,
        b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
    ],
    ids=lambda data: repr(data[:24]),
)
def test_broken_http(account, data):
    received = exchange(account.server, data)
    if received.startswith(b"HTTP/1.1 "):
        assert 400 <= int(received.split(b" ", 2)[1]) < 500, received[:300]


def test_random_bytes(account, chance):
    for _ in range(100):
        exchange(account.server, chance.randbytes(chance.randrange(1, 2000)))


def test_a_signed_request_cut_at_every_place(account, chance):
    body = json.dumps({"KeyId": ABSENT_ID, "Plaintext": "eA=="}).encode()
    headers = sign(account.server.url, "Encrypt", body, account.number)
    lines = [f"{name}: {value}" for name, value in {**headers, "Content-Length": str(len(body))}.items()]
    whole = ("POST / HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode() + body
    for position in sorted(chance.sample(range(len(whole)), 60)):
        received = exchange(account.server, whole[:position])
        assert b"200 OK" not in received


@pytest.mark.parametrize(
    ("body", "codes"),
    [
        (b"", ERRORS_OF_FORM),
        (b"{", ["SerializationException"]),
        (b"nonsense", ["SerializationException"]),
        (b"[]", ["SerializationException"]),
        (b'"text"', ["SerializationException"]),
        (b"1", ["SerializationException"]),
        (b"null", ERRORS_OF_FORM),
        (b'{"KeyId": 5, "Plaintext": "eA=="}', ["SerializationException"]),
        (b'{"KeyId": ["a"], "Plaintext": "eA=="}', ["SerializationException"]),
        (b'{"KeyId": {"a": 1}, "Plaintext": "eA=="}', ["SerializationException"]),
        (b'{"KeyId": "a", "Plaintext": 5}', ["SerializationException"]),
        (b'{"KeyId": "a", "Plaintext": "e!=="}', ["SerializationException"]),
        (b'{"KeyId": "a", "Plaintext": "eA=="} trailing', ["SerializationException"]),
        (b'{"KeyId": "a", "KeyId": "b", "Plaintext": "eA=="}', ["SerializationException"]),
        (b'{"KeyId": "a", "Plaintext": "eA==", "Plaintext": "eQ=="}', ["SerializationException"]),
        (b'{"KeyId": "a", "Plaintext": "eA==", "X": {"a": 1, "a": 2}}', ["SerializationException"]),
        (b'{"KeyId": "a", "Plaintext": "eA==", "EncryptionContext": {"a": "1", "a": "2"}}', ["SerializationException"]),
        (b'{"KeyId": "a", "Plaintext": "eA==", "EncryptionContext": {"a": 1}}', ["SerializationException"]),
        (b'{"KeyId": "a", "Plaintext": "eA==", "EncryptionContext": []}', ["SerializationException"]),
        (b'{"KeyId": "a", "Plaintext": "eA==", "GrantTokens": "token"}', ["SerializationException"]),
        (b'{"KeyId": "a", "Plaintext": "eA==", "DryRun": "yes"}', ["SerializationException"]),
        (b'{"KeyId": "\xff\xfe", "Plaintext": "eA=="}', ["SerializationException"]),
        (b'{"KeyId": "\\ud800", "Plaintext": "eA=="}', ["SerializationException"]),
        (b'{"KeyId": "a\nb", "Plaintext": "eA=="}', ["SerializationException"]),
        (b"\xef\xbb\xbf{}", ERRORS_OF_FORM),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, ["SerializationException"]),
        (b"[" * 500_000, ["SerializationException"]),
        (b'{"X": ' + b"[" * 5000 + b"]" * 5000 + b"}", ["SerializationException"]),
        (b'{"X": [' + b"1," * 400_000 + b"1]}", ERRORS_OF_FORM),
        (b'{"KeyId": NaN, "Plaintext": "eA=="}', ["SerializationException"]),
        (gzip.compress(b'{"KeyId": "a"}'), ["SerializationException"]),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else None,
)
def test_bodies(account, body, codes):
    answer = account.signed("Encrypt", body)
    assert answer.status == 400, answer
    assert answer.code in codes, answer
    assert answer.headers["x-amzn-requestid"]


@pytest.mark.parametrize("text", ["eA", "eA=", "eA===", "e A==", "eA==\n", "eB==", "-_-_", "=", "eA==eA=="])
def test_base64_with_junk(account, text):
    """Junk is refused; what a lenient decoder could read must at least give no plaintext that was not meant."""
    key_id = account.create_key()["KeyId"]
    answer = account.signed("Encrypt", {"KeyId": key_id, "Plaintext": text})
    assert answer.status == 400 and answer.code == "SerializationException", answer


@pytest.mark.parametrize(
    "number", ["1.5", "1e400", "-0.5", "99999999999999999999", '"32"', "2147483648", "true", "[1]"]
)
def test_numbers_that_are_no_integer(account, number):
    key_id = account.create_key()["KeyId"]
    body = b'{"KeyId": "%s", "NumberOfBytes": %s}' % (key_id.encode(), number.encode())
    answer = account.signed("GenerateDataKey", body)
    assert answer.status == 400 and answer.code in ERRORS_OF_FORM, answer


def test_a_body_of_ten_megabytes(account):
    body = json.dumps({"KeyId": ABSENT_ID, "Plaintext": "A" * 10_000_000}).encode()
    try:
        answer = account.signed("Encrypt", body)
    except (BrokenPipeError, ConnectionResetError):
        return
    assert answer.status in (400, 413), answer
    assert answer.json["__type"]


def test_an_endless_body_does_not_fill_the_memory(account):
    """A peer which sends for ever is cut off; the process stays small."""
    before = resident_kilobytes(account.server)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with socket.create_connection((account.server.host, account.server.port), timeout=10) as peer:
        peer.sendall(head)
        try:
            for _ in range(3000):
                peer.sendall(chunk)
        except OSError:
            pass
    assert resident_kilobytes(account.server) < before + 50_000


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("TrentService.Nonsense", "UnknownOperationException"),
        ("TrentService.encrypt", "UnknownOperationException"),
        ("TrentService.", "UnknownOperationException"),
        ("TrentService", "UnknownOperationException"),
        ("Other.Encrypt", "UnknownOperationException"),
        ("TrentService.Encrypt.x", "UnknownOperationException"),
        ("DynamoDB_20120810.GetItem", "UnknownOperationException"),
        ("x" * 5000, "UnknownOperationException"),
    ],
    ids=lambda value: value[:30],
)
def test_wrong_targets(account, target, code):
    answer = account.signed("", b"{}", target=target)
    assert (answer.status, answer.code) == (400, code), answer


def test_no_target(account):
    answer = account.signed("", b"{}", target="")
    assert 400 <= answer.status < 500, answer


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-amz-json-1.0", "", "x"])
def test_wrong_content_types(account, content_type):
    """AWS's front end is strict or lenient by type; a request is either answered as KMS or refused."""
    answer = account.signed("ListKeys", b"{}", content_type=content_type)
    assert answer.status == 200 or 400 <= answer.status < 500, answer
    if answer.status == 200:
        assert answer.json["Keys"] == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "BREW"])
def test_other_methods(account, method):
    answer = account.server.request(method, "/")
    assert 400 <= answer.status < 500, answer


@pytest.mark.parametrize(
    "path", ["/x", "//", "/../", "/%00", "/%ff", "/?Action=Encrypt", "/_claviger/nothing", "/favicon.ico"]
)
def test_other_paths(account, path):
    answer = account.server.request("GET", path)
    assert 400 <= answer.status < 500, answer


def test_unsigned_requests_are_refused_even_without_enforcement(account):
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.ListKeys"}
    answer = account.server.request("POST", "/", b"{}", headers)
    assert answer.status in (400, 403) and answer.code in ("MissingAuthenticationTokenException",), answer


def test_a_slow_client_delays_nobody(account):
    body = b"{}"
    headers = sign(account.server.url, "ListKeys", body, account.number)
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "Content-Length": "2"}.items())
    whole = f"POST / HTTP/1.1\r\n{lines}\r\n".encode() + body
    with socket.create_connection((account.server.host, account.server.port), timeout=20) as slow:
        for position, byte in enumerate(whole[:40]):
            slow.sendall(bytes([byte]))
            if position % 10 == 0:
                began = time.monotonic()
                account.kms.list_keys()
                assert time.monotonic() - began < 2
            time.sleep(0.01)
        slow.sendall(whole[40:])
        assert slow.recv(65536).startswith(b"HTTP/1.1 200")


def test_keep_alive_and_pipelining(account):
    body = b"{}"
    headers = sign(account.server.url, "ListKeys", body, account.number)
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "Content-Length": "2"}.items())
    whole = f"POST / HTTP/1.1\r\n{lines}\r\n".encode() + body
    received = b""
    with socket.create_connection((account.server.host, account.server.port), timeout=20) as peer:
        peer.sendall(whole * 20)
        while received.count(b'"Truncated":false}') < 20:
            part = peer.recv(65536)
            assert part, received
            received += part
    assert received.count(b"HTTP/1.1 200") == 20
    assert received.lower().count(b"x-amzn-requestid: ") == 20
    connection = account.server.connection()
    for _ in range(5):
        connection.request("POST", "/", body, headers)
        reply = connection.getresponse()
        assert reply.status == 200 and json.loads(reply.read())["Keys"] == []
    connection.close()


def test_idle_connections(account):
    """A thousand peers which say nothing cost little and keep nobody out."""
    before = resident_kilobytes(account.server)
    held = []
    try:
        for _ in range(IDLE):
            held.append(socket.create_connection((account.server.host, account.server.port), timeout=20))
        began = time.monotonic()
        account.kms.list_keys()
        assert time.monotonic() - began < 5
        assert resident_kilobytes(account.server) < before + 64 * IDLE
    finally:
        for peer in held:
            peer.close()


def test_requests_that_are_abandoned(account):
    """Peers which send a request and leave before the answer."""
    body = json.dumps({"NumberOfBytes": 1024}).encode()
    headers = sign(account.server.url, "GenerateRandom", body, account.number)
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "Content-Length": str(len(body))}.items())
    whole = f"POST / HTTP/1.1\r\n{lines}\r\n".encode() + body

    def abandon():
        for _ in range(40):
            with socket.create_connection((account.server.host, account.server.port), timeout=20) as peer:
                peer.sendall(whole)

    peers = [threading.Thread(target=abandon) for _ in range(8)]
    for peer in peers:
        peer.start()
    for peer in peers:
        peer.join()


def test_members_of_every_wrong_type(account, chance):
    """Every member of every built operation, given something of another type: an AWS error, never a 5xx."""
    import test_not_built

    values = [None, True, 0, -1, 1.5, "", "x", [], [None], {}, {"a": None}, "A" * 9000, [[]], 2**70]
    for operation in sorted(test_not_built.BUILT):
        shape = test_not_built.MODEL.operation_model(operation).input_shape
        for name in shape.members:
            for value in chance.sample(values, 5):
                whole = {other: chance.choice(values) for other in chance.sample(sorted(shape.members), 1)}
                answer = account.signed(operation, {**whole, name: value})
                assert answer.status in (200, 400), (operation, name, value, answer)


def test_changed_bytes_of_a_good_body(account, chance):
    """Small damage to a good body, signed as it is: any AWS error or a good answer, never a 5xx."""
    key_id = account.create_key()["KeyId"]
    good = json.dumps(
        {
            "KeyId": key_id,
            "Plaintext": base64.b64encode(b"attack at dawn").decode(),
            "EncryptionContext": {"tenant": "blue"},
            "GrantTokens": [],
            "EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        }
    ).encode()
    for _ in range(300):
        changed = damaged(good, chance)
        answer = account.signed("Encrypt", changed)
        assert answer.status in (200, 400), (changed, answer)


def damaged(data, chance: random.Random):
    result = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        position = chance.randrange(len(result))
        kind = chance.randrange(4)
        if kind == 0:
            result[position] = chance.randrange(256)
        elif kind == 1:
            del result[position : position + chance.randrange(1, 8)]
        elif kind == 2:
            result[position:position] = chance.choice([b'"', b"{", b"}", b"[", b"\\", b",", b"\0", b"\xc3", b"null"])
        else:
            result[position:position] = result[position : position + 20]
        if not result:
            return b""
    return bytes(result)


def resident_kilobytes(server):
    return int(server.status_field("VmRSS").split()[0])


def test_a_server_of_its_own_for_the_worst(tmp_path):
    """The same rubbish over the embedded store: afterwards every key is still there."""
    with servers.dev(tmp_path / "data") as server:
        account = Account(server, "000000000000")
        key_id = account.create_key()["KeyId"]
        chance = random.Random(5)
        for _ in range(50):
            exchange(server, chance.randbytes(500))
            account.signed("PutKeyPolicy", {"KeyId": key_id, "Policy": chance.randbytes(60).hex()})
        assert account.metadata(key_id)["KeyState"] == "Enabled"
