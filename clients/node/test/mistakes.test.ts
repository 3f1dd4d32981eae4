// What a program gets wrong is told at once and by its name; what nobody waits for any more is not done later.
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { InvalidArgument, json, Limiter, Queue, ShardedQueue, Worker, type WorkerOptions } from '../src/index.js';
import { CLIENTS, single } from './kit/clients.js';
import { roomFor } from './kit/room.js';
import { Server } from './kit/servers.js';
import { PATIENCE, until } from './kit/wait.js';

// biome-ignore lint/suspicious/noExplicitAny: what JavaScript lets pass
const wrong = (value: unknown) => value as any;
const none = () => {};

describe.each(CLIENTS)('%s', (name) => {
  const room = roomFor(name);
  it('is asked for nothing that is not text or bytes', async () => {
    const queue = new Queue(room.made.client, 'q');
    const refused: (() => Promise<unknown>)[] = [
      () => queue.submit(wrong(42), ''),
      () => queue.submit(wrong(undefined), ''),
      () => queue.submit('a', wrong({ text: 'x' })),
      () => queue.submit('a', wrong(5)),
      () => new Queue(room.made.client, 'q', { codec: json() }).submit('a', undefined),
      () => queue.submit('a', '', { tags: wrong('english') }),
      () => queue.submit('a', '', { tags: [wrong(1)] }),
      () => queue.claim(wrong(undefined)),
      () => queue.resolve('a', 1, { decision: wrong({}) }),
      // Another id would come of these.
      () => queue.submit('\ud800', ''),
      () => new Queue(room.made.client, 'q', { idEncoding: 'latin1' }).submit('日本', ''),
      () => new Limiter(room.made.client, { limits: { quota: 1, window: 1000 }, onError: 'open' }).check(wrong(undefined)),
    ];
    for (const ask of refused) await expect(Promise.resolve().then(ask), String(ask)).rejects.toBeInstanceOf(InvalidArgument);
    expect(await queue.len()).toBe(0);
  });

  it('carries the bytes of any array of bytes; null is not given', async () => {
    const queue = new Queue(room.made.client, 'bytes');
    await queue.submit('a', wrong(new Uint8Array([1, 2, 255])), wrong({ priority: null, tags: null, group: null, quorum: null }));
    expect((await queue.get('a'))?.payload).toEqual(Buffer.from([1, 2, 255]));
  });

  it('decides an item whose id is no text, once', async () => {
    await room.server.ask('EVAL', "return redis.call('MODQ.SUBMIT', 'binary', '\\255\\254', '')", '0');
    const queue = new Queue(room.made.client, 'binary');
    let seen = 0;
    const worker = queue.worker(
      async (claim) => {
        seen++;
        await until('a heartbeat', () => claim.deadline.getTime() > claim.submitted.getTime() + 3000 || claim.lost);
        return 'fine';
      },
      { moderator: 'bot', lockDuration: 3000, heartbeat: 50 },
    );
    const running = worker.run();
    await until('the decision', async () => (await queue.len()) === 0);
    await worker.close();
    await running;
    expect(seen).toBe(1);
    expect((await queue.stats()).resolved).toBe(1);
  });

  it('charges nothing afterwards for checks that were given up while the server was away', async () => {
    const options = { limits: { quota: 100, window: 3_600_000 }, onError: 'open', timeout: 50, onFailure: none } as const;
    const limiter = new Limiter(room.made.client, options);
    await limiter.check('u');
    await room.server.kill();
    const client = room.made.client as { isReady?: boolean; status?: string };
    await until('the client to know', () => client.isReady === false || (client.status !== undefined && client.status !== 'ready'));
    for (let i = 0; i < 20; i++) expect((await limiter.check('u')).reason).toBe('error');
    await room.server.up();
    let seen = await limiter.peek('u', { cost: 0 });
    await until('an answer', async () => {
      seen = await limiter.peek('u', { cost: 0 });
      return seen.reason !== 'error';
    });
    expect(seen.remaining).toBe(100);
  });

  it('hears a signal once for all shards, and is closed once', async () => {
    const warnings: string[] = [];
    const heard = (warning: Error) => warnings.push(warning.name);
    process.on('warning', heard);
    const queue = new ShardedQueue(room.made.client, 'sharded', { shards: 12 });
    const worker = queue.worker(none, { moderator: 'bot', signals: ['SIGUSR2'] });
    let closed = 0;
    worker.on('closed', () => closed++);
    const running = worker.run();
    await until('all to wait', async () => (await queue.stats()).every(({ waiting }) => waiting === 1));
    process.emit('SIGUSR2');
    await running;
    await worker.close();
    process.off('warning', heard);
    expect([closed, warnings, process.listenerCount('SIGUSR2')]).toEqual([1, [], 0]);
  });

  it('warns of nothing with many slots', async () => {
    const warnings: string[] = [];
    const heard = (warning: Error) => warnings.push(warning.name);
    process.on('warning', heard);
    await room.server.kill();
    const worker = new Queue(room.made.client, 'q').worker(none, { moderator: 'bot', concurrency: 20, replyTimeout: 50 });
    let failures = 0;
    worker.on('error', () => failures++);
    const running = worker.run();
    await until('all to wait', () => failures >= 40);
    await worker.close({ timeout: 0 });
    await running;
    await sleep(0);
    process.off('warning', heard);
    await room.server.up();
    expect(warnings).toEqual([]);
  });
});

it.each(['ioredis5', 'ioredis6'] as const)('%s: a check waits for a connection that comes back in time', async (name) => {
  const server = await Server.start();
  const { client, close } = await single(name, server.port, { retryStrategy: () => 300 });
  const limiter = new Limiter(client, { limits: { quota: 9, window: 3_600_000 }, onError: 'throw', timeout: PATIENCE });
  await limiter.check('u');
  await server.ask('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  await until('the client to know', () => (client as { status?: string }).status !== 'ready');
  const checks = await Promise.all(Array.from({ length: 3 }, () => limiter.check('u')));
  expect(checks.map(({ remaining }) => remaining)).toEqual([7, 6, 5]);
  close();
  await server.stop();
});

describe('a program', () => {
  const client = { sendCommand: none, connect: none };
  const queue = new Queue(client, 'q');

  it.each<[string, () => unknown]>([
    ['without a client', () => new Queue(wrong(null), 'q')],
    ['with a URL for a client', () => new Queue(wrong('redis://localhost'), 'q')],
    ['without a name', () => new Queue(client, wrong(undefined))],
    ['without a handler', () => queue.worker(wrong(undefined), { moderator: 'bot' })],
    ['without options', () => queue.worker(none, wrong(undefined))],
    ['without a moderator', () => new Worker(queue, none, {} as WorkerOptions)],
    ['that would do nothing', () => queue.worker(none, { moderator: 'bot', concurrency: 0 })],
    [
      'that would do nothing on shards',
      () => new ShardedQueue(client, 'q', { shards: 2 }).worker(none, { moderator: 'bot', concurrency: 0 }),
    ],
  ])('%s is refused', (_, build) => {
    expect(build).toThrow(InvalidArgument);
  });
});
