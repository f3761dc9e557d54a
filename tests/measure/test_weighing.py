"""Whose memory a model is held against."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.instruments import Instruments
from harness.measuring import Run
from harness.order import Now, Order
from harness.recipe import load
from harness.recipe.cells import GridOverrides
from harness.sense.sampler import Sampler
from harness.store.folder import ResultFolder
from tests.measure.test_health import GB10

RECIPE = """\
recipe_version: "2"
name: somewhere
model: somebody/Model-7B
runtime: openai
metadata: {model_params: 7B, model_dtype: bf16}
"""


class Silent:
    def say(self, text: str) -> None: ...
    def now(self, now: Now) -> None: ...


@pytest.mark.parametrize(("here", "known"), [(True, True), (False, False)])
def test_a_server_elsewhere_does_not_read_this_machines_memory(tmp_path: Path, here: bool, known: bool) -> None:
    """Else its speed would be held against the bandwidth of the machine that the client runs on."""
    order = Order(
        recipe=load.loads(RECIPE, "somewhere.yaml"),
        machine=GB10,
        overrides={},
        profile=None,
        grid=GridOverrides(),
        seed=0,
        driver_cpus=None,
        url="http://10.1.2.3:8000",
        served_model=None,
        api_key=None,
        environment={},
    )
    plan = order.plan()
    folder = ResultFolder.create(tmp_path, plan.recipe_name, order.recipe.text, plan)
    run = Run(order, plan, folder, Silent(), Instruments(Sampler(()), GB10, here=here), tmp_path)
    weights, reason = run.weigh()
    assert (weights is not None, bool(reason)) == (known, not known)
