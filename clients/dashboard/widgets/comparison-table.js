// The table of compared audits: a row each, a column for each part under translation and rotation, shaded by the score.

import { toCsv } from "../lib/csv.js";
import { breakable, element, keepFocus } from "../lib/dom.js";
import { fixed, halfWidth, millions } from "../lib/format.js";
import { weightsBadge } from "./progress.js";
import { replaceHeads, sorted, sortHeader } from "./sorting.js";
import { href, params } from "../lib/url.js";

export const TRANSFORMS = ["translation", "rotation"];

/** { node, show(comparison, kind, sort) }; `onTop1(id, text)` sets an accuracy, `without(id)` is where to go without it. */
export function comparisonTable({ onTop1, without }) {
  const caption = element("caption");
  const groups = element("tr"), heads = element("tr"), body = element("tbody");
  const node = element("table", { class: "compared" }, caption, element("thead", {}, groups, heads), body);
  return {
    node,
    show({ audits }, kind, sort) {
      const parts = partsOf(audits);
      const given = (params().get("top1") ?? "").split(",");
      caption.textContent = `${kind === "channel" ? "Channel" : "Layer"} equivariance, from 0 to 1; at Pool and Final, invariance. Top-1 is the zoo’s figure unless you put one in.`;
      groups.replaceChildren(element("td", { colspan: 2 }), element("td", { class: "parameters" }),
        ...TRANSFORMS.map((name) => element("th", { scope: "colgroup", class: "group", colspan: parts.length }, name === "translation" ? "Translation" : "Rotation")), element("td"));
      const number = { sort, first: "-", class: "number" };
      replaceHeads(heads, [
        sortHeader("Model", "model", { sort }), sortHeader("Top-1, %", "top1", number), sortHeader("Parameters", "parameters", { ...number, class: "number parameters" }),
        ...TRANSFORMS.flatMap((transform) => parts.map((part, index) =>
          sortHeader(part, `${transform}.${part}`, { ...number, class: index ? "number" : "number first" }))),
        element("td"),
      ]);
      const values = {
        model: (audit) => audit.model, top1: (audit) => audit.imagenet_top1, parameters: (audit) => audit.parameters,
        ...Object.fromEntries(TRANSFORMS.flatMap((transform) => parts.map((part) =>
          [`${transform}.${part}`, (audit) => audit.parts[part]?.[transform][kind]]))),
      };
      keepFocus(body, () => body.replaceChildren(...sorted(audits, sort, values).map((audit) =>
        row(audit, given[audits.indexOf(audit)] ?? "", parts, kind, { onTop1, leave: audits.length > 2 && without(audit.id) }))));
    },
  };
}

/** The parts that any of the audits has, in their order. */
export const partsOf = (audits) => ["Early", "Middle", "Late", "Pool", "Final"].filter((part) => audits.some((audit) => audit.parts[part]));

function row(audit, given, parts, kind, { onTop1, leave }) {
  const link = element("a", { class: "model", href: href({ audit: audit.id }) }, breakable(audit.model));
  const badge = audit.weights === "pretrained" ? [] : [" ", weightsBadge(audit.weights)];
  const input = element("input", {
    class: "top1", inputmode: "decimal", "aria-label": `ImageNet top-1 of ${audit.model}, per cent`, autocomplete: "off", "data-key": `top1:${audit.id}`,
    placeholder: audit.imagenet_top1 == null || given ? "unknown" : audit.imagenet_top1.toFixed(2), value: given,
  });
  input.addEventListener("change", () => {
    const value = input.value.trim().replace(",", ".");
    const valid = value === "" || (/^\d{1,3}(\.\d{1,12})?$/.test(value) && Number(value) <= 100);
    if (valid) onTop1(audit.id, value);
    else input.setAttribute("aria-invalid", "true");
  });
  const cells = TRANSFORMS.flatMap((transform) => parts.map((part) => heatCell(audit.parts[part]?.[transform], kind)));
  return element("tr", {}, element("th", { scope: "row" }, link, badge), element("td", { class: "number" }, input),
    element("td", { class: "number parameters" }, millions(audit.parameters)), cells,
    element("td", {}, leave && element("a", { class: "leave", href: leave, "aria-label": `Leave out ${audit.model}`, title: "Leave out" }, "×")));
}

function heatCell(score, kind) {
  const value = score?.[kind], interval = score?.[`${kind}_interval`];
  const title = interval ? `${halfWidth(interval)}: 95 % confidence interval ${fixed(interval[0])} to ${fixed(interval[1])}` : score?.reason;
  const cell = element("td", { class: "number heat", title }, fixed(value));
  if (value != null) cell.style.setProperty("--heat", value);
  return cell;
}

/** A row for each audit, part and transform. */
export function comparisonCsv({ audits }) {
  const columns = ["audit", "model", "weights", "parameters", "imagenet_top1", "images", "part", "transform",
    "channel", "channel_low", "channel_high", "layer", "layer_low", "layer_high", "reason"];
  const rows = audits.flatMap((audit) => partsOf([audit]).flatMap((part) => TRANSFORMS.map((transform) => {
    const score = audit.parts[part][transform];
    const [[channel_low, channel_high] = [], [layer_low, layer_high] = []] = [score.channel_interval ?? [], score.layer_interval ?? []];
    const { id, model, weights, parameters, imagenet_top1, images } = audit;
    return { audit: id, model, weights, parameters, imagenet_top1, images, part, transform, channel: score.channel, channel_low, channel_high,
      layer: score.layer, layer_low, layer_high, reason: score.reason };
  })));
  return toCsv(columns, rows);
}
