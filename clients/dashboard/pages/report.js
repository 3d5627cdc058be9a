// The page of one audit: its report when it has succeeded, otherwise what becomes of it.

import { change, fresh, sentence } from "../lib/api.js";
import { blocksTable } from "../widgets/block-table.js";
import { download, reportCsv } from "../lib/csv.js";
import { announceChanges, breakable, element, scrollable } from "../lib/dom.js";
import { figurePanels } from "../widgets/figures.js";
import { count, duration, fixed, millions } from "../lib/format.js";
import { baselineTable, bordersTable, partsTable, reasons } from "../widgets/part-tables.js";
import { isFinal, progressView, weightsBadge } from "../widgets/progress.js";
import { provenance } from "../widgets/provenance.js";
import { unusual } from "../widgets/audit-row.js";
import { go, href, params } from "../lib/url.js";

const BUSY_MS = 1000;
const CAPTION = "Equivariance by depth, from 0 to 1; at Pool and Final, invariance; ± half of a 95 % confidence interval";
const FIGURES = [
  ["parts", "By part", "channel and layer equivariance of the five parts under translation and rotation, as in the table of parts"],
  ["shifts", "By shift", "translation equivariance of each part under each shift; the CSV file has the numbers"],
  ["depth", "Through the depth", "channel and layer equivariance of every block, as in the table of blocks"],
];

export function reportPage(root, id, { fault }) {
  const path = `/audit/${encodeURIComponent(id)}`;
  const heading = element("h1", { tabindex: -1 }, "Audit");
  const badges = element("p", { class: "badges" });
  const actions = element("div", { class: "bar actions" });
  const body = element("div", { class: "body" }, element("p", { class: "note" }, "Loading…"));
  const crumbs = element("nav", { "aria-label": "Breadcrumb", class: "crumbs" }, element("a", { class: "home", href: "/" }, "Audits"), " / ", "Report");
  root.append(crumbs, element("header", { class: "bar head" }, element("div", {}, heading, badges), actions), body);
  let shown = null, model = "Audit"; // which status the body shows
  let progress, provisional, blocks, refreshNow;

  return {
    title: () => `${model} · zooaudit`,
    heading: () => heading,
    onRefresh: (now) => (refreshNow = now),
    show: () => void blocks?.show(params().get("sort")),
    async refresh(signal) {
      let audit;
      try {
        audit = await fresh(path, signal);
      } catch (error) {
        if (![404, 422].includes(error.problem?.status)) throw error;
        body.replaceChildren(element("p", { class: "notice bad" }, error.message));
        return null;
      }
      announceChanges([audit]);
      showHead(audit);
      if (audit.status !== shown) await showStatus(audit, signal);
      shown = audit.status;
      progress?.update(audit);
      showProvisional(audit);
      return isFinal(audit) ? null : BUSY_MS;
    },
  };

  function showHead(audit) {
    const { request } = audit;
    if (model === request.model) return;
    model = request.model;
    heading.replaceChildren(...breakable(model));
    const details = [request.dataset, `${count(request.num_images)} images`, ...unusual(request)].join(" · ");
    badges.replaceChildren(weightsBadge(request.weights), ` ${details}`);
  }

  async function showStatus(audit, signal) {
    progress = provisional = blocks = undefined;
    if (audit.status === "succeeded") return showReport(audit, signal);
    if (audit.status === "failed") return showEnd(audit, problemView(audit.error));
    if (audit.status === "canceled") return showEnd(audit, element("p", { class: "notice" }, "This audit was canceled."));
    progress = progressView();
    provisional = element("div");
    actions.replaceChildren(button("Cancel", () => change(path, { method: "DELETE" })));
    body.replaceChildren(element("section", { class: "card wide" }, progress.node, provisional,
      element("p", { class: "note" }, "The report appears here when the audit has ended.")));
  }

  /** An audit that has ended without a report: why, and a way to run it again. */
  function showEnd(audit, why) {
    actions.replaceChildren(button("Run again", async () => {
      // A checkpoint may have been mended since: that is another audit.
      const again = await change("/audit", { method: "POST", body: { ...audit.request, checkpoint_version: undefined } });
      go(href({ audit: again.id }));
    }, "primary"));
    body.replaceChildren(element("section", { class: "card wide" }, why));
  }

  function button(label, action, kind = "") {
    const made = element("button", { type: "button", class: kind }, label);
    made.addEventListener("click", async () => {
      made.disabled = true;
      try {
        await action();
        heading.focus({ preventScroll: true }); // the button goes away
      } catch (error) {
        fault(error.message);
      }
      made.disabled = false;
      refreshNow();
    });
    return made;
  }

  /** The scores so far, while an audit is measuring. */
  function showProvisional(audit) {
    const now = audit.progress.provisional;
    if (!provisional || !now || provisional.dataset.images === String(now.images)) return;
    provisional.dataset.images = now.images;
    const caption = `So far, from ${count(now.images)} images (± half of a 95 % confidence interval)`;
    provisional.replaceChildren(scrollable("Scores so far", partsTable(now.parts, caption)));
  }

  async function showReport(audit, signal) {
    body.replaceChildren(element("p", { class: "note wide" }, "Loading the report…"));
    let report;
    try {
      report = await fresh(`${path}/report`, signal);
    } catch (error) {
      if (error.problem?.status !== 404) throw error;
      return showEnd(audit, element("p", { class: "notice bad" }, error.message));
    }
    const figures = figurePanels(FIGURES, { titled: false });
    blocks = blocksTable(report.blocks);
    blocks.show(params().get("sort"));
    actions.replaceChildren(
      element("a", { class: "button", href: href({ model: report.model.name }) }, "Model"),
      element("a", { class: "button", href: href({ ticked: audit.id }) }, "Compare with…"),
      element("a", { class: "button", href: `${path}/report`, download: `${audit.id}.json` }, "JSON"),
      element("button", { type: "button", onclick: () => download(`${audit.id}.csv`, reportCsv(report), "text/csv;charset=utf-8") }, "CSV"));
    body.replaceChildren(...[
      summary(report),
      card("Parts", "", scrollable("Scores by part", partsTable(report.parts, CAPTION)), ...reasons(report.parts), figures.note),
      ...FIGURES.map(([name]) => figures.of(name)),
      report.baseline && card("Learned", "wide", scrollable("Scores beside the untrained architecture", baselineTable(report.baseline))),
      report.borders && card("Borders", "wide", scrollable("Scores by border", bordersTable(report.borders))),
      report.cosine && card("Cosine", "wide",
        scrollable("Scores by cosine", partsTable(report.cosine.parts, "The same by cosine similarity")), activation(report.cosine)),
      card("Blocks", "wide", blocks.node),
      card("Provenance", "wide", provenance(report)),
    ].filter(Boolean));
    figures.load(`${path}/figures`, signal);
  }
}

const card = (title, kind, ...children) => element("section", { class: `card ${kind}` }, element("h2", {}, title), ...children);

/** What one looks for first. */
function summary({ model, images, timing }) {
  const known = [
    ["ImageNet top-1", model.imagenet_top1 == null ? "not stated" : `${model.imagenet_top1.toFixed(2)} %`],
    ["Parameters", millions(model.parameters)],
    ["Input", `${model.input_size} px`],
    ["Family", model.family],
    ["Images", count(images.count)],
    ["Measured in", duration(timing.seconds)],
  ];
  const untrained = model.weights.kind === "untrained" && element("p", { class: "notice warn" }, element("strong", {}, "Untrained weights. "),
    "These scores are the architecture’s own equivariance, not that of a trained model.");
  return element("div", { class: "summary wide" }, untrained, facts(known));
}

/** [term, value] pairs side by side. */
export const facts = (pairs) => element("dl", { class: "facts card wide" },
  pairs.map(([term, value]) => element("div", {}, element("dt", {}, term), element("dd", {}, value))));

/** How far each similarity follows the activations' magnitude. */
function activation({ activation: check }) {
  const part = (transform) => `${transform === "translation" ? "Translation" : "Rotation"}: correlation ${fixed(check[transform].correlation, 2)}, cosine ${fixed(check[transform].cosine, 2)}`;
  return element("p", { class: "note" }, `Spearman’s rank correlation of the blocks’ scores with their mean activation. ${part("translation")}. ${part("rotation")}.`);
}

function problemView(problem) {
  const lines = element("div", { class: "notice bad" }, element("p", {}, element("strong", {}, problem.title)), element("p", {}, sentence(problem)));
  if (problem.suggestions?.length) lines.append(element("p", {}, `Close matches: ${problem.suggestions.join(", ")}`));
  return lines;
}
