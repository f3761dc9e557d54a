"""Templates into command lines by the rules of sparkrun 0.4.2, against which the first test's texts were checked."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import RecipeError
from harness.recipe import render
from harness.recipe.load import loads


@pytest.mark.parametrize(
    ("template", "values", "rendered"),
    [
        ("--a {t} --f {f} --g {neg}", {"t": True, "f": 0.70, "neg": -1}, "--a True --f 0.7 --g -1"),
        ("--x '{{\"a\": {p}}}' {{p}} }}", {"p": 3}, "--x '{\"a\": 3}' {p} }"),
        ('--x \'{"a": {"b":{p}}}\'', {"p": 3}, '--x \'{"a": {"b":3}}\''),
        ("--x {s}", {"s": '{{"a":{{"b":1}}}}'}, '--x {"a":{"b":1}}'),
        ("--x {s}", {"s": '{"a":{"b":1}}'}, '--x {"a":{"b":1}}'),
        ("--x {s}", {"s": "http://h:{port}", "port": 8}, "--x http://h:8"),
        ("${HOME} { p } {p:5} {}", {"p": 3}, "${HOME} { p } {p:5} {}"),
        ("${p} ${q}", {"p": 3}, "$3 ${q}"),
        ("{max-num-seqs} {a.b}", {"max-num-seqs": 3, "a.b": 4}, "3 4"),
        ("a {e} b {x} {X}", {"e": "", "x": 1, "X": 2}, "a  b 1 2"),
    ],
)
def test_as_sparkrun_renders(template: str, values: dict[str, object], rendered: str) -> None:
    assert render.substitute(template, values) == (rendered, [])


@pytest.mark.parametrize("value", ['{"n":{p}}', '{{"n":{p}}}'])
def test_inside_the_braces_of_a_value_nothing_is_replaced(value: str) -> None:
    """As in sparkrun 0.4.2, which sends the engine `{p}`; here it is an error, since no engine wants that."""
    assert render.substitute("--x {s} {p}", {"s": value, "p": 3}) == ('--x {"n":{p}} 3', ["p"])
    defaults = f"defaults:\n  p: 3\n  s: '{value}'\n"
    recipe = loads(f"model: org/m\nruntime: vllm\n{defaults}command: vllm serve --x '{{s}}'\n", "x.yaml")
    with pytest.raises(RecipeError) as caught:
        render.command(recipe, render.namespace(recipe))
    assert caught.value.message == "x.yaml:5: {p} is not filled in: it stands in the braces of the value of 's'"


@pytest.mark.parametrize("value", ["x{p}", "{q}"])
def test_a_value_that_holds_itself_is_named(value: str) -> None:
    text = f"model: org/m\nruntime: vllm\ndefaults:\n  q: '{{p}} {{p}}'\n  p: '{value}'\ncommand: vllm serve {{p}}\n"
    recipe = loads(text, "x.yaml")
    with pytest.raises(RecipeError, match=r"^x.yaml:5: the value of 'p' holds itself\nHint: write out what it is$"):
        render.command(recipe, render.namespace(recipe))


def test_a_value_that_holds_itself_ends() -> None:
    assert render.substitute("{a}", {"a": "x{a}"}) == ("x" * 10 + "{a}", ["a"])


def test_mappings_become_json() -> None:
    assert render.substitute("{s}", {"s": {"method": "mtp", "n": [1, True]}})[0] == '{"method":"mtp","n":[1,true]}'


@given(
    st.text(alphabet=st.characters(blacklist_characters="{}", blacklist_categories=["Cs", "Co"])),
    st.text(alphabet="ab{}\"':, 1"),
)
def test_text_without_known_names_stays_as_it_is(plain: str, braces: str) -> None:
    assert render.substitute(plain, {"known": 1})[0] == plain
    if "{{" not in braces:
        assert render.substitute(braces, {"known": 1})[0] == braces


RECIPE = """\
model: org/m
runtime: vllm
defaults:
  max_model_len: 8
command: |
  vllm serve {model} \\
    --port ${PORT} \\
    --max-model-len {max_modl_len}
"""


def test_a_placeholder_without_a_value_is_an_error_with_its_line() -> None:
    recipe = loads(RECIPE, "recipes/x.yaml")
    with pytest.raises(RecipeError) as caught:
        render.command(recipe, render.namespace(recipe))
    assert str(caught.value) == (
        "recipes/x.yaml:8: the command's {max_modl_len} has no value\n"
        "Hint: did you mean 'max_model_len'? Known: max_model_len, model, resolved_model_path"
    )


def test_an_empty_default_is_no_value() -> None:
    recipe = loads("model: org/m\ndefaults:\n  zork:\ncommand: vllm serve {zork}\n", "x.yaml")
    with pytest.raises(RecipeError, match=r"^x.yaml:4: the command's {zork} has no value"):
        render.command(recipe, render.namespace(recipe))


def test_no_command() -> None:
    recipe = loads("model: org/m\n", "x.yaml")
    with pytest.raises(RecipeError, match="the recipe has no command"):
        render.command(recipe, render.namespace(recipe))


def test_blanks_after_a_backslash_still_continue_the_line() -> None:
    recipe = loads('model: m\ncommand: "a \\\\  \\n  b \\\\\\n c \\\\"\n', "x.yaml")
    text = render.command(recipe, {})
    assert text == "a \\\n  b \\\n c \\"
    assert render.words(text) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a \\\n  b", ["a", "b"]),
        ('a \'x\\\ny\' "q\\"r"', ["a", "x\\\ny", 'q"r']),
        ('a \'{"x": [1,2], "y": "$z"}\' \\', ["a", '{"x": [1,2], "y": "$z"}']),
        ("a#b c", ["a#b", "c"]),
        ("a \\$x", ["a", "$x"]),
        ("a '' b", ["a", "", "b"]),
    ],
)
def test_plain_commands_need_no_shell(text: str, words: list[str]) -> None:
    assert render.words(text) == words


@pytest.mark.parametrize(
    "text",
    [
        "a && b",
        "a; b",
        "a | b",
        "a > f",
        "FOO=1 a",
        'a "$X"',
        "a $(b)",
        "a `b`",
        "a # why",
        "# why\na",
        "a\nb",
        "export A=1",
        "a ~/x",
        "a *.gguf",
        "a 'b",
    ],
)
def test_what_only_a_shell_understands(text: str) -> None:
    assert render.words(text) is None


WORD = st.text(alphabet="abc 'x\"\\=/-_.{}:,[]1", min_size=1, max_size=8)


@given(st.lists(WORD, min_size=1, max_size=5))
def test_words_survive_quoting(words: list[str]) -> None:
    assert render.words("run " + shlex.join(words)) == ["run", *words]


@pytest.mark.parametrize(
    "text", ["printf '%s|' a\\ b 'c d' \"e\\\"f\" --x='{\"y\": [1, 2]}' g\\\nh \\\n  i", "printf '%s|' '' \"\" a''b {x:1}"]
)
def test_words_are_bash_words(text: str) -> None:
    words = render.words(text)
    assert words is not None
    run = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True)
    assert "".join(f"{word}|" for word in words[2:]) == run.stdout
