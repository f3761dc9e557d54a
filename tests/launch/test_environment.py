from __future__ import annotations

import pytest

from harness.launch.environment import for_child, local_proxy

OURS = {
    "PATH": "/usr/bin",
    "HF_TOKEN": "hush",
    "MY_KEY": "hush2",
    "LC_ALL": "C",
    "VLLM_USE_V1": "0",
    "SGLANG_SIMULATE_ACC_LEN": "3",
}


def test_what_is_handed_down() -> None:
    env = for_child(OURS, {"A": "1"}, "vllm", "abc")
    assert env == {
        "PATH": "/usr/bin",
        "HF_TOKEN": "hush",
        "LC_ALL": "C",
        "A": "1",
        "PYTHONUNBUFFERED": "1",
        "HARNESS_RUN": "abc",
        "SPT_NOENV": "1",
    }


def test_the_recipe_has_the_last_word_but_not_over_the_mark() -> None:
    env = for_child(OURS, {"PATH": "/opt", "HF_TOKEN": "x", "HARNESS_RUN": "y", "PYTHONUNBUFFERED": "0"}, "vllm", "abc")
    assert (env["PATH"], env["HF_TOKEN"], env["HARNESS_RUN"], env["PYTHONUNBUFFERED"]) == ("/opt", "x", "abc", "0")


def test_references_are_resolved_here_and_nowhere_before() -> None:
    env = for_child(
        OURS, {"TOKEN": "$MY_KEY", "OTHER": "${MY_KEY}", "NONE": "$UNSET", "PRICE": "5$", "MIX": "a$MY_KEY"}, "vllm", "abc"
    )
    assert env["TOKEN"] == env["OTHER"] == "hush2"
    assert "NONE" not in env
    assert (env["PRICE"], env["MIX"]) == ("5$", "a$MY_KEY")


def test_the_programs_own_folder_comes_first_on_the_path() -> None:
    assert for_child(OURS, {}, "/opt/vllm/bin/vllm", "abc")["PATH"] == "/opt/vllm/bin:/usr/bin"
    assert for_child({}, {}, "/opt/vllm/bin/vllm", "abc")["PATH"] == "/opt/vllm/bin"


@pytest.mark.parametrize(
    ("value", "here"),
    [
        ("http://127.0.0.1:7890", True),
        ("socks5h://user:secret@localhost:1080/", True),
        ("[::1]:3128", True),
        ("127.0.0.1:7890", True),
        ("http://proxy.example.org:3128", False),
        ("http://10.0.0.127:3128", False),
        ("http://[::1", False),
        ("", False),
    ],
)
def test_a_proxy_on_this_machine(value: str, here: bool) -> None:
    """One elsewhere is seen as a connection; of one here nobody sees where it leads."""
    assert local_proxy({"https_proxy": value, "no_proxy": "localhost"}) == ("https_proxy" if here else None)
