// Sends again what is safe to send again, and remembers whether an earlier try may have been carried out.
import { isPassing, isUncertain, type ModqError, NoItem, Stale, toModqError } from './errors.js';
import { Backoff, monotonic, sleep, within } from './time.js';

export interface Tries {
  /** ms for one try. */
  each: number;
  /** ms for all of them. */
  total: number;
  /** How often the client lost a connection and sent again by itself, so far. */
  interruptions: () => number;
  /** Ends the waiting between tries. */
  signal?: AbortSignal;
  /** Around each try. */
  before?: () => Promise<void> | undefined;
  after?: () => void;
}

export interface Settled {
  reply?: unknown;
  /** The answer to a later try that an earlier one explains. */
  explained?: NoItem | Stale;
}

/**
 * Sends until there is an answer, or the time is over (then the last error is thrown, `uncertain` if any try may have been
 * carried out). NOITEM or STALE after a lost reply is an answer: most likely of our own earlier try.
 */
export async function settle(send: () => Promise<unknown>, what: string, tries: Tries): Promise<Settled> {
  const end = monotonic() + tries.total;
  let left = tries.total;
  let backoff: Backoff | undefined;
  let uncertain = false;
  for (;;) {
    const lost = tries.interruptions();
    const ready = tries.before?.();
    if (ready) await ready;
    let error: ModqError;
    try {
      return { reply: await within(Math.min(tries.each, Math.max(1, left)), what, send()) };
    } catch (failed) {
      error = toModqError(failed);
    } finally {
      tries.after?.();
    }
    uncertain ||= isUncertain(error) || tries.interruptions() !== lost;
    if (uncertain && (error instanceof NoItem || error instanceof Stale)) return { explained: error };
    backoff ??= new Backoff(50, 2000);
    const wait = backoff.next();
    if (!isPassing(error) || tries.signal?.aborted || monotonic() + wait >= end) {
      error.uncertain = uncertain;
      throw error;
    }
    await sleep(wait, tries.signal);
    left = end - monotonic();
  }
}
