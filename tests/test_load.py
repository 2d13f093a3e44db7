"""The load driver and the limit server work, and the ratio does not fall far below what is recorded."""

import os
import pathlib
import re
import subprocess

import pytest
from support import server as servers

SECONDS = os.environ.get("CLAVIGER_TEST_BENCH_SECONDS", "2")


@pytest.mark.skipif(SECONDS == "0", reason="CLAVIGER_TEST_BENCH_SECONDS is 0")
def test_the_ratio_to_the_limit_server():
    done = subprocess.run(
        [servers.ROOT / "bench" / "run", SECONDS, "32", "3"],
        env={**os.environ, "CLAVIGER_BENCH_SKIP_BUILD": "1", "CARGO_TARGET_DIR": str(pathlib.Path(servers.TARGET))},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    ratios = dict(re.findall(r"^([a-z-]+) .*ratio (\d+\.\d+)", done.stdout, re.MULTILINE))
    assert set(ratios) == {"encrypt", "decrypt", "generate-data-key"}
    for operation, ratio in ratios.items():
        assert float(ratio) > 0.3, (operation, done.stdout)
