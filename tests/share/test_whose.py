"""What is public is what came with the harness, byte for byte; what is this machine's own is read from its files."""

from __future__ import annotations

import getpass
import hashlib
import socket
from pathlib import Path

import msgspec
import psutil
import pytest

from harness import whose
from harness.schema.egress import Connection
from harness.schema.machine import Gpu
from harness.schema.node import Link, Node
from harness.share import grammar
from harness.share.names import IMAGE, MODEL, RECIPE, SERVER
from harness.store import folder
from harness.store.folder import Stored
from tests.share import forger, generated
from tests.share.make_words import PERSONS, ROOT
from tests.share.planted import IDENTIFIERS, OWN

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return folder.read(forger.unpacked(tmp_path / "run"))


def test_the_shipped_recipes_are_those_of_the_project() -> None:
    known = {hashlib.sha256(path.read_bytes()).hexdigest(): path.stem for path in RECIPES}
    assert whose.shipped() == known, "write harness/share/shipped.txt anew: python -m tests.share.make_words"


def test_what_is_public(stored: Stored) -> None:
    found = whose.names(stored, RECIPES, {})
    assert {"openai/gpt-oss-120b", "z-lab/Qwen3.6-35B-A3B-DFlash", "SmolLM2-135M-Instruct-Q4_1"} <= found.public[MODEL]
    assert "smollm2-135m-cpu" in found.public[RECIPE]
    assert "vllm-node-tf5" in found.public[IMAGE]
    assert "https://api.openai.com" in found.public[SERVER]
    assert not [server for server in found.public[SERVER] if "azure" in server or not server[-1].isalpha()]
    assert len(found.recipes) == len(RECIPES)


def test_a_recipe_beside_the_shipped_ones_is_its_owners(stored: Stored, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("model: acme/secret\nname: mine\ncommand: vllm serve {model}\ncontainer: acme/box\n")
    (tmp_path / RECIPES[0].name).write_text(RECIPES[0].read_text() + "# mine\n")
    found = whose.names(stored, [tmp_path / "mine.yaml", tmp_path / RECIPES[0].name, tmp_path / "none.yaml"], {})
    assert found.recipes == found.public[RECIPE] == found.public[IMAGE] == frozenset()
    assert "acme/secret" not in found.public[MODEL]


def test_this_machines_names(tmp_path: Path) -> None:
    host = socket.gethostname()
    for path, text in {
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {host}.acme.example {host} zorg # {host} not\n10.0.0.1 other\n",
        "etc/resolv.conf": "nameserver 10.0.0.1\nsearch acme.internal\n",
        "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
        "sys/class/dmi/id/product_serial": "SN4815XK77Q\n",
        "sys/class/dmi/id/board_serial": "To be filled by O.E.M.\n",
        "sys/class/dmi/id/chassis_serial": "Default string\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    found = whose.own(tmp_path)
    assert {host, f"{host}.acme.example", "zorg", f"{host}.acme.internal", "SN4815XK77Q", getpass.getuser()} <= found
    assert "0123456789abcdef0123456789abcdef" in found
    assert not found & {"", "localhost", "127.0.0.1", "other", "not", "To be filled by O.E.M.", "Default string"}
    addresses = {each.address.partition("%")[0] for known in psutil.net_if_addrs().values() for each in known}
    assert addresses - found <= {"127.0.0.1", "::1", "00:00:00:00:00:00"}


def test_names_that_a_result_tells(stored: Stored) -> None:
    node = msgspec.structs.replace(generated.filled(Node, "10.1.2.3"), host="ann@box2", hostname="box2", home="/home/ann")
    node = msgspec.structs.replace(node, links=(Link(name="x", addresses=("192.168.7.7/24",)),))
    egress = stored.result.egress
    assert egress is not None
    far = msgspec.structs.replace(generated.filled(Connection, "x"), address=IDENTIFIERS["public IPv4"])
    machine = msgspec.structs.replace(
        stored.result.machine, hostname=OWN[0], home=f"/home/{OWN[1]}", gpus=(Gpu(index=0, name="GB10", uuid="GPU-1"),)
    )
    result = msgspec.structs.replace(stored.result, machine=machine, egress=msgspec.structs.replace(egress, connections=(far,)))
    plan = msgspec.structs.replace(stored.plan, nodes=(node,))
    found = set(whose.of_result(msgspec.structs.replace(stored, result=result, plan=plan)))
    assert found == {OWN[0], OWN[1], "GPU-1", "box2", "ann", "10.1.2.3", "192.168.7.7", IDENTIFIERS["public IPv4"]}


def test_words_are_words() -> None:
    assert not grammar.words() & PERSONS
    assert all(word.isascii() and word.isalnum() and word == word.lower() and len(word) > 1 for word in grammar.words())
    assert 3000 < len(grammar.words()) < 6000
