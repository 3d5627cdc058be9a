// The service, over HTTP.

import { askForKey, key } from "./key.js";

/** The service refused or did not answer: `problem` is an RFC 9457 problem, status 0 when nothing answered. */
export class ApiError extends Error {
  constructor(problem, retryAfterS = null) {
    super(sentence(problem));
    this.problem = problem;
    this.retryAfterS = retryAfterS;
  }
}

/** What a problem says in one or two sentences, without its suggestions. */
export function sentence(problem) {
  const stopped = (text) => (/[.?!]$/.test(text) ? text : `${text}.`);
  const detail = stopped(problem.detail || problem.title || `The service answered ${problem.status}`);
  const fields = (problem.errors ?? []).filter((error) => !detail.includes(error.message));
  return [detail, ...fields.map((error) => stopped(`${error.field}: ${error.message}`))].join(" ");
}

/** One request: { status, body, etag, retryAfterS }; body is null when nothing has changed since `etag`. */
export async function request(path, { method = "GET", body, etag, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (key()) headers.Authorization = `Bearer ${key()}`;
  if (etag) headers["If-None-Match"] = etag;
  if (body) headers["Content-Type"] = "application/json";
  const limit = AbortSignal.timeout(30_000);
  let response, text;
  try {
    response = await fetch(path, {
      method,
      headers,
      cache: "no-store",
      body: body && JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError({ title: "Offline", status: 0, detail: "The service does not answer" });
  }
  const retryAfterS = Number(response.headers.get("Retry-After")) || null;
  if (response.status === 304) return { status: 304, body: null, etag, retryAfterS };
  let parsed = null;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Something before the service, such as a proxy, answered: told by its status below.
  }
  if (response.ok && parsed) return { status: response.status, body: parsed, etag: response.headers.get("ETag"), retryAfterS };
  const unknown = { title: "Error", status: response.status, detail: `The service answered ${response.status}` };
  throw new ApiError(parsed?.title ? parsed : unknown, retryAfterS);
}

/** A request that changes something. Where it needs a key the user is asked for one, and it is sent again. */
export async function change(path, options) {
  for (;;) {
    try {
      return (await request(path, options)).body;
    } catch (error) {
      if (error.problem?.status !== 401 || !(await askForKey(error.message))) throw error;
    }
  }
}

const kept = new Map();

/** A GET that hands back the very object it had when nothing has changed. */
export async function fresh(path, signal) {
  const had = kept.get(path);
  const { status, body, etag } = await request(path, { etag: had?.etag, signal });
  if (status === 304) return had.body;
  kept.delete(path);
  if (etag) kept.set(path, { etag, body });
  if (kept.size > 20) kept.delete(kept.keys().next().value); // the one that was fetched longest ago
  return body;
}
