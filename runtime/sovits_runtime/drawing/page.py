"""The shell of the HTML reports: one self-contained page, readable by day and by night, on screen and on paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from sovits_runtime.drawing.bar_chart import FONT
from sovits_runtime.machine import Machine

STYLE = f"""
:root {{ color-scheme: light dark; --ink: #0f172a; --soft: #475569; --line: #e2e8f0; --page: #f8fafc;
  --card: #ffffff; --good: #15803d; --good-page: #dcfce7; --bad: #b91c1c; --bad-page: #fee2e2; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e2e8f0; --soft: #94a3b8; --line: #334155; --page: #0b1220; --card: #131c2e;
    --good: #4ade80; --good-page: #052e16; --bad: #fca5a5; --bad-page: #450a0a; }}
  figure svg {{ filter: brightness(.92); }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: var(--page); color: var(--ink); font: 15px/1.55 {FONT}; }}
main {{ max-width: 1040px; margin: 0 auto; padding: 32px 20px 64px; }}
h1 {{ font-size: 26px; line-height: 1.25; margin: 0 0 6px; }}
h2 {{ font-size: 18px; margin: 40px 0 12px; }}
p {{ margin: 0 0 10px; }}
.soft {{ color: var(--soft); }}
.verdict {{ border-radius: 12px; padding: 22px 24px; border: 1px solid var(--line); background: var(--card);
  border-left: 8px solid var(--soft); }}
.verdict.good {{ border-left-color: var(--good); }}
.verdict.bad {{ border-left-color: var(--bad); }}
.verdict p:last-child {{ margin-bottom: 0; }}
.card {{ border: 1px solid var(--line); border-radius: 12px; background: var(--card); overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }}
th, td {{ text-align: left; padding: 9px 14px; border-top: 1px solid var(--line); vertical-align: top; }}
thead th {{ border-top: 0; font-size: 13px; color: var(--soft); font-weight: 600; white-space: nowrap; }}
tbody th {{ font-weight: 600; min-width: 14em; }}
td.number, th.number {{ text-align: right; white-space: nowrap; }}
td small, th small {{ display: block; color: var(--soft); font-weight: 400; font-size: 13px; }}
table.facts th {{ width: 11em; min-width: 0; color: var(--soft); font-weight: 400; }}
table.facts td {{ overflow-wrap: anywhere; }}
table.facts tr:first-child > * {{ border-top: 0; }}
.pill {{ display: inline-block; border-radius: 999px; padding: 1px 11px; font-size: 13px; font-weight: 600; }}
.pill.good {{ color: var(--good); background: var(--good-page); }}
.pill.bad {{ color: var(--bad); background: var(--bad-page); }}
.pair {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 16px; }}
.pair .card {{ padding: 16px; }}
audio {{ width: 100%; display: block; }}
figure {{ margin: 0 0 16px; }}
figure svg {{ display: block; border-radius: 8px; border: 1px solid var(--line); }}
figcaption {{ color: var(--soft); font-size: 13px; margin-top: 6px; }}
@media print {{ body {{ background: #fff; }} h2, figure, tr {{ break-inside: avoid; }} audio {{ display: none; }} }}
"""


def page(title: str, body: str) -> str:
    """Returns a whole HTML document; `body` is HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """Returns a table whose first column heads its rows.

    Args:
        heads: Text of the heads.
        rows: HTML of the cells.
        numbers: Columns that are set to the right.
    """

    def cell(tag: str, i: int, content: str) -> str:
        style = ' class="number"' if i in numbers else ""
        return f"<{tag}{style}>{content}</{tag}>"

    head = "".join(cell("th", i, escape(h)) for i, h in enumerate(heads))
    lines = ("".join(cell("td" if i else "th", i, content) for i, content in enumerate(row)) for row in rows)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="card"><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'


def facts(rows: Mapping[str, str]) -> str:
    """Returns a table of names and values, both text."""
    lines = (f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items())
    return f'<div class="card"><table class="facts">{"".join(lines)}</table></div>'


def machine_facts(machine: Machine) -> dict[str, str]:
    """Describes the machine in the rows of `facts`."""
    memory = f", {machine.memory_bytes / 2**30:.1f} GiB of memory" if machine.memory_bytes else ""
    cores = f"{machine.usable_cores} of {machine.logical_cores} logical cores usable"
    return {
        "Processor": f"{machine.cpu}, {cores}{memory}",
        "Features": ", ".join(machine.features) or "none known",
        "System": machine.system,
    }


def versions_line(versions: Mapping[str, str]) -> str:
    """Returns names and versions as one line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())
