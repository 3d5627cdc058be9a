// Problems of the service as sentences for a person: which field of the form is at fault, and what to put there instead.

import { count, duration } from "./format.js";

const NAME_SIGNS = "letters, digits, dots, dashes and underscores";

/** For each field of a request, its name on the page, and what the form says when the service refuses its value. */
const FIELDS = {
  model: ["Model", `A model’s name has ${NAME_SIGNS}, and at most one slash, such as timm/resnet50.a1_in1k.`],
  weights: ["Weights", "Choose pretrained weights, untrained weights or a checkpoint."],
  checkpoint: ["Checkpoint", `A checkpoint’s name has ${NAME_SIGNS}, and begins with a letter or a digit.`],
  dataset: ["Data set", "Choose one of the data sets in the list."],
  num_images: ["Images", `Give a whole number from 1 to ${count(100_000)}.`],
  translations_px: ["Shifts, px", "Give whole numbers from 1 to 128, each once, such as 1,2,8 or 1-32. Or write none."],
  direction: ["Direction", "Choose one of the list; right and down go with shifts."],
  reflections: ["Reflections", "Choose one of the list."],
  warps: ["Warps", "Give amounts within the limits that stand below the fields, each once."],
  warp_translation: ["Warp translation, px", "Give up to 36 numbers from −128 to 128, each once, such as 0.5,1.5. Or write none."],
  warp_rotation: ["Warp rotation, °", "Give up to 36 numbers from −180 to 180, each once, such as 15,30,45. Or write none."],
  warp_scale: ["Warp scale, factor", "Give up to 36 numbers from 0.8 to 1.25, each once, such as 0.9,1.1. Or write none."],
  warp_shear: ["Warp shear", "Give up to 36 numbers from −0.3 to 0.3, each once, such as 0.1,0.2. Or write none."],
  deformation: ["Deformations, px", "Give up to 8 numbers above 0 and up to 16, each once, such as 0.5,1,2,4. Or write none."],
  deformation_cutoff: ["Cutoff", "Give a whole number from 1 to 16, or leave this blank."],
  local: ["Local error", "Choose one of the list."],
  consistency_draws: ["Consistency, draws", "Give a whole number from 0 to 100."],
  variance: ["Variance", "Choose one of the list."],
  rotations_deg: ["Rotations, °", "Give some of 90, 180 and 270, each once, such as 90,270. Or write none."],
  similarity: ["Similarity", "Choose one of the list."],
  border: ["Border", "Choose one of the list."],
  precision: ["Precision", "Choose one of the list."],
  baseline: ["Baseline", "Choose one of the list."],
  tolerance: ["Tolerance", "Give a number above 0 and up to 1, such as 0.01, or leave this blank."],
  seed: ["Seed", `Give a whole number from 0 to ${count(2 ** 32 - 1)}.`],
  repetition: ["Repetition", `Give a whole number from 0 to ${count(9999)}.`],
  priority: ["Priority", "Choose one of the list."],
  protocol: ["Version of the measure"],
  "images.sha256": ["Choice of images"],
};

/** The field of the form at which a problem of this type is to be shown. */
const FIELD_OF_TYPE = {
  "unknown-model": "model", "unsupported-model": "model", "unsuitable-model": "model", "weights-not-published": "model",
  "unknown-checkpoint": "checkpoint", "checkpoint-options": "checkpoint", "checkpoints-unavailable": "checkpoint",
  "unknown-dataset": "dataset", "dataset-unavailable": "dataset",
  "too-few-images": "num_images",
  "shift-too-large": "translations_px",
  "unsupported-precision": "precision",
  "no-baseline": "baseline",
};

const typeOf = (problem) => problem.type?.split(":").at(-1);
const withStop = (text) => (/[.?!:]$/.test(text) ? text : `${text}.`);

/** What the page calls a field of a request. */
export const fieldLabel = (field) => FIELDS[field]?.[0] ?? field;

/** What is wrong, in one or two sentences. A problem that the dashboard does not know is told in the service's words. */
export function sentence(problem, retryAfterS = null) {
  const again = retryAfterS ? ` Try again in ${duration(retryAfterS)}.` : "";
  const detail = withStop(problem.detail || problem.title || `The service answered ${problem.status}`);
  if (problem.status === 401) return "This needs an API key. Ask whoever runs this service for one.";
  if (problem.status === 413) return "The request is too long. Shorten what you have put into its fields.";
  if (typeOf(problem) === "too-many-images") return retryAfterS ? `${detail.replace(/ Ask again when .*/, "")}${again}` : detail;
  if (problem.status === 429 && typeOf(problem) !== "too-many-explanations") return `${detail} Wait until some of your audits have ended, or cancel some.`;
  if (problem.status === 503) return again && !/try again/i.test(detail) ? detail + again : detail;
  if (typeOf(problem) === "unknown-model") {
    const name = detail.match(/^No zoo has '(.*?)'\./)?.[1];
    const hint = problem.suggestions?.length ? "These names are close:" : "Type a part of its name into the field “Model” to search.";
    return name == null ? detail : `No zoo has '${name}'. ${hint}`;
  }
  if (typeOf(problem) === "weights-not-published" && problem.suggestions?.length) {
    const hint = "Choose untrained weights, or one of these models:";
    return `${detail.match(/^.*? has no published weights\./)?.[0] ?? "There are no published weights of this name."} ${hint}`;
  }
  if (typeOf(problem) === "unknown-checkpoint") return detail.replace(/^checkpoint:\S+: /, "").replace(/ The operator has not set .*/, "");
  if (typeOf(problem) === "methods-differ") return "Scores compare only between audits of one method on the same images.";
  if (typeOf(problem) === "invalid-request") return (problem.errors ?? []).map(fieldSentence).join(" ") || detail;
  return detail;
}

/** The mistakes of a refused audit by the field at which to show them, each as [field, sentence]; a problem of no field has none. */
export function fieldSentences(problem) {
  const field = FIELD_OF_TYPE[typeOf(problem)];
  if (field) return [[field, sentence(problem)]];
  const byField = new Map((problem.errors ?? []).map((error) => [formField(error), fieldSentence(error)])); // one for each field
  return [...byField].filter(([name]) => name in FIELDS);
}

/** The problem of a form that is not sent, because this field is wrong. */
export const wrongField = (field, message = FIELDS[field][1]) =>
  ({ type: "urn:zooaudit:problem:invalid-request", status: 422, errors: [{ field, message, fromForm: true }] });

/** The service names an element of a list by its place, such as translations_px.0. */
const formField = ({ field }) => field.split(".")[0];

/** The form's own messages are sentences already; those of the service name patterns and limits as programmers do. */
function fieldSentence(error) {
  if (error.fromForm) return error.message;
  return FIELDS[formField(error)]?.[1] ?? withStop(error.message[0].toUpperCase() + error.message.slice(1));
}
