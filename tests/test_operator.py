"""The operator face: who may speak on the socket, what its commands do, and what the log says of them."""

import json
import os
import re
import socket
import stat
import uuid

import pytest
from support import server as servers
from support.aws import ABSENT_ID, Account, refused
from support.operator import NOBODY, AsUser, Operators
from support.production import Deployment

PLAINTEXT = b"attack at dawn"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    deployment = Deployment(tmp_path_factory.mktemp("operated"))
    status, output = deployment.init()
    assert status == 0, output
    return deployment


@pytest.fixture(scope="module")
def production(deployment):
    with deployment.serve() as server:
        yield server


@pytest.fixture(scope="module")
def operators(deployment, production):
    return Operators(deployment.data, "--config", deployment.config)


@pytest.fixture
def fresh(tmp_path):
    """A deployment of the test's own, ready to be served."""
    deployment = Deployment(tmp_path)
    status, output = deployment.init()
    assert status == 0, output
    return deployment


def operated(deployment):
    return Operators(deployment.data, "--config", deployment.config)


def test_the_socket_is_for_its_owner_only(deployment, production):
    path = deployment.data / "operator.sock"
    assert stat.S_ISSOCK(path.lstat().st_mode)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert stat.S_IMODE(deployment.data.stat().st_mode) == 0o700


def test_status(deployment, production, operators):
    first = operators.status()
    assert first["version"] and first["node"] == "node-1" and first["integrity"] == "sound"
    assert re.fullmatch(r"\d+ s", first["up"]) and re.fullmatch(r"[0-9a-f]{64}", first["audit head"])
    Account(production, deployment.account, **deployment.credentials()).create_key()
    second = operators.status()
    for name in ("store revision", "store commit", "audit entries"):
        assert int(second[name]) > int(first[name]), name
    assert int(second["audit on disk"]) <= int(second["audit entries"])
    assert second["audit missed"] == "0"


def test_an_account_is_made_while_the_server_runs(production, operators):
    account = operators.create(production, "--name", "Payments")
    identity = account.service("sts").get_caller_identity()
    assert (identity["Account"], identity["Arn"]) == (account.number, account.root)
    key_id = account.create_key()["KeyId"]
    blob = account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"]
    assert account.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT
    listed = operators.obeyed("account", "list").splitlines()
    assert [line for line in listed if line.startswith(account.number) and line.endswith("open  Payments")], listed
    assert listed == sorted(listed)


def test_an_account_with_given_digits(production, operators):
    assert operators.create(production, "210987654321").number == "210987654321"
    operators.refused("AccountAlreadyExists", "account", "create", "210987654321")
    for wrong in ("1", "21098765432a", "2109876543210", "../../../etc"):
        operators.refused("InvalidAccount", "account", "create", wrong)
    operators.refused("InvalidName", "account", "create", "--name", "x" * 51)
    operators.refused("InvalidName", "account", "create", "--name", "a\x1b[2Jb")


def statement(account):
    return {"Effect": "Allow", "Principal": {"AWS": account.root}, "Action": "kms:*", "Resource": "*"}


def policy(*accounts):
    return json.dumps({"Version": "2012-10-17", "Statement": [statement(account) for account in accounts]})


def test_a_policy_can_name_a_new_account_at_once(production, operators):
    one = operators.create(production)
    with refused("MalformedPolicyDocumentException"):
        one.kms.create_key(Policy=policy(one, Account(production, "987612345678")))
    two = operators.create(production, "987612345678")
    key_id = one.create_key(Policy=policy(one, two))["KeyId"]
    two.kms.encrypt(KeyId=one.key_arn(key_id), Plaintext=PLAINTEXT)


def test_two_accounts_do_not_see_each_other(production, operators):
    one, two = operators.create(production), operators.create(production)
    alias = f"alias/{uuid.uuid4()}"
    keys = {}
    for account in (one, two):
        keys[account.number] = [account.create_key()["KeyId"] for _ in range(3)]
        # The same name in both: each account has its own.
        account.kms.create_alias(AliasName=alias, TargetKeyId=keys[account.number][0])
    for account, other in ((one, two), (two, one)):
        kms, own, foreign = account.kms, keys[account.number], keys[other.number]
        assert sorted(key["KeyId"] for key in kms.list_keys()["Keys"]) == sorted(own)
        assert [found["TargetKeyId"] for found in kms.list_aliases()["Aliases"]] == [own[0]]
        assert account.metadata(alias)["KeyId"] == own[0]
        blob = other.kms.encrypt(KeyId=foreign[0], Plaintext=PLAINTEXT)["CiphertextBlob"]
        for call, arguments in {
            kms.encrypt: {"KeyId": other.key_arn(foreign[0]), "Plaintext": PLAINTEXT},
            kms.decrypt: {"CiphertextBlob": blob},
            kms.describe_key: {"KeyId": other.key_arn(foreign[0])},
            kms.disable_key: {"KeyId": other.key_arn(foreign[0])},
            kms.schedule_key_deletion: {"KeyId": other.key_arn(foreign[0])},
            kms.get_key_policy: {"KeyId": other.key_arn(foreign[0]), "PolicyName": "default"},
            kms.list_resource_tags: {"KeyId": other.key_arn(foreign[0])},
        }.items():
            with pytest.raises(kms.exceptions.ClientError) as caught:
                call(**arguments)
            code = caught.value.response["Error"]["Code"]
            assert code in ("AccessDeniedException", "NotFoundException"), (arguments, code)
        # A bare id is looked for among one's own.
        with refused("NotFoundException"):
            kms.describe_key(KeyId=foreign[0])
        with pytest.raises(kms.exceptions.ClientError):
            kms.encrypt(KeyId=other.alias_arn(alias), Plaintext=PLAINTEXT)


def test_a_marker_of_another_account_shows_nothing_of_it(production, operators):
    one, two = operators.create(production), operators.create(production)
    for account in (one, two):
        for _ in range(3):
            key_id = account.create_key()["KeyId"]
            account.kms.create_alias(AliasName=f"alias/{uuid.uuid4()}", TargetKeyId=key_id)
    for operation, items, name in (("list_keys", "Keys", "KeyId"), ("list_aliases", "Aliases", "AliasName")):
        ones = {item[name] for item in getattr(one.kms, operation)()[items]}
        marker = getattr(one.kms, operation)(Limit=1)["NextMarker"]
        try:
            page = getattr(two.kms, operation)(Marker=marker)
        except two.kms.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "InvalidMarkerException"
            continue
        assert not ones & {item[name] for item in page[items]}


def test_a_closed_account_is_refused_and_keeps_everything(production, operators):
    one, two = operators.create(production), operators.create(production)
    shared = one.create_key(Policy=policy(one, two))["KeyId"]
    blob = one.kms.encrypt(KeyId=shared, Plaintext=PLAINTEXT)["CiphertextBlob"]
    assert two.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT
    assert "closed 2" in operators.obeyed("account", "close", one.number)
    assert "closed 2" in operators.obeyed("account", "close", one.number)
    assert int(operators.status()["accounts closed"]) >= 1
    for service, call in (("kms", "list_keys"), ("sts", "get_caller_identity"), ("iam", "list_access_keys")):
        with pytest.raises(one.kms.exceptions.ClientError) as caught:
            getattr(one.service(service), call)()
        code = caught.value.response["Error"]["Code"]
        assert code in ("UnrecognizedClientException", "InvalidClientTokenId"), (service, code)
    # Others, whom its policies let in, meet keys that refuse.
    for call, arguments in (
        (two.kms.decrypt, {"CiphertextBlob": blob}),
        (two.kms.encrypt, {"KeyId": one.key_arn(shared), "Plaintext": PLAINTEXT}),
        (two.kms.describe_key, {"KeyId": one.key_arn(shared)}),
    ):
        with refused("AccessDeniedException"):
            call(**arguments)
    operators.obeyed("account", "reopen", one.number)
    assert one.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT
    assert two.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT
    for command in ("close", "reopen", "root-credentials"):
        operators.refused("NoSuchAccount", "account", command, "999988887777")
        operators.refused("InvalidAccount", "account", command, "99998888777")


def test_accounts_outlive_a_restart(fresh):
    operators = operated(fresh)
    with fresh.serve() as server:
        open_one, closed_one = operators.create(server, "--name", "kept"), operators.create(server)
        key_id = open_one.create_key()["KeyId"]
        operators.obeyed("account", "close", closed_one.number)
        before = operators.obeyed("account", "list")
    with fresh.serve() as server:
        assert operators.obeyed("account", "list") == before
        again = Account(server, open_one.number, **open_one.credentials)
        assert again.metadata(key_id)["KeyId"] == key_id
        with refused("UnrecognizedClientException"):
            Account(server, closed_one.number, **closed_one.credentials).kms.list_keys()
        # Policies can name it still: it is not gone.
        again.kms.create_key(Policy=policy(again, closed_one))


def session_of(account):
    given = account.service("sts").get_session_token()["Credentials"]
    credentials = {"account": given["AccessKeyId"], "secret": given["SecretAccessKey"], "token": given["SessionToken"]}
    return Account(account.server, account.number, account.region, **credentials)


def test_new_root_credentials_need_the_unseal_secret(fresh):
    operators = operated(fresh)
    with fresh.serve() as server:
        first = Account(server, fresh.account, **fresh.credentials())
        key_id = first.create_key()["KeyId"]
        second = operators.root(server, "account", "root-credentials", fresh.account)
        assert second.number == fresh.account
        assert second.metadata(key_id) == first.metadata(key_id)
        operators.refused("TooManyAccessKeys", "account", "root-credentials", fresh.account)
        sessions = [session_of(account) for account in (first, second)]
        assert all(session.metadata(key_id) for session in sessions)
        third = operators.root(server, "account", "root-credentials", fresh.account, "--replace")
        assert third.metadata(key_id)["KeyId"] == key_id
        # Whoever has a key that leaked must be out, the sessions made by it included.
        for replaced in (first, second, *sessions):
            with refused("UnrecognizedClientException"):
                replaced.kms.list_keys()
        right = fresh.unseal.read_bytes()
        for wrong in (os.urandom(32), right[:-1], right + b"\n", b"short"):
            fresh.unseal.write_bytes(wrong)
            operators.refused("WrongUnsealSecret", "account", "root-credentials", fresh.account, "--replace")
        third.kms.list_keys()
        secrets = (second.credentials["secret"], third.credentials["secret"])
    asked = [record for record in operators.records() if record["eventName"] == "CreateRootCredentials"]
    outcomes = [record.get("errorCode") for record in asked]
    assert outcomes == [None, "TooManyAccessKeys", None] + ["WrongUnsealSecret"] * 4
    assert {record["recipientAccountId"] for record in asked} == {fresh.account}
    assert asked[2]["responseElements"]["accessKeyId"] == third.credentials["account"]
    for path in fresh.data.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(secret.encode() in data for secret in secrets), path
            assert right not in data, path


def test_new_root_credentials_with_a_passphrase(tmp_path):
    deployment = Deployment(tmp_path)
    deployment.write_config(**{"unseal.file": None, "unseal.passphrase": '"stdin"'})
    phrase = "correct horse battery staple\n"
    assert deployment.init(typed=phrase)[0] == 0
    operators = operated(deployment)
    with deployment.serve(typed=phrase) as server:
        command = ("account", "root-credentials", deployment.account)
        operators.root(server, *command, typed=phrase).create_key()
        for wrong in ("correct horse battery stapl\n", "\n", ""):
            operators.refused("WrongUnsealSecret", *command, "--replace", typed=wrong)


def test_every_command_is_recorded(fresh):
    operators = operated(fresh)
    with fresh.serve() as server:
        account = operators.create(server, "--name", "recorded").number
        operators.status()
        operators.obeyed("account", "list")
        operators.obeyed("account", "close", account)
        operators.obeyed("account", "reopen", account)
        operators.refused("AccountAlreadyExists", "account", "create", account)
    of_operators = operators.records()
    expected = [
        ("CreateAccount", account, None),
        ("GetStatus", "000000000000", None),
        ("ListAccounts", "000000000000", None),
        ("CloseAccount", account, None),
        ("ReopenAccount", account, None),
        ("CreateAccount", account, "AccountAlreadyExists"),
    ]
    seen = [(record["eventName"], record["recipientAccountId"], record.get("errorCode")) for record in of_operators]
    assert seen == expected
    for record in of_operators:
        assert record["eventType"] == "ClavigerEvent" and record["eventSource"] == "claviger"
        assert record["userIdentity"]["uid"] == os.geteuid() and record["userIdentity"]["processId"] > 0
        assert uuid.UUID(record["requestID"])
    assert of_operators[0]["requestParameters"] == {"name": "recorded"}
    status, output = servers.run("audit", "verify", fresh.data / "audit")
    assert status == 0, output


def test_aws_credentials_do_not_reach_it(deployment, production):
    root = Account(production, deployment.account, **deployment.credentials())
    for path in ("/v1/status", "/v1/account/list"):
        for method in ("GET", "POST"):
            assert production.request(method, path, b"{}").status >= 400
    for target in ("status", "account/list", "AccountList", "ListAccounts"):
        answer = root.signed(target, {})
        assert answer.status == 400 and answer.code == "UnknownOperationException", answer


def test_requests_are_bounded(deployment, production, operators):
    for path, body, expected in (
        ("/v1/none", b"{}", (404, "NoSuchCommand")),
        ("/", b"", (404, "NoSuchCommand")),
        ("/v1/account/close", b"[", (400, "InvalidRequest")),
        ("/v1/account/close", {"account": 5}, (400, "InvalidRequest")),
        ("/v1/account/close", {"account": "111122223333", "surprise": 1}, (400, "InvalidRequest")),
        ("/v1/account/close", b"[" * 100_000, (400, "InvalidRequest")),
        ("/v1/account/create", b" " * 200_000, (413, "TooLarge")),
    ):
        status, answer = operators.ask(path, body)
        assert (status, answer["error"]["code"]) == expected, (path, answer)
    assert operators.ask("/v1/status", method="GET")[0] == 405
    secret = "a secret that is not base64!"
    unseal = {"account": deployment.account, "kind": "file", "unseal": secret}
    status, answer = operators.ask("/v1/account/root-credentials", unseal)
    assert status == 400 and secret not in str(answer)
    assert secret not in production.log
    operators.status()


def give_a_command():
    """What a stranger gets to see: the answer, byte for byte."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(20)
        peer.connect("operator.sock")
        yield "connected"
        try:
            peer.sendall(b"POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
            yield repr(peer.recv(4096))
        except (BrokenPipeError, ConnectionResetError):
            yield repr(b"")


@as_root
def test_another_user_is_turned_away(fresh):
    """First by the modes of directory and socket; then, when somebody has opened these to all, by who it is."""
    with fresh.serve() as server:
        with AsUser(NOBODY, fresh.data, give_a_command) as stranger:
            assert stranger.line() == "PermissionError"
        fresh.data.chmod(0o711)
        with AsUser(NOBODY, fresh.data, give_a_command) as stranger:
            assert stranger.line() == "PermissionError"
        (fresh.data / "operator.sock").chmod(0o666)
        with AsUser(NOBODY, fresh.data, give_a_command) as stranger:
            assert (stranger.line(), stranger.line()) == ("connected", "b''")
        operated(fresh).status()
        assert "turned away" in server.log
    of_stranger = [record for record in operated(fresh).records() if record["userIdentity"]["uid"] == NOBODY]
    assert [(record["eventName"], record["errorCode"]) for record in of_stranger] == [("Connect", "AccessDenied")]


def listen():
    """A socket in the place of the server's, which says what it is sent."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("operator.sock")
        os.chmod("operator.sock", 0o666)
        listener.listen()
        yield "ready"
        listener.settimeout(30)
        peer, _ = listener.accept()
        peer.settimeout(5)
        yield repr(peer.recv(4096))


@as_root
def test_a_server_of_another_user_is_not_trusted(fresh):
    """Whoever puts a socket of their own in the directory gets no unseal secret: the client asks who listens."""
    fresh.data.chmod(0o777)
    with AsUser(NOBODY, fresh.data, listen) as stranger:
        assert stranger.line() == "ready"
        status, output = operated(fresh).run("account", "root-credentials", fresh.account)
        assert status == 1 and "trust" in output, output
        assert stranger.line() == "b''"


def test_a_socket_left_by_a_killed_server_is_replaced(fresh):
    server = fresh.serve()
    server.kill()
    assert (fresh.data / "operator.sock").is_socket()
    status, output = operated(fresh).run("status")
    assert status == 1 and "no server runs" in output and "panicked" not in output, output
    with fresh.serve():
        operated(fresh).status()
    assert not (fresh.data / "operator.sock").exists(), "a server that ends takes its socket along"


def test_a_second_server_leaves_the_socket_of_the_first_alone(fresh):
    with fresh.serve():
        before = (fresh.data / "operator.sock").lstat().st_ino
        with pytest.raises(servers.StartError):
            fresh.serve()
        assert (fresh.data / "operator.sock").lstat().st_ino == before
        operated(fresh).status()


def test_what_stands_in_the_way_is_left_alone(fresh, tmp_path):
    """A link would be followed to somebody else's socket, or would make a file somewhere else."""
    path = fresh.data / "operator.sock"
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for make in (
        lambda: path.symlink_to(victim),
        lambda: path.symlink_to(tmp_path / "nothing"),
        lambda: path.write_text("a file"),
        lambda: path.mkdir(),
    ):
        make()
        before = path.lstat()
        with pytest.raises(servers.StartError) as caught:
            fresh.serve()
        assert caught.value.status == 1 and "operator.sock" in caught.value.output, caught.value.output
        assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)
        status, output = operated(fresh).run("status")
        assert status == 1 and "panicked" not in output
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    assert victim.read_text() == "precious" and stat.S_IMODE(victim.stat().st_mode) & 0o022 == 0
    assert not (tmp_path / "nothing").exists()
    with fresh.serve():
        operated(fresh).status()


@as_root
def test_a_socket_of_another_user_is_left_alone(fresh):
    path = fresh.data / "operator.sock"
    here = os.getcwd()
    os.chdir(fresh.data)
    try:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("operator.sock")
    finally:
        os.chdir(here)
    os.chown(path, NOBODY, NOBODY)
    with pytest.raises(servers.StartError) as caught:
        fresh.serve()
    assert "not a socket of this server's user" in caught.value.output
    assert path.lstat().st_uid == NOBODY
    listener.close()


@as_root
def test_a_data_directory_of_another_user_is_refused(fresh):
    os.chown(fresh.data, NOBODY, NOBODY)
    with pytest.raises(servers.StartError) as caught:
        fresh.serve()
    assert caught.value.status == 1 and "another user" in caught.value.output
    os.chown(fresh.data, 0, 0)
    with fresh.serve():
        operated(fresh).status()


def test_a_data_directory_open_to_others_is_closed(fresh):
    fresh.data.chmod(0o755)
    with fresh.serve() as server:
        assert stat.S_IMODE(fresh.data.stat().st_mode) == 0o700
        assert "open to others" in server.log


def test_subcommands_without_a_server(fresh, tmp_path):
    for arguments in (("status",), ("account", "list"), ("account", "create")):
        status, output = operated(fresh).run(*arguments)
        assert status == 1 and "no server runs" in output, output
        assert servers.run(*arguments, "--data", tmp_path / "nowhere")[0] == 1
        assert servers.run(*arguments)[0] == 2, "which server is not said"


def test_dev_with_a_directory_has_one(tmp_path):
    data = tmp_path / "data"
    operators = Operators(data)
    with servers.dev(data) as server:
        assert operators.status()["integrity"] == "sound"
        # Every account exists there, so there is none to be made or closed.
        operators.refused("AccountsNotKept", "account", "create")
        operators.refused("AccountsNotKept", "account", "close", "000000000000")
        Account(server, "111122223333").create_key()
    with servers.dev(data, "--enforce") as server:
        account = operators.create(server)
        key_id = account.create_key()["KeyId"]
        more = operators.root(server, "account", "root-credentials", account.number)
        assert more.metadata(key_id)["KeyId"] == key_id
        operators.obeyed("account", "close", account.number)
        with refused("UnrecognizedClientException"):
            more.kms.describe_key(KeyId=ABSENT_ID)
