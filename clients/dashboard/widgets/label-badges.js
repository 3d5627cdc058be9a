// The labels of an audit as badges; each leads to the list of all audits that have it.

import { element } from "../lib/dom.js";
import { href } from "../lib/url.js";

/** A span with the audit's labels, which `update(audit)` brings up to date. */
export function labelBadges() {
  const node = element("span", { class: "labels", hidden: true });
  return {
    node,
    update({ labels = [], archived = false }) {
      const state = JSON.stringify([labels, archived]);
      if (node.dataset.state === state) return;
      node.dataset.state = state;
      node.hidden = !labels.length && !archived;
      node.replaceChildren(...[
        ...labels.map((label) => element("a", { class: "badge label", href: href({ label }), title: `All audits labelled ${label}` }, label)),
        archived && element("span", { class: "badge" }, "archived"),
      ].filter(Boolean).flatMap((badge) => [badge, " "]));
    },
  };
}
