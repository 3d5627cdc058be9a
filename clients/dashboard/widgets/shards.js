// Who measures what of a running audit: how many workers take part, and a table of the shards, which is changed in place.

import { arrange, element, setText } from "../lib/dom.js";
import { count, plural, transformRanges } from "../lib/format.js";

/** { node, update(sharing) }: nothing while there is no sharing, and a line where one worker measures everything at once. */
export function shardsView() {
  const heading = element("h2", {}, "Shards");
  const line = element("p", { class: "note" }), caption = element("caption");
  const body = element("tbody");
  const header = (label, className) => element("th", { scope: "col", class: className }, label);
  const table = element("table", {}, caption,
    element("thead", {}, element("tr", {},
      header("Transforms"), header("Worker", "detail"), header("Device", "detail"), header("Progress in forward images", "how-far"))),
    body);
  const node = element("div", { class: "shards" });
  const rows = [];
  return {
    node,
    update(sharing) {
      if (!sharing) return arrange(node, []);
      const { shards, workers, waiting, repeated } = sharing;
      const isWhole = shards.length === 1 && workers === 1 && !waiting && !repeated;
      const text = isWhole ? `Measured by ${shards[0].worker} on ${shards[0].device}.` : sharingSentence(sharing);
      setText(line, text);
      setText(caption, text);
      while (rows.length < shards.length) rows.push(shardRow());
      shards.forEach((shard, index) => rows[index].update(shard));
      arrange(body, rows.slice(0, shards.length).map((row) => row.node));
      arrange(node, isWhole ? [line] : [heading, shards.length ? table : line]);
    },
  };
}

/** "3 workers take part; 9 transforms wait; 1,280 forward images were measured again." */
function sharingSentence({ workers, waiting, repeated }) {
  const again = repeated ? `; ${plural(repeated, "forward image was", "forward images were")} measured again` : "";
  return `${plural(workers, "worker takes", "workers take")} part; ${plural(waiting, "transform waits", "transforms wait")}${again}.`;
}

/** A narrow screen has the worker and its device below the transforms instead of in columns of their own. */
function shardRow() {
  const transforms = element("span"), who = element("span", { class: "sub only-narrow" });
  const worker = element("td", { class: "detail" }), device = element("td", { class: "detail" });
  const pill = element("span", { class: "pill" });
  const bar = element("progress"), amount = element("span", { class: "sub" });
  return {
    node: element("tr", {}, element("th", { scope: "row" }, transforms, who), worker, device,
      element("td", {}, element("div", { class: "how-far" }, pill, bar, amount))),
    update(shard) {
      const measured = transformRanges(shard.transforms) || "–";
      setText(transforms, shard.baseline_seed == null ? measured : `untrained, seed ${shard.baseline_seed}: ${measured}`);
      setText(who, `${shard.worker} · ${shard.device}`);
      setText(worker, shard.worker);
      setText(device, shard.device);
      setText(pill, shard.state);
      pill.dataset.status = shard.state === "done" ? "succeeded" : "running";
      bar.setAttribute("aria-label", `Progress of ${transforms.textContent}`);
      bar.max = shard.total || 1;
      bar.value = shard.done;
      setText(amount, `${count(shard.done)} of ${count(shard.total)}`);
    },
  };
}
