"""`claviger init` and `claviger server`: TLS, real credentials, an unseal secret, a configuration without mercy."""

import base64
import http.client
import os
import re
import socket
import ssl
import stat
import struct

import pytest
from support import server as servers
from support.aws import Account, refused
from support.production import Deployment

PLAINTEXT = b"attack at dawn"


@pytest.fixture
def fresh(tmp_path):
    return Deployment(tmp_path)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    deployment = Deployment(tmp_path_factory.mktemp("production"))
    status, output = deployment.init()
    assert status == 0, output
    return deployment


@pytest.fixture(scope="module")
def production(deployment):
    with deployment.serve() as server:
        yield server


@pytest.fixture
def root(deployment, production):
    return Account(production, deployment.account, **deployment.credentials())


def test_it_listens_with_tls(production):
    assert production.url.startswith("https://")


def test_the_first_access_key_is_root(root):
    identity = root.service("sts").get_caller_identity()
    assert (identity["Account"], identity["Arn"]) == (root.number, root.root)
    key = root.create_key()
    assert key["Arn"] == root.key_arn(key["KeyId"])
    blob = root.kms.encrypt(KeyId=key["KeyId"], Plaintext=PLAINTEXT)["CiphertextBlob"]
    assert root.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT


def test_signatures_are_checked(production, deployment):
    with refused("InvalidSignatureException"):
        Account(production, deployment.account, account=deployment.access_key, secret="wrong").kms.list_keys()
    with refused("UnrecognizedClientException", "The security token included in the request is invalid."):
        Account(production, deployment.account).kms.list_keys()


def test_dev_is_not_there(production, root):
    key_id = root.create_key()["KeyId"]
    root.kms.schedule_key_deletion(KeyId=key_id)
    for name in ("clock", "reset", "faults"):
        answer = production.request(
            "POST", f"/_claviger/{name}", '{"advance":"400d"}', {"Content-Type": "application/json"}
        )
        assert 400 <= answer.status < 500, answer
    assert root.metadata(key_id)["KeyState"] == "PendingDeletion"


def handshake(server, low, high):
    context = ssl.create_default_context(cafile=server.ca_file)
    context.minimum_version, context.maximum_version = low, high
    with socket.create_connection((server.host, server.port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as secure:
            return secure.version()


def test_tls_versions(production):
    assert handshake(production, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert handshake(production, ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    with pytest.raises((ssl.SSLError, ConnectionError, ValueError)):
        handshake(production, ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)


def test_hybrid_key_exchange(production):
    """A client which offers X25519MLKEM768 without a share is asked for one: the server knows and prefers it."""
    hybrid = 0x11EC

    def extension(kind, body):
        return struct.pack(">HH", kind, len(body)) + body

    extensions = (
        extension(43, b"\x02\x03\x04")  # supported_versions: TLS 1.3
        + extension(10, struct.pack(">HHH", 4, hybrid, 0x001D))  # supported_groups
        + extension(13, struct.pack(">HHH", 4, 0x0403, 0x0804))  # signature_algorithms
        + extension(51, struct.pack(">H", 0))  # key_share: none yet
    )
    hello = b"\x03\x03" + os.urandom(32) + b"\0" + struct.pack(">HHH", 4, 0x1301, 0x1302) + b"\x01\0"
    hello += struct.pack(">H", len(extensions)) + extensions
    message = b"\x01" + len(hello).to_bytes(3, "big") + hello
    with socket.create_connection((production.host, production.port), timeout=10) as peer:
        peer.sendall(b"\x16\x03\x01" + struct.pack(">H", len(message)) + message)
        reply = peer.recv(4096)
    assert reply[0] == 0x16, reply
    assert extension(51, struct.pack(">H", hybrid)) in reply, "no retry request for the hybrid group"


def test_plain_http_on_the_tls_port(production, root):
    with socket.create_connection((production.host, production.port), timeout=10) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        peer.settimeout(20)
        assert b"200" not in peer.recv(4096)
    root.kms.list_keys()


def test_a_restart_keeps_everything(fresh):
    assert fresh.init()[0] == 0
    with fresh.serve() as server:
        root = Account(server, fresh.account, **fresh.credentials())
        key = root.create_key()
        blob = root.kms.encrypt(KeyId=key["KeyId"], Plaintext=PLAINTEXT)["CiphertextBlob"]
    with fresh.serve() as server:
        root = Account(server, fresh.account, **fresh.credentials())
        assert root.metadata(key["KeyId"]) == key
        assert root.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT
    status, output = servers.run("audit", "verify", fresh.data / "audit")
    assert status == 0, output


def test_the_secret_is_printed_once_and_kept_nowhere(fresh):
    status, output = fresh.init()
    assert status == 0 and output.count(fresh.secret) == 1
    with fresh.serve() as server:
        Account(server, fresh.account, **fresh.credentials()).create_key()
        assert fresh.secret not in server.log
        scanned = 0
        for path in fresh.data.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                scanned += 1
                assert fresh.secret.encode() not in data, path
                assert base64.b64encode(fresh.secret.encode())[:-4] not in data, path
                assert fresh.unseal.read_bytes() not in data, path
        assert scanned


def test_init_twice_changes_nothing(fresh):
    assert fresh.init()[0] == 0
    access_key, secret = fresh.access_key, fresh.secret
    before = {path: path.read_bytes() for path in fresh.data.rglob("*") if path.is_file()}
    status, output = servers.run("init", "--config", fresh.config)
    assert status > 0 and "panicked" not in output
    assert {path: path.read_bytes() for path in fresh.data.rglob("*") if path.is_file()} == before
    with fresh.serve() as server:
        Account(server, fresh.account, account=access_key, secret=secret).kms.list_keys()


def test_serving_without_init(fresh):
    with pytest.raises(servers.StartError) as caught:
        fresh.serve()
    assert caught.value.status > 0 and "init" in caught.value.output


def test_the_wrong_unseal_secret(fresh):
    assert fresh.init()[0] == 0
    right = fresh.unseal.read_bytes()
    for wrong in (os.urandom(32), b"", right[:-1], right + b"x"):
        fresh.unseal.write_bytes(wrong)
        with pytest.raises(servers.StartError) as caught:
            fresh.serve()
        assert caught.value.status > 0 and "panicked" not in caught.value.output
    fresh.unseal.unlink()
    with pytest.raises(servers.StartError) as caught:
        fresh.serve()
    assert str(fresh.unseal) in caught.value.output
    fresh.unseal.write_bytes(right)
    fresh.unseal.chmod(0o600)
    with fresh.serve() as server:
        Account(server, fresh.account, **fresh.credentials()).create_key()


def test_an_unseal_secret_inside_the_data_directory_is_refused(fresh):
    fresh.data.mkdir()
    inside = fresh.data / "unseal.secret"
    inside.write_bytes(os.urandom(32))
    inside.chmod(0o600)
    (fresh.directory / "link").symlink_to(inside)
    for path in (inside, fresh.data / ".." / "data" / "unseal.secret", fresh.directory / "link"):
        fresh.write_config(**{"unseal.file": f'"{path}"'})
        status, output = servers.run("init", "--config", fresh.config)
        assert status > 0 and "data" in output, (path, output)
    assert sorted(path.name for path in fresh.data.iterdir()) == ["unseal.secret"]


def test_files_are_for_their_owner_only(fresh):
    assert fresh.init()[0] == 0
    with fresh.serve() as server:
        Account(server, fresh.account, **fresh.credentials()).create_key()
        for path in [fresh.data, *fresh.data.rglob("*")]:
            mode = stat.S_IMODE(path.stat().st_mode)
            if path.is_dir():
                assert mode & 0o077 == 0, (path, oct(mode))
            else:
                assert mode & 0o077 == 0 or path.suffix == ".pub", (path, oct(mode))


def test_all_configuration_errors_at_once_with_their_lines(fresh):
    fresh.write_config(**{"listen": '"nowhere"', "surprise": "1", "tls.key": None})
    lines = fresh.config.read_text().splitlines()
    with pytest.raises(servers.StartError) as caught:
        fresh.serve()
    output = caught.value.output
    assert caught.value.status > 0 and "panicked" not in output
    # TOML allows dotted names, so a table's faults are reported where its first name stands.
    for number, line in enumerate(lines, 1):
        if line.startswith(("listen", "surprise")):
            assert re.search(rf"claviger\.toml:{number}\b", output), (line, output)
    assert "surprise" in output and "listen" in output and "tls" in output


@pytest.mark.parametrize(
    "text", ["", "listen = ", "[[[", "listen = 5\n", "\0", "listen = '127.0.0.1:0'\nlisten = '127.0.0.1:0'\n"]
)
def test_a_configuration_that_is_none(fresh, text):
    fresh.config.write_text(text)
    for command in ("server", "init"):
        status, output = servers.run(command, "--config", fresh.config)
        assert status > 0 and "claviger.toml" in output and "panicked" not in output, output
    assert not fresh.data.exists()


def test_a_missing_configuration(fresh):
    fresh.config.unlink()
    for command in ("server", "init"):
        status, output = servers.run(command, "--config", fresh.config)
        assert status > 0 and str(fresh.config) in output and "panicked" not in output


def test_without_tls_it_does_not_start(fresh):
    """Plain HTTP is an insecure combination: it needs a word in the configuration."""
    assert fresh.init()[0] == 0
    fresh.write_config(**{"tls.certificate": None, "tls.key": None, "listen": '"0.0.0.0:0"'})
    with pytest.raises(servers.StartError) as caught:
        fresh.serve()
    assert caught.value.status > 0 and "danger" in caught.value.output


def test_a_key_that_is_not_the_certificates(fresh):
    assert fresh.init()[0] == 0
    (fresh.directory / "server.key").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(servers.StartError) as caught:
        fresh.serve()
    assert caught.value.status > 0 and "server.key" in caught.value.output


def test_a_passphrase(fresh):
    fresh.write_config(**{"unseal.file": None, "unseal.passphrase": '"stdin"'})
    phrase = "correct horse battery staple\n"
    status, output = fresh.init(typed=phrase)
    assert status == 0, output
    with fresh.serve(typed=phrase) as server:
        Account(server, fresh.account, **fresh.credentials()).create_key()
        for path in fresh.data.rglob("*"):
            assert not path.is_file() or b"correct horse" not in path.read_bytes()
    for wrong in ("correct horse battery stapl\n", "", "\n"):
        with pytest.raises(servers.StartError) as caught:
            fresh.serve(typed=wrong)
        assert caught.value.status > 0 and "panicked" not in caught.value.output


def test_init_makes_a_missing_unseal_secret(fresh):
    fresh.unseal.unlink()
    status, output = fresh.init()
    assert status == 0 and str(fresh.unseal) in output
    assert len(fresh.unseal.read_bytes()) >= 32 and stat.S_IMODE(fresh.unseal.stat().st_mode) == 0o600


def test_a_secret_that_others_may_read_is_refused(fresh):
    fresh.unseal.chmod(0o644)
    status, output = servers.run("init", "--config", fresh.config)
    assert status > 0 and str(fresh.unseal) in output


def test_the_observer_has_a_port_of_its_own(fresh):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    fresh.write_config(observe_listen=f'"127.0.0.1:{port}"')
    assert fresh.init()[0] == 0
    with fresh.serve() as server:
        for path in ("/health", "/ready", "/metrics"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", path)
            assert connection.getresponse().status == 200
            connection.close()
        assert server.request("GET", "/metrics").status != 200


def test_plain_http_when_the_configuration_names_the_risk(fresh):
    fresh.write_config(**{"tls.certificate": None, "tls.key": None, "danger_plaintext_http": "true"})
    assert fresh.init()[0] == 0
    with fresh.serve() as server:
        assert server.url.startswith("http://")
        Account(server, fresh.account, **fresh.credentials()).create_key()
        assert "WARN" in server.log
