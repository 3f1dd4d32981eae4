// One logical queue over several keys, so that a cluster's nodes share it.
import { EventEmitter } from 'node:events';
import type { Claim } from './claim.js';
import type { Client } from './driver.js';
import { InvalidArgument, type ModqError } from './errors.js';
import { Gate } from './gate.js';
import { Queue } from './queue.js';
import { crc16 } from './slots.js';
import type * as t from './types.js';
import { type Handler, Worker, type WorkerEvents, type WorkerOptions } from './worker.js';
import { type WorkOptions, works } from './works.js';

export interface ShardedOptions<T> extends t.QueueOptions<T> {
  /** How many keys. It must not change while there are items: an item is found by its id's hash. */
  shards?: number;
  /** The keys themselves, instead of `name:{0}`, `name:{1}` … */
  keys?: readonly string[];
}

/**
 * A queue over N keys. An item belongs to the shard of its id's hash, so what is said of one item holds as in one queue: given to
 * one person at a time, submitted once. Order holds within a shard: across shards workers take turns, so of two items the older
 * may come later, by about as much as the shards differ in length. Shards of the same number share a slot, whatever the name, so
 * items can MOVE between two sharded queues of as many shards.
 */
export class ShardedQueue<T = Buffer | string> {
  readonly shards: readonly Queue<T>[];

  constructor(
    readonly client: Client,
    readonly name: string,
    options: ShardedOptions<T>,
  ) {
    const { shards, keys, ...rest } = options;
    const all = keys ?? Array.from({ length: shards ?? 0 }, (_, i) => `${name}:{${i}}`);
    if (all.length === 0) throw new InvalidArgument('a sharded queue needs shards or keys', 'ERR');
    this.shards = all.map((key) => new Queue<T>(client, key, rest));
  }

  /** The shard of an item: a Queue, for every command about that item. */
  shardOf(item: string): Queue<T> {
    const encoding = this.shards[0]?.encoding ?? 'utf8';
    return this.shards[crc16(Buffer.from(item, encoding)) % this.shards.length] as Queue<T>;
  }

  submit(item: string, payload: T, options?: t.SubmitOptions): Promise<t.SubmitStatus> {
    return this.shardOf(item).submit(item, payload, options);
  }

  /** MSUBMIT, one command for each shard that is concerned; answers in the order of the pairs. */
  async submitMany(pairs: readonly (readonly [item: string, payload: T])[], options?: t.SubmitOptions): Promise<t.Batch<t.SubmitStatus>> {
    const answers: t.Batch<t.SubmitStatus> = new Array(pairs.length);
    const byShard = new Map<Queue<T>, number[]>();
    pairs.forEach(([item], i) => {
      const shard = this.shardOf(item);
      byShard.set(shard, [...(byShard.get(shard) ?? []), i]);
    });
    const sent = [...byShard].map(async ([shard, places]) => {
      const replies = await shard.submitMany(
        places.map((i) => pairs[i] as readonly [string, T]),
        options,
      );
      places.forEach((i, j) => {
        answers[i] = replies[j] as t.SubmitStatus | ModqError;
      });
    });
    await Promise.all(sent);
    return answers;
  }

  get(item: string): Promise<t.Item<T> | null> {
    return this.shardOf(item).get(item);
  }

  cancel(item: string, options?: { rev?: number; reason?: string; by?: string }): Promise<boolean> {
    return this.shardOf(item).cancel(item, options);
  }

  update(item: string, changes: t.UpdateOptions<T>): Promise<number | null> {
    return this.shardOf(item).update(item, changes);
  }

  decided(item: string): Promise<t.DecidedRecord | null> {
    return this.shardOf(item).decided(item);
  }

  /** All shards together. */
  async len(state?: t.State): Promise<number> {
    const all = await Promise.all(this.shards.map((shard) => shard.len(state)));
    return all.reduce((sum, n) => sum + n, 0);
  }

  /** The stats of each shard. */
  stats(options?: { brief?: boolean }): Promise<t.Stats[]> {
    return Promise.all(this.shards.map((shard) => shard.stats(options)));
  }

  /** The same settings for all shards. An event stream is named for each: `events: (shard) => …`, in the shard's slot. */
  async configure(settings: Omit<Partial<t.Settings>, 'events'> & { events?: (shard: Queue<T>) => string }): Promise<void> {
    await Promise.all(this.shards.map((shard) => shard.configure({ ...settings, events: settings.events?.(shard) })));
  }

  async pause(side?: 'IN' | 'OUT' | 'ALL'): Promise<void> {
    await Promise.all(this.shards.map((shard) => shard.pause(side)));
  }

  async unpause(side?: 'IN' | 'OUT' | 'ALL'): Promise<void> {
    await Promise.all(this.shards.map((shard) => shard.unpause(side)));
  }

  /** A worker over all shards. */
  worker(handler: Handler<T>, options: WorkerOptions): ShardedWorker<T> {
    return new ShardedWorker(this, handler, options);
  }

  /** Claims of all shards to go through with `for await`. */
  work(moderator: string, options: WorkOptions = {}): AsyncGenerator<Claim<T>, void, undefined> {
    return works<T>((handler, all) => this.worker(handler, all), moderator, options);
  }

  /** Closes the connections that blocked claims made. */
  close(): void {
    for (const shard of this.shards) shard.close();
  }
}

/**
 * A worker on all shards: one waiting connection for each, `concurrency` items in hand over all of them. Whoever is let in next is
 * decided by turn. While all places are taken, each shard may hold one item more, kept alive, that waits for its turn.
 */
export class ShardedWorker<T> extends EventEmitter<WorkerEvents<T>> {
  readonly workers: readonly Worker<T>[];
  readonly #signals: NodeJS.Signals[];
  #running: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(
    readonly queue: ShardedQueue<T>,
    handler: Handler<T>,
    options: WorkerOptions,
  ) {
    super();
    const gate = new Gate(options.concurrency ?? 1);
    this.#signals = options.signals ?? [];
    // Signals are heard once for all of them: Node warns of more than ten listeners.
    this.workers = queue.shards.map((shard) => new Worker<T>(shard, handler, { ...options, signals: [] }, gate));
    for (const worker of this.workers) this.#forward(worker);
  }

  get active(): number {
    return this.workers.reduce((sum, worker) => sum + worker.active, 0);
  }

  /** Works until `close`. */
  run(): Promise<void> {
    this.#running ??= this.#run();
    return this.#running;
  }

  async #run(): Promise<void> {
    const close = () => void this.close();
    for (const signal of this.#signals) process.once(signal, close);
    try {
      await Promise.all(this.workers.map((worker) => worker.run()));
    } finally {
      for (const signal of this.#signals) process.removeListener(signal, close);
      await this.close();
    }
  }

  stop(): void {
    for (const worker of this.workers) worker.stop();
  }

  /** As `Worker.close`, of all shards at once. */
  close(options: { timeout?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  async #close(options: { timeout?: number }): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.close(options)));
    this.emit('closed');
  }

  #forward(worker: Worker<T>): void {
    worker.on('claimed', (claim) => this.emit('claimed', claim));
    worker.on('resolved', (claim, decision) => this.emit('resolved', claim, decision));
    worker.on('lockLost', (claim, reason) => this.emit('lockLost', claim, reason));
    worker.on('failed', (claim, error) => {
      if (!this.emit('failed', claim, error)) this.#warn(error as Error);
    });
    worker.on('error', (error) => {
      if (this.listenerCount('error') > 0) this.emit('error', error);
      else this.#warn(error);
    });
    worker.on('drained', () => {
      if (this.active === 0) this.emit('drained');
    });
  }

  #warn(error: Error): void {
    process.emitWarning(`${this.queue.name}: ${error?.message ?? error}`, 'ModqWarning');
  }
}
