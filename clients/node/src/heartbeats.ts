// Keeps the locks of a worker: EXTEND for all that is held, in one MEXTEND where the server has it, until each is decided.
import { type Claim, deadlinePassed, type Keeper } from './claim.js';
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

interface Kept {
  /** When it began, and when its lock ends if nothing is heard, by this process's own clock. */
  since: number;
  until: number;
  /** The heartbeat that is on its way. */
  beating?: Promise<void>;
}

/**
 * The heartbeats of one worker. A lock whose end by our own clock comes without an answer is presumed lost, so a handler is told
 * to stop also while the server cannot be reached.
 */
export class Heartbeats<T> implements Keeper {
  readonly #kept = new Map<Claim<T>, Kept>();
  #timers: NodeJS.Timeout[] = [];
  #batches = true;

  constructor(
    readonly queue: Queue<T>,
    readonly options: HeartbeatOptions,
    readonly onError: (error: ModqError) => void,
    readonly onLost: (claim: Claim<T>, reason: Error) => void,
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
    return [...this.#kept.keys()];
  }

  /** Keeps a claim whose lock was told to us at most a moment ago to last `left` ms. */
  add(claim: Claim<T>, left: number): void {
    const now = monotonic();
    this.#kept.set(claim, { since: now, until: now + left });
    claim.keptBy(this);
  }

  beating(claim: Claim<T>): Promise<void> | undefined {
    return this.#kept.get(claim)?.beating;
  }

  drop(claim: Claim<T>): void {
    this.#kept.delete(claim);
  }

  lost(claim: Claim<T>, reason: Error): void {
    this.onLost(claim, reason);
  }

  /** Sends a heartbeat for all that is held, but for what is being decided. */
  beat(): void {
    const now = monotonic();
    const due = [...this.#kept].filter(([claim, kept]) => !claim.deciding && !kept.beating && now - kept.since < this.options.longest);
    for (let i = 0; i < due.length; i += BATCH) this.#extend(due.slice(i, i + BATCH));
  }

  /** A heartbeat now for one claim; settles when it is answered or failed. */
  async beatNow(claim: Claim<T>): Promise<void> {
    const kept = this.#kept.get(claim);
    if (kept) await this.#extend([[claim, kept]]);
  }

  #extend(due: [Claim<T>, Kept][]): Promise<void> {
    const sent = monotonic();
    const beating = this.#send(due.map(([claim]) => claim))
      .then((answers) => {
        for (const [i, [claim, kept]] of due.entries()) this.#heard(claim, kept, sent, answers[i]);
      })
      .catch((error) => this.onError(toModqError(error)))
      .finally(() => {
        for (const [, kept] of due) kept.beating = undefined;
      });
    for (const [, kept] of due) kept.beating = beating;
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

  #heard(claim: Claim<T>, kept: Kept, sent: number, answer: Date | ModqError | undefined): void {
    if (!this.#kept.has(claim)) return;
    if (answer instanceof Date) {
      kept.until = sent + this.options.lock;
      claim.extended(answer);
    } else if (answer instanceof Stale || answer instanceof NoItem) claim.lose(answer);
    else if (answer) this.onError(answer);
  }

  /** Gives up what nobody vouches for any more. */
  #presume(): void {
    const now = monotonic();
    for (const [claim, kept] of this.#kept) {
      if (now >= kept.until) claim.lose(deadlinePassed(claim.item));
      else if (now - kept.since >= this.options.longest) claim.lose(tooLong(claim.item, this.options.longest));
    }
  }
}

function tooLong(item: string, ms: number): TimedOut {
  return new TimedOut(`${item} has been worked on for ${ms} ms, the most that is allowed`, 'TIMEOUT');
}
