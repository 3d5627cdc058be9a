// The form of a new audit: fills in its choices, sends the request, and shows beside each field what is wrong with it.

import { ApiError, change } from "../lib/api.js";
import { byId, element, setText } from "../lib/dom.js";
import { count } from "../lib/format.js";
import { fieldLabel, fieldSentences, wrongField } from "../lib/problems.js";
import { WARPS } from "../lib/scores.js";
import { href } from "../lib/url.js";
import { costView } from "./audit-cost.js";
import { setUpModelSearch } from "./model-search.js";

const form = byId("submit");
const launch = byId("launch");
const errorBox = byId("submit-error");
/** The limits of the service for the amounts of each kind of warp, and how many amounts and displacements it takes. */
const LIMITS = { warp_translation: [-128, 128], warp_rotation: [-180, 180], warp_scale: [0.8, 1.25], warp_shear: [-0.3, 0.3] };
const MOST_AMOUNTS = 36, MOST_DISPLACEMENTS = 8;
const cost = costView(byId("cost"), readForm);

/** Makes the form work; calls `onAccepted(audit)` with the audit that the service answers. */
export function setUpForm(onAccepted) {
  setUpModelSearch(form.elements.model, () => focusAfter(form.elements.model));
  for (const event of ["input", "change"]) {
    form.addEventListener(event, cost.changed);
    form.elements.model.addEventListener(event, showModel); // a name that is chosen from the list changes no more than this
  }
  form.addEventListener("focusin", cost.touched);
  form.elements.weights.addEventListener("change", () => {
    byId("checkpoint-label").hidden = form.elements.weights.value !== "checkpoint";
  });
  form.elements.dataset.addEventListener("change", showImageLimit);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("keydown", (event) => {
    const isField = event.target.matches("input, select");
    if (event.key !== "Enter" || event.isComposing || event.defaultPrevented) return;
    if (isField) focusAfter(event.target);
    if (isField || event.repeat) event.preventDefault(); // a key that is held down must not reach the button
  });
  launch.addEventListener("click", async () => {
    clearErrors();
    launch.disabled = true;
    try {
      onAccepted(await change("audit", { method: "POST", body: readForm() }));
      cost.changed(); // there is such an audit now
    } catch (error) {
      showError(error);
    } finally {
      launch.disabled = false;
    }
  });
}

/** Moves the focus to the next field that can be seen, or to the button. Only the button launches an audit. */
function focusAfter(field) {
  const stops = [...form.elements].filter((one) => (one.matches("input, select") || one === launch) && one.checkVisibility());
  (stops[stops.indexOf(field) + 1] ?? launch).focus();
}

/** Puts the model that the address names (?new=NAME) into the form, once. */
export function prefillModel(name) {
  if (!name || form.dataset.suggested === name) return;
  form.dataset.suggested = name;
  setModel(name);
}

function setModel(name) {
  form.elements.model.value = name;
  showModel();
}

/** Shows what is known of the model in the form: where to read about it, and what its audit would cost. */
function showModel() {
  cost.changed();
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
  cost.changed();
}

function showImageLimit() {
  const limit = form.elements.dataset.selectedOptions[0]?.dataset.count;
  setText(byId("images-hint"), limit ? `of ${count(Number(limit))}` : "");
}

/** The body of the request; fields left blank are left to the service's defaults. */
function readForm() {
  const value = (name) => form.elements[name].value.trim();
  if (!value("model")) throw mistake("model", "Say which model, such as resnet50.");
  const body = { model: value("model") };
  const weights = value("weights");
  if (weights === "checkpoint" && !/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(value("checkpoint"))) throw mistake("checkpoint");
  body.weights = weights === "checkpoint" ? `checkpoint:${value("checkpoint")}` : weights;
  if (value("dataset")) body.dataset = value("dataset");
  for (const name of ["num_images", "seed", "tolerance", "repetition"]) {
    if (form.elements[name].validity.badInput) throw mistake(name);
    if (value(name)) body[name] = Number(value(name));
  }
  for (const name of ["translations_px", "rotations_deg"]) if (value(name)) body[name] = readNumbers(name, value(name));
  if (value("direction") !== "diagonal") body.direction = value("direction");
  if (value("reflections")) body.reflections = value("reflections").split(",");
  const warps = Object.entries(LIMITS).map(([name, [low, high]]) => ({ kind: WARPS[name].kind, amounts: readAmounts(name, value(name), MOST_AMOUNTS, (amount) => amount >= low && amount <= high) }))
    .filter(({ amounts }) => amounts.length);
  if (warps.length) body.warps = warps;
  if (body.translations_px?.length === 0 && body.rotations_deg?.length === 0 && !body.reflections && !body.warps) {
    throw mistake("translations_px", "Ask for at least one shift, rotation, reflection or warp.");
  }
  if (body.direction && body.translations_px?.length === 0) throw mistake("direction", "A direction is one of shifts: ask for some, or choose diagonal.");
  Object.assign(body, readOtherMeasures(value));
  for (const name of ["similarity", "border", "precision", "priority"]) body[name] = value(name);
  if (value("baseline")) body.baseline = true;
  if (body.baseline && weights === "untrained") {
    throw mistake("baseline", "Untrained weights are the baseline themselves. Choose “none” here, or other weights.");
  }
  return body;
}

/** What the request says of the other measures; nothing of those that are left out. */
function readOtherMeasures(value) {
  const measures = {};
  const wholeNumber = (name, low, high) => {
    const text = value(name), number = Number(text);
    if (form.elements[name].validity.badInput || (text && !(Number.isInteger(number) && number >= low && number <= high))) throw mistake(name);
    return text ? number : null;
  };
  const displacements = readAmounts("deformation", value("deformation"), MOST_DISPLACEMENTS, (amount) => amount > 0 && amount <= 16);
  const cutoff = wholeNumber("deformation_cutoff", 1, 16), draws = wholeNumber("consistency_draws", 0, 100);
  if (cutoff && !displacements.length) throw mistake("deformation_cutoff", "A cutoff is one of deformations: ask for some, or leave this blank.");
  if (displacements.length) measures.deformation = { displacements_px: displacements, ...(cutoff && { cutoff }) };
  if (draws) measures.consistency_draws = draws;
  for (const name of ["local", "variance"]) if (value(name)) measures[name] = true;
  return measures;
}

/** "15, -7.5" as numbers, each of which `isAllowed`; none of "" or "none". */
function readAmounts(field, text, most, isAllowed) {
  if (!text || text.toLowerCase() === "none") return [];
  const amounts = text.replaceAll("−", "-").split(",").map((item) => (/^\s*[-+]?(\d+\.?\d*|\.\d+)\s*$/.test(item) ? Number(item) : NaN));
  if (amounts.length > most || new Set(amounts).size < amounts.length || !amounts.every(isAllowed)) throw mistake(field);
  return amounts;
}

/** "1,2,8", "1-32" or "none" as a list of numbers. */
function readNumbers(field, text) {
  if (text.toLowerCase() === "none") return [];
  return text.split(",").flatMap((item) => {
    const match = item.trim().match(/^(\d{1,3})(?:\s*[-–]\s*(\d{1,3}))?$/);
    const first = Number(match?.[1]), last = Number(match?.[2] ?? match?.[1]);
    if (!(first <= last)) throw mistake(field);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

const mistake = (field, message) => new ApiError(wrongField(field, message));

/** Shows what is wrong beside each field concerned; what concerns no field is told at the foot of the form. */
function showError(error) {
  if (!(error instanceof ApiError)) console.error(error);
  const sentences = fieldSentences(error.problem ?? {});
  for (const [name, text] of sentences) showMistake(name, text, name === "model" ? error.problem.suggestions ?? [] : []);
  const names = sentences.map(([name]) => fieldLabel(name));
  setText(errorBox, names.length ? `The audit was not started. Please look at: ${names.join(" · ")}` : `The audit was not started. ${error.message}`);
  errorBox.hidden = false;
  form.querySelector("[aria-invalid]")?.focus();
}

function showMistake(name, text, suggestions) {
  const input = form.elements[name];
  const buttons = suggestions.map((model) => element("button", { type: "button", class: "quiet", onclick: () => useSuggestion(model) }, model));
  input.closest("label, .field").append(element("div", { class: "mistake", id: `${name}-mistake` }, text,
    buttons.length > 0 && element("div", { class: "suggestions" }, buttons)));
  input.setAttribute("aria-invalid", "true");
  if (input.closest("details")) input.closest("details").open = true;
}

function useSuggestion(model) {
  setModel(model);
  clearErrors();
  focusAfter(form.elements.model);
}

function clearErrors() {
  errorBox.hidden = true;
  for (const note of form.querySelectorAll(".mistake")) note.remove();
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}
