// Figures: the service makes them for Plotly, and the page only gives them its colours and width.

import { fresh } from "../lib/api.js";
import { element, setText } from "../lib/dom.js";

const drawnFigures = new Map(); // plot -> its figure, for all plots on the page

const LEGEND_MARK_PX = 50, LEGEND_CHARACTER_PX = 8; // the width of a mark in the legend, and of a wide letter beside it
const PAPER_PX = 660; // the width of a figure on paper
const dark = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;

const redrawAll = () => [...drawnFigures].forEach(([plot, figure]) => draw(plot, figure));
dark.addEventListener("change", redrawAll);
for (const [event, onPaper] of [["beforeprint", true], ["afterprint", false]]) {
  addEventListener(event, () => {
    root.toggleAttribute("data-paper", onPaper);
    if (onPaper) redrawAll();
    else setTimeout(redrawAll); // when the screen's own style is back
  });
}
// Plotly's own way of following the width forgets the height.
const widths = new ResizeObserver((entries) => {
  for (const { target: plot } of entries) {
    if (drawnFigures.has(plot) && widthOf(plot) !== plot.layout.width) draw(plot, drawnFigures.get(plot));
  }
});
const widthOf = (plot) => (root.hasAttribute("data-paper") ? PAPER_PX : plot.clientWidth);

let plotlyLoading;
/** Loads Plotly, which is 5 MB, from this service when the first figure needs it, or soon will. */
export function loadPlotly() {
  plotlyLoading ??= new Promise((resolve, reject) => {
    const script = element("script", { src: "static/plotly.min.js" });
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      plotlyLoading = undefined;
      script.remove();
      reject(new Error("The figures could not be loaded; the tables have the same numbers."));
    };
    document.head.append(script);
  });
  return plotlyLoading;
}

/** For figures that not all audits have: whether those by a method do. */
const IS_DRAWN = {
  shifts: ({ translations_px: shifts }) => shifts.length > 0,
  warps: ({ warps }) => Boolean(warps),
  deformations: ({ deformation }) => Boolean(deformation),
  local_error: ({ local }) => Boolean(local),
  variance: ({ variance }) => Boolean(variance),
};

/** Whether audits by this method have the figure of this name. */
export const isDrawn = (name, method) => IS_DRAWN[name]?.(method) ?? true;

/**
 * Panels for figures, { panel(name), note, load(path, signal) }. `labels` lists [name in the service's answer, caption,
 * description]; the note says that the figures are loading, or why they could not be loaded. `titled` keeps the title
 * with the model's name: a page that has the name as its heading leaves it out, and saves the space.
 * The tables show the same numbers, so a screen reader takes each figure for an image that says so.
 */
export function figurePanels(labels, { titled = true } = {}) {
  const note = element("p", { class: "note" }, "Loading the figures…");
  const panels = labels.map(([name, caption, description]) => {
    const plot = element("div", { class: "plot", role: "img", "aria-label": `${caption}: ${description}` });
    const panel = element("figure", { class: "card", "data-figure": name }, element("figcaption", { class: "unseen" }, caption), plot);
    return { name, plot, panel };
  });
  let latestPath;
  return {
    note,
    panel: (name) => panels.find((one) => one.name === name).panel,
    async load(path, signal) {
      latestPath = path;
      try {
        const [figures] = await Promise.all([fresh(path, signal), loadPlotly()]);
        for (const { name, plot } of panels) {
          if (figures[name] && latestPath === path) await draw(plot, titled ? figures[name] : withoutTitle(figures[name]));
        }
        note.hidden = true;
      } catch (error) {
        if (!signal?.aborted) setText(note, error.message);
      }
    },
  };
}

/** Frees the figures of a page that is left. */
export function forgetFigures() {
  widths.disconnect();
  for (const plot of drawnFigures.keys()) window.Plotly?.purge(plot);
  drawnFigures.clear();
}

async function draw(plot, figure) {
  if (!plot.isConnected || !plot.clientWidth) return;
  drawnFigures.set(plot, figure);
  plot.style.minWidth = `${figure.layout.meta?.narrowest_px ?? 0}px`; // before its width is read
  const { data, layout } = withWholeNames(withPageColours(figure), widthOf(plot));
  // Not Plotly.react, which leaves legends where they were at another width.
  await window.Plotly.newPlot(plot, data, { ...layout, width: widthOf(plot) }, { displayModeBar: false });
  if (figure.onClick) plot.on("plotly_click", figure.onClick);
  widths.observe(plot);
}

/** Draws one figure of the page's own; `figure.onClick` gets what Plotly tells of the point that was clicked. */
export async function drawFigure(plot, figure) {
  await loadPlotly();
  await draw(plot, figure);
}

function withoutTitle({ data, layout }) {
  const annotations = layout.annotations.filter(({ name }) => name !== "title");
  const { title_px: titlePx } = layout.meta;
  return { data, layout: { ...layout, annotations, height: layout.height - titlePx, margin: { ...layout.margin, t: layout.margin.t - titlePx } } };
}

/** The figure with the names in its legend on one line each, if all of them fit into `width`. */
function withWholeNames({ data, layout }, width) {
  const named = data.filter(({ showlegend, name }) => showlegend && name);
  const longest = Math.max(0, ...named.map(({ name }) => name.replaceAll("<br>", "").length));
  const saved = named.reduce((sum, { name }) => sum + (name.split("<br>").length - 1) * layout.meta.legend_line_px, 0);
  if (!saved || LEGEND_MARK_PX + LEGEND_CHARACTER_PX * longest > width) return { data, layout };
  for (const trace of named) trace.name = trace.name.replaceAll("<br>", "");
  const height = layout.height - saved;
  const legend = { ...layout.legend, y: (layout.meta.legend_px - saved) / height };
  return { data, layout: { ...layout, height, legend, margin: { ...layout.margin, b: layout.margin.b - saved } } };
}

/** For a dark page: the same hues, lighter. */
const LIGHTER = {
  "#0072b2": "#56a9e0", "#d55e00": "#f0883e", "#009e73": "#2fc79b", "#cc79a7": "#e09cc2", "#4d4d4d": "#b4bec9", "#767676": "#94a1af",
  "rgba(0, 114, 178": "rgba(86, 169, 224", "rgba(213, 94, 0": "rgba(240, 136, 62", "rgba(0, 158, 115": "rgba(47, 199, 155",
  "#edf0f3": "#2b343e", "#56b4e9": "#bfe5fa", "rgba(86, 180, 233": "rgba(191, 229, 250", "rgba(204, 121, 167": "rgba(224, 156, 194", "rgba(77, 77, 77": "rgba(180, 190, 201",
};

/** A copy of the figure whose text, grid and background have this page's colours. */
function withPageColours(figure) {
  const style = getComputedStyle(root);
  const colour = (name) => style.getPropertyValue(name).trim();
  let json = JSON.stringify(figure);
  if (dark.matches && !root.hasAttribute("data-paper")) {
    for (const [from, to] of Object.entries(LIGHTER)) json = json.replaceAll(from, to);
  }
  const { data, layout } = JSON.parse(json);
  const base = layout.template?.layout ?? {};
  const axis = { gridcolor: colour("--line"), linecolor: colour("--soft"), tickcolor: colour("--soft") };
  layout.template = {
    layout: {
      ...base,
      font: { ...base.font, family: style.fontFamily, color: colour("--text") },
      hoverlabel: { ...base.hoverlabel, bgcolor: colour("--card"), bordercolor: colour("--soft"), font: { color: colour("--text") } },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      xaxis: { ...base.xaxis, ...axis, fixedrange: true },
      yaxis: { ...base.yaxis, ...axis, fixedrange: true },
    },
  };
  for (const shape of layout.shapes ?? []) if (shape.type === "line") shape.line = { ...shape.line, color: colour("--line") };
  for (const { marker } of data) if (marker?.line) marker.line.color ??= marker.color;
  return { data, layout };
}
