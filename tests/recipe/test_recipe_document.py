"""YAML with line numbers: what it keeps, and that bad or hostile text is a two-line error."""

from __future__ import annotations

import json

import pytest

from harness.errors import RecipeError
from harness.recipe.document import MAX_BYTES, Document


def refused(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        Document(text, "x.yaml")
    message, hint = str(caught.value).splitlines()
    assert hint.startswith("Hint: ")
    return message


def test_every_value_knows_its_line() -> None:
    document = Document("a: 1\nb:\n  c:\n    - x\n    - y\n  d: |\n    one\n    two\ne: {f: 2}\n", "x.yaml")
    assert document.value == {"a": 1, "b": {"c": ["x", "y"], "d": "one\ntwo\n"}, "e": {"f": 2}}
    lines = {("a",): 1, ("b",): 2, ("b", "c"): 3, ("b", "c", 1): 5, ("b", "d"): 6, ("e", "f"): 9}
    assert {where: document.line(*where) for where in lines} == lines
    assert document.line("b", "unknown", "deeper") == 2
    assert document.line("nowhere") == 1
    assert document.line(*document.find("b", "two")) == 8


def test_a_word_is_not_found_within_another() -> None:
    document = Document("command: |\n  x --tp-size 1 \\\n  --my-tp 2 --tp.x \\\n  '--tp=3'\n", "x.yaml")
    assert document.line(*document.find("command", "--tp", word=True)) == 4
    assert document.line(*document.find("command", "--tp")) == 2


def test_dates_stay_text_and_the_rest_is_yaml_as_sparkrun_reads_it() -> None:
    assert Document("a: 2026-04-29\nb: yes\nc: 0.70\nd: ~\ne: '1'\nf: 1e3\n", "x").value == {
        "a": "2026-04-29",
        "b": True,
        "c": 0.7,
        "d": None,
        "e": "1",
        "f": "1e3",
    }


def test_windows_line_ends() -> None:
    document = Document("a: 1\r\ncommand: |\r\n  x \\\r\n    y\r\n", "x.yaml")
    assert document.value == {"a": 1, "command": "x \\\n  y\n"}
    assert document.line("command") == 2


def test_the_last_of_two_equal_keys_wins_and_is_remembered() -> None:
    document = Document("container: a\nmodel: m\ncontainer: b\n", "x.yaml")
    assert document.value == {"container": "b", "model": "m"}
    assert document.repeated == [(("container",), 3)]


def test_merge_keys() -> None:
    document = Document("base: &base {x: 1, y: 2}\nmore:\n  <<: *base\n  y: 3\n", "x.yaml")
    assert document.value["more"] == {"x": 1, "y": 3}
    assert document.repeated == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c\n", "x.yaml:1: not valid YAML: mapping values are not allowed here"),
        (
            "a: 1\nb: [1,\n",
            "x.yaml:3: not valid YAML: while parsing a flow node, expected the node content, but found '<stream end>'",
        ),
        (
            "a:\n\t- b\n",
            "x.yaml:2: not valid YAML: while scanning for the next token, found character '\\t' that cannot start any token",
        ),
        ("a: 1\nb: !!python/object:os.system x\n", "x.yaml:2: the YAML tag !!python/object:os.system is not used in recipes"),
        ("a: 1\nb: !thing {}\n", "x.yaml:2: the YAML tag !thing is not used in recipes"),
        ("a: 1\n{b}: 2\n", "x.yaml:2: a key is not plain text"),
        ("a: 1\nb: \x07\n", "x.yaml:2: not valid YAML: special characters are not allowed"),
        ('a: 1\nb: "\\e[2J"\n', "x.yaml:2: a control character, '\\x1b'"),
        ('a: 1\nb: ["\\0"]\n', "x.yaml:2: a control character, '\\x00'"),
        ('a: "\\ud800"\n', "x.yaml:1: a control character, '\\ud800'"),
        ('a: 1\n"\\u202e": 2\n', "x.yaml:2: a control character, '\\u202e'"),
        ("a: " + "9" * 5000, "x.yaml:1: not a usable number: " + "9" * 40),
        ("a: 1\nb: *nobody\n", "x.yaml:2: not valid YAML: found undefined alias 'nobody'"),
        (
            "a: 1\n--- \nb: 2\n",
            "x.yaml:2: not valid YAML: expected a single document in the stream, but found another document",
        ),
    ],
)
def test_bad_yaml(text: str, message: str) -> None:
    assert refused(text) == message


def test_people_write_more_than_letters() -> None:
    said = "\ttab, line\n, \xa0, 日本, 👩‍💻, é"
    assert Document(f"a: {json.dumps(said, ensure_ascii=False)}\n", "x.yaml").value == {"a": said}


def test_tabs_get_their_own_hint() -> None:
    with pytest.raises(RecipeError, match="indent with spaces, not tabs"):
        Document("a:\n\t- b\n", "x.yaml")


def test_hostile_text_is_refused_in_bounded_time() -> None:
    hundred = f"a: &a [{', '.join(['x'] * 100)}]\nb: "
    assert len(Document(f"{hundred}[{', '.join(['*a'] * 190)}]\n", "x.yaml").value["b"]) == 190
    assert "too many values" in refused(f"{hundred}[{', '.join(['*a'] * 210)}]\n")
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
    assert "too many values" in refused(bomb)
    merges = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n}\n  <<: [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    assert "too many values" in refused(merges)
    assert "too many values" in refused("a: &a [*a]\n")
    assert "nested too deeply" in refused("[" * 5000)
    assert refused("a: " + "x" * MAX_BYTES) == "x.yaml: larger than 256 KiB"
