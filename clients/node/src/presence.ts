// Presence: moderators without an open connection of their own, as web sessions are. One connection hears for all of them.
import { EventEmitter } from 'node:events';
import type { Claim } from './claim.js';
import type { Subscriber } from './driver.js';
import { toModqError } from './errors.js';
import type { Queue } from './queue.js';
import { channelOf } from './slots.js';

export interface JoinOptions {
  tags?: readonly string[];
  /** How many they want in hand before they are out of line. Default 1. */
  count?: number;
}

export interface SessionEvents<T> {
  /** An item is locked for them: by a match, ASSIGN, or as an earlier announcement was lost. */
  claim: [claim: Claim<T>];
  error: [error: Error];
}

/** The sessions of one queue. `close` closes its one connection, not your client. */
export class Presence<T> {
  readonly #sessions = new Map<string, Session<T>>();
  #subscriber: Promise<Subscriber> | undefined;

  /** `ttl`: ms after which a session that was not heard of leaves the line; heartbeats come at each third of it. Default 30000. */
  constructor(
    readonly queue: Queue<T>,
    readonly options: { ttl?: number } = {},
  ) {}

  get ttl(): number {
    return this.options.ttl ?? 30_000;
  }

  /** Puts a moderator in line and keeps them there until `leave`. */
  async join(moderator: string, options: JoinOptions = {}): Promise<Session<T>> {
    const known = this.#sessions.get(moderator);
    if (known) return known;
    const session = new Session(this, moderator, options);
    this.#sessions.set(moderator, session);
    try {
      // Heard first, joined then: no announcement falls between.
      await (await this.#hear()).subscribe(this.#channel(moderator), () => session.look());
      await session.beat();
    } catch (error) {
      this.#sessions.delete(moderator);
      throw toModqError(error);
    }
    session.start();
    return session;
  }

  /** @internal */
  async left(moderator: string): Promise<void> {
    this.#sessions.delete(moderator);
    await (await this.#subscriber)?.unsubscribe(this.#channel(moderator)).catch(() => {});
  }

  /** Ends all sessions; with `release` their items go back. */
  async close(options: { release?: boolean } = {}): Promise<void> {
    await Promise.all([...this.#sessions.values()].map((session) => session.leave(options).catch(() => {})));
    const subscriber = await this.#subscriber?.catch(() => undefined);
    this.#subscriber = undefined;
    subscriber?.close();
  }

  #channel(moderator: string): string {
    return channelOf(this.queue.redisKey, moderator);
  }

  #hear(): Promise<Subscriber> {
    this.#subscriber ??= this.queue.driver.subscriber().catch((error) => {
      this.#subscriber = undefined;
      throw error;
    });
    return this.#subscriber;
  }
}

/** One moderator's session. */
export class Session<T> extends EventEmitter<SessionEvents<T>> {
  readonly #told = new Set<number>();
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #again = false;
  #left = false;

  constructor(
    readonly presence: Presence<T>,
    readonly moderator: string,
    readonly options: JoinOptions,
  ) {
    super();
  }

  /** @internal */
  start(): void {
    this.#timer = setInterval(() => void this.beat().catch((error) => this.#fault(error)), this.presence.ttl / 3);
  }

  /** Joins again: the sign of life. Also finds items whose announcement was lost. */
  async beat(): Promise<void> {
    const { queue, ttl } = this.presence;
    const status = await queue.join(this.moderator, { ttl, ...this.options });
    if (status === 'ASSIGNED') this.look();
  }

  /** @internal Fetches what is held and tells of what was not told yet. */
  look(): void {
    if (this.#looking) {
      this.#again = true;
      return;
    }
    this.#looking = this.#fetch()
      .catch((error) => this.#fault(error))
      .finally(() => {
        this.#looking = undefined;
        if (this.#again) {
          this.#again = false;
          this.look();
        }
      });
  }

  async #fetch(): Promise<void> {
    const held = await this.presence.queue.held(this.moderator);
    const tokens = new Set(held.map(({ token }) => token));
    for (const token of this.#told) if (!tokens.has(token)) this.#told.delete(token);
    for (const claim of held) {
      if (this.#left || this.#told.has(claim.token)) continue;
      this.#told.add(claim.token);
      this.emit('claim', claim);
    }
  }

  /** Leaves the line; with `release` the items go back. */
  async leave(options: { release?: boolean } = {}): Promise<void> {
    if (this.#left) return;
    this.#left = true;
    clearInterval(this.#timer);
    await this.presence.left(this.moderator);
    await this.presence.queue.leave(this.moderator, options);
  }

  #fault(error: unknown): void {
    if (this.listenerCount('error') > 0) this.emit('error', toModqError(error));
    else process.emitWarning(`presence of ${this.moderator}: ${(error as Error).message}`, 'ModqWarning');
  }
}
