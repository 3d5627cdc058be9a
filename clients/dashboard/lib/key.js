// The API key: asked for when the service wants one, kept until the tab is closed.

import { byId, setText } from "./dom.js";

const STORAGE_NAME = "zooaudit-api-key";
const dialog = byId("key-dialog");
const input = byId("key");
let answer; // the promise of the open dialog
let declined = false; // whether the user closed the latest dialog without a key

export const key = () => sessionStorage.getItem(STORAGE_NAME);

/**
 * Asks the user for a key; resolves to whether there is a new one. Callers who ask at once share the dialog.
 * `wasRefused` says that the service does not accept the present key; `unlessDeclined` does not ask a user who has
 * closed the dialog without a key. `why` is what the dialog says instead of why it is there.
 */
export function askForKey({ wasRefused = false, unlessDeclined = false, why } = {}) {
  if (unlessDeclined && declined) return Promise.resolve(false);
  answer ??= new Promise((resolve) => {
    setText(byId("key-why"), why ? why : wasRefused ? "This needs an API key, and the service does not accept the one that you gave."
      : "This needs an API key. Whoever runs this service can give you one.");
    dialog.returnValue = "";
    dialog.showModal();
    input.select();
    dialog.addEventListener("close", () => {
      answer = undefined;
      const newKey = dialog.returnValue === "given" && input.value.trim();
      if (newKey) sessionStorage.setItem(STORAGE_NAME, newKey);
      declined = !newKey;
      resolve(Boolean(newKey));
    }, { once: true });
  });
  return answer;
}

byId("key-cancel").addEventListener("click", () => dialog.close());
