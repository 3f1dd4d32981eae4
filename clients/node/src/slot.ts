// One of a worker's places for an item: it claims, works on the item, and claims again, until the worker stops.
import type { Claim } from './claim.js';
import type { Id } from './claims.js';
import { toModqError } from './errors.js';
import { sleep } from './time.js';
import type { Worker } from './worker.js';

/** Lets one slot after the other wait on the worker's waiting connection. */
const turns = new WeakMap<object, Promise<void>>();

async function inTurn<R>(owner: object, run: () => Promise<R>): Promise<R> {
  const before = turns.get(owner) ?? Promise.resolve();
  const mine = before.then(run);
  turns.set(
    owner,
    mine.then(
      () => {},
      () => {},
    ),
  );
  return mine;
}

/** How far the clocks of the server and of this process are apart is not known: a lock of which less than this part seems left is extended first. */
const SURE = 0.75;

export class Slot<T> {
  /** The last CLAIM without BLOCK had nothing. */
  #empty = false;
  /** Whether it has a place behind the gate. */
  #inside = false;

  /** `own`: the moderator id that it has to claim by; else one of the worker's that is free. */
  constructor(
    readonly worker: Worker<T>,
    readonly own: Id | undefined,
  ) {}

  /** Claims and works until the worker stops. Never throws. */
  async loop(): Promise<void> {
    const { worker } = this;
    const stop = worker.stopping.signal;
    const backoff = worker.backoff();
    while (!stop.aborted) {
      let claim: Claim<T> | undefined;
      try {
        claim = await this.#next();
        worker.served = true;
        backoff.reset();
        if (!claim || stop.aborted) continue;
        const admitted = this.#admit(claim);
        if (admitted === true || (await admitted)) await worker.handle(claim);
      } catch (error) {
        if (stop.aborted) return;
        // A connection of our own tells why it cannot be made; the shared client only goes on trying.
        if (!worker.served) this.#empty = true;
        worker.fault(toModqError(error));
        await sleep(backoff.next(), stop);
      } finally {
        if (claim) worker.claims.done(claim, this.own);
        this.#leave();
      }
    }
  }

  /** Waits for a place behind the gate; undefined if it has one. */
  #enter(): Promise<void> | undefined {
    if (this.#inside) return undefined;
    const waiting = this.worker.gate.enter(this.worker.stopping.signal);
    if (!waiting) this.#inside = true;
    return waiting?.then(() => {
      this.#inside = true;
    });
  }

  #leave(): void {
    if (this.#inside) this.worker.gate.leave();
    this.#inside = false;
  }

  /** The next claim: at once by the shared client if there is one, else by waiting on the worker's own connection, in turn. */
  async #next(): Promise<Claim<T> | undefined> {
    const { worker } = this;
    if (!this.#empty) {
      const waiting = this.#enter();
      if (waiting) await waiting;
      const claim = await worker.claims.next(this.own);
      this.#empty = claim === undefined;
      if (claim) return claim;
      worker.empty();
      this.#leave();
    }
    return inTurn(worker.waiting, () => this.#wait());
  }

  async #wait(): Promise<Claim<T> | undefined> {
    const { claims, queue, options, waiting, stopping } = this.worker;
    if (stopping.signal.aborted) return undefined;
    const how = { lock: options.lockDuration, tags: options.tags, block: options.block };
    const send = (id: Id) => waiting.call(queue.claimRequest(id.moderator, how), options.block, stopping.signal);
    const claim = await claims.one(send, this.own);
    this.#empty = claim === undefined;
    return claim;
  }

  /** Puts the claim under heartbeats and waits for a place, as far as there is anything to wait for. False if it is not to be worked on. */
  #admit(claim: Claim<T>): true | Promise<boolean> {
    const { heartbeats, options } = this.worker;
    heartbeats.add(claim, options.lockDuration);
    const sure = claim.deadlineMs - Date.now() >= options.lockDuration * SURE;
    return sure && this.#inside ? true : this.#prepare(claim, sure);
  }

  /**
   * A claim that was held before (its reply was lost) has less of its lock left than we can tell: it is extended before anybody
   * works on it.
   */
  async #prepare(claim: Claim<T>, sure: boolean): Promise<boolean> {
    const { heartbeats, stopping } = this.worker;
    if (!sure) await heartbeats.beatNow(claim);
    if (!claim.lost) await this.#enter(); // under heartbeats, should there be a line
    if (!claim.lost && !stopping.signal.aborted) return true;
    heartbeats.drop(claim);
    return false;
  }
}
