"""Kill -9 at ten random moments, as benchmarks/kills.py does at fifty."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_nothing_is_lost_doubled_orphaned_or_half_written(tmp_path):
    found = tmp_path / "kills.json"
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills", "--quick", "--seed", "7", "--json", str(found)],
        cwd=ROOT, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    figures = {figure["name"]: figure["value"] for figure in json.loads(found.read_text())["figures"]}
    assert figures == dict.fromkeys(("kills.lost", "kills.doubled", "kills.orphans", "kills.half_files"), 0), run.stdout
