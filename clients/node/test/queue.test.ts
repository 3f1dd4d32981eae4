// Each method of Queue, on every client library and, with the newest, on every server.
import { describe, expect, it } from 'vitest';
import { Excluded, Exists, Full, InvalidArgument, json, NoItem, Paused, Queue, Stale, utf8, WrongType } from '../src/index.js';
import { MATRIX } from './kit/clients.js';
import { roomFor } from './kit/room.js';

describe.each(MATRIX)('%s on %s', (name, kind) => {
  const room = roomFor(name, kind);
  let n = 0;
  const fresh = () => new Queue(room.made.client, `q${n++}`, { codec: utf8 });

  it('submits', async () => {
    const queue = fresh();
    expect(await queue.submit('a', 'text', { priority: 2, boost: 5, tags: ['en'], exclude: ['bob'] })).toBe('READY');
    expect(await queue.submit('a', 'text')).toBe('EXISTS');
    expect(await queue.submit('a', '', { onDup: 'BUMP', priority: 3 })).toBe('BUMPED');
    expect(await queue.submit('a', 'new', { onDup: 'REPLACE' })).toBe('REPLACED');
    expect(await queue.submit('b', 'text', { delay: 100_000 })).toBe('DELAYED');
    await expect(queue.submit('a', '', { onDup: 'ERROR' })).rejects.toBeInstanceOf(Exists);
    const before = Date.now();
    const item = await queue.get('a');
    expect(item).toMatchObject({
      item: 'a',
      state: 'ready',
      payload: 'new',
      priority: 3,
      boost: 5,
      rev: 3,
      reports: 2,
      deliveries: 0,
      expiries: 0,
      moderator: null,
      token: null,
      deadline: null,
      due: null,
      tags: ['en'],
      excluded: ['bob'],
    });
    expect(Math.abs((item?.submitted.getTime() ?? 0) - before)).toBeLessThan(60_000);
    expect((await queue.get('b'))?.due?.getTime()).toBeGreaterThan(before);
    expect(await queue.get('nobody')).toBeNull();
  });

  it('claims and decides', async () => {
    const queue = fresh();
    await queue.submit('a', 'text');
    const [claim] = await queue.claim('alice', { lock: 60_000 });
    expect(claim).toMatchObject({ item: 'a', payload: 'text', priority: 0, deliveries: 1, rev: 1, moderator: 'alice', lost: false });
    expect(claim?.raw).toEqual(Buffer.from('text'));
    const said = JSON.parse(JSON.stringify(claim));
    expect(said).toMatchObject({ item: 'a', moderator: 'alice', token: claim?.token, submitted: claim?.submitted.toJSON() });
    expect(said).not.toHaveProperty('raw');
    expect(Number.isSafeInteger(claim?.token)).toBe(true);
    expect(await queue.claim('bob')).toEqual([]);
    expect((await queue.held('alice')).map(({ token }) => token)).toEqual([claim?.token]);
    const deadline = await claim?.extend(120_000);
    expect(deadline?.getTime()).toBeGreaterThan((claim?.submitted.getTime() ?? 0) + 100_000);
    await expect(queue.resolve('a', 12345)).rejects.toBeInstanceOf(Stale);
    expect(await claim?.resolve({ decision: 'spam', rev: claim.rev })).toEqual({ status: 'OK', confirmed: true });
    expect(claim?.ended).toBe('resolved');
    await expect(queue.resolve('a', claim?.token ?? 0)).rejects.toBeInstanceOf(NoItem);
  });

  it('gives back', async () => {
    const queue = fresh();
    await queue.submit('a', 'text');
    const [first] = await queue.claim('alice');
    expect(await first?.release({ skip: true })).toEqual({ confirmed: true });
    expect(await queue.claim('alice')).toEqual([]);
    expect(await queue.why('a', 'alice')).toEqual(['excluded']);
    const [second] = await queue.claim('bob');
    await queue.release('a', second?.token ?? 0, { delay: 60_000 });
    expect(await queue.len('delayed')).toBe(1);
    await expect(second?.extend(1000)).rejects.toBeInstanceOf(Stale);
    expect(second?.lost).toBe(true);
  });

  it('waits on a connection of its own', async () => {
    const queue = fresh();
    expect(await queue.claim('alice', { block: 10 })).toEqual([]);
    const waiting = queue.claim('alice', { block: 0, tags: ['en'] });
    while ((await queue.waiters()).length === 0) await new Promise(setImmediate);
    expect(await queue.waiters()).toMatchObject([{ moderator: 'alice', kind: 'blocked', tags: ['en'] }]);
    expect(await queue.submit('a', 'text')).toBe('ASSIGNED');
    expect((await waiting)[0]?.item).toBe('a');
    const stop = new AbortController();
    const given = queue.claim('bob', { block: 0, signal: stop.signal });
    while ((await queue.waiters()).length === 0) await new Promise(setImmediate);
    stop.abort();
    await expect(given).rejects.toMatchObject({ code: 'CONNECTION' });
    while ((await queue.waiters()).length > 0) await new Promise(setImmediate);
    queue.close();
  });

  it('claims from several queues', async () => {
    const [one, two] = [fresh(), fresh()];
    await two.submit('a', 'text');
    const got = await Queue.mclaim([one, two], 'alice', { lock: 60_000 });
    expect(got?.queue).toBe(two);
    expect(got?.claims[0]?.item).toBe('a');
    expect(await got?.claims[0]?.resolve()).toMatchObject({ status: 'OK' });
    expect(await Queue.mclaim([one, two], 'alice', { block: 5 })).toBeNull();
    one.close();
  });

  it('keeps a line of moderators', async () => {
    const queue = fresh();
    expect(await queue.join('alice', { ttl: 60_000, tags: ['en', 'spam'], count: 1 })).toBe('WAITING');
    expect(await queue.waiters({ count: 5 })).toMatchObject([{ moderator: 'alice', kind: 'joined', tags: ['en', 'spam'] }]);
    expect(await queue.submit('a', 'text', { tags: ['spam'] })).toBe('ASSIGNED');
    expect(await queue.join('alice')).toBe('ASSIGNED');
    expect(await queue.leave('alice', { release: true })).toBe(false);
    expect(await queue.len('ready')).toBe(1);
  });

  it('moves, assigns, updates, cancels', async () => {
    const [one, two] = [fresh(), fresh()];
    await one.submit('a', 'text');
    const token = await one.assign('a', 'carol', { lock: 60_000 });
    await expect(one.assign('a', 'dave')).rejects.toBeInstanceOf(Stale);
    await expect(one.move(two.key, 'a')).rejects.toBeInstanceOf(Stale);
    await one.move(two.key, 'a', { token, priority: 5 });
    expect(await two.peek({ count: 3 })).toEqual(['a']);
    expect(await two.update('a', { payload: 'other', priority: 7, tags: ['x'], exclude: ['bob'] })).toBe(3);
    expect(await two.update('a', { rev: 1, priority: 8 })).toBeNull();
    await expect(two.assign('a', 'bob')).rejects.toBeInstanceOf(Excluded);
    expect(await two.peek({ for: 'alice', tags: ['x'] })).toEqual(['a']);
    expect(await two.cancel('a', { rev: 1 })).toBe(false);
    expect(await two.cancel('a')).toBe(true);
    await expect(two.update('a', { priority: 1 })).rejects.toBeInstanceOf(NoItem);
  });

  it('pauses, revives, lists', async () => {
    const queue = fresh();
    await queue.configure({ maxExpiries: 1, maxLen: 3, late: 'accept' });
    await queue.pause('IN');
    await expect(queue.submit('a', 'text')).rejects.toBeInstanceOf(Paused);
    await queue.unpause();
    for (const id of ['a', 'b', 'c']) await queue.submit(id, 'text', { priority: 1 });
    await expect(queue.submit('d', 'text')).rejects.toBeInstanceOf(Full);
    await queue.claim('alice', { count: 2, lock: 1 });
    while ((await queue.len('dead')) < 2) await new Promise(setImmediate);
    expect(await queue.revive(['a', 'nobody'])).toBe(1);
    expect(await queue.reviveAll({ count: 10 })).toBe(1);
    expect(await queue.position('b')).toBe(2);
    const page = await queue.list('ready', { count: 2 });
    expect(page.rows.map(({ item }) => item)).toEqual(['a', 'b']);
    expect(page.cursor).not.toBe('0');
    const all: string[] = [];
    for await (const row of queue.scan('ready', { count: 2 })) all.push(row.item);
    expect(all).toEqual(['a', 'b', 'c']);
    const stats = await queue.stats();
    expect(stats).toMatchObject({ ready: 3, died: 2, paused: 'none', byPriority: new Map([[1, 3]]), byTag: new Map() });
    expect(stats.waitMsP50).toBeTypeOf('number');
    expect(await queue.settings()).toMatchObject({ maxExpiries: 1, maxLen: 3, late: 'accept', lock: 300_000, events: '' });
  });

  it('says what is wrong', async () => {
    const queue = fresh();
    await expect(queue.submit('', 'text')).rejects.toBeInstanceOf(InvalidArgument);
    await expect(queue.extend('a', 1.5, 10)).rejects.toBeInstanceOf(InvalidArgument);
    await room.server.ask('SET', 'other', 'type');
    await expect(new Queue(room.made.client, 'other').len()).rejects.toBeInstanceOf(WrongType);
  });

  it('carries any bytes and any JSON', async () => {
    const bytes = Buffer.from([0, 255, 13, 10, 128]);
    const binary = new Queue(room.made.client, 'binary', { idEncoding: 'latin1' });
    await binary.submit('\u00ff\u0000', bytes, { tags: ['\u0080'] });
    const [claim] = await binary.claim('\u00fe', { tags: ['\u0080'] });
    expect(claim).toMatchObject({ item: '\u00ff\u0000', payload: bytes });
    expect(await binary.get('\u00ff\u0000')).toMatchObject({ moderator: '\u00fe', tags: ['\u0080'] });
    const objects = new Queue(room.made.client, 'json', { codec: json<{ n: number }>() });
    await objects.submit('a', { n: 1 });
    expect((await objects.claim('alice'))[0]?.payload).toEqual({ n: 1 });
  });
});
