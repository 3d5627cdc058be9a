// The dashboard: what is selected (kept in the URL), what is polled, and who shows it.

import { poll, request } from "./api.js";
import { isFinal, showAudits } from "./audits.js";
import { byId, duration, setText } from "./dom.js";
import { askForKey, setUpForm, showDatasets } from "./form.js";
import { showAudit, showLoading, showMissing, showNothing } from "./report.js";

const PAGE = 50, MAX_LISTED = 200;
const BUSY_MS = 1500, IDLE_MS = 5000, HEALTH_MS = 15_000;

let audits = [];
let selectedAudit = null; // the selected one where the list does not hold it
const etags = new Map();
let limit = PAGE, listed = false;
const statuses = new Map();

const selectedId = () => new URLSearchParams(location.search).get("audit");

function select(id) {
  if (id !== selectedId()) history.pushState(null, "", id ? `/?audit=${encodeURIComponent(id)}` : "/");
  show();
  pollAudits();
  if (id) byId("report-heading").focus();
}

/** Shows the present state everywhere; cheap, and safe to call at any time. */
function show() {
  const id = selectedId();
  showAudits(audits, id, { onSelect: select, onCancel: cancel });
  if (listed) setText(byId("audits-note"), "No audits yet. Name a model above to make the first.");
  byId("audits-note").hidden = audits.length > 0;
  const audit = audits.find((one) => one.id === id) ?? (selectedAudit?.id === id ? selectedAudit : null);
  document.title = audit ? `${audit.request.model} · zooaudit` : "zooaudit";
  if (!id) showNothing();
  else if (audit) showAudit(audit);
  else showLoading(id);
  for (const one of audits) tell(one);
}

/** Tells a screen reader that an audit has changed its status; progress is left to be read. */
function tell(audit) {
  const before = statuses.get(audit.id);
  statuses.set(audit.id, audit.status);
  if (before && before !== audit.status) announce(`${audit.request.model}: ${audit.status}`);
}

const announce = (text) => setText(byId("announce"), text);

/** A GET that hands back what it had when nothing has changed. */
async function fresh(path) {
  const had = etags.get(path);
  const { status, body, etag } = await request(path, { etag: had?.etag });
  if (status === 304) return had.body;
  if (etag) etags.set(path, { etag, body });
  return body;
}

async function refresh() {
  const page = await fresh(`/audit?limit=${limit}`);
  audits = page.audits;
  listed = true;
  byId("more").hidden = page.next_cursor === null || limit >= MAX_LISTED;
  const id = selectedId();
  if (id && !audits.some((audit) => audit.id === id)) await refreshSelected(id);
  byId("offline").hidden = true;
  show();
  const busy = [...audits, selectedAudit].some((audit) => audit && !isFinal(audit));
  return busy ? BUSY_MS : IDLE_MS;
}

async function refreshSelected(id) {
  if (selectedAudit?.id === id && isFinal(selectedAudit)) return;
  try {
    selectedAudit = await fresh(`/audit/${encodeURIComponent(id)}`);
  } catch (error) {
    if (![404, 422].includes(error.problem?.status)) throw error;
    showMissing(id, error);
  }
}

async function refreshHealth() {
  const health = byId("health");
  const { body } = await request("/health");
  const workers = body.workers === 1 ? "1 worker" : `${body.workers} workers`;
  setText(health, `${workers} · ${body.running} running · ${body.queued} queued`);
  health.dataset.state = body.status;
  if (body.status !== "ok") setText(health, body.redis ? "No worker is running" : "Redis does not answer");
  showDatasets(body.datasets);
  return HEALTH_MS;
}

async function cancel(audit, button) {
  button.disabled = true;
  try {
    await request(`/audit/${encodeURIComponent(audit.id)}`, { method: "DELETE" });
  } catch (error) {
    if ([401, 403].includes(error.problem?.status)) askForKey();
    fault(`The audit was not canceled. ${error.message}`);
  }
  button.disabled = false;
  pollAudits();
}

function fault(message) {
  if (!listed) setText(byId("audits-note"), "The audits could not be loaded.");
  setText(byId("offline"), message);
  byId("offline").hidden = false;
}

setUpForm((audit) => {
  announce(`${audit.request.model}: ${audit.status}`);
  audits = [audit, ...audits.filter((one) => one.id !== audit.id)];
  select(audit.id);
});
byId("home").addEventListener("click", (event) => {
  event.preventDefault();
  select(null);
});
byId("more").addEventListener("click", () => {
  limit += PAGE;
  pollAudits();
});
window.addEventListener("popstate", show);

const pollAudits = poll(refresh, (error, waitMs) => {
  fault(`${error.message} Trying again in ${duration(waitMs / 1000)}.`);
});
poll(refreshHealth, () => {
  byId("health").dataset.state = "offline";
  setText(byId("health"), "No answer");
});
show();
