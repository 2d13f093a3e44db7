"""Acknowledged means durable: kill -9 at random moments, and the loss of everything that was not synced."""

import os
import shutil
import threading
import time

import pytest
from support import server as servers
from support.aws import Account
from support.ledger import Writer
from support.replay import Replay

ROUNDS = int(os.environ.get("CLAVIGER_TEST_KILL_ROUNDS", "50"))
WRITERS = 6


def test_kill_nine(tmp_path, chance):
    """In each round, writers work until the server is killed; after the restart every acknowledged write is there.

    The rounds go on with one directory, so that later rounds also recover what earlier ones left behind."""
    data = tmp_path / "data"
    acknowledged = recovered_mid_write = 0
    for round_number in range(ROUNDS):
        server = servers.dev(data)
        writers = [
            Writer(Account(server, f"{round_number:06}{number:06}"), chance.random()) for number in range(WRITERS)
        ]
        threads = [threading.Thread(target=writer.run) for writer in writers]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.05, 0.6))
        server.kill()
        for thread in threads:
            thread.join()
        assert "panicked" not in server.log
        for writer in writers:
            if writer.unexpected:
                raise writer.unexpected
        with servers.dev(data) as server:
            for writer in writers:
                account = Account(server, writer.account.number)
                assert writer.differences(account) == [], f"round {round_number}"
                recovered_mid_write += writer.in_doubt is not None
                acknowledged += writer.acknowledged
        status, output = servers.run("audit", "verify", data / "audit")
        assert status == 0, output
    assert acknowledged > ROUNDS * 10 and recovered_mid_write > 0


def test_a_kill_during_recovery(tmp_path, chance):
    """Killing the server while it starts loses nothing either."""
    data = tmp_path / "data"
    server = servers.dev(data)
    writer = Writer(Account(server, "000000000000"), chance.random())
    writer.steps(60)
    server.kill()
    for _ in range(15):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(servers, "START_SECONDS", 60)
            process = servers.subprocess.Popen(
                [servers.BINARY, "dev", "--listen", "127.0.0.1:0", "--data", data],
                stdout=servers.subprocess.DEVNULL,
                stderr=servers.subprocess.DEVNULL,
            )
            time.sleep(chance.uniform(0, 0.15))
            process.kill()
            process.wait()
    with servers.dev(data) as server:
        assert writer.differences(Account(server, "000000000000")) == []


def traced_run(tmp_path, chance, steps):
    """A server under strace, one writer, and what the ledger said at each acknowledgement."""
    data, trace = tmp_path / "data", tmp_path / "trace"
    data.mkdir()
    server = servers.dev(data, prefix=Replay.tracer(trace))
    writer = Writer(Account(server, "000000000000"), chance.random())
    moments = []
    for _ in range(steps):
        writer.steps(1)
        moments.append((time.time(), snapshot(writer)))
    Replay.kill(server)
    return Replay(trace, data), moments


def snapshot(writer):
    copy = Writer(writer.account, 0)
    copy.keys = {key_id: dict(facts) for key_id, facts in writer.keys.items()}
    copy.aliases = dict(writer.aliases)
    copy.blobs = list(writer.blobs)
    return copy


def lost(replay, moment, ledger, directory, last_sync=None):
    """What a server over only what was synced by then lacks of what was acknowledged by then."""
    shutil.rmtree(directory, ignore_errors=True)
    replay.write(directory, moment, last_sync)
    try:
        with servers.dev(directory) as server:
            return ledger.differences(Account(server, "000000000000"))
    except servers.StartError as error:
        return [str(error)]


def test_power_loss(tmp_path, chance):
    """Drop every byte that was not synced before an acknowledgement: what was acknowledged is still there."""
    replay, moments = traced_run(tmp_path, chance, 40)
    for moment, ledger in [moments[0], moments[-1], *chance.sample(moments, 8)]:
        assert lost(replay, moment, ledger, tmp_path / "after") == [], f"had power failed at {moment}"


def test_power_loss_is_noticed_by_this_test(tmp_path, chance):
    """The same replay, as if nothing had been synced after the first write, loses writes: the test above has teeth."""
    replay, moments = traced_run(tmp_path, chance, 10)
    moment, ledger = moments[-1]
    found = lost(replay, moment, ledger, tmp_path / "after", last_sync=moments[0][0])
    assert any("lost" in difference or "acknowledged" in difference for difference in found), found
