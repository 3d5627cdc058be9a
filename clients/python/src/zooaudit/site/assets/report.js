// Draws the figures of a report's page at its width, and offers the report that stands in the page for download.
"use strict";

const figures = JSON.parse(document.getElementById("figures").textContent);
const widths = new ResizeObserver((entries) => {
  for (const { target } of entries) if (target.clientWidth !== target.layout?.width) draw(target);
});

function draw(plot) {
  const { data, layout } = figures[plot.id.slice("figure-".length)];
  // A copy, because Plotly changes what it is given.
  const copy = withoutTitle(JSON.parse(JSON.stringify({ data, layout })));
  window.Plotly.newPlot(plot, copy.data, { ...copy.layout, width: plot.clientWidth }, { displayModeBar: false });
}

/** The page has the model's name as its heading. */
function withoutTitle({ data, layout }) {
  const titlePx = layout.meta?.title_px ?? 0;
  const annotations = layout.annotations?.filter(({ name }) => name !== "title");
  return { data, layout: { ...layout, annotations, height: layout.height - titlePx, margin: { ...layout.margin, t: layout.margin.t - titlePx } } };
}

for (const plot of document.querySelectorAll(".plot")) {
  if (window.Plotly) {
    draw(plot);
    widths.observe(plot);
  } else {
    plot.textContent = "The figure could not be drawn; the tables have the same numbers.";
  }
}

const download = document.getElementById("download");
if (download) {
  const report = document.getElementById("report").textContent;
  download.href = URL.createObjectURL(new Blob([report], { type: "application/json" }));
}
