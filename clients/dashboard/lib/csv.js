// A report as comma-separated values, made here: a row for each score of a part or a block, its interval beside it.

import { weightsLabel } from "./format.js";

const COLUMNS = [
  "audit", "model", "weights", "level", "name", "part", "channels", "height", "width", "layout", "dead_channels", "transform", "by",
  "channel", "channel_low", "channel_high", "layer", "layer_low", "layer_high", "top1_agreement", "reason",
];

/**
 * `level` is part or block. `by` is "mean" (over the transforms), "aligned" (over the shifts that are whole at that
 * block), or one transform, such as "8 px" or "90 deg".
 */
export function reportCsv(report) {
  const shared = { audit: report.id, model: report.model.name, weights: weightsLabel(report.model.weights) };
  const of = (base, one) => [...rowsOf(base, "translation", one.translation), ...rowsOf(base, "rotation", one.rotation)];
  const parts = Object.entries(report.parts).flatMap(([name, part]) => of({ ...shared, level: "part", name, part: name }, part));
  const blocks = report.blocks.flatMap((block) => {
    const { name, part, channels, height, width, layout, dead_channels } = block;
    return of({ ...shared, level: "block", name, part, channels, height, width, layout, dead_channels }, block);
  });
  return toCsv(COLUMNS, [...parts, ...blocks]);
}

function rowsOf(base, transform, score) {
  const row = (by, one) => ({
    ...base, transform, by, channel: one.channel, layer: one.layer, reason: one.reason, top1_agreement: one.top1_agreement,
    channel_low: one.channel_interval?.[0], channel_high: one.channel_interval?.[1],
    layer_low: one.layer_interval?.[0], layer_high: one.layer_interval?.[1],
  });
  const aligned = score.aligned ? [row("aligned", score.aligned)] : [];
  return [row("mean", score), ...aligned,
    ...score.by_transform.map((one) => row("shift_px" in one ? `${one.shift_px} px` : `${one.angle_deg} deg`, one))];
}

/** RFC 4180, with a head. */
export function toCsv(columns, rows) {
  return [columns, ...rows.map((row) => columns.map((name) => row[name]))].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

/** Numbers as they are; text that a spreadsheet would take for a formula gets an apostrophe before it. */
function cell(value) {
  if (value == null) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Hands the browser a file to keep. */
export function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
