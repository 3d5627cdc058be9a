// The page of several audits side by side, and of how their scores go with accuracy.

import { fresh } from "./api.js";
import { download } from "./csv.js";
import { element, scrollable, setText } from "./dom.js";
import { figurePanels, forgetFigures } from "./figures.js";
import { ranges } from "./format.js";
import { comparisonCsv, comparisonTable } from "./compared.js";
import { relationsTable, residualsTable } from "./relations.js";
import { changed, go, href, params } from "./url.js";

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
  const actions = element("div", { class: "bar actions" });
  const body = element("div", { class: "body" }, element("p", { class: "note" }, "Loading…"));
  root.append(
    element("nav", { "aria-label": "Breadcrumb", class: "crumbs" }, element("a", { class: "home", href: "/" }, "Audits"), " / ", "Comparison"),
    element("header", { class: "bar head" }, element("div", {}, heading, method), element("span", { class: "spring" }),
      element("nav", { class: "switch", "aria-label": "Kind of equivariance" }, kinds), actions), body);
  forgetFigures();
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
    sections.relations.show(comparison, kind);
    sections.residuals.show(comparison, kind, now.get("residuals"));
    const wanted = `/comparison/figures?${asked}${kind === "layer" ? "&score=layer" : ""}`;
    if (wanted === figuresAsked) return;
    figuresAsked = wanted;
    figures.load(wanted);
  }

  function build() {
    figures = figurePanels(FIGURES);
    figuresAsked = null;
    sections = { table: comparisonTable({ onTop1: setTop1, without }), relations: relationsTable(), residuals: residualsTable() };
    const card = (title, ...children) => element("section", { class: "card" }, element("h2", {}, title), ...children);
    body.replaceChildren(
      card("Scores", scrollable("Scores of all audits", sections.table.node)),
      figures.node,
      card("Equivariance and accuracy", scrollable("Correlation with accuracy", sections.relations.node)),
      card("Equivariance given accuracy", scrollable("Residuals", sections.residuals.node)));
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

  function refuse(error) {
    const differences = (error.problem.errors ?? []).map(({ field, message }) => element("li", {}, element("strong", {}, field), ` ${message}`));
    const links = ids.map((id) => element("li", {}, element("a", { href: href({ audit: id }) }, element("code", {}, id)),
      " ", ids.length > 2 && element("a", { class: "note", href: without(id) }, "leave out")));
    body.replaceChildren(element("section", { class: "card" },
      element("div", { class: "notice bad" }, element("p", {}, element("strong", {}, error.problem.title)),
        differences.length ? element("ul", {}, differences) : element("p", {}, error.message)),
      element("h2", {}, "The audits"), element("ul", { class: "plain" }, links)));
  }
}

const methodOf = (method) => [
  method.dataset, `${method.num_images.toLocaleString("en-US")} images, seed ${method.seed}`, `shifts ${ranges(method.translations_px)} px`,
  `rotations ${method.rotations_deg.join("°, ") || "none"}${method.rotations_deg.length ? "°" : ""}`, method.similarity, `border ${method.border}`,
  method.precision, method.tolerance != null && `tolerance ${method.tolerance}`, `protocol ${method.protocol}`,
].filter(Boolean).join(" · ");
