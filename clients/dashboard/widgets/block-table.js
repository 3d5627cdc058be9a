// The table of blocks, which sorts by any column.

import { arrange, breakable, element, scrollable } from "../lib/dom.js";
import { count, plural } from "../lib/format.js";
import { PARTS, SCORE_NAMES, TRANSFORMS } from "../lib/scores.js";
import { estimateOf, scoreCell } from "./score-cell.js";
import { replaceHeaders, sorted, sortHeader } from "./sorting.js";

const SCORE_COLUMNS = TRANSFORMS.flatMap((transform) => SCORE_NAMES.map((scoreName) => [transform, scoreName]));
const SORT_VALUES = {
  block: (block) => block.name,
  part: (block) => PARTS.indexOf(block.part),
  channels: (block) => block.channels,
  map: (block) => block.height * block.width,
  layout: (block) => block.layout,
  dead: (block) => block.dead_channels,
  ...Object.fromEntries(SCORE_COLUMNS.map(([transform, scoreName]) => [`${transform}.${scoreName}`, (block) => block[transform][scoreName]])),
};

/** { node, show(sort) } for the blocks of a report, or for those of a model, which have no scores; unsorted, they stand as they run. */
export function blockTable(blocks) {
  const scored = blocks.some((block) => block.translation);
  const rows = new Map(blocks.map((block) => [block, blockRow(block)]));
  const headerRow = element("tr");
  const body = element("tbody");
  const table = element("table", { class: scored ? "blocks" : "blocks unscored" },
    element("caption", {}, `${plural(blocks.length, "block")}, in the order in which they run unless sorted${scored ? "; ± half of a 95 % confidence interval" : ""}`),
    element("thead", {}, headerRow), body);
  return {
    node: scrollable("Blocks", table),
    show(sort) {
      const column = (label, name, attributes) => sortHeader(label, name, { sort, ...attributes });
      const number = { class: "number", first: "-" };
      replaceHeaders(headerRow, [
        column("Block", "block"), column("Part", "part"), column("Channels", "channels", number), column("Map", "map", number),
        column("Layout", "layout"), ...(scored ? [column("Dead", "dead", { ...number, title: "Channels that are constant over all images" })] : []),
        ...(scored ? SCORE_COLUMNS : []).map(([transform, scoreName]) =>
          column(`${transform === "translation" ? "Transl." : "Rotation"} ${scoreName}`, `${transform}.${scoreName}`, number)),
      ]);
      arrange(body, sorted(blocks, sort, SORT_VALUES).map((block) => rows.get(block)));
    },
  };
}

function blockRow(block) {
  const number = (text) => element("td", { class: "number" }, text);
  const scores = block.translation ? SCORE_COLUMNS : [];
  return element("tr", {},
    element("th", { scope: "row" }, element("code", {}, breakable(block.name))), element("td", {}, block.part), number(count(block.channels)),
    number(`${block.height} × ${block.width}`), element("td", {}, block.layout), block.translation && number(count(block.dead_channels)),
    scores.map(([transform, scoreName]) => scoreCell(estimateOf(block[transform], scoreName))));
}
