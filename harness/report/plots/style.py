"""How pictures look: colours by name, light and dark, and the rules that use them.

Curves (`s`) and tones (`t`, lighter to darker) were chosen to stay apart for eyes that lack one kind of cone: a test holds them to it.
"""

from __future__ import annotations

import re

from harness.report.plots import frame

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1c2024",
    "soft": "#60646c",
    "grid": "#e4e6ea",
    "s0": "#5f7edf",
    "s1": "#f05334",
    "s2": "#0c7365",
    "s3": "#5427ec",
    "s4": "#634919",
    "s5": "#e343a8",
    "s6": "#518219",
    "s7": "#1a1642",
    "t0": "#c58200",
    "t1": "#951e07",
    "t2": "#6d2c39",
    "t3": "#5401a3",
    "t4": "#060e3c",
    "tu": "#8b8d98",
}
DARK = {
    "paper": "#16181d",
    "ink": "#eceef2",
    "soft": "#a4a9b3",
    "grid": "#2c3038",
    "s0": "#92b8fc",
    "s1": "#f79221",
    "s2": "#6eebec",
    "s3": "#9671f4",
    "s4": "#bdab6c",
    "s5": "#a06167",
    "s6": "#dafccd",
    "s7": "#17799f",
    "t0": "#e5c37c",
    "t1": "#d07705",
    "t2": "#c93440",
    "t3": "#994eae",
    "t4": "#0663fa",
    "tu": "#8b8d98",
}
RULES = """
.plot{font:12px system-ui,sans-serif;max-width:100%;height:auto;background:var(--paper)}
.plot text{fill:var(--ink)}.plot .tick{fill:var(--soft);font-size:11px}.plot .axis{fill:var(--soft)}.plot .name{font-size:11px}
.plot .grid{stroke:var(--grid);stroke-width:1}.plot .interval{stroke:var(--soft);stroke-width:1.2;opacity:.7}
.plot .rule{stroke:var(--soft);stroke-dasharray:4 3}.plot .bar{fill:var(--s0);opacity:.8}
.plot .dot{stroke:var(--paper);stroke-width:1.2;fill-opacity:.9}.plot .hollow{fill-opacity:.25;stroke-width:1.8}
.plot .line{fill:none;stroke-width:2;stroke-linejoin:round}.plot .line.dashed{stroke-dasharray:5 3}
.plot .band{opacity:.15;stroke:none}.plot .point{stroke:var(--paper)}
.plot .paper{fill:var(--paper)}.plot .lane{fill:none;stroke:var(--grid);stroke-width:1.5}
.plot .well{fill:var(--s0)}.plot .lost{fill:var(--s1)}
.plot .limit{fill:var(--ink)}.plot .fault{fill:none;stroke:var(--ink);stroke-width:1.6}
.plot .mark:hover rect,.plot .mark:focus rect{stroke:var(--ink);stroke-width:1.5}
.plot .mark:focus{outline:none}.plot .mark:focus circle,.plot a:focus circle,.plot .mark:hover circle{stroke:var(--ink);stroke-width:2}
""" + "".join(
    [
        f".plot .line.s{n}{{stroke:var(--s{n})}}.plot .point.s{n}{{fill:var(--s{n})}}.plot .band.s{n}{{fill:var(--s{n})}}\n"
        for n in range(8)
    ]
    + [
        f".plot .dot.{t}{{fill:var(--{t})}}.plot .hollow.{t}{{stroke:var(--{t})}}\n"
        for t in ("t0", "t1", "t2", "t3", "t4", "tu")
    ]
)


def variables(colors: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colors.items())


def alone(picture: str, *, dark: bool | None = None) -> str:
    """The same as a file of its own. `dark` None: as its reader's screen is, for readers that know CSS variables."""
    if dark is None:
        rules = f":root{{{variables(LIGHT)}}}@media(prefers-color-scheme:dark){{:root{{{variables(DARK)}}}}}{RULES}"
    else:
        colors = DARK if dark else LIGHT
        rules = re.sub(r"var\(--(\w+)\)", lambda match: colors[match[1]], RULES)
    head, body = picture.split(">", 1)
    wide, high = frame.size(picture)
    paper = '<rect class="paper" width="100%" height="100%"/>'  # some that draw SVG know no background of it
    return f'{head} width="{wide:g}" height="{high:g}"><style>{rules}</style>{paper}{body}\n'
