// The page of all audits: the form, and the table that is sorted, filtered and paged by the service.

import { ApiError, change, fresh } from "../lib/api.js";
import { announceChanges, arrange, byId, element, setText } from "../lib/dom.js";
import { showFilters } from "../widgets/audit-filters.js";
import { setUpForm, suggest } from "../widgets/audit-form.js";
import { count, plural } from "../lib/format.js";
import { isFinal } from "../widgets/progress.js";
import { auditRow } from "../widgets/audit-row.js";
import { replaceHeads, sortHeader } from "../widgets/sorting.js";
import { changed, go, href, params } from "../lib/url.js";

const PAGE = 50, BUSY_MS = 1500, IDLE_MS = 5000, MOST_COMPARED = 200;
const rows = new Map();
let listed = null; // the latest answer, and the query that it answers
let refreshNow = () => {};

setUpForm((audit) => go(href({ audit: audit.id })));

/** The page, as app.js drives it; `fault(message)` tells what went wrong. */
export function auditsPage({ fault }) {
  return {
    title: () => "zooaudit",
    show,
    async refresh(signal) {
      const query = listQuery(params());
      const answer = await fresh(query, signal);
      const pages = Math.max(1, Math.ceil(answer.total / PAGE));
      if (pageNumber(params()) > pages) {
        go(changed({ page: pages > 1 ? pages : null }), { replace: true }); // which asks again
        return null;
      }
      listed = { query, ...answer };
      announceChanges(listed.audits);
      show();
      return listed.audits.some((audit) => !isFinal(audit)) ? BUSY_MS : IDLE_MS;
    },
    onRefresh: (now) => (refreshNow = now),
    heading: () => byId("audits-heading"),
  };

  /** Shows what there is; whether the service has to be asked for something else. */
  function show() {
    const now = params(), stale = listed?.query !== listQuery(now);
    suggest(now.get("new"));
    showFilters(now);
    showHeads(now);
    showTicked(now);
    byId("audits").classList.toggle("stale", listed !== null && stale);
    if (listed) showRows(listed.audits, ticked(now));
    showPager(now);
    return stale;
  }

  function showRows(audits, chosen) {
    const ids = new Set(audits.map((audit) => audit.id));
    for (const id of rows.keys()) if (!ids.has(id)) rows.delete(id);
    for (const audit of audits) {
      if (!rows.has(audit.id)) rows.set(audit.id, auditRow(audit, { onCancel: cancel, onTick: tick }));
      rows.get(audit.id).update(audit, chosen.includes(audit.id));
    }
    arrange(byId("audits"), audits.map((audit) => rows.get(audit.id).node));
  }

  async function cancel(audit, button) {
    button.disabled = true;
    try {
      await change(`/audit/${encodeURIComponent(audit.id)}`, { method: "DELETE" });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      fault(`The audit was not canceled. ${error.message}`);
    } finally {
      button.disabled = false;
    }
    refreshNow();
  }
}

const pageNumber = (now) => Math.max(1, Math.floor(Number(now.get("page"))) || 1);

function listQuery(now) {
  const query = new URLSearchParams({ limit: PAGE });
  for (const [name, param] of [["status", "status"], ["model", "q"], ["sort", "sort"]]) if (now.get(param)) query.set(name, now.get(param));
  if (pageNumber(now) > 1) query.set("offset", (pageNumber(now) - 1) * PAGE);
  return `/audit?${query}`;
}

function showHeads(now) {
  const state = `${location.search} ${listed?.audits.map((audit) => audit.id + audit.status)}`;
  if (byId("audits-heads").dataset.state === state) return;
  byId("audits-heads").dataset.state = state;
  const order = { sort: now.get("sort") ?? "-created", fallback: "-created" };
  const all = element("input", { type: "checkbox", "aria-label": "Compare all on this page", onchange: (event) => tickAll(event.target.checked) });
  const here = (listed?.audits ?? []).filter((audit) => audit.status === "succeeded");
  all.checked = here.length > 0 && here.every((audit) => ticked(now).includes(audit.id));
  all.disabled = here.length === 0;
  all.dataset.key = "all";
  replaceHeads(byId("audits-heads"), [
    element("th", { scope: "col", class: "tick" }, element("label", {}, all)),
    sortHeader("Model", "model", order),
    sortHeader("Status", "status", { ...order, class: "status" }),
    element("th", { scope: "col", class: "wide-only images" }, "Images"),
    sortHeader("Duration", "duration", { ...order, first: "-", class: "number wide-only" }),
    sortHeader("Created", "created", { ...order, first: "-", class: "number wide-only" }),
  ]);
}

/** The ids that are ticked, on whatever page they are. */
const ticked = (now) => (now.get("ticked") ?? "").split(",").filter(Boolean);

const setTicked = (ids) => go(changed({ ticked: ids.join(",") || null }), { replace: true });

function tick(id, on) {
  const others = ticked(params()).filter((one) => one !== id);
  setTicked(on ? [...others, id] : others);
}

function tickAll(on) {
  const here = listed.audits.filter((audit) => audit.status === "succeeded").map((audit) => audit.id);
  const others = ticked(params()).filter((id) => !here.includes(id));
  setTicked(on ? [...others, ...here] : others);
}

function showTicked(now) {
  const ids = ticked(now), enough = ids.length >= 2 && ids.length <= MOST_COMPARED;
  const link = byId("compare");
  setText(link, `Compare (${ids.length})`);
  if (enough) link.href = href({ compare: ids.join(",") });
  else link.removeAttribute("href");
  link.setAttribute("aria-disabled", String(!enough));
  link.title = enough ? "" : ids.length < 2 ? "Tick two or more audits" : `At most ${MOST_COMPARED} audits`;
  byId("untick").hidden = ids.length === 0;
  byId("untick").href = changed({ ticked: null });
}

function showPager(now) {
  const note = byId("audits-note");
  const filtered = now.get("status") || now.get("q");
  if (listed) setText(note, filtered ? "No audit matches these filters." : "No audits yet. Name a model above to make the first.");
  note.hidden = listed !== null && listed.total > 0;
  setText(byId("audits-total"), listed ? plural(listed.total, filtered ? "match" : "audit").replace("matchs", "matches") : "");
  const page = pageNumber(now), pages = listed ? Math.max(1, Math.ceil(listed.total / PAGE)) : 1;
  byId("pager").hidden = pages < 2;
  if (listed) setText(byId("page-range"), `${count((page - 1) * PAGE + 1)}–${count(Math.min(page * PAGE, listed.total))} of ${count(listed.total)}`);
  for (const [id, to] of [["first-page", 1], ["previous-page", page - 1], ["next-page", page + 1], ["last-page", pages]]) {
    const there = to >= 1 && to <= pages && to !== page;
    if (there) byId(id).href = changed({ page: to > 1 ? to : null });
    else byId(id).removeAttribute("href");
    byId(id).setAttribute("aria-disabled", String(!there));
  }
}

/** Tells that there is nothing to show because the service does not answer. */
export function showUnlisted() {
  if (!listed) setText(byId("audits-note"), "The audits could not be loaded.");
}
