// The images on which a model is least equivariant.

import { breakable, element, scrollable } from "../lib/dom.js";
import { fixed, plural } from "../lib/format.js";
import { explained } from "../lib/terms.js";
import { changed } from "../lib/url.js";

/** The table of these images, each of which leads to its maps. `shown` is the place of the image that the page shows. */
export function leastImages(least, shown) {
  const rows = least.least.map((one) => element("tr", { class: one.place === shown && "ticked" },
    element("td", {}, one.picture && element("img", { class: "thumbnail", src: one.picture, alt: "" })),
    element("th", { scope: "row" }, element("a", { href: changed({ image: one.place }), "aria-current": one.place === shown && "true" },
      breakable(one.image)), element("span", { class: "sub" }, one.prediction && predicted(one.prediction))),
    element("td", { class: "number" }, fixed(one.pool)), element("td", { class: "number" }, fixed(one.final))));
  const classes = least.changed == null ? "" : ` ${least.changed} of them ${least.changed === 1 ? "gets" : "get"} another class.`;
  const caption = `The lowest similarities among ${plural(least.images, "image")}; the mean is ${fixed(least.mean_pool)} at Pool, ${fixed(least.mean_final)} at Final.${classes}`;
  const head = element("tr", {}, element("td"), element("th", { scope: "col" }, "Image"),
    ["Pool", "Final"].map((part) => element("th", { scope: "col", class: "number" }, explained(part))));
  return scrollable("Least equivariant images",
    element("table", { class: "least" }, element("caption", {}, caption), element("thead", {}, head), element("tbody", {}, rows)));
}

/** The class before and after the transform: "tabby", "tabby → Egyptian cat", "class 3 → class 7". */
export function predicted({ before, after }) {
  const name = (one) => one.name?.split(",")[0] ?? `class ${one.index}`;
  return before.index === after.index ? name(before) : `${name(before)} → ${name(after)}`;
}
