// The worker while servers die, connections break and replies are lost: each item is decided once, by who held it.
import { describe, expect, it, type TestContext } from 'vitest';
import { type Decision, json, Queue, TimedOut, utf8, type Worker } from '../src/index.js';
import { audit, flaws } from './kit/audit.js';
import { CLIENTS, clustered, type Made, sentinelled, single } from './kit/clients.js';
import { LossyProxy } from './kit/proxy.js';
import { Cluster, Sentinels, Server } from './kit/servers.js';
import { gate, pause, until } from './kit/wait.js';

/** What a test uses, closed in reverse order at its end: the tests of this file mostly wait, and do so beside each other. */
function scene({ onTestFinished }: TestContext) {
  const cleanups: (() => unknown)[] = [];
  onTestFinished(async () => {
    for (const clean of cleanups.reverse()) await clean();
  });
  return {
    keep<R extends { stop(): unknown }>(it: R): R {
      cleanups.push(() => it.stop());
      return it;
    },
    using(made: Made): Made {
      cleanups.push(() => made.close());
      return made;
    },
    start(queue: Queue<string>, handler: Worker<string>['handler'], options: object = {}) {
      const worker = queue.worker(handler, { moderator: 'bot', lockDuration: 3000, replyTimeout: 1000, block: 1000, ...options });
      const errors: Error[] = [];
      worker.on('error', (error) => errors.push(error));
      const running = worker.run();
      running.catch(() => {});
      cleanups.push(() => worker.close({ timeout: 100 }));
      return { worker, errors };
    },
  };
}

const EVENTS = { events: '{q}:events', eventsMaxLen: 0 };
const ids = (n: number) => Array.from({ length: n }, (_, i) => `i${i}`);

/** A queue with an event stream and `n` items, put there by a connection of the test's own. */
async function filled(server: Server, n: number, args: string[] = []): Promise<void> {
  await server.ask('MODQ.CONFIGURE', '{q}', 'EVENTS', EVENTS.events, 'EVENTSMAXLEN', '0', ...args);
  for (const id of ids(n)) await server.ask('MODQ.SUBMIT', '{q}', id, 'text');
}

/** Asks a server that may be away. */
const len = async (server: Server) => Number(await server.ask('MODQ.LEN', '{q}').catch(() => -1));

describe.concurrent.each(CLIENTS)('%s', (name) => {
  it('goes on when the server is killed and comes back', async (context) => {
    const { keep, using, start } = scene(context);
    const server = keep(await Server.start('redis-7.0', '--appendonly', 'yes', '--appendfsync', 'always'));
    await filled(server, 200);
    const { client } = using(await single(name, server.port));
    const queue = new Queue(client, '{q}', { codec: utf8 });
    let done = 0;
    start(
      queue,
      async () => {
        done++;
        await pause(5);
      },
      { concurrency: 5 },
    );
    for (const at of [30, 90]) {
      await until(`${at} items to be worked on`, () => done >= at);
      await server.kill();
      await server.up();
    }
    await until('the queue to be empty', async () => (await len(server)) === 0);
    expect(flaws(await audit(server, EVENTS.events), ids(200))).toEqual([]);
  });

  it('decides once when the reply to its decision is lost', async (context) => {
    const { keep, using, start } = scene(context);
    const server = keep(await Server.start());
    const proxy = keep(await LossyProxy.start(server.port));
    await filled(server, 3);
    const { client } = using(await single(name, proxy.port));
    const queue = new Queue(client, '{q}', { codec: utf8 });
    const decisions = new Map<string, Decision>();
    proxy.cut = { what: /MODQ\.RESOLVE/, times: 1 };
    const { worker } = start(queue, () => 'spam');
    worker.on('resolved', (claim, decision) => decisions.set(claim.item, decision));
    await until('all to be decided', () => decisions.size === 3);
    expect(proxy.lost).toBe(1);
    expect(decisions.get('i0')).toEqual({ confirmed: false });
    expect(decisions.get('i1')).toEqual({ status: 'OK', confirmed: true });
    expect(flaws(await audit(server, EVENTS.events), ids(3))).toEqual([]);
  });

  it('tells that nobody knows when the reply to a decision without a worker is lost', async (context) => {
    const { keep, using } = scene(context);
    const server = keep(await Server.start());
    const proxy = keep(await LossyProxy.start(server.port));
    await filled(server, 2);
    const { client } = using(await single(name, proxy.port));
    const queue = new Queue(client, '{q}', { codec: utf8 });
    const [claim] = await queue.claim('ann');
    proxy.cut = { what: /MODQ\.RESOLVE/, times: 1 };
    // ioredis sends again by itself and hears that the item is gone; node-redis hears nothing.
    await expect(queue.resolve('i0', claim?.token ?? 0)).rejects.toMatchObject({ uncertain: true });
    await until('the connection', async () => (await queue.len().catch(() => -1)) === 1);
    await expect(queue.resolve('i0', claim?.token ?? 0)).rejects.toMatchObject({ code: 'NOITEM', uncertain: false });
  });

  it('works on the same item when the reply to its claim is lost', async (context) => {
    const { keep, using, start } = scene(context);
    const server = keep(await Server.start());
    const proxy = keep(await LossyProxy.start(server.port));
    await filled(server, 2);
    const { client } = using(await single(name, proxy.port));
    const queue = new Queue(client, '{q}', { codec: utf8 });
    const seen: string[] = [];
    proxy.cut = { what: /MODQ\.CLAIM/, times: 2 };
    start(
      queue,
      (claim) => {
        seen.push(`${claim.item} ${claim.deliveries}`);
      },
      { lockDuration: 60_000 },
    );
    await until('both to be decided', async () => (await len(server)) === 0);
    expect(proxy.lost).toBe(2);
    expect(seen).toEqual(['i0 1', 'i1 1']);
    expect(await audit(server, EVENTS.events)).toMatchObject({ expired: 0 });
  });

  it('costs no item its place when a waiting connection goes silent', async (context) => {
    const { keep, using, start } = scene(context);
    const server = keep(await Server.start());
    const proxy = keep(await LossyProxy.start(server.port));
    await filled(server, 0);
    const { client } = using(await single(name, proxy.port));
    const queue = new Queue(client, '{q}', { codec: utf8 });
    const { errors } = start(queue, () => {}, { block: 500 });
    await until('a claim to wait', async () => ((await server.ask('MODQ.WAITERS', '{q}')) as unknown[]).length === 1);
    proxy.silent = true;
    await until('the watchdog', () => errors.some((error) => error instanceof TimedOut));
    proxy.silent = false;
    proxy.cutAll();
    await server.ask('MODQ.SUBMIT', '{q}', 'i0', 'text');
    await until('it to be decided', async () => (await len(server)) === 0);
    expect(flaws(await audit(server, EVENTS.events), ids(1))).toEqual([]);
  });

  it('tells its handlers when nobody answers, and closes in time', async (context) => {
    const { keep, using, start } = scene(context);
    const server = keep(await Server.start());
    const proxy = keep(await LossyProxy.start(server.port));
    await filled(server, 1);
    const { client } = using(await single(name, proxy.port));
    const queue = new Queue(client, '{q}', { codec: utf8 });
    const told = gate<unknown>();
    const { worker } = start(queue, async (_, { signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      told.open(signal.reason);
    });
    await until('the item to be claimed', () => worker.active === 1);
    proxy.silent = true;
    expect(await told.promise).toBeInstanceOf(TimedOut);
    await worker.close({ timeout: 100 });
    expect(worker.active).toBe(0);
  });

  it('closes in time when the server is gone', async (context) => {
    const { keep, using, start } = scene(context);
    const server = keep(await Server.start());
    await filled(server, 1);
    const { client } = using(await single(name, server.port));
    const queue = new Queue(client, '{q}', { codec: utf8 });
    const { worker } = start(queue, () => new Promise(() => {}), { lockDuration: 60_000, concurrency: 2 });
    await until('the item to be claimed', () => worker.active === 1);
    await server.kill();
    await worker.close({ timeout: 100 });
  });

  it('leaves the item to others when its handler stood still, and decides nothing then', async (context) => {
    const { keep, using, start } = scene(context);
    const server = keep(await Server.start());
    await filled(server, 1);
    const { client } = using(await single(name, server.port));
    const slow = new Queue(client, '{q}', { codec: utf8 });
    const other = new Queue(client, '{q}', { codec: utf8 });
    const lost: string[] = [];
    const results: unknown[] = [];
    const begun = gate();
    const { worker } = start(
      slow,
      async (claim) => {
        if (claim.deliveries > 1) return;
        // No heartbeat gets out: as if this process had stood still for longer than the lock.
        worker.heartbeats.stop();
        begun.open();
        await until('the lock to be over', async () => (await other.get('i0'))?.state !== 'locked');
        const [mine] = await other.claim('quick');
        results.push(await claim.resolve({ decision: 'late' }).catch((error) => error.code));
        results.push(await mine?.resolve({ decision: 'in time' }));
      },
      { lockDuration: 500 },
    );
    worker.on('lockLost', (claim) => lost.push(claim.item));
    await begun.promise;
    await until('it to be decided', async () => (await len(server)) === 0);
    await until('the late handler to end', () => results.length === 2);
    expect(results).toEqual(['STALE', { status: 'OK', confirmed: true }]);
    expect(lost).toEqual(['i0']);
    expect(flaws(await audit(server, EVENTS.events), ids(1))).toEqual([]);
  });
});

describe.concurrent.each(['redis6', 'ioredis5', 'ioredis6'] as const)('Sentinel, %s', (name) => {
  it('goes on at the new primary', async (context) => {
    const { keep, using, start } = scene(context);
    const all = keep(await Sentinels.start());
    await filled(all.primary, 150);
    await all.primary.ask('WAIT', '1', '0');
    const { client } = using(await sentinelled(name, all));
    const queue = new Queue(client, '{q}', { codec: utf8 });
    let done = 0;
    start(
      queue,
      async () => {
        done++;
        await pause(5);
      },
      { concurrency: 5 },
    );
    await until('30 items to be worked on', () => done >= 30);
    await all.primary.kill();
    await until('the queue to be empty at the new primary', async () => (await len(all.replica)) === 0);
    expect(String(await all.replica.ask('ROLE'))).toMatch(/^master/);
    // Decisions that the old primary took with it were taken again, at most those on their way.
    expect(flaws(await audit(all.replica, EVENTS.events), ids(150))).toEqual([]);
  });
});

describe.concurrent('cluster', () => {
  it.for(CLIENTS)('%s: works, and asks the right node', async (name, context) => {
    const { keep, using } = scene(context);
    const cluster = keep(await Cluster.start());
    const { client } = using(await clustered(name, cluster));
    const queues = ['{a}q', '{b}q', '{c}q'].map((key) => new Queue(client, key, { codec: json<number>() }));
    for (const queue of queues) {
      await queue.configure({ events: `{${queue.key[1]}}:events` });
      for (let i = 0; i < 20; i++) await queue.submit(`i${i}`, i);
      expect(await queue.len()).toBe(20);
    }
    for (const queue of queues) {
      const worker = queue.worker(() => {}, { moderator: 'bot', concurrency: 3, block: 500 });
      void worker.run();
      context.onTestFinished(() => worker.close({ timeout: 0 }));
    }
    for (const queue of queues) await until('all to be decided', async () => (await queue.stats()).resolved === 20);
    const moved = await Promise.all(cluster.nodes.map((node) => node.ask('INFO', 'errorstats')));
    const count = moved.map((info) => Number(/errorstat_MOVED:count=(\d+)/.exec(String(info))?.[1] ?? 0));
    expect(count.reduce((a, b) => a + b)).toBe(0);
  });
});
