// The service, over HTTP.

import { save } from "./dom.js";
import { askForKey, key } from "./key.js";

/** The service refused or did not answer: `problem` is an RFC 9457 problem, of status 0 when there was no answer. */
export class ApiError extends Error {
  constructor(problem, retryAfterS = null) {
    super(sentence(problem));
    this.problem = problem;
    this.retryAfterS = retryAfterS;
  }
}

/** Describes a problem in one or two sentences, without its suggestions. */
export function sentence(problem) {
  const withStop = (text) => (/[.?!]$/.test(text) ? text : `${text}.`);
  const detail = withStop(problem.detail || problem.title || `The service answered ${problem.status}`);
  const newErrors = (problem.errors ?? []).filter((error) => !detail.includes(error.message));
  return [detail, ...newErrors.map((error) => withStop(`${error.field}: ${error.message}`))].join(" ");
}

let declined = false; // the user has given no key for reading, so that the next poll does not ask again

/**
 * Sends a request and returns { status, body, etag, retryAfterS }; body is null when nothing has changed since `etag`.
 * If the service wants a key, asks the user for one and sends the request again.
 */
export async function request(path, options = {}) {
  const reads = !options.method;
  for (;;) {
    const sentKey = key();
    try {
      return await send(path, options);
    } catch (error) {
      if (error.problem?.status !== 401) throw error;
      if (key() !== sentKey) continue; // given meanwhile, to another request that asked
      if (reads && declined) throw error;
      const given = await askForKey(error.message);
      declined = reads && !given;
      if (!given) throw error;
    }
  }
}

async function send(path, { method = "GET", body, etag, signal }) {
  const headers = { Accept: "application/json" };
  if (key()) headers.Authorization = `Bearer ${key()}`;
  if (etag) headers["If-None-Match"] = etag;
  if (body) headers["Content-Type"] = "application/json";
  const timeout = AbortSignal.timeout(30_000);
  let response, text;
  try {
    response = await fetch(path, {
      method,
      headers,
      cache: "no-store",
      body: body && JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
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
    // A proxy in front of the service answered; the error below reports its status.
  }
  if (response.ok && parsed) return { status: response.status, body: parsed, etag: response.headers.get("ETag"), retryAfterS };
  const unknown = { title: "Error", status: response.status, detail: `The service answered ${response.status}` };
  throw new ApiError(parsed?.title ? parsed : unknown, retryAfterS);
}

/** Sends a request that changes something, and returns the body of the answer. */
export const change = async (path, options) => (await request(path, options)).body;

const cached = new Map(); // path -> { etag, body }

/** GETs a path; while nothing has changed there, returns the very object that it returned before. */
export async function fresh(path, signal) {
  const earlier = cached.get(path);
  const { status, body, etag } = await request(path, { etag: earlier?.etag, signal });
  if (status === 304) return earlier.body;
  cached.delete(path);
  if (etag) cached.set(path, { etag, body });
  if (cached.size > 20) cached.delete(cached.keys().next().value); // the one that was fetched longest ago
  return body;
}

// The browser fetches what a link with `download` points to without the key, which reading may need.
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[download]");
  if (!link?.protocol.startsWith("http") || !key()) return;
  event.preventDefault();
  try {
    const response = await fetch(link.href, { headers: { Authorization: `Bearer ${key()}` } });
    if (!response.ok) throw new ApiError(await response.json());
    save(link.download, await response.blob());
  } catch (error) {
    window.alert(`The file was not saved: ${error.message}`);
  }
});
