// Waiting with an end: sleeps that a signal cuts short, deadlines for promises, back-off with jitter.
import { TimedOut } from './errors.js';

/** Milliseconds by a clock that nobody sets. */
export function monotonic(): number {
  return performance.now();
}

/** Waits for `ms`, or less if `signal` is aborted; never throws. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted || ms <= 0) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}

/**
 * The promise's outcome, or `TimedOut` after `ms` (up to 50 ms later, if it is a second or more), when `givenUp` is called. What
 * comes later is dropped.
 */
export function within<T>(ms: number, what: string, promise: Promise<T>, givenUp?: () => void): Promise<T> {
  if (!Number.isFinite(ms)) return promise;
  return new Promise<T>((resolve, reject) => {
    const late = () => {
      const error = new TimedOut(`${what}: no reply within ${Math.round(ms)} ms`, 'TIMEOUT');
      error.uncertain = true;
      reject(error);
      givenUp?.();
    };
    const cancel = alarm(ms, late);
    promise.then(
      (value) => {
        cancel();
        resolve(value);
      },
      (error) => {
        cancel();
        reject(error);
      },
    );
  });
}

const TICK_MS = 50;
const COARSE_MS = 1000;

/** A place in a ring of what is to ring: in and out of it costs less than of a Set, and there is one for each command. */
class Alarm {
  before: Alarm = this;
  after: Alarm = this;

  constructor(
    readonly at: number,
    readonly ring: () => void,
  ) {}

  insert(alarm: Alarm): void {
    alarm.after = this;
    alarm.before = this.before;
    this.before.after = alarm;
    this.before = alarm;
  }

  remove(): void {
    this.before.after = this.after;
    this.after.before = this.before;
    this.before = this;
    this.after = this;
  }
}

const alarms = new Alarm(Number.POSITIVE_INFINITY, () => {});
let ticking: NodeJS.Timeout | undefined;

/** Rings after `ms` unless it is cancelled. Nearly all are, soon: so the long ones share one timer, which is cheaper for each command. */
function alarm(ms: number, ring: () => void): () => void {
  if (ms < COARSE_MS) {
    const timer = setTimeout(ring, Math.max(0, ms));
    return () => clearTimeout(timer);
  }
  const one = new Alarm(monotonic() + ms, ring);
  alarms.insert(one);
  ticking ??= setInterval(tick, TICK_MS);
  return () => one.remove();
}

function tick(): void {
  const now = monotonic();
  for (let one = alarms.after; one !== alarms; ) {
    const { after } = one;
    if (one.at <= now) {
      one.remove();
      one.ring();
    }
    one = after;
  }
  if (alarms.after !== alarms) return;
  clearInterval(ticking);
  ticking = undefined;
}

/** True once the promise has settled, either way; false after `ms`. */
export async function settledWithin(ms: number, promise: Promise<unknown>): Promise<boolean> {
  const settled = promise.then(
    () => true,
    () => true,
  );
  const stop = new AbortController();
  const late = sleep(ms, stop.signal).then(() => false);
  const first = await Promise.race([settled, late]);
  stop.abort();
  return first;
}

/** Growing waits: each at random between half and all of first · 2^n, up to `most`. */
export class Backoff {
  #tries = 0;

  constructor(
    readonly first: number,
    readonly most: number,
  ) {}

  next(): number {
    const whole = Math.min(this.most, this.first * 2 ** Math.min(this.#tries++, 30));
    return whole / 2 + (Math.random() * whole) / 2;
  }

  reset(): void {
    this.#tries = 0;
  }
}
