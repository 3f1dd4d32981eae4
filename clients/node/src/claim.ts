// A claim: an item that is locked for us, with what can be done with it.
import type { Codec } from './codec.js';
import { Changed, ModqError, NoItem, Stale, TimedOut } from './errors.js';
import { bytes, list, num, text } from './reply.js';
import { type Settled, settle } from './retry.js';
import type { Decision, MoveOptions, ReleaseOptions, ResolveOptions } from './types.js';

/** The positions of a claim in a reply. */
const [ITEM, PAYLOAD, TOKEN, DEADLINE, PRIORITY, SUBMITTED, DELIVERIES, REV] = [0, 1, 2, 3, 4, 5, 6, 7];

/** What a claim needs of its queue. */
export interface Home<T> {
  readonly key: string;
  readonly codec: Codec<T>;
  readonly encoding: BufferEncoding;
  interruptions(): number;
  sendResolve(item: string, token: number, options: ResolveOptions): Promise<unknown>;
  sendRelease(item: string, token: number, options: ReleaseOptions): Promise<unknown>;
  sendMove(destination: string, item: string, options: MoveOptions): Promise<unknown>;
  extend(item: string, token: number, ms: number): Promise<Date>;
  readResolved(reply: unknown): Decision;
}

/** Who sends the heartbeats of a claim: they must not cross a decision on its way. */
export interface Keeper {
  /** Settles when no heartbeat of the claim is on its way; undefined if none is. */
  beating(claim: object): Promise<void> | undefined;
  /** The claim is no longer ours to keep. */
  drop(claim: object): void;
  /** The lock is gone. */
  lost(claim: object, reason: Error): void;
  /** Sends decisions, if it has a better way than one by one. */
  readonly decisions?: { send(item: string, token: number, options: ResolveOptions): Promise<unknown> };
}
/** What the keeper of a claim notes of it. */
export interface Kept {
  /** When it began, and when its lock ends if nothing is heard, by this process's own clock. */
  since: number;
  until: number;
  /** Its place among all that are kept. */
  at: number;
  /** The heartbeat that is on its way. */
  beating: Promise<void> | undefined;
}
export type Ending = 'resolved' | 'released' | 'moved';

/** How long a decision is tried, if nothing else is said. */
const TRY_MS = 30_000;
const EACH_TRY_MS = 5000;

/**
 * An item locked for a moderator. `resolve`, `release` and `move` send their command again after a lost reply until there is an
 * answer; what they throw is final.
 */
export class Claim<T> {
  readonly item: string;
  /** The payload's bytes. */
  readonly raw: Buffer;
  /** The fencing token of the lock, below 2^53. */
  readonly token: number;
  readonly priority: number;
  /** How many times it has been locked, this one included. */
  readonly deliveries: number;
  /** 1 at first, one more with each change to its content or order. */
  readonly rev: number;
  /** Who holds it. */
  readonly moderator: string;
  /** @internal `deadline` in Unix ms. */
  deadlineMs: number;
  readonly #submitted: number;
  /** @internal While heartbeats are sent for it. */
  kept: Kept | undefined;
  /** @internal The id as the server knows it: its bytes, where `item` could not say them. */
  readonly id: string;
  #home: Home<T>;
  #keeper: Keeper | undefined;
  #lost: AbortController | undefined;
  #reason: Error | undefined;
  #ended: Ending | undefined;
  #deciding = false;
  #payload: { value: T } | undefined;
  #over: (() => void)[] = [];

  /** @internal */
  constructor(home: Home<T>, moderator: string, row: unknown) {
    const at = list(row);
    this.#home = home;
    this.moderator = moderator;
    this.item = text(at[ITEM], home.encoding);
    // Bytes that are no UTF-8 became the sign for that. Asked for under that name the item would not be found, and come back at once.
    this.id = this.item.includes('\ufffd') ? (bytes(at[ITEM]) as unknown as string) : this.item;
    this.raw = bytes(at[PAYLOAD]);
    this.token = num(at[TOKEN]);
    this.deadlineMs = num(at[DEADLINE]);
    this.priority = num(at[PRIORITY]);
    this.#submitted = num(at[SUBMITTED]);
    this.deliveries = num(at[DELIVERIES]);
    this.rev = num(at[REV]);
  }

  /** The payload through the queue's codec; throws what the codec throws. */
  get payload(): T {
    this.#payload ??= { value: this.#home.codec.decode(this.raw) };
    return this.#payload.value;
  }

  /** When the lock ends by the server's clock, as far as this client was told. */
  get deadline(): Date {
    return new Date(this.deadlineMs);
  }

  /** When the item first came. */
  get submitted(): Date {
    return new Date(this.#submitted);
  }

  /** What a log or a message says of it: all but the payload. */
  toJSON(): object {
    const { item, moderator, token, priority, deliveries, rev, submitted, deadline } = this;
    return { item, moderator, token, priority, deliveries, rev, submitted, deadline };
  }

  /** True once the lock is known, or must be presumed, to be somebody else's to take. */
  get lost(): boolean {
    return this.#reason !== undefined;
  }

  /** Aborted when the claim is lost, or its worker gives it up: stop working on the item then. */
  get signal(): AbortSignal {
    // Made when it is asked for: most claims are decided without one.
    if (!this.#lost) {
      this.#lost = new AbortController();
      if (this.#reason) this.#lost.abort(this.#reason);
    }
    return this.#lost.signal;
  }

  /** How it ended, if it did: by us. */
  get ended(): Ending | undefined {
    return this.#ended;
  }

  /** Whether a decision is on its way. */
  get deciding(): boolean {
    return this.#deciding;
  }

  /**
   * Decides the item. With `rev: claim.rev` only if its content is what was looked at. Throws `Stale` or `NoItem` if somebody
   * else may decide now, `Changed` if the content changed (the lock is kept).
   */
  async resolve(options: ResolveOptions & { timeout?: number } = {}): Promise<Decision> {
    const { timeout, ...rest } = options;
    return this.decide(rest, timeout);
  }

  /** @internal `resolve` with options that are nobody else's. */
  decide(options: ResolveOptions, timeout: number | undefined): Promise<Decision> {
    const read = ({ explained, reply }: Settled) => (explained ? { confirmed: false } : this.#home.readResolved(reply));
    return this.#decide('resolved', timeout, () => this.#sendResolve(options), read);
  }

  #sendResolve(options: ResolveOptions): Promise<unknown> {
    const together = this.#keeper?.decisions;
    return together ? together.send(this.id, this.token, options) : this.#home.sendResolve(this.id, this.token, options);
  }

  /** Gives the item back, to its own place. */
  async release(options: ReleaseOptions & { timeout?: number } = {}): Promise<{ confirmed: boolean }> {
    const { timeout, ...rest } = options;
    return this.#decide('released', timeout, () => this.#home.sendRelease(this.id, this.token, rest), confirmed);
  }

  /** Moves the item to another queue, in a cluster one of the same slot. */
  async move(destination: string, options: { priority?: number; by?: string; timeout?: number } = {}): Promise<{ confirmed: boolean }> {
    const { timeout, ...rest } = options;
    const all = { ...rest, token: this.token };
    return this.#decide('moved', timeout, () => this.#home.sendMove(destination, this.id, all), confirmed);
  }

  /** Sets the deadline anew: the server's now + `ms`. */
  async extend(ms: number): Promise<Date> {
    try {
      const deadline = await this.#home.extend(this.id, this.token, ms);
      this.extended(deadline);
      return deadline;
    } catch (error) {
      if (error instanceof Stale || error instanceof NoItem) this.lose(error);
      throw error;
    }
  }

  async #decide<R>(how: Ending, total: number | undefined, send: () => Promise<unknown>, read: (settled: Settled) => R): Promise<R> {
    const keeper = this.#keeper;
    try {
      const settled = await settle(send, how, {
        each: EACH_TRY_MS,
        total: total ?? TRY_MS,
        interruptions: () => this.#home.interruptions(),
        before: () => {
          this.#deciding = true;
          // A heartbeat on its way is waited for: behind the decision its answer would be NOITEM.
          return keeper?.beating(this);
        },
        after: () => {
          this.#deciding = false;
        },
      });
      this.#ended = how;
      keeper?.drop(this);
      this.#tellOver();
      return read(settled);
    } catch (error) {
      if (error instanceof Stale || error instanceof NoItem) this.lose(error);
      throw error;
    }
  }

  /** @internal Heartbeats told a new deadline. */
  extended(deadline: Date): void {
    this.deadlineMs = deadline.getTime();
  }

  /** @internal From now on `keeper` sends its heartbeats. */
  keptBy(keeper: Keeper): void {
    this.#keeper = keeper;
  }

  /** @internal Tells whoever works on it to stop. */
  lose(reason: Error): void {
    if (this.#ended || this.lost) return;
    this.#keeper?.drop(this);
    this.#reason = reason;
    this.#lost?.abort(reason);
    this.#keeper?.lost(this, reason);
    this.#tellOver();
  }

  /** @internal Settles once the claim has ended or is lost. */
  whenOver(): Promise<void> {
    if (this.#ended || this.lost) return Promise.resolve();
    return new Promise((resolve) => this.#over.push(resolve));
  }

  #tellOver(): void {
    for (const tell of this.#over.splice(0)) tell();
  }
}

function confirmed({ explained }: Settled): { confirmed: boolean } {
  return { confirmed: explained === undefined };
}

/** Whether an error of a handler only says that its claim is not its own any more. */
export function isLoss(error: unknown): boolean {
  return error instanceof Stale || error instanceof NoItem;
}

/** Whether an error says that the item's content is no longer what was decided on. */
export function isChange(error: unknown): boolean {
  return error instanceof Changed;
}

/** The reason of a lost claim whose deadline passed unheard. */
export function deadlinePassed(item: string): TimedOut {
  return new TimedOut(`the lock on ${item} must be presumed over: no heartbeat was answered in time`, 'TIMEOUT');
}

/** The reason of a claim that its worker gave up. */
export function givenUp(item: string, why: string): ModqError {
  return new ModqError(`${item} is given back: ${why}`, 'CLOSED');
}
