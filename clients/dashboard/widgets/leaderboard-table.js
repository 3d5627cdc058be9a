// The table of the leaderboard: a row for each model, with a bar for each score. It may have thousands of rows: those out
// of sight cost no layout and get their bars when they come near, but the browser's search finds the names of all.

import { breakable, element, keepFocus } from "../lib/dom.js";
import { fixed, millions } from "../lib/format.js";
import { scoreColumns, SCORES, valueOf } from "../lib/leaderboard.js";
import { PARTS, transformLabel } from "../lib/scores.js";
import { explained, term } from "../lib/terms.js";
import { href } from "../lib/url.js";
import { estimateOf } from "./score-cell.js";
import { replaceHeaders, sorted, sortHeader } from "./sorting.js";
import { MOST_COMPARED } from "./ticked-audits.js";
import { weightsBadge } from "./weights-badge.js";

/** The order of a table with columns of these transforms, unless the address has another. */
export const defaultSort = (transforms) => `-${transforms.at(-1)}.Late`;

const FACTS = ["model", "family", "parameters", "imagenet_top1"];
const FACT_CELLS = 1 + FACTS.length; // the cells of a row before its scores
const AT_FIRST = 40; // so many rows fill the tallest screen

/** [order, its name] for the orders that a narrow screen offers in a list. */
export const sortOptions = (transforms) => [
  ...scoreColumns(transforms).map(([transform, part]) => [`-${transform}.${part}`, `${transformLabel(transform)}, ${part}`]),
  ["model", "model"], ["family", "family"], ["parameters", "parameters, fewest first"], ["-parameters", "parameters, most first"], ["-imagenet_top1", "top-1 accuracy"],
];

/** { node, show(rows, { scoreName, transforms, sort, ticked }) } with columns of one or two transforms; calls `onTick(ids, ticked)` when the user ticks rows. `show` returns the rows in their order. */
export function leaderboardTable({ onTick }) {
  const headerRow = element("tr", { role: "row" });
  const body = element("tbody", { role: "rowgroup" });
  const caption = element("caption"), groups = element("tr", { class: "groups", role: "row" });
  const node = element("table", { class: "zoo", role: "table" }, caption, element("thead", { role: "rowgroup" }, groups, headerRow), body);
  const made = new Map(); // the row of the service, which never changes -> its row of the table
  const madeOf = new WeakMap(); // the element of a row -> the same
  const near = new Set(); // the rows that are in sight, or soon will be
  let scoreName, columns, shownIds = "";
  body.addEventListener("contentvisibilityautostatechange", ({ target, skipped }) => {
    const row = madeOf.get(target);
    if (skipped) near.delete(row);
    else near.add(row).forEach((one) => one.draw(scoreName, columns));
  }, { capture: true });
  body.addEventListener("pointerover", showTooltip);
  addEventListener("beforeprint", () => node.isConnected && made.forEach((one) => one.draw(scoreName, columns)));
  const skips = "ContentVisibilityAutoStateChangeEvent" in window; // else all bars are drawn at once
  return {
    node,
    show(rows, { scoreName: name, transforms, sort, ticked }) {
      scoreName = name;
      if (groups.dataset.transforms !== transforms.join()) {
        groups.dataset.transforms = transforms.join();
        node.dataset.groups = transforms.length;
        columns = scoreColumns(transforms);
        groups.replaceChildren(...groupCells(transforms));
      }
      const ordered = sorted(rows, sort, sortValues(scoreName, columns)), tickedSet = new Set(ticked);
      for (const row of ordered) if (!made.has(row)) made.set(row, tableRow(row, onTick));
      const shown = ordered.map((row) => made.get(row));
      for (const one of shown) {
        madeOf.set(one.node, one);
        one.tick(tickedSet.has(one.row.id));
      }
      shown.slice(0, skips ? AT_FIRST : shown.length).forEach((one) => one.draw(scoreName, columns));
      near.forEach((one) => one.draw(scoreName, columns));
      node.dataset.lead = leadingScore(sort, transforms);
      if (caption.dataset.score !== scoreName) {
        caption.dataset.score = scoreName; // a poll must not take the words away that somebody reads
        keepFocus(caption, () => caption.replaceChildren(...captionOf(scoreName)));
      }
      showHeaders(ordered, sort, tickedSet, defaultSort(transforms));
      const ids = ordered.map((row) => row.id).join();
      if (ids !== shownIds) keepFocus(body, () => body.replaceChildren(...shown.map((one) => one.node)));
      shownIds = ids;
      return ordered;
    },
  };

  function showHeaders(rows, sort, ticked, fallback) {
    const order = { sort, fallback, role: "columnheader" }, number = { ...order, first: "-" };
    const tickAll = element("input", { type: "checkbox", "aria-label": "Tick all models shown", "data-key": "all", onchange: () => onTick(rows.map((row) => row.id), tickAll.checked) });
    tickAll.checked = rows.length > 0 && rows.every((row) => ticked.has(row.id));
    tickAll.disabled = rows.length === 0 || rows.length > MOST_COMPARED;
    tickAll.title = rows.length > MOST_COMPARED ? `At most ${MOST_COMPARED} models can be compared: filter first` : "";
    replaceHeaders(headerRow, [
      element("th", { class: "tick", role: "columnheader" }, element("label", {}, tickAll)),
      sortHeader("Model", "model", { ...order, class: "name" }),
      sortHeader("Family", "family", { ...order, class: "fact" }),
      sortHeader("Params", "parameters", { ...number, class: "fact number" }),
      sortHeader("Top-1, %", "imagenet_top1", { ...number, class: "fact number" }),
      ...columns.map(([transform, part]) => {
        const header = sortHeader(part, `${transform}.${part}`, { ...number, class: "score" });
        header.firstChild.setAttribute("aria-label", `${transformLabel(transform)}, ${part}`);
        return header;
      }),
    ]);
  }

  /** Says what a bar shows when the pointer comes to it: ten thousand tooltips made beforehand would take long. */
  function showTooltip({ target }) {
    const cell = target.closest("td.score"), pair = cell && columns[cell.cellIndex - FACT_CELLS];
    if (!pair) return;
    const [transform, part] = pair;
    const { value, interval, reason } = estimateOf(madeOf.get(cell.parentElement).row.parts[part]?.[transform] ?? { reason: "The model has no such part." }, scoreName);
    cell.title = interval ? `95 % confidence interval ${fixed(interval[0])} to ${fixed(interval[1])}` : value == null ? reason ?? "not measured" : "no confidence interval";
  }
}

/** Says what the numbers are. The headers sort, so that they cannot explain themselves. */
const captionOf = (scoreName) => [
  term(scoreName.replaceAll("_", "-"), `${SCORES[scoreName][0].toUpperCase()}${SCORES[scoreName].slice(1)} equivariance`), " by ", term("part", "part"),
  ", from 0 (none) to 1 (perfect); at ", term("pool", "Pool"), " and ", term("final", "Final"), " ", term("invariance", "invariance"),
  "; the line on a bar is the ", term("interval", "95 % confidence interval"),
];

const groupCells = (transforms) => [element("td", { class: "blank", role: "cell", "aria-colspan": FACT_CELLS }),
  ...transforms.map((transform) => element("th", { class: "group", role: "columnheader", "aria-colspan": PARTS.length }, explained(transformLabel(transform))))];

const sortValues = (scoreName, columns) => ({
  ...Object.fromEntries(FACTS.map((name) => [name, (row) => valueOf(row, name)])),
  ...Object.fromEntries(columns.map((pair) => [pair.join("."), (row) => valueOf(row, `${pair.join(".")}.${scoreName}`)])),
});

/** The place of the score that a narrow screen shows: the one that the rows are sorted by, else that of the default order. */
function leadingScore(sort, transforms) {
  const place = (order) => scoreColumns(transforms).findIndex((pair) => pair.join(".") === order.replace(/^-/, ""));
  return place(sort) < 0 ? place(defaultSort(transforms)) : place(sort);
}

const template = element("tr", { role: "row" },
  element("td", { class: "tick", role: "cell" }, element("label", {}, element("input", { type: "checkbox" }))),
  element("th", { class: "name", scope: "row", role: "rowheader" }, element("a", { class: "model" }), element("span", { class: "sub only-narrow" })),
  element("td", { class: "fact", role: "cell" }), element("td", { class: "fact number", role: "cell" }), element("td", { class: "fact number", role: "cell" }));
const bar = element("td", { class: "score", role: "cell" });

/** { node, row, tick(on), draw(scoreName, columns) } for one model; copied from a template, which is faster than made element by element. */
function tableRow(row, onTick) {
  const node = template.cloneNode(true);
  const [tickCell, nameCell, family, parameters, accuracy] = node.children;
  const box = tickCell.firstChild.firstChild, [link, summary] = nameCell.children;
  const top1 = row.imagenet_top1 == null ? "–" : row.imagenet_top1.toFixed(2), size = millions(row.parameters);
  box.setAttribute("aria-label", `Tick ${row.model}`);
  box.dataset.key = `tick:${row.id}`;
  box.addEventListener("change", () => onTick([row.id], box.checked));
  link.href = href({ audit: row.id });
  link.dataset.key = `model:${row.id}`;
  link.append(...breakable(row.model));
  if (row.weights !== "pretrained") link.after(" ", weightsBadge(row.weights));
  summary.textContent = [row.family, size, row.imagenet_top1 != null && `${top1} %`].filter(Boolean).join(" · ");
  family.append(...breakable(row.family));
  parameters.textContent = size;
  accuracy.textContent = top1;
  let drawn = null, cells = [];
  return {
    node,
    row,
    tick(on) {
      if (box.checked !== on) box.checked = on;
      node.classList.toggle("ticked", on);
    },
    draw(scoreName, columns) {
      const state = `${scoreName} ${columns}`;
      if (drawn === state) return;
      drawn = state;
      if (cells.length !== columns.length) {
        cells.forEach((cell) => cell.remove());
        node.append(...(cells = columns.map(() => bar.cloneNode())));
      }
      columns.forEach(([transform, part], index) => drawBar(cells[index], row.parts[part]?.[transform], scoreName));
    },
  };
}

/** A score as a number above a bar from 0 to 1, whose whisker is the confidence interval. */
function drawBar(cell, score, scoreName) {
  const value = score?.[scoreName], interval = score?.[`${scoreName}_interval`];
  cell.textContent = fixed(value);
  cell.classList.toggle("none", value == null);
  if (value == null) cell.removeAttribute("style");
  else cell.setAttribute("style", `--value:${value}${interval ? `;--low:${interval[0]};--high:${interval[1]}` : ""}`);
}
