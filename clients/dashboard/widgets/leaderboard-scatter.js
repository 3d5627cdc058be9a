// A scatter plot of any two columns of the leaderboard. A point is a model; a click on it opens its report.

import { element, setText } from "../lib/dom.js";
import { count, fixed, millions, plural } from "../lib/format.js";
import { scoreColumns, SCORES, valueOf } from "../lib/leaderboard.js";
import { ALL_TRANSFORMS, comparedTransforms, GENERATORS, PARTS, transformLabel } from "../lib/scores.js";
import { term } from "../lib/terms.js";
import { changed, go, href } from "../lib/url.js";
import { drawFigure } from "./figures.js";

const FACT_LABELS = { imagenet_top1: "ImageNet top-1, %", parameters: "Parameters", input_size: "Input size, px", consistency: "Shift consistency" };
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#a6761d"]; // then grey
const OTHERS = "#767676";
const HEIGHT_PX = 560;

const label = (column) => {
  if (FACT_LABELS[column]) return FACT_LABELS[column];
  const [measure, part, name] = column.split(".");
  if (measure === "local_error") return `Local error, ${part}: ${GENERATORS[name]}`;
  if (measure === "deformation") return `R, ${part}: mean over the deformations`;
  if (measure === "variance") return `Variance, ${part}: ${transformLabel(name).toLowerCase()}`;
  return `${transformLabel(measure)}, ${part}: ${name === "top1_agreement" ? "top-1 agreement" : SCORES[name]}`;
};

const groups = (transforms) => [
  ["Model", Object.keys(FACT_LABELS)],
  ...Object.entries(SCORES).map(([score, name]) => [`Scores: ${name}`, scoreColumns(transforms).map((pair) => [...pair, score].join("."))]),
  ["Predictions", transforms.map((transform) => `${transform}.Final.top1_agreement`)],
  ["Other measures", PARTS.flatMap((part) => [...Object.keys(GENERATORS).map((generator) => `local_error.${part}.${generator}`),
    `deformation.${part}.ratio`, ...transforms.map((transform) => `variance.${part}.${transform}`)])],
];
const COLUMNS = groups(ALL_TRANSFORMS).flatMap(([, columns]) => columns);

/** { node, show(rows, allRows, query) }: the axes are the address's parameters x and y. */
export function leaderboardScatter() {
  const plot = element("div", { class: "plot", role: "img" });
  const note = element("p", { class: "note", role: "status" });
  const axes = Object.fromEntries(["x", "y"].map((axis) => {
    const select = element("select", { "aria-label": axis === "x" ? "Across" : "Up", onchange: () => go(changed({ [axis]: select.value })) });
    return [axis, select];
  }));
  const node = element("div", { class: "zoo-scatter" },
    element("div", { class: "bar" }, element("label", { class: "inline" }, "Across", axes.x), element("label", { class: "inline" }, "Up", axes.y), note), meanings(), plot);
  let drawn = null; // what the plot shows
  return {
    node,
    show(rows, allRows, query) {
      const chosen = { x: columnOf(query.get("x"), defaultX(allRows)), y: columnOf(query.get("y"), defaultY(allRows)) };
      showAxes(axes, chosen, allRows);
      const points = rows.map((row) => ({ row, x: valueOf(row, chosen.x), y: valueOf(row, chosen.y) })).filter(({ x, y }) => x != null && y != null);
      setText(note, points.length === rows.length ? `${plural(points.length, "model")}; a click opens the report` : `${count(points.length)} of ${count(rows.length)} models have both; a click opens the report`);
      plot.setAttribute("aria-label", `${label(chosen.y)} against ${label(chosen.x)} for ${points.length} models; the table has the same numbers`);
      const state = JSON.stringify([chosen, points.map(({ row }) => row.id)]);
      if (drawn === state && plot.isConnected) return;
      drawn = state;
      drawFigure(plot, figure(points, chosen)).catch((error) => {
        drawn = null;
        setText(note, error.message);
      });
    },
  };
}

/** What the columns are: a list to choose from cannot explain its words. */
const meanings = () => element("p", { class: "note" }, "Scores of ", term("equivariance", "equivariance"), ", at Pool and Final ", term("invariance", "invariance"), ": ",
  term("channel", "channel"), ", ", term("layer", "layer"), ", ", term("layer-held-out", "layer, held out"), ", ", term("top1-agreement", "top-1 agreement"));

const columnOf = (name, fallback) => (COLUMNS.includes(name) ? name : fallback);

/** timm publishes no accuracies: without any, the models' sizes take their place. */
const defaultX = (rows) => (rows.some((row) => row.imagenet_top1 != null) ? "imagenet_top1" : "parameters");

/** Rotation where it was asked for, else the first transform that was. */
const defaultY = (rows) => ["rotation", ...comparedTransforms(rows)].map((transform) => `${transform}.Late.channel`)
  .find((column) => rows.some((row) => valueOf(row, column) != null)) ?? "rotation.Late.channel";

/** Offers the columns that at least one row has. */
function showAxes(axes, chosen, rows) {
  const offered = groups(comparedTransforms(rows));
  for (const [axis, select] of Object.entries(axes)) {
    const known = offered.map(([group, columns]) => [group, columns.filter((column) => column === chosen[axis] || rows.some((row) => valueOf(row, column) != null))]);
    const state = JSON.stringify(known);
    if (select.dataset.state !== state) {
      select.dataset.state = state;
      select.replaceChildren(...known.filter(([, columns]) => columns.length).map(([group, columns]) =>
        element("optgroup", { label: group }, columns.map((column) => element("option", { value: column }, label(column))))));
    }
    select.value = chosen[axis];
  }
}

/** The plot for Plotly: a trace for each of the largest families, and one for all others. */
function figure(points, chosen) {
  const counts = new Map();
  for (const { row } of points) counts.set(row.family, (counts.get(row.family) ?? 0) + 1);
  const largest = [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).slice(0, COLOURS.length).map(([family]) => family);
  const traces = [...largest, null].map((family, index) => trace(points.filter(({ row }) => (family ? row.family === family : !largest.includes(row.family))),
    family ?? `${counts.size - largest.length} other families`, COLOURS[index] ?? OTHERS)).filter(({ x }) => x.length);
  const axis = (column) => ({
    title: { text: label(column), standoff: 8 }, automargin: true, zeroline: false,
    ...(column === "parameters" ? { type: "log", dtick: "D1", tickformat: "~s" } : {}),
  });
  return {
    data: traces,
    layout: {
      height: HEIGHT_PX, margin: { l: 60, r: 12, t: 12, b: 50 }, hovermode: "closest", showlegend: true, xaxis: axis(chosen.x), yaxis: axis(chosen.y),
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 12 } },
    },
    onClick: ({ points: [point] }) => go(href({ audit: point.customdata[0] })),
  };
}

const trace = (points, name, color) => ({
  type: "scatter", mode: "markers", name, marker: { color, size: 7, opacity: 0.75 },
  x: points.map(({ x }) => x), y: points.map(({ y }) => y),
  customdata: points.map(({ row, x, y }) => [row.id, row.model, row.weights, millions(row.parameters), shown(x), shown(y)]),
  hovertemplate: "<b>%{customdata[1]}</b><br>%{customdata[2]}, %{customdata[3]} parameters<br>%{xaxis.title.text}: %{customdata[4]}<br>%{yaxis.title.text}: %{customdata[5]}<extra></extra>",
});

const shown = (value) => (value > 1000 ? count(value) : Number.isInteger(value) ? String(value) : fixed(value));
