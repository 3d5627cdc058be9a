// The buttons that save what a page shows as a file.

import { ApiError, request } from "../lib/api.js";
import { download } from "../lib/download.js";
import { element } from "../lib/dom.js";

/** Saves what the service answers at `path`, byte by byte. The browser alone could not send the key that it may need. */
export function jsonButton(path, name, onError) {
  return element("a", { class: "button", href: path, download: name, onclick: async (event) => {
    event.preventDefault();
    try {
      download(name, "application/json", (await request(path)).text);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      onError(`The file was not saved. ${error.message}`);
    }
  } }, "JSON");
}

/** Saves the CSV file that `makeText` returns. */
export const csvButton = (name, makeText) =>
  element("button", { type: "button", onclick: () => download(name, "text/csv", makeText()) }, "CSV");
