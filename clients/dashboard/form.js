// The form: model search, what the service offers, sending a request, telling what is wrong with it.

import { ApiError, keepKey, request } from "./api.js";
import { byId, count, element } from "./dom.js";

const form = byId("submit");
const failure = byId("submit-error");

/** `onAccepted(audit)` is called with what the service made of the request. */
export function setUpForm(onAccepted) {
  form.elements.weights.addEventListener("change", () => {
    byId("checkpoint-label").hidden = form.elements.weights.value !== "checkpoint";
  });
  let typing;
  form.elements.model.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(searchModels, 200);
  });
  form.elements.model.addEventListener("focus", searchModels, { once: true });
  form.elements.dataset.addEventListener("change", limitImages);
  byId("key").addEventListener("input", (event) => keepKey(event.target.value.trim()));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    clearErrors();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      const { body } = await request("/audit", { method: "POST", body: readForm() });
      onAccepted(body);
    } catch (error) {
      showError(error);
    } finally {
      button.disabled = false;
    }
  });
}

let searching;
/** Fills the model names that match what is typed. A search that a newer one overtakes is dropped. */
async function searchModels() {
  searching?.abort();
  searching = new AbortController();
  const typed = form.elements.model.value.trim();
  try {
    const { body } = await request(`/models?q=${encodeURIComponent(typed)}`, { signal: searching.signal });
    const names = body.models
      .filter((entry) => entry.supported)
      .flatMap((entry) => [entry.name, ...entry.tags.map((tag) => `${entry.name}.${tag}`)])
      .filter((name) => name.toLowerCase().includes(typed.toLowerCase()));
    byId("model-names").replaceChildren(...names.slice(0, 100).map((name) => element("option", { value: name })));
  } catch {
    // The list of audits tells that the service is away; the form works without suggestions.
  }
}

/** The data sets of /health, as choices. The counts are kept to bound the number of images. */
export function showDatasets(datasets) {
  const choice = form.elements.dataset;
  const names = Object.keys(datasets);
  if (names.join() === [...choice.options].map((option) => option.value).join()) return;
  const chosen = choice.value || (names.includes("imagenet-val") ? "imagenet-val" : names[0]);
  choice.replaceChildren(
    ...names.map((name) => element("option", { value: name, "data-count": datasets[name] }, name)),
  );
  if (names.includes(chosen)) choice.value = chosen;
  limitImages();
}

function limitImages() {
  const limit = form.elements.dataset.selectedOptions[0]?.dataset.count;
  byId("images-hint").textContent = limit ? `of ${count(Number(limit))}` : "";
}

/** The request: what is left blank is left to the service's defaults. */
function readForm() {
  const value = (name) => form.elements[name].value.trim();
  if (!value("model")) throw fieldError("model", "say which model");
  const body = { model: value("model") };
  const weights = value("weights");
  body.weights = weights === "checkpoint" ? `checkpoint:${value("checkpoint")}` : weights;
  if (value("dataset")) body.dataset = value("dataset");
  for (const name of ["num_images", "seed", "tolerance"]) {
    if (form.elements[name].validity.badInput) throw fieldError(name, "is not a number");
    if (value(name)) body[name] = Number(value(name));
  }
  for (const name of ["translations_px", "rotations_deg"]) if (value(name)) body[name] = numbers(name, value(name));
  for (const name of ["similarity", "border", "precision"]) body[name] = value(name);
  if (value("baseline")) body.baseline = true;
  return body;
}

/** "1,2,8", "1-32" or "none" as a list. */
function numbers(name, text) {
  if (text === "none") return [];
  return text.split(",").flatMap((item) => {
    const match = item.trim().match(/^(\d{1,3})(?:\s*[-–]\s*(\d{1,3}))?$/);
    if (!match) throw fieldError(name, `"${item}" is not like 1,2,8 or 1-32 or none`);
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
  });
}

const fieldError = (field, message) =>
  new ApiError({ title: "Invalid request", status: 422, detail: "Not sent", errors: [{ field, message }] });

function showError(error) {
  const problem = error.problem ?? { detail: String(error) };
  if (problem.status === 401 || problem.status === 403) askForKey();
  for (const { field } of problem.errors ?? []) {
    const input = form.elements[field.split(".")[0]];
    if (input instanceof HTMLElement) input.setAttribute("aria-invalid", "true");
    if (input?.closest("details")) input.closest("details").open = true;
  }
  const suggestions = (problem.suggestions ?? []).map((name) =>
    element("button", { type: "button", class: "quiet", onclick: () => take(name) }, name),
  );
  failure.replaceChildren(element("span", {}, error.message));
  if (suggestions.length) failure.append(element("span", { class: "suggestions" }, "Use instead: ", ...suggestions));
  failure.hidden = false;
}

function take(name) {
  form.elements.model.value = name;
  form.elements.model.focus();
  clearErrors();
}

export function askForKey() {
  byId("key-label").hidden = false;
  byId("key").focus();
}

function clearErrors() {
  failure.hidden = true;
  for (const input of form.elements) input.removeAttribute("aria-invalid");
}
