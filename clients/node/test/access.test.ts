// Users with the rights of docs/operations.md, prefixes of keys, and the package as it is shipped.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Claim, EventLog, InvalidArgument, Limiter, ModqError, Presence, Queue, utf8, VERSION } from '../src/index.js';
import { single } from './kit/clients.js';
import { Server } from './kit/servers.js';
import { gate, until } from './kit/wait.js';

const PACKAGE = resolve(import.meta.dirname, '..');
let server: Server;
beforeAll(async () => {
  server = await Server.start();
});
afterAll(() => server?.stop());

describe.each(['redis4', 'redis5', 'redis6', 'ioredis5', 'ioredis6'] as const)('%s', (name) => {
  const isIoredis = name.startsWith('ioredis');

  it('works with the rights of a moderator, and ends where it has none', async () => {
    const operations = readFileSync(resolve(PACKAGE, '../../docs/operations.md'), 'utf8');
    for (const [, rule] of operations.matchAll(/^ACL (SETUSER (?:moderator|submitter) .*)$/gm))
      await server.ask('ACL', ...(rule as string).split(' '));
    // ioredis asks INFO whether the server is loading, unless it is told not to.
    const as = (user: string) => ({ username: user, password: 'secret', ...(isIoredis ? { enableReadyCheck: false } : {}) });
    const producer = await single(name, server.port, as('submitter'));
    const moderator = await single(name, server.port, as('moderator'));
    const key = `review:${name}`;
    const submitter = new Queue(producer.client, key, { codec: utf8 });
    for (const id of ['a', 'b']) await submitter.submit(id, 'text');
    const queue = new Queue(moderator.client, key, { codec: utf8 });
    const errors: ModqError[] = [];
    // Two in hand: heartbeats try MEXTEND, which these rules, or the module, may not have.
    const worker = queue.worker(
      async (claim) => {
        const first = claim.deadline.getTime();
        await until('heartbeats', () => claim.lost || claim.deadline.getTime() > first + 200);
      },
      { moderator: 'bot', concurrency: 2, lockDuration: 20_000, heartbeat: 100 },
    );
    worker.on('error', (error) => errors.push(error as ModqError));
    const running = worker.run();
    await until('both to be decided', async () => (await server.ask('MODQ.LEN', key)) === 0);
    await worker.close();
    await running;
    expect(errors).toEqual([]);
    await expect(submitter.worker(() => {}, { moderator: 'bot' }).run()).rejects.toMatchObject({ code: 'NOPERM' });
    producer.close();
    moderator.close();
  });
});

// node-redis has prefixes from 6 on.
describe.each(['redis6', 'ioredis5', 'ioredis6'] as const)('%s', (name) => {
  it('puts the prefix of the client before keys', async () => {
    const { client, close } = await single(name, server.port, { keyPrefix: `${name}:` });
    const queue = new Queue(client, 'prefixed', { codec: utf8 });
    const other = new Queue(client, 'other', { codec: utf8 });
    await queue.configure({ events: 'log' });
    expect((await queue.settings()).events).toBe('log');
    await queue.submit('a', 'text');
    expect(await server.ask('MODQ.LEN', `${name}:prefixed`)).toBe(1);
    const got = await Queue.mclaim([other, queue], 'alice');
    expect(got?.queue).toBe(queue);
    await got?.claims[0]?.move('other');
    expect(await server.ask('MODQ.LEN', `${name}:other`)).toBe(1);
    expect((await new EventLog(client, 'log').fold()).queues.has(`${name}:prefixed`)).toBe(true);
    const limiter = new Limiter(client, { limits: { quota: 1, window: 60_000 }, prefix: 'limit:', onError: 'throw', timeout: 30_000 });
    await limiter.check('u');
    expect(await server.ask('EXISTS', `${name}:limit:u`)).toBe(1);
    const presence = new Presence(queue);
    const announced = gate<Claim<string>>();
    (await presence.join('bob')).on('claim', announced.open);
    await queue.submit('b', 'text');
    expect((await announced.promise).item).toBe('b');
    await presence.close();
    close();
  });
});

describe('moderator ids', () => {
  it('are the name itself where that is wanted', async () => {
    const { client, close } = await single('redis6', server.port);
    const queue = new Queue(client, 'named', { codec: utf8 });
    expect(() => queue.worker(() => {}, { moderator: 'alice', unique: false, concurrency: 2 })).toThrow(InvalidArgument);
    await queue.submit('a', 'text', { exclude: ['alice'] });
    const worker = queue.worker(() => {}, { moderator: 'alice', unique: false, block: 1000 });
    const running = worker.run();
    await until('alice to wait', async () => (await queue.waiters())[0]?.moderator === 'alice');
    expect(await queue.why('a', 'alice')).toEqual(['excluded']);
    await worker.close();
    await running;
    close();
  });
});

describe('the package', () => {
  const run = (...args: string[]) => execFileSync(process.execPath, args, { cwd: PACKAGE, encoding: 'utf8' }).trim();

  it('is there for import and for require, of its own version', () => {
    const { version } = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8')) as { version: string };
    const print = 'console.log(m.VERSION, typeof m.Queue, typeof e.rateLimit, typeof f.rateLimit)';
    const told = `${version} function function function`;
    expect(VERSION).toBe(version);
    expect(run('-e', `const [m, e, f] = ['modq', 'modq/express', 'modq/fastify'].map(require); ${print}`)).toBe(told);
    const imports = "import * as m from 'modq'; import * as e from 'modq/express'; import * as f from 'modq/fastify';";
    expect(run('--input-type=module', '-e', `${imports} ${print}`)).toBe(told);
  });

  it('has declarations that are right by themselves, for import and for require', () => {
    const dir = mkdtempSync(join(PACKAGE, 'node_modules/.types-'));
    try {
      const program = "import * as m from 'modq'; import * as e from 'modq/express'; import * as f from 'modq/fastify';";
      for (const file of ['a.mts', 'a.cts']) writeFileSync(join(dir, file), `${program} export default [m, e, f];`);
      const tsc = join(PACKAGE, 'node_modules/typescript/bin/tsc');
      const options = [
        '--strict',
        '--exactOptionalPropertyTypes',
        '--noEmit',
        '--module',
        'nodenext',
        '--types',
        'node',
        '--target',
        'es2022',
      ];
      // What the declarations say is checked, too: some users have no skipLibCheck.
      expect(run(tsc, ...options, '--skipLibCheck', 'false', join(dir, 'a.mts'), join(dir, 'a.cts'))).toBe('');
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it('has no dependencies', () => {
    const { dependencies } = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8'));
    expect(dependencies).toBeUndefined();
    expect(new ModqError('x', 'X')).toBeInstanceOf(Error);
  });
});
