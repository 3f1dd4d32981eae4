// The worker where decisions are votes, and its heartbeats in one command, on every client library.
import { afterEach, describe, expect, it } from 'vitest';
import { type Claim, type Decision, InvalidArgument, Queue, utf8, type Worker, type WorkerOptions } from '../src/index.js';
import { CLIENTS, single } from './kit/clients.js';
import { expectFolded, history } from './kit/folded.js';
import { LossyProxy } from './kit/proxy.js';
import { roomFor } from './kit/room.js';
import { gate, until } from './kit/wait.js';

describe.each(CLIENTS)('%s', (name) => {
  const room = roomFor(name);
  let queue: Queue<string>;
  let cleanups: (() => unknown)[] = [];
  let n = 0;
  afterEach(async () => {
    for (const clean of cleanups.reverse()) await clean();
    cleanups = [];
  });

  const fresh = async (settings: object, items: number, client = room.made.client) => {
    queue = new Queue(client, `q${n++}`, { codec: utf8 });
    await queue.configure({ events: `${queue.key}:events`, eventsMaxLen: 0, ...settings });
    for (let i = 0; i < items; i++) await queue.submit(`i${i}`, 'text');
  };
  const start = (handler: Worker<string>['handler'], options: WorkerOptions) => {
    const worker = queue.worker(handler, { unique: false, block: 1000, ...options });
    cleanups.push(() => worker.close({ timeout: 0 }));
    void worker.run();
    return worker;
  };
  const empty = () => until('the queue to be empty', async () => (await queue.len()) === 0);
  /** Who voted what on each item, in order, the last vote or decision included. */
  const told = async () => {
    const by = new Map<string, string[]>();
    for (const { ev, item, moderator, verdict } of await history(room.server, queue, `${queue.key}:events`)) {
      if (['vote', 'split', 'resolve'].includes(ev)) by.set(item, [...(by.get(item) ?? []), `${ev} ${moderator} ${verdict}`]);
    }
    return by;
  };

  it('lets two workers agree', async () => {
    await fresh({ quorum: [2, 2] }, 20);
    const seen: Record<string, string[]> = { ann: [], bob: [] };
    for (const moderator of ['ann', 'bob']) {
      start(
        (claim) => {
          seen[moderator]?.push(claim.item);
          return { verdict: 'keep' };
        },
        { moderator },
      );
    }
    await empty();
    // Each saw each item, once.
    const ids = Array.from({ length: 20 }, (_, i) => `i${i}`).sort();
    expect([seen.ann?.sort(), seen.bob?.sort()]).toEqual([ids, ids]);
    expect(await queue.stats()).toMatchObject({ resolved: 20, votes: 20, splits: 0, released: 0, expired: 0 });
    await expectFolded(queue, `${queue.key}:events`);
  });

  it('takes a split to a worker that offers the tag', async () => {
    await fresh({ quorum: [2, 2], splitTag: 'senior' }, 4);
    const decisions = new Map<string, string[]>();
    const verdicts: [string, string][] = [
      ['ann', 'keep'],
      ['bob', 'remove'],
    ];
    for (const [moderator, verdict] of verdicts) {
      start(() => ({ verdict }), { moderator }).on('resolved', ({ item }, { status }) => {
        decisions.set(item, [...(decisions.get(item) ?? []), status ?? '']);
      });
    }
    await until('all to be contested', async () => (await queue.stats()).contested === 4);
    await until('both workers to hear of all', () => [...decisions.values()].flat().length === 8);
    for (const heard of decisions.values()) expect(heard.sort()).toEqual(['SPLIT', 'VOTED']);
    start(() => ({ verdict: 'remove', decision: 'the senior says so' }), { moderator: 'cat', tags: ['senior'] });
    await empty();
    for (const story of (await told()).values()) {
      expect(
        story
          .slice(0, 2)
          .map((line) => line.replace(/^\w+ /, ''))
          .sort(),
      ).toEqual(['ann keep', 'bob remove']);
      expect(story[2]).toBe('resolve cat remove');
    }
    await expectFolded(queue, `${queue.key}:events`);
  });

  it('gives the items back of a handler that forgets the verdict', async () => {
    await fresh({ quorum: [2, 2] }, 1);
    const worker = start((claim) => (claim.deliveries === 1 ? 'keep' : { verdict: 'keep' }), { moderator: 'ann', retryDelay: () => 1 });
    const failed: unknown[] = [];
    worker.on('failed', (_, error) => failed.push(error));
    await until('the vote', async () => (await queue.get('i0'))?.votes.length === 1);
    expect(failed).toEqual([expect.any(InvalidArgument)]);
  });

  it('votes once when the reply to its vote is lost', async () => {
    const proxy = await LossyProxy.start(room.server.port);
    const { client, close } = await single(name, proxy.port);
    cleanups.push(() => proxy.stop(), close);
    await fresh({ quorum: [2, 3] }, 1, client);
    proxy.cut = { what: /MODQ\.RESOLVE/, times: 2 };
    const decisions: Decision[] = [];
    start(() => ({ verdict: 'keep' }), { moderator: 'ann' }).on('resolved', (_, decision) => decisions.push(decision));
    await until('the vote', () => decisions.length === 1);
    expect(proxy.lost).toBe(2);
    expect(decisions).toEqual([{ status: 'VOTED', confirmed: true }]);
    expect([...(await told()).values()]).toEqual([['vote ann keep']]);
  });

  it('sends one heartbeat for all it has in hand', async () => {
    await fresh({}, 3);
    const held: Claim<string>[] = [];
    const done = gate();
    const worker = start(
      async (claim) => {
        held.push(claim);
        await done.promise;
      },
      { moderator: 'bot', unique: true, concurrency: 3, lockDuration: 20_000, heartbeat: 100 },
    );
    await until('all to be in hand', () => held.length === 3);
    const times = () => held.map((claim) => claim.deadline.getTime());
    // Only one command gives all of them the same deadline, again and again.
    for (let beats = 0, last = Math.max(...times()); beats < 3; beats++) {
      await until('one heartbeat for all', () => new Set(times()).size === 1 && (times()[0] as number) > last);
      last = times()[0] as number;
    }
    expect(String(await room.server.ask('INFO', 'commandstats'))).toMatch(/cmdstat_modq.mextend:/i);
    // What is cancelled is lost to its handler; the others' heartbeats go on in the same command.
    await queue.cancel('i1');
    await until('the lost one to be told', () => held.some((claim) => claim.lost));
    expect(held.filter((claim) => claim.lost).map(({ item }) => item)).toEqual(['i1']);
    done.open();
    await until('the others to be decided', async () => (await queue.stats()).resolved === 2);
    await worker.close();
  });
});
