"""kill -9 while due jobs run: deletions, rotations and expiries that fall due at once are done once, or not yet."""

import concurrent.futures
import datetime
import json
import os
import time

from support import imports
from support import server as servers
from support.aws import Account, refused

ROUNDS = int(os.environ.get("CLAVIGER_TEST_KILL_ROUNDS", "50"))
NUMBER = "123456789012"
EAST = "us-east-1"
PLAINTEXT = b"attack at dawn"
DAY = 24 * 60 * 60 * 1000
# Of each kind in a round.
DOOMED, ROTATING, EXPIRING, WAITING = 10, 4, 1, 1
ALIASES, GRANTS = 2, 2


class Key:
    """A key, what it sealed, and what hangs on it."""

    def __init__(self, account, aliases=0, grants=0, replicated=False, **options):
        self.account = account
        kms = account.kms
        self.facts = account.create_key(MultiRegion=replicated, **options)
        self.id = self.facts["KeyId"]
        self.plain = imports.new_material() if options.get("Origin") == "EXTERNAL" else None
        self.aliases = [f"alias/{number}-{self.id}" for number in range(aliases)]
        for name in self.aliases:
            kms.create_alias(AliasName=name, TargetKeyId=self.id)
        grant = {"GranteePrincipal": account.root, "RetiringPrincipal": account.root, "Operations": ["Decrypt"]}
        self.grants = [kms.create_grant(KeyId=self.id, **grant)["GrantId"] for _ in range(grants)]
        self.replica = account.in_region(EAST) if replicated else None
        if replicated:
            kms.replicate_key(KeyId=self.id, ReplicaRegion=EAST)
        if self.plain is None:
            self.seal()

    def seal(self):
        self.blob = self.account.kms.encrypt(KeyId=self.id, Plaintext=PLAINTEXT)["CiphertextBlob"]

    def bring(self, **options):
        imports.bring(self.account.kms, self.id, self.plain, **options)
        self.seal()

    def moved_to(self, account):
        """The same key, asked of the server that runs now."""
        self.account = account
        self.replica = self.replica and account.in_region(EAST)
        return self

    def opens(self):
        for account in filter(None, (self.account, self.replica)):
            assert account.kms.decrypt(CiphertextBlob=self.blob)["Plaintext"] == PLAINTEXT
            fresh = account.kms.encrypt(KeyId=self.id, Plaintext=PLAINTEXT)["CiphertextBlob"]
            assert self.account.kms.decrypt(CiphertextBlob=fresh)["Plaintext"] == PLAINTEXT

    def is_gone(self):
        """Whether nothing is left of it; what is there must be all of it."""
        kms = self.account.kms
        reads = (kms.describe_key, kms.get_key_policy, kms.list_resource_tags, kms.list_grants, kms.list_aliases)
        answers = [answered(read, KeyId=self.id) for read in reads]
        assert len({answer is None for answer in answers}) == 1, (self.id, answers)
        if answers[0] is None:
            return True
        assert answers[0]["KeyMetadata"]["KeyState"] == "PendingDeletion"
        assert {grant["GrantId"] for grant in answers[3]["Grants"]} == set(self.grants)
        assert {alias["AliasName"] for alias in answers[4]["Aliases"]} == set(self.aliases)
        return False

    def rotations(self):
        """How often it rotated; every Region must agree."""
        kms, known = self.account.kms, self.account.metadata(self.id)
        listed = kms.list_key_rotations(KeyId=self.id, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
        assert listed[-1]["KeyMaterialId"] == known["CurrentKeyMaterialId"]
        assert [entry["KeyMaterialState"] for entry in listed] == ["NON_CURRENT"] * (len(listed) - 1) + ["CURRENT"]
        if self.replica:
            assert self.replica.metadata(self.id)["CurrentKeyMaterialId"] == known["CurrentKeyMaterialId"]
        return len(listed) - 1


def answered(call, **arguments):
    """The answer; None when there is no such thing."""
    try:
        return call(**arguments)
    except call.__self__.exceptions.NotFoundException:
        return None


class Round:
    """Keys of which some fall due by the same movement of the clock."""

    def __init__(self, server, workers):
        self.server, self.account = server, Account(server, NUMBER)
        many = list(workers.map(lambda number: self.make(number), range(ROTATING + EXPIRING + 2 * WAITING)))
        self.rotating, rest = many[:ROTATING], many[ROTATING:]
        self.expiring, self.waiting = rest[:EXPIRING], rest[EXPIRING:]
        # Eight days later, rotations are half a day late.
        self.advance("82d12h")
        pending = list(workers.map(lambda number: self.make_pending(number), range(DOOMED + WAITING)))
        self.doomed, self.spared = pending[:DOOMED], pending[DOOMED:]
        self.leave_east()
        self.offset = self.advance("0s")

    def advance(self, time):
        """Moves the clock, and gives where it is."""
        return self.server.control("clock", {"advance": time}).json["offset_milliseconds"]

    def make(self, number):
        rotating, external = number < ROTATING, ROTATING <= number < ROTATING + EXPIRING + WAITING
        if external:
            key = Key(self.account, Origin="EXTERNAL")
            days = 90 if number < ROTATING + EXPIRING else 300
            key.bring(ValidTo=key.facts["CreationDate"] + datetime.timedelta(days=days))
            return key
        key = Key(self.account, replicated=number < 2)
        days = 90 if rotating else 180
        self.account.kms.enable_key_rotation(KeyId=key.id, RotationPeriodInDays=days)
        key.next = self.account.kms.get_key_rotation_status(KeyId=key.id)["NextRotationDate"]
        return key

    def make_pending(self, number):
        key = Key(self.account, ALIASES, GRANTS)
        days = 7 if number < DOOMED else 30
        told = self.account.kms.schedule_key_deletion(KeyId=key.id, PendingWindowInDays=days)
        key.date = told["DeletionDate"]
        return key

    def leave_east(self):
        """A replica that goes, with what hangs on it."""
        self.left = Key(self.account, replicated=True)
        kms = self.left.replica.kms
        grant = {"GranteePrincipal": self.account.root, "Operations": ["Decrypt"]}
        for number in range(GRANTS):
            kms.create_grant(KeyId=self.left.id, **grant)
            kms.create_alias(AliasName=f"alias/{number}-{self.left.id}", TargetKeyId=self.left.id)
        kms.schedule_key_deletion(KeyId=self.left.id, PendingWindowInDays=7)

    def look_at_the_replica_made_again(self):
        """Where a key was, nothing of it waits for the next one of the same name."""
        kms = self.left.replica.kms
        assert answered(kms.describe_key, KeyId=self.left.id) is None
        self.account.kms.replicate_key(KeyId=self.left.id, ReplicaRegion=EAST)
        assert kms.list_grants(KeyId=self.left.id)["Grants"] == []
        assert kms.list_aliases(KeyId=self.left.id)["Aliases"] == []
        self.left.opens()

    def all(self):
        return [*self.rotating, *self.expiring, *self.waiting, *self.doomed, *self.spared, self.left]

    def asked_of(self, server):
        self.server, self.account = server, Account(server, NUMBER)
        for key in self.all():
            key.moved_to(self.account)

    def kill_while_it_works(self, workers, chance):
        """Kills the server as soon as the work on one of the keys shows, or at any moment."""
        # The first jobs more often, as the rest is done before the signal arrives.
        target = chance.choice([*self.doomed[:3] * 3, *self.doomed, *self.rotating])
        before = answered(self.account.kms.describe_key, KeyId=target.id)["KeyMetadata"]
        moving = workers.submit(self.server.request, "POST", "/_claviger/clock", *body({"advance": "8d"}))
        if chance.random() < 0.2:
            time.sleep(chance.uniform(0, 0.05))
        while not moving.done() and self.shown(target) == before:
            pass
        self.server.kill()
        moving.exception()
        assert "panicked" not in self.server.log

    def shown(self, key):
        found = answered(self.account.kms.describe_key, KeyId=key.id)
        return found and found["KeyMetadata"]

    def look_half_way(self):
        """Whatever was done and what was not: every key is whole or gone, and nothing happened that was not due."""
        done = [key.is_gone() for key in self.doomed]
        for key in self.rotating:
            rotations = key.rotations()
            assert rotations in (0, 1)
            done.append(rotations == 1)
            key.opens()
        for key in self.expiring:
            state = self.account.metadata(key.id)["KeyState"]
            assert state in ("Enabled", "PendingImport")
            done.append(state == "PendingImport")
        self.look_at_the_spared()
        return done

    def look_at_the_spared(self):
        """What is not due yet."""
        for key in self.spared:
            assert not key.is_gone()
            assert self.account.metadata(key.id)["DeletionDate"] == key.date
        for key in self.waiting:
            assert self.account.metadata(key.id)["KeyState"] == "Enabled"
            assert key.rotations() == 0
            key.opens()

    def look_at_the_end(self):
        """Everything that was due was done, once."""
        assert all(key.is_gone() for key in self.doomed)
        listed = {entry["KeyId"] for page in self.pages("list_keys") for entry in page["Keys"]}
        named = {entry.get("TargetKeyId") for page in self.pages("list_aliases") for entry in page["Aliases"]}
        retirable = self.pages("list_retirable_grants", RetiringPrincipal=self.account.root)
        granted = {grant["KeyId"] for page in retirable for grant in page["Grants"]}
        for key in self.doomed:
            assert key.id not in listed | named and self.account.key_arn(key.id) not in granted
            with refused("AccessDeniedException"):
                self.account.kms.decrypt(CiphertextBlob=key.blob)
        for key in self.rotating:
            assert key.rotations() == 1
            status = self.account.kms.get_key_rotation_status(KeyId=key.id)
            assert status["NextRotationDate"] == key.next + datetime.timedelta(days=90)
            key.opens()
        for key in self.expiring:
            known = self.account.metadata(key.id)
            assert known["KeyState"] == "PendingImport" and "ValidTo" not in known
            with refused("KMSInvalidStateException", f"{known['Arn']} is pending import."):
                self.account.kms.decrypt(CiphertextBlob=key.blob)
        self.look_at_the_spared()
        self.look_at_the_replica_made_again()
        # The material that expired comes back, and opens what it sealed.
        for key in self.expiring:
            before = key.blob
            key.bring()
            assert self.account.kms.decrypt(CiphertextBlob=before)["Plaintext"] == PLAINTEXT

    def pages(self, name, **arguments):
        return self.account.kms.get_paginator(name).paginate(**arguments)

    def clear(self):
        """The next round's clock takes them away."""
        for key in [*self.rotating, *self.expiring, *self.waiting, self.left]:
            for account in filter(None, (key.replica, self.account)):
                account.kms.schedule_key_deletion(KeyId=key.id, PendingWindowInDays=7)


def body(value):
    return json.dumps(value), {"Content-Type": "application/json"}


def service_events(directory):
    """What the log says of jobs: pairs of event and key, in order."""
    found = []
    for path in sorted(directory.glob("segment-*.log")):
        for line in path.read_bytes().split(b"\n"):
            if b"AwsServiceEvent" not in line:
                continue
            try:
                record = json.loads(line)["record"]
            except ValueError:
                # The end of a log that was killed; the next start cuts it off.
                continue
            found.append((record["eventName"], record["resources"][0]["ARN"].rpartition("/")[2]))
    return found


def set_clock(data, offset):
    (data / "dev-clock-offset").write_text(str(offset))


def test_jobs_that_are_killed(tmp_path, chance):
    data = tmp_path / "data"
    half_way, expected = 0, []
    with concurrent.futures.ThreadPoolExecutor(4) as workers:
        server = servers.dev(data)
        for number in range(ROUNDS):
            this = Round(server, workers)
            this.kill_while_it_works(workers, chance)
            # At the earlier time nothing more falls due, and what was done so far can be seen.
            set_clock(data, this.offset)
            server = servers.dev(data)
            this.asked_of(server)
            done = this.look_half_way()
            server.kill()
            half_way += any(done) and not all(done)
            set_clock(data, this.offset + 8 * DAY)
            if number % 2:
                kill_at_start(data, chance.uniform(0, 0.2))
            server = servers.dev(data)
            this.asked_of(server)
            # Answers when nothing is due any more.
            assert this.advance("0s") == this.offset + 8 * DAY
            this.look_at_the_end()
            expected += [("DeleteKey", key.id) for key in [*this.doomed, this.left]]
            expected += [("RotateKey", key.id) for key in this.rotating]
            expected += [("DeleteExpiredKeyMaterial", key.id) for key in this.expiring]
            this.clear()
            expected += [("DeleteKey", key.id) for key in this.spared + this.waiting + this.expiring + this.rotating]
            expected += [("DeleteKey", key.id) for key in [*this.rotating, this.left, this.left] if key.replica]
        # The last round's keys go as those of the others did, the primaries after their replicas.
        for _ in range(2):
            this.advance("40d")
        server.stop()
    status, output = servers.run("audit", "verify", data / "audit")
    assert status == 0, output
    assert sorted(service_events(data / "audit")) == sorted(expected)
    print(f"killed half-way in {half_way} of {ROUNDS} rounds")
    assert half_way >= ROUNDS // 5, half_way


def kill_at_start(data, seconds):
    """A start that does what is due, killed as well."""
    process = servers.subprocess.Popen(
        [servers.BINARY, "dev", "--listen", "127.0.0.1:0", "--data", data],
        stdout=servers.subprocess.DEVNULL,
        stderr=servers.subprocess.DEVNULL,
    )
    time.sleep(seconds)
    process.kill()
    process.wait()
