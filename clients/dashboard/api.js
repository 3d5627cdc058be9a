// The service, over HTTP.

const KEY = "zooaudit-api-key";

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

export const keepKey = (key) => sessionStorage.setItem(KEY, key);

/** One request: { status, body, etag }; body is null when nothing has changed since `etag`. */
export async function request(path, { method = "GET", body, etag, signal } = {}) {
  const headers = { Accept: "application/json" };
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = `Bearer ${key}`;
  if (etag) headers["If-None-Match"] = etag;
  if (body) headers["Content-Type"] = "application/json";
  const limit = AbortSignal.timeout(15_000);
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
  if (response.status === 304) return { status: 304, body: null, etag };
  let parsed = null;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Something before the service, such as a proxy, answered: told by its status below.
  }
  if (response.ok && parsed) return { status: response.status, body: parsed, etag: response.headers.get("ETag") };
  const unknown = { title: "Error", status: response.status, detail: `The service answered ${response.status}` };
  throw new ApiError(parsed?.title ? parsed : unknown, Number(response.headers.get("Retry-After")) || null);
}

/**
 * Runs `task` again and again: it returns the milliseconds until the next time. Slower while the tab is hidden,
 * ever slower while it fails (`onError` is told the wait), at once when the tab or the network is back.
 */
export function poll(task, onError) {
  const hiddenMs = 30_000;
  let timer, failures = 0, running = false, again = false;
  const later = (ms) => {
    clearTimeout(timer);
    timer = setTimeout(run, document.hidden ? Math.max(ms, hiddenMs) : ms);
  };
  async function run() {
    if (running) {
      again = true;
      return;
    }
    running = true;
    let waitMs;
    try {
      waitMs = await task();
      failures = 0;
    } catch (error) {
      if (!(error instanceof ApiError)) console.error(error);
      waitMs = Math.min(1000 * 2 ** ++failures, 60_000);
      if (error.retryAfterS) waitMs = Math.max(waitMs, error.retryAfterS * 1000);
      onError(error, waitMs);
    }
    running = false;
    later(again ? 0 : waitMs);
    again = false;
  }
  const now = () => {
    clearTimeout(timer);
    run();
  };
  document.addEventListener("visibilitychange", () => document.hidden || now());
  window.addEventListener("online", now);
  now();
  return now;
}
