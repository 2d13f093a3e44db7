"""What earlier builds encrypted stays decryptable, and their data directories open: the files of tests/golden."""

import base64
import json
import pathlib
import sys
import tarfile
import tempfile

import pytest
from support import proofs
from support import server as servers
from support.aws import Account, refused
from support.interface import KINDS
from support.keyring import creation_options

GOLDEN = pathlib.Path(__file__).parent / "golden"
SEED = GOLDEN / "seed.json"
KEYS = json.loads(SEED.read_text())["keys"]
SETS = sorted(path for path in GOLDEN.glob("*.json") if path != SEED)
STORES = sorted(GOLDEN.glob("*.tar.gz"))
STORE_ACCOUNT = "111122223333"
PLAINTEXTS = [b"x", b"attack at dawn", bytes(range(256)) * 16]
CONTEXTS = [{}, {"tenant": "blue", "purpose": "test"}, {"Größe": "ñ \N{SNOWMAN}", "": "", "a": "b" * 2000}]


@pytest.fixture(scope="module")
def seeded():
    with servers.dev(None, "--seed", SEED) as server:
        yield server


def account_of(server, key):
    return Account(server, key["account"], key["region"])


def encoded(blob):
    return base64.b64encode(blob).decode()


def make(server):
    """A set as this binary makes it: every plaintext under every context and key, and a data key of each."""
    status, version = servers.run("--version")
    assert status == 0
    blobs = []
    for key in KEYS:
        kms = account_of(server, key).kms
        for context in CONTEXTS:
            sealed = [
                (plaintext, kms.encrypt(KeyId=key["keyId"], Plaintext=plaintext, EncryptionContext=context))
                for plaintext in PLAINTEXTS
            ]
            data_key = kms.generate_data_key(KeyId=key["keyId"], KeySpec="AES_256", EncryptionContext=context)
            sealed.append((data_key["Plaintext"], data_key))
            for plaintext, answer in sealed:
                blobs.append(
                    {
                        "keyId": key["keyId"],
                        "context": context,
                        "plaintext": encoded(plaintext),
                        "ciphertext": encoded(answer["CiphertextBlob"]),
                    }
                )
    return {"madeBy": version.strip(), "blobs": blobs}


def test_there_are_sets():
    assert SETS and all(len(json.loads(path.read_text())["blobs"]) >= 8 for path in SETS)


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_every_golden_blob_opens(seeded, path):
    by_id = {key["keyId"]: key for key in KEYS}
    for blob in json.loads(path.read_text())["blobs"]:
        account = account_of(seeded, by_id[blob["keyId"]])
        ciphertext = base64.b64decode(blob["ciphertext"])
        opened = account.kms.decrypt(CiphertextBlob=ciphertext, EncryptionContext=blob["context"])
        assert opened["Plaintext"] == base64.b64decode(blob["plaintext"])
        assert opened["KeyId"] == account.key_arn(blob["keyId"])
        # The same material has the same id in every build.
        assert opened["KeyMaterialId"] == account.metadata(blob["keyId"])["CurrentKeyMaterialId"]
        with refused("InvalidCiphertextException", ""):
            account.kms.decrypt(CiphertextBlob=ciphertext, EncryptionContext={**blob["context"], "more": "x"})


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_golden_blobs_move_to_new_keys(seeded, path):
    for blob in json.loads(path.read_text())["blobs"][::5]:
        key = next(key for key in KEYS if key["keyId"] == blob["keyId"])
        account = account_of(seeded, key)
        moved = account.kms.re_encrypt(
            CiphertextBlob=base64.b64decode(blob["ciphertext"]),
            SourceEncryptionContext=blob["context"],
            DestinationKeyId=account.create_key()["KeyId"],
        )["CiphertextBlob"]
        assert account.kms.decrypt(CiphertextBlob=moved)["Plaintext"] == base64.b64decode(blob["plaintext"])


@pytest.mark.parametrize("path", STORES, ids=lambda path: path.name)
def test_a_data_directory_of_an_earlier_build(path, tmp_path):
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    kept = json.loads((tmp_path / "keys.json").read_text())
    # Twice: what the first start writes anew must be readable too.
    for _ in range(2):
        with servers.dev(tmp_path / "data") as server:
            account = Account(server, STORE_ACCOUNT)
            assert kept
            for key in kept:
                metadata = account.metadata(f"alias/{key['alias']}")
                assert {name: metadata[name] for name in key["metadata"]} == key["metadata"]
                proofs.check(account.kms, key["proof"])
    status, output = servers.run("audit", "verify", tmp_path / "data" / "audit")
    assert status == 0, output


def make_store(directory):
    """A data directory with a key of each kind that this binary makes, and what to ask them."""
    kept = []
    with servers.dev(directory / "data") as server:
        account = Account(server, STORE_ACCOUNT)
        for number, kind in enumerate(KINDS):
            try:
                key = account.create_key(Description=str(kind), **creation_options(kind))
            except account.kms.exceptions.UnsupportedOperationException:
                continue
            account.kms.create_alias(AliasName=f"alias/{number}", TargetKeyId=key["KeyId"])
            plain = {name: value for name, value in key.items() if name != "CreationDate"}
            proof = proofs.make(account.kms, kind, key["KeyId"])
            kept.append({"alias": str(number), "metadata": plain, "proof": proof})
    (directory / "keys.json").write_text(json.dumps(kept, indent=1))


def write(name):
    with servers.dev(None, "--seed", SEED) as server, open(GOLDEN / f"{name}.json", "x") as file:
        file.write(json.dumps(make(server), ensure_ascii=False, indent=1) + "\n")
    with tempfile.TemporaryDirectory() as directory, tarfile.open(GOLDEN / f"{name}.tar.gz", "x:gz") as archive:
        make_store(pathlib.Path(directory))
        for part in ("keys.json", "data"):
            archive.add(pathlib.Path(directory, part), part)


if __name__ == "__main__":
    write(sys.argv[1])
