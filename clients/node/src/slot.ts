// One of a worker's places for an item: it claims under a moderator id of its own, so that a repeated CLAIM answers its own item.
import type { Claim } from './claim.js';
import type { Request } from './driver.js';
import { toModqError } from './errors.js';
import { sleep, within } from './time.js';
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
  /** Whether it ever sent a CLAIM. */
  claimed = false;
  /** The last CLAIM without BLOCK had nothing. */
  #empty = false;
  /** Its CLAIM without BLOCK, the same each time. */
  readonly #request: Request;
  /** Whether it has a place behind the gate. */
  #inside = false;

  constructor(
    readonly worker: Worker<T>,
    readonly moderator: string,
  ) {
    const { queue, options } = worker;
    this.#request = queue.claimRequest(moderator, { lock: options.lockDuration, tags: options.tags });
  }

  /** Claims and works until the worker stops. Never throws. */
  async loop(): Promise<void> {
    const { worker } = this;
    const stop = worker.stopping.signal;
    const backoff = worker.backoff();
    while (!stop.aborted) {
      try {
        const claim = await this.#next();
        worker.served = true;
        backoff.reset();
        if (claim) await this.#work(claim);
      } catch (error) {
        if (stop.aborted) return;
        // A connection of our own tells why it cannot be made; the shared client only goes on trying.
        if (!worker.served) this.#empty = true;
        worker.fault(toModqError(error));
        await sleep(backoff.next(), stop);
      } finally {
        this.#leave();
      }
    }
  }

  async #work(claim: Claim<T>): Promise<void> {
    const { worker } = this;
    if (worker.stopping.signal.aborted || !(await this.#sure(claim))) return;
    await this.#enter(); // under heartbeats already, should there be a line
    if (worker.stopping.signal.aborted || claim.lost) worker.heartbeats.drop(claim);
    else await worker.handle(claim);
  }

  async #enter(): Promise<void> {
    if (this.#inside) return;
    await this.worker.gate.enter(this.worker.stopping.signal);
    this.#inside = true;
  }

  #leave(): void {
    if (this.#inside) this.worker.gate.leave();
    this.#inside = false;
  }

  /** The next claim: at once by the shared client if there is one, else by waiting on the worker's own connection, in turn. */
  async #next(): Promise<Claim<T> | undefined> {
    const { queue, options } = this.worker;
    this.claimed = true;
    if (!this.#empty) {
      await this.#enter();
      const reply = await within(options.replyTimeout, 'CLAIM', queue.driver.send(this.#request));
      const claim = this.#first(reply);
      this.#empty = claim === undefined;
      if (claim) return claim;
      this.worker.empty();
      this.#leave();
    }
    return inTurn(this.worker.waiting, () => this.#wait());
  }

  async #wait(): Promise<Claim<T> | undefined> {
    const { queue, options, waiting, stopping } = this.worker;
    if (stopping.signal.aborted) return undefined;
    const how = { lock: options.lockDuration, tags: options.tags, block: options.block };
    const request = queue.claimRequest(this.moderator, how);
    const claim = this.#first(await waiting.call(request, options.block, stopping.signal));
    this.#empty = claim === undefined;
    return claim;
  }

  #first(reply: unknown): Claim<T> | undefined {
    return Array.isArray(reply) && reply.length > 0 ? this.worker.queue.readClaims(this.moderator, reply)[0] : undefined;
  }

  /**
   * Puts the claim under heartbeats. One that was held before (its reply was lost) has less of its lock left than we can tell:
   * it is extended before anybody works on it.
   */
  async #sure(claim: Claim<T>): Promise<boolean> {
    const { heartbeats, options } = this.worker;
    const lock = options.lockDuration;
    heartbeats.add(claim, lock);
    if (claim.deadline.getTime() - Date.now() >= lock * SURE) return true;
    await heartbeats.beatNow(claim);
    if (claim.lost) heartbeats.drop(claim);
    return !claim.lost;
  }
}
