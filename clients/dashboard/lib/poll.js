// Runs a task again and again, without overtaxing the service.

import { ApiError } from "./api.js";

const HIDDEN_MS = 30_000, LONGEST_MS = 60_000;

/**
 * Runs `task(signal)`, which returns the milliseconds until its next run, or null to rest until `now` is called. The
 * pauses are longer while the tab is hidden, and grow while the task fails (`onError(error, waitMs)`); when the tab or the
 * network is back, the task runs at once. Returns { now, stop }: `now` runs the task at once and aborts the run that it overtakes.
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
