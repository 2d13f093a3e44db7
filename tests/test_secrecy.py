"""No plaintext and no key material on the disk, in the logs or in a core file."""

import base64
import os
import pathlib
import resource
import shutil
import sqlite3
import subprocess
import tempfile
import uuid

import pytest
from support import server as servers
from support.aws import Account

NUMBER = "123456789012"


def forms(secret):
    """The ways in which bytes end up in files: raw, hex of both cases, base64 at each of its three offsets."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"\0" * offset + secret)
            # The first and last characters mix with neighbours, so they are left out.
            found.add(text[4 if offset else 0 : len(text) - 4])
    return found


def scan(directory, log, secrets):
    """Names of secrets that occur in a file below the directory, or in the log."""
    haystacks = {str(path): path.read_bytes() for path in pathlib.Path(directory).rglob("*") if path.is_file()}
    assert haystacks
    haystacks["log"] = log.encode("utf-8", "replace")
    return [
        (name, place)
        for name, secret in secrets.items()
        for place, data in haystacks.items()
        if any(form in data for form in forms(secret))
    ]


def test_the_scan_finds_what_is_there(tmp_path):
    secret = os.urandom(32)
    for number, text in enumerate([secret, secret.hex().encode(), base64.b64encode(b"ab" + secret + b"c")]):
        (tmp_path / str(number)).write_bytes(b"x" * 11 + text + b"y" * 5)
    assert len(scan(tmp_path, "", {"it": secret})) == 3
    assert scan(tmp_path, "", {"other": os.urandom(32)}) == []


def shared_secrets(account, key_id):
    """What operations on keys that are not symmetric answer, or take, and nobody else may read."""
    kms, found = account.kms, {}
    for spec in ("RSA_2048", "ECC_NIST_P256", "ECC_NIST_EDWARDS25519", "ML_KEM_768"):
        private = kms.generate_data_key_pair(KeyId=key_id, KeyPairSpec=spec)["PrivateKeyPlaintext"]
        # The secret part: behind the algorithm, and of an EC key before the public point.
        found[f"private {spec}"] = private[36:68] if spec == "ECC_NIST_P256" else private[-32:]
    agreement = account.create_key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")["KeyId"]
    public = kms.get_public_key(KeyId=agreement)["PublicKey"]
    agreed = kms.derive_shared_secret(KeyId=agreement, KeyAgreementAlgorithm="ECDH", PublicKey=public)
    found["agreed"] = agreed["SharedSecret"]
    kem = account.create_key(KeySpec="ML_KEM_768", KeyUsage="ENCAPSULATE_DECAPSULATE")["KeyId"]
    found["encapsulated"] = kms.encapsulate(KeyId=kem, EncapsulationAlgorithm="ML_KEM")["SharedSecret"]
    hmac = account.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyId"]
    found["message"] = os.urandom(32)
    made = kms.generate_mac(KeyId=hmac, Message=found["message"], MacAlgorithm="HMAC_SHA_256")
    found["mac"] = made["Mac"]
    rsa = account.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyId"]
    found["rsa plaintext"] = os.urandom(32)
    algorithm = {"KeyId": rsa, "EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
    blob = kms.encrypt(Plaintext=found["rsa plaintext"], **algorithm)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=blob, **algorithm)["Plaintext"] == found["rsa plaintext"]
    return found


def test_nothing_secret_on_the_disk(tmp_path):
    data, seed = tmp_path / "data", tmp_path / "seed.json"
    material = os.urandom(32)
    key_id, doomed_id = str(uuid.uuid4()), str(uuid.uuid4())
    doomed_material = os.urandom(32)
    keys = [
        {
            "keyId": name,
            "account": NUMBER,
            "region": servers.REGION,
            "material": base64.b64encode(value).decode(),
            "aliases": [f"alias/{name}"],
        }
        for name, value in ((key_id, material), (doomed_id, doomed_material))
    ]
    seed.write_text(servers.json.dumps({"keys": keys}))
    plaintext, context_value = os.urandom(32), "public-context-value"
    secrets = {"plaintext": plaintext, "material": material, "doomed material": doomed_material}
    log = ""
    with servers.dev(data, "--seed", seed, environment={"RUST_LOG": "trace", "CLAVIGER_LOG": "trace"}) as server:
        account = Account(server, NUMBER)
        kms = account.kms
        context = {"purpose": context_value}
        for number in range(20):
            blob = kms.encrypt(KeyId=key_id, Plaintext=plaintext, EncryptionContext=context)["CiphertextBlob"]
            kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)
            kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=context, DestinationKeyId=key_id)
            secrets[f"data key {number}"] = kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")["Plaintext"]
            secrets[f"random {number}"] = kms.generate_random(NumberOfBytes=32)["Plaintext"]
        secrets |= shared_secrets(account, key_id)
        # Requests that fail must not spill their contents either.
        account.signed("Encrypt", {"KeyId": key_id, "Plaintext": base64.b64encode(plaintext * 200).decode()})
        account.signed("Encrypt", {"KeyId": "absent", "Plaintext": base64.b64encode(plaintext).decode()})
        account.signed("Encrypt", {"KeyId": key_id, "Plaintext": base64.b64encode(plaintext).decode() + "!"})
        account.signed("Nonsense", {"Plaintext": base64.b64encode(plaintext).decode()})
        account.signed("Encrypt", b'{"KeyId": 5, "Plaintext": "' + base64.b64encode(plaintext) + b'"')
        assert scan(data, server.log, secrets) == [], "while running, the write-ahead log included"
        kms.schedule_key_deletion(KeyId=doomed_id, PendingWindowInDays=7)
        server.control("clock", {"advance": "8d"})
        with pytest.raises(kms.exceptions.NotFoundException):
            account.metadata(doomed_id)
        assert scan(data, server.log, secrets) == [], "after a key was deleted"
        log = server.log
    assert scan(data, log, secrets) == [], "after a stop"
    assert context_value.encode() in b"".join(
        path.read_bytes() for path in (data / "audit").iterdir() if path.is_file()
    )


def test_nothing_secret_after_a_kill(tmp_path):
    plaintext = os.urandom(32)
    server = servers.dev(tmp_path / "data")
    account = Account(server, NUMBER)
    key_id = account.create_key()["KeyId"]
    secrets = {"plaintext": plaintext}
    for number in range(10):
        account.kms.encrypt(KeyId=key_id, Plaintext=plaintext)
        secrets[f"data key {number}"] = account.kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")["Plaintext"]
    server.kill()
    assert scan(tmp_path / "data", server.log, secrets) == []


def stored_values(data):
    copy = data.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(data, copy)
    with sqlite3.connect(copy / "store.sqlite") as database:
        found = {bytes(key): bytes(value) for key, value in database.execute("select key, value from rows")}
    database.close()
    return found


def test_a_deleted_key_leaves_nothing_in_the_database(tmp_path):
    """Not even its wrapped form: whoever later learns the unseal secret finds nothing to unwrap."""
    data = tmp_path / "data"
    with servers.dev(data) as server:
        account = Account(server, NUMBER)
        account.create_key()
    before = stored_values(data)
    with servers.dev(data) as server:
        account = Account(server, NUMBER)
        key_id = account.create_key()["KeyId"]
        account.kms.create_alias(AliasName="alias/doomed", TargetKeyId=key_id)
    during = stored_values(data)
    added = {key: value for key, value in during.items() if key not in before and len(value) >= 32}
    assert any(key_id.encode() in key or uuid.UUID(key_id).bytes in key for key in added), (
        "the key's rows were not found"
    )
    with servers.dev(data) as server:
        account = Account(server, NUMBER)
        account.kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
        server.control("clock", {"advance": "8d"})
        with pytest.raises(account.kms.exceptions.NotFoundException):
            account.metadata(key_id)
    left = b"".join(path.read_bytes() for path in data.iterdir() if path.name.startswith("store.sqlite"))
    for key, value in added.items():
        # Any piece of the wrapped record counts, since pages may have split it.
        for start in range(0, len(value) - 24, 24):
            assert value[start : start + 24] not in left, f"a piece of {key!r} is still there"


def test_the_process_leaves_no_core(dev):
    limits = pathlib.Path(f"/proc/{dev.process.pid}/limits").read_text()
    line = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert line.split()[4:6] == ["0", "0"], line


def test_memory_is_locked_where_allowed(dev):
    allowed = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] == resource.RLIM_INFINITY or os.geteuid() == 0
    if allowed:
        effective = int(dev.status_field("CapEff"), 16)
        capable = effective >> 14 & 1 or resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] == resource.RLIM_INFINITY
        if capable:
            assert int(dev.status_field("VmLck").split()[0]) > 0
            return
    assert "lock" in dev.log.lower(), "memory could not be locked, and the log does not say so"


def test_the_process_is_not_dumpable():
    """The kernel gives /proc/PID/environ of a process that is not dumpable to root, whoever runs it."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="claviger-"))
    try:
        place.chmod(0o755)
        prefix = []
        if os.geteuid() == 0:
            prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        binary = shutil.copy(servers.BINARY, place / "claviger")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(servers, "BINARY", binary)
            with servers.dev(prefix=prefix, directory=place) as server:
                pid = server.process.pid
                assert os.stat(f"/proc/{pid}/environ").st_uid == 0
                plain = subprocess.Popen([*prefix, "sleep", "30"])
                try:
                    servers.time.sleep(0.3)
                    assert os.stat(f"/proc/{plain.pid}/environ").st_uid != 0 or os.geteuid() != 0
                finally:
                    plain.kill()
                    plain.wait()
    finally:
        shutil.rmtree(place, ignore_errors=True)
