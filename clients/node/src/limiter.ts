// Rate limits, concurrency limits and named policies: RATELIMIT with a deadline of its own and a said answer to failures.
import { randomUUID } from 'node:crypto';
import { Args } from './args.js';
import { type Arg, type Client, callWithin, type Driver, driverOf } from './driver.js';
import { InvalidArgument, type ModqError, NoPolicy, toModqError, WrongType } from './errors.js';
import { Lease, type LeaseOptions } from './lease.js';
import { fields, list, num, optional, text } from './reply.js';
import { monotonic, sleep } from './time.js';

export type Algo = 'LOG' | 'COUNTER' | 'FIXED' | 'GCRA';

/** `quota` units per `window` ms. */
export interface Limit {
  quota: number;
  window: number;
  /** Default LOG. */
  algo?: Algo;
  /** With GCRA: how much at once. Default the quota. */
  burst?: number;
  /** What the RateLimit headers call it. */
  name?: string;
}

export interface LimiterOptions {
  /** The limits that `check` charges, all or none of them; or a policy by name. */
  limits?: Limit | readonly Limit[];
  policy?: string;
  /** Put before each key. Default none. */
  prefix?: string;
  /** What `check` and `acquire` answer when the server does not: let in, refuse, or throw. */
  onError: 'open' | 'closed' | 'throw';
  /** ms after which no answer is a failure. Default 250. */
  timeout?: number;
  /** Hears each failure that `onError` answered. Default: a warning of the process. */
  onFailure?: (error: ModqError) => void;
  /** Sends each check with an id, so that one sent twice is charged once. Default: where the client sends again by itself (ioredis). */
  idempotent?: boolean;
}

export interface CheckOptions {
  /** Units. Default 1; 0 asks for the present. */
  cost?: number;
  /** The same id is charged once. */
  id?: string;
  /** Grants what there is, if that is less than the cost. */
  partial?: boolean;
}

/** One limit of an answer. */
export interface LimitState {
  name: string;
  quota: number;
  window: number;
  remaining: number;
  /** ms until `remaining` grows; 0 if it is unused. */
  nextAfter: number;
  /** ms until it is entirely unused. */
  resetAfter: number;
  /** This limit alone would refuse, or cut, the request. */
  violated: boolean;
}

export interface Verdict {
  allowed: boolean;
  /** The quota of the deciding limit. */
  limit: number;
  remaining: number;
  /** ms until this same request passes if nothing else comes: 0 if allowed, Infinity if it never will. */
  retryAfter: number;
  resetAfter: number;
  /** Units. */
  granted: number;
  limits: LimitState[];
  /** `error`: the server did not answer, and `onError` did. */
  reason: 'allowed' | 'limit' | 'error';
  error?: ModqError;
}

/** A check that can be taken back. */
export interface Reservation extends Verdict {
  readonly id: string;
  /** Gives back what was charged, as far as it is still there; how many units. Safe to repeat. */
  refund(): Promise<number>;
}

/** Limits of one kind, for any number of subjects. */
export class Limiter {
  readonly limits: readonly Limit[];
  readonly options: LimiterOptions & { timeout: number };
  /** @internal */
  readonly driver: Driver;
  readonly #idempotent: boolean;

  constructor(
    readonly client: Client,
    options: LimiterOptions,
  ) {
    this.driver = driverOf(client);
    this.limits = options.limits === undefined ? [] : [options.limits].flat();
    this.options = { timeout: 250, ...options };
    this.#idempotent = options.idempotent ?? this.driver.resends;
    if (!['open', 'closed', 'throw'].includes(options.onError)) {
      throw new InvalidArgument('onError must be open, closed or throw', 'ERR');
    }
  }

  /** Charges a request to all limits, if all admit it, and else to none. */
  async check(key: string, options: CheckOptions = {}): Promise<Verdict> {
    const id = options.id ?? (this.#idempotent && options.cost !== 0 ? randomUUID() : undefined);
    return this.#guarded(() => this.#ask('RATELIMIT.CHECK', key, { ...options, id }));
  }

  /** What `check` would answer now. Charges nothing. */
  async peek(key: string, options: CheckOptions = {}): Promise<Verdict> {
    return this.#guarded(() => this.#ask('RATELIMIT.PEEK', key, options));
  }

  /** A check that can be taken back as a whole: for work that may turn out not to be done. */
  async reserve(key: string, options: CheckOptions = {}): Promise<Reservation> {
    const id = options.id ?? randomUUID();
    const verdict = await this.check(key, { ...options, id });
    return { ...verdict, id, refund: () => this.refund(key, { id }) };
  }

  /** One request to several subjects, a limit for each: charged to all or none. In a cluster all keys must be in one slot. */
  async mcheck(
    subjects: readonly { key: string; limit: Limit }[],
    options: { cost?: number } = {},
  ): Promise<{ allowed: boolean; retryAfter: number; reason: Verdict['reason']; each: Verdict[] }> {
    const keys = subjects.map(({ key }) => this.#key(key));
    const args = new Args('utf8', 'RATELIMIT.MCHECK', String(keys.length), ...keys);
    for (const { limit } of subjects) limitArgs(args.word('LIMIT'), limit);
    args.number('COST', options.cost);
    try {
      const [allowed, retry, ...rows] = list(await this.#send({ args: args.list, keys }));
      const each = rows.map((row, i) => readVerdict(row, [subjects[i]?.limit as Limit], options.cost ?? 1));
      return { allowed: num(allowed) === 1, retryAfter: wait(retry), reason: num(allowed) === 1 ? 'allowed' : 'limit', each };
    } catch (error) {
      const { allowed, reason, retryAfter } = this.#answer(toModqError(error));
      return { allowed, reason, retryAfter, each: [] };
    }
  }

  /** Waits until `check` admits the request; the verdict then, or the last denial after `timeout` ms (default: for ever). */
  async blockUntilReady(key: string, options: CheckOptions & { timeout?: number; signal?: AbortSignal } = {}): Promise<Verdict> {
    const end = monotonic() + (options.timeout ?? Number.POSITIVE_INFINITY);
    for (;;) {
      const verdict = await this.check(key, options);
      const wait = verdict.reason === 'error' ? 100 : verdict.retryAfter;
      if (verdict.allowed || options.signal?.aborted || monotonic() + wait > end || wait === Number.POSITIVE_INFINITY) return verdict;
      // A little late, and not all at once: others wait for the same moment.
      await sleep(wait + Math.random() * Math.min(50, wait * 0.1), options.signal);
    }
  }

  /** Gives units back: `cost` to every limit in use, or what a request with this `id` was charged. How many came back. */
  async refund(key: string, what: { cost: number } | { id: string }): Promise<number> {
    const args = this.#args('RATELIMIT.REFUND', key);
    if ('id' in what) args.named('ID', what.id);
    else args.number('COST', what.cost);
    return num(await this.#send({ args: args.list, keys: [this.#key(key)] }));
  }

  /** Forgets everything about a subject. True if there was something. */
  async reset(key: string): Promise<boolean> {
    return num(await this.#send({ args: this.#args('RATELIMIT.RESET', key).list, keys: [this.#key(key)] })) === 1;
  }

  /** Denies everything for `ms`; 0 lifts it. */
  async block(key: string, ms: number): Promise<void> {
    await this.#send({ args: this.#args('RATELIMIT.BLOCK', key).int('ms', ms).list, keys: [this.#key(key)] });
  }

  // Policies.

  /** Sets a policy, on every primary of a cluster. */
  async setPolicy(name: string, limits: Limit | readonly Limit[]): Promise<void> {
    const args = new Args('utf8', 'RATELIMIT.POLICY', 'SET', name);
    manyLimits(args, [limits].flat());
    await this.#everywhere(args.list);
  }

  /** The limits of a policy, or null; of a cluster as one primary has them. */
  async policy(name: string): Promise<Limit[] | null> {
    const reply = await this.#send({ args: ['RATELIMIT.POLICY', 'GET', name], keys: [] });
    return optional(reply, (it) =>
      list(fields(it).get('limits')).map((limit) => {
        const at = fields(limit);
        return {
          quota: num(at.get('quota')),
          window: num(at.get('window')),
          algo: text(at.get('algo')) as Algo,
          burst: num(at.get('burst')),
        };
      }),
    );
  }

  /** Forgets a policy everywhere. True if any server had it. */
  async deletePolicy(name: string): Promise<boolean> {
    return (await this.#everywhere(['RATELIMIT.POLICY', 'DEL', name])).some((reply) => num(reply) === 1);
  }

  async policies(): Promise<string[]> {
    return list(await this.#send({ args: ['RATELIMIT.POLICY', 'LIST'], keys: [] })).map((name) => text(name));
  }

  // Concurrency.

  /** Takes one of `max` places (or `cost` of them) until `release`, or until `ttl` ms pass without a renewal. */
  async acquire(key: string, max: number, options: LeaseOptions): Promise<Lease> {
    return Lease.acquire(this, this.#key(key), max, options, (error) => this.#answer(error).allowed);
  }

  /** Runs `work` in a place, renewed while it runs, and gives the place back. Null if there was none. */
  async withLease<R>(key: string, max: number, options: LeaseOptions, work: (lease: Lease) => Promise<R>): Promise<R | null> {
    const lease = await this.acquire(key, max, { renew: true, ...options });
    if (!lease.acquired) return null;
    try {
      return await work(lease);
    } finally {
      await lease.release();
    }
  }

  /** The live leases of a subject. */
  async leases(key: string): Promise<{ id: string; cost: number; expires: Date; fence: number }[]> {
    const reply = await this.#send({ args: this.#args('RATELIMIT.LEASES', key).list, keys: [this.#key(key)], readonly: true });
    return list(reply).map((row) => {
      const [id, cost, expires, fence] = list(row);
      return { id: text(id), cost: num(cost), expires: new Date(num(expires)), fence: num(fence) };
    });
  }

  /** @internal Sends, with this limiter's deadline. */
  async send(request: { args: Arg[]; keys: Arg[] }): Promise<unknown> {
    return this.#send(request);
  }

  async #ask(name: string, key: string, options: CheckOptions): Promise<Verdict> {
    const args = this.#args(name, key);
    if (this.options.policy !== undefined) args.word('POLICY', this.options.policy);
    else manyLimits(args, this.limits);
    args.number('COST', options.cost).named('ID', options.id).flag('PARTIAL', options.partial).word('DETAIL');
    const readonly = name === 'RATELIMIT.PEEK';
    const reply = await this.#send({ args: args.list, keys: [this.#key(key)], readonly });
    return readVerdict(reply, this.limits, options.cost ?? 1, this.options.policy);
  }

  async #guarded(ask: () => Promise<Verdict>): Promise<Verdict> {
    try {
      return await ask();
    } catch (error) {
      return this.#answer(toModqError(error));
    }
  }

  /** The answer to a failure. What only a change of the program can mend is thrown whatever `onError` says. */
  #answer(error: ModqError): Verdict {
    const wrong = error instanceof InvalidArgument || error instanceof WrongType || error instanceof NoPolicy;
    if (wrong || this.options.onError === 'throw') throw error;
    if (this.options.onFailure) this.options.onFailure(error);
    else process.emitWarning(`a rate limit fails ${this.options.onError}: ${error.message}`, 'ModqWarning');
    const allowed = this.options.onError === 'open';
    return { allowed, limit: 0, remaining: 0, retryAfter: 0, resetAfter: 0, granted: 0, limits: [], reason: 'error', error };
  }

  #key(key: string): string {
    // Or all who are not logged in would be one subject, called "undefined".
    if (key === undefined || key === null || typeof key === 'object') {
      throw new InvalidArgument(`a subject is a string, not ${key === null ? 'null' : typeof key}`, 'ERR');
    }
    return this.driver.prefix + (this.options.prefix ?? '') + key;
  }

  #args(name: string, key: string): Args {
    return new Args('utf8', name, this.#key(key));
  }

  #send(request: { args: Arg[]; keys: Arg[]; readonly?: boolean }): Promise<unknown> {
    return callWithin(this.driver, this.options.timeout, request);
  }

  async #everywhere(args: Arg[]): Promise<unknown[]> {
    try {
      return await this.driver.everyPrimary(args);
    } catch (error) {
      throw toModqError(error);
    }
  }
}

function limitArgs(args: Args, { quota, window, algo, burst }: Limit): Args {
  return args.int('quota', quota).int('window', window).text('ALGO', algo).number('BURST', burst);
}

function manyLimits(args: Args, limits: readonly Limit[]): void {
  if (limits.length === 0) throw new InvalidArgument('no limit and no policy is given', 'ERR');
  limits.forEach((limit, i) => {
    limitArgs(i === 0 ? args : args.word('LIMIT'), limit);
  });
}

function wait(value: unknown): number {
  const ms = num(value);
  return ms < 0 ? Number.POSITIVE_INFINITY : ms;
}

/** How a limit is called where it has no name: for a policy by the policy's, else by what it allows. */
function nameOf(limits: readonly Limit[], i: number, quota: number, window: number, policy?: string): string {
  const given = limits[i]?.name;
  if (given !== undefined) return given;
  if (policy !== undefined) return i === 0 ? policy : `${policy}-${i + 1}`;
  return limits.length === 1 ? 'default' : `${quota}-per-${Math.max(1, Math.ceil(window / 1000))}s`;
}

function readVerdict(reply: unknown, limits: readonly Limit[], cost: number, policy?: string): Verdict {
  const [allowed, limit, remaining, retry, reset, granted, detail] = list(reply);
  const admitted = num(allowed) === 1;
  return {
    allowed: admitted,
    limit: num(limit),
    remaining: num(remaining),
    retryAfter: wait(retry),
    resetAfter: num(reset),
    granted: granted === undefined ? (admitted ? cost : 0) : num(granted),
    limits: list(detail).map((row, i) => {
      const [quota, window, left, next, unused, violated] = list(row).map(num) as [number, number, number, number, number, number];
      const name = nameOf(limits, i, quota, window, policy);
      return { name, quota, window, remaining: left, nextAfter: next, resetAfter: unused, violated: violated === 1 };
    }),
    reason: admitted ? 'allowed' : 'limit',
  };
}
