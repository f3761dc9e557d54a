"""What is concluded from readings trial by trial, and from a canary's answers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

import msgspec
import psutil

from harness import clock
from harness.instruments import Instruments
from harness.schema.health import Health
from harness.schema.sensors import GPU, HOST, METER, WALL, Absent, Sample
from harness.sense.sampler import Sampler
from harness.units import NS_PER_S
from tests.measure.test_health import GB10, TRIAL, elsewhere, samples

NOBODY = next(pid for pid in range(4_194_000, 0, -1) if not psutil.pid_exists(pid))


def instruments(*, here: bool = True) -> Instruments:
    """Without sensors: what they read is given."""
    return Instruments(Sampler(()), GB10, here=here)


def judged(ours: set[int] | None, *trials: Sequence[Sample], before: Sequence[Sample] = ()) -> Health:
    found = instruments()
    for index, around in enumerate(trials):
        found.around = list(around)
        found.judge(msgspec.structs.replace(TRIAL, index=index), ours)
    return found.health((), {})


def test_a_machine_that_was_never_looked_at_is_not_healthy() -> None:
    assert (judged({4711}).verdict, judged({4711}).unseen) == ("unknown", ("the machine under load",))
    assert judged({4711}, samples({})).verdict == "healthy"


def test_a_sensor_that_is_lost_on_the_way() -> None:
    found = judged({4711}, samples({}), samples({"gpu0.clock": None}), samples({}))
    assert (found.verdict, found.unseen) == ("unknown", ("the GPU's clock",))
    lost = [sample for sample in samples({}) if sample.name != "gpu0.power" or sample.t_ns < 18 * NS_PER_S]
    assert judged({4711}, lost).unseen == ("its power",), "during a trial"


def test_a_kernel_log_that_may_not_be_read() -> None:
    """On a machine with a GPU: out of memory is said nowhere else."""
    unread = [Absent(source="kernel_log", scope="host", code="no_permission", text="may not be read")]
    found = instruments()
    found.around = samples({})
    found.judge(TRIAL, {4711})
    assert found.health((), {}).verdict == "healthy"
    assert (found.health((), {}, unread).verdict, found.health((), {}, unread).unseen) == ("unknown", ("the kernel's log",))
    found.machine = msgspec.structs.replace(GB10, gpus=())
    assert found.health((), {}, unread).verdict == "healthy"


def test_a_server_elsewhere() -> None:
    found = instruments(here=False)
    found.around = elsewhere({})
    found.judge(TRIAL, None)
    assert found.health((), {}).unseen == ("the machine that the server runs on",)


def test_a_server_that_is_only_in_part_here() -> None:
    found = Instruments(Sampler(()), GB10, here=True, others=["spark-2"])
    found.around = samples({})
    found.judge(TRIAL, None)
    assert (found.health((), {}).verdict, found.health((), {}).unseen) == ("unknown", ("the whole of spark-2",))


class Says:
    """A source that always says the same."""

    period_s, alone = 0.1, False
    absent: tuple[Absent, ...] = ()

    def __init__(self, name: str, scope: str, reading: str) -> None:
        self.name, self._scope, self._reading = name, scope, reading

    def read(self) -> list[Sample]:
        return [Sample(clock.now(), self.name, self._scope, self._reading, 50.0, "W")]

    def close(self) -> None:
        pass


def shown(*sources: Says) -> dict[str, float]:
    with Sampler(sources) as sampler:
        clock.sleep(0.3)
        return Instruments(sampler, GB10, here=True).watts()


def test_live_watts() -> None:
    one, two = Says("nvml@spark-1", GPU, "gpu0.power"), Says("nvml@spark-2", GPU, "gpu0.power")
    plug, memory = Says(METER, WALL, "plug.power"), Says("memory@spark-2", HOST, "memory.available")
    assert shown(one, two, plug) == {GPU: 100.0, WALL: 50.0}, "a meter is of no machine"
    assert shown(one, memory) == {}, "one has none"


def test_processes_of_others() -> None:
    us = os.getpid()
    shared = samples({"gpu0.process_4711": None, f"gpu0.process_{us}": 1.0, f"gpu0.process_{NOBODY}": 1.0})
    assert [reason.code for reason in judged({us}, shared).reasons] == ["foreign_process"], "it may have ended since"
    alone = samples({"gpu0.process_4711": None, f"gpu0.process_{us}": 1.0})
    assert judged({us}, alone).reasons == ()
    assert [reason.code for reason in judged({us + 1}, alone).reasons] == ["foreign_process"]
    assert judged({us}, elsewhere({})).reasons == (), "numbers of another host's processes"


def test_in_a_container_the_driver_gives_numbers_of_the_host() -> None:
    """None of which is there, and none of which is ours: they may well be the server's."""
    assert judged({os.getpid()}, samples({"gpu0.process_4711": None, f"gpu0.process_{NOBODY}": 1.0})).reasons == ()


class TestCanary:
    @staticmethod
    def sung(*runs: Sequence[float | None]) -> tuple[list[float | None], list[int]]:
        """Milliseconds of each canary, and how often its request was sent. `runs`: what would be answered."""
        found, asked = instruments(), []
        for answers in runs:
            left = list(answers)
            found.sing(partial(left.pop, 0), resting=False)
            asked.append(len(answers) - len(left))
        return [each.request_ms for each in found.canaries], asked

    def test_the_first_is_the_quickest_of_three(self) -> None:
        assert self.sung([40.0, 26.5, 26.0, 1.0]) == ([26.0], [3])

    def test_a_hiccup_is_asked_again(self) -> None:
        """36 ms in one of 24 tokens' answers were enough for `slow_state`."""
        assert self.sung([5.2, 5.3, 5.2], [5.4, 1.0], [6.7, 5.3, 1.0]) == ([5.2, 5.4, 5.3], [3, 1, 2])

    def test_a_state_that_lasts_stays(self) -> None:
        assert self.sung([63.0] * 3, [94.0, 93.0, 95.0]) == ([63.0, 93.0], [3, 3])

    def test_a_server_that_does_not_answer_is_asked_once(self) -> None:
        assert self.sung([None, 1.0], [None, 1.0]) == ([None, None], [1, 1])
        assert self.sung([5.0, None, 1.0]) == ([5.0], [2])
