"""A production server whose clock has jumped: nothing is destroyed for it, and an operator has the last word.

Nobody can set the system's clock here. A store from a development server that lived at another time does as well: for the
production server that opens it, the clock has leapt, or is behind."""

import re
import time

import pytest
from support import server as servers
from support.aws import Account, refused
from support.operator import Operators
from support.production import Deployment

DAY = 86_400
PLAINTEXT = b"attack at dawn"
CREDENTIALS = {"number": "123456789012", "account": "AKIA" + "CLOCK234" * 2, "secret": "c" * 40}


class Story:
    """A deployment that was made and used by `claviger dev` at another time, and is then served in production."""

    def __init__(self, directory, offset_seconds):
        self.deployment = Deployment(directory)
        data = self.deployment.data
        data.mkdir(mode=0o700)
        (data / "dev-clock-offset").write_text(str(offset_seconds * 1000))
        root = f"{CREDENTIALS['number']}={CREDENTIALS['account']}:{CREDENTIALS['secret']}"
        arguments = ("dev", "--listen", "127.0.0.1:0", "--data", data, "--enforce", "--root", root)
        with servers.Server(*arguments) as server:
            account = Account(server, **CREDENTIALS)
            self.key_id = account.create_key()["KeyId"]
            self.blob = account.kms.encrypt(KeyId=self.key_id, Plaintext=PLAINTEXT)["CiphertextBlob"]
            account.kms.schedule_key_deletion(KeyId=self.key_id, PendingWindowInDays=7)
        # It was stopped in good order, so the newest time that it saw is stored.
        self.deployment.unseal.write_bytes((data / "dev-unseal.key").read_bytes())
        self.operators = Operators(data, "--config", self.deployment.config)

    def account(self, server):
        return Account(server, **CREDENTIALS)


def wait_until(holds, seconds=20):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def test_a_leap_waits_for_an_operators_word(tmp_path):
    story = Story(tmp_path, -400 * DAY)
    for _ in range(2):
        # A restart changes nothing.
        with story.deployment.serve() as server:
            account = story.account(server)
            wait_until(lambda: story.operators.status()["jobs waiting"] == "1")
            state = story.operators.status()["clock state"]
            assert re.fullmatch(r"leapt ahead by \d+ s: deletions and expiries wait for `claviger clock accept`", state)
            assert "the clock has leapt ahead without a cause" in server.log
            assert account.metadata(story.key_id)["KeyState"] == "PendingDeletion"
            # Everything else goes on.
            other = account.create_key()["KeyId"]
            account.kms.encrypt(KeyId=other, Plaintext=PLAINTEXT)
    with story.deployment.serve() as server:
        account = story.account(server)
        told = story.operators.obeyed("clock", "accept")
        assert re.search(r"^clock state +as expected$", told, re.MULTILINE), told
        wait_until(lambda: story.operators.status()["jobs waiting"] == "0")

        def is_gone():
            listed = [key["KeyId"] for key in account.kms.list_keys()["Keys"]]
            return story.key_id not in listed

        wait_until(is_gone)
        with refused("NotFoundException"):
            account.metadata(story.key_id)
    recorded = [record for record in story.operators.records() if record["eventName"] == "AcceptClock"]
    assert len(recorded) == 1
    shown = recorded[0]["responseElements"]
    assert shown["newestTimeBefore"] < shown["time"]


def test_a_deletion_can_be_taken_back_while_it_waits(tmp_path):
    story = Story(tmp_path, -400 * DAY)
    with story.deployment.serve() as server:
        account = story.account(server)
        account.kms.cancel_key_deletion(KeyId=story.key_id)
        account.kms.enable_key(KeyId=story.key_id)
        story.operators.obeyed("clock", "accept")
        wait_until(lambda: story.operators.status()["jobs waiting"] == "0")
        assert account.kms.decrypt(CiphertextBlob=story.blob)["Plaintext"] == PLAINTEXT


def test_a_downtime_of_days_can_be_made_plausible(tmp_path):
    story = Story(tmp_path, -400 * DAY)
    story.deployment.write_config(**{"clock.downtime_days": "500"})
    with story.deployment.serve() as server:
        account = story.account(server)
        wait_until(lambda: story.key_id not in [key["KeyId"] for key in account.kms.list_keys()["Keys"]])


def test_a_clock_behind_destroys_nothing_early(tmp_path):
    story = Story(tmp_path, 400 * DAY)
    with story.deployment.serve() as server:
        account = story.account(server)
        state = story.operators.status()["clock state"]
        assert re.fullmatch(r"\d+ s behind the newest time seen, at which time stands still", state)
        late = account.create_key()["KeyId"]
        until = account.kms.schedule_key_deletion(KeyId=late, PendingWindowInDays=7)["DeletionDate"]
        assert until.timestamp() > time.time() + 406 * DAY, "counted from the newest time seen"
        for key_id in (late, story.key_id):
            assert account.metadata(key_id)["KeyState"] == "PendingDeletion"


@pytest.mark.parametrize("arguments", [("clock",), ("clock", "accept"), ("clock", "back")])
def test_the_command_needs_a_server(tmp_path, arguments):
    status, output = servers.run(*arguments, "--data", tmp_path)
    assert status != 0 and output
