// The page of a comparison: several audits side by side, and how their scores relate to accuracy.

import { fresh } from "../lib/api.js";
import { methodSummary, requestSummary } from "../lib/audit.js";
import { comparisonCsv } from "../lib/csv.js";
import { element, scrollable, setText } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { fieldLabel } from "../lib/problems.js";
import { SCORE_NAMES } from "../lib/scores.js";
import { changed, go, href, params } from "../lib/url.js";
import { correlationTable, residualsTable } from "../widgets/accuracy-tables.js";
import { comparisonTable } from "../widgets/comparison-table.js";
import { differenceTable } from "../widgets/difference-table.js";
import { figurePanels, isDrawn } from "../widgets/figures.js";
import { csvButton, jsonButton } from "../widgets/file-buttons.js";
import { comparedMeasures } from "../widgets/other-measures.js";
import { columns, pageLayout, wideCard } from "../widgets/page-layout.js";

const FIGURES = [
  ["parts", "By part", "channel and layer equivariance of the five parts of each model, as in the table"],
  ["depth", "Through the depth", "equivariance of the blocks of each model; each report has a table of them"],
  ["shifts", "By shift", "translation equivariance of each part of each model under each shift; each report’s CSV file has the numbers"],
  ["agreement", "Top-1 agreement", "how often the class that each model predicts stays the same under each transform, beside its score at Final"],
  ["warps", "By warp", "equivariance of each part of each model under each warp; each report has tables of them"],
  ["deformations", "By deformation", "how far deformations move the representations of each model; each report has a table of them"],
  ["local_error", "Local error", "local equivariance error of the blocks of each model for each generator; each report’s CSV file has the numbers"],
  ["variance", "Variance", "variance over the transforms of each kind by that over images, of the blocks of each model; each report’s CSV file has the numbers"],
  ["accuracy", "Against accuracy", "each score against ImageNet top-1 accuracy, as in the tables of correlation and of residuals"],
];

/** `idList` is the ids of the audits, with commas between them. */
export function comparisonPage(root, idList, { showBanner }) {
  const ids = idList.split(",").filter(Boolean);
  const scoreLinks = SCORE_NAMES.map((scoreName) => element("a", { href: href({}) }, scoreName));
  const scoreSwitch = element("nav", { class: "switch", "aria-label": "Kind of equivariance", hidden: true }, scoreLinks);
  const { heading, note, actions, body } = pageLayout(root, "Comparison", `Comparison of ${plural(ids.length, "audit")}`, scoreSwitch);
  let answeredQuery = null, comparison = null; // the last query that the service answered, and the answer unless it refused
  let view = null; // the tables and figures, once there is a comparison

  return {
    title: () => `${heading.textContent} · zooaudit`,
    heading: () => heading,
    show,
    async refresh(signal) {
      const query = serviceQuery();
      try {
        comparison = await fresh(`comparison?${query}`, signal);
      } catch (error) {
        if (![404, 409, 422].includes(error.problem?.status)) throw error;
        comparison = view = null;
        scoreSwitch.hidden = true;
        actions.replaceChildren();
        answeredQuery = query;
        showRefusal(error);
        return null;
      }
      answeredQuery = query;
      show();
      return null;
    },
  };

  function serviceQuery() {
    const optional = ["top1", "reference"].flatMap((name) => {
      const value = params().get(name);
      return value ? [`&${name}=${encodeURIComponent(value)}`] : [];
    });
    return `audits=${ids.map(encodeURIComponent).join(",")}${optional.join("")}`;
  }

  /** Shows the comparison with the score and the order that the address names; returns whether another must be fetched. */
  function show() {
    const query = params();
    const shownScore = query.get("kind") === "layer" ? "layer" : "channel";
    SCORE_NAMES.forEach((scoreName, index) => {
      scoreLinks[index].href = changed({ kind: scoreName === "channel" ? null : scoreName });
      if (scoreName === shownScore) scoreLinks[index].setAttribute("aria-current", "true");
      else scoreLinks[index].removeAttribute("aria-current");
    });
    scoreSwitch.hidden = !comparison;
    if (comparison) showComparison(query, shownScore);
    return answeredQuery !== serviceQuery();
  }

  function showComparison(query, scoreName) {
    view ??= buildView();
    setText(note, methodSummary(comparison.method));
    actions.replaceChildren(
      element("a", { class: "button", href: href({ "second-opinion": ids.join(","), top1: query.get("top1") }) }, "Second opinion"),
      jsonButton(`comparison?${answeredQuery}`, "comparison.json", showBanner),
      csvButton("comparison.csv", () => comparisonCsv(comparison)));
    view.scores.show(comparison, scoreName, query.get("sort"));
    view.differences.show(comparison, scoreName, query.get("differences"));
    const correlated = view.correlations.show(comparison, scoreName);
    view.figures.panel("accuracy").hidden = view.residualsCard.hidden = !correlated;
    view.residuals.show(comparison, scoreName, query.get("residuals"));
    const figuresPath = `comparison/figures?${answeredQuery}${scoreName === "layer" ? "&score=layer" : ""}`;
    if (figuresPath === view.figuresPath) return;
    view.figuresPath = figuresPath;
    view.figures.load(figuresPath);
  }

  function buildView() {
    const shown = FIGURES.filter(([name]) => isDrawn(name, comparison.method));
    const figures = figurePanels(shown);
    const scores = comparisonTable({ onTop1: setTop1, without });
    const differences = differenceTable({ onReference: setReference });
    const correlations = correlationTable();
    const residuals = residualsTable();
    const residualsCard = wideCard("Equivariance given accuracy", scrollable("Residuals", residuals.node));
    body.replaceChildren(
      wideCard("Scores", scrollable("Scores of all audits", scores.node), figures.note),
      wideCard("Differences", differences.choice, scrollable("Differences from the reference", differences.node)),
      columns(shown.map(([name]) => figures.panel(name))),
      wideCard("Equivariance and accuracy", correlations.note, scrollable("Correlation with accuracy", correlations.node)),
      residualsCard,
      ...comparedMeasures(comparison));
    return { scores, differences, correlations, residuals, residualsCard, figures, figuresPath: null };
  }

  /** [id, accuracy] pairs: the accuracies in the address are in the order of the audits; blank ones are the zoo's own. */
  function top1Pairs() {
    const values = (params().get("top1") ?? "").split(",");
    return ids.map((id, index) => [id, values[index] ?? ""]);
  }

  /** The accuracies of these pairs as the address has them. */
  function top1List(pairs) {
    return pairs.some(([, value]) => value) ? pairs.map(([, value]) => value).join(",") : null;
  }

  function setTop1(audit, text) {
    go(changed({ top1: top1List(top1Pairs().map(([id, value]) => [id, id === audit ? text : value])) }), { replace: true });
  }

  function setReference(id) {
    go(changed({ reference: id === ids[0] ? null : id }), { replace: true });
  }

  /** The address of this comparison without one of its audits. */
  function without(audit) {
    const others = top1Pairs().filter(([id]) => id !== audit);
    const isReference = params().get("reference") === audit;
    return changed({ compare: others.map(([id]) => id).join(","), top1: top1List(others), ...(isReference && { reference: null }) });
  }

  /** Shows why these audits cannot be compared, and for each a link to leave it out. */
  function showRefusal({ problem, message }) {
    const isMethod = problem.type?.endsWith(":methods-differ"); // then each error is a setting in which the audits differ
    const differences = isMethod ? problem.errors.map(({ field, message: values }) => element("li", {}, element("strong", {}, fieldLabel(field)), `: ${values}`)) : [];
    const audits = ids.map((id) => {
      const link = element("a", { href: href({ audit: id }) }, element("code", {}, id));
      const details = element("span", { class: "note" });
      fresh(`audit/${encodeURIComponent(id)}`).then(({ request }) => {
        link.textContent = request.model;
        details.textContent = requestSummary(request);
      }, (error) => setText(details, error.message));
      return element("li", {}, link, " ", details, " ", ids.length > 2 && element("a", { href: without(id) }, "Leave out"));
    });
    body.replaceChildren(element("section", { class: "card wide" },
      element("div", { class: "notice bad" }, element("p", {}, element("strong", {}, `${problem.title}. `), message), differences.length > 0 && element("ul", {}, differences)),
      element("h2", {}, "The audits"), element("ul", { class: "plain" }, audits)));
  }
}
