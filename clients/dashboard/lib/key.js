// The API key: asked for when the service wants one, kept until the tab is closed.

import { byId, setText } from "./dom.js";

const STORAGE_NAME = "zooaudit-api-key";
const dialog = byId("key-dialog");
const input = byId("key");
let answer; // the promise of the open dialog

export const key = () => sessionStorage.getItem(STORAGE_NAME);

/** Asks the user for a key and says why; resolves to whether there is one now. Callers who ask at once share the dialog. */
export function askForKey(why) {
  answer ??= new Promise((resolve) => {
    setText(byId("key-why"), why);
    dialog.returnValue = "";
    dialog.showModal();
    input.select();
    dialog.addEventListener("close", () => {
      answer = undefined;
      const newKey = dialog.returnValue === "given" && input.value.trim();
      if (newKey) sessionStorage.setItem(STORAGE_NAME, newKey);
      resolve(Boolean(newKey));
    }, { once: true });
  });
  return answer;
}

byId("key-cancel").addEventListener("click", () => dialog.close());
