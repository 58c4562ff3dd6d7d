"""How the page looks, by day, by night and on a phone, and the few lines that sort and filter its tables."""

from __future__ import annotations

STYLE = """
:root { --ink: #1d2939; --soft: #5d6b82; --line: #e4e7ec; --blue: #0072b2; --paper: #f7f8fa; --card: #fff;
  --warm: #d55e00; color-scheme: light dark; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ef; --soft: #a3adbd; --line: #343b47; --blue: #6cb8e8; --paper: #14171c; --card: #1d2128;
    --warm: #ff9a4d; }
  figure img { filter: invert(.885) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif; }
main { max-width: 56rem; margin: 0 auto; padding: 2.2rem 1.1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 .7rem; }
p { margin: 0 0 .8rem; }
.lead { color: var(--soft); font-size: 1.05rem; }
.note { color: var(--soft); font-size: .92rem; }
.warning { border-left: 4px solid var(--warm); padding-left: .8rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.3rem 1.4rem;
  margin-top: 1.1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .38rem 1.6rem .38rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; font-size: .88rem; }
tbody tr:last-child td { border-bottom: 0; }
.number { text-align: right; white-space: nowrap; }
.scroll { overflow-x: auto; margin-bottom: .8rem; }
.headline td { font-size: 1.15rem; }
.headline td.number { font-weight: 600; }
.row { display: grid; gap: 1rem 1.6rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.of-3 { grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr)); }
figure { margin: 0 0 .6rem; }
figure img { width: 100%; height: auto; display: block; }
.wide { overflow-x: auto; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .3rem; }
a { color: var(--blue); }
.sortable th { cursor: pointer; }
.sortable th:hover, .sortable th:focus-visible { color: var(--ink); }
.sortable th[aria-sort=ascending]::after { content: " ▲"; }
.sortable th[aria-sort=descending]::after { content: " ▼"; }
.sortable tbody tr:hover { background: var(--paper); }
.tall { max-height: 24rem; overflow: auto; }
.tall thead th { position: sticky; top: 0; background: var(--card); }
.filter { font: inherit; color: inherit; background: var(--paper); border: 1px solid var(--line); border-radius: 6px;
  padding: .3rem .6rem; margin-bottom: .6rem; max-width: 100%; }
.chart { width: 100%; min-width: 30rem; height: auto; display: block; font-size: 11px; }
.chart text { fill: var(--soft); }
.chart line { stroke: var(--line); }
.chart .zero { stroke: var(--soft); }
.chart circle { fill: var(--key); fill-opacity: .65; stroke: transparent; stroke-width: 6; }
.chart circle:hover { fill-opacity: 1; stroke: var(--ink); stroke-width: 1.5; }
.colour0 { --key: var(--blue); } .colour1 { --key: var(--warm); } .colour2 { --key: #009e73; }
.colour3 { --key: #aa4499; } .colour4 { --key: #b8860b; } .colour5 { --key: #667085; }
.key { display: inline-block; margin-right: 1rem; }
.key::before { content: ""; display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .35em;
  background: var(--key); }
.molecules { display: flex; flex-wrap: wrap; gap: .4rem 1.4rem; margin: .2rem 0 .6rem; }
.molecules figure { width: 7.5rem; text-align: center; }
.molecules svg { width: 100%; height: auto; }
.molecules line { stroke: var(--soft); stroke-width: .16; }
.molecules circle { stroke: var(--soft); stroke-width: .04; }
code { font-size: .92em; }
ul { margin: 0 0 .8rem; padding-left: 1.2rem; }
details { margin-top: .6rem; }
summary { cursor: pointer; color: var(--blue); margin-bottom: .5rem; }
.bar { display: inline-block; width: 10rem; height: .6rem; background: var(--line); border-radius: .3rem;
  overflow: hidden; }
.bar span { display: block; height: 100%; background: var(--blue); }
@media (max-width: 40rem) {
  main { padding: 1.3rem .6rem 3rem; }
  section { padding: 1rem .9rem; }
  th, td { padding-right: .9rem; }
  .bar { width: 5rem; }
}
@media print {
  .filter { display: none; }
  .tall { max-height: none; }
  body { background: #fff; }
  section { break-inside: avoid; border: 0; padding: 0; }
}
"""

SCRIPT = """
const digits = "⁰¹²³⁴⁵⁶⁷⁸⁹";
function valueOf(cell) {
  const plain = cell.textContent.trim().replace(/[\\u202f\\s]/g, "").replace("−", "-").replace("⁻", "-")
    .replace(/[⁰¹²³⁴⁵⁶⁷⁸⁹]/g, (c) => digits.indexOf(c)).replace("×10", "e");
  const number = parseFloat(plain);
  return Number.isNaN(number) ? cell.textContent.trim() : number;
}
function sortBy(table, head, column) {
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows].map((row) => [valueOf(row.cells[column]), row]);
  const order = (a, b) => typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
  rows.sort((a, b) => (up ? 1 : -1) * order(a[0], b[0]));
  table.tBodies[0].append(...rows.map((pair) => pair[1]));
}
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.tabIndex = 0;
    head.title = "sort";
    head.addEventListener("click", () => sortBy(table, head, column));
    head.addEventListener("keydown", (event) => { if (event.key === "Enter") sortBy(table, head, column); });
  });
  if (table.tBodies[0].rows.length < 15) continue;
  const filter = document.createElement("input");
  Object.assign(filter, { className: "filter", placeholder: "show rows with …" });
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase();
    for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(words);
  });
  table.parentElement.before(filter);
}
"""
