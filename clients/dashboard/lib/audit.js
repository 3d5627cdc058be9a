// Reads an audit of the service: its status, the time it took, and its settings.

import { plural, ranges } from "./format.js";
import { WARPS } from "./scores.js";

export const STATUSES = ["queued", "running", "succeeded", "failed", "canceled"];

export const isFinal = (audit) => ["succeeded", "failed", "canceled"].includes(audit.status);

/** Seconds from start to end, or until now; null before the start. */
export function elapsedSeconds(audit) {
  if (!audit.started_at) return null;
  return Math.max(0, ((audit.finished_at ? new Date(audit.finished_at) : new Date()) - new Date(audit.started_at)) / 1000);
}

/** "shifts 1–32 px", "shifts 1–32 px right" if they go right only, or "shifts none". */
export const shiftsText = ({ translations_px: shifts, direction }) => `shifts ${ranges(shifts)}${shifts.length ? " px" : ""}${direction ? ` ${direction}` : ""}`;

export const reflectionsText = ({ reflections }) => `reflections ${reflections?.join(", ") || "none"}`;

const MOST_LISTED = 6; // of the amounts of a warp

/** "warp rotation 15°, 30°"; of many amounts, only how many there are and the first and the last, unless `whole`. */
function warpText({ kind, amounts }, whole) {
  const texts = amounts.map(WARPS[`warp_${kind}`].text);
  return `warp ${kind} ${whole || texts.length <= MOST_LISTED ? texts.join(", ") : `of ${texts.length} amounts, ${texts[0]} to ${texts.at(-1)}`}`;
}

/** What a request or a method asks for beyond shifts, rotations and reflections, each in words. */
export function furtherTexts({ warps = [], deformation, local, consistency_draws: draws, variance }, { whole = false } = {}) {
  return [
    ...warps.map((warp) => warpText(warp, whole)),
    deformation && `deformations ${deformation.displacements_px.join(", ")} px, cutoff ${deformation.cutoff}`,
    local && "local error",
    draws > 0 && `consistency of ${plural(draws, "draw")}`,
    variance && "variance",
  ].filter(Boolean);
}

/** The settings that differ from the defaults, in words: they tell audits of one model apart. */
export function unusualSettings(request) {
  const { translations_px: shifts, rotations_deg: angles } = request;
  return [
    request.checkpoint_version && `version ${request.checkpoint_version}`,
    request.seed !== 0 && `seed ${request.seed}`,
    !(shifts.length === 32 && shifts.at(-1) === 32) && (shifts.length ? `shifts ${ranges(shifts)} px` : "no shifts"),
    request.direction && `shifts ${request.direction} only`,
    angles.length !== 3 && (angles.length ? `rotations ${angles.join(", ")}°` : "no rotations"),
    request.reflections && reflectionsText(request),
    ...furtherTexts(request),
    request.similarity !== "correlation" && `similarity ${request.similarity}`,
    request.border !== "crop" && `border ${request.border}`,
    request.precision !== "float32" && request.precision,
    request.tolerance != null && `tolerance ${request.tolerance}`,
    request.baseline && (request.baseline_seeds > 1 ? `baseline of ${request.baseline_seeds} seeds` : "baseline"),
    request.repetition > 0 && `repetition ${request.repetition}`,
  ].filter(Boolean);
}

/** "imagenet-val · 2,000 images", and the unusual settings. */
export const requestSummary = (request) =>
  [request.dataset, plural(request.num_images, "image"), ...unusualSettings(request)].join(" · ");

/** The settings that compared audits share, in words. */
export const methodSummary = (method) => [
  method.dataset, `${plural(method.num_images, "image")}, seed ${method.seed}`, shiftsText(method),
  `rotations ${method.rotations_deg.join("°, ") || "none"}${method.rotations_deg.length ? "°" : ""}`, method.reflections && reflectionsText(method),
  ...furtherTexts(method), method.similarity, `border ${method.border}`,
  method.precision, method.tolerance != null && `tolerance ${method.tolerance}`, `protocol ${method.protocol}`,
].filter(Boolean).join(" · ");
