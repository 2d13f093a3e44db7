"""What every end-to-end test shares: one dev server, and an account of its own for each test."""

import itertools
import os
import random

import pytest
from support import server as servers
from support.aws import Account
from support.keyring import KeyRing

_accounts = itertools.count(100_000_000_001)
SEED = int(os.environ.get("CLAVIGER_TEST_SEED", random.SystemRandom().randrange(2**32)))


def pytest_report_header(config):
    return f"claviger: binary {servers.BINARY}, CLAVIGER_TEST_SEED={SEED}"


def pytest_sessionstart(session):
    if not session.config.option.collectonly and not servers.BINARY.is_file():
        pytest.exit(f"no binary at {servers.BINARY}: run ./test, or cargo build --release", returncode=2)


@pytest.fixture
def chance(request):
    """Random choices that CLAVIGER_TEST_SEED repeats, different for each test."""
    return random.Random(f"{SEED} {request.node.nodeid}")


@pytest.fixture(scope="session")
def dev():
    """One dev server in memory for all tests that leave its clock and its faults alone."""
    with servers.dev() as server:
        yield server


@pytest.fixture(scope="session")
def stored(tmp_path_factory):
    """The same over the embedded store."""
    with servers.dev(tmp_path_factory.mktemp("stored") / "data") as server:
        yield server


@pytest.fixture(params=["memory", "embedded"])
def aws(request):
    """A fresh account on a shared server, once over each store."""
    server = request.getfixturevalue("dev" if request.param == "memory" else "stored")
    return Account(server, str(next(_accounts)))


@pytest.fixture
def account(dev):
    """A fresh account on the shared server in memory, for what does not depend on the store."""
    return Account(dev, str(next(_accounts)))


@pytest.fixture
def other_account(dev):
    """A second account on the same server as `account`."""
    return Account(dev, str(next(_accounts)))


@pytest.fixture
def clocked():
    """A server of the test's own, whose clock may be moved."""
    with servers.dev() as server:
        yield Account(server, "000000000000")


@pytest.fixture(scope="session")
def keys(dev):
    """One key of every kind, in an account that many tests share."""
    ring = KeyRing(dev)
    yield ring
    ring.close()
