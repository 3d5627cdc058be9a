// The API key: asked for when the service wants one, kept until the tab is closed.

import { byId, setText } from "./dom.js";

const KEPT = "zooaudit-api-key";
const dialog = byId("key-dialog");
const input = byId("key");
let asking;

export const key = () => sessionStorage.getItem(KEPT);

/** Asks for a key, saying why; whether one was given. Several who ask at once get the same answer. */
export function askForKey(why) {
  asking ??= new Promise((resolve) => {
    setText(byId("key-why"), why);
    dialog.returnValue = "";
    dialog.showModal();
    input.select();
    dialog.addEventListener("close", () => {
      asking = undefined;
      const given = dialog.returnValue === "given" && input.value.trim();
      if (given) sessionStorage.setItem(KEPT, given);
      resolve(Boolean(given));
    }, { once: true });
  });
  return asking;
}

byId("key-cancel").addEventListener("click", () => dialog.close());
