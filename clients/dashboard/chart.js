// The chart of the five parts. Hue tells the transform, lightness the kind: safe for the colour-blind and in grey print.

import { element } from "./dom.js";

const SERIES = [
  ["translation", "channel", "--translation-channel"],
  ["translation", "layer", "--translation-layer"],
  ["rotation", "channel", "--rotation-channel"],
  ["rotation", "layer", "--rotation-layer"],
];

let loading;
/** Plotly is 5 MB: it is fetched with the first report, from this service. */
function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/static/plotly.min.js";
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      loading = undefined;
      script.remove();
      reject(new Error("The chart could not be loaded; the table has the same numbers."));
    };
    document.head.append(script);
  });
  return loading;
}

/** What the colours mean, as text that wraps at any width. */
export function legend() {
  const entry = ([transform, kind]) =>
    element("span", {}, element("i", { class: `swatch ${transform}-${kind}` }), `${transform} ${kind}`);
  return element("figcaption", { class: "legend" }, ...SERIES.map(entry));
}

/** The 95 % confidence intervals of these scores, as Plotly draws them; where there is none, nothing. */
function intervals(scores, kind, color) {
  const [low, high] = [0, 1].map((end) =>
    scores.map((score) => Math.abs((score[`${kind}_interval`]?.[end] ?? score[kind]) - score[kind])));
  return { type: "data", symmetric: false, array: high, arrayminus: low, color, thickness: 1, width: 2 };
}

/** Draws grouped bars, 0 to 1, of `parts` (name -> part of a report) into `node`. */
export async function drawParts(node, parts) {
  const Plotly = await plotly();
  if (!node.isConnected) return;
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const names = Object.keys(parts);
  const traces = SERIES.map(([transform, kind, variable]) => ({
    type: "bar",
    name: `${transform} ${kind}`,
    x: names,
    y: names.map((name) => parts[name][transform][kind]),
    error_y: intervals(names.map((name) => parts[name][transform]), kind, colour("--text")),
    marker: { color: colour(variable) },
    hovertemplate: "%{x}: %{y:.3f}<extra>%{fullData.name}</extra>",
  }));
  const layout = {
    barmode: "group",
    bargap: 0.25,
    bargroupgap: 0.06,
    height: 280,
    margin: { l: 44, r: 4, t: 10, b: 28 },
    font: { family: style.fontFamily, size: 13, color: colour("--text") },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    showlegend: false,
    xaxis: { fixedrange: true, linecolor: colour("--line") },
    yaxis: {
      fixedrange: true,
      range: [0, 1],
      dtick: 0.25,
      tickformat: ".2f",
      gridcolor: colour("--line"),
      zerolinecolor: colour("--line"),
      automargin: true,
      title: { text: "Equivariance", standoff: 12 },
    },
  };
  await Plotly.react(node, traces, layout, { displayModeBar: false, responsive: true });
}
