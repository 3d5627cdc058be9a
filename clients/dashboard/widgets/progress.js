// Status and progress of one audit, in a row of the list and on the page of the audit.

import { element, setText } from "../lib/dom.js";
import { about, count, duration, ordinal } from "../lib/format.js";

/** { node, update(audit) }: the status as a coloured word; while the audit runs, also a bar, the counts and the time left. */
export function progressView() {
  const pill = element("span", { class: "pill" });
  const bar = element("progress", { "aria-label": "Progress" });
  const text = element("span", { class: "sub" });
  return {
    node: element("div", { class: "progress" }, pill, bar, text),
    update(audit) {
      const { done, total } = audit.progress;
      setText(pill, audit.status);
      pill.dataset.status = audit.status;
      bar.hidden = audit.status !== "running";
      if (total) {
        bar.max = total;
        bar.value = done;
      } else bar.removeAttribute("value");
      setText(text, progressText(audit));
      text.hidden = !text.textContent;
    },
  };
}

/** "measuring 640 of 2,560, 40 s left"; for a failed audit, the title of its problem; for a queued one, its place. */
function progressText({ status, error, queue, request, progress: { phase, done, total, unit, eta_s: secondsLeft } }) {
  if (status === "failed") return error?.title ?? "";
  if (queue) return queueText(queue, request.priority);
  if (status !== "running") return "";
  let text = phase;
  if (total && unit === "bytes") {
    text += ` ${(done / 1e6).toFixed(0)} of ${(total / 1e6).toFixed(0)} MB`;
  } else if (total) text += ` ${count(done)} of ${count(total)}`;
  if (secondsLeft != null) text += `, ${duration(secondsLeft)} left`;
  return text;
}

/** "3rd in the queue (low priority), starts in about 10 min", as far as that is known. */
function queueText({ position, starts_in_s: seconds }, priority) {
  const place = position === 1 ? "next" : ordinal(position);
  return `${place} in the queue${priority ? ` (${priority} priority)` : ""}${seconds ? `, starts in about ${about(seconds)}` : ""}`;
}
