// A lease: a place among at most so many, given back by release or by time.
import { randomUUID } from 'node:crypto';
import { Args } from './args.js';
import { ModqError, toModqError } from './errors.js';
import type { Limiter } from './limiter.js';
import { list, num } from './reply.js';
import { monotonic } from './time.js';

export interface LeaseOptions {
  /** ms after which it ends by itself. */
  ttl: number;
  /** Who takes it; the same id renews. Default random. */
  id?: string;
  /** How many places. Default 1. */
  cost?: number;
  /** Renew it at each third of its ttl until it is released. Default false. */
  renew?: boolean;
}

/** What ACQUIRE answered, and what can be done with it. `Symbol.asyncDispose` releases it, for `await using`. */
export class Lease {
  acquired = false;
  inUse = 0;
  max = 0;
  /** ms until the earliest lease ends that would make room; Infinity if the cost is above `max`. */
  retryAfter = 0;
  /** Larger than every fence this key gave before; 0 if not acquired. */
  fence = 0;
  readonly #lost = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #until = 0;

  private constructor(
    readonly limiter: Limiter,
    readonly key: string,
    readonly id: string,
    readonly options: LeaseOptions,
  ) {}

  /** Aborted when the lease must be presumed to have ended. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** @internal `fallback` says whether a failure lets in. */
  static async acquire(
    limiter: Limiter,
    key: string,
    max: number,
    options: LeaseOptions,
    fallback: (error: ModqError) => boolean,
  ): Promise<Lease> {
    const lease = new Lease(limiter, key, options.id ?? randomUUID(), options);
    lease.max = max;
    try {
      await lease.#ask();
    } catch (error) {
      lease.acquired = fallback(toModqError(error));
      return lease;
    }
    if (lease.acquired && options.renew) lease.#keep();
    return lease;
  }

  /** A new ttl from now. False if it was not granted any more. */
  async renew(): Promise<boolean> {
    const fence = this.fence;
    await this.#ask();
    if (!this.acquired || this.fence !== fence) this.#lose('somebody else may have the place');
    return this.acquired;
  }

  /** Gives the place back. False if it had ended already. Safe to repeat. */
  async release(): Promise<boolean> {
    clearInterval(this.#timer);
    if (this.fence === 0) return false;
    this.acquired = false;
    return num(await this.limiter.send({ args: ['RATELIMIT.RELEASE', this.key, this.id], keys: [this.key] })) === 1;
  }

  async [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')](): Promise<void> {
    await this.release();
  }

  async #ask(): Promise<void> {
    const { ttl, cost } = this.options;
    const sent = monotonic();
    const args = new Args('utf8', 'RATELIMIT.ACQUIRE', this.key).int('max', this.max).id(this.id).number('TTL', ttl).number('COST', cost);
    const [acquired, inUse, , retry, fence] = list(await this.limiter.send({ args: args.list, keys: [this.key] })).map(num) as number[];
    this.acquired = acquired === 1;
    this.inUse = inUse as number;
    this.retryAfter = (retry as number) < 0 ? Number.POSITIVE_INFINITY : (retry as number);
    this.fence = fence as number;
    if (this.acquired) this.#until = sent + ttl;
  }

  #keep(): void {
    this.#timer = setInterval(
      () => {
        this.renew().catch(() => {
          if (monotonic() >= this.#until) this.#lose('it could not be renewed in time');
        });
      },
      Math.max(1, this.options.ttl / 3),
    );
    this.#timer.unref();
  }

  #lose(why: string): void {
    clearInterval(this.#timer);
    if (!this.#lost.signal.aborted) this.#lost.abort(new ModqError(`the lease on ${this.key} is gone: ${why}`, 'STALE'));
  }
}
