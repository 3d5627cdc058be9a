// Who the service takes the user for, and what the key may do.

import { change, request } from "./api.js";
import { key } from "./key.js";

const ROLES = ["read", "submit", "admin"];
let access = null; // the service's answer, and the key to which it belongs

/** Asks the service about the present key, unless that was done. Of a key that it does not know nothing is known here. */
export async function refreshAccess(signal) {
  if (access?.key === key()) return;
  const sentKey = key();
  let answer = {};
  try {
    answer = (await request("key", { signal, asksForKey: false })).body;
  } catch (error) {
    if (![401, 404].includes(error.problem?.status)) throw error; // no key where one is needed, a wrong one, an older service
  }
  access = { key: sentKey, ...answer };
  // The style sheet hides elements whose data-needs names a role that this one does not have.
  if (keyInWords()) document.documentElement.dataset.role = access.role;
  else delete document.documentElement.dataset.role;
}

/** The name and the role of the key; null without a key that the service knows. */
export const keyInWords = () => (access?.key && access.key === key() && access.role ? `${access.name} (${access.role})` : null);

/** Whether the key may do what needs this role, as far as is known. Who has no key is asked for one when it is needed. */
export const mayTry = (role) => keyInWords() === null || ROLES.indexOf(access.role) >= ROLES.indexOf(role);

/** Writes on an audit what has changed: its labels, its note, or whether it is archived. Returns the audit. */
export const annotate = (id, changes) => change(`audit/${encodeURIComponent(id)}`, { method: "PATCH", body: changes });

/** Deletes an audit with all that is stored of it. */
export const purge = (id) => change(`audit/${encodeURIComponent(id)}?purge=true`, { method: "DELETE" });
