// The middleware in real Express and Fastify applications.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import fastify from 'fastify';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rateLimit as expressLimit } from '../src/express.js';
import { rateLimit as fastifyLimit, onRequest } from '../src/fastify.js';
import { Limiter } from '../src/index.js';
import { type Made, single } from './kit/clients.js';
import { freePort, Server } from './kit/servers.js';

let server: Server;
let made: Made;
beforeAll(async () => {
  server = await Server.start();
  made = await single('redis6', server.port);
});
afterAll(async () => {
  made?.close();
  await server?.stop();
});

let n = 0;
const limiter = () =>
  new Limiter(made.client, {
    limits: { quota: 2, window: 3_600_000, name: 'hourly' },
    prefix: `http${n++}:`,
    onError: 'throw',
    timeout: 30_000,
  });

/** An application with a limit, and one whose Redis is dead. */
interface App {
  url: string;
  close(): unknown;
}
type Options = { limiter: Limiter; keyGenerator?: () => string; skip?: (request: object) => boolean };

async function expressApp(options: Options): Promise<App> {
  const app = express();
  app.use(expressLimit(options));
  app.get('/', (_request, response) => void response.send('hello'));
  const listening = createServer(app);
  await new Promise<void>((done) => listening.listen(0, '127.0.0.1', done));
  return { url: `http://127.0.0.1:${(listening.address() as AddressInfo).port}/`, close: () => listening.close() };
}

async function fastifyApp(options: Options): Promise<App> {
  const app = fastify();
  await app.register(fastifyLimit, options);
  app.get('/', async () => 'hello');
  return { url: `${await app.listen({ port: 0, host: '127.0.0.1' })}/`, close: () => app.close() };
}

describe.each([
  ['Express', expressApp],
  ['Fastify', fastifyApp],
])('%s', (_, start) => {
  it('admits, tells and refuses', async () => {
    const app = await start({ limiter: limiter() });
    const first = await fetch(app.url);
    expect(first.status).toBe(200);
    expect(await first.text()).toBe('hello');
    expect(first.headers.get('ratelimit-policy')).toBe('"hourly";q=2;w=3600');
    expect(first.headers.get('ratelimit')).toMatch(/^"hourly";r=1;t=3(600|5\d\d)$/);
    expect(first.headers.get('retry-after')).toBeNull();
    await fetch(app.url);
    const refused = await fetch(app.url);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(3000);
    expect(refused.headers.get('ratelimit')).toMatch(/^"hourly";r=0;t=/);
    expect(await refused.json()).toMatchObject({ status: 429, 'violated-policies': ['hourly'] });
    await app.close();
  });

  it('counts by any key, and skips', async () => {
    const counted = await start({ limiter: limiter(), keyGenerator: () => 'someone', skip: () => false });
    expect((await fetch(counted.url)).headers.get('ratelimit')).toMatch(/r=1/);
    await counted.close();
    const skipped = await start({ limiter: limiter(), skip: () => true });
    expect((await fetch(skipped.url)).headers.get('ratelimit')).toBeNull();
    await skipped.close();
  });

  it.each([
    ['open', 200],
    ['closed', 503],
    ['throw', 500],
  ] as const)('fails %s with %d where no Redis is', async (onError, status) => {
    const dead = await single('ioredis6', await freePort(), { retryStrategy: () => 1000 });
    const lost = new Limiter(dead.client, { limits: { quota: 2, window: 1000 }, onError, timeout: 100, onFailure: () => {} });
    const app = await start({ limiter: lost });
    const answer = await fetch(app.url);
    expect(answer.status).toBe(status);
    await app.close();
    dead.close();
  });
});

it('takes a hook for single routes of Fastify', async () => {
  const app = fastify();
  app.get('/limited', { onRequest: onRequest({ limiter: limiter() }) }, async () => 'hello');
  app.get('/free', async () => 'hello');
  expect((await app.inject('/limited')).headers.ratelimit).toMatch(/^"hourly";r=1/);
  expect((await app.inject('/free')).headers.ratelimit).toBeUndefined();
  await app.close();
});
