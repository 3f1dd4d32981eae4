// What is remembered of decided items, on every client library and, with the newest, on every server.
import { describe, expect, it } from 'vitest';
import {
  type Claim,
  type Decision,
  Excluded,
  Fold,
  type KnownRecord,
  NoItem,
  Queue,
  type QueueEvent,
  ShardedQueue,
  Stale,
  type SubmitOptions,
  utf8,
} from '../src/index.js';
import { CLIENTS, MATRIX, single } from './kit/clients.js';
import { expectFolded, history } from './kit/folded.js';
import { LossyProxy } from './kit/proxy.js';
import { roomFor } from './kit/room.js';
import { Server } from './kit/servers.js';
import { until } from './kit/wait.js';

const HOUR = 3_600_000;

describe.each(MATRIX)('%s on %s', (name, kind) => {
  const room = roomFor(name, kind);
  let queue: Queue<string>;
  let stream: string;
  let n = 0;

  const fresh = async (settings: object = {}) => {
    queue = new Queue(room.made.client, `q${n++}`, { codec: utf8 });
    stream = `${queue.key}:events`;
    await queue.configure({ events: stream, eventsMaxLen: 0, retain: HOUR, ...settings });
  };
  const decide = async (moderator: string, verdict: string) => {
    const [claim] = await queue.claim(moderator, { lock: 60_000 });
    expect(await claim?.resolve({ verdict })).toMatchObject({ confirmed: true });
    return claim as Claim<string>;
  };
  /** Expects that folding tells the records that the server has. */
  const expectRemembered = async (...items: string[]) => {
    const fold = await expectFolded(queue, stream, new Fold({ retain: HOUR }));
    const asked = new Map<string, KnownRecord>();
    for (const id of items) {
      const { item, expires, ...known } = (await queue.decided(id)) ?? { item: 'none', expires: new Date(0), decided: new Date(0) };
      expect([item, expires.getTime()]).toEqual([id, known.decided.getTime() + HOUR]);
      asked.set(id, known as KnownRecord);
    }
    expect(fold.queues.get(queue.key)?.records).toEqual(asked);
    expect((await queue.stats()).decided).toBe(items.length);
    const saved = Fold.from(JSON.parse(JSON.stringify(fold)));
    expect(saved).toEqual(fold);
  };

  it('remembers what was decided, by whom and how', async () => {
    await fresh({ quorum: [2, 3] });
    expect(await queue.settings()).toMatchObject({ retain: HOUR, retainMax: 100_000 });
    await queue.submit('a', 'text');
    await queue.submit('a', 'text', { onDup: 'BUMP' });
    expect(await queue.decided('a')).toBeNull();
    await decide('ann', 'keep');
    await decide('bob', 'remove');
    const last = await decide('cat', 'keep');
    expect(await queue.decided('a')).toMatchObject({
      item: 'a',
      verdict: 'keep',
      token: last.token,
      rev: last.rev,
      submitted: last.submitted,
      reports: 2,
      moderators: ['ann', 'bob', 'cat'],
    });
    await queue.submit('b', 'text', { quorum: [1, 1] });
    const [claim] = await queue.claim('ann');
    await claim?.resolve();
    expect(await queue.decided('b')).toMatchObject({ verdict: '', moderators: ['ann'] });
    await expectRemembered('a', 'b');
  });

  it('submits what was decided as it is told to', async () => {
    await fresh();
    await queue.submit('a', 'text');
    await decide('ann', 'keep');
    const submit = (payload: string, onDecided?: SubmitOptions['onDecided']) => queue.submit('a', payload, { onDecided });
    expect(await submit('other')).toBe('DECIDED');
    expect(await submit('other', 'COUNT')).toBe('DECIDED');
    expect((await queue.decided('a'))?.reports).toBe(2);
    expect(await submit('text', 'CHANGED')).toBe('DECIDED');
    expect(await queue.len()).toBe(0);
    await expectRemembered('a');
    expect(await submit('other', 'CHANGED')).toBe('READY');
    await decide('bob', 'remove');
    expect(await queue.decided('a')).toMatchObject({ verdict: 'remove', reports: 1, moderators: ['bob'] });
    expect(await submit('other', 'AGAIN')).toBe('READY');
    await decide('bob', 'keep');
    await expectRemembered('a');
    const batch = await queue.submitMany(
      [
        ['a', 'other'],
        ['b', 'text'],
      ],
      { onDecided: 'COUNT' },
    );
    expect(batch).toEqual(['DECIDED', 'READY']);
    expect((await history(room.server, queue, stream)).filter(({ ev }) => ev === 'report')).toMatchObject([
      { item: 'a', reports: 2 },
      { item: 'a', reports: 2 },
    ]);
    await expectRemembered('a');
  });

  it('takes an appeal to somebody else', async () => {
    await fresh();
    await expect(queue.submit('a', 'text', { onDecided: 'APPEAL' })).rejects.toBeInstanceOf(NoItem);
    await queue.submit('a', 'text');
    await decide('ann', 'remove');
    expect(await queue.submit('a', 'please', { onDecided: 'APPEAL' })).toBe('READY');
    expect(await queue.get('a')).toMatchObject({ deciders: ['ann'], excluded: [] });
    expect(await queue.claim('ann')).toEqual([]);
    expect(await queue.why('a', 'ann')).toEqual(['decider']);
    await expect(queue.assign('a', 'ann')).rejects.toBeInstanceOf(Excluded);
    await expectRemembered('a');
    await decide('bob', 'keep');
    await queue.submit('a', 'again', { onDecided: 'APPEAL' });
    expect((await queue.get('a'))?.deciders.sort()).toEqual(['ann', 'bob']);
    const other = new Queue(room.made.client, `${queue.key}:other`, { codec: utf8 });
    await other.configure({ events: stream, eventsMaxLen: 0 });
    await queue.move(other, 'a');
    expect(await other.why('a', 'ann')).toEqual(['decider']);
    await expectFolded(other, stream);
  });

  it('answers a decision that is sent again, and no other', async () => {
    await fresh();
    await queue.submit('a', 'text');
    const { token } = await decide('ann', 'keep');
    expect(await queue.resolve('a', token, { verdict: 'keep' })).toEqual({ status: 'OK' });
    await expect(queue.resolve('a', token, { verdict: 'remove' })).rejects.toBeInstanceOf(Stale);
    expect(await queue.resolveMany([{ item: 'a', token }], { verdict: 'keep' })).toEqual(['OK']);
    expect((await queue.stats()).resolved).toBe(1);
    await expectRemembered('a');
  });

  it('forgets when told, when time is over, and when there are too many', async () => {
    await fresh({ retainMax: 2 });
    for (const item of ['a', 'b', 'c']) {
      await queue.submit(item, 'text');
      await decide('ann', 'keep');
    }
    expect(await queue.decided('a')).toBeNull();
    expect(await queue.stats()).toMatchObject({ decided: 2, recordsEvicted: 1 });
    expect(await queue.forget(['b', 'nobody'], { by: 'dpo' })).toBe(1);
    expect(await queue.decided('b')).toBeNull();
    expect((await history(room.server, queue, stream)).at(-1)).toMatchObject({ ev: 'forget', item: 'b', by: 'dpo' });
    // Of what was evicted or ran out no event tells: the fold goes by the times of the events alone.
    const fold = await expectFolded(queue, stream, new Fold({ retain: HOUR }));
    expect([...(fold.queues.get(queue.key)?.records.keys() ?? [])]).toEqual(['a', 'c']);
    await queue.configure({ retain: 1 });
    while (await queue.decided('c')) await new Promise(setImmediate);
    expect(await queue.submit('c', 'text')).toBe('READY');
    const short = new Fold({ retain: 1 });
    const told = await history(room.server, queue, stream);
    for (const event of told) short.apply(event);
    const [last] = told.slice(-1);
    short.apply({ ...(last as QueueEvent), ev: 'bump', at: new Date((last?.at.getTime() ?? 0) + 10) });
    expect(short.queues.get(queue.key)?.records.size).toBe(0);
  });
});

describe.each(CLIENTS)('a worker on %s', (name) => {
  it('knows that its decision counted though its reply was lost', async ({ onTestFinished }) => {
    const server = await Server.start();
    onTestFinished(() => server.stop());
    const proxy = await LossyProxy.start(server.port);
    onTestFinished(() => proxy.stop());
    const made = await single(name, proxy.port);
    onTestFinished(() => made.close());
    const queue = new ShardedQueue(made.client, 'q', { shards: 1, codec: utf8 });
    await queue.configure({ retain: HOUR });
    for (const item of ['a', 'b']) await queue.submit(item, 'text');
    const decisions = new Map<string, Decision>();
    proxy.cut = { what: /MODQ\.RESOLVE/, times: 2 };
    const worker = queue.worker(() => ({ verdict: 'keep' }), { moderator: 'bot', lockDuration: 60_000 });
    onTestFinished(() => worker.close({ timeout: 0 }));
    worker.on('resolved', (claim, decision) => decisions.set(claim.item, decision));
    void worker.run();
    await until('both to be decided', () => decisions.size === 2);
    expect(proxy.lost).toBe(2);
    expect([...decisions.values()]).toEqual(Array(2).fill({ status: 'OK', confirmed: true }));
    expect(await queue.decided('a')).toMatchObject({ verdict: 'keep' });
    expect((await queue.stats())[0]).toMatchObject({ resolved: 2, decided: 2 });
  });
});
