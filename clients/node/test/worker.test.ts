// The worker on every client library, with a server that stays well.
import { afterEach, describe, expect, it } from 'vitest';
import { type Claim, NoItem, Queue, utf8, type Worker, type WorkerOptions, WrongType } from '../src/index.js';
import { CLIENTS } from './kit/clients.js';
import { roomFor } from './kit/room.js';
import { gate, until } from './kit/wait.js';

describe.each(CLIENTS)('%s', (name) => {
  const room = roomFor(name);
  let queue: Queue<string>;
  let workers: Worker<string>[] = [];
  let n = 0;
  afterEach(async () => {
    await Promise.all(workers.map((worker) => worker.close({ timeout: 0 })));
    workers = [];
  });

  const fresh = () => {
    queue = new Queue(room.made.client, `q${n++}`, { codec: utf8 });
    return queue;
  };
  const start = (handler: Worker<string>['handler'], options: Partial<WorkerOptions> = {}) => {
    const worker = queue.worker(handler, { moderator: 'bot', ...options });
    workers.push(worker);
    return { worker, running: worker.run() };
  };
  const submit = async (count: number, prefix = 'i') => {
    for (let i = 0; i < count; i++) await queue.submit(`${prefix}${i}`, `text ${i}`);
  };

  it('decides everything, each item once, and never more at a time than told', async () => {
    fresh();
    await submit(50);
    const seen: string[] = [];
    let now = 0;
    let most = 0;
    const { worker } = start(
      async (claim) => {
        most = Math.max(most, ++now);
        seen.push(claim.item);
        await new Promise(setImmediate);
        now--;
        return 'spam';
      },
      { concurrency: 4 },
    );
    await until('the queue to be empty', async () => (await queue.len()) === 0);
    expect(seen.sort()).toEqual(Array.from({ length: 50 }, (_, i) => `i${i}`).sort());
    expect(most).toBeLessThanOrEqual(4);
    expect(await queue.stats()).toMatchObject({ resolved: 50, released: 0, expired: 0 });
    await submit(3, 'later');
    await until('later items to be decided', async () => (await queue.stats()).resolved === 53);
    await worker.close();
    expect(await queue.waiters()).toEqual([]);
  });

  it('waits on one connection, however many slots', async () => {
    fresh();
    const { worker } = start(() => {}, { concurrency: 10 });
    await until('one slot to wait', async () => (await queue.waiters()).length === 1);
    const clients = String(await room.server.ask('CLIENT', 'LIST'));
    expect(clients.split('\n').filter((line) => /cmd=modq.claim/i.test(line) && /flags=\w*b/.test(line))).toHaveLength(1);
    const [waiter] = await queue.waiters();
    expect(waiter?.moderator).toMatch(/^bot:[0-9a-f]{12}:\d$/);
    await worker.close();
  });

  it('gives back what a handler throws at, later each time', async () => {
    fresh();
    await submit(1);
    const delays: number[] = [];
    const failed: unknown[] = [];
    const { worker } = start(
      (claim) => {
        if (claim.deliveries < 3) throw new Error('not yet');
      },
      { retryDelay: (deliveries) => delays.push(deliveries) },
    );
    worker.on('failed', (claim, error) => failed.push([claim.deliveries, (error as Error).message]));
    await until('the item to be decided', async () => (await queue.stats()).resolved === 1);
    expect(failed).toEqual([
      [1, 'not yet'],
      [2, 'not yet'],
    ]);
    expect(delays).toEqual([1, 2]);
    expect((await queue.stats()).released).toBe(2);
  });

  it('moves the deadline while a handler works', async () => {
    fresh();
    await submit(1);
    const { worker } = start(
      async (claim) => {
        const first = claim.deadline.getTime();
        await until('heartbeats to move the deadline', () => claim.lost || claim.deadline.getTime() > first + 400);
      },
      { lockDuration: 20_000, heartbeat: 100 },
    );
    await until('the item to be decided', async () => (await queue.stats()).resolved === 1);
    expect(await queue.stats()).toMatchObject({ expired: 0, died: 0 });
    await worker.close();
  });

  it('tells the handler that its lock is gone, and goes on', async () => {
    fresh();
    await submit(1);
    const began = gate();
    const told = gate<unknown>();
    const { worker } = start(
      async (claim, { signal }) => {
        if (claim.item !== 'i0') return;
        began.open();
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        expect(claim.lost).toBe(true);
        told.open(signal.reason);
      },
      { lockDuration: 20_000, heartbeat: 100 },
    );
    const lost: string[] = [];
    worker.on('lockLost', (claim) => lost.push(claim.item));
    await began.promise;
    await queue.cancel('i0');
    expect(await told.promise).toBeInstanceOf(NoItem);
    await submit(1, 'next');
    await until('the next item to be decided', async () => (await queue.stats()).resolved === 1);
    expect(lost).toEqual(['i0']);
  });

  it('lets the lock of a handler end that holds it too long', async () => {
    fresh();
    await submit(1);
    const told = gate();
    const { worker } = start(
      async (claim, { signal }) => {
        if (claim.deliveries > 1) return;
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        told.open();
        await until('the lock to end', async () => (await queue.stats()).expired === 1);
      },
      { lockDuration: 1000, maxHold: 1100 },
    );
    worker.on('error', () => {});
    await told.promise;
    await until('another to decide it', async () => (await queue.stats()).resolved === 1);
  });

  it('ends: handlers finish, the rest goes back', async () => {
    fresh();
    await submit(3);
    const release = gate();
    const began: Claim<string>[] = [];
    const { worker, running } = start(
      async (claim, { signal }) => {
        began.push(claim);
        if (claim.item === 'i0') return release.promise;
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        throw signal.reason;
      },
      { concurrency: 3 },
    );
    await until('all to have begun', () => began.length === 3);
    const closed = worker.close({ timeout: 2500 });
    release.open();
    await closed;
    await running;
    expect(await queue.len('ready')).toBe(2);
    expect(await queue.stats()).toMatchObject({ resolved: 1, released: 2, locked: 0, waiting: 0 });
    expect(
      began
        .filter((claim) => claim.lost)
        .map(({ item }) => item)
        .sort(),
    ).toEqual(['i1', 'i2']);
  });

  it('ends though a handler never does, and gives its item back', async () => {
    const queue = new Queue(room.made.client, 'endless', { codec: utf8 });
    await queue.submit('a', 'text');
    const worker = queue.worker(() => new Promise<void>(() => {}), { moderator: 'bot' });
    const running = worker.run();
    await until('the item to be in hand', () => worker.active === 1);
    await worker.close({ timeout: 0 });
    await running;
    expect([await queue.len('ready'), await queue.len('locked')]).toEqual([1, 0]);
  });

  it('refuses to begin where it can never work', async () => {
    await room.server.ask('SET', 'wrong', 'type');
    queue = new Queue(room.made.client, 'wrong', { codec: utf8 });
    const { running } = start(() => {});
    await expect(running).rejects.toBeInstanceOf(WrongType);
  });

  it('hands claims to a loop', async () => {
    fresh();
    await submit(5);
    const stop = new AbortController();
    const seen: string[] = [];
    for await (const claim of queue.work('bot', { signal: stop.signal, tags: ['x'] })) {
      seen.push(`${claim.item} ${claim.deliveries}`);
      if (claim.item === 'i1' && claim.deliveries === 1) continue; // undecided: given back
      await claim.resolve();
      if (seen.length === 6) stop.abort();
    }
    expect(seen).toEqual(['i0 1', 'i1 1', 'i1 2', 'i2 1', 'i3 1', 'i4 1']);
    expect(await queue.len()).toBe(0);
    expect(await queue.waiters()).toEqual([]);
  });

  it('hands several claims at a time to a loop, and takes back what is left', async () => {
    fresh();
    await submit(4);
    const held: Claim<string>[] = [];
    for await (const claim of queue.work('bot', { concurrency: 3 })) {
      held.push(claim);
      if (held.length === 3) break;
    }
    expect(await queue.len('ready')).toBe(4);
    expect(held.every((claim) => claim.lost || claim.ended)).toBe(true);
  });
});
