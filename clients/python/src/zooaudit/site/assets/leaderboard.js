// Sorts and filters the leaderboard. A classic script on data in the page: opened from a folder, a browser loads neither
// modules nor other files. What is chosen stands in the address.
"use strict";

const { parts, methods } = JSON.parse(document.getElementById("rows").textContent);
const controls = ["method", "transform", "score", "family", "search"].map((id) => document.getElementById(id));
const [method, transform, score, family, search] = controls;
const table = document.getElementById("leaderboard");
const state = new URLSearchParams(location.hash.slice(1));
let sort = state.get("sort") || "part0";
let descending = state.get("order") !== "up";

/** The columns beside the scores: what a row shows there, and what it is sorted by. */
const FACTS = [
  { key: "model", head: "Model", of: (row) => row.model },
  { key: "family", head: "Family", of: (row) => row.family, aside: true },
  { key: "parameters", head: "Parameters", of: (row) => row.parameters, text: (row) => counted(row.parameters), number: true, aside: true },
  { key: "top1", head: "Top-1 %", of: (row) => row.top1, text: (row) => (row.top1 == null ? "–" : row.top1.toFixed(2)), number: true, aside: true },
];
const counted = (count) => (count < 1e5 ? count.toLocaleString("en") : `${(count / 1e6).toFixed(1)} M`);
const scoreOf = (row, part) => row.scores[part]?.[transform.value]?.[score.value] ?? null;
const COLUMNS = [
  FACTS[0],
  ...parts.map((name, part) => ({ key: `part${part}`, head: name, part, number: true, of: (row) => scoreOf(row, part)?.[0] ?? null })),
  ...FACTS.slice(1),
];

function element(tag, options, ...children) {
  const made = Object.assign(document.createElement(tag), options);
  made.append(...children);
  return made;
}

function fillChoices() {
  methods.forEach(({ label, rows }, index) => method.append(element("option", { value: index }, `${label} (${rows.length})`)));
  for (const control of controls) {
    const wanted = state.get(control.id);
    if (wanted !== null && control !== family) control.value = wanted;
  }
  if (method.selectedIndex < 0) method.value = 0;
  fillFamilies(state.get("family") ?? "");
}

function fillFamilies(chosen) {
  const counts = new Map();
  for (const row of methods[method.value]?.rows ?? []) counts.set(row.family, (counts.get(row.family) ?? 0) + 1);
  const options = [...counts].sort(([one], [other]) => (one < other ? -1 : 1));
  family.replaceChildren(element("option", { value: "" }, "all"), ...options.map(([name, count]) => element("option", { value: name }, `${name} (${count})`)));
  family.value = counts.has(chosen) ? chosen : "";
}

function matching() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  return (methods[method.value]?.rows ?? []).filter((row) => {
    const name = `${row.model} ${row.weights}`.toLowerCase();
    return (!family.value || row.family === family.value) && words.every((word) => name.includes(word));
  });
}

function sorted(rows) {
  const { of } = COLUMNS.find(({ key }) => key === sort) ?? COLUMNS[1];
  const compared = (one, other) => (one < other ? -1 : one > other ? 1 : 0);
  return [...rows].sort((one, other) => {
    const [a, b] = [of(one), of(other)];
    if (a === null || b === null) return (a === null) - (b === null) || compared(one.model, other.model); // what is missing comes last
    return (descending ? -compared(a, b) : compared(a, b)) || compared(one.model, other.model);
  });
}

function cell(row, { part, of, text, number, aside }) {
  const made = element("td", { className: [number && "number", aside && "aside"].filter(Boolean).join(" ") });
  if (part === undefined) {
    made.textContent = text ? text(row) : of(row);
    return made;
  }
  const [value, half, high] = scoreOf(row, part) ?? [null]; // or the value and both ends of its interval
  if (value === null) {
    made.textContent = "–";
    return made;
  }
  made.classList.add("score");
  made.style.setProperty("--share", `${100 * value}%`);
  made.append(value.toFixed(3));
  const interval = high == null ? `±${half?.toFixed(3)}` : `[${half.toFixed(3)}, ${high.toFixed(3)}]`;
  if (half != null) made.append(" ", element("small", {}, interval));
  return made;
}

function line(row) {
  const link = element("a", { href: `reports/${row.id}.html` }, row.model);
  const name = element("th", { scope: "row" }, link, row.weights === "pretrained" ? "" : element("small", {}, ` ${row.weights}`));
  return element("tr", {}, name, ...COLUMNS.slice(1).map((column) => cell(row, column)));
}

let adding;
/** Adds the first lines at once, and the others in turns, between which the browser draws and answers. */
function addLines(rows, from) {
  const to = from + (from ? 200 : 60);
  table.tBodies[0].append(...rows.slice(from, to).map(line));
  if (to < rows.length) adding = setTimeout(addLines, 0, rows, to);
}

function show() {
  const rows = sorted(matching());
  const heads = COLUMNS.map(({ key, head, number, aside }) => {
    const arrow = key === sort ? (descending ? " ↓" : " ↑") : "";
    const button = element("button", { type: "button", onclick: () => sortBy(key) }, head + arrow);
    const made = element("th", { scope: "col", className: [number && "number", aside && "aside"].filter(Boolean).join(" ") }, button);
    if (key === sort) made.ariaSort = descending ? "descending" : "ascending";
    return made;
  });
  table.tHead.replaceChildren(element("tr", {}, ...heads));
  table.tBodies[0].replaceChildren();
  clearTimeout(adding);
  addLines(rows, 0);
  document.getElementById("count").textContent = `${rows.length} of ${methods[method.value]?.rows.length ?? 0} models`;
  const now = new URLSearchParams({ sort, order: descending ? "down" : "up" });
  for (const control of controls) if (control.value && control.value !== "0") now.set(control.id, control.value);
  history.replaceState(null, "", `#${now}`);
}

function sortBy(key) {
  descending = key === sort ? !descending : !["model", "family"].includes(key);
  sort = key;
  show();
}

fillChoices();
method.addEventListener("change", () => fillFamilies(family.value));
for (const control of controls) control.addEventListener("input", show);
document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
show();
