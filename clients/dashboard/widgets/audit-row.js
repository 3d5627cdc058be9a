// One audit as a row of the list: made once and then changed in place, so that focus and selection survive a poll.

import { elapsedSeconds, isFinal, unusualSettings } from "../lib/audit.js";
import { breakable, element, setText } from "../lib/dom.js";
import { duration, instant, moment, plural } from "../lib/format.js";
import { href } from "../lib/url.js";
import { labelBadges } from "./label-badges.js";
import { progressView } from "./progress.js";
import { weightsBadge } from "./weights-badge.js";

/** { node, update(audit, ticked) }; calls `onCancel(audit, button)` and `onTick(id, ticked)` when the user asks for it. */
export function auditRow(audit, { onCancel, onTick }) {
  const { request } = audit;
  const tickBox = element("input", {
    type: "checkbox",
    "aria-label": `Compare ${request.model}`,
    onchange: () => onTick(audit.id, tickBox.checked),
  });
  const link = element("a", { href: href({ audit: audit.id }), class: "model" }, breakable(request.model));
  const settings = unusualSettings(request).join(" · ");
  const badge = request.weights === "pretrained" ? null : weightsBadge(request.weights);
  const images = element("span", { class: "only-narrow" }, `${request.dataset} · ${plural(request.num_images, "image")}${settings && " · "}`);
  const labels = labelBadges();
  const details = element("span", { class: "sub" }, badge, badge && " ", labels.node, images, settings);
  const progress = progressView();
  let latest = audit;
  const cancel = element("button", { type: "button", class: "quiet cancel", "data-needs": "submit", "aria-label": `Cancel the audit of ${request.model}` }, "Cancel");
  cancel.addEventListener("click", () => {
    link.focus({ preventScroll: true }); // the button goes away
    onCancel(latest, cancel);
  });
  const elapsed = element("td", { class: "number wide-only" });
  const created = element("time", { datetime: audit.created_at, title: instant(audit.created_at) }, moment(audit.created_at));
  const node = element("tr", {},
    element("td", { class: "tick" }, element("label", {}, tickBox)),
    element("td", {}, link, details),
    element("td", { class: "status" }, element("div", { class: "side" }, progress.node, cancel)),
    element("td", { class: "wide-only images" }, request.dataset, element("span", { class: "sub" }, plural(request.num_images, "image"))),
    elapsed,
    element("td", { class: "number wide-only" }, created));
  return {
    node,
    update(audit, ticked) {
      latest = audit;
      tickBox.checked = ticked;
      tickBox.disabled = audit.status !== "succeeded" && !ticked;
      tickBox.title = tickBox.disabled ? "Only audits that have succeeded can be compared" : "";
      node.classList.toggle("ticked", ticked);
      progress.update(audit);
      labels.update(audit);
      cancel.hidden = isFinal(audit);
      const seconds = elapsedSeconds(audit);
      setText(elapsed, seconds == null ? "–" : duration(seconds));
    },
  };
}
