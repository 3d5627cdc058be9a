// The page of one audit: its report when it has succeeded, otherwise its progress or why it ended.

import { change, fresh } from "../lib/api.js";
import { isFinal, requestSummary } from "../lib/audit.js";
import { reportCsv } from "../lib/csv.js";
import { announceChanges, breakable, element, keepFocus, scrollable } from "../lib/dom.js";
import { count, duration, fixed, millions, plural } from "../lib/format.js";
import { sentence } from "../lib/problems.js";
import { askedTransforms, transformLabel } from "../lib/scores.js";
import { term } from "../lib/terms.js";
import { go, href, params } from "../lib/url.js";
import { annotationsCard } from "../widgets/annotations.js";
import { blockMeasures } from "../widgets/block-measures.js";
import { blockTable } from "../widgets/block-table.js";
import { figurePanels, isDrawn } from "../widgets/figures.js";
import { csvButton, jsonButton } from "../widgets/file-buttons.js";
import { otherMeasures } from "../widgets/other-measures.js";
import { columns, facts, modelLinks, pageLayout, wideCard } from "../widgets/page-layout.js";
import { agreementTable, baselineTable, bordersTable, missingReasons, partsTable, warpTables } from "../widgets/part-tables.js";
import { progressView } from "../widgets/progress.js";
import { provenance } from "../widgets/provenance.js";
import { readingCard } from "../widgets/reading.js";
import { shardsView } from "../widgets/shards.js";
import { weightsBadge } from "../widgets/weights-badge.js";

const BUSY_MS = 1000;
/** What the numbers of a table of parts are, with `start` before it. */
const caption = (...start) => [...start, term("equivariance", "equivariance"), " by depth, from 0 (none) to 1 (perfect); at Pool and Final ",
  term("invariance", "invariance"), "; ± ", term("interval", "half of a 95 % confidence interval")];
const FIGURES = [
  ["parts", "By part", "channel and layer equivariance of the five parts under each kind of transform, as in the table of parts"],
  ["shifts", "By shift", "translation equivariance of each part under each shift; the CSV file has the numbers"],
  ["agreement", "Top-1 agreement", "how often the predicted class stays the same under each transform, beside the scores of Final; the CSV file has the numbers"],
  ["depth", "Through the depth", "channel and layer equivariance of every block, as in the table of blocks"],
  ["warps", "By warp", "equivariance of each part under each warp, as in the tables of warps"],
  ["deformations", "By deformation", "how far deformations move the representations, as in the table of deformations"],
  ["local_error", "Local error", "local equivariance error of every block for five generators; the table of local errors has the parts, the CSV file all numbers"],
  ["variance", "Variance", "variance over the transforms of each kind by that over images, of every block; the CSV file has the numbers"],
];

export function reportPage(root, id, { showBanner }) {
  const path = `audit/${encodeURIComponent(id)}`;
  const { heading, note, actions, body } = pageLayout(root, "Report", "Audit");
  let model = "Audit", shownStatus = null; // what the heading and the body show
  let progress, shards, provisional, blocks, refreshNow;
  const written = annotationsCard(id, { onChange: () => refreshNow(), onDeleted: () => go(href({})), showBanner });

  return {
    title: () => `${model} · zooaudit`,
    heading: () => heading,
    setRefreshNow: (refresh) => (refreshNow = refresh),
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
      showRequest(audit.request);
      written.update(audit);
      if (audit.status !== shownStatus) await showStatus(audit, signal);
      shownStatus = audit.status;
      progress?.update(audit);
      shards?.update(audit.sharing);
      showProvisional(audit);
      return isFinal(audit) ? null : BUSY_MS;
    },
  };

  function showRequest(request) {
    if (model === request.model) return;
    model = request.model;
    heading.replaceChildren(...breakable(model));
    note.replaceChildren(weightsBadge(request.weights), ` ${requestSummary(request)}`);
  }

  async function showStatus(audit, signal) {
    progress = shards = provisional = blocks = undefined;
    if (audit.status === "succeeded") return showReport(audit, signal);
    if (audit.status === "failed") return showWithoutReport(audit, problemNotice(audit.error));
    if (audit.status === "canceled") return showWithoutReport(audit, element("p", { class: "notice" }, "This audit was canceled."));
    progress = progressView();
    shards = shardsView();
    provisional = element("div");
    actions.replaceChildren(actionButton("Cancel", "", () => change(path, { method: "DELETE" })));
    body.replaceChildren(element("section", { class: "card wide" }, progress.node, shards.node, provisional,
      element("p", { class: "note" }, "The report appears here when the audit has ended.")), written.node);
  }

  /** Shows why an audit ended without a report, and offers to run it again. */
  function showWithoutReport(audit, notice) {
    actions.replaceChildren(actionButton("Run again", "primary", async () => {
      // Somebody may have replaced the checkpoint since, which makes this another audit.
      const again = await change("audit", { method: "POST", body: { ...audit.request, checkpoint_version: undefined } });
      go(href({ audit: again.id }));
    }));
    body.replaceChildren(element("section", { class: "card wide" }, notice), written.node);
  }

  function actionButton(label, className, action) {
    const button = element("button", { type: "button", class: className, "data-needs": "submit" }, label);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await action();
        heading.focus({ preventScroll: true }); // the button goes away
      } catch (error) {
        showBanner(error.message);
      }
      button.disabled = false;
      refreshNow();
    });
    return button;
  }

  /** Shows the scores so far, while an audit is measuring. */
  function showProvisional(audit) {
    const scores = audit.progress.provisional;
    if (!provisional || !scores || provisional.dataset.images === String(scores.images)) return;
    provisional.dataset.images = scores.images;
    const transforms = askedTransforms(audit.request).filter((transform) => Object.values(scores.parts).some((part) => part[transform]));
    const start = `So far, from ${plural(scores.images, "image")}: `;
    keepFocus(provisional, () => provisional.replaceChildren(scrollable("Scores so far", partsTable(scores.parts, transforms, caption(start)))));
  }

  async function showReport(audit, signal) {
    body.replaceChildren(element("p", { class: "note wide" }, "Loading the report…"));
    let report;
    try {
      report = await fresh(`${path}/report`, signal);
    } catch (error) {
      if (error.problem?.status !== 404) throw error;
      return showWithoutReport(audit, element("p", { class: "notice bad" }, error.message));
    }
    const shown = FIGURES.filter(([name]) => isDrawn(name, report.method));
    const figures = figurePanels(shown, { titled: false });
    const transforms = askedTransforms(report.method);
    const inWords = readingCard();
    const warps = warpTables(report.parts);
    const agreement = agreementTable(report.parts.Final);
    blocks = blockTable(report.blocks, transforms, ({ name, part }) => (part === "Pool" || part === "Final" ? null : href({ explain: audit.id, block: name, image: 0 })));
    blocks.show(params().get("sort"));
    actions.replaceChildren(
      element("a", { class: "button", href: href({ model: report.model.name }) }, "Model"),
      element("a", { class: "button", href: href({ ticked: audit.id }) }, "Compare with…"),
      element("a", { class: "button", href: href({ "second-opinion": audit.id }) }, "Second opinion"),
      jsonButton(`${path}/report`, `${audit.id}.json`, showBanner),
      csvButton(`${audit.id}.csv`, () => reportCsv(report)));
    body.replaceChildren(...[
      inWords.node,
      summary(report),
      wideCard("Parts", scrollable("Scores by part", partsTable(report.parts, transforms, caption("Mean "))), ...missingReasons(report.parts, transforms),
        agreement && scrollable("Top-1 agreement", agreement), figures.note),
      columns(shown.map(([name]) => figures.panel(name))),
      warps.length > 0 && wideCard("Warps", ...warps.map(([label, table]) => scrollable(label, table))),
      ...otherMeasures(report),
      report.baseline && wideCard("Learned", scrollable("Scores beside the untrained architecture", baselineTable(report.baseline, transforms))),
      report.borders && transforms.includes("translation") && wideCard("Borders", scrollable("Scores by border", bordersTable(report.borders))),
      report.cosine && wideCard("Cosine",
        scrollable("Scores by cosine", partsTable(report.cosine.parts, transforms, "The same by cosine similarity")), activationNote(report.cosine.activation, transforms)),
      wideCard("Blocks", blocks.node, audit.imported && element("p", { class: "note" }, "This report was measured elsewhere: the maps behind “see it” can be made only where "
        + "this service has the same model, weights and images. Where it has not, their page says what is missing.")),
      blockMeasures(report.blocks),
      wideCard("Provenance", provenance(report)),
      written.node,
    ].filter(Boolean));
    inWords.load(`${path}/reading`, signal);
    figures.load(`${path}/figures`, signal);
  }
}

/** The facts that a reader looks for first. */
function summary({ model, images, timing }) {
  return element("div", { class: "summary wide" }, facts([
    ["ImageNet top-1", model.imagenet_top1 == null ? "not stated" : `${model.imagenet_top1.toFixed(2)} %`],
    ["Parameters", millions(model.parameters)],
    ["Input", `${model.input_size} px`],
    ["Family", model.family],
    ["Images", count(images.count)],
    // The seconds of several workers are added up.
    ["Measured in", duration(timing.workers ? (Date.parse(timing.finished_at) - Date.parse(timing.started_at)) / 1000 : timing.seconds)],
  ]));
}

/** How much each similarity depends on the magnitude of the activations. */
function activationNote(activation, transforms) {
  const sentences = transforms.map((transform) => {
    const { correlation, cosine } = activation[transform];
    return `${transformLabel(transform)}: correlation ${fixed(correlation, 2)}, cosine ${fixed(cosine, 2)}.`;
  });
  return element("p", { class: "note" }, `Spearman’s rank correlation of the blocks’ scores with their mean activation. ${sentences.join(" ")}`);
}

function problemNotice(problem) {
  const notice = element("div", { class: "notice bad" }, element("p", {}, element("strong", {}, problem.title)), element("p", {}, sentence(problem)));
  if (problem.suggestions?.length) notice.append(modelLinks(problem.suggestions));
  return notice;
}
