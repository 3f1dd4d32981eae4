// The connection for calls that block: our own, watched by a clock of our own, and thrown away after anything went wrong on it.
import type { Dedicated, Driver, Request } from './driver.js';
import { ConnectionLost, NotTrusted, toModqError } from './errors.js';
import { within } from './time.js';

/** How much longer than its BLOCK a call may take before its connection is given up. */
const GRACE_MS = 2000;
/** How long connecting may take. */
const CONNECT_MS = 10_000;

/**
 * One connection for one blocked call at a time. A connection whose call was given up is closed, never used again: an answer
 * that is still under way on it would go to nobody, while closing it makes the server undo the match at once.
 */
export class WaitingConnection {
  #connection: Dedicated | undefined;
  #closed = false;

  constructor(readonly driver: Driver) {}

  /** Sends a request that blocks up to `block` ms (0: for ever). `signal` ends it, and the connection with it. */
  async call(request: Request, block: number, signal?: AbortSignal): Promise<unknown> {
    const gone = new AbortController();
    const stop = () => gone.abort();
    signal?.addEventListener('abort', stop, { once: true });
    try {
      if (signal?.aborted || this.#closed) throw closedError();
      const connection = await this.#connect();
      if (signal?.aborted || this.#closed) throw closedError();
      const limit = block === 0 ? Number.POSITIVE_INFINITY : block + GRACE_MS;
      return await within(limit, 'a blocked CLAIM', orAborted(connection.send(request), gone.signal));
    } catch (error) {
      const known = toModqError(error);
      // An answer of the server leaves the connection as it was; but after UNBLOCKED the primary may be elsewhere.
      const over = known.uncertain || known instanceof NotTrusted;
      if (over || known.code === 'UNBLOCKED' || known.code === 'READONLY') this.discard();
      throw known;
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  async #connect(): Promise<Dedicated> {
    if (this.#connection) return this.#connection;
    const connecting = this.driver.dedicated();
    try {
      const made = await within(CONNECT_MS, 'connecting', connecting);
      this.#connection = made;
      return made;
    } catch (error) {
      connecting.then(
        (late) => late.destroy(),
        () => {},
      );
      throw error;
    }
  }

  /** Closes the connection; the next call makes a new one. */
  discard(): void {
    this.#connection?.destroy();
    this.#connection = undefined;
  }

  /** Closes it for good. */
  close(): void {
    this.#closed = true;
    this.discard();
  }
}

function closedError(): ConnectionLost {
  const error = new ConnectionLost('the call was ended', 'CONNECTION');
  error.uncertain = true;
  return error;
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const aborted = () => reject(closedError());
    if (signal.aborted) aborted();
    signal.addEventListener('abort', aborted, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted));
  });
}
