// Groups: claims and decisions of items that belong together, on every client library and, with the newest, on every server.
import { describe, expect, it } from 'vitest';
import { type Claim, Queue, utf8 } from '../src/index.js';
import { MATRIX } from './kit/clients.js';
import { expectFolded, history } from './kit/folded.js';
import { roomFor } from './kit/room.js';

describe.each(MATRIX)('%s on %s', (name, kind) => {
  const room = roomFor(name, kind);
  let queue: Queue<string>;
  let stream: string;
  let n = 0;

  /** A queue with one item for each letter: those of `groups` in the group of their name. */
  const fresh = async (groups: Record<string, string>, settings: object = {}) => {
    queue = new Queue(room.made.client, `q${n++}`, { codec: utf8 });
    stream = `${queue.key}:events`;
    await queue.configure({ events: stream, eventsMaxLen: 0, ...settings });
    for (const [group, items] of Object.entries(groups)) for (const item of items) await queue.submit(item, 'text', { group });
  };
  const ids = (claims: readonly { item: string }[]) => claims.map(({ item }) => item).join('');

  it('puts items into groups, out of them, and lists them', async () => {
    await fresh({ author: 'abc' });
    await queue.submit('x', 'text');
    expect((await queue.get('x'))?.group).toBeNull();
    await queue.update('x', { group: 'author' });
    await queue.update('b', { group: '' });
    expect((await queue.get('b'))?.group).toBeNull();
    expect((await queue.get('x'))?.group).toBe('author');
    const [claim] = await queue.claim('ann');
    expect(claim?.item).toBe('a');
    const first = await queue.group('author', { count: 2 });
    expect(first.rows).toMatchObject([
      { item: 'a', state: 'locked', moderator: 'ann', deadline: null, submitted: claim?.submitted },
      { item: 'c', state: 'ready', moderator: null },
    ]);
    expect(first.cursor).not.toBe('0');
    const rest = await queue.group('author', { count: 2, cursor: first.cursor });
    expect([ids(rest.rows), rest.cursor]).toEqual(['x', '0']);
    expect(await queue.group('nobody')).toEqual({ cursor: '0', rows: [] });
    await queue.submit('a', 'text', { onDup: 'REPLACE', group: 'other' });
    expect((await queue.get('a'))?.group).toBe('other');
    const other = new Queue(room.made.client, `${queue.key}:other`, { codec: utf8 });
    await other.configure({ events: stream, eventsMaxLen: 0 });
    await queue.move(other, 'c');
    expect((await other.get('c'))?.group).toBe('author');
    await expectFolded(queue, stream);
    await expectFolded(other, stream);
  });

  it('claims items of one group', async () => {
    await fresh({ one: 'a', two: 'bd' });
    await queue.submit('c', 'text');
    await queue.submit('e', 'text', { group: 'one' });
    const claims = await queue.claim('ann', { count: 5, withGroup: true });
    expect(ids(claims)).toBe('ae');
    expect(new Set(claims.map(({ token }) => token)).size).toBe(2);
    expect(ids(await queue.claim('bob', { count: 5, withGroup: true }))).toBe('bd');
    expect(ids(await queue.claim('cat', { count: 5, withGroup: true }))).toBe('c');
    const got = await Queue.mclaim([queue], 'ann', { count: 5, withGroup: true });
    expect(ids(got?.claims ?? [])).toBe('ae');
  });

  it('decides others of the group with one', async () => {
    await fresh({ author: 'abcd' });
    await queue.submit('e', 'text', { group: 'author', tags: ['minor'] });
    await queue.submit('x', 'text');
    const [bobs] = await queue.claim('bob');
    const [claim] = await queue.claim('ann', { lock: 60_000 });
    expect([bobs?.item, claim?.item]).toEqual(['a', 'b']);
    await queue.submit('f', 'later', { group: 'author' });
    const decision = await (claim as Claim<string>).resolve({ verdict: 'remove', decision: 'spammer', also: { count: 1 } });
    expect(decision).toEqual({ status: 'OK', confirmed: true, also: { decided: 1, left: 4, cursor: expect.not.stringMatching(/^0$/) } });
    expect(ids((await queue.group('author')).rows)).toBe('adef');
    // With the tags it may decide, and on from the cursor; what bob holds and what came later stays.
    const [next] = await queue.claim('ann', { lock: 60_000 });
    expect(next?.item).toBe('d');
    const all = await next?.resolve({ verdict: 'remove', also: { count: 1000, tags: ['minor'] } });
    expect(all?.also).toMatchObject({ decided: 2, left: 1, cursor: '0' });
    expect(ids((await queue.group('author')).rows)).toBe('a');
    const events = (await history(room.server, queue, stream)).filter(({ ev }) => ev === 'resolve');
    expect(events).toMatchObject([
      { item: 'b', moderator: 'ann', token: claim?.token, verdict: 'remove', decision: 'spammer' },
      { item: 'c', moderator: 'ann', token: 0, via: 'b', verdict: 'remove', decision: 'spammer' },
      { item: 'd', token: next?.token },
      { item: 'e', via: 'd' },
      { item: 'f', via: 'd' },
    ]);
    expect((await queue.stats()).resolved).toBe(5);
    const [alone] = await queue.claim('cat');
    expect(await alone?.resolve({ also: { count: 5 } })).toMatchObject({ status: 'OK', also: { decided: 0, left: 0, cursor: '0' } });
    await expectFolded(queue, stream);
  });

  it('votes on others of the group with one', async () => {
    await fresh({ author: 'abc' }, { quorum: [2, 2] });
    for (const [moderator, status] of [
      ['ann', 'VOTED'],
      ['bob', 'OK'],
    ] as const) {
      const [claim] = await queue.claim(moderator, { lock: 60_000 });
      expect(await claim?.resolve({ verdict: 'keep', also: { count: 10 } })).toMatchObject({ status, also: { decided: 2, cursor: '0' } });
      await expectFolded(queue, stream);
    }
    expect(await queue.stats()).toMatchObject({ resolved: 3, votes: 3 });
  });

  it('answers again, with a record, a decision of several that is sent again', async () => {
    await fresh({ author: 'ab' }, { retain: 3_600_000 });
    const [claim] = await queue.claim('ann', { lock: 60_000 });
    await claim?.resolve({ verdict: 'keep', also: { count: 10 } });
    expect(await queue.resolve('a', claim?.token ?? 0, { verdict: 'keep', also: { count: 10 } })).toEqual({
      status: 'OK',
      also: { decided: 0, left: 0, cursor: '0' },
    });
    expect(await queue.decided('b')).toMatchObject({ verdict: 'keep', moderators: ['ann'], token: 0 });
  });

  it('cancels a group, page by page', async () => {
    await fresh({ author: 'abc', other: 'x' });
    await queue.submit('d', 'text', { group: 'author', tags: ['evidence'] });
    await queue.claim('ann');
    const options = { except: ['evidence'], reason: 'account deleted', by: 'boss' };
    const first = await queue.cancelGroup('author', { ...options, count: 2 });
    expect(first).toMatchObject({ cancelled: 2, left: 2 });
    expect(first.cursor).not.toBe('0');
    expect(await queue.cancelGroup('author', { ...options, cursor: first.cursor })).toEqual({ cancelled: 1, left: 1, cursor: '0' });
    expect(ids((await queue.group('author')).rows)).toBe('d');
    expect((await history(room.server, queue, stream)).filter(({ ev }) => ev === 'cancel')).toMatchObject(
      ['a', 'b', 'c'].map((item) => ({ item, reason: 'account deleted', by: 'boss' })),
    );
    expect(await queue.len()).toBe(2);
    await expectFolded(queue, stream);
  });
});
