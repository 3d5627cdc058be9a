// A report in words: sentences made from its numbers, and what to beware of. The service writes them.

import { fresh } from "../lib/api.js";
import { element } from "../lib/dom.js";
import { term } from "../lib/terms.js";
import { wideCard } from "./page-layout.js";

/** { node, load(path, signal) }: a card that is filled once the service has answered. */
export function readingCard() {
  const body = element("div", { class: "reading" }, element("p", { class: "note" }, "Reading the numbers…"));
  return {
    node: wideCard("In words", body),
    async load(path, signal) {
      try {
        const { sentences, warnings } = await fresh(path, signal);
        body.replaceChildren(...sentences.map((sentence) => element("p", {}, statement(sentence))), warningList(warnings));
      } catch (error) {
        if (!signal?.aborted) body.replaceChildren(element("p", { class: "note" }, error.message));
      }
    },
  };
}

function warningList(warnings) {
  if (!warnings.length) return "";
  return element("div", { class: "notice warn", role: "note", "aria-label": "Beware" },
    element("ul", {}, warnings.map((warning) => element("li", {}, statement(warning)))));
}

const statement = ({ text, term: name }) => [text, term(name, `the word ${name.replaceAll("-", " ")}`, { mark: true })];
