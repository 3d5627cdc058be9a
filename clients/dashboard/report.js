// One audit: its report when it succeeded, otherwise what has become of it.

import { request, sentence } from "./api.js";
import { isFinal, progressView, weightsBadge } from "./audits.js";
import { drawParts, legend } from "./chart.js";
import { breakable, byId, count, duration, element, moment, ranges, setText } from "./dom.js";

const panel = byId("report");
let shown = {}; // which audit, and in what state, the panel shows
let progress, provisional, redraw;

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw?.());

export function showNothing() {
  if (!change(null, "nothing")) return;
  fill(heading("Report"), element("p", { class: "note" }, "Select an audit to read its report."));
}

export function showLoading(id) {
  if (shown.id !== id && change(id, "loading")) fill(heading("Report"), element("p", { class: "note" }, "Loading…"));
}

export function showMissing(id, error) {
  if (change(id, "missing")) fill(heading("Report"), element("p", { class: "notice bad" }, error.message));
}

/** Shows an audit; called after every poll, and changes only what has changed. */
export async function showAudit(audit) {
  if (!change(audit.id, audit.status)) {
    progress?.update(audit);
    if (!isFinal(audit)) showProvisional(audit);
    return;
  }
  progress = isFinal(audit) ? undefined : progressView();
  progress?.update(audit);
  const { request: asked } = audit;
  const head = [heading(asked.model), element("p", { class: "badges" }, weightsBadge(asked.weights), ` ${asked.dataset}`)];
  if (audit.status === "succeeded") {
    fill(...head, element("p", { class: "note" }, "Loading the report…"));
    await showReport(audit);
  } else if (audit.status === "failed") {
    fill(...head, ...problemView(audit.error));
  } else if (audit.status === "canceled") {
    fill(...head, element("p", { class: "notice" }, "This audit was canceled. Submit it again to run it again."));
  } else {
    provisional = element("div", { "aria-live": "off" });
    fill(...head, progress.node, provisional, element("p", { class: "note" }, "The report appears here when the audit has ended."));
    showProvisional(audit);
  }
}

/** The scores so far, while an audit is measuring. */
function showProvisional(audit) {
  const now = audit.progress.provisional;
  if (!now) return;
  const caption = `So far, from ${count(now.images)} images (95 % confidence intervals)`;
  provisional.replaceChildren(partsTable(now.parts, caption));
}

/** Whether the panel has to be filled anew. */
function change(id, state) {
  if (shown.id === id && shown.state === state) return false;
  shown = { id, state };
  return true;
}

function fill(...children) {
  redraw = undefined;
  const focused = panel.contains(document.activeElement);
  panel.replaceChildren(...children.filter(Boolean));
  if (focused) byId("report-heading").focus({ preventScroll: true }); // a keyboard's place is not lost to a new state
}

const heading = (text) => element("h2", { id: "report-heading", tabindex: "-1" }, ...breakable(text));

function problemView(problem) {
  const told = problem ?? { title: "Failed", detail: "The service gives no reason" };
  const names = (told.suggestions ?? []).filter((name) => !told.detail.includes(name));
  return [
    element("div", { class: "notice bad" },
      element("strong", {}, told.title), element("p", {}, sentence(told)),
      names.length > 0 && element("p", {}, `Did you mean ${names.join(" or ")}?`)),
    element("p", { class: "note" }, "Submit it again to run it again."),
  ];
}

async function showReport(audit) {
  const path = `/audit/${encodeURIComponent(audit.id)}/report`;
  let report;
  try {
    report = (await request(path)).body;
  } catch (error) {
    if (shown.id !== audit.id) return;
    const again = element("button", { type: "button", onclick: () => showReport(audit) }, "Try again");
    fill(heading(audit.request.model), element("p", { class: "notice bad" }, error.message), again);
    return;
  }
  if (shown.id !== audit.id) return; // another audit was selected meanwhile
  const { model, images } = report;
  const chart = element("div", { class: "chart", role: "img", "aria-label": "Bar chart of the table's numbers" });
  const note = element("p", { class: "note" });
  fill(
    heading(model.name),
    element("p", { class: "badges" }, weightsBadge(audit.request.weights), ` ${images.dataset}, ${count(images.count)} images`),
    model.weights.kind === "untrained" &&
      element("p", { class: "notice warn" }, element("strong", {}, "Untrained weights. "),
        "These scores are the architecture’s own equivariance, not that of a trained model."),
    partsTable(report.parts, "Equivariance by depth, from 0 to 1; at Pool and Final, invariance; ± half of a 95 % confidence interval"),
    ...reasons(report), report.borders && bordersTable(report.borders), report.baseline && baselineTable(report.baseline),
    element("figure", {}, legend(), chart, note),
    provenance(report),
    element("p", {}, element("a", { href: path, download: `${audit.id}.json` }, "Download the report as JSON")),
  );
  redraw = () => drawParts(chart, report.parts).catch((error) => setText(note, error.message));
  redraw();
}

const column = (text) => element("th", { scope: "col" }, text);

/** A score, and half of its confidence interval below it. */
function score(value, interval) {
  const half = interval && element("small", { class: "half" }, `±${((interval[1] - interval[0]) / 2).toFixed(3)}`);
  return element("td", {}, value == null ? "–" : value.toFixed(3), half);
}

/** Translation under each border, side by side: what differs is the border's. */
function bordersTable(borders) {
  const rows = Object.keys(Object.values(borders)[0]).map((name) =>
    element("tr", {}, element("th", { scope: "row" }, name), ...Object.values(borders).map((parts) =>
      score(parts[name].translation.channel, parts[name].translation.channel_interval))));
  return element("table", { class: "parts" }, element("caption", {}, "Translation channel by border"),
    element("thead", {}, element("tr", {}, column("Part"), ...Object.keys(borders).map(column))), element("tbody", {}, ...rows));
}

/** What the weights have beyond the untrained architecture. */
function baselineTable(baseline) {
  const rows = Object.entries(baseline.parts).map(([name, part]) =>
    element("tr", {}, element("th", { scope: "row" }, name), ...[part.translation, part.rotation].flatMap(({ channel }) =>
      [channel.untrained, channel.difference].map(({ value, interval }) => score(value, interval)))));
  const columns = ["Part", "Translation untrained", "learned", "Rotation untrained", "learned"];
  return element("table", { class: "parts" }, element("caption", {}, "Channel equivariance of the untrained architecture, and what is learned beyond it"),
    element("thead", {}, element("tr", {}, ...columns.map(column))), element("tbody", {}, ...rows));
}

function partsTable(parts, caption) {
  const counted = Object.values(parts).some((part) => part.blocks != null); // what is provisional has no count
  const rows = Object.entries(parts).map(([name, part]) =>
    element("tr", {}, element("th", { scope: "row" }, name), counted && element("td", {}, String(part.blocks)),
      ...[part.translation, part.rotation].flatMap((kind) =>
        [score(kind.channel, kind.channel_interval), score(kind.layer, kind.layer_interval)])));
  return element("table", { class: "parts" },
    element("caption", {}, caption),
    element("colgroup"), counted && element("colgroup"), element("colgroup", { span: 2 }), element("colgroup", { span: 2 }),
    element("thead", {},
      element("tr", {}, element("th", { scope: "col", rowspan: 2 }, "Part"), counted && element("th", { scope: "col", rowspan: 2 }, "Blocks"),
        element("th", { scope: "colgroup", colspan: 2 }, "Translation"), element("th", { scope: "colgroup", colspan: 2 }, "Rotation")),
      element("tr", {}, column("channel"), column("layer"), column("channel"), column("layer"))),
    element("tbody", {}, ...rows));
}

/** Why a score of a part is missing, once for each reason. */
function reasons(report) {
  const told = Object.entries(report.parts).flatMap(([name, part]) =>
    [part.translation.reason, part.rotation.reason].filter(Boolean).map((reason) => `${name}: ${reason}`));
  return [...new Set(told)].map((text) => element("p", { class: "note" }, text));
}

function provenance(report) {
  const { model, images, method, environment, timing } = report;
  const code = (text) => element("code", {}, text);
  const list = element("dl");
  const add = (term, ...values) => list.append(element("dt", {}, term), element("dd", {}, ...values));
  add("Weights", element("strong", {}, model.weights.kind), ` · ${model.weights.origin}`);
  add("SHA-256 of the weights", code(model.weights.sha256));
  const top1 = model.imagenet_top1 == null ? "" : ` · ImageNet top-1 ${model.imagenet_top1.toFixed(2)} %, as the zoo states it`;
  add("Model", `${model.architecture} (${model.family}, ${model.source}) · ${count(model.parameters)} parameters · `
    + `${model.input_size} px${top1}`);
  const skipped = images.skipped.length ? ` · ${images.skipped.length} could not be decoded` : "";
  add("Images", `${images.dataset} · ${count(images.count)} · seed ${images.seed}${skipped}`);
  add("SHA-256 of the list", code(images.sha256));
  add("Method", `${method.similarity} · border ${method.border} · ${method.precision} · shifts ${ranges(method.translations_px)} px · `
    + `rotations ${method.rotations_deg.join("°, ") || "none"}${method.rotations_deg.length ? "°" : ""} · `
    + `resize ${method.resize}, canvas ${method.canvas_size} px · protocol ${report.protocol}`);
  add("Environment", `zooaudit ${environment.zooaudit} · Python ${environment.python} · torch ${environment.torch} · `
    + `timm ${environment.timm} · torchvision ${environment.torchvision} · ${environment.device}`);
  add("Time", `${moment(timing.finished_at)} · ${duration(timing.seconds)} · ${count(timing.forward_images)} forward images · `
    + `${timing.images_per_second.toFixed(1)} a second`);
  return element("details", { class: "provenance", open: true }, element("summary", {}, "Provenance"), list);
}
