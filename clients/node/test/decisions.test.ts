// Verdicts, quorum, batches and the small things beside them, on every client library and, with the newest, on every server.
import { describe, expect, it } from 'vitest';
import {
  Changed,
  type Claim,
  EventLog,
  Excluded,
  Exists,
  Fold,
  Full,
  InvalidArgument,
  type ModqError,
  NoItem,
  Paused,
  Queue,
  type Quorum,
  Stale,
  utf8,
} from '../src/index.js';
import { MATRIX } from './kit/clients.js';
import { expectFolded, history } from './kit/folded.js';
import { roomFor } from './kit/room.js';

describe.each(MATRIX)('%s on %s', (name, kind) => {
  const room = roomFor(name, kind);
  let queue: Queue<string>;
  let stream: string;
  let n = 0;

  const fresh = async (settings: object = {}) => {
    queue = new Queue(room.made.client, `q${n++}`, { codec: utf8 });
    stream = `${queue.key}:events`;
    await queue.configure({ events: stream, eventsMaxLen: 0, ...settings });
  };
  const take = async (moderator: string, tags: string[] = []) => {
    const [claim] = await queue.claim(moderator, { tags, lock: 60_000 });
    return claim as Claim<string>;
  };
  const vote = async (moderator: string, verdict: string, tags: string[] = []) =>
    (await (await take(moderator, tags)).resolve({ verdict })).status;

  it('ends an item that enough agree on', async () => {
    await fresh({ quorum: [2, 3], splitTag: 'senior' });
    expect(await queue.settings()).toMatchObject({ quorum: [2, 3], splitTag: 'senior', retain: 0, retainMax: 100_000 });
    await queue.submit('a', 'text');
    expect(await vote('ann', 'keep')).toBe('VOTED');
    const item = await queue.get('a');
    expect(item).toMatchObject({ state: 'ready', quorum: [2, 3], votes: [{ moderator: 'ann', verdict: 'keep' }], contested: false });
    expect(item?.votes[0]?.at.getTime()).toBeGreaterThanOrEqual(item?.submitted.getTime() ?? 0);
    expect(await queue.stats()).toMatchObject({ votes: 1, splits: 0, voting: 1, contested: 0, resolved: 0 });
    // Nobody is given what they voted on.
    expect(await queue.claim('ann')).toEqual([]);
    expect(await queue.why('a', 'ann')).toEqual(['voted']);
    await expect(queue.assign('a', 'ann')).rejects.toBeInstanceOf(Excluded);
    await expectFolded(queue, stream);
    expect(await vote('bob', 'keep')).toBe('OK');
    expect(await queue.get('a')).toBeNull();
    expect(await queue.stats()).toMatchObject({ votes: 1, voting: 0, resolved: 1 });
    await expectFolded(queue, stream);
  });

  it('hands a split to those with the tag, whose verdict ends it', async () => {
    await fresh({ quorum: [2, 2], splitTag: 'senior' });
    await queue.submit('a', 'text');
    expect(await vote('ann', 'keep')).toBe('VOTED');
    expect(await vote('bob', 'remove')).toBe('SPLIT');
    expect(await queue.get('a')).toMatchObject({ state: 'ready', contested: true, tags: ['senior'], votes: [{}, {}] });
    expect(await queue.stats()).toMatchObject({ splits: 1, voting: 0, contested: 1 });
    expect(await queue.claim('cat')).toEqual([]);
    expect(await queue.why('a', 'bob', { tags: ['senior'] })).toEqual(['voted']);
    await expectFolded(queue, stream);
    expect(await vote('cat', 'remove', ['senior'])).toBe('OK');
    await expectFolded(queue, stream);
  });

  it('leaves a split without a tag dead, until it is voted on anew', async () => {
    await fresh({ quorum: [2, 2] });
    await queue.submit('a', 'text');
    await vote('ann', 'keep');
    expect(await vote('bob', 'remove')).toBe('SPLIT');
    expect(await queue.get('a')).toMatchObject({ state: 'dead', contested: true });
    expect((await queue.stats()).died).toBe(0);
    expect(await queue.reviveAll()).toBe(0);
    expect(await queue.revive(['a'], { by: 'boss' })).toBe(1);
    expect(await queue.get('a')).toMatchObject({ state: 'ready', contested: false, votes: [] });
    await expectFolded(queue, stream);
    // A split is a named person's to end, too.
    await vote('ann', 'keep');
    await vote('bob', 'remove');
    const token = await queue.assign('a', 'boss');
    expect(await queue.resolve('a', token, { verdict: 'keep' })).toEqual({ status: 'OK' });
    await expectFolded(queue, stream);
  });

  it('voids votes on what changed, and moves those on what did not', async () => {
    await fresh({ quorum: [2, 3] });
    await queue.submit('a', 'text');
    await vote('ann', 'keep');
    await queue.update('a', { payload: 'other', by: 'author' });
    expect(await queue.get('a')).toMatchObject({ votes: [], quorum: [2, 3] });
    await vote('ann', 'keep');
    await expectFolded(queue, stream);
    const other = new Queue(room.made.client, `${queue.key}:other`, { codec: utf8 });
    await other.configure({ events: stream, eventsMaxLen: 0 });
    await queue.move(other, 'a', { by: 'boss' });
    expect(await other.get('a')).toMatchObject({ quorum: [2, 3], votes: [{ moderator: 'ann', verdict: 'keep' }] });
    const fold = await expectFolded(other, stream);
    await expectFolded(queue, stream, Fold.from(JSON.parse(JSON.stringify(fold))));
  });

  it('counts votes anew when the quorum changes', async () => {
    await fresh();
    for (const item of ['a', 'b']) {
      await queue.submit(item, 'text', { quorum: [3, 5] });
      await vote('ann', 'keep');
      await queue.update('b', { priority: -1 }).catch(() => {}); // so that the next is a again
    }
    await queue.cancel('b');
    expect(await vote('bob', 'remove')).toBe('VOTED');
    await queue.update('a', { quorum: [2, 2] });
    expect(await queue.get('a')).toMatchObject({ contested: true, state: 'dead', quorum: [2, 2] });
    // That split came of no vote.
    expect(await queue.stats()).toMatchObject({ votes: 3, splits: 1 });
    await expectFolded(queue, stream);
    await queue.submit('c', 'text', { quorum: [2, 3] });
    await vote('ann', 'keep');
    await queue.update('c', { quorum: [1, 1] });
    expect(await queue.get('c')).toBeNull();
    const fold = await expectFolded(queue, stream);
    expect(fold.queues.get(queue.key)?.items.get('a')).toMatchObject({ quorum: [2, 2] as Quorum, contested: true });
  });

  it('answers a vote that is sent again as it did', async () => {
    await fresh({ quorum: [2, 3] });
    await queue.submit('a', 'text');
    const claim = await take('ann');
    await expect(queue.resolve('a', claim.token)).rejects.toBeInstanceOf(InvalidArgument);
    expect(await queue.resolve('a', claim.token, { verdict: 'keep', decision: 'why not' })).toEqual({ status: 'VOTED' });
    expect(await queue.resolve('a', claim.token, { verdict: 'keep' })).toEqual({ status: 'VOTED' });
    await expect(queue.resolve('a', claim.token, { verdict: 'remove' })).rejects.toBeInstanceOf(Stale);
    const events = await history(room.server, queue, stream);
    expect(events.map(({ ev }) => ev)).toEqual(['submit', 'claim', 'vote']);
    expect(events[2]).toMatchObject({ moderator: 'ann', token: claim.token, verdict: 'keep', decision: 'why not', state: 'ready' });
  });

  it('submits, decides and extends many at once', async () => {
    await fresh({ maxLen: 4 });
    await queue.submit('a', 'text', { quorum: [2, 2] });
    const pairs = ['a', 'b', 'c', 'd', 'e'].map((item) => [item, `text ${item}`] as const);
    const [a, b, , , e] = await queue.submitMany(pairs, { onDup: 'ERROR', priority: 1 });
    expect([a, b, e]).toEqual([expect.any(Exists), 'READY', expect.any(Full)]);
    const claims = await queue.claim('ann', { count: 3 });
    expect(claims.map(({ item, payload }) => `${item} ${payload}`)).toEqual(['b text b', 'c text c', 'd text d']);
    const [one, two, three] = claims as [Claim<string>, Claim<string>, Claim<string>];
    const nobody = { item: 'nobody', token: 1, rev: 1 };
    const extended = await queue.extendMany(600_000, [one, { ...two, item: 'c', token: 5 }, nobody]);
    expect((extended[0] as Date).getTime()).toBeGreaterThan(one.deadline.getTime());
    expect(extended.slice(1)).toEqual([expect.any(Stale), expect.any(NoItem)]);
    await queue.update('c', { payload: 'other' });
    const decided = await queue.resolveMany([one, two, nobody], { checkRevs: true, verdict: 'keep', decision: 'fine' });
    expect(decided).toEqual(['OK', expect.any(Changed), expect.any(NoItem)]);
    const first = await take('bob');
    expect(first.item).toBe('a');
    const mixed = await queue.resolveMany([first, three]);
    expect([(mixed[0] as ModqError).code, mixed[1]]).toEqual(['ERR', 'OK']); // a needs a verdict
    expect(await queue.resolveMany([first], { verdict: 'keep' })).toEqual(['VOTED']);
    expect((await history(room.server, queue, stream)).filter(({ ev }) => ev === 'resolve')).toMatchObject([
      { item: 'b', moderator: 'ann', verdict: 'keep', decision: 'fine' },
      { item: 'd', moderator: 'ann' },
    ]);
    await queue.pause('IN');
    await expect(queue.submitMany(pairs)).rejects.toBeInstanceOf(Paused);
    await expect(queue.submitMany([])).rejects.toBeInstanceOf(InvalidArgument);
    await expectFolded(queue, stream);
  });

  it('hands over, bumps by steps, takes reports back, says who did it and why', async () => {
    await fresh();
    await queue.submit('a', 'text', { onDup: 'BUMP', step: 5 });
    for (let i = 0; i < 2; i++) expect(await queue.submit('a', 'text', { onDup: 'BUMP', step: 5 })).toBe('BUMPED');
    expect(await queue.get('a')).toMatchObject({ priority: 10, reports: 3 });
    await expect(queue.submit('a', 'text', { step: 5 })).rejects.toBeInstanceOf(InvalidArgument);
    await queue.update('a', { reports: 1, by: 'boss' });
    expect((await queue.get('a'))?.reports).toBe(1);
    const claim = await take('ann');
    await expect(queue.assign('a', 'bob', { token: claim.token + 1 })).rejects.toBeInstanceOf(Stale);
    const token = await queue.assign('a', 'bob', { token: claim.token, lock: 60_000, by: 'boss' });
    await expect(claim.resolve()).rejects.toBeInstanceOf(Stale);
    expect((await queue.held('bob')).map((held) => held.token)).toEqual([token]);
    await expectFolded(queue, stream);
    await queue.cancel('a', { reason: 'deleted by its author', by: 'ann' });
    const events = await history(room.server, queue, stream);
    expect(events.map(({ ev, by, reason }) => [ev, by, reason])).toEqual([
      ['submit', undefined, undefined],
      ...Array(2).fill(['bump', undefined, undefined]),
      ['update', 'boss', undefined],
      ['claim', undefined, undefined],
      ['release', 'boss', undefined],
      ['assign', 'boss', undefined],
      ['cancel', 'ann', 'deleted by its author'],
    ]);
    await expectFolded(queue, stream);
  });

  it('tells how long things took', async () => {
    await fresh({ quorum: [2, 2] });
    await queue.submit('a', 'text', { tags: ['en'], priority: 3 });
    const brief = await queue.stats({ brief: true });
    expect(brief).toMatchObject({ ready: 1, byTag: new Map(), byPriority: new Map(), waitMsSum: 0, handleMsSum: 0, eventsMissed: 0 });
    expect(await queue.stats()).toMatchObject({ byTag: new Map([['en', 1]]), byPriority: new Map([[3, 1]]) });
    const claim = await take('ann', ['en']);
    const locked = claim.deadline.getTime() - 60_000;
    while (Date.now() - locked < 5) await new Promise(setImmediate);
    await claim.resolve({ verdict: 'keep' });
    await vote('bob', 'keep', ['en']);
    const stats = await queue.stats();
    const hour = 3_600_000;
    const bounds = [1000, 5000, 15_000, 30_000, 60_000, 120_000, 300_000, 900_000, 1_800_000, hour, 4 * hour, 12 * hour, 24 * hour];
    for (const [histogram, count] of [
      [stats.waitMsHistogram, 1], // for its first claim
      [stats.handleMsHistogram, 2], // each vote or decision ended a lock
    ] as const) {
      expect(histogram.map(({ ms }) => ms)).toEqual([...bounds, Number.POSITIVE_INFINITY]);
      expect(histogram.at(-1)?.count).toBe(count);
    }
    expect(stats.handleMsSum).toBeGreaterThan(0);
  });
  it('tells how many events nobody read in time', async () => {
    await fresh({ eventsMaxLen: 100 });
    await new EventLog(room.made.client, stream).createGroup('slow');
    await queue.submit('first', 'text');
    expect((await queue.stats({ brief: true })).eventsMissed).toBe(0);
    await queue.submitMany(Array.from({ length: 1000 }, (_, i) => [`i${i}`, 'text'] as const));
    expect((await queue.stats({ brief: true })).eventsMissed).toBeGreaterThan(0);
  });
});
