// The maps of the strongest channels of a block: of x, of T(x) moved back, and the difference.

import { element, scrollable } from "../lib/dom.js";
import { fixed, plural } from "../lib/format.js";
import { mapCanvas } from "../lib/maps.js";

/** The table of an explanation's channels, or a sentence if there are none. */
export function channelMaps(explanation) {
  const { channels, shown_width: width, shown_height: height, views, warp } = explanation;
  const [mapOfX, mapOfTx] = warp ? ["Map of x, warped", "Map of T(x)"] : ["Map of x", "Map of T(x), moved back"];
  if (!channels.length) return element("p", { class: "notice" }, "No channel of this block varies over this image.");
  const picture = (url, alt) => url && element("img", { class: "view", src: url, alt });
  const head = element("tr", {}, element("th", { scope: "col" }, "Channel"),
    element("th", { scope: "col" }, mapOfX, picture(views?.reference, "x, what the model is shown")),
    element("th", { scope: "col" }, mapOfTx, picture(views?.transformed, "T(x), what the model is shown")),
    element("th", { scope: "col" }, "Difference"));
  const rows = channels.map((one) => element("tr", {},
    element("th", { scope: "row" }, element("strong", {}, one.channel),
      element("span", { class: "sub" }, `correlation ${fixed(one.correlation)}`),
      element("span", { class: "sub" }, `strength ${short(one.strength)}`),
      element("span", { class: "sub" }, `difference up to ${short(one.largest_difference)}`)),
    element("td", {}, mapCanvas(one.reference, width, height, "value", `Channel ${one.channel}, ${lower(mapOfX)}`)),
    element("td", {}, mapCanvas(one.transformed, width, height, "value", `Channel ${one.channel}, ${lower(mapOfTx)}`)),
    element("td", {}, mapCanvas(one.difference, width, height, "difference", `Channel ${one.channel}, difference`))));
  const caption = `The ${plural(channels.length, "strongest channel")} of ${explanation.channels_of_block}, over ${explanation.cells == null ? "" : `${explanation.cells} of `}${explanation.height} × ${explanation.width} cells`;
  return scrollable("Maps", element("table", { class: "maps" }, element("caption", {}, caption), element("thead", {}, head), element("tbody", {}, rows)));
}

const lower = (name) => name.replace("Map", "map");

/** Three significant digits, with a true minus sign. */
const short = (value) => String(Number(value.toPrecision(3))).replace("-", "−");
