// The page of several audits side by side, and of how their scores go with accuracy.

import { fresh } from "../lib/api.js";
import { download } from "../lib/csv.js";
import { element, scrollable, setText } from "../lib/dom.js";
import { figurePanels } from "../widgets/figures.js";
import { count, ranges } from "../lib/format.js";
import { comparisonCsv, comparisonTable } from "../widgets/comparison-table.js";
import { relationsTable, residualsTable } from "../widgets/accuracy-tables.js";
import { unusual } from "../widgets/audit-row.js";
import { changed, go, href, params } from "../lib/url.js";

const FIGURES = [
  ["parts", "By part", "channel and layer equivariance of the five parts of each model, as in the table"],
  ["accuracy", "Against accuracy", "each score against ImageNet top-1 accuracy, as in the tables of correlation and of residuals"],
  ["depth", "Through the depth", "equivariance of the blocks of each model; each report has a table of them"],
  ["shifts", "By shift", "translation equivariance of each part of each model under each shift; each report’s CSV file has the numbers"],
];

export function comparePage(root, list) {
  const ids = list.split(",").filter(Boolean);
  const heading = element("h1", { tabindex: -1 }, `Comparison of ${ids.length} audits`);
  const method = element("p", { class: "badges" });
  const kinds = ["channel", "layer"].map((kind) => element("a", { href: "/" }, kind));
  const kindSwitch = element("nav", { class: "switch", "aria-label": "Kind of equivariance", hidden: true }, kinds);
  const actions = element("div", { class: "bar actions" });
  const body = element("div", { class: "body" }, element("p", { class: "note" }, "Loading…"));
  root.append(
    element("nav", { "aria-label": "Breadcrumb", class: "crumbs" }, element("a", { class: "home", href: "/" }, "Audits"), " / ", "Comparison"),
    element("header", { class: "bar head" }, element("div", {}, heading, method), kindSwitch, actions), body);
  let comparison = null, asked = null, figures, figuresAsked = null, sections;

  return {
    title: () => `${heading.textContent} · zooaudit`,
    heading: () => heading,
    show,
    async refresh(signal) {
      const query = dataQuery();
      try {
        comparison = await fresh(`/comparison?${query}`, signal);
      } catch (error) {
        if (![404, 409, 422].includes(error.problem?.status)) throw error;
        comparison = sections = null;
        kindSwitch.hidden = true;
        actions.replaceChildren();
        asked = query;
        refuse(error);
        return null;
      }
      asked = query;
      show();
      return null;
    },
  };

  function dataQuery() {
    const top1 = params().get("top1");
    return `audits=${ids.map(encodeURIComponent).join(",")}${top1 ? `&top1=${encodeURIComponent(top1)}` : ""}`;
  }

  /** Shows what there is; whether the service has to be asked again. */
  function show() {
    const now = params();
    const kind = now.get("kind") === "layer" ? "layer" : "channel";
    for (const link of kinds) {
      link.href = changed({ kind: link.textContent === "channel" ? null : link.textContent });
      if (link.textContent === kind) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    kindSwitch.hidden = !comparison;
    if (comparison) showComparison(now, kind);
    return asked !== dataQuery();
  }

  function showComparison(now, kind) {
    if (!sections) build();
    setText(method, methodOf(comparison.method));
    actions.replaceChildren(
      element("a", { class: "button", href: `/comparison?${asked}`, download: "comparison.json" }, "JSON"),
      element("button", { type: "button", onclick: () => download("comparison.csv", comparisonCsv(comparison), "text/csv;charset=utf-8") }, "CSV"));
    sections.table.show(comparison, kind, now.get("sort"));
    const related = sections.relations.show(comparison, kind);
    figures.of("accuracy").hidden = sections.residuals.card.hidden = !related;
    sections.residuals.show(comparison, kind, now.get("residuals"));
    const wanted = `/comparison/figures?${asked}${kind === "layer" ? "&score=layer" : ""}`;
    if (wanted === figuresAsked) return;
    figuresAsked = wanted;
    figures.load(wanted);
  }

  function build() {
    figures = figurePanels(FIGURES);
    figuresAsked = null;
    const card = (title, ...children) => element("section", { class: "card wide" }, element("h2", {}, title), ...children);
    sections = { table: comparisonTable({ onTop1: setTop1, without }), relations: relationsTable(), residuals: residualsTable() };
    sections.residuals.card = card("Equivariance given accuracy", scrollable("Residuals", sections.residuals.node));
    body.replaceChildren(
      card("Scores", scrollable("Scores of all audits", sections.table.node), figures.note),
      figures.of("parts"), figures.of("depth"), figures.of("shifts"), figures.of("accuracy"),
      card("Equivariance and accuracy", sections.relations.note, scrollable("Correlation with accuracy", sections.relations.node)),
      sections.residuals.card);
  }

  /** The accuracies in the address are in the order of the audits; blank ones are the zoo's own. */
  function setTop1(id, value) {
    const given = (params().get("top1") ?? "").split(",");
    const all = ids.map((one, index) => (one === id ? value : given[index] ?? ""));
    go(changed({ top1: all.some(Boolean) ? all.join(",") : null }), { replace: true });
  }

  /** The address of this comparison without one of its audits. */
  function without(id) {
    const given = (params().get("top1") ?? "").split(",");
    const rest = ids.map((one, index) => [one, given[index] ?? ""]).filter(([one]) => one !== id);
    const top1 = rest.map(([, value]) => value);
    return changed({ compare: rest.map(([one]) => one).join(","), top1: top1.some(Boolean) ? top1.join(",") : null });
  }

  /** Why these audits do not compare, and each with a way to leave it out. */
  function refuse({ problem, message }) {
    const differences = (problem.errors ?? []).map(({ field, message: values }) => element("li", {}, element("strong", {}, field), `: ${values}`));
    const items = ids.map((id) => {
      const link = element("a", { href: href({ audit: id }) }, element("code", {}, id));
      const what = element("span", { class: "note" });
      fresh(`/audit/${encodeURIComponent(id)}`).then(({ request }) => {
        link.textContent = request.model;
        what.textContent = [request.dataset, `${count(request.num_images)} images`, ...unusual(request)].join(" · ");
      }, () => setText(what, "There is no such audit."));
      return element("li", {}, link, " ", what, " ", ids.length > 2 && element("a", { href: without(id) }, "Leave out"));
    });
    body.replaceChildren(element("section", { class: "card wide" },
      element("div", { class: "notice bad" }, element("p", {}, element("strong", {}, `${problem.title}. `),
        differences.length ? problem.detail.split(":")[0] + "." : message), differences.length > 0 && element("ul", {}, differences)),
      element("h2", {}, "The audits"), element("ul", { class: "plain" }, items)));
  }
}

const methodOf = (method) => [
  method.dataset, `${count(method.num_images)} images, seed ${method.seed}`, `shifts ${ranges(method.translations_px)} px`,
  `rotations ${method.rotations_deg.join("°, ") || "none"}${method.rotations_deg.length ? "°" : ""}`, method.similarity, `border ${method.border}`,
  method.precision, method.tolerance != null && `tolerance ${method.tolerance}`, `protocol ${method.protocol}`,
].filter(Boolean).join(" · ");
