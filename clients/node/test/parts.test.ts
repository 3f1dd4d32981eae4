// Limiter, Board, Presence, EventLog and ShardedQueue on every client library.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  Board,
  type Claim,
  EventLog,
  Exists,
  Fold,
  Inexact,
  Limiter,
  NoPolicy,
  Presence,
  Queue,
  type QueueEvent,
  ShardedQueue,
  utf8,
} from '../src/index.js';
import { CLIENTS, clustered, single } from './kit/clients.js';
import { expectFolded } from './kit/folded.js';
import { roomFor } from './kit/room.js';
import { Cluster, Server } from './kit/servers.js';
import { gate, until } from './kit/wait.js';

describe.each(CLIENTS)('%s', (name) => {
  const room = roomFor(name);

  describe('Limiter', () => {
    const hour = 3_600_000;
    const limiter = (options: object) => new Limiter(room.made.client, { onError: 'throw', timeout: 30_000, ...options });

    it('checks several limits at once', async () => {
      const limits = [
        { quota: 2, window: hour, name: 'burst' },
        { quota: 100, window: 24 * hour, algo: 'GCRA' as const, burst: 50 },
      ];
      const api = limiter({ limits, prefix: 'several:' });
      expect(await api.check('u')).toMatchObject({ allowed: true, limit: 2, remaining: 1, retryAfter: 0, granted: 1, reason: 'allowed' });
      expect(await api.peek('u', { cost: 0 })).toMatchObject({ remaining: 1 });
      await api.check('u');
      const denied = await api.check('u');
      expect(denied).toMatchObject({ allowed: false, limit: 2, remaining: 0, granted: 0, reason: 'limit' });
      expect(denied.retryAfter).toBeGreaterThan(hour / 2);
      expect(denied.limits).toMatchObject([
        { name: 'burst', quota: 2, window: hour, remaining: 0, violated: true },
        { name: '100-per-86400s', quota: 100, remaining: 48, violated: false },
      ]);
      expect(await api.check('u', { cost: 3 })).toMatchObject({ allowed: false, retryAfter: Number.POSITIVE_INFINITY });
      expect(await api.reset('u')).toBe(true);
      expect(await api.check('u', { cost: 3, partial: true })).toMatchObject({ allowed: true, granted: 2 });
      await api.block('u', 60_000);
      expect((await api.peek('u', { cost: 0 })).allowed).toBe(false);
    });

    it('charges the same id once, and takes back', async () => {
      const api = limiter({ limits: { quota: 5, window: hour }, prefix: 'ids:' });
      await api.check('u', { id: 'r', cost: 2 });
      expect(await api.check('u', { id: 'r', cost: 2 })).toMatchObject({ remaining: 3 });
      const reserved = await api.reserve('u', { cost: 3 });
      expect(reserved).toMatchObject({ allowed: true, remaining: 0 });
      expect(await reserved.refund()).toBe(3);
      expect(await reserved.refund()).toBe(0);
      expect(await api.refund('u', { cost: 1 })).toBe(1);
      expect(await api.peek('u', { cost: 0 })).toMatchObject({ remaining: 4 });
    });

    it('charges several subjects or none', async () => {
      const api = limiter({ prefix: 'all:' });
      const subjects = [
        { key: 'u', limit: { quota: 10, window: hour } },
        { key: 'ip', limit: { quota: 1, window: hour } },
      ];
      expect(await api.mcheck(subjects)).toMatchObject({ allowed: true, retryAfter: 0, each: [{ remaining: 9 }, { remaining: 0 }] });
      expect(await api.mcheck(subjects)).toMatchObject({ allowed: false, each: [{ allowed: true, remaining: 9 }, { allowed: false }] });
    });

    it('waits until there is room', async () => {
      const api = limiter({ limits: { quota: 1, window: 300 }, prefix: 'wait:' });
      await api.check('u');
      expect(await api.blockUntilReady('u')).toMatchObject({ allowed: true });
      expect(await api.blockUntilReady('u', { cost: 2 })).toMatchObject({ allowed: false });
      const long = limiter({ limits: { quota: 1, window: hour }, prefix: 'long:' });
      await long.check('u');
      expect(await long.blockUntilReady('u', { timeout: 10 })).toMatchObject({ allowed: false });
    });

    it('knows policies', async () => {
      const api = limiter({ policy: 'free', prefix: 'policy:' });
      await expect(api.check('u')).rejects.toBeInstanceOf(NoPolicy);
      await api.setPolicy('free', [
        { quota: 10, window: hour },
        { quota: 50, window: hour, algo: 'GCRA', burst: 20 },
      ]);
      expect((await api.check('u')).limits.map((limit) => limit.name)).toEqual(['free', 'free-2']);
      expect(await api.policy('free')).toEqual([
        { quota: 10, window: hour, algo: 'LOG', burst: 10 },
        { quota: 50, window: hour, algo: 'GCRA', burst: 20 },
      ]);
      expect(await api.policies()).toEqual(['free']);
      expect(await api.deletePolicy('free')).toBe(true);
      expect(await api.policy('free')).toBeNull();
    });

    it('leases places', async () => {
      const api = limiter({ prefix: 'lease:' });
      const first = await api.acquire('jobs', 2, { ttl: 60_000, id: 'a', cost: 2 });
      expect(first).toMatchObject({ acquired: true, inUse: 2, max: 2 });
      expect(first.fence).toBeGreaterThan(0);
      expect(await api.acquire('jobs', 2, { ttl: 60_000 })).toMatchObject({ acquired: false, fence: 0 });
      expect(await first.renew()).toBe(true);
      expect(await api.leases('jobs')).toMatchObject([{ id: 'a', cost: 2, fence: first.fence }]);
      expect(await first.release()).toBe(true);
      expect(await first.release()).toBe(false);
      const seen = await api.withLease('jobs', 1, { ttl: 60_000 }, async (lease) => {
        expect(await api.withLease('jobs', 1, { ttl: 60_000 }, async () => 'never')).toBeNull();
        return lease.acquired;
      });
      expect(seen).toBe(true);
      expect(await api.leases('jobs')).toEqual([]);
    });

    it('keeps a lease that work is done under, and tells when it is gone', async () => {
      const api = limiter({ prefix: 'kept:' });
      const told = gate();
      await api.withLease('jobs', 1, { ttl: 600, id: 'a' }, async (lease) => {
        lease.signal.addEventListener('abort', () => told.open());
        const [before] = await api.leases('jobs');
        await until('a renewal', async () => ((await api.leases('jobs'))[0]?.expires ?? 0) > (before?.expires ?? 0));
        await room.server.ask('DEL', 'kept:jobs');
        await told.promise;
      });
    });

    it.each(['open', 'closed'] as const)('fails %s where nobody answers', async (onError) => {
      const dead = await Server.start();
      const { client, close } = await single(name, dead.port);
      const failures: string[] = [];
      const api = new Limiter(client, {
        limits: { quota: 1, window: 1000 },
        onError,
        timeout: 100,
        onFailure: (e) => failures.push(e.code),
      });
      await dead.stop();
      expect(await api.check('u')).toMatchObject({ allowed: onError === 'open', reason: 'error' });
      expect(await api.acquire('l', 1, { ttl: 1000 })).toMatchObject({ acquired: onError === 'open', fence: 0 });
      expect(await api.mcheck([{ key: 'u', limit: { quota: 1, window: 1000 } }])).toMatchObject({ allowed: onError === 'open' });
      expect(failures).toHaveLength(3);
      close();
    });
  });

  describe('Board', () => {
    it('ranks', async () => {
      const board = new Board(room.made.client, 'board');
      await board.create({ order: ['DESC', 'ASC'], columns: 2, update: 'BEST', retry: 60_000 });
      await expect(board.create()).rejects.toBeInstanceOf(Exists);
      expect(await board.configure({ update: 'LAST' })).toBe(true);
      expect(await board.add('alice', [3, 10])).toEqual({ changed: true, rank: 1, oldRank: null, scores: [3n, 10n] });
      await board.add('bob', [3, 5], { id: 'm1' });
      expect(await board.add('bob', [9, 9], { id: 'm1' })).toEqual({ changed: false, rank: 1, oldRank: 1, scores: [3n, 5n] });
      await board.add('ranking', [1n, 1n]);
      expect(await board.get(['ranking', 'nobody'])).toMatchObject([{ rank: 3, scores: [1n, 1n] }, null]);
      expect(await board.top(2)).toEqual([
        { rank: 1, member: 'bob', scores: [3n, 5n] },
        { rank: 2, member: 'alice', scores: [3n, 10n] },
      ]);
      expect(await board.top(5, { offset: 2, ranking: 'DENSE' })).toHaveLength(1);
      expect((await board.around('alice', 1, 0))?.map(({ member }) => member)).toEqual(['bob', 'alice']);
      expect(await board.around('nobody', 1, 1)).toBeNull();
      expect(await board.among(['ranking', 'bob'])).toMatchObject([
        { rank: 1, overall: 1, member: 'bob' },
        { rank: 2, overall: 3 },
      ]);
      expect(await board.count([3, 5])).toBe(0);
      expect(await board.percentile('bob')).toBe(100);
      expect(await board.percentile('nobody')).toBeNull();
      expect(await board.card()).toBe(3);
      expect(await board.info()).toMatchObject({
        order: ['desc', 'asc'],
        update: 'last',
        ties: 'earliest',
        columns: 2,
        members: 3,
        retry: 60_000,
      });
      expect(await board.rem('ranking', { scores: [2, 2] })).toBe(false);
      expect(await board.rem('ranking')).toBe(true);
      expect(await board.close('board:old')).toBe(2);
      expect(await board.card()).toBe(0);
      await room.server.ask('ZADD', 'zset', '5', 'carol');
      expect(await new Board(room.made.client, 'imported').import('zset')).toBe(1);
      expect(await new Board(room.made.client, 'none').info()).toBeNull();
      expect(await new Board(room.made.client, 'none').add('a', 1, { noCreate: true })).toBeNull();
    });

    it('is exact to 64 bits, or says that it cannot be', async () => {
      const most = 2n ** 63n - 1n;
      const exact = await single(name, room.server.port, name.startsWith('ioredis') ? { stringNumbers: true } : {});
      const board = new Board(exact.client, 'big');
      if (name === 'redis4') await expect(board.add('alice', most)).rejects.toBeInstanceOf(Inexact);
      else {
        expect(await board.add('alice', most)).toMatchObject({ scores: [most] });
        expect(await board.top(1)).toEqual([{ rank: 1, member: 'alice', scores: [most] }]);
        expect(await board.get(['alice'])).toMatchObject([{ rank: 1, scores: [most] }]);
      }
      exact.close();
    });
  });

  describe('Presence', () => {
    it('tells sessions of their items', async () => {
      const queue = new Queue(room.made.client, 'presence', { codec: utf8 });
      const presence = new Presence(queue, { ttl: 60_000 });
      const got: Claim<string>[] = [];
      const alice = await presence.join('alice', { tags: ['en'] });
      alice.on('claim', (claim) => got.push(claim));
      expect(await queue.waiters()).toMatchObject([{ moderator: 'alice', kind: 'joined' }]);
      await queue.submit('a', 'text', { tags: ['en'] });
      await until('the announcement', () => got.length === 1);
      await got[0]?.resolve();
      // An item whose announcement nobody heard is found by the next sign of life.
      await queue.submit('b', 'text');
      const [held] = await new Queue(room.made.client, 'presence').claim('alice');
      expect(held?.item).toBe('b');
      await alice.beat();
      await until('it to be found', () => got.length === 2);
      expect(got[1]).toMatchObject({ item: 'b', payload: 'text' });
      await alice.leave({ release: true });
      expect(await queue.len('ready')).toBe(1);
      await presence.close();
    });
  });

  describe('EventLog', () => {
    it('reads as a group, folds, follows from a checkpoint', async () => {
      const queue = new Queue(room.made.client, 'logged', { codec: utf8 });
      await queue.configure({ events: 'log', eventsMaxLen: 0 });
      await queue.submit('a', 'text', { tags: ['x'], priority: 2 });
      await queue.submit('b', 'text', { delay: 100_000 });
      const [claim] = await queue.claim('alice', { tags: ['x'] });
      await claim?.release({ skip: true });
      const [again] = await queue.claim('bob', { tags: ['x'] });
      const log = new EventLog(room.made.client, 'log');
      const events: QueueEvent[] = [];
      const stop = new AbortController();
      for await (const event of log.read({ group: 'g', consumer: 'one', block: 10, signal: stop.signal, autoAck: false })) {
        events.push(event);
        if (event.ev !== 'submit') await log.ack('g', event);
        if (events.length === 5) stop.abort();
      }
      expect(events.map(({ ev, item }) => `${ev} ${item}`)).toEqual(['submit a', 'submit b', 'claim a', 'release a', 'claim a']);
      expect(events[0]).toMatchObject({ key: 'logged', state: 'ready', priority: 2, tags: ['x'] });
      expect(events[2]?.token).toBe(claim?.token);
      // What was not acknowledged comes again: to the same consumer, and to another once it is idle.
      const restart = new AbortController();
      for await (const event of log.read({ group: 'g', consumer: 'one', block: 10, signal: restart.signal, autoAck: false })) {
        expect(event.item).toBe('a');
        restart.abort();
      }
      const other = new AbortController();
      const taken: string[] = [];
      for await (const event of log.read({ group: 'g', consumer: 'two', minIdle: 1, block: 10, signal: other.signal })) {
        taken.push(event.item);
        if (taken.length === 2) other.abort();
      }
      expect(taken.sort()).toEqual(['a', 'b']);
      const fold = await expectFolded(queue, 'log');
      await again?.resolve();
      const restored = Fold.from(JSON.parse(JSON.stringify(fold)));
      expect((await log.fold(restored)).queues.get('logged')?.items.has('a')).toBe(false);
      const checkpoint = log.checkpoint('log:at');
      const seen: string[] = [];
      for (let i = 0; i < 2; i++) {
        const end = new AbortController();
        for await (const event of log.follow({ checkpoint, count: 2, block: 10, signal: end.signal })) {
          seen.push(`${event.ev} ${event.item}`);
          if (seen.length === 4 + 2 * i) end.abort();
        }
      }
      expect(seen).toEqual(['submit a', 'submit b', 'claim a', 'release a', 'claim a', 'resolve a']);
    });
  });

  describe('ShardedQueue', () => {
    it('works over all shards, no more at a time than told', async () => {
      const queue = new ShardedQueue(room.made.client, 'sharded', { shards: 3, codec: utf8 });
      for (let i = 0; i < 30; i++) await queue.submit(`i${i}`, 'text');
      expect(await queue.len()).toBe(30);
      expect(await queue.submit('i7', 'text')).toBe('EXISTS');
      expect((await queue.stats()).every(({ ready }) => ready > 0)).toBe(true);
      const seen: string[] = [];
      let now = 0;
      let most = 0;
      const worker = queue.worker(
        async (claim) => {
          most = Math.max(most, ++now);
          await new Promise(setImmediate);
          seen.push(claim.item);
          now--;
        },
        { moderator: 'bot', concurrency: 2, block: 1000 },
      );
      const running = worker.run();
      await until('all to be decided', async () => (await queue.len()) === 0);
      expect(most).toBeLessThanOrEqual(2);
      await until('each shard to have a waiter', async () => (await queue.stats()).every(({ waiting }) => waiting === 1));
      await worker.close();
      await running;
      expect(new Set(seen).size).toBe(30);
      for (let i = 0; i < 6; i++) await queue.submit(`j${i}`, 'text');
      let left = 6;
      for await (const claim of queue.work('bot', { block: 100 })) {
        await claim.resolve();
        if (--left === 0) break;
      }
      expect(await queue.len()).toBe(0);
    });
  });
});

describe('in a cluster', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.start();
  });
  afterAll(() => cluster?.stop());

  it.each(CLIENTS)('%s: shards, policies, events, blocked claims', async (name) => {
    const { client, close } = await clustered(name, cluster);
    const queue = new ShardedQueue(client, `sharded-${name}`, { shards: 4, codec: utf8 });
    await queue.configure({ events: (shard) => `${shard.key}:events` });
    for (let i = 0; i < 20; i++) await queue.submit(`i${i}`, 'text');
    const worker = queue.worker(() => {}, { moderator: 'bot', concurrency: 3, block: 1000 });
    void worker.run();
    await until('all to be decided', async () => (await queue.len()) === 0);
    await worker.close();
    const [first] = queue.shards;
    const fold = await new EventLog(client, `${first?.key}:events`).fold();
    expect(fold.queues.get(first?.key ?? '')?.items.size).toBe(0);
    const limiter = new Limiter(client, { policy: 'p', onError: 'throw', timeout: 30_000 });
    await limiter.setPolicy('p', { quota: 1, window: 3_600_000 });
    for (const key of ['a', 'b', 'c']) expect(await limiter.check(`${name}${key}`)).toMatchObject({ allowed: true });
    close();
  });

  // Sharded messages need ioredis 5.9 or later.
  it.each(['redis4', 'redis5', 'redis6', 'ioredis6'] as const)('%s: presence', async (name) => {
    const { client, close } = await clustered(name, cluster);
    for (const key of [`one-${name}`, `two-${name}`, `{3}-${name}`]) {
      const queue = new Queue(client, key, { codec: utf8 });
      const presence = new Presence(queue);
      const got: string[] = [];
      (await presence.join('alice')).on('claim', (claim) => got.push(claim.item));
      await queue.submit('a', 'text');
      await until('the announcement', () => got.length === 1);
      await presence.close();
    }
    close();
  });
});
