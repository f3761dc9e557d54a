"""How pictures look: colours by name, light and dark, and the rules that use them."""

from __future__ import annotations

import re

from harness.report.plots.draw import HEIGHT, WIDTH

LIGHT = {
    "paper": "#ffffff",
    "ink": "#1c2024",
    "soft": "#60646c",
    "grid": "#e4e6ea",
    "s0": "#0a6ebd",
    "s1": "#c2410c",
    "s2": "#0f766e",
    "s3": "#7c3aed",
    "s4": "#a16207",
    "s5": "#be185d",
    "s6": "#4d7c0f",
    "s7": "#475569",
    "t0": "#c2410c",
    "t1": "#d97706",
    "t2": "#a3a300",
    "t3": "#4d9a2a",
    "t4": "#0f766e",
    "tu": "#8b8d98",
}
DARK = {
    "paper": "#16181d",
    "ink": "#eceef2",
    "soft": "#a4a9b3",
    "grid": "#2c3038",
    "s0": "#5eb0ef",
    "s1": "#fb923c",
    "s2": "#2dd4bf",
    "s3": "#b197fc",
    "s4": "#eab308",
    "s5": "#f472b6",
    "s6": "#a3e635",
    "s7": "#94a3b8",
    "t0": "#fb7a45",
    "t1": "#f5a524",
    "t2": "#d4d13a",
    "t3": "#86d15e",
    "t4": "#2dd4bf",
    "tu": "#8b8d98",
}
RULES = """
.plot{font:12px system-ui,sans-serif;max-width:100%;height:auto;background:var(--paper)}
.plot text{fill:var(--ink)}.plot .tick{fill:var(--soft);font-size:11px}.plot .axis{fill:var(--soft)}.plot .name{font-size:11px}
.plot .grid{stroke:var(--grid);stroke-width:1}.plot .interval{stroke:var(--soft);stroke-width:1.2;opacity:.7}
.plot .rule{stroke:var(--soft);stroke-dasharray:4 3}.plot .bar{fill:var(--s0);opacity:.8}
.plot .dot{stroke:var(--paper);stroke-width:1.2;fill-opacity:.9}.plot .hollow{fill-opacity:.25;stroke-width:1.8}
.plot .line{fill:none;stroke-width:2;stroke-linejoin:round}.plot .band{opacity:.15;stroke:none}.plot .point{stroke:var(--paper)}
.plot .mark:focus{outline:none}.plot .mark:focus circle,.plot a:focus circle,.plot .mark:hover circle{stroke:var(--ink);stroke-width:2}
""" + "".join(
    [f".plot .line.s{n}{{stroke:var(--s{n})}}.plot .point.s{n},.plot .band.s{n}{{fill:var(--s{n})}}\n" for n in range(8)]
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
    return f'{head} width="{WIDTH:g}" height="{HEIGHT:g}"><style>{rules}</style>{body}\n'
