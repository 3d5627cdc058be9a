// Maps of one byte a cell, as the service sends them, drawn on canvases.

import { element } from "./dom.js";

const SEQUENTIAL = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"]; // viridis: from low to high
const DIVERGING = ["#0072b2", "#ffffff", "#d55e00"]; // from less, over no difference, to more

const channels = (colour) => [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));

/** The 256 colours, each [red, green, blue], that run through `anchors` from 0 to 255. */
function colours(anchors) {
  const points = anchors.map(channels);
  return Array.from({ length: 256 }, (_, value) => {
    const place = (value / 255) * (points.length - 1), before = Math.min(Math.floor(place), points.length - 2);
    return points[before].map((from, index) => Math.round(from + (place - before) * (points[before + 1][index] - from)));
  });
}

const SCALES = { value: colours(SEQUENTIAL), difference: colours(DIVERGING) };

/** A canvas with the map that `encoded` holds in base64, row by row. `scale` is "value" or "difference". */
export function mapCanvas(encoded, width, height, scale, label) {
  const canvas = element("canvas", { class: "map", width, height, role: "img", "aria-label": label });
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  [...atob(encoded)].forEach((letter, cell) => image.data.set([...SCALES[scale][letter.charCodeAt(0)], 255], 4 * cell));
  context.putImageData(image, 0, 0);
  return canvas;
}
