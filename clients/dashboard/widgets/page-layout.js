// The frame that the pages of one audit, one model and one comparison share, and the boxes in it.

import { element } from "../lib/dom.js";
import { href } from "../lib/url.js";

/**
 * Draws the frame of a page into `root` and returns its elements: `heading`, the `note` below it, the place for
 * `actions`, and the `body`. `controls` stand before the actions.
 */
export function pageLayout(root, crumb, title, ...controls) {
  const heading = element("h1", { tabindex: -1 }, title);
  const note = element("p", { class: "badges" });
  const actions = element("div", { class: "bar actions" });
  const body = element("div", { class: "body" }, element("p", { class: "note" }, "Loading…"));
  root.append(
    element("nav", { "aria-label": "Breadcrumb", class: "crumbs" }, element("a", { class: "home", href: href({}) }, "Audits"), " / ", crumb),
    element("header", { class: "bar head" }, element("div", {}, heading, note), ...controls, actions), body);
  return { heading, note, actions, body };
}

/** A box with a title, as wide as one of the two columns. */
export const card = (title, ...children) => element("section", { class: "card" }, element("h2", {}, title), ...children);

/** A box with a title, as wide as the page. */
export const wideCard = (title, ...children) => element("section", { class: "card wide" }, element("h2", {}, title), ...children);

/** Boxes in two columns where there is room for them; those that are neighbours should be of about one height. */
export const columns = (...boxes) => element("div", { class: "columns wide" }, boxes.flat());

/** [term, value] pairs side by side. */
export const facts = (pairs) => element("dl", { class: "facts card wide" },
  pairs.map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value))));

/** A list of models, each with a link to its page. */
export const modelLinks = (names) =>
  element("ul", {}, names.map((name) => element("li", {}, element("a", { href: href({ model: name }) }, name))));
