"""Programs on another host: how long they are waited for. What they say is tested with each of them."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from harness import clock
from harness.far import ANSWER_S, SSH, begin


def test_one_that_never_answers_is_not_waited_for() -> None:
    """As where a login hangs, or Python there does not come up: the connection itself stands."""
    child = subprocess.Popen(["sleep", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    began = clock.now()
    try:
        with pytest.raises(TimeoutError):
            begin(child, {}, answer_s=0.3)
        assert clock.since(began) < 5
    finally:
        child.kill()
        child.communicate()


@pytest.mark.skipif(not shutil.which("ssh"), reason="needs OpenSSH's ssh")
def test_a_connection_that_is_cut_without_a_word_ends() -> None:
    said = subprocess.run([*SSH, "-G", "far"], capture_output=True, text=True, check=True).stdout
    options = dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
    assert 0 < int(options["serveraliveinterval"]) * int(options["serveralivecountmax"]) <= ANSWER_S
    assert options["batchmode"] == "yes"
