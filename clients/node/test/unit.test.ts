// Without a server: what is written for the commands of decisions, how replies are read, headers, slots, errors, back-off.
import { describe, expect, it } from 'vitest';
import { addressKey } from '../src/headers.js';
import { Fold, httpAnswer, ModqError, NoItem, Queue, Stale, toModqError, utf8, type Verdict } from '../src/index.js';
import { settle } from '../src/retry.js';
import { channelOf, slotOf } from '../src/slots.js';
import { Backoff } from '../src/time.js';

/** A client that keeps what it is sent and answers what it is told. */
class Fake {
  sent: string[] = [];
  reply: unknown = 'OK';
  connect() {}
  async sendCommand(args: (string | Buffer)[]) {
    this.sent = args.map(String);
    if (this.reply instanceof Error) throw this.reply;
    return this.reply;
  }
}

const setup = () => {
  const fake = new Fake();
  return { fake, queue: new Queue(fake, 'q', { codec: utf8 }) };
};
const line = (fake: Fake) => fake.sent.join(' ');

describe('decisions', () => {
  it('submits with quorum, group and memory', async () => {
    const { fake, queue } = setup();
    fake.reply = 'DECIDED';
    const options = { onDup: 'BUMP', step: 2, onDecided: 'APPEAL', quorum: [2, 3], group: 'author:7' } as const;
    expect(await queue.submit('a', 'text', options)).toBe('DECIDED');
    expect(line(fake)).toBe('MODQ.SUBMIT q a text ONDUP BUMP STEP 2 ONDECIDED APPEAL QUORUM 2 3 GROUP author:7');
    await queue.update('a', { quorum: [1, 1], group: '', reports: 4, by: 'eve' });
    expect(line(fake)).toBe('MODQ.UPDATE q a QUORUM 1 1 GROUP  REPORTS 4 BY eve');
  });

  it('resolves with a verdict, and others of the group', async () => {
    const { fake, queue } = setup();
    fake.reply = [Buffer.from('VOTED'), 3, 7, Buffer.from('17')];
    const also = { count: 10, tags: ['x'], cursor: '4' };
    expect(await queue.resolve('a', 5, { rev: 2, verdict: 'keep', decision: 'fine', also })).toEqual({
      status: 'VOTED',
      also: { decided: 3, left: 7, cursor: '17' },
    });
    expect(line(fake)).toBe('MODQ.RESOLVE q a 5 REV 2 VERDICT keep DECISION fine ALSO 10 TAGS 1 x CURSOR 4');
    fake.reply = Buffer.from('SPLIT');
    expect(await queue.resolve('a', 5, { verdict: 'remove' })).toEqual({ status: 'SPLIT' });
  });

  it('sends batches, and keeps errors in their places', async () => {
    const { fake, queue } = setup();
    fake.reply = ['READY', new Error('EXISTS it is there')];
    const [ready, exists] = await queue.submitMany(
      [
        ['a', 'x'],
        ['b', 'y'],
      ],
      { priority: 1 },
    );
    expect([ready, (exists as ModqError).code]).toEqual(['READY', 'EXISTS']);
    expect(line(fake)).toBe('MODQ.MSUBMIT q 2 a x b y PRIORITY 1');
    fake.reply = ['OK', new Error('STALE no')];
    const claims = [
      { item: 'a', token: 1, rev: 1 },
      { item: 'b', token: 2, rev: 4 },
    ];
    expect((await queue.resolveMany(claims, { checkRevs: true, verdict: 'keep' }))[1]).toBeInstanceOf(Stale);
    expect(line(fake)).toBe('MODQ.MRESOLVE q 2 a 1 b 2 REVS 1 4 VERDICT keep');
    fake.reply = [1000, new Error('NOITEM no')];
    expect((await queue.extendMany(60_000, claims)).map((one) => (one instanceof Date ? one.getTime() : one.code))).toEqual([
      1000,
      'NOITEM',
    ]);
    expect(line(fake)).toBe('MODQ.MEXTEND q 60000 2 a 1 b 2');
  });

  it('knows records and groups', async () => {
    const { fake, queue } = setup();
    fake.reply = [
      'item',
      'a',
      'verdict',
      'keep',
      'decided',
      5,
      'expires',
      9,
      'token',
      7,
      'rev',
      1,
      'submitted',
      2,
      'reports',
      3,
      'moderators',
      ['m'],
    ];
    expect(await queue.decided('a')).toEqual({
      item: 'a',
      verdict: 'keep',
      decided: new Date(5),
      expires: new Date(9),
      token: 7,
      rev: 1,
      submitted: new Date(2),
      reports: 3,
      moderators: ['m'],
    });
    fake.reply = 2;
    expect(await queue.forget(['a', 'b'], { by: 'eve' })).toBe(2);
    expect(line(fake)).toBe('MODQ.FORGET q a b BY eve');
    fake.reply = [
      '12',
      [
        ['a', 'locked', 1, 5, 'm'],
        ['b', 'ready', 0, 6, null],
      ],
    ];
    expect(await queue.group('g', { cursor: '3', count: 2 })).toEqual({
      cursor: '12',
      rows: [
        { item: 'a', state: 'locked', priority: 1, submitted: new Date(5), moderator: 'm', deadline: null },
        { item: 'b', state: 'ready', priority: 0, submitted: new Date(6), moderator: null, deadline: null },
      ],
    });
    expect(line(fake)).toBe('MODQ.GROUP q g CURSOR 3 COUNT 2');
    fake.reply = [2, 1, '0'];
    expect(await queue.cancelGroup('g', { count: 5, except: ['keep'], reason: 'spam wave' })).toEqual({
      cancelled: 2,
      left: 1,
      cursor: '0',
    });
    expect(line(fake)).toBe('MODQ.CANCELGROUP q g COUNT 5 EXCEPT 1 keep REASON spam wave');
  });

  it('writes the small things', async () => {
    const { fake, queue } = setup();
    fake.reply = 7;
    await queue.assign('a', 'm', { token: 5, lock: 10, by: 'eve' });
    expect(line(fake)).toBe('MODQ.ASSIGN q a m LOCK 10 TOKEN 5 BY eve');
    await queue.cancel('a', { rev: 1, reason: 'gone', by: 'eve' });
    expect(line(fake)).toBe('MODQ.CANCEL q a REV 1 REASON gone BY eve');
    await queue.revive(['ALL'], { by: 'eve' });
    expect(line(fake)).toBe('MODQ.REVIVE q ALL ALL BY eve');
    await queue.configure({ quorum: [2, 3], splitTag: '', retain: 5, retainMax: 0 });
    expect(line(fake)).toBe('MODQ.CONFIGURE q QUORUM 2 3 SPLITTAG  RETAIN 5 RETAINMAX 0');
    await queue.stats({ brief: true });
    expect(line(fake)).toBe('MODQ.STATS q BRIEF');
    fake.reply = null;
    await queue.claim('m', { withGroup: true, count: 3 });
    expect(line(fake)).toBe('MODQ.CLAIM q m COUNT 3 WITHGROUP');
  });

  it('reads items, stats and settings whole, in every form of a map', async () => {
    const { fake, queue } = setup();
    const item = ['item', 'a', 'state', 'ready', 'payload', 'x', 'submitted', 5, 'due', 0, 'group', 'g', 'quorum', [2, 3]];
    const more = ['votes', [['m', 'keep', 9]], 'contested', 1, 'deciders', ['d'], 'tags', [], 'excluded', []];
    fake.reply = [...item, ...more];
    expect(await queue.get('a')).toMatchObject({
      group: 'g',
      quorum: [2, 3],
      votes: [{ moderator: 'm', verdict: 'keep', at: new Date(9) }],
      contested: true,
      deciders: ['d'],
    });
    fake.reply = new Map<string, unknown>([
      ['ready', 1],
      ['by_tag', new Map([['x', 2]])],
      ['by_priority', { '-5': 3 }],
      [
        'wait_ms_histogram',
        [
          [1000, 1],
          [-1, 2],
        ],
      ],
      ['paused', 'in'],
    ]);
    expect(await queue.stats()).toMatchObject({
      ready: 1,
      byTag: new Map([['x', 2]]),
      byPriority: new Map([[-5, 3]]),
      paused: 'in',
      waitMsHistogram: [
        { ms: 1000, count: 1 },
        { ms: Number.POSITIVE_INFINITY, count: 2 },
      ],
    });
    fake.reply = { lock: 5, late: 'reject', events: '', quorum: [2, 3], splittag: 'senior', retain: 7, retainmax: 8 };
    expect(await queue.settings()).toMatchObject({ lock: 5, quorum: [2, 3], splitTag: 'senior', retain: 7, retainMax: 8 });
  });

  it('folds votes and splits, and leaves records alone', () => {
    const fold = new Fold();
    const event = (ev: string, more: object) => fold.apply({ id: '1-1', ev, key: 'q', item: 'a', rev: 1, at: new Date(5), ...more });
    event('submit', { state: 'ready', expiries: 0 });
    event('claim', { state: 'locked', moderator: 'm', token: 1, deadline: new Date(9) });
    event('vote', { state: 'ready', moderator: 'm', token: 1, verdict: 'keep' });
    expect(fold.queues.get('q')?.items.get('a')).toMatchObject({
      state: 'ready',
      votes: [{ moderator: 'm', verdict: 'keep', at: new Date(5) }],
    });
    expect(fold.queues.get('q')?.items.get('a')).not.toHaveProperty('token');
    event('split', { state: 'dead', moderator: 'n', token: 2, verdict: 'remove' });
    expect(fold.queues.get('q')?.items.get('a')).toMatchObject({ contested: true });
    event('update', { votes: [], contested: false });
    expect(fold.queues.get('q')?.items.get('a')).toMatchObject({ contested: false, votes: [] });
    fold.apply({ id: '1-2', ev: 'report', key: 'q', item: 'old', rev: 1, at: new Date(5), reports: 3 });
    expect(fold.queues.get('q')?.items.size).toBe(1);
    expect(fold.queues.get('q')?.totals).toEqual(
      new Map([
        ['submitted', 1],
        ['votes', 2],
        ['splits', 1],
      ]),
    );
  });
});

describe('errors', () => {
  it.each([
    ['STALE the token', 'STALE', false],
    ['NOPERM this user', 'NOPERM', false],
    ['Too many Cluster redirections. Last error: Error: TRYAGAIN the stream', 'TRYAGAIN', false],
    ['Connection is closed.', 'CONNECTION', true],
    ['connect ECONNREFUSED 127.0.0.1:1', 'CONNECTION', true],
    ['', 'CONNECTION', true],
  ])('%s is %s', (message, code, uncertain) => {
    expect(toModqError(new Error(message))).toMatchObject({ code, uncertain });
  });

  it('are of the class of their code, with what caused them', () => {
    const cause = new Error('NOITEM no such item');
    const error = toModqError(cause);
    expect(error).toBeInstanceOf(NoItem);
    expect(error).toBeInstanceOf(ModqError);
    expect(error).toMatchObject({ name: 'NoItem', cause });
    expect(toModqError(error)).toBe(error);
  });
});

describe('settle', () => {
  const tries = { each: 1000, total: 30_000, interruptions: () => 0 };
  const failing =
    (...errors: (Error | string)[]) =>
    async () => {
      const next = errors.shift();
      if (next instanceof Error) throw next;
      return next;
    };

  it('takes NOITEM for an answer only after a lost reply', async () => {
    await expect(settle(failing(new Error('NOITEM x')), 'x', tries)).rejects.toBeInstanceOf(NoItem);
    expect(await settle(failing(new Error('closed'), new Error('NOITEM x')), 'x', tries)).toMatchObject({ explained: { code: 'NOITEM' } });
    // A refusal was not carried out: the NOITEM behind it is what it says.
    await expect(settle(failing(new Error('LOADING x'), new Error('NOITEM x')), 'x', tries)).rejects.toBeInstanceOf(NoItem);
    expect(await settle(failing(new Error('closed'), 'OK'), 'x', tries)).toEqual({ reply: 'OK' });
  });

  it('takes it for one where the client sent again by itself', async () => {
    let lost = 0;
    const send = async () => {
      lost++;
      throw new Error('NOITEM x');
    };
    expect(await settle(send, 'x', { ...tries, interruptions: () => lost })).toMatchObject({ explained: { code: 'NOITEM' } });
  });

  it('gives up in the end, and says that nobody knows', async () => {
    const never = () => new Promise<never>(() => {});
    await expect(settle(never, 'x', { ...tries, each: 20, total: 60 })).rejects.toMatchObject({ code: 'TIMEOUT', uncertain: true });
    await expect(settle(failing(new Error('CHANGED x')), 'x', tries)).rejects.toMatchObject({ code: 'CHANGED', uncertain: false });
  });
});

describe('HTTP', () => {
  const limits = [
    { name: 'burst', quota: 100, window: 60_000, remaining: 0, nextAfter: 29_001, resetAfter: 60_000, violated: true },
    { name: 'a "day"', quota: 1000, window: 86_400_000, remaining: 50, nextAfter: 0, resetAfter: 0, violated: false },
  ];
  const denied: Verdict = {
    allowed: false,
    limit: 100,
    remaining: 0,
    retryAfter: 29_001,
    resetAfter: 0,
    granted: 0,
    limits,
    reason: 'limit',
  };

  it('writes the header fields of the draft', () => {
    const { status, headers, body } = httpAnswer(denied);
    expect(status).toBe(429);
    expect(headers).toEqual({
      'RateLimit-Policy': '"burst";q=100;w=60, "a \\"day\\"";q=1000;w=86400',
      RateLimit: '"burst";r=0;t=30, "a \\"day\\"";r=50',
      'Retry-After': '30',
      'Content-Type': 'application/problem+json',
    });
    expect(body).toMatchObject({ status: 429, 'violated-policies': ['burst'] });
    expect(httpAnswer(denied, 'someone').headers['RateLimit-Policy']).toMatch(/^"burst";q=100;w=60;pk=:[A-Za-z0-9+/]{16}:, /);
  });

  it('leaves out Retry-After where no time helps, and says 503 where nobody counts', () => {
    expect(httpAnswer({ ...denied, retryAfter: Number.POSITIVE_INFINITY }).headers).not.toHaveProperty('Retry-After');
    expect(httpAnswer({ ...denied, reason: 'error', limits: [] })).toMatchObject({ status: 503, headers: { 'Retry-After': '1' } });
    expect(httpAnswer({ ...denied, allowed: true, reason: 'error', limits: [] })).toEqual({ allowed: true, status: 200, headers: {} });
  });

  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:ff42:1:2:3:4', '2001:db8:1:ff00::/56'],
    ['2001:db8::1', '2001:db8:0:0::/56'],
    ['fe80::1%eth0', 'fe80:0:0:0::/56'],
    ['::1', '0:0:0:0::/56'],
    [undefined, 'unknown'],
  ])('counts %s as %s', (address, key) => {
    expect(addressKey(address)).toBe(key);
  });
});

describe('slots', () => {
  it('are those of Redis', () => {
    expect([slotOf('123456789'), slotOf('{user1000}.following'), slotOf('foo{}{bar}'), slotOf('foo{{bar}}zap')]).toEqual([
      12739,
      slotOf('user1000'),
      8363,
      slotOf('{bar'),
    ]);
  });

  it.each([
    ['review', 'modq:{review}:alice'],
    ['{eu}:review', 'modq:{eu}:review:alice'],
    ['review{7}', 'modq:review{7}:alice'],
    ['a}b', 'modq:{20658}:a}b:alice'],
  ])('the channel of %s is %s', (key, channel) => {
    expect(channelOf(key, 'alice')).toBe(channel);
    expect(slotOf(channel)).toBe(slotOf(key));
  });
});

describe('Backoff', () => {
  it('grows up to its most, with jitter', () => {
    const backoff = new Backoff(100, 1000);
    const waits = Array.from({ length: 8 }, () => backoff.next());
    waits.forEach((wait, i) => {
      const whole = Math.min(1000, 100 * 2 ** i);
      expect(wait).toBeGreaterThanOrEqual(whole / 2);
      expect(wait).toBeLessThanOrEqual(whole);
    });
    backoff.reset();
    expect(backoff.next()).toBeLessThanOrEqual(100);
  });
});
