// Keeps the locks of a worker: EXTEND for all that is held, in one MEXTEND where the server has it, until each is decided.
import { type Claim, deadlinePassed, type Keeper, type Kept } from './claim.js';
import type { Decisions } from './decisions.js';
import { isNotToBeHad, type ModqError, NoItem, Stale, TimedOut, toModqError } from './errors.js';
import type { Queue } from './queue.js';
import { monotonic, within } from './time.js';

/** The most locks that one MEXTEND takes. */
const BATCH = 1000;

export interface HeartbeatOptions {
  /** ms that each heartbeat asks for. */
  lock: number;
  /** ms between heartbeats. */
  every: number;
  /** ms after which no heartbeat is sent for a claim any more. */
  longest: number;
  /** ms for one command. */
  timeout: number;
}

/**
 * The heartbeats of one worker. A lock whose end by our own clock comes without an answer is presumed lost, so a handler is told
 * to stop also while the server cannot be reached.
 */
export class Heartbeats<T> implements Keeper {
  /** All that are kept, in no order; each knows its place. */
  readonly #kept: Claim<T>[] = [];
  #timers: NodeJS.Timeout[] = [];
  #batches = true;

  constructor(
    readonly queue: Queue<T>,
    readonly options: HeartbeatOptions,
    readonly onError: (error: ModqError) => void,
    readonly onLost: (claim: Claim<T>, reason: Error) => void,
    readonly decisions?: Decisions<T>,
  ) {}

  start(): void {
    const check = Math.max(20, Math.min(1000, this.options.lock / 20));
    this.#timers = [setInterval(() => this.beat(), this.options.every), setInterval(() => this.#presume(), check)];
  }

  stop(): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
  }

  /** What is kept. */
  claims(): Claim<T>[] {
    return [...this.#kept];
  }

  /** Keeps a claim whose lock was told to us at most a moment ago to last `left` ms. */
  add(claim: Claim<T>, left: number): void {
    const now = monotonic();
    claim.kept = { since: now, until: now + left, at: this.#kept.length, beating: undefined };
    this.#kept.push(claim);
    claim.keptBy(this);
  }

  beating(claim: Claim<T>): Promise<void> | undefined {
    return claim.kept?.beating;
  }

  drop(claim: Claim<T>): void {
    const at = claim.kept?.at;
    if (at === undefined) return;
    claim.kept = undefined;
    const last = this.#kept.pop() as Claim<T>; // takes its place
    if (last === claim) return;
    this.#kept[at] = last;
    (last.kept as Kept).at = at;
  }

  lost(claim: Claim<T>, reason: Error): void {
    this.onLost(claim, reason);
  }

  /** Sends a heartbeat for all that is held, but for what is being decided. */
  beat(): void {
    const now = monotonic();
    const isDue = ({ deciding, kept }: Claim<T>) => kept && !deciding && !kept.beating && now - kept.since < this.options.longest;
    const due = this.#kept.filter(isDue);
    for (let i = 0; i < due.length; i += BATCH) this.#extend(due.slice(i, i + BATCH));
  }

  /** A heartbeat now for one claim; settles when it is answered or failed. */
  async beatNow(claim: Claim<T>): Promise<void> {
    if (claim.kept) await this.#extend([claim]);
  }

  #extend(due: Claim<T>[]): Promise<void> {
    const sent = monotonic();
    const all = due.map(({ kept }) => kept as Kept);
    const beating = this.#send(due)
      .then((answers) => {
        for (const [i, claim] of due.entries()) this.#heard(claim, sent, answers[i]);
      })
      .catch((error) => this.onError(toModqError(error)))
      .finally(() => {
        for (const kept of all) kept.beating = undefined;
      });
    for (const kept of all) kept.beating = beating;
    return beating;
  }

  async #send(claims: Claim<T>[]): Promise<(Date | ModqError)[]> {
    const { lock, timeout } = this.options;
    if (this.#batches && claims.length > 1) {
      try {
        const held = claims.map(({ id, token }) => ({ item: id, token }));
        return await within(timeout, 'MEXTEND', this.queue.extendMany(lock, held));
      } catch (error) {
        if (!isNotToBeHad(toModqError(error))) throw error;
        this.#batches = false; // one by one, then
      }
    }
    const one = ({ id, token }: Claim<T>) => this.queue.extend(id, token, lock).catch(toModqError);
    return within(timeout, 'EXTEND', Promise.all(claims.map(one)));
  }

  #heard(claim: Claim<T>, sent: number, answer: Date | ModqError | undefined): void {
    if (!claim.kept) return;
    if (answer instanceof Date) {
      claim.kept.until = sent + this.options.lock;
      claim.extended(answer);
    } else if (answer instanceof Stale || answer instanceof NoItem) claim.lose(answer);
    else if (answer) this.onError(answer);
  }

  /** Gives up what nobody vouches for any more. */
  #presume(): void {
    const now = monotonic();
    for (const claim of this.claims()) {
      const { kept } = claim;
      if (!kept) continue; // dropped by who heard of another's end
      if (now >= kept.until) claim.lose(deadlinePassed(claim.item));
      else if (now - kept.since >= this.options.longest) claim.lose(tooLong(claim.item, this.options.longest));
    }
  }
}

function tooLong(item: string, ms: number): TimedOut {
  return new TimedOut(`${item} has been worked on for ${ms} ms, the most that is allowed`, 'TIMEOUT');
}
