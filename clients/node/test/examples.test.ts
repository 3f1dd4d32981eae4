// The programs of the README, and the Express example: run as they stand, with the built package.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Server } from './kit/servers.js';
import { until } from './kit/wait.js';

const PACKAGE = resolve(import.meta.dirname, '..');
let server: Server;
let dir: string;
beforeAll(async () => {
  server = await Server.start();
  mkdirSync(join(PACKAGE, 'dist'), { recursive: true });
  // Inside the package, where `modq` is the package itself.
  dir = mkdtempSync(join(PACKAGE, 'dist', 'examples-'));
});
afterAll(async () => {
  await server?.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** Starts a program; `redis` is here under the name of its version. */
function start(name: string, source: string, env: object = {}): { child: ChildProcess; said: () => string; gone: Promise<number | null> } {
  const file = join(dir, name);
  writeFileSync(file, source.replaceAll("from 'redis'", "from 'redis6'"));
  const child = spawn(process.execPath, [file], { env: { ...process.env, REDIS_URL: `redis://127.0.0.1:${server.port}`, ...env } });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (data) => (said += data));
  return { child, said: () => said, gone: new Promise((done) => child.once('exit', done)) };
}

it('the README begins with a program that works', async () => {
  const [, first] = readFileSync(join(PACKAGE, 'README.md'), 'utf8').split(/```(?:js)?\n/) as [string, string];
  const program = start('readme.mjs', first);
  expect([await program.gone, program.said()]).toEqual([0, '']);
  expect(await server.ask('MODQ.STATS', 'review')).toEqual(expect.arrayContaining(['resolved', 1]));
});

it('the README shows how a quorum is run', async () => {
  const readme = readFileSync(join(PACKAGE, 'README.md'), 'utf8');
  const [, section] = readme.split('## Second opinions') as [string, string];
  const [, shown] = section.split(/```(?:js)?\n/) as [string, string];
  const before = `
    import { createClient } from 'redis';
    import { Queue, utf8 } from 'modq';
    const client = await createClient({ url: process.env.REDIS_URL }).connect();
    const queue = new Queue(client, 'votes', { codec: utf8 });
    const classify = (text) => (text.includes('fool') ? 'remove' : 'keep');
    await queue.submit('post:1', 'you fool', { quorum: [2, 3] });`;
  const after = `
    bot.once('resolved', async (claim, decision) => {
      const { verdict, moderators } = await queue.decided('post:1');
      console.log(status, decision.status, verdict, moderators.join());
      await bot.close();
      queue.close();
      client.destroy();
    });
    await bot.run();`;
  const program = start('quorum.mjs', [before, shown, after].join('\n'));
  expect([await program.gone, program.said()]).toEqual([0, 'VOTED OK remove ann,classifier\n']);
});

describe('examples/express', () => {
  it('limits pages and exports', async () => {
    const source = readFileSync(resolve(PACKAGE, '../../examples/express/server.mjs'), 'utf8');
    const program = start('express.mjs', source, { PORT: '0' });
    await until('it to listen', () => {
      if (program.child.exitCode !== null) throw new Error(program.said());
      return program.said().includes('listening on');
    });
    const url = `http://127.0.0.1:${/listening on (\d+)/.exec(program.said())?.[1]}`;
    const get = (path: string, user: string) => fetch(`${url}${path}`, { headers: { 'x-user': user } });
    const statuses: number[] = [];
    // The burst is over ten seconds: of ten requests at once at least one is refused, however slow the machine.
    for (const answer of await Promise.all(Array.from({ length: 12 }, () => get('/', 'alice')))) statuses.push(answer.status);
    expect(statuses).toContain(200);
    expect(statuses).toContain(429);
    expect((await get('/', 'bob')).headers.get('ratelimit-policy')).toBe('"burst";q=5;w=10, "hourly";q=100;w=3600');
    expect((await fetch(`${url}/health`)).headers.get('ratelimit')).toBeNull();
    const exported = await get('/export?files=2', 'carol');
    expect([exported.status, await exported.text()]).toEqual([200, 'export of carol, place 1 of 2']);
    const refused = await get('/export?files=2', 'carol');
    expect(refused.status).toBe(429);
    expect(refused.headers.get('ratelimit')).toMatch(/^"daily";r=1;t=/);
    const never = await get('/export?files=9', 'dave');
    expect([never.status, never.headers.get('retry-after')]).toEqual([429, null]);
    // Nobody sets their own price, and who has no name is not one subject with all others who have none.
    expect((await get('/export?files=0', 'erin')).headers.get('ratelimit')).toMatch(/^"daily";r=2;t=/);
    expect((await fetch(`${url}/export`)).status).toBe(401);
    program.child.kill('SIGTERM');
    await program.gone;
  });
});
