// The service, over HTTP.

import { askForKey, key } from "./key.js";
import { sentence } from "./problems.js";

/** The service refused or did not answer: `problem` is an RFC 9457 problem, of status 0 when there was no answer. */
export class ApiError extends Error {
  constructor(problem, retryAfterS = null) {
    super(sentence(problem, retryAfterS));
    this.problem = problem;
    this.retryAfterS = retryAfterS;
  }
}

/**
 * Sends one request and returns { status, body, text, etag, retryAfterS }; body is null when nothing has changed since
 * `etag`. If the service wants a key, asks the user for one and sends the request again, unless `asksForKey` is false.
 * Paths are relative to the page.
 */
export async function request(path, options = {}) {
  for (;;) {
    const sentKey = key();
    try {
      return await send(path, options, sentKey);
    } catch (error) {
      if (error.problem?.status !== 401 || options.asksForKey === false) throw error;
      const isReading = !options.method; // reads repeat by themselves; they do not ask again what was declined
      if (key() === sentKey && !(await askForKey({ wasRefused: Boolean(sentKey), unlessDeclined: isReading }))) throw error;
    }
  }
}

async function send(path, { method = "GET", body, etag, signal }, sentKey) {
  const headers = { Accept: "application/json" };
  if (sentKey) headers.Authorization = `Bearer ${sentKey}`;
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
  if (response.ok && parsed) return { status: response.status, body: parsed, text, etag: response.headers.get("ETag"), retryAfterS };
  const unknown = { title: "Error", status: response.status, detail: `The service answered ${response.status}` };
  throw new ApiError(parsed?.title ? parsed : unknown, retryAfterS);
}

/** Sends a request that changes something, and returns the answer's body. */
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
