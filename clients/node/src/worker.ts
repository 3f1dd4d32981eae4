// The worker: claims, keeps the locks alive, decides, and gives everything back at its end.
import { randomBytes } from 'node:crypto';
import { EventEmitter, setMaxListeners } from 'node:events';
import { type Claim, givenUp, isChange, isLoss } from './claim.js';
import { Claims, type Id } from './claims.js';
import { Decisions } from './decisions.js';
import { InvalidArgument, isPassing, ModqError, toModqError } from './errors.js';
import { Gate } from './gate.js';
import { Heartbeats } from './heartbeats.js';
import type { Queue } from './queue.js';
import { Slot } from './slot.js';
import { Backoff, settledWithin, within } from './time.js';
import type { Decision, ResolveOptions } from './types.js';
import { WaitingConnection } from './waiting.js';

/** What a handler answers: nothing, the text of the decision, or the options of RESOLVE. */
export type Outcome = undefined | string | ResolveOptions;
/** Looks at one item. When `signal` is aborted the lock is gone: stop. What it throws gives the item back. */
// biome-ignore lint/suspicious/noConfusingVoidType: handlers without a return statement
export type Handler<T> = (claim: Claim<T>, context: { signal: AbortSignal }) => Promise<Outcome | void> | Outcome | void;

/** A handler's answer that gives the item back at once, undecided. */
export const GIVE_BACK: unique symbol = Symbol('give back');

export interface WorkerOptions {
  /** The name of the moderator. Claims go by the ids `name:process:0` and so on, as many as `concurrency`, unless `moderatorOf` says otherwise. */
  moderator: string;
  /** False: claims as the name itself, which no other process may use meanwhile. Only with concurrency 1. Default true. */
  unique?: boolean;
  /** The whole moderator id of a slot, for those who must be known by it (EXCLUDE, SKIP, votes): it has one item at a time. No other process may use it. */
  moderatorOf?: (slot: number) => string;
  /** What it offers. */
  tags?: readonly string[];
  /** How many items at a time. Default 1. */
  concurrency?: number;
  /** ms of a lock. Default 30000. */
  lockDuration?: number;
  /** ms between heartbeats. Default a third of the lock. */
  heartbeat?: number;
  /** ms of each BLOCK. Default 5000. */
  block?: number;
  /** ms after which a handler's claim is given up and its lock left to end. Default 3600000, an hour. */
  maxHold?: number;
  /** ms for which a decision is sent again while there is no answer. Default: as long as a lock. */
  decisionTimeout?: number;
  /** ms for one command that does not block. Default 5000. */
  replyTimeout?: number;
  /** Decide only what was looked at: if the content changed meanwhile the item is given back. Default false. */
  checkRev?: boolean;
  /** ms before an item whose handler threw is ready again, by how often it was delivered. Default 1 s · 2^(n−1), at most 5 minutes. */
  retryDelay?: (deliveries: number, error: unknown) => number;
  /** Process signals that close the worker, as `SIGTERM`. Default none. */
  signals?: NodeJS.Signals[];
  /** ms that `close` gives handlers to finish. Default 30000. */
  drainTimeout?: number;
}

/** The events of a worker. Without a listener for `error` it is a warning of the process. */
export interface WorkerEvents<T> {
  claimed: [claim: Claim<T>];
  resolved: [claim: Claim<T>, decision: Decision];
  /** The handler threw; the item was given back. */
  failed: [claim: Claim<T>, error: unknown];
  /** The lock is somebody else's to take; the handler's signal is aborted. */
  lockLost: [claim: Claim<T>, reason: unknown];
  /** The queue had nothing, and nothing is in hand. */
  drained: [];
  error: [error: Error];
  closed: [];
}

/** ms that handlers have once their signals are aborted, and that giving back may take. */
const GRACE_MS = 1000;
const RELEASE_MS = 2000;

function retryDelay(deliveries: number): number {
  const backoff = Math.min(300_000, 1000 * 2 ** Math.min(deliveries - 1, 20));
  return Math.round(backoff / 2 + (Math.random() * backoff) / 2);
}

/** Works on a queue until it is closed. Nothing that befalls one claim ends it. */
export class Worker<T> extends EventEmitter<WorkerEvents<T>> {
  readonly options: Required<WorkerOptions>;
  /** @internal */
  readonly heartbeats: Heartbeats<T>;
  /** @internal */
  readonly waiting: WaitingConnection;
  /** @internal Aborted when claiming is to stop. */
  readonly stopping = new AbortController();
  /** @internal Whether a claim was ever answered, if only by null. */
  served = false;
  /** @internal */
  readonly claims: Claims<T>;
  readonly #slots: Slot<T>[];
  #active = 0;
  #running: Promise<void> | undefined;
  #loops: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;
  #tellEnded = () => {};
  readonly #ended = new Promise<void>((resolve) => {
    this.#tellEnded = resolve;
  });
  #fatal: ModqError | undefined;

  /** `gate`: what the workers of several shards share, so that together they have no more in hand than one. */
  constructor(
    readonly queue: Queue<T>,
    readonly handler: Handler<T>,
    options: WorkerOptions,
    readonly gate: Gate = new Gate(Number.POSITIVE_INFINITY),
  ) {
    super();
    refuseWrong(handler, options);
    setMaxListeners(0, this.stopping.signal); // each slot that waits listens
    this.options = withDefaults(options);
    const o = this.options;
    this.heartbeats = new Heartbeats<T>(
      queue,
      { lock: o.lockDuration, every: o.heartbeat, longest: o.maxHold, timeout: o.replyTimeout },
      (error) => this.fault(error),
      (claim, reason) => this.emit('lockLost', claim, reason),
      o.concurrency > 1 ? new Decisions(queue) : undefined,
    );
    this.waiting = new WaitingConnection(queue.driver);
    // Who must be known by an id has one item by it at a time; so does who is alone.
    const named = options.moderatorOf !== undefined || o.concurrency === 1;
    const moderators = Array.from({ length: o.concurrency }, (_, i) => o.moderatorOf(i));
    this.claims = new Claims(this, moderators, named);
    this.#slots = this.claims.ids.map((id) => new Slot(this, named ? id : undefined));
  }

  /** How many items are in hand. */
  get active(): number {
    return this.#active;
  }

  /** Works until `close`. Rejects if the first claim is refused for good (no such command, no rights, another type of key). */
  run(): Promise<void> {
    this.#running ??= this.#run();
    return this.#running;
  }

  async #run(): Promise<void> {
    const close = () => void this.close();
    for (const signal of this.options.signals) process.once(signal, close);
    this.heartbeats.start();
    this.#loops = Promise.all(this.#slots.map((slot) => slot.loop()));
    // A handler that never ends keeps its loop from ending; `close` has waited for it then.
    await Promise.race([this.#loops, this.#ended]);
    for (const signal of this.options.signals) process.removeListener(signal, close);
    await this.close();
    if (this.#fatal) throw this.#fatal;
  }

  /** Stops claiming; what is in hand goes on. `run` then ends by itself. */
  stop(): void {
    this.stopping.abort();
  }

  /**
   * Ends the work: stops claiming, lets handlers finish for `timeout` ms, then aborts their signals, stops the heartbeats, gives
   * back what is held and closes its connection. It ends soon after `timeout` also if the server is down.
   */
  close(options: { timeout?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.timeout ?? this.options.drainTimeout);
    return this.#closing;
  }

  async #close(timeout: number): Promise<void> {
    this.stopping.abort();
    this.waiting.close();
    if (!(await settledWithin(timeout, this.#loops))) {
      for (const claim of this.heartbeats.claims()) claim.lose(givenUp(claim.item, 'the worker ends'));
      await settledWithin(GRACE_MS, this.#loops);
    }
    this.heartbeats.stop();
    if (this.#running) await this.#giveBack();
    this.#tellEnded();
    this.emit('closed');
  }

  /** Ends all locks of the worker's ids, those of lost replies too: they are nobody else's. */
  async #giveBack(): Promise<void> {
    const leave = (id: Id) => this.queue.leave(id.moderator, { release: true });
    const left = Promise.all(this.claims.ids.filter((id) => id.claimed).map(leave));
    await within(RELEASE_MS, 'giving back', left).catch((error) => this.fault(toModqError(error)));
  }

  /** @internal Works on one claim to its end. Never throws. */
  async handle(claim: Claim<T>): Promise<void> {
    this.#active++;
    try {
      this.emit('claimed', claim);
      const answer = (await this.handler(claim, new Context(claim))) as Outcome | typeof GIVE_BACK;
      if (claim.ended || claim.lost) return;
      if (answer === GIVE_BACK) await claim.release();
      else this.emit('resolved', claim, await claim.decide(this.#optionsOf(claim, answer), this.options.decisionTimeout));
    } catch (error) {
      await this.#failed(claim, error);
    } finally {
      this.heartbeats.drop(claim);
      this.#active--;
    }
  }

  #optionsOf(claim: Claim<T>, answer: Outcome): ResolveOptions {
    const options = typeof answer === 'string' ? { decision: answer } : { ...answer };
    if (this.options.checkRev) options.rev ??= claim.rev;
    return options;
  }

  async #failed(claim: Claim<T>, error: unknown): Promise<void> {
    if (claim.ended || claim.lost || isLoss(error)) return;
    if (!isChange(error)) this.#tellFailed(claim, error);
    const delay = isChange(error) ? undefined : this.options.retryDelay(claim.deliveries, error);
    try {
      await claim.release({ delay, timeout: this.options.replyTimeout });
    } catch (release) {
      if (!isLoss(release)) this.fault(toModqError(release)); // its lock will end by itself
    }
  }

  #tellFailed(claim: Claim<T>, error: unknown): void {
    if (!this.emit('failed', claim, error)) this.fault(error instanceof Error ? error : new Error(String(error)));
  }

  /** @internal Something went wrong that the worker goes on from; or, before it ever worked, that it does not. */
  fault(error: Error): void {
    if (!this.served && error instanceof ModqError && !isPassing(error)) {
      this.#fatal ??= error;
      this.stopping.abort();
      return;
    }
    if (this.listenerCount('error') > 0) this.emit('error', error);
    else process.emitWarning(`${this.options.moderator} on ${this.queue.key}: ${error.message}`, 'ModqWarning');
  }

  /** @internal */
  empty(): void {
    if (this.#active === 0) this.emit('drained');
  }

  /** @internal */
  backoff(): Backoff {
    return new Backoff(50, 5000);
  }
}

/** What a handler is given beside the claim; the signal is made when it is asked for. */
class Context<T> {
  readonly #claim: Claim<T>;

  constructor(claim: Claim<T>) {
    this.#claim = claim;
  }

  get signal(): AbortSignal {
    return this.#claim.signal;
  }
}

/** Types tell most of it, but not to JavaScript: without a moderator's name the ids would begin with "undefined". */
function refuseWrong(handler: unknown, options: WorkerOptions | undefined): void {
  const { moderator, moderatorOf, concurrency = 1 } = options ?? ({} as WorkerOptions);
  if (typeof handler !== 'function') throw new InvalidArgument('a worker needs a handler, a function of a claim', 'ERR');
  if (typeof moderator !== 'string' && !moderatorOf) throw new InvalidArgument('a worker needs the name of its moderator', 'ERR');
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) throw new InvalidArgument('concurrency must be at least 1', 'ERR');
}

function withDefaults(options: WorkerOptions): Required<WorkerOptions> {
  if (options.unique === false && (options.concurrency ?? 1) !== 1 && !options.moderatorOf) {
    throw new InvalidArgument('unique: false needs concurrency 1, or moderatorOf: every slot has an id of its own', 'ERR');
  }
  const unique = randomBytes(6).toString('hex');
  const lockDuration = options.lockDuration ?? 30_000;
  return {
    moderator: options.moderator,
    unique: true,
    moderatorOf: (slot) => (options.unique === false ? options.moderator : `${options.moderator}:${unique}:${slot}`),
    tags: [],
    concurrency: 1,
    lockDuration,
    heartbeat: Math.max(1, Math.floor(lockDuration / 3)),
    block: 5000,
    maxHold: 3_600_000,
    decisionTimeout: lockDuration,
    replyTimeout: 5000,
    checkRev: false,
    retryDelay,
    signals: [],
    drainTimeout: 30_000,
    ...Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)),
  } as Required<WorkerOptions>;
}
