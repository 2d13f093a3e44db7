"""Whoever holds the database can destroy, but not deceive: each edit is detected and fails closed.

Each test takes a directory of a stopped server, edits the SQLite file as an attacker would, and starts a server over
it. Allowed are: no start, with the reason printed; or answers that are errors of ours; or the right answers. Never a
wrong answer, and never silence: the log must say that a row is bad, and which."""

import json
import os
import pathlib
import re
import shutil
import sqlite3
import time

import botocore.exceptions
import pytest
from support import server as servers
from support.aws import Account

CASES = int(os.environ.get("CLAVIGER_TEST_TAMPER_CASES", "1"))
PLAINTEXT = b"attack at dawn"
NUMBER = "123456789012"
DETECTED = re.compile(r"altered|moved|replaced|dropped|replayed|do not add up|tamper|integrity", re.IGNORECASE)
SCRUB_SECONDS = 5


class Estate:
    """A directory of a stopped server and everything that its owner knows about it."""

    def __init__(self, directory):
        self.directory = directory
        self.older = directory.with_name("older")
        self.facts = {}
        self.blobs = {}
        with servers.dev(directory) as server:
            account = Account(server, NUMBER)
            for number in range(3):
                key_id = account.create_key(Description=f"key {number}")["KeyId"]
                account.kms.create_alias(AliasName=f"alias/key-{number}", TargetKeyId=key_id)
                account.kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "number", "TagValue": str(number)}])
                self.blobs[key_id] = account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"]
        shutil.copytree(directory, self.older)
        with servers.dev(directory) as server:
            account = Account(server, NUMBER)
            keys = sorted(self.blobs)
            account.kms.disable_key(KeyId=keys[0])
            account.kms.update_alias(AliasName=f"alias/key-{self._number(account, keys[1])}", TargetKeyId=keys[2])
            account.kms.update_key_description(KeyId=keys[2], Description="newer")
            self.facts = observe(account, self.blobs)
            assert not any(isinstance(value, Exception) for value in self.facts.values())

    @staticmethod
    def _number(account, key_id):
        return account.kms.list_resource_tags(KeyId=key_id)["Tags"][0]["TagValue"]

    def copy(self, name):
        directory = self.directory.with_name(name)
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(self.directory, directory)
        return directory


def observe(account, blobs):
    """Everything that can be asked about the account: by question, the answer or the exception."""
    kms = account.kms
    questions = {
        "keys": lambda: sorted(key["KeyId"] for key in kms.list_keys()["Keys"]),
        "aliases": lambda: sorted(
            (alias["AliasName"], alias["TargetKeyId"])
            for alias in kms.list_aliases(Limit=100)["Aliases"]
            if "TargetKeyId" in alias
        ),
    }
    for key_id, blob in blobs.items():
        questions[key_id, "metadata"] = lambda key_id=key_id: account.metadata(key_id)
        questions[key_id, "policy"] = lambda key_id=key_id: kms.get_key_policy(KeyId=key_id)["Policy"]
        questions[key_id, "tags"] = lambda key_id=key_id: kms.list_resource_tags(KeyId=key_id)["Tags"]
        questions[key_id, "aliases"] = lambda key_id=key_id: sorted(
            alias["AliasName"] for alias in kms.list_aliases(KeyId=key_id)["Aliases"]
        )
        questions[key_id, "decrypt"] = lambda blob=blob: attempt_decrypt(kms, blob)
    for number in range(3):
        questions["alias", number] = lambda number=number: account.metadata(f"alias/key-{number}")["KeyId"]
    answers = {}
    for question, ask in questions.items():
        try:
            answers[question] = ask()
        except botocore.exceptions.ClientError as error:
            answers[question] = error
    return answers


def attempt_decrypt(kms, blob):
    """A disabled key's refusal is an answer like any other."""
    try:
        return kms.decrypt(CiphertextBlob=blob)["Plaintext"]
    except kms.exceptions.DisabledException as error:
        return error.response["Error"]["Message"]


@pytest.fixture(scope="module")
def estate(tmp_path_factory):
    return Estate(tmp_path_factory.mktemp("estate") / "data")


def rows(directory):
    with sqlite3.connect(directory / "store.sqlite") as database:
        found = database.execute("select key, value, revision from rows order by key").fetchall()
    database.close()
    return [(bytes(key), bytes(value), revision) for key, value, revision in found]


def edit(directory, statement, *arguments):
    with sqlite3.connect(directory / "store.sqlite") as database:
        changed = database.execute(statement, arguments).rowcount
    database.close()
    assert changed == 1, (statement, changed)


def check_detected(estate, directory, what, keys_lost_at_most=1, harmless=False):
    """Starts a server over the edited directory and holds its answers against what is true.

    `harmless`: an edit that changes nothing the server believes need not be noticed."""
    try:
        server = servers.dev(directory)
    except servers.StartError as error:
        assert error.status > 0 and DETECTED.search(error.output) and "panicked" not in error.output, (what, error)
        return
    with server:
        answers = observe(Account(server, NUMBER), estate.blobs)
        for question, answer in answers.items():
            if isinstance(answer, botocore.exceptions.ClientError):
                response = answer.response
                ours = response["ResponseMetadata"]["HTTPStatusCode"] >= 500
                assert ours, (what, question, response["Error"])
            else:
                assert answer == estate.facts[question], (what, question)
        lost = {
            question[0]
            for question, answer in answers.items()
            if isinstance(answer, Exception) and question[0] in estate.blobs
        }
        assert len(lost) <= keys_lost_at_most, (what, "other keys must still work", lost)
        if not harmless:
            open_every_material(Account(server, NUMBER), estate.blobs)
            said = said_in_time(server)
            assert said, (what, "nothing was said", server.log[-2000:])


def open_every_material(account, blobs):
    """The material of a disabled key is opened when it is used again, so it is enabled and used."""
    for key_id, blob in blobs.items():
        try:
            account.kms.enable_key(KeyId=key_id)
            assert account.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT
        except botocore.exceptions.ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500, error


def said_in_time(server):
    deadline = time.monotonic() + SCRUB_SECONDS
    while not DETECTED.search(server.log) and time.monotonic() < deadline:
        time.sleep(0.1)
    return DETECTED.search(server.log)


def shown(key):
    return key.decode("utf-8", "backslashreplace")


def test_an_unedited_copy_is_fine(estate):
    directory = estate.copy("unedited")
    with servers.dev(directory) as server:
        assert observe(Account(server, NUMBER), estate.blobs) == estate.facts
        time.sleep(1)
        assert not DETECTED.search(server.log), server.log


def test_an_edited_byte_of_any_row(estate, chance):
    for key, value, _ in rows(estate.directory):
        for _ in range(CASES):
            changed = bytearray(value)
            if not changed:
                continue
            position = chance.randrange(len(changed))
            changed[position] ^= chance.randrange(1, 256)
            directory = estate.copy("edited")
            edit(directory, "update rows set value = ? where key = ?", bytes(changed), key)
            # How many keys there are is asked when one is made; until then only the hourly scrub opens that row.
            unread = key.startswith(b"key-count/")
            what = f"byte {position} of {shown(key)}"
            check_detected(estate, directory, what, keys_touched(estate, key), harmless=unread)


def keys_touched(estate, key):
    """A row that names a key may cost that key; a row of the whole deployment may cost all of them."""
    return (
        1
        if any(key_id.encode() in key or bytes.fromhex(key_id.replace("-", "")) in key for key_id in estate.blobs)
        else len(estate.blobs)
    )


def test_every_byte_of_one_key(estate, chance):
    """The header of a wrapped record counts as much as its ciphertext: edit along one whole row."""
    key_id = sorted(estate.blobs)[1]
    named = [
        row
        for row in rows(estate.directory)
        if key_id.encode() in row[0] or bytes.fromhex(key_id.replace("-", "")) in row[0]
    ]
    assert named, "no row is named after the key"
    key, value, _ = max(named, key=lambda row: len(row[1]))
    positions = {0, 1, 2, 3, 4, 8, 16, 32, len(value) - 1, *(chance.randrange(len(value)) for _ in range(8 * CASES))}
    for position in sorted(position for position in positions if position < len(value)):
        changed = bytearray(value)
        changed[position] ^= 1
        directory = estate.copy("edited")
        edit(directory, "update rows set value = ? where key = ?", bytes(changed), key)
        check_detected(estate, directory, f"byte {position} of {shown(key)}", 1)


@pytest.mark.parametrize("value", [b"", b"\0", b"x" * 5000])
def test_a_row_with_other_contents(estate, value, chance):
    for key, _, _ in chance.sample(rows(estate.directory), 5):
        directory = estate.copy("edited")
        edit(directory, "update rows set value = ? where key = ?", value, key)
        check_detected(estate, directory, f"{len(value)} bytes in {shown(key)}", len(estate.blobs))


def test_two_rows_swapped(estate, chance):
    found = rows(estate.directory)
    similar = [
        (first, second)
        for index, first in enumerate(found)
        for second in found[index + 1 :]
        if len(first[1]) == len(second[1]) and first[1] != second[1]
    ]
    assert similar
    for first, second in chance.sample(similar, min(len(similar), 12 * CASES)):
        for with_revision in (False, True):
            directory = estate.copy("swapped")
            for here, there in ((first, second), (second, first)):
                revision = there[2] if with_revision else here[2]
                edit(directory, "update rows set value = ?, revision = ? where key = ?", there[1], revision, here[0])
            check_detected(estate, directory, f"{shown(first[0])} <-> {shown(second[0])}", len(estate.blobs))


def test_a_row_under_another_key(estate, chance):
    for key, _, _ in chance.sample(rows(estate.directory), 12):
        changed = bytearray(key)
        changed[-1] ^= 1
        directory = estate.copy("moved")
        try:
            edit(directory, "update rows set key = ? where key = ?", bytes(changed), key)
        except sqlite3.IntegrityError:
            continue
        check_detected(estate, directory, f"{shown(key)} moved", len(estate.blobs))


def test_a_row_copied_to_a_new_key(estate, chance):
    """A second copy of an alias or a key under a name that was free.

    The sums and the deployment's own rows are read by name, so another one is never looked at."""
    for key, value, revision in chance.sample(rows(estate.directory), 8):
        directory = estate.copy("copied")
        harmless = key.startswith((b"integrity/", b"deployment/"))
        edit(directory, "insert into rows (key, value, revision) values (?, ?, ?)", key + b"x", value, revision)
        check_detected(estate, directory, f"{shown(key)} copied", len(estate.blobs), harmless)


def test_a_changed_revision(estate, chance):
    """The store's own number of a row: the engine has one of its own inside, and believes only that."""
    for key, _, revision in chance.sample(rows(estate.directory), 10):
        directory = estate.copy("revision")
        edit(directory, "update rows set revision = ? where key = ?", max(revision - 1, 0) or revision + 1, key)
        check_detected(estate, directory, f"revision of {shown(key)}", len(estate.blobs), True)


def test_a_deleted_row(estate):
    for key, _, _ in rows(estate.directory):
        directory = estate.copy("deleted")
        edit(directory, "delete from rows where key = ?", key)
        check_detected(estate, directory, f"{shown(key)} deleted", len(estate.blobs))


def test_a_row_put_back_from_an_older_copy(estate):
    """The attacker enables a disabled key, or turns an alias back, by restoring one row."""
    newer = {key: (value, revision) for key, value, revision in rows(estate.directory)}
    replayed = 0
    for key, value, revision in rows(estate.older):
        if key not in newer or newer[key] == (value, revision):
            continue
        replayed += 1
        directory = estate.copy("replayed")
        edit(directory, "update rows set value = ?, revision = ? where key = ?", value, revision, key)
        check_detected(estate, directory, f"{shown(key)} replayed", len(estate.blobs))
    assert replayed >= 3


def test_a_row_added_back_after_deletion(estate):
    older = {key for key, _, _ in rows(estate.older)}
    with_copy = estate.copy("added")
    with servers.dev(with_copy) as server:
        Account(server, NUMBER).kms.delete_alias(AliasName="alias/key-0")
    left = {key for key, _, _ in rows(with_copy)}
    gone = [row for row in rows(estate.directory) if row[0] not in left and row[0] in older]
    assert gone
    for key, value, revision in gone:
        edit(with_copy, "insert into rows (key, value, revision) values (?, ?, ?)", key, value, revision)
    try:
        server = servers.dev(with_copy)
    except servers.StartError as error:
        assert DETECTED.search(error.output)
        return
    with server:
        with pytest.raises(botocore.exceptions.ClientError):
            Account(server, NUMBER).metadata("alias/key-0")
        assert said_in_time(server)


@pytest.mark.parametrize("place", ["start", "middle", "end"])
def test_a_damaged_sqlite_file(estate, place, chance):
    """Damage below the rows: SQLite's own error, or a row that does not open; never a wrong answer."""
    directory = estate.copy("damaged")
    path = directory / "store.sqlite"
    data = bytearray(path.read_bytes())
    middle = {"start": 20, "middle": len(data) // 2, "end": len(data) - 600}[place]
    for _ in range(40):
        data[min(len(data) - 1, middle + chance.randrange(500))] ^= chance.randrange(1, 256)
    path.write_bytes(data)
    try:
        server = servers.dev(directory)
    except servers.StartError as error:
        assert error.status > 0 and "panicked" not in error.output
        return
    with server:
        for question, answer in observe(Account(server, NUMBER), estate.blobs).items():
            if isinstance(answer, botocore.exceptions.ClientError):
                assert answer.response["ResponseMetadata"]["HTTPStatusCode"] >= 500, (question, answer)
            else:
                assert answer == estate.facts[question], question


def test_a_database_of_another_deployment(estate, tmp_path):
    """All rows of a key carried into another deployment: they do not open there."""
    with servers.dev(tmp_path / "other") as server:
        Account(server, NUMBER).create_key()
    here = {key for key, _, _ in rows(tmp_path / "other")}
    with sqlite3.connect(tmp_path / "other" / "store.sqlite") as database:
        for key, value, revision in rows(estate.directory):
            if key not in here:
                database.execute("insert into rows (key, value, revision) values (?, ?, ?)", (key, value, revision))
    database.close()
    try:
        server = servers.dev(tmp_path / "other")
    except servers.StartError as error:
        assert DETECTED.search(error.output)
        return
    with server:
        account = Account(server, NUMBER)
        for key_id, blob in estate.blobs.items():
            for call in (
                lambda key_id=key_id: account.metadata(key_id),
                lambda blob=blob: account.kms.decrypt(CiphertextBlob=blob),
            ):
                with pytest.raises(botocore.exceptions.ClientError):
                    call()
        assert DETECTED.search(server.log)


# The audit log.


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """A stopped server's audit directory with some hundred records, over two runs of the server."""
    data = tmp_path_factory.mktemp("audited") / "data"
    for _ in range(2):
        with servers.dev(data) as server:
            account = Account(server, NUMBER)
            key_id = account.create_key()["KeyId"]
            for _ in range(40):
                account.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)
                time.sleep(0.002)
    return data / "audit"


def segments(directory):
    return sorted(pathlib.Path(directory).glob("segment-*.log"))


def verify(directory, *options):
    return servers.run("audit", "verify", directory, *options)


def audit_copy(audited, tmp_path):
    shutil.copytree(audited, tmp_path / "audit")
    return tmp_path / "audit"


def check_found(directory, *options):
    status, output = verify(directory, *options)
    assert status == 1 and output.strip() and "panicked" not in output, (status, output)
    return output


def test_a_whole_audit_log(audited):
    status, output = verify(audited)
    assert status == 0, output


def test_every_call_is_in_the_audit_log(audited):
    text = b"".join(path.read_bytes() for path in segments(audited)).decode()
    assert text.count('"Encrypt"') >= 80 and text.count('"CreateKey"') >= 2
    for line in text.splitlines():
        json.loads(line)


def test_an_edited_byte_of_the_audit_log(audited, tmp_path, chance):
    directory = audit_copy(audited, tmp_path)
    for path in segments(directory):
        data = path.read_bytes()
        positions = [chance.randrange(len(data)) for _ in range(25 * CASES)]
        # A byte after the last signed checkpoint counts as well, since the server closed the log properly.
        for position in positions:
            changed = bytearray(data)
            changed[position] ^= chance.choice([1, 2, 4, 8, 16, 32])
            path.write_bytes(changed)
            check_found(directory)
        path.write_bytes(data)
    assert verify(directory)[0] == 0


def test_a_dropped_repeated_or_reordered_line(audited, tmp_path, chance):
    directory = audit_copy(audited, tmp_path)
    for path in segments(directory):
        lines = path.read_bytes().splitlines(keepends=True)
        for position in chance.sample(range(len(lines) - 1), min(8, len(lines) - 1)):
            dropped = lines[:position] + lines[position + 1 :]
            repeated = lines[: position + 1] + lines[position:]
            swapped = lines[:position] + [lines[position + 1], lines[position]] + lines[position + 2 :]
            for changed in (dropped, repeated, swapped):
                path.write_bytes(b"".join(changed))
                check_found(directory)
        path.write_bytes(b"".join(lines))
    assert verify(directory)[0] == 0


def test_a_truncated_audit_log(audited, tmp_path, chance):
    """Cut anywhere after the start: against the head of the whole log, every cut is found."""
    directory = audit_copy(audited, tmp_path)
    path = segments(directory)[-1]
    data = path.read_bytes()
    heads = re.findall(r'"hash":"([0-9a-f]{64})"', data.decode())
    assert heads
    lines = data.splitlines(keepends=True)
    for position in [len(data) - 1, *(chance.randrange(1, len(data)) for _ in range(6))]:
        path.write_bytes(data[:position])
        check_found(directory, "--head", heads[-1])
    for count in (len(lines) - 1, len(lines) // 2, 1):
        path.write_bytes(b"".join(lines[:count]))
        check_found(directory, "--head", heads[-1])
    path.write_bytes(data)
    status, output = verify(directory, "--head", heads[-1])
    assert status == 0, output


def test_a_missing_segment_or_key(audited, tmp_path):
    directory = audit_copy(audited, tmp_path)
    for path in [*segments(directory), *directory.glob("*.pub")]:
        data = path.read_bytes()
        path.unlink()
        status, output = verify(directory)
        assert status != 0, f"{path.name} may vanish unnoticed"
        assert "panicked" not in output
        path.write_bytes(data)
    assert verify(directory)[0] == 0
    assert verify(tmp_path / "nowhere")[0] != 0


def test_a_log_signed_by_somebody_else(audited, tmp_path):
    """The attacker puts a log of their own there, with their own key: the operator's copy of the key tells."""
    with servers.dev(tmp_path / "data") as server:
        Account(server, NUMBER).create_key()
    foreign = tmp_path / "data" / "audit"
    assert verify(foreign)[0] == 0
    key = next(audited.glob("*.pub"))
    status, output = verify(foreign, "--key", key)
    assert status == 1, output
    assert verify(audited, "--key", key)[0] == 0


def test_a_torn_tail_is_recovered_and_recorded(audited, tmp_path, estate):
    """Half a line at the end, as power loss leaves it: the server starts, and the log verifies again."""
    directory = tmp_path / "data"
    shutil.copytree(audited.parent, directory)
    path = segments(directory / "audit")[-1]
    with path.open("ab") as file:
        file.write(path.read_bytes().splitlines()[-1][:40])
    with servers.dev(directory) as server:
        Account(server, NUMBER).kms.list_keys()
    status, output = verify(directory / "audit")
    assert status == 0, output
