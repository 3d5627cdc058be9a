// One audit as a row of the table: made once, changed in place, so that focus and selection survive a poll.

import { breakable, element, setText } from "../lib/dom.js";
import { count, duration, instant, moment, ranges } from "../lib/format.js";
import { elapsed, isFinal, progressView, weightsBadge } from "./progress.js";
import { href } from "../lib/url.js";

/** { node, update(audit, ticked) }; `onCancel(audit, button)` and `onTick(id, ticked)` are what the user asks for. */
export function auditRow(audit, { onCancel, onTick }) {
  const { request } = audit;
  const tick = element("input", {
    type: "checkbox",
    "aria-label": `Compare ${request.model}`,
    onchange: () => onTick(audit.id, tick.checked),
  });
  const link = element("a", { href: href({ audit: audit.id }), class: "model" }, breakable(request.model));
  const details = unusual(request).join(" · ");
  const badge = request.weights === "pretrained" ? null : weightsBadge(request.weights);
  const narrow = element("span", { class: "only-narrow" }, `${request.dataset} · ${count(request.num_images)} images${details && " · "}`);
  const sub = element("span", { class: "sub" }, badge, badge && " ", narrow, details);
  const progress = progressView();
  let current = audit;
  const cancel = element("button", { type: "button", class: "quiet cancel", "aria-label": `Cancel the audit of ${request.model}` }, "Cancel");
  cancel.addEventListener("click", () => {
    link.focus({ preventScroll: true }); // the button goes away
    onCancel(current, cancel);
  });
  const took = element("td", { class: "number wide-only" });
  const created = element("time", { datetime: audit.created_at, title: instant(audit.created_at) }, moment(audit.created_at));
  const node = element("tr", {},
    element("td", { class: "tick" }, element("label", {}, tick)),
    element("td", {}, link, sub),
    element("td", { class: "status" }, element("div", { class: "side" }, progress.node, cancel)),
    element("td", { class: "wide-only images" }, request.dataset, element("span", { class: "sub" }, `${count(request.num_images)} images`)),
    took,
    element("td", { class: "number wide-only" }, created));
  return {
    node,
    update(latest, ticked) {
      current = latest;
      tick.checked = ticked;
      tick.disabled = latest.status !== "succeeded" && !ticked;
      tick.title = tick.disabled ? "Only audits that have succeeded can be compared" : "";
      node.classList.toggle("ticked", ticked);
      progress.update(latest);
      cancel.hidden = isFinal(latest);
      const seconds = elapsed(latest);
      setText(took, seconds == null ? "–" : duration(seconds));
    },
  };
}

/** What tells audits of one model apart: the choices that are not the usual ones. */
export function unusual(request) {
  const { translations_px: shifts, rotations_deg: angles } = request;
  return [
    request.checkpoint_version && `version ${request.checkpoint_version}`,
    request.seed !== 0 && `seed ${request.seed}`,
    !(shifts.length === 32 && shifts.at(-1) === 32) && (shifts.length ? `shifts ${ranges(shifts)} px` : "no shifts"),
    angles.length !== 3 && (angles.length ? `rotations ${angles.join(", ")}°` : "no rotations"),
    request.similarity !== "correlation" && `similarity ${request.similarity}`,
    request.border !== "crop" && `border ${request.border}`,
    request.precision !== "float32" && request.precision,
    request.tolerance != null && `tolerance ${request.tolerance}`,
    request.baseline && (request.baseline_seeds > 1 ? `baseline of ${request.baseline_seeds} seeds` : "baseline"),
    request.repetition > 0 && `repetition ${request.repetition}`,
  ].filter(Boolean);
}
