// The page of the whole zoo: a row for each model, or a point; both show what the filters leave.

import { fresh } from "../lib/api.js";
import { methodSummary } from "../lib/audit.js";
import { leaderboardCsv } from "../lib/csv.js";
import { element, setText } from "../lib/dom.js";
import { count, plural } from "../lib/format.js";
import { FILTERS, filtered, METHOD_PARAMS, methodLabels, methodParams, SCORES, shownScore } from "../lib/leaderboard.js";
import { askedTransforms, TRANSFORMS, transformLabel } from "../lib/scores.js";
import { changed, go, href, params, ZOO } from "../lib/url.js";
import { loadPlotly } from "../widgets/figures.js";
import { csvButton, jsonButton } from "../widgets/file-buttons.js";
import { leaderboardFilters } from "../widgets/leaderboard-filters.js";
import { leaderboardScatter } from "../widgets/leaderboard-scatter.js";
import { defaultSort, leaderboardTable, sortOptions } from "../widgets/leaderboard-table.js";
import { pageLayout } from "../widgets/page-layout.js";
import { MOST_COMPARED, setTicked, tickedIds } from "../widgets/ticked-audits.js";

const PENDING_MS = 1500, IDLE_MS = 30_000;
const VIEWS = { table: "Table", scatter: "Scatter plot" };

export function zooPage(root, _, { showBanner }) {
  const { heading, note, actions, body } = pageLayout(root, "Zoo", "The zoo");
  const total = element("span", { class: "note", role: "status" });
  const scoreSelect = element("select", { "aria-label": "Score", onchange: () => go(changed({ score: scoreSelect.value === "channel" ? null : scoreSelect.value })) });
  const sortSelect = element("select", { "aria-label": "Sort the models by", onchange: () => go(changed({ sort: sortSelect.value === defaultSort(shownTransforms(params())) ? null : sortSelect.value })) });
  // The order may be that of columns that go away.
  const besideSelect = element("select", { onchange: () => go(changed({ beside: besideSelect.selectedIndex ? besideSelect.value : null, sort: null })) });
  const methodSelect = element("select", { "aria-label": "Method", onchange: () => go(changed(methodParams(methodSelect.value === "0" ? null : board.methods[methodSelect.value].method))) });
  const methodLabel = element("label", { class: "inline method", hidden: true }, "Method", methodSelect);
  const scoreLabel = element("label", { class: "inline" }, "Score", scoreSelect);
  const besideWord = element("span"), besideLabel = element("label", { class: "inline" }, besideWord, besideSelect);
  const sortLabel = element("label", { class: "inline only-narrow" }, "Sort by", sortSelect);
  const viewLinks = Object.values(VIEWS).map((name) => element("a", {}, name));
  // Loading takes longer than drawing: it begins with the page, or when the pointer or the focus comes near.
  const prepare = () => void loadPlotly().catch(() => {}); // drawing will say what is wrong
  if (params().get("view") === "scatter") prepare();
  for (const event of ["pointerenter", "focus"]) viewLinks[1].addEventListener(event, prepare);
  const compare = element("a", { class: "button", role: "link", id: "compare-models" });
  const untick = element("a", { class: "note", hidden: true }, "Untick all");
  const pending = element("p", { class: "notice warn", role: "status", hidden: true });
  const empty = element("p", { class: "note empty", hidden: true });
  const filters = leaderboardFilters();
  const table = leaderboardTable({ onTick: setTicked });
  const scatter = leaderboardScatter();
  const card = element("section", { class: "card wide zoo-card", "aria-label": "Models" },
    element("div", { class: "bar" }, methodLabel, scoreLabel, besideLabel, sortLabel, element("nav", { class: "switch", "aria-label": "View" }, viewLinks), total, element("span", { class: "spring" }), untick, compare),
    filters.node, empty, scatter.node, table.node);
  let board = null, answeredPath = null, shownRows = [];

  return {
    title: () => "The zoo · zooaudit",
    heading: () => heading,
    show,
    async refresh(signal) {
      const path = boardPath();
      try {
        board = await fresh(path, signal);
      } catch (error) {
        if (error.problem?.status !== 422) throw error;
        board = null;
        answeredPath = path;
        body.replaceChildren(element("p", { class: "notice bad" }, `No method has the settings in this address. ${error.message} `, element("a", { href: ZOO }, "The whole zoo")));
        return null;
      }
      answeredPath = path;
      show();
      return board.pending ? PENDING_MS : IDLE_MS;
    },
  };

  /** Shows the board as the address says; returns whether another must be fetched. */
  function show() {
    if (board) showBoard(params());
    return answeredPath !== boardPath();
  }

  function showBoard(query) {
    if (!card.isConnected) {
      body.replaceChildren(pending, card);
      actions.replaceChildren(jsonButton(boardPath(), "leaderboard.json", showBanner), csvButton("leaderboard.csv", () => leaderboardCsv(shownRows)));
    }
    setText(note, board.method ? methodSummary(board.method) : "");
    showMethods(query);
    showPending();
    const hasHeldOut = board.rows.some((row) => Object.values(row.parts).some((part) => part.translation.layer_held_out != null));
    const names = Object.keys(SCORES).filter((name) => name !== "layer_held_out" || hasHeldOut);
    if (scoreSelect.length !== names.length) scoreSelect.replaceChildren(...names.map((name) => element("option", { value: name }, SCORES[name])));
    const transforms = shownTransforms(query), [first, ...others] = askedHere();
    const scoreName = shownScore(query), sort = query.get("sort") ?? defaultSort(transforms);
    scoreSelect.value = scoreName;
    setText(besideWord, `${transformLabel(first)} and`);
    besideSelect.setAttribute("aria-label", `Columns beside ${transformLabel(first).toLowerCase()}`);
    showOptions(besideSelect, others.map((transform) => [transform, transformLabel(transform).toLowerCase()]), transforms.at(-1));
    showOptions(sortSelect, sortOptions(transforms), sort);
    filters.show(board.rows, query);
    const rows = filtered(board.rows, query), view = query.get("view") === "scatter" ? "scatter" : "table";
    showView(view);
    if (view === "scatter") {
      shownRows = rows;
      scatter.show(rows, board.rows, query);
    } else shownRows = table.show(rows, { scoreName, transforms, sort, ticked: tickedIds(query) });
    const isFiltered = FILTERS.some((name) => query.get(name));
    setText(total, isFiltered ? `${count(rows.length)} of ${plural(board.rows.length, "row")}` : plural(board.rows.length, "row"));
    empty.hidden = rows.length > 0;
    setText(empty, board.rows.length ? "No model matches these filters." : board.methods.length ? "There is no audit by the method in this address. Choose another method."
      : board.pending ? "The reports are being read." : "No audit has succeeded yet.");
    showTicked(tickedIds(query));
  }

  /** The transforms of the method; while there is none, those that most have. */
  function askedHere() {
    return board.method ? askedTransforms(board.method) : TRANSFORMS;
  }

  /** The first transform of the method, and beside it the one that the address names, else the second, if there is one. */
  function shownTransforms(query) {
    const [first, ...others] = askedHere(), name = query.get("beside");
    return [first, ...(others.includes(name) ? [name] : others.slice(0, 1))];
  }

  function showMethods(query) {
    methodLabel.hidden = board.methods.length < 2 && Boolean(board.method);
    const labels = methodLabels(board.methods);
    if (methodSelect.dataset.state !== labels.join("\n")) {
      methodSelect.dataset.state = labels.join("\n");
      methodSelect.replaceChildren(...labels.map((label, index) => element("option", { value: index }, label)));
    }
    methodSelect.value = board.methods.findIndex(({ method }) => JSON.stringify(method) === JSON.stringify(board.method));
  }

  function showPending() {
    const sentences = [
      board.pending > 0 && `The service has yet to read ${plural(board.pending, "report")}; until then, models are missing.`,
      board.unreadable > 0 && `${plural(board.unreadable, "report")} cannot be read: the store has lost them, or they are damaged.`,
    ].filter(Boolean);
    pending.hidden = !sentences.length;
    setText(pending, sentences.join(" "));
  }

  function showView(view) {
    Object.keys(VIEWS).forEach((name, index) => {
      viewLinks[index].href = changed({ view: name === "table" ? null : name });
      if (name === view) viewLinks[index].setAttribute("aria-current", "true");
      else viewLinks[index].removeAttribute("aria-current");
    });
    scatter.node.hidden = view !== "scatter";
    for (const one of [table.node, scoreLabel, sortLabel]) one.hidden = view !== "table";
    besideLabel.hidden = view !== "table" || besideSelect.length < 2;
  }

  function showTicked(ids) {
    const comparable = ids.length >= 2 && ids.length <= MOST_COMPARED;
    setText(compare, `Compare (${ids.length})`);
    if (comparable) compare.href = href({ compare: ids.join(",") });
    else compare.removeAttribute("href");
    compare.setAttribute("aria-disabled", String(!comparable));
    compare.title = comparable ? "" : ids.length < 2 ? "Tick two or more models" : `At most ${MOST_COMPARED} models`;
    untick.hidden = !ids.length;
    untick.href = changed({ ticked: null });
  }
}

/** Offers these [value, label] pairs, and chooses one. */
function showOptions(select, options, chosen) {
  const state = JSON.stringify(options);
  if (select.dataset.state !== state) {
    select.dataset.state = state;
    select.replaceChildren(...options.map(([value, label]) => element("option", { value }, label)));
  }
  select.value = chosen;
}

/** The path of the service for the method that the address names. */
function boardPath() {
  const query = params(), search = new URLSearchParams({ limit: 10_000 });
  for (const name of METHOD_PARAMS) if (query.get(name)) search.set(name, query.get(name));
  return `leaderboard?${search}`;
}
