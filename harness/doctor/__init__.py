"""Whether this machine can run benchmarks, and a certain recipe, and whether its figures will be those of a sound machine.

Only looks: nothing on the machine is changed. Every command has a time limit; what each check rests on is in `docs/doctor.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.doctor import around, containers, needs, senses, software
from harness.doctor.patient import Patient
from harness.doctor.software import require_answer
from harness.schema.doctor import Check
from harness.sense.base import Source

__all__ = ["Patient", "examine", "require_answer"]


def examine(patient: Patient, sources: Sequence[Source]) -> Iterator[Check]:
    """One check after the other, as they are done: about five seconds in all. `sources` is all that a run would read; they are closed."""
    yield from software.look(patient)
    yield from containers.look(patient)
    yield from needs.look(patient)
    yield from senses.look(patient, sources)
    yield from around.look(patient)
