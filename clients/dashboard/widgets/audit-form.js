// The form of a new audit: fills in its choices, sends the request, and shows what is wrong with it.

import { ApiError, change } from "../lib/api.js";
import { byId, element, setText } from "../lib/dom.js";
import { count } from "../lib/format.js";
import { href } from "../lib/url.js";
import { setUpModelSearch } from "./model-search.js";

const form = byId("submit");
const errorBox = byId("submit-error");

/** Makes the form work; calls `onAccepted(audit)` with the audit that the service answers. */
export function setUpForm(onAccepted) {
  setUpModelSearch(form.elements.model);
  for (const event of ["input", "change"]) form.elements.model.addEventListener(event, showModelLink);
  form.elements.weights.addEventListener("change", () => {
    byId("checkpoint-label").hidden = form.elements.weights.value !== "checkpoint";
  });
  form.elements.dataset.addEventListener("change", showImageLimit);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    clearErrors();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      onAccepted(await change("/audit", { method: "POST", body: readForm() }));
    } catch (error) {
      showError(error);
    } finally {
      button.disabled = false;
    }
  });
}

/** Puts the model that the address names (/?new=NAME) into the form, once. */
export function prefillModel(name) {
  if (!name || form.dataset.suggested === name) return;
  form.dataset.suggested = name;
  setModel(name);
}

function setModel(name) {
  form.elements.model.value = name;
  showModelLink();
}

function showModelLink() {
  const name = form.elements.model.value.trim();
  byId("model-link").hidden = !name;
  byId("model-link").href = href({ model: name });
}

/** Offers the data sets that /health lists, { name: number of images, or null where it is unlimited }. */
export function showDatasets(datasets) {
  const select = form.elements.dataset;
  const names = Object.keys(datasets);
  if (names.join() === [...select.options].map((option) => option.value).join()) return;
  const selected = select.value || (names.includes("imagenet-val") ? "imagenet-val" : names[0]);
  select.replaceChildren(...names.map((name) => element("option", { value: name, "data-count": datasets[name] }, name)));
  if (names.includes(selected)) select.value = selected;
  showImageLimit();
}

function showImageLimit() {
  const limit = form.elements.dataset.selectedOptions[0]?.dataset.count;
  setText(byId("images-hint"), limit ? `of ${count(Number(limit))}` : "");
}

/** The body of the request; fields left blank are left to the service's defaults. */
function readForm() {
  const value = (name) => form.elements[name].value.trim();
  if (!value("model")) throw fieldError("model", "say which model");
  const body = { model: value("model") };
  const weights = value("weights");
  body.weights = weights === "checkpoint" ? `checkpoint:${value("checkpoint")}` : weights;
  if (value("dataset")) body.dataset = value("dataset");
  for (const name of ["num_images", "seed", "tolerance", "repetition"]) {
    if (form.elements[name].validity.badInput) throw fieldError(name, "is not a number");
    if (value(name)) body[name] = Number(value(name));
  }
  for (const name of ["translations_px", "rotations_deg"]) if (value(name)) body[name] = readNumbers(name, value(name));
  for (const name of ["similarity", "border", "precision"]) body[name] = value(name);
  if (value("baseline")) body.baseline = true;
  return body;
}

/** "1,2,8", "1-32" or "none" as a list of numbers. */
function readNumbers(field, text) {
  if (text === "none") return [];
  return text.split(",").flatMap((item) => {
    const match = item.trim().match(/^(\d{1,3})(?:\s*[-–]\s*(\d{1,3}))?$/);
    if (!match) throw fieldError(field, `"${item}" is not like 1,2,8 or 1-32 or none`);
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
  });
}

const fieldError = (field, message) =>
  new ApiError({ title: "Invalid request", status: 422, detail: "Not sent", errors: [{ field, message }] });

function showError(error) {
  if (!(error instanceof ApiError)) console.error(error);
  const problem = error.problem ?? {};
  for (const { field } of problem.errors ?? []) {
    const input = form.elements[field.split(".")[0]];
    if (input instanceof HTMLElement) input.setAttribute("aria-invalid", "true");
    if (input?.closest("details")) input.closest("details").open = true;
  }
  const suggestions = (problem.suggestions ?? []).map((name) =>
    element("button", { type: "button", class: "quiet", onclick: () => useSuggestion(name) }, name));
  errorBox.replaceChildren(element("span", {}, error.message));
  if (suggestions.length) errorBox.append(element("span", { class: "suggestions" }, "Use instead: ", ...suggestions));
  errorBox.hidden = false;
}

function useSuggestion(name) {
  setModel(name);
  form.elements.model.focus();
  clearErrors();
}

function clearErrors() {
  errorBox.hidden = true;
  for (const input of form.elements) input.removeAttribute("aria-invalid");
}
