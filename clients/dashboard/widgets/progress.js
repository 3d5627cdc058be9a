// Status and progress of one audit, in a row of the table and on its own page.

import { element, setText } from "../lib/dom.js";
import { count, duration } from "../lib/format.js";

export const STATUSES = ["queued", "running", "succeeded", "failed", "canceled"];

export const isFinal = (audit) => ["succeeded", "failed", "canceled"].includes(audit.status);

/** Seconds from start to end, or until now; null before the start. */
export function elapsed(audit) {
  if (!audit.started_at) return null;
  return Math.max(0, ((audit.finished_at ? new Date(audit.finished_at) : new Date()) - new Date(audit.started_at)) / 1000);
}

/** { node, update(audit) }: a coloured word, and while it runs a bar and what is left. */
export function progressView() {
  const pill = element("span", { class: "pill" });
  const bar = element("progress", { "aria-label": "Progress" });
  const text = element("span", { class: "sub" });
  return {
    node: element("div", { class: "progress" }, pill, bar, text),
    update(audit) {
      const now = audit.progress;
      setText(pill, audit.status);
      pill.dataset.status = audit.status;
      bar.hidden = audit.status !== "running";
      if (now.total) {
        bar.max = now.total;
        bar.value = now.done;
      } else bar.removeAttribute("value");
      setText(text, progressText(audit));
      text.hidden = !text.textContent;
    },
  };
}

/** "measuring 640 of 2,560, 40 s left"; of a failed audit, what went wrong in a word. */
function progressText(audit) {
  const now = audit.progress;
  if (audit.status === "failed") return audit.error?.title ?? "";
  if (audit.status !== "running") return "";
  let text = now.phase;
  if (now.total && now.unit === "bytes") {
    text += ` ${(now.done / 1e6).toFixed(0)} of ${(now.total / 1e6).toFixed(0)} MB`;
  } else if (now.total) text += ` ${count(now.done)} of ${count(now.total)}`;
  if (now.eta_s != null) text += `, ${duration(now.eta_s)} left`;
  return text;
}

export function weightsBadge(weights) {
  const kind = weights.split(":")[0];
  return element("span", { class: "badge", "data-weights": kind }, weights);
}
