// A small public API with limits: everybody by address, signed-in users by name, and at most two exports at a time.
import express from 'express';
import { Limiter } from 'modq';
import { rateLimit } from 'modq/express';
import { createClient } from 'redis';

const client = createClient({ url: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379' });
client.on('error', (error) => console.error(`redis: ${error.message}`));
await client.connect();

// When Redis does not answer, pages are still served; exports, which are dear, are not.
const pages = new Limiter(client, {
  prefix: 'limit:page:',
  limits: [
    { name: 'burst', quota: 5, window: 10_000 },
    { name: 'hourly', quota: 100, window: 3_600_000, algo: 'GCRA' },
  ],
  onError: 'open',
});
const exports = new Limiter(client, { prefix: 'limit:export:', limits: { name: 'daily', quota: 3, window: 86_400_000 }, onError: 'closed' });

const app = express();
const user = (request) => request.get('x-user');
// What somebody asks for is not what they say it costs: at least one.
const files = (request) => Math.max(1, Math.trunc(Number(request.query.files)) || 1);
const signedIn = (request, response, next) => (user(request) ? next() : response.status(401).send('who are you?'));
app.use(rateLimit({ limiter: pages, keyGenerator: (request) => user(request) ?? request.ip, skip: (request) => request.path === '/health' }));

app.get('/health', (_request, response) => response.send('fine'));
app.get('/', (_request, response) => response.send('hello'));

app.get('/export', signedIn, rateLimit({ limiter: exports, keyGenerator: user, cost: files }), async (request, response) => {
  const done = await exports.withLease('running', 2, { ttl: 60_000 }, async (lease) => `export of ${user(request)}, place ${lease.inUse} of ${lease.max}`);
  if (done === null) return response.status(503).set('Retry-After', '5').send('two exports are running');
  return response.send(done);
});

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`listening on ${server.address().port}`);
});
process.once('SIGTERM', () => server.close(() => client.destroy()));
