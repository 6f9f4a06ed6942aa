"""The memory plan against what a process really grows by."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

LEAST, MOST = 0.6, 1.1
"""Growth over prediction: a plan may err towards more, and hardly towards less."""


@pytest.mark.parametrize("pack", ["micro_pack", "micro_fp32_pack"])
def test_a_process_that_uses_everything_grows_by_about_what_the_plan_says(
    pack: str, request: pytest.FixtureRequest
) -> None:
    script = Path(__file__).with_name("plan_growth.py")
    done = subprocess.run(
        [sys.executable, str(script), str(request.getfixturevalue(pack))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["arenas"] == 7
    assert LEAST < measured["growth"] / measured["predicted"] < MOST
