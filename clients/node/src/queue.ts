// The moderation queue: every MODQ command, with named fields in and out.
import { Args } from './args.js';
import { Claim } from './claim.js';
import { type Codec, raw } from './codec.js';
import { type Arg, type Client, callWithin, type Driver, driverOf } from './driver.js';
import { InvalidArgument, NoItem } from './errors.js';
import * as parse from './parse.js';
import { date, each, list, num, optional, text } from './reply.js';
import type * as t from './types.js';
import { WaitingConnection } from './waiting.js';
import { type Handler, Worker, type WorkerOptions } from './worker.js';
import { type WorkOptions, works } from './works.js';

type Build = (args: Args) => Args;
/** One of those that MRESOLVE decides. */
interface Resolving {
  item: string;
  token: number;
  rev?: number;
}

/**
 * A queue. Durations are milliseconds, points in time Dates; ids are strings, payloads go through the codec. It uses your client
 * and never closes it; `close` closes only the connections that blocked claims made.
 */
export class Queue<T = Buffer | string> {
  /** The key, as you named it. */
  readonly key: string;
  readonly codec: Codec<T>;
  readonly encoding: BufferEncoding;
  /** @internal */
  readonly driver: Driver;
  readonly #timeout: number;
  readonly #idle: WaitingConnection[] = [];

  constructor(
    readonly client: Client,
    key: string,
    options: t.QueueOptions<T> = {},
  ) {
    if (typeof key !== 'string') throw new InvalidArgument('a queue needs the name of its key, a string', 'ERR');
    this.driver = driverOf(client);
    this.key = key;
    this.codec = options.codec ?? (raw as unknown as Codec<T>);
    this.encoding = options.idEncoding ?? 'utf8';
    this.#timeout = options.timeout ?? Number.POSITIVE_INFINITY;
  }

  // Producers.

  /** Puts an item into the queue. Safe to repeat, but for onDup BUMP and ERROR. */
  async submit(item: string, payload: T, options: t.SubmitOptions = {}): Promise<t.SubmitStatus> {
    const reply = await this.#write('MODQ.SUBMIT', (a) => submitOptions(a.id(item).word(this.codec.encode(payload)), options));
    return text(reply) as t.SubmitStatus;
  }

  /** SUBMIT of up to 1000 pairs, each on its own: an array of statuses, with an error in the place of each that failed. */
  async submitMany(
    pairs: readonly (readonly [item: string, payload: T])[],
    options: t.SubmitOptions = {},
  ): Promise<t.Batch<t.SubmitStatus>> {
    const reply = await this.#write('MODQ.MSUBMIT', (a) => {
      a.int('n', pairs.length);
      for (const [item, payload] of pairs) a.id(item).word(this.codec.encode(payload));
      return submitOptions(a, options);
    });
    return each(reply, (one) => text(one) as t.SubmitStatus);
  }

  /** Removes an item in whatever state; with `rev` only at that revision. True if it was removed. */
  async cancel(item: string, options: { rev?: number; reason?: string; by?: string } = {}): Promise<boolean> {
    const { rev, reason, by } = options;
    const reply = await this.#write('MODQ.CANCEL', (a) => a.id(item).number('REV', rev).text('REASON', reason).named('BY', by));
    return num(reply) === 1;
  }

  /** Changes what is given. The rev it has then, or null if `rev` is not the item's. */
  async update(item: string, changes: t.UpdateOptions<T>): Promise<number | null> {
    const { payload } = changes;
    const reply = await this.#write('MODQ.UPDATE', (a) => {
      a.id(item).number('REV', changes.rev).number('PRIORITY', changes.priority).number('BOOST', changes.boost);
      if (payload !== undefined) a.word('PAYLOAD', this.codec.encode(payload));
      a.counted('TAGS', changes.tags).counted('EXCLUDE', changes.exclude).pair('QUORUM', changes.quorum);
      return a.named('GROUP', changes.group).number('REPORTS', changes.reports).named('BY', changes.by);
    });
    return optional(reply, num);
  }

  // Moderators.

  /**
   * What the moderator has in hand: held items first, unchanged, then new ones up to `count`. Empty if there is none. Safe to
   * repeat unless `onlyNew`. `block` waits, on a connection of its own that stays open for the next such call until `close`.
   */
  async claim(moderator: string, options: t.ClaimOptions = {}): Promise<Claim<T>[]> {
    const reply = await this.claimReply(this.claimRequest(moderator, options), options);
    return this.readClaims(moderator, reply);
  }

  /** CLAIM on several queues: the claims of one of them, or null. In a cluster all must be in one slot. */
  static async mclaim<Q extends AnyQueue>(
    queues: readonly Q[],
    moderator: string,
    options: t.ClaimOptions = {},
  ): Promise<{ queue: Q; claims: Claim<PayloadOf<Q>>[] } | null> {
    const first = queues[0];
    if (!first) throw new InvalidArgument('mclaim needs a queue', 'ERR');
    const keys = queues.map((queue) => queue.redisKey);
    const args = new Args(first.encoding, 'MODQ.MCLAIM', String(keys.length), ...keys).id(moderator);
    const reply = await first.claimReply({ args: claimOptions(args, options).list, keys }, options);
    if (reply === null || reply === undefined) return null;
    const [key, claims] = list(reply);
    const queue = queues[keys.indexOf(text(key))] as Q;
    return { queue, claims: (queue as unknown as Queue<PayloadOf<Q>>).readClaims(moderator, claims) };
  }

  /**
   * Decides an item once; see `Claim.resolve` for the one that survives a lost reply. A `NoItem` that is `uncertain` is the answer to
   * what ioredis sent again by itself: most likely it is decided, by this very call.
   */
  async resolve(item: string, token: number, options: t.ResolveOptions = {}): Promise<t.Resolved> {
    const interruptions = this.interruptions();
    try {
      return parse.readResolved(await this.#send(this.resolveRequest(item, token, options)));
    } catch (error) {
      if (error instanceof NoItem) error.uncertain = this.interruptions() !== interruptions;
      throw error;
    }
  }

  /** RESOLVE of up to 1000 claims, each on its own: statuses, with an error in the place of each that failed. */
  async resolveMany(
    claims: readonly Resolving[],
    options: { verdict?: string; decision?: string; checkRevs?: boolean } = {},
  ): Promise<t.Batch<t.ResolveStatus>> {
    const reply = await this.#send(this.#resolvesRequest(claims, options.checkRevs === true, options));
    return each(reply, (one) => text(one) as t.ResolveStatus);
  }

  /** Gives an item back, to its own place. */
  async release(item: string, token: number, options: t.ReleaseOptions = {}): Promise<void> {
    await this.sendRelease(item, token, options);
  }

  /** Sets a lock's deadline to the server's now + `ms`. */
  async extend(item: string, token: number, ms: number): Promise<Date> {
    return date(await this.#write('MODQ.EXTEND', (a) => a.id(item).int('token', token).int('ms', ms)));
  }

  /** EXTEND of up to 1000 locks: deadlines, with an error in the place of each that failed. */
  async extendMany(ms: number, claims: readonly { item: string; token: number }[]): Promise<t.Batch<Date>> {
    const reply = await this.#write('MODQ.MEXTEND', (a) => {
      a.int('ms', ms).int('n', claims.length);
      for (const { item, token } of claims) a.id(item).int('token', token);
      return a;
    });
    return each(reply, date);
  }

  /** Puts a moderator in line, or says that they are still there. */
  async join(moderator: string, options: { ttl?: number; count?: number; tags?: readonly string[] } = {}): Promise<'WAITING' | 'ASSIGNED'> {
    const { ttl, count, tags } = options;
    const reply = await this.#write('MODQ.JOIN', (a) => a.id(moderator).number('TTL', ttl).number('COUNT', count).counted('TAGS', tags));
    return text(reply) as 'WAITING' | 'ASSIGNED';
  }

  /** Takes a moderator out of line; with `release` their locks end too. True if they were in line. */
  async leave(moderator: string, options: { release?: boolean } = {}): Promise<boolean> {
    return num(await this.#write('MODQ.LEAVE', (a) => a.id(moderator).flag('RELEASE', options.release))) === 1;
  }

  // Supervisors.

  /** Moves an item to another queue. */
  async move(destination: string | AnyQueue, item: string, options: t.MoveOptions = {}): Promise<void> {
    await this.sendMove(typeof destination === 'string' ? destination : destination.key, item, options);
  }

  /** Locks an item for a named person; with `token` a locked one is handed over. Answers the new token. */
  async assign(item: string, moderator: string, options: t.AssignOptions = {}): Promise<number> {
    const { lock, token, by } = options;
    return num(await this.#write('MODQ.ASSIGN', (a) => a.id(item, moderator).number('LOCK', lock).number('TOKEN', token).named('BY', by)));
  }

  async pause(side: 'IN' | 'OUT' | 'ALL' = 'ALL'): Promise<void> {
    await this.#write('MODQ.PAUSE', (a) => a.word(side));
  }

  async unpause(side: 'IN' | 'OUT' | 'ALL' = 'ALL'): Promise<void> {
    await this.#write('MODQ.UNPAUSE', (a) => a.word(side));
  }

  /** Makes the dead items named ready again; how many there were. */
  async revive(items: readonly string[], options: { by?: string } = {}): Promise<number> {
    // A single item called ALL would be taken for the option: named twice it is an item.
    const named = items.length === 1 && /^all$/i.test(items[0] as string) ? [...items, ...items] : items;
    return num(await this.#write('MODQ.REVIVE', (a) => a.id(...named).named('BY', options.by)));
  }

  /** Makes up to `count` (default and most 1000) of all dead items ready again. */
  async reviveAll(options: { count?: number; by?: string } = {}): Promise<number> {
    return num(await this.#write('MODQ.REVIVE', (a) => a.word('ALL').number('COUNT', options.count).named('BY', options.by)));
  }

  /** Sets what is given. */
  async configure(settings: Partial<t.Settings>): Promise<void> {
    const s = settings;
    const events = s.events ? this.driver.prefix + s.events : s.events;
    const args = this.#args('MODQ.CONFIGURE');
    args.number('LOCK', s.lock).number('MAXEXPIRIES', s.maxExpiries).number('MAXLEN', s.maxLen);
    args.number('CAPACITY', s.capacity).text('LATE', s.late?.toUpperCase()).number('AGING', s.aging);
    args.text('EVENTS', events).number('EVENTSMAXLEN', s.eventsMaxLen).pair('QUORUM', s.quorum);
    args.text('SPLITTAG', s.splitTag).number('RETAIN', s.retain).number('RETAINMAX', s.retainMax);
    await this.#send({ args: args.list, keys: events ? [this.redisKey, events] : [this.redisKey] });
  }

  /** The queue's settings; those that its server does not know have their defaults. */
  async settings(): Promise<t.Settings> {
    return parse.readSettings(await this.#read('MODQ.CONFIG'), this.driver.prefix);
  }

  /** Drops the records of decided items; how many there were. */
  async forget(items: readonly string[], options: { by?: string } = {}): Promise<number> {
    return num(await this.#write('MODQ.FORGET', (a) => a.id(...items).named('BY', options.by)));
  }

  /** Cancels the items of a group, a page at a time. */
  async cancelGroup(
    group: string,
    options: { count?: number; cursor?: string; except?: readonly string[]; reason?: string; by?: string } = {},
  ): Promise<{ cancelled: number; left: number; cursor: string }> {
    const { count, cursor, except, reason, by } = options;
    const reply = await this.#write('MODQ.CANCELGROUP', (a) =>
      a.id(group).number('COUNT', count).text('CURSOR', cursor).counted('EXCEPT', except).text('REASON', reason).named('BY', by),
    );
    const [cancelled, left, next] = list(reply);
    return { cancelled: num(cancelled), left: num(left), cursor: text(next) };
  }

  // Reading.

  /** Everything about one item, or null. */
  async get(item: string): Promise<t.Item<T> | null> {
    const reply = await this.#read('MODQ.GET', (a) => a.id(item));
    return optional(reply, (it) => parse.readItem(it, this.codec, this.encoding));
  }

  /** What is remembered of a decided item, or null. */
  async decided(item: string): Promise<t.DecidedRecord | null> {
    const reply = await this.#read('MODQ.DECIDED', (a) => a.id(item));
    return optional(reply, (it) => parse.readRecord(it, this.encoding));
  }

  /** How many items there are, in all or in one state. */
  async len(state?: t.State): Promise<number> {
    return num(await this.#read('MODQ.LEN', (a) => (state ? a.word(state.toUpperCase()) : a)));
  }

  /** The next ids in the order they would be claimed, by anybody or by the moderator named. */
  async peek(options: { count?: number; for?: string; tags?: readonly string[] } = {}): Promise<string[]> {
    const reply = await this.#read('MODQ.PEEK', (a) =>
      a.number('COUNT', options.count).named('FOR', options.for).counted('TAGS', options.tags),
    );
    return list(reply).map((id) => text(id, this.encoding));
  }

  /** 1 for the next to be claimed; null unless ready. */
  async position(item: string): Promise<number | null> {
    return optional(await this.#read('MODQ.POSITION', (a) => a.id(item)), num);
  }

  /** A page of the items in one state, in the order they arrived. */
  async list(state: t.State, options: { cursor?: string; count?: number } = {}): Promise<t.Page<t.Row>> {
    const reply = await this.#read('MODQ.LIST', (a) =>
      a.word(state.toUpperCase()).text('CURSOR', options.cursor).number('COUNT', options.count),
    );
    return parse.readPage(reply, this.encoding);
  }

  /** All rows of one state, page by page. */
  async *scan(state: t.State, options: { count?: number } = {}): AsyncGenerator<t.Row> {
    let cursor = '0';
    do {
      const page = await this.list(state, { cursor, count: options.count });
      yield* page.rows;
      cursor = page.cursor;
    } while (cursor !== '0');
  }

  /** A page of the items of a group, by arrival. */
  async group(group: string, options: { cursor?: string; count?: number } = {}): Promise<t.Page<t.Row>> {
    const reply = await this.#read('MODQ.GROUP', (a) => a.id(group).text('CURSOR', options.cursor).number('COUNT', options.count));
    return parse.readGroupPage(reply, this.encoding);
  }

  /** What a moderator holds. */
  async held(moderator: string, options: { count?: number } = {}): Promise<Claim<T>[]> {
    const reply = await this.#read('MODQ.HELD', (a) => a.id(moderator).number('COUNT', options.count));
    return this.readClaims(moderator, reply);
  }

  /** The moderators in line, the longest waiting first. */
  async waiters(options: { count?: number } = {}): Promise<t.Waiter[]> {
    return parse.readWaiters(await this.#read('MODQ.WAITERS', (a) => a.number('COUNT', options.count)), this.encoding);
  }

  /** How the queue is doing; `brief` leaves out the maps by tag and priority. */
  async stats(options: { brief?: boolean } = {}): Promise<t.Stats> {
    return parse.readStats(await this.#read('MODQ.STATS', (a) => a.flag('BRIEF', options.brief)), this.encoding);
  }

  /** Why this item would not go to this moderator now: empty if it would, null if it is not there. */
  async why(item: string, moderator: string, options: { tags?: readonly string[] } = {}): Promise<t.Reason[] | null> {
    const reply = await this.#read('MODQ.WHY', (a) => a.id(item, moderator).counted('TAGS', options.tags));
    return optional(reply, (reasons) => list(reasons).map((reason) => text(reason) as t.Reason));
  }

  // Work.

  /** A worker: `handler` gets each claim, what it returns is the decision. Start it with `run`. */
  worker(handler: Handler<T>, options: WorkerOptions): Worker<T> {
    return new Worker(this, handler, options);
  }

  /** Claims to go through with `for await`, kept alive until they are decided. */
  work(moderator: string, options: WorkOptions = {}): AsyncGenerator<Claim<T>, void, undefined> {
    return works<T>((handler, all) => this.worker(handler, all), moderator, options);
  }

  /** Closes the connections that blocked claims made. */
  close(): void {
    for (const connection of this.#idle.splice(0)) connection.close();
  }

  // For claims and workers.

  /** @internal The key as the server has it. */
  get redisKey(): string {
    return this.driver.prefix + this.key;
  }

  /** @internal */
  interruptions(): number {
    return this.driver.interruptions();
  }

  /** @internal */
  claimRequest(moderator: string, options: t.ClaimOptions): { args: Arg[]; keys: Arg[] } {
    return { args: claimOptions(this.#args('MODQ.CLAIM').id(moderator), options).list, keys: [this.redisKey] };
  }

  /** @internal Sends a CLAIM or MCLAIM, on an own connection if it blocks. */
  async claimReply(request: { args: Arg[]; keys: Arg[] }, options: t.ClaimOptions): Promise<unknown> {
    if (options.block === undefined) return this.#send(request);
    const connection = this.#idle.pop() ?? new WaitingConnection(this.driver);
    try {
      return await connection.call(request, options.block, options.signal);
    } finally {
      this.#idle.push(connection);
    }
  }

  /** @internal */
  readClaims(moderator: string, reply: unknown): Claim<T>[] {
    return list(reply).map((row) => new Claim(this, moderator, row));
  }

  /** @internal */
  readResolved(reply: unknown): t.Decision {
    return parse.readDecision(reply);
  }

  /** @internal */
  resolveRequest(item: string, token: number, { rev, verdict, decision, also }: t.ResolveOptions): { args: Arg[]; keys: Arg[] } {
    const args = this.#args('MODQ.RESOLVE').id(item).int('token', token);
    args.number('REV', rev).text('VERDICT', verdict).text('DECISION', decision);
    if (also) args.word('ALSO').int('count', also.count).counted('TAGS', also.tags).text('CURSOR', also.cursor);
    return { args: args.list, keys: [this.redisKey] };
  }

  /** @internal One try, by the driver itself: whoever asks has a deadline and reads errors. */
  sendResolve(item: string, token: number, options: t.ResolveOptions): Promise<unknown> {
    return this.driver.send(this.resolveRequest(item, token, options));
  }

  /** @internal One try for several, each on its own. */
  sendResolves(claims: readonly Resolving[], checkRevs: boolean, options: t.ResolveOptions): Promise<unknown> {
    return this.driver.send(this.#resolvesRequest(claims, checkRevs, options));
  }

  /** @internal */
  sendRelease(item: string, token: number, { skip, delay }: t.ReleaseOptions): Promise<unknown> {
    return this.#write('MODQ.RELEASE', (a) => a.id(item).int('token', token).flag('SKIP', skip).number('DELAY', delay));
  }

  /** @internal */
  sendMove(destination: string, item: string, { token, priority, by }: t.MoveOptions): Promise<unknown> {
    const to = this.driver.prefix + destination;
    const args = this.#args('MODQ.MOVE').word(to).id(item);
    args.number('TOKEN', token).number('PRIORITY', priority).named('BY', by);
    return this.#send({ args: args.list, keys: [this.redisKey, to] });
  }

  #resolvesRequest(claims: readonly Resolving[], checkRevs: boolean, options: t.ResolveOptions): { args: Arg[]; keys: Arg[] } {
    const args = this.#args('MODQ.MRESOLVE').int('n', claims.length);
    for (const { item, token } of claims) args.id(item).int('token', token);
    if (checkRevs) {
      args.word('REVS');
      for (const { rev } of claims) args.int('rev', rev ?? Number.NaN);
    }
    args.text('VERDICT', options.verdict).text('DECISION', options.decision);
    return { args: args.list, keys: [this.redisKey] };
  }

  #args(name: string): Args {
    return new Args(this.encoding, name, this.redisKey);
  }

  #write(name: string, build: Build): Promise<unknown> {
    return this.#send({ args: build(this.#args(name)).list, keys: [this.redisKey] });
  }

  #read(name: string, build: Build = (args) => args): Promise<unknown> {
    return this.#send({ args: build(this.#args(name)).list, keys: [this.redisKey], readonly: true });
  }

  #send(request: { args: Arg[]; keys: Arg[]; readonly?: boolean }): Promise<unknown> {
    return callWithin(this.driver, this.#timeout, request);
  }
}

// biome-ignore lint/suspicious/noExplicitAny: of whatever payloads
type AnyQueue = Queue<any>;
/** The payloads of a queue. */
export type PayloadOf<Q> = Q extends Queue<infer T> ? T : never;

function submitOptions(args: Args, o: t.SubmitOptions): Args {
  args.number('PRIORITY', o.priority).number('BOOST', o.boost).number('DELAY', o.delay).counted('TAGS', o.tags);
  args.counted('EXCLUDE', o.exclude).text('ONDUP', o.onDup).number('STEP', o.step).text('ONDECIDED', o.onDecided);
  return args.pair('QUORUM', o.quorum).named('GROUP', o.group);
}

function claimOptions(args: Args, o: t.ClaimOptions): Args {
  args.number('COUNT', o.count).number('LOCK', o.lock).number('BLOCK', o.block).counted('TAGS', o.tags);
  return args.flag('NEW', o.onlyNew).flag('WITHGROUP', o.withGroup);
}
