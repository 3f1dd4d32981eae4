// Claims for the slots of a worker: those that are free at the same moment are served by one CLAIM.
import type { Claim } from './claim.js';
import type { Request } from './driver.js';
import { within } from './time.js';
import type { Worker } from './worker.js';

/** The most items that one CLAIM asks for. */
const MOST = 1000;

/** One of the moderator ids of a worker. It claims while it has nothing in hand, so that a repeated CLAIM answers what a lost reply had. */
export interface Id {
  readonly moderator: string;
  /** Its CLAIM of one item, the same each time. */
  readonly one: Request;
  /** Whether it ever sent a CLAIM. */
  claimed: boolean;
  /** Whether a CLAIM of its own is on its way. */
  asking: boolean;
  /** The tokens of what is being worked on. Few at a time: an array is quicker than a set. */
  readonly hand: number[];
  /** At most how many locks it may have that nobody works on: of lost replies, and of claims that did not end well. */
  owed: number;
}

interface Asker<T> {
  resolve: (claim: Claim<T> | undefined) => void;
  reject: (error: unknown) => void;
}

/**
 * There are as many ids as slots. An id is taken while it has claims in hand or a CLAIM on its way, and each of those is some slot's:
 * so a slot that asks finds one that is free. What may have locks left over claims first.
 */
export class Claims<T> {
  readonly ids: readonly Id[];
  readonly #byName = new Map<string, Id>();
  /** Ids with nothing in hand or on its way, the longest unused first. */
  readonly #free: Id[];
  readonly #owing = new Set<Id>();
  #line: Asker<T>[] = [];

  /** `named`: each slot claims by an id of its own, and none is ever free for others. */
  constructor(
    readonly worker: Worker<T>,
    moderators: readonly string[],
    readonly named: boolean,
  ) {
    this.ids = moderators.map((moderator) => {
      const one = worker.queue.claimRequest(moderator, { lock: worker.options.lockDuration, tags: worker.options.tags });
      return { moderator, one, claimed: false, asking: false, hand: [], owed: 0 };
    });
    for (const id of this.ids) this.#byName.set(id.moderator, id);
    this.#free = named ? [] : [...this.ids];
  }

  /** The next claim without waiting, or undefined if there was none for the id that is `own`, or one that is free. */
  next(own?: Id): Promise<Claim<T> | undefined> {
    if (own) return this.one((id) => this.#send(id.one), own);
    return new Promise((resolve, reject) => this.#enqueue({ resolve, reject }));
  }

  /** What a CLAIM of one item, sent by `send`, answers to an id that has nothing in hand. */
  async one(send: (id: Id) => Promise<unknown>, own?: Id): Promise<Claim<T> | undefined> {
    const id = own ?? this.#pick(true);
    this.#begin(id);
    try {
      return this.#heard(id, await send(id), 1, 1)[0];
    } catch (error) {
      this.#owe(id, Math.max(id.owed, 1));
      throw error;
    } finally {
      this.#end(id);
    }
  }

  /** A claim is not worked on any more. */
  done(claim: Claim<T>, own?: Id): void {
    const id = own ?? this.#byName.get(claim.moderator);
    const at = id ? id.hand.indexOf(claim.token) : -1;
    if (!id || at < 0) return;
    id.hand[at] = id.hand[id.hand.length - 1] as number;
    id.hand.length--;
    if (!claim.ended) this.#owe(id, id.owed + 1);
    if (!id.asking) this.#end(id);
  }

  /** Asks at the end of this turn: whoever gets free in it comes along. */
  #enqueue(asker: Asker<T>): void {
    if (this.#line.push(asker) === 1) process.nextTick(() => this.#askForAll());
  }

  #askForAll(): void {
    const line = this.#line;
    this.#line = [];
    while (line.length > 0) void this.#ask(this.#pick(false), line.splice(0, MOST));
  }

  async #ask(id: Id, askers: Asker<T>[]): Promise<void> {
    const count = Math.min(MOST, id.hand.length + askers.length);
    this.#begin(id);
    let claims: Claim<T>[];
    try {
      const { queue, options } = this.worker;
      const request = count === 1 ? id.one : queue.claimRequest(id.moderator, { count, lock: options.lockDuration, tags: options.tags });
      claims = this.#heard(id, await this.#send(request), count, askers.length);
    } catch (error) {
      this.#owe(id, Math.max(id.owed, askers.length));
      this.#end(id);
      for (const asker of askers) asker.reject(error);
      return;
    }
    this.#end(id);
    // Whether there is nothing is asked of another id for each slot: what this one may not have another may.
    const served = Math.max(1, claims.length);
    for (let i = 0; i < served; i++) askers[i]?.resolve(claims[i]);
    for (const asker of askers.slice(served)) this.#enqueue(asker);
  }

  #send(request: Request): Promise<unknown> {
    const { queue, options } = this.worker;
    return within(options.replyTimeout, 'CLAIM', queue.driver.send(request));
  }

  /** The claims of a reply that are not in hand yet, at most `most` of them: they are then. */
  #heard(id: Id, reply: unknown, count: number, most: number): Claim<T>[] {
    const all = this.worker.queue.readClaims(id.moderator, reply);
    const fresh = id.hand.length === 0 ? all : all.filter(({ token }) => !id.hand.includes(token));
    const claims = fresh.length > most ? fresh.slice(0, most) : fresh;
    for (const { token } of claims) id.hand.push(token);
    if (id.owed > 0 || fresh.length > most) {
      const rest = all.length < count ? 0 : id.owed - claims.length;
      this.#owe(id, Math.max(0, rest, fresh.length - most));
    }
    return claims;
  }

  /** An id that may ask; with `empty` one that has nothing in hand. */
  #pick(empty: boolean): Id {
    for (const id of this.#owing) if (!id.asking && id.hand.length < (empty ? 1 : MOST)) return id;
    for (const id of this.#free) return id;
    throw new Error('more slots than moderators'); // cannot be, as said above
  }

  #owe(id: Id, owed: number): void {
    id.owed = owed;
    if (owed > 0) this.#owing.add(id);
    else this.#owing.delete(id);
  }

  #begin(id: Id): void {
    id.claimed = true;
    id.asking = true;
    const at = this.#free.indexOf(id); // the first, as a rule
    if (at >= 0) this.#free.splice(at, 1);
  }

  #end(id: Id): void {
    id.asking = false;
    if (id.hand.length === 0 && !this.named) this.#free.push(id);
  }
}
