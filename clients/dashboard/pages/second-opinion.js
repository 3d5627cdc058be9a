// The page of a second opinion: whether measures agree, over the blocks of one audit or over the models of several.

import { fresh } from "../lib/api.js";
import { agreementCsv } from "../lib/csv.js";
import { element, scrollable, setText } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { term } from "../lib/terms.js";
import { changed, href, params } from "../lib/url.js";
import { figurePanels } from "../widgets/figures.js";
import { csvButton, jsonButton } from "../widgets/file-buttons.js";
import { measureMatrix, measureMeanings } from "../widgets/measure-matrix.js";
import { pageLayout, wideCard } from "../widgets/page-layout.js";

const FIGURES = [["measures", "All matrices", "Spearman’s rank correlation of any two measures, as in the table of each level"]];
const LEVELS = { depth: "Whole depth" }; // parts have their own names

/** `idList` is the id of one audit, or the ids of several with commas between them. */
export function secondOpinionPage(root, idList, { showBanner }) {
  const ids = idList.split(",").filter(Boolean);
  const isOne = ids.length === 1;
  const crumb = element("a", { href: isOne ? href({ audit: ids[0] }) : compared() }, isOne ? "Report" : "Comparison");
  const { heading, note, actions, body } = pageLayout(root, crumb, "Second opinion");
  let answeredPath = null, agreement = null;
  let view = null; // what the page shows, once there is an answer

  return {
    title: () => `${heading.textContent} · zooaudit`,
    heading: () => heading,
    show,
    async refresh(signal) {
      const path = servicePath();
      try {
        agreement = await fresh(path.join("?"), signal);
      } catch (error) {
        if (![404, 409, 422].includes(error.problem?.status)) throw error;
        agreement = view = null;
        actions.replaceChildren();
        body.replaceChildren(element("p", { class: "notice bad" }, element("strong", {}, `${error.problem.title}. `), error.message));
      }
      answeredPath = path.join("?");
      show();
      return null;
    },
  };

  function compared() {
    return href({ compare: ids.join(","), top1: params().get("top1") });
  }

  /** The path of the service and its query; a figure's has "/figures" between the two. */
  function servicePath() {
    if (isOne) return [`audit/${encodeURIComponent(ids[0])}/second-opinion`];
    const top1 = params().get("top1");
    return ["comparison/second-opinion", `audits=${ids.map(encodeURIComponent).join(",")}${top1 ? `&top1=${encodeURIComponent(top1)}` : ""}`];
  }

  /** Shows the level that the address names; returns whether another answer must be fetched. */
  function show() {
    const path = servicePath();
    if (agreement) {
      view ??= buildView(path);
      view.show(agreement.matrices.find(({ level }) => level === params().get("level")) ?? agreement.matrices[0]);
    }
    return answeredPath !== path.join("?");
  }

  function buildView([path, ...query]) {
    const what = isOne ? agreement.models[0] : plural(ids.length, "model");
    setText(heading, `Second opinion: ${what}`);
    setText(note, isOne ? "Do measures agree, over the blocks of this network?" : "Do measures agree, over these models?");
    actions.replaceChildren(
      jsonButton([path, ...query].join("?"), "second-opinion.json", showBanner),
      csvButton("second-opinion.csv", () => agreementCsv(agreement)));
    const links = agreement.matrices.map(({ level }, index) => element("a", { href: changed({ level: index ? level : null }) }, LEVELS[level] ?? level));
    const levels = element("nav", { class: "switch levels", "aria-label": "Part of the depth", hidden: isOne }, links);
    const summary = element("p");
    const matrix = measureMatrix(), meanings = measureMeanings();
    const figures = figurePanels(FIGURES);
    body.replaceChildren(
      wideCard("Do measures agree?", levels, element("div", { class: "reading" }, summary), element("ul", { class: "note" }, agreement.notes.map((line) => element("li", {}, line)))),
      wideCard("Rank correlation", element("p", { class: "note" }, term("spearman", "Spearman’s rho"), " of any two measures. ",
        "Numbers stand for the names of the columns; the tooltip of a cell has its ", term("interval", "95 % interval"), ", or why there is no number."),
        scrollable("Rank correlation of measures", matrix.node), figures.note),
      wideCard("What they measure", meanings.node),
      figures.panel("measures"));
    const panel = figures.panel("measures");
    panel.classList.add("wide");
    panel.append(scrollable("All matrices", panel.querySelector(".plot")));
    figures.load([`${path}/figures`, ...query].join("?"));
    return {
      show(shown) {
        agreement.matrices.forEach(({ level }, index) => {
          if (level === shown.level) links[index].setAttribute("aria-current", "true");
          else links[index].removeAttribute("aria-current");
        });
        setText(summary, shown.summary);
        matrix.show(shown);
        meanings.show(shown.measures);
      },
    };
  }
}
