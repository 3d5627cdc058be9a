// The table of audits: one row each, kept and changed in place, so that focus and selection survive a poll.

import { breakable, byId, count, duration, element, moment, ranges, setText } from "./dom.js";

const rows = new Map();

export const isFinal = (audit) => ["succeeded", "failed", "canceled"].includes(audit.status);

/** Shows the audits in the given order; `onSelect(id)` and `onCancel(audit)` are what the user asks for. */
export function showAudits(audits, selected, { onSelect, onCancel }) {
  const body = byId("audits");
  const ids = new Set(audits.map((audit) => audit.id));
  for (const [id, row] of rows) {
    if (ids.has(id)) continue;
    row.node.remove();
    rows.delete(id);
  }
  audits.forEach((audit, index) => {
    if (!rows.has(audit.id)) rows.set(audit.id, makeRow(audit, onSelect, onCancel));
    const row = rows.get(audit.id);
    row.update(audit, audit.id === selected);
    if (body.children[index] !== row.node) body.insertBefore(row.node, body.children[index] ?? null);
  });
}

function makeRow(audit, onSelect, onCancel) {
  const request = audit.request;
  const link = element("a", { href: `/?audit=${encodeURIComponent(audit.id)}`, class: "model" }, ...breakable(request.model));
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    onSelect(audit.id);
  });
  const images = [`${request.dataset}, ${count(request.num_images)} images`, ...unusual(request)].join(" · ");
  const model = element("td", {}, link, element("span", { class: "sub" }, weightsBadge(request.weights), ` ${images}`));
  const progress = progressView();
  let current = audit;
  const cancel = element("button", { type: "button", class: "quiet cancel" }, "Cancel");
  cancel.setAttribute("aria-label", `Cancel the audit of ${request.model}`);
  cancel.addEventListener("click", () => {
    link.focus({ preventScroll: true }); // the button goes away
    onCancel(current, cancel);
  });
  const status = element("td", { class: "status" }, progress.node, cancel);
  const created = element("time", { datetime: audit.created_at, title: audit.created_at }, moment(audit.created_at));
  const node = element("tr", {}, model, status, element("td", { class: "created" }, created));
  return {
    node,
    update(latest, selected) {
      current = latest;
      node.classList.toggle("selected", selected);
      if (selected) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
      progress.update(latest);
      cancel.hidden = isFinal(latest);
    },
  };
}

/** What tells audits of one model apart: the choices that are not the usual ones. */
function unusual(request) {
  const { translations_px: shifts, rotations_deg: angles } = request;
  return [
    request.seed !== 0 && `seed ${request.seed}`,
    !(shifts.length === 32 && shifts.at(-1) === 32) && `shifts ${ranges(shifts)}`,
    angles.length !== 3 && `rotations ${angles.join(", ") || "none"}`,
    request.similarity !== "correlation" && request.similarity,
    request.border !== "crop" && `border ${request.border}`,
    request.precision !== "float32" && request.precision,
    request.tolerance != null && `tolerance ${request.tolerance}`,
    request.baseline && "baseline",
    request.repetition > 0 && `repetition ${request.repetition}`,
  ].filter(Boolean);
}

/** Status and progress of one audit: { node, update(audit) }. */
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
    },
  };
}

/** "measuring 640 of 2,560, 40 s left"; for an audit that has ended, nothing but how long it took. */
export function progressText(audit) {
  const now = audit.progress;
  if (audit.status === "succeeded" && audit.started_at && audit.finished_at) {
    return `in ${duration((new Date(audit.finished_at) - new Date(audit.started_at)) / 1000)}`;
  }
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
