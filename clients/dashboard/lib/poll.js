// Asking again and again, politely.

import { ApiError } from "./api.js";

const HIDDEN_MS = 30_000, LONGEST_MS = 60_000;

/**
 * Runs `task(signal)` until it says that there is no more to ask: it returns the milliseconds until the next time, or
 * null. Slower while the tab is hidden, ever slower while it fails (`onError(error, waitMs)`), at once when the tab or
 * the network is back. Returns { now, stop }; a run that is overtaken by `now` is aborted.
 */
export function poll(task, { onAnswer = () => {}, onError = () => {} } = {}) {
  let timer, failures = 0, controller, resting = false;
  async function run() {
    clearTimeout(timer);
    controller?.abort();
    const { signal } = (controller = new AbortController());
    let waitMs;
    try {
      waitMs = await task(signal);
      if (signal.aborted) return;
      failures = 0;
      onAnswer();
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) console.error(error);
      waitMs = Math.min(1000 * 2 ** ++failures, LONGEST_MS);
      if (error.retryAfterS) waitMs = Math.max(waitMs, error.retryAfterS * 1000);
      onError(error, waitMs);
    }
    resting = waitMs == null;
    if (!resting) timer = setTimeout(run, document.hidden ? Math.max(waitMs, HIDDEN_MS) : waitMs);
  }
  const back = () => resting || document.hidden || run();
  document.addEventListener("visibilitychange", back);
  window.addEventListener("online", back);
  run();
  return {
    now: run,
    stop() {
      clearTimeout(timer);
      controller.abort();
      document.removeEventListener("visibilitychange", back);
      window.removeEventListener("online", back);
    },
  };
}
