// Figures that the service has made, as Plotly takes them: here they only get the page's colours and width.

import { fresh } from "../lib/api.js";
import { element, setText } from "../lib/dom.js";

const drawn = new Map(); // node -> figure, of what the page shows

const PAPER_PX = 660;
const dark = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;

const drawAgain = () => [...drawn].forEach(([node, figure]) => draw(node, figure));
dark.addEventListener("change", drawAgain);
for (const [event, paper] of [["beforeprint", true], ["afterprint", false]]) {
  addEventListener(event, () => {
    root.toggleAttribute("data-paper", paper);
    if (paper) drawAgain();
    else setTimeout(drawAgain); // when the screen's own style is back
  });
}
// Plotly's own way of following the width forgets the height.
const widths = new ResizeObserver((entries) => {
  for (const { target } of entries) if (drawn.has(target) && widthOf(target) !== target.layout.width) draw(target, drawn.get(target));
});
const widthOf = (node) => (root.hasAttribute("data-paper") ? PAPER_PX : node.clientWidth);

let loading;
/** Plotly is 5 MB: it is fetched with the first figure, from this service. */
function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = element("script", { src: "/static/plotly.min.js" });
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      loading = undefined;
      script.remove();
      reject(new Error("The figures could not be loaded; the tables have the same numbers."));
    };
    document.head.append(script);
  });
  return loading;
}

/**
 * Places for figures, { of(name), note, load(path, signal) }: `wanted` has [name in the service's answer, caption,
 * description]; the note says that they are loading, or why they could not be. Without `titled` the model's name above
 * them is left out: the page has it as its heading, and a telephone would cut it.
 * What a figure shows is in the tables, too: to a screen reader it is an image that says so.
 */
export function figurePanels(wanted, { titled = true } = {}) {
  const note = element("p", { class: "note" }, "Loading the figures…");
  const places = wanted.map(([name, caption, description]) => {
    const plot = element("div", { class: "plot", role: "img", "aria-label": `${caption}: ${description}` });
    return [name, plot, element("figure", { class: "card", "data-figure": name }, element("figcaption", { class: "unseen" }, caption), plot)];
  });
  let latest;
  return {
    note,
    of: (name) => places.find((place) => place[0] === name)[2],
    async load(path, signal) {
      latest = path;
      try {
        const [figures] = await Promise.all([fresh(path, signal), plotly()]);
        for (const [name, plot] of places) {
          if (figures[name] && latest === path) await draw(plot, titled ? figures[name] : withoutTitle(figures[name]));
        }
        note.hidden = true;
      } catch (error) {
        if (!signal?.aborted) setText(note, error.message);
      }
    },
  };
}

/** Lets go of what is no longer shown. */
export function forgetFigures() {
  widths.disconnect();
  for (const node of drawn.keys()) window.Plotly?.purge(node);
  drawn.clear();
}

async function draw(node, figure) {
  if (!node.isConnected || !node.clientWidth) return;
  drawn.set(node, figure);
  const { data, layout } = inColoursOf(figure);
  // Not Plotly.react, which leaves legends where they were at another width.
  await window.Plotly.newPlot(node, data, { ...layout, width: widthOf(node) }, { displayModeBar: false });
  widths.observe(node);
}

/** For a dark page: the same hues, lighter. */
const LIGHTER = {
  "#0072b2": "#56a9e0", "#d55e00": "#f0883e", "#009e73": "#2fc79b", "#cc79a7": "#e09cc2", "#4d4d4d": "#b4bec9", "#767676": "#94a1af",
  "rgba(0, 114, 178": "rgba(86, 169, 224", "rgba(213, 94, 0": "rgba(240, 136, 62", "rgba(0, 158, 115": "rgba(47, 199, 155",
  "rgba(204, 121, 167": "rgba(224, 156, 194", "rgba(77, 77, 77": "rgba(180, 190, 201",
};

function withoutTitle({ data, layout }) {
  const [first, ...rest] = layout.annotations ?? [];
  if (first?.yref !== "paper" || first.text.includes("<br>")) return { data, layout };
  const taken = first.font.size + 10;
  return { data, layout: { ...layout, annotations: rest, height: layout.height - taken, margin: { ...layout.margin, t: layout.margin.t - taken } } };
}

/** A copy with this page's colours of text, grid and ground. */
function inColoursOf(figure) {
  const style = getComputedStyle(root);
  const colour = (name) => style.getPropertyValue(name).trim();
  let text = JSON.stringify(figure);
  if (dark.matches && !root.hasAttribute("data-paper")) {
    for (const [from, to] of Object.entries(LIGHTER)) text = text.replaceAll(from, to);
  }
  const { data, layout } = JSON.parse(text);
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
  for (const shape of layout.shapes ?? []) shape.line = { ...shape.line, color: colour("--line") };
  for (const { marker } of data) if (marker?.line) marker.line.color ??= marker.color;
  return { data, layout };
}
