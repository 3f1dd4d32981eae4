// Reads the audit stream of queues: as one of a group of consumers, or on one's own from a checkpoint.
import { type Arg, type Client, call, type Driver, driverOf } from './driver.js';
import { isPassing, type ModqError, toModqError } from './errors.js';
import { Fold, type QueueEvent, readEvent } from './events.js';
import { list, num, pairs, text } from './reply.js';
import { Backoff, sleep } from './time.js';
import { WaitingConnection } from './waiting.js';

export interface EventLogOptions {
  /** How ids and names become strings. Default `utf8`. */
  idEncoding?: 'utf8' | 'latin1';
}
export interface ReadOptions {
  /** Entries for each command. Default 100. */
  count?: number;
  /** ms to wait for new ones. Default 5000. */
  block?: number;
  /** Ends the loop. */
  signal?: AbortSignal;
  /** Hears what reading went on from. Default: a warning of the process. */
  onError?: (error: ModqError) => void;
}
export interface GroupOptions extends ReadOptions {
  group: string;
  /** Who reads. Must be stable over restarts, so that it finds what it had. */
  consumer: string;
  /** Where a new group begins: `0` (default) with all there is, `$` with what comes. */
  from?: '0' | '$' | string;
  /** ms after which the entries of a consumer that does not acknowledge are taken over. Default 60000; Infinity: never. */
  minIdle?: number;
  /** Acknowledges an event when the loop goes on to the next. Default true; else call `ack`. */
  autoAck?: boolean;
}
/** Where a follower left off. */
export interface Checkpoint {
  load(): Promise<string | null>;
  save(id: string): Promise<void>;
}

type Entry = [id: unknown, fields: unknown];

/** The audit stream of one or more queues (`queue.configure({ events: stream })`). */
export class EventLog {
  readonly #driver: Driver;
  readonly #encoding: BufferEncoding;

  constructor(
    readonly client: Client,
    readonly stream: string,
    options: EventLogOptions = {},
  ) {
    this.#driver = driverOf(client);
    this.#encoding = options.idEncoding ?? 'utf8';
  }

  /**
   * Events for one consumer of a group, each at least once: first those it was given and did not acknowledge, then new ones, and
   * from time to time those of consumers that went silent.
   */
  async *read(options: GroupOptions): AsyncGenerator<QueueEvent, void, undefined> {
    const { group, consumer, count = 100, minIdle = 60_000, autoAck = true } = options;
    let made = false;
    let own: string | null = '0';
    let takeOver = 0;
    for await (const fetch of this.#reading(options)) {
      if (!made) await this.createGroup(group, options.from);
      made = true;
      let events: QueueEvent[];
      if (own !== null) {
        const reply = await fetch(['XREADGROUP', 'GROUP', group, consumer, 'COUNT', `${count}`, 'STREAMS'], own);
        events = this.#entries(reply);
        // Null is a failure, to be asked again; entries that were trimmed have an id and no fields.
        if (reply !== null) own = lastId(reply) ?? null;
      } else if (Date.now() >= takeOver && minIdle !== Number.POSITIVE_INFINITY) {
        events = await this.#takeOver(group, consumer, minIdle, count);
        if (events.length < count) takeOver = Date.now() + minIdle / 2;
      } else {
        events = this.#entries(await fetch(['XREADGROUP', 'GROUP', group, consumer, 'COUNT', `${count}`, 'BLOCK', '', 'STREAMS'], '>'));
      }
      for (const event of events) {
        if (options.signal?.aborted) return; // what was not yielded stays ours, for the next time
        yield event;
        if (autoAck) await this.ack(group, event);
      }
    }
  }

  /** All events behind `after`, or behind the checkpoint, which is saved as the loop goes on: each at least once. */
  async *follow(options: ReadOptions & { after?: string; checkpoint?: Checkpoint } = {}): AsyncGenerator<QueueEvent, void, undefined> {
    const { count = 100, checkpoint } = options;
    let last = options.after ?? (await checkpoint?.load()) ?? '0-0';
    for await (const fetch of this.#reading(options)) {
      const events = this.#entries(await fetch(['XREAD', 'COUNT', `${count}`, 'BLOCK', '', 'STREAMS'], last));
      for (const event of events) {
        if (options.signal?.aborted) break;
        yield event;
        last = event.id;
      }
      if (events.length > 0) await checkpoint?.save(last);
    }
  }

  /** What the whole stream tells, as far as it is kept; folds on from `fold` if one is given. */
  async fold(fold = new Fold()): Promise<Fold> {
    for (;;) {
      const reply = await this.#send(['XRANGE', this.#key, `(${fold.last}`, '+', 'COUNT', '1000'], true);
      const entries = list(reply) as Entry[];
      for (const [id, entry] of entries) fold.apply(readEvent(id, entry, this.#encoding));
      if (entries.length < 1000) return fold;
    }
  }

  /** Makes the group, and the stream if it is not there. It may be there already. */
  async createGroup(group: string, from = '0'): Promise<void> {
    try {
      await this.#send(['XGROUP', 'CREATE', this.#key, group, from, 'MKSTREAM']);
    } catch (error) {
      if ((error as ModqError).code !== 'BUSYGROUP') throw error;
    }
  }

  /** Says that events were dealt with. */
  async ack(group: string, ...events: { id: string }[]): Promise<number> {
    return num(await this.#send(['XACK', this.#key, group, ...events.map(({ id }) => id)]));
  }

  /** A checkpoint in a key, in a cluster of any slot. */
  checkpoint(key: string): Checkpoint {
    const name = this.#driver.prefix + key;
    return {
      load: async () => {
        const reply = await call(this.#driver, { args: ['GET', name], keys: [name] });
        return reply === null || reply === undefined ? null : text(reply);
      },
      save: async (id) => void (await call(this.#driver, { args: ['SET', name, id], keys: [name] })),
    };
  }

  get #key(): string {
    return this.#driver.prefix + this.stream;
  }

  async #takeOver(group: string, consumer: string, minIdle: number, count: number): Promise<QueueEvent[]> {
    const reply = await this.#send(['XAUTOCLAIM', this.#key, group, consumer, `${minIdle}`, '0-0', 'COUNT', `${count}`]);
    const entries = list(list(reply)[1]) as Entry[];
    return entries.filter(([, entry]) => entry !== null).map(([id, entry]) => readEvent(id, entry, this.#encoding));
  }

  /** The entries of XREAD and XREADGROUP: of the one stream, or null. Those trimmed meanwhile are left out. */
  #entries(reply: unknown): QueueEvent[] {
    const streams = streamsOf(reply);
    const entries = streams.flatMap((found) => list(found)) as Entry[];
    return entries.filter(([, entry]) => entry !== null).map(([id, entry]) => readEvent(id, entry, this.#encoding));
  }

  #send(args: Arg[], readonly = false): Promise<unknown> {
    return call(this.#driver, { args, keys: [this.#key], readonly });
  }

  /** Yields a way to read, again and again until `signal`: what fails for the moment is read again after a while. */
  async *#reading(options: ReadOptions): AsyncGenerator<(words: string[], from: string) => Promise<unknown>, void, undefined> {
    const { block = 5000, signal } = options;
    const connection = new WaitingConnection(this.#driver);
    const backoff = new Backoff(50, 5000);
    let failed: ModqError | undefined;
    const fetch = async (words: string[], from: string) => {
      try {
        const args = [...words.map((word) => (word === '' ? String(block) : word)), this.#key, from];
        const reply = await connection.call({ args, keys: [this.#key] }, block, signal);
        backoff.reset();
        return reply;
      } catch (error) {
        failed = toModqError(error);
        if (!signal?.aborted && !isPassing(failed)) throw failed;
        return null;
      }
    };
    try {
      while (!signal?.aborted) {
        failed = undefined;
        yield fetch;
        if (!failed || signal?.aborted) continue;
        if (options.onError) options.onError(failed);
        else process.emitWarning(`reading ${this.stream}: ${(failed as ModqError).message}`, 'ModqWarning');
        await sleep(backoff.next(), signal);
      }
    } finally {
      connection.close();
    }
  }
}

function lastId(reply: unknown): string | undefined {
  const last = streamsOf(reply)
    .flatMap((found) => list(found))
    .at(-1) as Entry | undefined;
  return last && text(last[0]);
}

/** The entry lists of a reply [[stream, entries] …], or of the map that RESP3 makes of it. */
function streamsOf(reply: unknown): unknown[] {
  if (reply === null || reply === undefined) return [];
  if (Array.isArray(reply) && Array.isArray(reply[0])) return reply.map((pair) => list(pair)[1]);
  return pairs(reply).map(([, entries]) => entries);
}
