"""What facts say of the framework's criteria: one row for each inference, with its reason. A fact narrows a criterion's answers to a span
of its ladder (`harness facts show criteria/csf/2.2` has the points), and says nothing where no row has its value.

Retention, training on data and the option of zero retention are in no row: they stand beside the score as they are. A promise to keep
nothing is no proof of erasure, which is what the framework asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Value = str | bool
Span = tuple[int, int]
IN, OUT, SOME = "in the EU", "outside the EU", "some"


class Rule(NamedTuple):
    criterion: str
    columns: tuple[str, ...]
    """Facts, all of which must be known."""
    spans: Mapping[tuple[Value, ...], Span]
    """First and last possible answer, counted from 0, by the facts' values."""
    why: str


SEAT_LAW = Rule(
    "2.2",
    ("seat",),
    {(OUT,): (0, 2)},
    "who sits outside is under that country's law; a subsidiary in the EU with clauses is the most it can offer",
)
SEAT_ACCESS = Rule(
    "2.3", ("seat",), {(OUT,): (0, 3)}, "authorities where it sits can compel it, so requests are not always rejected"
)

PROVIDER = (
    Rule("1.1", ("seat",), {(IN,): (2, 3), (OUT,): (0, 1)}, "the last word is where the parent company sits"),
    Rule("2.1", ("seat",), {(IN,): (1, 2), (OUT,): (0, 1)}, "its operations are under the law of its seat"),
    Rule("2.1", ("contract_eu",), {(True,): (1, 2), (False,): (0, 1)}, "the law that a customer in the EU contracts under"),
    Rule("2.1", ("seat", "contract_eu"), {(OUT, False): (0, 0)}, "neither operations nor contract are under EU law"),
    SEAT_LAW,
    Rule(
        "2.2",
        ("cloud_act",),
        {("direct",): (0, 2), ("indirect",): (0, 3)},
        "exposed to the CLOUD Act itself, or by its processors: then no immunity is verified. That there is no such exposure says "
        "nothing of other laws",
    ),
    SEAT_ACCESS,
    Rule(
        "2.3",
        ("cloud_act",),
        {("direct",): (0, 3), ("indirect",): (0, 3)},
        "18 U.S.C. 2713 compels it, or a processor of its, wherever the data are",
    ),
    Rule(
        "3.4",
        ("residency_eu",),
        {("yes",): (3, 4), ("option",): (1, 4), ("no",): (0, 2)},
        "in the EU by default; only if it is chosen; or it cannot be confined",
    ),
    Rule(
        "3.5",
        ("weights_self_hostable",),
        {("yes",): (2, 4)},
        "models whose weights are published can be looked into and run elsewhere",
    ),
    Rule(
        "3.5",
        ("seat", "weights_self_hostable"),
        {(OUT, "no"): (0, 1)},
        "closed models of a company outside: a black box, or licensed",
    ),
    Rule("4.1", ("weights_self_hostable",), {("yes",): (2, 4)}, "the same model can be run elsewhere"),
    Rule(
        "6.3",
        ("weights_self_hostable",),
        {("yes",): (1, 3), ("no",): (0, 1)},
        "published weights may be audited and redistributed, but the service around them is not open; closed ones may not",
    ),
    Rule("7.1", ("certifications",), {(SOME,): (1, 4)}, "certified at all; SOC 2 and ISO 27001 are no level of this ladder"),
    Rule(
        "7.2",
        ("dpa",),
        {(SOME,): (1, 4)},
        "a data processing agreement is basic practice; that all is complied with is not shown",
    ),
)
"""Of an API."""

LOCAL = (
    Rule("1.1", ("seat",), {(IN,): (3, 3), (OUT,): (0, 0)}, "nobody but the machine's owner decides over it"),
    Rule(
        "1.8",
        ("leaves",),
        {("no",): (3, 4)},
        "it ran without a connection to anybody: nobody can end it; parts and firmware are still somebody else's",
    ),
    Rule("2.1", ("seat",), {(IN,): (1, 2), (OUT,): (0, 1)}, "the owner's law; licences of parts are under others'"),
    SEAT_LAW,
    Rule(
        "2.2",
        ("seat", "leaves"),
        {(IN, "no"): (3, 4)},
        "no provider has the data who could be compelled; that no law reaches the owner is not verified",
    ),
    SEAT_ACCESS,
    Rule("2.3", ("seat", "leaves"), {(IN, "no"): (3, 4)}, "nobody outside has a way to it, as far as was seen"),
    Rule("3.1", ("leaves",), {("no",): (4, 4)}, "no provider has the data, and so none has a key"),
    Rule(
        "3.4",
        ("seat", "leaves"),
        {(IN, "no"): (4, 4), (IN, "yes"): (0, 3), (OUT, "no"): (0, 1), (OUT, "yes"): (0, 1)},
        "the machine stands at its owner's seat, and whether data left it was measured",
    ),
    Rule("3.5", ("weights",), {(True,): (2, 4)}, "the model's weights are here, and may be looked into"),
    Rule("3.5", ("chip_seat",), {(OUT,): (0, 3)}, "its accelerator is foreign"),
    Rule("3.5", ("weights", "model_seat"), {(True, IN): (3, 4), (True, OUT): (2, 2)}, "by where the model was made"),
    Rule("4.1", ("weights",), {(True,): (2, 4)}, "the same model can be run elsewhere"),
    Rule("4.2", ("seat",), {(IN,): (2, 4), (OUT,): (0, 1)}, "its owner runs it; drivers and firmware are the maker's"),
    Rule("4.6", ("leaves",), {("no",): (3, 4)}, "no subcontractor took part in the run"),
    Rule("5.1", ("chip_seat",), {(OUT,): (0, 3)}, "no certificate of the EU for parts from outside"),
    Rule("5.2", ("made_in_eu",), {(False,): (0, 1)}, "its chips are made outside, and no right to audit that is known"),
    Rule("5.3", ("chip_seat",), {(OUT,): (0, 3)}, "no certificate of the EU for the maker's firmware"),
    Rule(
        "5.4",
        ("chip_seat", "chip_software_open"),
        {(OUT, False): (0, 1)},
        "what every computation goes through is closed and from outside",
    ),
    Rule("5.6", ("chip_seat",), {(OUT,): (0, 2)}, "one maker from outside, in what is critical"),
    Rule("6.1", ("interface",), {("chat completions",): (2, 3)}, "documented and widely spoken, but one vendor's design"),
    Rule("6.3", ("engine_open",), {(True,): (1, 4)}, "the engine is open source"),
    Rule("6.3", ("chip_software_open",), {(False,): (0, 3)}, "the chip's own software is not"),
    Rule("6.4", ("engine_open",), {(True,): (2, 4)}, "the engine's design is public with its code"),
    Rule("6.5", ("chip_seat",), {(OUT,): (0, 1)}, "the whole stack is foreign"),
    Rule("6.5", ("chip_seat", "seat"), {(OUT, IN): (1, 1), (OUT, OUT): (0, 0)}, "a foreign stack, within the EU or not"),
)
"""Of a machine of one's own."""
