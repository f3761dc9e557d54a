"""The rules of sparkrun 0.2 and of eugr's run-recipe. The texts of the first test were made by sparkrun 0.2.40 itself."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RecipeError
from harness.recipe import older
from harness.recipe.lint import lint
from harness.recipe.load import loads
from harness.schema.recipe import Recipe


def recipe(command: str, values: dict[str, object], **more: str) -> Recipe:
    data = {"model": "org/m", "runtime": "vllm", "name": "n", "container": "c/d:1", "recipe_version": "2"}
    return loads(json.dumps({**data, **more, "defaults": values, "command": command}), "x.yaml")


@pytest.mark.parametrize(
    ("template", "values", "rendered"),
    [
        ("--x '{{\"a\": {p}}}' {{p}} }}", {"p": 3}, "--x '{{\"a\": {p}}}' 3} }}"),
        ('--x \'{"a": {"b":{p}}}\'', {"p": 3}, '--x \'{"a": {"b":{p}}}\''),
        ("--x {s}", {"s": '{{"a":{{"b":1}}}}'}, '--x {{"a":{{"b":1}}}}'),
        ("--x {s}", {"s": "http://h:{port}", "port": 8}, "--x http://h:8"),
        ("${p} ${q} {p:5} { p }", {"p": 3}, "$3 ${q} {p:5} { p }"),
        ("{d} {n} {t} {f}", {"d": {"a": 1}, "n": None, "t": True, "f": 0.70}, "{'a': 1} {n} True 0.7"),
        ("{model} {model_revision}", {}, "org/m {model_revision}"),
        ("{model}", {"model": "other"}, "other"),
        ("a \\  \n b \\\t\n c \\", {}, "a \\\n b \\\t\n c \\"),
        ("{{{p}}}", {"p": 3}, "3}}"),
    ],
)
def test_as_sparkrun_0_2_renders(template: str, values: dict[str, object], rendered: str) -> None:
    assert older.command(recipe(template, values), "sparkrun-0.2") == rendered


@pytest.mark.parametrize("holds_itself", ["x{a}", "{a}{a}"])
def test_a_value_that_holds_itself_is_refused(holds_itself: str) -> None:
    with pytest.raises(RecipeError, match=r"sparkrun 0\.2 never has the command whole"):
        older.command(recipe("{a}", {"a": holds_itself}), "sparkrun-0.2")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("vllm serve {model}", "eugr's run-recipe has no value for {model}"),
        ("vllm serve {mdl}", "eugr's run-recipe has no value for {mdl}"),
        ("x '{\"a\": 1}'", 'eugr\'s run-recipe has no value for {"a"}'),
        ("x {p.real} {0}", "eugr's run-recipe has no value for {p.real}"),
        ("x }", "eugr's run-recipe cannot format the command: Single '}' encountered in format string"),
        ("x {p:999999999}", "eugr's run-recipe cannot format the command: {p} asks for a format"),
        ("x {p!r}", "eugr's run-recipe cannot format the command: {p} asks for a format"),
        ("x {s:d}", "eugr's run-recipe cannot format the command: Unknown format code 'd' for object of type 'str'"),
    ],
)
def test_what_eugr_refuses(command: str, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        older.command(recipe(command, {"p": 3, "s": "x"}), "eugr")
    assert caught.value.message == f"x.yaml:1: {said}"


@pytest.mark.parametrize("key", older.EUGR_NEEDS)
def test_what_eugr_needs(key: str) -> None:
    whole = {"name": "n", "recipe_version": "1", "container": "c/d:1", "command": "vllm serve m", "model": "m"}
    assert older.command(loads(json.dumps(whole), "x.yaml"), "eugr") == "vllm serve m"
    del whole[key]
    with pytest.raises(RecipeError, match=f"without '{key}'|has no command"):
        older.command(loads(json.dumps(whole), "x.yaml"), "eugr")


TEMPLATE = st.lists(st.sampled_from(["{p}", "{s}", "{n}", "{{", "}}", "{", "}", '"k": ', " a ", "{p:5}", "\\\n"])).map("".join)


@given(TEMPLATE)
def test_eugr_is_str_format(template: str) -> None:
    values: dict[str, object] = {"p": 3, "s": "{p}", "n": None}
    with suppress(RecipeError):
        ours = older.command(recipe(f"x {template}", values), "eugr")
        theirs = f"x {template}".format(**values).rstrip()
        assert ours == (theirs.rstrip("\\\n").rstrip() if theirs.endswith("\\") else theirs)


def test_plain_recipes_are_the_same_to_all() -> None:
    plain = recipe("vllm serve m --port {p} \\\n  --x '{s}' \\", {"p": 3, "s": '{"a": 1}'}, recipe_version="1")
    assert list(older.differences(plain)) == []


@pytest.mark.parametrize(
    ("version", "command", "said"),
    [
        ("2", "vllm serve {model}", None),
        ("2", "vllm serve {model} --x '{{\"a\": {p}}}'", "sparkrun 0.2 makes another command of it"),
        ("2", "vllm serve m --revision {model_revision}", "sparkrun 0.2 makes another command of it"),
        ("1", "vllm serve {model}", "eugr's run-recipe has no value for {model}"),
        ("1", "vllm serve m --x '{{\"a\": {p}}}'", "sparkrun 0.2 makes another command of it"),
        ("1", "vllm serve m --x '{\"a\": {p}}'", "sparkrun 0.2 makes another command of it (harness recipes show n"),
    ],
)
def test_lint_names_the_loaders_that_differ(version: str, command: str, said: str | None) -> None:
    found = recipe(command, {"p": 3}, recipe_version=version, model_revision="abc")
    notes = [finding.text for finding in lint(found) if "rendered by sparkrun 0.4's rules" in finding.text]
    assert len(notes) == (said is not None)
    assert not said or said in notes[0]


def shown(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "mine.yaml").write_text("model: org/m\ndefaults: {p: 3}\ncommand: |\n  vllm serve {model} --x '{{\"a\": {p}}}'\n")
    argv = [sys.executable, "-m", "harness", "recipes", "show", "mine.yaml", *words]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)


def test_show_prints_the_command_of_a_dialect(tmp_path: Path) -> None:
    ours = "vllm serve org/m --x '{\"a\": 3}'\n"
    assert shown(tmp_path, "--command").stdout == shown(tmp_path, "--dialect", "sparkrun-0.4").stdout == ours
    assert shown(tmp_path, "--dialect", "sparkrun-0.2").stdout == "vllm serve org/m --x '{{\"a\": {p}}}'\n"
    refused = shown(tmp_path, "--dialect", "eugr")
    assert (refused.returncode, refused.stderr) == (
        3,
        "harness: mine.yaml:3: eugr's run-recipe refuses a recipe without 'name'\nHint: add 'name:'\n",
    )
    assert shown(tmp_path, "--dialect", "zork").returncode == 2
