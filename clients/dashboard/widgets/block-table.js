// The scores block by block, sortable by any column.

import { arrange, breakable, element, scrollable } from "../lib/dom.js";
import { count, plural } from "../lib/format.js";
import { scoreCell } from "./part-tables.js";
import { replaceHeads, sorted, sortHeader } from "./sorting.js";

const SCORES = ["translation", "rotation"].flatMap((transform) => ["channel", "layer"].map((kind) => [transform, kind]));
const PARTS = ["Early", "Middle", "Late", "Pool", "Final"];
const VALUES = {
  block: (block) => block.name,
  part: (block) => PARTS.indexOf(block.part),
  channels: (block) => block.channels,
  map: (block) => block.height * block.width,
  layout: (block) => block.layout,
  dead: (block) => block.dead_channels,
  ...Object.fromEntries(SCORES.map(([transform, kind]) => [`${transform}.${kind}`, (block) => block[transform][kind]])),
};

/** { node, show(sort) } of blocks, of a report or of a model's depth (without scores); unsorted, they are in the order in which they run. */
export function blocksTable(blocks) {
  const scored = blocks.some((block) => block.translation);
  const rows = new Map(blocks.map((block) => [block, row(block)]));
  const heads = element("tr");
  const body = element("tbody");
  const table = element("table", { class: scored ? "blocks" : "blocks unscored" },
    element("caption", {}, `${plural(blocks.length, "block")}, in the order in which they run unless sorted${scored ? "; ± half of a 95 % confidence interval" : ""}`),
    element("thead", {}, heads), body);
  return {
    node: scrollable("Blocks", table),
    show(sort) {
      const column = (label, name, attributes) => sortHeader(label, name, { sort, ...attributes });
      const number = { class: "number", first: "-" };
      replaceHeads(heads, [
        column("Block", "block"), column("Part", "part"), column("Channels", "channels", number), column("Map", "map", number),
        column("Layout", "layout"), ...(scored ? [column("Dead", "dead", { ...number, title: "Channels that are constant over all images" })] : []),
        ...(scored ? SCORES : []).map(([transform, kind]) => column(`${transform === "translation" ? "Transl." : "Rotation"} ${kind}`, `${transform}.${kind}`, number)),
      ]);
      arrange(body, sorted(blocks, sort, VALUES).map((block) => rows.get(block)));
    },
  };
}

function row(block) {
  const number = (text) => element("td", { class: "number" }, text);
  const scores = block.translation ? SCORES : [];
  const cells = scores.map(([transform, kind]) => {
    const score = block[transform];
    return scoreCell({ value: score[kind], interval: score[`${kind}_interval`], reason: score.reason });
  });
  return element("tr", {},
    element("th", { scope: "row" }, element("code", {}, breakable(block.name))), element("td", {}, block.part), number(count(block.channels)),
    number(`${block.height} × ${block.width}`), element("td", {}, block.layout), block.translation && number(count(block.dead_channels)), cells);
}
