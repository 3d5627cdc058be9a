// The page of all audits: the form of a new one, and the list, which the service sorts, filters and divides into pages.

import { ApiError, change, fresh } from "../lib/api.js";
import { isFinal } from "../lib/audit.js";
import { announceChanges, arrange, byId, element, setText } from "../lib/dom.js";
import { plural } from "../lib/format.js";
import { changed, go, href, params } from "../lib/url.js";
import { archivedOf, isFiltered, showFilters, statusesOf } from "../widgets/audit-filters.js";
import { prefillModel, setUpForm } from "../widgets/audit-form.js";
import { auditRow } from "../widgets/audit-row.js";
import { PAGE_SIZE, pageCount, pageNumber, showPager } from "../widgets/pager.js";
import { replaceHeaders, sortHeader } from "../widgets/sorting.js";
import { setTicked, showTicked, tickedIds } from "../widgets/ticked-audits.js";

const BUSY_MS = 1500, IDLE_MS = 5000;
const rows = new Map(); // id of an audit on this page of the list -> its row
let list = null; // the service's latest answer, and the path that it answers
let refreshNow = () => {};

setUpForm((audit) => go(href({ audit: audit.id })));

export function auditsPage({ showBanner }) {
  return {
    title: () => "zooaudit",
    heading: () => byId("audits-heading"),
    setRefreshNow: (refresh) => (refreshNow = refresh),
    show,
    async refresh(signal) {
      const path = listPath(params());
      const answer = await fresh(path, signal);
      const pages = pageCount(answer.total);
      if (pageNumber(params()) > pages) {
        go(changed({ page: pages > 1 ? pages : null }), { replace: true }); // which asks again
        return null;
      }
      list = { path, ...answer };
      announceChanges(list.audits);
      show();
      return list.audits.some((audit) => !isFinal(audit)) ? BUSY_MS : IDLE_MS;
    },
  };

  /** Shows the latest list as the address says; returns whether another must be fetched. */
  function show() {
    const query = params(), stale = list?.path !== listPath(query);
    prefillModel(query.get("new"));
    showFilters(query);
    showHeaders(query);
    showTicked(query);
    byId("audits").classList.toggle("stale", list !== null && stale);
    if (list) showRows(list.audits, tickedIds(query));
    showTotal(query);
    showPager(query, list?.total ?? 0);
    return stale;
  }

  function showRows(audits, ticked) {
    const ids = new Set(audits.map((audit) => audit.id));
    for (const id of rows.keys()) if (!ids.has(id)) rows.delete(id);
    for (const audit of audits) {
      if (!rows.has(audit.id)) rows.set(audit.id, auditRow(audit, { onCancel: cancel, onTick: (id, on) => setTicked([id], on) }));
      rows.get(audit.id).update(audit, ticked.includes(audit.id));
    }
    arrange(byId("audits"), audits.map((audit) => rows.get(audit.id).node));
  }

  async function cancel(audit, button) {
    button.disabled = true;
    try {
      await change(`audit/${encodeURIComponent(audit.id)}`, { method: "DELETE" });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      showBanner(`The audit was not canceled. ${error.message}`);
    } finally {
      button.disabled = false;
    }
    refreshNow();
  }
}

/** The path of the service for the list that the address's parameters ask for. */
function listPath(query) {
  const search = new URLSearchParams({ limit: PAGE_SIZE });
  for (const [name, value] of [["status", statusesOf(query).join()], ["model", query.get("q")], ["label", query.get("label")], ["archived", archivedOf(query)], ["sort", query.get("sort")]]) if (value) search.set(name, value);
  if (pageNumber(query) > 1) search.set("offset", (pageNumber(query) - 1) * PAGE_SIZE);
  return `audit?${search}`;
}

function showHeaders(query) {
  const state = `${location.search} ${list?.audits.map((audit) => audit.id + audit.status)}`;
  if (byId("audits-heads").dataset.state === state) return;
  byId("audits-heads").dataset.state = state;
  const comparable = (list?.audits ?? []).filter((audit) => audit.status === "succeeded").map((audit) => audit.id);
  const ticked = tickedIds(query);
  const tickAll = element("input", { type: "checkbox", "aria-label": "Compare all on this page", onchange: () => setTicked(comparable, tickAll.checked) });
  tickAll.checked = comparable.length > 0 && comparable.every((id) => ticked.includes(id));
  tickAll.disabled = comparable.length === 0;
  tickAll.dataset.key = "all";
  const order = { sort: query.get("sort") ?? "-created", fallback: "-created" };
  replaceHeaders(byId("audits-heads"), [
    element("th", { scope: "col", class: "tick" }, element("label", {}, tickAll)),
    sortHeader("Model", "model", order),
    sortHeader("Status", "status", { ...order, class: "status" }),
    element("th", { scope: "col", class: "wide-only images" }, "Images"),
    sortHeader("Duration", "duration", { ...order, first: "-", class: "number wide-only" }),
    sortHeader("Created", "created", { ...order, first: "-", class: "number wide-only" }),
  ]);
}

/** Shows how many audits the list has, or why it has none. */
function showTotal(query) {
  const note = byId("audits-note");
  const filtered = isFiltered(query);
  if (list) setText(note, filtered ? "No audit matches these filters." : "No audits yet. Name a model above to make the first.");
  note.hidden = list !== null && list.total > 0;
  setText(byId("audits-total"), !list ? "" : filtered ? plural(list.total, "match", "matches") : plural(list.total, "audit"));
}

/** Says that there is no list because the service does not answer; a list that is shown stays. */
export function showListMissing() {
  if (!list) setText(byId("audits-note"), "The audits could not be loaded.");
}
